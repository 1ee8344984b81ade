//! The raw socket channel: [`Dispatcher`].

use std::any::{Any, type_name};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use reactor::{
    Channel, ChannelMap, CloseReason, Error, Opening, Registration, Result, Timer, Token,
};

use crate::dispatcher_handler::DispatcherHandler;
use crate::endpoint::Endpoint;
use crate::flags::{BEGIN, BLOCKED, EOF, EOF_TOLD, FINISHED_TOLD, HIGH};
use crate::inet_name::InetName;
use crate::life::{Bound, Stage};
use crate::limits::Limits;
use crate::opening::Target;
use crate::producing::later;
use crate::transport::Transport;
#[cfg(unix)]
use crate::unix_bind::UnixBind;
#[cfg(unix)]
use crate::unix_name::UnixName;
use crate::waiting::{Due, OWN};

/// The number of connections that a listener accepts in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// How long a listener pauses when `accept` fails. Only time helps when descriptors are
/// short, for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// A channel that hands its raw events to a handler: a listener, a stream or datagrams.
/// asyncore's `dispatcher`.
///
/// `endpoint` is the socket. `handler` is yours: a [`DispatcherHandler`]. Both fields
/// are public, so that other channels of the map reach both.
///
/// ```no_run
/// use chat::{Address, AsyncChat, Chat, ChannelMap, Dispatcher, DispatcherHandler, Endpoint};
/// use chat::{MessageHandler, Result, Stream};
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
///         stream: Stream,
///         _addr: Address,
///         _server: &mut Endpoint,
///         map: &mut ChannelMap,
///     ) -> Result {
///         map.insert(AsyncChat::new(stream, "\n", Echo))?;
///         Ok(())
///     }
/// }
///
/// let mut map = ChannelMap::new()?;
/// map.insert(Dispatcher::listen("127.0.0.1:7000", Server))?;
/// map.run()?;
/// # Ok::<(), chat::Error>(())
/// ```
#[doc(alias = "dispatcher")]
pub struct Dispatcher<H> {
    /// The socket.
    pub endpoint: Endpoint,
    /// The handler, which gets the callbacks.
    pub handler: H,
    /// `accept` failed, and is not called until this timer is due.
    accept_pause: Option<Timer>,
    /// `accept` has failed since it last succeeded, and that is in the log.
    is_accept_failing: bool,
}

impl<H: DispatcherHandler> Dispatcher<H> {
    /// Makes a dispatcher of something that exists: a [`Stream`](crate::Stream) of a listener,
    /// a socket of any type (listening, connected or neither), which becomes non-blocking, or
    /// the [`Endpoint`] of another channel, such as a chat channel's. Input that an endpoint
    /// has read but not handed out goes along.
    ///
    /// To change only a dispatcher's handler, use [`with_handler`](Self::with_handler).
    #[doc(alias = "set_socket")]
    pub fn new(endpoint: impl Into<Endpoint>, handler: H) -> Self {
        let mut endpoint = endpoint.into();
        endpoint.change_hands();
        Self {
            endpoint,
            handler,
            accept_pause: None,
            is_accept_failing: false,
        }
    }

    /// Listens on a TCP port, as soon as it is in a map. Of several addresses, the first that
    /// works is used. Port 0 asks for a free port, which [`Endpoint::local_addr`] then tells:
    ///
    /// ```
    /// use chat::{ChannelMap, Dispatcher};
    ///
    /// let mut map = ChannelMap::new()?;
    /// let server = map.insert(Dispatcher::listen("127.0.0.1:0", ()))?;
    /// let address = map.get(server)?.endpoint.local_addr().unwrap();
    /// assert_ne!(address.as_inet().unwrap().port(), 0);
    /// # Ok::<(), chat::Error>(())
    /// ```
    ///
    /// The address is reused (`SO_REUSEADDR`). Up to 1,024 connections may wait, or as
    /// many as the system allows. Accepted sockets inherit `TCP_NODELAY`
    /// and `SO_KEEPALIVE`, which ends a connection whose peer is gone without a word: after
    /// two minutes (60 s of silence, then 4 probes, each 15 s apart).
    ///
    /// # Errors
    ///
    /// None here: [`ChannelMap::insert`] fails with those of `socket(2)`, `bind(2)` and
    /// `listen(2)`, such as `EADDRINUSE` if the port is taken, and with those of the name's
    /// resolution, which blocks. [`ChannelMap::try_insert`] hands the channel back, to be
    /// inserted later.
    #[doc(alias("create_socket", "bind", "set_reuse_addr"))]
    pub fn listen(address: impl Into<InetName>, handler: H) -> Self {
        let target = Target::Listen(address.into());
        Self::opened_later(target, Stage::Listening(Box::default()), handler)
    }

    /// Receives datagrams on a UDP port, as soon as it is in a map. Port 0 asks for a free
    /// port. For other options, such as a multicast group's, bring a socket to
    /// [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// None here: [`ChannelMap::insert`] fails with those of `socket(2)` and `bind(2)`, and
    /// with those of the name's resolution.
    #[doc(alias = "create_socket")]
    pub fn bind(address: impl Into<InetName>, handler: H) -> Self {
        let target = Target::Bind(address.into());
        Self::opened_later(target, Stage::Datagrams(Bound::default()), handler)
    }

    /// Listens on a Unix socket, at a path or any [`UnixName`], as soon as it is in a map. By
    /// default an existing path is not replaced, and the path is not removed at the end; a
    /// [`UnixBind`] can ask for both.
    ///
    /// # Errors
    ///
    /// None here: [`ChannelMap::insert`] fails with `EADDRINUSE` if the path exists, and with
    /// `InvalidInput` if it is empty, too long or has a zero byte.
    #[cfg(unix)]
    pub fn listen_unix(bind: impl Into<UnixBind>, handler: H) -> Self {
        let target = Target::ListenUnix(bind.into());
        Self::opened_later(target, Stage::Listening(Box::default()), handler)
    }

    /// Receives datagrams on a Unix socket, bound as for
    /// [`listen_unix`](Self::listen_unix).
    ///
    /// # Errors
    ///
    /// As [`listen_unix`](Self::listen_unix).
    #[cfg(unix)]
    pub fn bind_unix(bind: impl Into<UnixBind>, handler: H) -> Self {
        let target = Target::BindUnix(bind.into());
        Self::opened_later(target, Stage::Datagrams(Bound::default()), handler)
    }

    /// Connects to a TCP port, as soon as it is in a map. Several addresses are tried in their
    /// order: the next one when one has failed, or has said nothing for 250 ms. The earlier
    /// ones go on, eight attempts at most together, and are looked at every 250 ms; the first
    /// found connected is taken (RFC 8305, section 5).
    ///
    /// [`handle_connect`](DispatcherHandler::handle_connect) follows on success,
    /// [`handle_close`](DispatcherHandler::handle_close) on failure. Each address
    /// has the time of [`Limits::connect`]. A local port without a listener is refused,
    /// even if the system picks that very port for the client. `TCP_NODELAY` and
    /// `SO_KEEPALIVE` are set, as by [`listen`](Self::listen).
    ///
    /// # Errors
    ///
    /// None here: [`ChannelMap::insert`] fails with the operating system's, if the name does
    /// not resolve, which blocks, or a socket cannot be opened.
    pub fn connect(address: impl Into<InetName>, handler: H) -> Self {
        Self::new(Endpoint::connect(address), handler)
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
    pub fn connect_unix(name: impl Into<UnixName>, handler: H) -> Self {
        let target = Target::ConnectUnix(name.into());
        Self::opened_later(target, Stage::Connecting(Box::default()), handler)
    }

    /// Makes a connected dispatcher over a [`Transport`] in place of a socket: TLS, or a
    /// pipe or a terminal ([`FileWrapper`](crate::FileWrapper)).
    pub fn over(transport: impl Transport + 'static, handler: H) -> Self {
        Self::new(Endpoint::over(transport), handler)
    }

    fn opened_later(target: Target, stage: Stage, handler: H) -> Self {
        Self::new(Endpoint::unopened(target, stage), handler)
    }

    /// Replaces the handler by one that `f` makes of it. The new one gets
    /// [`handle_convert`](DispatcherHandler::handle_convert).
    pub fn with_handler<G>(mut self, f: impl FnOnce(H) -> G) -> Dispatcher<G> {
        self.endpoint.change_hands();
        Dispatcher {
            endpoint: self.endpoint,
            handler: f(self.handler),
            accept_pause: self.accept_pause,
            is_accept_failing: self.is_accept_failing,
        }
    }

    /// Sets the limits, in place of the defaults. An `Rc<Limits>` shares one set among
    /// many channels.
    #[must_use]
    pub fn limited(mut self, limits: impl Into<Rc<Limits>>) -> Self {
        self.endpoint.set_limits(limits);
        self
    }

    fn accept(&mut self, me: Token, map: &mut ChannelMap) {
        for _ in 0..ACCEPTS_PER_TURN {
            if !self.endpoint.admit(map) {
                continue;
            }
            self.endpoint.has_accepted = false;
            let handled = self.handler.handle_accept(&mut self.endpoint, map);
            self.endpoint.end_admission();
            match (handled, self.endpoint.has_accepted) {
                (Ok(()), false) => break,
                (Ok(()), true) => self.is_accept_failing = false,
                (Err(error), true) => {
                    self.is_accept_failing = false;
                    log::warn!("channel {me}: a connection was dropped: {error}");
                }
                (Err(error), false) => {
                    // Tried again at once, it would fail again, for ever. A map that the
                    // callback has put in place of the channel's own would never say when.
                    let is_home = map.is_open(me);
                    self.accept_pause =
                        is_home.then(|| map.set_numbered_timer(me, OWN, map.now() + ACCEPT_PAUSE));
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

    /// Whether `handle_eof` is due.
    fn is_eof_due(&self) -> bool {
        self.endpoint.flags & (EOF | EOF_TOLD) == EOF
            && self.endpoint.unread.is_empty()
            && !self.endpoint.closing()
    }

    /// Whether there is input to hand out that no event will announce.
    fn has_unread(&self) -> bool {
        let endpoint = &self.endpoint;
        (!endpoint.unread.is_empty() || endpoint.has_hidden_input() || endpoint.has_admitted())
            && self.accept_pause.is_none()
            && !endpoint.closing()
            && self.takes_input()
    }

    /// Whether the handler wants input, or a handshake needs it.
    fn takes_input(&self) -> bool {
        let endpoint = &self.endpoint;
        endpoint.connecting() || endpoint.shakes_hands() || self.handler.readable(endpoint)
    }

    /// Whether `handle_connect` or `handle_convert` is due.
    fn is_begin_due(&self) -> bool {
        let endpoint = &self.endpoint;
        let may_begin = !endpoint.is_unopened() && !endpoint.connecting();
        endpoint.flags & BEGIN != 0 && may_begin && !endpoint.closing()
    }

    /// Calls the one that is due, before any other callback. Returns whether the channel
    /// goes on.
    fn begin(&mut self, me: Token, map: &mut ChannelMap) -> Result<bool> {
        if !self.is_begin_due() {
            return Ok(!self.endpoint.is_closed());
        }
        match self.endpoint.begins_connected() {
            true => self.handler.handle_connect(&mut self.endpoint, map)?,
            false => self.handler.handle_convert(&mut self.endpoint, map)?,
        }
        Ok(!self.endpoint.is_closed() && map.may_continue(me))
    }

    /// Whether `handle_drained` is due.
    fn is_drained(&self) -> bool {
        self.endpoint.is_drained() && !self.endpoint.closing()
    }

    /// Calls `handle_eof` if it is due.
    fn tell_eof(&mut self, map: &mut ChannelMap) -> Result {
        if !self.is_eof_due() || !map.may_continue(self.endpoint.me) {
            return Ok(());
        }
        self.endpoint.flags |= EOF_TOLD;
        self.handler.handle_eof(&mut self.endpoint, map)
    }

    /// Calls `handle_finished`.
    fn tell_finished(&mut self, map: &mut ChannelMap) -> Result {
        self.endpoint.flags |= FINISHED_TOLD;
        self.handler.handle_finished(&mut self.endpoint, map)
    }

    /// Called wherever the channel's first callback may come.
    fn enter(&mut self, me: Token) {
        if self.endpoint.enter(me) {
            self.accept_pause = None;
        }
    }

    /// Runs a callback, unless another channel has closed this one. Then judges its
    /// error, and closes the channel if it is to be closed.
    fn call(
        &mut self,
        me: Token,
        map: &mut ChannelMap,
        callback: impl FnOnce(&mut Self, &mut ChannelMap) -> Result,
    ) -> Result {
        self.endpoint.use_buffers(map.buffers());
        self.endpoint.told = None;
        self.endpoint.fill_up(map.now());
        let result = match self.endpoint.is_closed() {
            true => Ok(()),
            false => match self.begin(me, map) {
                Ok(true) => callback(self, map),
                other => other.map(|_| ()),
            },
        };
        let told = self.endpoint.told;
        map.amend_now(me, self);
        self.endpoint.finish_early();
        self.endpoint.close_in(map, me);
        let Err(error) = result else {
            return Ok(());
        };
        // A callback may pass on the error of its endpoint's last call. Then there was
        // nothing to do, or a datagram was lost, or the reason for closing has it.
        let is_passed_on = error.downcast_ref().is_some_and(|error: &io::Error| {
            // The endpoint's "not now" has no words of its own.
            let is_own = error.kind() == io::ErrorKind::WouldBlock && error.get_ref().is_some();
            Some(error.kind()) == told && !is_own
        });
        match is_passed_on {
            true => log::debug!("channel {me}: {error}"),
            false => return Err(error),
        }
        Ok(())
    }
}

impl<H: DispatcherHandler> Channel for Dispatcher<H> {
    fn registration(&self) -> Option<&Registration> {
        self.endpoint.wire.registration()
    }

    fn open(&mut self, opening: &mut Opening<'_>) -> io::Result<()> {
        self.accept_pause = None;
        self.endpoint.open(opening)
    }

    fn readable(&self, _me: Token) -> bool {
        self.endpoint.receives()
            && self.accept_pause.is_none()
            && (self.endpoint.closing() || self.takes_input())
    }

    fn writable(&self, _me: Token) -> bool {
        let may_write = self.endpoint.is_open_for_writing();
        self.endpoint.waits_for_room() || (may_write && self.handler.writable(&self.endpoint))
    }

    fn pending(&self, _me: Token) -> bool {
        self.endpoint.is_unopened()
            || self.endpoint.has_wrong_timers()
            || self.is_begin_due()
            || self.has_unread()
            || self.is_eof_due()
            || self.is_drained()
            || self.endpoint.is_finished()
    }

    fn settle(&mut self, me: Token) -> Result<(), CloseReason> {
        self.enter(me);
        self.endpoint.begin_turn();
        let is_deaf = !self.readable(me) && !self.has_unread();
        let Self {
            endpoint, handler, ..
        } = self;
        endpoint.settle_output(&mut |out, max| handler.produce(out, max));
        self.endpoint.count_kept(0);
        self.endpoint.note_layer();
        self.endpoint.settle(is_deaf)
    }

    fn handle_read_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.call(me, map, |this, map| {
            if this.endpoint.closing() {
                this.endpoint.discard_input(map);
                return Ok(());
            }
            if this.endpoint.accepting() {
                this.accept(me, map);
                return Ok(());
            }
            if this.endpoint.connecting() {
                this.endpoint.finish_connect(&mut Opening::of(me, map));
                return this.begin(me, map).map(|_| ());
            }
            if this.endpoint.shakes_hands() {
                this.endpoint.shake_hands(map);
                return Ok(());
            }
            this.handler.handle_read(&mut this.endpoint, map)?;
            this.tell_eof(map)
        })
    }

    fn handle_write_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.endpoint.flags &= !BLOCKED;
        self.call(me, map, |this, map| {
            if this.endpoint.connecting() {
                this.endpoint.finish_connect(&mut Opening::of(me, map));
                return this.begin(me, map).map(|_| ());
            }
            this.endpoint.send_queued(&mut later);
            let may_write = this.endpoint.is_open_for_writing() && !this.endpoint.has_output();
            match may_write && this.handler.writable(&this.endpoint) {
                true => this.handler.handle_write(&mut this.endpoint, map),
                false => Ok(()),
            }
        })
    }

    fn handle_expt_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.call(me, map, |this, map| {
            let result = match this.endpoint.closing() {
                true => Ok(()),
                false => this.handler.handle_expt(&mut this.endpoint, map),
            };
            this.endpoint.discard_out_of_band(me);
            result
        })
    }

    fn discard_errors(&mut self, _me: Token) {
        self.endpoint.discard_errors();
    }

    fn must_begin(&self, _me: Token) -> bool {
        self.endpoint.is_unopened() || self.is_begin_due()
    }

    fn handle_begin(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.enter(me);
        self.endpoint.open_late(&mut Opening::of(me, map));
        self.call(me, map, |_, _| Ok(()))
    }

    fn handle_pending(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        if self.endpoint.is_unopened() {
            self.endpoint.open_late(&mut Opening::of(me, map));
        }
        if self.endpoint.has_wrong_timers() {
            self.endpoint.set_timers(map);
        }
        if self.has_unread() {
            return self.handle_read_event(me, map);
        }
        self.call(me, map, |this, map| {
            this.tell_eof(map)?;
            if this.is_drained() && map.may_continue(me) {
                this.endpoint.flags &= !HIGH;
                this.handler.handle_drained(&mut this.endpoint, map)?;
            }
            match this.endpoint.is_finished() && map.may_continue(me) {
                true => this.tell_finished(map),
                false => Ok(()),
            }
        })
    }

    fn handle_timer(&mut self, timer: Timer, me: Token, map: &mut ChannelMap) -> Result {
        self.enter(me);
        if self.accept_pause.take_if(|pause| *pause == timer).is_some() {
            return Ok(());
        }
        self.call(me, map, |this, map| {
            match this.endpoint.handle_own_timer(timer, map) {
                _ if this.endpoint.is_closed() => Ok(()),
                Due::Done | Due::Silent => Ok(()),
                Due::Program => this.handler.handle_timer(timer, &mut this.endpoint, map),
                Due::Missed(deadline) => {
                    this.handler
                        .handle_deadline(deadline, &mut this.endpoint, map)
                }
            }
        })
    }

    fn handle_shutdown(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.call(me, map, |this, map| {
            if this.endpoint.closing() {
                return Ok(());
            }
            if this.endpoint.connecting() {
                this.endpoint.close_with(CloseReason::Shutdown);
                return Ok(());
            }
            this.handler.handle_shutdown(&mut this.endpoint, map)
        })
    }

    fn reclaimable(&self) -> usize {
        self.endpoint.reclaimable()
    }

    fn wire(&self) -> Option<&dyn Any> {
        Some(&self.endpoint)
    }

    fn wire_mut(&mut self) -> Option<&mut dyn Any> {
        Some(&mut self.endpoint)
    }

    fn handle_close(&mut self, reason: CloseReason, me: Token, map: &mut ChannelMap) {
        self.enter(me);
        self.endpoint.has_closed(&reason, map);
        if self.endpoint.is_finished() {
            if let Err(error) = self.tell_finished(map) {
                self.handler.handle_error(error, &mut self.endpoint, map);
            }
        }
        self.handler.handle_close(reason, &mut self.endpoint, map);
    }

    fn handle_error(&mut self, error: Error, me: Token, map: &mut ChannelMap) {
        self.handler.handle_error(error, &mut self.endpoint, map);
        self.endpoint.close_in(map, me);
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
