//! A callback that puts another map in the place of its own: the channel goes home
//! to the map that it was in, or with it, and both go on.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::common::{Log, On, Probe, pair, panics, turn};
use reactor::{
    Channel, ChannelMap, CloseReason, Handle, NestedTurn, Readiness, Registration, Result, Token,
};

/// A probe of another type.
#[derive(Debug)]
struct Renamed(Probe);

impl Channel for Renamed {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn handle_read_event(&mut self, _me: Token, _map: &mut ChannelMap) -> Result {
        unreachable!("it is closed");
    }

    fn handle_close(&mut self, reason: CloseReason, me: Token, map: &mut ChannelMap) {
        self.0.handle_close(reason, me, map);
    }
}

/// The map that the channel was in is gone, and so is the channel.
#[test]
fn a_callback_may_put_a_new_map_in_place_of_its_own() {
    for on in [
        On::Expt,
        On::Read,
        On::Write,
        On::Pending,
        On::Timer,
        On::Error,
        On::Close,
    ] {
        let log = Log::default();
        let luggage = Rc::new(());
        let (ours, _theirs) = pair();
        let mut map = ChannelMap::new().unwrap();
        let mut probe = Probe::new("a", &log).over(&ours);
        if on == On::Error {
            probe = probe.on(On::Read, |_, _, _| Err("boom".into()));
        }
        let mut probe = probe.on(on, |_, me, map| {
            *map = ChannelMap::new().unwrap();
            assert!(!map.is_open(me));
            Ok(())
        });
        probe.luggage = Some(Rc::clone(&luggage));
        probe.pending = on == On::Pending;
        probe.writable = true;
        let probe = map.insert(probe).unwrap();
        match on {
            On::Expt => map.dispatch(probe, Readiness::PRIORITY),
            On::Read | On::Error => map.dispatch(probe, Readiness::READABLE),
            On::Close => map.close(probe),
            _ => true,
        };
        if on == On::Timer {
            map.set_timer(probe, map.now());
        }
        turn(&mut map);
        assert_eq!(Rc::strong_count(&luggage), 1, "it is dropped");
        assert!(map.is_empty());
        log.take();

        let next = map.insert(Probe::new("next", &log).over(&ours)).unwrap();
        map.dispatch(next, Readiness::READABLE);
        turn(&mut map);
        assert_eq!(log.take(), ["next.read"]);
    }
}

/// A map that a callback can get at, which is empty but for `other`.
struct Stash {
    map: Rc<RefCell<ChannelMap>>,
    other: Handle<Probe>,
}

impl Stash {
    fn new(log: &Log) -> Self {
        let mut map = ChannelMap::new().unwrap();
        let other = map.insert(Probe::new("other", log)).unwrap();
        Self {
            map: Rc::new(RefCell::new(map)),
            other,
        }
    }

    /// What swaps the caller's map and this one.
    fn swap(&self) -> impl Fn(&mut ChannelMap) + 'static {
        let stash = Rc::clone(&self.map);
        move |map| std::mem::swap(map, &mut stash.borrow_mut())
    }
}

/// A channel in there may own the map that it is in.
impl Drop for Stash {
    fn drop(&mut self) {
        self.map.replace(ChannelMap::new().unwrap());
    }
}

/// Both maps turn, and each calls its own channels.
fn both_are_well(log: &Log, here: &mut ChannelMap, mine: &[Handle<Probe>], stash: &Stash) {
    let there = &mut *stash.map.borrow_mut();
    log.take();
    here.dispatch(stash.other, Readiness::READABLE);
    turn(here);
    assert_eq!(log.take(), ["other.read"]);
    assert_eq!(here.len(), 1);

    turn(there); // what the swap interrupted
    log.take();
    assert_eq!(there.len(), mine.len());
    for &probe in mine {
        assert!(there.get(probe).is_ok(), "it is back");
        there.dispatch(probe, Readiness::READABLE);
        turn(there);
        let lines = log.take();
        assert_eq!(lines.len(), 1, "{lines:?}");
        there.close(probe);
        turn(there);
        assert_eq!(log.len(), 1);
        assert!(log.take()[0].ends_with(".close Requested"));
    }
    assert!(there.is_empty());
    there.insert(Probe::new("late", log)).unwrap();
    turn(there);
}

#[test]
fn a_callback_may_swap_its_map_for_another() {
    for on in [
        On::Expt,
        On::Read,
        On::Write,
        On::Pending,
        On::Timer,
        On::Error,
    ] {
        let log = Log::default();
        let stash = Stash::new(&log);
        let swap = stash.swap();
        let mut probe = Probe::new("a", &log);
        if on == On::Error {
            let mut results = vec![Err("boom".into())];
            probe = probe.on(On::Read, move |_, _, _| results.pop().unwrap_or(Ok(())));
        }
        let other = stash.other;
        let mut is_done = false;
        let mut probe = probe.on(on, move |probe, me, map| {
            if !std::mem::replace(&mut is_done, true) {
                swap(map);
                assert!(!map.is_open(me) && map.is_open(other));
            }
            probe.pending = false;
            Ok(())
        });
        probe.pending = on == On::Pending;
        probe.writable = on == On::Write;
        let mut map = ChannelMap::new().unwrap();
        let probe = map.insert(probe).unwrap();
        let readiness = match on {
            On::Expt => Readiness::PRIORITY,
            On::Write => Readiness::WRITABLE,
            On::Pending | On::Timer => Readiness::NONE,
            _ => Readiness::READABLE,
        };
        map.dispatch(probe, readiness);
        if on == On::Timer {
            map.set_timer(probe, map.now());
        }
        turn(&mut map);
        both_are_well(&log, &mut map, &[probe], &stash);
    }
}

/// Of three channels in one batch, the first that is called swaps: the other two are
/// the first map's, and are called when that is turned.
#[test]
fn the_rest_of_a_batch_goes_with_its_map() {
    let log = Log::default();
    let stash = Stash::new(&log);
    let swap = Rc::new(stash.swap());
    let is_done = Rc::new(Cell::new(false));
    let mut map = ChannelMap::new().unwrap();
    let probes = ["a", "b", "c"].map(|name| {
        let (swap, is_done) = (Rc::clone(&swap), Rc::clone(&is_done));
        let probe = Probe::new(name, &log).on(On::Read, move |_, _, map| {
            if !is_done.replace(true) {
                swap(map);
            }
            Ok(())
        });
        map.insert(probe).unwrap()
    });
    for probe in probes {
        map.dispatch(probe, Readiness::READABLE);
    }
    map.dispatch(probes[2], Readiness::PRIORITY);
    turn(&mut map);
    assert_eq!(log.take(), ["a.read"]);
    turn(&mut map);
    assert!(log.take().is_empty(), "none of them is the other map's");
    turn(&mut stash.map.borrow_mut());
    assert_eq!(log.take(), ["b.read", "c.expt", "c.read"]);
    both_are_well(&log, &mut map, &probes, &stash);
}

/// What the other map has to do is done by its own turn.
#[test]
fn the_turn_of_the_first_map_calls_no_channel_of_the_other() {
    for on in [On::Read, On::Timer, On::Close] {
        let log = Log::default();
        let stash = Stash::new(&log);
        give_work(&log, &mut stash.map.borrow_mut(), stash.other);
        let swap = stash.swap();
        let probe = Probe::new("a", &log).on(on, move |_, _, map| {
            swap(map);
            Ok(())
        });
        let mut map = ChannelMap::new().unwrap();
        let probe = map.insert(probe).unwrap();
        match on {
            On::Read => assert!(map.dispatch(probe, Readiness::READABLE)),
            On::Close => assert!(map.close(probe)),
            _ => drop(map.set_timer(probe, map.now())),
        }
        turn(&mut map);
        assert_eq!(log.len(), 1, "{:?}", log.all());
        log.take();
        does_its_work(&log, &mut map);
    }
}

thread_local! {
    /// For work, which cannot own a map.
    static STASH: RefCell<Option<ChannelMap>> = const { RefCell::new(None) };
}

#[test]
fn nor_does_its_remote_work() {
    let log = Log::default();
    let mut there = ChannelMap::new().unwrap();
    let other = there.insert(Probe::new("other", &log)).unwrap();
    give_work(&log, &mut there, other);
    STASH.set(Some(there));
    let mut map = ChannelMap::new().unwrap();
    let remote = map.remote();
    let swap = |map: &mut ChannelMap| {
        STASH.with_borrow_mut(|stash| std::mem::swap(map, stash.as_mut().unwrap()));
    };
    remote.run(swap).unwrap();
    let done = Arc::new(());
    let luggage = Arc::clone(&done);
    remote.run(move |_: &mut ChannelMap| drop(luggage)).unwrap();
    turn(&mut map);
    assert_eq!(log.len(), 0);
    does_its_work(&log, &mut map);
    assert_eq!(Arc::strong_count(&done), 2, "the rest is the first map's");
    let mut first = STASH.take().unwrap();
    turn(&mut first);
    assert_eq!(Arc::strong_count(&done), 1);
}

fn give_work(log: &Log, map: &mut ChannelMap, other: Handle<Probe>) {
    let second = map.insert(Probe::new("second", log)).unwrap();
    map.dispatch(other, Readiness::READABLE);
    map.set_timer(other, map.now());
    map.close(second);
    map.remote()
        .run(|map: &mut ChannelMap| assert_eq!(map.len(), 1))
        .unwrap();
}

fn does_its_work(log: &Log, map: &mut ChannelMap) {
    assert_eq!(turn(map), 3);
    let lines = log.take();
    assert_eq!(
        lines,
        ["second.close Requested", "other.read", "other.timer"]
    );
}

#[test]
fn what_closes_or_works_from_afar_may_swap_the_map() {
    let log = Log::default();
    let stash = Stash::new(&log);
    let swap = stash.swap();
    let mut map = ChannelMap::new().unwrap();
    let closer = Probe::new("closer", &log).on(On::Close, move |_, _, map| {
        swap(map);
        Ok(())
    });
    let closer = map.insert(closer).unwrap();
    let next = map.insert(Probe::new("next", &log)).unwrap();
    let probe = map.insert(Probe::new("a", &log)).unwrap();
    map.close(closer);
    map.close(next);
    turn(&mut map);
    assert_eq!(log.take(), ["closer.close Requested"]);
    turn(&mut stash.map.borrow_mut());
    assert_eq!(log.take(), ["next.close Requested"], "once");
    both_are_well(&log, &mut map, &[probe], &stash);

    // Work cannot own an `Rc`: here it takes the map away altogether.
    let mut map = ChannelMap::new().unwrap();
    map.insert(Probe::new("a", &log)).unwrap();
    let remote = map.remote();
    remote
        .run(|map: &mut ChannelMap| *map = ChannelMap::new().unwrap())
        .unwrap();
    remote.run(|_: &mut ChannelMap| unreachable!()).unwrap();
    turn(&mut map);
    assert!(map.is_empty());
    turn(&mut map);
}

/// Closed, converted or called again while it is out.
#[test]
fn the_first_map_may_be_used_before_its_channel_is_back() {
    let log = Log::default();
    let stash = Stash::new(&log);
    let swap = stash.swap();
    let there = Rc::clone(&stash.map);
    let probe = Probe::new("a", &log).on(On::Read, move |_, me, map| {
        swap(map);
        let mut there = there.borrow_mut();
        assert!(
            there
                .turn(None)
                .is_err_and(|error| error.is::<NestedTurn>())
        );
        assert!(there.run().is_err_and(|error| error.is::<NestedTurn>()));
        assert!(there.get(me.handle::<Probe>()).is_err());
        there
            .convert(me.handle(), |probe: Probe| Renamed(probe))
            .unwrap();
        assert!(there.close(me));
        Ok(())
    });
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(probe).unwrap();
    map.dispatch(probe, Readiness::READABLE);
    turn(&mut map);
    assert_eq!(log.take(), ["a.read"]);
    turn(&mut stash.map.borrow_mut());
    assert_eq!(log.take(), ["a.close Requested"], "once, by the new type");
    assert!(stash.map.borrow().is_empty());
}

/// `with` needs no turn of the first map before.
#[test]
fn with_finds_a_channel_that_is_to_come_home() {
    let log = Log::default();
    let stash = Stash::new(&log);
    let swap = stash.swap();
    let probe = Probe::new("a", &log).on(On::Read, move |_, _, map| {
        swap(map);
        Ok(())
    });
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(probe).unwrap();
    map.dispatch(probe, Readiness::READABLE);
    turn(&mut map);
    let name = stash.map.borrow_mut().with(probe, |probe, map| {
        assert!(map.turn(None).is_err_and(|error| error.is::<NestedTurn>()));
        probe.name
    });
    assert_eq!(name, Ok("a"));
    assert!(stash.map.borrow().get(probe).is_ok());
}

/// A panic takes its channel along, wherever its map is by then.
#[test]
fn a_callback_that_panics_after_a_swap_is_dropped_with_the_first_map_going_on() {
    let log = Log::default();
    let stash = Stash::new(&log);
    let swap = stash.swap();
    let luggage = Rc::new(());
    let mut probe = Probe::new("a", &log).on(On::Read, move |_, _, map| {
        swap(map);
        panic!("in another map");
    });
    probe.luggage = Some(Rc::clone(&luggage));
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(probe).unwrap();
    let second = map.insert(Probe::new("b", &log)).unwrap();
    map.dispatch(probe, Readiness::READABLE);
    map.dispatch(second, Readiness::READABLE);
    assert!(panics(|| {
        turn(&mut map);
    }));
    assert_eq!(Rc::strong_count(&luggage), 1, "it is dropped");
    assert_eq!(log.take(), ["a.read"]);
    turn(&mut stash.map.borrow_mut());
    assert_eq!(log.take(), ["b.read"]);
    both_are_well(&log, &mut map, &[second], &stash);
}

#[test]
fn inside_with_the_map_may_be_swapped_too() {
    let log = Log::default();
    for is_inside_a_turn in [false, true] {
        for panics_then in [false, true] {
            let stash = Stash::new(&log);
            let swap = stash.swap();
            let mut map = ChannelMap::new().unwrap();
            let lent = map.insert(Probe::new("lent", &log)).unwrap();
            let act = move |map: &mut ChannelMap| {
                map.with(lent, |_, map| {
                    swap(map);
                    assert!(!panics_then);
                })
                .unwrap();
                Ok(())
            };
            let mut left = vec![lent];
            if panics_then {
                left.clear();
            }
            let did_panic = if is_inside_a_turn {
                let mut act = Some(act);
                let probe = Probe::new("a", &log);
                let probe = probe.on(On::Read, move |_, _, map| match act.take() {
                    Some(act) => act(map),
                    None => Ok(()),
                });
                let probe = map.insert(probe).unwrap();
                if !panics_then {
                    left.push(probe);
                }
                map.dispatch(probe, Readiness::READABLE);
                panics(|| {
                    turn(&mut map);
                })
            } else {
                panics(|| act(&mut map).unwrap())
            };
            assert_eq!(did_panic, panics_then);
            both_are_well(&log, &mut map, &left, &stash);
        }
    }
}

/// There and back again: nobody notices, unless a channel was lent meanwhile.
#[test]
fn a_swap_may_be_undone() {
    let log = Log::default();
    let stash = Stash::new(&log);
    let (there, back) = (stash.swap(), stash.swap());
    let mut map = ChannelMap::new().unwrap();
    let lent = map.insert(Probe::new("lent", &log)).unwrap();
    let probe = Probe::new("a", &log).on(On::Read, move |_, _, map| {
        map.with(lent, |_, map| there(map)).unwrap();
        back(map);
        assert!(map.get(lent).is_err(), "it comes home before the next turn");
        Ok(())
    });
    let probe = map.insert(probe).unwrap();
    map.dispatch(probe, Readiness::READABLE);
    map.dispatch(lent, Readiness::READABLE);
    turn(&mut map);
    assert_eq!(log.take(), ["a.read"]);
    turn(&mut map);
    assert_eq!(log.take(), ["lent.read"], "its event waited for it");
    assert!(map.get(probe).is_ok());
}

/// The handle's own channel, lent by `with`.
#[test]
fn inside_with_the_map_may_be_replaced_too() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log)).unwrap();
    let name = map.with(probe, |probe, map| {
        *map = ChannelMap::new().unwrap();
        probe.name
    });
    assert_eq!(name, Ok("a"));
    assert!(map.is_empty());
    map.insert(Probe::new("b", &log)).unwrap();
    turn(&mut map);
}

/// A loan that ends in another map, inside of a callback that puts its own map back: the
/// turn goes on in a map of which one channel is astray.
#[test]
fn a_channel_that_a_loan_lost_for_a_moment_has_its_timer_and_its_close() {
    for is_closed in [false, true] {
        let log = Log::default();
        let stash = Stash::new(&log);
        let mut map = ChannelMap::new().unwrap();
        let lent = map.insert(Probe::new("lent", &log)).unwrap();
        let there = Rc::clone(&stash.map);
        let lender = Probe::new("lender", &log).on(On::Read, move |_, _, map| {
            let swap = |map: &mut ChannelMap| std::mem::swap(map, &mut there.borrow_mut());
            map.with(lent, |_, map| swap(map)).unwrap();
            swap(map);
            map.set_timer(lent, map.now());
            if is_closed {
                map.close(lent);
            }
            Ok(())
        });
        let lender = map.insert(lender).unwrap();
        turn(&mut map);
        log.take();
        map.dispatch(lender, Readiness::READABLE);
        turn(&mut map);
        turn(&mut map);
        turn(&mut map);
        match is_closed {
            true => assert_eq!(log.take(), ["lender.read", "lent.close Requested"]),
            false => assert_eq!(log.take(), ["lender.read", "lent.timer"]),
        }
    }
}
