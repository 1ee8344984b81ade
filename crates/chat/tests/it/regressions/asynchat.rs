//! What asynchat got wrong in what a chat channel receives and sends.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use chat::{
    AsyncChat, ChannelMap, Chat, ChatHandler, Dispatcher, DispatcherHandler, Endpoint, Handle,
    Limits, MessageHandler, More, Producer, Result, SimpleProducer, SockRef, Terminator,
};

use crate::common::sim::{self, Peer};
use crate::common::{Log, Probe, turn_to_rest, turn_until, unix_pair};

fn simulated(map: &mut ChannelMap, probe: Probe) -> (Handle<AsyncChat<Probe>>, Peer) {
    let (line, peer) = sim::line();
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    sim::settle(map, me, &peer);
    (me, peer)
}

/// Keeps all that comes.
#[derive(Clone, Default)]
struct Received(Rc<RefCell<Vec<u8>>>);

impl ChatHandler for Received {
    fn collect_incoming_data(&mut self, data: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.borrow_mut().extend_from_slice(data);
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        Err("there is no terminator".into())
    }
}

impl DispatcherHandler for Received {
    fn handle_read(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        let mut buffer = map.buffers().read_buffer();
        let len = endpoint.recv(&mut buffer)?;
        self.0.borrow_mut().extend_from_slice(&buffer[..len]);
        Ok(())
    }
}

/// D1: more than one read is waiting when the peer hangs up.
#[test]
fn two_hundred_thousand_bytes_arrive_whole_with_their_hang_up() {
    let data: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
    for is_chat in [true, false] {
        let (ours, mut theirs) = unix_pair();
        let socket = SockRef::from(&theirs);
        socket.set_send_buffer_size(1_000_000).unwrap();
        let received = Received::default();
        let mut map = ChannelMap::new().unwrap();
        if is_chat {
            let channel = AsyncChat::new(ours, Terminator::none(), received.clone());
            map.insert(channel).unwrap();
        } else {
            let channel = Dispatcher::new(ours, received.clone());
            map.insert(channel).unwrap();
        }
        let mut left = &data[..];
        while !left.is_empty() {
            match theirs.write(left) {
                Ok(len) => left = &left[len..],
                // A smaller socket than was asked for: the loop makes room.
                Err(_) => assert!(map.turn(Some(Duration::ZERO)).unwrap() > 0),
            }
        }
        drop(theirs);
        turn_until(&mut map, |map| map.is_empty());
        assert!(*received.0.borrow() == data);
    }
}

/// D2b: the first request costs the connection, the second was pipelined with
/// it or comes a little later.
#[test]
fn a_request_behind_a_refused_one_does_not_run() {
    for first in ["wrong", "much too long"] {
        let stream = format!("{first}\nsecond\nthird\n");
        for cut in 0..stream.len() {
            let log = Log::default();
            let probe = Probe::new(&log)
                .on_message(|line, _, _| match line {
                    b"wrong" => Err("no such request".into()),
                    _ => Ok(()),
                })
                .on_overlimit(|chat, _| {
                    chat.push("431\n");
                    Ok(())
                });
            let mut map = ChannelMap::new().unwrap();
            let (me, peer) = simulated(&mut map, probe);
            let mut limits = Limits::default();
            limits.message = 8;
            map.get_mut(me).unwrap().chat.set_limits(limits);
            let (head, tail) = stream.split_at(cut);
            peer.say(head);
            sim::settle(&mut map, me, &peer);
            peer.say(tail);
            peer.say_eof();
            sim::settle(&mut map, me, &peer);
            let log = log.all();
            assert!(!log.iter().any(|e| e == "message second"), "{cut}: {log:?}");
            assert!(!log.iter().any(|e| e == "message third"), "{cut}: {log:?}");
            assert!(log.last().unwrap().starts_with("close "), "{log:?}");
        }
    }
}

/// Takes the next of some terminators at each end of a message.
struct Fields {
    log: Log,
    next: Vec<Terminator>,
}

impl ChatHandler for Fields {
    fn collect_incoming_data(&mut self, data: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.log.add(data.escape_ascii().to_string());
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        self.log.add(format!("then {:?}", chat.terminator()));
        assert!(self.log.len() < 100, "it never ends");
        if let Some(next) = self.next.pop() {
            chat.set_terminator(next);
        }
        Ok(())
    }
}

/// What `Fields` is called with by `abcdefgh`.
fn fields(first: Terminator, next: &[Terminator]) -> Vec<String> {
    let log = Log::default();
    let handler = Fields {
        log: log.clone(),
        next: next.to_vec(),
    };
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, first, handler)).unwrap();
    sim::settle(&mut map, me, &peer);
    log.add("input");
    peer.say("abcdefgh");
    sim::settle(&mut map, me, &peer);
    log.all()
}

/// D4a: a number that was reached is not a number 0 that waits.
#[test]
fn after_a_count_the_terminator_says_that_there_is_none() {
    let once = fields(3.into(), &[]);
    assert_eq!(once, ["input", "abc", "then None", "defgh"]);
    let twice = fields(3.into(), &[2.into()]);
    assert_eq!(
        twice,
        ["input", "abc", "then None", "de", "then None", "fgh"]
    );
}

/// D4b: of the three only `None` means "for ever".
#[test]
fn zero_an_empty_string_and_none_are_three_terminators() {
    let zero = fields(0.into(), &["g".into()]);
    assert_eq!(zero, ["then None", "input", "abcdef", "then b\"g\"", "h"]);
    assert!(Terminator::try_from(Bytes::new()).is_err());
    let none = fields(Terminator::none(), &[]);
    assert_eq!(none, ["input", "abcdefgh"]);
}

/// D5a: cutting a line off the front moves nothing of what follows.
#[test]
fn the_lines_of_one_read_are_lent_where_they_lie() {
    struct Places(Rc<RefCell<Vec<usize>>>);
    impl MessageHandler for Places {
        fn handle_message(&mut self, line: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
            self.0.borrow_mut().push(line.as_ptr().addr());
            Ok(())
        }
    }
    let places = Rc::default();
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::over(line, "\n", Places(Rc::clone(&places)));
    let me = map.insert(channel).unwrap();
    peer.say("0123456789abcde\n".repeat(4_096));
    sim::settle(&mut map, me, &peer);
    let places = places.borrow();
    assert_eq!(places.len(), 4_096);
    assert!(places.windows(2).all(|two| two[1] - two[0] == 16));
}

/// D6b: bytes without a terminator, for ever.
#[test]
fn what_is_collected_of_one_message_has_a_limit_by_default() {
    let log = Log::default();
    let inner = log.clone();
    let probe = Probe::new(&log).on_overlimit(move |chat, _| {
        inner.add(format!("{} bytes", chat.partial_message().len()));
        Ok(())
    });
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, probe);
    for _ in 0..1_000 {
        peer.say([b'x'; 10_000]);
    }
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    let expected = ["connect", "overlimit", "65536 bytes", "close OverLimit"];
    assert_eq!(log.all(), expected);
}

/// D6c: a peer that asks and never reads.
#[test]
fn what_is_queued_for_one_peer_has_a_limit_by_default() {
    let log = Log::default();
    let (ours, _theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::new(ours, "\n", Probe::new(&log));
    let me = map.insert(channel).unwrap();
    let mut most = 0;
    for _ in 0..1_000 {
        let Ok(channel) = map.get_mut(me) else {
            break;
        };
        channel.chat.push([b'x'; 65_536]);
        most = most.max(channel.chat.queued());
        map.turn(Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(log.all(), ["connect", "close SlowReader"]);
    assert!(most <= 8 * 1024 * 1024, "{most} bytes");
}

/// D7: the push that finds the peer gone, or too slow, is another's.
#[test]
fn a_push_runs_no_callback_of_the_channel_that_it_breaks() {
    for is_gone in [true, false] {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let (ours, theirs) = unix_pair();
        let victim = AsyncChat::new(ours, "\n", Probe::new(&log));
        let victim = map.insert(victim).unwrap();
        let (ours, mut asking) = unix_pair();
        let inner = log.clone();
        let probe = Probe::default().on_message(move |_, _, map| {
            inner.add("pushing");
            if is_gone {
                theirs.shutdown(Shutdown::Both)?;
            }
            for _ in 0..200 {
                if let Ok(victim) = map.get_mut(victim) {
                    victim.chat.push([b'x'; 100_000]);
                }
            }
            inner.add("pushed");
            Ok(())
        });
        map.insert(AsyncChat::new(ours, "\n", probe)).unwrap();
        turn_to_rest(&mut map);
        asking.write_all(b"now\n").unwrap();
        turn_until(&mut map, |map| !map.is_open(victim));
        let log = log.all();
        assert_eq!(&log[..3], ["connect", "pushing", "pushed"]);
        let reason = if is_gone {
            "Io(BrokenPipe)"
        } else {
            "OutputOverLimit"
        };
        assert_eq!(log.last().unwrap(), &format!("close {reason}"));
    }
}

/// D10: a producer that is empty at first sight.
#[test]
fn a_producer_with_nothing_yet_is_asked_until_it_is_done() {
    struct Late(Rc<Cell<u32>>);
    impl Producer for Late {
        fn more(&mut self, out: &mut Vec<u8>, _: usize) -> io::Result<More> {
            self.0.set(self.0.get() + 1);
            match self.0.get() {
                1 => return Ok(More::Again),
                2 => return Ok(More::Later),
                _ => out.extend_from_slice(b"late "),
            }
            Ok(More::Done)
        }
    }
    let asked = Rc::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Probe::default());
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.push("before ");
    chat.push_with_producer(Late(Rc::clone(&asked)));
    chat.push_with_producer(SimpleProducer::new(""));
    chat.push("after");
    sim::settle(&mut map, me, &peer);
    assert_eq!((asked.get(), peer.take_sent()), (2, b"before ".to_vec()));
    map.touch(me);
    sim::settle(&mut map, me, &peer);
    assert_eq!((asked.get(), peer.take_sent()), (3, b"late after".to_vec()));
}
