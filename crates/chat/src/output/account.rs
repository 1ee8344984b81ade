//! The memory of a queue, as the map's account has it: charged where a buffer grows or shared
//! data is queued, refunded where they go.

use std::mem;

use reactor::Buffers;

use super::{Buffer, Item, Output, Queued};

impl Output {
    /// Uses these buffers, and is charged to them, in place of any others.
    pub(crate) fn use_buffers(&mut self, buffers: &Buffers) {
        let held = self.memory();
        self.recount(held, 0);
        self.buffers = Some(buffers.clone());
        self.recount(0, held);
    }

    pub(crate) fn uses(&self, buffers: &Buffers) -> bool {
        self.buffers.as_ref().is_some_and(|it| it.is_same(buffers))
    }

    /// What was `before` bytes, for the map's account, is `now`.
    pub(crate) fn recount(&self, before: usize, now: usize) {
        recount(self.buffers.as_ref(), before, now);
    }

    /// The bytes that the map's account has for the queue.
    pub(crate) fn memory(&self) -> usize {
        match &self.queued {
            Queued::Nothing | Queued::Lost(_) => 0,
            Queued::Open(buffer) | Queued::Shut(buffer) => buffer.capacity(),
            Queued::Many(queue) => queue.items.iter().map(Item::memory).sum(),
        }
    }

    pub(super) fn free(&mut self) {
        match mem::take(&mut self.queued) {
            Queued::Open(buffer) | Queued::Shut(buffer) => self.give_back(buffer),
            Queued::Many(queue) => queue.items.into_iter().for_each(|item| self.let_go(item)),
            Queued::Nothing | Queued::Lost(_) => {}
        }
    }

    /// The item is sent or dropped.
    pub(super) fn let_go(&self, item: Item) {
        match item {
            Item::Own(buffer) => self.give_back(buffer),
            Item::Shared(data) => self.recount(data.len(), 0),
            Item::Producer(_) | Item::Layer(_) => {}
        }
    }
}

/// A buffer on loan to code of the program's, which may make it grow, or panic. It goes back,
/// and the account knows.
pub(crate) struct Lent {
    buffer: Buffer,
    before: usize,
    buffers: Option<Buffers>,
}

impl Lent {
    pub(crate) fn of(output: &Output) -> Self {
        let buffer = output.take_buffer();
        Self {
            before: buffer.capacity(),
            buffer,
            buffers: output.buffers.clone(),
        }
    }

    pub(crate) fn data(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Keeps it.
    pub(super) fn take(mut self) -> Buffer {
        self.recount();
        self.buffers = None;
        mem::take(&mut self.buffer)
    }

    fn recount(&mut self) {
        let now = self.buffer.capacity();
        recount(self.buffers.as_ref(), self.before, now);
        self.before = now;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.recount();
        if let Some(buffers) = &self.buffers {
            buffers.put_spare(mem::take(&mut self.buffer));
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.free();
    }
}

impl Item {
    /// The bytes that the map's account has for it.
    fn memory(&self) -> usize {
        match self {
            Self::Shared(data) => data.len(),
            Self::Own(data) => data.capacity(),
            Self::Producer(_) | Self::Layer(_) => 0,
        }
    }
}

/// A buffer that grows has a power of two: so it has room for what follows, and
/// the next one to use it need not grow it again.
#[cold]
pub(super) fn grow(buffers: Option<&Buffers>, buffer: &mut Vec<u8>, len: usize) {
    let len = (buffer.len() + len).next_power_of_two();
    let before = buffer.capacity();
    buffer.reserve_exact(len - buffer.len());
    recount(buffers, before, buffer.capacity());
}

pub(super) fn recount(buffers: Option<&Buffers>, before: usize, now: usize) {
    match buffers {
        Some(buffers) if now > before => buffers.charge(now - before),
        Some(buffers) if now < before => buffers.refund(before - now),
        _ => {}
    }
}
