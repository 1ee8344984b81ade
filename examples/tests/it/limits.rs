//! What a peer may cost, and what the server does without descriptors.

#![cfg(target_os = "linux")] // for /proc

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Client, Server, wait_until};

const MIB: usize = 1024 * 1024;

#[test]
fn a_line_of_65536_bytes_comes_back_and_one_more_byte_ends_the_channel() {
    let server = Server::start("echo");
    let mut client = Client::connect(server.addr);
    let longest = [&[b'x'; 65_536][..], b"\n"].concat();
    client.send(&longest);
    assert!(client.line() == longest);
    client.send("short\n");
    client.send([b'x'; 65_537]);
    client.expect("short\n");
    assert_eq!(client.rest(), b"");
    server.wait_for_log("closed: too much input");
    assert_eq!(server.log().lines().count(), 1, "{}", server.log());
}

#[test]
fn a_gibibyte_without_a_newline_ends_its_channel_at_flat_memory() {
    let server = Server::start("echo");
    let mut other = Client::connect(server.addr);
    other.expect_echo("before\n");
    let before = server.usage();
    let noise = vec![b'x'; 4 * MIB];
    // It is cut off long before; so it comes again, until a gibibyte is sent.
    let mut sent = 0;
    let mut attempts = 0;
    while sent < 1024 * MIB {
        let client = Client::connect(server.addr);
        let error = loop {
            assert!(sent < 2048 * MIB, "nobody cuts it off");
            match client.stream().write(&noise) {
                Ok(len) => sent += len,
                Err(error) => break error.kind(),
            }
        };
        let is_cut_off = matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
        assert!(is_cut_off, "{error}");
        attempts += 1;
        other.expect_echo("meanwhile\n");
    }
    let after = server.usage();
    println!("{attempts} attempts; before {before:?}, after {after:?}");
    let closed = || server.log().matches("closed: too much input").count();
    wait_until("each attempt is in the log", || closed() == attempts);
    assert_eq!(server.log().lines().count(), attempts, "{}", server.log());
    assert!(
        after.peak_kib < before.peak_kib + 1024,
        "{before:?} {after:?}"
    );
    other.expect_echo("after\n");
}

#[test]
fn a_long_nick_and_many_empty_lines_flood_nobody_out_of_the_room() {
    let server = Server::start("chat");
    let mut ann = Client::join(server.addr, "ann", &mut []);
    let mut bob = Client::join(server.addr, "bob", &mut [&mut ann]);
    let mut flood = Client::connect(server.addr);
    flood.send([&[b'n'; 4_000][..], &[b'\n'; 16 * 1024]].concat());
    // However the server takes it, ann has read nothing when it is over.
    let mut stream = flood.stream();
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
    drop(flood);
    bob.send("still here\n");
    let mut heard = ann.line();
    while heard != b"bob: still here\n" {
        assert_ne!(heard, b"", "ann was dropped; log:\n{}", server.log());
        heard = ann.line();
    }
}

#[test]
fn at_its_descriptor_limit_it_neither_spins_nor_loses_its_listener() {
    let server = Server::start_limited("echo", 64);
    let mut clients: Vec<Client> = (0..300).map(|_| Client::connect(server.addr)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("client {number}\n"));
    }
    server.wait_for_log("cannot accept");
    let limit = server.descriptors();
    let before = server.usage();
    thread::sleep(Duration::from_secs(1));
    let after = server.usage();
    println!("at the limit {before:?}, a second later {after:?}");
    assert!(after.ticks - before.ticks <= 3, "{before:?} {after:?}");
    assert!(after.sleeps - before.sleeps <= 12, "{before:?} {after:?}");
    assert!(server.log().lines().count() <= 2, "{}", server.log());

    // Those who are in go on, and when they leave, the next are served: in the
    // order they came, within a second.
    let mut slowest = Duration::ZERO;
    let mut freed = Instant::now();
    for (number, mut client) in clients.drain(..).enumerate() {
        client.expect(&format!("client {number}\n"));
        slowest = slowest.max(freed.elapsed());
        client.expect_echo("still here\n");
        drop(client);
        freed = Instant::now();
    }
    server.wait_for_descriptors(limit - 50);
    println!("the slowest was served after {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    Client::connect(server.addr).expect_echo("at last\n");
}
