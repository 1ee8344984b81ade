//! Ten thousand clients that say nothing, and those who come meanwhile.

#![cfg(target_os = "linux")] // for /proc

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use chat::SockRef;

use crate::common::{Client, Server, assert_rests, wait_for_rest, wait_until};

const SILENT: usize = 10_000;

/// The server has one end of each connection, and this process the other.
const DESCRIPTORS: usize = SILENT + 500;

/// Memory that clients who come and go may leave behind: a page or two of the allocator's.
const LEFT_KIB: u64 = 512;

/// How many this process may have, and so each process that it starts.
fn descriptors() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").expect("proc(5)");
    let mut lines = limits.lines();
    let line = lines.find_map(|line| line.strip_prefix("Max open files"));
    let mut numbers = line.expect("proc(5)").split_whitespace();
    numbers
        .nth(1)
        .and_then(|it| it.parse().ok())
        .unwrap_or(usize::MAX)
}

#[test]
fn ten_thousand_silent_connections_hold_up_no_new_client_and_cost_no_turn() {
    if descriptors() < DESCRIPTORS {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: `ulimit -n` is below {DESCRIPTORS}"
        );
        return;
    }
    let limit = u32::try_from(DESCRIPTORS).expect("it is small");
    let server = Server::start_limited("echo", limit);
    let few = server.usage();
    let silent: Vec<TcpStream> = (0..SILENT)
        .map(|_| {
            let client = TcpStream::connect(server.addr).expect("it accepts");
            // A reset at the end: no port stays taken for a minute.
            let reset = SockRef::from(&client).set_linger(Some(Duration::ZERO));
            reset.expect("it is a socket");
            client
        })
        .collect();
    wait_until("all are accepted", || server.descriptors() > SILENT);
    serve(&server, 100);
    assert_rests(&server);
    let full = server.usage();
    let each = (full.rss_kib - few.rss_kib) * 1024 / SILENT as u64;
    assert!(each < 1_024, "{each} bytes a silent connection");

    // New clients come and go, and leave nothing behind.
    serve(&server, 1_000);
    wait_for_rest(&server);
    let later = server.usage();
    assert!(
        later.rss_kib <= full.rss_kib + LEFT_KIB,
        "{full:?}, {later:?}"
    );
    assert_rests(&server);
    println!("{SILENT} silent connections: {each} bytes each; {full:?}, {later:?}");

    // They are there still: one of them speaks.
    let mut one = silent.last().expect("ten thousand");
    one.write_all(b"at last\n").expect("it is connected");
    let mut line = [0; 8];
    std::io::Read::read_exact(&mut one, &mut line).expect("it is answered");
    assert_eq!(&line, b"at last\n");
    drop(silent);
    wait_until("all are gone", || server.descriptors() < 50);
    server.end();
}

/// So many clients, each of which is answered.
fn serve(server: &Server, clients: usize) {
    for _ in 0..clients {
        Client::connect(server.addr).expect_echo("hello\n");
    }
}
