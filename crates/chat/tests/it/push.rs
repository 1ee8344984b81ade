//! Pushing: order, when it is sent, and what a peer that does not read costs.

use std::cell::RefCell;
use std::io::{ErrorKind, Write};
use std::rc::Rc;

use bytes::Bytes;
use chat::{AsyncChat, ChannelMap, Handle, Limits};

use crate::common::part::Side;
use crate::common::sim::{self, Peer};
use crate::common::slow::Slow;
use crate::common::{Log, Probe, read_len, turn_to_rest, turn_until, unix_pair};

type Channel = Handle<AsyncChat<Probe>>;

fn simulated(map: &mut ChannelMap, probe: Probe, limits: Limits) -> (Channel, Peer) {
    let (line, peer) = sim::line();
    let me = map
        .insert(AsyncChat::over(line, "\n", probe).limited(limits))
        .unwrap();
    sim::settle(map, me, &peer);
    (me, peer)
}

#[test]
fn all_ways_to_push_keep_their_order() {
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Probe::default(), Limits::default());
    let big = Bytes::from(vec![b'#'; 5_000]);
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.push("1 ");
    chat.push_bytes("2 ");
    chat.push_bytes(big.clone());
    write!(chat, "{} ", 3).unwrap();
    chat.try_push("4 ").unwrap();
    chat.push_with_producer(chat::SimpleProducer::new("5 "));
    chat.push(b"6");
    assert_eq!(chat.queued(), 5_000 + 9, "a producer's data is not known");
    sim::settle(&mut map, me, &peer);
    let expected = [b"1 2 ", &big[..], b"3 4 5 6"].concat();
    assert_eq!(peer.take_sent(), expected);
    assert_eq!(map.get(me).unwrap().chat.queued(), 0);
}

/// Pushing does not write; what a batch of callbacks produced goes out at once.
#[test]
fn many_pushes_are_one_send() {
    let log = Log::default();
    let probe = Probe::new(&log).on_message(|line, chat, _| {
        chat.push(line);
        writeln!(chat)?;
        Ok(())
    });
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, probe, Limits::default());
    peer.say("line\n".repeat(100));
    sim::step(&mut map, me, &peer);
    assert_eq!((log.count("message"), peer.sends()), (100, 1));
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.sends(), 1);
    assert_eq!(peer.take_sent(), "line\n".repeat(100).as_bytes());
}

/// However the read was cut, and however much it is.
#[test]
fn what_is_pushed_before_the_map_closes_the_channel_is_dropped() {
    for (input, len) in [("\n", 16_384), ("\nx", 16_384), ("\n", 10)] {
        let probe = Probe::default().on_message(move |_, chat, map| {
            chat.push(vec![b'x'; len]);
            map.close(chat.token());
            Ok(())
        });
        let mut map = ChannelMap::new().unwrap();
        let (me, peer) = simulated(&mut map, probe, Limits::default());
        peer.say(input);
        sim::settle(&mut map, me, &peer);
        assert_eq!(peer.take_sent().len(), 0, "{len} bytes after {input:?}");
    }
}

/// Even above the high-water mark, where a push of something would be.
#[test]
fn a_push_of_nothing_is_nothing() {
    let mut limits = Limits::default();
    limits.high_water = 100; // and low_water is above it
    let log = Log::default();
    let probe = Probe::new(&log).on_drained(|chat, _| {
        chat.push("");
        Ok(())
    });
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, probe, limits);
    peer.set_room(0);
    map.get_mut(me).unwrap().chat.push([b'x'; 200]);
    for _ in 0..5 {
        sim::step(&mut map, me, &peer);
    }
    assert_eq!(log.count("drained"), 1);
}

#[test]
fn limits_that_are_changed_hold_for_the_next_push() {
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Probe::default(), Limits::default());
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.push("12345");
    chat.push("67890");
    let mut limits = Limits::default();
    limits.high_water = 10;
    chat.set_limits(limits);
    assert_eq!((chat.needs_drain(), peer.sends()), (false, 0));
    chat.push("1");
    assert_eq!((chat.needs_drain(), peer.sends()), (false, 1));
}

/// It is copied only as far as the peer does not take it.
#[test]
fn a_push_above_the_high_water_mark_is_sent_before_it_is_queued() {
    for (room, sent) in [(0, 0), (100_000, 100_000), (usize::MAX, 200_000)] {
        let mut map = ChannelMap::new().unwrap();
        let (me, peer) = simulated(&mut map, Probe::default(), Limits::default());
        peer.set_room(room);
        let much: Vec<u8> = (0..200_000).map(|nth: u32| nth as u8).collect();
        let chat = &mut map.get_mut(me).unwrap().chat;
        chat.push(&much);
        chat.push("tail");
        assert_eq!(chat.queued(), 200_004 - sent);
        assert_eq!(chat.needs_drain(), sent < 200_000);
        let mut all = peer.take_sent();
        assert_eq!(all.len(), sent);
        peer.set_room(usize::MAX);
        sim::settle(&mut map, me, &peer);
        all.extend(peer.take_sent());
        assert!(all == [&much[..], b"tail"].concat(), "{room}");
    }
}

/// What is queued does not grow with one callback's output when the peer
/// takes it.
#[test]
fn a_push_above_the_high_water_mark_sends_at_once() {
    let mut limits = Limits::default();
    limits.high_water = 100;
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Probe::default(), limits);
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.push([b'x'; 100]);
    assert_eq!((chat.queued(), peer.sends()), (100, 0));
    chat.push("y");
    assert_eq!((chat.queued(), peer.sends()), (0, 1));
}

/// A peer that is known to take nothing is not asked again by every push.
#[test]
fn pushes_to_a_full_socket_are_not_tried_one_by_one() {
    let mut limits = Limits::default();
    limits.high_water = 10;
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Probe::default(), limits);
    peer.set_room(0);
    let chat = &mut map.get_mut(me).unwrap().chat;
    for _ in 0..100 {
        chat.push("0123456789");
    }
    assert_eq!((chat.queued(), peer.sends()), (1_000, 1));
    peer.set_room(usize::MAX);
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent(), b"0123456789".repeat(100));
}

/// B is slow: A, who pushes to it, and C go on.
#[test]
fn a_slow_reader_is_closed_and_nobody_else() {
    let mut map = ChannelMap::new().unwrap();
    let mut limits = Limits::default();
    limits.output = 300_000;
    let slow_log = Log::default();
    let (slow, _never_reads) = unix_pair();
    let slow = AsyncChat::new(slow, "\n", Probe::new(&slow_log));
    let slow = map.insert(slow.limited(limits)).unwrap();

    let (talker_log, listener_log) = (Log::default(), Log::default());
    let (listener, mut listens) = unix_pair();
    let listener = AsyncChat::new(listener, "\n", Probe::new(&listener_log));
    let listener = map.insert(listener).unwrap();
    let probe = Probe::new(&talker_log).on_message(move |line, _, map| {
        for member in [slow, listener] {
            if let Ok(member) = map.get_mut(member) {
                member.chat.push(line);
                member.chat.push("\n");
            }
        }
        Ok(())
    });
    let (talker, mut talks) = unix_pair();
    map.insert(AsyncChat::new(talker, "\n", probe)).unwrap();

    let mut heard = 0;
    let line = [&[b'.'; 9_999][..], b"\n"].concat();
    let mut said = 0;
    while !slow_log.has("close SlowReader") {
        talks.write_all(&line).unwrap();
        said += line.len();
        assert!(said < 10_000_000, "it was never closed");
        heard += read_len(&mut map, &mut listens, line.len()).len();
    }
    assert!(said > 300_000, "closed after {said} bytes");
    assert_eq!(heard, said);
    assert_eq!(slow_log.count("close"), 1);
    assert!(!map.is_open(slow));
    assert_eq!(talker_log.count("close") + listener_log.count("close"), 0);
}

/// The cap is judged after a send: a peer that reads is not slow because of
/// one large answer.
#[test]
fn a_push_larger_than_the_cap_is_sent_to_a_peer_that_takes_it() {
    let mut limits = Limits::default();
    limits.output = 1_000;
    limits.high_water = 500;
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Probe::new(&log), limits);
    map.get_mut(me).unwrap().chat.push(vec![b'x'; 50_000]);
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent().len(), 50_000);
    assert!(map.is_open(me));
}

#[test]
fn exactly_the_cap_may_be_queued_and_not_a_byte_more() {
    for (len, closes) in [(1_000, false), (1_001, true)] {
        let mut limits = Limits::default();
        limits.output = 1_000;
        limits.high_water = 500;
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let (me, peer) = simulated(&mut map, Probe::new(&log), limits);
        peer.set_room(0);
        map.get_mut(me).unwrap().chat.push(vec![b'x'; len]);
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.has("close OutputOverLimit"), closes, "{len} bytes");
    }
}

/// R1c: for who would rather wait than lose the channel.
#[test]
fn try_push_hands_back_what_does_not_fit_and_costs_nobody_a_channel() {
    let mut limits = Limits::default();
    limits.output = 10;
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Probe::new(&log), limits);
    peer.set_room(0);
    let chat = &mut map.get_mut(me).unwrap().chat;
    assert_eq!(chat.try_push("0123456"), Ok(()));
    assert_eq!(chat.try_push("789"), Ok(()));
    assert_eq!(chat.try_push("x"), Err("x"));
    assert_eq!(chat.queued(), 10);
    sim::settle(&mut map, me, &peer);
    assert!(map.is_open(me));

    // With room again, it makes room itself.
    peer.set_room(usize::MAX);
    let chat = &mut map.get_mut(me).unwrap().chat;
    assert_eq!(chat.try_push("x"), Ok(()));
    chat.close_when_done();
    assert_eq!(chat.try_push("y"), Err("y"));
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent(), b"0123456789x");
}

/// For a chat and a dispatcher, and data that is copied or shared.
#[test]
fn try_push_bytes_hands_back_the_same_bytes() {
    for is_chat in [true, false] {
        for len in [10, 5_000] {
            let mut slow = Slow::new(is_chat, |limits| limits.output = len);
            slow.peer.set_room(0);
            let data = Bytes::from(vec![b'x'; len]);
            let try_push = |slow: &mut Slow, data: Bytes| {
                slow.reach(|side| match side {
                    Side::Chat(chat) => chat.try_push_bytes(data),
                    Side::Raw(endpoint) => endpoint.try_push_bytes(data),
                })
            };
            assert_eq!(try_push(&mut slow, data.clone()), Ok(()));
            slow.settle();
            let refused = try_push(&mut slow, data.clone()).unwrap_err();
            assert_eq!(refused.as_ptr(), data.as_ptr());
            slow.peer.set_room(usize::MAX);
            assert_eq!(try_push(&mut slow, refused), Ok(()), "it makes room itself");
            slow.settle();
            assert_eq!(slow.peer.take_sent().len(), 2 * len);
            slow.reach(|side| side.close_when_done());
            assert_eq!(try_push(&mut slow, data.clone()), Err(data));
        }
    }
}

/// The peer is slow only if the loop has waited for it.
#[test]
fn what_is_too_much_at_once_is_the_programs_fault_and_not_the_peers() {
    for is_chat in [true, false] {
        for (is_waited_for, is_drained, reason) in [
            (false, false, "OutputOverLimit"),
            (true, false, "SlowReader"),
            (true, true, "OutputOverLimit"),
        ] {
            for too_many in [false, true] {
                let mut slow = Slow::new(is_chat, |limits| {
                    (limits.output, limits.producers) = (100, 3);
                });
                slow.peer.set_room(0);
                if is_waited_for {
                    slow.push([b'x'; 90]);
                    slow.settle();
                }
                if is_drained {
                    slow.peer.set_room(90);
                    slow.settle();
                }
                let is_taken = match too_many {
                    false => slow.push([b'y'; 101]),
                    true => slow.reach(|side| {
                        let mut push = || side.push_with_producer(chat::SimpleProducer::new("z"));
                        (0..4).all(|_| push())
                    }),
                };
                assert!(!is_taken);
                slow.read_to_end();
                assert_eq!(slow.end().0, reason);
            }
        }
    }
}

#[test]
fn what_is_pushed_after_the_end_goes_nowhere() {
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Probe::default(), Limits::default());
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.push("before");
    chat.close_when_done();
    chat.push(" after");
    chat.push_bytes(vec![0; 5_000]);
    chat.push_with_producer(chat::SimpleProducer::new("produced"));
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent(), b"before");
}

#[test]
fn handle_drained_comes_once_when_much_was_queued_and_little_is() {
    let mut limits = Limits::default();
    limits.high_water = 1_000;
    limits.low_water = 100;
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Probe::new(&log), limits);
    log.take();
    peer.set_room(0);
    map.get_mut(me).unwrap().chat.push(vec![b'x'; 2_000]);
    for (room, expected) in [(1_899, 0), (1, 1), (50, 1), (usize::MAX, 1)] {
        peer.set_room(room);
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.count("drained"), expected, "{:?}", log.all());
    }
    // Little is nothing to tell of.
    map.get_mut(me).unwrap().chat.push(vec![b'x'; 1_000]);
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.count("drained"), 1);
}

/// How a program sends more than it wants to have in memory.
#[test]
fn handle_drained_refills_to_any_length_with_bounded_memory() {
    let most = Rc::new(RefCell::new(0));
    let seen = Rc::clone(&most);
    let mut left = 200;
    let probe = Probe::default()
        .on_connect(|chat, _| {
            chat.push(vec![0; 70_000]);
            Ok(())
        })
        .on_drained(move |chat, _| {
            if left > 0 {
                left -= 1;
                chat.push(vec![0; 70_000]);
            }
            let most = &mut *seen.borrow_mut();
            *most = chat.queued().max(*most);
            Ok(())
        });
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    map.insert(AsyncChat::new(ours, "\n", probe)).unwrap();
    let received = read_len(&mut map, &mut theirs, 201 * 70_000);
    assert_eq!(received.len(), 201 * 70_000);
    assert!(*most.borrow() <= 70_000 + 16_384, "{}", most.borrow());
}

#[test]
fn one_turn_sends_about_its_budget() {
    let mut limits = Limits::default();
    limits.sent_per_turn = 10_000;
    limits.high_water = usize::MAX;
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Probe::default(), limits);
    let chat = &mut map.get_mut(me).unwrap().chat;
    for _ in 0..10 * 16 {
        chat.push_bytes(vec![0; 2_000]); // 16 pieces to a write
    }
    sim::step(&mut map, me, &peer);
    assert_eq!(peer.take_sent().len(), 32_000);
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent().len(), 9 * 32_000);
}

#[test]
fn a_large_answer_reaches_a_slow_but_willing_peer_whole() {
    let data: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(AsyncChat::new(ours, "\n", Probe::default()))
        .unwrap();
    turn_to_rest(&mut map);
    map.get_mut(me).unwrap().chat.push(&data);
    let received = read_len(&mut map, &mut theirs, data.len());
    assert!(received == data);
    turn_until(&mut map, |map| map.get(me).unwrap().chat.queued() == 0);
}

/// The input that is left is still delivered, and whoever answers it can know
/// that the answer goes nowhere.
#[test]
fn a_channel_that_cannot_send_any_more_says_so() {
    let log = Log::default();
    let inner = log.clone();
    let probe = Probe::new(&log).on_message(move |_, chat, _| {
        inner.add(format!("failed: {}", chat.output_failed()));
        chat.push("answer");
        assert_eq!(chat.try_push("answer").is_err(), chat.output_failed());
        Ok(())
    });
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, probe, Limits::default());
    log.take();
    peer.fail_sends(ErrorKind::BrokenPipe);
    peer.say("one\n");
    sim::settle(&mut map, me, &peer);
    let chat = &map.get(me).unwrap().chat;
    assert!(chat.output_failed() && !chat.closing());
    assert_eq!(chat.queued(), 0);
    peer.say("two\n");
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    let expected = [
        "message one",
        "failed: false",
        "message two",
        "failed: true",
        "eof",
        "close Io(BrokenPipe)",
    ];
    assert_eq!(log.all(), expected);
}
