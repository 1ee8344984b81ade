//! Offers: messages that may be dropped, whole, if the peer is slow.

use chat::bytes::Bytes;
use chat::{
    AsyncChat, ChannelMap, ChatMap, CloseReason, Dispatcher, Dropped, Limits, OfferPolicy,
    SimpleProducer,
};

use crate::common::part::{Part, Record, Side};
use crate::common::rng::Rng;
use crate::common::slow::{GOODBYE, STALL, Slow};
use crate::common::{name, sim};

/// What a place in the line counts as.
const PLACE: usize = 64;

/// A peer that has taken nothing of `first\n`, which is all that is queued; room for so many
/// messages of two bytes behind it.
fn behind(is_chat: bool, places: usize, policy: OfferPolicy) -> Slow {
    behind_with(is_chat, places, policy, |part| part)
}

fn behind_with(
    is_chat: bool,
    places: usize,
    policy: OfferPolicy,
    hook: impl FnOnce(Part<0>) -> Part<0>,
) -> Slow {
    let change = |limits: &mut Limits| {
        (limits.high_water, limits.low_water) = (5, 2);
        (limits.offers, limits.offer_policy) = (places * (PLACE + 2), policy);
    };
    let mut slow = Slow::with(is_chat, change, hook);
    slow.peer.set_room(0);
    assert!(
        offer(&mut slow, None, "first\n"),
        "an idle channel takes it"
    );
    slow.settle();
    slow
}

fn offer(slow: &mut Slow, key: Option<u64>, data: &str) -> bool {
    slow.reach(|side| side.offer(key, data))
}

fn dropped(slow: &mut Slow) -> (u64, u64) {
    let Dropped {
        messages, bytes, ..
    } = slow.reach(|side| side.endpoint().dropped());
    (messages, bytes)
}

fn queued(slow: &mut Slow) -> usize {
    slow.reach(|side| side.endpoint().queued())
}

/// Reads all that is sent.
fn read(slow: &mut Slow) -> String {
    slow.peer.set_room(usize::MAX);
    slow.settle();
    String::from_utf8(slow.peer.take_sent()).unwrap()
}

#[test]
fn to_a_peer_that_keeps_up_an_offer_is_a_push() {
    for is_chat in [true, false] {
        let mut slow = Slow::new(is_chat, |limits| limits.offers = 0);
        let mut all = String::new();
        for nth in 0..1_000 {
            let line = format!("{nth}\n");
            assert!(match nth % 3 {
                0 => slow.push(&line),
                1 => offer(&mut slow, None, &line),
                _ => offer(&mut slow, Some(7), &line),
            });
            all.push_str(&line);
            if nth % 100 == 0 {
                slow.settle();
            }
        }
        let long = "x".repeat(300_000);
        assert!(offer(&mut slow, None, &long), "longer than the mark");
        assert!(offer(&mut slow, None, ""));
        assert!(read(&mut slow) == all + &long);
        assert_eq!(dropped(&mut slow), (0, 0));
    }
}

#[test]
fn the_newest_or_the_oldest_are_dropped_whole_and_counted() {
    for is_chat in [true, false] {
        for (policy, expected) in [
            (OfferPolicy::DropNewest, "first\n1\n2\n3\n"),
            (OfferPolicy::DropOldest, "first\n5\n6\n7\n"),
        ] {
            let mut slow = behind(is_chat, 3, policy);
            for nth in 1..=7 {
                let is_taken = offer(&mut slow, None, &format!("{nth}\n"));
                assert_eq!(is_taken, nth <= 3 || policy == OfferPolicy::DropOldest);
            }
            assert_eq!(dropped(&mut slow), (4, 8));
            assert_eq!(queued(&mut slow), expected.len());
            // Part of the first is sent; nothing of those that wait.
            slow.peer.set_room(3);
            slow.settle();
            assert_eq!(slow.peer.take_sent(), b"fir");
            assert_eq!(read(&mut slow), expected[3..]);
            // The line is gone, and the count stays.
            assert!(offer(&mut slow, None, "8\n"));
            assert_eq!(read(&mut slow), "8\n");
            assert_eq!(dropped(&mut slow), (4, 8));
        }
    }
}

#[test]
fn by_default_a_peer_that_is_too_far_behind_is_cut_off() {
    for is_chat in [true, false] {
        let mut slow = behind(is_chat, 2, OfferPolicy::default());
        assert!(offer(&mut slow, None, "1\n"));
        assert!(offer(&mut slow, None, "2\n"));
        assert!(!offer(&mut slow, None, "3\n"));
        assert!(!offer(&mut slow, None, "4\n"), "it is closing");
        let sent = slow.read_to_end();
        assert_eq!(sent, format!("first\n{GOODBYE}").as_bytes());
        assert_eq!(slow.end(), ("SlowReader".to_owned(), (6, 0)));
    }
}

#[test]
fn of_one_key_the_latest_is_sent_in_the_place_of_the_first() {
    for is_chat in [true, false] {
        for policy in [
            OfferPolicy::Close,
            OfferPolicy::DropNewest,
            OfferPolicy::DropOldest,
        ] {
            let mut slow = behind(is_chat, 3, policy);
            for (key, data) in [(1, "a\n"), (2, "b\n"), (1, "A\n"), (3, "c\n"), (2, "B\n")] {
                assert!(offer(&mut slow, Some(key), data));
            }
            assert_eq!(dropped(&mut slow), (2, 4));
            assert_eq!(read(&mut slow), "first\nA\nB\nc\n");
            // What has left is not replaced.
            assert!(offer(&mut slow, Some(1), "a\n"));
            assert_eq!(read(&mut slow), "a\n");
        }
    }
}

/// Until then it may be dropped. What enters the queue is no more than the mark.
#[test]
fn what_waits_enters_the_queue_when_that_has_drained_to_the_low_water_mark() {
    for is_chat in [true, false] {
        let mut slow = behind(is_chat, 9, OfferPolicy::Close);
        let offer_all = |slow: &mut Slow| {
            for key in 1..=3 {
                assert!(offer(slow, Some(key), &format!("{key}\n")));
            }
        };
        offer_all(&mut slow);
        slow.peer.set_room(3);
        slow.settle();
        offer_all(&mut slow);
        assert_eq!(dropped(&mut slow).0, 3, "with three bytes queued, all wait");
        for _ in 0..2 {
            slow.peer.set_room(1);
            slow.settle();
        }
        offer(&mut slow, Some(1), "one\n");
        assert_eq!(
            dropped(&mut slow).0,
            3,
            "with two, the first has left the line"
        );
        offer(&mut slow, Some(2), "two\n");
        assert_eq!(dropped(&mut slow).0, 4, "and the second has not");
        assert_eq!(slow.peer.take_sent(), b"first");
        assert_eq!(read(&mut slow), "\n1\ntwo\n3\none\n");
    }
}

/// Nothing waits before it, and nothing but it says that something does.
#[test]
fn one_that_the_queue_has_no_room_for_waits_for_that_alone() {
    for is_chat in [true, false] {
        let mut slow = Slow::new(is_chat, |limits| limits.output = 10);
        slow.push("12345 ");
        assert!(offer(&mut slow, None, "a long one"));
        assert_eq!(read(&mut slow), "12345 a long one");
    }
}

#[test]
fn a_push_overtakes_what_waits_and_is_never_dropped() {
    for is_chat in [true, false] {
        let mut slow = behind(is_chat, 1, OfferPolicy::DropOldest);
        for nth in 1..=5 {
            offer(&mut slow, None, &format!("{nth}\n"));
            slow.push(format!("push {nth}\n"));
        }
        let expected = "first\npush 1\npush 2\npush 3\npush 4\npush 5\n5\n";
        assert_eq!(read(&mut slow), expected);
    }
}

#[test]
fn an_offer_waits_for_a_producer_before_it() {
    for is_chat in [true, false] {
        let mut slow = behind(is_chat, 9, OfferPolicy::Close);
        read(&mut slow);
        slow.peer.set_room(0);
        slow.reach(|side| side.push_with_producer(SimpleProducer::new("made\n")));
        offer(&mut slow, None, "1\n");
        slow.push("push\n");
        assert_eq!(read(&mut slow), "made\npush\n1\n");
    }
}

/// And so does the end, and `handle_drained`, which comes once.
#[test]
fn what_waits_is_sent_before_the_end() {
    let ends: [fn(&mut Side<'_>); 2] = [
        |side| side.close_when_done(),
        |side| side.shutdown_when_done(),
    ];
    for end in ends {
        for is_chat in [true, false] {
            let mut slow = behind(is_chat, 9, OfferPolicy::Close);
            for data in ["1\n", "2\n", "3\n"] {
                offer(&mut slow, None, data);
            }
            slow.reach(end);
            assert!(!offer(&mut slow, None, "late\n"));
            for expected in ["f", "i", "r", "s", "t", "\n", "1", "\n", "2", "\n", "3"] {
                slow.peer.set_room(1);
                slow.settle();
                assert_eq!(slow.peer.take_sent(), expected.as_bytes());
                assert!(!slow.peer.is_shut());
            }
            assert_eq!(slow.read_to_end(), b"\n");
            assert_eq!(slow.end().1, (0, 0));
        }
    }
}

#[test]
fn the_map_shuts_down_when_what_waits_is_sent() {
    for is_chat in [true, false] {
        let mut slow = behind(is_chat, 9, OfferPolicy::Close);
        offer(&mut slow, None, "1\n");
        slow.map.shut_down(slow.map.now() + STALL);
        slow.settle();
        assert_eq!(slow.read_to_end(), b"first\n1\n");
        assert_eq!(slow.end(), ("Shutdown".to_owned(), (0, 0)));
    }
}

#[test]
fn handle_drained_comes_once_when_none_waits() {
    for is_chat in [true, false] {
        let mut slow = behind(is_chat, 9, OfferPolicy::Close);
        let drained = |slow: &Slow| {
            slow.record
                .of(0)
                .iter()
                .filter(|it| *it == "drained")
                .count()
        };
        for data in ["1\n", "2\n", "3\n"] {
            offer(&mut slow, None, data);
        }
        for (room, count) in [(6, 0), (2, 0), (2, 1), (2, 1)] {
            slow.peer.set_room(room);
            slow.settle();
            assert_eq!(slow.reach(|side| side.endpoint().needs_drain()), count == 0);
            assert_eq!(drained(&slow), count, "{:?}", slow.record.of(0));
        }
        assert_eq!(slow.peer.take_sent(), b"first\n1\n2\n3\n");
    }
}

#[test]
fn what_waits_is_sent_turn_by_turn() {
    for is_chat in [true, false] {
        let mut slow = Slow::new(is_chat, |limits| {
            (limits.high_water, limits.low_water, limits.sent_per_turn) = (5, 2, 1);
        });
        slow.peer.set_room(0);
        let lines: Vec<String> = (0..100).map(|nth| format!("{nth:05}\n")).collect();
        for line in &lines {
            assert!(offer(&mut slow, None, line));
        }
        assert!(read(&mut slow) == lines.concat());
    }
}

#[test]
fn what_waits_at_a_close_is_unsent_and_not_dropped() {
    let ends: [fn(&mut Slow); 3] = [
        |slow| slow.reach(|side| side.close()),
        |slow| _ = slow.map.close_with(slow.me, CloseReason::TimedOut),
        |slow| {
            slow.settle();
            slow.pass(STALL);
        },
    ];
    for end in ends {
        for is_chat in [true, false] {
            let mut slow = behind(is_chat, 3, OfferPolicy::DropOldest);
            for data in ["1\n", "2\n", "3\n", "4\n"] {
                offer(&mut slow, None, data);
            }
            end(&mut slow);
            slow.settle();
            assert_eq!(slow.end().1, ("first\n2\n3\n4\n".len(), 0));
        }
    }
}

/// A chat's, which a dispatcher's handler cannot ask for.
#[test]
fn discarded_offers_are_gone() {
    let mut slow = behind(true, 9, OfferPolicy::Close);
    offer(&mut slow, None, "1\n");
    slow.reach(|side| side.chat().discard_buffers());
    slow.push("2\n");
    assert_eq!(read(&mut slow), "2\n");
    assert_eq!(dropped(&mut slow), (0, 0));
}

#[test]
fn a_conversion_takes_them_along() {
    let mut slow = behind(true, 2, OfferPolicy::DropOldest);
    for data in ["1\n", "2\n", "3\n"] {
        offer(&mut slow, None, data);
    }
    let chat = slow.me.handle::<AsyncChat<Part<0>>>();
    let convert =
        |chat: AsyncChat<Part<0>>| Dispatcher::new(chat.chat.into_endpoint(), chat.handler);
    slow.map.convert(chat, convert).unwrap();
    slow.settle();
    assert_eq!(dropped(&mut slow), (1, 2));
    offer(&mut slow, None, "4\n");
    assert_eq!(read(&mut slow), "first\n3\n4\n");
    assert_eq!(dropped(&mut slow), (2, 4));
}

#[test]
fn a_channel_inside_its_callback_is_offered_behind_its_own_pushes() {
    for is_chat in [true, false] {
        let hook = |what: &str, side: &mut Side<'_>, map: &mut ChannelMap| {
            if what.starts_with("line") {
                let me = side.endpoint().token();
                for data in ["1\n", "2\n", "3\n"] {
                    assert_eq!(map.offer(me, data), Ok(true));
                }
                assert_eq!(map.offer_latest(me, 1, "4\n"), Ok(true));
                side.push("own\n");
            }
            false
        };
        let hook = |part: Part<0>| part.on_event(hook);
        let mut slow = behind_with(is_chat, 2, OfferPolicy::DropOldest, hook);
        slow.peer.say("go\r\n");
        slow.settle();
        assert_eq!(read(&mut slow), "first\nown\n3\n4\n");
        assert_eq!(dropped(&mut slow), (2, 4));
        let gone = slow.me;
        slow.map.close(gone);
        assert!(slow.map.offer(gone, "5\n").is_err());
    }
}

#[test]
fn offers_to_a_connection_under_way_wait_for_it() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut limits = Limits::default();
    (limits.high_water, limits.offers) = (5, 2 * (PLACE + 2));
    limits.offer_policy = OfferPolicy::DropNewest;
    let record = Record::default();
    let channel = AsyncChat::connect(
        listener.local_addr().unwrap(),
        "\r\n",
        Part::<0>::new(&record),
    );
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(channel.limited(limits)).unwrap().token();
    for data in ["first\n", "1\n", "2\n", "3\n"] {
        map.offer(me, data).unwrap();
    }
    let (mut theirs, _) = listener.accept().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let sent = crate::common::read_len(&mut map, &mut theirs, 10);
    assert_eq!(sent, b"first\n1\n2\n");
}

/// Cut anywhere, by any policy: whole messages in order, and what is missing is counted.
#[test]
fn a_slow_reader_gets_whole_messages_in_order_and_the_rest_is_counted() {
    let mut rng = Rng::new(0x510e);
    for case in 0..400 {
        let is_chat = case % 2 == 0;
        let policy = [OfferPolicy::DropNewest, OfferPolicy::DropOldest][case / 2 % 2];
        let limit = [0, 200, 2_000, 20_000][rng.below(4)];
        let mut slow = Slow::new(is_chat, |limits| {
            limits.high_water = [0, 100, 1_000, 65_536][rng.below(4)];
            limits.low_water = [0, 50, 16_384][rng.below(3)];
            (limits.offers, limits.offer_policy) = (limit, policy);
        });
        let mut offered = Vec::new();
        let mut sent = Vec::new();
        let mut most = 0;
        for nth in 0..300 {
            let message = format!("{nth} {}\n", "#".repeat(rng.below(200)));
            match rng.below(3) {
                0 => _ = slow.map.offer(slow.me, message.clone()).unwrap(),
                _ => _ = offer(&mut slow, None, &message),
            }
            offered.push(message);
            most = most.max(queued(&mut slow));
            if rng.below(3) == 0 {
                slow.peer.set_room(rng.below(300));
                slow.settle();
                sent.extend(slow.peer.take_sent());
            }
        }
        sent.extend(read(&mut slow).into_bytes());
        let sent = String::from_utf8(sent).unwrap();
        let mut heard = sent.split_inclusive('\n').peekable();
        let lost = offered
            .iter()
            .filter(|it| heard.next_if_eq(&&***it).is_none());
        let lost = lost.fold((0, 0), |(n, len), it| (n + 1, len + it.len() as u64));
        assert_eq!(heard.next(), None, "in order, and each whole");
        assert_eq!(dropped(&mut slow), lost);
        assert!(most <= 65_536 + 300 + limit);
    }
}

/// The data is shared as that of `push_bytes` is.
#[test]
fn a_record_is_sent_now_or_lost() {
    use std::os::unix::net::UnixDatagram;
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(Dispatcher::new(ours, ())).unwrap();
    let data = Bytes::from_static(b"record");
    let mut sent = 0;
    while map.offer(me, data.clone()).unwrap() {
        sent += 1;
    }
    let mut buffer = [0; 10];
    let received = std::iter::from_fn(|| theirs.recv(&mut buffer).ok()).count();
    assert_eq!(received, sent);
    assert!(map.is_open(me));
}

/// For the program that pushes so much that nobody could have taken it.
#[test]
fn too_many_offers_at_once_are_the_programs_fault() {
    for is_chat in [true, false] {
        let mut slow = Slow::new(is_chat, |limits| {
            (limits.high_water, limits.offers) = (5, 0)
        });
        slow.peer.set_room(0);
        assert!(offer(&mut slow, None, "first\n"));
        assert!(!offer(&mut slow, None, "1\n"));
        slow.settle();
        sim::settle(&mut slow.map, slow.me, &slow.peer);
        slow.read_to_end();
        assert_eq!(name(&slow.record.take_reason()), "OutputOverLimit");
    }
}
