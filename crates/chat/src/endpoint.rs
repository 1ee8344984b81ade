//! The socket side of a channel: [`Endpoint`].

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Instant;

use reactor::{Buffers, CloseReason, Moment, Source, Token};
use socket2::{SockRef, Socket, Type};

use crate::address::Address;
use crate::extras::Extras;
use crate::flags::{
    AWAITS_LAYER, BEGIN, BLOCKED, CONVERTED, EOF, EOF_TOLD, Flags, NEW, NOT_LIVE, PEER_TOLD,
    REST_IN, REST_OUT, RETIMED, UNOPENED,
};
use crate::ledger::Place;
use crate::life::{Bound, Life, Origin, Stage};
use crate::limits::Limits;
use crate::listening::is_listener;
use crate::output::{Output, clip};
use crate::rate::Way;
use crate::receiving::MESSAGE_COST;
use crate::transport::Transport;
use crate::unread::Unread;
use crate::waiting::Waiting;
use crate::wire::Wire;

/// The socket of a channel: its life, its output and its limits. asyncore's
/// `dispatcher` without its events.
///
/// A handler gets it with every callback. If the callback closes the endpoint, or the
/// socket fails there, `handle_close` follows with the reason.
pub struct Endpoint {
    /// Before the wire: it may have a path to remove while that is open.
    pub(crate) life: Life,
    pub(crate) wire: Wire,
    pub(crate) me: Token,
    pub(crate) flags: Flags,
    /// Number of the settle in which the map was told that input is wanted, and nothing
    /// else; 0 if it was told otherwise since.
    pub(crate) asked: u32,
    /// Bytes of input, and of a transport's output, that the map's account has.
    pub(crate) kept: u32,
    /// What the last call failed with: a callback may pass it on.
    pub(crate) told: Option<io::ErrorKind>,
    /// `accept` has returned a connection since this was last reset.
    pub(crate) has_accepted: bool,
    /// A chat channel is held while its answers outrun the peer.
    pub(crate) has_backpressure: bool,
    /// What a dispatcher's handler may receive before the next settle:
    /// [`Limits::received_per_turn`].
    pub(crate) left_of_turn: u32,
    pub(crate) output: Output,
    /// Bytes that the wire has taken.
    pub(crate) taken: u64,
    /// Bytes that it has given.
    pub(crate) received: u64,
    pub(crate) limits: Rc<Limits>,
    /// Counts the connection among those of its address.
    pub(crate) place: Option<Place>,
    /// When bytes last passed: [`Buffers::time`].
    pub(crate) active: Moment,
    /// Input that was received and not handed out yet.
    pub(crate) unread: Unread,
    /// The timers that the channel has set for itself.
    pub(crate) waiting: Option<Box<Waiting>>,
    pub(crate) extras: Option<Box<Extras>>,
}

impl Endpoint {
    /// A socket of which no channel can be made: the insertion fails with `error`.
    pub(crate) fn refused(socket: Socket, error: io::Error) -> Self {
        let mut endpoint = Self::with_wire(Wire::Plain(Source::new(socket)), Stage::Live);
        endpoint.refuse(error);
        endpoint
    }

    /// A connected endpoint over a [`Transport`] in place of a socket. A constructor of the
    /// program's own that takes an `impl Into<Endpoint>` makes a channel of a socket, of a
    /// listener's [`Stream`](crate::Stream), and of this in a test.
    pub fn over(transport: impl Transport + 'static) -> Self {
        Self::over_boxed(Box::new(transport))
    }

    pub(crate) fn over_boxed(transport: Box<dyn Transport>) -> Self {
        let mut endpoint = Self::with_wire(Wire::Other(transport), Stage::Live);
        endpoint.flags |= UNOPENED; // it does not know where it is
        endpoint
    }

    pub(crate) fn with_wire(wire: Wire, stage: Stage) -> Self {
        let flags = match stage {
            Stage::Live => NEW,
            Stage::Connecting(_) => NEW | NOT_LIVE,
            _ => NOT_LIVE,
        };
        let has_backpressure = !matches!(stage, Stage::Connecting(_));
        let limits = Limits::shared();
        let mut endpoint = Self {
            wire,
            me: Token::NONE,
            life: Life::new(stage),
            flags,
            asked: 0,
            kept: 0,
            told: None,
            has_accepted: false,
            // Two peers that both hold each other back would wait for ever.
            has_backpressure,
            left_of_turn: u32::MAX, // no turn has begun
            output: Output::new(&limits),
            taken: 0,
            received: 0,
            limits,
            place: None,
            active: Moment::default(),
            unread: Unread::default(),
            waiting: None,
            extras: None,
        };
        endpoint.use_limits();
        endpoint
    }

    /// Another handler has the channel. It hears of the connection, or, if the one before
    /// did, of the conversion.
    pub(crate) fn change_hands(&mut self) {
        self.flags &= !PEER_TOLD;
        self.release_speakers();
        if self.flags & NEW == 0 && self.me != Token::NONE {
            self.flags |= CONVERTED;
        }
    }

    /// The handler hears its first word: whether that is the connection, and not the
    /// conversion.
    pub(crate) fn begins_connected(&mut self) -> bool {
        let is_new = self.flags & NEW != 0;
        self.flags &= !BEGIN;
        is_new
    }

    /// Receives into `buffer`, as `recv(2)`. 0 is the end of the stream: `handle_eof`
    /// follows, and no more input. On a datagram socket 0 is an empty datagram.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is nothing to receive now, or enough was received in this turn
    /// ([`Limits::received_per_turn`]). A callback must expect it at any time. `InvalidData` if
    /// a datagram, or a record of a `SOCK_SEQPACKET` socket, is longer than `buffer`. `buffer`
    /// has its beginning then, and the rest is lost.
    ///
    /// Any error but `WouldBlock` closes the channel with [`CloseReason::Io`] after the
    /// callback; over a transport, when the queued output is sent. A datagram socket
    /// stays open, since the next datagram may be another peer's. The callback may return
    /// any of these errors: that changes nothing.
    pub fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.unread.is_empty() {
            return Ok(self.unread.take_into(buffer));
        }
        let received = match self.left_of_turn {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            _ if self.flags & AWAITS_LAYER != 0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => self.receive(buffer),
        };
        if let Ok(len) = received {
            self.spend_turn(len);
            self.count_input(len);
        }
        if matches!(received, Ok(0)) && !buffer.is_empty() && self.connected() {
            self.flags |= EOF;
        }
        self.told(received, Self::end_input)
    }

    /// Sends from the front of `data`, as `send(2)`. Returns how many bytes were sent.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is no room now, or pushed output is still queued.
    /// `BrokenPipe` from a stream that takes no [`push`](Self::push) any more; this changes
    /// nothing. After any other error [sending has failed](Self::output_failed): the channel
    /// closes with [`CloseReason::Io`] when the input that is left has been handed out. A
    /// datagram socket stays open. The callback may return the error.
    pub fn send(&mut self, data: &[u8]) -> io::Result<usize> {
        self.send_vectored(&[IoSlice::new(data)])
    }

    /// Sends from the front of several pieces of data, in order.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.flags & NOT_LIVE != 0 && self.connected() && self.output.is_empty() {
            // Output before this was lost, or was the last.
            self.told = Some(io::ErrorKind::BrokenPipe);
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let sent = match self.output.is_empty() && self.offered() == 0 {
            true => {
                let left = self.left(Way::Out);
                self.wire.send_within(left, slices)
            }
            false => Err(io::ErrorKind::WouldBlock.into()), // what was pushed goes first
        };
        self.told_of_sending(sent)
    }

    /// Ends one half of the connection, or both, as `shutdown(2)`. Output sent before is
    /// delivered. A transport has no reading half to shut.
    ///
    /// The writing half is shut when all [pushed](Self::push) output, producers included,
    /// is sent, and not before a connection under way is made. Then
    /// [`handle_finished`](crate::DispatcherHandler::handle_finished) is due. From now on
    /// [`push`](Self::push) returns `false`. The channel stays open.
    ///
    /// # Errors
    ///
    /// Those of `shutdown(2)`, such as `ENOTCONN` if the peer has reset the connection.
    /// A writing half that waits returns none.
    pub fn shutdown(&mut self, how: Shutdown) -> io::Result<()> {
        let sends = self.connecting() || (self.connected() && self.is_sending());
        if how == Shutdown::Read || !sends {
            return self.wire.shutdown(how);
        }
        self.shut_when_done();
        if how == Shutdown::Both {
            self.wire.shutdown(Shutdown::Read)?;
        }
        if self.connected() && !self.has_output() {
            self.shut_if_due()?;
            if !self.has_output() {
                self.has_finished(self.flags & EOF != 0);
            }
        }
        Ok(())
    }

    /// The channel's token; [`Token::NONE`] until it is in a map.
    pub fn token(&self) -> Token {
        self.me
    }

    /// Whether the stream is connected: asyncore's `connected`. In `handle_close`,
    /// whether it was.
    pub fn connected(&self) -> bool {
        matches!(self.life.origin(), Origin::Connected | Origin::Failed)
    }

    /// Whether the socket listens: asyncore's `accepting`. In `handle_close`,
    /// whether it did.
    pub fn accepting(&self) -> bool {
        self.life.origin() == Origin::Listening
    }

    /// Whether a connection is under way: asyncore's `connecting`. In
    /// `handle_close`, whether it never came about.
    pub fn connecting(&self) -> bool {
        self.life.origin() == Origin::Connecting
    }

    /// When bytes last passed: received, or taken by the socket; over a [`Transport`], sent
    /// by that, too. The time is [`ChannelMap::now`](reactor::ChannelMap::now) of that turn,
    /// to the nanosecond. Output that was queued between turns has the time at which the next
    /// turn begins, a [`send`](Self::send) between turns that of the turn before. A listener's
    /// is when it last accepted a connection.
    ///
    /// Before any byte, it is when the channel came into its map; `None` until then.
    ///
    /// A conversion changes nothing. In another map it begins anew.
    pub fn last_activity(&self) -> Option<Instant> {
        let buffers = self.output.buffers.as_ref()?;
        Some(buffers.instant(self.active))
    }

    /// The peer's address, or the socket's own if there is no peer: asyncore's `addr`.
    /// Asks the operating system.
    pub fn addr(&self) -> Option<Address> {
        self.peer_addr().or_else(|| self.local_addr())
    }

    /// The peer's address (`getpeername(2)`); `None` if there is no peer, or no longer.
    pub fn peer_addr(&self) -> Option<Address> {
        self.wire.peer_addr()
    }

    /// The socket's own address (`getsockname(2)`), as soon as it is in a map. A listener on
    /// port 0 finds its port here.
    pub fn local_addr(&self) -> Option<Address> {
        self.wire.local_addr()
    }

    /// The socket, for its options; `None` over a [`Transport`] without one.
    ///
    /// On Linux, with `IP_RECVERR` or `SO_TIMESTAMPING` set, the socket queues errors and
    /// times. Read them in `handle_read` or `handle_write` (`MSG_ERRQUEUE` of recv(2)); the
    /// channel discards the rest after these callbacks, or the loop would never sleep.
    pub fn socket(&self) -> Option<SockRef<'_>> {
        self.wire.socket()
    }

    /// The [`Transport`] in place of a plain socket, if it is of this type: to ask TLS what it
    /// has negotiated, for example.
    pub fn transport<T: Transport>(&self) -> Option<&T> {
        (self.wire.transport()? as &dyn Any).downcast_ref()
    }

    /// The same, to change it.
    pub fn transport_mut<T: Transport>(&mut self) -> Option<&mut T> {
        (self.wire.transport_mut()? as &mut dyn Any).downcast_mut()
    }

    /// The limits of this channel.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Changes the limits. An `Rc<Limits>` shares one set among many channels.
    pub fn set_limits(&mut self, limits: impl Into<Rc<Limits>>) {
        self.limits = limits.into();
        self.retime();
        self.use_limits();
    }

    pub(crate) fn use_limits(&mut self) {
        self.output.use_limits(&self.limits);
        if self.wire.keeps_bounds() {
            self.output.gather_nothing(); // what is sent together would be one record
        }
        self.use_rates();
    }

    /// Refuses the channel, with the reason, unless it is a stream or becomes one.
    pub(crate) fn expect_stream(&mut self) {
        if self.wire.keeps_bounds() {
            self.refuse(keeps_bounds());
        } else if self.accepting() {
            self.refuse(listens());
        }
    }

    /// Adopts the token of the map that the channel is in now. The timers that
    /// it had set went with the map it was in before: returns whether they did.
    pub(crate) fn enter(&mut self, me: Token) -> bool {
        let is_new = self.me != me;
        if is_new {
            self.me = me;
            self.forget_timers();
            if self.output.buffers.is_some() {
                self.leave_map();
                self.flags |= RETIMED;
            }
            self.forget_speakers();
            if self.wire.wants_token() {
                self.flags |= UNOPENED; // it does not know where it is
            }
        }
        is_new
    }

    /// Has the map's account know how much input is kept, with `message` bytes of one that is
    /// accumulated, and how much output a transport keeps.
    pub(crate) fn count_kept(&mut self, message: usize) {
        let offers = self.extras.as_ref().map_or(0, |it| it.offers.weight());
        self.recount_kept(self.unread.memory() + message + self.wire.queued() + offers);
    }

    /// Has the account know this total of what is kept.
    pub(crate) fn recount_kept(&mut self, kept: usize) {
        let kept = clip(kept);
        self.output.recount(self.kept as usize, kept as usize);
        self.kept = kept;
    }

    /// The bytes that closing the channel would free; 0 if it is not to be closed for that.
    pub(crate) fn reclaimable(&self) -> usize {
        match self.limits.evictable {
            true => self.memory(),
            false => 0,
        }
    }

    /// The bytes that the map's account has for the channel.
    pub(crate) fn memory(&self) -> usize {
        self.output.memory() + self.kept as usize
    }

    /// Whether the channel receives: to hand input out, or to discard it.
    pub(crate) fn receives(&self) -> bool {
        if self.flags & (REST_IN | UNOPENED | AWAITS_LAYER) != 0 {
            return false;
        }
        match self.life.stage() {
            Stage::Live | Stage::Shut | Stage::Failing(_) => self.flags & EOF == 0,
            Stage::Listening(_) | Stage::Datagrams(_) => true,
            Stage::Connecting(_) => self.wire.transport().is_some_and(|t| !t.waits_for_room()),
            Stage::Closed(..) => false,
            Stage::Finishing(_) | Stage::Lingering(_) => self.discards_input(),
        }
    }

    /// Whether the handler may send by itself.
    pub(crate) fn is_open_for_writing(&self) -> bool {
        self.flags & REST_OUT == 0 && matches!(self.life.stage(), Stage::Live | Stage::Datagrams(_))
    }

    /// Whether a transport has input that no event will announce, and it is received.
    pub(crate) fn has_hidden_input(&self) -> bool {
        self.wire.has_input() && self.receives()
    }

    /// The buffers of the map that the channel is in, which tell the time, too.
    #[inline]
    pub(crate) fn use_buffers(&mut self, buffers: &Buffers) {
        if !self.output.uses(buffers) {
            self.move_to(buffers, buffers.time());
        }
    }

    /// The buffers are another map's, where its memory counts no more.
    #[cold]
    fn leave_map(&mut self) {
        self.output.recount(self.memory(), 0);
        self.output.buffers = None;
    }

    /// The channel is in another map, from this time on, and its memory counts there.
    pub(crate) fn move_to(&mut self, buffers: &Buffers, time: Moment) {
        let kept = self.kept as usize;
        self.output.recount(kept, 0);
        self.output.use_buffers(buffers);
        self.output.recount(0, kept);
        self.active = time;
    }

    /// Bytes have passed, in either direction.
    pub(crate) fn note_activity(&mut self) {
        if let Some(buffers) = &self.output.buffers {
            self.active = buffers.time();
        }
    }

    /// A turn begins for a dispatcher's handler.
    pub(crate) fn begin_turn(&mut self) {
        let budget = self.limits.received_per_turn.max(1);
        self.left_of_turn = u32::try_from(budget).unwrap_or(u32::MAX);
    }

    /// The handler has received so much by one call.
    pub(crate) fn spend_turn(&mut self, len: usize) {
        let cost = u32::try_from(len + MESSAGE_COST).unwrap_or(u32::MAX);
        self.left_of_turn = self.left_of_turn.saturating_sub(cost);
    }

    /// Receives from the wire, as much as the rate allows.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(self.left(Way::In).unwrap_or(usize::MAX));
        if room == 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let received = self.wire.recv(&mut buffer[..room]);
        self.unblock_transport();
        if let Ok(len) = received {
            self.received += len as u64;
            self.note_activity();
            self.spend(Way::In, len);
        }
        received
    }

    /// A transport may have waited for what was received, if only for a record.
    pub(crate) fn unblock_transport(&mut self) {
        if self.wire.transport().is_some() {
            self.flags &= !BLOCKED;
        }
    }

    /// Drops the out-of-band byte that nobody has read. Its sender may have meant it for the
    /// stream, which then lacks it.
    #[cold]
    pub(crate) fn discard_out_of_band(&self, me: Token) {
        if self.wire.discard_out_of_band() && !self.closing() {
            log::warn!("channel {me}: a byte that the peer sent out of band was discarded");
        }
    }

    /// Receiving has failed for good. A plain socket is dead then. A transport
    /// may have something left to send: an alert, and what was queued before. Input that
    /// was received before and waits for a release is delivered still.
    #[cold]
    pub(crate) fn end_input(&mut self, error: io::Error) {
        self.flags |= EOF | EOF_TOLD;
        if self.wire.transport().is_some() && self.has_output() {
            self.close_when_done_with(CloseReason::Io(error));
        } else if self.holds_input() {
            self.has_failed(error);
        } else {
            self.close_with(CloseReason::Io(error));
        }
    }

    /// The outcome of a handler's call that sends.
    pub(crate) fn told_of_sending(&mut self, sent: io::Result<usize>) -> io::Result<usize> {
        let sent = self.told(sent, Self::has_failed)?;
        self.taken += sent as u64;
        self.note_activity();
        self.spend(Way::Out, sent);
        Ok(sent)
    }

    /// The outcome of a handler's call, which a callback may pass on. An error that ends
    /// a connection's input or output does `end` it.
    pub(crate) fn told<T>(
        &mut self,
        result: io::Result<T>,
        end: fn(&mut Self, io::Error),
    ) -> io::Result<T> {
        let error = match result {
            Err(error) if self.rests_after(&error) => io::ErrorKind::WouldBlock.into(),
            Err(error) => error,
            done => return done,
        };
        self.told = Some(error.kind());
        if error.kind() != io::ErrorKind::WouldBlock && self.connected() {
            let told = copy(&error);
            end(self, error);
            return Err(told);
        }
        Err(error)
    }
}

/// An existing socket, as it is: listening, connected, connecting or neither. It becomes
/// non-blocking. If the operating system does not tell its state, or refuses that, the
/// insertion of the channel fails with the error.
impl<S: Into<Socket>> From<S> for Endpoint {
    fn from(socket: S) -> Self {
        let socket = socket.into();
        let kind_and_stage = socket.r#type().and_then(|kind| {
            let stage = stage(&socket, kind)?;
            socket.set_nonblocking(true)?;
            Ok((kind, stage))
        });
        match kind_and_stage {
            Ok((kind, stage)) => Self::with_wire(Wire::new(socket, kind), stage),
            Err(error) => Self::refused(socket, error),
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.output.recount(self.kept as usize, 0);
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut endpoint = f.debug_struct("Endpoint");
        endpoint.field("life", self.life.stage());
        if let Wire::Unopened(Some(target)) = &self.wire {
            return endpoint.field("target", target).finish();
        }
        let address = self.addr().map(|address| address.to_string());
        let address = address.as_deref().unwrap_or("-");
        endpoint.field("addr", &format_args!("{address}")).finish()
    }
}

/// A stream that is not connected may be connecting, or may have been reset while it waited
/// to be accepted. Both will be writable, and tell then.
fn stage(socket: &Socket, kind: Type) -> io::Result<Stage> {
    Ok(if is_listener(socket)? {
        Stage::Listening(Box::default())
    } else if !is_connection_oriented(kind) {
        Stage::Datagrams(Bound::default())
    } else if socket.peer_addr().is_ok() {
        Stage::Live
    } else {
        Stage::Connecting(Box::default())
    })
}

/// `io::Error` is not `Clone`. The copy says the same, but has no cause.
pub(crate) fn copy(error: &io::Error) -> io::Error {
    match (error.raw_os_error(), error.get_ref()) {
        (Some(code), _) => io::Error::from_raw_os_error(code),
        (None, Some(cause)) => io::Error::new(error.kind(), cause.to_string()),
        (None, None) => error.kind().into(),
    }
}

fn keeps_bounds() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "a chat channel needs a stream; use a Dispatcher for datagrams and records",
    )
}

fn listens() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "a chat channel needs a stream; use a Dispatcher for a socket that listens",
    )
}

/// Such a socket has an end of its input.
pub(crate) fn is_connection_oriented(kind: Type) -> bool {
    #[cfg(unix)]
    if kind == Type::SEQPACKET {
        return true;
    }
    kind == Type::STREAM
}
