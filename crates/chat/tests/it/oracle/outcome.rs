//! What a user's methods saw, and what the peer got: [`Outcome`].

use std::fmt::{self, Display};

use crate::oracle::scenario::Term;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// What was collected; how it was cut means nothing.
    Data(Vec<u8>),
    /// `found_terminator`, with the terminator as it was then.
    Found(Term),
    /// The end of the stream was noticed, with the terminator as it was then:
    /// ours calls `handle_eof`, the original got nothing from `recv`.
    Eof(Term),
    /// `handle_error`.
    Error,
    /// `handle_close`.
    Close,
    /// `handle_close` before the callback that closed has returned.
    CloseInside,
    /// In the end the channel is open, and has this terminator.
    Open(Term),
}

impl Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(data) => write!(f, "data:{}", data.escape_ascii()),
            Self::Found(term) => write!(f, "found:{term}"),
            Self::Eof(term) => write!(f, "eof:{term}"),
            Self::Error => f.write_str("error"),
            Self::Close => f.write_str("close"),
            Self::CloseInside => f.write_str("close-inside"),
            Self::Open(term) => write!(f, "open:{term}"),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) events: Vec<Event>,
    /// All that went out; `None` if what came after the events is not compared,
    /// and so neither is this.
    pub(crate) sent: Option<Vec<u8>>,
}

impl Outcome {
    pub(crate) fn is_whole(&self) -> bool {
        self.sent.is_some()
    }

    pub(crate) fn add(&mut self, event: Event) {
        match (self.events.last_mut(), event) {
            (Some(Event::Data(data)), Event::Data(more)) => data.extend(more),
            (_, event) => self.events.push(event),
        }
    }

    /// The part that can be compared with another outcome, of which only so
    /// many events are known.
    pub(crate) fn first(mut self, events: usize) -> Self {
        self.events.truncate(events);
        self.sent = None;
        self
    }

    /// A short name for it, the same on every machine.
    pub(crate) fn hash(&self) -> u32 {
        let hash = hash(FNV_BASIS, &self.to_string());
        (hash ^ (hash >> 32)) as u32
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in &self.events {
            write!(f, "{event} ")?;
        }
        match &self.sent {
            Some(sent) => write!(f, "sent:{}", sent.escape_ascii()),
            None => f.write_str("..."),
        }
    }
}

pub(crate) const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, of which any number of texts can be made in turn.
pub(crate) fn hash(basis: u64, text: &str) -> u64 {
    text.bytes().fold(basis, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
