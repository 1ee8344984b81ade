//! What is to be sent: a queue of bytes and producers. It knows no sockets.
//!
//! Small pushes are gathered into one buffer, large shared ones are kept as
//! they are, and producers are asked only when they are at the head.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem;

use bytes::{Buf, Bytes, BytesMut};
use reactor::Buffers;

use crate::producer::{More, Producer};

/// Shared data up to this many bytes is copied: that costs less than to count
/// references and to send it by a slice of its own.
const COPY_LEN: usize = 1_024;

/// A gathering buffer of this many bytes is put in the queue, and another begun.
const SEGMENT_LEN: usize = 65_536;

/// How often a producer that says `Again` without data is asked in one refill.
const EMPTY_ANSWERS: usize = 16;

/// How many slices one vectored write gets.
pub(crate) const MAX_SLICES: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Output {
    queue: VecDeque<Item>,
    /// Comes after the queue.
    tail: BytesMut,
    /// Bytes in the queue and the tail; what producers will make is not known.
    len: usize,
    /// Producers in the queue.
    producers: usize,
    /// The producer at the head said `Later`.
    is_stalled: bool,
    /// Where emptied buffers go; none before the channel is in a map.
    buffers: Option<Buffers>,
}

#[derive(Debug)]
enum Item {
    Shared(Bytes),
    Own(BytesMut),
    Producer(Box<dyn Producer>),
}

impl Output {
    pub(crate) fn use_buffers(&mut self, buffers: &Buffers) {
        if self.buffers.is_none() {
            self.buffers = Some(buffers.clone());
        }
    }

    pub(crate) fn push(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        if self.tail.len() + data.len() > SEGMENT_LEN {
            self.seal();
        }
        if self.tail.capacity() == 0 {
            if let Some(buffers) = &self.buffers {
                self.tail = buffers.take_spare();
            }
        }
        self.tail.extend_from_slice(data);
        self.len += data.len();
    }

    pub(crate) fn push_bytes(&mut self, data: Bytes) {
        if data.len() <= COPY_LEN {
            return self.push(&data);
        }
        self.seal();
        self.len += data.len();
        self.queue.push_back(Item::Shared(data));
    }

    pub(crate) fn push_producer(&mut self, producer: Box<dyn Producer>) {
        self.seal();
        self.producers += 1;
        self.queue.push_back(Item::Producer(producer));
    }

    /// Drops everything that is not sent yet, producers included.
    pub(crate) fn discard(&mut self) {
        self.queue.clear();
        self.len = 0;
        self.producers = 0;
        self.is_stalled = false;
        let tail = mem::take(&mut self.tail);
        self.give_back(tail);
        self.shrink();
    }

    /// Nothing is left to send, and no producer either.
    pub(crate) fn is_empty(&self) -> bool {
        self.tail.is_empty() && self.queue.is_empty()
    }

    /// A producer is queued.
    pub(crate) fn has_producer(&self) -> bool {
        self.producers > 0
    }

    /// How many bytes are queued.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// There is something to send now: bytes, or a producer that may have some.
    pub(crate) fn is_ready(&self) -> bool {
        match self.queue.front() {
            Some(Item::Producer(_)) => !self.is_stalled,
            Some(_) => true,
            None => !self.tail.is_empty(),
        }
    }

    /// The producer at the head may have more now.
    pub(crate) fn unstall(&mut self) {
        self.is_stalled = false;
    }

    /// Has the producer at the head, if there is one, put up to about `max`
    /// bytes before itself.
    pub(crate) fn refill(&mut self, max: usize) -> io::Result<()> {
        for _ in 0..EMPTY_ANSWERS {
            let Some(Item::Producer(producer)) = self.queue.front_mut() else {
                return Ok(());
            };
            if self.is_stalled {
                return Ok(());
            }
            let mut made = match &self.buffers {
                Some(buffers) => buffers.take_spare(),
                None => BytesMut::new(),
            };
            let more = producer.more(&mut made, max)?;
            if more == More::Done {
                self.queue.pop_front();
                self.producers -= 1;
            }
            self.is_stalled = more == More::Later;
            if made.is_empty() {
                self.give_back(made);
                if self.is_stalled {
                    return Ok(());
                }
            } else {
                self.len += made.len();
                self.queue.push_front(Item::Own(made));
                return Ok(());
            }
        }
        Ok(())
    }

    /// Fills `slices` with what is at the head; returns how many, and how many
    /// bytes they are.
    pub(crate) fn gather<'o>(&'o self, slices: &mut [IoSlice<'o>; MAX_SLICES]) -> (usize, usize) {
        let mut count = 0;
        let mut len = 0;
        let mut add = |data: &'o [u8]| {
            if count < MAX_SLICES {
                slices[count] = IoSlice::new(data);
                count += 1;
                len += data.len();
            }
        };
        for item in self.queue.iter().take(MAX_SLICES) {
            match item {
                Item::Shared(data) => add(data),
                Item::Own(data) => add(data),
                Item::Producer(_) => return (count, len),
            }
        }
        if !self.tail.is_empty() && self.queue.len() < MAX_SLICES {
            add(&self.tail);
        }
        (count, len)
    }

    /// The first `sent` bytes were sent.
    pub(crate) fn advance(&mut self, mut sent: usize) {
        self.len -= sent;
        while sent > 0 {
            let (held, is_done) = match self.queue.front_mut() {
                Some(Item::Shared(data)) => cut(data, sent),
                Some(Item::Own(data)) => cut(data, sent),
                Some(Item::Producer(_)) | None => cut(&mut self.tail, sent),
            };
            sent -= held;
            if !is_done {
                continue;
            }
            match self.queue.pop_front() {
                Some(Item::Own(buffer)) => self.give_back(buffer),
                Some(_) => {}
                None => {
                    let tail = mem::take(&mut self.tail);
                    self.give_back(tail);
                }
            }
        }
        self.shrink();
    }

    /// Puts the gathering buffer in the queue.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let tail = mem::take(&mut self.tail);
            self.queue.push_back(Item::Own(tail));
        }
    }

    /// A long queue that was sent leaves no memory behind.
    fn shrink(&mut self) {
        if self.queue.is_empty() && self.queue.capacity() > 2 * MAX_SLICES {
            self.queue = VecDeque::new();
        }
    }

    fn give_back(&self, buffer: BytesMut) {
        if let Some(buffers) = &self.buffers {
            if buffer.capacity() > 0 {
                buffers.put_spare(buffer);
            }
        }
    }
}

/// Cuts up to `len` bytes off the front; how many, and whether it is empty now.
fn cut(data: &mut impl Buf, len: usize) -> (usize, bool) {
    let len = len.min(data.remaining());
    data.advance(len);
    (len, !data.has_remaining())
}

#[cfg(test)]
mod tests;
