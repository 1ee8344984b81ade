//! Nobody reads what a program prints: it serves on, ends when it is told to, and counts
//! what it loses.

#![cfg(target_os = "linux")] // for /proc

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Client, DEADLINE, Reaped, Server, example, wait_until};
use crate::printing::Printing;
use crate::smtp::{connect, status, statuses};

/// What the README promises, and some time to notice it on a busy machine.
const END: Duration = Duration::from_secs(8);

/// A port that was free a moment ago.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound")
}

/// Both ends of a pipe into which nothing fits any more.
fn full_pipe(test: &str, is_nonblocking: bool) -> (File, File) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_file(&path); // of the last time
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.is_ok_and(|status| status.success()));
    // Such an end is a reader and a writer, and waits for neither.
    let reader = File::options().read(true).write(true).open(&path);
    let mut writer = File::options()
        .write(true)
        .open(&path)
        .expect("it is there");
    let mode = |writer: &File, nonblocking| {
        let writer = chat::SockRef::from(writer);
        writer.set_nonblocking(nonblocking).expect("it is open");
    };
    mode(&writer, true);
    while writer.write(&[b'~'; 512]).is_ok() {}
    mode(&writer, is_nonblocking);
    (reader.expect("as before"), writer)
}

/// The command of an example that serves at `addr`.
fn server(name: &str, addr: SocketAddr) -> Command {
    let mut command = example(name);
    command.args(["--listen", &addr.to_string()]);
    command.env("RUST_LOG", "info");
    match name {
        "proxy" => command.args(["--to", "127.0.0.1:9"]),
        "mixed" => command.args(["--room", "127.0.0.1:0", "--udp", "127.0.0.1:0"]),
        _ => &mut command,
    };
    command
}

fn kill(process: &Reaped) {
    let pid = process.0.id().to_string();
    let killed = Command::new("sh")
        .args(["-c", "kill -TERM \"$0\"", &pid])
        .status();
    assert!(killed.is_ok_and(|status| status.success()));
}

/// Each with standard output and error in one pipe, which nobody reads.
#[test]
fn every_server_serves_on_and_ends_within_five_seconds() {
    let names = ["echo", "chat", "http", "mixed", "smtpd", "proxy", "syslog"];
    let mut servers = Vec::new();
    for (number, name) in names.into_iter().enumerate() {
        let (reader, writer) = full_pipe(&format!("stuck_{name}"), number % 2 == 0);
        let addr = free();
        let child = server(name, addr)
            .stdin(Stdio::null())
            .stdout(writer.try_clone().expect("descriptors are left"))
            .stderr(writer)
            .spawn();
        servers.push((name, addr, Reaped(child.expect("it starts")), reader));
    }
    for (name, addr, ..) in &servers {
        match *name {
            "syslog" => continue, // which has no answer to give
            _ => wait_until("it listens", || TcpStream::connect(addr).is_ok()),
        }
        match *name {
            "echo" | "mixed" => Client::connect(*addr).expect_echo("to and fro\n"),
            "smtpd" => drop(connect(*addr)),
            "http" => {
                let mut client = Client::connect(*addr);
                client.send("GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n");
                client.expect("HTTP/1.1 200 OK\r\n");
            }
            _ => {}
        }
    }
    // The one that answers nothing has had the time by now.
    let told = Instant::now();
    for (_, _, process, _) in &servers {
        kill(process);
    }
    for (name, _, process, _) in &mut servers {
        let status = process.wait();
        assert!(status.success(), "{name}: {status}");
        assert!(told.elapsed() < END, "{name}: {:?}", told.elapsed());
    }
}

/// Nothing is left to be sent, and nobody to be waited for.
#[test]
fn a_server_without_a_client_ends_at_once() {
    for name in ["echo", "chat", "http", "mixed", "proxy", "smtpd", "syslog"] {
        let child = server(name, free())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut process = Reaped(child.expect("it starts"));
        let stdout = process.0.stdout.take().expect("it is piped");
        let mut stdout = BufReader::new(stdout);
        stdout.read_line(&mut String::new()).expect("where");
        let told = Instant::now();
        kill(&process);
        assert!(process.wait().success(), "{name}");
        let taken = told.elapsed();
        // A channel that lingers takes 2 s.
        assert!(taken < Duration::from_millis(1_500), "{name}: {taken:?}");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (_reader, writer) = full_pipe("stuck_twice", false);
    let addr = free();
    let child = server("echo", addr)
        .stdout(writer.try_clone().expect("descriptors are left"))
        .stderr(writer)
        .spawn();
    let mut process = Reaped(child.expect("it starts"));
    wait_until("it listens", || TcpStream::connect(addr).is_ok());
    kill(&process);
    wait_until("it ends", || TcpStream::connect(addr).is_err());
    assert!(process.0.try_wait().expect("it is our child").is_none());
    let told = Instant::now();
    kill(&process);
    let status = process.wait();
    assert_eq!(status.signal(), Some(15), "{status}");
    assert!(
        told.elapsed() < Duration::from_secs(3),
        "{:?}",
        told.elapsed()
    );
}

/// What is in a pipe, once it is read, with more that is written meanwhile.
fn read_until(reader: &mut impl BufRead, end: &str) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        assert!(
            reader.read_line(&mut line).expect("UTF-8") > 0,
            "no {end:?}"
        );
        assert!(line.ends_with('\n'), "{line:?}");
        lines.push(line.trim_end().to_owned());
        if lines.last().is_some_and(|line| line.contains(end)) {
            return lines;
        }
    }
}

/// 1 MiB waits; then lines are lost, and the log says how many.
#[test]
fn a_log_that_nobody_reads_costs_no_answer_and_the_loss_is_told() {
    const REQUESTS: usize = 30_000;

    let addr = free();
    let child = server("http", addr)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut process = Reaped(child.expect("it starts"));
    let reader = process.0.stderr.take().expect("it is piped");
    wait_until("it listens", || TcpStream::connect(addr).is_ok());
    let mut client = Client::connect(addr);
    for _ in 0..REQUESTS / 100 {
        client.send("GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100));
        for _ in 0..100 {
            while client.line() != b"\r\n" {}
            client.skip("Hello, World!".len());
        }
    }
    let mut reader = BufReader::new(reader);
    let lines = read_until(&mut reader, "records were lost");
    let last = lines.last().expect("that one");
    let lost = last
        .split("standard error: ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let lost: usize = lost.and_then(|lost| lost.parse().ok()).expect("a number");
    let logged = lines
        .iter()
        .filter(|line| line.contains("/plaintext"))
        .count();
    assert!(logged > 5_000, "{logged}");
    assert_eq!(logged + lost, REQUESTS);
    kill(&process);
    read_until(&mut reader, "ending");
    assert!(process.wait().success());
}

/// No message is printed in part, and none is answered with 250 and not printed.
#[test]
fn a_message_is_printed_whole_or_refused() {
    let mut server = server("smtpd", "127.0.0.1:0".parse().expect("an address"));
    let child = server.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut process = Reaped(child.expect("it starts"));
    let mut stdout = BufReader::new(process.0.stdout.take().expect("it is piped"));
    let mut first = String::new();
    stdout.read_line(&mut first).expect("a first line");
    let addr = first.trim_end().rsplit(' ').next().expect("where");
    let mut client = connect(addr.parse().expect("an address"));
    client.send("HELO me\r\n");
    assert_eq!(status(&mut client), 250);
    let body = format!("{}\r\n", "x".repeat(78)).repeat(1_250); // 100 kB
    let mut answers = Vec::new();
    for number in 0..30 {
        client.send("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
        assert_eq!(statuses(&mut client, 3), [250, 250, 354]);
        client.send(format!("message {number}\r\n{body}.\r\n"));
        answers.push(status(&mut client));
    }
    let taken = answers.iter().filter(|answer| **answer == 250).count();
    assert!((8..25).contains(&taken), "{answers:?}");
    assert_eq!(
        answers.iter().filter(|answer| **answer == 451).count(),
        30 - taken
    );
    // As soon as it is read, messages are taken again.
    for number in 0..taken {
        let lines = read_until(&mut stdout, "==== end of message");
        assert!(lines[0].starts_with("==== message from"));
        assert!(lines.contains(&format!("| message {number}")));
        assert_eq!(
            lines.iter().filter(|line| line.contains("xxxx")).count(),
            1_250
        );
    }
    let mut log = BufReader::new(process.0.stderr.take().expect("it is piped"));
    let lines = read_until(&mut log, "records were lost");
    let told = format!("standard output: {} records", 30 - taken);
    assert!(lines.iter().any(|line| line.contains(&told)), "{lines:?}");
    client.send("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nthe last\r\n.\r\n");
    assert_eq!(statuses(&mut client, 4), [250, 250, 354, 250]);
    let lines = read_until(&mut stdout, "==== end of message");
    assert!(lines.contains(&"| the last".to_owned()));
}

/// As under inetd, or in a terminal: one open file is input and output.
#[test]
fn commands_and_answers_go_through_one_socket() {
    const COMMANDS: usize = 3_000;

    let (ours, theirs) = UnixStream::pair().expect("descriptors are left");
    ours.set_read_timeout(Some(DEADLINE)).expect("not zero");
    let end = || Stdio::from(OwnedFd::from(theirs.try_clone().expect("as before")));
    // Some wait when the program starts: its output must not take them.
    let mut writer = ours.try_clone().expect("as before");
    let early = b"what\n".repeat(COMMANDS / 2);
    writer.write_all(&early).expect("there is room");
    let mut command = server("mixed", "127.0.0.1:0".parse().expect("an address"));
    let child = command
        .stdin(end())
        .stdout(end())
        .stderr(Stdio::null())
        .spawn();
    let mut process = Reaped(child.expect("it starts"));
    drop((command, theirs));
    let mut reader = BufReader::new(ours);
    read_until(&mut reader, "receiving on");
    let writing = std::thread::spawn(move || writer.write_all(&early));
    for _ in 0..COMMANDS {
        read_until(&mut reader, "list, say TEXT, or quit");
    }
    writing.join().expect("no panic").expect("it reads");
    kill(&process);
    assert!(process.wait().success());
}

/// A file takes everything, and no poller has to say when.
#[test]
fn output_to_a_file_is_whole() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stuck_file");
    let file = File::create(&path).expect("a file can be made");
    let addr = free();
    let child = server("smtpd", addr)
        .stdout(file)
        .stderr(Stdio::null())
        .spawn();
    let mut process = Reaped(child.expect("it starts"));
    wait_until("it listens", || TcpStream::connect(addr).is_ok());
    let mut client = connect(addr);
    client.send("HELO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n");
    assert_eq!(statuses(&mut client, 6), [250, 250, 250, 354, 250, 221]);
    kill(&process);
    assert!(process.wait().success());
    let mut text = String::new();
    File::open(&path)
        .and_then(|mut file| file.read_to_string(&mut text))
        .expect("it is there");
    let expected = format!("listening on {addr}\n==== message from 127.0.0.1:");
    assert!(text.starts_with(&expected), "{text}");
    assert!(text.ends_with("| hello\n==== end of message\n"), "{text}");
}

/// As far as there is room, which a limit takes the place of here. The rest is refused,
/// and never answered with 250 (cosullivan/SmtpServer's #6).
#[test]
fn a_message_that_does_not_fit_on_the_disk_is_refused() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stuck_full_disk");
    let file = File::create(&path).expect("a file can be made");
    let addr = free();
    let server = server("smtpd", addr);
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "sh"])
        .arg(server.get_program())
        .args(server.get_args())
        .stdout(file)
        .stderr(Stdio::piped())
        .spawn();
    let mut process = Reaped(child.expect("it starts"));
    wait_until("it listens", || TcpStream::connect(addr).is_ok());
    let mut client = connect(addr);
    client.send("HELO me\r\n");
    assert_eq!(status(&mut client), 250);
    let mut answers = Vec::new();
    for _ in 0..8 {
        client.send("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
        assert_eq!(statuses(&mut client, 3), [250, 250, 354]);
        client.send(format!("{}\r\n.\r\n", "x".repeat(12_000)));
        answers.push(status(&mut client));
    }
    kill(&process);
    process.wait();
    let text = fs::read_to_string(&path).expect("it is there");
    let printed = text.matches("==== end of message").count();
    let taken = answers.iter().filter(|answer| **answer == 250).count();
    assert_eq!(printed, taken, "{answers:?}");
    assert!((2..8).contains(&taken), "{answers:?}");
    let mut log = String::new();
    let mut stderr = process.0.stderr.take().expect("it is piped");
    stderr.read_to_string(&mut log).expect("UTF-8");
    assert!(log.contains("nothing more can be printed"), "{log}");
}

/// The reader of a server's first line goes; the server does not mind.
#[test]
fn a_server_outlives_the_reader_of_its_output() {
    let server = Server::start("echo");
    Client::connect(server.addr).expect_echo("still there\n");
    let printing = Printing::start("smtpd", &[]);
    let mut client = connect(printing.addr);
    client.send("NOOP\r\n");
    assert_eq!(status(&mut client), 250);
}
