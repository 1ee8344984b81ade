//! Limits: exact, told once, and answered.

use std::io::Write;

use chat::{AsyncChat, ChannelMap, Chat, ChatHandler, Limits, Result, SimpleProducer, Terminator};

use crate::common::sim::{self, Peer};
use crate::common::{Log, Probe, assert_rest, read_len, unix_pair};

fn message_limit(message: usize) -> Limits {
    let mut limits = Limits::default();
    limits.message = message;
    limits.counted_message = message;
    limits
}

/// A channel over the simulated network, and one turn for `handle_connect`.
fn simulated<H: ChatHandler>(
    map: &mut ChannelMap,
    terminator: impl Into<Terminator>,
    handler: H,
    limits: Limits,
) -> (chat::Handle<AsyncChat<H>>, Peer) {
    let (line, peer) = sim::line();
    let channel = AsyncChat::over(line, terminator, handler).limited(limits);
    let me = map.insert(channel).unwrap();
    sim::settle(map, me, &peer);
    (me, peer)
}

/// What happens to segments, under a limit of so many bytes a message.
fn heard(terminator: impl Into<Terminator>, limit: usize, segments: &[&str]) -> Vec<String> {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, terminator, Probe::new(&log), message_limit(limit));
    log.take();
    for segment in segments {
        peer.say(segment);
        sim::settle(&mut map, me, &peer);
    }
    log.all()
}

#[test]
fn a_message_of_the_limit_passes_and_one_byte_more_is_told_once() {
    assert_eq!(heard("\n", 3, &["abc\n"]), ["message abc"]);
    assert_eq!(heard("\n", 3, &["abcd\n"]), ["overlimit"]);
    assert_eq!(heard("\n", 3, &["abcd", "efgh", "\nabc\n"]), ["overlimit"]);
    assert_eq!(
        heard("\n", 3, &["a\nbc\nabcde\nx\n"]),
        ["message a", "message bc", "overlimit"]
    );
}

/// However the read was cut: what was handed out before is not counted again.
#[test]
fn a_limit_that_is_lowered_within_a_message_holds_for_what_comes_of_it() {
    struct Lowering(Log);

    impl ChatHandler for Lowering {
        fn collect_incoming_data(
            &mut self,
            data: &[u8],
            chat: &mut Chat,
            _: &mut ChannelMap,
        ) -> Result {
            self.0.add(format!("collected {}", data.len()));
            chat.set_limits(message_limit(10));
            Ok(())
        }

        fn found_terminator(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
            self.0.add("found");
            Ok(())
        }

        fn handle_overlimit(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
            self.0.add("overlimit");
            Ok(())
        }
    }

    let twenty = "a".repeat(20);
    for (rest, end) in [("\r\n", "found"), ("x\r\n", "overlimit")] {
        for cut in 0..rest.len() {
            let log = Log::default();
            let mut map = ChannelMap::new().unwrap();
            let handler = Lowering(log.clone());
            let (me, peer) = simulated(&mut map, "\r\n", handler, message_limit(30));
            for segment in [&twenty, &rest[..cut], &rest[cut..]] {
                peer.say(segment);
                sim::settle(&mut map, me, &peer);
            }
            assert_eq!(log.all(), ["collected 20", end], "{rest:?} cut at {cut}");
        }
    }
}

/// It may be longer than one with a string terminator: whoever asked for so many
/// bytes knows how many there are.
#[test]
fn a_counted_message_of_any_length_is_found_at_once_even_after_a_pause_in_it() {
    struct Pausing(Log);

    impl ChatHandler for Pausing {
        fn collect_incoming_data(
            &mut self,
            data: &[u8],
            chat: &mut Chat,
            _: &mut ChannelMap,
        ) -> Result {
            self.0.add(format!("collected {}", data.len()));
            chat.pause();
            Ok(())
        }

        fn found_terminator(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
            self.0.add("found");
            Ok(())
        }
    }

    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, 20, Pausing(log.clone()), message_limit(15));
    peer.say("a".repeat(20));
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["collected 20", "found"]);
}

/// Twisted #6556: the terminator is not part of the message.
#[test]
fn a_terminator_that_is_cut_does_not_make_a_message_too_long() {
    assert_eq!(heard("\r\n", 3, &["xyz\r", "\n"]), ["message xyz"]);
    assert_eq!(heard("\r\n", 3, &["xyz", "\r", "\n"]), ["message xyz"]);
    assert_eq!(heard("\r\n", 3, &["xyz\r", "z"]), ["overlimit"]);
    assert_eq!(
        heard("\r\n", 0, &["\r", "\n"]),
        ["message"].map(|m| format!("{m} "))
    );
}

#[test]
fn a_peer_that_never_ends_its_message_is_told_before_it_does() {
    assert_eq!(heard("\n", 3, &["a", "b", "c"]), [""; 0]);
    assert_eq!(heard("\n", 3, &["a", "b", "c", "d"]), ["overlimit"]);
}

/// A `MessageHandler` has every message in memory, so that counts are capped
/// as well; nothing is allocated because a peer declared a length.
#[test]
fn a_message_handler_is_capped_by_counts_and_without_a_terminator_too() {
    assert_eq!(heard(3, 3, &["ab", "c"]), ["message abc"]);
    assert_eq!(heard(Terminator::none(), 3, &["ab", "c"]), [""; 0]);
    assert_eq!(
        heard(Terminator::none(), 3, &["ab", "cd", "e"]),
        ["overlimit"]
    );
}

#[test]
fn a_message_handler_hears_of_a_count_above_its_limit_before_any_of_it_comes() {
    for (count, expected) in [
        (4, "message abcd"),
        (5, "overlimit"),
        (usize::MAX, "overlimit"),
    ] {
        for terminator in [
            count.into(),
            Terminator::count_then(count, b"\n"),
            Terminator::whole(count),
        ] {
            let log = Log::default();
            let probe = Probe::new(&log).on_message(move |message, chat, _| {
                if message == b"n" {
                    chat.set_terminator(terminator.clone());
                }
                Ok(())
            });
            let mut map = ChannelMap::new().unwrap();
            let (me, peer) = simulated(&mut map, "\n", probe, message_limit(4));
            log.take();
            peer.say("n\n");
            sim::settle(&mut map, me, &peer);
            assert_eq!(
                log.all().get(1),
                (count > 4).then(|| "overlimit".to_owned()).as_ref()
            );
            peer.say("abcd\n");
            sim::settle(&mut map, me, &peer);
            assert_eq!(log.all()[1], expected);
        }
    }
}

/// The handler refuses the body, and the next request is served.
#[test]
fn a_count_above_the_limit_is_skipped_however_it_comes() {
    for cut in 0..=12 {
        let log = Log::default();
        let probe = Probe::new(&log)
            .on_message(|message, chat, _| {
                match message {
                    b"n" => chat.set_terminator(6),
                    _ => chat.set_terminator("\n"),
                }
                Ok(())
            })
            .on_overlimit(|chat, _| {
                chat.skip_message();
                Ok(())
            });
        let mut map = ChannelMap::new().unwrap();
        let (me, peer) = simulated(&mut map, "\n", probe, message_limit(4));
        log.take();
        let (left, right) = "n\nabcdefnext\n".split_at(cut);
        peer.say(left);
        sim::settle(&mut map, me, &peer);
        peer.say(right);
        sim::settle(&mut map, me, &peer);
        let expected = ["message n", "overlimit", "message ", "message next"];
        assert_eq!(log.all(), expected, "cut at {cut}");
    }
}

/// A handler that keeps its messages itself has counts bounded, too.
#[test]
fn a_chat_handler_may_have_its_counts_bounded() {
    struct Keeping(Log);

    impl ChatHandler for Keeping {
        fn collect_incoming_data(
            &mut self,
            data: &[u8],
            _: &mut Chat,
            _: &mut ChannelMap,
        ) -> Result {
            self.0.add(format!("collected {}", data.len()));
            Ok(())
        }

        fn bounds_counts(&self) -> bool {
            true
        }

        fn handle_overlimit(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
            self.0.add("overlimit");
            Ok(())
        }
    }

    for (count, expected) in [(10, "collected 10"), (11, "overlimit")] {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let (me, peer) = simulated(&mut map, count, Keeping(log.clone()), message_limit(10));
        peer.say([0; 10]);
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.all(), [expected]);
    }
}

/// A `ChatHandler` gets a body of any length, piece by piece.
struct Counting(Log, usize);

impl ChatHandler for Counting {
    fn collect_incoming_data(&mut self, data: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.1 += data.len();
        Ok(())
    }
    fn found_terminator(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add(format!("found after {}", self.1));
        Ok(())
    }
    fn handle_overlimit(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add(format!("overlimit after {}", self.1));
        Ok(())
    }
}

#[test]
fn a_chat_handlers_body_may_be_longer_than_a_line() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let handler = Counting(log.clone(), 0);
    let (me, peer) = simulated(&mut map, 300_000, handler, message_limit(10));
    for _ in 0..3 {
        peer.say(vec![0; 100_000]);
        sim::settle(&mut map, me, &peer);
    }
    assert_eq!(log.all(), ["found after 300000"]);
}

#[test]
fn a_chat_handler_has_collected_exactly_the_limit_when_it_is_exceeded() {
    for cut in 1..8 {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let handler = Counting(log.clone(), 0);
        let (me, peer) = simulated(&mut map, "\r\n", handler, message_limit(5));
        let (left, right) = "abc\rdefg\r\n".split_at(cut);
        peer.say(left);
        peer.say(right);
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.all(), ["overlimit after 5"], "cut at {cut}");
    }
}

/// What the handler finds in `partial_message` is the same however it came.
#[test]
fn a_message_handler_has_got_exactly_the_limit_when_it_is_exceeded() {
    for terminator in [Terminator::from("\n"), Terminator::none()] {
        for cut in 1..7 {
            let log = Log::default();
            let inner = log.clone();
            let probe = Probe::default().on_overlimit(move |chat, _| {
                inner.add(chat.partial_message().escape_ascii().to_string());
                Ok(())
            });
            let mut map = ChannelMap::new().unwrap();
            let (me, peer) = simulated(&mut map, terminator.clone(), probe, message_limit(5));
            let (left, right) = "abcdefg\n".split_at(cut);
            peer.say(left);
            peer.say(right);
            sim::settle(&mut map, me, &peer);
            assert_eq!(log.all(), ["abcde"], "{terminator:?}, cut at {cut}");
        }
    }
}

#[test]
fn an_answer_pushed_in_handle_overlimit_arrives_and_then_the_channel_closes() {
    let log = Log::default();
    let probe = Probe::new(&log).on_overlimit(|chat, _| {
        chat.push("500 line too long\r\n");
        Ok(())
    });
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, "\r\n", probe, message_limit(510));
    peer.say([b'x'; 1_000]);
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent(), b"500 line too long\r\n");
    peer.say("and more\r\n");
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["connect", "overlimit", "close OverLimit"]);
}

/// A read that does not fill the buffer has read everything there was.
#[test]
fn a_short_read_is_not_followed_by_another() {
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, "\n", Probe::default(), Limits::default());
    let before = peer.recvs();
    peer.say("a line\n");
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.recvs() - before, 1);
}

/// What might have been the terminator's beginning is data, at the end.
#[test]
fn at_eof_a_held_terminator_counts_as_the_message_it_is() {
    let heard = |segments: &[&str]| {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let probe = Probe::new(&log);
        let (me, peer) = simulated(&mut map, "\r\n\r\n", probe, message_limit(4));
        log.take();
        for segment in segments {
            peer.say(segment);
            sim::settle(&mut map, me, &peer);
        }
        peer.say_eof();
        sim::settle(&mut map, me, &peer);
        log.all()
    };
    for (text, expected) in [
        ("abc\r", ["eof abc\\r", "close Eof"]),
        ("abcd\r", ["overlimit", "close OverLimit"]),
        ("abc\r\n", ["overlimit", "close OverLimit"]),
        ("ab\r\n\r", ["overlimit", "close OverLimit"]),
        ("a\r\n\r", ["eof a\\r\\n\\r", "close Eof"]),
        ("\r\n\r", ["eof \\r\\n\\r", "close Eof"]),
    ] {
        assert_eq!(heard(&[text]), expected, "{text:?}");
        for cut in 1..text.len() {
            let (left, right) = text.split_at(cut);
            assert_eq!(heard(&[left, right]), expected, "{left:?}, {right:?}");
        }
    }
}

#[test]
fn at_eof_no_more_than_the_limit_is_collected_of_a_held_terminator() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let handler = Counting(log.clone(), 0);
    let (me, peer) = simulated(&mut map, "\r\n\r\n", handler, message_limit(4));
    peer.say("ab\r\n\r");
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["overlimit after 4"]);
}

/// 0 is neither "never" nor "without end".
#[test]
fn limits_of_nothing_a_turn_are_slow_and_no_more() {
    let log = Log::default();
    let mut limits = Limits::default();
    limits.in_buffer_size = 0;
    limits.out_buffer_size = 0;
    limits.received_per_turn = 0;
    limits.sent_per_turn = 0;
    limits.high_water = 0;
    limits.low_water = 0;
    limits.linger = std::time::Duration::ZERO;
    limits.linger_bytes = 0;
    let probe = Probe::new(&log).on_message(|line, chat, _| {
        chat.push_with_producer(SimpleProducer::new(line.to_vec()));
        chat.push(";");
        if line == b"quit" {
            chat.close_when_done();
        }
        Ok(())
    });
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    map.insert(AsyncChat::new(ours, "\n", probe).limited(limits))
        .unwrap();
    theirs.write_all(b"one\n\ntwo\n").unwrap();
    assert_eq!(read_len(&mut map, &mut theirs, 9), b"one;;two;");
    assert_rest(&mut map);
    theirs.write_all(b"three\nquit\n").unwrap();
    assert_eq!(read_len(&mut map, &mut theirs, 11), b"three;quit;");
    crate::common::turn_until(&mut map, |map| map.is_empty());
    assert_eq!((log.count("message"), log.count("close Done")), (5, 1));
    assert!(log.has("drained"));
}

/// Waiting for ever is what `Duration::MAX` asks for.
#[test]
fn times_without_end_are_no_overflow() {
    for room in [0, 100] {
        let log = Log::default();
        let mut limits = Limits::default();
        limits.linger = std::time::Duration::MAX;
        limits.stall = std::time::Duration::MAX;
        let mut map = ChannelMap::new().unwrap();
        let (me, peer) = simulated(&mut map, "\n", Probe::new(&log), limits);
        peer.set_room(room);
        let chat = &mut map.get_mut(me).unwrap().chat;
        chat.push("goodbye");
        chat.close_when_done();
        sim::settle(&mut map, me, &peer);
        assert!(map.is_open(me));
        peer.set_room(100);
        peer.say_eof();
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.all(), ["connect", "close Done"]);
    }
}
