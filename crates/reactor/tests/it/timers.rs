//! Deadlines: order, cancelling, and their end with the channel.

use std::cell::Cell;
use std::io::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::common::{Log, On, Probe, change, journal, pair, turn};
use reactor::{ChannelMap, Handle, Timer, TimerChannel};

const SECOND: Duration = Duration::from_secs(1);

fn map_with(name: &'static str, log: &Log) -> (ChannelMap, Handle<Probe>, Instant) {
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new(name, log)).unwrap();
    let epoch = map.now();
    (map, probe, epoch)
}

fn fired(map: &mut ChannelMap, probe: Handle<Probe>) -> Vec<Timer> {
    std::mem::take(&mut map.get_mut(probe).unwrap().fired)
}

#[test]
fn a_timer_fires_once_when_its_deadline_has_come() {
    let log = Log::default();
    let (mut map, probe, epoch) = map_with("a", &log);
    let timer = map.set_timer(probe, epoch + SECOND);
    assert_eq!(map.timers(), 1);
    map.turn_at(epoch + SECOND - Duration::from_nanos(1))
        .unwrap();
    assert!(fired(&mut map, probe).is_empty());
    map.turn_at(epoch + SECOND).unwrap();
    assert_eq!(fired(&mut map, probe), [timer]);
    assert_eq!(map.timers(), 0);
    assert!(!map.cancel(timer));
    map.turn_at(epoch + 2 * SECOND).unwrap();
    assert!(fired(&mut map, probe).is_empty());
}

#[test]
fn the_wait_ends_with_the_next_deadline() {
    let log = Log::default();
    let (mut map, probe, epoch) = map_with("a", &log);
    let deadline = epoch + Duration::from_millis(30);
    map.set_timer(probe, epoch + 3600 * SECOND);
    let soon = map.set_timer(probe, deadline);
    crate::common::turn_until(&mut map, |map| map.timers() == 1);
    assert!(map.now() >= deadline);
    assert_eq!(fired(&mut map, probe), [soon]);
}

/// R4a: the order of equals is the order they were set in.
#[test]
fn timers_fire_by_deadline_and_then_in_the_order_they_were_set() {
    let log = Log::default();
    let (mut map, probe, epoch) = map_with("a", &log);
    let delays = [3, 1, 2, 1, 3, 2, 1, 0, 2, 3];
    let mut timers: Vec<_> = delays
        .iter()
        .map(|&delay| (delay, map.set_timer(probe, epoch + delay * SECOND)))
        .collect();
    map.turn_at(epoch + 3 * SECOND).unwrap();
    timers.sort_by_key(|&(delay, _)| delay); // a stable sort
    let expected: Vec<_> = timers.into_iter().map(|(_, timer)| timer).collect();
    assert_eq!(fired(&mut map, probe), expected);
}

/// R4b: nothing is left of a timer that was cancelled.
#[test]
fn a_cancelled_timer_does_not_fire() {
    let log = Log::default();
    let (mut map, probe, epoch) = map_with("a", &log);
    let timers: Vec<_> = (0..9)
        .map(|n| map.set_timer(probe, epoch + n * SECOND))
        .collect();
    for &timer in timers.iter().step_by(2) {
        assert!(map.cancel(timer));
        assert!(!map.cancel(timer));
    }
    assert_eq!(map.timers(), 4);
    map.turn_at(epoch + 9 * SECOND).unwrap();
    let left: Vec<_> = timers.into_iter().skip(1).step_by(2).collect();
    assert_eq!(fired(&mut map, probe), left);
}

#[test]
fn a_timer_can_cancel_one_that_is_due_with_it() {
    let log = Log::default();
    let (mut map, probe, epoch) = map_with("a", &log);
    let second = Rc::new(Cell::new(None));
    let doomed = Rc::clone(&second);
    let canceller = Probe::new("canceller", &log).on(On::Timer, move |_, _, map| {
        assert!(map.cancel(doomed.take().unwrap()));
        Ok(())
    });
    let canceller = map.insert(canceller).unwrap();
    map.set_timer(canceller, epoch);
    second.set(Some(map.set_timer(probe, epoch)));
    map.turn_at(epoch).unwrap();
    assert_eq!(log.take(), ["canceller.timer"]);
}

#[test]
fn a_stale_timer_does_not_cancel_its_successor() {
    let log = Log::default();
    let (mut map, probe, epoch) = map_with("a", &log);
    let first = map.set_timer(probe, epoch);
    map.cancel(first);
    let second = map.set_timer(probe, epoch);
    assert_ne!(first, second);
    assert!(!map.cancel(first));
    assert_eq!(map.timers(), 1);
}

#[test]
fn a_timer_of_another_map_is_a_stranger() {
    let log = Log::default();
    let (mut here, a, epoch) = map_with("a", &log);
    let (mut there, b, _) = map_with("b", &log);
    here.set_timer(a, epoch);
    let theirs = there.set_timer(b, epoch);
    assert!(!here.cancel(theirs));
    assert_eq!(here.timers(), 1);
}

#[test]
fn timers_end_with_their_channel() {
    let log = Log::default();
    let (mut map, closed, epoch) = map_with("closed", &log);
    let removed = map.insert(Probe::new("removed", &log)).unwrap();
    let alive = map.insert(Probe::new("alive", &log)).unwrap();
    for n in 0..5 {
        for probe in [closed, alive, removed] {
            map.set_timer(probe, epoch + n * SECOND);
        }
    }
    map.remove(removed).unwrap();
    assert_eq!(map.timers(), 10);
    map.close(closed);
    map.turn_at(epoch).unwrap();
    assert_eq!(map.timers(), 4);
    map.turn_at(epoch + 5 * SECOND).unwrap();
    assert_eq!(map.timers(), 0);
    let lines = log.take();
    assert_eq!(lines[0], "closed.close Requested");
    assert_eq!(lines[1..], ["alive.timer"; 5]);
}

#[test]
fn a_timer_for_a_channel_that_is_not_open_is_spent() {
    let log = Log::default();
    let (mut map, probe, epoch) = map_with("a", &log);
    map.close(probe);
    let closing = map.set_timer(probe, epoch);
    assert_eq!(map.timers(), 0);
    turn(&mut map);
    let gone = map.set_timer(probe, epoch);
    assert_ne!(closing, gone);
    assert_eq!(map.timers(), 0);
    assert!(!map.cancel(closing));
    assert!(!map.cancel(gone));
    assert_eq!(log.take(), ["a.close Requested"]);
}

#[test]
fn a_channel_can_set_its_own_timer_in_a_callback() {
    let log = Log::default();
    let (mut map, _, epoch) = map_with("other", &log);
    let ticker = Probe::new("ticker", &log).on(On::Timer, |_, me, map| {
        map.set_timer(me, map.now() + SECOND);
        Ok(())
    });
    let ticker = map.insert(ticker).unwrap();
    map.set_timer(ticker, epoch);
    for n in 0..4 {
        map.turn_at(epoch + n * SECOND).unwrap();
        assert_eq!(map.timers(), 1);
    }
    assert_eq!(log.take(), ["ticker.timer"; 4]);
}

#[test]
fn a_timer_that_is_set_in_the_past_by_a_timer_fires_in_the_next_turn() {
    let log = Log::default();
    let (mut map, _, epoch) = map_with("other", &log);
    let eager = Probe::new("eager", &log).on(On::Timer, |probe, me, map| {
        if probe.fired.len() < 100 {
            map.set_timer(me, map.now() - SECOND);
        }
        Ok(())
    });
    let eager = map.insert(eager).unwrap();
    map.set_timer(eager, epoch);
    map.turn_at(epoch + SECOND).unwrap();
    assert_eq!(log.take(), ["eager.timer"]);
    map.turn(None).unwrap(); // it is due, so this does not sleep
    assert_eq!(log.take(), ["eager.timer"]);
}

/// The one set meanwhile is the earliest of all, and still not this turn's.
#[test]
fn a_timer_that_is_set_in_the_past_does_not_hold_up_the_others() {
    let log = Log::default();
    let (mut map, other, epoch) = map_with("other", &log);
    let eager = Probe::new("eager", &log).on(On::Timer, move |_, me, map| {
        map.set_timer(me, epoch);
        Ok(())
    });
    let eager = map.insert(eager).unwrap();
    map.set_timer(eager, epoch);
    map.set_timer(other, epoch + SECOND);
    for _ in 0..10 {
        map.turn_at(epoch + 2 * SECOND).unwrap();
    }
    let lines = log.take();
    assert!(lines[..2].contains(&"other.timer".to_owned()), "{lines:?}");
}

#[test]
fn a_timer_that_closes_its_channel_takes_the_others_along() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = Probe::new("a", &log).on(On::Timer, |_, me, map| {
        map.close(me);
        Ok(())
    });
    let probe = map.insert(probe).unwrap();
    for _ in 0..3 {
        map.set_timer(probe, map.now());
    }
    turn(&mut map);
    assert_eq!(log.take(), ["a.timer", "a.close Requested"]);
    assert_eq!(map.timers(), 0);
}

#[test]
fn the_clock_stands_still_during_a_turn() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let seen = Rc::new(Cell::new(None));
    for name in ["a", "b"] {
        let seen = Rc::clone(&seen);
        let probe = Probe::new(name, &log).on(On::Timer, move |_, _, map| {
            let now = map.now();
            while Instant::now() == now {}
            assert_eq!(seen.replace(Some(now)).unwrap_or(now), now);
            Ok(())
        });
        let probe = map.insert(probe).unwrap();
        map.set_timer(probe, map.now());
        change(&mut map, probe, |probe| probe.readable = false);
    }
    turn(&mut map);
    assert_eq!(log.take().len(), 2);
}

#[test]
fn a_timer_in_a_hundred_years_is_one_like_any_other() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log).over(&ours)).unwrap();
    let far = map.set_timer(probe, map.now() + 100 * 366 * 86_400 * SECOND);
    turn(&mut map);
    theirs.write_all(b"x").unwrap();
    map.turn(None).unwrap(); // with a wait of a hundred years
    assert_eq!(log.take(), ["a.read"]);
    map.turn_at(map.now() + 101 * 366 * 86_400 * SECOND)
        .unwrap();
    assert_eq!(log.take(), ["a.timer"]);
    assert!(!map.cancel(far));
}

#[test]
fn a_timer_that_is_reset_fires_once_at_its_new_deadline() {
    for (first, second) in [(1, 3), (3, 1)] {
        let log = Log::default();
        let (mut map, probe, epoch) = map_with("a", &log);
        let mut timer = map.set_timer(probe, epoch + first * SECOND);
        let old = timer;
        assert!(map.reset_timer(&mut timer, epoch + second * SECOND));
        assert!(!map.cancel(old), "its name is another one now");
        assert_eq!(map.timers(), 1);
        map.turn_at(epoch + second * SECOND - Duration::from_nanos(1))
            .unwrap();
        assert!(fired(&mut map, probe).is_empty());
        map.turn_at(epoch + 3 * SECOND).unwrap();
        assert_eq!(fired(&mut map, probe), [timer]);
        assert!(!map.reset_timer(&mut timer, epoch + 9 * SECOND), "spent");
        assert_eq!(map.timers(), 0);
    }
}

/// As if it had been cancelled and set again.
#[test]
fn a_timer_that_is_reset_comes_after_those_that_are_set_for_the_same_instant() {
    let log = Log::default();
    let (mut map, probe, epoch) = map_with("a", &log);
    let mut first = map.set_timer(probe, epoch + SECOND);
    let second = map.set_timer(probe, epoch + SECOND);
    assert!(map.reset_timer(&mut first, epoch + SECOND));
    map.turn_at(epoch + SECOND).unwrap();
    assert_eq!(fired(&mut map, probe), [second, first]);
}

#[test]
fn a_timer_that_is_reset_for_the_past_in_a_callback_is_the_next_turns() {
    let log = Log::default();
    let (mut map, _, epoch) = map_with("a", &log);
    let mut left = 3;
    let ticks = map
        .insert(TimerChannel::new(move |_, me, map| {
            let mut timer = map.set_timer(me, epoch + 9 * SECOND);
            left -= 1;
            if left > 0 {
                assert!(map.reset_timer(&mut timer, epoch - SECOND));
            }
            Ok(())
        }))
        .unwrap();
    map.set_timer(ticks, epoch);
    for timers in [1, 1, 1] {
        assert_eq!(map.turn_at(epoch + SECOND).unwrap(), timers);
    }
    assert_eq!(map.turn_at(epoch + SECOND).unwrap(), 0);
}

#[test]
fn handle_timer_gets_the_number_that_the_timer_was_set_with() {
    let log = Log::default();
    let (mut map, probe, epoch) = map_with("a", &log);
    map.set_numbered_timer(probe, 7, epoch + 2 * SECOND);
    map.set_timer(probe, epoch + SECOND);
    let mut moved = map.set_numbered_timer(probe, u32::MAX, epoch);
    map.reset_timer(&mut moved, epoch + 3 * SECOND);
    map.turn_at(epoch + 3 * SECOND).unwrap();
    let numbers = fired(&mut map, probe).into_iter().map(Timer::number);
    assert_eq!(numbers.collect::<Vec<_>>(), [0, 7, u32::MAX]);
}

#[test]
fn a_timer_channel_whose_function_fails_is_closed() {
    let mut map = ChannelMap::new().unwrap();
    let failing = map.insert(TimerChannel::new(|_, _, _| Err("no more".into())));
    let failing = failing.unwrap();
    map.set_timer(failing, map.now());
    map.run().unwrap();
    assert!(map.is_empty());
}

/// The program has been busy since the last turn, or since it made the map.
#[test]
fn after_counts_from_the_clock_between_turns_and_from_now_within_one() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    for _ in 0..2 {
        let stale = map.now();
        while Instant::now() == stale {}
        let real = Instant::now();
        assert!(map.after(SECOND) >= real + SECOND);
        assert_eq!(map.now(), stale);
        turn(&mut map);
    }
    let within = Probe::new("a", &log).on(On::Timer, |_, _, map| {
        let began = map.now();
        while Instant::now() == began {}
        assert_eq!(map.after(SECOND), began + SECOND);
        map.stop();
        Ok(())
    });
    let within = map.insert(within).unwrap();
    map.set_timer(within, map.after(Duration::ZERO));
    map.run().unwrap();
    assert_eq!(log.take(), ["a.timer"]);
}

#[test]
fn in_a_map_with_a_clock_of_its_own_after_counts_from_that() {
    let log = Log::default();
    let (mut map, probe, epoch) = map_with("a", &log);
    map.turn_at(epoch + 3600 * SECOND).unwrap();
    assert_eq!(map.after(SECOND), epoch + 3601 * SECOND);
    map.turn_at(epoch).unwrap();
    assert_eq!(map.after(SECOND), epoch + SECOND);
    // Too long for any clock.
    let never = map.after(Duration::MAX);
    let timer = map.set_timer(probe, never);
    assert!(never > epoch + 1_000_000_000 * SECOND);
    assert!(map.cancel(timer));
}

#[test]
fn a_timer_for_a_channel_that_is_not_open_is_in_the_log() {
    journal::open_at(log::LevelFilter::Debug);
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = Probe::new("a", &log).on(On::Close, |_, me, map| {
        let timer = map.set_timer(me, map.now());
        assert!(!map.cancel(timer));
        Ok(())
    });
    let probe = map.insert(probe).unwrap();
    map.close(probe);
    map.run().unwrap();
    assert_eq!(log.take(), ["a.close Requested"]);
    let line = format!("DEBUG channel {}: a timer was not set", probe.token());
    assert_eq!(journal::count(&line), 1);
}
