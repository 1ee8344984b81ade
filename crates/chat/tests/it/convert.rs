//! A channel becomes another: what was read already goes along. (`conversion.rs`
//! has every state that it may be in.)

use std::io::{ErrorKind, Write};
use std::time::Duration;

use chat::{
    AsyncChat, Channel, ChannelMap, Chat, ChatHandler, CloseReason, Dispatcher, DispatcherHandler,
    Endpoint, Handle, Limits, MessageHandler, Registration, Result, Terminator, Timer, Token,
};

use crate::common::sim;
use crate::common::{Log, Probe, assert_rest, read_len, turn_to_rest, turn_until, unix_pair};

/// Makes a `Probe` of itself at the word "switch".
struct Login(Log);

impl MessageHandler for Login {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.0.add(format!("login {}", line.escape_ascii()));
        if line == b"switch" {
            let me: Handle<AsyncChat<Self>> = chat.token().handle();
            let next = map.convert(me, |login| login.with_handler(|Self(log)| Probe::new(&log)));
            assert_eq!(next.unwrap().token(), chat.token());
            chat.set_terminator(";");
        }
        Ok(())
    }

    fn handle_timer(&mut self, _: Timer, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add("login's timer");
        Ok(())
    }

    fn handle_close(&mut self, _: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        self.0.add("login's close");
    }
}

#[test]
fn a_handler_is_swapped_in_the_middle_of_a_read() {
    let log = Log::default();
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(AsyncChat::over(line, "\n", Login(log.clone())))
        .unwrap()
        .token();
    peer.say("a\nswitch\nb;c\n;d");
    sim::settle(&mut map, me, &peer);
    peer.say(";e");
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(
        log.all(),
        [
            "login a",
            "login switch",
            "convert",
            "message b",
            "message c\\n",
            "message d",
            "eof e",
            "close Eof"
        ],
        "and no second handle_connect"
    );
}

/// A read that was full is followed by another, in the same turn.
#[test]
fn a_handler_is_swapped_between_two_reads() {
    let log = Log::default();
    let (line, peer) = sim::line();
    let mut limits = Limits::default();
    limits.in_buffer_size = b"switch\n".len();
    let mut map = ChannelMap::new().unwrap();
    let login = AsyncChat::over(line, "\n", Login(log.clone())).limited(limits);
    let me = map.insert(login).unwrap().token();
    peer.say("switch\na;b;");
    sim::settle(&mut map, me, &peer);
    assert_eq!(
        log.all(),
        ["login switch", "convert", "message a", "message b"]
    );
}

#[test]
fn timers_and_what_is_queued_go_along() {
    let log = Log::default();
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(AsyncChat::over(line, "\n", Login(log.clone())))
        .unwrap();
    map.set_timer(me, map.now() + Duration::from_secs(1));
    peer.set_room(2);
    map.get_mut(me).unwrap().chat.push("queued");
    peer.say("switch\n");
    sim::settle(&mut map, me, &peer);
    assert!(map.get(me).is_err(), "a handle of the old type");
    peer.set_room(100);
    sim::step_after(&mut map, me, &peer, Duration::from_secs(1));
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["login switch", "convert", "timer"]);
    assert_eq!(peer.take_sent(), b"queued");
}

/// Everything it gets, as it comes.
struct Tunnel {
    log: Log,
    received: Vec<u8>,
}

impl Tunnel {
    fn new(log: &Log) -> Self {
        Self {
            log: log.clone(),
            received: Vec::new(),
        }
    }
}

impl DispatcherHandler for Tunnel {
    fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        let mut buffer = [0; 7]; // smaller than what was read already
        loop {
            match endpoint.recv(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(len) => self.received.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn handle_eof(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.log
            .add(format!("eof {}", self.received.escape_ascii()));
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.log
            .add(format!("close {}", crate::common::name(&reason)));
    }
}

/// SMTP to proxy: the chat's unread bytes, and those that might have been a
/// terminator, are the tunnel's.
#[test]
fn a_chat_becomes_a_dispatcher_with_what_was_not_delivered() {
    let log = Log::default();
    let inner = log.clone();
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let probe = Probe::default().on_message(move |_, chat, map| {
        let me: Handle<AsyncChat<Probe>> = chat.token().handle();
        let tunnel = Tunnel::new(&inner);
        map.convert(me, |proxy| {
            Dispatcher::new(proxy.chat.into_endpoint(), tunnel)
        })
        .unwrap();
        Ok(())
    });
    let me = map
        .insert(AsyncChat::new(ours, "\r\n", probe))
        .unwrap()
        .token();
    theirs
        .write_all(b"CONNECT\r\nclient hello\r\nmore\r")
        .unwrap();
    turn_to_rest(&mut map);
    let tunnel: Handle<Dispatcher<Tunnel>> = me.handle();
    // Without any further input.
    assert_eq!(
        map.get(tunnel).unwrap().handler.received,
        b"client hello\r\nmore\r"
    );
    theirs.write_all(b"\n and so on").unwrap();
    drop(theirs);
    turn_until(&mut map, |_| log.len() > 0);
    assert_eq!(log.all(), [r"eof client hello\r\nmore\r\n and so on"]);
}

#[test]
fn a_chat_at_rest_becomes_a_dispatcher_with_the_terminator_it_had_begun() {
    let log = Log::default();
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let chat = map
        .insert(AsyncChat::new(ours, "\r\n", Probe::new(&log)))
        .unwrap();
    theirs.write_all(b"\r").unwrap(); // the terminator's beginning: held
    turn_to_rest(&mut map);
    let tunnel = Tunnel::new(&log);
    let tunnel = map
        .convert(chat, |c| Dispatcher::new(c.chat.into_endpoint(), tunnel))
        .unwrap();
    turn_to_rest(&mut map);
    assert_eq!(map.get(tunnel).unwrap().handler.received, b"\r");
    assert_rest(&mut map);
}

#[test]
fn a_dispatcher_becomes_a_chat() {
    let log = Log::default();
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let raw = map
        .insert(Dispatcher::new(ours, Tunnel::new(&log)))
        .unwrap();
    theirs.write_all(b"raw").unwrap();
    turn_to_rest(&mut map);
    assert_eq!(map.get(raw).unwrap().handler.received, b"raw");
    let probe = Probe::new(&log).on_convert(|chat, _| {
        chat.push("ready\n");
        Ok(())
    });
    map.convert(raw, |raw| AsyncChat::new(raw.endpoint, "\n", probe))
        .unwrap();
    assert_eq!(read_len(&mut map, &mut theirs, 6), b"ready\n");
    theirs.write_all(b"line\n").unwrap();
    turn_until(&mut map, |_| log.has("message line"));
    assert_eq!(log.all(), ["convert", "message line"]);
}

/// There and back: input that was read by one chat, not wanted by a
/// dispatcher, and delivered by another chat.
#[test]
fn unread_input_survives_two_conversions() {
    struct Idle;
    impl DispatcherHandler for Idle {
        fn readable(&self, _: &Endpoint) -> bool {
            false
        }
    }
    let log = Log::default();
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let probe = Probe::new(&log).on_message(|_, chat, map| {
        let me: Handle<AsyncChat<Probe>> = chat.token().handle();
        map.convert(me, |c| Dispatcher::new(c.chat.into_endpoint(), Idle))
            .unwrap();
        Ok(())
    });
    let me = map
        .insert(AsyncChat::over(line, "\n", probe))
        .unwrap()
        .token();
    peer.say("first\nsecond\nthi");
    sim::settle(&mut map, me, &peer);
    let idle: Handle<Dispatcher<Idle>> = me.handle();
    let probe = Probe::new(&log);
    map.convert(idle, |d| {
        AsyncChat::new(d.endpoint, Terminator::from("\n"), probe)
    })
    .unwrap();
    peer.say("rd\n");
    sim::settle(&mut map, me, &peer);
    assert_eq!(
        log.all(),
        [
            "connect",
            "message first",
            "convert",
            "message second",
            "message third"
        ]
    );
}

#[test]
fn a_converted_channel_that_is_closed_is_told_as_what_it_is() {
    let log = Log::default();
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(AsyncChat::over(line, "\n", Login(log.clone())))
        .unwrap()
        .token();
    peer.say("switch\n");
    sim::settle(&mut map, me, &peer);
    map.close(me);
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["login switch", "convert", "close Requested"]);
}

/// Collects, and becomes a `Second` at the first data that ends with "!".
struct First(Log);
struct Second(Log);

impl ChatHandler for First {
    fn collect_incoming_data(
        &mut self,
        data: &[u8],
        chat: &mut Chat,
        map: &mut ChannelMap,
    ) -> Result {
        self.0.add(format!("first {}", data.escape_ascii()));
        if data.ends_with(b"!") {
            let me: Handle<AsyncChat<Self>> = chat.token().handle();
            map.convert(me, |chat| chat.with_handler(|Self(log)| Second(log)))
                .unwrap();
        }
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add("first found");
        Ok(())
    }
}

impl ChatHandler for Second {
    fn collect_incoming_data(&mut self, data: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add(format!("second {}", data.escape_ascii()));
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add("second found");
        Ok(())
    }
}

/// The data of a message is the old handler's, its end the new one's.
#[test]
fn a_terminator_after_a_conversion_in_collect_is_found_by_the_new_handler() {
    let heard = |terminator: Terminator, segments: &[&str]| {
        let log = Log::default();
        let (line, peer) = sim::line();
        let mut map = ChannelMap::new().unwrap();
        let me = map
            .insert(AsyncChat::over(line, terminator, First(log.clone())))
            .unwrap()
            .token();
        for segment in segments {
            peer.say(segment);
            sim::settle(&mut map, me, &peer);
        }
        log.all()
    };
    let expected = ["first a!", "second found", "second b", "second found"];
    assert_eq!(heard("\n".into(), &["a!\nb\n"]), expected);
    assert_eq!(heard("\n".into(), &["a!", "\nb\n"]), expected);
    assert_eq!(heard("\r\n".into(), &["a!\r", "\nb\r\n"]), expected);
    assert_eq!(heard("\n".into(), &["a!\n"]), expected[..2]);
    assert_eq!(heard(2.into(), &["a!"]), expected[..2]);
    assert_eq!(heard(2.into(), &["a!b"]), expected[..3]);
}

/// Answers by the means of its kind, and becomes another kind, in one callback.
struct Switching;

impl DispatcherHandler for Switching {
    fn handle_read(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        endpoint.recv(&mut [0; 16])?;
        endpoint.push("first, ");
        let me: Handle<Dispatcher<Self>> = endpoint.token().handle();
        map.convert(me, |d| AsyncChat::new(d.endpoint, "\n", d.handler))
            .unwrap();
        Ok(())
    }
}

impl MessageHandler for Switching {
    fn handle_convert(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        chat.push("second, ");
        chat.push_bytes(vec![b'.'; 2_000]);
        let me: Handle<AsyncChat<Self>> = chat.token().handle();
        map.convert(me, |c| Dispatcher::new(c.chat.into_endpoint(), Last))
            .unwrap();
        Ok(())
    }

    fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        Ok(())
    }
}

struct Last;

impl DispatcherHandler for Last {}

#[test]
fn what_was_pushed_goes_along_to_another_kind_of_channel() {
    let mut map = ChannelMap::new().unwrap();
    let (ours, mut theirs) = unix_pair();
    map.insert(Dispatcher::new(ours, Switching)).unwrap();
    theirs.write_all(b"go").unwrap();
    let expected = [&b"first, second, "[..], &[b'.'; 2_000]].concat();
    assert_eq!(read_len(&mut map, &mut theirs, expected.len()), expected);
}

/// Holds a channel that is not to be called for a while.
#[derive(Debug)]
struct Suspended(AsyncChat<Probe>);

impl Channel for Suspended {
    fn registration(&self) -> Option<&Registration> {
        self.0.registration()
    }

    fn readable(&self, _: Token) -> bool {
        false
    }
}

/// What it said of itself before was another channel's answer since.
#[test]
fn a_chat_that_was_inside_another_channel_is_asked_again() {
    let log = Log::default();
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::new(ours, "\n", Probe::new(&log));
    let chat = map.insert(channel).unwrap();
    turn_to_rest(&mut map);
    let suspended = map.convert(chat, Suspended).unwrap();
    turn_to_rest(&mut map);
    theirs.write_all(b"waits\n").unwrap();
    assert_rest(&mut map);
    map.convert(suspended, |suspended| suspended.0).unwrap();
    turn_until(&mut map, |_| log.has("message waits"));
}

/// Both fields of a channel are public: another chat may take a chat's place.
#[test]
fn a_chat_that_was_out_of_its_channel_is_asked_again() {
    let log = Log::default();
    let (ours, mut theirs) = unix_pair();
    let (others, _others_peer) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::new(ours, "\n", Probe::new(&log));
    let me = map.insert(channel).unwrap();
    turn_to_rest(&mut map);
    let mut other = AsyncChat::new(others, "\n", Probe::default());
    for _ in 0..2 {
        std::mem::swap(&mut map.get_mut(me).unwrap().chat, &mut other.chat);
        turn_to_rest(&mut map);
    }
    theirs.write_all(b"here again\n").unwrap();
    turn_until(&mut map, |_| log.has("message here again"));
}

/// Input goes along to a dispatcher, byte by byte, and its end comes after it.
#[test]
fn a_dispatcher_hears_of_the_end_after_what_goes_along() {
    struct Slow(Log);

    impl DispatcherHandler for Slow {
        fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
            let mut byte = [0];
            if endpoint.recv(&mut byte)? > 0 {
                self.0.add(byte.escape_ascii().to_string());
            }
            Ok(())
        }

        fn handle_eof(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
            self.0.add("eof");
            endpoint.close();
            Ok(())
        }
    }

    /// Becomes a `Slow` at what may have been a terminator.
    struct Early(Log);

    impl ChatHandler for Early {
        fn collect_incoming_data(
            &mut self,
            data: &[u8],
            chat: &mut Chat,
            map: &mut ChannelMap,
        ) -> Result {
            if data != b"abc" {
                chat.unread(data);
                let me: Handle<AsyncChat<Self>> = chat.token().handle();
                map.convert(me, |early| {
                    let slow = Slow(early.handler.0.clone());
                    Dispatcher::new(early.chat.into_endpoint(), slow)
                })
                .unwrap();
            }
            Ok(())
        }

        fn found_terminator(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
            Ok(())
        }
    }

    let log = Log::default();
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::over(line, "\r\n\r\n", Early(log.clone()));
    let me = map.insert(channel).unwrap().token();
    peer.say("abc\r\n\r");
    sim::settle(&mut map, me, &peer);
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), [r"\r", r"\n", r"\r", "eof"]);
}
