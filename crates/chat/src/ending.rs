//! How a channel ends that is closed when all is sent, or can send nothing any more:
//! its input has a limit. The time has one in `waiting.rs`.

use std::io;

use reactor::{ChannelMap, CloseReason};

use crate::endpoint::Endpoint;
use crate::flags::{AWAITS_LAYER, EOF};
use crate::life::Stage;

/// What a channel keeps account of while it ends.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) reason: CloseReason,
    /// Bytes received in this stage.
    received: usize,
    /// The goodbye is the last output.
    pub(crate) has_goodbye: bool,
}

impl Ending {
    pub(crate) fn new(reason: CloseReason) -> Box<Self> {
        Box::new(Self {
            reason,
            received: 0,
            has_goodbye: false,
        })
    }

    /// The same, of a channel that has sent all.
    pub(crate) fn lingering(mut self: Box<Self>) -> Box<Self> {
        self.received = 0;
        self
    }
}

impl Endpoint {
    /// Whether the channel reads, and discards what it reads.
    pub(crate) fn discards_input(&self) -> bool {
        match self.life.stage() {
            // What a peer sends for ever stays in the kernel, and holds it back.
            Stage::Finishing(ending) => {
                self.flags & (EOF | AWAITS_LAYER) == 0
                    && ending.received <= self.limits.linger_bytes
            }
            Stage::Lingering(_) => true,
            _ => false,
        }
    }

    /// Reads and drops, so that closing the socket does not reset the
    /// connection under the peer's nose.
    pub(crate) fn discard_input(&mut self, map: &ChannelMap) {
        let mut buffer = map.buffers().read_buffer();
        let mut budget = self.limits.received_per_turn.max(1);
        while budget > 0 {
            match self.receive(&mut buffer) {
                Ok(0) => {
                    self.flags |= EOF;
                    return self.end_lingering();
                }
                Ok(len) => {
                    budget = budget.saturating_sub(len);
                    self.count_input(len);
                    if !self.discards_input() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if self.rests_after(&error) => return,
                Err(error) => {
                    self.end_input(error);
                    return self.end_lingering();
                }
            }
        }
    }

    /// Counts the input of a channel that ends. When that is too much, one that can send
    /// nothing any more, or has sent all, is closed.
    pub(crate) fn count_input(&mut self, len: usize) {
        let max = self.limits.linger_bytes;
        let is_too_much = self.life.ending().is_some_and(|ending| {
            ending.received = ending.received.saturating_add(len);
            ending.received > max
        });
        if is_too_much && !matches!(self.life.stage(), Stage::Finishing(_)) {
            self.close_as_ended();
        }
    }

    fn end_lingering(&mut self) {
        if let Stage::Lingering(_) = self.life.stage() {
            self.close_as_ended();
        }
    }
}
