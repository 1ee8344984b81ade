//! The wire of a chat channel: [`Chat`].

use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::rc::Rc;

use bytes::Bytes;
use reactor::{CloseReason, Token};

use crate::ending::{End, Ending};
use crate::endpoint::Endpoint;
use crate::framer::Framer;
use crate::limits::Limits;
use crate::output::Output;
use crate::producer::Producer;
use crate::terminator::Terminator;

/// What a chat handler sees of its channel: the documents' `async_chat`
/// without its events.
///
/// No method calls a handler, and none blocks: what is pushed goes out before
/// the loop waits next, what is closed is told of by `handle_close` after the
/// present callback.
///
/// | to | use |
/// |---|---|
/// | send | [`push`](Self::push), [`push_bytes`](Self::push_bytes), [`try_push`](Self::try_push), or `write!` with `std::io::Write` |
/// | send what is made as it goes | [`push_with_producer`](Self::push_with_producer) |
/// | say what ends the next message | [`set_terminator`](Self::set_terminator) |
/// | hold the peer back | [`pause`](Self::pause), [`resume`](Self::resume) |
/// | end, after what is queued | [`close_when_done`](Self::close_when_done) |
/// | end now | [`close`](Self::close) |
pub struct Chat {
    pub(crate) endpoint: Endpoint,
    pub(crate) framer: Framer,
    /// What a `MessageHandler` has got of a message so far.
    pub(crate) message: Vec<u8>,
    pub(crate) output: Output,
    limits: Rc<Limits>,
    /// Bytes sent in all.
    pub(crate) sent: u64,
    /// Messages delivered in the present event.
    pub(crate) delivered: u32,
    /// `None` before the end begins.
    pub(crate) ending: Option<Box<Ending>>,
    pub(crate) end: End,
    pub(crate) is_paused: bool,
    /// `handle_connect` was called.
    pub(crate) is_announced: bool,
    /// The channel is as channels are nearly always: connected and open at both
    /// ends, no pause, no failure, no input held back, no callback due. Then
    /// there is little to ask. Whatever makes one of these untrue sets it to
    /// `false`; a settle finds out when all are true again.
    pub(crate) is_ordinary: bool,
    /// `discard_buffers` was called: what is left of the read that is being
    /// delivered goes, too.
    pub(crate) has_discarded: bool,
    /// `skip_message` was called: a message that is too long is not the end.
    pub(crate) has_skipped: bool,
    /// The message is too long, which is yet to be told.
    pub(crate) is_over_limit: bool,
    /// More than the high-water mark was queued, or a producer; `handle_drained`
    /// has not been called since.
    pub(crate) needs_drain: bool,
    /// The socket took less than it was offered; until it is writable again,
    /// sending is in vain.
    pub(crate) is_blocked: bool,
    /// Sending has failed, which ends the channel after the input that is left.
    pub(crate) output_error: Option<Box<io::Error>>,
}

impl Chat {
    pub(crate) fn new(mut endpoint: Endpoint, terminator: Terminator) -> Self {
        let end = if endpoint.closing.is_some() {
            End::Closed // a connection can fail before it is in any map
        } else if let Some(reason) = endpoint.take_finishing() {
            endpoint.closing = Some(reason);
            End::Finishing
        } else {
            End::Open
        };
        let mut output = Output::default();
        output.push(&endpoint.take_queue());
        let output_error = endpoint.take_output_error().map(Box::new);
        Self {
            endpoint,
            framer: Framer::new(terminator),
            message: Vec::new(),
            output,
            limits: Limits::shared(),
            sent: 0,
            delivered: 0,
            ending: None,
            end,
            is_paused: false,
            is_announced: false,
            is_ordinary: false,
            has_discarded: false,
            has_skipped: false,
            is_over_limit: false,
            needs_drain: false,
            is_blocked: false,
            output_error,
        }
    }

    /// Queues a copy of `data`.
    ///
    /// After `close_when_done` or `close` it is dropped. When more than
    /// [`Limits::output`] is queued, even after one more attempt to send, the
    /// channel is closed as a [`SlowReader`](CloseReason::SlowReader), and what
    /// is queued is dropped: whatever is large goes by a producer.
    #[inline]
    pub fn push(&mut self, data: impl AsRef<[u8]>) {
        let data = data.as_ref();
        if !self.output.push_within_room(data) {
            self.push_with_care(data);
        }
    }

    /// Queues `data` without copying it (but for small pieces): for what goes
    /// to many channels. Otherwise as [`push`](Self::push).
    pub fn push_bytes(&mut self, data: impl Into<Bytes>) {
        if self.takes_output() {
            self.output.push_bytes(data.into());
            self.relieve();
        }
    }

    /// Like [`push`](Self::push), but never costs the peer its channel.
    ///
    /// # Errors
    ///
    /// Hands `data` back if it does not fit below [`Limits::output`], or the
    /// channel is closing.
    pub fn try_push<D: AsRef<[u8]>>(&mut self, data: D) -> Result<(), D> {
        if !self.takes_output() {
            return Err(data);
        }
        let len = data.as_ref().len();
        if self.output.len() + len > self.limits().output && !self.endpoint.connecting() {
            self.send_ready();
        }
        if !self.takes_output() || self.output.len() + len > self.limits().output {
            return Err(data);
        }
        self.push(data);
        Ok(())
    }

    /// Queues a producer, which is asked for data when all that was pushed
    /// before is sent. When it is done,
    /// [`handle_drained`](crate::ChatHandler::handle_drained) is due. With more
    /// than [`Limits::producers`] the channel is closed as a
    /// [`SlowReader`](CloseReason::SlowReader).
    #[doc(alias = "producer_fifo")]
    pub fn push_with_producer(&mut self, producer: impl Producer + 'static) {
        if !self.takes_output() {
            return;
        }
        self.output.push_producer(Box::new(producer));
        self.needs_drain = true;
        self.is_ordinary = false;
        if self.output.producers() > self.limits().producers {
            self.close_with(CloseReason::SlowReader);
        }
    }

    /// Says what ends the next message. What was received already and not
    /// delivered yet is subject to it.
    ///
    /// After a number of bytes was received, the terminator is
    /// [none](Terminator::none) until it is set again; a string stays.
    pub fn set_terminator(&mut self, terminator: impl Into<Terminator>) {
        let held = self.framer.set_terminator(terminator.into());
        if let Some((old, len)) = held {
            let held = old.as_bytes().map_or(&[][..], |bytes| &bytes[..len]);
            let unread = mem::take(&mut self.endpoint.unread);
            self.endpoint.unread = [held, &unread].concat().into();
            self.is_ordinary = false;
        }
    }

    /// The terminator: the documents' `get_terminator`. For a number, how many
    /// bytes are still to come.
    #[must_use]
    #[doc(alias = "get_terminator")]
    pub fn terminator(&self) -> &Terminator {
        self.framer.terminator()
    }

    /// Puts `data` before what was received and not delivered: as if the peer
    /// had sent it. For what a message has in common with the next one, as the
    /// line end before the dot that ends an SMTP message.
    ///
    /// ```
    /// # use chat::*;
    /// struct Smtp;
    ///
    /// impl MessageHandler for Smtp {
    ///     fn handle_message(&mut self, message: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
    ///         if message == b"DATA" {
    ///             chat.set_terminator("\r\n.\r\n");
    ///             chat.unread("\r\n"); // an empty message is a dot and no more
    ///         } else {
    ///             assert_eq!(message, b"\r\nHello");
    ///             chat.close();
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    /// std::io::Write::write_all(&mut &theirs, b"DATA\r\nHello\r\n.\r\n")?;
    /// let mut map = ChannelMap::new()?;
    /// map.insert(AsyncChat::new(ours, "\r\n", Smtp)?)?;
    /// map.run()?;
    /// # Ok::<(), chat::Error>(())
    /// ```
    pub fn unread(&mut self, data: impl AsRef<[u8]>) {
        if self.end == End::Open {
            let same = self.terminator().clone();
            self.set_terminator(same); // what was held back comes after it, too
            self.endpoint.unread = [data.as_ref(), &self.endpoint.unread].concat().into();
            self.is_ordinary = false;
        }
    }

    /// Drops what is left of the message that is being received, however long it
    /// is, and what a [`MessageHandler`](crate::MessageHandler) would have got of
    /// it: only its end is told, by
    /// [`found_terminator`](crate::ChatHandler::found_terminator), or as an empty
    /// message. In [`handle_overlimit`](crate::ChatHandler::handle_overlimit) it
    /// keeps the channel open.
    ///
    /// ```
    /// # use chat::*;
    /// #[derive(Default)]
    /// struct Lines {
    ///     is_too_long: bool,
    /// }
    ///
    /// impl MessageHandler for Lines {
    ///     fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
    ///         match std::mem::take(&mut self.is_too_long) {
    ///             true => chat.push("500 line too long\r\n"),
    ///             false => chat.push("250 OK\r\n"),
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     fn handle_overlimit(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
    ///         self.is_too_long = true;
    ///         chat.skip_message();
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn skip_message(&mut self) {
        self.framer.skip();
        self.message.clear();
        self.has_skipped = true;
    }

    /// Receives nothing more until [`resume`](Self::resume): the peer is held
    /// back by its own full socket. At most one read's worth stays with the
    /// channel meanwhile. The end of the input is not noticed either; but if
    /// sending fails, the channel is closed.
    pub fn pause(&mut self) {
        self.is_paused = true;
        self.is_ordinary = false;
    }

    /// Ends a [`pause`](Self::pause).
    pub fn resume(&mut self) {
        self.is_paused = false;
    }

    /// Whether the channel is [paused](Self::pause).
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Closes the channel when all that is queued, producers included, is
    /// sent. From now on no message is delivered (timers are), and what is
    /// pushed is dropped.
    ///
    /// The peer gets all of it, if it reads: input is read and discarded
    /// meanwhile, and for [`Limits::linger`] afterwards, until the peer closes.
    pub fn close_when_done(&mut self) {
        self.close_when_done_with(CloseReason::Done);
    }

    /// Like [`close_when_done`](Self::close_when_done), for a reason of the
    /// caller's. The first reason stands, if the channel is closing already.
    pub fn close_when_done_with(&mut self, reason: CloseReason) {
        if self.end == End::Open {
            self.end = End::Finishing;
            self.is_ordinary = false;
            self.output.forget_room();
            self.endpoint.close_with(reason);
            self.endpoint.unread.clear();
            self.framer.discard();
        }
    }

    /// Closes the channel now: what is queued is dropped. To close another
    /// channel, use [`ChannelMap::close`](reactor::ChannelMap::close), which
    /// hides it at once; closed by its chat, it is found until it is next
    /// settled.
    pub fn close(&mut self) {
        self.close_with(CloseReason::Requested);
    }

    /// Like [`close`](Self::close), for a reason of the caller's. The first
    /// reason stands, if the channel is closing already.
    pub fn close_with(&mut self, reason: CloseReason) {
        self.endpoint.close_with(reason);
        self.end = End::Closed;
        self.is_ordinary = false;
        self.output.discard();
    }

    /// Drops all that is queued, producers included, and all that was received
    /// and not delivered.
    pub fn discard_buffers(&mut self) {
        self.output.discard();
        self.endpoint.unread.clear();
        self.framer.discard();
        self.message.clear();
        self.has_discarded = true;
        self.is_ordinary = false;
    }

    /// How many bytes are queued; what producers will make is not known.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.output.len()
    }

    /// How many bytes were sent so far: whether the peer takes anything.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether much is on its way to the peer: more than
    /// [`Limits::high_water`] was queued, or a producer, and
    /// [`handle_drained`](crate::ChatHandler::handle_drained) is yet to come.
    /// Time to [`pause`](Self::pause), for a handler that answers.
    #[must_use]
    pub fn needs_drain(&self) -> bool {
        self.needs_drain
    }

    /// What a [`MessageHandler`](crate::MessageHandler) would have got of a
    /// message that is not complete: in `handle_eof`, the rest without a
    /// terminator.
    #[must_use]
    #[doc(alias = "_get_data")]
    pub fn partial_message(&self) -> &[u8] {
        &self.message
    }

    /// Whether the channel is closing, now or when done.
    #[must_use]
    pub fn closing(&self) -> bool {
        self.end != End::Open
    }

    /// Whether sending has failed: what is pushed goes nowhere, and the channel
    /// is closed when the input that is left has been delivered.
    #[must_use]
    pub fn output_failed(&self) -> bool {
        self.output_error.is_some()
    }

    /// The channel's token; [`Token::NONE`] before the loop has come to it.
    #[must_use]
    pub fn token(&self) -> Token {
        self.endpoint.token()
    }

    /// The socket: its addresses and options.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Takes the socket for a channel of another type, with what was read from
    /// it and not delivered, and what is queued, up to the first producer.
    ///
    /// ```no_run
    /// # use chat::*;
    /// # struct Smtp; struct Tunnel;
    /// # impl MessageHandler for Smtp {
    /// #   fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result { Ok(()) }
    /// # }
    /// # impl DispatcherHandler for Tunnel {}
    /// # fn to_tunnel(map: &mut ChannelMap, smtp: Handle<AsyncChat<Smtp>>) {
    /// map.convert(smtp, |channel| Dispatcher::from_endpoint(channel.chat.into_endpoint(), Tunnel));
    /// # }
    /// ```
    #[must_use]
    pub fn into_endpoint(mut self) -> Endpoint {
        self.set_terminator(Terminator::none()); // what was held back is input again
        self.endpoint.put_queue(self.output.take_bytes());
        self.endpoint
    }

    /// The limits of this channel.
    #[must_use]
    #[inline]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Changes the limits. To share one set among many channels, give an
    /// `Rc<Limits>`.
    pub fn set_limits(&mut self, limits: impl Into<Rc<Limits>>) {
        self.limits = limits.into();
        self.output.forget_room();
    }

    /// Why the channel closes.
    pub(crate) fn take_reason(&mut self) -> CloseReason {
        let reason = self.endpoint.closing.take();
        reason.unwrap_or(CloseReason::Requested)
    }

    /// See `is_ordinary`. (To be announced is a callback that is due.)
    pub(crate) fn find_ordinary(&self) -> bool {
        self.takes_input()
            && self.is_announced
            && self.endpoint.connected()
            && self.endpoint.unread.is_empty()
            && !self.is_over_limit
            && !self.needs_drain
            && self.output_error.is_none()
    }
}

/// Pushes what is written; never fails. `flush` does nothing.
///
/// ```no_run
/// # use std::io::Write;
/// # fn greet(chat: &mut chat::Chat) -> std::io::Result<()> {
/// write!(chat, "220 {} ready\r\n", "mail.example.org")?;
/// # Ok(())
/// # }
/// ```
impl Write for Chat {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.push(data);
        Ok(data.len())
    }

    /// As `write`, which takes all there is.
    fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.push(data);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chat")
            .field("endpoint", &self.endpoint)
            .field("terminator", self.terminator())
            .field("queued", &self.queued())
            .field("end", &self.end)
            .finish()
    }
}
