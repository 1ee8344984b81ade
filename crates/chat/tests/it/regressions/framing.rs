//! What others had to mend in the cutting of messages.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::rc::Rc;
use std::time::Duration;

use chat::{
    AsyncChat, ChannelMap, Chat, ChatHandler, Handle, Limits, MessageHandler, Readiness,
    Registration, Result, Terminator, Transport,
};

use crate::common::alone::is_alone;
use crate::common::sim::{self, Peer};
use crate::common::{Log, Probe};
use crate::regressions::session::Session;

fn simulated(
    map: &mut ChannelMap,
    terminator: impl Into<Terminator>,
    probe: Probe,
    limits: Limits,
) -> (Handle<AsyncChat<Probe>>, Peer) {
    let (line, peer) = sim::line();
    let channel = AsyncChat::over(line, terminator, probe).limited(limits);
    let me = map.insert(channel).unwrap();
    sim::settle(map, me, &peer);
    (me, peer)
}

/// What a probe hears of these segments, without its `connect`.
fn events(terminator: &'static str, max: usize, segments: &[&str], is_eof: bool) -> Vec<String> {
    let log = Log::default();
    let mut limits = Limits::default();
    limits.message = max;
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, terminator, Probe::new(&log), limits);
    for segment in segments {
        peer.say(segment);
        sim::settle(&mut map, me, &peer);
    }
    if is_eof {
        peer.say_eof();
        sim::settle(&mut map, me, &peer);
    }
    log.all().split_off(1)
}

/// F1: the terminator is no part of the message, and neither is half of it.
#[test]
fn a_message_of_just_the_limit_passes_with_its_terminator_cut_in_two() {
    for cut in 0..=5 {
        let (head, tail) = "xyz\r\n".split_at(cut);
        assert_eq!(events("\r\n", 3, &[head, tail], false), ["message xyz"]);
    }
    assert_eq!(events("\r\n", 3, &["wxyz\r\n"], false), ["overlimit"]);
}

/// F2a: what a turn's share of messages leaves of a read is moved now and then, when it is
/// half of what it was, and not in every turn.
#[test]
fn many_short_lines_in_one_read_are_moved_a_few_times() {
    struct Places(Rc<RefCell<Vec<usize>>>);
    impl MessageHandler for Places {
        fn handle_message(&mut self, line: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
            self.0.borrow_mut().push(line.as_ptr().addr());
            Ok(())
        }
    }
    let places = Rc::default();
    let mut limits = Limits::default();
    limits.received_per_turn = 100 * 256;
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::over(line, "\n", Places(Rc::clone(&places)));
    let me = map.insert(channel.limited(limits)).unwrap();
    peer.say("x\n".repeat(32_768));
    sim::settle(&mut map, me, &peer);
    let places = places.borrow();
    assert_eq!(places.len(), 32_768);
    let lines = places.windows(2);
    let moves = lines.filter(|two| two[1].wrapping_sub(two[0]) != 2).count();
    assert!(moves <= 10, "{moves} moves in 328 turns");
}

/// F2b: a channel cannot scan again what it has handed out already, and it
/// hands out everything but what may be the beginning of the terminator.
#[test]
fn a_megabyte_of_single_bytes_without_an_end_is_handed_out_byte_by_byte() {
    const LEN: usize = 1_048_576;
    /// Receives byte by byte.
    #[derive(Debug)]
    struct Drip(Rc<Cell<usize>>);
    impl Drip {
        /// The worst that there is for `aaab`: it nearly ends with every byte.
        fn byte(at: usize) -> Option<u8> {
            match at {
                0..LEN => Some(b'a'),
                LEN => Some(b'b'),
                _ => None,
            }
        }
    }
    impl Transport for Drip {
        fn registration(&self) -> Option<&Registration> {
            None
        }
        fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer[0] = Self::byte(self.0.get()).ok_or(ErrorKind::WouldBlock)?;
            self.0.set(self.0.get() + 1);
            Ok(1)
        }
        fn send_vectored(&mut self, _: &[IoSlice<'_>]) -> io::Result<usize> {
            Err(ErrorKind::WouldBlock.into())
        }
        fn shutdown(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    #[derive(Default)]
    struct Line {
        len: usize,
        ends: Vec<usize>,
    }
    impl ChatHandler for Line {
        fn collect_incoming_data(
            &mut self,
            data: &[u8],
            _: &mut Chat,
            _: &mut ChannelMap,
        ) -> Result {
            self.len += data.len();
            Ok(())
        }
        fn found_terminator(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
            self.ends.push(self.len);
            Ok(())
        }
    }
    let received = Rc::default();
    let mut limits = Limits::default();
    (limits.in_buffer_size, limits.received_per_turn) = (1, 64);
    limits.message = usize::MAX;
    let mut map = ChannelMap::new().unwrap();
    let drip = Drip(Rc::clone(&received));
    let channel = AsyncChat::over(drip, "aaab", Line::default()).limited(limits);
    let me = map.insert(channel).unwrap();
    let now = map.now();
    for _ in 0..LEN / 64 + 2 {
        map.dispatch(me, Readiness::READABLE);
        map.turn_at(now).unwrap();
        let line = &map.get(me).unwrap().handler;
        assert!(
            received.get() - line.len <= 4,
            "it keeps what it has scanned"
        );
    }
    assert_eq!(map.get(me).unwrap().handler.ends, [LEN - 3]);
}

/// F3a: an error that the handler survives leaves no trace in the framing.
#[test]
fn a_message_after_an_error_begins_where_the_last_one_ended() {
    let stream = "wrong\r\nright\r\n";
    for cut in 0..stream.len() {
        let log = Log::default();
        let probe = Probe::new(&log)
            .on_message(|line, _, _| match line {
                b"wrong" => Err("no".into()),
                _ => Ok(()),
            })
            .on_error(|_, _| ());
        let mut map = ChannelMap::new().unwrap();
        let (me, peer) = simulated(&mut map, "\r\n", probe, Limits::default());
        let (head, tail) = stream.split_at(cut);
        for segment in [head, tail] {
            peer.say(segment);
            sim::settle(&mut map, me, &peer);
        }
        let expected = ["connect", "message wrong", "error no", "message right"];
        assert_eq!(log.all(), expected, "cut at {cut}");
    }
}

/// F3b: half of the old terminator was there already.
#[test]
fn a_new_terminator_is_looked_for_in_what_the_old_one_had_begun() {
    let changes: [(Terminator, &str, &str); 3] = [
        ("\rX".into(), "X", "message abc"),
        ("X".into(), "X", "message abc\\r"),
        (2.into(), "X", "message abc\\rX"),
    ];
    for (terminator, rest, expected) in changes {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let (me, peer) = simulated(&mut map, "\r\n", Probe::new(&log), Limits::default());
        peer.say("abc\r");
        sim::settle(&mut map, me, &peer);
        map.get_mut(me).unwrap().chat.set_terminator(terminator);
        peer.say(rest);
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.all(), ["connect", expected]);
    }
}

/// F4: the rest of the line is no second error, and its end no message.
#[test]
fn a_line_that_is_too_long_is_told_once() {
    let mut segments = vec!["0123456789"; 100];
    segments.push("\nnext\n");
    let log = events("\n", 8, &segments, true);
    assert_eq!(log, ["overlimit", "close OverLimit"]);
}

/// F5a: each has a callback and a reason of its own.
#[test]
fn a_message_too_much_and_the_end_are_three_outcomes() {
    let end = events("\n", 8, &["ok\n"], true);
    assert_eq!(end, ["message ok", "eof", "close Eof"]);
    let too_much = events("\n", 8, &["ok\n", "0123456789"], true);
    assert_eq!(too_much, ["message ok", "overlimit", "close OverLimit"]);
}

/// F5b: what came without a terminator, half a terminator included.
#[test]
fn the_tail_without_a_terminator_is_shown_at_the_end() {
    let log = events("\r\n", 8, &["ok\r\ntail\r"], true);
    assert_eq!(log, ["message ok", "eof tail\\r", "close Eof"]);
}

/// F6a: a thousand peers that declare 16 MiB each and send ten bytes, and one
/// that declares as much as there is.
#[test]
fn nothing_is_allocated_because_a_peer_declares_a_length() {
    if !is_alone(
        nothing_is_allocated_because_a_peer_declares_a_length,
        &["env"],
    ) {
        return;
    }
    let pages = || -> Option<usize> {
        let statm = fs::read_to_string("/proc/self/statm").ok()?;
        statm.split(' ').next()?.parse().ok()
    };
    let Some(before) = pages() else {
        let _ = writeln!(io::stderr(), "skipped: no /proc");
        return;
    };
    let mut lengths = vec![1 << 24; 1_000];
    lengths.push(usize::MAX);
    let mut map = ChannelMap::new().unwrap();
    let mut limits = Limits::default();
    limits.counted_message = usize::MAX; // otherwise they are refused at once
    for length in lengths {
        let probe = Probe::default().on_message(move |_, chat, _| {
            chat.set_terminator(length);
            Ok(())
        });
        let (me, peer) = simulated(&mut map, "\n", probe, limits.clone());
        peer.say("so many\nten bytes.");
        sim::settle(&mut map, me, &peer);
        let chat = &map.get(me).unwrap().chat;
        assert_eq!(chat.partial_message(), b"ten bytes.");
        assert_eq!(chat.terminator().count(), Some(length - 10));
    }
    let grown = pages().unwrap().saturating_sub(before);
    assert!(grown < 16_384, "{grown} pages"); // 64 MiB, if they have 4 KiB
}

/// F6b: none of the limits is off at 0.
#[test]
fn a_limit_of_zero_is_a_limit() {
    assert_eq!(events("\n", 0, &["\n", "\n"], false), ["message "; 2]);
    assert_eq!(events("\n", 0, &["x\n"], false), ["overlimit"]);
    let log = Log::default();
    let mut limits = Limits::default();
    limits.output = 0;
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, "\n", Probe::new(&log), limits);
    peer.set_room(0);
    map.get_mut(me).unwrap().chat.push("x");
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["connect", "close OutputOverLimit"]);
}

/// F7: neither half of a CRLF is one.
#[test]
fn a_lone_lf_or_cr_does_not_end_a_line_that_ends_with_crlf() {
    let log = events("\r\n", 80, &["a\nb\rc\n\rd\r\r\n"], false);
    assert_eq!(log, ["message a\\nb\\rc\\n\\rd\\r"]);
}

/// F8: a byte every 50 s, for a session that gives a message a minute.
#[test]
fn bytes_without_a_message_do_not_put_off_its_deadline() {
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, "\n", Session::default()));
    let me = me.unwrap();
    sim::settle(&mut map, me, &peer);
    for (byte, is_open) in [("a", true), ("b", false)] {
        peer.say(byte);
        sim::step_after(&mut map, me, &peer, Duration::from_secs(50));
        assert_eq!(map.is_open(me), is_open);
    }
}
