//! The handler as a producer of its own channel.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write};

use chat::{
    AsyncChat, ChannelMap, Chat, ChatHandler, CloseReason, Dispatcher, DispatcherHandler, Endpoint,
    Limits, MessageHandler, More, Result, SimpleProducer, Token,
};

use crate::common::sim::{self, Peer};
use crate::common::{Log, name};

/// Counts up to a number, four bytes at a time: as a chat's handler that collects, as one of
/// messages, and as a dispatcher's.
#[derive(Default)]
struct Counter {
    log: Log,
    next: usize,
    end: usize,
    /// Says `Later` before this number, once.
    rest_at: Option<usize>,
    fails: bool,
}

impl Counter {
    fn new(log: &Log, end: usize) -> Self {
        Self {
            log: log.clone(),
            end,
            ..Self::default()
        }
    }

    fn make(&mut self, data: &mut Vec<u8>, max: usize) -> io::Result<More> {
        assert!(data.is_empty() && max == 8);
        if self.fails {
            return Err(ErrorKind::InvalidInput.into());
        }
        while self.next < self.end && data.len() + 4 <= max {
            if self.rest_at == Some(self.next) {
                self.rest_at = None;
                return Ok(More::Later);
            }
            write!(data, "{:03} ", self.next)?;
            self.next += 1;
        }
        Ok(match self.next < self.end {
            true => More::Again,
            false => More::Done,
        })
    }

    fn told(&self, what: &str) {
        self.log.add(format!("{what} after {}", self.next));
    }
}

struct Collects(Counter);

impl ChatHandler for Collects {
    fn collect_incoming_data(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        Ok(())
    }
    fn produce(&mut self, data: &mut Vec<u8>, max: usize) -> io::Result<More> {
        self.0.make(data, max)
    }
    fn handle_drained(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.told("drained");
        Ok(())
    }
    fn handle_close(&mut self, reason: CloseReason, chat: &mut Chat, _: &mut ChannelMap) {
        let unsent = chat.unsent();
        self.0
            .told(&format!("{} {}", name(&reason), unsent.producers));
    }
}

struct Whole(Counter);

impl MessageHandler for Whole {
    fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        Ok(())
    }
    fn produce(&mut self, data: &mut Vec<u8>, max: usize) -> io::Result<More> {
        self.0.make(data, max)
    }
    fn handle_drained(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.told("drained");
        Ok(())
    }
    fn handle_close(&mut self, reason: CloseReason, chat: &mut Chat, _: &mut ChannelMap) {
        let unsent = chat.unsent();
        self.0
            .told(&format!("{} {}", name(&reason), unsent.producers));
    }
}

struct Raw(Counter);

impl DispatcherHandler for Raw {
    fn produce(&mut self, data: &mut Vec<u8>, max: usize) -> io::Result<More> {
        self.0.make(data, max)
    }
    fn handle_drained(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.0.told("drained");
        Ok(())
    }
    fn handle_close(&mut self, reason: CloseReason, endpoint: &mut Endpoint, _: &mut ChannelMap) {
        let unsent = endpoint.unsent();
        self.0
            .told(&format!("{} {}", name(&reason), unsent.producers));
    }
}

/// Reaches the counter and the output of a channel.
trait Reach: chat::Channel {
    fn reach(&mut self) -> (&mut Counter, &mut dyn Queue);
}

trait Queue {
    fn push(&mut self, data: &str);
    fn produce(&mut self) -> bool;
    fn push_made(&mut self, data: &'static str);
    fn close_when_done(&mut self);
}

macro_rules! queue {
    ($wire:ty) => {
        impl Queue for $wire {
            fn push(&mut self, data: &str) {
                assert!(self.push(data));
            }
            fn produce(&mut self) -> bool {
                self.push_with_handler()
            }
            fn push_made(&mut self, data: &'static str) {
                self.push_with_producer(SimpleProducer::new(data));
            }
            fn close_when_done(&mut self) {
                self.close_when_done();
            }
        }
    };
}

queue!(Chat);
queue!(Endpoint);

impl Reach for AsyncChat<Collects> {
    fn reach(&mut self) -> (&mut Counter, &mut dyn Queue) {
        (&mut self.handler.0, &mut self.chat)
    }
}

impl Reach for AsyncChat<Whole> {
    fn reach(&mut self) -> (&mut Counter, &mut dyn Queue) {
        (&mut self.handler.0, &mut self.chat)
    }
}

impl Reach for Dispatcher<Raw> {
    fn reach(&mut self) -> (&mut Counter, &mut dyn Queue) {
        (&mut self.handler.0, &mut self.endpoint)
    }
}

fn on(map: &mut ChannelMap, me: Token, f: impl FnOnce(&mut Counter, &mut dyn Queue)) {
    let (counter, queue) = if map.get(me.handle::<AsyncChat<Collects>>()).is_ok() {
        map.get_mut(me.handle::<AsyncChat<Collects>>())
            .unwrap()
            .reach()
    } else if map.get(me.handle::<AsyncChat<Whole>>()).is_ok() {
        map.get_mut(me.handle::<AsyncChat<Whole>>())
            .unwrap()
            .reach()
    } else {
        map.get_mut(me.handle::<Dispatcher<Raw>>()).unwrap().reach()
    };
    f(counter, queue);
}

/// A channel of each kind, whose handler counts to `end`.
fn each(end: usize, test: impl Fn(&mut ChannelMap, Token, &Peer, &Log)) {
    for kind in 0..3 {
        let mut limits = Limits::default();
        (limits.out_buffer_size, limits.producers) = (8, 2);
        let log = Log::default();
        let counter = Counter::new(&log, end);
        let (line, peer) = sim::line();
        let mut map = ChannelMap::new().unwrap();
        let me = match kind {
            0 => {
                let it = AsyncChat::over(line, "\n", Collects(counter));
                map.insert(it.limited(limits)).unwrap().token()
            }
            1 => {
                let it = AsyncChat::over(line, "\n", Whole(counter));
                map.insert(it.limited(limits)).unwrap().token()
            }
            _ => {
                let it = Dispatcher::over(line, Raw(counter));
                map.insert(it.limited(limits)).unwrap().token()
            }
        };
        sim::settle(&mut map, me, &peer);
        test(&mut map, me, &peer, &log);
    }
}

#[test]
fn it_is_asked_in_its_turn_and_as_there_is_room() {
    each(5, |map, me, peer, log| {
        peer.set_room(0);
        on(map, me, |_, queue| {
            queue.push("before ");
            assert!(queue.produce());
            queue.push("after ");
            queue.push_made("made ");
        });
        sim::settle(map, me, peer);
        on(map, me, |counter, _| {
            assert_eq!(counter.next, 0, "it is not its turn")
        });
        for (room, next) in [(6, 0), (1, 2), (7, 2), (1, 4)] {
            peer.set_room(room);
            sim::settle(map, me, peer);
            on(map, me, |counter, _| assert_eq!(counter.next, next));
        }
        peer.set_room(usize::MAX);
        sim::settle(map, me, peer);
        assert_eq!(peer.take_sent(), b"before 000 001 002 003 004 after made ");
        assert_eq!(log.all(), ["drained after 5"]);
    });
}

#[test]
fn later_is_asked_again_when_the_channel_is_touched() {
    each(5, |map, me, peer, _| {
        on(map, me, |counter, queue| {
            counter.rest_at = Some(2);
            assert!(queue.produce());
        });
        sim::settle(map, me, peer);
        // The dispatches of the test touch it, too.
        map.touch(me);
        sim::settle(map, me, peer);
        assert_eq!(peer.take_sent(), b"000 001 002 003 004 ");
    });
}

#[test]
fn it_is_sent_before_the_end_and_lost_with_the_channel() {
    each(5, |map, me, peer, log| {
        on(map, me, |_, queue| {
            queue.produce();
            queue.close_when_done();
            assert!(!queue.produce(), "it is closing");
        });
        sim::settle(map, me, peer);
        assert_eq!(peer.take_sent(), b"000 001 002 003 004 ");
        peer.say_eof();
        sim::settle(map, me, peer);
        assert_eq!(log.all().last().unwrap(), "Done 0 after 5");
    });
    each(5, |map, me, peer, log| {
        peer.set_room(0);
        on(map, me, |_, queue| _ = queue.produce());
        sim::settle(map, me, peer);
        map.close(me);
        sim::settle(map, me, peer);
        assert_eq!(log.all(), ["Requested 1 after 2"]);
    });
}

#[test]
fn its_error_closes_the_channel() {
    each(5, |map, me, peer, log| {
        on(map, me, |counter, queue| {
            counter.fails = true;
            queue.produce();
        });
        sim::settle(map, me, peer);
        assert_eq!(log.all(), ["Io(InvalidInput) 1 after 0"]);
    });
}

#[test]
fn it_counts_as_a_producer() {
    each(5, |map, me, peer, log| {
        on(map, me, |_, queue| {
            queue.push_made("made");
            assert!(queue.produce());
            assert!(!queue.produce(), "two may be queued");
        });
        sim::settle(map, me, peer);
        assert_eq!(log.all(), ["OutputOverLimit 3 after 0"]);
    });
}

/// The new one goes on, and has nothing unless it says so.
#[test]
fn after_a_conversion_the_new_handler_is_asked() {
    let log = Log::default();
    for end in [0, 3] {
        let (line, peer) = sim::line();
        let mut limits = Limits::default();
        limits.out_buffer_size = 8;
        let mut map = ChannelMap::new().unwrap();
        let old = AsyncChat::over(line, "\n", Whole(Counter::new(&log, 5))).limited(limits);
        let me = map.insert(old).unwrap();
        sim::settle(&mut map, me, &peer);
        peer.set_room(0);
        map.get_mut(me).unwrap().chat.push_with_handler();
        sim::settle(&mut map, me, &peer);
        let token = me.token();
        let new = Counter::new(&log, end);
        let convert = |it: AsyncChat<Whole>| Dispatcher::new(it.chat.into_endpoint(), Raw(new));
        map.convert(me, convert).unwrap();
        peer.set_room(usize::MAX);
        sim::settle(&mut map, token, &peer);
        let expected: &[u8] = match end {
            0 => b"000 001 ",
            _ => b"000 001 000 001 002 ",
        };
        assert_eq!(peer.take_sent(), expected);
    }
}

/// A table of the latest values in the handler, with no cell around it.
#[test]
fn a_slow_reader_gets_the_latest_of_each_key() {
    #[derive(Default)]
    struct Ticker(BTreeMap<usize, usize>);

    impl MessageHandler for Ticker {
        fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
            Ok(())
        }
        fn produce(&mut self, data: &mut Vec<u8>, _: usize) -> io::Result<More> {
            let Some((key, value)) = self.0.pop_first() else {
                return Ok(More::Done);
            };
            writeln!(data, "{key}={value}")?;
            Ok(More::Again)
        }
    }

    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(AsyncChat::over(line, "\n", Ticker::default()))
        .unwrap();
    sim::settle(&mut map, me, &peer);
    let mut sent = Vec::new();
    for value in 0..1_000 {
        let channel = map.get_mut(me).unwrap();
        if channel.handler.0.is_empty() && !channel.chat.needs_drain() {
            channel.chat.push_with_handler();
        }
        channel.handler.0.insert(value % 3, value);
        peer.set_room(value % 4);
        sim::settle(&mut map, me, &peer);
        sent.extend(peer.take_sent());
    }
    peer.set_room(usize::MAX);
    sim::settle(&mut map, me, &peer);
    sent.extend(peer.take_sent());
    let sent = String::from_utf8(sent).unwrap();
    let values = sent.lines().map(|it| it.split_once('=').unwrap());
    let values: Vec<(usize, usize)> = values
        .map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap()))
        .collect();
    assert!(values.len() < 900, "some were replaced: {}", values.len());
    for key in 0..3 {
        let of_key = values.iter().filter(|it| it.0 == key).map(|it| it.1);
        let of_key: Vec<usize> = of_key.collect();
        assert!(of_key.is_sorted_by(|a, b| a < b));
        assert_eq!(of_key.last(), Some(&(997 + (key + 2) % 3)));
    }
}
