//! The wire of a chat channel: [`Chat`].

use std::fmt;
use std::rc::Rc;

use reactor::{CloseReason, Token};

use crate::endpoint::Endpoint;
use crate::flags::{EOF, GATHERS, OVER_LIMIT, UNDELIVERED};
use crate::framer::Framer;
use crate::limits::Limits;
use crate::terminator::Terminator;
use crate::transport::Transport;

/// The wire of a chat channel: an [`Endpoint`] that cuts its input into messages.
/// asynchat's `async_chat` without its events.
///
/// Every callback of a chat handler gets it. No method blocks or calls a handler.
/// Pushed output leaves before the loop waits next. `handle_close` follows when the
/// current callback has returned.
///
/// | to | use |
/// |---|---|
/// | send | [`push`](Self::push), [`push_bytes`](Self::push_bytes), [`try_push`](Self::try_push), [`try_push_bytes`](Self::try_push_bytes), or `write!` with `std::io::Write` |
/// | send what a slow peer may miss | [`offer`](Self::offer), [`offer_latest`](Self::offer_latest) |
/// | make output while it is sent | [`push_with_producer`](Self::push_with_producer), [`push_with_handler`](Self::push_with_handler) |
/// | choose the end of the next message | [`set_terminator`](Self::set_terminator) |
/// | hold messages back | [`hold`](Self::hold), [`release`](Self::release), [`pause`](Self::pause), [`resume`](Self::resume) |
/// | answer faster than the peer reads | [`set_backpressure`](Self::set_backpressure) |
/// | speak no faster than others read | [`ChatMap::push_from`](crate::ChatMap::push_from) |
/// | close after the queued output | [`close_when_done`](Self::close_when_done) |
/// | say goodbye to a peer that is cut off | [`Limits::goodbye`] |
/// | end the output only | [`shutdown_when_done`](Self::shutdown_when_done) |
/// | close now | [`close`](Self::close) |
/// | set an option of the socket | [`endpoint().socket()`](Endpoint::socket); for out-of-band data, see [`ChatHandler`](crate::ChatHandler) |
pub struct Chat {
    pub(crate) endpoint: Endpoint,
    pub(crate) framer: Framer,
    /// The part of a message accumulated for a `MessageHandler`.
    pub(crate) message: Vec<u8>,
    /// The number of messages delivered.
    pub(crate) delivered: u64,
    /// The number of bytes left of the read that is being delivered.
    pub(crate) left_of_read: usize,
}

impl Chat {
    pub(crate) fn new(endpoint: Endpoint, terminator: Terminator, bounds_counts: bool) -> Self {
        let mut chat = Self {
            endpoint,
            framer: Framer::new(terminator, bounds_counts),
            message: Vec::new(),
            delivered: 0,
            left_of_read: 0,
        };
        chat.note_held();
        chat
    }

    /// Sets the terminator of the next message. Input that was received but not
    /// delivered is cut by it, too.
    ///
    /// A string or a [framing](crate::Framing) stays until it is changed. A number is used up
    /// by its message: the terminator is then [none](Terminator::none) until it is set again.
    ///
    /// [`Limits::message`] bounds a message that ends by a string or a framing.
    /// [`Limits::counted_message`] bounds a number for a
    /// [`MessageHandler`](crate::MessageHandler), which hears of a larger one at once. For
    /// another handler a number bounds itself: one that takes it from a peer must refuse it,
    /// or [have it bounded](crate::ChatHandler::bounds_counts).
    pub fn set_terminator(&mut self, terminator: impl Into<Terminator>) {
        self.put_back_held();
        let before = self.message_flags();
        self.framer.set_terminator(terminator.into());
        if self.message_flags() != before {
            self.endpoint.end_message(); // the rest has a time of another kind
        }
        self.note_held();
    }

    /// The terminator: asynchat's `get_terminator`. A number counts down: it is the
    /// number of bytes still to come.
    #[doc(alias = "get_terminator")]
    pub fn terminator(&self) -> &Terminator {
        self.framer.terminator()
    }

    /// Puts `data` before the input that was received but not delivered, as if the
    /// peer had sent it. Some messages share bytes with the next one: the line end
    /// before the dot that ends an SMTP message, for example.
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
    /// map.insert(AsyncChat::new(ours, "\r\n", Smtp))?;
    /// map.run()?;
    /// # Ok::<(), chat::Error>(())
    /// ```
    pub fn unread(&mut self, data: impl AsRef<[u8]>) {
        if !self.closing() {
            self.put_back_held();
            self.endpoint.unread.put_back(data.as_ref());
            self.note_held();
        }
    }

    /// The number of bytes that were received but not delivered: the rest of the
    /// current read, held input, a possible beginning of a terminator, and a part of a message
    /// that is [delivered whole](Terminator::whole). The
    /// collected part of a message does not count.
    ///
    /// A command that changes the protocol for all input behind it, such as SMTP's
    /// `STARTTLS` (RFC 3207, section 4.2), must be refused unless this is 0.
    pub fn undelivered(&self) -> usize {
        self.left_of_read + self.endpoint.unread.len() + usize::from(self.framer.held)
    }

    /// Drops the rest of the message that is being received, however long it is, and
    /// the part accumulated for a [`MessageHandler`](crate::MessageHandler). At its end
    /// [`found_terminator`](crate::ChatHandler::found_terminator) is still called; a
    /// `MessageHandler` gets an empty message.
    ///
    /// Called in [`handle_overlimit`](crate::ChatHandler::handle_overlimit), it keeps
    /// the channel open.
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
        self.note_held();
    }

    /// Closes the channel when all queued output, producers included, is sent. From
    /// now on no message is delivered, and pushed output is dropped. Timers still come.
    ///
    /// A peer that reads gets all of the output. To that end input is read and
    /// discarded meanwhile, and afterwards until the peer closes, for at most
    /// [`Limits::linger`]. A peer that takes nothing for [`Limits::stall`] is given up.
    pub fn close_when_done(&mut self) {
        self.endpoint.close_when_done();
    }

    /// Like [`close_when_done`](Self::close_when_done), with the caller's reason. The
    /// first reason stands, if the channel is closing already.
    pub fn close_when_done_with(&mut self, reason: CloseReason) {
        self.endpoint.close_when_done_with(reason);
    }

    /// Shuts the sending half when all queued output, producers included, is sent: the
    /// peer then reads the end. Over a [`Transport`](crate::Transport), its
    /// [`shutdown`](crate::Transport::shutdown) is called. From now on pushed output is
    /// dropped. Input is delivered as before, and the channel stays open.
    ///
    /// [`handle_finished`](crate::ChatHandler::handle_finished) follows when the end has
    /// left. It never comes if the sending half cannot be shut. A connection under way is
    /// waited for. A channel that is closing is left as it is.
    ///
    /// ```
    /// # use std::os::unix::net::UnixStream;
    /// # use chat::*;
    /// /// Asks, says that this was all, and reads the answer to its end.
    /// struct Client;
    ///
    /// impl MessageHandler for Client {
    ///     fn handle_connect(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
    ///         chat.push("sum 1 2\n");
    ///         chat.shutdown_when_done();
    ///         assert!(!chat.push("too late\n"));
    ///         Ok(())
    ///     }
    ///     fn handle_message(&mut self, line: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
    ///         assert_eq!(line, b"3");
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let (ours, mut theirs) = UnixStream::pair()?;
    /// let mut map = ChannelMap::new()?;
    /// map.insert(AsyncChat::new(ours, "\n", Client))?;
    /// let server = std::thread::spawn(move || {
    ///     let mut question = String::new();
    ///     std::io::Read::read_to_string(&mut theirs, &mut question)?;
    ///     std::io::Write::write_all(&mut theirs, b"3\n")?;
    ///     std::io::Result::Ok(question)
    /// });
    /// map.run()?;
    /// assert_eq!(server.join().unwrap()?, "sum 1 2\n");
    /// # Ok::<(), chat::Error>(())
    /// ```
    #[doc(alias = "shutdown")]
    pub fn shutdown_when_done(&mut self) {
        self.endpoint.shut_when_done();
    }

    /// Closes the channel now, and drops the queued output.
    ///
    /// To close another channel, use
    /// [`ChannelMap::close`](reactor::ChannelMap::close), which hides it at once. A
    /// channel closed by its chat can still be found until it is next settled.
    pub fn close(&mut self) {
        self.endpoint.close();
    }

    /// Like [`close`](Self::close), with the caller's reason. The first reason stands,
    /// with the exception that [`Endpoint::close_with`] names.
    pub fn close_with(&mut self, reason: CloseReason) {
        self.endpoint.close_with(reason);
    }

    /// Drops all queued output, producers and offers included, and all input that was received
    /// but not delivered.
    pub fn discard_buffers(&mut self) {
        self.endpoint.output.clear();
        self.endpoint.take_offers();
        self.discard_input();
    }

    /// The part accumulated for a [`MessageHandler`](crate::MessageHandler) of a
    /// message that is not complete. In `handle_eof`, the input without a terminator.
    #[doc(alias = "_get_data")]
    pub fn partial_message(&self) -> &[u8] {
        &self.message
    }

    /// Whether the channel is closed, or will be when all is sent.
    pub fn closing(&self) -> bool {
        self.endpoint.closing()
    }

    /// The channel's token; [`Token::NONE`] until it is in a map.
    pub fn token(&self) -> Token {
        self.endpoint.token()
    }

    /// The socket: its addresses and options.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Takes the endpoint, for a channel of another type.
    ///
    /// The queued output, the limits, the stage of closing and the input that was not
    /// delivered go along, and so does the setting of
    /// [backpressure](Self::set_backpressure). The
    /// [partial message](Self::partial_message) is dropped. Every [hold](Self::hold) ends.
    ///
    /// ```no_run
    /// # use chat::*;
    /// # struct Smtp; struct Tunnel;
    /// # impl MessageHandler for Smtp {
    /// #   fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result { Ok(()) }
    /// # }
    /// # impl DispatcherHandler for Tunnel {}
    /// # fn to_tunnel(map: &mut ChannelMap, smtp: Handle<AsyncChat<Smtp>>) -> Result {
    /// map.convert(smtp, |channel| Dispatcher::new(channel.chat.into_endpoint(), Tunnel))?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn into_endpoint(mut self) -> Endpoint {
        self.put_back_held();
        self.endpoint.end_message();
        self.release_all();
        self.endpoint.count_kept(0);
        self.endpoint.flags &= !(UNDELIVERED | GATHERS | OVER_LIMIT);
        self.endpoint
    }

    /// The [`Transport`](crate::Transport) in place of a plain socket, if it is of this type: to ask TLS what it
    /// has negotiated, for example.
    pub fn transport<T: Transport>(&self) -> Option<&T> {
        self.endpoint.transport()
    }

    /// The same, to change it.
    pub fn transport_mut<T: Transport>(&mut self) -> Option<&mut T> {
        self.endpoint.transport_mut()
    }

    /// The limits of this channel.
    pub fn limits(&self) -> &Limits {
        self.endpoint.limits()
    }

    /// Changes the limits. An `Rc<Limits>` shares one set among many channels.
    pub fn set_limits(&mut self, limits: impl Into<Rc<Limits>>) {
        self.endpoint.set_limits(limits);
        self.note_held();
    }

    /// Makes input again of the bytes that the framer holds back.
    pub(crate) fn put_back_held(&mut self) {
        self.endpoint.unread.put_back(self.framer.take_held());
    }

    /// Whether a number says that the message has more bytes than the limit.
    pub(crate) fn declares_too_much(&self) -> bool {
        let room = self.limits().counted_message;
        let room = room.saturating_sub(self.message.len());
        let is_above = |count| count > room;
        self.framer.bounded_count().is_some_and(is_above)
    }

    /// Finds out whether something waits to be delivered, or for more input.
    pub(crate) fn note_held(&mut self) {
        let unread = self.endpoint.unread.len();
        let gathers = unread > 0 && self.endpoint.flags & EOF == 0 && self.framer.is_short(unread);
        let is_due = self.framer.is_due() || self.declares_too_much();
        let what = match is_due || (unread > 0 && !gathers) {
            true => UNDELIVERED,
            false if gathers => GATHERS,
            false => 0,
        };
        self.endpoint.flags = self.endpoint.flags & !(UNDELIVERED | GATHERS) | what;
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
