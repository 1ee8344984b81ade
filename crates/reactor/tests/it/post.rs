//! Posts: when they run, in what order, and that none is lost.

use std::time::Duration;

use crate::common::{Log, On, Probe, change, turn};
use reactor::{Absent, ChannelMap, Handle, Readiness};

/// Has the map write down what a post finds.
fn post(map: &mut ChannelMap, to: Handle<Probe>, log: &Log, what: &'static str) {
    let log = log.clone();
    let taken = map.post(to, move |found, _| match found {
        Ok(probe) => log.add(format!("{what} for {}", probe.name)),
        Err(absent) => log.add(format!("{what}: {absent:?}")),
    });
    assert!(taken);
}

/// A probe that posts to itself and to another when it reads.
fn posting(name: &'static str, log: &Log, other: Option<Handle<Probe>>) -> Probe {
    let inner = log.clone();
    Probe::new(name, log).on(On::Read, move |_, me, map| {
        assert_eq!(
            map.get(me.handle::<Probe>()).unwrap_err(),
            Absent::InCallback
        );
        post(map, me.handle(), &inner, "first");
        if let Some(other) = other {
            post(map, other, &inner, "second");
        }
        inner.add("posted");
        Ok(())
    })
}

#[test]
fn a_post_reaches_the_channel_that_is_being_called_before_the_next_channel_is() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let b = map.insert(Probe::new("b", &log)).unwrap();
    let a = map.insert(posting("a", &log, Some(b))).unwrap();
    map.dispatch(a, Readiness::READABLE);
    map.dispatch(b, Readiness::READABLE);
    turn(&mut map);
    let expected = ["a.read", "posted", "first for a", "second for b", "b.read"];
    assert_eq!(log.take(), expected);
}

#[test]
fn closes_come_before_posts_and_a_post_to_the_dead_is_told_so() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let inner = log.clone();
    let other = map.insert(Probe::new("other", &log)).unwrap();
    let probe = Probe::new("a", &log).on(On::Read, move |_, me, map| {
        post(map, me.handle(), &inner, "me");
        post(map, other, &inner, "other");
        map.close(other);
        map.close(me);
        Ok(())
    });
    let a = map.insert(probe).unwrap();
    map.dispatch(a, Readiness::READABLE);
    turn(&mut map);
    let closes = ["a.read", "other.close Requested", "a.close Requested"];
    let posts = ["me: Closed", "other: Closed"];
    assert_eq!(log.take(), [closes.as_slice(), &posts].concat());
}

#[test]
fn a_conversion_in_between_is_told() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let inner = log.clone();
    #[derive(Debug)]
    struct Other;
    impl reactor::Channel for Other {
        fn registration(&self) -> Option<&reactor::Registration> {
            None
        }
    }
    let probe = Probe::new("a", &log).on(On::Read, move |_, me, map| {
        post(map, me.handle(), &inner, "before");
        map.convert(me.handle::<Probe>(), |_| Other)?;
        let inner = inner.clone();
        map.post(me.handle::<Other>(), move |other, _| {
            inner.add(format!("after: {}", other.is_ok()));
        });
        Ok(())
    });
    let a = map.insert(probe).unwrap();
    map.dispatch(a, Readiness::READABLE);
    turn(&mut map);
    assert_eq!(log.take(), ["a.read", "before: OtherType", "after: true"]);
}

/// A chain of posts cannot keep the loop from anything else.
#[test]
fn a_post_of_a_post_waits_for_the_next_callback_or_turn_which_does_not_sleep() {
    fn chain(map: &mut ChannelMap, to: Handle<Probe>, log: Log) {
        map.post(to, move |_, map| {
            log.add("link");
            chain(map, to, log);
        });
    }
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let inner = log.clone();
    let b = map.insert(Probe::new("b", &log)).unwrap();
    let a = map
        .insert(Probe::new("a", &log).on(On::Read, move |_, me, map| {
            chain(map, me.handle(), inner.clone());
            Ok(())
        }))
        .unwrap();
    map.dispatch(a, Readiness::READABLE);
    map.dispatch(b, Readiness::READABLE);
    turn(&mut map);
    assert_eq!(log.take(), ["a.read", "link", "b.read", "link"]);
    // No event is due, and an hour is not waited for.
    map.turn(Some(Duration::from_secs(3_600))).unwrap();
    assert!(log.count("link") >= 1);
    assert!(log.take().len() < 10);
}

#[test]
fn a_post_from_outside_runs_at_the_beginning_of_the_next_turn() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let a = map.insert(Probe::new("a", &log)).unwrap();
    map.dispatch(a, Readiness::READABLE);
    post(&mut map, a, &log, "early");
    assert_eq!(log.take(), [""; 0]);
    turn(&mut map);
    assert_eq!(log.take(), ["early for a", "a.read"]);
}

/// The last channel is gone, and what it has posted still runs.
#[test]
fn run_does_not_return_before_the_posts_have_run() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let inner = log.clone();
    let a = Probe::new("a", &log).on(On::Close, move |_, me, map| {
        post(map, me.handle(), &inner, "late");
        Ok(())
    });
    let a = map.insert(a).unwrap();
    map.close(a);
    map.run().unwrap();
    assert_eq!(log.take(), ["a.close Requested", "late: Closed"]);
}

#[test]
fn posts_of_timers_and_of_remote_work_run_before_what_comes_next() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let inner = log.clone();
    let a = Probe::new("a", &log).on(On::Timer, move |_, me, map| {
        post(map, me.handle(), &inner, "timer's");
        Ok(())
    });
    let a = map.insert(a).unwrap();
    let now = map.now();
    map.set_timer(a, now);
    map.set_timer(a, now);
    map.turn_at(now).unwrap();
    let expected = ["a.timer", "timer's for a", "a.timer", "timer's for a"];
    assert_eq!(log.take(), expected);
}

#[test]
fn there_is_a_bound() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let a = map.insert(Probe::new("a", &log)).unwrap();
    for _ in 0..65_536 {
        assert!(map.post(a, |probe, _| probe.unwrap().settles = 0));
    }
    assert!(!map.post(a, |_, _| panic!("it was dropped")));
    turn(&mut map);
    assert!(map.post(a, |_, _| ()));
    change(&mut map, a, |probe| assert_eq!(probe.name, "a"));
}

/// A post may bring another map; what it leaves goes on with the first.
#[test]
fn a_post_that_swaps_its_map_leaves_the_others_to_the_first() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let mut other = Some(ChannelMap::new().unwrap());
    let a = map.insert(Probe::new("a", &log)).unwrap();
    let (give, take) = std::sync::mpsc::channel();
    map.post(a, move |_, map| {
        let mine = std::mem::replace(map, other.take().unwrap());
        assert!(give.send(Box::new(mine)).is_ok());
    });
    post(&mut map, a, &log, "second");
    turn(&mut map);
    assert_eq!(log.take(), [""; 0]);
    let mut first = take.recv().unwrap();
    turn(&mut first);
    assert_eq!(log.take(), ["second for a"]);
}
