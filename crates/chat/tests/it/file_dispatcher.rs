//! Channels on what is no socket: pipes, FIFOs and terminals.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chat::{
    AsyncChat, ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint, Error,
    FileDispatcher, FileWrapper, Handle, Result, SimpleProducer, SockRef, Transport,
};

use crate::common::{Log, Place, Probe, alone, assert_rest, name, turn_to_rest, turn_until};

/// Keeps a record.
struct Reader(Log);

impl DispatcherHandler for Reader {
    fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        let mut buffer = [0; 100];
        let len = endpoint.recv(&mut buffer)?;
        if len > 0 {
            self.0.add(format!("read {}", buffer[..len].escape_ascii()));
        }
        Ok(())
    }

    fn handle_eof(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.0.add("eof");
        endpoint.close_with(CloseReason::Eof);
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.0.add(format!("close {}", name(&reason)));
    }

    fn handle_error(&mut self, error: Error, _: &mut Endpoint, _: &mut ChannelMap) {
        self.0.add(format!("error {error}"));
    }
}

impl Place {
    /// A FIFO; `None` where there is no tool to make one.
    pub(crate) fn fifo(&self) -> Option<PathBuf> {
        let path = self.0.join("fifo");
        let made = Command::new("mkfifo").arg(&path).status();
        if made.is_ok_and(|status| status.success()) {
            return Some(path);
        }
        skip("mkfifo");
        None
    }
}

fn skip(tool: &str) {
    let _ = writeln!(io::stderr(), "skipped: no {tool}");
}

/// A child between two pipes, which ends when its input does.
fn spawn(command: &mut Command) -> Option<Child> {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    match piped.spawn() {
        Ok(child) => Some(child),
        Err(_) => {
            skip(&command.get_program().to_string_lossy());
            None
        }
    }
}

fn insert(map: &mut ChannelMap, file: impl AsFd, log: &Log) -> Handle<FileDispatcher<Reader>> {
    let channel = Dispatcher::file(file, Reader(log.clone())).unwrap();
    map.insert(channel).unwrap()
}

/// The end to read from, and the one to write to.
pub(crate) fn pipe() -> (File, File) {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    (reader.into(), writer.into())
}

pub(crate) fn is_nonblocking(file: &impl AsFd) -> bool {
    SockRef::from(file).nonblocking().unwrap()
}

#[test]
fn what_a_child_says_is_read_to_its_end() {
    let log = Log::default();
    let Some(mut child) = spawn(Command::new("echo").arg("hello")) else {
        return;
    };
    let mut map = ChannelMap::new().unwrap();
    insert(&mut map, child.stdout.take().unwrap(), &log);
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(log.all(), ["read hello\\n", "eof", "close Eof"]);
    child.wait().unwrap();
}

#[test]
fn what_is_pushed_to_a_child_comes_back_from_it() {
    let log = Log::default();
    let Some(mut child) = spawn(&mut Command::new("cat")) else {
        return;
    };
    let mut map = ChannelMap::new().unwrap();
    let to = insert(&mut map, child.stdin.take().unwrap(), &log);
    insert(&mut map, child.stdout.take().unwrap(), &log);
    for word in ["one", "two"] {
        map.get_mut(to).unwrap().endpoint.push(word);
        turn_until(&mut map, |_| log.has(&format!("read {word}")));
        assert_rest(&mut map);
    }
    map.close(to); // the end of the child's input
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(log.all()[2..], ["close Requested", "eof", "close Eof"]);
    child.wait().unwrap();
}

/// More than the pipes hold, both ways at once.
#[test]
fn two_chat_channels_talk_to_a_child() {
    const LINES: usize = 50_000;
    let (to_log, from_log) = (Log::default(), Log::default());
    let Some(mut child) = spawn(&mut Command::new("cat")) else {
        return;
    };
    let mut map = ChannelMap::new().unwrap();
    let stdin = FileWrapper::new(child.stdin.take().unwrap()).unwrap();
    let mut to = AsyncChat::over(stdin, "\n", Probe::new(&to_log));
    for n in 0..LINES {
        to.chat.push(format!("line {n}\n"));
    }
    to.chat.close_when_done();
    map.insert(to).unwrap();
    let stdout = FileWrapper::new(child.stdout.take().unwrap()).unwrap();
    map.insert(AsyncChat::over(stdout, "\n", Probe::new(&from_log)))
        .unwrap();
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(to_log.all(), ["close Done"]);
    let heard = from_log.all();
    assert_eq!(heard.len(), LINES + 3);
    assert_eq!((&*heard[0], &*heard[LINES + 1]), ("connect", "eof"));
    for (n, message) in heard[1..=LINES].iter().enumerate() {
        assert_eq!(*message, format!("message line {n}"));
    }
    child.wait().unwrap();
}

/// Nobody is told that a pipe will get no more but by closing it: there is
/// nothing to wait for.
#[test]
fn close_when_done_of_a_pipe_closes_with_the_last_byte() {
    let log = Log::default();
    let (mut theirs, ours) = pipe();
    let mut map = ChannelMap::new().unwrap();
    let wrapper = FileWrapper::new(&ours).unwrap();
    drop(ours);
    let mut channel = AsyncChat::over(wrapper, "\n", Probe::new(&log));
    channel
        .chat
        .push_with_producer(SimpleProducer::new(vec![b'x'; 300_000]));
    channel.chat.close_when_done();
    map.insert(channel).unwrap();
    assert_rest(&mut map);
    assert_eq!(log.len(), 0, "the pipe is full");
    let mut received = 0;
    let mut buffer = [0; 10_000];
    while received < 300_000 {
        received += theirs.read(&mut buffer).unwrap();
        map.turn(Some(Duration::ZERO)).unwrap();
    }
    map.turn_at(map.now()).unwrap(); // and no time passes
    assert_eq!(log.all(), ["close Done"]);
    assert_eq!(theirs.read(&mut buffer).unwrap(), 0);
}

#[test]
fn a_fifo_is_read_while_somebody_writes() {
    let place = Place::new("fifo");
    let Some(path) = place.fifo() else {
        return;
    };
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    // For reading and writing, so that opening it does not wait for a writer,
    // and its end does not come with the first that leaves.
    let both = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let me = insert(&mut map, &both, &log);
    for word in ["one", "two"] {
        fs::write(&path, word).unwrap();
        turn_until(&mut map, |_| log.has(&format!("read {word}")));
        assert_rest(&mut map);
    }
    drop(both); // the channel has a descriptor of its own
    assert!(map.is_open(me));
    let to_itself = &mut map.get_mut(me).unwrap().endpoint;
    to_itself.push("echo");
    turn_until(&mut map, |_| log.has("read echo"));
    assert_eq!(log.len(), 3);
}

#[test]
fn a_pipe_that_nobody_reads_closes_once_with_broken_pipe() {
    for is_known_before in [true, false] {
        for pushed in ["", "to nobody"] {
            let log = Log::default();
            let (theirs, ours) = pipe();
            let mut map = ChannelMap::new().unwrap();
            let me = insert(&mut map, ours, &log);
            if is_known_before {
                turn_to_rest(&mut map);
            }
            drop(theirs);
            map.get_mut(me).unwrap().endpoint.push(pushed);
            turn_until(&mut map, |map| map.is_empty());
            assert_rest(&mut map);
            assert_eq!(log.all(), ["close Io(BrokenPipe)"]);
        }
    }
}

#[test]
fn a_chat_on_a_pipe_that_nobody_reads_closes_once_with_broken_pipe() {
    for pushed in ["", "to nobody"] {
        let log = Log::default();
        let (theirs, ours) = pipe();
        let mut map = ChannelMap::new().unwrap();
        let wrapper = FileWrapper::new(ours).unwrap();
        let mut channel = AsyncChat::over(wrapper, "\n", Probe::new(&log));
        channel.chat.push(pushed);
        drop(theirs);
        map.insert(channel).unwrap();
        turn_until(&mut map, |map| map.is_empty());
        assert_eq!(log.all(), ["connect", "close Io(BrokenPipe)"]);
    }
}

#[test]
fn an_idle_pipe_and_a_full_one_cost_no_turns() {
    let (ours, _theirs) = pipe();
    let (_reader, full) = pipe();
    let mut map = ChannelMap::new().unwrap();
    insert(&mut map, ours, &Log::default());
    let full = insert(&mut map, full, &Log::default());
    map.get_mut(full).unwrap().endpoint.push(vec![0; 1_000_000]);
    assert_rest(&mut map);
    assert_eq!(map.len(), 2);
}

/// A handler that reads till there is no more must not wait for more.
#[test]
fn a_pipe_does_not_block_while_it_is_a_channels() {
    let (ours, mut theirs) = pipe();
    assert!(!is_nonblocking(&ours));
    let mut wrapper = FileWrapper::new(&ours).unwrap();
    assert!(is_nonblocking(&ours));
    theirs.write_all(b"all").unwrap();
    let mut buffer = [0; 10];
    assert_eq!(wrapper.recv(&mut buffer).unwrap(), 3);
    let nothing = wrapper.recv(&mut buffer).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
}

#[test]
fn the_mode_of_a_pipe_is_restored_when_its_channel_is_gone() {
    let (ours, _theirs) = pipe();
    let mut map = ChannelMap::new().unwrap();
    let me = insert(&mut map, &ours, &Log::default());
    assert!(is_nonblocking(&ours));
    map.close(me);
    turn_to_rest(&mut map);
    assert!(!is_nonblocking(&ours));

    // What was not blocking before is left so.
    SockRef::from(&ours).set_nonblocking(true).unwrap();
    drop(FileWrapper::new(&ours).unwrap());
    assert!(is_nonblocking(&ours));
}

#[test]
fn a_refused_descriptor_is_left_as_it_was() {
    let file = File::open("/dev/null").unwrap();
    for wrap in [
        FileWrapper::new,
        FileWrapper::nonblocking,
        FileWrapper::as_it_is,
    ] {
        assert!(wrap(&file).is_err());
        assert!(!is_nonblocking(&file));
    }
}

/// A new channel on what the old one had: the old one is dropped afterwards.
#[test]
fn a_channel_that_handle_close_makes_anew_does_not_block() {
    /// Opens its file again when it is closed.
    struct Again(File, Log);
    impl DispatcherHandler for Again {
        fn handle_close(&mut self, _: CloseReason, _: &mut Endpoint, map: &mut ChannelMap) {
            insert(map, &self.0, &self.1);
        }
    }
    let (ours, mut theirs) = pipe();
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let again = Again(ours.try_clone().unwrap(), log.clone());
    let first = map.insert(Dispatcher::file(&ours, again).unwrap()).unwrap();
    turn_to_rest(&mut map);
    map.close(first);
    turn_to_rest(&mut map);
    assert!(is_nonblocking(&ours));
    theirs.write_all(b"more").unwrap();
    turn_until(&mut map, |_| log.has("read more"));
    drop(theirs);
    turn_until(&mut map, |map| map.is_empty());
    assert!(!is_nonblocking(&ours), "and it is as it was");
}

/// A wrapper does not keep a pipe open that its channel has closed.
#[test]
fn a_pipe_is_closed_with_its_channel_even_while_its_other_end_has_one() {
    let log = Log::default();
    let (ours, theirs) = pipe();
    let mut map = ChannelMap::new().unwrap();
    insert(&mut map, ours, &log);
    let writer = insert(&mut map, theirs, &Log::default());
    turn_to_rest(&mut map);
    map.close(writer);
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(log.all(), ["eof", "close Eof"]);
}

#[test]
fn what_is_always_ready_is_refused_with_a_reason() {
    let here = std::env::current_exe().unwrap();
    let dir = here.parent().unwrap();
    for path in [
        here.as_path(),
        dir,
        "/dev/null".as_ref(),
        "/dev/zero".as_ref(),
    ] {
        let file = File::open(path).unwrap();
        let refused = Dispatcher::file(&file, Reader(Log::default())).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported, "{path:?}");
        let reason = refused.to_string();
        assert!(reason.contains("cannot be waited for"), "{reason}");
    }
}

#[test]
fn a_file_channel_is_connected_and_has_no_addresses() {
    let (ours, _theirs) = pipe();
    let mut channel = Dispatcher::file(ours, Reader(Log::default())).unwrap();
    let endpoint = &mut channel.endpoint;
    assert!(endpoint.connected() && !endpoint.accepting() && !endpoint.connecting());
    assert_eq!(endpoint.addr(), None);
    assert!(endpoint.socket().is_none());
    let error = endpoint.shutdown(std::net::Shutdown::Write).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(endpoint.accept().unwrap().is_none());
    assert!(!endpoint.closing());
}

/// Opens a pseudo-terminal, says where its other end is, and passes on what
/// it is told to type; says what came out there at the end. It goes after a
/// while, so that who waits for it does not for ever.
const TERMINAL: &str = r"
import os, pty, signal, sys, tty
signal.alarm(20)
master, slave = pty.openpty()
tty.setraw(slave)
sys.stdout.write(os.ttyname(slave) + '\n')
sys.stdout.flush()
for line in sys.stdin:
    os.write(master, line.encode())
os.set_blocking(master, False)
try:
    sys.stdout.write(os.read(master, 1000).decode())
except OSError:
    pass
";

/// A terminal, whoever types there, and what comes out.
fn terminal() -> Option<(File, Child, io::BufReader<std::process::ChildStdout>)> {
    let mut child = spawn(Command::new("python3").args(["-c", TERMINAL]))?;
    let mut said = io::BufReader::new(child.stdout.take().unwrap());
    let mut path = String::new();
    io::BufRead::read_line(&mut said, &mut path).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(path.trim());
    Some((file.unwrap(), child, said))
}

#[test]
fn a_terminal_is_read_without_being_changed_and_without_waiting() {
    let Some((terminal, mut child, mut said)) = terminal() else {
        return;
    };
    let mut keyboard = child.stdin.take().unwrap();
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let wrapper = FileWrapper::as_it_is(&terminal).unwrap();
    // Reads until `WouldBlock`, more than once a turn.
    let probe = Probe::new(&log).on_message(|line, chat, _| {
        chat.push(line);
        Ok(())
    });
    let mut limits = chat::Limits::default();
    limits.in_buffer_size = 2; // each read is a full one: there may be more
    let channel = AsyncChat::over(wrapper, "\n", probe).limited(limits);
    let me = map.insert(channel).unwrap();
    assert_rest(&mut map);
    for line in ["one", "two2", "three", ""] {
        let started = Instant::now();
        writeln!(keyboard, "{line}").unwrap();
        turn_until(&mut map, |_| log.has(&format!("message {line}")));
        assert_rest(&mut map);
        assert!(started.elapsed() < Duration::from_secs(5));
        assert!(!is_nonblocking(&terminal), "it is the user's as well");
    }
    assert!(map.is_open(me));
    drop(keyboard);
    let mut shown = String::new();
    said.read_to_string(&mut shown).unwrap();
    assert_eq!(shown, "onetwo2three");
    child.wait().unwrap();
    turn_until(&mut map, |map| map.is_empty()); // nobody is at the other end
    assert!(log.count("close") == 1, "{:?}", log.all());
}

/// The master of a pseudo-terminal and the terminal itself; `None` where there are none.
fn pseudo_terminal() -> Option<(File, File)> {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let Ok(master) = openpt(flags) else {
        skip("pseudo-terminal");
        return None;
    };
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let mut terminal = OpenOptions::new();
    terminal.read(true).write(true);
    Some((master.into(), terminal.open(path).unwrap()))
}

/// A program that runs others on a terminal (`expect`, `ssh`) has its other end alone.
#[test]
fn a_slow_reader_of_a_terminal_does_not_stop_the_loop_of_its_master() {
    let Some((master, mut terminal)) = pseudo_terminal() else {
        return;
    };
    // As a program that reads lines sees it; and nothing is echoed.
    let mut stty = Command::new("stty");
    stty.args(["raw", "-echo"])
        .stdin(terminal.try_clone().unwrap());
    if !stty.status().is_ok_and(|status| status.success()) {
        return skip("stty");
    }
    drop(stty); // which has the terminal
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let me = insert(&mut map, &master, &log);
    assert!(is_nonblocking(&master));
    map.get_mut(me).unwrap().endpoint.push(vec![b'x'; 100_000]);
    assert_rest(&mut map);
    assert!(map.get(me).unwrap().endpoint.queued() > 0);
    let mut read = 0;
    let mut buffer = [0; 4_096];
    while read < 100_000 {
        read += terminal.read(&mut buffer).unwrap();
        map.turn(Some(Duration::ZERO)).unwrap();
    }
    terminal.write_all(b"an answer").unwrap();
    turn_until(&mut map, |_| log.has("read an answer"));
    drop(terminal);
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(log.all()[1..], ["eof", "close Eof"]);
    assert!(!is_nonblocking(&master));
}

/// A terminal that a program has opened for itself is nobody else's.
#[test]
fn only_the_terminal_that_is_standard_input_or_output_is_left_blocking() {
    if !alone::is_alone(
        only_the_terminal_that_is_standard_input_or_output_is_left_blocking,
        &["env"],
    ) {
        return;
    }
    let (Some((_, other)), Some((master, terminal))) = (pseudo_terminal(), pseudo_terminal())
    else {
        return;
    };
    rustix::stdio::dup2_stdin(&terminal).unwrap();
    for shared in [
        &io::stdin().as_fd().try_clone_to_owned().unwrap(),
        &terminal.into(),
    ] {
        let wrapper = FileWrapper::new(shared).unwrap();
        assert!(!is_nonblocking(shared));
        // But the user may choose.
        let chosen = FileWrapper::nonblocking(shared).unwrap();
        assert!(is_nonblocking(shared));
        drop(chosen);
        assert!(!is_nonblocking(shared));
        drop(wrapper);
    }
    for own in [master, other] {
        let wrapper = FileWrapper::new(&own).unwrap();
        assert!(is_nonblocking(&own));
        drop(wrapper);
        assert!(!is_nonblocking(&own));
        let wrapper = FileWrapper::as_it_is(&own).unwrap();
        assert!(!is_nonblocking(&own));
        drop(wrapper);
    }
}

/// The user has stopped the terminal, or looks elsewhere: others are served meanwhile.
#[test]
fn output_to_a_terminal_that_takes_nothing_does_not_stop_the_loop() {
    if !alone::is_alone(
        output_to_a_terminal_that_takes_nothing_does_not_stop_the_loop,
        &["env"],
    ) {
        return;
    }
    let Some((_master, terminal)) = pseudo_terminal() else {
        return;
    };
    rustix::stdio::dup2_stdin(&terminal).unwrap();
    let mut map = ChannelMap::new().unwrap();
    let me = insert(&mut map, io::stdin(), &Log::default());
    map.get_mut(me).unwrap().endpoint.push(vec![b'x'; 100_000]);
    assert_rest(&mut map);
    assert!(map.get(me).unwrap().endpoint.queued() > 0);
    assert!(!is_nonblocking(&terminal), "it is the shell's as well");
}
