//! Offers that wait: whole messages that may be dropped. It knows no sockets.
//!
//! Each waits in line until the queue of the channel has room for it. Of a message that
//! waits nothing was sent, so whatever is dropped here is dropped whole.

use std::collections::{HashMap, VecDeque};
use std::mem;

use bytes::Bytes;

/// What a place in the line counts as, besides the bytes of its message. It is about what
/// one takes: else a million messages of a byte would be a limit of 1 MiB.
const PLACE: usize = 64;

/// The policy for an [offer](crate::Chat::offer) that does not fit into
/// [`Limits::offers`](crate::Limits::offers).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OfferPolicy {
    /// The channel is closed, as by too much [`output`](crate::Limits::output).
    #[default]
    Close,
    /// The new message is dropped. If one of [the same key](crate::Chat::offer_latest) waits,
    /// that one stays.
    DropNewest,
    /// The messages that have waited longest are dropped, as many as make room. One that is
    /// longer than all of the room is dropped itself.
    DropOldest,
}

/// The [offers](crate::Chat::offer) that a channel has dropped so far: the result of
/// [`Chat::dropped`](crate::Chat::dropped) and
/// [`Endpoint::dropped`](crate::Endpoint::dropped).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// The number of whole messages. No byte of them was sent.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What becomes of an offer that cannot be queued at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Waits,
    Dropped,
    /// There is no room, and the policy is to close.
    TooMuch,
}

#[derive(Debug, Default)]
pub(crate) struct Offers {
    line: VecDeque<Offer>,
    /// The number of the first in line; the others are numbered on.
    first: u64,
    /// The numbers of those that have a key.
    keys: HashMap<u64, u64>,
    /// Bytes of all messages.
    len: usize,
    pub(crate) dropped: Dropped,
}

#[derive(Debug)]
struct Offer {
    key: Option<u64>,
    data: Bytes,
}

impl Offers {
    /// Puts a message at the end of the line, or in the place of the one of the same key.
    /// All together may count `limit`.
    pub(crate) fn add(
        &mut self,
        key: Option<u64>,
        data: Bytes,
        limit: usize,
        policy: OfferPolicy,
    ) -> Fate {
        while self.weight_with(key, data.len()) > limit {
            match policy {
                OfferPolicy::Close => return Fate::TooMuch,
                OfferPolicy::DropOldest if data.len() + PLACE <= limit => {
                    let oldest = self.next();
                    self.count_dropped(oldest.map_or(0, |oldest| oldest.len()));
                }
                OfferPolicy::DropOldest | OfferPolicy::DropNewest => {
                    self.count_dropped(data.len());
                    return Fate::Dropped;
                }
            }
        }
        self.put(key, data);
        Fate::Waits
    }

    fn put(&mut self, key: Option<u64>, data: Bytes) {
        self.len += data.len();
        if let Some(place) = self.place_of(key) {
            let before = mem::replace(&mut self.line[place].data, data);
            self.len -= before.len();
            return self.count_dropped(before.len());
        }
        if let Some(key) = key {
            self.keys.insert(key, self.first + self.line.len() as u64);
        }
        self.line.push_back(Offer { key, data });
    }

    /// Takes the first in line. A line that is empty leaves no memory behind.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        let Offer { key, data } = self.line.pop_front()?;
        self.first += 1;
        self.len -= data.len();
        if let Some(key) = key {
            self.keys.remove(&key);
        }
        if self.line.is_empty() {
            self.clear();
        }
        Some(data)
    }

    /// The length of the first in line.
    pub(crate) fn next_len(&self) -> Option<usize> {
        Some(self.line.front()?.data.len())
    }

    /// Drops all, without a count. Returns how many bytes these were.
    pub(crate) fn clear(&mut self) -> usize {
        let dropped = self.dropped;
        mem::replace(
            self,
            Self {
                dropped,
                ..Self::default()
            },
        )
        .len
    }

    /// Bytes of all messages that wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What all that wait count as: about the memory that they take.
    pub(crate) fn weight(&self) -> usize {
        self.len + self.line.len() * PLACE
    }

    /// What all count as when such a message is added.
    fn weight_with(&self, key: Option<u64>, len: usize) -> usize {
        match self.place_of(key) {
            Some(place) => self.weight() + len - self.line[place].data.len(),
            None => self.weight() + len + PLACE,
        }
    }

    fn place_of(&self, key: Option<u64>) -> Option<usize> {
        let number = self.keys.get(&key?)?;
        Some((number - self.first) as usize)
    }

    fn count_dropped(&mut self, len: usize) {
        self.dropped.messages += 1;
        self.dropped.bytes += len as u64;
    }
}

#[cfg(test)]
mod tests;
