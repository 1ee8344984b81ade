//! The goodbye of a channel that the map cuts off: at the deadline of a shutdown, mostly.

use std::io::Read;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use chat::socket2::{Domain, Type};
use chat::{
    AsyncChat, ChannelMap, ChatMap, CloseReason, Dispatcher, Limits, SimpleProducer, Socket,
};

use crate::common::part::{Part, Record, Side};
use crate::common::rng::Rng;
use crate::common::slow::{GOODBYE, STALL, Slow, insert_on, message, messages};
use crate::common::{name, read_some, tcp_pair, turn_to_rest, turn_until};

const DEADLINE: Duration = Duration::from_secs(5);

/// A channel that does not finish when the map is shut down, or does.
fn shutting_down(is_chat: bool, finishes: bool, change: impl FnOnce(&mut Limits)) -> Slow {
    let hook =
        move |what: &str, _: &mut Side<'_>, _: &mut ChannelMap| what == "shutdown" && !finishes;
    Slow::with(is_chat, change, |part| part.on_event(hook))
}

#[test]
fn at_the_deadline_it_comes_behind_whole_messages_if_there_is_room() {
    let mut rng = Rng::new(0xdead_11e5);
    for case in 0..3_000 {
        let (is_chat, finishes) = (case % 2 == 0, case % 4 < 2);
        let mut slow = shutting_down(is_chat, finishes, |_| {});
        let longest = [30, 3_000, 100_000][rng.below(3)];
        slow.peer.set_room(0);
        let mut pushed = Vec::new();
        for number in 0..rng.below(8) {
            let message = message(rng.below(longest), number);
            assert!(slow.push(&message));
            pushed.push(message);
            if rng.below(2) == 0 {
                slow.peer.set_room(rng.below(longest));
                slow.settle();
            }
        }
        slow.map.shut_down(slow.map.now() + DEADLINE);
        slow.settle();
        let before = slow.peer.sends();
        let room = [usize::MAX, rng.below(2 * longest)][rng.below(2)];
        slow.peer.set_room(room);
        let is_shut = slow.peer.is_shut();
        slow.map.turn_at(slow.map.now() + DEADLINE).unwrap();
        assert!(slow.map.is_empty());
        let sent = slow.peer.take_sent();
        let pushed_len: usize = pushed.iter().map(Vec::len).sum();
        let (reason, unsent) = slow.end();
        if is_shut {
            assert_eq!(sent, pushed.concat(), "nothing follows the end");
            continue;
        }
        assert_eq!(reason, "Shutdown");
        assert_eq!(
            sent.len() + unsent.0,
            pushed_len + GOODBYE.len(),
            "the goodbye counts, too"
        );
        assert!(slow.peer.sends() - before <= 4, "it does not wait");
        if room == usize::MAX || sent.ends_with(GOODBYE.as_bytes()) {
            let heard = messages(&sent).expect("no message is cut short");
            let (goodbye, whole) = heard.split_last().unwrap();
            assert_eq!(*goodbye, GOODBYE.as_bytes());
            assert_eq!(whole, &pushed[..whole.len()]);
            assert!(slow.peer.is_shut(), "the end comes behind it");
        } else {
            let all = [pushed.concat(), GOODBYE.into()].concat();
            let said = sent.iter().zip(&all).take_while(|(a, b)| a == b).count();
            let rest = &sent[said..];
            assert!(GOODBYE.as_bytes().starts_with(rest), "{rest:?}");
        }
    }
}

#[test]
fn an_idle_peer_hears_it_and_handle_finished_comes() {
    for is_chat in [true, false] {
        let record = Record::default();
        let noted = record.clone();
        let hook = move |what: &str, _: &mut Side<'_>, _: &mut ChannelMap| {
            if what == "finished" {
                noted.event(0, what);
            }
            what == "shutdown"
        };
        let mut slow = Slow::with(is_chat, |_| {}, |part| part.on_event(hook));
        slow.push("hello\n");
        slow.settle();
        slow.map.shut_down(slow.map.now() + DEADLINE);
        slow.settle();
        assert_eq!(slow.peer.take_sent(), b"hello\n");
        slow.pass(DEADLINE);
        assert_eq!(slow.peer.take_sent(), GOODBYE.as_bytes());
        assert!(slow.peer.is_shut());
        assert_eq!(record.all(), [(0, "finished".to_owned())]);
        assert_eq!(slow.end(), ("Shutdown".to_owned(), (0, 0)));
    }
}

/// Neither a word in the middle of what it makes, nor another one of that.
#[test]
fn inside_of_a_producer_there_is_none() {
    for is_chat in [true, false] {
        let mut slow = shutting_down(is_chat, true, |limits| limits.out_buffer_size = 4);
        slow.peer.set_room(6);
        slow.reach(|side| side.push_with_producer(SimpleProducer::new("0123456789")));
        slow.settle();
        slow.map.shut_down(slow.map.now() + DEADLINE);
        slow.pass(Duration::ZERO);
        slow.peer.set_room(usize::MAX);
        slow.map.turn_at(slow.map.now() + DEADLINE).unwrap();
        assert_eq!(slow.peer.take_sent(), b"012345");
        assert_eq!(slow.end(), ("Shutdown".to_owned(), (2, 1)));
    }
}

#[test]
fn a_connection_under_way_has_none() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut limits = Limits::default();
    limits.goodbye = GOODBYE.into();
    let record = Record::default();
    let channel = AsyncChat::connect(address, "\r\n", Part::<0>::new(&record));
    let mut channel = channel.limited(limits);
    channel.chat.push("greeting");
    channel.chat.close_when_done();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(channel).unwrap();
    map.close_with(me, CloseReason::Shutdown);
    map.turn_at(map.now()).unwrap();
    assert_eq!(record.unsent(), (8, 0));
    let (mut theirs, _) = listener.accept().unwrap();
    let mut received = Vec::new();
    let _ = theirs.read_to_end(&mut received);
    assert_eq!(received, b"");
}

/// It would be sent where nothing follows.
#[test]
fn after_the_end_of_the_output_there_is_none() {
    for is_chat in [true, false] {
        let mut slow = shutting_down(is_chat, false, |_| {});
        slow.push("all");
        slow.reach(|side| side.shutdown_when_done());
        slow.settle();
        assert!(slow.peer.is_shut());
        slow.map.shut_down(slow.map.now());
        slow.pass(Duration::ZERO);
        assert_eq!(slow.peer.take_sent(), b"all");
        assert_eq!(slow.end(), ("Shutdown".to_owned(), (0, 0)));
    }
}

/// However much of it has left before.
#[test]
fn a_slow_reader_hears_it_once() {
    for taken in 0.."first ".len() + GOODBYE.len() {
        for is_chat in [true, false] {
            let mut slow = Slow::new(is_chat, |limits| limits.producers = 0);
            slow.peer.set_room(taken);
            slow.push("first ");
            assert!(!slow.reach(|side| side.push_with_producer(SimpleProducer::new("made"))));
            slow.settle();
            slow.map.shut_down(slow.map.now());
            slow.peer.set_room(usize::MAX);
            slow.map.turn_at(slow.map.now()).unwrap();
            let sent = slow.peer.take_sent();
            assert_eq!(sent, format!("first {GOODBYE}").as_bytes(), "{taken}");
            assert_eq!(slow.record.unsent(), (0, 1));
        }
    }
}

/// Closes a channel.
type Close = fn(&mut Slow);

/// A program that closes a channel can push before.
#[test]
fn only_what_the_map_cuts_off_has_one() {
    let ways: [(Close, bool); 7] = [
        (|it| it.map.close_all(), false),
        (|it| _ = it.map.close(it.me), false),
        (|it| it.reach(|side| side.close()), false),
        (
            |it| {
                it.reach(|side| side.close_with(CloseReason::Shutdown));
            },
            false,
        ),
        (
            |it| {
                it.push([0; 10]);
                it.peer.set_room(0);
                it.push("y");
                it.reach(|side| side.close_when_done());
                it.pass(Duration::ZERO);
                it.pass(STALL);
            },
            false,
        ),
        (
            |it| _ = it.map.close_with(it.me, CloseReason::SlowReader),
            true,
        ),
        (
            |it| _ = it.map.close_with(it.me, CloseReason::Shutdown),
            true,
        ),
    ];
    for (way, (close, has_one)) in ways.into_iter().enumerate() {
        for is_chat in [true, false] {
            let mut slow = Slow::new(is_chat, |_| {});
            close(&mut slow);
            slow.peer.set_room(usize::MAX);
            slow.settle();
            assert!(slow.record.is_closed());
            let sent = slow.peer.take_sent();
            assert_eq!(sent.ends_with(GOODBYE.as_bytes()), has_one, "way {way}");
        }
    }
}

/// More wait for it than may.
#[test]
fn a_channel_that_too_many_push_to_during_its_callback_says_it() {
    for is_chat in [true, false] {
        let hook = |what: &str, side: &mut Side<'_>, map: &mut ChannelMap| {
            if what == "line go" {
                side.push("own\n");
                while map.push(side.endpoint().token(), "x") == Ok(true) {}
            }
            false
        };
        let mut slow = Slow::with(is_chat, |_| {}, |part| part.on_event(hook));
        slow.peer.say("go\r\n");
        slow.settle();
        let sent = slow.peer.take_sent();
        let sent = String::from_utf8(sent).unwrap();
        let sent = sent.strip_prefix("own\n").unwrap();
        let others = sent.strip_suffix(GOODBYE).expect("it says goodbye");
        assert!(others.bytes().all(|byte| byte == b'x'));
        let (reason, (unsent, _)) = slow.end();
        assert_eq!(
            (reason.as_str(), others.len() + unsent),
            ("OutputOverLimit", 65_536)
        );
    }
}

/// The kernel has room again, and the channel has not heard of it.
#[test]
fn over_tcp_a_peer_that_was_slow_hears_it_behind_whole_messages() {
    for is_chat in [true, false] {
        let (ours, mut theirs) = tcp_pair();
        theirs.set_nonblocking(true).unwrap();
        let record = Record::default();
        let mut limits = Limits::default();
        limits.goodbye = GOODBYE.into();
        let part = Part::<0>::new(&record);
        let mut map = ChannelMap::new().unwrap();
        let me = insert_on(ours, is_chat, part, limits, &mut map);
        let mut pushed = Vec::new();
        let push = |side: &mut Side<'_>, pushed: &mut Vec<Vec<u8>>| {
            pushed.push(message(1_000, pushed.len()));
            assert!(side.push(pushed.last().unwrap()));
            side.endpoint().queued()
        };
        while Part::<0>::reach(&mut map, me, |side| push(side, &mut pushed)).unwrap() < 200_000 {
            map.turn(Some(Duration::ZERO)).unwrap();
        }
        let mut sent = Vec::new();
        assert!(!read_some(&mut theirs, &mut sent), "it goes on");
        map.shut_down(map.now());
        map.turn_at(map.now()).unwrap();
        assert!(map.is_empty());
        turn_until(&mut map, |_| read_some(&mut theirs, &mut sent));
        let heard = messages(&sent).expect("no message is cut short");
        let (goodbye, whole) = heard.split_last().unwrap();
        assert_eq!(*goodbye, GOODBYE.as_bytes());
        assert_eq!(whole, &pushed[..whole.len()]);
        assert!(whole.len() < pushed.len(), "some are lost");
    }
}

/// Unread input would have the kernel reset the connection, and the peer lose it.
#[test]
fn over_tcp_a_peer_that_has_said_more_hears_it_and_the_end() {
    for is_chat in [true, false] {
        let (ours, mut theirs) = tcp_pair();
        let record = Record::default();
        let mut limits = Limits::default();
        (limits.held, limits.goodbye) = (0, GOODBYE.into());
        let part = Part::<0>::new(&record).on_event(|what, _, _| what == "shutdown");
        let mut map = ChannelMap::new().unwrap();
        let me = insert_on(ours, is_chat, part, limits, &mut map);
        if is_chat {
            map.chat_mut(me).unwrap().pause();
        }
        turn_to_rest(&mut map);
        std::io::Write::write_all(&mut theirs, &[b'x'; 1_000]).unwrap();
        map.shut_down(Instant::now());
        // The input is there, and the deadline over, before the channel is called again.
        map.turn_at(Instant::now()).unwrap();
        assert!(map.is_empty());
        let mut received = String::new();
        theirs.read_to_string(&mut received).unwrap();
        assert_eq!(received, GOODBYE);
        let reset = theirs.take_error().unwrap();
        assert!(reset.is_none(), "{reset:?}");
    }
}

#[test]
fn over_a_transport_it_comes_before_the_transports_last_words() {
    for is_chat in [true, false] {
        let mut slow = shutting_down(is_chat, false, |_| {});
        slow.peer.use_last_words(b"close_notify");
        slow.push("first ");
        slow.map.shut_down(slow.map.now());
        slow.pass(Duration::ZERO);
        let sent = slow.peer.take_sent();
        assert_eq!(sent, format!("first {GOODBYE}close_notify").as_bytes());
        assert_eq!(slow.end(), ("Shutdown".to_owned(), (0, 0)));
    }
}

/// As the limits do.
#[test]
fn it_goes_along_in_a_conversion() {
    for is_chat in [true, false] {
        let mut slow = shutting_down(is_chat, false, |_| {});
        let part = |_| Part::<1>::new(&Record::default()).on_event(|_, _, _| true);
        match is_chat {
            true => {
                let me = slow.me.handle::<AsyncChat<Part<0>>>();
                let convert = move |it: AsyncChat<Part<0>>| {
                    Dispatcher::new(it.chat.into_endpoint(), part(()))
                };
                slow.map.convert(me, convert).unwrap();
            }
            false => {
                let me = slow.me.handle::<Dispatcher<Part<0>>>();
                let convert =
                    move |it: Dispatcher<Part<0>>| AsyncChat::new(it.endpoint, "\n", part(()));
                slow.map.convert(me, convert).unwrap();
            }
        }
        slow.settle();
        slow.map.shut_down(slow.map.now());
        slow.pass(Duration::ZERO);
        assert_eq!(slow.peer.take_sent(), GOODBYE.as_bytes());
    }
}

#[test]
fn where_bounds_are_kept_it_is_a_record() {
    let (ours, theirs) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    let record = Record::default();
    let part = Part::<0>::new(&record).on_event(|what, _, _| what == "shutdown");
    let mut limits = Limits::default();
    limits.goodbye = GOODBYE.into();
    let mut map = ChannelMap::new().unwrap();
    map.insert(Dispatcher::new(ours, part).limited(limits))
        .unwrap();
    turn_to_rest(&mut map);
    map.shut_down(Instant::now());
    map.turn_at(Instant::now()).unwrap();
    let mut buffer = [0; 100];
    let len = (&theirs).read(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], GOODBYE.as_bytes());
    assert_eq!((&theirs).read(&mut buffer).unwrap(), 0);
    assert_eq!(name(&record.take_reason()), "Shutdown");
}
