//! How much a channel answers ahead of its peer, and when it goes on.

use std::cell::Cell;
use std::io::{self, Write};
use std::net::Shutdown;
use std::rc::Rc;

use chat::{
    AsyncChat, ChannelMap, Chat, ChatHandler, IterProducer, Limits, More, Producer, Readiness,
    Result, Terminator,
};

use super::{HIGH, LOW, answering, chat, other};
use crate::common::{Log, Probe, read_some, sim, turn_to_rest, turn_until, unix_pair};

/// One entry of a listing at a time, counted among the others while it is queued.
struct Listing {
    lines: std::vec::IntoIter<String>,
    queued: Rc<Cell<usize>>,
}

impl Producer for Listing {
    fn more(&mut self, out: &mut Vec<u8>, _max: usize) -> io::Result<More> {
        Ok(match self.lines.next() {
            Some(line) => {
                out.extend(line.into_bytes());
                More::Again
            }
            None => More::Done,
        })
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.queued.set(self.queued.get() - 1);
    }
}

#[test]
fn pipelined_listings_queue_seventeen_producers_and_are_all_sent_in_order() {
    const COUNT: usize = 3_000;
    let (queued, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (inner, highest) = (Rc::clone(&queued), Rc::clone(&most));
    let log = Log::default();
    let probe = Probe::new(&log).on_message(move |number, chat, _| {
        let number = std::str::from_utf8(number)?;
        let lines: Vec<_> = (0..20)
            .map(|entry| format!("{number} entry {entry}\n"))
            .collect();
        inner.set(inner.get() + 1);
        highest.set(highest.get().max(inner.get()));
        let listing = Listing {
            lines: lines.into_iter(),
            queued: Rc::clone(&inner),
        };
        assert!(chat.push_with_producer(listing));
        Ok(())
    });
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    map.insert(AsyncChat::new(ours, "\n", probe)).unwrap();
    let requests: String = (0..COUNT).map(|number| format!("{number}\n")).collect();
    theirs.write_all(requests.as_bytes()).unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    turn_to_rest(&mut map);
    assert_eq!(queued.get(), 17, "the peer does not read yet");
    assert_eq!(log.count("peer finished"), 1);

    let mut received = Vec::new();
    turn_until(&mut map, |_| read_some(&mut theirs, &mut received));
    let expected: String = (0..COUNT)
        .flat_map(|number| (0..20).map(move |entry| format!("{number} entry {entry}\n")))
        .collect();
    assert!(received == expected.as_bytes());
    assert_eq!((most.get(), queued.get()), (17, 0));
    drop(theirs);
    turn_until(&mut map, |_| log.count("close Eof") == 1);
}

/// Released when 4 producers are left, and not before.
#[test]
fn four_producers_are_few() {
    let log = Log::default();
    let probe = Probe::new(&log).on_message(|_, chat, _| {
        chat.push_with_producer(IterProducer::new([vec![b'a'; 1_000]]));
        Ok(())
    });
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    sim::settle(&mut map, me, &peer);
    peer.set_room(0);
    peer.say("?\n".repeat(100));
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.count("message ?"), 17);
    // Such a producer is done when it has made its only item: the 12th, then the 13th.
    for (room, expected) in [(11_000, 17), (1_000, 17 + 13), (0, 17 + 13)] {
        peer.set_room(room);
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.count("message ?"), expected);
    }
}

/// Answers to what a segment brings are far more than the mark, or less.
#[test]
fn a_peer_that_asks_without_reading_costs_the_mark_and_an_answer_and_what_is_held() {
    for (answer, segment) in [
        (5_000, 50),
        (100, 2_000),
        (100, 600),
        (700, 90),
        (100_000, 5),
    ] {
        for room in [0, 1, 30_000] {
            let log = Log::default();
            let mut map = ChannelMap::new().unwrap();
            let (me, peer) = answering(answer, &mut map, &log);
            peer.set_room(room);
            for _ in 0..40 {
                peer.say("?\n".repeat(segment));
            }
            sim::settle(&mut map, me, &peer);
            let chat = chat(&mut map, me);
            let (queued, undelivered) = (chat.queued(), chat.undelivered());
            assert!(
                (HIGH + 1..=HIGH + answer).contains(&queued),
                "{answer} {segment} {room}: {queued}"
            );
            let held = Limits::default().held;
            assert!(undelivered <= held, "{undelivered}");
            assert!(!chat.is_held(), "by the program");
            assert_eq!(log.count("message ?") * answer, queued + room);

            peer.set_room(usize::MAX);
            sim::settle(&mut map, me, &peer);
            assert_eq!(log.count("message ?"), 40 * segment);
            assert_eq!(peer.take_sent().len(), 40 * segment * answer);
        }
    }
}

/// An echo without messages.
struct Bytes;

impl ChatHandler for Bytes {
    fn collect_incoming_data(
        &mut self,
        data: &[u8],
        chat: &mut Chat,
        _: &mut ChannelMap,
    ) -> Result {
        chat.push(data);
        Ok(())
    }
}

#[test]
fn parts_of_a_message_are_answered_ahead_no_further() {
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(AsyncChat::over(line, Terminator::none(), Bytes))
        .unwrap();
    sim::settle(&mut map, me, &peer);
    peer.set_room(0);
    let segments: Vec<_> = (0..40).map(|nth| vec![nth; 30_000]).collect();
    segments.iter().for_each(|segment| peer.say(segment));
    sim::settle(&mut map, me, &peer);
    assert_eq!(map.get(me).unwrap().chat.queued(), 3 * 30_000);
    peer.set_room(usize::MAX);
    sim::settle(&mut map, me, &peer);
    assert!(peer.take_sent() == segments.concat());
}

/// Bytes that a producer makes are no answers by themselves, and their leaving makes no
/// room for others.
#[test]
fn what_a_producer_makes_does_not_count_and_what_waits_behind_it_does() {
    let log = Log::default();
    let probe = Probe::new(&log).on_message(|line, chat, _| {
        match line {
            b"list" => chat.push_with_producer(IterProducer::new(std::iter::repeat([0; 60_000]))),
            _ => chat.push(vec![b'a'; 10_000]),
        };
        Ok(())
    });
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    sim::settle(&mut map, me, &peer);
    peer.set_room(0);
    peer.say("list\n");
    sim::settle(&mut map, me, &peer);
    for nth in 1..=6 {
        peer.say("?\n");
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.count("message ?"), nth);
        peer.set_room(500_000);
        sim::settle(&mut map, me, &peer);
    }
    peer.say("?\n".repeat(10));
    sim::settle(&mut map, me, &peer);
    assert_eq!(
        log.count("message ?"),
        7,
        "7 answers are more than the mark"
    );
}

/// Another channel releases this one in the turn of its answer, so that nothing is unusual
/// about it when it is settled.
#[test]
fn answers_that_have_left_are_forgotten() {
    let log = Log::default();
    let probe = Probe::new(&log).on_message(|line, chat, _| {
        if line == b"hold" {
            chat.pause();
            chat.push(vec![b'a'; 60_000]);
        } else {
            chat.push(vec![b'a'; 6_000]);
        }
        Ok(())
    });
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    sim::settle(&mut map, me, &peer);
    let (releaser, told) = other(&mut map, move |map| chat(map, me).resume());
    peer.say("hold\n");
    told.say("release it\n");
    map.dispatch(me, Readiness::READABLE);
    sim::step(&mut map, releaser, &told);
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent().len(), 60_000);

    peer.set_room(0);
    chat(&mut map, me).push(vec![b'o'; 60_000]);
    sim::settle(&mut map, me, &peer);
    peer.say("?\n?\n?\n");
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.count("message ?"), 3);
}

#[test]
fn held_input_comes_when_it_is_released_and_then_drained_each_once() {
    for answer in [HIGH + 1, 100] {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let (me, peer) = answering(answer, &mut map, &log);
        peer.set_room(0);
        let many = HIGH / answer + 1;
        peer.say("?\n".repeat(many));
        peer.say("last\n");
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.take(), vec!["message ?"; many]);
        peer.set_room(many * answer - LOW - 1);
        sim::settle(&mut map, me, &peer);
        assert!(log.take().is_empty(), "one byte too many is queued");
        peer.set_room(usize::MAX);
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.take(), ["message last", "drained"]);
    }
}

#[test]
fn discarded_answers_hold_nothing() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = answering(HIGH + 1, &mut map, &log);
    peer.set_room(0);
    peer.say("?\n");
    sim::settle(&mut map, me, &peer);
    chat(&mut map, me).discard_buffers();
    peer.say("?\n?\n");
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.count("message ?"), 2);
}

#[test]
fn answers_to_messages_over_the_limit_count() {
    for is_pipelined in [true, false] {
        let log = Log::default();
        let probe = Probe::new(&log).on_overlimit(|chat, _| {
            chat.push(vec![b'a'; 20_000]);
            chat.skip_message();
            Ok(())
        });
        let (line, peer) = sim::line();
        let mut map = ChannelMap::new().unwrap();
        let mut limits = Limits::default();
        limits.message = 10;
        let channel = AsyncChat::over(line, "\n", probe).limited(limits);
        let me = map.insert(channel).unwrap();
        sim::settle(&mut map, me, &peer);
        peer.set_room(0);
        for _ in 0..10 {
            peer.say("much too long\n");
            if !is_pipelined {
                sim::settle(&mut map, me, &peer);
            }
        }
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.count("overlimit"), 4, "{is_pipelined}");
        peer.set_room(usize::MAX);
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.count("overlimit"), 10);
    }
}

/// A post ends the delivery of a read after the message.
#[test]
fn a_channel_that_posts_with_every_message_is_held_too() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (idle, _line) = other(&mut map, |_| {});
    let probe = Probe::new(&log).on_message(move |_, chat, map| {
        chat.push(vec![b'a'; 20_000]);
        map.post(idle, |_, _| {});
        Ok(())
    });
    let (line, peer) = sim::line();
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    sim::settle(&mut map, me, &peer);
    peer.set_room(0);
    peer.say("?\n".repeat(10));
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.count("message ?"), 4);
}
