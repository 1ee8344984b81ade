//! What the channels of one map share: [`Buffers`].

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::time::Instant;

use super::ChannelMap;
use super::clock::{Clock, Moment};
use super::memory::Memory;
use crate::token::Token;

/// Size of a [`ReadBuffer`] in bytes: 256 KiB. Its unused part takes no memory.
const READ_BUFFER_SIZE: usize = 262_144;

/// Capacity of a fresh output buffer, in bytes.
const SPARE_CAPACITY: usize = 4_096;

/// A buffer that has grown beyond this is given back to the allocator.
const SPARE_MAX_CAPACITY: usize = 65_536;

/// How many bytes of idle output buffers are kept: 4 MiB.
const SPARE_MAX: usize = 4 * 1024 * 1024;

/// What the channels of one map share: buffers, the account of memory, the time.
///
/// One buffer is to read into, and spare ones are for output, so that an idle channel holds
/// no buffer and a busy one does not allocate. The account has what the channels
/// [hold](Self::charge). The [time](Self::time) is that of the turn. A clone is the same
/// set.
///
/// ```
/// use reactor::ChannelMap;
///
/// let map = ChannelMap::new()?;
/// let buffer = map.buffers().read_buffer();
/// assert_eq!(buffer.len(), 262_144);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Buffers(pub(super) Rc<Shelf>);

#[derive(Default)]
pub(super) struct Shelf {
    /// The channel that is called with its events, until it is closed, converted or amended,
    /// something is posted, or too much memory is held. Here, so that
    /// [`charge`](Buffers::charge), which has no map, can stop its delivery.
    pub(super) calling: Cell<Option<Token>>,
    memory: Memory,
    pub(super) clock: Clock,
    read: Cell<Option<Box<[u8; READ_BUFFER_SIZE]>>>,
    /// The buffer that was taken back last: mostly, it is the only one.
    #[expect(clippy::box_collection, reason = "lending moves one word")]
    last: Cell<Option<Box<Vec<u8>>>>,
    #[expect(clippy::vec_box, reason = "lending moves one word")]
    spare: RefCell<Vec<Box<Vec<u8>>>>,
    /// Capacities of those in `spare`.
    spare_len: Cell<usize>,
    /// Channels that were touched where no map is at hand, and whether there are any: that is
    /// asked in each turn.
    touched: Cell<Vec<Token>>,
    pub(super) has_touched: Cell<bool>,
}

impl ChannelMap {
    /// The buffers that the channels of this map share.
    #[inline]
    pub fn buffers(&self) -> &Buffers {
        &self.buffers
    }
}

impl Buffers {
    pub(super) fn memory(&self) -> &Memory {
        &self.0.memory
    }

    /// Whether both are the same set of buffers, and so of the same map.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// Lends the read buffer: 256 KiB of unspecified content.
    ///
    /// It goes back when the guard is dropped. Meanwhile another caller gets a fresh
    /// buffer of the same size.
    #[must_use]
    #[inline]
    pub fn read_buffer(&self) -> ReadBuffer {
        ReadBuffer {
            bytes: Some(self.0.read.take().unwrap_or_else(fresh)),
            shelf: Rc::clone(&self.0),
        }
    }

    /// An empty buffer for output, with room for at least 4 KiB; in a box, so
    /// that lending it moves one word. Its capacity is [charged](Self::charge).
    #[must_use]
    #[inline]
    pub fn take_spare(&self) -> Box<Vec<u8>> {
        match self.0.last.take() {
            Some(spare) => spare,
            None => self.take_other(),
        }
    }

    /// Takes back a buffer of [`take_spare`](Self::take_spare), all of whose capacity is
    /// charged. It is refunded when the buffer is freed.
    #[inline(always)] // once in the `settle` of each channel type
    pub fn put_spare(&self, mut buffer: Box<Vec<u8>>) {
        buffer.clear();
        let is_fit = (SPARE_CAPACITY..=SPARE_MAX_CAPACITY).contains(&buffer.capacity());
        if !is_fit {
            self.free(buffer);
        } else if let Some(other) = self.0.last.replace(Some(buffer)) {
            self.put_other(other);
        }
    }

    #[inline(never)]
    #[expect(clippy::box_collection, reason = "lending moves one word")]
    fn take_other(&self) -> Box<Vec<u8>> {
        if let Some(spare) = self.0.spare.borrow_mut().pop() {
            let len = self.0.spare_len.get() - spare.capacity();
            self.0.spare_len.set(len);
            return spare;
        }
        let buffer = Vec::with_capacity(SPARE_CAPACITY);
        self.charge(buffer.capacity());
        Box::new(buffer)
    }

    #[inline(never)]
    #[expect(clippy::box_collection, reason = "lending moves one word")]
    fn put_other(&self, buffer: Box<Vec<u8>>) {
        let last = self.0.last.take();
        let last_len = last.as_ref().map_or(0, |last| last.capacity());
        self.0.last.set(last);
        let len = self.0.spare_len.get() + buffer.capacity();
        if len + last_len <= SPARE_MAX.min(self.memory().step()) {
            self.0.spare_len.set(len);
            self.0.spare.borrow_mut().push(buffer);
        } else {
            self.free(buffer);
        }
    }

    #[cold]
    #[expect(clippy::box_collection, reason = "lending moves one word")]
    #[expect(clippy::boxed_local, reason = "the box is freed here, too")]
    fn free(&self, buffer: Box<Vec<u8>>) {
        self.refund(buffer.capacity());
    }

    /// Frees the buffers that nobody uses.
    pub(super) fn free_spare(&self) {
        if let Some(last) = self.0.last.take() {
            self.free(last);
        }
        self.0.spare.take();
        self.refund(self.0.spare_len.take());
    }
}

/// # Channels of the same map
impl Buffers {
    /// Has the map settle the channel before its next wait, as [`ChannelMap::touch`] does. It
    /// needs no map: it can be called where a channel is dropped, or from inside another one.
    /// Nothing happens if the map has no such channel.
    ///
    /// ```
    /// use reactor::{Buffers, Token};
    ///
    /// /// What one channel lends to another, which may be dropped anywhere.
    /// struct Share {
    ///     lender: Token,
    ///     buffers: Buffers,
    /// }
    ///
    /// impl Drop for Share {
    ///     fn drop(&mut self) {
    ///         self.buffers.touch(self.lender); // which looks whether it has all back
    ///     }
    /// }
    /// ```
    #[cold]
    pub fn touch(&self, channel: impl Into<Token>) {
        let mut touched = self.0.touched.take();
        if touched.len() == touched.capacity() {
            touched.sort_unstable();
            touched.dedup();
        }
        touched.push(channel.into());
        self.0.touched.set(touched);
        self.0.has_touched.set(true);
    }

    /// Those that were touched since this was last called.
    fn take_touched(&self) -> Vec<Token> {
        self.0.has_touched.set(false);
        self.0.touched.take()
    }
}

impl ChannelMap {
    /// Touches the channels that were touched without the map.
    #[cold]
    pub(super) fn touch_those(&mut self) {
        for token in self.buffers.take_touched() {
            self.touch(token);
        }
    }
}

/// # Time
impl Buffers {
    /// The time of the turn: [`ChannelMap::now`] in one word. Output that leaves at the
    /// beginning of a turn has the time of that beginning. [`instant`](Self::instant) reads
    /// the word.
    ///
    /// ```
    /// use reactor::ChannelMap;
    ///
    /// let mut map = ChannelMap::new()?;
    /// map.turn_at(map.now() + std::time::Duration::from_secs(5))?;
    /// let time = map.buffers().time();
    /// assert_eq!(map.buffers().instant(time), map.now());
    /// # Ok::<(), reactor::Error>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn time(&self) -> Moment {
        self.0.clock.time.get()
    }

    /// The word for an instant; for any before the map was made, that of its making.
    #[must_use]
    #[inline]
    pub fn moment(&self, at: Instant) -> Moment {
        Moment(at.saturating_duration_since(self.0.clock.began).as_nanos() as u64)
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers").finish_non_exhaustive()
    }
}

const LENT: &str = "lent until it is dropped";

/// The map's read buffer, on loan; derefs to `[u8]`.
pub struct ReadBuffer {
    /// None only while it is dropped.
    bytes: Option<Box<[u8; READ_BUFFER_SIZE]>>,
    shelf: Rc<Shelf>,
}

impl Deref for ReadBuffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes.as_deref().expect(LENT)
    }
}

impl DerefMut for ReadBuffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes.as_deref_mut().expect(LENT)
    }
}

impl Drop for ReadBuffer {
    #[inline]
    fn drop(&mut self) {
        self.shelf.read.set(self.bytes.take());
    }
}

impl fmt::Debug for ReadBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadBuffer").finish_non_exhaustive()
    }
}

#[cold]
fn fresh() -> Box<[u8; READ_BUFFER_SIZE]> {
    // Not `Box::new`, which would make it on the stack first.
    let bytes = vec![0; READ_BUFFER_SIZE].into_boxed_slice();
    bytes.try_into().expect("as long as was asked for")
}
