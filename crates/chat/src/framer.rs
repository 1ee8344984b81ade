//! Cuts a stream of bytes into messages. It knows no sockets.
//!
//! The framer keeps no data. The end of a read may be the beginning of a terminator.
//! Such bytes are not handed out. Only their number is kept, since they equal the
//! terminator's own first bytes. They are written in front of the next read, and the
//! search goes on behind them. So no byte is searched twice, and the messages do not
//! depend on how the network cut the stream.

use std::mem;
use std::time::Duration;

use reactor::{Error, Result};

use crate::framing::FramingError;
use crate::limits::Limits;
use crate::pattern::find_line;
use crate::terminator::{Condition, Counted, Terminator};

#[derive(Debug)]
pub(crate) struct Framer {
    terminator: Terminator,
    /// The number of bytes handed out of the current message. Of one that is delivered whole,
    /// those that were looked at before, or its length once that is known; while it is
    /// dropped, those still to come.
    collected: usize,
    state: State,
    /// The number of bytes held back: the data so far ended with so many first bytes of
    /// the terminator, but not with all of it.
    pub(crate) held: u16,
    /// The handler keeps a message until it is whole.
    pub(crate) bounds_counts: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the beginning of a message, before any of its bytes.
    Start,
    /// The same, but `next_whole` has found no end of it in the data. Lasts only until
    /// the call of `next` that follows.
    Searched,
    /// In a message.
    Inside,
    /// A message has ended, and its end is still to be told. The bytes that ended it,
    /// so many, are at the front of the data.
    Ended(u16),
    /// The message is longer than the limit.
    Over,
    /// The input is no message, and the handler has heard so.
    Refused,
    /// The message is dropped; only its end will be told.
    Skipping,
    /// The same, of one that is delivered whole and whose length is known.
    Dropping,
    /// In a message that is delivered whole, of which nothing was handed out. Its length is
    /// known, and more than there is.
    Known,
}

/// Where a message ends.
#[derive(Clone, Copy, Debug)]
enum Found {
    /// In the data: the message has `len` bytes, and what ends it reaches to `end`.
    End { len: usize, end: usize },
    /// Not in the data, whose last `held` bytes may be the beginning of what ends it.
    More { held: usize },
    /// Nowhere: behind `len` bytes, something else comes than must.
    Wrong { len: usize },
}

/// The next piece of the stream.
#[derive(Debug)]
pub(crate) enum Frame<'d> {
    /// A part of a message, not empty.
    Part(&'d [u8]),
    /// The end of a message.
    End,
    /// The message is longer than the limit, and as much as that was handed out. No
    /// frame follows.
    OverLimit,
    /// The message has no end. No frame follows until the terminator is set.
    Refused(Error),
}

impl Framer {
    pub(crate) fn new(terminator: Terminator, bounds_counts: bool) -> Self {
        Self {
            terminator,
            collected: 0,
            state: State::Start,
            held: 0,
            bounds_counts,
        }
    }

    pub(crate) fn terminator(&self) -> &Terminator {
        &self.terminator
    }

    /// The number of bytes to receive at once, where reads have this size. A part of a
    /// message by count, or without a terminator, is never held: one read then asks for up to
    /// 256 KiB, within what is left of the turn's `budget`.
    #[inline]
    pub(crate) fn read_len(&self, size: usize, budget: usize) -> usize {
        match &self.terminator.0 {
            Condition::Pattern(_) => size,
            _ => self.part_len(size, budget),
        }
    }

    #[inline(never)] // not needed for lines
    fn part_len(&self, size: usize, budget: usize) -> usize {
        let left = match &self.terminator.0 {
            Condition::Count(counted) => counted.left(),
            Condition::None => usize::MAX,
            _ => size,
        };
        left.min(budget).max(size)
    }

    /// Changes the terminator. Call [`take_held`](Self::take_held) first.
    pub(crate) fn set_terminator(&mut self, terminator: Terminator) {
        self.terminator = terminator;
        if self.state == State::Dropping {
            self.state = State::Skipping;
            self.collected = 0;
        }
        if self.is_delivered_whole() {
            self.collected = 0;
        }
    }

    /// Takes the bytes held back, which are data again, before any other. The bytes that
    /// ended a message are data again, too, if its end was not told: they end none now.
    pub(crate) fn take_held(&mut self) -> &[u8] {
        if let State::Ended(1..) | State::Refused | State::Known = self.state {
            self.state = State::Inside;
        }
        if self.is_delivered_whole() && self.state != State::Dropping {
            self.collected = 0; // it is looked at anew
        }
        let held = usize::from(mem::take(&mut self.held));
        &self.terminator.0.held_bytes()[..held]
    }

    /// Writes the bytes held back to the front of `data`, which was received behind room
    /// for them. Bytes that stay held are left out, since nobody looks at them. Returns
    /// whether all of `data` is held, so that there is nothing to frame.
    pub(crate) fn holds_on(&mut self, data: &mut [u8], limit: usize, is_last: bool) -> bool {
        let held = usize::from(self.held);
        let Some(pattern) = self.terminator.0.searched() else {
            data[..held].copy_from_slice(&self.terminator.0.held_bytes()[..held]);
            return false;
        };
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

    /// Forgets the message in progress. An end that is still to be told stays so. The
    /// caller drops the data that was not framed yet.
    pub(crate) fn discard(&mut self) {
        self.collected = 0;
        self.held = 0;
        self.state = match self.state {
            State::Ended(_) => State::Ended(0),
            _ => State::Start,
        };
    }

    /// Drops the rest of the message, of any length. Its end will be told.
    pub(crate) fn skip(&mut self) {
        self.state = match self.state {
            State::Known => State::Dropping,
            state @ (State::Ended(_) | State::Dropping) => state,
            _ => State::Skipping,
        };
    }

    /// The limit of a message, if anything bounds it.
    pub(crate) fn limit(&self, limits: &Limits) -> usize {
        match self.terminator.0 {
            Condition::Count(_) | Condition::Whole(_) | Condition::None => limits.counted_message,
            _ => limits.message,
        }
    }

    /// The number of bytes still to come, if a limit bounds it.
    pub(crate) fn bounded_count(&self) -> Option<usize> {
        let is_open = matches!(self.state, State::Start | State::Searched | State::Inside);
        self.terminator
            .count()
            .filter(|_| self.bounds_counts && is_open)
    }

    /// Turns the message that [`next_whole`](Self::next_whole) has found into a part. The
    /// `len` bytes behind it ended it, and its end comes next.
    pub(crate) fn reopen(&mut self, len: usize) {
        self.state = State::Ended(len as u16); // a terminator has up to 4,096
    }

    /// Whether a message has ended, and its end is still to be told.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    /// Whether a message ends here without further data.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        matches!(self.state, State::Ended(_)) || self.is_at_count()
    }

    /// Whether all the bytes of a count have come, and no string must follow.
    fn is_at_count(&self) -> bool {
        match &self.terminator.0 {
            Condition::Count(counted) => counted.left() == 0 && counted.then().is_empty(),
            Condition::Whole(count) => *count == 0,
            _ => false,
        }
    }

    /// Whether a message is delivered in one piece, and until then kept as input.
    fn is_delivered_whole(&self) -> bool {
        matches!(
            self.terminator.0,
            Condition::Whole(_) | Condition::Framed(_)
        )
    }

    /// Whether the message that begins the input needs more than these `len` bytes.
    pub(crate) fn is_short(&self, len: usize) -> bool {
        match self.state {
            State::Known => len < self.collected,
            State::Inside | State::Skipping => len == self.collected && self.is_delivered_whole(),
            _ => false,
        }
    }

    /// The number of bytes that the message needs behind these `len`, if its length is known.
    pub(crate) fn missing(&self, len: usize) -> Option<usize> {
        (self.state == State::Known).then(|| self.collected.saturating_sub(len))
    }

    /// The time after which the message ends that has begun, if nothing more comes.
    pub(crate) fn silence(&self) -> Option<Duration> {
        match &self.terminator.0 {
            Condition::Silence(millis) if matches!(self.state, State::Inside | State::Skipping) => {
                Some(Duration::from_millis(*millis))
            }
            _ => None,
        }
    }

    /// Nothing more has come: the message has ended.
    pub(crate) fn end_by_silence(&mut self) {
        if self.silence().is_some() {
            self.state = State::Ended(0);
        }
    }

    /// Whether a message has begun, or the beginning of what may end it has come.
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(
            self.state,
            State::Inside | State::Skipping | State::Dropping
        ) || self.held > 0
    }

    /// Whether the input cannot be cut, and the handler has not said how it goes on.
    pub(crate) fn is_refused(&self) -> bool {
        self.state == State::Refused
    }

    /// Splits a whole message off the front of `data`, and returns it with the rest: the
    /// common case. `None` leaves any other case to [`next`](Self::next).
    #[inline(always)] // its outcome stays in registers then
    pub(crate) fn next_whole<'d>(
        &mut self,
        data: &'d [u8],
        limits: &Limits,
    ) -> Option<(&'d [u8], &'d [u8])> {
        if self.state != State::Start {
            return None;
        }
        let Condition::Pattern(pattern) = &self.terminator.0 else {
            let (len, end) = self.next_end(data, limits)?;
            return Some((data.get(..len)?, data.get(end..)?));
        };
        let Some((message, rest)) = pattern.split(data) else {
            self.state = State::Searched;
            return None;
        };
        (message.len() <= limits.message).then_some((message, rest))
    }

    /// The length of a message that ends in `data`, and where its end does.
    #[cold] // as the compiler sees it: the way of strings keeps its registers
    fn next_end(&mut self, data: &[u8], limits: &Limits) -> Option<(usize, usize)> {
        let limit = self.limit(limits);
        match self.terminator.0 {
            Condition::Line => find_line(data).filter(|&(len, _)| len <= limit),
            Condition::Count(counted) if counted.left() <= limit => match find_count(counted, data)
            {
                Found::End { len, end } => {
                    self.use_up();
                    Some((len, end))
                }
                _ => None,
            },
            Condition::Whole(_) | Condition::Framed(_) => {
                let known = self.whole_len(data).ok()?;
                let len = known.unwrap_or(data.len() + 1);
                if len > data.len() && len <= limit {
                    self.await_more(data.len(), known);
                }
                if len > data.len().min(limit) {
                    return None;
                }
                self.collected = 0;
                self.use_up();
                Some((len, len))
            }
            _ => None,
        }
    }

    /// Takes the next frame from the front of `data`. `None` if it needs more data. If the
    /// data `is_last`, nothing is held back.
    ///
    /// `data` begins with the bytes that [`holds_on`](Self::holds_on) wrote.
    pub(crate) fn next<'d>(
        &mut self,
        data: &mut &'d [u8],
        limits: &Limits,
        is_last: bool,
    ) -> Option<Frame<'d>> {
        match self.state {
            State::Ended(len) => {
                take(data, usize::from(len).min(data.len()));
                return Some(self.end());
            }
            State::Over => return Some(Frame::OverLimit),
            State::Refused => return None,
            _ if data.len() < self.held.into() => return None, // held back a moment ago
            State::Dropping => return self.drop_on(data),
            State::Start | State::Searched | State::Inside | State::Skipping | State::Known => {}
        }
        if self.is_delivered_whole() {
            return self.next_in_one_piece(data, self.limit(limits), is_last);
        }
        let is_skipped = self.state == State::Skipping;
        let found = self.find(data);
        let (len, behind, held) = match found {
            Found::End { len, end } => (len, end - len, 0),
            Found::More { .. } if is_last => (data.len(), 0, 0),
            Found::More { held } => (data.len() - held, 0, held),
            Found::Wrong { len: 0 } => return Some(self.refuse(FramingError::WrongEnd.into())),
            Found::Wrong { len } => (len, 0, 0),
        };
        let is_end = matches!(found, Found::End { .. });
        let limit = match &mut self.terminator.0 {
            Condition::Pattern(_) | Condition::Line | Condition::Silence(_) => limits.message,
            Condition::Count(counted) => {
                counted.advance(len);
                usize::MAX
            }
            _ => usize::MAX,
        };
        if len > 0 && !is_skipped && self.collected + len > limit {
            return Some(self.overrun(data, limit));
        }
        let part = take(data, len);
        self.held = held as u16;
        take(data, held);
        if is_end {
            self.state = State::Ended(behind as u16);
            self.use_up();
        } else if self.state != State::Skipping && len + held > 0 {
            self.state = State::Inside;
        }
        if is_skipped || part.is_empty() {
            return is_end.then(|| {
                take(data, behind);
                self.end()
            });
        }
        self.collected += len;
        Some(Frame::Part(part))
    }

    /// Finds the end of the message.
    fn find(&mut self, data: &[u8]) -> Found {
        let known = mem::take(&mut self.held);
        let found = match &self.terminator.0 {
            Condition::Pattern(pattern) => match self.state {
                State::Searched => {
                    self.state = State::Start;
                    Err(pattern.prefix_at_end(data))
                }
                _ => pattern
                    .find(data, known.into())
                    .map(|len| (len, len + pattern.bytes().len())),
            },
            Condition::Line => find_line(data).ok_or(data.ends_with(b"\r").into()),
            Condition::Count(counted) => return find_count(*counted, data),
            _ => Err(0),
        };
        match found {
            Ok((len, end)) => Found::End { len, end },
            Err(held) => Found::More { held },
        }
    }

    /// Takes the next frame of a message that is delivered whole. Nothing is taken before
    /// that is there.
    fn next_in_one_piece<'d>(
        &mut self,
        data: &mut &'d [u8],
        limit: usize,
        is_last: bool,
    ) -> Option<Frame<'d>> {
        let is_skipped = self.state == State::Skipping;
        let known = match self.whole_len(data) {
            Err(error) => return Some(self.refuse(error)),
            Ok(Some(len)) if is_skipped => {
                self.state = State::Dropping;
                self.collected = len;
                return self.drop_on(data);
            }
            Ok(None) if data.is_empty() => return None,
            Ok(known) => known,
        };
        let len = known.unwrap_or(data.len() + 1); // at least
        if len > limit {
            if is_skipped {
                return Some(self.refuse(FramingError::Endless.into()));
            }
            self.state = State::Over;
            return Some(Frame::OverLimit);
        }
        if len > data.len() && !is_last {
            self.await_more(data.len(), known);
            return None;
        }
        self.collected = 0;
        let part = take(data, len.min(data.len()));
        if part.len() < len {
            self.state = State::Inside; // for ever
        } else {
            self.state = State::Ended(0);
            self.use_up();
        }
        match part {
            [] if self.has_ended() => Some(self.end()),
            [] => None,
            _ if is_skipped => None,
            part => Some(Frame::Part(part)),
        }
    }

    /// These `len` bytes are not all of a message, whose length may be known.
    fn await_more(&mut self, len: usize, known: Option<usize>) {
        if len > 0 {
            self.state = match known {
                Some(_) => State::Known,
                None if self.state == State::Start => State::Inside,
                None => self.state,
            };
            self.collected = known.unwrap_or(len);
        }
    }

    /// The length of the message that is delivered whole and begins `data`, if that is
    /// known.
    fn whole_len(&self, data: &[u8]) -> Result<Option<usize>> {
        match &self.terminator.0 {
            _ if self.state == State::Known => Ok(Some(self.collected)),
            Condition::Whole(len) => Ok(Some(*len)),
            Condition::Framed(hook) if !data.is_empty() && !self.is_short(data.len()) => {
                match hook.0.message_len(data, self.collected)? {
                    Some(0) => Err(FramingError::Empty.into()),
                    len => Ok(len),
                }
            }
            _ => Ok(None),
        }
    }

    /// Drops what there is of a message whose length is known.
    fn drop_on(&mut self, data: &mut &[u8]) -> Option<Frame<'static>> {
        let len = self.collected.min(data.len());
        take(data, len);
        self.collected -= len;
        (self.collected == 0).then(|| {
            self.use_up();
            self.end()
        })
    }

    /// A number is used up by its message.
    fn use_up(&mut self) {
        if let Condition::Count(_) | Condition::Whole(_) = self.terminator.0 {
            self.terminator = Terminator::none();
        }
    }

    fn refuse(&mut self, error: Error) -> Frame<'static> {
        self.state = State::Refused;
        Frame::Refused(error)
    }

    /// Hands out as much as `limit` allows, then says that there is more.
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

/// Finds the end of a message by count.
fn find_count(counted: Counted, data: &[u8]) -> Found {
    let (len, then) = (counted.left(), counted.then());
    match data.get(len..) {
        Some(rest) if rest.starts_with(then) => Found::End {
            len,
            end: len + then.len(),
        },
        Some(rest) if then.starts_with(rest) => Found::More { held: rest.len() },
        Some(_) => Found::Wrong { len },
        None => Found::More { held: 0 },
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
