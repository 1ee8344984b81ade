//! A channel that becomes another type: same slot, same token.

use std::io::Write;
use std::time::Duration;

use crate::common::{Log, On, Probe, pair, slot, turn};
use reactor::{
    Channel, ChannelMap, CloseReason, Handle, Readiness, Registration, Result, Timer, Token,
};

/// What a probe becomes: it keeps the probe, and prefixes what it notes.
#[derive(Debug)]
struct Grown {
    probe: Probe,
    log: Log,
    age: u32,
}

impl Channel for Grown {
    fn registration(&self) -> Option<&Registration> {
        self.probe.registration()
    }

    fn pending(&self, _me: Token) -> bool {
        self.probe.pending
    }

    fn handle_read_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.log.add("grown.read");
        self.probe.receive(me, map)
    }

    fn handle_pending(&mut self, _me: Token, _map: &mut ChannelMap) -> Result {
        self.log.add("grown.pending");
        self.probe.pending = false;
        Ok(())
    }

    fn handle_timer(&mut self, _timer: Timer, _me: Token, _map: &mut ChannelMap) -> Result {
        self.log.add("grown.timer");
        Ok(())
    }

    fn handle_close(&mut self, _reason: CloseReason, _me: Token, _map: &mut ChannelMap) {
        self.log.add("grown.close");
    }
}

fn grow(log: &Log) -> impl FnOnce(Probe) -> Grown + use<> {
    let log = log.clone();
    move |probe| Grown { probe, log, age: 1 }
}

fn older(grown: Grown) -> Grown {
    Grown {
        age: grown.age + 1,
        ..grown
    }
}

#[test]
fn from_outside_it_happens_at_once() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let young = map.insert(Probe::new("a", &log).over(&ours)).unwrap();
    turn(&mut map);
    let timer = map.set_timer(young, map.now());

    let grown = map.convert(young, grow(&log)).unwrap();
    assert_eq!(grown.token(), young.token());
    assert_eq!(slot(grown), slot(young));
    assert!(map.get(young).is_err());
    assert!(map.remove(young).is_err());
    assert!(map.convert(young, grow(&log)).is_err());
    assert_eq!(map.get(grown).unwrap().age, 1);
    assert_eq!((map.len(), map.timers()), (1, 1));

    theirs.write_all(b"still registered").unwrap();
    turn(&mut map);
    assert_eq!(log.take(), ["grown.read", "grown.timer"]);
    assert_eq!(map.get(grown).unwrap().probe.received, b"still registered");
    assert!(!map.cancel(timer));
    map.close(young.token());
    turn(&mut map);
    assert_eq!(log.take(), ["grown.close"]);
}

#[test]
fn from_inside_its_own_callback_it_happens_when_that_has_returned() {
    let log = Log::default();
    let inner = log.clone();
    let mut map = ChannelMap::new().unwrap();
    let probe = Probe::new("a", &log).on(On::Read, move |probe, me, map| {
        let young = me.handle::<Probe>();
        assert!(map.may_continue(me));
        let later = inner.clone();
        let grown = grow(&inner);
        let grown = map.convert(young, move |probe| {
            later.add("converted");
            grown(probe)
        });
        let grown = grown.unwrap();
        assert_eq!(grown.token(), me);
        assert!(!map.may_continue(me), "the rest is for the new type");
        assert!(map.is_open(me));
        assert!(map.get(grown).is_err());
        assert!(map.remove(grown).is_err());
        assert!(map.convert(young, grow(&inner)).is_err());
        probe.pending = true; // goes along
        inner.add("a.returns");
        Ok(())
    });
    let probe = map.insert(probe).unwrap();
    map.dispatch(probe, Readiness::READABLE);
    turn(&mut map);
    assert_eq!(log.take(), ["a.read", "a.returns", "converted"]);
    assert!(map.get(probe).is_err());
    let grown: Handle<Grown> = probe.token().handle();
    assert!(map.get(grown).is_ok());
    assert!(map.may_continue(grown.token()));
    map.turn(None).unwrap();
    assert_eq!(log.take(), ["grown.pending"]);
}

#[test]
fn conversions_chain() {
    let log = Log::default();
    let inner = log.clone();
    let mut map = ChannelMap::new().unwrap();
    let probe = Probe::new("a", &log).on(On::Read, move |_, me, map| {
        let grown = map.convert(me.handle(), grow(&inner)).unwrap();
        let grown = map.convert(grown, older).unwrap();
        map.convert(grown, older).unwrap();
        Ok(())
    });
    let probe = map.insert(probe).unwrap();
    map.dispatch(probe, Readiness::READABLE);
    turn(&mut map);
    let grown: Handle<Grown> = probe.token().handle();
    assert_eq!(map.get(grown).unwrap().age, 3);
    map.convert(grown, older).unwrap();
    assert_eq!(map.get(grown).unwrap().age, 4);
    assert_eq!(map.len(), 1);
}

#[test]
fn inside_with_it_happens_at_the_end() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log)).unwrap();
    let grown = map.with(probe, |lent, map| {
        let grown = map.convert(probe, grow(&log)).unwrap();
        lent.received.push(7);
        grown
    });
    let grown = map.get(grown.unwrap()).unwrap();
    assert_eq!(grown.probe.received, [7]);
}

#[test]
fn a_channel_that_is_converted_and_closed_is_closed_as_the_new_type() {
    let log = Log::default();
    let inner = log.clone();
    let mut map = ChannelMap::new().unwrap();
    let probe = Probe::new("a", &log).on(On::Read, move |_, me, map| {
        map.convert(me.handle(), grow(&inner)).unwrap();
        map.close(me);
        assert!(map.convert(me.handle::<Grown>(), older).is_err());
        Ok(())
    });
    let probe = map.insert(probe).unwrap();
    map.set_timer(probe, map.now() + Duration::from_secs(60));
    map.dispatch(probe, Readiness::READABLE);
    turn(&mut map);
    assert_eq!(log.take(), ["a.read", "grown.close"]);
    assert_eq!(map.timers(), 0);
}

#[test]
fn timers_survive_and_reach_the_new_type() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let epoch = map.now();
    let probe = map.insert(Probe::new("a", &log)).unwrap();
    let first = map.set_timer(probe, epoch);
    map.set_timer(probe, epoch);
    map.convert(probe, grow(&log)).unwrap();
    assert!(map.cancel(first));
    map.turn_at(epoch).unwrap();
    assert_eq!(log.take(), ["grown.timer"]);
}

#[test]
fn a_closed_channel_is_not_converted() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log)).unwrap();
    map.close(probe);
    assert!(map.convert(probe, grow(&log)).is_err());
    turn(&mut map);
    assert_eq!(log.take(), ["a.close Requested"]);
}
