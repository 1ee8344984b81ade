//! The TCP forwarder and how connections end: halves, resets, refusals, signals.

#![cfg(target_os = "linux")] // for /proc

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::common::{Client, DEADLINE, Server, assert_rests, has_tool, python, run, wait_until};
use crate::forwarded::{PATTERN, expect, expect_end, fill, finish, pair, proxy, proxy_to, reset};

#[test]
fn a_half_that_is_closed_is_closed_on_the_other_side_and_the_other_goes_on() {
    let (proxy, target) = proxy();
    let before = proxy.descriptors();
    for is_client_first in [true, false] {
        let (client, server) = pair(&proxy, &target);
        let (first, second) = match is_client_first {
            true => (client, server),
            false => (server, client),
        };
        expect(&first, &second, b"all I have to say");
        finish(&first);
        expect_end(&second);
        for _ in 0..3 {
            expect(&second, &first, b"still here");
        }
        assert_rests(&proxy);
        expect(&second, &first, &PATTERN);
        finish(&second);
        expect_end(&first);
        // Nobody has closed yet but the proxy.
        proxy.wait_for_descriptors(before);
    }
}

#[test]
fn what_was_sent_before_an_end_comes_before_it() {
    let (proxy, target) = proxy();
    for is_client_first in [true, false] {
        let (client, server) = pair(&proxy, &target);
        let (first, second) = match is_client_first {
            true => (client, server),
            false => (server, client),
        };
        // The second to end finds the other way closed already.
        for (from, mut to) in [(&first, &second), (&second, &first)] {
            let sent = fill(from);
            finish(from);
            let mut got = 0;
            let mut buffer = vec![0; 4_096];
            loop {
                match to.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(len) => got += len as u64,
                    Err(error) => panic!("{error} after {got} bytes of {sent}"),
                }
            }
            assert_eq!(got, sent);
        }
    }
}

#[test]
fn a_refused_target_closes_the_client_with_a_line_in_the_log() {
    let (proxy, target) = proxy();
    let addr = target.local_addr().expect("it is bound");
    let before = proxy.descriptors();
    drop(target);
    for said in [&b""[..], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut client = TcpStream::connect(proxy.addr).expect("the proxy accepts");
        client.set_read_timeout(Some(DEADLINE)).expect("not zero");
        // An error says that it is closed already.
        let _ = client.write_all(said);
        match client.read(&mut [0; 16]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset && !said.is_empty() => {}
            other => panic!("{other:?}"),
        }
    }
    proxy.wait_for_descriptors(before);
    let complaint = format!("cannot connect to {addr}: Connection refused");
    wait_until("both are in the log", || {
        proxy.log().matches(&complaint).count() == 2
    });
    // The target comes back.
    let target = TcpListener::bind(addr).expect("the port is free again");
    let (client, server) = pair(&proxy, &target);
    expect(&client, &server, b"hello");
}

#[test]
fn a_reset_is_one_on_the_other_side_and_leaves_nothing_behind() {
    let (proxy, target) = proxy();
    let before = proxy.descriptors();
    for is_client in [true, false] {
        let (client, server) = pair(&proxy, &target);
        expect(&client, &server, b"hello");
        let rest = match is_client {
            true => {
                reset(client);
                server
            }
            false => {
                reset(server);
                client
            }
        };
        let error = (&rest).read(&mut [0; 16]).expect_err("it is no end");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        proxy.wait_for_descriptors(before);
    }
    // While it is stalled, the proxy does not read, and cannot tell yet.
    let (client, server) = pair(&proxy, &target);
    fill(&client);
    reset(client);
    assert_rests(&proxy);
    let mut rest = &server;
    let mut buffer = vec![0; 1 << 16];
    while rest.read(&mut buffer).is_ok_and(|len| len > 0) {}
    proxy.wait_for_descriptors(before);
    // The one who does not read is gone.
    let (client, server) = pair(&proxy, &target);
    fill(&client);
    drop(server);
    proxy.wait_for_descriptors(before);
    assert_rests(&proxy);
    drop(client);
    assert!(!proxy.log().contains("ERROR"), "{}", proxy.log());
}

#[test]
fn a_hundred_resets_of_python_leave_nothing_behind() {
    if !has_tool("python3") {
        return;
    }
    let echo = Server::start("echo");
    let proxy = proxy_to(echo.addr);
    Client::connect(proxy.addr).expect_echo("hello\n");
    let before = (proxy.descriptors(), echo.descriptors());
    let mut command = python("resets.py", proxy.addr);
    command.arg("100");
    let (status, stdout, stderr) = run(command);
    assert!(status.success(), "{stdout}{stderr}");
    proxy.wait_for_descriptors(before.0);
    echo.wait_for_descriptors(before.1);
    Client::connect(proxy.addr).expect_echo("hello\n");
}

#[test]
fn clients_that_are_gone_before_the_target_answers_cost_no_rest() {
    let target = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let addr = target.local_addr().expect("it is bound");
    // Connections beyond what may wait get no answer.
    let waiting: Vec<_> = (0..5_000)
        .map_while(|_| TcpStream::connect_timeout(&addr, Duration::from_millis(200)).ok())
        .collect();
    assert!(waiting.len() < 5_000, "any number may wait");
    let (proxy, mut ended) = (proxy_to(addr), proxy_to(addr));
    let before = proxy.descriptors();
    let [gone, done] = [(), ()].map(|()| TcpStream::connect(proxy.addr).expect("it accepts"));
    let _other = TcpStream::connect(ended.addr).expect("it accepts");
    wait_until("it connects", || proxy.descriptors() == before + 4);
    wait_until("it connects", || ended.descriptors() == before + 2);
    (&done).write_all(b"hello").expect("it is connected");
    drop(done);
    reset(gone);
    assert_rests(&proxy);
    assert!(
        !proxy.log().contains("everything was sent"),
        "{}",
        proxy.log()
    );
    // One that is told to end does not wait for it.
    let told = Instant::now();
    ended.signal("TERM");
    assert!(ended.wait().success());
    assert!(told.elapsed().as_secs() < 4, "{:?}", told.elapsed());
    // In the end it does come to something.
    drop(waiting);
    for stream in target.incoming().take(5_000) {
        let mut got = String::new();
        let mut stream = stream.expect("a connection");
        stream.set_read_timeout(Some(DEADLINE)).expect("not zero");
        if stream.read_to_string(&mut got).is_ok() && got == "hello" {
            break;
        }
    }
    // The one that was reset may be among those that wait.
    drop(target);
    proxy.wait_for_descriptors(before);
}

#[test]
fn what_it_has_read_at_sigterm_is_sent() {
    let (mut proxy, target) = proxy();
    let (client, mut server) = pair(&proxy, &target);
    let sent = fill(&client);
    let ends = [client.local_addr(), client.peer_addr()].map(|end| end.expect("connected"));
    let unread = queues(ends[0], ends[1]).0 + queues(ends[1], ends[0]).1;
    proxy.signal("TERM");
    proxy.wait_for_log("ending");
    let mut got = Vec::new();
    server.read_to_end(&mut got).expect("it ends");
    assert_eq!(got.len() as u64, sent - unread);
    assert!(proxy.wait().success());
}

/// Bytes in the kernel at one end of a connection: to be sent, and to be read.
fn queues(end: SocketAddr, peer: SocketAddr) -> (u64, u64) {
    let [end, peer] = [end, peer].map(|addr| format!(":{:04X}", addr.port()));
    let table = std::fs::read_to_string("/proc/net/tcp").expect("proc(5)");
    let mut lines = table.lines().map(|line| line.split_whitespace().collect());
    let line = lines.find(|line: &Vec<&str>| line[1].ends_with(&end) && line[2].ends_with(&peer));
    let (to_send, unread) = line
        .and_then(|line| line[4].split_once(':'))
        .expect("proc(5)");
    let number = |hex| u64::from_str_radix(hex, 16).expect("proc(5)");
    (number(to_send), number(unread))
}
