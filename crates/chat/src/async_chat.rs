//! The chat channel: [`AsyncChat`].

use std::any::{Any, type_name};
use std::fmt;
use std::io;
use std::rc::Rc;

use reactor::{
    Channel, ChannelMap, CloseReason, Error, Opening, Registration, Result, Timer, Token,
};

use crate::chat::Chat;
use crate::endpoint::Endpoint;
use crate::flags::{
    BEGIN, BLOCKED, CONVERTED, EOF, EOF_TOLD, FINISHED, FINISHED_TOLD, Flags, HELD, HIDDEN_INPUT,
    HIGH, NOT_LIVE, OUTRUN, OVER_LIMIT, PARTIAL, PEER_TOLD, RATED, REST_IN, REST_OUT, RETIMED,
    SECURING, UNDELIVERED, UNOPENED,
};
use crate::handler::ChatHandler;
use crate::inet_name::InetName;
use crate::life::Stage;
use crate::limits::Limits;
use crate::opening::Target;
use crate::output::Ask;
use crate::terminator::Terminator;
use crate::transport::Transport;
#[cfg(unix)]
use crate::unix_name::UnixName;
use crate::waiting::Due;

/// Flags that are looked at together, since most channels have none of them.
const RARE: Flags =
    EOF | REST_IN | REST_OUT | NOT_LIVE | UNOPENED | BLOCKED | PARTIAL | RETIMED | SECURING;

/// A channel that cuts its input into messages and queues its output:
/// asynchat's `async_chat`.
///
/// `chat` is the wire. `handler` is yours: a [`ChatHandler`] or a
/// [`MessageHandler`](crate::MessageHandler). Both fields are public, so that other
/// channels of the map reach both.
///
/// A channel whose protocol changes gets another handler:
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use chat::{AsyncChat, Chat, ChannelMap, MessageHandler, Result};
///
/// struct Login;
/// struct Session { user: String }
///
/// impl MessageHandler for Login {
///     fn handle_message(&mut self, line: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
///         let user = String::from_utf8(line.to_vec())?;
///         let me = chat.token().handle::<AsyncChat<Login>>();
///         map.convert(me, |login| login.with_handler(|_| Session { user }))?;
///         Ok(())
///     }
/// }
///
/// impl MessageHandler for Session {
///     fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
///         assert_eq!((self.user.as_str(), line), ("ada", &b"hello"[..]));
///         chat.close();
///         Ok(())
///     }
/// }
///
/// let (ours, theirs) = UnixStream::pair()?;
/// std::io::Write::write_all(&mut &theirs, b"ada\nhello\n")?;
/// let mut map = ChannelMap::new()?;
/// map.insert(AsyncChat::new(ours, "\n", Login))?;
/// map.run()?;
/// # Ok::<(), chat::Error>(())
/// ```
#[non_exhaustive]
#[doc(alias = "async_chat")]
pub struct AsyncChat<H> {
    /// The wire.
    pub chat: Chat,
    /// The handler, which gets the callbacks.
    pub handler: H,
    /// The number of the last settle, after which the map asked what the channel wants.
    asked: u32,
}

impl<H: ChatHandler> AsyncChat<H> {
    /// Makes a chat channel of something that exists: a [`Stream`](crate::Stream) of a
    /// listener, a connected stream socket, which becomes non-blocking, or the [`Endpoint`]
    /// of another channel, such as a [`Dispatcher`](crate::Dispatcher)'s. `terminator` ends
    /// the first message. Input that an endpoint has read already goes along; the new handler
    /// gets [`handle_convert`](ChatHandler::handle_convert).
    ///
    /// # Errors
    ///
    /// None here: [`ChannelMap::insert`] fails with `InvalidInput` for a socket of another
    /// type (datagrams, `SOCK_SEQPACKET`) or one that listens. A
    /// [`Dispatcher`](crate::Dispatcher) takes those. If a conversion makes the channel, it is
    /// closed with that error.
    pub fn new(
        endpoint: impl Into<Endpoint>,
        terminator: impl Into<Terminator>,
        handler: H,
    ) -> Self {
        let mut endpoint = endpoint.into();
        endpoint.expect_stream();
        endpoint.change_hands();
        Self {
            chat: Chat::new(endpoint, terminator.into(), handler.bounds_counts()),
            handler,
            asked: 1,
        }
    }

    /// Connects to a TCP port, as soon as it is in a map. Several addresses are tried in their
    /// order: the next one when one has failed, or has said nothing for 250 ms. The earlier
    /// ones go on, eight attempts at most together, and are looked at every 250 ms; the first
    /// found connected is taken (RFC 8305, section 5).
    ///
    /// [`handle_connect`](ChatHandler::handle_connect) follows on success,
    /// [`handle_close`](ChatHandler::handle_close) on failure. Output pushed before is
    /// sent after the connection. [Backpressure](Chat::set_backpressure) is off. Each
    /// address has the time of [`Limits::connect`]. A local port without a listener is
    /// refused, even if the system picks that very port for the client.
    ///
    /// # Errors
    ///
    /// None here: [`ChannelMap::insert`] fails with the operating system's, if the name does
    /// not resolve, which blocks, or a socket cannot be opened.
    pub fn connect(
        address: impl Into<InetName>,
        terminator: impl Into<Terminator>,
        handler: H,
    ) -> Self {
        Self::new(Endpoint::connect(address), terminator, handler)
    }

    /// Like [`connect`](Self::connect), to a Unix socket: a path, or any [`UnixName`]. A
    /// listener whose queue is full refuses the connection with `WouldBlock`.
    ///
    /// # Errors
    ///
    /// None here: [`ChannelMap::insert`] fails with `InvalidInput` if the path is empty, too
    /// long or has a zero byte, and with the operating system's error if a socket cannot be
    /// opened.
    #[cfg(unix)]
    pub fn connect_unix(
        name: impl Into<UnixName>,
        terminator: impl Into<Terminator>,
        handler: H,
    ) -> Self {
        let target = Target::ConnectUnix(name.into());
        let endpoint = Endpoint::unopened(target, Stage::Connecting(Box::default()));
        Self::new(endpoint, terminator, handler)
    }

    /// Makes a chat channel over a [`Transport`] in place of a socket.
    pub fn over(
        transport: impl Transport + 'static,
        terminator: impl Into<Terminator>,
        handler: H,
    ) -> Self {
        Self::new(Endpoint::over(transport), terminator, handler)
    }

    /// Replaces the handler by one that `f` makes of it. With
    /// [`ChannelMap::convert`], this changes the protocol of a channel in the map. The new
    /// handler gets [`handle_convert`](ChatHandler::handle_convert), which says what goes
    /// along.
    pub fn with_handler<G: ChatHandler>(mut self, f: impl FnOnce(H) -> G) -> AsyncChat<G> {
        self.chat.endpoint.change_hands();
        let handler = f(self.handler);
        self.chat.framer.bounds_counts = handler.bounds_counts();
        self.chat.note_held();
        AsyncChat {
            chat: self.chat,
            handler,
            asked: self.asked,
        }
    }

    /// Sets the limits, in place of the defaults. An `Rc<Limits>` shares one set among
    /// many channels.
    #[must_use]
    pub fn limited(mut self, limits: impl Into<Rc<Limits>>) -> Self {
        self.chat.set_limits(limits);
        self
    }

    /// Sets whether the channel is held while its answers outrun the peer, in place of the
    /// default: see [`Chat::set_backpressure`].
    #[must_use]
    pub fn with_backpressure(mut self, is_on: bool) -> Self {
        self.chat.set_backpressure(is_on);
        self
    }

    /// The work that is due without an event: bits of the flags.
    pub(crate) fn due(&self) -> Flags {
        let endpoint = &self.chat.endpoint;
        let flags = endpoint.flags;
        let mut rare = 0;
        if flags & RARE != 0 {
            if endpoint.is_unopened() {
                return UNOPENED; // before anything else
            }
            if endpoint.has_wrong_timers() {
                rare |= RETIMED;
            }
            if endpoint.is_finished() {
                rare |= FINISHED;
            }
            match endpoint.life.stage() {
                Stage::Live | Stage::Shut | Stage::Failing(_) => {}
                _ => return rare,
            }
        }
        let mut due = rare | flags & (BEGIN | OVER_LIMIT);
        if flags & (UNDELIVERED | HELD) == UNDELIVERED {
            due |= UNDELIVERED;
        }
        if flags & (EOF | EOF_TOLD | UNDELIVERED | OVER_LIMIT | HELD) == EOF {
            due |= EOF;
        }
        if flags & HELD != 0 && flags & PEER_TOLD == 0 && endpoint.has_peer_finished() {
            due |= PEER_TOLD;
        }
        if endpoint.is_drained() {
            due |= HIGH;
        }
        let chat = &self.chat;
        let takes_input = chat.may_receive() || chat.takes_input() || chat.may_receive_behind();
        if endpoint.has_hidden_input() && takes_input {
            due |= HIDDEN_INPUT;
        }
        due
    }

    /// Does one thing that is due.
    fn handle_due(&mut self, what: Flags, map: &mut ChannelMap) -> Result {
        match what {
            UNOPENED => self.open_late(map),
            RETIMED => self.chat.endpoint.set_timers(map),
            BEGIN => return self.begin(map),
            OVER_LIMIT => return self.tell_over_limit(map),
            PEER_TOLD => return self.tell_peer_finished(map),
            EOF => return self.tell_eof(map),
            FINISHED => return self.tell_finished(map),
            HIGH => {
                self.chat.endpoint.flags &= !HIGH;
                return self.handler.handle_drained(&mut self.chat, map);
            }
            UNDELIVERED => return self.deliver_held(map),
            _ => return self.handle_read_event(self.chat.token(), map), // what a transport has
        }
        Ok(())
    }

    fn open_late(&mut self, map: &mut ChannelMap) {
        let me = self.chat.token();
        self.chat.endpoint.open_late(&mut Opening::of(me, map));
    }

    /// Calls `handle_connect` or `handle_convert`, before any other callback.
    fn begin(&mut self, map: &mut ChannelMap) -> Result {
        self.chat.endpoint.use_buffers(map.buffers());
        match self.chat.endpoint.begins_connected() {
            true => self.handler.handle_connect(&mut self.chat, map),
            false => self.handler.handle_convert(&mut self.chat, map),
        }
    }

    /// Calls `handle_finished`.
    fn tell_finished(&mut self, map: &mut ChannelMap) -> Result {
        self.chat.endpoint.flags |= FINISHED_TOLD;
        self.handler.handle_finished(&mut self.chat, map)
    }

    /// Does the work that comes before input. Returns whether to receive any.
    #[cold]
    fn clear_the_way(&mut self, map: &mut ChannelMap) -> Result<bool> {
        // Before the read, which goes straight to the wire; the settle tries again.
        self.chat.endpoint.unblock_transport();
        self.chat.endpoint.fill_up(map.now());
        if self.chat.endpoint.connecting() {
            let me = self.chat.token();
            self.chat.endpoint.finish_connect(&mut Opening::of(me, map));
        }
        if self.due() & BEGIN != 0 {
            self.begin(map)?;
            if !map.may_continue(self.chat.token()) {
                return Ok(false);
            }
        }
        if self.chat.endpoint.discards_input() {
            self.chat.endpoint.discard_input(map);
        } else if self.chat.takes_input() {
            self.chat.receive_behind(map);
        } else if self.chat.may_receive_behind() {
            self.chat.receive_behind(map);
            if self.due() & UNDELIVERED != 0 {
                self.deliver_held(map)?;
            }
            if !map.may_continue(self.chat.token()) {
                return Ok(false);
            }
        }
        if self.chat.endpoint.flags & RATED != 0 && !self.chat.endpoint.is_closed() {
            self.chat.endpoint.set_timers(map); // not in a turn of its own
        }
        Ok(self.chat.may_receive())
    }

    /// After a callback: tells the map if the channel was closed.
    #[inline]
    fn conclude(&mut self, result: Result, me: Token, map: &mut ChannelMap) -> Result {
        if self.chat.endpoint.flags & NOT_LIVE != 0 {
            self.conclude_ending(me, map);
        }
        result
    }

    #[cold]
    fn conclude_ending(&mut self, me: Token, map: &mut ChannelMap) {
        map.amend_now(me, self); // others may have pushed during the callback
        self.chat.endpoint.finish_early();
        self.chat.endpoint.close_in(map, me);
    }

    /// Whether the channel goes on after a callback, once it is amended, by `others`.
    #[cold]
    pub(crate) fn goes_on_amended(&mut self, others: &mut u32, map: &mut ChannelMap) -> bool {
        let me = self.chat.endpoint.me;
        self.chat.endpoint.output.count_answers(*others);
        map.amend_now(me, self);
        *others = self.chat.endpoint.output.others();
        map.may_continue(me)
    }
}

impl<H: ChatHandler> Channel for AsyncChat<H> {
    fn registration(&self) -> Option<&Registration> {
        self.chat.endpoint.wire.registration()
    }

    fn open(&mut self, opening: &mut Opening<'_>) -> io::Result<()> {
        self.chat.endpoint.open(opening)
    }

    fn readable(&self, _me: Token) -> bool {
        let chat = &self.chat;
        let delivers = chat.endpoint.flags & HELD == 0 || chat.endpoint.connecting();
        chat.endpoint.receives() && (delivers || chat.takes_input() || chat.closing())
    }

    fn writable(&self, _me: Token) -> bool {
        self.chat.endpoint.waits_for_room()
    }

    fn watches_hang_up(&self, me: Token) -> bool {
        self.chat.watches_hang_up() && !self.readable(me)
    }

    fn pending(&self, _me: Token) -> bool {
        self.due() != 0
    }

    fn flush(&mut self, me: Token) -> bool {
        let endpoint = &mut self.chat.endpoint;
        let is_as_before = endpoint.asked == self.asked && endpoint.me == me;
        is_as_before && endpoint.flags == 0 && endpoint.send_piece()
    }

    fn settle(&mut self, me: Token) -> Result<(), CloseReason> {
        self.chat.endpoint.enter(me);
        let Self { chat, handler, .. } = self;
        let ask: Ask<'_> = &mut |out, max| handler.produce(out, max);
        chat.endpoint.settle_output(ask);
        if self.chat.endpoint.flags & OUTRUN != 0 {
            self.chat.endpoint.release_if_drained();
        }
        self.chat.count_kept();
        self.chat.endpoint.note_layer();
        let flags = self.chat.endpoint.flags;
        // A held channel that has failed, and holds nothing, may never be released.
        let is_deaf = flags & UNDELIVERED == 0 && (flags & HELD != 0 || !self.readable(me));
        self.chat.endpoint.settle(is_deaf)?;
        let is_usual =
            self.chat.endpoint.flags == 0 && !self.chat.endpoint.has_output() && self.due() == 0;
        self.asked = self.asked.wrapping_add(1).max(1);
        self.chat.endpoint.asked = if is_usual { self.asked } else { 0 };
        Ok(())
    }

    fn handle_read_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        if self.chat.endpoint.flags != 0 {
            match self.clear_the_way(map) {
                Ok(true) => {}
                other => return self.conclude(other.map(|_| ()), me, map),
            }
        }
        let result = self.receive(map);
        match self.chat.endpoint.flags {
            0 => result, // not closed either
            _ => self.conclude(result, me, map),
        }
    }

    fn handle_write_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.chat.endpoint.flags &= !BLOCKED; // and settle sends
        if self.chat.endpoint.connecting() {
            self.chat.endpoint.finish_connect(&mut Opening::of(me, map));
        }
        let result = match self.due() & BEGIN {
            0 => Ok(()),
            _ => self.begin(map),
        };
        self.conclude(result, me, map)
    }

    /// Out-of-band data has no place in a stream of messages.
    fn handle_expt_event(&mut self, me: Token, _map: &mut ChannelMap) -> Result {
        self.chat.endpoint.discard_out_of_band(me);
        Ok(())
    }

    fn discard_errors(&mut self, _me: Token) {
        self.chat.endpoint.discard_errors();
    }

    fn handle_hang_up(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.chat.hang_up();
        let result = match self.due() & PEER_TOLD {
            0 => Ok(()),
            _ => self.tell_peer_finished(map),
        };
        self.conclude(result, me, map)
    }

    fn must_begin(&self, _me: Token) -> bool {
        self.due() & (CONVERTED | UNOPENED) != 0
    }

    fn handle_begin(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.chat.endpoint.enter(me);
        self.open_late(map);
        let result = match self.due() & BEGIN {
            0 => Ok(()),
            _ => self.begin(map),
        };
        self.conclude(result, me, map)
    }

    fn handle_pending(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        let mut result = Ok(());
        let mut due = self.due();
        let order = [
            UNOPENED,
            RETIMED,
            BEGIN,
            OVER_LIMIT,
            UNDELIVERED,
            PEER_TOLD,
            EOF,
            HIGH,
            FINISHED,
            HIDDEN_INPUT,
        ];
        for what in order {
            if due & what != 0 {
                result = self.handle_due(what, map);
                if result.is_err() || !map.may_continue(me) {
                    break;
                }
                due = self.due();
            }
        }
        self.conclude(result, me, map)
    }

    fn handle_timer(&mut self, timer: Timer, me: Token, map: &mut ChannelMap) -> Result {
        self.chat.endpoint.enter(me);
        let due = self.chat.endpoint.handle_own_timer(timer, map);
        let result = match due {
            _ if self.chat.endpoint.is_closed() => Ok(()), // by another channel, a moment ago
            Due::Done => Ok(()),
            Due::Silent => {
                self.chat.end_by_silence(map.now());
                Ok(())
            }
            Due::Program => self.handler.handle_timer(timer, &mut self.chat, map),
            Due::Missed(deadline) => self.handler.handle_deadline(deadline, &mut self.chat, map),
        };
        self.conclude(result, me, map)
    }

    fn handle_shutdown(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        let result = if self.chat.closing() {
            Ok(())
        } else if self.chat.endpoint.connecting() {
            self.chat.close_with(CloseReason::Shutdown);
            Ok(())
        } else {
            self.handler.handle_shutdown(&mut self.chat, map)
        };
        self.conclude(result, me, map)
    }

    fn reclaimable(&self) -> usize {
        self.chat.endpoint.reclaimable()
    }

    fn wire(&self) -> Option<&dyn Any> {
        Some(&self.chat)
    }

    fn wire_mut(&mut self) -> Option<&mut dyn Any> {
        Some(&mut self.chat)
    }

    fn handle_close(&mut self, reason: CloseReason, me: Token, map: &mut ChannelMap) {
        self.chat.endpoint.enter(me);
        self.chat.endpoint.has_closed(&reason, map);
        if self.chat.endpoint.is_finished() {
            if let Err(error) = self.tell_finished(map) {
                self.handler.handle_error(error, &mut self.chat, map);
            }
        }
        self.handler.handle_close(reason, &mut self.chat, map);
    }

    fn handle_error(&mut self, error: Error, me: Token, map: &mut ChannelMap) {
        self.handler.handle_error(error, &mut self.chat, map);
        if self.chat.framer.is_refused() {
            self.chat.close_when_done_with(CloseReason::HandlerError);
        }
        // Closing is all that is left to do; there is no result.
        let _ = self.conclude(Ok(()), me, map);
    }
}

impl<H> fmt::Debug for AsyncChat<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncChat")
            .field("handler", &format_args!("{}", type_name::<H>()))
            .field("chat", &self.chat)
            .finish()
    }
}
