//! Output of a raw dispatcher that is not to come short: `dispatcher_with_send`.

use std::io::{self, IoSlice};
use std::mem;

use bytes::{Buf, BytesMut};
use reactor::CloseReason;

use crate::dispatcher::Dispatcher;
use crate::endpoint::{Endpoint, State};
use crate::limits::Limits;

/// The documents' `dispatcher_with_send`: a [`Dispatcher`] whose handler sends
/// by [`Endpoint::push`].
///
/// There is no other type to it: every dispatcher can. What is pushed is sent
/// before the loop waits next and whenever there is room. For producers, limits
/// of one's own, and to hear when all is sent, there is
/// [`AsyncChat`](crate::AsyncChat), with
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
    /// [`SlowReader`](CloseReason::SlowReader).
    /// [`close_when_done`](Self::close_when_done) waits for what is queued,
    /// [`close`](Self::close) drops it. If sending fails, it is dropped, and the
    /// channel is closed when the handler has read what the peer had sent.
    ///
    /// A datagram is not queued: `data` is one, sent now or lost. On a listener
    /// nothing happens.
    #[doc(alias = "initiate_send")]
    pub fn push(&mut self, data: impl AsRef<[u8]>) {
        let data = data.as_ref();
        if self.closing() || self.output_failed() || self.state == State::Accepting {
            return;
        }
        if self.state == State::Open {
            if let Err(error) = self.wire.send(data) {
                log::debug!("channel {}: a datagram was lost: {error}", self.token());
            }
            return;
        }
        if data.is_empty() {
            return;
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

    /// Sends what waits, as far as there is room; then does what waited for that.
    pub(crate) fn send_queued(&mut self) {
        while self.has_output() && !self.is_blocked && self.may_send() {
            let queue = self.rare.as_ref().map_or(&[][..], |rare| &rare.queue);
            let slice = [IoSlice::new(queue)];
            let slices = &slice[usize::from(queue.is_empty())..];
            let len = queue.len();
            match self.wire.send_vectored(slices) {
                Ok(sent) => {
                    self.is_blocked = sent < len;
                    if len == 0 {
                        break; // it was the transport's own, and is tried when there is room
                    }
                    self.rare().queue.advance(sent);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_blocked = true,
                Err(error) => self.rare().output_error = Some(error),
            }
        }
        if self.has_output() && !self.output_failed() {
            return;
        }
        let Some(rare) = &mut self.rare else {
            return;
        };
        rare.queue = BytesMut::new(); // an idle channel holds no buffer
        if mem::take(&mut rare.is_to_be_shut) {
            // An error means that the peer is gone, which is told otherwise.
            let _ = self.wire.shutdown();
        }
        if let Some(reason) = self.take_finishing() {
            let failed = self.take_output_error().map(CloseReason::Io);
            self.close_with(failed.unwrap_or(reason));
        }
    }

    /// Whether the channel closes when all is sent.
    pub(crate) fn is_finishing(&self) -> bool {
        let rare = self.rare.as_ref();
        rare.is_some_and(|rare| rare.finishing.is_some())
    }

    /// Takes what is queued, for a channel that has a queue of its own.
    pub(crate) fn take_queue(&mut self) -> BytesMut {
        let rare = self.rare.as_mut();
        rare.map(|rare| mem::take(&mut rare.queue))
            .unwrap_or_default()
    }

    /// Takes the reason for which the channel was to close when all is sent.
    pub(crate) fn take_finishing(&mut self) -> Option<CloseReason> {
        self.rare.as_mut()?.finishing.take()
    }

    /// Puts back what such a channel has queued.
    pub(crate) fn put_queue(&mut self, queue: BytesMut) {
        if !queue.is_empty() {
            self.rare().queue = queue;
        }
    }

    /// Why sending failed.
    pub(crate) fn take_output_error(&mut self) -> Option<io::Error> {
        self.rare.as_mut()?.output_error.take()
    }

    /// Whether sending has failed: what is pushed goes nowhere, and the channel
    /// is closed when the input that is left has been read.
    #[must_use]
    pub fn output_failed(&self) -> bool {
        let rare = self.rare.as_ref();
        rare.is_some_and(|rare| rare.output_error.is_some())
    }

    fn may_send(&self) -> bool {
        self.state != State::Connecting && self.closing.is_none() && !self.output_failed()
    }
}
