//! Output that a raw dispatcher queues: in order, within bounds, and for no
//! more turns than it takes.

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use chat::{
    ChannelMap, CloseReason, Dispatcher, DispatcherHandler, DispatcherWithSend, Endpoint, Error,
    Handle, Limits, Readiness, Result,
};

use crate::common::part::{Part, Record};
use crate::common::sim::{self, Peer};
use crate::common::{
    Log, assert_rest, name, read_len, read_some, read_to_end, turn_to_rest, turn_until, unix_pair,
};

type Hook = Box<dyn FnMut(&[u8], &mut Endpoint, &mut ChannelMap) -> Result>;

/// Keeps a record, and does with what it reads as each test says.
#[derive(Default)]
struct Raw {
    log: Log,
    read: Option<Hook>,
    wants_to_write: bool,
    is_deaf: bool,
}

impl Raw {
    fn new(log: &Log) -> Self {
        Self {
            log: log.clone(),
            ..Self::default()
        }
    }

    fn on_read(
        mut self,
        hook: impl FnMut(&[u8], &mut Endpoint, &mut ChannelMap) -> Result + 'static,
    ) -> Self {
        self.read = Some(Box::new(hook));
        self
    }
}

impl DispatcherHandler for Raw {
    fn readable(&self, _: &Endpoint) -> bool {
        !self.is_deaf
    }

    fn writable(&self, _: &Endpoint) -> bool {
        self.wants_to_write
    }

    fn handle_connect(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.log.add("connect");
        Ok(())
    }

    fn handle_read(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        let mut buffer = map.buffers().read_buffer();
        let len = endpoint.recv(&mut buffer)?;
        match &mut self.read {
            Some(hook) => hook(&buffer[..len], endpoint, map),
            None => Ok(()),
        }
    }

    fn handle_write(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        assert_eq!(endpoint.queued(), 0, "what was pushed goes first");
        self.log.add("write");
        self.wants_to_write = false;
        endpoint.send(b"<by hand>")?;
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.log.add(format!("close {}", name(&reason)));
    }

    fn handle_error(&mut self, error: Error, _: &mut Endpoint, _: &mut ChannelMap) {
        self.log.add(format!("error {error}"));
    }
}

fn simulated(map: &mut ChannelMap, log: &Log) -> (Handle<DispatcherWithSend<Raw>>, Peer) {
    let (line, peer) = sim::line();
    let me = map.insert(Dispatcher::over(line, Raw::new(log))).unwrap();
    sim::settle(map, me, &peer);
    (me, peer)
}

fn inserted(map: &mut ChannelMap, raw: Raw) -> (Handle<Dispatcher<Raw>>, UnixStream) {
    let (ours, theirs) = unix_pair();
    let me = map.insert(Dispatcher::new(ours, raw)).unwrap();
    (me, theirs)
}

#[test]
fn pushes_are_sent_together_before_the_loop_waits() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &log);
    let before = peer.sends();
    let endpoint = &mut map.get_mut(me).unwrap().endpoint;
    for word in ["one ", "", "two ", "three"] {
        endpoint.push(word);
    }
    assert_eq!(endpoint.queued(), 13);
    assert_eq!(peer.sends(), before, "a push does not send");
    map.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(peer.take_sent(), b"one two three");
    assert_eq!(peer.sends(), before + 1, "one send for all");
    assert_eq!(map.get(me).unwrap().endpoint.queued(), 0);
}

#[test]
fn while_something_is_queued_send_says_would_block_and_nothing_overtakes() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &log);
    let endpoint = &mut map.get_mut(me).unwrap().endpoint;
    assert_eq!(endpoint.send(b"1").unwrap(), 1);
    endpoint.push("2");
    let busy = endpoint.send(b"3").unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::WouldBlock);
    assert!(!endpoint.closing());
    peer.set_room(0);
    sim::settle(&mut map, me, &peer);
    let endpoint = &mut map.get_mut(me).unwrap().endpoint;
    assert_eq!(endpoint.queued(), 1);
    assert!(endpoint.send(b"3").is_err());
    peer.set_room(100);
    sim::settle(&mut map, me, &peer);
    let endpoint = &mut map.get_mut(me).unwrap().endpoint;
    assert_eq!(endpoint.send(b"3").unwrap(), 1);
    assert_eq!(peer.take_sent(), b"123");
}

#[test]
fn a_queue_needs_to_be_drained_from_above_high_water_to_low_water() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &log);
    peer.set_room(0);
    let mut limits = Limits::default();
    (limits.high_water, limits.low_water) = (10, 4);
    map.get_mut(me).unwrap().endpoint.set_limits(limits);
    let needs_drain = |map: &ChannelMap| map.get(me).unwrap().endpoint.needs_drain();
    for (pushed, room, needed) in [(0, 0, false), (10, 0, false), (1, 0, true), (0, 6, true)] {
        map.get_mut(me).unwrap().endpoint.push(vec![b'x'; pushed]);
        peer.set_room(room);
        sim::settle(&mut map, me, &peer);
        assert_eq!(needs_drain(&map), needed, "{pushed} {room}");
    }
    peer.set_room(1);
    sim::settle(&mut map, me, &peer);
    assert!(!needs_drain(&map));
}

/// A handler that writes by hand as well is asked when the queue is gone.
#[test]
fn handle_write_comes_after_all_that_was_pushed() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &log);
    peer.set_room(4);
    let channel = map.get_mut(me).unwrap();
    channel.endpoint.push("<pushed>");
    channel.handler.wants_to_write = true;
    sim::settle(&mut map, me, &peer);
    assert!(log.after_connect().is_empty(), "there is no room yet");
    peer.set_room(100);
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.after_connect(), ["write"]);
    assert_eq!(peer.take_sent(), b"<pushed><by hand>");
}

#[test]
fn what_is_pushed_is_sent_in_order_however_little_room_there_is() {
    let mut rng = crate::common::rng::Rng::new(0x5eed);
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &log);
    let (mut expected, mut received) = (Vec::new(), Vec::new());
    for _ in 0..2_000 {
        let endpoint = &mut map.get_mut(me).unwrap().endpoint;
        assert_eq!(endpoint.queued(), expected.len() - received.len());
        for _ in 0..rng.below(3) {
            let len = rng.below(200);
            let data = rng.bytes(b"0123456789", len);
            expected.extend_from_slice(&data);
            endpoint.push(&data);
        }
        peer.set_room(rng.below(400));
        sim::step(&mut map, me, &peer);
        received.extend(peer.take_sent());
    }
    peer.set_room(usize::MAX);
    sim::settle(&mut map, me, &peer);
    received.extend(peer.take_sent());
    assert_eq!(received, expected);
}

#[test]
fn five_megabytes_pass_to_a_slow_reader() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, mut theirs) = inserted(&mut map, Raw::new(&log));
    let data: Vec<u8> = (0..5_000_000u32).map(|n| (n / 251) as u8).collect();
    let endpoint = &mut map.get_mut(me).unwrap().endpoint;
    for part in data.chunks(9_999) {
        endpoint.push(part);
    }
    let mut received = Vec::new();
    let mut buffer = [0; 20_000];
    turn_until(&mut map, |_| {
        let len = theirs.read(&mut buffer).unwrap_or(0); // one read a turn
        received.extend_from_slice(&buffer[..len]);
        received.len() == data.len()
    });
    assert!(received == data);
    assert_rest(&mut map);
    assert_eq!(map.get(me).unwrap().endpoint.queued(), 0);
    assert!(log.after_connect().is_empty());
}

#[test]
fn a_peer_that_does_not_read_costs_no_turns() {
    let mut map = ChannelMap::new().unwrap();
    let (me, mut theirs) = inserted(&mut map, Raw::default());
    map.get_mut(me).unwrap().endpoint.push([b'x'; 1_000_000]);
    assert_rest(&mut map);
    let queued = map.get(me).unwrap().endpoint.queued();
    assert!(queued > 0);
    // What comes in is heard meanwhile.
    theirs.write_all(b"still here").unwrap();
    assert_rest(&mut map);
    assert_eq!(read_len(&mut map, &mut theirs, 1_000_000).len(), 1_000_000);
    assert_rest(&mut map);
}

#[test]
fn more_than_the_limit_closes_a_slow_reader_once_and_is_dropped() {
    let limit = Limits::default().output;
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &log);
    peer.set_room(0);
    let endpoint = &mut map.get_mut(me).unwrap().endpoint;
    endpoint.push(vec![b'x'; limit]);
    assert!(!endpoint.closing(), "so much may be queued");
    sim::settle(&mut map, me, &peer);
    let endpoint = &mut map.get_mut(me).unwrap().endpoint;
    endpoint.push("y");
    assert!(endpoint.closing());
    endpoint.push("z");
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.after_connect(), ["close SlowReader"]);
    assert!(peer.take_sent().is_empty());
}

#[test]
fn the_limit_is_judged_after_one_more_attempt_to_send() {
    let limit = Limits::default().output;
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &log);
    let endpoint = &mut map.get_mut(me).unwrap().endpoint;
    for _ in 0..10 {
        endpoint.push(vec![b'x'; limit / 2]); // who reads gets it
    }
    assert!(!endpoint.closing());
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent().len(), 5 * limit);
    assert!(log.after_connect().is_empty());
}

#[test]
fn what_is_pushed_before_the_connection_is_there_is_sent_after_it() {
    let log = Log::default();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut map = ChannelMap::new().unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = Dispatcher::connect(address, Raw::new(&log));
    client.endpoint.push("early ");
    let me = map.insert(client).unwrap();
    map.get_mut(me).unwrap().endpoint.push("bird");
    let (mut theirs, _) = listener.accept().unwrap();
    theirs.set_nonblocking(true).unwrap();
    assert_eq!(read_len(&mut map, &mut theirs, 10), b"early bird");
    assert_eq!(log.all(), ["connect"]);
    assert_rest(&mut map);
}

#[test]
fn what_is_pushed_goes_along_to_the_second_address() {
    let log = Log::default();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = [closed, listener.try_clone().unwrap()].map(|l| l.local_addr().unwrap());
    let mut client = Dispatcher::connect(&addresses[..], Raw::new(&log));
    client.endpoint.push("persistent");
    let mut map = ChannelMap::new().unwrap();
    map.insert(client).unwrap();
    turn_until(&mut map, |_| log.has("connect"));
    let (mut theirs, _) = listener.accept().unwrap();
    theirs.set_nonblocking(true).unwrap();
    assert_eq!(read_len(&mut map, &mut theirs, 10), b"persistent");
}

/// As documented: to reach the peer before the end is a chat channel's business.
#[test]
fn closing_drops_what_is_queued() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, mut theirs) = inserted(&mut map, Raw::new(&log));
    let endpoint = &mut map.get_mut(me).unwrap().endpoint;
    endpoint.push("never sent");
    endpoint.close();
    endpoint.push("nor this");
    assert_eq!(endpoint.queued(), 0, "neither is kept");
    assert_eq!(read_to_end(&mut map, &mut theirs), b"");
    assert_eq!(log.all(), ["close Requested"]);
}

/// Half-closing is the handler's: when nothing is queued any more.
#[test]
fn a_half_closed_peer_gets_all_that_is_pushed_to_it() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    struct Answering(Log);
    impl DispatcherHandler for Answering {
        fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
            endpoint.recv(&mut [0; 100])?;
            Ok(())
        }
        fn handle_eof(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
            self.0.add("eof");
            endpoint.push(vec![b'a'; 3_000_000]);
            Ok(())
        }
    }
    let (ours, mut theirs) = unix_pair();
    let me = map
        .insert(Dispatcher::new(ours, Answering(log.clone())))
        .unwrap();
    theirs.write_all(b"question").unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    assert_rest(&mut map);
    assert_eq!(read_len(&mut map, &mut theirs, 3_000_000).len(), 3_000_000);
    assert_rest(&mut map);
    assert_eq!(log.all(), ["eof"]);
    assert!(map.is_open(me));
}

#[test]
fn a_peers_last_words_are_read_though_sending_to_it_fails() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let heard = log.clone();
    let raw = Raw::new(&log).on_read(move |data, _, _| {
        heard.add(format!("read {}", data.escape_ascii()));
        Ok(())
    });
    let (me, mut theirs) = inserted(&mut map, raw);
    turn_to_rest(&mut map);
    theirs.write_all(b"farewell").unwrap();
    drop(theirs);
    let endpoint = &mut map.get_mut(me).unwrap().endpoint;
    endpoint.push("into the void");
    turn_to_rest(&mut map);
    assert_eq!(
        log.after_connect(),
        ["read farewell", "read ", "close Io(BrokenPipe)"]
    );
    assert!(map.is_empty());
}

#[test]
fn a_channel_that_cannot_send_and_does_not_read_closes_once_with_the_error() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let mut raw = Raw::new(&log);
    raw.is_deaf = true;
    let (me, theirs) = inserted(&mut map, raw);
    turn_to_rest(&mut map);
    theirs.shutdown(Shutdown::Read).unwrap();
    map.get_mut(me).unwrap().endpoint.push("into the void");
    turn_to_rest(&mut map);
    assert_eq!(log.after_connect(), ["close Io(BrokenPipe)"]);
    assert!(map.is_empty());
}

#[test]
fn a_push_to_another_dispatcher_is_sent_before_the_next_wait() {
    let mut map = ChannelMap::new().unwrap();
    let (other, mut to) = inserted(&mut map, Raw::default());
    let relay = Raw::default().on_read(move |data, _, map| {
        map.get_mut(other).unwrap().endpoint.push(data);
        Ok(())
    });
    let (_, mut from) = inserted(&mut map, relay);
    turn_to_rest(&mut map);
    from.write_all(b"pass it on").unwrap();
    map.turn(Some(Duration::from_secs(5))).unwrap(); // receives
    map.turn(Some(Duration::ZERO)).unwrap(); // sends, and finds no event
    let mut received = Vec::new();
    assert!(!read_some(&mut to, &mut received));
    assert_eq!(received, b"pass it on");
}

/// Two dispatchers that answer each other for ever leave the others their turn.
#[test]
fn an_echo_between_two_dispatchers_does_not_hold_a_turn() {
    let mut map = ChannelMap::new().unwrap();
    let (a, b) = UnixStream::pair().unwrap();
    let rounds = Rc::new(RefCell::new(0));
    for end in [a, b] {
        let count = Rc::clone(&rounds);
        let echo = Raw::default().on_read(move |data, endpoint, _| {
            *count.borrow_mut() += 1;
            endpoint.push(data);
            Ok(())
        });
        let mut channel = Dispatcher::new(end, echo);
        channel.endpoint.push("tick");
        map.insert(channel).unwrap();
    }
    for _ in 0..100 {
        map.turn(Some(Duration::from_secs(5))).unwrap();
    }
    let rounds = *rounds.borrow();
    assert!((100..=200).contains(&rounds), "{rounds} in 100 turns");
}

/// Whoever converts the channel takes the queue along.
#[test]
fn what_is_queued_stays_with_the_endpoint() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &log);
    peer.set_room(3);
    map.get_mut(me).unwrap().endpoint.push("one two");
    sim::settle(&mut map, me, &peer);
    let me = map
        .convert(me, |raw| Dispatcher::new(raw.endpoint, Raw::default()))
        .unwrap();
    peer.set_room(100);
    map.dispatch(me, Readiness::WRITABLE);
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent(), b"one two");
}

#[test]
fn an_echo_to_a_half_closed_peer_is_sent_before_the_channel_closes() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let echo = Raw::new(&log).on_read(|data, endpoint, _| {
        endpoint.push(data);
        Ok(())
    });
    let (_, mut theirs) = inserted(&mut map, echo);
    let question = vec![7; 1_000_000];
    let mut sent = 0;
    turn_until(&mut map, |_| {
        sent += theirs.write(&question[sent..]).unwrap_or(0);
        sent == question.len()
    });
    theirs.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut map, &mut theirs), question);
    turn_to_rest(&mut map);
    assert_eq!(log.after_connect(), ["close Eof"]);
}

#[test]
fn shutting_down_and_half_closing_wait_for_what_was_pushed() {
    for ends in [
        (|map, _| map.shut_down(map.now() + Duration::from_secs(60)))
            as fn(&mut ChannelMap, Handle<Dispatcher<Raw>>),
        |map, me| map.get_mut(me).unwrap().endpoint.close_when_done(),
        |map, me| {
            let endpoint = &mut map.get_mut(me).unwrap().endpoint;
            endpoint.shutdown(Shutdown::Write).unwrap();
        },
    ] {
        let mut map = ChannelMap::new().unwrap();
        let (me, mut theirs) = inserted(&mut map, Raw::default());
        map.get_mut(me).unwrap().endpoint.push(vec![7; 3_000_000]);
        ends(&mut map, me);
        assert_eq!(read_to_end(&mut map, &mut theirs).len(), 3_000_000);
    }
}

#[test]
fn a_peer_that_takes_nothing_of_the_rest_is_not_waited_for_for_ever() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, mut theirs) = inserted(&mut map, Raw::new(&log));
    let endpoint = &mut map.get_mut(me).unwrap().endpoint;
    endpoint.push(vec![7; 3_000_000]);
    endpoint.close_when_done();
    assert_rest(&mut map);
    let mut some = vec![0; 1_000_000];
    theirs.read_exact(&mut some[..200_000]).unwrap();
    turn_to_rest(&mut map);
    map.turn_at(map.now() + Limits::DEFAULT.stall).unwrap();
    turn_to_rest(&mut map);
    assert!(map.is_open(me), "it takes a little");
    map.turn_at(map.now() + 3 * Limits::DEFAULT.stall).unwrap();
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["close Missed(Stall)"]);
}

/// Says farewell to who has ended, and closes.
struct Farewell(Log);

impl DispatcherHandler for Farewell {
    fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        if endpoint.recv(&mut [0; 16])? == 0 {
            endpoint.push(vec![7; 3_000_000]);
            endpoint.close_when_done();
        }
        Ok(())
    }

    fn handle_eof(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.0.add("eof");
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.0.add(format!("close {}", name(&reason)));
    }
}

#[test]
fn a_channel_that_closes_when_done_is_told_of_no_end_and_costs_no_turns() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (ours, mut theirs) = unix_pair();
    let channel = Dispatcher::new(ours, Farewell(log.clone()));
    map.insert(channel).unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    assert_rest(&mut map);
    assert_eq!(read_to_end(&mut map, &mut theirs).len(), 3_000_000);
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["close Done"]);
}

/// What was queued is lost, or is to be the last: nothing may follow it.
#[test]
fn a_dispatcher_that_ends_sends_nothing_by_itself_and_goes_on_to_its_end() {
    type End = fn(&mut Endpoint, &Peer);
    let cases: [(&str, End, &str); 4] = [
        ("closed", |endpoint, _| endpoint.close(), "close Requested"),
        (
            "too much",
            |endpoint, _| assert!(!endpoint.push(vec![b'x'; 9 << 20])),
            "close OutputOverLimit",
        ),
        (
            "failed",
            |endpoint, peer| {
                peer.fail_sends(ErrorKind::BrokenPipe);
                assert!(!endpoint.push(vec![b'x'; 100_000]));
                peer.heal();
            },
            "close Io(BrokenPipe)",
        ),
        (
            "finishing",
            |endpoint, _| endpoint.close_when_done(),
            "close Done",
        ),
    ];
    for (what, end, close) in cases {
        let record = Record::default();
        let (line, peer) = sim::line();
        let test = peer.clone();
        let part = Part::<0>::new(&record).on_event(move |event, side, _| {
            if event == "line go" {
                side.push("queued");
                end(side.raw(), &test);
                test.set_room(usize::MAX);
                if what == "finishing" {
                    return true;
                }
                let sent = side.raw().send(b"overtaken");
                assert_eq!(sent.unwrap_err().kind(), ErrorKind::BrokenPipe, "{what}");
            }
            if event == "timer" {
                let sent = side.raw().send(b"late");
                assert_eq!(sent.unwrap_err().kind(), ErrorKind::BrokenPipe, "{what}");
            }
            true
        });
        let mut map = ChannelMap::new().unwrap();
        let me = map.insert(Dispatcher::over(line, part)).unwrap();
        peer.set_room(0);
        peer.say("go\r\nleft\r\n");
        sim::settle(&mut map, me, &peer);
        let now = map.now();
        map.set_timer(me, now);
        sim::step(&mut map, me, &peer);
        let goes_on = matches!(what, "failed" | "finishing");
        assert_eq!(map.is_open(me), goes_on, "{what}");
        peer.say_eof();
        sim::settle(&mut map, me, &peer);
        let heard = record.of(0);
        assert_eq!(heard.last().unwrap(), close, "{what}");
        let is_left = record.input_of(0).ends_with(b"left\r\n");
        assert_eq!(is_left, what == "failed", "{what}: {heard:?}");
        let sent = peer.take_sent();
        assert_eq!(sent == b"queued", what == "finishing", "{what}: {sent:?}");
        assert!(!sent.ends_with(b"overtaken") && !sent.ends_with(b"late"));
    }
}
