//! How a channel is offered messages that may be dropped.
//!
//! An [offer](Chat::offer) is a push, unless the channel is behind. Then it waits, and goes
//! into the queue when that has drained, as if a producer stood at its end.

use bytes::Bytes;

use crate::chat::Chat;
use crate::endpoint::Endpoint;
use crate::flags::HIGH;
use crate::offers::{Dropped, Fate};
use crate::unsent::Unsent;

/// # Offers: output that may be dropped
impl Endpoint {
    /// Offers `data`, one whole message that may be dropped if the peer is slow: see
    /// [`Chat::offer`]. On a socket that keeps bounds this is a [`push`](Self::push).
    pub fn offer(&mut self, data: impl Into<Bytes>) -> bool {
        self.offer_with_key(None, data.into())
    }

    /// Offers `data` in place of the message of the same key that still waits: see
    /// [`Chat::offer_latest`].
    pub fn offer_latest(&mut self, key: u64, data: impl Into<Bytes>) -> bool {
        self.offer_with_key(Some(key), data.into())
    }

    /// The number of offers dropped so far, and their bytes: see [`Chat::dropped`].
    pub fn dropped(&self) -> Dropped {
        let extras = self.extras.as_ref();
        extras.map_or_else(Dropped::default, |extras| extras.offers.dropped)
    }

    pub(crate) fn offer_with_key(&mut self, key: Option<u64>, data: Bytes) -> bool {
        if self.wire.keeps_bounds() {
            return self.push_bytes(data);
        }
        let queued = self.output.len();
        let must_wait =
            self.offered() > 0 || self.output.producers() > 0 || queued > self.output.mark();
        if !must_wait && queued + data.len() <= self.limits.output {
            return self.push_bytes(data);
        }
        self.takes_output() && (data.is_empty() || self.line_up(key, data))
    }

    #[cold]
    fn line_up(&mut self, key: Option<u64>, data: Bytes) -> bool {
        let (limit, policy, len) = (self.limits.offers, self.limits.offer_policy, data.len());
        let offers = &mut self.extras.get_or_insert_default().offers;
        let before = offers.weight();
        let fate = offers.add(key, data, limit, policy);
        let kept = self.kept as usize + offers.weight();
        self.recount_kept(kept.saturating_sub(before));
        match fate {
            Fate::Waits => {
                self.flags |= HIGH; // which ends when the last of them has left
                true
            }
            Fate::Dropped => false,
            Fate::TooMuch => {
                self.cut_off_for_output(Unsent::bytes(len));
                false
            }
        }
    }

    /// Bytes of the offers that wait.
    pub(crate) fn offered(&self) -> usize {
        self.extras.as_ref().map_or(0, |extras| extras.offers.len())
    }

    /// Moves offers into a queue that has drained, up to the high-water mark. One message
    /// may be longer.
    #[cold]
    pub(crate) fn queue_offers(&mut self) {
        let Some(extras) = &mut self.extras else {
            return;
        };
        let output = &mut self.output;
        if output.len() > self.limits.low_water || output.producers() > 0 {
            return;
        }
        while let Some(len) = extras.offers.next_len() {
            if !output.is_empty() && output.len() + len > output.mark() {
                break;
            }
            extras
                .offers
                .next()
                .into_iter()
                .for_each(|data| output.push_bytes(data));
        }
    }

    /// Drops the offers that wait, without a count.
    pub(crate) fn take_offers(&mut self) -> Unsent {
        let extras = self.extras.as_mut();
        Unsent::bytes(extras.map_or(0, |extras| extras.offers.clear()))
    }
}

/// # Offers: output that may be dropped
impl Chat {
    /// Offers `data`, one whole message that may be dropped if the peer is slow: a line of a
    /// room, a reading of a sensor.
    ///
    /// As long as the peer keeps up, this is [`push_bytes`](Self::push_bytes). When more
    /// than [`Limits::high_water`](crate::Limits::high_water) bytes are queued, or a
    /// producer, the message waits, and so does every offer after it. They go into the
    /// queue when at most [`Limits::low_water`](crate::Limits::low_water) bytes are left
    /// of that. [`Limits::offers`](crate::Limits::offers) bounds those that wait. When a
    /// message does not fit, [`Limits::offer_policy`](crate::Limits::offer_policy) decides: it closes
    /// the channel (the default), or drops the newest or the oldest. A message of which a
    /// byte was sent, or that was pushed, is never dropped.
    ///
    /// Returns `false` if `data` is dropped: for the reasons of [`push`](Self::push), or as
    /// the newest. [`dropped`](Self::dropped) counts the offers that the policy drops.
    ///
    /// Offers keep their order. What is pushed later overtakes those that wait: an answer
    /// comes before the room's talk. Where one order matters, offer everything.
    ///
    /// Offers that wait are queued output in every other respect: [`queued`](Self::queued),
    /// [`needs_drain`](Self::needs_drain) and [`unsent`](Self::unsent) count them,
    /// [`handle_drained`](crate::ChatHandler::handle_drained) comes after them,
    /// [`close_when_done`](Self::close_when_done) sends them,
    /// [`discard_buffers`](Self::discard_buffers) drops them, and a conversion takes them
    /// along. A [goodbye](crate::Limits::goodbye) replaces them.
    ///
    /// ```
    /// use chat::{AsyncChat, Limits, OfferPolicy};
    ///
    /// let mut limits = Limits::default();
    /// limits.high_water = 4;
    /// limits.offers = 140; // two short lines: each counts 64 bytes more
    /// limits.offer_policy = OfferPolicy::DropOldest;
    /// // Not connected yet: nothing leaves.
    /// let chat = &mut AsyncChat::connect("127.0.0.1:7000", "\n", ()).limited(limits).chat;
    /// for line in ["first\n", "1\n", "2\n", "3\n"] {
    ///     chat.offer(line);
    /// }
    /// assert_eq!(chat.dropped().messages, 1); // "1\n"
    /// assert_eq!(chat.queued(), "first\n2\n3\n".len());
    /// ```
    pub fn offer(&mut self, data: impl Into<Bytes>) -> bool {
        self.endpoint.offer(data)
    }

    /// [Offers](Self::offer) `data` in place of the message of the same key that still
    /// waits: the latest price, position or state. It takes the other one's place in the
    /// line, and the other one counts as [dropped](Self::dropped). If none waits, `data` has
    /// a place of its own.
    pub fn offer_latest(&mut self, key: u64, data: impl Into<Bytes>) -> bool {
        self.endpoint.offer_latest(key, data)
    }

    /// The number of [offers](Self::offer) dropped so far, by
    /// [`Limits::offer_policy`](crate::Limits::offer_policy) or for a later one of the same key,
    /// and their bytes. Offers that are lost when the channel closes are
    /// [unsent](Self::unsent) instead.
    pub fn dropped(&self) -> Dropped {
        self.endpoint.dropped()
    }
}
