//! The TCP forwarder: bytes, both ways, and readers that are slow.

#![cfg(target_os = "linux")] // for /proc

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use chat::SockRef;

use crate::common::{Client, Server, assert_rests, example, run, wait_until};
use crate::forwarded::{PATTERN, expect, expect_end, fill, finish, pair, proxy, proxy_to};
use crate::http::{Answer, Site};

#[test]
fn bytes_go_both_ways_as_they_come() {
    let (proxy, target) = proxy();
    let (client, server) = pair(&proxy, &target);
    let all: Vec<u8> = (0..=255).collect();
    for data in [&b"a"[..], b"\r\n", b"\0", &all, &PATTERN[..60_000]] {
        expect(&client, &server, data);
        expect(&server, &client, data);
    }
    // The server may speak first, and several connections do not mix.
    let others: Vec<_> = (0..10).map(|_| pair(&proxy, &target)).collect();
    for (number, (client, server)) in others.iter().enumerate() {
        expect(server, client, format!("hello {number}").as_bytes());
    }
    for (number, (client, server)) in others.iter().enumerate().rev() {
        expect(client, server, format!("hello to you {number}").as_bytes());
    }
}

#[test]
fn a_stalled_reader_stops_its_writer_and_nobody_else() {
    let (proxy, target) = proxy();
    let (client, server) = pair(&proxy, &target);
    let (other_client, other_server) = pair(&proxy, &target);
    let mut sent = 0;
    for (from, to) in [(&client, &server), (&server, &client)] {
        sent = fill(from);
        assert_rests(&proxy);
        // Nor is the other way of the same connection, unless it was filled.
        if from.local_addr().ok() == client.local_addr().ok() {
            expect(to, from, b"the other way");
        }
        expect(&other_client, &other_server, b"hello");
        expect(&other_server, &other_client, &PATTERN);
    }
    assert!(sent > 65_536, "{sent} bytes");
    assert!(proxy.usage().peak_kib < 16 * 1024, "{:?}", proxy.usage());
    // The reader goes on, and so does the writer.
    let mut got = vec![0; usize::try_from(sent).expect("it is in memory")];
    let mut client = &client;
    client.read_exact(&mut got).expect("all that was sent");
    expect(&server, client, b"and on");
}

#[test]
fn a_gibibyte_goes_each_way_at_once_through_slow_readers_in_little_memory() {
    let (proxy, target) = proxy();
    let (client, server) = pair(&proxy, &target);
    thread::scope(|scope| {
        for (from, to) in [(&client, &server), (&server, &client)] {
            scope.spawn(move || carry(from, to));
        }
    });
    expect_end(&client);
    expect_end(&server);
    let peak = proxy.usage().peak_kib;
    println!("VmHWM: {peak} KiB");
    assert!(peak < 16 * 1024, "{peak} KiB");
}

/// Sends a gibibyte from one end to the other, which stops reading now and
/// then, until the sender cannot go on.
fn carry(mut from: &TcpStream, mut to: &TcpStream) {
    const LEN: u64 = 1 << 30;
    const STOP: u64 = 1 << 28;
    let sent = AtomicU64::new(0);
    thread::scope(|scope| {
        let sent = &sent;
        scope.spawn(move || {
            while sent.load(Ordering::Relaxed) < LEN {
                from.write_all(&PATTERN).expect("it is read");
                sent.fetch_add(PATTERN.len() as u64, Ordering::Relaxed);
            }
            finish(from);
        });
        let mut got = vec![0; PATTERN.len()];
        for at in (0..LEN).step_by(PATTERN.len()) {
            if at % STOP == 0 {
                let (mut last, mut vain) = (0, 0);
                wait_until("the writer is held back", || {
                    let now = sent.load(Ordering::Relaxed);
                    vain = if now == last && now > at { vain + 1 } else { 0 };
                    last = now;
                    vain == 10
                });
                // The system may keep some 70 MiB of the two connections (`tcp_rmem`).
                assert!(last < at + STOP / 2, "{last} bytes sent, {at} read");
            }
            to.read_exact(&mut got).expect("it is forwarded");
            assert!(got == PATTERN, "other bytes at {at}");
        }
    });
}

#[test]
fn two_hundred_connections_of_the_web_server_go_through_it() {
    let site = Site::new("proxied");
    let text: Vec<u8> = PATTERN.repeat(3);
    std::fs::write(site.root.join("large"), &text).expect("a file can be made");
    let http = site.serve();
    let proxy = proxy_to(http.addr);
    let before = (proxy.descriptors(), http.descriptors());
    let mut clients: Vec<_> = (0..200).map(|_| Client::connect(proxy.addr)).collect();
    wait_until("all are connected", || {
        proxy.descriptors() == before.0 + 400 && http.descriptors() == before.1 + 200
    });
    for path in ["/a.txt", "/large", "/plaintext"] {
        for client in &mut clients {
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        }
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
             Content-Length: 4\r\n\r\n{number:04}"
        ));
    }
    for (number, mut client) in clients.into_iter().enumerate() {
        let answers = client.rest();
        let mut rest = &answers[..];
        let echo = format!("{number:04}");
        for body in [b"a text\n", &text[..], b"Hello, World!", echo.as_bytes()] {
            let answer = Answer::take(&mut rest, false).expect("an answer");
            assert!((answer.status, answer.body) == (200, body), "{number}");
        }
        assert_eq!(rest, b"");
    }
    proxy.wait_for_descriptors(before.0);
    http.wait_for_descriptors(before.1);
    assert!(proxy.usage().peak_kib < 32 * 1024, "{:?}", proxy.usage());
}

#[test]
fn of_several_addresses_it_connects_to_the_first_that_listens() {
    let listen = || TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let [dead, first, second] = [listen(), listen(), listen()];
    let addrs = [&dead, &first, &second].map(|listener| {
        let addr = listener.local_addr().expect("it is bound");
        addr.to_string()
    });
    drop(dead);
    let proxy = Server::start_with("proxy", &["--to", &addrs.join(",")]);
    let (client, server) = pair(&proxy, &first);
    expect(&client, &server, b"hello");
    expect(&server, &client, b"hello to you");
    // It may have ended since: each connection finds out.
    drop(first);
    let (client, server) = pair(&proxy, &second);
    expect(&client, &server, b"hello");
    expect(&server, &client, b"hello to you");
    // Nobody is left.
    drop(second);
    expect_end(&TcpStream::connect(proxy.addr).expect("the proxy accepts"));
    proxy.wait_for_log(&format!("cannot connect to {}: ", addrs.join(",")));
}

/// http-proxy-3's #48: nobody says that such an address is none, and the system tries for
/// two minutes.
#[test]
fn an_address_that_does_not_answer_is_passed_over() {
    let deaf = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    SockRef::from(&deaf).listen(0).expect("it is bound"); // with a queue that is soon full
    let addr = deaf.local_addr().expect("it is bound");
    let connect = || TcpStream::connect_timeout(&addr, Duration::from_millis(300)).ok();
    let queue: Vec<TcpStream> = std::iter::from_fn(connect).take(10).collect();
    assert!(queue.len() < 10, "the system has dropped nothing");

    let target = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let good = target.local_addr().expect("it is bound");
    let proxy = Server::start_with("proxy", &["--to", &format!("{addr},{good}")]);
    let (client, server) = pair(&proxy, &target);
    expect(&client, &server, b"hello");
    expect(&server, &client, b"hello to you");

    let proxy = Server::start_with("proxy", &["--to", &addr.to_string()]);
    let before = proxy.descriptors();
    expect_end(&TcpStream::connect(proxy.addr).expect("the proxy accepts"));
    proxy.wait_for_log(&format!("cannot connect to {addr}: "));
    proxy.wait_for_descriptors(before);
}

#[test]
fn all_addresses_of_a_name_are_tried() {
    let addrs = ("localhost", 0).to_socket_addrs().expect("it has one");
    let Some(last) = addrs.map(|addr| addr.ip()).skip(1).last() else {
        let _ = writeln!(std::io::stderr(), "skipped: localhost has one address");
        return;
    };
    let target = TcpListener::bind((last, 0)).expect("a port is free");
    let port = target.local_addr().expect("it is bound").port();
    let proxy = Server::start_with("proxy", &["--to", &format!("localhost:{port}")]);
    let (client, server) = pair(&proxy, &target);
    expect(&client, &server, b"hello");
}

#[test]
fn a_target_that_is_missing_or_none_ends_it_and_says_so() {
    for (options, code, complaint) in [
        (&[][..], 2, "missing option '--to'"),
        (&["--to", "nonsense"], 1, "cannot forward to nonsense"),
        (&["--to", "127.0.0.1"], 1, "cannot forward to 127.0.0.1"),
        (
            &["--to", "127.0.0.1:1,"],
            1,
            "cannot forward to 127.0.0.1:1,",
        ),
    ] {
        let mut command = example("proxy");
        command.args(options).args(["--listen", "127.0.0.1:0"]);
        let (status, stdout, stderr) = run(command);
        assert_eq!(status.code(), Some(code), "{options:?}: {stderr}");
        assert_eq!(stdout, "");
        assert!(stderr.contains(complaint), "{stderr}");
    }
}
