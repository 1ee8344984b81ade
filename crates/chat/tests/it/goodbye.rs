//! The goodbye of a slow reader: `Limits::goodbye`. That of a channel which the map cuts
//! off is in `goodbye_at_once.rs`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use chat::socket2::SockRef;
use chat::{AsyncChat, ChannelMap, ChatMap, CloseReason, Limits, More, Producer, SimpleProducer};

use crate::common::part::{Part, Record, Side};
use crate::common::rng::Rng;
use crate::common::slow::{GOODBYE, STALL, Slow, insert_on, message, messages};
use crate::common::{Log, Probe, name, read_to_end, sim, tcp_pair, turn_until};

/// What is gathered into one piece, at most.
const GATHERED: usize = 65_536;

/// In each way that there is.
fn push_somehow(slow: &mut Slow, message: &[u8], way: usize) -> bool {
    let text = std::str::from_utf8(message).unwrap();
    let me = slow.me;
    match way {
        0 => slow.map.push(me, message.to_vec()).unwrap(),
        1 => slow.reach(|side| match side {
            Side::Chat(chat) => chat.push_bytes(message.to_vec()),
            Side::Raw(endpoint) => endpoint.push_bytes(message.to_vec()),
        }),
        2 => slow.reach(|side| match side {
            Side::Chat(chat) => {
                let (a, b) = text.split_at(text.len() / 2);
                write!(chat, "{a}{b}").is_ok()
            }
            Side::Raw(endpoint) => endpoint.push(text),
        }),
        _ => slow.push(message),
    }
}

#[test]
fn a_slow_reader_that_wakes_up_reads_whole_messages_then_the_goodbye_then_the_end() {
    let mut rng = Rng::new(0x600d_b1e5);
    for case in 0..3_000 {
        let is_chat = case % 2 == 0;
        let longest = [30, 300, 3_000, 30_000][rng.below(4)];
        let output = longest * (2 + rng.below(20));
        let mut slow = Slow::new(is_chat, |limits| {
            limits.output = output;
            limits.high_water = [output / 4, 65_536][rng.below(2)];
        });
        slow.peer.set_room(0);
        let mut pushed = Vec::new();
        let mut is_waited_for = false;
        loop {
            let message = message(rng.below(longest), pushed.len());
            let is_queued = push_somehow(&mut slow, &message, rng.below(6));
            pushed.push(message);
            if !is_queued {
                break;
            }
            if rng.below(4) == 0 {
                slow.peer.set_room(rng.below(longest));
                sim::step(&mut slow.map, slow.me, &slow.peer);
                sim::step(&mut slow.map, slow.me, &slow.peer);
                is_waited_for = slow.reach(|side| side.endpoint().queued() > 0);
            }
        }
        let queued = slow.reach(|side| side.endpoint().queued());
        assert!(queued <= output + GOODBYE.len(), "{queued} of {output}");
        assert!(!slow.push("more"), "it is closing");

        let mut sent = Vec::new();
        while !slow.peer.is_shut() {
            slow.peer.set_room(1 + rng.below(longest));
            slow.settle();
            sent.extend(slow.peer.take_sent());
        }
        slow.peer.say_eof();
        slow.settle();
        let heard = messages(&sent).expect("no message is cut short");
        let (goodbye, whole) = heard.split_last().unwrap();
        assert_eq!(*goodbye, GOODBYE.as_bytes());
        assert_eq!(whole, &pushed[..whole.len()]);
        let len: usize = pushed[whole.len()..].iter().map(Vec::len).sum();
        let reason = ["OutputOverLimit", "SlowReader"][usize::from(is_waited_for)];
        assert_eq!(slow.end(), (reason.to_owned(), (len, 0)));
    }
}

/// The kernel's own buffers are full of it by then.
#[test]
fn over_tcp_it_comes_behind_whole_lines() {
    for is_chat in [true, false] {
        let (ours, mut theirs) = tcp_pair();
        SockRef::from(&ours).set_send_buffer_size(8_192).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let record = Record::default();
        let mut limits = Limits::default();
        (limits.output, limits.goodbye) = (300_000, GOODBYE.into());
        let mut map = ChannelMap::new().unwrap();
        let part = Part::<0>::new(&record);
        let me = insert_on(ours, is_chat, part, limits, &mut map);
        let mut pushed = Vec::new();
        loop {
            let line = message(1 + pushed.len() % 4_000, pushed.len());
            let is_queued = Part::<0>::reach(&mut map, me, |side| side.push(&line)).unwrap();
            pushed.push(line);
            if !is_queued {
                break;
            }
            map.turn(Some(Duration::ZERO)).unwrap();
        }
        let sent = read_to_end(&mut map, &mut theirs);
        drop(theirs);
        turn_until(&mut map, |map| map.is_empty());
        let heard = messages(&sent).expect("no line is cut short");
        let (goodbye, whole) = heard.split_last().unwrap();
        assert_eq!(*goodbye, GOODBYE.as_bytes());
        assert_eq!(whole, &pushed[..whole.len()]);
        assert_eq!(name(&record.take_reason()), "SlowReader");
    }
}

/// What is kept is one piece, whatever was queued.
#[test]
fn the_rest_of_the_queue_is_dropped_at_once() {
    for is_chat in [true, false] {
        let mut slow = Slow::new(is_chat, |_| {});
        slow.peer.set_room(10);
        let mut len = 0;
        while slow.push([b'x'; 1_000]) {
            len += 1_000;
            slow.settle();
        }
        assert!(len > 8_000_000, "it was {len}");
        let queued = slow.reach(|side| side.endpoint().queued());
        assert!(queued <= GATHERED + GOODBYE.len(), "{queued}");
        let sent = slow.read_to_end();
        assert_eq!(sent.len() % 1_000, GOODBYE.len());
        assert!(sent.ends_with(GOODBYE.as_bytes()));
        assert_eq!(sent.len(), 10 + queued);
        let unsent = len + 1_000 - (sent.len() - GOODBYE.len());
        assert_eq!(slow.end(), ("SlowReader".to_owned(), (unsent, 0)));
    }
}

#[test]
fn a_peer_that_takes_nothing_any_more_is_given_up_as_a_slow_reader() {
    let ends: [fn(&mut Slow); 3] = [
        |slow| {
            slow.pass(STALL / 2);
            assert!(!slow.record.is_closed());
            slow.pass(STALL / 2);
        },
        |slow| {
            slow.peer.set_room(1);
            slow.peer.fail_sends(ErrorKind::ConnectionReset);
            slow.settle();
        },
        |slow| slow.reach(|side| side.close()),
    ];
    for end in ends {
        for is_chat in [true, false] {
            let mut slow = Slow::new(is_chat, |limits| limits.output = 100);
            slow.peer.set_room(3);
            assert!(slow.push([b'x'; 90]));
            slow.settle();
            assert!(!slow.push([b'y'; 20]));
            slow.settle();
            end(&mut slow);
            slow.settle();
            assert_eq!(slow.peer.take_sent(), b"xxx");
            let unsent = 87 + 20 + GOODBYE.len();
            assert_eq!(slow.end(), ("SlowReader".to_owned(), (unsent, 0)));
        }
    }
}

/// Nor is it told that all has left.
#[test]
fn no_input_is_delivered_behind_it_and_handle_finished_is_not_called() {
    for is_chat in [true, false] {
        let mut slow = Slow::with(
            is_chat,
            |limits| limits.output = 100,
            |part| {
                part.on_event(|what, side, _| {
                    assert_ne!(what, "finished");
                    if what == "line flood" {
                        while side.push("flood\r\n") {}
                    }
                    false
                })
            },
        );
        slow.peer.set_room(1);
        slow.peer.say("flood\r\nlate\r\n");
        slow.settle();
        slow.peer.say("too late\r\n");
        slow.settle();
        assert_eq!(slow.record.input_of(0), b"flood\r\n");
        assert!(slow.read_to_end().ends_with(b"flood\r\n-ERR goodbye\r\n"));
        assert_eq!(slow.end().0, "OutputOverLimit");
    }
}

/// Makes a piece each time it is asked, after nothing at first.
struct Pieces(usize);

impl Producer for Pieces {
    fn more(&mut self, out: &mut Vec<u8>, _: usize) -> io::Result<More> {
        match self.0 {
            0 => {}
            n => writeln!(out, "piece {n}")?,
        }
        self.0 += 1;
        Ok(match self.0 {
            4 => More::Done,
            1 => More::Later,
            _ => More::Again,
        })
    }
}

/// After each number of bytes that the peer may have taken.
#[test]
fn inside_of_a_producer_there_is_none() {
    let made = "before\npiece 1\npiece 2\npiece 3\n";
    for taken in 0..=made.len() {
        for is_chat in [true, false] {
            let mut slow = Slow::new(is_chat, |limits| limits.output = 100);
            slow.peer.set_room(taken);
            slow.push("before\n");
            slow.reach(|side| side.push_with_producer(Pieces(0)));
            slow.push([b'x'; 80]);
            slow.settle();
            slow.map.touch(slow.me);
            slow.settle();
            assert!(!slow.push([b'y'; 80]));
            // It has begun with the second answer, which it gave when `before` had left, and
            // is done with the fourth.
            let sent = match taken {
                7..23 => {
                    slow.settle();
                    String::from_utf8(slow.peer.take_sent()).unwrap()
                }
                _ => String::from_utf8(slow.read_to_end()).unwrap(),
            };
            match taken {
                ..7 => assert_eq!(sent, format!("before\n{GOODBYE}"), "{taken}"),
                7..23 => assert_eq!(sent, made[..taken], "{taken}"),
                23..31 => assert_eq!(sent, format!("{made}{GOODBYE}"), "{taken}"),
                _ => assert!(sent.ends_with(GOODBYE), "{taken}: {sent}"),
            }
            let producers = usize::from(taken < 23);
            let (reason, unsent) = slow.end();
            assert_eq!((reason.as_str(), unsent.1), ("SlowReader", producers));
        }
    }
}

/// Gives these answers, one each time it is asked.
struct Answers(Vec<(&'static str, More)>);

impl Producer for Answers {
    fn more(&mut self, out: &mut Vec<u8>, _: usize) -> io::Result<More> {
        let (data, more) = self.0.remove(0);
        out.extend_from_slice(data.as_bytes());
        Ok(more)
    }
}

/// It begins with its first byte, and not when it is asked.
#[test]
fn a_producer_that_has_made_nothing_yet_makes_room_for_it() {
    let cases = [
        (vec![("", More::Later)], true),
        (vec![("", More::Again), ("", More::Later)], true),
        (vec![("made", More::Later)], false),
        (vec![("made", More::Again), ("", More::Later)], false),
        (vec![("made", More::Done)], true),
    ];
    for (answers, has_one) in cases {
        for is_chat in [true, false] {
            let mut slow = Slow::new(is_chat, |limits| limits.producers = 1);
            let answers = Answers(answers.clone());
            assert!(slow.reach(|side| side.push_with_producer(answers)));
            sim::step(&mut slow.map, slow.me, &slow.peer);
            slow.reach(|side| {
                let mut again = || side.push_with_producer(SimpleProducer::new("late"));
                while again() {}
            });
            slow.settle();
            let sent = String::from_utf8(slow.peer.take_sent()).unwrap();
            assert_eq!(sent.ends_with(GOODBYE), has_one, "{sent}");
        }
    }
}

#[test]
fn too_many_producers_end_with_it_too() {
    for is_chat in [true, false] {
        let mut slow = Slow::new(is_chat, |limits| limits.producers = 3);
        slow.peer.set_room(0);
        slow.push("first ");
        slow.settle();
        let is_queued = |side: &mut Side<'_>| side.push_with_producer(SimpleProducer::new("made"));
        for expected in [true, true, true, false] {
            assert_eq!(slow.reach(is_queued), expected);
        }
        assert_eq!(slow.read_to_end(), format!("first {GOODBYE}").as_bytes());
        assert_eq!(slow.end(), ("SlowReader".to_owned(), (0, 4)));
    }
}

/// Part of it is sent before the rest is seen to be too long.
#[test]
fn behind_half_a_push_there_is_none() {
    for is_chat in [true, false] {
        let mut slow = Slow::new(is_chat, |limits| limits.output = 100);
        slow.peer.set_room(10);
        assert!(!slow.push([b'x'; 200]));
        slow.settle();
        assert_eq!(slow.peer.take_sent(), [b'x'; 10]);
        assert_eq!(slow.end(), ("OutputOverLimit".to_owned(), (190, 0)));
    }
}

/// For too much output, and not because all was sent.
#[test]
fn without_one_a_closing_channel_that_is_overfilled_is_closed_at_once() {
    for is_chat in [true, false] {
        let hook = |what: &str, side: &mut Side<'_>, map: &mut ChannelMap| {
            if what == "line go" {
                let me = side.endpoint().token();
                assert_eq!(map.push(me, [b'x'; 200].to_vec()), Ok(true));
                side.push("own");
                side.close_when_done();
            }
            false
        };
        let mut slow = Slow::with(
            is_chat,
            |limits| (limits.output, limits.goodbye) = (100, "".into()),
            |part| part.on_event(hook),
        );
        slow.peer.set_room(0);
        slow.peer.say("go\r\n");
        slow.settle();
        assert_eq!(slow.end(), ("OutputOverLimit".to_owned(), (203, 0)));
    }
}

/// Others push to a channel that is inside its own callback.
#[test]
fn what_is_pushed_belatedly_comes_before_it_or_is_unsent() {
    for closes in [false, true] {
        for is_chat in [true, false] {
            let mut slow = Slow::with(
                is_chat,
                |limits| limits.output = 10,
                |part| {
                    part.on_event(move |what, side, map| {
                        if what == "line go" {
                            let me = side.endpoint().token();
                            side.push("own ");
                            assert_eq!(map.push(me, "o"), Ok(true));
                            assert_eq!(map.push(me, "123456789"), Ok(true));
                            assert_eq!(map.push(me, "late"), Ok(true));
                            if closes {
                                side.close_when_done();
                            }
                        }
                        false
                    })
                },
            );
            slow.peer.set_room(0);
            slow.peer.say("go\r\n");
            slow.settle();
            assert_eq!(slow.read_to_end(), format!("own o{GOODBYE}").as_bytes());
            let unsent = "123456789".len() + "late".len();
            assert_eq!(slow.end(), ("OutputOverLimit".to_owned(), (unsent, 0)));
        }
    }
}

/// There is no connection yet, and nothing limits the wait for one.
#[test]
fn a_connection_under_way_has_none() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut limits = Limits::default();
    (limits.output, limits.goodbye) = (10, GOODBYE.into());
    let record = Record::default();
    let channel = AsyncChat::connect(address, "\r\n", Part::<0>::new(&record));
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(channel.limited(limits)).unwrap();
    let chat = map.chat_mut(me).unwrap();
    assert!(chat.push("greeting"));
    assert!(!chat.push("greeting"));
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(record.of(0), ["close OutputOverLimit"]);
    assert_eq!(record.unsent(), (16, 0));
    let (mut theirs, _) = listener.accept().unwrap();
    let mut received = Vec::new();
    let _ = theirs.read_to_end(&mut received);
    assert_eq!(received, b"");
}

/// A transport keeps what it has taken, and has last words of its own.
#[test]
fn over_a_transport_it_comes_before_the_transports_last_words() {
    for is_chat in [true, false] {
        let mut slow = Slow::new(is_chat, |limits| limits.producers = 0);
        slow.peer.use_last_words(b"close_notify");
        slow.peer.set_room(2);
        slow.push("first ");
        slow.settle();
        assert!(!slow.reach(|side| side.push_with_producer(SimpleProducer::new("made"))));
        let sent = slow.read_to_end();
        assert_eq!(sent, format!("first {GOODBYE}close_notify").as_bytes());
        assert_eq!(slow.end(), ("OutputOverLimit".to_owned(), (0, 1)));
    }
}

/// So nothing comes between its parts.
#[test]
fn a_write_is_one_push() {
    let mut slow = Slow::new(true, |limits| limits.output = 20);
    slow.peer.set_room(0);
    slow.reach(|side| {
        let chat = side.chat();
        let (to, gether) = ("to", "gether");
        writeln!(chat, "{to}{gether}").unwrap();
        assert!(writeln!(chat, "{to}{to}{gether}{gether}").is_err());
    });
    assert_eq!(
        slow.read_to_end(),
        format!("together\n{GOODBYE}").as_bytes()
    );
}

/// One that shuts down its own sending half only.
#[test]
fn a_peer_that_has_ended_its_input_hears_it() {
    for is_chat in [true, false] {
        let hook = |what: &str, side: &mut Side<'_>, _: &mut ChannelMap| {
            if what == "eof" {
                assert!(side.push("1234567"));
                assert!(!side.push("890"));
            }
            true
        };
        let mut slow = Slow::with(
            is_chat,
            |limits| limits.output = 9,
            |part| part.on_event(hook),
        );
        slow.peer.set_room(0);
        slow.peer.say_eof();
        slow.settle();
        let sent = slow.read_to_end();
        assert_eq!(sent, format!("1234567{GOODBYE}").as_bytes());
        assert_eq!(slow.end().0, "OutputOverLimit");
    }
}

/// A handler cuts off whom it wants.
#[test]
fn a_handler_cuts_a_peer_off_with_the_goodbye_in_place_of_what_waits() {
    for goodbye in ["bye\n", ""] {
        let log = Log::default();
        let (line, peer) = sim::line();
        let mut limits = Limits::default();
        limits.goodbye = goodbye.into();
        limits.high_water = 4;
        let mut map = ChannelMap::new().unwrap();
        let channel = AsyncChat::over(line, "\n", Probe::new(&log)).limited(limits);
        let me = map.insert(channel).unwrap();
        sim::settle(&mut map, me, &peer);
        peer.set_room(3);
        map.get_mut(me).unwrap().chat.push("first\n");
        sim::settle(&mut map, me, &peer);
        let chat = &mut map.get_mut(me).unwrap().chat;
        chat.push_bytes(vec![b'x'; 5_000]);
        chat.offer("an offer\n");
        chat.cut_off(CloseReason::TimedOut);
        peer.set_room(usize::MAX);
        sim::settle(&mut map, me, &peer);
        peer.say_eof();
        sim::settle(&mut map, me, &peer);
        let sent = String::from_utf8(peer.take_sent()).unwrap();
        match goodbye {
            "" => assert_eq!(sent, "fir"),
            _ => assert_eq!(sent, "first\nbye\n"),
        }
        assert_eq!(log.all().last().unwrap(), "close TimedOut");
    }
}
