//! Backpressure: a chat channel whose answers outrun its peer is held until they have
//! drained.
//!
//! An answer is output that the channel's own message callbacks push. A push does not tell
//! where it comes from, but the length of the queue before and after those callbacks does.
//! In between, others push, and output leaves. It counts as answers that leave first, so
//! that what others push never counts as an answer.

use reactor::ChannelMap;

use crate::chat::Chat;
use crate::endpoint::Endpoint;
use crate::flags::{COUNTS, OUTRUN};

/// The number of answers by producers that may be queued before the channel is held.
const MANY_PRODUCERS: u32 = 16;

/// The number of them at which it is released, if the bytes, too, have drained.
const FEW_PRODUCERS: u32 = 4;

/// The part of the queued output that is no answer of the channel's own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Others {
    bytes: u32,
    producers: u32,
}

impl Others {
    /// All that is queued.
    pub(crate) fn all(endpoint: &Endpoint) -> Self {
        Self {
            bytes: clip(endpoint.output.pushed()),
            producers: clip(endpoint.output.producers()),
        }
    }

    /// Adds what others have pushed while the queue grew from `before` to `after`.
    pub(crate) fn grow(&mut self, before: Self, after: Self) {
        let growth = after.without(before);
        self.bytes = self.bytes.saturating_add(growth.bytes);
        self.producers = self.producers.saturating_add(growth.producers);
    }

    fn without(self, part: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(part.bytes),
            producers: self.producers.saturating_sub(part.producers),
        }
    }
}

/// # Backpressure
impl Chat {
    /// Sets whether the channel is held while its answers outrun the peer. The default is
    /// `true`, but `false` for a channel that [connects](crate::AsyncChat::connect). The
    /// setting stays with the endpoint through [conversions](crate::ChannelMap::convert).
    /// `false` releases the channel, too.
    ///
    /// An answer is output that a message callback of the channel pushes to the channel
    /// itself. While more than [`Limits::high_water`](crate::Limits::high_water) bytes or
    /// 16 producers of answers are queued, no message is delivered, as during a
    /// [`hold`](Self::hold). The channel is released when at most
    /// [`Limits::low_water`](crate::Limits::low_water) bytes and 4 producers of answers are
    /// left, or when sending fails. So a peer that sends requests and reads nothing costs
    /// one answer beyond the mark. Its further requests fill
    /// [`Limits::held`](crate::Limits::held), then its own socket.
    ///
    /// Output of other channels, timers and posts does not count: a member of a room can
    /// speak, however many lines it has yet to read. Where such output and answers share
    /// the queue, the channel may count fewer answers than are queued, but never more. Bytes
    /// that a producer makes or a [`Transport`](crate::Transport) keeps do not count.
    ///
    /// Two peers that both send requests and answer the other's need one side without
    /// backpressure. Otherwise each may wait for ever for the other to read. A handler that
    /// needs a later message to feed a queued producer
    /// ([`More::Later`](crate::More::Later)) must switch it off, too.
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// use chat::AsyncChat;
    ///
    /// # let (ours, _theirs) = UnixStream::pair()?;
    /// let peer = AsyncChat::new(ours, "\n", ()).with_backpressure(false);
    /// # drop(peer);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "flow control")]
    pub fn set_backpressure(&mut self, is_on: bool) {
        self.endpoint.has_backpressure = is_on;
        if !is_on {
            self.endpoint.flags &= !OUTRUN;
        }
    }
}

impl Endpoint {
    /// Of what is queued, all but the answers counted so far.
    pub(crate) fn queued_by_others(&self) -> Others {
        Others::all(self).without(Others {
            bytes: self.answer_bytes,
            producers: self.answer_producers.into(),
        })
    }

    /// The same, before message callbacks whose answers [are counted](COUNTS).
    #[cold]
    pub(crate) fn others_to_count(&mut self) -> Others {
        self.flags |= COUNTS;
        self.queued_by_others()
    }

    /// The same, as it was before message callbacks. `None` says that no flag was set then,
    /// and nobody looked. Nothing was queued in that case, or at most the mark if somebody
    /// had reached the channel before in the turn.
    pub(crate) fn others_before(&self, others: Option<Others>, map: &ChannelMap) -> Others {
        let nothing = Others::default();
        others.unwrap_or_else(|| match map.is_touched(self.me) {
            true => Others {
                bytes: clip(self.output.mark().min(self.output.pushed())),
                ..nothing
            },
            false => nothing,
        })
    }

    /// After message callbacks: counts their answers, and holds the channel if these
    /// outrun the peer.
    #[cold]
    pub(crate) fn conclude_messages(&mut self, others: Option<Others>, map: &ChannelMap) {
        self.flags &= !COUNTS;
        let others = self.others_before(others, map);
        self.hold_if_outrun(others);
        self.count_answers(others);
    }

    /// Holds the channel if all that `others` have not pushed outruns the peer.
    pub(crate) fn hold_if_outrun(&mut self, others: Others) {
        let own = Others::all(self).without(others);
        let is_much = own.bytes as usize > self.limits.high_water;
        if self.has_backpressure && (is_much || own.producers > MANY_PRODUCERS) {
            self.flags |= OUTRUN;
        }
    }

    /// Counts as answers all that `others` have not pushed. Called, too, when some of the
    /// queue has left; releases the channel when little is left.
    pub(crate) fn count_answers(&mut self, others: Others) {
        let own = Others::all(self).without(others);
        self.answer_bytes = own.bytes;
        self.answer_producers = own.producers.try_into().unwrap_or(u8::MAX);
        if own.bytes > 0 || own.producers > 0 {
            self.asked = 0; // a flush would send some uncounted
        }
        if own.bytes as usize <= self.limits.low_water && own.producers <= FEW_PRODUCERS {
            self.flags &= !OUTRUN;
        }
    }
}

fn clip(len: usize) -> u32 {
    len.try_into().unwrap_or(u32::MAX)
}
