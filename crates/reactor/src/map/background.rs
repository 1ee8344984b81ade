//! Channels that serve the others, and go when these are gone.

use std::mem;
use std::sync::atomic::Ordering;

use super::{ChannelMap, slot_mut};
use crate::readiness::Readiness;
use crate::token::Token;

/// # Background channels
impl ChannelMap {
    /// Puts a channel in the background: it serves the others, as one for signals, for
    /// the log or for a console does.
    ///
    /// Such a channel is the last to be told to finish
    /// ([`Channel::handle_shutdown`](crate::Channel::handle_shutdown)): when all others
    /// are gone, with their `handle_close`, and no [remote](Self::remote) work waits. So
    /// it does not keep [`run`](Self::run) from returning, and what the others give it
    /// when they end is not lost. Otherwise it is a channel like any other:
    /// [`len`](Self::len) counts it, and the deadline of [`shut_down`](Self::shut_down)
    /// is its deadline, too.
    ///
    /// It is no place for a channel that brings others back, such as a client's that connects
    /// again after a pause: it would be told to finish in that pause.
    ///
    /// Returns `false`, and does nothing, if the channel is not open, or if the map is
    /// being shut down: then the channel is told already.
    ///
    /// ```
    /// use reactor::{Channel, ChannelMap, Registration, Result, Token};
    ///
    /// /// Waits for something that never comes.
    /// #[derive(Debug)]
    /// struct Signals;
    ///
    /// impl Channel for Signals {
    ///     fn registration(&self) -> Option<&Registration> {
    ///         None
    ///     }
    /// }
    ///
    /// let mut map = ChannelMap::new()?;
    /// let signals = map.insert(Signals)?;
    /// assert!(map.set_background(signals));
    /// map.run()?; // nobody else is there
    /// assert!(map.is_empty());
    /// # Ok::<(), reactor::Error>(())
    /// ```
    pub fn set_background(&mut self, channel: impl Into<Token>) -> bool {
        if self.is_shutting_down() {
            return false;
        }
        let Some(slot) = slot_mut(&mut self.slots, channel.into()) else {
            return false;
        };
        if !mem::replace(&mut slot.is_background, true) {
            self.background += 1;
        }
        true
    }

    /// Nobody is left but channels in the background: tells them to finish, unless remote
    /// work waits.
    pub(super) fn end_background(&mut self) {
        if self.remote.inbox.waiting.load(Ordering::SeqCst) > 0 {
            return; // which may bring others
        }
        self.background = 0;
        for (_, slot) in &mut self.slots {
            slot.is_background = false;
            slot.make_ready(Readiness::SHUTDOWN, &mut self.ready);
        }
    }
}
