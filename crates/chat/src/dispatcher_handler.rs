//! What a raw dispatcher calls: [`DispatcherHandler`].

use reactor::{ChannelMap, CloseReason, Error, Result, Timer};
use socket2::Socket;

use crate::address::Address;
use crate::endpoint::Endpoint;

/// What a [`Dispatcher`](crate::Dispatcher) calls: the documents' events and predicates.
///
/// Everything has a default. An `Err` of a callback goes to
/// [`handle_error`](Self::handle_error); one of `handle_accept` or
/// `handle_accepted` costs that connection only.
#[expect(unused_variables, reason = "the defaults name what they ignore")]
pub trait DispatcherHandler: 'static {
    /// Whether input, or connections to accept, are wanted now. The default is
    /// `true`, as in the documents.
    fn readable(&self, endpoint: &Endpoint) -> bool {
        true
    }

    /// Whether [`handle_write`](Self::handle_write) is wanted now. The default
    /// is `false`; the documents' is `true`, by which their loop never rests.
    fn writable(&self, endpoint: &Endpoint) -> bool {
        false
    }

    /// There is input on a connected socket, or its end, or an error: time to
    /// [`recv`](Endpoint::recv). Called again next turn for what is left.
    ///
    /// The default reads and drops it, with a warning in the log.
    fn handle_read(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        let mut buffer = map.buffers().read_buffer();
        let me = endpoint.token();
        match endpoint.recv(&mut buffer) {
            Ok(0) => {}
            Ok(len) => log::warn!("channel {me}: {len} bytes of unhandled input"),
            // What ends the channel, the endpoint has noted.
            Err(error) => log::debug!("channel {me}: {error}"),
        }
        Ok(())
    }

    /// There is room for output: time to [`send`](Endpoint::send).
    fn handle_write(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// There is out-of-band data, which `recv(2)` with `MSG_OOB` reads from
    /// [`endpoint.socket()`](Endpoint::socket)
    /// ([`recv_out_of_band`](Socket::recv_out_of_band)); to get it within the
    /// stream, set [`SO_OOBINLINE`](Socket::set_out_of_band_inline). What is left
    /// unread is discarded afterwards: it would wake the loop for ever.
    fn handle_expt(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// A connection that was under way, as one begun by [`Dispatcher::connect`](crate::Dispatcher::connect),
    /// is there. One that failed goes to [`handle_close`](Self::handle_close)
    /// instead. Not called for a socket that came connected, as an accepted one
    /// does.
    fn handle_connect(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// Connections are waiting. The default accepts one and calls
    /// [`handle_accepted`](Self::handle_accepted); it is called again while
    /// there are more, up to 64 times a turn.
    fn handle_accept(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        match endpoint.accept()? {
            Some((socket, addr)) => self.handle_accepted(socket, addr, endpoint, map),
            None => Ok(()),
        }
    }

    /// A connection was accepted; `addr` is the other end's. The default drops
    /// it, with a warning in the log.
    fn handle_accepted(
        &mut self,
        socket: Socket,
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

    /// The peer will send nothing more: [`recv`](Endpoint::recv) returned 0.
    /// Called once. The default closes the channel when what was
    /// [pushed](Endpoint::push) is sent.
    ///
    /// A channel that stays open with nothing to send gets no further events, not even
    /// for a reset: set a timer.
    fn handle_eof(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        endpoint.close_when_done_with(CloseReason::Eof);
        Ok(())
    }

    /// The queue, which was above
    /// [`Limits::high_water`](crate::Limits::high_water) or had a producer, is
    /// down to [`Limits::low_water`](crate::Limits::low_water) and has none:
    /// time for more.
    fn handle_drained(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// A timer of this channel is due. It comes to a channel that is
    /// [closing](Endpoint::closing) when done, too.
    fn handle_timer(
        &mut self,
        timer: Timer,
        endpoint: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        Ok(())
    }

    /// The map is being [shut down](ChannelMap::shut_down). Called once, unless the
    /// channel is closing already, or still connecting: then it is closed. The default
    /// closes the channel when what was [pushed](Endpoint::push) is sent.
    fn handle_shutdown(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        endpoint.close_when_done_with(CloseReason::Shutdown);
        Ok(())
    }

    /// The channel is closed. Called exactly once; nothing is called after it.
    fn handle_close(&mut self, reason: CloseReason, endpoint: &mut Endpoint, map: &mut ChannelMap) {
    }

    /// A callback returned an error: the handler's verdict on its channel, which a peer
    /// may have earned. The default logs it, at the level `warn`, and does no more to a
    /// listener. Any other channel gets no more input, sends what was pushed before, and
    /// closes with [`HandlerError`](CloseReason::HandlerError), as
    /// [`close_when_done_with`](Endpoint::close_when_done_with) does. A producer that
    /// has nothing is waited for no longer than [`Limits::stall`](crate::Limits::stall);
    /// a channel that is still connecting closes at once.
    ///
    /// To drop what is queued, [`close`](Endpoint::close).
    fn handle_error(&mut self, error: Error, endpoint: &mut Endpoint, map: &mut ChannelMap) {
        endpoint.end_by_error(&error);
    }
}
