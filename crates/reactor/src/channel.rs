//! The trait that everything in the map implements.

use std::any::Any;
use std::fmt;

use crate::close_reason::CloseReason;
use crate::error::{Error, Result};
use crate::map::{ChannelMap, Timer};
use crate::source::Registration;
use crate::token::Token;

/// Something that lives in a [`ChannelMap`] and is called with its events.
///
/// This is the loop's side of the documents' `dispatcher`. Most programs use
/// the ready channel types of the `chat` crate and write handlers for them;
/// implement `Channel` for a kind of I/O that those do not cover.
///
/// Every method but `registration` gets `me`, the channel's own token. While a
/// callback runs, its channel is outside of its slot: the map's
/// [`get_mut`](ChannelMap::get_mut) does not find it, everything else is there.
///
/// The three questions [`readable`](Self::readable),
/// [`writable`](Self::writable) and [`pending`](Self::pending) are asked when
/// something may have changed the answer: after the channel's callbacks, and
/// after it was reached through the map or [touched](ChannelMap::touch). They
/// must depend on the channel's own state only.
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
    /// It may be another one than before: a channel that reconnects replaces
    /// its source, and the map follows.
    fn registration(&self) -> Option<&Registration>;

    /// Whether the channel wants [`handle_read_event`](Self::handle_read_event).
    /// The default is `true`, as in the documents.
    fn readable(&self, me: Token) -> bool {
        true
    }

    /// Whether the channel wants
    /// [`handle_write_event`](Self::handle_write_event). The default is
    /// `false`: a socket is nearly always writable, and a channel that always
    /// wants to hear of it never lets the loop sleep.
    fn writable(&self, me: Token) -> bool {
        false
    }

    /// Whether the channel has something to do that no event will announce:
    /// input that it holds already, a callback that is due. Such a channel is
    /// called by [`handle_pending`](Self::handle_pending) in the next turn,
    /// which does not sleep. The default is `false`.
    fn pending(&self, me: Token) -> bool {
        false
    }

    /// Sends what is queued, if that takes one call. `true` says that nothing is left
    /// to send, and that the three questions and the registration have the answers
    /// that the map was given last: it asks none of them. A channel that may have been
    /// converted since, or have lent its source, must say `false`.
    ///
    /// Called directly after a read event, unless somebody else reached the channel
    /// before in the turn: so an answer does not wait for the rest of the batch. Called
    /// again before [`settle`](Self::settle). The default is `false`.
    fn flush(&mut self, me: Token) -> bool {
        false
    }

    /// Called once a turn before the wait, if the channel was called or
    /// touched since, and [`flush`](Self::flush) said `false`: the time to send what
    /// has been queued. The questions follow. An `Err` closes the channel for that
    /// reason.
    fn settle(&mut self, me: Token) -> Result<(), CloseReason> {
        Ok(())
    }

    /// There is input, the end of it, or an error to be read.
    ///
    /// Level-triggered: what is left unread is reported again. The default is
    /// an error, for a channel that has a source; others need not override it.
    fn handle_read_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        Err("unhandled read event".into())
    }

    /// There is room for output, or an error to be had by writing.
    fn handle_write_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// There is exceptional data, such as TCP's out-of-band data.
    ///
    /// Reported for a [`readable`](Self::readable) channel, on epoll and
    /// `poll(2)`, and again until the data is read: a channel that never reads
    /// it does not let the loop sleep.
    fn handle_expt_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// The channel said [`pending`](Self::pending). Events of the same turn
    /// come afterwards. The default calls
    /// [`handle_read_event`](Self::handle_read_event).
    fn handle_pending(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.handle_read_event(me, map)
    }

    /// A timer of this channel is due; it is spent.
    fn handle_timer(&mut self, timer: Timer, me: Token, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// The map is being [shut down](ChannelMap::shut_down): finish what is under way,
    /// then close. Called once. The default closes the channel at once.
    fn handle_shutdown(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        map.close_with(me, CloseReason::Shutdown);
        Ok(())
    }

    /// The channel was closed; it is dropped afterwards. Called exactly once,
    /// by the loop and never from inside another callback. No other method is
    /// called after it.
    fn handle_close(&mut self, reason: CloseReason, me: Token, map: &mut ChannelMap) {}

    /// One of the channel's callbacks returned an error. The default logs it, at
    /// the level `error`, and closes the channel.
    fn handle_error(&mut self, error: Error, me: Token, map: &mut ChannelMap) {
        log::error!("channel {me}: uncaught error: {error}");
        map.close_with(me, CloseReason::HandlerError);
    }
}
