//! How a chat channel sends: what was queued, within a turn's budget, and at
//! once what is too much to keep.

use std::io::{self, IoSlice};

use reactor::CloseReason;

use crate::chat::Chat;
use crate::ending::End;
use crate::endpoint::copy;
use crate::output::MAX_SLICES;

impl Chat {
    /// Sends what is queued, up to a turn's worth.
    #[inline(always)]
    pub(crate) fn send_queued(&mut self) {
        if !self.output.is_simple() || self.endpoint.wire.has_output() {
            return self.send_by_and_by();
        }
        match self.output.in_one_piece() {
            Some(data) if !self.is_blocked => {
                let len = data.len();
                match self.endpoint.wire.send(data) {
                    Ok(sent) if sent == len => {
                        self.sent += sent as u64;
                        self.output.finish_piece();
                    }
                    sent => {
                        self.note_sent(len, sent);
                    }
                }
            }
            _ => {}
        }
    }

    /// Asks the producer at the head for more, and sends, up to a turn's worth.
    #[inline(never)]
    fn send_by_and_by(&mut self) {
        let mut budget = self.limits().sent_per_turn.max(1);
        let max = self.limits().out_buffer_size.max(1);
        self.output.unstall();
        while budget > 0
            && !self.is_blocked
            && (!self.output.is_empty() || self.endpoint.wire.has_output())
        {
            if let Err(error) = self.output.refill(max) {
                // It was not done, whatever it was to be closed for.
                self.endpoint.closing = Some(CloseReason::Io(error));
                return self.close();
            }
            let sent = self.send_ready();
            if sent == 0 {
                break;
            }
            budget = budget.saturating_sub(sent);
        }
    }

    /// Sends what is ready, once; returns how much that was. Calls neither
    /// handlers nor producers.
    pub(crate) fn send_ready(&mut self) -> usize {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let (count, len) = self.output.gather(&mut slices);
        if count == 0 && !self.endpoint.wire.has_output() {
            return 0;
        }
        let sent = self.endpoint.wire.send_vectored(&slices[..count]);
        self.note_sent(len, sent)
    }

    /// Takes account of an attempt to send the `len` bytes at the head of the
    /// queue; returns how many were sent.
    fn note_sent(&mut self, len: usize, sent: io::Result<usize>) -> usize {
        match sent {
            Ok(sent) => {
                self.is_blocked = sent < len;
                self.sent += sent as u64;
                self.output.advance(sent);
                sent
            }
            Err(error) => {
                if error.kind() == io::ErrorKind::WouldBlock {
                    self.is_blocked = true;
                } else {
                    self.output_error = Some(Box::new(copy(&error)));
                    self.is_ordinary = false;
                    self.output.discard();
                }
                0
            }
        }
    }

    #[inline]
    pub(crate) fn takes_output(&self) -> bool {
        self.end == End::Open && self.output_error.is_none()
    }

    /// Queues a copy of `data`, and finds out how much more can be pushed before
    /// there is anything to be looked at.
    pub(crate) fn push_with_care(&mut self, data: &[u8]) {
        let mark = self.limits().high_water.min(self.limits().output);
        if self.takes_output() && !self.output.push_first(data, mark) {
            self.push_further(data, mark);
        }
    }

    #[inline(never)]
    fn push_further(&mut self, data: &[u8], mark: usize) {
        if data.is_empty() {
            return;
        }
        self.output.push(data);
        self.relieve();
        self.output.make_room(mark);
    }

    /// Sends at once when much is queued, and judges the peer when too much is.
    pub(crate) fn relieve(&mut self) {
        let (high_water, limit) = (self.limits().high_water, self.limits().output);
        if self.output.len() <= high_water.min(limit) {
            return;
        }
        self.needs_drain = true;
        self.is_ordinary = false;
        let is_connected = !self.endpoint.connecting();
        if is_connected && (!self.is_blocked || self.output.len() > limit) {
            self.send_ready();
        }
        if self.output.len() > limit {
            self.close_with(CloseReason::SlowReader);
        }
    }
}
