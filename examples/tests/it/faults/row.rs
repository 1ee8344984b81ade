//! One server, one kind of failure, and its clients.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::{Client, Server, example, wait_for_rest, wait_until};
use crate::syscalls::TraceFile;

use super::{At, Outcome};

/// Longer than every pause, and than a channel may go on that cannot send.
const PATIENCE: Duration = Duration::from_secs(6);

/// Far more waits than all the lines need, and far less than a loop makes that spins
/// for a moment. Of other calls there may be three for each.
const MOST_WAITS: usize = 120;

const WAITS: &str = "epoll_wait,epoll_pwait,epoll_pwait2";

/// What a server calls when nothing fails.
pub(super) struct Rehearsal {
    /// How many `epoll_ctl` there are before the first `accept4`.
    controls: usize,
    /// The name of the call that waits.
    wait: String,
}

impl Rehearsal {
    pub(super) fn new(name: &str) -> Self {
        let file = TraceFile::new(&format!("rehearsal-{name}"));
        let what = format!("trace=accept4,epoll_ctl,{WAITS}");
        let mut server = Server::start_traced("echo", &[], &what, &file.0);
        wait_for_rest(&server); // it says where it listens before it first waits
        Client::connect(server.addr).expect_echo("hello\n");
        end(&mut server, &file);
        let text = file.text();
        let before = text.split("accept4(").next().unwrap_or_default();
        let wait = before.lines().find(|line| is_wait(line));
        let wait = wait.and_then(|line| line.split('(').next());
        Self {
            controls: before.lines().filter(|line| is_control(line)).count(),
            wait: wait.expect("it waits").to_owned(),
        }
    }
}

fn is_wait(line: &str) -> bool {
    line.starts_with("epoll_") && !is_control(line)
}

fn is_control(line: &str) -> bool {
    line.starts_with("epoll_ctl(")
}

/// Has the server end, and its tracer; all that was logged before is there then.
fn end(server: &mut Server, file: &TraceFile) -> bool {
    server.signal("TERM");
    let is_success = server.wait().success();
    server.wait_for_log("ending;");
    wait_until("the trace is written", || {
        file.text().contains("+++ exited")
    });
    is_success
}

pub(super) struct Row<'r> {
    pub(super) name: String,
    pub(super) at: At,
    pub(super) error: &'static str,
    /// How many calls fail, one after the other.
    pub(super) calls: usize,
    pub(super) outcome: Outcome,
    /// What the web server serves.
    pub(super) root: &'r str,
    pub(super) rehearsal: &'r Rehearsal,
}

impl Row<'_> {
    /// Runs it; what is not as it should be.
    pub(super) fn run(&self) -> Result<(), String> {
        let file = TraceFile::new(&self.name);
        let mut server = Server::spawn(self.command(&file));
        wait_for_rest(&server);
        let outcome = match self.talk(server.addr) {
            Err(_) if self.outcome == Outcome::Ends => self.compare_end(&mut server),
            Ok(cut) => match end(&mut server, &file) {
                true => self.compare(cut, &server.log(), &file.text()),
                false => Err("it failed".to_owned()),
            },
            Err(failure) => {
                server.signal("KILL");
                Err(format!("{failure}; {}", server.wait()))
            }
        };
        outcome.map_err(|failure| format!("{failure}; log:\n{}", server.log()))
    }

    fn command(&self, file: &TraceFile) -> Command {
        let (call, first) = self.call();
        let last = first + self.calls - 1;
        let mut command = Command::new("strace");
        command.args(["-D", "-e", &format!("trace={WAITS},epoll_ctl,{call}")]);
        command.arg("-e");
        command.arg(format!(
            "inject={call}:error={}:when={first}..{last}",
            self.error
        ));
        command.arg("-o").arg(&file.0);
        command.env("RUST_LOG", "debug");
        if self.is_web() {
            command.arg(example("http").get_program());
            command.args(["--root", self.root]);
        } else {
            command.arg(example("echo").get_program());
        }
        command
    }

    fn compare_end(&self, server: &mut Server) -> Result<(), String> {
        let status = server.wait();
        server.wait_for_log(&format!("code: {}", number(self.error)));
        match status.code() {
            Some(1) => Ok(()),
            _ => Err(status.to_string()),
        }
    }

    /// Which call fails, and from which on.
    fn call(&self) -> (&str, usize) {
        match self.at {
            At::Call(name, nth) => (name, nth),
            At::Wait(nth) => (&self.rehearsal.wait, nth),
            At::Control(nth) => ("epoll_ctl", self.rehearsal.controls + nth),
        }
    }

    fn is_web(&self) -> bool {
        self.at == super::SEND_PIECES
    }

    /// A client, then another, that ask by turns, often enough for all that is to fail,
    /// and others until one is served. Returns how many were cut off.
    fn talk(&self, addr: SocketAddr) -> Result<usize, String> {
        let connect = || Asking::connect(addr, self.is_web());
        let mut clients = Vec::new();
        for _ in 0..2 {
            let mut client = connect()?;
            client.ask()?;
            clients.push(client);
        }
        for _ in 0..1 + self.calls {
            for client in &mut clients {
                client.ask()?;
            }
        }
        let mut cut = clients.iter().filter(|client| client.is_cut).count();
        loop {
            let mut later = connect()?;
            later.ask()?;
            if !later.is_cut {
                return Ok(cut);
            }
            cut += 1;
            if cut > self.calls {
                return Err("nobody is served any more".to_owned());
            }
        }
    }

    fn compare(&self, cut: usize, log: &str, trace: &str) -> Result<(), String> {
        let injected = trace.lines().filter(|line| line.contains("(INJECTED)"));
        let failed = injected.filter(|line| line.contains(self.error)).count();
        if failed < self.calls {
            return Err(format!("only {failed} calls failed"));
        }
        let waits = trace.lines().filter(|line| is_wait(line)).count();
        let (call, _) = self.call();
        let calls = trace.lines().filter(|line| line.starts_with(call)).count();
        if waits > MOST_WAITS || calls > 3 * MOST_WAITS {
            return Err(format!("it spun: {waits} waits, {calls} x {call}"));
        }
        let error = format!("(os error {})", number(self.error));
        let told = log.lines().filter(|line| line.contains(&error));
        let count = |what| told.clone().filter(|line| line.contains(what)).count();
        let ends = (cut, count(": closed: "), count("connection was dropped: "));
        let expected = match self.outcome {
            Outcome::Cut => (self.calls, self.calls, 0),
            Outcome::Refused => (1, 0, 1),
            Outcome::Served | Outcome::ServedLater => (0, 0, 0),
            Outcome::Ends => return Err("it goes on".to_owned()),
        };
        if ends != expected {
            return Err(format!(
                "cut off, closed, dropped: {ends:?}, not {expected:?}"
            ));
        }
        match self.outcome == Outcome::ServedLater && count("for now: ") == 0 {
            true => Err("the log does not have it".to_owned()),
            false => Ok(()),
        }
    }
}

impl fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at,
            error,
            calls,
            outcome,
            ..
        } = self;
        write!(f, "{calls} x {error} from {at:?} on, {outcome:?}")
    }
}

fn number(error: &str) -> i32 {
    match error {
        "EINTR" => libc::EINTR,
        "EAGAIN" => libc::EAGAIN,
        "ENOBUFS" => libc::ENOBUFS,
        "ENOMEM" => libc::ENOMEM,
        "EMFILE" => libc::EMFILE,
        "ENOSPC" => libc::ENOSPC,
        "EPROTO" => libc::EPROTO,
        other => panic!("{other}"),
    }
}

/// A client that may be cut off.
struct Asking {
    reader: BufReader<TcpStream>,
    is_of_web: bool,
    is_cut: bool,
}

impl Asking {
    fn connect(addr: SocketAddr, is_of_web: bool) -> Result<Self, String> {
        let stream = TcpStream::connect(addr).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        Ok(Self {
            reader: BufReader::new(stream),
            is_of_web,
            is_cut: false,
        })
    }

    /// Asks, unless it was cut off, and reads the answer; or finds that it is cut off.
    fn ask(&mut self) -> Result<(), String> {
        if self.is_cut {
            return Ok(());
        }
        let (request, end) = match self.is_of_web {
            true => ("GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n", "a text\n"),
            false => ("hello\n", "hello\n"),
        };
        self.is_cut = self.reader.get_ref().write_all(request.as_bytes()).is_err();
        let mut line = String::new();
        while line != end && !self.is_cut {
            line.clear();
            let asked = Instant::now();
            match self.reader.read_line(&mut line) {
                Ok(len) => self.is_cut = len == 0,
                Err(_) if asked.elapsed() >= PATIENCE => {
                    return Err("neither an answer nor an end".to_owned());
                }
                Err(_) => self.is_cut = true,
            }
        }
        Ok(())
    }
}
