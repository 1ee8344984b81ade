//! Input that was received and not handed out yet: [`Unread`].

use bytes::{Bytes, BytesMut};

/// Input that was received and not handed out yet. One word, since most channels have none.
#[derive(Debug, Default)]
pub(crate) struct Unread(/** Not empty. */ Option<Box<Bytes>>);

impl Unread {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |data| data.len())
    }

    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    /// All of it.
    pub(crate) fn take(&mut self) -> Bytes {
        self.0.take().map_or_else(Bytes::new, |data| *data)
    }

    /// Moves as much as there is room for into `buffer`; returns how much.
    pub(crate) fn take_into(&mut self, buffer: &mut [u8]) -> usize {
        let mut all = self.take();
        let first = all.split_to(buffer.len().min(all.len()));
        buffer[..first.len()].copy_from_slice(&first);
        self.set(all);
        first.len()
    }

    /// Puts `data` before the rest.
    pub(crate) fn put_back(&mut self, data: &[u8]) {
        if !data.is_empty() {
            let rest = self.take();
            self.set([data, &rest].concat().into());
        }
    }

    /// Puts `data` behind the rest.
    pub(crate) fn put_behind(&mut self, data: Bytes) {
        let rest = self.take();
        self.set(match rest.is_empty() {
            true => data,
            false => [rest, data].concat().into(),
        });
    }

    /// Puts a copy of `data` behind the rest. All of it together is at most `max` bytes, and
    /// takes as much memory; a peer that sends it byte by byte does not have it copied each
    /// time.
    pub(crate) fn append(&mut self, data: &[u8], max: usize) {
        let mut all = match self.take().try_into_mut() {
            Ok(all) => all,
            Err(shared) => BytesMut::from(&shared[..]),
        };
        let len = all.len() + data.len();
        if len > all.capacity() {
            let mut larger = BytesMut::with_capacity((2 * len).min(max));
            larger.extend_from_slice(&all);
            all = larger;
        }
        all.extend_from_slice(data);
        self.set(all.freeze());
    }

    fn set(&mut self, data: Bytes) {
        self.0 = (!data.is_empty()).then(|| Box::new(data));
    }
}
