//! What a server makes of system calls that fail, of each kind in turn: `strace` has
//! them fail. A failure that passes costs nobody anything; one that does not costs the
//! channel it happens to, with a line in the log, and nobody else. The server
//! does not spin meanwhile, and goes on.

#![cfg(target_os = "linux")]

mod row;

use std::thread;

use crate::http::Site;
use crate::syscalls::can_trace;
use row::{Rehearsal, Row};

/// Where the failures begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At the nth call of this name.
    Call(&'static str, usize),
    /// At the nth wait, whatever the poller calls for that.
    Wait(usize),
    /// At so many `epoll_ctl` after the one that follows the wait that reports the
    /// first client.
    Control(usize),
}

/// The listener's second client; before it is the `accept4` that says that there was
/// one only.
const ACCEPT: At = At::Call("accept4", 3);

/// The first client's second line; its own and another's come before.
const RECEIVE: At = At::Call("recvfrom", 3);

/// The first client's second answer.
const SEND: At = At::Call("sendto", 3);

/// The same of the web server, which sends a file behind a head: two calls each.
const SEND_PIECES: At = At::Call("sendmsg", 5);

const WAIT: At = At::Wait(3);

/// `EPOLL_CTL_ADD` of the first client.
const ADD: At = At::Control(1);

/// The poller's own, for its timer and its notifier.
const TIMER: At = At::Control(2);
const NOTIFIER: At = At::Control(3);

/// What becomes of the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Every line is answered.
    Served,
    /// The same, and the log tells of the failure.
    ServedLater,
    /// Each call that fails ends its channel with that error.
    Cut,
    /// The first client is dropped when it is accepted, with that error.
    Refused,
    /// The program ends with that error.
    Ends,
}

use Outcome::{Cut, Ends, Refused, Served, ServedLater};

/// Which call fails, how, how often, and what becomes of that.
type Case = (At, &'static str, &'static [usize], Outcome);

const ACCEPTING: [Case; 7] = [
    (ACCEPT, "EINTR", &[1, 10], Served),
    (ACCEPT, "EAGAIN", &[1, 10], Served),
    (ACCEPT, "ENOBUFS", &[1, 4], ServedLater),
    (ACCEPT, "ENOMEM", &[1, 4], ServedLater),
    (ACCEPT, "EMFILE", &[1, 4], ServedLater),
    (ACCEPT, "ENOSPC", &[1, 4], ServedLater),
    (ACCEPT, "EPROTO", &[1, 4], ServedLater),
];

const RECEIVING: [Case; 7] = [
    (RECEIVE, "EINTR", &[1, 10], Served),
    (RECEIVE, "EAGAIN", &[1, 10], Served),
    (RECEIVE, "ENOBUFS", &[1, 4], Served),
    (RECEIVE, "ENOMEM", &[1, 4], Served),
    (RECEIVE, "EMFILE", &[1, 4], Cut),
    (RECEIVE, "ENOSPC", &[1, 4], Cut),
    (RECEIVE, "EPROTO", &[1, 4], Cut),
];

const SENDING: [Case; 14] = [
    (SEND, "EINTR", &[1, 10], Served),
    (SEND, "EAGAIN", &[1, 10], Served),
    (SEND, "ENOBUFS", &[1, 4], Served),
    (SEND, "ENOMEM", &[1, 4], Served),
    (SEND, "EMFILE", &[1, 2], Cut),
    (SEND, "ENOSPC", &[1, 2], Cut),
    (SEND, "EPROTO", &[1, 2], Cut),
    (SEND_PIECES, "EINTR", &[1, 10], Served),
    (SEND_PIECES, "EAGAIN", &[1, 10], Served),
    (SEND_PIECES, "ENOBUFS", &[1, 4], Served),
    (SEND_PIECES, "ENOMEM", &[1, 4], Served),
    (SEND_PIECES, "EMFILE", &[1, 2], Cut),
    (SEND_PIECES, "ENOSPC", &[1, 2], Cut),
    (SEND_PIECES, "EPROTO", &[1, 2], Cut),
];

const WAITING: [Case; 13] = [
    (WAIT, "EINTR", &[1, 10], Served),
    (WAIT, "EAGAIN", &[1, 4], Served),
    (WAIT, "ENOBUFS", &[1, 4], Served),
    (WAIT, "ENOMEM", &[1, 4], Served),
    (WAIT, "EMFILE", &[1, 4], Served),
    (WAIT, "ENOSPC", &[1, 4], Served),
    (WAIT, "EPROTO", &[1], Ends),
    (ADD, "ENOMEM", &[1], Refused),
    (ADD, "ENOSPC", &[1], Refused),
    (TIMER, "ENOMEM", &[1, 4], Served),
    (TIMER, "ENOSPC", &[1, 4], Served),
    (NOTIFIER, "ENOMEM", &[1, 4], Served),
    (NOTIFIER, "ENOSPC", &[1, 4], Served),
];

#[test]
fn no_failure_of_accept_ends_a_listener_or_loses_a_client() {
    check("accepting", &ACCEPTING);
}

#[test]
fn a_recv_that_fails_is_tried_again_or_ends_its_channel_alone() {
    check("receiving", &RECEIVING);
}

#[test]
fn a_send_that_fails_is_tried_again_or_ends_its_channel_alone() {
    check("sending", &SENDING);
}

#[test]
fn no_shortage_of_the_pollers_ends_the_loop_or_a_channel_that_it_has() {
    check("waiting", &WAITING);
}

/// How many servers run at a time.
const AT_A_TIME: usize = 8;

fn check(name: &str, cases: &[Case]) {
    if !can_trace() {
        return;
    }
    let site = Site::new(&format!("faults-{name}"));
    let rehearsal = Rehearsal::new(name);
    let mut rows = Vec::new();
    for &(at, error, calls, outcome) in cases {
        for &calls in calls {
            rows.push(Row {
                name: format!("{name}-{}", rows.len()),
                at,
                error,
                calls,
                outcome,
                root: site.root(),
                rehearsal: &rehearsal,
            });
        }
    }
    let mut failures = Vec::new();
    for rows in rows.chunks(AT_A_TIME) {
        thread::scope(|scope| {
            let runs = rows.iter().map(|row| scope.spawn(|| row.run()));
            let runs: Vec<_> = runs.collect();
            for (row, run) in rows.iter().zip(runs) {
                let outcome = run.join().unwrap_or_else(|_| Err("it panicked".to_owned()));
                failures.extend(outcome.err().map(|failure| format!("{row:?}: {failure}")));
            }
        });
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
