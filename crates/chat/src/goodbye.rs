//! How a channel is cut off: with a goodbye, if there is one and it fits.
//!
//! A goodbye comes between two pushes. It replaces the queue behind the item that is
//! being sent; from then on, the channel ends as one that is closed when done.

use reactor::{ChannelMap, CloseReason};

use crate::chat::Chat;
use crate::endpoint::Endpoint;
use crate::flags::{BLOCKED, NOT_LIVE, REST_IN, REST_OUT, SHUT_DUE};
use crate::producing::later;
use crate::unsent::Unsent;

impl Endpoint {
    /// Cuts the peer off: see [`Chat::cut_off`].
    pub fn cut_off(&mut self, reason: CloseReason) {
        if let Err(reason) = self.say_goodbye(reason, Unsent::default()) {
            self.close_with(reason);
        }
    }

    /// What is queued and `more`, which is not, is too much.
    #[cold]
    pub(crate) fn cut_off_for_output(&mut self, more: Unsent) {
        if self.say_goodbye(self.fault(), more).is_err() {
            self.close_for_output(more);
        }
    }

    /// The same, where no goodbye fits.
    #[cold]
    pub(crate) fn close_for_output(&mut self, more: Unsent) {
        self.lose_output();
        self.output.lose_also(more);
        self.close_with(self.fault());
    }

    /// Whose fault it is that too much is queued: the peer's, if the loop has waited for it.
    fn fault(&self) -> CloseReason {
        match &self.waiting {
            Some(waiting) if waiting.was_blocked => CloseReason::SlowReader,
            _ => CloseReason::OutputOverLimit,
        }
    }

    /// The map has cut the channel off. The goodbye leaves now, or never.
    #[cold]
    pub(crate) fn say_goodbye_now(&mut self, map: &ChannelMap) {
        let said = self.say_goodbye(CloseReason::Shutdown, Unsent::default());
        if said.is_err() {
            return;
        }
        self.flags &= !(BLOCKED | REST_IN | REST_OUT);
        self.end_rates(); // it is the last
        self.send_queued(&mut later);
        if self.discards_input() {
            self.discard_input(map); // or the kernel resets the connection
        }
    }

    /// Ends the output by the goodbye. `more` is lost then. Hands the reason back if the
    /// goodbye cannot be said.
    fn say_goodbye(&mut self, reason: CloseReason, more: Unsent) -> Result<(), CloseReason> {
        if self.has_goodbye() {
            let is_on_its_way = self.has_output();
            return is_on_its_way.then_some(()).ok_or(reason);
        }
        let has_end_to_come = self.flags & NOT_LIVE == 0 || self.flags & SHUT_DUE != 0;
        let may_send = self.connected() && self.is_sending() && has_end_to_come;
        let goodbye = self.limits.goodbye.clone();
        let more = more.and(Unsent::bytes(self.offered()));
        let is_said = may_send && !goodbye.is_empty() && self.output.cut(goodbye, more);
        if !is_said {
            return Err(reason);
        }
        self.take_offers();
        self.finish(reason, true);
        if let Some(ending) = self.life.ending() {
            ending.has_goodbye = true;
        }
        Ok(())
    }

    /// Whether the goodbye is queued or sent, so that nothing may follow.
    pub(crate) fn has_goodbye(&mut self) -> bool {
        self.life.ending().is_some_and(|ending| ending.has_goodbye)
    }
}

impl Chat {
    /// Cuts the peer off, as too much output does: the queue is dropped, offers included, but
    /// for the piece that is being sent. The [goodbye](crate::Limits::goodbye) follows, and the
    /// channel closes as by [`close_when_done_with`](Self::close_when_done_with). Without a
    /// goodbye, or where it would come inside something, this is
    /// [`close_with`](Self::close_with).
    ///
    /// A room calls it in [`handle_deadline`](crate::ChatHandler::handle_deadline) for a
    /// member that takes nothing: it reads why, if it reads again within
    /// [`Limits::stall`](crate::Limits::stall).
    ///
    /// ```
    /// # use chat::*;
    /// # struct Member;
    /// # impl MessageHandler for Member {
    /// # fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result { Ok(()) }
    /// fn handle_deadline(&mut self, deadline: Deadline, chat: &mut Chat, _: &mut ChannelMap) -> Result {
    ///     chat.cut_off(CloseReason::Missed(deadline));
    ///     Ok(())
    /// }
    /// # }
    /// ```
    pub fn cut_off(&mut self, reason: CloseReason) {
        self.endpoint.cut_off(reason);
    }
}
