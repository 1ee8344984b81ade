//! The raw socket channel: [`Dispatcher`].

use std::any::type_name;
use std::fmt;
use std::io;
use std::net::ToSocketAddrs;
#[cfg(unix)]
use std::path::Path;
use std::time::Duration;

use reactor::{
    Channel, ChannelMap, CloseReason, Error, Registration, Result, Settled, Timer, Token,
};
use socket2::Socket;

use crate::dispatcher_handler::DispatcherHandler;
use crate::endpoint::{Endpoint, State, log_close};
use crate::limits::Limits;
use crate::transport::Transport;

/// How many connections a listener accepts in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// How long a listener pauses when `accept` fails: without descriptors, for
/// example, nothing but time helps.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// A channel that hands its events to a handler as they are: listening,
/// connecting or connected. The documents' `dispatcher`.
///
/// `endpoint` is the socket, `handler` is yours.
///
/// ```no_run
/// use chat::{Address, AsyncChat, Chat, ChannelMap, Dispatcher, DispatcherHandler, Endpoint};
/// use chat::{MessageHandler, Result, Socket};
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
///
/// struct Server;
///
/// impl DispatcherHandler for Server {
///     fn handle_accepted(
///         &mut self,
///         socket: Socket,
///         _addr: Address,
///         _server: &mut Endpoint,
///         map: &mut ChannelMap,
///     ) -> Result {
///         map.insert(AsyncChat::new(socket, "\n", Echo)?)?;
///         Ok(())
///     }
/// }
///
/// let mut map = ChannelMap::new()?;
/// map.insert(Dispatcher::listen("127.0.0.1:7000", Server)?)?;
/// map.run()?;
/// # Ok::<(), chat::Error>(())
/// ```
#[doc(alias = "dispatcher")]
pub struct Dispatcher<H> {
    /// The socket.
    pub endpoint: Endpoint,
    /// What is called.
    pub handler: H,
    /// `accept` failed; until this timer is due it is not called.
    accept_pause: Option<Timer>,
    /// While the channel is to be closed when all is sent: when that is given
    /// up, and how much is left to send.
    patience: Option<(Timer, usize)>,
    /// That is not the first time in a row, and was logged.
    is_accept_failing: bool,
}

impl<H: DispatcherHandler> Dispatcher<H> {
    /// A dispatcher on a socket that exists: listening, connected or neither;
    /// `UdpSocket::bind(..)?` makes one for datagrams. It is made non-blocking.
    ///
    /// # Errors
    ///
    /// If the socket cannot be asked for its state.
    #[doc(alias = "set_socket")]
    pub fn new(socket: impl Into<Socket>, handler: H) -> io::Result<Self> {
        Ok(Self::from_endpoint(Endpoint::new(socket.into())?, handler))
    }

    /// Listens on a TCP port; of several addresses, on the first that works.
    /// Port 0 asks for a free one, see [`Endpoint::local_addr`].
    ///
    /// The address is reused (`SO_REUSEADDR`), 1,024 connections may wait
    /// (as far as the system lets them), and accepted sockets inherit
    /// `TCP_NODELAY`.
    ///
    /// # Errors
    ///
    /// What `socket(2)`, `bind(2)` or `listen(2)` say: `EADDRINUSE` if the port
    /// is taken. Names are resolved here, which blocks.
    #[doc(alias("create_socket", "bind", "set_reuse_addr"))]
    pub fn listen(address: impl ToSocketAddrs, handler: H) -> io::Result<Self> {
        Ok(Self::from_endpoint(Endpoint::listen(address)?, handler))
    }

    /// Listens on a Unix socket. The path is made, and is not removed.
    ///
    /// # Errors
    ///
    /// `EADDRINUSE` if the path exists.
    #[cfg(unix)]
    pub fn listen_unix(path: impl AsRef<Path>, handler: H) -> io::Result<Self> {
        Ok(Self::from_endpoint(
            Endpoint::listen_unix(path.as_ref())?,
            handler,
        ))
    }

    /// Begins to connect to a TCP port.
    /// [`handle_connect`](DispatcherHandler::handle_connect) tells of success,
    /// [`handle_close`](DispatcherHandler::handle_close) of failure. Several
    /// addresses are tried in turn. There is no time limit but the operating
    /// system's; set a timer.
    ///
    /// # Errors
    ///
    /// If there is no such name, or no socket to be had. Names are resolved
    /// here, which blocks.
    pub fn connect(address: impl ToSocketAddrs, handler: H) -> io::Result<Self> {
        Ok(Self::from_endpoint(Endpoint::connect(address)?, handler))
    }

    /// Like [`connect`](Self::connect), to a Unix socket.
    ///
    /// # Errors
    ///
    /// If the path is too long, or no socket is to be had.
    #[cfg(unix)]
    pub fn connect_unix(path: impl AsRef<Path>, handler: H) -> io::Result<Self> {
        Ok(Self::from_endpoint(
            Endpoint::connect_unix(path.as_ref())?,
            handler,
        ))
    }

    /// A connected dispatcher over something else than a socket: a pipe, a
    /// terminal ([`FileWrapper`](crate::FileWrapper)), TLS.
    pub fn over(transport: impl Transport + 'static, handler: H) -> Self {
        Self::from_endpoint(Endpoint::over(Box::new(transport)), handler)
    }

    /// A dispatcher of its two parts. With a chat channel's endpoint, this is
    /// how it becomes a dispatcher; what it has read already goes along. For a
    /// dispatcher's own, use [`with_handler`](Self::with_handler).
    pub fn from_endpoint(endpoint: Endpoint, handler: H) -> Self {
        Self {
            endpoint,
            handler,
            accept_pause: None,
            patience: None,
            is_accept_failing: false,
        }
    }

    /// This dispatcher with another handler, made of the present one.
    pub fn with_handler<G>(self, f: impl FnOnce(H) -> G) -> Dispatcher<G> {
        Dispatcher {
            endpoint: self.endpoint,
            handler: f(self.handler),
            accept_pause: self.accept_pause,
            patience: self.patience,
            is_accept_failing: self.is_accept_failing,
        }
    }

    fn accept(&mut self, me: Token, map: &mut ChannelMap) {
        for _ in 0..ACCEPTS_PER_TURN {
            self.endpoint.has_accepted = false;
            let handled = self.handler.handle_accept(&mut self.endpoint, map);
            match (handled, self.endpoint.has_accepted) {
                (Ok(()), false) => break,
                (Ok(()), true) => self.is_accept_failing = false,
                (Err(error), true) => {
                    self.is_accept_failing = false;
                    log::warn!("channel {me}: a connection was dropped: {error}");
                }
                (Err(error), false) => {
                    // Tried again at once, it would fail again, for ever.
                    self.accept_pause = Some(map.set_timer(me, map.now() + ACCEPT_PAUSE));
                    if !std::mem::replace(&mut self.is_accept_failing, true) {
                        log::warn!("channel {me}: cannot accept for now: {error}");
                    }
                    break;
                }
            }
            if self.endpoint.closing() || !map.may_continue(me) {
                break;
            }
        }
    }

    fn finish_connect(&mut self, map: &mut ChannelMap) -> Result {
        if let Err(error) = self.endpoint.finish_connect() {
            self.endpoint.close_with(CloseReason::Io(error));
        }
        if !self.endpoint.connected() {
            return Ok(());
        }
        self.handler.handle_connect(&mut self.endpoint, map)
    }

    /// Calls `handle_eof` if it is due.
    fn tell_eof(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        if !self.is_eof_due() || !map.may_continue(me) {
            return Ok(());
        }
        self.endpoint.is_eof_told = true;
        self.handler.handle_eof(&mut self.endpoint, map)
    }

    fn is_eof_due(&self) -> bool {
        self.endpoint.is_eof && !self.endpoint.is_eof_told && !self.endpoint.closing()
    }

    /// Is in a map for the first time, or for the first time again (then a timer
    /// went with the map that it was set in); called where the first callback
    /// may be.
    fn enter(&mut self, me: Token) {
        if self.endpoint.me != me {
            self.endpoint.me = me;
            self.accept_pause = None;
            self.patience = None;
        }
    }

    /// What is left to send has some time for it, and again as much as long as
    /// it becomes less.
    fn be_patient(&mut self, me: Token, map: &mut ChannelMap) {
        let timer = map.set_timer(me, map.now() + Limits::DEFAULT.stall);
        self.patience = Some((timer, self.endpoint.queued()));
    }

    /// Runs a callback, unless another channel has closed this one; then sees to
    /// what its error means, and to closing.
    fn call(
        &mut self,
        me: Token,
        map: &mut ChannelMap,
        callback: impl FnOnce(&mut Self, &mut ChannelMap) -> Result,
    ) -> Result {
        self.endpoint.told = None;
        let result = match self.endpoint.closing {
            Some(_) => Ok(()),
            None => callback(self, map),
        };
        if matches!(self.endpoint.closing, Some(CloseReason::Eof)) {
            // The peer closed before it had all.
            if let Some(error) = self.endpoint.take_output_error() {
                self.endpoint.closing = Some(CloseReason::Io(error));
            }
        }
        let failed = matches!(self.endpoint.closing, Some(CloseReason::Io(_)));
        if let Some(reason) = self.endpoint.closing.take() {
            map.close_with(me, reason);
        }
        let Err(error) = result else {
            return Ok(());
        };
        // A callback may pass on what the endpoint told it. Then there was
        // nothing to do, or a datagram was lost, or the reason for closing says
        // it all.
        let kind = error.downcast_ref().map(io::Error::kind);
        match kind.is_some() && (failed || kind == self.endpoint.told) {
            true => log::debug!("channel {me}: {error}"),
            false => return Err(error),
        }
        Ok(())
    }
}

impl<H: DispatcherHandler> Channel for Dispatcher<H> {
    fn registration(&self) -> Option<&Registration> {
        self.endpoint.registration()
    }

    fn readable(&self, _me: Token) -> bool {
        let is_open = match self.endpoint.state {
            State::Connecting => false,
            State::Accepting => self.accept_pause.is_none(),
            State::Connected | State::Open => !self.endpoint.is_eof,
        };
        is_open && !self.endpoint.is_finishing() && self.handler.readable(&self.endpoint)
    }

    fn writable(&self, _me: Token) -> bool {
        match self.endpoint.state {
            State::Connecting => true,
            State::Accepting => false,
            State::Connected | State::Open => {
                self.endpoint.waits_for_room() || self.handler.writable(&self.endpoint)
            }
        }
    }

    fn pending(&self, me: Token) -> bool {
        self.is_eof_due()
            || (self.endpoint.has_unread() && self.readable(me))
            || (self.endpoint.is_finishing() && self.patience.is_none())
    }

    fn settle(&mut self, me: Token) -> Result<Settled, CloseReason> {
        self.enter(me);
        self.endpoint.send_queued();
        if !self.readable(me) {
            if let Some(error) = self.endpoint.take_output_error() {
                self.endpoint.close_with(CloseReason::Io(error));
            }
        }
        match self.endpoint.closing.take() {
            Some(reason) => Err(reason),
            None => Ok(Settled::Ask),
        }
    }

    fn handle_read_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.call(me, map, |this, map| {
            if this.endpoint.accepting() {
                this.accept(me, map);
                return Ok(());
            }
            this.handler.handle_read(&mut this.endpoint, map)?;
            this.tell_eof(me, map)
        })
    }

    fn handle_write_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.endpoint.is_blocked = false;
        self.endpoint.send_queued();
        self.call(me, map, |this, map| {
            if this.endpoint.connecting() {
                return this.finish_connect(map);
            }
            match !this.endpoint.has_output() && this.handler.writable(&this.endpoint) {
                true => this.handler.handle_write(&mut this.endpoint, map),
                false => Ok(()),
            }
        })
    }

    fn handle_expt_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.call(me, map, |this, map| {
            let result = this.handler.handle_expt(&mut this.endpoint, map);
            this.endpoint.wire.discard_out_of_band();
            result
        })
    }

    fn handle_pending(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        if self.endpoint.is_finishing() && self.patience.is_none() {
            self.be_patient(me, map);
            return Ok(());
        }
        if self.endpoint.has_unread() && self.readable(me) {
            return self.handle_read_event(me, map);
        }
        self.call(me, map, |this, map| this.tell_eof(me, map))
    }

    fn handle_timer(&mut self, timer: Timer, me: Token, map: &mut ChannelMap) -> Result {
        self.enter(me);
        if self.accept_pause == Some(timer) {
            self.accept_pause = None;
            return Ok(());
        }
        if let Some((_, left)) = self.patience.take_if(|(patience, _)| *patience == timer) {
            if self.endpoint.queued() < left {
                self.be_patient(me, map);
            } else {
                map.close_with(me, CloseReason::TimedOut);
            }
            return Ok(());
        }
        self.call(me, map, |this, map| {
            this.handler.handle_timer(timer, &mut this.endpoint, map)
        })
    }

    fn handle_drain(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.call(me, map, |this, map| {
            this.handler.handle_drain(&mut this.endpoint, map)
        })
    }

    fn handle_close(&mut self, reason: CloseReason, me: Token, map: &mut ChannelMap) {
        self.enter(me);
        log_close(me, &reason);
        self.endpoint.close(); // from here on, what is pushed goes nowhere
        self.handler.handle_close(reason, &mut self.endpoint, map);
    }

    fn handle_error(&mut self, error: Error, me: Token, map: &mut ChannelMap) {
        self.handler.handle_error(error, &mut self.endpoint, map);
        if let Some(reason) = self.endpoint.closing.take() {
            map.close_with(me, reason);
        }
    }
}

impl<H> fmt::Debug for Dispatcher<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher")
            .field("handler", &format_args!("{}", type_name::<H>()))
            .field("endpoint", &self.endpoint)
            .finish()
    }
}
