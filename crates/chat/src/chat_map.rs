//! Chat channels by their tokens, whatever their handlers are.

use bytes::Bytes;
use reactor::{Absent, Channel, ChannelMap, CloseReason, Token};

use crate::channel_view::{ChannelState, ChannelView};
use crate::chat::Chat;
use crate::endpoint::Endpoint;
use crate::ledger::Ledger;
use crate::network::Network;

/// Methods of [`ChannelMap`] that reach a chat channel by its token, whatever its handler
/// is. A room with members of several protocols keeps their tokens. Import the trait to
/// call its methods.
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use chat::bytes::Bytes;
/// use chat::{AsyncChat, ChannelMap, Chat, ChatMap, MessageHandler, Result, Token};
///
/// /// Repeats each line to all members, itself included.
/// struct Member<const KIND: char> {
///     members: Vec<Token>,
/// }
///
/// impl<const KIND: char> MessageHandler for Member<KIND> {
///     fn handle_message(&mut self, line: &[u8], _: &mut Chat, map: &mut ChannelMap) -> Result {
///         let line = Bytes::from(format!("{KIND}: {}\n", String::from_utf8_lossy(line)));
///         for &member in &self.members {
///             let _ = map.push(member, line.clone()); // a member may have left
///         }
///         Ok(())
///     }
/// }
///
/// let ((a, mut theirs), (b, _)) = (UnixStream::pair()?, UnixStream::pair()?);
/// let mut map = ChannelMap::new()?;
/// let a = map.insert(AsyncChat::new(a, "\n", Member::<'a'> { members: Vec::new() }))?;
/// let b = map.insert(AsyncChat::new(b, "\n", Member::<'b'> { members: Vec::new() }))?;
/// map.get_mut(a)?.handler.members = vec![a.token(), b.token()];
/// std::io::Write::write_all(&mut theirs, b"hello\n")?;
/// map.turn(None)?;
/// for member in [a.token(), b.token()] {
///     assert_eq!(map.chat_mut(member)?.queued(), "a: hello\n".len());
/// }
/// # Ok::<(), chat::Error>(())
/// ```
///
/// Only [`ChannelMap`] has these methods: other types cannot implement the trait.
pub trait ChatMap: sealed::Sealed {
    /// Borrows the [`Chat`] of a chat channel, as [`get_mut`](ChannelMap::get_mut) borrows
    /// a channel.
    ///
    /// # Errors
    ///
    /// [`Absent`]. `OtherType`: it is no chat channel.
    fn chat_mut(&mut self, channel: impl Into<Token>) -> Result<&mut Chat, Absent>;

    /// Borrows the [`Endpoint`] of a dispatcher, as [`get_mut`](ChannelMap::get_mut) borrows
    /// a channel. That of a chat channel is the framing's: its [`Chat`] has the methods that
    /// do not get in the way of that.
    ///
    /// # Errors
    ///
    /// [`Absent`]. `OtherType`: it is no dispatcher.
    fn endpoint_mut(&mut self, channel: impl Into<Token>) -> Result<&mut Endpoint, Absent>;

    /// Pushes to a chat channel or a dispatcher, as [`Chat::push_bytes`] does: `false` if
    /// it takes no output any more, and closes.
    ///
    /// A channel that is inside its own callback gets `data` [when that has
    /// returned](ChannelMap::amend): behind the callback's own pushes, and before the
    /// channel's next message, its end or its close. So data that is pushed to many
    /// channels by this method has the same order in all of them. `true` then says that
    /// `data` is queued even if that callback ends the output. [`unsent`](Chat::unsent)
    /// counts it if it cannot be sent. More than 65,536 such pushes during one callback
    /// close the channel as [`OutputOverLimit`](CloseReason::OutputOverLimit), and return
    /// `false`.
    ///
    /// # Errors
    ///
    /// [`Absent`], but never `InCallback`. `OtherType`: it is neither a chat channel nor a
    /// dispatcher.
    fn push(&mut self, channel: impl Into<Token>, data: impl Into<Bytes>) -> Result<bool, Absent>;

    /// Pushes to a chat channel or a dispatcher, as [`push`](Self::push) does, and holds the
    /// speaker as long as that channel is behind: `speaker` is the chat whose callback calls
    /// this. So a room goes at the pace of its slowest member, and each gets everything.
    ///
    /// The channel is behind when it [needs to drain](Chat::needs_drain). The speaker
    /// delivers no further message then, as while its own answers outrun its peer
    /// ([`set_backpressure`](Chat::set_backpressure)), and with the same bounds. It goes on
    /// when the last channel that it waits for has drained, takes no more output, is converted
    /// or closed, or was taken out of the map and dropped or inserted into another.
    ///
    /// `channel` may be the speaker's own: it waits for itself from its next call on, since
    /// `data` comes later. Two speakers may wait for each other. Both still send, so they go
    /// on as soon as their peers read. A peer that takes nothing is given up after
    /// [`Limits::stall`](crate::Limits::stall).
    ///
    /// ```
    /// use chat::bytes::Bytes;
    /// use chat::{ChannelMap, Chat, ChatMap, MessageHandler, Result, Token};
    ///
    /// struct Member {
    ///     others: Vec<Token>,
    /// }
    ///
    /// impl MessageHandler for Member {
    ///     fn handle_message(&mut self, line: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
    ///         let line = Bytes::from([line, b"\n"].concat());
    ///         for &other in &self.others {
    ///             let _ = map.push_from(chat, other, line.clone()); // it may have left
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    fn push_from(
        &mut self,
        speaker: &mut Chat,
        channel: impl Into<Token>,
        data: impl Into<Bytes>,
    ) -> Result<bool, Absent>;

    /// [Offers](Chat::offer) to a chat channel or a dispatcher. One that is inside its own
    /// callback gets `data` when that has returned, as by [`push`](Self::push); `true` then
    /// says nothing of what becomes of it. Returns `false` if it is dropped.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    fn offer(&mut self, channel: impl Into<Token>, data: impl Into<Bytes>) -> Result<bool, Absent>;

    /// The same, in place of the message of this key that still waits:
    /// [`Chat::offer_latest`].
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    fn offer_latest(
        &mut self,
        channel: impl Into<Token>,
        key: u64,
        data: impl Into<Bytes>,
    ) -> Result<bool, Absent>;

    /// The number of chat channels and dispatchers that have sent all and wait for the
    /// peer to close, for at most [`Limits::linger`](crate::Limits::linger). A program
    /// that has nothing else to do may stop instead of waiting with them. Looks at every
    /// channel that [`iter`](ChannelMap::iter) finds.
    fn lingering(&self) -> usize;

    /// The number of connections that the map's listeners have refused:
    /// [`Admission`](crate::Admission).
    fn refused(&self) -> u64;

    /// Iterates over all open channels, for those who look at the map: a console, a test, a
    /// log of the slowest. The page `docs/looking.md` has an example. The iteration allocates
    /// nothing and disturbs no channel.
    fn channels(&self) -> impl Iterator<Item = ChannelView<'_>>;

    /// Has the channels that enter the map from now on open their sockets in `network`, in
    /// place of the operating system's.
    fn set_network(&mut self, network: impl Network);
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for reactor::ChannelMap {}
}

impl ChatMap for ChannelMap {
    fn chat_mut(&mut self, channel: impl Into<Token>) -> Result<&mut Chat, Absent> {
        wire_of(self.get_any_mut(channel)?)
    }

    fn endpoint_mut(&mut self, channel: impl Into<Token>) -> Result<&mut Endpoint, Absent> {
        wire_of(self.get_any_mut(channel)?)
    }

    fn push(&mut self, channel: impl Into<Token>, data: impl Into<Bytes>) -> Result<bool, Absent> {
        let token = channel.into();
        match self.get_any_mut(token) {
            Ok(channel) => Ok(endpoint_of(channel)?.push_bytes(data)),
            Err(Absent::InCallback) => {
                let data = data.into();
                let is_taken = self.amend(token, move |channel| match endpoint_of(channel) {
                    Ok(endpoint) => endpoint.push_belatedly(data),
                    Err(absent) => log::error!("channel {token}: a push is lost: {absent}"),
                })?;
                if !is_taken {
                    self.close_with(token, CloseReason::OutputOverLimit);
                }
                Ok(is_taken)
            }
            Err(absent) => Err(absent),
        }
    }

    fn push_from(
        &mut self,
        speaker: &mut Chat,
        channel: impl Into<Token>,
        data: impl Into<Bytes>,
    ) -> Result<bool, Absent> {
        let token = channel.into();
        let (is_taken, is_behind) = match self.get_any_mut(token) {
            Ok(channel) => {
                let member = endpoint_of(channel)?;
                (member.push_bytes(data), member.is_behind())
            }
            Err(_) => {
                let is_own = token == speaker.token();
                (
                    self.push(token, data)?,
                    is_own && speaker.endpoint.is_behind(),
                )
            }
        };
        // One that is closed, or another map's, delivers nothing here.
        if is_behind && self.is_open(speaker.token()) {
            let waiting = speaker.endpoint.wait_for_members(self.buffers());
            match self.get_any_mut(token) {
                Ok(channel) => endpoint_of(channel)?.keep_speaker(waiting),
                Err(_) => speaker.endpoint.keep_speaker(waiting),
            }
        }
        Ok(is_taken)
    }

    fn offer(&mut self, channel: impl Into<Token>, data: impl Into<Bytes>) -> Result<bool, Absent> {
        offer(self, channel.into(), None, data.into())
    }

    fn offer_latest(
        &mut self,
        channel: impl Into<Token>,
        key: u64,
        data: impl Into<Bytes>,
    ) -> Result<bool, Absent> {
        offer(self, channel.into(), Some(key), data.into())
    }

    fn lingering(&self) -> usize {
        let lingers = |view: &ChannelView<'_>| view.state() == ChannelState::Lingering;
        self.channels().filter(lingers).count()
    }

    fn refused(&self) -> u64 {
        self.provider::<Ledger>().map_or(0, |ledger| ledger.refused)
    }

    fn channels(&self) -> impl Iterator<Item = ChannelView<'_>> {
        self.entries().map(ChannelView::new)
    }

    fn set_network(&mut self, network: impl Network) {
        self.set_provider(Box::new(network) as Box<dyn Network>);
    }
}

fn offer(
    map: &mut ChannelMap,
    token: Token,
    key: Option<u64>,
    data: Bytes,
) -> Result<bool, Absent> {
    match map.get_any_mut(token) {
        Ok(channel) => Ok(endpoint_of(channel)?.offer_with_key(key, data)),
        Err(Absent::InCallback) => map.amend(token, move |channel| {
            if let Ok(endpoint) = endpoint_of(channel) {
                endpoint.offer_with_key(key, data);
            }
        }),
        Err(absent) => Err(absent),
    }
}

pub(crate) fn endpoint_of(channel: &mut dyn Channel) -> Result<&mut Endpoint, Absent> {
    let wire = channel.wire_mut().ok_or(Absent::OtherType)?;
    match wire.is::<Chat>() {
        true => wire
            .downcast_mut()
            .map(|chat: &mut Chat| &mut chat.endpoint),
        false => wire.downcast_mut(),
    }
    .ok_or(Absent::OtherType)
}

/// The `Chat` of a chat channel, or the `Endpoint` of a dispatcher.
fn wire_of<W: 'static>(channel: &mut dyn Channel) -> Result<&mut W, Absent> {
    let wire = channel.wire_mut().and_then(|wire| wire.downcast_mut());
    wire.ok_or(Absent::OtherType)
}
