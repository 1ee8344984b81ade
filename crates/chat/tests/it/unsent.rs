//! How much was not sent, for every way in which a channel closes.

use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::time::Duration;

use chat::{
    AsyncChat, ChannelMap, Dispatcher, Limits, More, Producer, SimpleProducer, Token, Unsent,
};

use crate::common::part::{Part, Record, Side};
use crate::common::{name, sim, turn_until};

const STALL: Duration = Duration::from_secs(10);

/// A channel whose peer has taken 10 of 30 bytes, with a producer behind them.
struct Sending {
    map: ChannelMap,
    me: Token,
    peer: sim::Peer,
    record: Record,
}

impl Sending {
    fn new(is_chat: bool, keeps: bool) -> Self {
        let mut limits = Limits::default();
        (limits.output, limits.stall) = (100, STALL);
        let record = Record::default();
        let part = Part::<0>::new(&record);
        let (line, peer) = sim::line();
        let mut map = ChannelMap::new().unwrap();
        let me = part.insert(is_chat, line, limits, &mut map);
        let mut sending = Self {
            map,
            me,
            peer,
            record,
        };
        sending.settle();
        sending.peer.set_room(10);
        if keeps {
            sending.peer.use_buffer();
        }
        sending.with(|side| {
            side.push([b'x'; 30]);
            side.push_with_producer(SimpleProducer::new("made"));
        });
        sending.settle();
        sending
    }

    fn settle(&mut self) {
        sim::settle(&mut self.map, self.me, &self.peer);
    }

    fn pass(&mut self, time: Duration) {
        sim::step_after(&mut self.map, self.me, &self.peer, time);
    }

    #[track_caller]
    fn with(&mut self, f: impl FnOnce(&mut Side<'_>)) {
        Part::<0>::reach(&mut self.map, self.me, f).expect("it is closed");
    }
}

/// Closes a channel.
type Close = fn(&mut Sending);

#[test]
fn handle_close_is_told_what_was_not_sent() {
    let ways: [(Close, &str, (usize, usize)); 8] = [
        (|it| it.with(|side| side.close()), "Requested", (20, 1)),
        (
            |it| {
                it.map.close(it.me);
            },
            "Requested",
            (20, 1),
        ),
        (
            |it| {
                it.with(|side| side.close_when_done());
                it.settle();
                it.pass(STALL);
                it.pass(STALL);
            },
            "Missed(Stall)",
            (20, 1),
        ),
        (
            |it| {
                it.map.shut_down(it.map.now() + STALL / 2);
                it.settle();
                it.pass(STALL / 2);
            },
            "Shutdown",
            (20, 1),
        ),
        (
            |it| {
                it.peer.set_room(10);
                it.peer.fail_sends(ErrorKind::BrokenPipe);
                it.settle();
                it.peer.say_eof();
            },
            "Io(BrokenPipe)",
            (20, 1),
        ),
        (
            |it| it.with(|side| assert!(!side.push([b'x'; 81]))),
            "SlowReader",
            (101, 1),
        ),
        (
            |it| {
                it.with(|side| {
                    side.push_with_producer(Failing);
                });
                it.peer.set_room(usize::MAX);
            },
            "Io(NotFound)",
            (0, 1),
        ),
        (
            |it| {
                it.with(|side| side.close_when_done());
                it.peer.set_room(usize::MAX);
                it.settle();
                it.peer.say_eof();
            },
            "Done",
            (0, 0),
        ),
    ];
    for (close, reason, unsent) in ways {
        for is_chat in [true, false] {
            let mut sending = Sending::new(is_chat, false);
            close(&mut sending);
            sending.settle();
            assert_eq!(name(&sending.record.take_reason()), reason);
            assert_eq!(sending.record.unsent(), unsent, "{reason}");
        }
    }
}

/// Fails when it is asked.
struct Failing;

impl Producer for Failing {
    fn more(&mut self, _: &mut Vec<u8>, _: usize) -> io::Result<More> {
        Err(ErrorKind::NotFound.into())
    }
}

#[test]
fn what_a_transport_keeps_was_not_sent() {
    for is_chat in [true, false] {
        let mut sending = Sending::new(is_chat, true);
        sending.with(|side| side.close());
        sending.settle();
        assert_eq!(sending.record.unsent(), (24, 0), "the producer was asked");
    }
}

#[test]
fn nothing_was_sent_of_what_was_pushed_before_a_connection_that_fails() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let record = Record::default();
    let mut client = AsyncChat::connect(gone, "\n", Part::<0>::new(&record));
    client.chat.push("hello");
    let mut map = ChannelMap::new().unwrap();
    map.insert(client).unwrap();
    turn_until(&mut map, |map| map.is_empty() && record.is_closed());
    assert_eq!(name(&record.take_reason()), "Io(ConnectionRefused)");
    assert_eq!(record.unsent(), (5, 0));
}

#[test]
fn a_conversion_keeps_the_account() {
    let mut sending = Sending::new(true, false);
    let record = Record::default();
    let part = Part::<0>::new(&record);
    let me = sending.me.handle::<AsyncChat<Part<0>>>();
    sending
        .map
        .convert(me, |channel| {
            Dispatcher::new(channel.chat.into_endpoint(), part)
        })
        .unwrap();
    sending.settle();
    sending.with(|side| side.close());
    sending.settle();
    assert_eq!(record.unsent(), (20, 1));
}

#[test]
fn it_is_empty_without_bytes_and_without_producers() {
    for (bytes, producers) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        let mut unsent = Unsent::default();
        (unsent.bytes, unsent.producers) = (bytes, producers);
        assert_eq!(unsent.is_empty(), bytes + producers == 0, "{unsent:?}");
    }
}
