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
    /// What comes before the tail; none while that is all there is.
    queue: Option<Box<Queue>>,
    /// Small pushes, gathered.
    tail: BytesMut,
    /// So many bytes can be pushed before anything has to be looked at: the
    /// tail's capacity, the channel's limits and state. 0 is always right.
    room: usize,
    /// Where emptied buffers go; none before the channel is in a map.
    buffers: Option<Buffers>,
}

/// Never empty for long: with the last item it is dropped.
#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    /// Bytes in the queue; what producers will make is not known.
    len: usize,
    /// Producers in the queue.
    producers: usize,
    /// The producer at the head said `Later`.
    is_stalled: bool,
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

    /// Queues a copy of `data`, if there is known to be room for it.
    #[inline]
    pub(crate) fn push_within_room(&mut self, data: &[u8]) -> bool {
        let fits = data.len() <= self.room;
        if fits {
            self.room -= data.len();
            self.tail.extend_from_slice(data);
        }
        fits
    }

    pub(crate) fn push(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        self.forget_room();
        if self.tail.len() + data.len() > SEGMENT_LEN {
            self.seal();
        }
        if self.tail.capacity() == 0 {
            self.tail = spare(self.buffers.as_ref());
        }
        self.tail.extend_from_slice(data);
    }

    /// There is room until `len` bytes are queued, or the tail is full.
    pub(crate) fn make_room(&mut self, len: usize) {
        let capacity = self.tail.capacity() - self.tail.len();
        self.room = len.saturating_sub(self.len()).min(capacity);
    }

    /// Something has changed by which there may be no room.
    pub(crate) fn forget_room(&mut self) {
        self.room = 0;
    }

    pub(crate) fn push_bytes(&mut self, data: Bytes) {
        if data.len() <= COPY_LEN {
            return self.push(&data);
        }
        self.seal();
        self.queue().push(Item::Shared(data));
    }

    pub(crate) fn push_producer(&mut self, producer: Box<dyn Producer>) {
        self.seal();
        self.queue().push(Item::Producer(producer));
    }

    /// Takes what is queued, up to the first producer.
    pub(crate) fn take_bytes(&mut self) -> BytesMut {
        self.forget_room();
        let mut bytes = BytesMut::new();
        for item in self.queue.take().into_iter().flat_map(|queue| queue.items) {
            match item {
                Item::Shared(data) => bytes.extend_from_slice(&data),
                Item::Own(data) => bytes.unsplit(data),
                Item::Producer(_) => return bytes,
            }
        }
        bytes.unsplit(mem::take(&mut self.tail));
        bytes
    }

    /// Drops everything that is not sent yet, producers included.
    pub(crate) fn discard(&mut self) {
        self.queue = None;
        self.empty_tail();
    }

    /// There are no producers and nothing else that is not in one piece.
    #[inline]
    pub(crate) fn is_simple(&self) -> bool {
        self.queue.is_none()
    }

    /// Nothing is left to send, and no producer either.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.tail.is_empty() && self.queue.is_none()
    }

    /// A producer is queued.
    #[inline]
    pub(crate) fn has_producer(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.producers > 0)
    }

    /// How many producers are queued.
    pub(crate) fn producers(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.producers)
    }

    /// How many bytes are queued.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.tail.len() + self.queue.as_ref().map_or(0, |queue| queue.len)
    }

    /// There is something to send now: bytes, or a producer that may have some.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        match &self.queue {
            Some(queue) => !queue.is_stalled || !queue.is_producers_turn(),
            None => !self.tail.is_empty(),
        }
    }

    /// The producer at the head may have more now.
    #[inline]
    pub(crate) fn unstall(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.is_stalled = false;
        }
    }

    /// Has the producer at the head, if there is one, put up to about `max`
    /// bytes before itself.
    #[inline]
    pub(crate) fn refill(&mut self, max: usize) -> io::Result<()> {
        self.forget_room();
        if let Some(queue) = &mut self.queue {
            queue.refill(max, self.buffers.as_ref())?;
            self.drop_empty_queue();
        }
        Ok(())
    }

    /// All that is to be sent, if it lies in one piece.
    #[inline]
    pub(crate) fn in_one_piece(&self) -> Option<&[u8]> {
        (self.queue.is_none() && !self.tail.is_empty()).then_some(&self.tail[..])
    }

    /// Fills `slices` with what is at the head; returns how many, and how many
    /// bytes they are.
    pub(crate) fn gather<'o>(&'o self, slices: &mut [IoSlice<'o>; MAX_SLICES]) -> (usize, usize) {
        let items = self.queue.iter().flat_map(|queue| &queue.items);
        let tail = Some(&self.tail[..]).filter(|tail| !tail.is_empty());
        let data = items.map(Item::data).chain([tail]);
        let (mut count, mut len) = (0, 0);
        // A producer comes before what is behind it.
        for (slice, data) in slices.iter_mut().zip(data.map_while(|data| data)) {
            *slice = IoSlice::new(data);
            count += 1;
            len += data.len();
        }
        (count, len)
    }

    /// The first `sent` bytes were sent.
    #[inline]
    pub(crate) fn advance(&mut self, mut sent: usize) {
        if let Some(queue) = &mut self.queue {
            sent -= queue.advance(sent, self.buffers.as_ref());
            self.drop_empty_queue();
        }
        if sent < self.tail.len() {
            self.tail.advance(sent);
        } else {
            self.empty_tail();
        }
    }

    /// Puts the gathering buffer in the queue.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let tail = mem::take(&mut self.tail);
            self.queue().push(Item::Own(tail));
        }
    }

    #[inline]
    fn empty_tail(&mut self) {
        self.forget_room();
        let tail = mem::take(&mut self.tail);
        give_back(tail, self.buffers.as_ref());
    }

    fn queue(&mut self) -> &mut Queue {
        self.forget_room();
        self.queue.get_or_insert_default()
    }

    /// A queue that was sent leaves no memory behind.
    fn drop_empty_queue(&mut self) {
        self.queue.take_if(|queue| queue.items.is_empty());
    }
}

impl Queue {
    fn push(&mut self, item: Item) {
        match item.data() {
            Some(data) => self.len += data.len(),
            None => self.producers += 1,
        }
        self.items.push_back(item);
    }

    /// See [`Output::refill`].
    fn refill(&mut self, max: usize, buffers: Option<&Buffers>) -> io::Result<()> {
        for _ in 0..EMPTY_ANSWERS {
            let Some(Item::Producer(producer)) = self.items.front_mut() else {
                return Ok(());
            };
            if self.is_stalled {
                return Ok(());
            }
            let mut made = spare(buffers);
            let more = producer.more(&mut made, max)?;
            if more == More::Done {
                self.items.pop_front();
                self.producers -= 1;
            }
            self.is_stalled = more == More::Later;
            if made.is_empty() {
                give_back(made, buffers);
            } else {
                self.len += made.len();
                self.items.push_front(Item::Own(made));
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes up to `sent` bytes off the front; returns how many.
    fn advance(&mut self, sent: usize, buffers: Option<&Buffers>) -> usize {
        let mut left = sent;
        while left > 0 {
            let (cut, is_done) = match self.items.front_mut() {
                Some(Item::Shared(data)) => cut(data, left),
                Some(Item::Own(data)) => cut(data, left),
                Some(Item::Producer(_)) | None => break,
            };
            left -= cut;
            self.len -= cut;
            if is_done {
                if let Some(Item::Own(buffer)) = self.items.pop_front() {
                    give_back(buffer, buffers);
                }
            }
        }
        sent - left
    }

    fn is_producers_turn(&self) -> bool {
        matches!(self.items.front(), Some(Item::Producer(_)))
    }
}

impl Item {
    /// `None` for a producer.
    fn data(&self) -> Option<&[u8]> {
        match self {
            Self::Shared(data) => Some(data),
            Self::Own(data) => Some(data),
            Self::Producer(_) => None,
        }
    }
}

fn spare(buffers: Option<&Buffers>) -> BytesMut {
    buffers.map_or_else(BytesMut::new, Buffers::take_spare)
}

fn give_back(buffer: BytesMut, buffers: Option<&Buffers>) {
    if let Some(buffers) = buffers.filter(|_| buffer.capacity() > 0) {
        buffers.put_spare(buffer);
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
