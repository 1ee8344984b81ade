//! The memory of the whole map: an account of what its channels hold, and a cap.
//!
//! Only what allocates, grows or frees a buffer touches the account, so that a push into a
//! buffer with room costs nothing. Where the cap is passed, the channel that is being called
//! delivers nothing more. When its callback has returned, the biggest channels go.

use std::cell::Cell;
use std::cmp::Reverse;

use super::{Buffers, ChannelMap};
use crate::channel::Channel;
use crate::close_reason::CloseReason;
use crate::token::Token;

/// Bytes that the channels of a map may hold by default: 1 GiB.
const CAP: usize = 1024 * 1024 * 1024;

/// An eviction frees this part of the cap, so that the next one is not due at once.
const STEPS: usize = 16;

/// The account of one map.
pub(super) struct Memory {
    held: Cell<usize>,
    cap: Cell<usize>,
    /// If more is held, somebody must go. More than the cap, if nobody was there to go.
    bound: Cell<usize>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            held: Cell::new(0),
            cap: Cell::new(CAP),
            bound: Cell::new(CAP),
        }
    }
}

impl Memory {
    pub(super) fn step(&self) -> usize {
        (self.cap.get() / STEPS).max(1)
    }

    pub(super) fn is_over(&self) -> bool {
        self.held.get() > self.bound.get()
    }

    fn set_cap(&self, cap: usize) {
        self.cap.set(cap);
        self.bound.set(cap);
    }

    /// As many have gone as can: the next ones go when a step more is held.
    fn bear(&self) {
        let next = self.held.get().saturating_add(self.step());
        self.bound.set(self.cap.get().max(next));
    }
}

/// # Memory
impl Buffers {
    /// Counts `bytes` that a channel holds from now on toward the map's
    /// [memory](ChannelMap::memory): the capacity of a buffer that it has allocated, or by
    /// which one has grown. If that is more than the map's
    /// [cap](ChannelMap::set_memory_cap), the channel that is being called
    /// [goes on](ChannelMap::may_continue) no more, and channels are evicted when its
    /// callback has returned.
    ///
    /// [`refund`](Self::refund) what is charged when it is freed, at the latest when the
    /// channel is dropped; and override
    /// [`Channel::reclaimable`](crate::Channel::reclaimable).
    ///
    /// ```
    /// use reactor::ChannelMap;
    ///
    /// let map = ChannelMap::new()?;
    /// let buffer = Vec::<u8>::with_capacity(1_000);
    /// map.buffers().charge(buffer.capacity());
    /// assert_eq!(map.memory(), 1_000);
    /// map.buffers().refund(buffer.capacity());
    /// assert_eq!(map.memory(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cold]
    pub fn charge(&self, bytes: usize) {
        let memory = self.memory();
        memory.held.set(memory.held.get().saturating_add(bytes));
        if memory.is_over() {
            self.0.calling.set(None);
        }
    }

    /// Takes back a [`charge`](Self::charge).
    // After an eviction that freed too little the bound is above the cap. What is freed lowers
    // it again.
    #[cold]
    pub fn refund(&self, bytes: usize) {
        let memory = self.memory();
        memory.held.set(memory.held.get().saturating_sub(bytes));
        let bound = memory.bound.get();
        memory.bear();
        memory.bound.set(memory.bound.get().min(bound));
    }
}

/// # Memory
impl ChannelMap {
    /// Bytes that the channels hold, and spare buffers. Of the `chat` crate's channels these
    /// are queued output, partial messages and undelivered input by the capacity of their
    /// buffers; waiting offers, and output that a transport keeps, by their length (offers 64
    /// bytes more each). Shared data counts for each channel that holds it, as if each had a
    /// copy. What handlers and producers keep is not known, and the channels themselves do
    /// not count.
    ///
    /// It counts what was [charged](Buffers::charge) to the map's buffers. A channel that is
    /// removed counts until it is dropped, or enters another map.
    pub fn memory(&self) -> usize {
        self.buffers.memory().held.get()
    }

    /// Sets how many bytes all channels together may [hold](Self::memory). Default 1 GiB.
    ///
    /// One callback may pass the cap. When it has returned, the map frees its spare buffers,
    /// and closes the channels that hold most, as [`Evicted`](CloseReason::Evicted), until at
    /// most 15/16 of the cap are held. A channel that is being called with several messages
    /// delivers no further one before; the rest comes in the next turn. After pushes between
    /// turns, channels are evicted when the next turn begins.
    ///
    /// A channel that is not to go, such as a console or a link to a cluster, says that it
    /// has [nothing to reclaim](crate::Channel::reclaimable); in the `chat` crate, by
    /// `Limits::evictable`. If nobody else is left, the cap is passed, with a warning in the
    /// log for each further sixteenth of the cap.
    pub fn set_memory_cap(&mut self, bytes: usize) {
        self.buffers.memory().set_cap(bytes);
        if !self.home.is_busy() {
            self.relieve(); // or when the callback has returned
        }
    }

    /// Ends the call of a channel that is to be settled, and may have passed the cap of
    /// memory.
    #[cold]
    pub(super) fn end_disturbed(&mut self, channel: Box<dyn Channel>, me: Token) {
        self.buffers.0.calling.set(None);
        if let Err(stray) = self.put_back(channel, me, false) {
            self.park(Some((me, stray)));
        }
        self.relieve();
    }

    /// After a callback: does what it has given cause for, but for posts.
    pub(super) fn end_callback(&mut self) {
        self.relieve();
        self.run_closes();
    }

    /// Evicts channels, if they hold too much.
    #[inline]
    pub(super) fn relieve(&mut self) {
        if self.buffers.memory().is_over() {
            self.evict();
        }
    }

    #[cold]
    fn evict(&mut self) {
        self.buffers.free_spare();
        let (held, cap) = (self.memory(), self.buffers.memory().cap.get());
        if held > cap {
            let evicted = self.evict_biggest(held, cap - cap.min(self.buffers.memory().step()));
            log::warn!("the channels hold {held} bytes, of at most {cap}: {evicted} are evicted");
            self.buffers.memory().bear();
        }
    }

    /// Closes the biggest channels, until of what is `held` only `rest` is; returns how many.
    fn evict_biggest(&mut self, mut held: usize, rest: usize) -> usize {
        let mut candidates: Vec<(Reverse<usize>, Token)> = Vec::new();
        for (_, slot) in &self.slots {
            let bytes = slot.channel.as_ref().map_or(0, |it| it.reclaimable());
            match slot.closing {
                true => held = held.saturating_sub(bytes),
                false if bytes > 0 => candidates.push((Reverse(bytes), slot.token)),
                false => {}
            }
        }
        candidates.sort_unstable();
        let mut evicted = 0;
        for (Reverse(bytes), token) in candidates {
            if held <= rest {
                break;
            }
            self.close_with(token, CloseReason::Evicted);
            held = held.saturating_sub(bytes);
            evicted += 1;
        }
        evicted
    }
}
