//! What is to be sent: a queue of bytes and producers. It knows no sockets.
//!
//! Small pushes are gathered into one buffer, large shared ones are kept as
//! they are, and producers are asked only when they are at the head.

#![expect(
    clippy::box_collection,
    reason = "a buffer is lent by its pointer: one word"
)]

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
    queued: Queued,
    /// Where emptied buffers go; none before the channel is in a map.
    buffers: Option<Buffers>,
}

/// What is queued: mostly small pushes, gathered in one buffer.
#[derive(Debug, Default)]
enum Queued {
    #[default]
    Nothing,
    /// One buffer, not empty and never cut. Whatever fits into it can be pushed,
    /// and nothing else has to be looked at: neither the limits nor the channel's
    /// state.
    Open(Box<Vec<u8>>),
    /// The same, but who pushes has to look.
    Shut(Box<Vec<u8>>),
    /// Not empty.
    Many(Box<Queue>),
}

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
    /// Sent up to the second.
    Own(Box<Vec<u8>>, usize),
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
        match &mut self.queued {
            Queued::Open(buffer) if data.len() <= buffer.capacity() - buffer.len() => {
                buffer.extend_from_slice(data);
                true
            }
            _ => false,
        }
    }

    /// Queues a copy of `data` where nothing is queued, and [makes
    /// room](Self::make_room); unless there is more to it than that.
    #[inline]
    pub(crate) fn push_first(&mut self, data: &[u8], len: usize) -> bool {
        match (&self.queued, &self.buffers) {
            (Queued::Nothing, Some(buffers)) if !data.is_empty() && data.len() <= len => {
                let mut buffer = buffers.take_spare();
                append(&mut buffer, data);
                self.queued = match buffer.capacity() <= len {
                    true => Queued::Open(buffer),
                    false => Queued::Shut(buffer),
                };
                true
            }
            _ => false,
        }
    }

    /// Queues a copy of `data`. There is no room afterwards.
    pub(crate) fn push(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let buffers = self.buffers.as_ref();
        self.queued = match mem::take(&mut self.queued) {
            Queued::Nothing => Queued::Shut(filled(data, buffers)),
            Queued::Open(mut buffer) | Queued::Shut(mut buffer)
                if buffer.len() + data.len() <= SEGMENT_LEN =>
            {
                append(&mut buffer, data);
                Queued::Shut(buffer)
            }
            queued => {
                let mut queue = queued.into_queue();
                queue.push_copy(data, buffers);
                Queued::Many(queue)
            }
        };
    }

    /// There is room from now on, if all that fits into the buffer is not more
    /// than `len` bytes.
    pub(crate) fn make_room(&mut self, len: usize) {
        self.queued = match mem::take(&mut self.queued) {
            Queued::Shut(buffer) if buffer.capacity() <= len => Queued::Open(buffer),
            queued => queued,
        };
    }

    /// Something has changed by which there may be no room.
    pub(crate) fn forget_room(&mut self) {
        self.queued = match mem::take(&mut self.queued) {
            Queued::Open(buffer) => Queued::Shut(buffer),
            queued => queued,
        };
    }

    pub(crate) fn push_bytes(&mut self, data: Bytes) {
        match data.len() <= COPY_LEN {
            true => self.push(&data),
            false => self.push_item(Item::Shared(data)),
        }
    }

    pub(crate) fn push_producer(&mut self, producer: Box<dyn Producer>) {
        self.push_item(Item::Producer(producer));
    }

    /// Takes what is queued, up to the first producer.
    pub(crate) fn take_bytes(&mut self) -> BytesMut {
        let mut bytes = BytesMut::new();
        for item in mem::take(&mut self.queued).into_queue().items {
            match item {
                Item::Shared(data) => bytes.extend_from_slice(&data),
                Item::Own(data, start) => bytes.extend_from_slice(&data[start..]),
                Item::Producer(_) => return bytes,
            }
        }
        bytes
    }

    /// Drops everything that is not sent yet, producers included.
    pub(crate) fn discard(&mut self) {
        self.finish_piece(); // or the queue, which it drops
    }

    /// There are no producers, and nothing else that is not in one piece.
    #[inline]
    pub(crate) fn is_simple(&self) -> bool {
        !matches!(self.queued, Queued::Many(_))
    }

    /// Nothing is left to send, and no producer either.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.queued, Queued::Nothing)
    }

    /// A producer is queued.
    #[inline]
    pub(crate) fn has_producer(&self) -> bool {
        self.producers() > 0
    }

    /// How many producers are queued.
    #[inline]
    pub(crate) fn producers(&self) -> usize {
        match &self.queued {
            Queued::Many(queue) => queue.producers,
            _ => 0,
        }
    }

    /// How many bytes are queued.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match &self.queued {
            Queued::Nothing => 0,
            Queued::Open(buffer) | Queued::Shut(buffer) => buffer.len(),
            Queued::Many(queue) => queue.len,
        }
    }

    /// There is something to send now: bytes, or a producer that may have some.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        match &self.queued {
            Queued::Nothing => false,
            Queued::Open(_) | Queued::Shut(_) => true,
            Queued::Many(queue) => !queue.is_stalled || !queue.is_producers_turn(),
        }
    }

    /// The producer at the head may have more now.
    pub(crate) fn unstall(&mut self) {
        if let Queued::Many(queue) = &mut self.queued {
            queue.is_stalled = false;
        }
    }

    /// Has the producer at the head, if there is one, put up to about `max`
    /// bytes before itself.
    pub(crate) fn refill(&mut self, max: usize) -> io::Result<()> {
        if let Queued::Many(queue) = &mut self.queued {
            queue.refill(max)?;
            self.drop_empty_queue();
        }
        Ok(())
    }

    /// All that is to be sent, if it lies in one piece.
    #[inline]
    pub(crate) fn in_one_piece(&self) -> Option<&[u8]> {
        match &self.queued {
            Queued::Open(buffer) | Queued::Shut(buffer) => Some(buffer),
            Queued::Nothing | Queued::Many(_) => None,
        }
    }

    /// All that is to be sent lies in one piece of at least `len` bytes.
    #[inline]
    pub(crate) fn is_piece_of(&self, len: usize) -> bool {
        self.in_one_piece().is_some_and(|piece| piece.len() >= len)
    }

    /// Fills `slices` with what is at the head; returns how many, and how many
    /// bytes they are.
    pub(crate) fn gather<'o>(&'o self, slices: &mut [IoSlice<'o>; MAX_SLICES]) -> (usize, usize) {
        match &self.queued {
            Queued::Many(queue) => queue.gather(slices),
            _ => match self.in_one_piece() {
                Some(data) => {
                    slices[0] = IoSlice::new(data);
                    (1, data.len())
                }
                None => (0, 0),
            },
        }
    }

    /// The first `sent` bytes were sent.
    pub(crate) fn advance(&mut self, sent: usize) {
        if sent >= self.len() && self.is_simple() {
            return self.finish_piece();
        }
        // A buffer that is cut is an item of a queue: the others are whole.
        let mut queue = mem::take(&mut self.queued).into_queue();
        queue.advance(sent, self.buffers.as_ref());
        self.queued = Queued::Many(queue);
        self.drop_empty_queue();
    }

    /// What lay in one piece was sent, all of it.
    #[inline(always)]
    pub(crate) fn finish_piece(&mut self) {
        if let Queued::Open(buffer) | Queued::Shut(buffer) = mem::take(&mut self.queued) {
            if let Some(buffers) = &self.buffers {
                buffers.put_spare(buffer);
            }
        }
    }

    fn push_item(&mut self, item: Item) {
        let mut queue = mem::take(&mut self.queued).into_queue();
        queue.push(item);
        self.queued = Queued::Many(queue);
    }

    /// A queue that was sent leaves no memory behind.
    fn drop_empty_queue(&mut self) {
        if matches!(&self.queued, Queued::Many(queue) if queue.items.is_empty()) {
            self.queued = Queued::Nothing;
        }
    }
}

impl Queued {
    fn into_queue(self) -> Box<Queue> {
        match self {
            Self::Nothing => Box::default(),
            Self::Open(buffer) | Self::Shut(buffer) => {
                let mut queue = Box::<Queue>::default();
                queue.push(Item::Own(buffer, 0));
                queue
            }
            Self::Many(queue) => queue,
        }
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

    fn push_copy(&mut self, data: &[u8], buffers: Option<&Buffers>) {
        match self.items.back_mut() {
            Some(Item::Own(buffer, _)) if buffer.len() + data.len() <= SEGMENT_LEN => {
                append(buffer, data);
                self.len += data.len();
            }
            _ => self.push(Item::Own(filled(data, buffers), 0)),
        }
    }

    /// See [`Output::gather`].
    fn gather<'o>(&'o self, slices: &mut [IoSlice<'o>; MAX_SLICES]) -> (usize, usize) {
        let (mut count, mut len) = (0, 0);
        // A producer comes before what is behind it.
        for (slice, data) in slices
            .iter_mut()
            .zip(self.items.iter().map_while(Item::data))
        {
            *slice = IoSlice::new(data);
            count += 1;
            len += data.len();
        }
        (count, len)
    }

    /// See [`Output::refill`].
    fn refill(&mut self, max: usize) -> io::Result<()> {
        for _ in 0..EMPTY_ANSWERS {
            let Some(Item::Producer(producer)) = self.items.front_mut() else {
                return Ok(());
            };
            if self.is_stalled {
                return Ok(());
            }
            let mut made = BytesMut::new();
            let more = producer.more(&mut made, max)?;
            if more == More::Done {
                self.items.pop_front();
                self.producers -= 1;
            }
            self.is_stalled = more == More::Later;
            if !made.is_empty() {
                self.len += made.len();
                self.items.push_front(Item::Shared(made.freeze()));
                return Ok(());
            }
        }
        Ok(())
    }

    /// See [`Output::advance`].
    fn advance(&mut self, sent: usize, buffers: Option<&Buffers>) {
        let mut left = sent;
        while left > 0 {
            let (cut, is_done) = match self.items.front_mut() {
                Some(Item::Shared(data)) => cut(data, left),
                Some(Item::Own(data, start)) => {
                    let cut = left.min(data.len() - *start);
                    *start += cut;
                    (cut, *start == data.len())
                }
                Some(Item::Producer(_)) | None => break,
            };
            left -= cut;
            self.len -= cut;
            if is_done {
                if let Some(Item::Own(buffer, _)) = self.items.pop_front() {
                    give_back(buffer, buffers);
                }
            }
        }
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
            Self::Own(data, start) => Some(&data[*start..]),
            Self::Producer(_) => None,
        }
    }
}

/// A copy, in a buffer with room for more.
fn filled(data: &[u8], buffers: Option<&Buffers>) -> Box<Vec<u8>> {
    let mut buffer = spare(buffers);
    append(&mut buffer, data);
    buffer
}

/// A buffer that grows has a power of two: so it has room for what follows, and
/// the next one to use it need not grow it again.
#[inline]
fn append(buffer: &mut Vec<u8>, data: &[u8]) {
    if data.len() > buffer.capacity() - buffer.len() {
        grow(buffer, data.len());
    }
    buffer.extend_from_slice(data);
}

#[cold]
fn grow(buffer: &mut Vec<u8>, len: usize) {
    let len = buffer.len() + len;
    buffer.reserve(len.next_power_of_two() - buffer.len());
}

#[inline]
fn spare(buffers: Option<&Buffers>) -> Box<Vec<u8>> {
    buffers.map_or_else(Box::default, Buffers::take_spare)
}

fn give_back(buffer: Box<Vec<u8>>, buffers: Option<&Buffers>) {
    if let Some(buffers) = buffers {
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
