//! What a line costs in system calls, counted by `strace`.

#![cfg(target_os = "linux")] // for /proc

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Client, Server, has_tool, run, wait_until};

const CLIENTS: usize = 64;
const ROUNDS: usize = 50;
const CALLS: &str = "accept4,recvfrom,recvmsg,read,readv,sendto,sendmsg,write,writev,\
                     epoll_wait,epoll_pwait,epoll_pwait2,epoll_ctl";

#[test]
fn a_line_costs_one_recv_and_one_send_and_a_wait_two_epoll_ctl() {
    if !can_trace() {
        return;
    }
    let file = TraceFile::new("busy");
    let mut server = Server::start_traced("echo", &[], &format!("trace={CALLS}"), &file.0);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(server.addr)).collect();
    for round in 0..ROUNDS {
        for client in &mut clients {
            client.send(format!("round {round}\n"));
        }
        for client in &mut clients {
            client.expect(&format!("round {round}\n"));
        }
    }
    let descriptors = server.descriptors() - CLIENTS;
    drop(clients);
    server.wait_for_descriptors(descriptors);
    server.signal("TERM");
    assert!(server.wait().success());
    // The tracer ends after the traced.
    wait_until("the trace is written", || {
        file.text().contains("+++ exited with 0 +++")
    });

    // From the first connection to the signal.
    let text = file.text();
    let first = text.find("accept4(").expect("clients were accepted");
    let last = text.find("--- SIGTERM").expect("it was told to end");
    let calls: Vec<&str> = text[first..last].lines().collect();
    let count = |start: &str, end: &str| {
        let is_it = |line: &&&str| line.starts_with(start) && result(line).ends_with(end);
        calls.iter().filter(is_it).count()
    };
    let lines = CLIENTS * ROUNDS;
    let waits = count("epoll_wait", "") + count("epoll_pwait", "");
    let controls = |operation: &str| {
        let is_it = |line: &&&str| line.starts_with("epoll_ctl") && line.contains(operation);
        calls.iter().filter(is_it).count()
    };
    let (add, change, delete) = (
        controls("EPOLL_CTL_ADD"),
        controls("EPOLL_CTL_MOD"),
        controls("EPOLL_CTL_DEL"),
    );
    let (input, output) = (count("recv", ""), count("send", ""));
    println!(
        "{lines} lines: {input} in, {output} out, {waits} waits, \
         epoll_ctl {add} ADD {change} MOD {delete} DEL, {} accept4",
        count("accept4", "")
    );
    // One more for the end of each connection.
    assert_eq!(count("recvfrom", " 0"), CLIENTS);
    assert_eq!(input, lines + CLIENTS);
    assert_eq!(output, lines);
    // The poller empties its own two descriptors by reading.
    assert!(
        count("read", "") <= 2 * waits,
        "{} reads",
        count("read", "")
    );
    assert_eq!(count("write", ""), 0);
    // The section may begin and end between the two and their wait.
    assert!(
        change.abs_diff(2 * waits) <= 2,
        "{change} for {waits} waits"
    );
    assert_eq!((add, delete), (CLIENTS, CLIENTS));
    assert!(waits <= lines, "{waits} waits");
}

#[test]
fn a_signal_right_after_the_first_line_ends_it_with_status_0() {
    if !can_trace() {
        return;
    }
    let file = TraceFile::new("slow");
    // The first write is that of the first line: a slow machine.
    let slow = "inject=write:delay_exit=300000:when=1";
    let mut server = Server::start_traced("echo", &[], slow, &file.0);
    server.signal("TERM");
    let status = server.wait();
    assert!(status.success(), "{status}");
}

/// What a traced call returned, with the error's name if there was one.
pub(crate) fn result(line: &str) -> &str {
    line.rsplit_once(" = ")
        .map_or("", |(call, _)| &line[call.len() + 2..])
}

pub(crate) fn can_trace() -> bool {
    if !has_tool("strace") {
        return false;
    }
    let mut command = Command::new("strace");
    command.args(["-o", "/dev/null", "true"]);
    let (status, _, stderr) = run(command);
    if !status.success() {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: strace may not trace here: {stderr}"
        );
    }
    status.success()
}

/// A file for the trace, removed in the end.
pub(crate) struct TraceFile(pub(crate) PathBuf);

impl TraceFile {
    pub(crate) fn new(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        Self(directory.join(format!("{name}-{}", std::process::id())))
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(&self.0).expect("the tracer made it")
    }
}

impl Drop for TraceFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
