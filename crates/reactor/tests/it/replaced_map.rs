//! A callback that puts another map in the place of its own: the channel goes
//! with the map that it was in, and the program goes on.

use std::cell::RefCell;
use std::rc::Rc;

use crate::common::{Log, On, Probe, pair, turn};
use reactor::{ChannelMap, Readiness};

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

#[test]
fn a_callback_may_swap_its_map_for_another() {
    let log = Log::default();
    let luggage = Rc::new(());
    let stash = Rc::new(RefCell::new(ChannelMap::new().unwrap()));
    let other = Probe::new("other", &log);
    let other = stash.borrow_mut().insert(other).unwrap();
    let inner = Rc::clone(&stash);
    let mut probe = Probe::new("a", &log).on(On::Read, move |_, me, map| {
        std::mem::swap(map, &mut inner.borrow_mut());
        assert!(!map.is_open(me) && map.is_open(other));
        Err("in another map".into())
    });
    probe.luggage = Some(Rc::clone(&luggage));
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(probe).unwrap();
    map.dispatch(probe, Readiness::READABLE);
    turn(&mut map);
    assert_eq!(Rc::strong_count(&luggage), 1, "it is dropped");
    assert_eq!(log.take(), ["a.read", "a.error in another map"]);

    map.dispatch(other, Readiness::READABLE);
    turn(&mut map);
    assert_eq!(log.take(), ["other.read"]);
    stash.replace(ChannelMap::new().unwrap());
    assert_eq!(Rc::strong_count(&stash), 1);
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
    assert_eq!(name, Some("a"));
    assert!(map.is_empty());
    map.insert(Probe::new("b", &log)).unwrap();
    turn(&mut map);
}
