//! What a callback's error does, and what is said in the log.

use std::cell::RefCell;
use std::io::{self, Write};
use std::num::ParseIntError;
use std::rc::Rc;

use chat::{
    ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint, Error, Readiness, Result,
};

use crate::common::journal;
use crate::common::{Log, Witness, sim, turn_to_rest, turn_until};
use crate::original::family::{Family, Place};

const EVENTS: [(Readiness, &str); 3] = [
    (Readiness::READABLE, "read x"),
    (Readiness::PRIORITY, "expt"),
    (Readiness::WRITABLE, "write"),
];

#[test]
fn an_error_of_any_event_goes_to_handle_error() {
    for (event, name) in EVENTS {
        let log = Log::default();
        let (line, peer) = sim::line();
        peer.say("x");
        let mut map = ChannelMap::new().unwrap();
        let witness = Witness::new(&log)
            .writes(9)
            .on_event(|event, _, _| match event {
                "connect" => Ok(()),
                _ => Err("it failed".into()),
            });
        let me = map.insert(Dispatcher::over(line, witness)).unwrap();
        map.dispatch(me, event);
        map.turn_at(map.now()).unwrap(); // and does not come up through the loop
        let expected = [name, "error it failed", "close HandlerError"];
        assert_eq!(log.after_connect(), expected);
    }
}

#[test]
fn errors_of_connect_and_of_the_end_go_to_handle_error_as_well() {
    for family in Family::all() {
        for failing in ["connect", "eof"] {
            let log = Log::default();
            let (place, listener) = Place::plain(family);
            let mut map = ChannelMap::new().unwrap();
            let witness = Witness::new(&log).on_event(move |event, _, _| match event == failing {
                true => Err(format!("no {event}").into()),
                false => Ok(()),
            });
            map.insert(place.connect(witness)).unwrap();
            turn_until(&mut map, |_| log.has("connect"));
            drop(listener.accept().unwrap());
            turn_until(&mut map, |_| log.count("close") > 0);
            assert_eq!(log.count("error "), 1, "{family:?}");
            assert!(log.has(&format!("error no {failing}")), "{family:?}");
        }
    }
}

/// Fails with an error of a type of its own, and looks whether it comes back.
struct Dividing(Rc<RefCell<Option<ParseIntError>>>);

impl DispatcherHandler for Dividing {
    fn writable(&self, _: &Endpoint) -> bool {
        true
    }

    fn handle_write(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
        "zero".parse::<u32>()?;
        Ok(())
    }

    fn handle_error(&mut self, error: Error, endpoint: &mut Endpoint, _: &mut ChannelMap) {
        *self.0.borrow_mut() = error.downcast().ok().map(|error| *error);
        endpoint.close();
    }
}

#[test]
fn handle_error_gets_the_error_itself() {
    for family in Family::all() {
        let seen = Rc::new(RefCell::new(None));
        let (place, _listener) = Place::plain(family);
        let mut map = ChannelMap::new().unwrap();
        map.insert(place.connect(Dividing(Rc::clone(&seen))))
            .unwrap();
        turn_until(&mut map, |map| map.is_empty());
        let expected = "zero".parse::<u32>().unwrap_err();
        assert_eq!(*seen.borrow(), Some(expected), "{family:?}");
    }
}

/// Keeps why it was closed.
#[derive(Clone, Default)]
struct Reasons(Rc<RefCell<Vec<CloseReason>>>);

impl DispatcherHandler for Reasons {
    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.0.borrow_mut().push(reason);
    }
}

#[test]
fn the_reason_of_a_close_has_the_systems_number_and_words() {
    for family in Family::all() {
        let (place, listener) = Place::plain(family);
        drop(listener);
        let reasons = Reasons::default();
        let mut map = ChannelMap::new().unwrap();
        map.insert(place.connect(reasons.clone())).unwrap();
        turn_until(&mut map, |_| !reasons.0.borrow().is_empty());
        let reason = reasons.0.borrow_mut().pop().unwrap();
        let CloseReason::Io(error) = &reason else {
            panic!("{family:?}: {reason}");
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{family:?}");
        let number = error.raw_os_error().unwrap();
        let words = io::Error::from_raw_os_error(number).to_string();
        assert_eq!(reason.to_string(), words, "{family:?}");
    }
    let unknown = CloseReason::Io(io::Error::from_raw_os_error(-1));
    assert!(!unknown.to_string().is_empty());
}

/// Handles nothing.
struct Nothing;

impl DispatcherHandler for Nothing {}

#[test]
fn input_and_connections_that_nobody_handles_are_warnings_in_the_log() {
    for family in Family::all() {
        journal::open();
        let (place, server) = Place::listen(family, Nothing);
        let mut map = ChannelMap::new().unwrap();
        map.insert(server).unwrap();
        let _client = place.dial();
        turn_to_rest(&mut map);
        let lines = journal::take();
        assert_eq!(lines.len(), 1, "{family:?}: {lines:?}");
        assert!(lines[0].starts_with("WARN "), "{lines:?}");
        assert!(lines[0].contains("unhandled connection"), "{lines:?}");

        let (ours, mut theirs) = family.pair();
        let me = map.insert(Dispatcher::new(ours, Nothing)).unwrap();
        theirs.write_all(b"12345").unwrap();
        turn_to_rest(&mut map);
        let lines = journal::take();
        assert_eq!(lines.len(), 1, "{family:?}: {lines:?}");
        assert!(lines[0].starts_with("WARN "), "{lines:?}");
        assert!(lines[0].contains("5 bytes of unhandled input"), "{lines:?}");
        assert!(map.is_open(me));
    }
}

/// Fails, and leaves the error to the default.
struct Failing;

impl DispatcherHandler for Failing {
    fn handle_read(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
        Err("no such command".into())
    }
}

#[test]
fn an_error_that_nobody_handles_is_a_warning_in_the_log_and_closes() {
    for family in Family::all() {
        let (ours, mut theirs) = family.pair();
        let mut map = ChannelMap::new().unwrap();
        let me = map.insert(Dispatcher::new(ours, Failing)).unwrap();
        journal::open();
        theirs.write_all(b"x").unwrap();
        turn_until(&mut map, |map| !map.is_open(me));
        let lines = journal::take();
        assert_eq!(lines.len(), 1, "{family:?}: {lines:?}");
        assert!(lines[0].starts_with("WARN "), "{lines:?}");
        assert!(
            lines[0].ends_with("its handler failed: no such command"),
            "{lines:?}"
        );
    }
}

#[test]
fn debug_names_the_handler_the_state_and_the_address() {
    for family in Family::all() {
        let (place, server) = Place::listen(family, Nothing);
        let text = format!("{server:?}");
        for part in [
            "Dispatcher",
            "Nothing",
            "Listening",
            &place.address().to_string(),
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        let mut map = ChannelMap::new().unwrap();
        let handle = map.insert(server).unwrap();
        assert!(format!("{map:?}").contains(&text));
        assert!(map.is_open(handle));
    }
}
