//! Channels in the background: the last to be told to finish, once, when nobody else is
//! left.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::common::{Log, On, Probe, change, turn, turn_until};
use reactor::{ChannelMap, Handle, Readiness};

const HOUR: Duration = Duration::from_secs(3600);

/// A channel that closes when it is told to read.
fn other(name: &'static str, log: &Log) -> Probe {
    Probe::new(name, log).on(On::Read, |_, me, map| {
        map.close(me);
        Ok(())
    })
}

fn insert_background(map: &mut ChannelMap, log: &Log) -> Handle<Probe> {
    let background = map.insert(Probe::new("background", log)).unwrap();
    assert!(map.set_background(background));
    background
}

#[test]
fn run_ends_with_the_last_channel_that_is_not_in_the_background() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    insert_background(&mut map, &log);
    let other = map.insert(other("other", &log)).unwrap();
    map.dispatch(other, Readiness::READABLE);
    map.run().unwrap();
    let closes = ["other.close Requested", "background.close Shutdown"];
    assert_eq!(log.take()[1..], closes);
}

#[test]
fn run_ends_with_nothing_but_the_background() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    insert_background(&mut map, &log);
    map.run().unwrap();
    assert_eq!(log.take(), ["background.close Shutdown"]);
}

/// A client that connects again from its `handle_close` leaves no gap.
#[test]
fn a_channel_that_comes_in_place_of_another_keeps_the_background() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let background = insert_background(&mut map, &log);
    let (place, name) = (Rc::new(Cell::new(None)), log.clone());
    let replaced = Rc::clone(&place);
    let first = other("first", &log).on(On::Close, move |_, _, map| {
        replaced.set(Some(map.insert(other("second", &name))?));
        Ok(())
    });
    let first = map.insert(first).unwrap();
    map.close(first);
    for _ in 0..3 {
        turn(&mut map);
        change(&mut map, background, |it| assert_eq!(it.shutdown_calls, 0));
    }
    map.dispatch(place.get().unwrap(), Readiness::READABLE);
    map.run().unwrap();
    let ends = [
        "first.close Requested",
        "second.read",
        "second.close Requested",
    ];
    assert_eq!(
        log.take(),
        [&ends[..], &["background.close Shutdown"]].concat()
    );
}

#[test]
fn remote_work_that_waits_may_bring_others() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let background = insert_background(&mut map, &log);
    assert!(
        map.remote()
            .run(move |map| assert!(map.is_open(background)))
            .is_ok()
    );
    map.run().unwrap();
    assert!(map.is_empty());
}

/// What the others say when they end can be taken by the background.
#[test]
fn a_shutdown_comes_to_the_background_when_the_others_are_gone() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let background = insert_background(&mut map, &log);
    let mut slow = other("slow", &log);
    slow.shuts_down = true;
    let slow = map.insert(slow).unwrap();
    map.shut_down(map.now() + HOUR);
    for _ in 0..3 {
        turn(&mut map);
        change(&mut map, background, |it| assert_eq!(it.shutdown_calls, 0));
    }
    map.dispatch(slow, Readiness::READABLE);
    map.run().unwrap();
    assert_eq!(
        log.take(),
        [
            "slow.read",
            "slow.close Requested",
            "background.close Shutdown"
        ]
    );
}

#[test]
fn at_the_deadline_the_background_is_closed_as_well() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    insert_background(&mut map, &log);
    let mut stuck = Probe::new("stuck", &log);
    stuck.shuts_down = true;
    map.insert(stuck).unwrap();
    let deadline = map.now() + HOUR;
    map.shut_down(deadline);
    map.turn_at(deadline).unwrap();
    assert!(map.is_empty());
}

/// One that takes its time to finish is not told again.
#[test]
fn the_background_is_told_once() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let mut slow = other("slow", &log);
    slow.shuts_down = true;
    let slow = map.insert(slow).unwrap();
    assert!(map.set_background(slow));
    assert!(map.set_background(slow));
    for _ in 0..3 {
        turn(&mut map);
        change(&mut map, slow, |it| assert_eq!(it.shutdown_calls, 1));
    }
    map.dispatch(slow, Readiness::READABLE);
    map.run().unwrap();
    assert_eq!(log.take(), ["slow.read", "slow.close Requested"]);
}

#[test]
fn what_is_closed_or_told_already_cannot_go_there() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let closed = map.insert(Probe::new("closed", &log)).unwrap();
    map.close(closed);
    assert!(!map.set_background(closed));
    let late = map.insert(Probe::new("late", &log)).unwrap();
    map.shut_down(map.now() + HOUR);
    assert!(!map.set_background(late));
    map.run().unwrap();
    assert!(map.is_empty());
}

/// A program that turns the map itself has no other end.
#[test]
fn a_turn_ends_a_background_that_is_alone_as_run_does() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    insert_background(&mut map, &log);
    turn_until(&mut map, |_| log.has("background.close Shutdown"));
    assert!(map.is_empty());
}
