//! What is sent, what ends its messages, and what that means.

use std::collections::VecDeque;

use bytes::Bytes;
use chat::{Result, Terminator};

use crate::common::rng::Rng;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Connect,
    Message(Vec<u8>),
    /// With what a `ChatHandler` had collected.
    OverLimit(Vec<u8>),
    /// No message, with what there was of it.
    Error(Vec<u8>),
    /// The end of the stream, with what came without a terminator.
    Eof(Vec<u8>),
    Close(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    Text(Vec<u8>),
    Line,
    Count(usize),
    /// Then a `\r\n`.
    CountThen(usize),
    Whole(usize),
    Letters,
    LineIncluded,
    TextIncluded(Vec<u8>),
    None,
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

impl Term {
    fn is_number(&self) -> bool {
        matches!(self, Self::Count(_) | Self::CountThen(_) | Self::Whole(_))
    }

    /// Where the message ends, and how long its end is.
    fn find(&self, data: &[u8]) -> Option<(usize, usize)> {
        let find = |ends: &[&[u8]]| {
            (0..data.len()).find_map(|at| {
                let end = ends.iter().find(|end| data[at..].starts_with(end))?;
                Some((at, end.len()))
            })
        };
        match self {
            Self::Text(text) => find(&[text]),
            Self::Line => find(&[b"\r\n", b"\n"]),
            Self::Count(count) => (*count <= data.len()).then_some((*count, 0)),
            Self::CountThen(count) => {
                let behind = data.get(*count..)?;
                behind.starts_with(b"\r\n").then_some((*count, 2))
            }
            Self::Whole(_) | Self::Letters | Self::LineIncluded | Self::TextIncluded(_) => {
                let len = self.len_of_whole(data)?;
                (len <= data.len()).then_some((len, 0))
            }
            Self::None => None,
        }
    }

    /// The length of a message that is delivered whole, or the least that it can be; `None`
    /// for any other, and without data.
    fn len_of_whole(&self, data: &[u8]) -> Option<usize> {
        let known = match self {
            Self::Whole(count) => return Some(*count),
            _ if data.is_empty() => return None,
            Self::Letters => letters(data).ok()?,
            Self::LineIncluded => Self::Line.find(data).map(|(len, end)| len + end),
            Self::TextIncluded(text) => {
                let found = Self::Text(text.clone()).find(data);
                found.map(|(len, end)| len + end)
            }
            _ => return None,
        };
        Some(known.unwrap_or(data.len() + 1))
    }

    /// The part of a message in front of a wrong end.
    fn refuses(&self, data: &[u8]) -> Option<usize> {
        match self {
            Self::CountThen(count) => {
                let behind = data.get(*count..)?;
                let is_right = behind.starts_with(b"\r\n") || b"\r\n".starts_with(behind);
                (!is_right).then_some(*count)
            }
            Self::Letters => letters(data).is_err().then_some(0),
            _ => None,
        }
    }
}

/// What a handler does when a message is complete.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) terminator: Option<Term>,
    pub(crate) pauses: bool,
    pub(crate) converts: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) first: Term,
    pub(crate) steps: VecDeque<Step>,
    pub(crate) message_limit: usize,
    pub(crate) received_per_turn: usize,
    /// It has a rate, which is never used up.
    pub(crate) is_rated: bool,
    pub(crate) stream: Vec<u8>,
}

impl From<Term> for Terminator {
    fn from(term: Term) -> Self {
        match term {
            Term::Text(text) => Self::try_from(Bytes::from(text)).unwrap(),
            Term::Line => Self::line(),
            Term::Count(count) => Self::from(count),
            Term::CountThen(count) => Self::count_then(count, b"\r\n"),
            Term::Whole(count) => Self::whole(count),
            Term::Letters => Self::framed(letters),
            Term::LineIncluded => Self::line().included(),
            Term::TextIncluded(text) => Self::from(Term::Text(text)).included(),
            Term::None => Self::none(),
        }
    }
}

/// What the stream means, with all of it at hand. `is_whole` is for a
/// `MessageHandler`, for whom everything is accumulated and so limited.
pub(crate) fn model(case: &Case, is_whole: bool) -> Vec<Event> {
    let mut events = vec![Event::Connect];
    let mut term = case.first.clone();
    let mut steps = case.steps.iter();
    let mut rest = &case.stream[..];
    let limit = case.message_limit;
    loop {
        let found = term.find(rest);
        let refused = term.refuses(rest);
        let is_limited = is_whole || matches!(term, Term::Text(_) | Term::Line);
        let len = found.map(|(len, _)| len).or(refused).unwrap_or(rest.len());
        let declared = match term {
            Term::Count(count) | Term::CountThen(count) if is_whole => Some(count),
            _ => term.len_of_whole(rest),
        };
        if declared.is_some_and(|len| len > limit) {
            events.push(Event::OverLimit(Vec::new()));
            events.push(Event::Close("OverLimit".to_owned()));
            return events;
        }
        if is_limited && len > limit {
            let collected = if is_whole { &[] } else { &rest[..limit] };
            events.push(Event::OverLimit(collected.to_vec()));
            events.push(Event::Close("OverLimit".to_owned()));
            return events;
        }
        if refused.is_some() {
            events.push(Event::Error(rest[..len].to_vec()));
            events.push(Event::Close("HandlerError".to_owned()));
            return events;
        }
        let Some((len, skip)) = found else { break };
        events.push(Event::Message(rest[..len].to_vec()));
        rest = &rest[len + skip..];
        match steps.next().and_then(|step| step.terminator.clone()) {
            Some(next) => term = next,
            None if term.is_number() => term = Term::None,
            None => {}
        }
    }
    events.push(Event::Eof(rest.to_vec()));
    events.push(Event::Close("Eof".to_owned()));
    events
}

pub(crate) fn random_term(rng: &mut Rng) -> Term {
    match rng.below(16) {
        0 => Term::Count(0),
        1 => Term::Count(1 + rng.below(30)),
        2 if rng.below(6) == 0 => Term::None,
        2 | 3 => Term::Text(b"\r\n".to_vec()),
        4 => Term::Text(b"\r\n.\r\n".to_vec()),
        5 => Term::Text(b"abababababababababab".to_vec()),
        6 => Term::Line,
        7 => Term::CountThen(rng.below(5)),
        8 => Term::Whole(rng.below(8)),
        9 => Term::Letters,
        10 => Term::LineIncluded,
        11 => Term::TextIncluded(b"\r\n".to_vec()),
        _ => {
            let len = 1 + rng.below(3);
            Term::Text(rng.bytes(b"ab\r\n", len))
        }
    }
}

pub(crate) fn random_case(rng: &mut Rng) -> Case {
    let steps = (0..rng.below(20)).map(|_| Step {
        terminator: (rng.below(3) > 0).then(|| random_term(rng)),
        pauses: rng.below(5) == 0,
        converts: rng.below(5) == 0,
    });
    let steps = steps.collect();
    let mut stream = Vec::new();
    for _ in 0..rng.below(60) {
        let len = rng.below(8);
        stream.extend(rng.bytes(b"ab\r\n.", len));
        let common: [&[u8]; 4] = [b"\r\n", b"\r", b"\r\n.\r\n", b"ababababababab"];
        stream.extend_from_slice(common[rng.below(4)]);
    }
    Case {
        first: random_term(rng),
        steps,
        message_limit: [5, 40, 65_536, 65_536][rng.below(4)],
        received_per_turn: [1, 300, 600, 1 << 20][rng.below(4)],
        is_rated: rng.below(4) == 0,
        stream,
    }
}

pub(crate) fn random_segments(rng: &mut Rng, stream: &[u8]) -> Vec<Vec<u8>> {
    let longest = [1, 3, 20, 10_000][rng.below(4)];
    let mut segments = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let (segment, later) = rest.split_at((1 + rng.below(longest)).min(rest.len()));
        segments.push(segment.to_vec());
        rest = later;
    }
    segments
}
