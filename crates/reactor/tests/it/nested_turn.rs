//! A callback cannot turn the map that is calling it.

use std::time::Duration;

use crate::common::{Log, On, Probe, turn};
use reactor::{ChannelMap, NestedTurn, Readiness, Result};

fn is_nested(result: Result) -> bool {
    result.is_err_and(|error| error.is::<NestedTurn>())
}

/// R10: a loop within the loop would call who is in the middle of a callback.
#[test]
fn a_nested_turn_is_an_error_in_every_callback() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("a", &log);
    (probe.writable, probe.pending) = (true, true);
    for on in [On::Expt, On::Write, On::Pending, On::Timer, On::Close] {
        probe = probe.on(on, |_, _, map| {
            assert!(is_nested(map.run()));
            assert!(is_nested(map.run_turns(Some(Duration::ZERO), 1)));
            assert!(is_nested(map.turn(Some(Duration::ZERO)).map(drop)));
            assert!(is_nested(map.turn_at(map.now()).map(drop)));
            Ok(())
        });
    }
    let probe = map.insert(probe).unwrap();
    map.insert(Probe::new("b", &log)).unwrap();
    map.set_timer(probe, map.now());
    map.dispatch(probe, Readiness::PRIORITY | Readiness::WRITABLE);
    let remote = map.remote();
    remote
        .run(|map: &mut ChannelMap| assert!(is_nested(map.run())))
        .unwrap();
    turn(&mut map);
    map.close(probe);
    turn(&mut map);
    let called = ["pending", "expt", "write", "timer", "close Requested"];
    assert_eq!(log.take(), called.map(|name| format!("a.{name}")));
    assert_eq!(map.turns(), 2, "a refused turn is none");
}

#[test]
fn a_nested_turn_is_an_error_inside_with() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log)).unwrap();
    map.insert(Probe::new("b", &log)).unwrap();
    map.with(probe, |_, map| {
        assert!(is_nested(map.run()));
        assert!(is_nested(map.turn_at(map.now()).map(drop)));
    })
    .unwrap();
    turn(&mut map);
    assert_eq!(map.turns(), 1);
}

/// With nothing to run, or with `stop` called, it is a nested run all the same.
#[test]
fn a_nested_run_is_an_error_when_it_would_do_nothing() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = Probe::new("a", &log)
        .on(On::Read, |_, me, map| {
            map.stop();
            assert!(is_nested(map.run()));
            map.close(me);
            Ok(())
        })
        .on(On::Close, |_, _, map| {
            assert!(map.is_empty());
            assert!(is_nested(map.run()));
            Ok(())
        });
    let probe = map.insert(probe).unwrap();
    map.dispatch(probe, Readiness::READABLE);
    turn(&mut map);
    assert_eq!(log.take(), ["a.read", "a.close Requested"]);
}

#[test]
fn a_turn_after_a_loan_within_a_loan_is_an_error() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let [a, b] = ["a", "b"].map(|name| map.insert(Probe::new(name, &log)).unwrap());
    map.with(a, |_, map| {
        let turn = |map: &mut ChannelMap| map.turn(Some(Duration::ZERO)).map(drop);
        map.with(b, |_, map| assert!(is_nested(turn(map)))).unwrap();
        assert!(is_nested(turn(map)));
    })
    .unwrap();
    turn(&mut map);
}
