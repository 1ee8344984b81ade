//! Terminators: strings, numbers, none.

use bytes::Bytes;
use chat::{AsyncChat, ChannelMap, Terminator};

use crate::common::sim;
use crate::original::collector::{Collected, Collector};
use crate::original::echo::echo;
use crate::original::family::Family;

const STRINGS: [&str; 6] = [
    "\n",
    "\r\n",
    "zzz",
    "aba",
    "\r\n.\r\n",
    "--twenty-characters-",
];

fn string(terminator: &str) -> Terminator {
    Terminator::try_from(Bytes::copy_from_slice(terminator.as_bytes())).unwrap()
}

/// What a collector gets of these segments, each one read.
fn collect(terminator: Terminator, segments: &[&str]) -> Collected {
    let collector = Collector::default();
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::over(line, terminator, collector.clone());
    let me = map.insert(channel).unwrap();
    for segment in segments {
        peer.say(segment);
        sim::settle(&mut map, me, &peer);
    }
    assert!(map.is_open(me));
    collector.take()
}

#[test]
fn lines_come_out_the_same_in_chunks_of_one_two_or_three_bytes() {
    for family in Family::all() {
        for terminator in ["\n", "\r\n", "zzz"] {
            for chunk in 1..=3 {
                let seen = echo(family, terminator, chunk, |chat| {
                    chat.push("one ");
                    chat.push(format!("line{terminator}"));
                    chat.push(format!("and another{terminator}"));
                });
                let expected = ["one line", "and another"];
                assert_eq!(seen.contents, expected, "{family:?} {terminator:?} {chunk}");
                assert_eq!(seen.rest, "");
                assert!(seen.parts > 2, "they were cut");
            }
        }
    }
}

#[test]
fn lines_come_out_the_same_however_they_are_cut_in_three() {
    for terminator in STRINGS {
        let stream = format!("one\r li\nne{terminator}z ab\r\n. -{terminator}");
        for second in 0..=stream.len() {
            for first in 0..=second {
                let cuts = [&stream[..first], &stream[first..second], &stream[second..]];
                let seen = collect(string(terminator), &cuts);
                let expected: Vec<&str> = stream.split_terminator(terminator).collect();
                assert_eq!(seen.contents, expected, "{cuts:?}");
                assert_eq!(seen.rest, "", "{cuts:?}");
            }
        }
    }
}

#[test]
fn a_number_ends_one_message_and_what_follows_has_no_end() {
    let data = "thirty bytes, and not one more";
    for family in Family::all() {
        for count in [1, 6, data.len()] {
            for chunk in [1, 4, data.len()] {
                let seen = echo(family, count, chunk, |chat| _ = chat.push(data));
                assert_eq!(seen.contents, [&data[..count]], "{family:?} {chunk}");
                assert_eq!(seen.rest, &data[count..], "{family:?} {chunk}");
            }
        }
    }
}

#[test]
fn a_number_that_is_never_reached_collects_everything() {
    for family in Family::all() {
        let seen = echo(family, usize::MAX, 5, |chat| _ = chat.push("all of it"));
        assert!(seen.contents.is_empty(), "{family:?}");
        assert_eq!(seen.rest, "all of it", "{family:?}");
    }
    let after = Terminator::from(usize::MAX);
    assert_eq!(after.count(), Some(usize::MAX));
}

#[test]
fn a_string_of_digits_is_a_string() {
    for family in Family::all() {
        let seen = echo(family, "12", 1, |chat| _ = chat.push("a1b12c112"));
        assert_eq!(seen.contents, ["a1b", "c1"], "{family:?}");
    }
}

#[test]
fn without_a_terminator_all_is_collected_and_nothing_found() {
    let data = "a line\r\nand another\n\0";
    for family in Family::all() {
        let seen = echo(family, Terminator::none(), 3, |chat| _ = chat.push(data));
        assert!(seen.contents.is_empty(), "{family:?}");
        assert_eq!(seen.rest, data, "{family:?}");
    }
}

#[test]
fn two_terminators_in_a_row_are_an_empty_message() {
    for family in Family::all() {
        for terminator in ["\n", "\r\n", "zzz"] {
            for chunk in [1, 2, 100] {
                let seen = echo(family, terminator, chunk, |chat| {
                    chat.push(format!(
                        "{terminator}one{terminator}{terminator}two{terminator}"
                    ));
                });
                let expected = ["", "one", "", "two"];
                assert_eq!(seen.contents, expected, "{family:?} {terminator:?} {chunk}");
            }
        }
    }
}

/// What `find_prefix_at_end` is for. (The function itself is
/// `Pattern::prefix_at_end`, with tests of its own in `src/terminator/tests.rs`.)
#[test]
fn only_what_may_begin_a_terminator_is_held_back() {
    let cases = [
        ("\r\n", "word\r", "word"),
        ("\r\n", "word", "word"),
        ("\r\n", "word\n", "word\n"),
        ("\r\n.\r\n", "word\r\n.\r", "word"),
        ("\r\n.\r\n", "word\r\n\r\n", "word\r\n"),
    ];
    for (terminator, data, collected) in cases {
        let seen = collect(string(terminator), &[data]);
        assert_eq!(seen.rest, collected, "{data:?} for {terminator:?}");
        assert!(seen.contents.is_empty());
    }
    let seen = collect(string("aba"), &["xabab"]);
    assert_eq!(
        (&*seen.contents[0], &*seen.rest),
        ("x", "b"),
        "whole at once"
    );
}

#[test]
fn what_was_held_back_and_is_no_terminator_is_data() {
    let seen = collect(string("\r\n"), &["word\r", "word\r", "\r", "\n"]);
    assert_eq!(seen.contents, ["word\rword\r"]);
}

#[test]
fn an_empty_terminator_is_refused_and_zero_is_a_number() {
    assert!(Terminator::try_from(Bytes::new()).is_err());
    assert!(Terminator::none().is_none());
    assert_eq!(Terminator::from(0).count(), Some(0), "and is not none");
}

#[test]
fn a_terminator_can_be_set_before_there_is_a_connection() {
    for family in Family::all() {
        let seen = echo(family, Terminator::none(), 1, |chat| {
            assert!(chat.endpoint().connecting());
            chat.set_terminator("\n");
            chat.push("one\ntwo\n");
        });
        assert_eq!(seen.contents, ["one", "two"], "{family:?}");
    }
}
