//! Closing a channel: hidden at once, told later, exactly once.

use crate::common::{Log, On, Probe, turn};
use reactor::{ChannelMap, CloseReason, Handle, Readiness};

fn map_with<const N: usize>(
    log: &Log,
    names: [&'static str; N],
) -> (ChannelMap, [Handle<Probe>; N]) {
    let mut map = ChannelMap::new().unwrap();
    let probes = names.map(|name| map.insert(Probe::new(name, log)).unwrap());
    (map, probes)
}

#[test]
fn a_closed_channel_is_hidden_at_once_and_told_later() {
    let log = Log::default();
    let (mut map, [a]) = map_with(&log, ["a"]);
    assert!(map.close(a));
    assert!(!map.is_open(a));
    assert!(map.get(a).is_err());
    assert!(map.get_mut(a).is_err());
    assert!(map.remove(a).is_err());
    assert!(map.with(a, |_, _| ()).is_err());
    assert_eq!(map.iter().count(), 0);
    assert_eq!(map.iter_mut::<Probe>().count(), 0);
    assert!(map.is_empty());
    assert!(log.take().is_empty());
    turn(&mut map);
    assert_eq!(log.take(), ["a.close Requested"]);
}

#[test]
fn run_tells_the_last_channel_before_it_returns() {
    let log = Log::default();
    let (mut map, [a]) = map_with(&log, ["a"]);
    map.close(a);
    map.run().unwrap();
    assert_eq!(log.take(), ["a.close Requested"]);
}

#[test]
fn closing_twice_is_one_close_for_the_first_reason() {
    let log = Log::default();
    let (mut map, [a]) = map_with(&log, ["a"]);
    assert!(map.close_with(a, CloseReason::TimedOut));
    assert!(!map.close(a));
    map.close_all();
    turn(&mut map);
    turn(&mut map);
    assert!(!map.close(a));
    turn(&mut map);
    assert_eq!(log.take(), ["a.close TimedOut"]);
}

#[test]
fn closes_come_first_in_first_out() {
    let log = Log::default();
    let (mut map, [a, b, c, d]) = map_with(&log, ["a", "b", "c", "d"]);
    for probe in [c, a, d, b] {
        map.close(probe);
    }
    turn(&mut map);
    assert_eq!(
        log.take(),
        ["c", "a", "d", "b"].map(|name| format!("{name}.close Requested"))
    );
}

#[test]
fn closing_oneself_takes_effect_when_the_callback_has_returned() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let inner = log.clone();
    let probe = Probe::new("a", &log).on(On::Read, move |_, me, map| {
        assert!(map.close(me));
        assert!(!map.close(me));
        assert!(!map.is_open(me));
        assert!(map.is_empty());
        inner.add("a.returns");
        Ok(())
    });
    let probe = map.insert(probe).unwrap();
    map.dispatch(probe, Readiness::READABLE);
    turn(&mut map);
    assert_eq!(log.take(), ["a.read", "a.returns", "a.close Requested"]);
}

#[test]
fn a_close_in_a_callback_is_told_before_the_next_event() {
    let log = Log::default();
    let (mut map, [victim, bystander]) = map_with(&log, ["victim", "bystander"]);
    let killer = Probe::new("killer", &log).on(On::Read, move |_, _, map| {
        assert!(map.close(victim));
        assert!(map.get(victim).is_err());
        Ok(())
    });
    let killer = map.insert(killer).unwrap();
    for probe in [killer, victim, bystander] {
        map.dispatch(probe, Readiness::READABLE);
    }
    turn(&mut map);
    // Nothing is promised about the order in a batch; but once closed, no event.
    let lines = log.take();
    let close = lines
        .iter()
        .position(|line| line == "victim.close Requested");
    let killed = lines.iter().position(|line| line == "killer.read").unwrap();
    assert_eq!(close, Some(killed + 1), "{lines:?}");
    assert!(lines[killed..].iter().all(|line| line != "victim.read"));
    assert!(lines.contains(&"bystander.read".to_owned()));
}

#[test]
fn no_further_callback_of_the_same_event_follows_a_close() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("a", &log).on(On::Expt, |_, me, map| {
        map.set_timer(me, map.now());
        map.close(me);
        Ok(())
    });
    probe.writable = true;
    let probe = map.insert(probe).unwrap();
    map.set_timer(probe, map.now());
    map.dispatch(
        probe,
        Readiness::PRIORITY | Readiness::READABLE | Readiness::WRITABLE,
    );
    turn(&mut map);
    assert_eq!(log.take(), ["a.expt", "a.close Requested"]);
    assert_eq!(map.timers(), 0);
}

#[test]
fn close_all_closes_those_in_a_callback_as_well() {
    let log = Log::default();
    let (mut map, [_, _]) = map_with(&log, ["a", "b"]);
    let c = Probe::new("c", &log).on(On::Read, |_, _, map| {
        map.close_all();
        assert!(map.is_empty());
        Ok(())
    });
    let c = map.insert(c).unwrap();
    map.dispatch(c, Readiness::READABLE);
    map.run().unwrap();
    let mut lines = log.take();
    lines.sort();
    assert_eq!(
        lines,
        [
            "a.close Requested",
            "b.close Requested",
            "c.close Requested",
            "c.read"
        ]
    );
}
