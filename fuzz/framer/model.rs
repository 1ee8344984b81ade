//! What a channel's handler is called with, by the documentation and as naively as
//! can be: all that was not delivered is looked through again and again.

use super::script::{Change, Kind, Script, Term};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Connect,
    /// Empty, if it was skipped.
    Message(Vec<u8>),
    /// With what there is of the message.
    OverLimit(Vec<u8>),
    /// With what came without a terminator.
    Eof(Vec<u8>),
    Close(&'static str),
}

pub(super) struct Model<'s> {
    script: &'s Script,
    pub(super) events: Vec<Event>,
    pub(super) term: Term,
    limit: usize,
    /// Delivered, of a message that has not ended.
    collected: Vec<u8>,
    /// Not delivered.
    input: Vec<u8>,
    skips: bool,
    messages: usize,
    pub(super) is_over: bool,
}

impl<'s> Model<'s> {
    pub(super) fn new(script: &'s Script) -> Self {
        Self {
            script,
            events: vec![Event::Connect],
            term: script.first.clone(),
            limit: script.limits.message,
            collected: Vec::new(),
            input: Vec::new(),
            skips: false,
            messages: 0,
            is_over: false,
        }
    }

    pub(super) fn say(&mut self, data: &[u8]) {
        self.input.extend_from_slice(data);
        self.deliver(false);
    }

    pub(super) fn end(&mut self) {
        self.deliver(true);
    }

    pub(super) fn change(&mut self, change: &Change) {
        self.apply(change);
        self.deliver(false);
    }

    /// How many bytes are not delivered: what may be the beginning of the terminator.
    pub(super) fn held(&self) -> usize {
        let Term::Text(text) = &self.term else {
            return 0;
        };
        let longest = self.input.len().min(text.len() - 1);
        let mut lens = (1..=longest).rev();
        let held = lens.find(|&len| self.input.ends_with(&text[..len]));
        held.unwrap_or(0)
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Terminator(term) => self.term = term.clone(),
            Change::Unread(data) => drop(self.input.splice(0..0, data.iter().copied())),
            Change::Skip => {
                self.skips = true;
                self.collected.clear();
            }
            Change::Limit(limit) => self.limit = *limit,
        }
    }

    /// Where the message ends, and how long its terminator is.
    fn found(&self) -> Option<(usize, usize)> {
        match &self.term {
            Term::Text(text) => {
                let mut windows = self.input.windows(text.len());
                Some((windows.position(|window| window == text)?, text.len()))
            }
            Term::Count(count) => (*count <= self.input.len()).then_some((*count, 0)),
            Term::None => None,
        }
    }

    fn deliver(&mut self, is_last: bool) {
        while !self.is_over {
            let found = self.found();
            let len = match found {
                Some((len, _)) => len,
                None if is_last => self.input.len(),
                None => self.input.len() - self.held(),
            };
            if self.declares_too_much() {
                self.overrun(0);
                continue;
            }
            if self.exceeds(len) {
                self.overrun(self.limit.saturating_sub(self.collected.len()));
                continue;
            }
            self.collect(len);
            match found {
                Some((_, terminator)) => {
                    self.input.drain(..terminator);
                    self.end_message();
                }
                None if is_last => {
                    let rest = std::mem::take(&mut self.collected);
                    self.events.extend([Event::Eof(rest), Event::Close("Eof")]);
                    self.is_over = true;
                }
                None => return,
            }
        }
    }

    /// Whether a number says that the message has more bytes than it may have.
    fn declares_too_much(&self) -> bool {
        let Term::Count(count) = self.term else {
            return false;
        };
        let room = self.limit.saturating_sub(self.collected.len());
        self.script.kind == Kind::Whole && !self.skips && count > room
    }

    /// Whether so much more is more than the message may have.
    fn exceeds(&self, len: usize) -> bool {
        let is_limited = self.script.kind == Kind::Whole || matches!(self.term, Term::Text(_));
        let is_skipped = self.skips || (self.will_skip() && self.limit > 0);
        is_limited && !is_skipped && len > 0 && self.collected.len() + len > self.limit
    }

    /// Whether the handler skips the message at its first bytes.
    fn will_skip(&self) -> bool {
        self.script.kind != Kind::Whole
            && self.collected.is_empty()
            && self.script.skips(self.messages)
    }

    fn collect(&mut self, len: usize) {
        self.skips |= len > 0 && self.will_skip();
        let data: Vec<u8> = self.input.drain(..len).collect();
        if !self.skips {
            self.collected.extend(data);
        }
        if let Term::Count(count) = &mut self.term {
            *count -= len;
        }
    }

    fn overrun(&mut self, len: usize) {
        self.collect(len);
        let collected = std::mem::take(&mut self.collected);
        self.events.push(Event::OverLimit(collected));
        if self.script.skips_overlong {
            self.skips = true;
        } else {
            self.events.push(Event::Close("OverLimit"));
            self.is_over = true;
        }
    }

    fn end_message(&mut self) {
        if let Term::Count(_) = self.term {
            self.term = Term::None;
        }
        let message = std::mem::take(&mut self.collected);
        self.events.push(Event::Message(message));
        self.skips = false;
        let step = self.script.steps.get(self.messages);
        self.messages += 1;
        for change in step.iter().flat_map(|step| &step.changes) {
            self.apply(change);
        }
    }
}
