//! How a chat channel is held: delivery stops, and receiving goes on up to a bound.

use std::io;

use reactor::{ChannelMap, Result};

use crate::async_chat::AsyncChat;
use crate::chat::Chat;
use crate::endpoint::Endpoint;
use crate::flags::{
    AWAITS_LAYER, EOF, EOF_TOLD, HELD, HUNG_UP, OUTRUN, PEER_TOLD, REST_IN, UNDELIVERED,
};
use crate::handler::ChatHandler;
use crate::hold::Hold;
use crate::life::Stage;

/// # Holding messages back
impl Chat {
    /// Stops the delivery of messages until this hold, and every other on the channel, is
    /// [released](Self::release). A second call with the same hold changes nothing.
    ///
    /// The channel goes on receiving, up to [`Limits::held`](crate::Limits::held)
    /// undelivered bytes. They are delivered in order after the release, before later
    /// input and before [`handle_eof`](crate::ChatHandler::handle_eof). At the bound the
    /// channel stops reading, and the peer's socket fills up.
    ///
    /// If the peer finishes meanwhile, perhaps because it gave up waiting,
    /// [`handle_peer_finished`](crate::ChatHandler::handle_peer_finished) is called. On
    /// epoll and `poll(2)` the channel notices a reset, or a Unix peer that closes its
    /// socket, at any time. At the bound it does not notice that a TCP peer has closed its
    /// end: the end lies behind unread input.
    ///
    /// If the connection fails, a held channel without undelivered input closes at once.
    /// One with such input closes when it has delivered that, or after
    /// [`Limits::linger`](crate::Limits::linger), released or not. A channel over a
    /// [`Transport`](crate::Transport) that fails to receive while output is queued sends
    /// that and closes; its undelivered input is dropped.
    ///
    /// A channel whose answers outrun its peer is held in the same way, without a call: see
    /// [`set_backpressure`](Self::set_backpressure). So is one that speaks faster than others
    /// read: [`ChatMap::push_from`](crate::ChatMap::push_from).
    ///
    /// Output is sent and timers fire as usual. [`into_endpoint`](Self::into_endpoint)
    /// ends every hold. [`with_handler`](crate::AsyncChat::with_handler) keeps them.
    ///
    /// ```
    /// use chat::{Chat, Hold};
    ///
    /// const BLOCKED: Hold = Hold::new(0);
    ///
    /// fn block(chat: &mut Chat) {
    ///     chat.hold(BLOCKED);
    ///     chat.pause();
    ///     chat.resume();
    ///     assert!(chat.is_held());
    ///     chat.release(BLOCKED);
    ///     assert!(!chat.is_held());
    /// }
    /// # let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
    /// # block(&mut chat::AsyncChat::new(ours, "\n", ()).chat);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn hold(&mut self, hold: Hold) {
        self.endpoint.flags |= hold.flag();
    }

    /// Ends a [`hold`](Self::hold). Delivery goes on in the next turn if there is no other.
    /// Without such a hold nothing changes.
    pub fn release(&mut self, hold: Hold) {
        self.endpoint.flags &= !hold.flag();
    }

    /// Whether the channel is held, by [`pause`](Self::pause) or another
    /// [hold](Self::hold). Neither [backpressure](Self::set_backpressure) nor the wait of
    /// [`push_from`](crate::ChatMap::push_from) counts.
    pub fn is_held(&self) -> bool {
        self.endpoint.flags & (HELD & !OUTRUN) != 0
    }

    /// Whether the channel is held by this [hold](Self::hold).
    pub fn has_hold(&self, hold: Hold) -> bool {
        self.endpoint.flags & hold.flag() != 0
    }

    /// [Holds](Self::hold) the channel until [`resume`](Self::resume): the hold
    /// [`Hold::PAUSE`].
    pub fn pause(&mut self) {
        self.hold(Hold::PAUSE);
    }

    /// Ends a [`pause`](Self::pause). Delivery goes on if there is no other hold.
    pub fn resume(&mut self) {
        self.release(Hold::PAUSE);
    }

    /// Whether the channel is [paused](Self::pause). Other holds do not count.
    pub fn is_paused(&self) -> bool {
        self.has_hold(Hold::PAUSE)
    }

    pub(crate) fn release_all(&mut self) {
        self.endpoint.flags &= !HELD;
    }

    /// Whether the channel is held, and receives meanwhile.
    pub(crate) fn takes_input(&self) -> bool {
        self.endpoint.flags & HELD != 0
            && self.endpoint.flags & (EOF | REST_IN | AWAITS_LAYER) == 0
            && matches!(
                self.endpoint.life.stage(),
                Stage::Live | Stage::Shut | Stage::Failing(_)
            )
            && self.undelivered() < self.endpoint.limits.held
    }

    /// Receives once, behind what is kept, up to the bound: for a channel that is held and
    /// [takes input](Self::takes_input), or that [keeps it first](Self::may_receive_behind).
    /// What that brings is delivered after the release, or when there is enough of it.
    #[cold]
    pub(crate) fn receive_behind(&mut self, map: &ChannelMap) {
        let limits = &self.endpoint.limits;
        let usual = limits.in_buffer_size.max(1);
        let kept = self.undelivered();
        let (room, max) = match self.endpoint.flags & HELD != 0 {
            true => (usual.min(limits.held - kept), limits.held),
            false => {
                let budget = limits.received_per_turn.max(1);
                let usual = self.framer.read_len(usual, budget);
                let room = self.framer.missing(kept).unwrap_or(usual).min(budget);
                (room, kept + room)
            }
        };
        let mut buffer = map.buffers().read_buffer();
        let room = room.min(buffer.len());
        match self.endpoint.receive(&mut buffer[..room]) {
            Ok(len) => {
                if len == 0 {
                    self.endpoint.flags |= EOF;
                }
                if self.framer.held > 0 {
                    self.put_back_held(); // nobody writes it in front of held input
                }
                self.endpoint.unread.append(&buffer[..len], max);
                self.note_held();
                self.endpoint.count_input(len);
                self.count_kept();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if self.endpoint.rests_after(&error) => {}
            Err(error) => self.endpoint.end_input(error),
        }
    }
}

impl Chat {
    /// Whether the channel is held, and has heard of no hang-up.
    pub(crate) fn watches_hang_up(&self) -> bool {
        self.endpoint.flags & HELD != 0
            && self.endpoint.flags & HUNG_UP == 0
            && matches!(self.endpoint.life.stage(), Stage::Live | Stage::Shut)
    }

    /// The poller has reported a hang-up. If the end of the input was received before, a
    /// reset is news: no call will receive that.
    pub(crate) fn hang_up(&mut self) {
        self.endpoint.flags |= HUNG_UP;
        if self.endpoint.flags & EOF != 0 {
            let error = self.endpoint.wire.socket().map(|it| it.take_error());
            if let Some(Ok(Some(error))) = error {
                self.endpoint.end_input(error);
            }
        }
    }
}

impl Endpoint {
    /// Whether input waits for the release of a chat channel.
    pub(crate) fn holds_input(&self) -> bool {
        self.flags & HELD != 0 && self.flags & UNDELIVERED != 0
    }

    /// Whether the peer of a held channel has finished, or the connection failed, and the
    /// handler hears nothing else of it before the release.
    pub(crate) fn has_peer_finished(&self) -> bool {
        match self.life.stage() {
            Stage::Failing(_) => self.holds_input(),
            _ => self.flags & (EOF | HUNG_UP) != 0 && self.flags & EOF_TOLD == 0,
        }
    }
}

impl<H: ChatHandler> AsyncChat<H> {
    /// Calls `handle_peer_finished`, once.
    pub(crate) fn tell_peer_finished(&mut self, map: &mut ChannelMap) -> Result {
        self.chat.endpoint.flags |= PEER_TOLD;
        self.handler.handle_peer_finished(&mut self.chat, map)
    }
}
