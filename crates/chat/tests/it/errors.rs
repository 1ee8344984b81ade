//! Errors of handlers: what they cost, and what they do not.

use std::io::{self, ErrorKind, Write};

use chat::{
    AsyncChat, ChannelMap, Chat, ChatHandler, Dispatcher, DispatcherHandler, Endpoint, Error,
    Result,
};

use crate::common::{Log, Probe, sim, turn_to_rest, unix_pair};

/// A `ChatHandler` that collects by hand and fails at certain lines.
struct Failing {
    log: Log,
    line: Vec<u8>,
}

impl ChatHandler for Failing {
    fn collect_incoming_data(&mut self, data: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.line.extend_from_slice(data);
        match data.contains(&b'!') {
            true => Err("in collect".into()),
            false => Ok(()),
        }
    }

    fn found_terminator(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        let line = std::mem::take(&mut self.line);
        self.log.add(format!("found {}", line.escape_ascii()));
        match line.contains(&b'?') {
            true => Err("in found".into()),
            false => Ok(()),
        }
    }

    fn handle_error(&mut self, error: Error, _: &mut Chat, _: &mut ChannelMap) {
        self.log.add(format!("error {error}"));
    }
}

fn failing(segments: &[&str]) -> Vec<String> {
    let log = Log::default();
    let handler = Failing {
        log: log.clone(),
        line: Vec::new(),
    };
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, "\n", handler)).unwrap();
    for segment in segments {
        peer.say(segment);
        sim::settle(&mut map, me, &peer);
    }
    assert!(map.is_open(me));
    log.all()
}

#[test]
fn a_handle_error_that_does_not_close_goes_on_with_the_data_that_follows() {
    let expected = [
        "found 1?",
        "error in found",
        "found 2?",
        "error in found",
        "found 3",
    ];
    assert_eq!(failing(&["1?\n2?\n3\n"]), expected);
    assert_eq!(failing(&["1?", "\n2?\n", "3", "\n"]), expected);
}

/// An error over a message's data does not make its end unseen.
#[test]
fn an_error_in_collect_incoming_data_loses_no_terminator() {
    let expected = ["error in collect", "found 1!", "found 2"];
    assert_eq!(failing(&["1!", "\n2\n"]), expected);
    assert_eq!(failing(&["1!\n2\n"]), expected);
}

#[test]
fn a_handle_error_that_closes_drops_what_was_pushed_and_no_line_follows() {
    let log = Log::default();
    let probe = Probe::new(&log).on_message(|_, chat, _| {
        chat.push("dropped");
        Err("no".into())
    });
    let mut map = ChannelMap::new().unwrap();
    let (line, peer) = sim::line();
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    sim::settle(&mut map, me, &peer);
    log.take();
    peer.say("1\n2\n");
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["message 1", "error no", "close HandlerError"]);
    assert_eq!(peer.take_sent(), b"");
}

/// `handle_error` may answer the peer before it closes.
#[test]
fn a_handle_error_that_closes_when_done_sends_its_answer() {
    let log = Log::default();
    let probe = Probe::new(&log)
        .on_message(|_, _, _| Err("no".into()))
        .on_error(|chat, _| {
            chat.push("500 internal error\n");
            chat.close_when_done();
        });
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    peer.say("1\n2\n");
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(
        log.all(),
        ["connect", "message 1", "error no", "close Done"]
    );
    assert_eq!(peer.take_sent(), b"500 internal error\n");
}

#[test]
fn errors_of_every_callback_go_to_handle_error() {
    let log = Log::default();
    let mut limits = chat::Limits::default();
    limits.message = 4;
    let probe = Probe::new(&log)
        .on_connect(|_, _| Err("in connect".into()))
        .on_message(|_, _, _| Err("in message".into()))
        .on_overlimit(|_, _| Err("in overlimit".into()))
        .on_error(|_, _| {});
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::over(line, "\n", probe).limited(limits);
    let me = map.insert(channel).unwrap();
    peer.say("1\n23456\n");
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    let expected = [
        "connect",
        "error in connect",
        "message 1",
        "error in message",
        "overlimit",
        "error in overlimit",
        "close OverLimit",
    ];
    assert_eq!(log.all(), expected);
}

#[test]
fn an_error_of_handle_eof_does_not_make_it_come_again() {
    let log = Log::default();
    let probe = Probe::new(&log)
        .on_eof(|_, _| Err("in eof".into()))
        .on_error(|_, _| {});
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["connect", "eof", "error in eof"]);
    assert!(map.is_open(me));
}

/// Reads until there is no more, then fails by an `io::Error` of its own or the endpoint's.
struct Reading {
    log: Log,
    fails: fn(io::Error) -> io::Error,
}

impl DispatcherHandler for Reading {
    fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        let error = loop {
            if let Err(error) = endpoint.recv(&mut [0; 9]) {
                break error;
            }
        };
        assert_eq!(endpoint.send(b"ok\n").unwrap(), 3); // a later call that succeeds
        Err((self.fails)(error).into())
    }

    fn handle_error(&mut self, error: Error, _: &mut Endpoint, _: &mut ChannelMap) {
        self.log.add(format!("error {error}"));
    }
}

#[test]
fn a_dispatcher_may_pass_on_what_its_endpoint_said_and_nothing_else() {
    let own = |_| io::Error::new(ErrorKind::WouldBlock, "the database is locked");
    for (fails, expected) in [
        ((|error| error) as fn(io::Error) -> io::Error, &[][..]),
        (own, &["error the database is locked"]),
    ] {
        let log = Log::default();
        let (ours, mut theirs) = unix_pair();
        let reading = Reading {
            log: log.clone(),
            fails,
        };
        let mut map = ChannelMap::new().unwrap();
        map.insert(Dispatcher::new(ours, reading)).unwrap();
        theirs.write_all(b"x").unwrap();
        turn_to_rest(&mut map);
        assert_eq!(log.all(), expected);
    }
}
