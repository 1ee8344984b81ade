//! How a chat channel ends: what is queued is sent, the peer is told, and given
//! some time to close its end, too.

use std::io;

use reactor::{ChannelMap, CloseReason, Timer};

use crate::chat::Chat;

/// How far a channel has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Not at all.
    Open,
    /// Its output is sent, its input discarded.
    Finishing,
    /// All is sent, and the peer told so; it has some time to close, too.
    Lingering,
    /// Now.
    Closed,
}

/// What a channel keeps account of while it ends.
#[derive(Debug)]
pub(crate) struct Ending {
    /// Which stage the timer is for; `Open` if there is none.
    timed: End,
    timer: Option<Timer>,
    /// Bytes sent when the timer was set.
    sent: u64,
    /// Bytes discarded in this stage.
    discarded: usize,
}

impl Chat {
    /// Once what is queued was sent as far as possible: whether the channel goes
    /// on, or why it is closed.
    pub(crate) fn settle_end(&mut self) -> Result<(), CloseReason> {
        let hears_nothing = self.end != End::Open || self.is_paused || self.endpoint.is_eof;
        if let Some(error) = self.output_error.take_if(|_| hears_nothing) {
            return Err(CloseReason::Io(*error));
        }
        self.go_on_with_end();
        match self.end {
            End::Closed => Err(self.take_reason()),
            _ => Ok(()),
        }
    }

    /// Goes on if all was sent.
    fn go_on_with_end(&mut self) {
        let is_sent = self.output.is_empty() && !self.endpoint.wire.has_output();
        if self.end != End::Finishing || !is_sent {
            return;
        }
        if self.endpoint.is_eof || self.endpoint.wire.shutdown().is_err() {
            self.end = End::Closed;
            return;
        }
        self.end = End::Lingering;
        if let Some(ending) = &mut self.ending {
            ending.discarded = 0;
        }
    }

    /// Whether the channel reads, and discards what it reads.
    pub(crate) fn discards_input(&self) -> bool {
        match self.end {
            // What a peer sends for ever stays in the kernel, and holds it back.
            End::Finishing => self.discarded() <= self.limits().linger_bytes,
            End::Lingering => true,
            End::Open | End::Closed => false,
        }
    }

    /// Reads and drops, so that closing the socket does not reset the
    /// connection under the peer's nose.
    pub(crate) fn discard_input(&mut self, map: &ChannelMap) {
        let mut buffer = map.buffers().read_buffer();
        for _ in 0..self.limits().reads_per_turn.max(1) {
            match self.recv(&mut buffer) {
                Ok(0) => {
                    self.endpoint.is_eof = true;
                    return self.end_lingering();
                }
                Ok(len) => self.ending().discarded += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    if self.end == End::Finishing {
                        self.endpoint.closing = Some(CloseReason::Io(error));
                    }
                    self.end = End::Closed;
                    return;
                }
            }
            if self.discarded() > self.limits().linger_bytes {
                return self.end_lingering();
            }
        }
    }

    /// Whether the timer is not, or no more, the one that the channel needs.
    pub(crate) fn is_end_untimed(&self) -> bool {
        let timed = self
            .ending
            .as_ref()
            .map_or(End::Open, |ending| ending.timed);
        timed != self.stage_to_time()
    }

    /// Sets the timer that the channel needs, or none.
    pub(crate) fn time_end(&mut self, map: &mut ChannelMap) {
        let stage = self.stage_to_time();
        let patience = match stage {
            End::Finishing => Some(self.limits().stall),
            End::Lingering => Some(self.limits().linger),
            End::Open | End::Closed => None,
        };
        // Later than any clock tells is never.
        let deadline = patience.and_then(|patience| map.now().checked_add(patience));
        let timer = deadline.map(|deadline| map.set_timer(self.token(), deadline));
        let sent = self.sent;
        let ending = self.ending();
        ending.timed = stage;
        ending.sent = sent;
        if let Some(old) = std::mem::replace(&mut ending.timer, timer) {
            map.cancel(old);
        }
    }

    /// Whether `timer` is that one.
    pub(crate) fn is_end_timer(&self, timer: Timer) -> bool {
        self.ending
            .as_ref()
            .is_some_and(|ending| ending.timer == Some(timer))
    }

    /// That timer is due.
    pub(crate) fn end_in_time(&mut self) {
        let is_willing = self
            .ending
            .as_ref()
            .is_some_and(|ending| self.sent > ending.sent);
        self.untime_end();
        match self.end {
            End::Finishing if is_willing => {}
            End::Finishing => {
                self.endpoint.closing = Some(CloseReason::TimedOut);
                self.end = End::Closed;
            }
            End::Lingering => self.end = End::Closed,
            End::Open | End::Closed => {}
        }
    }

    /// The timer is gone, by itself or with the map that the channel was in.
    pub(crate) fn untime_end(&mut self) {
        if let Some(ending) = &mut self.ending {
            ending.timer = None;
            ending.timed = End::Open;
        }
    }

    /// The stage whose time runs. While a producer has nothing, none does.
    fn stage_to_time(&self) -> End {
        let has_output = self.output.is_ready() || self.endpoint.wire.has_output();
        match self.end {
            End::Finishing if has_output => End::Finishing,
            End::Lingering => End::Lingering,
            _ => End::Open,
        }
    }

    fn end_lingering(&mut self) {
        if self.end == End::Lingering {
            self.end = End::Closed;
        }
    }

    fn discarded(&self) -> usize {
        self.ending.as_ref().map_or(0, |ending| ending.discarded)
    }

    fn ending(&mut self) -> &mut Ending {
        self.ending.get_or_insert_with(|| {
            Box::new(Ending {
                timed: End::Open,
                timer: None,
                sent: 0,
                discarded: 0,
            })
        })
    }
}
