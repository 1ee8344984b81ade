//! The loop and its maps.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use chat::{
    Channel, ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint, Readiness, Token,
};

use crate::common::{Log, Witness, read_to_end, sim, turn_to_rest, turn_until};
use crate::original::family::{Family, Place};

const EVENTS: [Readiness; 3] = [
    Readiness::READABLE,
    Readiness::PRIORITY,
    Readiness::WRITABLE,
];

/// The documents' `ExitNow`, in a program that means it.
#[test]
fn any_event_can_end_the_loop() {
    for event in EVENTS {
        let log = Log::default();
        let (line, peer) = sim::line();
        peer.say("x");
        let mut map = ChannelMap::new().unwrap();
        let witness = Witness::new(&log).writes(9).on_event(|event, _, map| {
            if event != "connect" {
                map.stop();
            }
            Ok(())
        });
        let me = map.insert(Dispatcher::over(line, witness)).unwrap();
        map.dispatch(me, event);
        let a_while = Some(Duration::from_millis(1));
        map.run_turns(a_while, 1_000).unwrap();
        assert_eq!(
            (map.turns(), log.after_connect().len()),
            (1, 1),
            "{event:?}"
        );
        assert!(map.is_open(me));
    }
}

/// The documents' `ExitNow`, as far as it is an exception.
#[test]
fn a_panic_of_any_event_comes_up_through_the_loop() {
    for event in EVENTS {
        let log = Log::default();
        let (line, peer) = sim::line();
        peer.say("x");
        let mut map = ChannelMap::new().unwrap();
        let witness = Witness::new(&log)
            .writes(9)
            .on_event(|_, _, _| resume_unwind(Box::new("out")));
        let me = map.insert(Dispatcher::over(line, witness)).unwrap();
        map.dispatch(me, event);
        let caught = catch_unwind(AssertUnwindSafe(|| map.run_turns(None, 1)));
        let panic = caught.unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"out"), "{event:?}");
        assert_eq!(log.len(), 1, "no handle_error, no handle_close");
    }
}

#[test]
fn close_all_closes_every_channel_of_its_map_and_of_no_other() {
    for family in Family::all() {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let mut peers = Vec::new();
        for _ in 0..10 {
            let (ours, theirs) = family.pair();
            map.insert(Dispatcher::new(ours, Witness::new(&log)))
                .unwrap();
            peers.push(theirs);
        }
        let mut other = ChannelMap::new().unwrap();
        let (ours, _theirs) = family.pair();
        other
            .insert(Dispatcher::new(ours, Witness::new(&log)))
            .unwrap();

        map.close_all();
        assert!(map.is_empty(), "{family:?}");
        assert_eq!(log.len(), 0, "not inside of close_all");
        for mut peer in peers {
            assert!(read_to_end(&mut map, &mut peer).is_empty());
        }
        assert_eq!(log.all(), ["close Requested"; 10], "{family:?}");
        turn_to_rest(&mut other);
        assert_eq!(log.count("close"), 10, "{family:?}");
        assert_eq!(other.len(), 1, "{family:?}");
    }
}

/// Does not survive its own end.
struct Fragile {
    log: Log,
    panics: bool,
}

impl DispatcherHandler for Fragile {
    fn handle_close(&mut self, _: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.log.add("close");
        if self.panics {
            resume_unwind(Box::new("in handle_close"));
        }
    }
}

/// What `close_all(ignore_all=True)` is for.
#[test]
fn a_failing_close_does_not_keep_the_others_from_theirs() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    for number in 0..10 {
        let (ours, _) = Family::Unix.pair();
        let handler = Fragile {
            log: log.clone(),
            panics: number == 3,
        };
        map.insert(Dispatcher::new(ours, handler)).unwrap();
    }
    map.close_all();
    let caught = catch_unwind(AssertUnwindSafe(|| map.turn(Some(Duration::ZERO))));
    assert!(caught.is_err());
    turn_to_rest(&mut map);
    assert_eq!(log.count("close"), 10);
    assert!(map.is_empty());
}

#[test]
fn closing_twice_is_no_error() {
    for family in Family::all() {
        let log = Log::default();
        let (ours, _theirs) = family.pair();
        let mut map = ChannelMap::new().unwrap();
        let channel = Dispatcher::new(ours, Witness::new(&log));
        let me = map.insert(channel).unwrap();
        assert!(map.close(me));
        assert!(!map.close(me));
        turn_to_rest(&mut map);
        assert!(!map.close(me));
        assert_eq!(log.all(), ["close Requested"], "{family:?}");
    }
}

#[test]
fn the_loop_turns_as_often_as_it_is_told() {
    let log = Log::default();
    let (ours, _theirs) = Family::Unix.pair();
    let mut map = ChannelMap::new().unwrap();
    let channel = Dispatcher::new(ours, Witness::new(&log));
    let me = map.insert(channel).unwrap();
    map.run_turns(Some(Duration::from_millis(1)), 7).unwrap();
    assert_eq!(map.turns(), 7);
    map.run_turns(Some(Duration::ZERO), 0).unwrap();
    assert_eq!(map.turns(), 7);
    assert!(map.is_open(me) && log.after_connect().is_empty());
}

#[test]
fn the_loop_ends_when_no_channel_is_left() {
    for family in Family::all() {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        map.run().unwrap();
        assert_eq!(map.turns(), 0, "there was none");

        let (place, server) = Place::listen(
            family,
            Witness::new(&log).on_event(|_, endpoint, _| {
                endpoint.close();
                Ok(())
            }),
        );
        map.insert(server).unwrap();
        let _client = place.dial();
        map.run_turns(Some(Duration::from_secs(10)), 1_000).unwrap();
        assert_eq!(log.all(), ["accepted", "close Requested"], "{family:?}");
        assert!(map.turns() < 10, "{family:?}");
    }
}

#[test]
fn a_map_turns_its_own_channels_only() {
    for family in Family::all() {
        let logs = [Log::default(), Log::default()];
        let mut maps = Vec::new();
        let mut peers = Vec::new();
        for log in &logs {
            let (ours, mut theirs) = family.pair();
            let mut map = ChannelMap::new().unwrap();
            map.insert(Dispatcher::new(ours, Witness::new(log)))
                .unwrap();
            theirs.write_all(b"hello").unwrap();
            maps.push(map);
            peers.push(theirs);
        }
        turn_until(&mut maps[1], |_| logs[1].has("read hello"));
        assert_eq!(logs[1].after_connect(), ["read hello"], "{family:?}");
        assert_eq!(logs[0].len(), 0, "{family:?}");
        turn_until(&mut maps[0], |_| logs[0].has("read hello"));
        assert_eq!(logs[0].after_connect(), ["read hello"], "{family:?}");
    }
}

/// Has the defaults only.
struct Plain;

impl DispatcherHandler for Plain {}

#[test]
fn by_default_input_is_wanted_and_room_for_output_is_not() {
    for family in Family::all() {
        let (ours, _theirs) = family.pair();
        let channel = Dispatcher::new(ours, Plain);
        assert!(channel.readable(Token::NONE), "{family:?}");
        assert!(!channel.writable(Token::NONE), "{family:?}");
        let (_place, server) = Place::listen(family, Plain);
        assert!(server.readable(Token::NONE), "{family:?}");
        assert!(!server.writable(Token::NONE), "{family:?}");
    }
}
