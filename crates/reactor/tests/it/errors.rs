//! What goes wrong with one channel is that channel's.

use std::io::ErrorKind;

use crate::common::{Log, On, Probe, change, pair, turn, turn_until};
use reactor::{Channel, ChannelMap, CloseReason, Readiness, Registration, Result, Token};

#[test]
fn an_error_goes_to_handle_error_which_decides() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let stubborn = Probe::new("stubborn", &log)
        .on(On::Read, |_, _, _| Err("boom".into()))
        .on(On::Error, |_, _, _| Ok(()));
    let stubborn = map.insert(stubborn).unwrap();
    let weak = Probe::new("weak", &log).on(On::Timer, |_, _, _| Err("late".into()));
    let weak = map.insert(weak).unwrap();
    map.dispatch(stubborn, Readiness::READABLE);
    map.set_timer(weak, map.now());
    turn(&mut map);
    assert_eq!(
        log.take(),
        [
            "stubborn.read",
            "stubborn.error boom",
            "weak.timer",
            "weak.error late",
            "weak.close HandlerError"
        ]
    );
    assert!(map.is_open(stubborn));
}

#[test]
fn an_error_after_a_close_is_told_once_and_then_the_close() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("a", &log).on(On::Read, |_, me, map| {
        map.close(me);
        Err("boom".into())
    });
    probe.writable = true;
    let probe = map.insert(probe).unwrap();
    map.dispatch(probe, Readiness::READABLE | Readiness::WRITABLE);
    turn(&mut map);
    turn(&mut map);
    // The close came first, so its reason counts.
    assert_eq!(log.take(), ["a.read", "a.error boom", "a.close Requested"]);
}

#[test]
fn an_error_closes_the_channel_by_default() {
    #[derive(Debug)]
    struct Failing(Log);

    impl Channel for Failing {
        fn registration(&self) -> Option<&Registration> {
            None
        }

        fn handle_read_event(&mut self, _me: Token, _map: &mut ChannelMap) -> Result {
            Err("boom".into())
        }

        fn handle_close(&mut self, reason: CloseReason, _me: Token, _map: &mut ChannelMap) {
            self.0.add(format!("{reason:?}"));
        }
    }

    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let failing = map.insert(Failing(log.clone())).unwrap();
    map.dispatch(failing, Readiness::READABLE);
    map.run().unwrap();
    assert_eq!(log.take(), ["HandlerError"]);
}

#[test]
fn an_error_of_settle_is_the_reason_of_the_close() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let [a, b] = ["a", "b"].map(|name| map.insert(Probe::new(name, &log)).unwrap());
    change(&mut map, a, |a| {
        a.on_settle = Some(Box::new(|| Err(CloseReason::SlowReader)));
    });
    turn(&mut map);
    assert_eq!(log.take(), ["a.close SlowReader"]);
    assert!(map.is_open(b));
}

#[test]
fn a_poller_error_is_the_channels_and_not_the_turns() {
    let log = Log::default();
    let (ours, _theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let first = map.insert(Probe::new("first", &log).over(&ours)).unwrap();
    let second = map.insert(Probe::new("second", &log)).unwrap();
    turn(&mut map);
    // A poller takes a descriptor once, so this cannot be watched.
    change(&mut map, second, |second| {
        second.stream = Some(reactor::Source::new(ours));
    });
    turn_until(&mut map, |map| !map.is_open(second));
    turn(&mut map);
    let lines = log.take();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("second.close Io("), "{lines:?}");
    assert!(lines[0].contains(&format!("{:?}", ErrorKind::AlreadyExists)));
    assert!(map.is_open(first));
}
