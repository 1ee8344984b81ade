//! A model that has the whole stream before it, and streams to try it with.

use std::iter;

use bytes::Bytes;

use super::super::*;

#[path = "../../../tests/common/rng.rs"]
#[allow(clippy::duplicate_mod, reason = "ten lines that several tests need")]
mod rng;

pub(super) use rng::Rng;

/// What a handler would see; how the data was cut means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Message(Vec<u8>),
    OverLimit(Vec<u8>),
    Refused(Vec<u8>),
    /// What came without a terminator, at the end of the stream.
    Tail(Vec<u8>),
}

/// A program of terminators: the first, then one after each message. `None`
/// leaves the terminator alone, as a handler may.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) first: Terminator,
    pub(super) then: Vec<Option<Terminator>>,
    pub(super) limit: usize,
}

impl Script {
    fn terminators(&self) -> impl Iterator<Item = &Terminator> {
        iter::once(&self.first).chain(self.then.iter().flatten())
    }

    fn next(&self, messages: usize) -> Option<Terminator> {
        self.then.get(messages).cloned().flatten()
    }
}

pub(super) fn text(string: &[u8]) -> Terminator {
    Terminator::try_from(Bytes::copy_from_slice(string)).unwrap()
}

/// Where the first of `ends` is, and how long.
fn find(ends: &[&[u8]], data: &[u8]) -> Option<(usize, usize)> {
    (0..data.len()).find_map(|at| {
        let end = ends.iter().find(|end| data[at..].starts_with(end))?;
        Some((at, end.len()))
    })
}

/// The length of the message that begins `data` and is delivered whole, or the least that
/// it can be. An endless one has no length.
fn whole_len(terminator: &Terminator, data: &[u8]) -> Result<Option<usize>> {
    match &terminator.0 {
        Condition::Whole(len) => Ok(Some(*len)),
        Condition::Framed(hook) if !data.is_empty() => {
            let len = hook.0.message_len(data, 0)?;
            Ok(Some(len.unwrap_or(data.len() + 1)))
        }
        _ => Ok(None),
    }
}

/// Two bytes that say how many there are of each letter: `ab` is 3 bytes in all. `\n\n`
/// begins no message.
fn letters(data: &[u8]) -> Result<Option<usize>> {
    let len = |byte| match byte {
        b'a' => 0,
        b'b' => 1,
        b'\r' => 5,
        _ => 60,
    };
    match data {
        [b'\n', b'\n', ..] => Err("no message".into()),
        [first, second, ..] => Ok(Some(2 + len(*first) + len(*second))),
        _ => Ok(None),
    }
}

/// What the stream means. `collected` is what the message under way has.
pub(super) fn model(script: &Script, stream: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    let mut terminator = script.first.clone();
    let mut rest = stream;
    for messages in 0.. {
        let found = match &terminator.0 {
            Condition::Pattern(pattern) => find(&[pattern.bytes()], rest),
            Condition::Line => find(&[b"\r\n", b"\n"], rest),
            Condition::Count(counted) => {
                let (len, then) = (counted.left(), counted.then());
                let behind = rest.get(len..).unwrap_or_default();
                if !behind.starts_with(then) && !then.starts_with(behind) {
                    events.push(Event::Refused(rest[..len].to_vec()));
                    return events;
                }
                let is_whole = rest.len() >= len + then.len();
                is_whole.then_some((len, then.len()))
            }
            Condition::Whole(_) | Condition::Framed(_) => match whole_len(&terminator, rest) {
                Err(_) => {
                    events.push(Event::Refused(Vec::new()));
                    return events;
                }
                Ok(len) if len.is_some_and(|len| len > script.limit) => {
                    events.push(Event::OverLimit(Vec::new()));
                    return events;
                }
                Ok(len) => len.filter(|len| *len <= rest.len()).map(|len| (len, 0)),
            },
            Condition::None | Condition::Silence(_) => None,
        };
        let is_limited = terminator.0.searched().is_some();
        if is_limited && found.map_or(rest.len(), |(len, _)| len) > script.limit {
            events.push(Event::OverLimit(rest[..script.limit].to_vec()));
            return events;
        }
        let Some((len, skip)) = found else { break };
        events.push(Event::Message(rest[..len].to_vec()));
        rest = &rest[len + skip..];
        match script.next(messages) {
            Some(next) => terminator = next,
            None if terminator.count().is_some() => terminator = Terminator::none(),
            None => {}
        }
    }
    if !rest.is_empty() {
        events.push(Event::Tail(rest.to_vec()));
    }
    events
}

/// Limits of so many bytes a message.
pub(super) fn limited(message: usize) -> Limits {
    Limits {
        message,
        counted_message: message,
        ..Limits::DEFAULT
    }
}

/// The framer with what a channel does around it.
pub(super) struct Driver {
    pub(super) framer: Framer,
    script: Script,
    messages: usize,
    pub(super) collected: Vec<u8>,
    /// Kept until there is enough for a message.
    pub(super) unread: Vec<u8>,
    events: Vec<Event>,
    is_over: bool,
}

impl Driver {
    pub(super) fn new(script: &Script) -> Self {
        Self {
            framer: Framer::new(script.first.clone(), false),
            script: script.clone(),
            messages: 0,
            collected: Vec::new(),
            unread: Vec::new(),
            events: Vec::new(),
            is_over: false,
        }
    }

    /// Feeds a read, as a channel does: behind what is held back. Whole messages
    /// are taken as they lie, or every other one in parts.
    pub(super) fn feed(&mut self, read: &[u8]) {
        self.frame(read, false);
    }

    fn frame(&mut self, read: &[u8], is_last: bool) {
        let held = usize::from(self.framer.held);
        let unread = std::mem::take(&mut self.unread);
        let mut buffer = [&vec![0; held], &unread[..], read].concat();
        if held > 0 {
            let limit = self.script.limit;
            if self.framer.holds_on(&mut buffer, limit, is_last) {
                return;
            }
        }
        let limits = limited(self.script.limit);
        let mut data = &buffer[..];
        while !self.is_over {
            let whole = self.framer.next_whole(data, &limits);
            if let Some((message, behind)) = whole {
                assert!(self.collected.is_empty(), "not all of it");
                self.collected.extend_from_slice(message);
                if self.messages % 2 == 0 {
                    data = behind;
                    self.end_message();
                } else {
                    data = &data[message.len()..];
                    self.framer.reopen(data.len() - behind.len());
                }
                continue;
            }
            let frame = self.framer.next(&mut data, &limits, is_last);
            let Some(frame) = frame else {
                let is_short = self.framer.is_short(data.len());
                assert!(data.is_empty() || (is_short && !is_last), "left {data:?}");
                self.unread = data.to_vec();
                return;
            };
            match frame {
                Frame::Part(part) => {
                    assert!(!part.is_empty(), "an empty part");
                    self.collected.extend_from_slice(part);
                }
                Frame::End => self.end_message(),
                Frame::OverLimit => {
                    let collected = std::mem::take(&mut self.collected);
                    self.events.push(Event::OverLimit(collected));
                    self.is_over = true;
                }
                Frame::Refused(_) => {
                    let collected = std::mem::take(&mut self.collected);
                    self.events.push(Event::Refused(collected));
                    self.is_over = true;
                }
            }
        }
    }

    fn end_message(&mut self) {
        let message = std::mem::take(&mut self.collected);
        self.events.push(Event::Message(message));
        if let Some(next) = self.script.next(self.messages) {
            assert_eq!(usize::from(self.framer.held), 0, "a message has just ended");
            self.framer.set_terminator(next);
        }
        self.messages += 1;
    }

    pub(super) fn finish(mut self) -> Vec<Event> {
        self.frame(&[], true); // a count of 0 is due without data
        if !self.collected.is_empty() {
            self.events.push(Event::Tail(self.collected));
        }
        self.events
    }
}

pub(super) fn framed<'d>(
    script: &Script,
    segments: impl IntoIterator<Item = &'d [u8]>,
) -> Vec<Event> {
    let mut driver = Driver::new(script);
    for segment in segments {
        driver.feed(segment);
    }
    driver.finish()
}

/// Cuts `data` at random; segments may be empty.
pub(super) fn random_segments<'d>(
    rng: &mut Rng,
    mut data: &'d [u8],
    longest: usize,
) -> Vec<&'d [u8]> {
    let mut segments = Vec::new();
    while !data.is_empty() {
        let len = rng.below(longest + 1).min(data.len());
        segments.push(take(&mut data, len));
    }
    segments
}

pub(super) fn random_terminator(rng: &mut Rng) -> Terminator {
    match rng.below(14) {
        8 => Terminator::whole(rng.below(10)),
        9 => Terminator::framed(letters),
        10 => Terminator::line().included(),
        11 => {
            let len = 1 + rng.below(5);
            text(&rng.bytes(b"ab", len)).included()
        }
        6 => Terminator::count_then(rng.below(6), b"\r\n"),
        7 => Terminator::count_then(rng.below(6), b"aba"),
        0 => Terminator::from(0),
        1 => Terminator::from(1 + rng.below(20)),
        2 if rng.below(4) == 0 => Terminator::none(),
        3 => {
            let len = 15 + rng.below(10); // the other search
            text(&rng.bytes(b"ab", len).repeat(2)[..len])
        }
        4 => text(b"\r\n"),
        5 => Terminator::line(),
        _ => {
            let len = 1 + rng.below(5);
            text(&rng.bytes(b"ab", len))
        }
    }
}

pub(super) fn random_script(rng: &mut Rng) -> Script {
    let first = random_terminator(rng);
    let then = (0..rng.below(12))
        .map(|_| (rng.below(3) > 0).then(|| random_terminator(rng)))
        .collect();
    let limit = match rng.below(3) {
        0 => rng.below(30),
        _ => usize::MAX,
    };
    let mut script = Script { first, then, limit };
    let is_framed = |terminator: &Terminator| matches!(terminator.0, Condition::Framed(_));
    if script.terminators().any(is_framed) {
        script.limit = limit.max(2); // the length of the head of `letters`
    }
    script
}

/// A stream in which the script's terminators, and their beginnings, occur.
pub(super) fn random_stream(rng: &mut Rng, script: &Script, len: usize) -> Vec<u8> {
    let mut stream = Vec::new();
    let terminators: Vec<&Terminator> = script.terminators().collect();
    while stream.len() < len {
        let noise = rng.below(6);
        stream.extend(rng.bytes(b"ab\r\n", noise));
        let pattern = terminators[rng.below(terminators.len())].0.held_bytes();
        if !pattern.is_empty() {
            let cut = match rng.below(3) {
                0 => rng.below(pattern.len()),
                _ => pattern.len(),
            };
            stream.extend_from_slice(&pattern[..cut]);
        }
    }
    stream.truncate(len);
    stream
}
