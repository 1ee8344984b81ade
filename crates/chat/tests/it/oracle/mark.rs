//! The original's own record of a scenario: [`Mark`]s, as `original.py` writes
//! them, and what of it the user's methods saw.

use crate::oracle::outcome::{Event, Outcome};
use crate::oracle::scenario::Term;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A read begins that brings data.
    Read,
    /// A read begins that brings the end.
    Eof(Term),
    /// `collect_incoming_data` begins.
    Data(Vec<u8>),
    /// `found_terminator` begins.
    Found(Term),
    /// That callback returns, or raises.
    Return,
    /// `collect_incoming_data` is going to do something; where the original is
    /// in its work.
    Acts(Place),
    /// A callback sets a terminator.
    Set,
    /// The same, a count of 0.
    Zero,
    /// A callback calls `close`.
    Close,
    /// `close_when_done`.
    Done,
    /// `discard_buffers`.
    Discard,
    /// A callback raises an exception of its own.
    Fail,
    /// The socket has taken this.
    Sent(Vec<u8>),
    /// The socket is broken, and has said so.
    Broken,
    /// The producer that is false is asked, and has this besides.
    Unasked(Vec<u8>),
    /// The same, and it has nothing at all.
    Ate,
    /// `handle_error`, which closes the channel.
    Error,
    /// `handle_error`, which does not; whether there is input that was not
    /// looked at.
    Forgiven { has_rest: bool },
    /// `handle_close`.
    Closed,
    /// In the end the channel is in the map.
    Open(Term),
    /// In the end this is in the queue.
    Queued(Vec<u8>),
    /// In the end this is in the input buffer; whether it would make
    /// `collect_incoming_data` act.
    Kept { data: Vec<u8>, acts: bool },
    /// From here on nothing is compared.
    Unknown,
}

/// Where the original is when it calls `collect_incoming_data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It gives out the last data of a message.
    Found,
    /// The same, by a count.
    CountEnd,
    /// It gives out some of what a count counts.
    Count,
    /// What follows may be the beginning of a terminator.
    Prefix,
    /// Nothing follows.
    Plain,
}

impl Mark {
    pub(crate) fn parse_all(line: &str) -> Vec<Self> {
        line.split(' ').map(Self::parse).collect()
    }

    fn parse(text: &str) -> Self {
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        match name {
            "read" => Self::Read,
            "eof" => Self::Eof(term(value)),
            "data" => Self::Data(unescaped(value)),
            "found" => Self::Found(term(value)),
            "return" => Self::Return,
            "acts" => Self::Acts(place(value)),
            "set" => Self::Set,
            "zero" => Self::Zero,
            "close" => Self::Close,
            "done" => Self::Done,
            "discard" => Self::Discard,
            "fail" => Self::Fail,
            "sent" => Self::Sent(unescaped(value)),
            "broken" => Self::Broken,
            "unasked" => Self::Unasked(unescaped(value)),
            "ate" => Self::Ate,
            "error" => Self::Error,
            "forgiven" => Self::Forgiven {
                has_rest: value == "rest",
            },
            "closed" => Self::Closed,
            "open" => Self::Open(term(value)),
            "queued" => Self::Queued(unescaped(value)),
            "kept" | "kept-acts" => Self::Kept {
                data: unescaped(value),
                acts: name == "kept-acts",
            },
            _ => panic!("what is {text:?}?"),
        }
    }
}

/// What the user's methods saw, and what was sent.
pub(crate) fn outcome(marks: &[Mark]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut sent = Vec::new();
    let mut is_inside = false;
    let mut is_closing = false;
    for mark in marks {
        match mark {
            Mark::Data(data) => outcome.add(Event::Data(data.clone())),
            Mark::Found(term) => outcome.add(Event::Found(term.clone())),
            Mark::Error | Mark::Forgiven { .. } => outcome.add(Event::Error),
            Mark::Closed if is_inside => outcome.add(Event::CloseInside),
            Mark::Closed => outcome.add(Event::Close),
            Mark::Open(term) => outcome.add(Event::Open(term.clone())),
            // Nobody is told of the end of the input while the channel closes.
            Mark::Eof(term) if !is_closing => outcome.add(Event::Eof(term.clone())),
            Mark::Sent(data) => sent.extend_from_slice(data),
            Mark::Unknown => {
                // How far this part goes is not known.
                if let Some(Event::Data(_)) = outcome.events.last() {
                    outcome.events.pop();
                }
                return outcome;
            }
            _ => {}
        }
        match mark {
            Mark::Data(_) | Mark::Found(_) => is_inside = true,
            Mark::Return => is_inside = false,
            Mark::Close | Mark::Done => is_closing = true,
            _ => {}
        }
    }
    outcome.sent = Some(sent);
    outcome
}

fn term(text: &str) -> Term {
    match text.split_at(1) {
        ("-", _) => Term::None,
        // The original may count below 0, when what it counts by was replaced;
        // nothing is compared then.
        ("#", count) => Term::Count(count.parse().unwrap_or(usize::MAX)),
        (_, text) => Term::Text(unescaped(text)),
    }
}

fn place(text: &str) -> Place {
    match text {
        "found" => Place::Found,
        "count-end" => Place::CountEnd,
        "count" => Place::Count,
        "prefix" => Place::Prefix,
        "plain" => Place::Plain,
        _ => panic!("what is {text:?}?"),
    }
}

/// The scenarios have no other bytes that Python escapes.
fn unescaped(text: &str) -> Vec<u8> {
    text.replace("\\r", "\r").replace("\\n", "\n").into_bytes()
}
