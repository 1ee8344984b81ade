//! Shutting down: everybody is asked to finish, and at the deadline made to.

use std::cell::Cell;
use std::io::{ErrorKind, Write};
use std::rc::Rc;
use std::time::Duration;

use crate::common::{Log, On, Probe, change, pair, turn};
use reactor::{ChannelMap, Readiness};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_channel_that_does_not_finish_by_itself_is_closed_at_once() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    map.insert(Probe::new("a", &log)).unwrap();
    map.shut_down(map.now() + HOUR);
    map.run().unwrap();
    assert_eq!(log.take(), ["a.close Shutdown"]);
}

#[test]
fn shut_down_asks_once_and_lets_the_channel_finish() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("a", &log).on(On::Read, |_, me, map| {
        map.close(me);
        Ok(())
    });
    probe.shuts_down = true;
    let probe = map.insert(probe).unwrap();
    map.shut_down(map.now() + HOUR);
    for _ in 0..3 {
        turn(&mut map);
        change(&mut map, probe, |probe| assert_eq!(probe.shutdown_calls, 1));
    }
    map.dispatch(probe, Readiness::READABLE);
    map.run().unwrap();
    assert_eq!(log.take(), ["a.read", "a.close Requested"]);
}

#[test]
fn at_the_deadline_the_rest_is_closed() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("a", &log);
    probe.shuts_down = true;
    let probe = map.insert(probe).unwrap();
    let deadline = map.now() + HOUR;
    map.shut_down(deadline);
    map.turn_at(deadline - Duration::from_nanos(1)).unwrap();
    assert!(map.is_open(probe));
    map.turn_at(deadline).unwrap();
    assert_eq!(log.take(), ["a.close Shutdown"]);
    assert!(map.is_empty());
}

#[test]
fn run_waits_for_the_deadline_and_not_longer() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("a", &log);
    probe.shuts_down = true;
    map.insert(probe).unwrap();
    map.shut_down(map.now() + Duration::from_millis(30));
    map.run().unwrap();
    assert_eq!(log.take(), ["a.close Shutdown"]);
    assert!(map.turns() < 5, "{} turns", map.turns());
}

#[test]
fn shut_down_reaches_the_channel_whose_callback_asks_for_it() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let admin = Probe::new("admin", &log).on(On::Read, |_, _, map| {
        map.shut_down(map.now() + HOUR);
        Ok(())
    });
    let admin = map.insert(admin).unwrap();
    map.dispatch(admin, Readiness::READABLE);
    map.run().unwrap();
    assert_eq!(log.take(), ["admin.read", "admin.close Shutdown"]);
}

#[test]
fn a_channel_that_is_inserted_meanwhile_is_asked_too() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let mut old = Probe::new("old", &log);
    old.shuts_down = true;
    map.insert(old).unwrap();
    map.shut_down(map.now() + HOUR);
    turn(&mut map);
    let mut patient = Probe::new("patient", &log);
    patient.shuts_down = true;
    let patient = map.insert(patient).unwrap();
    map.insert(Probe::new("new", &log)).unwrap();
    turn(&mut map);
    assert_eq!(log.take(), ["new.close Shutdown"]);
    assert_eq!(map.get(patient).unwrap().shutdown_calls, 1);
}

#[test]
fn after_the_deadline_nothing_is_inserted() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let inner = log.clone();
    let mut probe = Probe::new("a", &log).on(On::Close, move |_, _, map| {
        let refused = map.try_insert(Probe::new("late", &inner)).unwrap_err();
        assert_eq!(refused.channel.name, "late");
        assert_eq!(refused.error.kind(), ErrorKind::Other);
        inner.add("refused");
        Ok(())
    });
    probe.shuts_down = true;
    map.insert(probe).unwrap();
    let deadline = map.now() + HOUR;
    map.shut_down(deadline);
    map.turn_at(deadline).unwrap();
    assert_eq!(log.take(), ["a.close Shutdown", "refused"]);
    assert!(map.is_empty());
}

#[test]
fn a_channel_that_is_reborn_for_ever_does_not_make_run_endless() {
    const FAR_TOO_MANY: u32 = 100_000;

    fn reborn(log: &Log, births: &Rc<Cell<u32>>) -> Probe {
        let (log2, births) = (log.clone(), Rc::clone(births));
        Probe::new("a", log).on(On::Close, move |_, _, map| {
            if births.get() < FAR_TOO_MANY && map.insert(reborn(&log2, &births)).is_ok() {
                births.set(births.get() + 1);
            }
            Ok(())
        })
    }

    let log = Log::default();
    let births = Rc::new(Cell::new(0));
    let mut map = ChannelMap::new().unwrap();
    map.insert(reborn(&log, &births)).unwrap();
    let deadline = map.now() + HOUR;
    map.shut_down(deadline);
    for _ in 0..10 {
        map.turn_at(map.now()).unwrap();
        assert_eq!(map.len(), 1, "there is time left");
    }
    map.turn_at(deadline).unwrap();
    assert!(map.is_empty());
    assert!(births.get() < 1_000);
    assert_eq!(log.take().len() as u32, births.get() + 1);
}

#[test]
fn a_map_that_was_drained_takes_channels_again() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    map.insert(Probe::new("a", &log)).unwrap();
    map.shut_down(map.now() + HOUR);
    map.run().unwrap();
    let next = map.insert(Probe::new("b", &log)).unwrap();
    turn(&mut map);
    assert_eq!(map.get(next).unwrap().shutdown_calls, 0);
    assert_eq!(log.take(), ["a.close Shutdown"]);
}

#[test]
fn a_second_shut_down_moves_the_deadline_and_tells_nobody_twice() {
    for (second, later) in [(HOUR / 2, HOUR / 4), (2 * HOUR, HOUR)] {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let mut probe = Probe::new("a", &log);
        probe.shuts_down = true;
        let probe = map.insert(probe).unwrap();
        assert!(!map.is_shutting_down());
        let begin = map.now();
        map.shut_down(begin + HOUR);
        assert!(map.is_shutting_down());
        map.turn_at(begin).unwrap();
        map.shut_down(begin + second);
        map.turn_at(begin + later).unwrap();
        map.turn_at(begin + second - Duration::from_nanos(1))
            .unwrap();
        assert_eq!(map.get(probe).unwrap().shutdown_calls, 1);
        map.turn_at(begin + second).unwrap();
        assert_eq!(log.take(), ["a.close Shutdown"]);
        assert!(!map.is_shutting_down());
    }
}

#[test]
fn handle_close_can_ask_whether_the_map_is_being_shut_down() {
    for is_drained in [false, true] {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let asked = Rc::new(Cell::new(None));
        let answer = Rc::clone(&asked);
        let probe = Probe::new("a", &log).on(On::Close, move |_, _, map| {
            answer.set(Some(map.is_shutting_down()));
            Ok(())
        });
        let probe = map.insert(probe).unwrap();
        if is_drained {
            map.shut_down(map.now() + HOUR);
        }
        map.close(probe);
        map.run().unwrap();
        assert_eq!(asked.get(), Some(is_drained));
    }
}

#[test]
fn a_converted_channel_is_told_of_the_shutdown_as_what_it_is() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("old", &log);
    probe.shuts_down = true;
    let probe = map.insert(probe).unwrap();
    map.shut_down(map.now() + HOUR);
    turn(&mut map);
    let inner = log.clone();
    map.convert(probe, move |_| Probe::new("new", &inner))
        .unwrap();
    turn(&mut map);
    assert_eq!(log.take(), ["new.close Shutdown"]);
}

#[test]
fn a_deadline_of_a_hundred_years_is_one_like_any_other() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("a", &log).over(&ours);
    probe.shuts_down = true;
    map.insert(probe).unwrap();
    map.shut_down(map.now() + HOUR * 24 * 366 * 100);
    turn(&mut map);
    theirs.write_all(b"x").unwrap();
    drop(theirs);
    map.run().unwrap(); // with a wait of a hundred years
    assert_eq!(log.take(), ["a.read", "a.read", "a.close Eof"]);
}
