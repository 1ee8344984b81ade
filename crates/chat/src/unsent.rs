//! How much a channel had still to send when it closed: [`Unsent`].

use crate::chat::Chat;
use crate::endpoint::Endpoint;

/// Output that a channel dropped when it closed, or when sending failed before that:
/// what [`Endpoint::unsent`] and [`Chat::unsent`] tell.
///
/// It is about the operating system, which may not have delivered what it took: only
/// an answer says that the peer has got it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsent {
    /// Bytes that the operating system never got, those that a
    /// [`Transport`](crate::Transport) [keeps](crate::Transport::queued) included, in
    /// its coding.
    pub bytes: usize,
    /// Producers that were not finished; what they would have made is not known.
    pub producers: usize,
}

impl Unsent {
    /// Whether nothing was left to send.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0 && self.producers == 0
    }
}

impl Endpoint {
    /// What was queued and never sent, for whatever reason the channel was closed: to be
    /// asked in [`handle_close`](crate::DispatcherHandler::handle_close). Nothing while
    /// the channel is open.
    ///
    /// What closed the channel as a [`SlowReader`](crate::CloseReason::SlowReader) counts,
    /// too. What was dropped sooner, by
    /// [`discard_buffers`](Chat::discard_buffers) or by a push that returned `false`
    /// from the start, does not.
    pub fn unsent(&self) -> Unsent {
        let mut unsent = Unsent::default();
        if self.is_closed() {
            unsent = self.output.unsent();
            unsent.bytes += self.wire.transport().map_or(0, |t| t.queued());
        }
        unsent
    }
}

impl Chat {
    /// What was queued and never sent, for whatever reason the channel was closed: to be
    /// asked in [`handle_close`](crate::ChatHandler::handle_close). Nothing while the
    /// channel is open. See [`Endpoint::unsent`].
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
    /// let feed = map.insert(AsyncChat::new(ours, "\n", Feed)?)?;
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
