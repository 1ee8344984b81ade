//! What the poller watches, and when it forgets it.

use std::io::Write;
use std::sync::Arc;

use crate::common::{Log, On, Probe, change, is_watched, pair, turn};
use reactor::{Channel, ChannelMap, Readiness, Source};

#[test]
fn a_channel_is_registered_from_its_insertion() {
    let log = Log::default();
    let (ours, _theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    assert!(!is_watched(&mut map, &ours));
    map.insert(Probe::new("a", &log).over(&ours)).unwrap();
    assert!(is_watched(&mut map, &ours));
}

/// A duplicate, or a shared descriptor as here, stays open: closing alone would
/// leave it in the poller.
#[test]
fn dropping_a_source_deregisters_a_descriptor_that_stays_open() {
    let log = Log::default();
    let (ours, _theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log).over(&ours)).unwrap();
    map.get_mut(probe).unwrap().stream = None;
    assert!(!is_watched(&mut map, &ours));
}

#[test]
fn replacing_a_whole_channel_deregisters_its_source() {
    let log = Log::default();
    let (ours, _theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log).over(&ours)).unwrap();
    *map.get_mut(probe).unwrap() = Probe::new("b", &log);
    assert!(!is_watched(&mut map, &ours));
}

#[test]
fn into_inner_deregisters() {
    let log = Log::default();
    let (ours, _theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log).over(&ours)).unwrap();
    let source = map.get_mut(probe).unwrap().stream.take().unwrap();
    let back = source.into_inner();
    assert!(Arc::ptr_eq(&back, &ours));
    assert!(!is_watched(&mut map, &ours));
    turn(&mut map);
}

#[test]
fn a_removed_channel_is_deregistered_while_it_lives() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log).over(&ours)).unwrap();
    let removed = map.remove(probe).unwrap();
    assert!(!is_watched(&mut map, &ours));
    theirs.write_all(b"x").unwrap();
    assert_eq!(turn(&mut map), 0);

    let again = map.insert(removed).unwrap();
    turn(&mut map);
    assert_eq!(map.get(again).unwrap().received, b"x");
}

#[test]
fn in_handle_close_the_source_lives_and_is_deregistered() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let shared = Arc::clone(&ours);
    let probe = Probe::new("a", &log)
        .over(&ours)
        .on(On::Close, move |probe, _, map| {
            assert!(!is_watched(map, &shared));
            let stream = probe.stream.as_ref().unwrap();
            (&***stream).write_all(b"good-bye")?;
            Ok(())
        });
    let probe = map.insert(probe).unwrap();
    map.close(probe);
    turn(&mut map);
    drop(ours);
    let mut received = Vec::new();
    std::io::Read::read_to_end(&mut theirs, &mut received).unwrap();
    assert_eq!(received, b"good-bye");
}

#[test]
fn a_channel_that_wants_nothing_is_not_registered() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    theirs.write_all(b"x").unwrap();
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("a", &log).over(&ours);
    probe.readable = false;
    let probe = map.insert(probe).unwrap();
    assert!(!is_watched(&mut map, &ours));
    for wants in [true, false, true] {
        change(&mut map, probe, |probe| {
            probe.readable = wants;
            probe.received.clear();
        });
        turn(&mut map);
        assert_eq!(is_watched(&mut map, &ours), wants);
        theirs.write_all(b"y").unwrap();
    }
    assert!(!log.take().is_empty());
}

#[test]
fn interest_follows_what_the_channel_says() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    theirs.write_all(b"x").unwrap();
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("a", &log).over(&ours);
    probe.readable = false;
    let probe = map.insert(probe).unwrap();
    for (readable, writable, expected) in [
        (false, true, &["a.write"][..]),
        (true, false, &["a.read"]),
        (false, false, &[]),
        (true, true, &["a.read", "a.write"]),
    ] {
        change(&mut map, probe, |probe| {
            (probe.readable, probe.writable) = (readable, writable);
        });
        turn(&mut map);
        assert_eq!(log.take(), expected);
        theirs.write_all(b"x").unwrap();
    }
}

/// asyncore asks every channel on every turn.
#[test]
fn an_idle_channel_is_not_asked_because_another_is_active() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let idle: Vec<_> = (0..100)
        .map(|_| map.insert(Probe::new("idle", &log)).unwrap())
        .collect();
    let active = map.insert(Probe::new("active", &log).over(&ours)).unwrap();
    turn(&mut map);
    let asked = |map: &ChannelMap| -> u32 {
        idle.iter()
            .map(|&probe| map.get(probe).unwrap().asked.get())
            .sum()
    };
    let before = asked(&map);
    for _ in 0..20 {
        theirs.write_all(b"x").unwrap();
        turn(&mut map);
    }
    assert_eq!(map.get(active).unwrap().received.len(), 20);
    assert_eq!(asked(&map), before);
}

#[test]
fn what_is_left_unread_is_reported_again() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    theirs.write_all(b"x").unwrap();
    let mut map = ChannelMap::new().unwrap();
    let lazy = Probe::new("lazy", &log).over(&ours);
    map.insert(lazy.on(On::Read, |_, _, _| Ok(()))).unwrap();
    for _ in 0..3 {
        turn(&mut map);
        assert_eq!(log.take(), ["lazy.read"]);
    }
}

#[test]
fn a_channel_without_a_source_may_get_one_later() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    theirs.write_all(b"x").unwrap();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log)).unwrap();
    turn(&mut map);
    change(&mut map, probe, |probe| {
        probe.stream = Some(Source::new(Arc::clone(&ours)));
    });
    turn(&mut map);
    assert_eq!(map.get(probe).unwrap().received, b"x");
}

#[test]
fn a_source_may_outlive_its_map() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log).over(&ours)).unwrap();
    let source = map.get_mut(probe).unwrap().stream.take();
    drop(map);

    let mut next = ChannelMap::new().unwrap();
    let mut probe = Probe::new("b", &log);
    probe.stream = source;
    assert!(probe.registration().is_some());
    let probe = next.insert(probe).unwrap();
    theirs.write_all(b"x").unwrap();
    next.dispatch(probe, Readiness::NONE);
    turn(&mut next);
    assert_eq!(next.get(probe).unwrap().received, b"x");
}
