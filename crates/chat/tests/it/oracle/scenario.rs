//! What both implementations are put through: [`Scenario`], and its text, which
//! is what `original.py` reads and what a failing test prints.
//!
//! ```text
//! eager chunk=3 width=2 | =ab | push:XY #3;;done | ;=b | aab bxyz | eof
//! ```
//!
//! The parts are: the options; the first terminator; what each
//! `found_terminator` does; what the first `collect_incoming_data` of each
//! message does; the segments, each of which is one read; the end.

use std::fmt::{self, Display};

use bytes::Bytes;
use chat::Terminator;
use chat::bytes;

/// A terminator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    Text(Vec<u8>),
    Count(usize),
    None,
}

impl From<&Terminator> for Term {
    fn from(terminator: &Terminator) -> Self {
        match (terminator.as_bytes(), terminator.count()) {
            (Some(text), _) => Self::Text(text.to_vec()),
            (None, Some(count)) => Self::Count(count),
            (None, None) => Self::None,
        }
    }
}

impl From<&Term> for Terminator {
    fn from(term: &Term) -> Self {
        match term {
            Term::Text(text) => Self::try_from(Bytes::copy_from_slice(text)).unwrap(),
            Term::Count(count) => Self::from(*count),
            Term::None => Self::none(),
        }
    }
}

impl Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "={}", text.escape_ascii()),
            Self::Count(count) => write!(f, "#{count}"),
            Self::None => f.write_str("-"),
        }
    }
}

/// What a callback does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Set(Term),
    Push(Vec<u8>),
    /// A `SimpleProducer`.
    Simple(Vec<u8>),
    /// A producer of pieces, none of them empty.
    Pieces(Vec<Vec<u8>>),
    /// A producer of single bytes that Python takes for false.
    Falsy(Vec<u8>),
    Close,
    CloseWhenDone,
    Discard,
    /// Returns an error, which is the last thing it does.
    Fail,
}

impl Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(term) => write!(f, "{term}"),
            Self::Push(data) => write!(f, "push:{}", data.escape_ascii()),
            Self::Simple(data) => write!(f, "simple:{}", data.escape_ascii()),
            Self::Pieces(pieces) => {
                let pieces: Vec<_> = pieces
                    .iter()
                    .map(|p| p.escape_ascii().to_string())
                    .collect();
                write!(f, "pieces:{}", pieces.join(","))
            }
            Self::Falsy(data) => write!(f, "falsy:{}", data.escape_ascii()),
            Self::Close => f.write_str("close"),
            Self::CloseWhenDone => f.write_str("done"),
            Self::Discard => f.write_str("discard"),
            Self::Fail => f.write_str("fail"),
        }
    }
}

/// A handler that closes in a callback does nothing in later ones.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// The next segment is there in the very next turn, and not only when
    /// everything has been sent.
    pub(crate) is_eager: bool,
    /// The size of the output buffer, and so of what producers are asked for.
    pub(crate) chunk: usize,
    /// How many bytes the peer takes at a time.
    pub(crate) width: Option<usize>,
    /// From this segment on sending fails: the peer is gone.
    pub(crate) breaks_at: Option<usize>,
    /// `handle_error` does not close the channel.
    pub(crate) is_forgiving: bool,
    pub(crate) first: Term,
    pub(crate) steps: Vec<Vec<Action>>,
    pub(crate) collects: Vec<Vec<Action>>,
    pub(crate) segments: Vec<Vec<u8>>,
    pub(crate) is_eof: bool,
}

impl Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pace = if self.is_eager { "eager" } else { "patient" };
        write!(f, "{pace} chunk={}", self.chunk)?;
        if let Some(width) = self.width {
            write!(f, " width={width}")?;
        }
        if let Some(segment) = self.breaks_at {
            write!(f, " broken={segment}")?;
        }
        if self.is_forgiving {
            f.write_str(" forgiving")?;
        }
        let segments: Vec<_> = self
            .segments
            .iter()
            .map(|s| s.escape_ascii().to_string())
            .collect();
        let end = if self.is_eof { "eof" } else { "open" };
        write!(
            f,
            " | {} | {} | {} | {} | {end}",
            self.first,
            script(&self.steps),
            script(&self.collects),
            segments.join(" ")
        )
    }
}

fn script(steps: &[Vec<Action>]) -> String {
    let steps = steps.iter().map(|actions| {
        let actions: Vec<_> = actions.iter().map(ToString::to_string).collect();
        actions.join(" ")
    });
    steps.collect::<Vec<_>>().join(";")
}
