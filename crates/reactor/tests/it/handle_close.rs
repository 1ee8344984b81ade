//! What `handle_close` may do, and when it is not called at all.

use std::cell::Cell;
use std::rc::Rc;

use crate::common::{Log, On, Probe, pair, panics, turn};
use reactor::{ChannelMap, Readiness};

#[test]
fn handle_close_can_use_the_map_without_itself() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let b = map.insert(Probe::new("b", &log)).unwrap();
    let inner = log.clone();
    let a = Probe::new("a", &log).on(On::Close, move |_, me, map| {
        assert!(!map.is_open(me));
        assert!(!map.close(me));
        map.set_timer(me, map.now());
        assert_eq!(map.timers(), 0);
        map.get_mut(b).unwrap().received.push(1);
        map.insert(Probe::new("c", &inner))?;
        Ok(())
    });
    let a = map.insert(a).unwrap();
    map.close(a);
    turn(&mut map);
    assert_eq!(map.get(b).unwrap().received, [1]);
    assert_eq!(map.len(), 2);
}

#[test]
fn what_handle_close_inserts_runs_in_the_next_turn() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let heir_log = log.clone();
    let a = Probe::new("a", &log)
        .on(On::Read, |_, me, map| {
            map.close(me);
            Ok(())
        })
        .on(On::Close, move |_, _, map| {
            let mut heir = Probe::new("heir", &heir_log);
            heir.pending = true;
            let heir = map.insert(heir)?;
            map.dispatch(heir, Readiness::READABLE);
            Ok(())
        });
    let a = map.insert(a).unwrap();
    map.dispatch(a, Readiness::READABLE);
    turn(&mut map);
    assert_eq!(log.take(), ["a.read", "a.close Requested"]);
    turn(&mut map);
    assert_eq!(log.take(), ["heir.pending", "heir.read"]);
}

#[test]
fn a_channel_that_is_reborn_for_ever_does_not_hang_the_turn() {
    const FAR_TOO_MANY: u32 = 100_000;

    fn reborn(log: &Log, births: &Rc<Cell<u32>>) -> Probe {
        let (log2, births) = (log.clone(), Rc::clone(births));
        Probe::new("a", log).on(On::Close, move |_, _, map| {
            births.set(births.get() + 1);
            if births.get() < FAR_TOO_MANY {
                let next = map.insert(reborn(&log2, &births))?;
                map.close(next);
            }
            Ok(())
        })
    }

    let log = Log::default();
    let births = Rc::new(Cell::new(0));
    let mut map = ChannelMap::new().unwrap();
    let other = map.insert(Probe::new("other", &log)).unwrap();
    let first = map.insert(reborn(&log, &births)).unwrap();
    map.close(first);
    map.dispatch(other, Readiness::READABLE);
    for _ in 0..3 {
        turn(&mut map);
    }
    assert!(births.get() >= 3, "it goes on");
    assert!(births.get() < 100, "a turn is bounded");
    assert!(log.take().contains(&"other.read".to_owned()));
}

#[test]
fn dropping_the_map_drops_the_channels_and_calls_nobody() {
    let log = Log::default();
    let luggage = Rc::new(());
    let mut map = ChannelMap::new().unwrap();
    let [_, b] = ["a", "b"].map(|name| {
        let mut probe = Probe::new(name, &log);
        probe.luggage = Some(Rc::clone(&luggage));
        map.insert(probe).unwrap()
    });
    map.close(b); // not told yet, and never
    drop(map);
    assert_eq!(Rc::strong_count(&luggage), 1);
    assert!(log.take().is_empty());
}

#[test]
fn a_closed_channel_is_dropped_after_its_handle_close() {
    let log = Log::default();
    let luggage = Rc::new(());
    let (ours, _theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("a", &log).over(&ours);
    probe.luggage = Some(Rc::clone(&luggage));
    let probe = map.insert(probe).unwrap();
    map.close(probe);
    assert_eq!(Rc::strong_count(&luggage), 2);
    turn(&mut map);
    assert_eq!(Rc::strong_count(&luggage), 1);
}

#[test]
fn a_close_before_ones_own_panic_is_not_told() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = Probe::new("a", &log).on(On::Read, |_, me, map| {
        map.close(me);
        panic!("after the close");
    });
    let probe = map.insert(probe).unwrap();
    map.dispatch(probe, Readiness::READABLE);
    assert!(panics(|| {
        turn(&mut map);
    }));
    turn(&mut map);
    assert_eq!(log.take(), ["a.read"]);
    assert!(map.is_empty());
}
