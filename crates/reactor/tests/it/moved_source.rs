//! A source that leaves its channel: kept, given away, or to another map.

use std::io::Write;
use std::time::Duration;

use crate::common::{Log, Probe, both_ready, is_watched, pair, turn, turn_until};
use reactor::ChannelMap;

#[test]
fn a_source_that_left_its_channel_is_not_polled_any_more() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log).over(&ours)).unwrap();
    turn(&mut map);
    let kept = map.get_mut(probe).unwrap().stream.take().unwrap();
    theirs.write_all(b"unread for ever").unwrap();

    let wake = map.insert(Probe::new("wake", &log)).unwrap();
    map.set_timer(wake, map.now() + Duration::from_millis(50));
    let before = map.turns();
    turn_until(&mut map, |map| !map.get(wake).unwrap().fired.is_empty());
    assert!(map.turns() - before < 10, "unread input spins the loop");
    assert_eq!(log.take(), ["wake.timer"]);
    assert!(!is_watched(&mut map, &ours));
    drop(kept);
}

#[test]
fn a_source_moves_to_another_channel() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let giver = map.insert(Probe::new("giver", &log).over(&ours)).unwrap();
    turn(&mut map);
    let mut taker = Probe::new("taker", &log);
    taker.stream = map.get_mut(giver).unwrap().stream.take();
    let taker = map.insert(taker).unwrap();
    theirs.write_all(b"1").unwrap();
    turn(&mut map);
    assert_eq!(log.take(), ["taker.read"]);

    // The giver's end takes nothing from the taker.
    map.close(giver);
    turn(&mut map);
    log.take();
    theirs.write_all(b"2").unwrap();
    turn(&mut map);
    assert_eq!(log.take(), ["taker.read"]);
    assert_eq!(map.get(taker).unwrap().received, b"12");
}

#[test]
fn two_channels_swap_their_sources() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let ([a, b], mut peers) = both_ready(&log, &mut map);
    turn(&mut map);
    let of_a = map.get_mut(a).unwrap().stream.take();
    let of_b = std::mem::replace(&mut map.get_mut(b).unwrap().stream, of_a);
    map.get_mut(a).unwrap().stream = of_b;
    peers[0].write_all(b"to b").unwrap();
    turn(&mut map);
    peers[1].write_all(b"to a").unwrap();
    turn(&mut map);
    assert_eq!(map.get(a).unwrap().received, b"xto a");
    assert_eq!(map.get(b).unwrap().received, b"xto b");
}

#[test]
fn a_source_moves_to_another_map() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    let mut here = ChannelMap::new().unwrap();
    let mut there = ChannelMap::new().unwrap();
    let giver = here.insert(Probe::new("giver", &log).over(&ours)).unwrap();
    turn(&mut here);
    let mut taker = Probe::new("taker", &log);
    taker.stream = here.get_mut(giver).unwrap().stream.take();
    let taker = there.insert(taker).unwrap();
    turn(&mut there); // settled, so that nothing would register it again
    theirs.write_all(b"1").unwrap();
    turn(&mut here);
    assert!(log.take().is_empty());
    assert!(!is_watched(&mut here, &ours));
    drop(here);
    turn(&mut there);
    assert_eq!(there.get(taker).unwrap().received, b"1");
}
