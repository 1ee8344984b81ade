//! Output of a raw dispatcher that is not to come short: `dispatcher_with_send`.

use std::io::{self, IoSlice};

use bytes::{Buf, BytesMut};
use reactor::CloseReason;

use crate::dispatcher::Dispatcher;
use crate::endpoint::{Endpoint, State};
use crate::limits::Limits;

/// The documents' `dispatcher_with_send`: a [`Dispatcher`] whose handler sends
/// by [`Endpoint::push`].
///
/// There is no other type to it: every dispatcher can. What is pushed is sent
/// before the loop waits next and whenever there is room. For output that has
/// to reach the peer before the channel closes, for producers, and to hear when
/// all is sent, there is [`AsyncChat`](crate::AsyncChat), with
/// [`Terminator::none()`](crate::Terminator::none) if the input has no messages.
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use std::time::Duration;
/// use chat::{ChannelMap, Dispatcher, DispatcherHandler, DispatcherWithSend, Endpoint, Result};
///
/// /// The echo handler of asyncore's documentation.
/// struct EchoHandler;
///
/// impl DispatcherHandler for EchoHandler {
///     fn handle_read(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
///         let mut buffer = map.buffers().read_buffer();
///         let len = endpoint.recv(&mut buffer)?;
///         endpoint.push(&buffer[..len]);
///         Ok(())
///     }
/// }
///
/// let (ours, mut theirs) = UnixStream::pair()?;
/// let mut map = ChannelMap::new()?;
/// let channel: DispatcherWithSend<EchoHandler> = Dispatcher::new(ours, EchoHandler)?;
/// map.insert(channel)?;
/// theirs.write_all(b"hello")?;
/// map.turn(Some(Duration::ZERO))?; // receives
/// map.turn(Some(Duration::ZERO))?; // sends
/// let mut echo = [0; 5];
/// theirs.read_exact(&mut echo)?;
/// assert_eq!(&echo, b"hello");
/// # Ok::<(), chat::Error>(())
/// ```
#[doc(alias = "dispatcher_with_send")]
pub type DispatcherWithSend<H> = Dispatcher<H>;

/// # Output that is queued
impl Endpoint {
    /// Queues a copy of `data`, to be sent before the loop waits next and, what
    /// does not fit then, whenever there is room. While something is queued,
    /// [`send`](Self::send) says `WouldBlock`.
    ///
    /// When more is queued than [`Limits::output`] is by default, 8 MiB, and
    /// one more attempt to send did not help, the channel is closed as a
    /// [`SlowReader`](CloseReason::SlowReader). Closing the channel drops what is
    /// queued. If sending fails, what is queued is dropped, and the channel is
    /// closed when the handler has read what the peer had sent.
    ///
    /// A datagram is not queued: `data` is one, sent now or lost.
    #[doc(alias = "initiate_send")]
    pub fn push(&mut self, data: impl AsRef<[u8]>) {
        let data = data.as_ref();
        match self.state {
            _ if data.is_empty() || self.closing() || self.output_failed() => return,
            State::Accepting => return,
            State::Open => {
                if let Err(error) = self.wire.send_vectored(&[IoSlice::new(data)]) {
                    log::debug!("channel {}: a datagram was lost: {error}", self.token());
                }
                return;
            }
            State::Connecting | State::Connected => {}
        }
        self.rare().queue.extend_from_slice(data);
        if self.queued() > Limits::DEFAULT.output {
            self.send_queued();
        }
        if self.queued() > Limits::DEFAULT.output {
            self.close_with(CloseReason::SlowReader);
        }
    }

    /// How many bytes were [pushed](Self::push) and not sent yet: the
    /// documents' `out_buffer`.
    #[must_use]
    #[doc(alias = "out_buffer")]
    pub fn queued(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| rare.queue.len())
    }

    /// Whether something waits for room: what was pushed, or what a transport
    /// has kept.
    pub(crate) fn has_output(&self) -> bool {
        self.queued() > 0 || self.wire.has_output()
    }

    /// Whether an event of room is to be waited for.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.has_output() && (!self.is_blocked || self.wire.waits_for_room())
    }

    /// Sends what waits, as far as there is room.
    pub(crate) fn send_queued(&mut self) {
        while self.has_output() && !self.is_blocked && self.may_send() {
            let queue = self.rare.as_ref().map_or(&[][..], |rare| &rare.queue);
            let slice = [IoSlice::new(queue)];
            let slices = &slice[usize::from(queue.is_empty())..];
            match self.wire.send_vectored(slices) {
                Ok(sent) => {
                    self.rare().queue.advance(sent);
                    self.is_blocked = sent == 0;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_blocked = true,
                Err(error) => self.rare().output_error = Some(error),
            }
        }
        if let Some(rare) = &mut self.rare {
            if rare.queue.is_empty() || rare.output_error.is_some() {
                rare.queue = BytesMut::new(); // an idle channel holds no buffer
            }
        }
    }

    /// Why sending failed.
    pub(crate) fn take_output_error(&mut self) -> Option<io::Error> {
        self.rare.as_mut()?.output_error.take()
    }

    fn output_failed(&self) -> bool {
        let rare = self.rare.as_ref();
        rare.is_some_and(|rare| rare.output_error.is_some())
    }

    fn may_send(&self) -> bool {
        self.state != State::Connecting && !self.closing() && !self.output_failed()
    }
}
