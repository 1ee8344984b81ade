//! How output is queued and sent: gathered while callbacks run, sent by one
//! call when the channel settles, and at once when it is too much to keep.

use std::fmt;
use std::io::{self, IoSlice, Write};
use std::net::Shutdown;
use std::time::Instant;

use bytes::Bytes;
use reactor::CloseReason;

use crate::chat::Chat;
use crate::endpoint::Endpoint;
use crate::flags::{BLOCKED, EOF, HIGH, NOT_LIVE, REST_IN, REST_OUT, SECURING, SHUT_DUE, UNOPENED};
use crate::life::{Origin, Stage};
use crate::output::account::Lent;
use crate::output::{Ask, MAX_SLICES};
use crate::rate::Way;
use crate::unsent::Unsent;
use crate::wire::Wire;

/// # Output that is queued
impl Endpoint {
    /// Queues a copy of `data`. It is sent before the loop waits next, and the rest
    /// whenever there is room. While output is queued, [`send`](Self::send) returns
    /// `WouldBlock`.
    ///
    /// Returns `false` if `data` is dropped: the channel is closing or closed, its
    /// sending half is [shut](Self::shutdown), sending has failed, or this push closes
    /// it. (A channel that [`ChannelMap::close`](reactor::ChannelMap::close) has closed
    /// learns of it only later, so this returns `true`.) In `handle_close`,
    /// [`unsent`](Self::unsent) counts the queued output that did not leave.
    ///
    /// If more than [`Limits::output`](crate::Limits::output) is queued, even after one
    /// more attempt to send, the queue is dropped and the channel is closed, with a
    /// [goodbye](crate::Limits::goodbye) if it has one: as
    /// [`SlowReader`](CloseReason::SlowReader) if, when the loop last went to wait, the peer
    /// had not taken all that it was offered; otherwise as
    /// [`OutputOverLimit`](CloseReason::OutputOverLimit): the program has queued more than
    /// `output` by itself, or more than [`send_rate`](crate::Limits::send_rate) lets out. Use a
    /// producer for large output. If sending fails, the queue is dropped,
    /// and the channel closes when the input that is left has been handed out.
    ///
    /// On a socket that keeps bounds (datagrams, `SOCK_SEQPACKET`), `data` is one record.
    /// It is sent now (`true`) or lost, and never queued. A listener drops `data`.
    #[doc(alias = "initiate_send")]
    #[inline]
    pub fn push(&mut self, data: impl AsRef<[u8]>) -> bool {
        let data = data.as_ref();
        self.output.push_within_room(data) || self.push_with_care(data)
    }

    fn push_with_care(&mut self, data: &[u8]) -> bool {
        if self.flags & NOT_LIVE == 0 && self.output.push_first(data) {
            return true;
        }
        self.push_further(data)
    }

    #[inline(never)] // the usual first push needs none of its registers
    fn push_further(&mut self, data: &[u8]) -> bool {
        if self.wire.keeps_bounds() {
            return self.push_record(data);
        }
        let rest = self.send_before_it_is_queued(data);
        let is_queued = self.takes_output() && self.bears(data.len(), rest.len());
        if is_queued {
            self.output.push(rest);
        }
        is_queued
    }

    /// A socket that keeps bounds sends at once, or not at all.
    fn push_record(&mut self, data: &[u8]) -> bool {
        let is_shut = matches!(self.life.stage(), Stage::Shut);
        if self.closing() || self.accepting() || self.output_failed() || is_shut {
            return false;
        }
        match self.wire.send(data) {
            Ok(sent) => {
                self.taken += sent as u64;
                self.note_activity();
                true
            }
            Err(error) => {
                log::debug!("channel {}: a record was lost: {error}", self.me);
                let may_pass =
                    error.kind() == io::ErrorKind::WouldBlock || self.rests_after(&error);
                if self.connected() && !may_pass {
                    self.has_failed(error);
                }
                false
            }
        }
    }

    /// Queues `data` as [`push`](Self::push) does, but copies only up to 1,024 bytes.
    /// Use it for data that goes to many channels. Longer data keeps its whole allocation
    /// alive until it is sent: if it was a `String` or a `Vec`, its spare room, too.
    pub fn push_bytes(&mut self, data: impl Into<Bytes>) -> bool {
        let mut data = data.into();
        if self.wire.keeps_bounds() {
            return self.push_record(&data);
        }
        let left = self.send_before_it_is_queued(&data).len();
        let is_queued = self.takes_output() && self.bears(data.len(), left);
        if is_queued {
            self.output.push_bytes(data.split_off(data.len() - left));
        }
        is_queued
    }

    /// Queues what others pushed while a callback of the channel ran. That may have ended
    /// the output, which is this much longer then. What cannot be sent is
    /// [`unsent`](Self::unsent), since nobody can be told that it is dropped.
    pub(crate) fn push_belatedly(&mut self, mut data: Bytes) {
        if self.wire.keeps_bounds() {
            self.push_record(&data);
            return;
        }
        let left = self.send_before_it_is_queued(&data).len();
        let is_ending = self.flags & SHUT_DUE != 0 && self.is_sending();
        let is_taken = (is_ending && !self.has_goodbye()) || self.takes_output();
        if !is_taken {
            self.output.lose_also(Unsent::bytes(left));
        } else if self.bears(data.len(), left) {
            self.output.push_bytes(data.split_off(data.len() - left));
        }
    }

    /// Like [`push`](Self::push), but never costs the peer its channel.
    ///
    /// # Errors
    ///
    /// Hands `data` back if it does not fit below
    /// [`Limits::output`](crate::Limits::output), if sending has failed, or if the
    /// channel is closing, is [shut](Self::shutdown) for sending, or is no stream.
    pub fn try_push<D: AsRef<[u8]>>(&mut self, data: D) -> Result<(), D> {
        match self.makes_room_for(data.as_ref().len()) && self.push(&data) {
            true => Ok(()),
            false => Err(data),
        }
    }

    /// Like [`push_bytes`](Self::push_bytes), but never costs the peer its channel.
    ///
    /// # Errors
    ///
    /// As [`try_push`](Self::try_push).
    pub fn try_push_bytes(&mut self, data: impl Into<Bytes>) -> Result<(), Bytes> {
        let data = data.into();
        match self.makes_room_for(data.len()) && self.push_bytes(data.clone()) {
            true => Ok(()),
            false => Err(data),
        }
    }

    /// Whether so much may be queued, if need be after one attempt to send.
    fn makes_room_for(&mut self, len: usize) -> bool {
        let fits =
            |this: &Self| this.takes_output() && this.output.len() + len <= this.limits.output;
        if !fits(self) && self.connected() {
            self.send_ready();
        }
        fits(self)
    }

    /// The number of queued bytes: those of asyncore's `out_buffer`, those of
    /// [offers](Self::offer) that wait, and those that a [`Transport`](crate::Transport)
    /// keeps. Output that producers will make does not count.
    #[doc(alias = "out_buffer")]
    pub fn queued(&self) -> usize {
        self.output.len() + self.offered() + self.wire.queued()
    }

    /// The number of bytes sent so far. It grows as long as the peer takes output. Over a
    /// [`Transport`](crate::Transport) that keeps output, it is
    /// [`Transport::sent`](crate::Transport::sent).
    pub fn sent(&self) -> u64 {
        let told = self.wire.transport().and_then(|t| t.sent());
        told.unwrap_or(self.taken)
    }

    /// The number of bytes received so far, those included that were discarded.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Whether `handle_drained` will follow once more output is sent. More than
    /// [`Limits::high_water`](crate::Limits::high_water) was queued, or a producer, or an
    /// [offer](Self::offer) had to wait; and a producer, an offer or more than
    /// [`Limits::low_water`](crate::Limits::low_water) still is.
    pub fn needs_drain(&self) -> bool {
        self.flags & HIGH != 0 && !self.is_drained()
    }

    /// Whether sending has failed. Pushed output is dropped then, and the channel closes
    /// when the input that is left has been handed out.
    pub fn output_failed(&self) -> bool {
        self.life.origin() == Origin::Failed
    }

    /// Whether anything is left to send, a producer or a transport's own words
    /// included.
    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty() || self.offered() > 0 || self.wire.queued() > 0
    }

    /// The same, but not for a producer that has nothing now.
    pub(crate) fn has_ready_output(&self) -> bool {
        self.output.is_ready()
            || (self.output.is_empty() && self.offered() > 0)
            || self.wire.queued() > 0
    }

    /// Whether room is to be waited for: to send, or to be connected.
    pub(crate) fn waits_for_room(&self) -> bool {
        match self.life.stage() {
            Stage::Connecting(_) => {
                let waits = self.wire.transport().is_none_or(|t| t.waits_for_room());
                self.flags & UNOPENED == 0 && waits
            }
            Stage::Listening(_) | Stage::Datagrams(_) | Stage::Failing(_) | Stage::Closed(..) => {
                false
            }
            Stage::Live | Stage::Shut | Stage::Finishing(_) | Stage::Lingering(_) => {
                let is_of_use = self.flags & BLOCKED == 0
                    || self.wire.transport().is_none_or(|t| t.waits_for_room());
                self.flags & REST_OUT == 0 && is_of_use && self.has_ready_output()
            }
        }
    }

    /// Whether what is queued may be sent still.
    pub(crate) fn is_sending(&self) -> bool {
        !matches!(self.life.stage(), Stage::Failing(_) | Stage::Closed(..))
    }

    /// `handle_drained` is due.
    pub(crate) fn is_drained(&self) -> bool {
        self.flags & HIGH != 0
            && self.output.producers() == 0
            && self.output.len() <= self.limits.low_water
            && self.offered() == 0
    }

    /// Before the wait: sends what is queued as far as possible.
    pub(crate) fn settle_output(&mut self, handler: Ask<'_>) {
        if self.connected() && !self.is_closed() {
            self.send_queued(handler);
        }
        if let Some(waiting) = &mut self.waiting {
            waiting.was_blocked = self.flags & BLOCKED != 0;
        }
        if self.extras.is_some() {
            self.release_speakers_if_drained();
        }
    }

    /// Afterwards: whether the channel goes on, or why it is closed. A failure ends one
    /// that `is_deaf`: it receives nothing now, and nobody has said that it will.
    pub(crate) fn settle(&mut self, is_deaf: bool) -> Result<(), CloseReason> {
        if is_deaf && self.flags & REST_IN == 0 && matches!(self.life.stage(), Stage::Failing(_)) {
            self.close_as_ended();
        }
        self.take_reason().map_or(Ok(()), Err)
    }

    /// Sends what lies in one whole piece, by one call: all that a channel mostly has.
    /// Returns whether nothing is left, and nothing is to be read without an event.
    #[inline(always)] // into `flush` of each handler's channel: one frame less
    pub(crate) fn send_piece(&mut self) -> bool {
        if let Some(buffer) = self.output.take_piece() {
            match self.wire.send(&buffer) {
                Ok(sent) if sent == buffer.len() => {
                    self.taken += sent as u64;
                    self.output.answers = 0;
                    if let Some(buffers) = &self.output.buffers {
                        self.active = buffers.time();
                        buffers.put_spare(buffer);
                    }
                }
                sent => {
                    let len = buffer.len();
                    self.output.keep(buffer);
                    self.note_sent(len, sent);
                    return false;
                }
            }
        } else if !self.output.is_empty() {
            return false;
        }
        match &self.wire {
            Wire::Other(transport) => {
                let registration = transport.registration(); // perhaps a new one
                let is_watched = registration.is_none_or(|r| r.is_watched_for(self.me));
                is_watched && transport.queued() == 0 && !transport.has_input()
            }
            _ => true,
        }
    }

    /// Asks the producer at the head for more, and sends, up to a turn's worth.
    pub(crate) fn send_queued(&mut self, handler: Ask<'_>) {
        let mut budget = self.limits.sent_per_turn.max(1);
        self.output.unstall();
        while budget > 0
            && self.flags & (BLOCKED | REST_OUT) == 0
            && self.is_sending()
            && self.has_output()
        {
            if self.flags & SECURING != 0 {
                self.put_queued_layer();
            }
            let max = self.limits.out_buffer_size.max(1);
            if let Err(error) = self.output.refill(max, handler) {
                return self.close_with(CloseReason::Io(error));
            }
            if self.extras.is_some() {
                self.queue_offers();
            }
            let sent = self.send_ready();
            if sent == 0 {
                break;
            }
            budget = budget.saturating_sub(sent);
        }
        if self.flags & NOT_LIVE != 0 && self.is_sending() && !self.has_output() {
            self.end_output();
        }
    }

    /// All is sent: does what waited for that.
    #[cold]
    fn end_output(&mut self) {
        let is_finishing = matches!(self.life.stage(), Stage::Finishing(_));
        let has_ended = self.flags & EOF != 0;
        // A plain socket's peer that has closed is told by our own close.
        let is_told_by_close = is_finishing && has_ended && self.wire.transport().is_none();
        let shut = match is_told_by_close {
            true => Ok(()),
            false => self.shut_if_due(),
        };
        match shut {
            Ok(()) if self.has_output() => {} // a transport's last words
            Ok(()) => self.has_finished(has_ended),
            Err(_) if !is_finishing => {} // tried again
            // Such as a pipe, whose end is the close.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => self.has_finished(true),
            Err(_) => self.has_lost_peer(),
        }
    }

    /// Shuts the sending half, if that is due.
    pub(crate) fn shut_if_due(&mut self) -> io::Result<()> {
        if self.flags & SHUT_DUE == 0 {
            return Ok(());
        }
        let shut = self.wire.shutdown(Shutdown::Write);
        if shut.is_ok() {
            self.flags &= !SHUT_DUE;
        }
        self.send_ready(); // a transport's last words
        shut
    }

    /// Sends what is ready, once; returns how much that was. Calls neither
    /// handlers nor producers.
    pub(crate) fn send_ready(&mut self) -> usize {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let (count, len) = self.output.gather(&mut slices);
        if (count == 0 && !self.has_output()) || self.flags & UNOPENED != 0 {
            return 0;
        }
        let before = self.wire.queued();
        let left = self.left(Way::Out);
        let sent = self.wire.send_within(left, &slices[..count]);
        let sent = self.note_sent(len.min(left.unwrap_or(len)), sent);
        if self.wire.queued() < before {
            self.note_activity(); // a transport has sent what it had kept
        }
        sent
    }

    /// Takes account of an attempt to send `len` bytes, those of the queue first;
    /// returns how many were sent.
    fn note_sent(&mut self, len: usize, sent: io::Result<usize>) -> usize {
        match sent {
            Ok(sent) => {
                match sent < len {
                    true => self.flags |= BLOCKED,
                    false => self.flags &= !BLOCKED,
                }
                self.taken += sent as u64;
                self.spend(Way::Out, sent);
                if sent > 0 {
                    self.note_activity();
                }
                self.output.advance(sent.min(self.output.len()));
                return sent;
            }
            Err(_) if len == 0 && self.left(Way::Out) == Some(0) => {} // the rate, not the wire
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.flags |= BLOCKED,
            Err(error) if self.rests_after(&error) => {}
            Err(error) => self.has_failed(error),
        }
        0
    }

    pub(crate) fn takes_output(&self) -> bool {
        match self.flags & NOT_LIVE {
            0 => true,
            _ => self.connecting() && !self.closing() && self.flags & SHUT_DUE == 0,
        }
    }

    /// If `data` makes the queue long, sends what it can of both: so it is copied only if
    /// the peer is slow. Returns the rest of `data`.
    fn send_before_it_is_queued<'d>(&mut self, data: &'d [u8]) -> &'d [u8] {
        let len = self.output.len() + data.len();
        if data.is_empty() || len <= self.output.mark() || !self.takes_output() {
            return data;
        }
        self.flags |= HIGH;
        let is_too_much = len > self.limits.output;
        let may_send = self.connected() && self.flags & UNOPENED == 0;
        if !may_send || (self.flags & (BLOCKED | REST_OUT) != 0 && !is_too_much) {
            return data;
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let (count, queued) = self.output.gather(&mut slices);
        if count == MAX_SLICES || self.output.producers() > 0 || self.flags & SECURING != 0 {
            self.send_ready(); // there is more before `data`
            return data;
        }
        slices[count] = IoSlice::new(data);
        let left = self.left(Way::Out);
        let sent = self.wire.send_within(left, &slices[..=count]);
        let sent = self.note_sent(len.min(left.unwrap_or(len)), sent);
        &data[sent.saturating_sub(queued)..]
    }

    /// Whether the queue may have `left` bytes more, the end of a push of `len`. If not, the
    /// channel is cut off.
    fn bears(&mut self, len: usize, left: usize) -> bool {
        let is_borne = self.output.len() + left <= self.limits.output;
        if !is_borne {
            let lost = Unsent::bytes(left);
            match left == len {
                true => self.cut_off_for_output(lost),
                false => self.close_for_output(lost), // a goodbye would follow half a push
            }
        }
        is_borne
    }
}

/// # Output that is queued
impl Chat {
    /// Queues a copy of `data`. It is sent before the loop waits next, and the rest
    /// whenever there is room.
    ///
    /// Returns `false` if `data` is dropped: the channel is closing or closed, its
    /// sending half is [shut](Self::shutdown_when_done), sending has failed, or this push
    /// closes it. (A channel that [`ChannelMap::close`](reactor::ChannelMap::close) has
    /// closed learns of it only later, so this returns `true`.) In `handle_close`,
    /// [`unsent`](Self::unsent) counts the queued output that did not leave.
    ///
    /// If more than [`Limits::output`](crate::Limits::output) is queued, even after one
    /// more attempt to send, the queue is dropped and the channel is closed, with a
    /// [goodbye](crate::Limits::goodbye) if it has one: as
    /// [`SlowReader`](CloseReason::SlowReader) if, when the loop last went to wait, the peer
    /// had not taken all that it was offered; otherwise as
    /// [`OutputOverLimit`](CloseReason::OutputOverLimit): the program has queued more than
    /// `output` by itself, or more than [`send_rate`](crate::Limits::send_rate) lets out. Use a
    /// producer for large output. If sending fails, the queue is dropped,
    /// and the channel closes when the input that is left has been delivered.
    #[inline]
    pub fn push(&mut self, data: impl AsRef<[u8]>) -> bool {
        let data = data.as_ref();
        self.endpoint.output.push_within_room(data) || self.endpoint.push_with_care(data)
    }

    /// Queues `data` as [`push`](Self::push) does, but copies only up to 1,024 bytes.
    /// Use it for data that goes to many channels. Longer data keeps its whole allocation
    /// alive until it is sent: if it was a `String` or a `Vec`, its spare room, too.
    pub fn push_bytes(&mut self, data: impl Into<Bytes>) -> bool {
        self.endpoint.push_bytes(data)
    }

    /// Like [`push`](Self::push), but never costs the peer its channel.
    ///
    /// # Errors
    ///
    /// Hands `data` back if it does not fit below
    /// [`Limits::output`](crate::Limits::output), if sending has failed, or if the
    /// channel is closing or [shut](Self::shutdown_when_done) for sending.
    pub fn try_push<D: AsRef<[u8]>>(&mut self, data: D) -> Result<(), D> {
        self.endpoint.try_push(data)
    }

    /// Like [`push_bytes`](Self::push_bytes), but never costs the peer its channel.
    ///
    /// # Errors
    ///
    /// As [`try_push`](Self::try_push).
    pub fn try_push_bytes(&mut self, data: impl Into<Bytes>) -> Result<(), Bytes> {
        self.endpoint.try_push_bytes(data)
    }

    /// The number of queued bytes, with those of [offers](Self::offer) that wait and those
    /// that a [`Transport`](crate::Transport) keeps. Output that producers will make does not
    /// count.
    pub fn queued(&self) -> usize {
        self.endpoint.queued()
    }

    /// The number of bytes received so far, undelivered and discarded ones included.
    pub fn received(&self) -> u64 {
        self.endpoint.received()
    }

    /// The number of bytes sent so far. It grows as long as the peer takes output. Over
    /// a [`Transport`](crate::Transport) that keeps output, it is
    /// [`Transport::sent`](crate::Transport::sent).
    pub fn sent(&self) -> u64 {
        self.endpoint.sent()
    }

    /// The number of messages delivered so far, by any handler: the calls of
    /// [`found_terminator`](crate::ChatHandler::found_terminator) or
    /// [`handle_message`](crate::MessageHandler::handle_message). The one that is being
    /// delivered may not count yet.
    pub fn messages(&self) -> u64 {
        self.delivered
    }

    /// When bytes last passed, in either direction: see [`Endpoint::last_activity`].
    pub fn last_activity(&self) -> Option<Instant> {
        self.endpoint.last_activity()
    }

    /// Whether [`handle_drained`](crate::ChatHandler::handle_drained) will follow once
    /// more output is sent. More than [`Limits::high_water`](crate::Limits::high_water)
    /// was queued, or a producer, or an [offer](Self::offer) had to wait; and a producer, an
    /// offer or more than [`Limits::low_water`](crate::Limits::low_water) still is.
    ///
    /// A handler that feeds this channel from another takes no more input there until then;
    /// [`push_from`](crate::ChatMap::push_from) does that by itself. Answers to the channel's
    /// own messages need no such care: see [`set_backpressure`](Self::set_backpressure).
    pub fn needs_drain(&self) -> bool {
        self.endpoint.needs_drain()
    }

    /// Whether sending has failed. Pushed output is dropped then, and the channel closes
    /// when the input that is left has been delivered.
    pub fn output_failed(&self) -> bool {
        self.endpoint.output_failed()
    }
}

/// Pushes all of the data written, or none; a `write!` is one push. The error is
/// `BrokenPipe` where [`push`](Chat::push) returns `false`. `flush` does nothing.
///
/// ```no_run
/// # use std::io::Write;
/// # fn greet(chat: &mut chat::Chat) -> std::io::Result<()> {
/// write!(chat, "220 {} ready\r\n", "mail.example.org")?;
/// # Ok(())
/// # }
/// ```
impl Write for Chat {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.write_all(data).map(|()| data.len())
    }

    /// One push, whatever parts it is made of.
    fn write_fmt(&mut self, parts: fmt::Arguments<'_>) -> io::Result<()> {
        let mut lent = Lent::of(&self.endpoint.output);
        lent.data().write_fmt(parts)?;
        self.write_all(lent.data())
    }

    /// As `write`, which takes all data.
    fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        match self.push(data) {
            true => Ok(()),
            false => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
