//! A count of 0 ends a message without any data: none is lost, whatever comes of the
//! input meanwhile.

use std::io::Write;

use chat::{AsyncChat, ChannelMap, Chat, ChatHandler, Limits, MessageHandler, Result, Terminator};

use crate::common::{Log, sim, turn_until, unix_pair};

/// How the handler takes a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// `collect_incoming_data` and `found_terminator`.
    Collects,
    /// `found_message`.
    Finds,
    /// A `MessageHandler`.
    Messages,
}

const WAYS: [Way; 3] = [Way::Collects, Way::Finds, Way::Messages];

/// Asks for three empty messages after the first, and pauses before each if so told.
struct Counting {
    log: Log,
    way: Way,
    pauses: bool,
    found: usize,
}

impl Counting {
    fn found(&mut self, chat: &mut Chat) {
        self.found += 1;
        self.log.add(format!("found {}", self.found));
        if self.found <= 3 {
            chat.set_terminator(0);
            if self.pauses {
                chat.pause();
            }
        }
    }
}

impl ChatHandler for Counting {
    fn collect_incoming_data(
        &mut self,
        data: &[u8],
        chat: &mut Chat,
        _: &mut ChannelMap,
    ) -> Result {
        self.log.add(format!("data {}", data.escape_ascii()));
        if data == b"\r" {
            chat.set_terminator(0);
        }
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        self.found(chat);
        Ok(())
    }

    fn found_message(
        &mut self,
        message: &[u8],
        chat: &mut Chat,
        _: &mut ChannelMap,
    ) -> Option<Result> {
        if self.way == Way::Collects {
            return None;
        }
        if !message.is_empty() {
            self.log.add(format!("data {}", message.escape_ascii()));
        }
        self.found(chat);
        Some(Ok(()))
    }

    fn handle_eof(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        self.log.add("eof");
        chat.close();
        Ok(())
    }
}

struct Messages(Counting);

impl MessageHandler for Messages {
    fn handle_message(&mut self, message: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        if !message.is_empty() {
            self.0.log.add(format!("data {}", message.escape_ascii()));
        }
        self.0.found(chat);
        Ok(())
    }

    fn handle_eof(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.0.handle_eof(chat, map)
    }
}

/// What a peer that sends `text` and closes makes of it, in reads of so many bytes.
fn heard(
    text: &str,
    terminator: &'static str,
    way: Way,
    pauses: bool,
    read: usize,
    is_over: bool,
) -> Vec<String> {
    let log = Log::default();
    let counting = Counting {
        log: log.clone(),
        way,
        pauses,
        found: 0,
    };
    match way {
        Way::Messages => run(text, terminator, Messages(counting), read, is_over),
        _ => run(text, terminator, counting, read, is_over),
    }
    log.all()
}

fn run<H: ChatHandler>(
    text: &str,
    terminator: impl Into<Terminator>,
    handler: H,
    read: usize,
    is_over: bool,
) {
    let mut limits = Limits::default();
    limits.received_per_turn = 1;
    limits.in_buffer_size = read;
    let mut map = ChannelMap::new().unwrap();
    if is_over {
        let (line, peer) = sim::line();
        let channel = AsyncChat::over(line, terminator, handler).limited(limits);
        let me = map.insert(channel).unwrap();
        peer.say(text);
        peer.say_eof();
        while map.is_open(me) {
            sim::settle(&mut map, me, &peer);
            if let Ok(channel) = map.get_mut(me) {
                assert!(channel.chat.is_paused(), "it goes on to the end");
                channel.chat.resume();
            }
        }
    } else {
        let (ours, mut theirs) = unix_pair();
        let channel = AsyncChat::new(ours, terminator, handler);
        let me = map.insert(channel.limited(limits)).unwrap();
        theirs.write_all(text.as_bytes()).unwrap();
        drop(theirs);
        turn_until(&mut map, |map| {
            if let Ok(channel) = map.get_mut(me) {
                channel.chat.resume();
            }
            map.is_empty()
        });
    }
}

/// The turn's budget runs out with each message; the end of the input comes in the
/// same turn, or another.
#[test]
fn messages_without_data_come_before_the_end_of_the_input() {
    let expected = ["data a", "found 1", "found 2", "found 3", "found 4", "eof"];
    for way in WAYS {
        for pauses in [false, true] {
            for read in [1, 2, 3, 65_536] {
                for is_over in [false, true] {
                    let heard = heard("a\n", "\n", way, pauses, read, is_over);
                    assert_eq!(heard, expected, "{way:?}, {pauses}, {read}, {is_over}");
                }
            }
        }
    }
}

/// What was held back is data at the end: the messages that its handler asks for then
/// take turns that bring nothing else.
#[test]
fn messages_that_the_last_data_asks_for_come_before_the_end_too() {
    let expected = [
        "data \\r", "found 1", "found 2", "found 3", "found 4", "eof",
    ];
    for pauses in [false, true] {
        for is_over in [false, true] {
            let heard = heard("\r", "\r\n", Way::Collects, pauses, 65_536, is_over);
            assert_eq!(heard, expected, "{pauses}, {is_over}");
        }
    }
}

/// memcached: values of a megabyte, and commands of a line.
#[test]
fn values_may_be_large_and_lines_may_not() {
    struct Store(Log);
    impl MessageHandler for Store {
        fn handle_message(
            &mut self,
            message: &[u8],
            chat: &mut Chat,
            _: &mut ChannelMap,
        ) -> Result {
            self.0.add(format!("{} bytes", message.len()));
            if let Some(len) = message.strip_prefix(b"set ") {
                let len: usize = std::str::from_utf8(len)?.parse()?;
                chat.set_terminator(Terminator::count_then(len, b"\r\n"));
            } else {
                chat.set_terminator("\r\n");
            }
            Ok(())
        }
        fn handle_overlimit(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
            self.0.add("overlimit");
            Ok(())
        }
    }
    let mut limits = Limits::default();
    limits.counted_message = 1 << 20;
    let limits = std::rc::Rc::new(limits);
    for (said, expected) in [
        (
            [&b"set 1048576\r\n"[..], &[0; 1 << 20], b"\r\n"].concat(),
            &["11 bytes", "1048576 bytes"][..],
        ),
        (b"set 1048577\r\n".to_vec(), &["11 bytes", "overlimit"]),
        ([&[b'x'; 65_536][..], b"\r\n"].concat(), &["65536 bytes"]),
        ([&[b'x'; 65_537][..], b"\r\n"].concat(), &["overlimit"]),
    ] {
        let log = Log::default();
        let (line, peer) = sim::line();
        let mut map = ChannelMap::new().unwrap();
        let channel = AsyncChat::over(line, "\r\n", Store(log.clone()));
        let me = map.insert(channel.limited(limits.clone())).unwrap();
        peer.say(&said);
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.all(), expected, "{} bytes", said.len());
    }
}
