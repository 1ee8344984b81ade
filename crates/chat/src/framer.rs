//! Cuts a stream of bytes into messages. It knows no sockets.
//!
//! The framer keeps no data. What may be the beginning of a terminator at the
//! end of a read is not handed out; only its length is kept, for the bytes are
//! the terminator's own. They are written in front of the next read, and the
//! search goes on behind them: so nothing is searched twice, and what comes out
//! does not depend on how the stream was cut.

use std::mem;

use crate::terminator::{Condition, Terminator};

#[derive(Debug)]
pub(crate) struct Framer {
    terminator: Terminator,
    /// Bytes of the present message that were handed out.
    collected: usize,
    state: State,
    /// How many bytes of the terminator the data so far ended with: not all of
    /// it, and not handed out.
    pub(crate) held: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the beginning of a message, of which nothing was seen.
    Start,
    /// The same, and `next_whole` has just found that it does not end in the data: only
    /// until the call of `next` that follows.
    Searched,
    /// In a message.
    Inside,
    /// A message has ended, which is yet to be told. What ended it, so many
    /// bytes, is at the front of the data.
    Ended(u16),
    /// The message is longer than it may be.
    Over,
    /// The message is not handed out, but its end is.
    Skipping,
}

/// What comes next in the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'d> {
    /// Some of a message, not empty.
    Part(&'d [u8]),
    /// The end of a message.
    End,
    /// The message is longer than it may be; all that it may have was handed
    /// out. No frame follows.
    OverLimit,
}

impl Framer {
    pub(crate) fn new(terminator: Terminator) -> Self {
        Self {
            terminator,
            collected: 0,
            state: State::Start,
            held: 0,
        }
    }

    pub(crate) fn terminator(&self) -> &Terminator {
        &self.terminator
    }

    /// How many bytes to receive at once, of so many reads of this size: all of them, if
    /// they are one part of a message, since nothing of that is ever held.
    #[inline]
    pub(crate) fn read_len(&self, size: usize, reads: usize) -> usize {
        match &self.terminator.0 {
            Condition::Pattern(_) => size,
            _ => self.part_len(size, reads),
        }
    }

    #[inline(never)] // lines need none of it
    fn part_len(&self, size: usize, reads: usize) -> usize {
        let left = self.terminator.count().unwrap_or(usize::MAX);
        left.min(size.saturating_mul(reads)).max(size)
    }

    /// Changes the terminator. [`take_held`](Self::take_held) comes before.
    pub(crate) fn set_terminator(&mut self, terminator: Terminator) {
        self.terminator = terminator;
    }

    /// Takes what was held back: it is data again, to come before any other. So is
    /// what ended a message that was not told, and ends none any more.
    pub(crate) fn take_held(&mut self) -> &[u8] {
        if let State::Ended(1..) = self.state {
            self.state = State::Inside;
        }
        let held = usize::from(mem::take(&mut self.held));
        let bytes = self.terminator.as_bytes().unwrap_or_default();
        &bytes[..held]
    }

    /// Writes what was held back to the front of `data`, which was received behind the
    /// room for that; bytes that go on being held are left out, for nobody looks at
    /// them. Returns whether all of it is held, and there is nothing to frame.
    pub(crate) fn holds_on(&mut self, data: &mut [u8], limit: usize, is_last: bool) -> bool {
        let Condition::Pattern(pattern) = &self.terminator.0 else {
            return false;
        };
        let held = usize::from(self.held);
        let (begin, matched) = pattern.resume(data, held);
        let goes_on = !is_last
            && begin + matched == data.len()
            && matched < pattern.bytes().len()
            && self.collected + begin <= limit;
        if goes_on && begin == 0 {
            self.held = matched as u16;
            return true;
        }
        let len = if goes_on { begin.min(held) } else { held };
        data[..len].copy_from_slice(&pattern.bytes()[..len]);
        false
    }

    /// Forgets the message in progress. The end of one that has ended is still told.
    /// The data that was not framed yet goes with it.
    pub(crate) fn discard(&mut self) {
        self.collected = 0;
        self.held = 0;
        self.state = match self.state {
            State::Ended(_) => State::Ended(0),
            _ => State::Start,
        };
    }

    /// The rest of the message is not handed out, only its end; it may be of any
    /// length.
    pub(crate) fn skip(&mut self) {
        if !self.has_ended() {
            self.state = State::Skipping;
        }
    }

    /// The message that [`next_whole`](Self::next_whole) has found is handed out as a
    /// part: `len` bytes behind it are what ended it, and its end comes next.
    pub(crate) fn reopen(&mut self, len: usize) {
        self.state = State::Ended(len as u16); // a terminator has up to 4,096
    }

    /// A message has ended, which is yet to be told.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    /// Whether a message ends here without further data.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        matches!(self.state, State::Ended(_)) || matches!(self.terminator.0, Condition::Count(0))
    }

    /// The common case: the message that lies whole at the front of `data`, and the
    /// data behind it. `None` if there is more to it; then [`next`](Self::next) tells.
    /// `limit` is how many bytes a message may have.
    #[inline(always)] // its outcome stays in registers then
    pub(crate) fn next_whole<'d>(
        &mut self,
        data: &'d [u8],
        limit: usize,
    ) -> Option<(&'d [u8], &'d [u8])> {
        if self.state != State::Start {
            return None;
        }
        let Condition::Pattern(pattern) = &self.terminator.0 else {
            return Some(data.split_at(self.next_counted(data.len().min(limit))?));
        };
        let Some((message, rest)) = pattern.split(data) else {
            self.state = State::Searched;
            return None;
        };
        (message.len() <= limit).then_some((message, rest))
    }

    /// How long a message is that goes by its length, if that is at most `limit`.
    #[inline(never)]
    fn next_counted(&mut self, limit: usize) -> Option<usize> {
        let count = self.terminator.count().filter(|&count| count <= limit)?;
        self.terminator = Terminator::none();
        Some(count)
    }

    /// Takes the next frame from the front of `data`; `None` when more data is
    /// needed. `limit` is how many bytes a message with a string terminator may
    /// have. If the data `is_last`, nothing is held back.
    ///
    /// `data` begins with what [`holds_on`](Self::holds_on) wrote.
    pub(crate) fn next<'d>(
        &mut self,
        data: &mut &'d [u8],
        limit: usize,
        is_last: bool,
    ) -> Option<Frame<'d>> {
        match self.state {
            State::Ended(len) => {
                take(data, usize::from(len).min(data.len()));
                return Some(self.end());
            }
            State::Over => return Some(Frame::OverLimit),
            _ if data.len() < self.held.into() => return None, // held back a moment ago
            State::Start | State::Searched | State::Inside | State::Skipping => {}
        }
        let is_skipped = self.state == State::Skipping;
        let found = self.find(data);
        let held = found.err().filter(|_| !is_last).unwrap_or(0);
        let len = found.unwrap_or(data.len() - held);
        let (limit, behind) = match &mut self.terminator.0 {
            Condition::Pattern(pattern) => (limit, pattern.bytes().len()),
            Condition::Count(count) => {
                *count -= len;
                (usize::MAX, 0)
            }
            Condition::None => (usize::MAX, 0),
        };
        if len > 0 && !is_skipped && self.collected + len > limit {
            return Some(self.overrun(data, limit));
        }
        let part = take(data, len);
        self.held = held as u16;
        take(data, held);
        if found.is_ok() {
            self.state = State::Ended(behind as u16);
            if matches!(self.terminator.0, Condition::Count(_)) {
                self.terminator = Terminator::none();
            }
        } else if self.state != State::Skipping && len + held > 0 {
            self.state = State::Inside;
        }
        if is_skipped || part.is_empty() {
            return found.is_ok().then(|| {
                take(data, behind);
                self.end()
            });
        }
        self.collected += len;
        Some(Frame::Part(part))
    }

    /// Where the message ends in `data`; if it does not, how many bytes at the end
    /// may be the beginning of its terminator.
    fn find(&mut self, data: &[u8]) -> Result<usize, usize> {
        let known = mem::take(&mut self.held);
        match &self.terminator.0 {
            Condition::Pattern(pattern) => match self.state {
                State::Searched => {
                    self.state = State::Start;
                    Err(pattern.prefix_at_end(data))
                }
                _ => pattern.find(data, known.into()),
            },
            Condition::Count(count) if *count <= data.len() => Ok(*count),
            Condition::Count(_) | Condition::None => Err(0),
        }
    }

    /// There is more data than `limit` allows: hands out what fits, then says so.
    fn overrun<'d>(&mut self, data: &mut &'d [u8], limit: usize) -> Frame<'d> {
        self.state = State::Over;
        match limit.saturating_sub(self.collected) {
            0 => Frame::OverLimit,
            room => Frame::Part(take(data, room)),
        }
    }

    fn end(&mut self) -> Frame<'static> {
        self.state = State::Start;
        self.collected = 0;
        Frame::End
    }
}

#[inline]
fn take<'d>(data: &mut &'d [u8], len: usize) -> &'d [u8] {
    let (front, rest) = data.split_at(len);
    *data = rest;
    front
}

#[cfg(test)]
mod tests;
