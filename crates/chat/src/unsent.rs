//! The output that a channel had not sent when it closed: [`Unsent`].

use crate::chat::Chat;
use crate::endpoint::Endpoint;

/// The output that a channel dropped when it closed, or when sending failed before:
/// the result of [`Endpoint::unsent`] and [`Chat::unsent`].
///
/// It counts only output that the operating system did not take. The system may not have
/// delivered the rest. Only an answer shows that the peer has received it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsent {
    /// Bytes that the operating system never got. Those that a
    /// [`Transport`](crate::Transport) [keeps](crate::Transport::queued) are counted as
    /// encoded.
    pub bytes: usize,
    /// Producers that were not finished. The output that they would have made is not
    /// known.
    pub producers: usize,
}

impl Unsent {
    /// Whether nothing was left to send.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0 && self.producers == 0
    }

    pub(crate) fn bytes(bytes: usize) -> Self {
        let producers = 0;
        Self { bytes, producers }
    }

    /// Both together.
    pub(crate) fn and(self, more: Self) -> Self {
        Self {
            bytes: self.bytes + more.bytes,
            producers: self.producers + more.producers,
        }
    }
}

impl Endpoint {
    /// Drops the queue and the offers, and keeps account of them: nothing is sent any more.
    pub(crate) fn lose_output(&mut self) {
        let offers = self.take_offers();
        self.output.lose();
        self.output.lose_also(offers);
    }

    /// The output that was queued and never sent, whatever closed the channel. Call it in
    /// [`handle_close`](crate::DispatcherHandler::handle_close). It is empty while the
    /// channel is open.
    ///
    /// The push that closed the channel as a
    /// [`SlowReader`](crate::CloseReason::SlowReader) or
    /// [`OutputOverLimit`](crate::CloseReason::OutputOverLimit) counts, too, and so does a
    /// [goodbye](crate::Limits::goodbye) that did not leave. Output dropped by
    /// [`discard_buffers`](Chat::discard_buffers), or by a push onto a channel that no
    /// longer took any, does not, nor do [offers](Chat::offer) that were
    /// [dropped](Chat::dropped) before.
    pub fn unsent(&self) -> Unsent {
        let mut unsent = Unsent::default();
        if self.is_closed() {
            unsent = self.output.unsent();
            unsent.bytes += self.wire.queued();
        }
        unsent
    }
}

impl Chat {
    /// The output that was queued and never sent, whatever closed the channel. Call it in
    /// [`handle_close`](crate::ChatHandler::handle_close). It is empty while the channel
    /// is open. See [`Endpoint::unsent`].
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use chat::*;
    /// struct Feed;
    ///
    /// impl MessageHandler for Feed {
    ///     fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
    ///         Ok(())
    ///     }
    ///     fn handle_close(&mut self, _: CloseReason, chat: &mut Chat, _: &mut ChannelMap) {
    ///         assert_eq!(chat.unsent().bytes, 4);
    ///     }
    /// }
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let mut map = ChannelMap::new()?;
    /// let feed = map.insert(AsyncChat::new(ours, "\n", Feed))?;
    /// let chat = &mut map.get_mut(feed).unwrap().chat;
    /// assert!(chat.push("news"));
    /// chat.close(); // and not `close_when_done`
    /// assert!(!chat.push("more"));
    /// map.run()?;
    /// # Ok::<(), chat::Error>(())
    /// ```
    pub fn unsent(&self) -> Unsent {
        self.endpoint.unsent()
    }
}
