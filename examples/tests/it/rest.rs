//! What costs no turn: silent, half-closed, reset and deaf peers, and data out
//! of band.

#![cfg(target_os = "linux")] // for /proc

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use crate::common::{Client, Reaped, Server, assert_rests, has_tool, python, run, wait_until};

#[test]
fn clients_that_say_nothing() {
    for name in ["echo", "chat"] {
        let server = Server::start(name);
        let mut clients: Vec<Client> = (0..100).map(|_| Client::connect(server.addr)).collect();
        for client in &mut clients[..50] {
            client.send("half a li");
        }
        assert_rests(&server);
        println!("100 clients, {name}: {:?}", server.usage());
    }
}

#[test]
fn unread_data_out_of_band() {
    if !has_tool("python3") {
        return;
    }
    let server = Server::start("echo");
    let script = python("out_of_band.py", server.addr)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut script = Reaped(script.expect("it is installed"));
    let mut stdin = script.0.stdin.take().expect("it is piped");
    let mut stdout = BufReader::new(script.0.stdout.take().expect("it is piped"));
    for stage in ["out of band", "as connections closed"] {
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it writes");
        assert_eq!(line, format!("{stage}\n"));
        assert_rests(&server);
        stdin.write_all(b"\n").expect("it reads");
    }
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("it writes");
    assert_eq!(rest, "");
    assert!(script.wait().success());
}

#[test]
fn peers_that_closed_their_half() {
    let server = Server::start("echo");
    let mut client = Client::connect(server.addr);
    client.expect_echo("hello\n");
    let descriptors = server.descriptors();
    // One has got everything, the other does not read what is queued for him.
    let mut done = Client::connect(server.addr);
    done.send("line\nhalf");
    done.finish();
    let mut deaf = Client::connect(server.addr);
    let line = [&[b'.'; 996][..], b"\n"].concat();
    let sent = deaf.fill(&server, &line);
    deaf.finish();
    assert_rests(&server);
    assert_eq!(server.descriptors(), descriptors + 1);
    assert_eq!(done.rest(), b"line\n");
    // All of his lines; what is left of the last has no end.
    assert_eq!(deaf.rest().len(), sent - sent % line.len());
    server.wait_for_descriptors(descriptors);
    assert_rests(&server);
}

#[test]
fn peers_that_reset_their_connection() {
    if !has_tool("python3") {
        return;
    }
    let server = Server::start("echo");
    let mut client = Client::connect(server.addr);
    client.expect_echo("hello\n");
    let descriptors = server.descriptors();
    let mut command = python("resets.py", server.addr);
    command.arg("30");
    let (status, stdout, stderr) = run(command);
    assert!(status.success(), "{stdout}{stderr}");
    // Closing with unread input resets, too: here, what the server is held
    // back by.
    let mut deaf = Client::connect(server.addr);
    deaf.fill(&server, b"0123456789abcde\n");
    drop(deaf);
    server.wait_for_descriptors(descriptors);
    assert_rests(&server);
    client.expect_echo("still here\n");
}

#[test]
fn a_peer_that_was_told_to_go_and_stays() {
    let server = Server::start("echo");
    let mut other = Client::connect(server.addr);
    other.expect_echo("hello\n");
    let descriptors = server.descriptors();
    let mut client = Client::connect(server.addr);
    client.send([b'x'; 65_537]);
    assert_eq!(client.rest(), b"");
    // For a while the server reads and drops what was on its way: closing at
    // once would reset the connection.
    for _ in 0..10 {
        client.send([b'x'; 1_000]);
        wait_until("it is read", || client.queues(&server).1 == 0);
    }
    // The server waits for him to close, but not for ever.
    assert_rests(&server);
    server.wait_for_descriptors(descriptors);
    drop(client);
}

#[test]
fn a_member_who_hears_nothing() {
    let server = Server::start("chat");
    let mut ann = Client::join(server.addr, "ann", &mut []);
    let mut deaf = Client::join(server.addr, "deaf", &mut [&mut ann]);
    let mut bob = Client::join(server.addr, "bob", &mut [&mut ann]);
    let before = server.usage();
    let line = [&[b'.'; 3_994][..], b"\n"].concat();
    let mut heard = "* bob joined\n".len();
    while server.usage().rss_kib < before.rss_kib + 512 {
        ann.send(line.repeat(16));
        bob.skip(16 * 4_000);
        heard += 16 * 4_000;
    }
    assert_rests(&server);
    // Half-closed, he is still to get what is queued for him.
    deaf.finish();
    assert_rests(&server);
    assert_eq!(deaf.rest().len(), heard);
    ann.expect("* deaf left\n");
    assert_rests(&server);
}

#[test]
fn the_end_of_a_server_with_a_deaf_client() {
    let mut server = Server::start("echo");
    let mut client = Client::connect(server.addr);
    client.fill(&server, b"0123456789abcde\n");
    server.signal("TERM");
    server.wait_for_log("ending");
    assert_rests(&server);
    assert!(server.wait().success());
}
