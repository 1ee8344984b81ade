//! The framer against a model.

use super::*;

mod model;

use model::*;

#[test]
fn every_split_in_two_gives_what_the_whole_stream_means() {
    let mut rng = Rng::new(11);
    let mut events = 0;
    for _ in 0..2_000 {
        let script = random_script(&mut rng);
        let len = rng.below(60);
        let stream = random_stream(&mut rng, &script, len);
        let expected = model(&script, &stream);
        events += expected.len();
        for at in 0..=len {
            let (left, right) = stream.split_at(at);
            let got = framed(&script, [left, right]);
            assert_eq!(got, expected, "{script:?}: {left:?} + {right:?}");
        }
    }
    assert!(events > 4_000, "{events}");
}

#[test]
fn byte_by_byte_gives_what_the_whole_stream_means() {
    let mut rng = Rng::new(12);
    for _ in 0..2_000 {
        let script = random_script(&mut rng);
        let stream = random_stream(&mut rng, &script, 200);
        let got = framed(&script, stream.chunks(1));
        assert_eq!(got, model(&script, &stream), "{script:?}: {stream:?}");
    }
}

#[test]
fn random_segments_give_what_the_whole_stream_means() {
    let mut rng = Rng::new(13);
    for _ in 0..6_000 {
        let script = random_script(&mut rng);
        let stream = random_stream(&mut rng, &script, 150);
        let longest = 1 + rng.below(40);
        let segments = random_segments(&mut rng, &stream, longest);
        let expected = model(&script, &stream);
        let got = framed(&script, segments.iter().copied());
        assert_eq!(got, expected, "{script:?}: {segments:?}");
    }
}

#[test]
fn a_message_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
    for len in 0..6_usize {
        let script = Script {
            first: text(b"\r\n"),
            then: Vec::new(),
            limit: 3,
        };
        let stream = [&b"wxyzwxyz"[..len], b"\r\n"].concat();
        let expected = match len {
            0..=3 => Event::Message(stream[..len].to_vec()),
            _ => Event::OverLimit(b"wxy".to_vec()),
        };
        for at in 0..=stream.len() {
            let (left, right) = stream.split_at(at);
            assert_eq!(
                framed(&script, [left, right]),
                *std::slice::from_ref(&expected)
            );
        }
        let bytewise = framed(&script, stream.chunks(1));
        assert_eq!(bytewise, [expected]);
    }
}

/// Twisted #6556, Netty: what may be the terminator is not yet the message.
#[test]
fn the_beginning_of_a_terminator_does_not_count_towards_the_limit() {
    let script = Script {
        first: text(b"\r\n"),
        then: Vec::new(),
        limit: 3,
    };
    let got = framed(&script, [&b"xyz\r"[..], b"\n"]);
    assert_eq!(got, [Event::Message(b"xyz".to_vec())]);
    let got = framed(&script, [&b"xyz\r"[..], b"!"]);
    assert_eq!(got, [Event::OverLimit(b"xyz".to_vec())]);
}

#[test]
fn over_limit_is_said_again_until_the_message_is_discarded() {
    let mut framer = Framer::new(text(b"\n"), false);
    let mut data = &b"abcdef"[..];
    assert!(matches!(
        framer.next(&mut data, &limited(3), false),
        Some(Frame::Part(b"abc"))
    ));
    for _ in 0..3 {
        assert!(matches!(
            framer.next(&mut data, &limited(3), false),
            Some(Frame::OverLimit)
        ));
    }
    framer.discard();
    assert_eq!(
        framer.next_whole(b"ok\n", &limited(3)),
        Some((&b"ok"[..], &b""[..]))
    );
}

#[test]
fn after_a_count_the_terminator_is_none_and_a_string_stays() {
    let mut framer = Framer::new(Terminator::from(2), false);
    let (message, rest) = framer.next_whole(b"abcd\ncd", &limited(9)).unwrap();
    assert_eq!(message, b"ab");
    assert!(framer.terminator().is_none());
    framer.set_terminator(text(b"\n"));
    assert_eq!(framer.next_whole(rest, &limited(9)).unwrap().0, b"cd");
    assert_eq!(framer.terminator().as_bytes(), Some(&b"\n"[..]));
}

#[test]
fn a_count_says_how_many_bytes_are_still_to_come() {
    let mut framer = Framer::new(Terminator::from(5), false);
    let mut data = &b"ab"[..];
    assert!(matches!(
        framer.next(&mut data, &limited(9), false),
        Some(Frame::Part(b"ab"))
    ));
    assert_eq!(framer.terminator().count(), Some(3));
    assert!(framer.next(&mut data, &limited(9), false).is_none());
}

#[test]
fn a_count_of_zero_is_due_at_once_and_only_once() {
    let mut framer = Framer::new(Terminator::from(0), false);
    assert!(framer.is_due());
    let mut data = &b""[..];
    assert_eq!(framer.next_whole(data, &limited(9)), Some((data, data)));
    assert!(!framer.is_due());
    assert!(framer.next(&mut data, &limited(9), false).is_none());
}

/// The handler that gets the part in front may set another terminator, so the
/// old one's beginning is not swallowed with it.
#[test]
fn a_terminator_set_from_within_a_part_applies_to_the_very_next_byte() {
    let mut framer = Framer::new(text(b"\r\n"), false);
    let mut data = &b"ab\r"[..];
    assert!(matches!(
        framer.next(&mut data, &limited(9), false),
        Some(Frame::Part(b"ab"))
    ));
    let held = framer.take_held().to_vec();
    assert_eq!(held, b"\r");
    framer.set_terminator(text(b"\r"));
    let mut data = &held[..];
    assert!(matches!(
        framer.next(&mut data, &limited(9), false),
        Some(Frame::End)
    ));
}

/// Between two reads the old terminator may hold bytes back: they come back,
/// and the new one sees them first.
#[test]
fn a_terminator_that_is_changed_between_reads_loses_no_byte() {
    let mut rng = Rng::new(14);
    let mut held_some = 0;
    for _ in 0..20_000 {
        let mut script = random_script(&mut rng);
        script.then.clear();
        script.limit = usize::MAX;
        let len = rng.below(40);
        let stream = random_stream(&mut rng, &script, len);
        let (before, after) = stream.split_at(rng.below(len + 1));
        let next = random_terminator(&mut rng);

        // The old terminator's messages, then its last, unended one goes on
        // under the new.
        let mut expected = model(&script, before);
        if let Some(Event::Refused(_)) = expected.last() {
            continue;
        }

        let mut driver = Driver::new(&script);
        for segment in random_segments(&mut rng, before, 7) {
            driver.feed(segment);
        }
        driver.feed(&[]);
        let held = [driver.framer.take_held(), &mem::take(&mut driver.unread)].concat();
        driver.framer.set_terminator(next.clone());
        held_some += usize::from(!held.is_empty());
        let carried = driver.collected.len();
        let rest = [&held[..], after].concat();
        for segment in random_segments(&mut rng, &rest, 7) {
            driver.feed(segment);
        }
        let got = driver.finish();

        let tail = match expected.last() {
            Some(Event::Tail(tail)) => tail.clone(),
            _ => Vec::new(),
        };
        if !tail.is_empty() {
            expected.pop();
        }
        assert_eq!(tail, [&tail[..carried], &held].concat());
        let second = Script {
            first: next,
            ..script.clone()
        };
        let mut later = model(&second, &rest);
        match later.first_mut() {
            Some(Event::Message(data) | Event::Tail(data) | Event::Refused(data)) => {
                data.splice(0..0, tail[..carried].iter().copied());
            }
            None if carried > 0 => later.push(Event::Tail(tail[..carried].to_vec())),
            _ => {}
        }
        expected.append(&mut later);
        assert_eq!(
            got, expected,
            "{script:?} then {second:?}: {before:?} {after:?}"
        );
    }
    assert!(held_some > 500, "{held_some}");
}

#[test]
fn terminators_of_1_to_4096_bytes_end_messages_however_they_are_cut() {
    let mut rng = Rng::new(15);
    for len in [1, 2, 13, 14, 15, 16, 255, 256, 257, 4_095, 4_096] {
        let pattern = rng.bytes(b"ab", len);
        let script = Script {
            first: text(&pattern),
            then: Vec::new(),
            limit: usize::MAX,
        };
        // Whole ones, and beginnings that come to nothing.
        let begun = &pattern[..len - 1];
        let stream = [b"--", begun, b"-", &pattern, b"-", begun, &pattern, b"!"].concat();
        let expected = model(&script, &stream);
        for _ in 0..20 {
            let longest = 1 + rng.below(2 * len);
            let segments = random_segments(&mut rng, &stream, longest);
            assert_eq!(framed(&script, segments), expected, "{len} bytes");
        }
        assert_eq!(
            framed(&script, stream.chunks(1)),
            expected,
            "{len} bytes, one by one"
        );
    }
}

/// The worst cases of a search that begins again: with 4,096 bytes held, each
/// new byte that is no match would cost a whole comparison.
#[test]
fn near_misses_without_end_are_all_data() {
    let mut almost = vec![b'\r'; 4_095];
    almost.push(b'\n');
    for pattern in [&b"\r\n"[..], b"\r\r\r\r\r\n", &almost] {
        let script = Script {
            first: text(pattern),
            then: Vec::new(),
            limit: usize::MAX,
        };
        let misses = vec![b'\r'; 100_000];
        let stream = [&misses, &b"\n"[..]].concat();
        let message = vec![b'\r'; stream.len() - pattern.len()];
        for longest in [1, 7, 5_000] {
            let got = framed(&script, stream.chunks(longest));
            assert_eq!(got, [Event::Message(message.clone())]);
        }
        let got = framed(&script, misses.chunks(1));
        assert_eq!(got, [Event::Tail(misses.clone())]);
    }
}
