//! The example `mixed`: every kind of channel in one map, each reached.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::common::{Client, DEADLINE, Reaped, example, forge_own};

struct Mixed {
    process: Reaped,
    stdin: ChildStdin,
    stdout: Receiver<String>,
    log: Receiver<String>,
    echo: SocketAddr,
    room: SocketAddr,
    udp: SocketAddr,
}

impl Mixed {
    fn start() -> Self {
        let mut process = Reaped(
            on_free_ports()
                .env("RUST_LOG", "mixed=debug")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("it starts"),
        );
        let stdin = process.0.stdin.take().expect("it is piped");
        let stdout = lines(process.0.stdout.take().expect("it is piped"));
        let log = lines(process.0.stderr.take().expect("it is piped"));
        let address = || {
            let line: String = stdout.recv_timeout(DEADLINE).expect("it says where");
            let address = line.rsplit(' ').next().expect("a last word");
            address.parse().expect("an address")
        };
        let (echo, room, udp) = (address(), address(), address());
        Self {
            process,
            stdin,
            stdout,
            log,
            echo,
            room,
            udp,
        }
    }

    fn command(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").expect("it reads");
    }

    fn line(&self) -> String {
        self.stdout.recv_timeout(DEADLINE).expect("a line")
    }
}

/// What a pipe says, read as it comes.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}

fn on_free_ports() -> Command {
    let mut command = example("mixed");
    for option in ["--listen", "--room", "--udp"] {
        command.args([option, "127.0.0.1:0"]);
    }
    command
}

#[test]
fn echo_and_datagrams_and_the_room_run_in_one_loop() {
    let mut mixed = Mixed::start();
    let mut echo = Client::connect(mixed.echo);
    echo.send("to and fro\n");
    echo.expect("to and fro\n");

    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    udp.set_read_timeout(Some(DEADLINE)).expect("not zero");
    udp.send_to(b"a datagram", mixed.udp).expect("it is sent");
    let mut buffer = [0; 64];
    let (len, from) = udp.recv_from(&mut buffer).expect("it comes back");
    assert_eq!((&buffer[..len], from), (&b"a datagram"[..], mixed.udp));

    let mut member = Client::connect(mixed.room);
    member.send("good evening\n");
    assert_eq!(mixed.line(), "room: good evening");
    mixed.command("say welcome");
    member.expect("welcome\n");
    mixed.command("quit");
    assert!(mixed.process.wait().success());
}

/// An answer to it would come to the program itself, or to another echo on the same port,
/// and be answered there.
#[test]
fn a_datagram_from_its_own_port_is_not_answered_and_the_log_says_so() {
    let mixed = Mixed::start();
    let mut senders = Vec::new();
    // Of another address, too: its port is the reason.
    let other = UdpSocket::bind(("127.0.0.2", mixed.udp.port())).expect("it is free");
    other.send_to(b"as another", mixed.udp).expect("it is sent");
    senders.push(other.local_addr().expect("it is bound"));
    if forge_own(mixed.udp, "as itself") {
        senders.push(mixed.udp);
    }
    for sender in senders {
        let line = mixed.log.recv_timeout(DEADLINE).expect("it says so");
        let reason = format!("nothing sent to {sender}: that is our own port");
        assert!(line.contains(&reason), "{line}");
    }

    // Whatever it had sent itself would have come before this.
    let client = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    client.set_read_timeout(Some(DEADLINE)).expect("not zero");
    client
        .send_to(b"a datagram", mixed.udp)
        .expect("it is sent");
    let (len, _) = client.recv_from(&mut [0; 64]).expect("it comes back");
    assert_eq!(len, 10);
    assert!(mixed.log.try_recv().is_err());
    other.set_nonblocking(true).expect("it is a socket");
    assert!(other.recv_from(&mut [0; 64]).is_err());
}

#[test]
fn no_member_of_the_room_has_power_over_anothers_terminal() {
    let mixed = Mixed::start();
    let mut ann = Client::connect(mixed.room);
    ann.send("here\n");
    assert_eq!(mixed.line(), "room: here");
    let mut bob = Client::connect(mixed.room);
    bob.send("gr\u{fc}\u{df}e\r\n\x1b[2J\u{9b}2K\u{202e}a\rb\n");
    bob.send(b"\xff\n");
    for line in [
        "gr\u{fc}\u{df}e",
        "\\u{1b}[2J\\u{9b}2K\\u{202e}a\\rb",
        "\\xff",
    ] {
        ann.expect(&format!("{line}\n"));
        assert_eq!(mixed.line(), format!("room: {line}"));
    }
    // What fits into no line once it is escaped costs its speaker the room, and nobody else.
    bob.send([&[0x7f; 60_000][..], b"\n"].concat());
    assert_eq!(bob.rest(), b"");
    ann.send([&[0x7f; 4_096][..], b"\n"].concat());
    assert_eq!(mixed.line(), format!("room: {}", "\\u{7f}".repeat(4_096)));
}

#[test]
fn the_command_line_lists_every_channel() {
    let mut mixed = Mixed::start();
    let mut member = Client::connect(mixed.room);
    member.send("here\n");
    assert_eq!(mixed.line(), "room: here");
    mixed.command("list");
    // Two signals, two listeners, UDP, the client, its end and the member in the
    // room, and standard input, output and error.
    let listed: Vec<String> = (0..11).map(|_| mixed.line()).collect();
    let count = |part: &str| listed.iter().filter(|line| line.contains(part)).count();
    assert_eq!(count("Listener"), 2, "{listed:#?}");
    assert_eq!(count("UdpEcho"), 1);
    assert_eq!(count("mixed::Client"), 1);
    assert_eq!(count("AsyncChat { handler: mixed::Member"), 2);
    assert_eq!(count("standard input"), 1);
    mixed.command("what");
    assert_eq!(mixed.line(), "list, say TEXT, or quit");
    mixed.command("quit");
    assert!(mixed.process.wait().success());
}

/// It cannot be polled; the rest goes on.
#[test]
fn a_standard_input_that_is_no_pipe_costs_the_command_line_only() {
    let mut process = Reaped(
        on_free_ports()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts"),
    );
    let mut log = BufReader::new(process.0.stderr.take().expect("it is piped"));
    let mut line = String::new();
    log.read_line(&mut line).expect("it says so");
    assert!(line.contains("no commands are read"), "{line}");
    let stdout = BufReader::new(process.0.stdout.take().expect("it is piped"));
    let first = stdout.lines().next().expect("a first line").expect("text");
    let address = first.rsplit(' ').next().expect("a last word");
    let mut echo = Client::connect(address.parse().expect("an address"));
    echo.send("still here\n");
    echo.expect("still here\n");
}
