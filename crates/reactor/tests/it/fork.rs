//! A child of the process shares the poller: a map that it drops is the parent's still.

#![cfg(target_os = "linux")]

use std::io::Write;
use std::thread;
use std::time::Duration;

use crate::common::alone::is_alone;
use crate::common::libc::in_a_child;
use crate::common::{Log, On, Probe, Stream, pair, turn};
use reactor::{ChannelMap, Readiness};

/// That events, timers and other threads' work all end the wait.
fn is_well(map: &mut ChannelMap, log: &Log, peer: &mut impl Write) {
    log.take();
    peer.write_all(b"x").unwrap();
    map.turn(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(log.take(), ["a.read"]);

    let (channel, _) = map.iter().next().unwrap();
    map.set_timer(channel, map.now() + Duration::from_millis(1));
    for _ in 0..3 {
        map.turn(Some(Duration::from_secs(10))).unwrap();
        if log.len() > 0 {
            break;
        }
    }
    assert_eq!(log.take(), ["a.timer"]);

    let remote = map.remote();
    let thread = thread::spawn(move || remote.run(|map: &mut ChannelMap| map.stop()).is_ok());
    assert_eq!(map.turn(Some(Duration::from_secs(10))).unwrap(), 1);
    assert!(thread.join().unwrap());
}

fn channel(log: &Log) -> (Probe, Stream, impl Write) {
    let (ours, theirs) = pair();
    (Probe::new("a", log).over(&ours), ours, theirs)
}

#[test]
fn a_child_that_drops_the_map_takes_nothing_from_its_parent() {
    if !is_alone(
        a_child_that_drops_the_map_takes_nothing_from_its_parent,
        &["env"],
    ) {
        return;
    }
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (probe, _ours, mut theirs) = channel(&log);
    map.insert(probe).unwrap();
    turn(&mut map);
    let mut in_child = Some(map);
    assert!(in_a_child(|| drop(in_child.take())));
    is_well(in_child.as_mut().unwrap(), &log, &mut theirs);
}

/// A worker begins with a map of its own, in the callback that made it.
#[test]
fn a_child_that_puts_a_new_map_in_place_takes_nothing_from_its_parent() {
    if !is_alone(
        a_child_that_puts_a_new_map_in_place_takes_nothing_from_its_parent,
        &["env"],
    ) {
        return;
    }
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (probe, _ours, mut theirs) = channel(&log);
    let mut is_done = false;
    let inner = log.clone();
    let probe = map
        .insert(probe.on(On::Read, move |probe, me, map| {
            if std::mem::replace(&mut is_done, true) {
                return probe.receive(me, map);
            }
            assert!(in_a_child(|| {
                *map = ChannelMap::new().unwrap();
                let (own, _ours, mut peer) = channel(&inner);
                map.insert(own).unwrap();
                is_well(map, &inner, &mut peer);
            }));
            Ok(())
        }))
        .unwrap();
    map.dispatch(probe, Readiness::READABLE);
    turn(&mut map);
    is_well(&mut map, &log, &mut theirs);
}
