//! Changes to a channel that may be inside its own callback.

use std::any::Any;
use std::cell::Cell;
use std::rc::Rc;

use crate::common::{Log, On, Probe, change, panics, turn};
use reactor::{Absent, Channel, ChannelMap, CloseReason, Readiness, Registration, Result, Token};

/// Has the map write down when it changes the channel, and as what.
fn amend(map: &mut ChannelMap, channel: Token, log: &Log, what: &str) -> Result<bool, Absent> {
    let (log, what) = (log.clone(), what.to_owned());
    map.amend(channel, move |channel| {
        let probe = (channel as &mut dyn Any).downcast_ref::<Probe>();
        let name = probe.map_or("no probe", |probe| probe.name);
        log.add(format!("{what}: {name}"));
    })
}

/// A probe that amends itself twice when it reads, and then does `then`.
fn amending(log: &Log, then: impl Fn(Token, &mut ChannelMap) + 'static) -> Probe {
    let inner = log.clone();
    Probe::new("a", log).on(On::Read, move |_, me, map| {
        assert_eq!(amend(map, me, &inner, "first"), Ok(true));
        assert_eq!(amend(map, me, &inner, "second"), Ok(true));
        then(me, map);
        inner.add("returns");
        Ok(())
    })
}

#[test]
fn a_channel_at_home_is_changed_at_once_and_settled() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log)).unwrap();
    turn(&mut map);
    let before = map.get(probe).unwrap().settles;
    assert_eq!(amend(&mut map, probe.token(), &log, "now"), Ok(true));
    assert_eq!(log.take(), ["now: a"]);
    turn(&mut map);
    assert_eq!(map.get(probe).unwrap().settles, before + 1);
}

#[test]
fn one_in_its_callback_is_changed_in_order_when_that_has_returned() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let a = map.insert(amending(&log, |_, _| ())).unwrap();
    let b = map.insert(Probe::new("b", &log)).unwrap();
    map.dispatch(a, Readiness::READABLE);
    map.dispatch(b, Readiness::READABLE);
    turn(&mut map);
    let expected = ["a.read", "returns", "first: a", "second: a", "b.read"];
    assert_eq!(log.take(), expected);
}

#[test]
fn changes_come_before_the_close_and_the_conversion_of_the_same_callback() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let a = map
        .insert(amending(&log, |me, map| assert!(map.close(me))))
        .unwrap();
    map.dispatch(a, Readiness::READABLE);
    turn(&mut map);
    let expected = [
        "a.read",
        "returns",
        "first: a",
        "second: a",
        "a.close Requested",
    ];
    assert_eq!(log.take(), expected);

    let converting = amending(&log, |me, map| {
        let grown = map.convert(me.handle::<Probe>(), |mut it| {
            it.name = "grown";
            it
        });
        assert!(grown.is_ok());
    });
    let a = map.insert(converting).unwrap();
    map.dispatch(a, Readiness::READABLE);
    turn(&mut map);
    assert_eq!(log.take(), ["a.read", "returns", "first: a", "second: a"]);
    assert_eq!(map.get(a).unwrap().name, "grown");
}

#[test]
fn a_channel_that_is_lent_is_changed_when_it_comes_back() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log)).unwrap();
    let inner = log.clone();
    map.with(probe, |_, map| {
        assert_eq!(amend(map, probe.token(), &inner, "lent"), Ok(true));
        assert!(inner.take().is_empty());
    })
    .unwrap();
    assert_eq!(log.take(), ["lent: a"]);
}

#[test]
fn a_closed_channel_is_not_changed() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log)).unwrap();
    map.close(probe);
    let amended = amend(&mut map, probe.token(), &log, "late");
    assert_eq!(amended, Err(Absent::Closed));
    turn(&mut map);
    assert_eq!(log.take(), ["a.close Requested"]);
}

#[test]
fn the_shutdown_is_told_once_though_the_channel_is_changed() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let inner = log.clone();
    let probe = Probe::new("a", &log).on(On::Shutdown, move |_, me, map| {
        assert_eq!(amend(map, me, &inner, "then"), Ok(true));
        Ok(())
    });
    let probe = map.insert(probe).unwrap();
    map.shut_down(map.now() + std::time::Duration::from_secs(9));
    turn(&mut map);
    turn(&mut map);
    assert_eq!(log.take(), ["then: a"]);
    assert_eq!(map.get(probe).unwrap().shutdown_calls, 1);
}

#[test]
fn a_change_that_panics_costs_its_channel_and_no_other() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let bad = Probe::new("bad", &log).on(On::Read, |_, me, map| {
        map.amend(me, |_| panic!("in a change"))?;
        Ok(())
    });
    let bad = map.insert(bad).unwrap();
    let good = map.insert(Probe::new("good", &log)).unwrap();
    map.dispatch(bad, Readiness::READABLE);
    assert!(panics(|| drop(map.turn_at(map.now()))));
    turn(&mut map);
    assert!(!map.is_open(bad));
    change(&mut map, good, |good| good.name = "still good");
}

#[test]
fn no_more_than_65_536_changes_of_a_channel_wait() {
    let count = Rc::new(Cell::new(0));
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log)).unwrap();
    map.with(probe, |_, map| {
        for nth in 0..65_537 {
            let count = Rc::clone(&count);
            let taken = map.amend(probe, move |_| count.set(count.get() + 1));
            assert_eq!(taken, Ok(nth < 65_536));
        }
    })
    .unwrap();
    assert_eq!(count.get(), 65_536);
}

/// Handles three messages in one callback, and amends itself after each.
#[derive(Debug)]
struct Several(Log);

impl Channel for Several {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn handle_read_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        for nth in 0..3 {
            self.0.add(format!("message {nth}"));
            let log = self.0.clone();
            map.amend(me, move |_| log.add(format!("change {nth}")))?;
            if nth == 2 {
                map.close_with(me, CloseReason::Done);
            }
            assert!(!map.may_continue(me), "it is amended");
            map.amend_now(me, self);
            assert_eq!(map.may_continue(me), nth < 2);
        }
        Ok(())
    }
}

#[test]
fn a_channel_with_several_messages_makes_its_changes_between_them() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let several = map.insert(Several(log.clone())).unwrap();
    map.dispatch(several, Readiness::READABLE);
    turn(&mut map);
    let expected = [
        "message 0",
        "change 0",
        "message 1",
        "change 1",
        "message 2",
        "change 2",
    ];
    assert_eq!(log.take(), expected);
}
