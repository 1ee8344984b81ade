//! A layer between a channel and its connection, such as TLS.

use std::fmt;
use std::io;
use std::mem;

use reactor::{ChannelMap, CloseReason};

use crate::attempts::Attempts;
use crate::chat::Chat;
use crate::endpoint::Endpoint;
use crate::flags::{AWAITS_LAYER, DISCARDED, EOF, NEW, PARTIAL, SECURING, UNOPENED};
use crate::inet_name::InetName;
use crate::life::Stage;
use crate::opening::Target;
use crate::plain::Plain;
use crate::transport::Transport;
use crate::wire::Wire;

/// Makes one transport of another.
pub(crate) type Layer = Box<dyn FnOnce(Box<dyn Transport>) -> io::Result<Box<dyn Transport>>>;

impl Endpoint {
    /// A TCP connection that is to be made, as by
    /// [`AsyncChat::connect`](crate::AsyncChat::connect).
    pub fn connect(address: impl Into<InetName>) -> Self {
        let target = Target::Connect(address.into());
        Self::unopened(target, Stage::Connecting(Box::default()))
    }

    /// Puts a layer, such as TLS, between the channel and its connection: `layer` makes one
    /// [`Transport`] of another. It gets that as soon as the connection is made. The channel
    /// hears of the connection when the layer's
    /// [`finish_connect`](Transport::finish_connect) says that it is made, too, within
    /// [`Limits::handshake`](crate::Limits::handshake).
    ///
    /// # Errors
    ///
    /// None here. If the endpoint is no stream, or has been used already, the insertion of
    /// its channel fails with `InvalidInput`; so it does with an error of `layer`, which goes to
    /// `handle_close` if the connection is made later.
    #[must_use]
    pub fn with_layer(
        mut self,
        layer: impl FnOnce(Box<dyn Transport>) -> io::Result<Box<dyn Transport>> + 'static,
    ) -> Self {
        let is_fresh = self.flags & NEW != 0 && self.unread.is_empty() && self.output.is_empty();
        if self.connecting() {
            self.await_layer(Box::new(layer));
            return self;
        }
        let put = match is_fresh {
            true => self.apply(Box::new(layer)),
            false => Err(no_layer()),
        };
        match put {
            Ok(()) => {
                self.flags |= UNOPENED; // it does not know where it is
                self.is_to_connect();
            }
            Err(error) => self.refuse(error),
        }
        self
    }

    /// Puts a layer, such as TLS, between the channel and its connection while it is at work:
    /// see [`Chat::put_layer`]. Until its handshake is done, the handler of a
    /// [`Dispatcher`](crate::Dispatcher) is not called to read.
    ///
    /// # Errors
    ///
    /// [`InputPending`] if input was received that is not handed out.
    pub fn put_layer(
        &mut self,
        layer: impl FnOnce(Box<dyn Transport>) -> io::Result<Box<dyn Transport>> + 'static,
    ) -> Result<(), InputPending> {
        let has_hidden = self.wire.has_input();
        match self.unread.len().max(usize::from(has_hidden)) {
            0 => {}
            bytes => return Err(InputPending { bytes }),
        }
        if !self.takes_output() || self.has_layer_under_way() {
            // Its input must not go on in the clear. One that is to close receives none.
            if !self.closing() {
                self.close_with(CloseReason::Io(no_room_for_layer()));
            }
            return Ok(());
        }
        self.flags |= SECURING | AWAITS_LAYER;
        self.output.push_layer(Box::new(layer));
        if self.connected() {
            self.put_queued_layer();
        }
        Ok(())
    }

    /// The connection is made: puts its layer over it, if it is to have one. Returns whether it
    /// is.
    pub(crate) fn put_awaited_layer(&mut self) -> io::Result<bool> {
        let layer = self.life.attempts().and_then(|attempts| {
            let layer = attempts.layer.take();
            *attempts = Attempts::last(attempts.then.take());
            layer
        });
        layer.map_or(Ok(false), |layer| self.apply(layer).map(|()| true))
    }

    /// Puts the layer that is at the head of the queue, since all before it is sent.
    #[cold]
    pub(crate) fn put_queued_layer(&mut self) {
        let Some(layer) = self.output.take_layer() else {
            return;
        };
        self.flags &= !AWAITS_LAYER;
        match self.apply(layer) {
            Ok(()) => self.wire.enter(self.me),
            Err(error) => self.close_with(CloseReason::Io(error)),
        }
    }

    /// Whether a layer shakes hands. A handler has no part in that.
    pub(crate) fn shakes_hands(&self) -> bool {
        self.flags & SECURING != 0 && self.wire.is_handshaking()
    }

    /// Goes on with the handshake of a layer that came in the middle. Input that comes with
    /// its last words is kept.
    pub(crate) fn shake_hands(&mut self, map: &ChannelMap) {
        let mut buffer = map.buffers().read_buffer();
        match self.receive(&mut buffer) {
            Ok(0) => self.flags |= EOF,
            Ok(len) => self.unread.append(&buffer[..len], len),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if self.rests_after(&error) => {}
            Err(error) => self.end_input(error),
        }
    }

    /// Whether a layer is to be put over the connection, or shakes hands.
    fn has_layer_under_way(&mut self) -> bool {
        let is_awaited = self.life.attempts().is_some_and(|it| it.layer.is_some());
        is_awaited || self.flags & AWAITS_LAYER != 0 || self.wire.is_handshaking()
    }

    /// When output has left and input has come: the layer may be at work.
    pub(crate) fn note_layer(&mut self) {
        if self.flags & (SECURING | AWAITS_LAYER) == SECURING && !self.wire.is_handshaking() {
            self.flags &= !SECURING;
        }
    }

    fn apply(&mut self, layer: Layer) -> io::Result<()> {
        let lower: Box<dyn Transport> = match mem::replace(&mut self.wire, Wire::Unopened(None)) {
            Wire::Plain(source) => Box::new(Plain(source)),
            Wire::Other(transport) => transport,
            wire => {
                self.wire = wire;
                return Err(no_layer());
            }
        };
        self.wire = Wire::Other(layer(lower)?);
        Ok(())
    }

    fn await_layer(&mut self, layer: Layer) {
        if let Some(attempts) = self.life.attempts() {
            attempts.layer = Some(match attempts.layer.take() {
                Some(lower) => Box::new(|wire| layer(lower(wire)?)),
                None => layer,
            });
        }
    }
}

impl Chat {
    /// Puts a layer, such as TLS, between the channel and its connection while it is at work,
    /// as SMTP's `STARTTLS` does. All output that is queued, producers included, leaves in the
    /// clear before; whatever is pushed afterwards goes through the layer. From now on every
    /// byte that is received is the layer's. The channel keeps its token, timers, limits and
    /// handler. The layer's handshake has the time of
    /// [`Limits::handshake`](crate::Limits::handshake), and goes on while the channel is held.
    /// [Offers](Self::offer) that wait are no part of the queue: they go through the layer.
    ///
    /// A channel that is to close puts no layer. One that takes no output, since its sending
    /// half is shut or sending has failed, or that has another layer under way, closes with
    /// `InvalidInput`: its input must not go on in the clear.
    ///
    /// # Errors
    ///
    /// [`InputPending`] if input was received that is not delivered, and the channel stays as
    /// it is. Whoever is between the two sides could have put it there, and it would be taken
    /// for input that came through the layer (CVE-2011-0411 in servers, CVE-2021-38371 in
    /// clients). Answer with an error and close. Programs that must go on call
    /// [`discard_input`](Self::discard_input) first.
    pub fn put_layer(
        &mut self,
        layer: impl FnOnce(Box<dyn Transport>) -> io::Result<Box<dyn Transport>> + 'static,
    ) -> Result<(), InputPending> {
        match self.pending_input() {
            0 => self.endpoint.put_layer(layer),
            bytes => Err(InputPending { bytes }),
        }
    }

    /// Drops all input that was received but not delivered, and the part of a message that
    /// is accumulated for a [`MessageHandler`](crate::MessageHandler).
    pub fn discard_input(&mut self) {
        self.endpoint.unread.clear();
        self.framer.discard();
        self.endpoint.end_message();
        self.message = Vec::new();
        self.note_held();
        self.count_kept();
        if mem::take(&mut self.left_of_read) > 0 {
            self.endpoint.flags |= DISCARDED;
        }
    }

    /// What was received in the clear, parts of a message that were delivered included.
    fn pending_input(&self) -> usize {
        let is_under_way = self.endpoint.flags & PARTIAL != 0 || self.endpoint.wire.has_input();
        let pending = self.undelivered() + self.message.len();
        pending.max(usize::from(is_under_way))
    }
}

/// Input that was received before a layer was to be put between a channel and its
/// connection: [`Chat::put_layer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InputPending {
    /// How many bytes; at least 1. A part that was delivered already counts as 1.
    pub bytes: usize,
}

impl fmt::Display for InputPending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of input came before their time", self.bytes)
    }
}

impl std::error::Error for InputPending {}

fn no_room_for_layer() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "a layer needs a channel that takes output and has no other layer under way",
    )
}

fn no_layer() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "a layer needs a stream of which nothing was sent or received",
    )
}
