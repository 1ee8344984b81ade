//! The chat channel: [`AsyncChat`].

use std::any::type_name;
use std::fmt;
use std::io;
use std::net::ToSocketAddrs;
#[cfg(unix)]
use std::path::Path;
use std::rc::Rc;

use reactor::{
    Channel, ChannelMap, CloseReason, Error, Registration, Result, Settled, Timer, Token,
};
use socket2::Socket;

use crate::chat::Chat;
use crate::ending::End;
use crate::endpoint::{Endpoint, log_close};
use crate::handler::ChatHandler;
use crate::limits::Limits;
use crate::terminator::Terminator;
use crate::transport::Transport;

/// A channel that cuts its input into messages and queues its output. The
/// documents' `async_chat`.
///
/// `chat` is the wire, `handler` is yours: a [`ChatHandler`] or a
/// [`MessageHandler`](crate::MessageHandler). Both fields are public, so that
/// others in the map reach both. A channel whose protocol changes is given
/// another handler:
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
///         map.convert(me, |login| login.with_handler(|_| Session { user }));
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
/// map.insert(AsyncChat::new(ours, "\n", Login)?)?;
/// map.run()?;
/// # Ok::<(), chat::Error>(())
/// ```
#[non_exhaustive]
#[doc(alias = "async_chat")]
pub struct AsyncChat<H> {
    /// The wire.
    pub chat: Chat,
    /// What is called.
    pub handler: H,
}

impl<H: ChatHandler> AsyncChat<H> {
    /// A chat channel on a connected stream socket, which is made
    /// non-blocking. `terminator` ends the first message.
    ///
    /// # Errors
    ///
    /// If the socket cannot be made non-blocking.
    pub fn new(
        socket: impl Into<Socket>,
        terminator: impl Into<Terminator>,
        handler: H,
    ) -> io::Result<Self> {
        let endpoint = Endpoint::connected_socket(socket.into())?;
        Ok(Self::from_endpoint(endpoint, terminator, handler))
    }

    /// Begins to connect to a TCP port.
    /// [`handle_connect`](ChatHandler::handle_connect) tells of success,
    /// [`handle_close`](ChatHandler::handle_close) of failure; what is pushed
    /// before is sent afterwards. Several addresses are tried in turn. There is
    /// no time limit but the operating system's; set a timer.
    ///
    /// # Errors
    ///
    /// If there is no such name, or no socket to be had. Names are resolved
    /// here, which blocks.
    pub fn connect(
        address: impl ToSocketAddrs,
        terminator: impl Into<Terminator>,
        handler: H,
    ) -> io::Result<Self> {
        let endpoint = Endpoint::connect(address)?;
        Ok(Self::from_endpoint(endpoint, terminator, handler))
    }

    /// Like [`connect`](Self::connect), to a Unix socket.
    ///
    /// # Errors
    ///
    /// If the path is too long, or no socket is to be had.
    #[cfg(unix)]
    pub fn connect_unix(
        path: impl AsRef<Path>,
        terminator: impl Into<Terminator>,
        handler: H,
    ) -> io::Result<Self> {
        let endpoint = Endpoint::connect_unix(path.as_ref())?;
        Ok(Self::from_endpoint(endpoint, terminator, handler))
    }

    /// A chat channel over something else than a socket.
    pub fn over(
        transport: impl Transport + 'static,
        terminator: impl Into<Terminator>,
        handler: H,
    ) -> Self {
        Self::from_endpoint(Endpoint::over(Box::new(transport)), terminator, handler)
    }

    /// A chat channel on another channel's endpoint, with what that has read
    /// already: how a [`Dispatcher`](crate::Dispatcher) becomes one.
    pub fn from_endpoint(
        endpoint: Endpoint,
        terminator: impl Into<Terminator>,
        handler: H,
    ) -> Self {
        Self {
            chat: Chat::new(endpoint, terminator.into()),
            handler,
        }
    }

    /// This channel with another handler, made of the present one: how a
    /// channel is [converted](ChannelMap::convert) when its protocol changes.
    pub fn with_handler<G>(self, f: impl FnOnce(H) -> G) -> AsyncChat<G> {
        AsyncChat {
            chat: self.chat,
            handler: f(self.handler),
        }
    }

    /// This channel, with other limits than the default ones. To share one set
    /// among many channels, give an `Rc<Limits>`.
    #[must_use]
    pub fn limited(mut self, limits: impl Into<Rc<Limits>>) -> Self {
        self.chat.set_limits(limits);
        self
    }

    /// What comes before anything else: `handle_connect`.
    #[cold]
    fn announce(&mut self, map: &mut ChannelMap) -> Result {
        if self.chat.is_announced || self.chat.end != End::Open {
            return Ok(());
        }
        self.chat.is_announced = true;
        self.chat.output.use_buffers(map.buffers());
        self.handler.handle_connect(&mut self.chat, map)
    }

    #[inline(never)]
    fn settle_with_care(&mut self, me: Token) -> Result<(), CloseReason> {
        self.enter(me);
        let chat = &mut self.chat;
        if chat.end != End::Closed {
            if chat.endpoint.connecting() {
                return Ok(());
            }
            chat.send_queued();
        }
        if chat.end != End::Open || chat.output_error.is_some() {
            chat.settle_end()?;
        }
        chat.is_ordinary = chat.find_ordinary();
        Ok(())
    }

    /// Is in a map for the first time, or for the first time again; called
    /// where the first callback may be.
    #[inline]
    fn enter(&mut self, me: Token) {
        if self.chat.endpoint.me != me {
            self.chat.endpoint.me = me;
            self.chat.untime_end();
        }
    }

    /// After a callback: closing, and no memory for the idle.
    #[inline(always)]
    fn conclude(&mut self, result: Result, me: Token, map: &mut ChannelMap) -> Result {
        if self.chat.end == End::Closed && map.is_open(me) {
            map.close_with(me, self.chat.take_reason());
        }
        if self.chat.message.is_empty() && self.chat.message.capacity() > 0 {
            self.chat.message = Vec::new();
        }
        result
    }

    #[inline(never)]
    fn handle_readable_with_care(&mut self, map: &mut ChannelMap) -> Result {
        if !self.chat.is_announced {
            self.announce(map)?;
            if !map.may_continue(self.chat.token()) {
                return Ok(());
            }
        }
        match self.chat.end {
            End::Open => {
                self.chat.delivered = 0;
                self.receive_on(0, map)
            }
            End::Finishing | End::Lingering => {
                self.chat.discard_input(map);
                Ok(())
            }
            End::Closed => Ok(()),
        }
    }

    fn handle_what_is_pending(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.announce(map)?;
        if self.chat.is_over_limit {
            self.tell_over_limit(map)?;
        }
        if self.chat.endpoint.is_eof {
            self.tell_eof(map)?;
        }
        self.deliver_unread(map)?;
        if self.is_drained() && map.may_continue(me) {
            self.chat.needs_drain = false;
            self.handler.handle_drained(&mut self.chat, map)?;
        }
        if self.chat.is_end_untimed() {
            self.chat.time_end(map);
        }
        Ok(())
    }

    /// `handle_drained` is due.
    fn is_drained(&self) -> bool {
        let chat = &self.chat;
        chat.needs_drain
            && chat.end == End::Open
            && !chat.output.has_producer()
            && chat.output.len() <= chat.limits().low_water
    }
}

impl<H: ChatHandler> Channel for AsyncChat<H> {
    #[inline]
    fn registration(&self) -> Option<&Registration> {
        self.chat.endpoint.registration()
    }

    #[inline]
    fn readable(&self, _me: Token) -> bool {
        let chat = &self.chat;
        if chat.is_ordinary {
            return true;
        }
        if chat.endpoint.connecting() || chat.endpoint.is_eof {
            return false;
        }
        match chat.end {
            End::Open => !chat.is_paused,
            _ => chat.discards_input(),
        }
    }

    #[inline]
    fn writable(&self, _me: Token) -> bool {
        let chat = &self.chat;
        if !chat.is_ordinary {
            if chat.endpoint.connecting() {
                return true;
            }
            if chat.output_error.is_some() {
                return false; // whatever the transport has to send
            }
        }
        let has_output = chat.output.is_ready() || chat.endpoint.wire.has_output();
        has_output && (!chat.is_blocked || chat.endpoint.wire.waits_for_room())
    }

    #[inline]
    fn pending(&self, _me: Token) -> bool {
        let chat = &self.chat;
        if chat.is_ordinary {
            return chat.framer.is_due() || chat.endpoint.wire.has_input();
        }
        if chat.endpoint.connecting() {
            return false;
        }
        match chat.end {
            End::Open => {
                let has_input = chat.endpoint.has_unread() || chat.framer.is_due();
                !chat.is_announced
                    || (has_input && chat.takes_input())
                    || (chat.endpoint.is_eof && !chat.endpoint.is_eof_told)
                    || chat.is_over_limit
                    || self.is_drained()
            }
            _ => chat.is_end_untimed(),
        }
    }

    #[inline]
    fn settle(&mut self, me: Token) -> Result<Settled, CloseReason> {
        let chat = &mut self.chat;
        debug_assert!(!chat.is_ordinary || chat.find_ordinary());
        if chat.is_ordinary && chat.endpoint.me == me {
            chat.send_queued();
            if chat.is_ordinary {
                return Ok(Settled::Ask);
            }
        }
        self.settle_with_care(me)?;
        Ok(Settled::Ask)
    }

    fn handle_read_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        debug_assert!(!self.chat.is_ordinary || self.chat.find_ordinary());
        let result = match self.chat.is_ordinary {
            true => self.receive(map),
            false => self.handle_readable_with_care(map),
        };
        self.conclude(result, me, map)
    }

    fn handle_write_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.chat.is_blocked = false; // and settle sends
        if !self.chat.endpoint.connecting() {
            return Ok(());
        }
        let result = match self.chat.endpoint.finish_connect() {
            Ok(()) if self.chat.endpoint.connecting() => Ok(()),
            Ok(()) => self.announce(map),
            Err(error) => {
                self.chat.close_with(CloseReason::Io(error));
                Ok(())
            }
        };
        self.conclude(result, me, map)
    }

    /// Out-of-band data has no place in a stream of messages.
    fn handle_expt_event(&mut self, me: Token, _map: &mut ChannelMap) -> Result {
        if self.chat.endpoint.wire.discard_out_of_band() {
            log::debug!("channel {me}: out-of-band data was discarded");
        }
        Ok(())
    }

    fn handle_pending(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        let result = self.handle_what_is_pending(me, map);
        if result.is_ok() && self.chat.endpoint.wire.has_input() && map.may_continue(me) {
            return self.handle_read_event(me, map);
        }
        self.conclude(result, me, map)
    }

    fn handle_timer(&mut self, timer: Timer, me: Token, map: &mut ChannelMap) -> Result {
        self.enter(me);
        let result = if self.chat.is_end_timer(timer) {
            self.chat.end_in_time();
            Ok(())
        } else if self.chat.end == End::Closed {
            Ok(()) // by another channel, a moment ago
        } else {
            self.handler.handle_timer(timer, &mut self.chat, map)
        };
        self.conclude(result, me, map)
    }

    fn handle_drain(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        let result = match self.chat.end {
            End::Open if self.chat.endpoint.connecting() => {
                self.chat.close_with(CloseReason::Drained);
                Ok(())
            }
            End::Open => self.handler.handle_drain(&mut self.chat, map),
            _ => Ok(()),
        };
        self.conclude(result, me, map)
    }

    fn handle_close(&mut self, reason: CloseReason, me: Token, map: &mut ChannelMap) {
        self.enter(me);
        // Whoever closed it: from here on, what is pushed goes nowhere.
        self.chat.end = End::Closed;
        self.chat.output.discard();
        log_close(me, &reason);
        self.handler.handle_close(reason, &mut self.chat, map);
    }

    fn handle_error(&mut self, error: Error, me: Token, map: &mut ChannelMap) {
        self.handler.handle_error(error, &mut self.chat, map);
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
