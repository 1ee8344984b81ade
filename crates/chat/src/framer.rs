//! Cuts a stream of bytes into messages. It knows no sockets.
//!
//! The framer keeps no data. Of a terminator that may have begun at the end of
//! a read it keeps only how much of it was seen: the bytes themselves are the
//! terminator's own. So nothing is ever searched twice, and what comes out
//! does not depend on how the stream was cut.

use crate::terminator::{Condition, Resumed, Terminator};

#[derive(Debug)]
pub(crate) struct Framer {
    terminator: Terminator,
    /// How many bytes of a string terminator the data so far ended with; they
    /// were not handed out.
    matched: usize,
    /// Bytes handed out since the last message ended.
    collected: usize,
    /// The message is longer than it may be.
    is_over: bool,
    /// A message has ended, which is yet to be told.
    owes_end: bool,
}

/// What comes next in the stream.
#[derive(Debug)]
pub(crate) enum Frame<'d> {
    /// Some of a message.
    Part(&'d [u8]),
    /// The same, from the beginning of a terminator that an earlier read ended
    /// with and that was none after all.
    HeldPart(Terminator, usize),
    /// The rest of a message, which may be empty, and its end.
    End(&'d [u8]),
    /// The message is longer than it may be; all that it may have was handed
    /// out. No frame follows.
    OverLimit,
}

impl Framer {
    pub(crate) fn new(terminator: Terminator) -> Self {
        Self {
            terminator,
            matched: 0,
            collected: 0,
            is_over: false,
            owes_end: false,
        }
    }

    pub(crate) fn terminator(&self) -> &Terminator {
        &self.terminator
    }

    /// Changes the terminator. Returns what was held back by the old one: the
    /// first bytes of it, so many, which are to be framed again.
    pub(crate) fn set_terminator(&mut self, terminator: Terminator) -> Option<(Terminator, usize)> {
        let old = std::mem::replace(&mut self.terminator, terminator);
        let mut matched = std::mem::take(&mut self.matched);
        if let (true, Some(bytes)) = (self.owes_end, old.as_bytes()) {
            // It ended a message that was not told of: it ends none any more.
            self.owes_end = false;
            matched = bytes.len();
        }
        (matched > 0).then_some((old, matched))
    }

    /// Forgets the message that was begun.
    pub(crate) fn discard(&mut self) {
        self.matched = 0;
        self.collected = 0;
        self.is_over = false;
        self.owes_end = false;
    }

    /// The end of the message is still to be told: until
    /// [`pay_end`](Self::pay_end), or another terminator is set, it comes again.
    pub(crate) fn owe_end(&mut self) {
        self.owes_end = true;
    }

    /// The end is told now. Returns whether it was still owed.
    pub(crate) fn pay_end(&mut self) -> bool {
        std::mem::take(&mut self.owes_end)
    }

    /// Whether a message ends here without further data: a count of 0.
    pub(crate) fn is_due(&self) -> bool {
        self.owes_end || matches!(self.terminator.0, Condition::Count(0))
    }

    /// The stream is over: what was held back is data. To be called until there
    /// is none.
    pub(crate) fn finish(&mut self, limit: usize) -> Option<Frame<'static>> {
        if self.is_over {
            return Some(Frame::OverLimit);
        }
        if self.matched == 0 {
            return None;
        }
        let room = limit.saturating_sub(self.collected);
        let len = self.matched.min(room);
        self.is_over = self.matched > room;
        self.collected += len;
        self.matched = 0;
        match len {
            0 => Some(Frame::OverLimit),
            len => Some(Frame::HeldPart(self.terminator.clone(), len)),
        }
    }

    /// Takes the next frame from the front of `data`; `None` when more data is
    /// needed. `limit` is how many bytes a message with a string terminator
    /// may have.
    pub(crate) fn next<'d>(&mut self, data: &mut &'d [u8], limit: usize) -> Option<Frame<'d>> {
        if std::mem::take(&mut self.owes_end) {
            return Some(Frame::End(&[]));
        }
        if self.is_over {
            return Some(Frame::OverLimit);
        }
        match &mut self.terminator.0 {
            Condition::None => {
                let part = take(data, data.len());
                (!part.is_empty()).then_some(Frame::Part(part))
            }
            Condition::Count(count) => {
                if *count > 0 && data.is_empty() {
                    return None;
                }
                let part = take(data, data.len().min(*count));
                *count -= part.len();
                if *count > 0 {
                    return Some(Frame::Part(part));
                }
                self.terminator = Terminator::none();
                self.collected = 0;
                Some(Frame::End(part))
            }
            Condition::Pattern(_) if self.matched > 0 => self.resume(data, limit),
            Condition::Pattern(_) => self.search(data, limit),
        }
    }

    /// Looks for the terminator in `data` alone.
    fn search<'d>(&mut self, data: &mut &'d [u8], limit: usize) -> Option<Frame<'d>> {
        let Condition::Pattern(pattern) = &self.terminator.0 else {
            return None;
        };
        if data.is_empty() {
            return None;
        }
        let room = limit.saturating_sub(self.collected);
        if let Some(at) = pattern.find(data) {
            if at > room {
                return Some(self.overrun(data, room));
            }
            let part = take(data, at);
            take(data, pattern.bytes().len());
            self.collected = 0;
            return Some(Frame::End(part));
        }
        let held = pattern.prefix_at_end(data);
        let len = data.len() - held;
        if len > room {
            return Some(self.overrun(data, room));
        }
        if len == 0 {
            self.matched = held;
            take(data, held);
            return None;
        }
        // What may be the terminator's beginning stays in `data` for now:
        // whoever gets this part may set another terminator.
        self.collected += len;
        Some(Frame::Part(take(data, len)))
    }

    /// Looks for the rest of a terminator whose beginning was held back.
    fn resume<'d>(&mut self, data: &mut &'d [u8], limit: usize) -> Option<Frame<'d>> {
        let Condition::Pattern(pattern) = &self.terminator.0 else {
            return None;
        };
        if data.is_empty() {
            return None;
        }
        let released = match pattern.resume(self.matched, data) {
            Resumed::Found {
                released: 0,
                consumed,
            } => {
                take(data, consumed);
                self.matched = 0;
                self.collected = 0;
                return Some(Frame::End(&[]));
            }
            Resumed::Holds { released: 0 } => {
                self.matched += data.len();
                take(data, data.len());
                return None;
            }
            Resumed::Found { released, .. } | Resumed::Holds { released } => released,
            Resumed::Released => self.matched,
        };
        let room = limit.saturating_sub(self.collected);
        if released > room {
            self.is_over = true;
            return match room {
                0 => Some(Frame::OverLimit),
                room => Some(Frame::HeldPart(self.terminator.clone(), room)),
            };
        }
        self.matched -= released;
        self.collected += released;
        Some(Frame::HeldPart(self.terminator.clone(), released))
    }

    /// There is more data than `room`: hands out what fits, then says so.
    fn overrun<'d>(&mut self, data: &mut &'d [u8], room: usize) -> Frame<'d> {
        self.is_over = true;
        match room {
            0 => Frame::OverLimit,
            room => Frame::Part(take(data, room)),
        }
    }
}

fn take<'d>(data: &mut &'d [u8], len: usize) -> &'d [u8] {
    let (front, rest) = data.split_at(len);
    *data = rest;
    front
}

#[cfg(test)]
mod tests;
