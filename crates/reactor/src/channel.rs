//! [`Channel`], the trait of everything in the map.

use std::any::{Any, type_name};
use std::fmt;
use std::io;

use crate::close_reason::CloseReason;
use crate::error::{Error, Result};
use crate::map::{ChannelMap, Opening, Timer};
use crate::source::Registration;
use crate::token::Token;

/// Something that lives in a [`ChannelMap`] and is called with its events.
///
/// This is the loop's side of asyncore's `dispatcher`. Most programs use the
/// channel types of the `chat` crate and write handlers for them. Implement
/// `Channel` for a kind of I/O that those do not cover.
///
/// Every method but `registration` gets `me`, the channel's own token. While a
/// callback runs, its channel is outside of its slot: the map's
/// [`get_mut`](ChannelMap::get_mut) does not find it, but finds every other channel.
///
/// The loop asks the four questions [`readable`](Self::readable),
/// [`writable`](Self::writable), [`watches_hang_up`](Self::watches_hang_up) and
/// [`pending`](Self::pending) after the channel's callbacks, and after the channel was
/// reached through the map or [touched](ChannelMap::touch). The answers must depend on the
/// channel's own state only.
///
/// # Example
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use reactor::{Channel, ChannelMap, CloseReason, Registration, Result, Source, Token};
///
/// /// Keeps what arrives on a socket, until its end.
/// #[derive(Debug)]
/// struct Sink {
///     stream: Source<UnixStream>,
///     received: Vec<u8>,
/// }
///
/// impl Channel for Sink {
///     fn registration(&self) -> Option<&Registration> {
///         Some(self.stream.registration())
///     }
///
///     fn handle_read_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
///         let mut buffer = map.buffers().read_buffer();
///         match (&*self.stream).read(&mut buffer)? {
///             0 => {
///                 assert_eq!(self.received, b"all of it");
///                 map.close_with(me, CloseReason::Eof);
///             }
///             n => self.received.extend_from_slice(&buffer[..n]),
///         }
///         Ok(())
///     }
/// }
///
/// let (ours, mut theirs) = UnixStream::pair()?;
/// ours.set_nonblocking(true)?;
/// let mut map = ChannelMap::new()?;
/// map.insert(Sink { stream: Source::new(ours), received: Vec::new() })?;
/// theirs.write_all(b"all of it")?;
/// drop(theirs);
/// map.run()?; // returns when the last channel is gone
/// # Ok::<(), reactor::Error>(())
/// ```
#[expect(unused_variables, reason = "the defaults name what they ignore")]
pub trait Channel: Any + fmt::Debug {
    /// The registration of the channel's [`Source`](crate::Source); `None` for
    /// a channel that has timers only, or whose events come by
    /// [`dispatch`](ChannelMap::dispatch).
    ///
    /// May change: a channel that reconnects replaces its source, and the map
    /// follows.
    fn registration(&self) -> Option<&Registration>;

    /// Opens what the channel needs, such as its socket, and may set its timers.
    ///
    /// [`ChannelMap::insert`] calls it before anything else. A channel made by a conversion,
    /// or changed by `&mut`, is not opened by the map: it can open itself when it is next
    /// called, with [`Opening::of`]. The default does nothing.
    ///
    /// # Errors
    ///
    /// An error fails the insertion, and hands the channel back. It may be inserted again.
    fn open(&mut self, opening: &mut Opening<'_>) -> io::Result<()> {
        Ok(())
    }

    /// Whether the channel wants [`handle_read_event`](Self::handle_read_event).
    /// The default is `true`, as in asyncore.
    fn readable(&self, me: Token) -> bool {
        true
    }

    /// Whether the channel wants
    /// [`handle_write_event`](Self::handle_write_event). The default is
    /// `false`. A socket is nearly always writable, so a channel that always
    /// answers `true` keeps the loop from sleeping.
    fn writable(&self, me: Token) -> bool {
        false
    }

    /// Whether the channel wants [`handle_hang_up`](Self::handle_hang_up). The default is
    /// `false`. A channel that is neither readable nor writable notices the end of its
    /// connection in no other way.
    ///
    /// The poller reports a hang-up again and again. A channel that has handled one and
    /// still answers `true` keeps the loop from sleeping.
    fn watches_hang_up(&self, me: Token) -> bool {
        false
    }

    /// Whether the channel has something to do that no event will announce:
    /// input that it holds already, or a callback that is due. If so, the next turn
    /// does not sleep and calls [`handle_pending`](Self::handle_pending). The default
    /// is `false`.
    fn pending(&self, me: Token) -> bool {
        false
    }

    /// Sends what is queued, if that takes one call. `true` says that nothing is left
    /// to send, and that the four questions and the registration have the answers
    /// that the map was given last: it asks none of them. A channel that may have been
    /// converted since, or have lent its source, must say `false`.
    ///
    /// Called directly after a read event, unless somebody else reached the channel
    /// before in the turn: so an answer does not wait for the rest of the batch. Called
    /// again before [`settle`](Self::settle). The default is `false`.
    fn flush(&mut self, me: Token) -> bool {
        false
    }

    /// Sends the queued output. Called once a turn before the wait, if the channel was
    /// called or touched since and [`flush`](Self::flush) returned `false`. The
    /// questions follow. An `Err` closes the channel with that reason.
    fn settle(&mut self, me: Token) -> Result<(), CloseReason> {
        Ok(())
    }

    /// Reads input, its end, or an error.
    ///
    /// Called when the source is readable, and again as long as input is left
    /// unread (level-triggered). The default returns an error; only a channel with a
    /// source must override it.
    fn handle_read_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        Err("unhandled read event".into())
    }

    /// Writes output. Called when there is room for it, or when a write would return
    /// an error.
    fn handle_write_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// Reads exceptional data, such as TCP's out-of-band data.
    ///
    /// Called for a [`readable`](Self::readable) channel, on epoll and `poll(2)`,
    /// again and again until the data is read. A channel that never reads it keeps
    /// the loop from sleeping.
    fn handle_expt_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// Discards the errors that the source keeps in a queue, as a Linux socket does with
    /// `IP_RECVERR` or `SO_TIMESTAMPING` (`MSG_ERRQUEUE` of recv(2)). Neither reading nor
    /// writing clears it, and the poller reports it until it is empty.
    ///
    /// Called on epoll and `poll(2)` when the poller reported an error (`POLLERR`), after
    /// the channel's other events of the turn. The default does nothing.
    fn discard_errors(&mut self, me: Token) {}

    /// Handles a hang-up: the connection is closed at both ends, or was reset. The end of a
    /// TCP peer's output alone is no hang-up.
    ///
    /// Called on epoll and `poll(2)`, as the last of the channel's events, if the channel
    /// [watches for it](Self::watches_hang_up). Input may still be unread. The default does
    /// nothing.
    fn handle_hang_up(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// Whether [`handle_begin`](Self::handle_begin) is due. The default is `false`.
    fn must_begin(&self, me: Token) -> bool {
        false
    }

    /// Does what comes before anything else, such as a greeting. Called if the channel
    /// [must begin](Self::must_begin), before a timer, a shutdown or a hang-up, which may
    /// come before any other event. It is a callback of its own: the closes and posts that
    /// it asks for come before the timer, which it may cancel. The default does nothing.
    fn handle_begin(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// Does the work that [`pending`](Self::pending) announced. Called before the
    /// channel's events of the same turn. The default calls
    /// [`handle_read_event`](Self::handle_read_event).
    fn handle_pending(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.handle_read_event(me, map)
    }

    /// Handles a timer of this channel that is due. The timer is spent. Its
    /// [number](Timer::number) tells several apart. The default does nothing.
    fn handle_timer(&mut self, timer: Timer, me: Token, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// Finishes the work under way, then closes. Called once, when the map is
    /// [shut down](ChannelMap::shut_down). The default closes the channel at once.
    fn handle_shutdown(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        map.close_with(me, CloseReason::Shutdown);
        Ok(())
    }

    /// The bytes that closing the channel would free, of those that it has
    /// [charged](crate::Buffers::charge). The channels with most are closed first when all
    /// together hold [too much](ChannelMap::set_memory_cap): asked only then. The default, 0,
    /// exempts the channel.
    fn reclaimable(&self) -> usize {
        0
    }

    /// The part of the channel that others can use without knowing its type, to be
    /// downcast: in the `chat` crate, the `Chat` of a chat channel and the `Endpoint` of a
    /// dispatcher. The default is `None`.
    fn wire(&self) -> Option<&dyn Any> {
        None
    }

    /// Like [`wire`](Self::wire), to change it. A channel that overrides one overrides
    /// both. The default is `None`.
    fn wire_mut(&mut self) -> Option<&mut dyn Any> {
        None
    }

    /// The name of the channel's type, for those who look at the map. The default is
    /// [`std::any::type_name`]'s.
    fn type_name(&self) -> &'static str {
        type_name::<Self>()
    }

    /// Handles the close of this channel, which is dropped afterwards. The loop calls
    /// it exactly once, never from inside another callback, and calls no other method
    /// after it.
    fn handle_close(&mut self, reason: CloseReason, me: Token, map: &mut ChannelMap) {}

    /// Handles an error that one of the channel's callbacks returned. The default logs
    /// it at the level `error` and closes the channel.
    fn handle_error(&mut self, error: Error, me: Token, map: &mut ChannelMap) {
        log::error!("channel {me}: uncaught error: {error}");
        map.close_with(me, CloseReason::HandlerError);
    }
}
