//! Input that was received and not handed out yet: [`Unread`].

use bytes::{Bytes, BytesMut};

/// Input that was received and not handed out yet. One word, since most channels have none.
#[derive(Debug, Default)]
pub(crate) struct Unread(/** Not empty. */ Option<Box<Kept>>);

/// A part of what was received, and how much memory that takes.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) data: Bytes,
    allocated: usize,
}

impl Kept {
    /// The end of it. It is copied where it is less than half of its memory: so all that is
    /// kept takes twice its length at most.
    pub(crate) fn end(&self, end: &[u8]) -> Self {
        match end.len() < self.allocated / 2 {
            true => Self::from(end.to_vec()),
            false => Self {
                data: self.data.slice_ref(end),
                allocated: self.allocated,
            },
        }
    }
}

impl From<Vec<u8>> for Kept {
    fn from(data: Vec<u8>) -> Self {
        Self {
            allocated: data.capacity(),
            data: data.into(),
        }
    }
}

impl Unread {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |kept| kept.data.len())
    }

    /// The memory that it takes, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.0.as_ref().map_or(0, |kept| kept.allocated)
    }

    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    /// All of it.
    pub(crate) fn take(&mut self) -> Kept {
        self.0.take().map_or_else(Kept::default, |kept| *kept)
    }

    /// Moves as much as there is room for into `buffer`; returns how much.
    pub(crate) fn take_into(&mut self, buffer: &mut [u8]) -> usize {
        let all = self.take();
        let (first, rest) = all.data.split_at(buffer.len().min(all.data.len()));
        buffer[..first.len()].copy_from_slice(first);
        self.set(all.end(rest));
        first.len()
    }

    /// Puts `data` before the rest.
    pub(crate) fn put_back(&mut self, data: &[u8]) {
        if !data.is_empty() {
            let rest = self.take();
            self.set([data, &rest.data].concat().into());
        }
    }

    /// Puts `kept` behind the rest.
    pub(crate) fn put_behind(&mut self, kept: Kept) {
        let rest = self.take();
        self.set(match rest.data.is_empty() {
            true => kept,
            false => [rest.data, kept.data].concat().into(),
        });
    }

    /// Puts a copy of `data` behind the rest. All of it together is at most `max` bytes, and
    /// takes as much memory; a peer that sends it byte by byte does not have it copied each
    /// time.
    pub(crate) fn append(&mut self, data: &[u8], max: usize) {
        let mut all = match self.take().data.try_into_mut() {
            Ok(all) => all,
            Err(shared) => BytesMut::from(&shared[..]),
        };
        let len = all.len() + data.len();
        if len > all.capacity() {
            let len = if all.is_empty() { len } else { 2 * len };
            let mut larger = BytesMut::with_capacity(len.min(max));
            larger.extend_from_slice(&all);
            all = larger;
        }
        all.extend_from_slice(data);
        self.set(Kept {
            allocated: all.capacity(),
            data: all.freeze(),
        });
    }

    fn set(&mut self, kept: Kept) {
        self.0 = (!kept.data.is_empty()).then(|| Box::new(kept));
    }
}
