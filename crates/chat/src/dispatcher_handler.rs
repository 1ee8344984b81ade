//! The callbacks of a raw dispatcher: [`DispatcherHandler`].

use std::io;

use reactor::{ChannelMap, CloseReason, Deadline, Error, Result, Timer};

use crate::address::Address;
use crate::endpoint::Endpoint;
use crate::producer::More;
use crate::stream::Stream;

/// The callbacks of a [`Dispatcher`](crate::Dispatcher): asyncore's events and
/// predicates.
///
/// Every method has a default. An `Err` of a callback goes to
/// [`handle_error`](Self::handle_error). An `Err` of `handle_accept` or
/// `handle_accepted` is logged, and costs that connection only.
#[expect(unused_variables, reason = "the defaults name what they ignore")]
pub trait DispatcherHandler: 'static {
    /// Whether the channel wants input, or connections to accept, now. The default is
    /// `true`, as in asyncore.
    fn readable(&self, endpoint: &Endpoint) -> bool {
        true
    }

    /// Whether the channel wants [`handle_write`](Self::handle_write) now. The default
    /// is `false`; asyncore's is `true`, which keeps its loop from sleeping.
    fn writable(&self, endpoint: &Endpoint) -> bool {
        false
    }

    /// Receives input, its end, or an error, by [`recv`](Endpoint::recv). Called again
    /// next turn as long as input is left unread.
    ///
    /// The default drops the input, with a warning in the log.
    fn handle_read(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        let mut buffer = map.buffers().read_buffer();
        let me = endpoint.token();
        match endpoint.recv(&mut buffer) {
            Ok(0) => {}
            Ok(len) => log::warn!("channel {me}: {len} bytes of unhandled input"),
            // The endpoint has noted it, if it ends the channel.
            Err(error) => log::debug!("channel {me}: {error}"),
        }
        Ok(())
    }

    /// Sends output, by [`send`](Endpoint::send). Called when there is room for it and
    /// [`writable`](Self::writable) is `true`, after queued output has left.
    fn handle_write(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// Reads out-of-band data from [`endpoint.socket()`](Endpoint::socket), by
    /// [`recv_out_of_band`](socket2::Socket::recv_out_of_band). Data left unread is discarded
    /// afterwards, with a warning in the log: it would wake the loop for ever.
    ///
    /// [`SO_OOBINLINE`](socket2::Socket::set_out_of_band_inline) puts such data into the stream
    /// instead.
    fn handle_expt(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// Begins the conversation. The loop calls it once, when the channel is connected and
    /// before any other event, for an accepted socket as well. (asyncore calls it only
    /// for a connection that was under way.) A connection that fails goes to
    /// [`handle_close`](Self::handle_close) instead. Listeners and datagram sockets get
    /// no call.
    fn handle_connect(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// Takes the channel over from another handler. Called once, before any other event,
    /// after [`Dispatcher::with_handler`](crate::Dispatcher::with_handler) or
    /// [`Dispatcher::new`](crate::Dispatcher::new). A conversion
    /// before `handle_connect` leaves that to the new handler, which gets no
    /// `handle_convert`; nor does that of a channel that [closes](Endpoint::closing).
    ///
    /// The token, the user's timers, the limits, the queued output and the input that was
    /// received but not handed out go along. The default does nothing.
    fn handle_convert(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// Accepts a connection. Called again while more are waiting, up to 64 times a
    /// turn. Those that [`Limits::admission`](crate::Limits::admission) refuses do not come
    /// here. The default calls [`handle_accepted`](Self::handle_accepted) with it.
    fn handle_accept(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        match endpoint.accept()? {
            Some((stream, addr)) => self.handle_accepted(stream, addr, endpoint, map),
            None => Ok(()),
        }
    }

    /// Takes over an accepted connection from the peer at `addr`. The default drops it,
    /// with a warning in the log.
    fn handle_accepted(
        &mut self,
        stream: Stream,
        addr: Address,
        endpoint: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        log::warn!(
            "channel {}: unhandled connection from {addr}",
            endpoint.token()
        );
        Ok(())
    }

    /// Handles the end of the input: [`recv`](Endpoint::recv) returned 0. Called once.
    /// The default sends the [pushed](Endpoint::push) output and closes the channel.
    ///
    /// A channel that stays open with nothing to send gets no further events, not even
    /// for a reset: set a timer.
    fn handle_eof(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        endpoint.close_when_done_with(CloseReason::Eof);
        Ok(())
    }

    /// Queues more output. Called when the queue had exceeded
    /// [`Limits::high_water`](crate::Limits::high_water) or held a producer, or an
    /// [offer](Endpoint::offer) had to wait, and is down to
    /// [`Limits::low_water`](crate::Limits::low_water) without either.
    fn handle_drained(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// Makes output, as a [`Producer`](crate::Producer) does: appends to `out`, preferably
    /// `max` bytes at most. Each [`push_with_handler`](Endpoint::push_with_handler) queues one
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

    /// Handles the end of the output: everything [pushed](Endpoint::push), producers
    /// included, is with the operating system, and so is the end of the stream. Called at
    /// most once, after [`close_when_done`](Endpoint::close_when_done) or a
    /// [`shutdown`](Endpoint::shutdown) of the writing half, and before
    /// [`handle_close`](Self::handle_close), which may wait for the peer as long as
    /// [`Limits::linger`](crate::Limits::linger).
    ///
    /// Not called if sending failed, if a close dropped output, or if the writing half
    /// could not be shut. Only an answer shows that the peer has received everything. The
    /// default does nothing.
    fn handle_finished(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// Handles a deadline of the channel's [limits](crate::Limits) that the peer has missed:
    /// `idle` or `stall`. The default closes the channel as
    /// [`Missed`](CloseReason::Missed): at once for a stall, otherwise when the queued output
    /// is sent. If an override leaves the channel open, the time begins anew.
    fn handle_deadline(
        &mut self,
        deadline: Deadline,
        endpoint: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        endpoint.end_by_deadline(deadline);
        Ok(())
    }

    /// Handles a timer of this channel that is due. Called even after
    /// [`close_when_done`](Endpoint::close_when_done), while the channel is open.
    fn handle_timer(
        &mut self,
        timer: Timer,
        endpoint: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        Ok(())
    }

    /// Finishes the work under way. Called once, when the map is
    /// [shut down](ChannelMap::shut_down). A channel that is closing when done gets no
    /// call. One that is still connecting is closed instead. The default sends the
    /// [pushed](Endpoint::push) output and closes the channel. One that is open at the
    /// deadline is closed then, with a [goodbye](crate::Limits::goodbye) if it has one.
    fn handle_shutdown(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        endpoint.close_when_done_with(CloseReason::Shutdown);
        Ok(())
    }

    /// Handles the close of the channel. Called exactly once, as the last callback.
    /// [`Endpoint::unsent`] counts the output that was lost.
    fn handle_close(&mut self, reason: CloseReason, endpoint: &mut Endpoint, map: &mut ChannelMap) {
    }

    /// Handles an error that a callback returned.
    ///
    /// The default logs it at the level `warn`, since a peer may have caused it. A
    /// listener goes on. Any other channel gets no more input, sends the output pushed
    /// before, and closes with [`HandlerError`](CloseReason::HandlerError), as
    /// [`close_when_done_with`](Endpoint::close_when_done_with) does. It waits for an
    /// idle producer for at most [`Limits::stall`](crate::Limits::stall). A channel that
    /// is still connecting closes at once.
    ///
    /// An override may [`close`](Endpoint::close) instead, which drops the queue.
    fn handle_error(&mut self, error: Error, endpoint: &mut Endpoint, map: &mut ChannelMap) {
        endpoint.end_by_error(&error);
    }
}

/// A handler with all of the defaults.
impl DispatcherHandler for () {}
