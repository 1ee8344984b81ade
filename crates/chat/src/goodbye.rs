//! How a channel is cut off: with a goodbye, if there is one and it fits.
//!
//! A goodbye comes between two pushes. It replaces the queue behind the item that is
//! being sent; from then on, the channel ends as one that is closed when done.

use reactor::{ChannelMap, CloseReason};

use crate::endpoint::Endpoint;
use crate::flags::{BLOCKED, NOT_LIVE, REST_IN, REST_OUT, SHUT_DUE};
use crate::producing::later;
use crate::unsent::Unsent;

impl Endpoint {
    /// What is queued and `more`, which is not, is too much.
    #[cold]
    pub(crate) fn cut_off(&mut self, more: Unsent) {
        if !self.says_goodbye(self.fault(), more) {
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
        if !self.says_goodbye(CloseReason::Shutdown, Unsent::default()) {
            return;
        }
        self.flags &= !(BLOCKED | REST_IN | REST_OUT);
        self.end_rates(); // it is the last
        self.send_queued(&mut later);
        if self.discards_input() {
            self.discard_input(map); // or the kernel resets the connection
        }
    }

    /// Ends the output by the goodbye, if that can be said. `more` is lost then.
    fn says_goodbye(&mut self, reason: CloseReason, more: Unsent) -> bool {
        if self.has_goodbye() {
            return self.has_output(); // it is on its way
        }
        let has_end_to_come = self.flags & NOT_LIVE == 0 || self.flags & SHUT_DUE != 0;
        let may_send = self.connected() && self.is_sending() && has_end_to_come;
        let goodbye = self.limits.goodbye.clone();
        let more = more.and(Unsent::bytes(self.offered()));
        let is_said = may_send && !goodbye.is_empty() && self.output.cut(goodbye, more);
        if is_said {
            self.take_offers();
            self.finish(reason, true);
            if let Some(ending) = self.life.ending() {
                ending.has_goodbye = true;
            }
        }
        is_said
    }

    /// Whether the goodbye is queued or sent, so that nothing may follow.
    pub(crate) fn has_goodbye(&mut self) -> bool {
        self.life.ending().is_some_and(|ending| ending.has_goodbye)
    }
}
