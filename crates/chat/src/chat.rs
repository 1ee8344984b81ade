//! The wire of a chat channel: [`Chat`].

use std::fmt;
use std::mem;
use std::rc::Rc;

use reactor::{CloseReason, Token};

use crate::endpoint::Endpoint;
use crate::flags::{DISCARDED, HELD, NEW, OVER_LIMIT, PAUSED};
use crate::framer::Framer;
use crate::limits::Limits;
use crate::terminator::Terminator;

/// What a chat handler sees of its channel: an [`Endpoint`] that cuts its input
/// into messages. asynchat's `async_chat` without its events.
///
/// No method calls a handler, and none blocks: what is pushed goes out before
/// the loop waits next, and `handle_close` follows when the present callback
/// has returned.
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
    /// How many bytes of the read that is being delivered are left.
    pub(crate) left_of_read: usize,
}

impl Chat {
    pub(crate) fn new(mut endpoint: Endpoint, terminator: Terminator) -> Self {
        endpoint.flags |= NEW;
        let mut chat = Self {
            endpoint,
            framer: Framer::new(terminator),
            message: Vec::new(),
            left_of_read: 0,
        };
        chat.note_held();
        chat
    }

    /// Sets what ends the next message. Input that was received and not
    /// delivered yet is subject to it.
    ///
    /// After a number of bytes was received, the terminator is
    /// [none](Terminator::none) until it is set again; a string stays.
    pub fn set_terminator(&mut self, terminator: impl Into<Terminator>) {
        self.put_back_held();
        self.framer.set_terminator(terminator.into());
        self.note_held();
    }

    /// The terminator: asynchat's `get_terminator`. For a number, how many bytes
    /// are still to come.
    #[doc(alias = "get_terminator")]
    pub fn terminator(&self) -> &Terminator {
        self.framer.terminator()
    }

    /// Puts `data` before the input that was received and not delivered, as if
    /// the peer had sent it: for bytes that one message shares with the next, as
    /// the line end before the dot that ends an SMTP message.
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
        if !self.closing() {
            self.put_back_held();
            self.endpoint.put_back(data.as_ref());
            self.note_held();
        }
    }

    /// How many bytes were received and not delivered yet: the rest of the
    /// present read, input that is held, and what may be the beginning of a
    /// terminator. What has been collected of a message is not part of it.
    ///
    /// A protocol that changes its meaning for all that follows, as by SMTP's
    /// `STARTTLS` (RFC 3207, section 4.2), refuses the change unless it is 0.
    pub fn undelivered(&self) -> usize {
        self.left_of_read + self.endpoint.unread.len() + usize::from(self.framer.held)
    }

    /// Drops the rest of the message that is being received, however long it
    /// is, and what a [`MessageHandler`](crate::MessageHandler) would have got of
    /// it. Only its end is told, by
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
    ///         chat.push(match std::mem::take(&mut self.is_too_long) {
    ///             true => "500 line too long\r\n",
    ///             false => "250 OK\r\n",
    ///         });
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
        self.message = Vec::new();
        self.endpoint.flags &= !OVER_LIMIT;
    }

    /// Receives nothing more until [`resume`](Self::resume): the peer is held
    /// back by its own full socket. At most one read's worth stays with the
    /// channel meanwhile. The end of the input is not noticed either; but if
    /// sending fails, the channel is closed. [`into_endpoint`](Self::into_endpoint)
    /// ends a pause; `with_handler` keeps it.
    pub fn pause(&mut self) {
        self.endpoint.flags |= PAUSED;
    }

    /// Ends a [`pause`](Self::pause).
    pub fn resume(&mut self) {
        self.endpoint.flags &= !PAUSED;
    }

    /// Whether the channel is [paused](Self::pause).
    pub fn is_paused(&self) -> bool {
        self.endpoint.flags & PAUSED != 0
    }

    /// Closes the channel when all that is queued, producers included, is
    /// sent. From now on no message is delivered (timers are), and what is
    /// pushed is dropped.
    ///
    /// The peer gets all of it, if it reads: input is read and discarded
    /// meanwhile, and for [`Limits::linger`] afterwards, until the peer closes.
    pub fn close_when_done(&mut self) {
        self.endpoint.close_when_done();
    }

    /// Like [`close_when_done`](Self::close_when_done), for a reason of the
    /// caller's. The first reason stands, if the channel is closing already.
    pub fn close_when_done_with(&mut self, reason: CloseReason) {
        self.endpoint.close_when_done_with(reason);
    }

    /// Closes the channel now: what is queued is dropped. To close another
    /// channel, use [`ChannelMap::close`](reactor::ChannelMap::close), which
    /// hides it at once; closed by its chat, it is found until it is next
    /// settled.
    pub fn close(&mut self) {
        self.endpoint.close();
    }

    /// Like [`close`](Self::close), for a reason of the caller's. The first
    /// reason stands, with the exception that
    /// [`Endpoint::close_with`] names.
    pub fn close_with(&mut self, reason: CloseReason) {
        self.endpoint.close_with(reason);
    }

    /// Drops all that is queued, producers included, and all that was received
    /// and not delivered.
    pub fn discard_buffers(&mut self) {
        self.endpoint.output.clear();
        self.endpoint.unread.clear();
        self.framer.discard();
        self.message = Vec::new();
        self.note_held();
        if mem::take(&mut self.left_of_read) > 0 {
            self.endpoint.flags |= DISCARDED;
        }
    }

    /// What a [`MessageHandler`](crate::MessageHandler) would have got of a
    /// message that is not complete: in `handle_eof`, the rest without a
    /// terminator.
    #[doc(alias = "_get_data")]
    pub fn partial_message(&self) -> &[u8] {
        &self.message
    }

    /// Whether the channel is closing, now or when done.
    pub fn closing(&self) -> bool {
        self.endpoint.closing()
    }

    /// The channel's token; [`Token::NONE`] before the loop has come to it.
    pub fn token(&self) -> Token {
        self.endpoint.token()
    }

    /// The socket: its addresses and options.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Takes the endpoint for a channel of another type, with all that it has:
    /// its output, its limits, the end it has come to, and the input that was
    /// not delivered. What was collected of a message is dropped: see
    /// [`partial_message`](Self::partial_message). A pause ends.
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
        self.put_back_held();
        self.endpoint.flags &= !(NEW | PAUSED | HELD | OVER_LIMIT);
        self.endpoint
    }

    /// The limits of this channel.
    pub fn limits(&self) -> &Limits {
        self.endpoint.limits()
    }

    /// Changes the limits. To share one set among many channels, give an
    /// `Rc<Limits>`.
    pub fn set_limits(&mut self, limits: impl Into<Rc<Limits>>) {
        self.endpoint.set_limits(limits);
    }

    /// What the framer holds back is input again.
    fn put_back_held(&mut self) {
        self.endpoint.put_back(self.framer.take_held());
    }

    /// Finds out whether something waits to be delivered.
    pub(crate) fn note_held(&mut self) {
        match !self.endpoint.unread.is_empty() || self.framer.is_due() {
            true => self.endpoint.flags |= HELD,
            false => self.endpoint.flags &= !HELD,
        }
    }
}

impl fmt::Debug for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chat")
            .field("endpoint", &self.endpoint)
            .field("terminator", self.terminator())
            .field("queued", &self.queued())
            .finish()
    }
}
