//! When `run` ends: no channel is left, it was stopped, its turns are counted.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::common::{Log, On, Probe, pair};
use reactor::{ChannelMap, CloseReason, Readiness};

#[test]
fn run_returns_at_once_when_there_is_no_channel() {
    let mut map = ChannelMap::new().unwrap();
    map.run().unwrap();
    assert_eq!(map.turns(), 0);
}

#[test]
fn run_returns_when_settle_closes_the_last_channel() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("a", &log);
    probe.on_settle = Some(Box::new(|| Err(CloseReason::Done)));
    map.insert(probe).unwrap();
    map.run().unwrap();
    assert_eq!(log.take(), ["a.close Done"]);
}

#[test]
fn run_returns_when_the_last_channel_closes_itself() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    map.insert(Probe::new("a", &log).over(&ours)).unwrap();
    theirs.write_all(b"bye").unwrap();
    drop(theirs);
    map.run().unwrap();
    assert_eq!(log.take(), ["a.read", "a.read", "a.close Eof"]);
}

#[test]
fn run_turns_counts_its_turns() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    map.insert(Probe::new("a", &log)).unwrap();
    map.run_turns(Some(Duration::ZERO), 3).unwrap();
    assert_eq!(map.turns(), 3);
    map.run_turns(Some(Duration::ZERO), 0).unwrap();
    assert_eq!(map.turns(), 3);
}

#[test]
fn stop_lets_the_batch_finish_and_keeps_the_channels() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    for name in ["a", "b", "c"] {
        let probe = Probe::new(name, &log).on(On::Read, |_, _, map| {
            map.stop();
            Ok(())
        });
        let probe = map.insert(probe).unwrap();
        map.set_timer(probe, map.now());
        map.dispatch(probe, Readiness::READABLE);
    }
    map.run().unwrap();
    let mut lines = log.take();
    lines.sort();
    let all = [
        "a.read", "a.timer", "b.read", "b.timer", "c.read", "c.timer",
    ];
    assert_eq!(lines, all);
    assert_eq!((map.turns(), map.len()), (1, 3));
}

#[test]
fn stop_ends_one_run_the_next_one_goes_on() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log)).unwrap();
    map.stop();
    map.run().unwrap();
    assert_eq!(map.turns(), 0, "it was stopped before it began");
    map.set_timer(probe, map.now());
    map.run_turns(None, 1).unwrap();
    assert_eq!(log.take(), ["a.timer"]);
}

#[test]
fn a_stop_in_the_last_counted_turn_is_spent_with_it() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let clock = Probe::new("clock", &log).on(On::Timer, |_, _, map| {
        map.stop();
        Ok(())
    });
    let clock = map.insert(clock).unwrap();
    map.set_timer(clock, map.now());
    map.run_turns(None, 1).unwrap();
    assert_eq!(log.take(), ["clock.timer"]);
    map.set_timer(clock, map.now());
    map.run().unwrap();
    assert_eq!(log.take(), ["clock.timer"], "another run, another stop");
}

/// `stop` is `run`'s; a program that turns by itself is not kept awake by it.
#[test]
fn turns_after_a_stop_sleep_as_before() {
    const WAIT: Duration = Duration::from_millis(50);
    for in_callback in [false, true] {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let probe = Probe::new("a", &log).on(On::Read, |_, _, map| {
            map.stop();
            Ok(())
        });
        let probe = map.insert(probe).unwrap();
        if in_callback {
            map.dispatch(probe, Readiness::READABLE);
        }
        map.turn(Some(Duration::ZERO)).unwrap();
        if !in_callback {
            map.stop();
        }
        let (begin, turns) = (Instant::now(), map.turns());
        for _ in 0..3 {
            map.turn(Some(WAIT)).unwrap();
        }
        assert_eq!(map.turns() - turns, 3);
        assert!(begin.elapsed() >= 3 * WAIT, "{:?}", begin.elapsed());

        // And `run` has not forgotten it.
        map.run().unwrap();
        assert_eq!(map.turns() - turns, 3);
    }
}

/// The turn in which it is called does not sleep, wherever that is.
#[test]
fn a_stop_in_handle_close_before_the_wait_returns_from_run() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let stays = Probe::new("stays", &log).on(On::Timer, |_, _, map| {
        map.stop();
        Ok(())
    });
    let stays = map.insert(stays).unwrap();
    map.set_timer(stays, map.now() + Duration::from_secs(20));
    let probe = Probe::new("a", &log).on(On::Close, |_, _, map| {
        map.stop();
        Ok(())
    });
    let probe = map.insert(probe).unwrap();
    map.close(probe);
    map.run().unwrap();
    assert_eq!(log.take(), ["a.close Requested"]);
    assert_eq!(map.len(), 1);
}
