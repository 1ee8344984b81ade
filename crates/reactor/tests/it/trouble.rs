//! What the operating system refuses for a while: the loop and its channels go on. The
//! kernel is made to refuse by `strace`.

#![cfg(target_os = "linux")]

use std::io::{self, Write};
use std::mem;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::alone::{can_trace, is_alone};
use crate::common::{Log, On, Probe, change, journal, pair, turn, turn_until};
use reactor::{ChannelMap, Source};

/// Whether this is the test's own process, where `epoll_ctl` and the like fail as
/// `inject` says.
fn is_refused<Test: Fn()>(test: Test, inject: &str) -> bool {
    let strace =
        format!("strace -f -o /dev/null -e trace=epoll_ctl,timerfd_settime,{WAITS} {inject}");
    let strace: Vec<&str> = strace.split_whitespace().collect();
    can_trace() && is_alone(test, &strace)
}

/// Whichever the poller waits with.
const WAITS: &str = "?epoll_wait,?epoll_pwait,?epoll_pwait2";

/// The calls of `epoll_ctl` that a test makes begin with those of `ChannelMap::new`,
/// for the timer and for what wakes the loop, and the two of an `insert`; and each
/// wait makes two, one before it and one after it.
const NEW: u32 = 2;
const WAIT: u32 = 2;

fn epoll_ctl(error: &str, when: &str) -> String {
    format!("-e inject=epoll_ctl:error={error}:when={when}")
}

/// A channel that pauses, and wants to read again when the kernel has no memory for it,
/// twice.
#[test]
fn a_channel_that_cannot_be_watched_for_a_while_is_watched_then() {
    // Inserted: 1; a wait; paused: 1; a wait; then.
    let first = NEW + 1 + WAIT + 1 + WAIT + 1;
    // The second time is after the wait for a quarter of a second.
    let second = first + WAIT + 1;
    let inject = epoll_ctl("ENOMEM", &format!("{first}..{second}+{}", second - first));
    if !is_refused(
        a_channel_that_cannot_be_watched_for_a_while_is_watched_then,
        &inject,
    ) {
        return;
    }
    journal::open();
    let log = Log::default();
    let (ours, mut theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log).over(&ours)).unwrap();
    turn(&mut map);
    change(&mut map, probe, |probe| probe.readable = false);
    turn(&mut map);
    theirs.write_all(b"x").unwrap();
    change(&mut map, probe, |probe| {
        probe.readable = true;
        // Asked once, it says that nothing has changed: it is asked all the same.
        let mut was_asked = false;
        probe.on_flush = Some(Box::new(move || mem::replace(&mut was_asked, true)));
    });
    let took = turn_until_read(&mut map, &log);
    assert!(took >= Duration::from_millis(400), "two pauses");
    assert_eq!(log.take(), ["a.read"]);
    assert_eq!(journal::count("cannot be watched for now"), 1, "once");
    assert!(map.is_open(probe));
}

/// Nearly as `run` turns: nothing but the loop itself ends its waits.
fn turn_until_read(map: &mut ChannelMap, log: &Log) -> Duration {
    let begin = Instant::now();
    let turns = map.turns();
    while log.len() == 0 {
        assert!(begin.elapsed() < Duration::from_secs(5));
        map.turn(Some(Duration::from_secs(5))).unwrap();
    }
    assert!(map.turns() - turns < 10, "it spins");
    begin.elapsed()
}

/// What it wanted before is not reported meanwhile: a channel that wanted to write does
/// not spin until it can want to read only.
#[test]
fn a_change_that_is_refused_leaves_no_event_that_nobody_wants() {
    let first = NEW + 1 + WAIT + 1;
    let inject = epoll_ctl("ENOSPC", &first.to_string());
    if !is_refused(
        a_change_that_is_refused_leaves_no_event_that_nobody_wants,
        &inject,
    ) {
        return;
    }
    let log = Log::default();
    let (ours, mut theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("a", &log).over(&ours);
    probe.writable = true;
    let probe = map.insert(probe).unwrap();
    turn(&mut map);
    assert_eq!(log.take(), ["a.write"]);
    theirs.write_all(b"x").unwrap();
    change(&mut map, probe, |probe| probe.writable = false);
    let took = turn_until_read(&mut map, &log);
    assert!(took >= Duration::from_millis(200), "a pause");
    assert_eq!(log.take(), ["a.read"]);
}

/// A source that takes the place of another one.
#[test]
fn a_replaced_source_that_is_refused_is_taken_later() {
    // The old one is deleted, the new one added.
    let first = NEW + 1 + WAIT + 2;
    let inject = epoll_ctl("ENOMEM", &first.to_string());
    if !is_refused(a_replaced_source_that_is_refused_is_taken_later, &inject) {
        return;
    }
    let log = Log::default();
    let (ours, _theirs) = pair();
    let (new, mut new_peer) = pair();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log).over(&ours)).unwrap();
    turn(&mut map);
    change(&mut map, probe, |probe| {
        probe.stream = Some(Source::new(new))
    });
    new_peer.write_all(b"x").unwrap();
    let took = turn_until_read(&mut map, &log);
    assert!(took >= Duration::from_millis(200), "a pause");
    assert_eq!(map.get(probe).unwrap().received, b"x");
}

/// It does not wait for better times.
#[test]
fn an_insert_that_is_refused_fails_at_once() {
    let inject = epoll_ctl("ENOMEM", &(NEW + 1).to_string());
    if !is_refused(an_insert_that_is_refused_fails_at_once, &inject) {
        return;
    }
    let log = Log::default();
    let (ours, _theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let refused = map.try_insert(Probe::new("a", &log).over(&ours));
    let refused = refused.unwrap_err();
    assert_eq!(refused.error.kind(), io::ErrorKind::OutOfMemory);
    assert!(map.is_empty());
    map.insert(refused.channel).unwrap();
}

#[test]
fn a_refusal_that_is_there_to_stay_closes_the_channel() {
    let first = NEW + 1 + WAIT + 1 + WAIT + 1;
    let inject = epoll_ctl("EPERM", &first.to_string());
    if !is_refused(a_refusal_that_is_there_to_stay_closes_the_channel, &inject) {
        return;
    }
    let log = Log::default();
    let (ours, _theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log).over(&ours)).unwrap();
    turn(&mut map);
    change(&mut map, probe, |probe| probe.readable = false);
    turn(&mut map);
    change(&mut map, probe, |probe| probe.readable = true);
    turn(&mut map);
    let lines = log.take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("a.close Io("), "{lines:?}");
}

/// The wait itself: before it, and after it, where it has events already and is left
/// deaf to other threads.
fn the_loop_goes_on() {
    journal::open();
    let log = Log::default();
    let (ours, mut theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let probe = Probe::new("a", &log)
        .over(&ours)
        .on(On::Read, |probe, me, map| {
            probe.receive(me, map)?;
            if probe.received == b"all" {
                map.close(me);
            }
            Ok(())
        });
    map.insert(probe).unwrap();
    let remote = map.remote();
    // Work is waiting in the turns whose waits fail, and comes when they are over.
    let thread = thread::spawn(move || {
        for byte in b"all" {
            thread::park_timeout(Duration::from_millis(20)); // no wait: a little load
            let (done, answer) = std::sync::mpsc::channel();
            remote
                .run(move |_: &mut ChannelMap| done.send(()).unwrap())
                .unwrap();
            answer.recv_timeout(Duration::from_secs(10)).unwrap();
            theirs.write_all(&[*byte]).unwrap();
        }
        theirs // it stays open
    });
    map.run().unwrap();
    thread.join().unwrap();
    assert!(log.has("a.close Requested"));
    assert!(map.turns() < 200, "it spins: {} turns", map.turns());
    let warnings = journal::count("WARN cannot wait for events for now");
    assert!((1..=5).contains(&warnings), "{warnings}");
}

#[test]
fn a_wait_that_fails_for_a_while_does_not_end_the_loop() {
    let inject = format!("-e inject={WAITS}:error=ENOMEM:when=2..20");
    if is_refused(a_wait_that_fails_for_a_while_does_not_end_the_loop, &inject) {
        the_loop_goes_on();
    }
}

/// Every second `epoll_ctl` of a wait is the one after it.
#[test]
fn a_wait_that_fails_when_it_is_over_loses_nothing() {
    let first = NEW + 1 + WAIT;
    let inject = epoll_ctl("ENOMEM", &format!("{first}..{}+2", first + 40));
    if is_refused(a_wait_that_fails_when_it_is_over_loses_nothing, &inject) {
        the_loop_goes_on();
    }
}

#[test]
fn a_wait_that_cannot_be_prepared_does_not_end_the_loop() {
    let inject = "-e inject=timerfd_settime:error=EMFILE:when=2..20";
    if is_refused(a_wait_that_cannot_be_prepared_does_not_end_the_loop, inject) {
        the_loop_goes_on();
    }
}

#[test]
fn a_wait_that_can_never_succeed_ends_the_loop() {
    let inject = format!("-e inject={WAITS}:error=EINVAL");
    if !is_refused(a_wait_that_can_never_succeed_ends_the_loop, &inject) {
        return;
    }
    let mut map = ChannelMap::new().unwrap();
    map.insert(Probe::new("a", &Log::default())).unwrap();
    let error = map.run().unwrap_err();
    let error: Box<io::Error> = error.downcast().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(map.len(), 1);
}

/// A timer is as good as it can be while the wait fails.
#[test]
fn timers_go_on_while_the_wait_fails() {
    let inject = format!("-e inject={WAITS}:error=ENOMEM");
    if !is_refused(timers_go_on_while_the_wait_fails, &inject) {
        return;
    }
    journal::open();
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log)).unwrap();
    map.set_timer(probe, map.now() + Duration::from_millis(100));
    turn_until(&mut map, |_| log.has("a.timer"));
    assert!(map.turns() < 30, "it spins: {} turns", map.turns());
    assert_eq!(journal::count("cannot wait for events for now"), 1, "once");
}

#[test]
fn after_a_wait_that_failed_the_loop_is_at_rest_again() {
    let inject = format!("-e inject={WAITS}:error=ENOMEM:when=1..3");
    if !is_refused(after_a_wait_that_failed_the_loop_is_at_rest_again, &inject) {
        return;
    }
    journal::open();
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log)).unwrap();
    map.set_timer(probe, map.now() + Duration::from_millis(300));
    while log.len() == 0 {
        map.turn(None).unwrap();
    }
    assert_eq!(journal::count("cannot wait for events for now"), 1);
    assert!(map.turns() < 10, "it spins: {} turns", map.turns());
}
