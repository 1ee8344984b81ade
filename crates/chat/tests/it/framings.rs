//! Framing of the program's own, by the protocols that need it; and what ends it.

use chat::{
    AsyncChat, ChannelMap, Chat, ChatHandler, Dispatcher, DispatcherHandler, Endpoint, Framing,
    FramingError, Handle, Limits, MessageHandler, Result, Terminator,
};

use crate::common::sim::{self, Peer};
use crate::common::{Log, Probe};

/// The length of what follows, in two bytes.
fn prefixed(data: &[u8]) -> Result<Option<usize>> {
    Ok(data
        .first_chunk()
        .map(|len| 2 + usize::from(u16::from_be_bytes(*len))))
}

/// A packet of MQTT (3.1.1, section 2.2.3): a type, and a length of up to four bytes, seven
/// bits in each.
fn mqtt(data: &[u8]) -> Result<Option<usize>> {
    let mut len = 0;
    for (at, byte) in data.iter().skip(1).enumerate() {
        if at == 4 {
            return Err("a length of more than four bytes".into());
        }
        len |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some(2 + at + len));
        }
    }
    Ok(None)
}

/// A request of Modbus TCP, with its MBAP header: a transaction, a protocol, which is 0, and
/// a length.
fn modbus(data: &[u8]) -> Result<Option<usize>> {
    match data {
        [_, _, 0, 0, high, low, ..] => match usize::from(u16::from_be_bytes([*high, *low])) {
            len @ 2..=254 => Ok(Some(6 + len)),
            _ => Err("no length of a request".into()),
        },
        [_, _, _, _, ..] if data[2..4] != [0, 0] => Err("another protocol than Modbus".into()),
        _ => Ok(None),
    }
}

/// A response of an instrument (IEEE 488.2, section 8.7.9): `#`, how many digits follow,
/// these, and as many bytes; then a line's end. Or a line.
fn scpi(data: &[u8]) -> Result<Option<usize>> {
    let [b'#', rest @ ..] = data else {
        return Ok(data.iter().position(|&byte| byte == b'\n').map(|at| at + 1));
    };
    let Some((count, rest)) = rest.split_first() else {
        return Ok(None);
    };
    let count = match count {
        b'1'..=b'9' => usize::from(count - b'0'),
        _ => return Err("no number of digits".into()),
    };
    let Some(digits) = rest.get(..count) else {
        return Ok(None);
    };
    let len: usize = std::str::from_utf8(digits)?.parse()?;
    Ok(Some(2 + count + len + 1))
}

/// Sentences, which end in one of several strings.
struct Sentences(&'static [&'static str]);

impl Framing for Sentences {
    fn message_len(&self, data: &[u8], seen: usize) -> Result<Option<usize>> {
        assert!(seen < data.len(), "called in vain");
        let longest = self.0.iter().map(|end| end.len()).max().unwrap_or(1);
        let from = seen.saturating_sub(longest - 1);
        let found = (from..data.len()).find_map(|at| {
            let end = self
                .0
                .iter()
                .find(|end| data[at..].starts_with(end.as_bytes()))?;
            Some(at + end.len())
        });
        Ok(found)
    }
}

/// Collects without a `MessageHandler`; every message must come in one part.
struct Parts(Log);

impl ChatHandler for Parts {
    fn collect_incoming_data(&mut self, data: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add(format!("message {}", data.escape_ascii()));
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add("end");
        Ok(())
    }
}

fn message_limit(message: usize) -> Limits {
    let mut limits = Limits::default();
    limits.message = message;
    limits.counted_message = message;
    limits
}

/// A connected channel over the simulated network.
fn simulated<H: ChatHandler>(
    map: &mut ChannelMap,
    terminator: impl Into<Terminator>,
    handler: H,
) -> (Handle<AsyncChat<H>>, Peer) {
    let (line, peer) = sim::line();
    let channel = AsyncChat::over(line, terminator, handler).limited(message_limit(200));
    let me = map.insert(channel).unwrap();
    sim::settle(map, me, &peer);
    (me, peer)
}

/// What both kinds of handler get of `segments`.
#[track_caller]
fn assert_heard(framing: &Terminator, segments: &[&[u8]], messages: &[&[u8]]) {
    let expected = messages
        .iter()
        .map(|it| format!("message {}", it.escape_ascii()));
    let whole = Log::default();
    let parts = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (one, first) = simulated(&mut map, framing.clone(), Probe::new(&whole));
    let (two, second) = simulated(&mut map, framing.clone(), Parts(parts.clone()));
    whole.take();
    for segment in segments {
        first.say(segment);
        second.say(segment);
        sim::settle(&mut map, one, &first);
        sim::settle(&mut map, two, &second);
    }
    let expected: Vec<String> = expected.collect();
    assert_eq!(whole.all(), expected, "{segments:?}");
    let mut ended = Vec::new();
    for message in expected {
        ended.extend([message, "end".to_owned()]);
    }
    assert_eq!(parts.all(), ended, "{segments:?}");
    assert_eq!(map.get(one).unwrap().chat.undelivered(), 0);
}

/// However the network cuts them, in two or byte by byte.
#[track_caller]
fn assert_messages(framing: impl Framing, messages: &[&[u8]]) {
    let framing = Terminator::framed(framing);
    let stream = messages.concat();
    for at in 0..=stream.len() {
        let (left, right) = stream.split_at(at);
        assert_heard(&framing, &[left, right], messages);
    }
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_heard(&framing, &bytes, messages);
}

#[test]
fn length_prefixes() {
    assert_messages(prefixed, &[b"\0\x05hello", b"\0\0", b"\0\0", b"\0\x02\0\0"]);
}

#[test]
fn packets_of_mqtt() {
    let long = [&b"\x30\x80\x01"[..], &[b'x'; 128]].concat();
    assert_messages(mqtt, &[b"\xc0\0", &long, b"\x30\x03\0\x01a", b"\xc0\0"]);
}

#[test]
fn requests_of_modbus() {
    let read = b"\0\x01\0\0\0\x06\x11\x03\0\x6b\0\x03";
    assert_messages(modbus, &[read, b"\0\x02\0\0\0\x02\x11\x07", read]);
}

#[test]
fn blocks_and_lines_of_scpi() {
    assert_messages(
        scpi,
        &[
            b"#15a\nb\nc\n",
            b"+1.5E3\n",
            b"#210\n\n\n\n\n\n\n\n\n\n\n",
            b"#10\n",
        ],
    );
}

#[test]
fn several_strings() {
    let sentences = Sentences(&[". ", "...", "!\r\n"]);
    assert_messages(
        sentences,
        &[
            b"One. ",
            b"two...",
            b"Three!\r\n",
            b". ",
            b"....."[..3].as_ref(),
        ],
    );
}

#[test]
fn a_terminator_is_part_of_its_message_by_choice() {
    for (terminator, messages) in [
        (
            Terminator::from("\r\n"),
            [&b"a\r\n"[..], b"\r\n", b"b\rc\nd\r\n"],
        ),
        (Terminator::line(), [&b"a\r\n"[..], b"\n", b"b\rc\r\r\n"]),
        (Terminator::from("\n"), [&b"a\r\n"[..], b"\n", b"b\n"]),
    ] {
        let terminator = terminator.included();
        let stream = messages.concat();
        for at in 0..=stream.len() {
            let (left, right) = stream.split_at(at);
            assert_heard(&terminator, &[left, right], &messages);
        }
        assert_heard(
            &terminator,
            &stream.chunks(1).collect::<Vec<_>>(),
            &messages,
        );
    }
}

/// The end counts as well.
#[test]
fn a_message_with_its_terminator_has_the_limit_together() {
    for (len, expected) in [(198, "message"), (199, "overlimit")] {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let terminator = Terminator::from("\r\n").included();
        let (me, peer) = simulated(&mut map, terminator, Probe::new(&log));
        log.take();
        peer.say([&vec![b'x'; len][..], b"\r\n"].concat());
        sim::settle(&mut map, me, &peer);
        assert!(log.all()[0].starts_with(expected), "{len}: {:?}", log.all());
    }
}

#[test]
fn a_head_comes_whole_before_a_body_in_pieces() {
    let stream = b"\x05headbody in piecesHEAD";
    for at in 0..=stream.len() {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let (me, peer) = simulated(&mut map, Terminator::whole(5), Parts(log.clone()));
        let (left, right) = stream.split_at(at);
        peer.say(left);
        sim::settle(&mut map, me, &peer);
        peer.say(right);
        sim::settle(&mut map, me, &peer);
        let all = log.all();
        assert_eq!(all[..2], ["message \\x05head", "end"], "cut at {at}");
        // A number is used up: what follows is collected as it comes.
        let chat = &map.get(me).unwrap().chat;
        assert!(chat.terminator().is_none());
        let body: String = all[2..]
            .iter()
            .map(|it| it.replace("message ", ""))
            .collect();
        assert_eq!(body, "body in piecesHEAD");
    }
}

/// The length is known from two bytes, so that none of the rest is waited for.
#[test]
fn a_message_that_says_it_is_too_long_is_told_at_once() {
    for said in [&b"\0\xc7"[..], b"\xff\xff", b"\0\xc7and more"] {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let (me, peer) = simulated(&mut map, Terminator::framed(prefixed), Probe::new(&log));
        log.take();
        for byte in said.chunks(1) {
            peer.say(byte);
        }
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.all(), ["overlimit"], "{said:?}");
    }
}

#[test]
fn a_message_that_is_too_long_is_skipped_by_its_length_however_it_comes() {
    let long = [&b"\0\xc7"[..], &[b'x'; 0xc7]].concat();
    let stream = [&b"\0\x01a"[..], &long, b"\0\x01b"].concat();
    for at in 0..=stream.len() {
        let log = Log::default();
        let probe = Probe::new(&log).on_overlimit(|chat, _| {
            chat.skip_message();
            Ok(())
        });
        let mut map = ChannelMap::new().unwrap();
        let (me, peer) = simulated(&mut map, Terminator::framed(prefixed), probe);
        log.take();
        let (left, right) = stream.split_at(at);
        peer.say(left);
        sim::settle(&mut map, me, &peer);
        peer.say(right);
        sim::settle(&mut map, me, &peer);
        let expected = [
            "message \\x00\\x01a",
            "overlimit",
            "message ",
            "message \\x00\\x01b",
        ];
        assert_eq!(log.all(), expected, "cut at {at}");
    }
}

/// There is nothing to skip by.
#[test]
fn a_message_without_a_known_length_that_is_too_long_cannot_be_skipped() {
    let log = Log::default();
    let probe = Probe::new(&log)
        .on_overlimit(|chat, _| {
            chat.skip_message();
            Ok(())
        })
        .on_error(|_, _| ());
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Terminator::from("\n").included(), probe);
    log.take();
    peer.say([b'x'; 250]);
    sim::settle(&mut map, me, &peer);
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(
        log.all(),
        [
            "overlimit",
            "error a message of unknown length cannot be skipped",
            "close HandlerError"
        ]
    );
}

/// The three errors of framing, and the answer to each.
#[test]
fn an_error_of_framing_may_be_answered_and_then_the_channel_closes() {
    struct Answers(Log);

    impl MessageHandler for Answers {
        fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
            self.0.add("message");
            Ok(())
        }

        fn handle_error(&mut self, error: chat::Error, chat: &mut Chat, _: &mut ChannelMap) {
            self.0.add(error.to_string());
            let is_known = error.is::<FramingError>();
            chat.push(if is_known { "sorry" } else { "what?" });
        }

        fn handle_close(&mut self, reason: chat::CloseReason, _: &mut Chat, _: &mut ChannelMap) {
            self.0.add(crate::common::name(&reason));
        }
    }

    let empty = Terminator::framed(|_: &[u8]| Ok(Some(0)));
    for (terminator, said, error, answer) in [
        (
            Terminator::count_then(2, b"\r\n"),
            "ab\rc",
            FramingError::WrongEnd.to_string(),
            "sorry",
        ),
        (empty, "x", FramingError::Empty.to_string(), "sorry"),
        (
            Terminator::framed(modbus),
            "\0\x01\0\x07",
            "another protocol than Modbus".into(),
            "what?",
        ),
    ] {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let (me, peer) = simulated(&mut map, terminator, Answers(log.clone()));
        peer.say(said);
        sim::settle(&mut map, me, &peer);
        assert_eq!(peer.take_sent(), answer.as_bytes());
        peer.say_eof();
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.all(), [error, "HandlerError".to_owned()]);
    }
}

#[test]
fn after_an_error_of_framing_another_terminator_goes_on_with_the_input() {
    let log = Log::default();
    let probe = Probe::new(&log).on_error(|chat, _| chat.set_terminator("\n"));
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Terminator::framed(modbus), probe);
    log.take();
    peer.say("GET / HTTP");
    peer.say("/1.1\nHost");
    peer.say(": x\n");
    sim::settle(&mut map, me, &peer);
    assert_eq!(
        log.all(),
        [
            "error another protocol than Modbus",
            "message GET / HTTP/1.1",
            "message Host: x"
        ]
    );
}

/// As any input without an end.
#[test]
fn the_beginning_of_a_message_is_shown_at_the_end_of_the_input() {
    for said in [&b"\0\x01a\0\x05hel"[..], b"\0\x01a\0"] {
        for at in 0..=said.len() {
            let log = Log::default();
            let mut map = ChannelMap::new().unwrap();
            let (me, peer) = simulated(&mut map, Terminator::framed(prefixed), Probe::new(&log));
            log.take();
            let (left, right) = said.split_at(at);
            peer.say(left);
            sim::settle(&mut map, me, &peer);
            peer.say(right);
            peer.say_eof();
            sim::settle(&mut map, me, &peer);
            let eof = format!("eof {}", said[3..].escape_ascii());
            assert_eq!(
                log.all(),
                ["message \\x00\\x01a", &eof, "close Eof"],
                "cut at {at}"
            );
        }
    }
}

#[test]
fn what_there_is_of_a_message_is_undelivered_and_goes_to_another_channel() {
    struct Raw(Log);

    impl DispatcherHandler for Raw {
        fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
            let mut buffer = [0; 100];
            let len = endpoint.recv(&mut buffer)?;
            self.0.add(buffer[..len].escape_ascii().to_string());
            Ok(())
        }
    }

    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Terminator::framed(prefixed), Probe::default());
    peer.say("\0\x05hel");
    sim::settle(&mut map, me, &peer);
    assert_eq!(map.get(me).unwrap().chat.undelivered(), 5);
    let raw = log.clone();
    let to_raw = |from: AsyncChat<Probe>| Dispatcher::new(from.chat.into_endpoint(), Raw(raw));
    let me = map.convert(me, to_raw).unwrap();
    sim::settle(&mut map, me, &peer);
    peer.say("lo");
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["\\x00\\x05hel", "lo"]);
}

#[test]
fn a_held_channel_goes_on_with_the_message_that_it_had_begun() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Terminator::framed(prefixed), Probe::new(&log));
    log.take();
    peer.say("\0\x05h");
    sim::settle(&mut map, me, &peer);
    map.get_mut(me).unwrap().chat.pause();
    for part in ["el", "lo\0", "\x01"] {
        peer.say(part);
        sim::settle(&mut map, me, &peer);
    }
    assert_eq!(log.all(), [""; 0]);
    map.get_mut(me).unwrap().chat.resume();
    sim::settle(&mut map, me, &peer);
    peer.say("a");
    sim::settle(&mut map, me, &peer);
    assert_eq!(
        log.all(),
        ["message \\x00\\x05hello", "message \\x00\\x01a"]
    );
}

/// However slowly it comes: the search costs as much as the message is long, not the square
/// of that.
#[test]
fn a_search_does_not_look_again_at_what_was_seen() {
    struct Newlines(std::rc::Rc<std::cell::Cell<usize>>);

    impl Framing for Newlines {
        fn message_len(&self, data: &[u8], seen: usize) -> Result<Option<usize>> {
            let new = &data[seen..];
            self.0.set(self.0.get() + new.len());
            Ok(new
                .iter()
                .position(|&byte| byte == b'\n')
                .map(|at| seen + at + 1))
        }
    }

    let looked_at = std::rc::Rc::default();
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let terminator = Terminator::framed(Newlines(std::rc::Rc::clone(&looked_at)));
    let (me, peer) = simulated(&mut map, terminator, Probe::new(&log));
    log.take();
    for byte in [&[b'x'; 199][..], b"\n"].concat() {
        peer.say([byte]);
        sim::settle(&mut map, me, &peer);
    }
    assert_eq!(log.all().len(), 1);
    assert_eq!(looked_at.get(), 200);
}

/// A head that is searched for, and a length in it: the search would not find it again.
struct Lengths;

impl Framing for Lengths {
    fn message_len(&self, data: &[u8], seen: usize) -> Result<Option<usize>> {
        let Some(end) = data[seen..].iter().position(|&byte| byte == b'\n') else {
            return Ok(None);
        };
        let digits = std::str::from_utf8(&data[..seen + end])?;
        Ok(Some(seen + end + 1 + digits.parse::<usize>()?))
    }
}

#[test]
fn what_there_is_of_a_message_is_skipped_with_the_rest() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Terminator::framed(Lengths), Probe::new(&log));
    log.take();
    peer.say("11\nhe");
    sim::settle(&mut map, me, &peer);
    map.get_mut(me).unwrap().chat.skip_message();
    sim::settle(&mut map, me, &peer);
    assert_eq!(map.get(me).unwrap().chat.undelivered(), 0);
    peer.say("llo");
    peer.say("\nhello0\n");
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["message ", "message 0\\n"]);
}

#[test]
fn what_is_put_back_comes_before_a_message_that_has_begun() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Terminator::framed(Lengths), Probe::new(&log));
    log.take();
    peer.say("5\nhe");
    sim::settle(&mut map, me, &peer);
    map.get_mut(me).unwrap().chat.unread("1\na");
    sim::settle(&mut map, me, &peer);
    peer.say("llo");
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["message 1\\na", "message 5\\nhello"]);
}

#[test]
fn a_length_that_was_told_is_not_asked_for_again() {
    assert_messages(
        Lengths,
        &[b"5\nhello", b"11\nhello\nhello", b"0\n", b"1\n\n"],
    );
}

/// Of the usual size.
#[test]
fn a_large_message_takes_few_reads() {
    let mut limits = Limits::default();
    limits.message = 1 << 20;
    let log = Log::default();
    let inner = log.clone();
    let probe = Probe::default().on_message(move |message, _, _| {
        inner.add(format!("{} bytes", message.len()));
        Ok(())
    });
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(
        &mut map,
        Terminator::framed(|data: &[u8]| {
            Ok(data.first_chunk().map(|len| usize::from_be_bytes(*len)))
        }),
        probe,
    );
    map.get_mut(me).unwrap().chat.set_limits(limits);
    let mut message = vec![b'x'; 1 << 20];
    message[..8].copy_from_slice(&(1_usize << 20).to_be_bytes());
    peer.say(message);
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["1048576 bytes"]);
    assert!(peer.recvs() < 24, "{}", peer.recvs());
}
