//! The callbacks of a chat channel: [`ChatHandler`], and [`MessageHandler`] over it.

use std::io;
use std::mem;

use reactor::{ChannelMap, CloseReason, Deadline, Error, Result, Timer};

use crate::chat::Chat;
use crate::producer::More;

/// The callbacks of an [`AsyncChat`](crate::AsyncChat): the methods that a subclass
/// of asynchat's `async_chat` overrides.
///
/// `chat` is the channel's own wire; `map` holds every other channel. An `Err` goes to
/// [`handle_error`](Self::handle_error). A handler that needs only whole messages
/// implements [`MessageHandler`] instead.
///
/// A byte that a TCP peer sends out of band, as Telnet and `ftplib`'s `abort` do with the last
/// one of a command, is discarded, with a warning in the log. A server of such a protocol
/// keeps it in the stream, from `handle_connect` on:
///
/// ```no_run
/// # fn handle_connect(chat: &mut chat::Chat) -> chat::Result {
/// if let Some(socket) = chat.endpoint().socket() {
///     socket.set_out_of_band_inline(true)?; // SO_OOBINLINE
/// }
/// # Ok(())
/// # }
/// ```
///
/// ```
/// use chat::{Chat, ChatHandler, ChannelMap, Result};
///
/// /// A line that says how many bytes follow it: `5\r\nhello`.
/// #[derive(Default)]
/// struct Counted {
///     ibuffer: Vec<u8>,
///     in_body: bool,
/// }
///
/// impl ChatHandler for Counted {
///     fn collect_incoming_data(
///         &mut self,
///         data: &[u8],
///         _chat: &mut Chat,
///         _map: &mut ChannelMap,
///     ) -> Result {
///         self.ibuffer.extend_from_slice(data);
///         Ok(())
///     }
///
///     fn found_terminator(&mut self, chat: &mut Chat, _map: &mut ChannelMap) -> Result {
///         let data = std::mem::take(&mut self.ibuffer);
///         if self.in_body {
///             chat.push(data);
///             chat.set_terminator("\r\n");
///         } else {
///             let len: usize = std::str::from_utf8(&data)?.parse()?;
///             chat.set_terminator(len.min(4096));
///         }
///         self.in_body = !self.in_body;
///         Ok(())
///     }
/// }
/// ```
#[expect(unused_variables, reason = "the defaults name what they ignore")]
pub trait ChatHandler: 'static {
    /// Collects a part of a message. Parts come in order and are never empty; the
    /// network decides where one ends. Some [terminators](crate::Terminator) have the message
    /// delivered whole: then there is one part, or none if it is empty.
    ///
    /// After the last part of a message `found_terminator` follows at once, even if
    /// this call [pauses](Chat::pause) the channel.
    fn collect_incoming_data(
        &mut self,
        data: &[u8],
        chat: &mut Chat,
        map: &mut ChannelMap,
    ) -> Result;

    /// Handles the message that was collected: its terminator has arrived. The default
    /// does nothing; a handler of bytes without a
    /// [terminator](crate::Terminator::none) needs no more.
    fn found_terminator(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// Handles a message in place, without collecting it.
    ///
    /// Called before the two methods above, when a whole message lies in one piece. The
    /// message may be empty. `Some` says that the handler has taken it; the channel
    /// goes on behind it.
    ///
    /// `None`, the default, passes the message to `collect_incoming_data` and
    /// `found_terminator`. A handler that returns `None` must not have changed the
    /// channel. A message that arrives in several reads, or exceeds
    /// [`Limits::message`](crate::Limits::message), goes straight to those two.
    fn found_message(
        &mut self,
        message: &[u8],
        chat: &mut Chat,
        map: &mut ChannelMap,
    ) -> Option<Result> {
        None
    }

    /// Whether [`Limits::counted_message`](crate::Limits::counted_message) bounds a message by
    /// count. A longer one goes to [`handle_overlimit`](Self::handle_overlimit) as soon as its
    /// [terminator](Chat::set_terminator) is set, before any of it is received. Asked once,
    /// when the handler gets its channel.
    ///
    /// `false` by default: parts that are written to a file may be many. `true` for a
    /// [`MessageHandler`], and the choice of any other handler that keeps a message until it
    /// is whole.
    fn bounds_counts(&self) -> bool {
        false
    }

    /// Begins the conversation. The loop calls it once, when the channel is connected
    /// and before any input, for an accepted socket as well. A server that speaks first
    /// pushes its greeting here.
    fn handle_connect(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// Takes the channel over from another handler. Called once, before any other event,
    /// after [`AsyncChat::with_handler`](crate::AsyncChat::with_handler) or
    /// [`AsyncChat::new`](crate::AsyncChat::new) of an endpoint. A conversion
    /// before `handle_connect` leaves that to the new handler, which gets no
    /// `handle_convert`; nor does that of a channel that [closes](Chat::closing).
    ///
    /// | goes along | with `with_handler` | with `new` |
    /// |---|---|---|
    /// | the token, the user's timers, the limits, the queued output | yes | yes |
    /// | the [offers](Chat::offer) that wait, and the number dropped | yes | yes |
    /// | whether there is [backpressure](Chat::set_backpressure) | yes | yes |
    /// | an end of input that `handle_eof` has not handled | yes | yes |
    /// | input that was received but not delivered | yes | yes |
    /// | the terminator | yes | no: the new one is an argument |
    /// | the part of a terminator that was received | yes | as input |
    /// | the [partial message](Chat::partial_message) | yes | no: take it before |
    /// | the [holds](Chat::hold), a pause and that of backpressure among them | yes | no |
    /// | the handler's own state | as the conversion says | as the conversion says |
    ///
    /// A channel made over another [`Transport`](crate::Transport) is a new one, and nothing
    /// of this goes along. The default does nothing.
    fn handle_convert(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// Handles the end of the peer of a [held](Chat::hold) channel: the peer has closed its
    /// end, at least for sending, or the connection has failed. Called at most once for
    /// each handler, and only while the channel is held, be it by
    /// [backpressure](Chat::set_backpressure). The default does nothing.
    ///
    /// A server that keeps a place for the client, in a queue for example, gives the place
    /// to another here. It may close the channel. Otherwise the held input is delivered
    /// after the release, and [`handle_eof`](Self::handle_eof) follows. If the connection
    /// has failed, which the next send finds at the latest, the channel closes with the
    /// error instead: when the held input is delivered, or after
    /// [`Limits::linger`](crate::Limits::linger).
    ///
    /// A channel without held input closes at once when receiving fails. It gets
    /// [`handle_close`](Self::handle_close) and no call of this method. [`Chat::hold`]
    /// names the ends that are not noticed.
    fn handle_peer_finished(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// Handles the end of the input. The peer may still read. Input without a
    /// terminator has been collected. Called once. The default sends the queued output
    /// and closes the channel.
    ///
    /// A channel that stays open with nothing to send gets no further events, not even
    /// for a reset: set a timer.
    fn handle_eof(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        chat.close_when_done_with(CloseReason::Eof);
        Ok(())
    }

    /// Handles a message of more than [`Limits::message`](crate::Limits::message) bytes, or
    /// a number above [`Limits::counted_message`](crate::Limits::counted_message), where that
    /// is bounded. That many were collected, or none if the length was known before. Afterwards
    /// the channel sends the queued output, an answer pushed here included, and closes.
    /// [`Chat::skip_message`] keeps it open, and drops the rest of the message.
    fn handle_overlimit(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// Queues more output. Called when the queue had exceeded
    /// [`Limits::high_water`](crate::Limits::high_water) or held a producer, or an
    /// [offer](Chat::offer) had to wait, and is down to
    /// [`Limits::low_water`](crate::Limits::low_water) without either.
    fn handle_drained(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// Makes output, as a [`Producer`](crate::Producer) does: appends to `out`, preferably
    /// `max` bytes at most. Each [`push_with_handler`](Chat::push_with_handler) queues one
    /// place; when all output before it is sent, this is called until it returns
    /// [`More::Done`]. It is called while the channel sends, so it gets neither channel nor
    /// map. After a conversion, the new handler is called. The default returns `Done`.
    ///
    /// # Errors
    ///
    /// Any. It closes the channel with [`CloseReason::Io`], since the promised output cannot
    /// be sent.
    fn produce(&mut self, out: &mut Vec<u8>, max: usize) -> io::Result<More> {
        Ok(More::Done)
    }

    /// Handles the end of the output: everything pushed, producers included, is with the
    /// operating system, and so is the end of the stream. Called at most once, after
    /// [`close_when_done`](Chat::close_when_done) or
    /// [`shutdown_when_done`](Chat::shutdown_when_done), and before
    /// [`handle_close`](Self::handle_close), which may wait for the peer as long as
    /// [`Limits::linger`](crate::Limits::linger). An FTP server answers `226` here. The
    /// default does nothing.
    ///
    /// Not called if sending failed, if a close dropped output, or if the sending half
    /// could not be shut. Only an answer shows that the peer has received everything.
    fn handle_finished(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// Handles a deadline of the channel's [limits](crate::Limits) that the peer has missed:
    /// `message_time`, `min_message_rate`, `idle` or `stall`. The default closes the channel as
    /// [`Missed`](CloseReason::Missed): at once for a stall, otherwise when the queued output
    /// is sent. An override may push an answer before it does so. If it leaves the channel
    /// open, the time begins anew.
    ///
    /// ```
    /// # use chat::*;
    /// # struct Smtp;
    /// # impl MessageHandler for Smtp {
    /// # fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result { Ok(()) }
    /// fn handle_deadline(&mut self, deadline: Deadline, chat: &mut Chat, _: &mut ChannelMap) -> Result {
    ///     chat.push("421 4.4.2 timeout\r\n");
    ///     chat.close_when_done_with(CloseReason::Missed(deadline));
    ///     Ok(())
    /// }
    /// # }
    /// ```
    fn handle_deadline(
        &mut self,
        deadline: Deadline,
        chat: &mut Chat,
        map: &mut ChannelMap,
    ) -> Result {
        chat.endpoint.end_by_deadline(deadline);
        Ok(())
    }

    /// Handles a timer of this channel that is due. Its [number](Timer::number) tells
    /// several apart. Called even after [`close_when_done`](Chat::close_when_done), while
    /// the channel is open. The default does nothing.
    fn handle_timer(&mut self, timer: Timer, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// Finishes the work under way. Called once, when the map is
    /// [shut down](ChannelMap::shut_down). A channel that is closing when done gets no
    /// call. One that is still connecting is closed instead.
    ///
    /// The default sends the queued output and closes the channel. Requests that were
    /// received but not delivered are dropped. A channel that is open at the deadline is
    /// closed then, with a [goodbye](crate::Limits::goodbye) if it has one.
    fn handle_shutdown(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        chat.close_when_done_with(CloseReason::Shutdown);
        Ok(())
    }

    /// Handles the close of the channel. Called exactly once, as the last callback. Output
    /// pushed here is dropped. [`Chat::unsent`] counts the output that was lost.
    fn handle_close(&mut self, reason: CloseReason, chat: &mut Chat, map: &mut ChannelMap) {}

    /// Handles an error that a callback returned, or a [`FramingError`](crate::FramingError):
    /// input that is no message. After that the channel closes in the same way, unless this
    /// call sets another [terminator](Chat::set_terminator), under which the input goes on.
    ///
    /// The default logs it at the level `warn`, since a peer may have caused it. The
    /// channel then delivers no more input, sends the output pushed before, and closes
    /// with [`HandlerError`](CloseReason::HandlerError), as
    /// [`close_when_done_with`](Chat::close_when_done_with) does. It waits for an idle
    /// producer for at most [`Limits::stall`](crate::Limits::stall). A channel that is
    /// still connecting closes at once.
    ///
    /// An override may [`close`](Chat::close) instead, which drops the queue. If it does
    /// not close, the channel goes on with the data that follows.
    fn handle_error(&mut self, error: Error, chat: &mut Chat, map: &mut ChannelMap) {
        chat.endpoint.end_by_error(&error);
    }
}

/// A chat handler that gets each message whole.
///
/// One method replaces asynchat's two. The others are those of [`ChatHandler`], which
/// every `MessageHandler` implements. A message that arrives in one piece is lent to
/// the handler where it lies. One that arrives in several pieces is accumulated in the
/// channel, up to [`Limits::message`](crate::Limits::message) bytes, or
/// [`Limits::counted_message`](crate::Limits::counted_message) of one by count.
///
/// ```
/// use chat::{Chat, ChannelMap, MessageHandler, Result};
///
/// struct Echo;
///
/// impl MessageHandler for Echo {
///     fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
///         chat.push(line);
///         chat.push(b"\n");
///         Ok(())
///     }
/// }
/// ```
#[expect(unused_variables, reason = "the defaults name what they ignore")]
pub trait MessageHandler: 'static {
    /// Handles one message, without its terminator.
    fn handle_message(&mut self, message: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result;

    /// See [`ChatHandler::handle_connect`].
    fn handle_connect(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// See [`ChatHandler::handle_convert`].
    fn handle_convert(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// See [`ChatHandler::handle_peer_finished`].
    fn handle_peer_finished(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// See [`ChatHandler::handle_eof`]. Input without a terminator is
    /// [`Chat::partial_message`].
    fn handle_eof(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        chat.close_when_done_with(CloseReason::Eof);
        Ok(())
    }

    /// See [`ChatHandler::handle_overlimit`].
    fn handle_overlimit(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// See [`ChatHandler::handle_drained`].
    fn handle_drained(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// See [`ChatHandler::produce`].
    fn produce(&mut self, out: &mut Vec<u8>, max: usize) -> io::Result<More> {
        Ok(More::Done)
    }

    /// See [`ChatHandler::handle_finished`].
    fn handle_finished(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// See [`ChatHandler::handle_deadline`].
    fn handle_deadline(
        &mut self,
        deadline: Deadline,
        chat: &mut Chat,
        map: &mut ChannelMap,
    ) -> Result {
        chat.endpoint.end_by_deadline(deadline);
        Ok(())
    }

    /// See [`ChatHandler::handle_timer`].
    fn handle_timer(&mut self, timer: Timer, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// See [`ChatHandler::handle_shutdown`].
    fn handle_shutdown(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        chat.close_when_done_with(CloseReason::Shutdown);
        Ok(())
    }

    /// See [`ChatHandler::handle_close`].
    fn handle_close(&mut self, reason: CloseReason, chat: &mut Chat, map: &mut ChannelMap) {}

    /// See [`ChatHandler::handle_error`].
    fn handle_error(&mut self, error: Error, chat: &mut Chat, map: &mut ChannelMap) {
        chat.endpoint.end_by_error(&error);
    }
}

/// A handler that drops every message. A client that is refused needs no other:
///
/// ```
/// # use std::io::Read;
/// # use std::os::unix::net::UnixStream;
/// # use chat::{AsyncChat, ChannelMap};
/// # let mut map = ChannelMap::new()?;
/// # let (socket, mut theirs) = UnixStream::pair()?;
/// let mut refused = AsyncChat::new(socket, "\n", ());
/// refused.chat.push("421 too many connections\n");
/// refused.chat.close_when_done();
/// map.insert(refused)?;
/// # map.turn(None)?;
/// # let mut said = [0; 25];
/// # theirs.read_exact(&mut said)?;
/// # assert_eq!(&said, b"421 too many connections\n");
/// # Ok::<(), chat::Error>(())
/// ```
impl MessageHandler for () {
    fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        Ok(())
    }
}

impl<M: MessageHandler> ChatHandler for M {
    fn collect_incoming_data(
        &mut self,
        data: &[u8],
        chat: &mut Chat,
        _map: &mut ChannelMap,
    ) -> Result {
        chat.collect(data);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let message = mem::take(&mut chat.message);
        chat.count_kept();
        self.handle_message(&message, chat, map)
    }

    #[inline]
    fn found_message(
        &mut self,
        message: &[u8],
        chat: &mut Chat,
        map: &mut ChannelMap,
    ) -> Option<Result> {
        Some(self.handle_message(message, chat, map))
    }

    fn bounds_counts(&self) -> bool {
        true
    }

    fn handle_connect(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        MessageHandler::handle_connect(self, chat, map)
    }

    fn handle_convert(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        MessageHandler::handle_convert(self, chat, map)
    }

    fn handle_peer_finished(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        MessageHandler::handle_peer_finished(self, chat, map)
    }

    fn handle_eof(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        MessageHandler::handle_eof(self, chat, map)
    }

    fn handle_overlimit(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        MessageHandler::handle_overlimit(self, chat, map)
    }

    fn handle_drained(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        MessageHandler::handle_drained(self, chat, map)
    }

    fn produce(&mut self, out: &mut Vec<u8>, max: usize) -> io::Result<More> {
        MessageHandler::produce(self, out, max)
    }

    fn handle_finished(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        MessageHandler::handle_finished(self, chat, map)
    }

    fn handle_deadline(
        &mut self,
        deadline: Deadline,
        chat: &mut Chat,
        map: &mut ChannelMap,
    ) -> Result {
        MessageHandler::handle_deadline(self, deadline, chat, map)
    }

    fn handle_timer(&mut self, timer: Timer, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        MessageHandler::handle_timer(self, timer, chat, map)
    }

    fn handle_shutdown(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        MessageHandler::handle_shutdown(self, chat, map)
    }

    fn handle_close(&mut self, reason: CloseReason, chat: &mut Chat, map: &mut ChannelMap) {
        MessageHandler::handle_close(self, reason, chat, map);
    }

    fn handle_error(&mut self, error: Error, chat: &mut Chat, map: &mut ChannelMap) {
        MessageHandler::handle_error(self, error, chat, map);
    }
}
