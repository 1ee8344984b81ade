//! What is to be sent: a queue of bytes and producers. It knows no sockets.
//!
//! Small pushes are gathered into one buffer, large shared ones are kept as
//! they are, and producers are asked only when they are at the head. What was
//! sent in part stays whole, and how much of it was sent is kept beside it.

pub(crate) mod account;
mod producers;

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;
use std::mem;

use bytes::Bytes;
use reactor::Buffers;

use crate::layer::Layer;
use crate::limits::Limits;
use crate::producer::Producer;
use crate::unsent::Unsent;

use account::grow;
pub(crate) use producers::Ask;

/// Shared data up to this many bytes is copied: that costs less than to count
/// references and to send it by a slice of its own.
const COPY_LEN: usize = 1_024;

/// A gathering buffer of this many bytes is full, and another begun.
const SEGMENT_LEN: usize = 65_536;

/// How many slices one vectored write gets.
pub(crate) const MAX_SLICES: usize = 16;

/// What the map lends. A pointer in each channel, in place of a vector's three words.
type Buffer = Box<Vec<u8>>;

#[derive(Debug)]
pub(crate) struct Output {
    queued: Queued,
    /// How many bytes of the first item were sent.
    sent: usize,
    /// How many bytes may be queued before a push has to look at the limits.
    mark: u32,
    /// How much of what is queued is answers: see `backpressure.rs`.
    pub(crate) answers: u32,
    /// Where emptied buffers go, and what the queue holds is charged; none before the
    /// channel is in a map.
    pub(crate) buffers: Option<Buffers>,
}

/// What is queued: mostly small pushes, gathered in one buffer.
#[derive(Debug, Default)]
enum Queued {
    #[default]
    Nothing,
    /// One buffer, not empty. Whatever fits into it can be pushed without a look at
    /// the limits or the channel's state.
    Open(Buffer),
    /// The same, but a push must look at them.
    Shut(Buffer),
    /// Not empty.
    Many(Box<Queue>),
    /// Nothing, and what there was is lost.
    Lost(Box<Unsent>),
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    /// Bytes of all items; what producers will make is not known.
    len: usize,
    /// How many of them, at the head, the last producer has made.
    made: usize,
    producers: usize,
    /// The producer at the head said `Later`.
    is_stalled: bool,
    /// The producer at the head has made some of its output.
    is_begun: bool,
    /// What was lost when the queue was [cut](Output::cut).
    lost: Option<Unsent>,
}

enum Item {
    Shared(Bytes),
    Own(Buffer),
    /// `None` is the channel's own handler.
    Producer(Option<Box<dyn Producer>>),
    /// What is behind goes through it.
    Layer(Layer),
}

impl Output {
    /// An empty queue under these limits.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            queued: Queued::Nothing,
            sent: 0,
            mark: mark(limits),
            answers: 0,
            buffers: None,
        }
    }

    pub(crate) fn use_limits(&mut self, limits: &Limits) {
        self.mark = mark(limits);
        self.shut();
    }

    /// Every push must look at the limits and the state.
    pub(crate) fn gather_nothing(&mut self) {
        self.mark = 0;
    }

    /// A push must look at the limits or the state again.
    pub(crate) fn shut(&mut self) {
        self.queued = match mem::take(&mut self.queued) {
            Queued::Open(buffer) => Queued::Shut(buffer),
            queued => queued,
        };
    }

    /// Queues a copy of `data`, if there is a buffer with room for it.
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

    /// Queues a copy of `data` where nothing is queued, unless there is more to it.
    #[inline]
    pub(crate) fn push_first(&mut self, data: &[u8]) -> bool {
        match (&self.queued, &self.buffers) {
            (Queued::Nothing, Some(buffers)) if (1..=self.mark as usize).contains(&data.len()) => {
                let mut buffer = buffers.take_spare();
                append(Some(buffers), &mut buffer, data);
                self.keep(buffer);
                true
            }
            _ => false,
        }
    }

    /// Queues a copy of `data`.
    pub(crate) fn push(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        match mem::take(&mut self.queued) {
            Queued::Open(mut buffer) | Queued::Shut(mut buffer)
                if buffer.len() + data.len() <= SEGMENT_LEN =>
            {
                append(self.buffers.as_ref(), &mut buffer, data);
                return self.keep(buffer);
            }
            queued => self.queued = queued,
        }
        if let Queued::Many(queue) = &mut self.queued {
            match queue.items.back_mut() {
                Some(Item::Own(buffer)) if buffer.len() + data.len() <= SEGMENT_LEN => {
                    queue.len += data.len();
                    return append(self.buffers.as_ref(), buffer, data);
                }
                _ => {}
            }
        }
        let mut buffer = self.take_buffer();
        append(self.buffers.as_ref(), &mut buffer, data);
        match self.queued {
            Queued::Nothing => self.keep(buffer),
            _ => self.push_item(Item::Own(buffer)),
        }
    }

    /// Where nothing is queued, this buffer is.
    #[inline]
    pub(crate) fn keep(&mut self, buffer: Buffer) {
        let queued = match buffer.capacity() <= self.mark as usize {
            true => Queued::Open(buffer),
            false => Queued::Shut(buffer),
        };
        // There is nothing to drop, and to find that out is a call.
        mem::forget(mem::replace(&mut self.queued, queued));
    }

    /// Queues `data` as it is, unless it is short.
    pub(crate) fn push_bytes(&mut self, data: Bytes) {
        match data.len() <= COPY_LEN {
            true => self.push(&data),
            false => self.push_item(Item::Shared(data)),
        }
    }

    pub(crate) fn push_layer(&mut self, layer: Layer) {
        self.push_item(Item::Layer(layer));
    }

    /// Takes the layer at the head.
    pub(crate) fn take_layer(&mut self) -> Option<Layer> {
        let Queued::Many(queue) = &mut self.queued else {
            return None;
        };
        match queue.items.pop_front() {
            Some(Item::Layer(layer)) => {
                self.drop_empty_queue();
                Some(layer)
            }
            Some(item) => {
                queue.items.push_front(item);
                None
            }
            None => None,
        }
    }

    /// Whether there is a layer in the queue.
    pub(crate) fn has_layer(&self) -> bool {
        let is_layer = |item: &Item| matches!(item, Item::Layer(_));
        matches!(&self.queued, Queued::Many(queue) if queue.items.iter().any(is_layer))
    }

    /// Drops everything, producers included. What was lost before stays lost.
    pub(crate) fn clear(&mut self) {
        self.sent = 0;
        self.answers = 0;
        let lost = self.lost();
        self.free();
        self.note_lost(lost);
    }

    /// Drops everything, and keeps account of it: nothing is sent any more.
    pub(crate) fn lose(&mut self) {
        let all = self.unsent();
        self.clear();
        self.note_lost(all);
    }

    /// `more` was lost, behind a queue that is empty or was [cut](Self::cut).
    pub(crate) fn lose_also(&mut self, more: Unsent) {
        let lost = self.lost().and(more);
        match &mut self.queued {
            Queued::Many(queue) => queue.lost = Some(lost),
            _ => self.note_lost(lost),
        }
    }

    /// Has `goodbye` follow the first item, in place of all the others, which are lost, as
    /// is `more`. The first may be sent in part, and ends where a push does: no push is cut
    /// in two. Returns `false`, and changes nothing, if that item is a part of what a
    /// producer makes, or if a layer is to come: the goodbye belongs behind that.
    pub(crate) fn cut(&mut self, goodbye: Bytes, more: Unsent) -> bool {
        match &self.queued {
            Queued::Many(queue) if queue.is_begun || self.has_layer() => return false,
            _ => {}
        }
        let all = self.unsent().and(more);
        let mut queue = Box::<Queue>::default();
        let first = match mem::take(&mut self.queued) {
            Queued::Open(buffer) | Queued::Shut(buffer) => Some(Item::Own(buffer)),
            Queued::Many(queue) => {
                let mut items = queue.items;
                let first = items.pop_front();
                items.into_iter().for_each(|item| self.let_go(item));
                first
            }
            Queued::Nothing | Queued::Lost(_) => None,
        };
        if let Some(first) = first.filter(|first| first.data().is_some()) {
            queue.push(first);
        }
        self.recount(0, goodbye.len());
        queue.lost = Some(Unsent {
            bytes: all.bytes - (queue.len - self.sent),
            producers: all.producers,
        });
        queue.push(Item::Shared(goodbye));
        self.queued = Queued::Many(queue);
        true
    }

    /// What was lost so far.
    pub(crate) fn lost(&self) -> Unsent {
        match &self.queued {
            Queued::Lost(lost) => **lost,
            Queued::Many(queue) => queue.lost.unwrap_or_default(),
            _ => Unsent::default(),
        }
    }

    /// What was lost, and what would be if nothing more was sent.
    pub(crate) fn unsent(&self) -> Unsent {
        self.lost().and(Unsent {
            bytes: self.len(),
            producers: self.producers(),
        })
    }

    /// Nothing is left to send, and no producer either.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.queued, Queued::Nothing | Queued::Lost(_))
    }

    /// How many bytes may be queued before a push has to look at the limits.
    pub(crate) fn mark(&self) -> usize {
        self.mark as usize
    }

    /// How many bytes are queued.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match &self.queued {
            Queued::Nothing | Queued::Lost(_) => 0,
            Queued::Open(buffer) | Queued::Shut(buffer) => buffer.len() - self.sent,
            Queued::Many(queue) => queue.len - self.sent,
        }
    }

    /// How much of the queue is not answers.
    #[inline]
    pub(crate) fn others(&self) -> u32 {
        match &self.queued {
            Queued::Nothing => 0,
            _ => self.besides(self.answers),
        }
    }

    /// All of the queue but `others` is answers.
    #[inline]
    pub(crate) fn count_answers(&mut self, others: u32) {
        self.answers = match (&self.queued, others) {
            (Queued::Open(buffer), 0) => (buffer.len() - self.sent) as u32, // up to the mark
            _ => self.besides(others),
        };
    }

    /// How much is queued besides `part`: bytes that were pushed, and producers by their
    /// weight. The bytes that a producer has made do not count.
    #[cold]
    fn besides(&self, part: u32) -> u32 {
        let pushed = match &self.queued {
            Queued::Many(queue) => queue.len - self.sent.max(queue.made),
            _ => self.len(),
        };
        let producers = clip(self.producers()).saturating_mul(self.weight());
        clip(pushed).saturating_add(producers).saturating_sub(part)
    }

    /// There is something to send now: bytes, or a producer that may have some.
    pub(crate) fn is_ready(&self) -> bool {
        match &self.queued {
            Queued::Nothing | Queued::Lost(_) => false,
            Queued::Open(_) | Queued::Shut(_) => true,
            Queued::Many(queue) => {
                !queue.is_stalled || !matches!(queue.items.front(), Some(Item::Producer(_)))
            }
        }
    }

    /// Takes all that is to be sent, if it lies in one piece of which nothing was sent.
    #[inline]
    pub(crate) fn take_piece(&mut self) -> Option<Buffer> {
        match mem::take(&mut self.queued) {
            Queued::Open(buffer) | Queued::Shut(buffer) if self.sent == 0 => Some(buffer),
            queued => {
                mem::forget(mem::replace(&mut self.queued, queued)); // as in `keep`
                None
            }
        }
    }

    /// Fills `slices` with what is at the head; returns how many, and how many
    /// bytes they are.
    pub(crate) fn gather<'o>(&'o self, slices: &mut [IoSlice<'o>; MAX_SLICES]) -> (usize, usize) {
        let queue = match &self.queued {
            Queued::Nothing | Queued::Lost(_) => return (0, 0),
            Queued::Open(buffer) | Queued::Shut(buffer) => {
                slices[0] = IoSlice::new(&buffer[self.sent..]);
                return (1, slices[0].len());
            }
            Queued::Many(queue) => queue,
        };
        let (mut count, mut len, mut sent) = (0, 0, self.sent);
        // A producer comes before what is behind it.
        for (slice, data) in slices
            .iter_mut()
            .zip(queue.items.iter().map_while(Item::data))
        {
            *slice = IoSlice::new(&data[mem::take(&mut sent)..]);
            count += 1;
            len += slice.len();
        }
        (count, len)
    }

    /// The first `sent` bytes were sent: answers, as far as there are any.
    pub(crate) fn advance(&mut self, sent: usize) {
        let others = self.others();
        self.sent += sent;
        match &mut self.queued {
            Queued::Open(buffer) | Queued::Shut(buffer) => {
                if self.sent == buffer.len() {
                    self.clear();
                }
            }
            Queued::Many(_) => self.drop_what_was_sent(),
            Queued::Nothing | Queued::Lost(_) => self.sent = 0,
        }
        self.count_answers(others);
    }

    fn drop_what_was_sent(&mut self) {
        while let Queued::Many(queue) = &mut self.queued {
            let Some(len) = queue.items.front().and_then(Item::data).map(<[u8]>::len) else {
                break;
            };
            if self.sent < len {
                break;
            }
            self.sent -= len;
            queue.len -= len;
            queue.made = queue.made.saturating_sub(len);
            if let Some(item) = queue.items.pop_front() {
                self.let_go(item);
            }
        }
        self.drop_empty_queue();
    }

    fn push_item(&mut self, item: Item) {
        if let Item::Shared(data) = &item {
            self.recount(0, data.len());
        }
        let mut queue = match mem::take(&mut self.queued) {
            Queued::Many(queue) => queue,
            Queued::Open(buffer) | Queued::Shut(buffer) => {
                let mut queue = Box::<Queue>::default();
                queue.push(Item::Own(buffer));
                queue
            }
            Queued::Nothing => Box::default(),
            Queued::Lost(lost) => {
                let mut queue = Box::<Queue>::default();
                queue.lost = Some(*lost);
                queue
            }
        };
        queue.push(item);
        self.queued = Queued::Many(queue);
    }

    /// A queue that was sent leaves no memory behind.
    fn drop_empty_queue(&mut self) {
        if matches!(&self.queued, Queued::Many(queue) if queue.items.is_empty()) {
            self.clear();
        }
    }

    /// Nothing is queued, and this was lost.
    fn note_lost(&mut self, lost: Unsent) {
        if !lost.is_empty() {
            self.queued = Queued::Lost(Box::new(lost));
        }
    }

    /// An empty buffer.
    pub(crate) fn take_buffer(&self) -> Buffer {
        let buffers = self.buffers.as_ref();
        buffers.map_or_else(Box::default, Buffers::take_spare)
    }

    #[inline]
    pub(crate) fn give_back(&self, buffer: Buffer) {
        if let Some(buffers) = &self.buffers {
            buffers.put_spare(buffer);
        }
    }
}

impl Queue {
    fn push(&mut self, item: Item) {
        match &item {
            Item::Producer(_) => self.producers += 1,
            item => self.len += item.data().map_or(0, <[u8]>::len),
        }
        self.items.push_back(item);
    }
}

impl Item {
    /// `None` for a producer and a layer.
    fn data(&self) -> Option<&[u8]> {
        match self {
            Self::Shared(data) => Some(data),
            Self::Own(data) => Some(data),
            Self::Producer(_) | Self::Layer(_) => None,
        }
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared(data) => write!(f, "{} bytes, shared", data.len()),
            Self::Own(data) => write!(f, "{} bytes", data.len()),
            Self::Producer(producer) => producer.fmt(f),
            Self::Layer(_) => f.write_str("a layer"),
        }
    }
}

fn mark(limits: &Limits) -> u32 {
    clip(limits.high_water.min(limits.output))
}

pub(crate) fn clip(len: usize) -> u32 {
    len.try_into().unwrap_or(u32::MAX)
}

#[inline]
fn append(buffers: Option<&Buffers>, buffer: &mut Vec<u8>, data: &[u8]) {
    if data.len() > buffer.capacity() - buffer.len() {
        grow(buffers, buffer, data.len());
    }
    buffer.extend_from_slice(data);
}

#[cfg(test)]
mod tests;
