//! The example `mixed`: every kind of channel in one map, each reached.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::common::{Client, DEADLINE, Reaped, example};

struct Mixed {
    process: Reaped,
    stdin: ChildStdin,
    stdout: Receiver<String>,
    echo: SocketAddr,
    room: SocketAddr,
    udp: SocketAddr,
}

impl Mixed {
    fn start() -> Self {
        let mut process = Reaped(
            on_free_ports()
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("it starts"),
        );
        let stdin = process.0.stdin.take().expect("it is piped");
        let lines = BufReader::new(process.0.stdout.take().expect("it is piped")).lines();
        let (sender, stdout) = mpsc::channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
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

#[test]
fn the_command_line_lists_every_channel() {
    let mut mixed = Mixed::start();
    let mut member = Client::connect(mixed.room);
    member.send("here\n");
    assert_eq!(mixed.line(), "room: here");
    mixed.command("list");
    // Signals, two listeners, UDP, the client, its end and the member in the
    // room, and standard input, output and error.
    let listed: Vec<String> = (0..10).map(|_| mixed.line()).collect();
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
