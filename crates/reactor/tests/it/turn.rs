//! What one turn does, and when the loop sleeps.

use std::cell::RefCell;
use std::io::Write;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use crate::common::{Log, On, Probe, change, pair, turn};
use reactor::{ChannelMap, Handle, Readiness};

/// A while in which a loop could spin.
const PAUSE: Duration = Duration::from_millis(50);

/// A probe whose timer stops the loop.
fn stop_after_a_pause(map: &mut ChannelMap, log: &Log) {
    let clock = Probe::new("clock", log).on(On::Timer, |_, _, map| {
        map.stop();
        Ok(())
    });
    let clock = map.insert(clock).unwrap();
    map.set_timer(clock, map.now() + PAUSE);
}

#[test]
fn at_rest_the_loop_does_not_turn() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let mut peers = Vec::new();
    for _ in 0..10 {
        let (ours, theirs) = pair();
        map.insert(Probe::new("idle", &log).over(&ours)).unwrap();
        peers.push(theirs);
    }
    stop_after_a_pause(&mut map, &log);
    map.run().unwrap();
    assert_eq!(log.take(), ["clock.timer"]);
    assert!(map.turns() < 5, "{} turns", map.turns());
}

/// Neither what the peer wrote nor the end of its output is one.
#[cfg(target_os = "linux")]
#[test]
fn a_hang_up_reaches_a_channel_that_wants_nothing_else_and_costs_one_turn() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (ours, mut theirs) = pair();
    let mut probe = Probe::new("watching", &log).over(&ours);
    (probe.readable, probe.watches_hang_up) = (false, true);
    let probe = map.insert(probe).unwrap();
    theirs.write_all(b"unread").unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    stop_after_a_pause(&mut map, &log);
    map.run().unwrap();
    assert_eq!(log.take(), ["clock.timer"]);

    drop(theirs);
    stop_after_a_pause(&mut map, &log);
    map.run().unwrap();
    assert_eq!(log.take(), ["watching.hang-up", "clock.timer"]);
    assert!(map.turns() < 8, "{} turns", map.turns());
    change(&mut map, probe, |probe| probe.readable = true);
    turn(&mut map);
    assert_eq!(log.take(), ["watching.read"]);
    assert_eq!(map.get(probe).unwrap().received, b"unread");
}

#[test]
fn a_hang_up_or_input_that_nobody_wants_costs_no_turn() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    for hang_up in [true, false] {
        let (ours, mut theirs) = pair();
        let mut probe = Probe::new("paused", &log).over(&ours);
        probe.readable = false;
        map.insert(probe).unwrap();
        theirs.write_all(b"unread").unwrap();
        if !hang_up {
            std::mem::forget(theirs);
        }
    }
    stop_after_a_pause(&mut map, &log);
    map.run().unwrap();
    assert_eq!(log.take(), ["clock.timer"]);
    assert!(map.turns() < 5, "{} turns", map.turns());
}

#[test]
fn a_hang_up_is_reported_as_what_the_channel_wants_only() {
    let log = Log::default();
    let (ours, theirs) = pair();
    drop(theirs);
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("writer", &log).over(&ours);
    (probe.readable, probe.writable) = (false, true);
    map.insert(probe).unwrap();
    turn(&mut map);
    assert_eq!(log.take(), ["writer.write"]);
}

#[test]
fn a_pause_that_is_lifted_finds_the_input() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("a", &log).over(&ours);
    probe.readable = false;
    let probe = map.insert(probe).unwrap();
    theirs.write_all(b"waits").unwrap();
    turn(&mut map);
    assert!(log.take().is_empty());
    change(&mut map, probe, |probe| probe.readable = true);
    turn(&mut map);
    assert_eq!(map.get(probe).unwrap().received, b"waits");
}

#[test]
fn a_callback_of_the_same_batch_can_end_the_wish_for_an_event() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let other: Rc<RefCell<Vec<Handle<Probe>>>> = Rc::default();
    for name in ["a", "b"] {
        let others = Rc::clone(&other);
        let mut probe = Probe::new(name, &log).on(On::Read, move |_, me, map| {
            for &other in others.borrow().iter().filter(|&&other| other != me) {
                change(map, other, |other| {
                    (other.readable, other.writable) = (false, false);
                });
            }
            Ok(())
        });
        probe.writable = true;
        other.borrow_mut().push(map.insert(probe).unwrap());
    }
    for &probe in other.borrow().iter() {
        map.dispatch(probe, Readiness::READABLE | Readiness::WRITABLE);
    }
    turn(&mut map);
    let lines = log.take();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0][..1], lines[1][..1], "only the first is called");
}

#[test]
fn a_channel_can_end_its_own_wish_for_the_rest_of_an_event() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("a", &log).on(On::Read, |probe, _, _| {
        probe.writable = false;
        Ok(())
    });
    probe.writable = true;
    let probe = map.insert(probe).unwrap();
    map.dispatch(probe, Readiness::READABLE | Readiness::WRITABLE);
    turn(&mut map);
    assert_eq!(log.take(), ["a.read"]);
}

#[test]
fn what_is_dispatched_by_hand_is_masked_by_what_the_channel_wants() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log)).unwrap();
    let all = Readiness::PRIORITY | Readiness::READABLE | Readiness::WRITABLE;
    let now = map.now();

    assert!(map.dispatch(probe, all));
    assert_eq!(map.turn_at(now).unwrap(), 1);
    assert_eq!(log.take(), ["a.expt", "a.read"]);
    assert_eq!(map.turn_at(now).unwrap(), 0, "an event is dispatched once");

    change(&mut map, probe, |probe| {
        (probe.readable, probe.writable) = (false, true);
    });
    map.dispatch(probe, all);
    map.turn_at(now).unwrap();
    assert_eq!(log.take(), ["a.write"]);
}

#[test]
fn turn_at_goes_by_the_callers_clock_and_not_by_the_poller() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    theirs.write_all(b"x").unwrap();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log).over(&ours)).unwrap();
    let hour = Duration::from_secs(3600);
    let epoch = map.now();
    map.set_timer(probe, epoch + hour);
    map.turn_at(epoch + hour - Duration::from_nanos(1)).unwrap();
    assert!(log.take().is_empty());
    map.turn_at(epoch + hour).unwrap();
    assert_eq!(log.take(), ["a.timer"]);
    assert_eq!(map.now(), epoch + hour);
}

#[test]
fn what_a_callback_dispatches_is_the_next_turns() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = Probe::new("a", &log).on(On::Read, |_, me, map| {
        map.dispatch(me, Readiness::READABLE);
        Ok(())
    });
    let probe = map.insert(probe).unwrap();
    map.dispatch(probe, Readiness::READABLE);
    for _ in 0..3 {
        // No timeout: the event that is there already ends the wait.
        assert_eq!(map.turn(None).unwrap(), 1);
        assert_eq!(log.take(), ["a.read"]);
    }
}

#[test]
fn a_pending_channel_is_called_each_turn_and_the_wait_does_not_sleep() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("a", &log).on(On::Pending, |probe, _, _| {
        probe.received.push(0);
        probe.pending = probe.received.len() < 3;
        Ok(())
    });
    probe.pending = true;
    let probe = map.insert(probe).unwrap();
    // Were it to sleep, it would be until this timer.
    let timer = map.set_timer(probe, map.now() + Duration::from_secs(60));
    for _ in 0..3 {
        map.turn(None).unwrap();
    }
    assert_eq!(log.take(), ["a.pending"; 3]);
    assert!(map.cancel(timer));
    assert_eq!(turn(&mut map), 0);
}

#[test]
fn pending_that_another_callback_lifts_ends_the_sleep() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let a = map.insert(Probe::new("a", &log)).unwrap();
    let b = Probe::new("b", &log).on(On::Timer, move |_, _, map| {
        change(map, a, |a| a.pending = true);
        Ok(())
    });
    let b = map.insert(b).unwrap();
    map.set_timer(b, map.now());
    map.set_timer(b, map.now() + Duration::from_secs(60));
    map.turn(None).unwrap();
    map.turn(None).unwrap();
    assert_eq!(log.take(), ["b.timer", "a.pending"]);
}
