//! What is done to a channel, read from arbitrary bytes.

use bytes::Bytes;
use chat::{Limits, Terminator};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Term {
    Text(Vec<u8>),
    Count(usize),
    None,
}

/// What can be asked of a chat, in a callback and from outside.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Terminator(Term),
    /// `Chat::unread`.
    Unread(Vec<u8>),
    /// `Chat::skip_message`.
    Skip,
    /// Another `Limits::message`.
    Limit(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A `ChatHandler` that collects all.
    Collects,
    /// One that takes every other message where it lies, if it can.
    Borrows,
    /// A `MessageHandler`.
    Whole,
}

/// What a handler does with one message.
#[derive(Clone, Debug, Default)]
pub(super) struct Step {
    /// Skips the message when its first bytes are collected.
    pub(super) skips: bool,
    /// Pauses after it.
    pub(super) pauses: bool,
    /// Asks for these after it.
    pub(super) changes: Vec<Change>,
}

/// What the peer and the rest of the program do.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// One read's worth, if the channel's buffer has the room.
    Say(Vec<u8>),
    Turn,
    Pause,
    Resume,
    /// When all that was said is delivered.
    AtRest(Change),
}

#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) kind: Kind,
    /// Whether a message beyond the limit is skipped; otherwise the channel closes.
    pub(super) skips_overlong: bool,
    /// Pauses in every nth call of `collect_incoming_data`.
    pub(super) pauses_each: usize,
    pub(super) first: Term,
    pub(super) limits: Limits,
    /// For the first messages.
    pub(super) steps: Vec<Step>,
    pub(super) ops: Vec<Op>,
}

impl Script {
    pub(super) fn read(data: &[u8]) -> Self {
        let mut input = Input(data);
        let head = input.byte();
        let mut limits = Limits::default();
        limits.message = input.limit();
        limits.counted_message = limits.message;
        limits.received_per_turn = input.one_of([1, 300, 600, 1 << 20]);
        limits.in_buffer_size = input.one_of([1, 2, 7, 64, 65_536]);
        let first = input.term();
        let steps = (0..input.below(12)).map(|_| input.step()).collect();
        let mut ops = Vec::new();
        while !input.0.is_empty() {
            ops.push(input.op());
        }
        Self {
            kind: [Kind::Collects, Kind::Borrows, Kind::Whole][usize::from(head % 3)],
            skips_overlong: head & 64 == 0,
            pauses_each: usize::from(head >> 2 & 7),
            first,
            limits,
            steps,
            ops,
        }
    }

    pub(super) fn skips(&self, nth: usize) -> bool {
        self.steps.get(nth).is_some_and(|step| step.skips)
    }
}

impl Term {
    pub(super) fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn count(&self) -> Option<usize> {
        match self {
            Self::Count(count) => Some(*count),
            _ => None,
        }
    }

    pub(super) fn terminator(&self) -> Terminator {
        match self {
            Self::Text(text) => {
                Terminator::try_from(Bytes::from(text.clone())).expect("short, not empty")
            }
            Self::Count(count) => Terminator::from(*count),
            Self::None => Terminator::none(),
        }
    }
}

/// Bytes that are choices. Behind the last they are 0.
struct Input<'d>(&'d [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        first
    }

    fn below(&mut self, below: usize) -> usize {
        usize::from(self.byte()) % below
    }

    fn one_of<const N: usize>(&mut self, choices: [usize; N]) -> usize {
        choices[self.below(N)]
    }

    fn limit(&mut self) -> usize {
        self.one_of([65_536, 10, 3, 1, 0])
    }

    /// Text of few letters, four of them in a byte, so that terminators occur.
    fn text(&mut self, len: usize) -> Vec<u8> {
        let mut text = Vec::new();
        while text.len() < len {
            let letters = self.byte();
            text.extend([0, 2, 4, 6].map(|at| b"ab\r\n"[usize::from(letters >> at & 3)]));
        }
        text.truncate(len);
        text
    }

    fn term(&mut self) -> Term {
        let choice = self.byte();
        let size = usize::from(choice >> 3);
        match choice & 7 {
            0 => Term::Text(b"\r\n".to_vec()),
            1 => Term::Count(0),
            2 => Term::Count(size),
            3 => Term::None,
            // Repeated it is long, which is another search, and has beginnings of itself in it.
            4 => Term::Text(self.text(1 + size % 4).repeat(1 + size)),
            _ => Term::Text(self.text(1 + size % 6)),
        }
    }

    fn change(&mut self) -> Change {
        match self.below(8) {
            0..4 => Change::Terminator(self.term()),
            4 | 5 => {
                let len = self.below(12);
                Change::Unread(self.text(len))
            }
            6 => Change::Skip,
            _ => Change::Limit(self.limit()),
        }
    }

    fn step(&mut self) -> Step {
        let choice = self.byte();
        Step {
            skips: choice & 7 == 7,
            pauses: choice >> 3 & 3 == 3,
            changes: (0..choice >> 5 & 3).map(|_| self.change()).collect(),
        }
    }

    fn op(&mut self) -> Op {
        match self.below(8) {
            0..4 => {
                let len = self.below(40);
                Op::Say(self.text(len))
            }
            4 => Op::Turn,
            5 => Op::Pause,
            6 => Op::Resume,
            _ => Op::AtRest(self.change()),
        }
    }
}
