//! A channel that says goodbye to a peer that is cut off: for the tests of that.

use std::net::TcpStream;
use std::time::Duration;

use chat::{AsyncChat, ChannelMap, Dispatcher, Limits, Token};

use super::part::{Part, Record, Side};
use super::{name, sim};

pub(crate) const GOODBYE: &str = "-ERR goodbye\r\n";
pub(crate) const STALL: Duration = Duration::from_secs(10);

/// A channel that has a goodbye, and a peer that takes what it is told to.
pub(crate) struct Slow {
    pub(crate) map: ChannelMap,
    pub(crate) me: Token,
    pub(crate) peer: sim::Peer,
    pub(crate) record: Record,
}

impl Slow {
    pub(crate) fn new(is_chat: bool, change: impl FnOnce(&mut Limits)) -> Self {
        Self::with(is_chat, change, |part| part)
    }

    pub(crate) fn with(
        is_chat: bool,
        change: impl FnOnce(&mut Limits),
        hook: impl FnOnce(Part<0>) -> Part<0>,
    ) -> Self {
        let mut limits = Limits::default();
        limits.goodbye = GOODBYE.into();
        limits.stall = STALL;
        change(&mut limits);
        let record = Record::default();
        let (line, peer) = sim::line();
        let mut map = ChannelMap::new().unwrap();
        let me = hook(Part::new(&record)).insert(is_chat, line, limits, &mut map);
        let mut slow = Self {
            map,
            me,
            peer,
            record,
        };
        slow.settle();
        slow
    }

    pub(crate) fn settle(&mut self) {
        sim::settle(&mut self.map, self.me, &self.peer);
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        sim::step_after(&mut self.map, self.me, &self.peer, time);
    }

    #[track_caller]
    pub(crate) fn reach<R>(&mut self, f: impl FnOnce(&mut Side<'_>) -> R) -> R {
        Part::<0>::reach(&mut self.map, self.me, f).expect("it is closed")
    }

    #[track_caller]
    pub(crate) fn push(&mut self, data: impl AsRef<[u8]>) -> bool {
        self.reach(|side| side.push(data))
    }

    /// The peer reads all there is, and closes. Returns the end of what it has read.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        self.peer.set_room(usize::MAX);
        self.settle();
        assert!(self.peer.is_shut(), "it was told the end");
        self.peer.say_eof();
        self.settle();
        self.peer.take_sent()
    }

    /// Why it was closed, and what was not sent.
    #[track_caller]
    pub(crate) fn end(&self) -> (String, (usize, usize)) {
        (name(&self.record.take_reason()), self.record.unsent())
    }
}

/// Puts a part on a socket into `map`, as a chat's handler or a dispatcher's.
pub(crate) fn insert_on(
    stream: TcpStream,
    is_chat: bool,
    part: Part<0>,
    limits: Limits,
    map: &mut ChannelMap,
) -> Token {
    match is_chat {
        true => {
            let channel = AsyncChat::new(stream, "\r\n", part);
            map.insert(channel.limited(limits)).unwrap().token()
        }
        false => {
            let channel = Dispatcher::new(stream, part);
            map.insert(channel.limited(limits)).unwrap().token()
        }
    }
}

/// A message that says how long it is.
pub(crate) fn message(len: usize, number: usize) -> Vec<u8> {
    let mut message = format!("{len} {number} ").into_bytes();
    message.resize(message.len() + len, b'#');
    message.push(b'\n');
    message
}

/// Cuts `sent` into messages; `None` if one of them is cut short. A goodbye is one, too.
pub(crate) fn messages(mut sent: &[u8]) -> Option<Vec<&[u8]>> {
    let mut all = Vec::new();
    while !sent.is_empty() {
        let len = if sent.starts_with(GOODBYE.as_bytes()) {
            GOODBYE.len()
        } else {
            let len = sent.split(|byte| *byte == b' ').next()?;
            let body: usize = std::str::from_utf8(len).ok()?.parse().ok()?;
            let head = sent.splitn(3, |byte| *byte == b' ').take(2);
            head.map(|word| word.len() + 1).sum::<usize>() + body + 1
        };
        let (message, rest) = sent.split_at_checked(len)?;
        all.push(message);
        sent = rest;
    }
    Some(all)
}
