//! Cuts a stream of bytes into messages. It knows no sockets.
//!
//! The framer keeps no data. Of a terminator that may have begun at the end of
//! a read it keeps only how much of it was seen: the bytes themselves are the
//! terminator's own. So nothing is searched twice (but once the read in
//! which a message turns out too long), and what comes out does not depend on how
//! the stream was cut.

use std::mem;

use crate::terminator::{Condition, Resumed, Terminator};

#[derive(Debug)]
pub(crate) struct Framer {
    terminator: Terminator,
    /// Bytes handed out since the last message ended.
    collected: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// What comes next has yet to be looked at.
    Clear,
    /// It has been, by `next_whole`: there is no terminator in it.
    Searched,
    /// The data so far ended with so many bytes of a string terminator, not 0
    /// and not all of it; they were not handed out.
    Matched(u16),
    /// A message has ended, which is yet to be told.
    EndOwed,
    /// The message is longer than it may be. So many bytes are held back.
    Over(u16),
    /// The message is not handed out, but its end is. So many bytes are held
    /// back.
    Skipping(u16),
}

/// What comes next in the stream.
#[derive(Debug)]
pub(crate) enum Frame<'d> {
    /// Some of a message.
    Part(&'d [u8]),
    /// The same: so many bytes of the beginning of the terminator, which an
    /// earlier read ended with and which was none after all.
    HeldPart(usize),
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
            collected: 0,
            state: State::Clear,
        }
    }

    pub(crate) fn terminator(&self) -> &Terminator {
        &self.terminator
    }

    /// Changes the terminator. Returns what was held back by the old one: the
    /// first bytes of it, so many, which are to be framed again.
    pub(crate) fn set_terminator(&mut self, terminator: Terminator) -> Option<(Terminator, usize)> {
        let old = mem::replace(&mut self.terminator, terminator);
        let (held, state) = match (self.state, old.as_bytes()) {
            (State::Matched(len), _) => (len.into(), State::Clear),
            (State::Over(len), _) => (len.into(), State::Over(0)),
            (State::Skipping(len), _) => (len.into(), State::Skipping(0)),
            // It ended a message that was not told of: it ends none any more.
            (State::EndOwed, Some(bytes)) => (bytes.len(), State::Clear),
            _ => return None,
        };
        self.state = state;
        (held > 0).then_some((old, held))
    }

    /// Forgets the message that was begun; but if it has ended, that is told.
    pub(crate) fn discard(&mut self) {
        self.collected = 0;
        if self.state != State::EndOwed {
            self.state = State::Clear;
        }
    }

    /// What is left of the message is not handed out, only its end; it may be of
    /// any length.
    pub(crate) fn skip(&mut self) {
        self.state = match self.state {
            State::Clear | State::Searched => State::Skipping(0),
            State::Matched(len) | State::Over(len) | State::Skipping(len) => State::Skipping(len),
            State::EndOwed => State::EndOwed,
        };
    }

    /// The end of the message is still to be told: until
    /// [`pay_end`](Self::pay_end), or another terminator is set, it comes again.
    pub(crate) fn owe_end(&mut self) {
        self.state = State::EndOwed;
    }

    /// The end is told now. Returns whether it was still owed.
    pub(crate) fn pay_end(&mut self) -> bool {
        let is_owed = self.state == State::EndOwed;
        if is_owed {
            self.state = State::Clear;
        }
        is_owed
    }

    /// Whether a message ends here without further data: a count of 0.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.state == State::EndOwed || matches!(self.terminator.0, Condition::Count(0))
    }

    /// The stream is over: what was held back is data. To be called until there
    /// is none.
    pub(crate) fn finish(&mut self, limit: usize) -> Option<Frame<'static>> {
        match self.state {
            State::Matched(len) => Some(self.release(len.into(), 0, limit)),
            State::Over(_) => Some(Frame::OverLimit),
            State::Clear | State::Searched | State::EndOwed | State::Skipping(_) => None,
        }
    }

    /// The common case: what is before the first terminator in `data`, and what is
    /// behind it. `None` if that is not all there is to it; then
    /// [`next`](Self::next) tells. `limit` is how many bytes a message with a
    /// string terminator may have.
    #[inline(always)]
    pub(crate) fn next_whole<'d>(
        &mut self,
        data: &'d [u8],
        limit: usize,
    ) -> Option<(&'d [u8], &'d [u8])> {
        match &self.terminator.0 {
            Condition::Pattern(pattern) if self.state == State::Clear => {
                let Some((message, rest)) = pattern.split(data) else {
                    self.state = State::Searched;
                    return None;
                };
                if self.collected + message.len() > limit {
                    return None;
                }
                self.collected = 0;
                Some((message, rest))
            }
            _ => None,
        }
    }

    /// Takes the next frame from the front of `data`; `None` when more data is
    /// needed.
    pub(crate) fn next<'d>(&mut self, data: &mut &'d [u8], limit: usize) -> Option<Frame<'d>> {
        if let Some((message, rest)) = self.next_whole(data, limit) {
            *data = rest;
            return Some(Frame::End(message));
        }
        match (self.state, &self.terminator.0) {
            (State::Searched, _) => {
                self.state = State::Clear;
                self.take_all(data, limit)
            }
            (State::Clear, Condition::Pattern(pattern)) => match pattern.split(data) {
                // The limit was lowered; but what there is now is the end.
                Some(([], rest)) => {
                    *data = rest;
                    self.collected = 0;
                    Some(Frame::End(&[]))
                }
                _ => Some(self.overrun(data, limit)),
            },
            (State::Clear, _) => self.take_counted(data),
            (State::Matched(len), _) => self.resume(len.into(), data, limit),
            (State::EndOwed, _) => {
                self.state = State::Clear;
                Some(Frame::End(&[]))
            }
            (State::Over(_), _) => Some(Frame::OverLimit),
            (State::Skipping(held), _) => {
                self.hold(held.into());
                self.take_skipped(data)
            }
        }
    }

    /// Takes what is not handed out, up to the end of the message.
    fn take_skipped<'d>(&mut self, data: &mut &'d [u8]) -> Option<Frame<'d>> {
        while let Some(frame) = self.next(data, usize::MAX) {
            self.collected = 0;
            if let Frame::End(_) = frame {
                return Some(Frame::End(&[]));
            }
        }
        self.skip();
        None
    }

    /// Takes data that goes by its length, or has no end.
    fn take_counted<'d>(&mut self, data: &mut &'d [u8]) -> Option<Frame<'d>> {
        let Condition::Count(count) = &mut self.terminator.0 else {
            let part = take(data, data.len());
            return (!part.is_empty()).then_some(Frame::Part(part));
        };
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

    /// Takes data that has no whole terminator in it.
    fn take_all<'d>(&mut self, data: &mut &'d [u8], limit: usize) -> Option<Frame<'d>> {
        let Condition::Pattern(pattern) = &self.terminator.0 else {
            return None;
        };
        let held = pattern.prefix_at_end(data);
        let len = data.len() - held;
        if len == 0 {
            self.hold(held);
            take(data, held);
            return None;
        }
        if self.collected + len > limit {
            return Some(self.overrun(data, limit));
        }
        // What may be the terminator's beginning stays in `data` for now:
        // whoever gets this part may set another terminator.
        self.collected += len;
        Some(Frame::Part(take(data, len)))
    }

    /// Looks for the rest of a terminator of which `matched` bytes were held back.
    fn resume<'d>(
        &mut self,
        matched: usize,
        data: &mut &'d [u8],
        limit: usize,
    ) -> Option<Frame<'d>> {
        let Condition::Pattern(pattern) = &self.terminator.0 else {
            return None;
        };
        if data.is_empty() {
            return None;
        }
        let released = match pattern.resume(matched, data) {
            Resumed::Found {
                released: 0,
                consumed,
            } => {
                take(data, consumed);
                self.discard();
                return Some(Frame::End(&[]));
            }
            Resumed::Holds { released: 0 } => {
                self.hold(matched + data.len());
                take(data, data.len());
                return None;
            }
            Resumed::Found { released, .. } | Resumed::Holds { released } => released,
            Resumed::Released => matched,
        };
        Some(self.release(released, matched - released, limit))
    }

    /// So many bytes at the end of the data so far may be the terminator's.
    fn hold(&mut self, matched: usize) {
        self.state = match matched {
            0 => State::Clear,
            len => State::Matched(len as u16), // less than a terminator's 4,096
        };
    }

    /// The first `len` of the bytes that were held back are data, and `rest`
    /// may still be the terminator's.
    fn release(&mut self, len: usize, rest: usize, limit: usize) -> Frame<'static> {
        let room = limit.saturating_sub(self.collected);
        self.hold(rest);
        if len > room {
            self.state = State::Over(rest as u16);
        }
        self.collected += len.min(room);
        match len.min(room) {
            0 => Frame::OverLimit,
            len => Frame::HeldPart(len),
        }
    }

    /// There is more data than `limit` allows: hands out what fits, then says so.
    fn overrun<'d>(&mut self, data: &mut &'d [u8], limit: usize) -> Frame<'d> {
        self.state = State::Over(0);
        match limit.saturating_sub(self.collected) {
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
