//! A message that is not wanted is skipped, input is put back: however the
//! network cuts it.

use chat::{AsyncChat, ChannelMap, Chat, ChatHandler, Limits, MessageHandler, Result, Terminator};

use crate::common::Log;
use crate::common::sim;

/// Skips what is too long; each message is a word in the record.
struct Words {
    log: Log,
    is_too_long: bool,
}

impl MessageHandler for Words {
    fn handle_message(&mut self, word: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        if std::mem::take(&mut self.is_too_long) {
            assert!(word.is_empty());
            self.log.add("end of a long one");
        } else {
            self.log.add(word.escape_ascii().to_string());
        }
        if chat.terminator().is_none() {
            chat.set_terminator("\r\n");
        }
        Ok(())
    }

    fn handle_overlimit(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        self.is_too_long = true;
        chat.skip_message();
        Ok(())
    }

    fn handle_eof(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        self.log.add("eof");
        chat.close();
        Ok(())
    }
}

fn seen(terminator: impl Into<Terminator>, segments: &[&[u8]]) -> Vec<String> {
    let log = Log::default();
    let words = Words {
        log: log.clone(),
        is_too_long: false,
    };
    let mut limits = Limits::default();
    (limits.message, limits.counted_message) = (3, 3);
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::over(line, terminator, words).limited(limits);
    let me = map.insert(channel).unwrap();
    for segment in segments {
        peer.say(segment);
        sim::settle(&mut map, me, &peer);
    }
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    log.all()
}

/// Every cut in three, and byte by byte.
fn however_it_is_cut(stream: &[u8], test: impl Fn(&[&[u8]])) {
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            let (head, tail) = stream.split_at(second);
            let (left, middle) = head.split_at(first);
            test(&[left, middle, tail]);
        }
    }
    test(&stream.chunks(1).collect::<Vec<_>>());
}

#[test]
fn a_line_that_is_too_long_is_skipped_and_its_end_is_told() {
    let stream = b"one\r\nx\ryz\r\rthree\r\r\nend\r\n\r\nab\rcd";
    however_it_is_cut(stream, |segments| {
        let expected = ["one", "end of a long one", "end", "", "eof"];
        assert_eq!(seen("\r\n", segments), expected, "{segments:?}");
    });
}

#[test]
fn a_count_that_is_too_long_is_skipped_to_its_end() {
    however_it_is_cut(b"abcdefghijkl\r\n", |segments| {
        let expected = ["end of a long one", "kl", "eof"];
        assert_eq!(seen(10, segments), expected, "{segments:?}");
    });
}

/// Takes a message that begins with `-` for one that it does not want.
struct Picky(Log);

impl ChatHandler for Picky {
    fn collect_incoming_data(
        &mut self,
        data: &[u8],
        chat: &mut Chat,
        _: &mut ChannelMap,
    ) -> Result {
        self.0.add(data[..1].escape_ascii().to_string());
        if data[0] == b'-' {
            chat.skip_message();
        }
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add("end");
        Ok(())
    }
}

#[test]
fn what_is_skipped_while_it_is_collected_may_be_of_any_length() {
    let log = Log::default();
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(AsyncChat::over(line, "\n", Picky(log.clone())))
        .unwrap();
    for segment in [&b"-"[..], &[b'x'; 200_000], b"\n+\n-all in one read\n"] {
        peer.say(segment);
        sim::settle(&mut map, me, &peer);
    }
    assert_eq!(log.all(), ["-", "end", "+", "end", "-", "end"]);
}

/// After `DATA`, the line end before it counts as the data's first.
struct Smtp(Log);

impl MessageHandler for Smtp {
    fn handle_message(&mut self, message: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add(message.escape_ascii().to_string());
        if message == b"DATA" {
            chat.set_terminator("\r\n.\r\n");
            chat.unread("\r\n");
        } else {
            chat.set_terminator("\r\n");
        }
        Ok(())
    }
}

#[test]
fn what_is_put_back_comes_before_what_is_still_to_be_delivered() {
    however_it_is_cut(b"DATA\r\n.\r\nDATA\r\na\r\n.\r\nEND\r\n", |segments| {
        let log = Log::default();
        let (line, peer) = sim::line();
        let mut map = ChannelMap::new().unwrap();
        let channel = AsyncChat::over(line, "\r\n", Smtp(log.clone()));
        let me = map.insert(channel).unwrap();
        for segment in segments {
            peer.say(segment);
            sim::settle(&mut map, me, &peer);
        }
        let expected = ["DATA", "", "DATA", "\\r\\na", "END"];
        assert_eq!(log.all(), expected, "{segments:?}");
    });
}

#[test]
fn what_is_put_back_comes_before_a_terminator_that_has_begun() {
    let log = Log::default();
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::over(line, "\r\n", Smtp(log.clone()));
    let me = map.insert(channel).unwrap();
    peer.say("a\r");
    sim::settle(&mut map, me, &peer);
    map.get_mut(me).unwrap().chat.unread("b");
    peer.say("\n");
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["ab"]);
}

/// Puts data back while it collects "hello", before its terminator is told.
struct Early(Log);

impl ChatHandler for Early {
    fn collect_incoming_data(
        &mut self,
        data: &[u8],
        chat: &mut Chat,
        _: &mut ChannelMap,
    ) -> Result {
        self.0.add(format!("data {}", data.escape_ascii()));
        if data == b"hello" {
            chat.unread("ab");
        }
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add("found");
        Ok(())
    }
}

#[test]
fn what_is_put_back_before_an_end_is_told_belongs_to_that_message() {
    let log = Log::default();
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::over(line, "\r\n", Early(log.clone()));
    let me = map.insert(channel).unwrap();
    peer.say("hello\r\nworld\r\n");
    sim::settle(&mut map, me, &peer);
    let expected = ["data hello", "data ab", "found", "data world", "found"];
    assert_eq!(log.all(), expected);
}
