//! Backpressure: a chat channel whose answers outrun its peer is held until they have
//! drained.
//!
//! An answer is output that the channel's own message callbacks push. A push does not tell
//! where it comes from, but the queue does: whatever it has more after the callbacks is
//! answers. So it has one number, `answers`, and `deliver` puts two lines around the
//! callbacks:
//!
//! ```text
//! let others = output.others();  // all that is queued, without the answers so far
//! …                              // the message callbacks
//! output.count_answers(others);  // all that is queued, without those
//! ```
//!
//! What leaves the queue counts as answers, as long as there are any. So `answers` is exact
//! for a channel that only answers, and otherwise never too high: what others push holds
//! nobody.

use crate::chat::Chat;
use crate::endpoint::Endpoint;
use crate::flags::OUTRUN;

/// # Backpressure
impl Chat {
    /// Sets whether the channel is held while its answers outrun the peer. The default is
    /// `true`, but `false` for a channel that [connects](crate::AsyncChat::connect). The
    /// setting stays with the endpoint through [conversions](crate::ChannelMap::convert).
    /// `false` releases the channel, too, unless it waits for others
    /// ([`push_from`](crate::ChatMap::push_from)).
    ///
    /// An answer is output that a message callback of the channel pushes to the channel
    /// itself. While more than [`Limits::high_water`](crate::Limits::high_water) bytes of
    /// answers are queued, no message is delivered, as during a [`hold`](Self::hold). A
    /// producer counts as a sixteenth of that. The channel is released when at most
    /// [`Limits::low_water`](crate::Limits::low_water) bytes of answers are left, or when
    /// sending fails. So a peer that sends requests and reads nothing costs one answer beyond
    /// the mark. Its further requests fill [`Limits::held`](crate::Limits::held), then its
    /// own socket.
    ///
    /// Output of other channels, timers and posts does not count, nor do a waiting
    /// [offer](Self::offer) and a
    /// [`ChatMap::push`](crate::ChatMap::push) to the channel itself: a member of a room can
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
        self.endpoint.release_if_drained();
    }

    /// Whether the channel is held because its answers outrun the peer, or because it waits
    /// for members ([`push_from`](crate::ChatMap::push_from)).
    pub fn is_outrun(&self) -> bool {
        self.endpoint.flags & OUTRUN != 0
    }
}

impl Endpoint {
    /// Between message callbacks, and after them: counts the answers, and holds the channel
    /// if they outrun the peer.
    #[cold]
    pub(crate) fn judge_answers(&mut self, others: u32) {
        self.output.count_answers(others);
        if self.has_backpressure && self.output.answers as usize > self.output.mark() {
            self.flags |= OUTRUN;
        }
    }

    /// When output has left: releases the channel if few answers are queued, and it waits
    /// for no member of a room either.
    pub(crate) fn release_if_drained(&mut self) {
        let is_drained = self.output.answers as usize <= self.limits.low_water;
        if (is_drained || !self.has_backpressure) && !self.waits_for_members() {
            self.flags &= !OUTRUN;
        }
    }
}
