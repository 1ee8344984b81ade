//! How a chat channel receives: within a turn's budget, and by messages.

use std::io;
use std::mem;
use std::time::Instant;

use reactor::{ChannelMap, CloseReason, Result};

use crate::async_chat::AsyncChat;
use crate::chat::Chat;
use crate::flags::{
    AWAITS_LAYER, BY_COUNT, DISCARDED, EOF, EOF_TOLD, Flags, GATHERS, HELD, NOT_LIVE, OVER_LIMIT,
    PARTIAL, RATED, REST_IN, UNDELIVERED,
};
use crate::framer::Frame;
use crate::handler::ChatHandler;
use crate::unread::Kept;
use crate::wire::Wire;

/// What a message costs of a turn's budget, besides its bytes.
pub(crate) const MESSAGE_COST: usize = 256;

/// What is left of a channel's turn.
#[derive(Default)]
struct Turn {
    budget: isize,
    /// Bytes of the last read.
    received: usize,
    /// There may be more.
    is_full: bool,
}

impl<H: ChatHandler> AsyncChat<H> {
    /// Reads, within a turn's budget, and delivers that.
    #[inline]
    pub(crate) fn receive(&mut self, map: &mut ChannelMap) -> Result {
        let budget = self.chat.endpoint.limits.received_per_turn;
        let mut turn = Turn {
            budget: isize::try_from(budget).unwrap_or(isize::MAX),
            ..Turn::default()
        };
        let mut buffer = map.buffers().read_buffer();
        while let Some(data) = self.chat.read(&mut buffer, &mut turn) {
            self.chat.endpoint.active = map.buffers().time();
            if !data.is_empty() || self.chat.endpoint.flags & EOF != 0 {
                self.deliver(data, None, &mut turn, map)?;
            }
            let endpoint = &mut self.chat.endpoint;
            if endpoint.flags & (EOF | NOT_LIVE) != 0 {
                if endpoint.flags & EOF != 0 {
                    return self.tell_eof(map);
                }
                endpoint.count_input(turn.received);
            }
            let has_read_ahead =
                matches!(&self.chat.endpoint.wire, Wire::Other(transport) if transport.has_input());
            if !turn.is_full && !has_read_ahead {
                break; // that was all there is
            }
            turn.budget -= turn.received as isize;
            let goes_on = map.may_continue(self.chat.endpoint.me) && self.chat.may_receive();
            if turn.budget <= 0 || !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// Delivers what is held, within a turn's budget.
    pub(crate) fn deliver_held(&mut self, map: &mut ChannelMap) -> Result {
        let held = self.chat.endpoint.unread.take();
        let budget = self.chat.endpoint.limits.received_per_turn;
        let mut turn = Turn {
            budget: isize::try_from(budget).unwrap_or(isize::MAX),
            ..Turn::default()
        };
        self.deliver(&held.data, Some(&held), &mut turn, map)
    }

    /// Cuts `rest` into messages and calls the handler with them, until the `budget` is used
    /// up; what is left is held. `whole` is the same data, if that is shared.
    #[inline(always)] // the read path then needs neither a call nor `whole`
    fn deliver(
        &mut self,
        mut rest: &[u8],
        whole: Option<&Kept>,
        turn: &mut Turn,
        map: &mut ChannelMap,
    ) -> Result {
        let mut others = self.chat.endpoint.output.others();
        let result = loop {
            let Self { chat, handler, .. } = self;
            let result = match chat.framer.next_whole(rest, &chat.endpoint.limits) {
                Some((message, behind)) => {
                    chat.left_of_read = behind.len();
                    match handler.found_message(message, chat, map) {
                        Some(result) => {
                            rest = behind;
                            turn.budget -= MESSAGE_COST as isize;
                            self.chat.delivered += 1;
                            result
                        }
                        None => {
                            rest = &rest[message.len()..];
                            self.deliver_before_end(message, rest.len(), behind.len(), map)
                        }
                    }
                }
                None => {
                    let mut left = rest; // a copy, so that `rest` itself can stay in registers
                    let delivered = self.deliver_part(&mut left, turn, map);
                    rest = left;
                    let Some(result) = delivered else {
                        break Ok(());
                    };
                    result
                }
            };
            if result.is_err() {
                break result;
            }
            let may_continue = map.may_continue(self.chat.endpoint.me);
            if turn.budget <= 0 || !(may_continue || self.goes_on_amended(&mut others, map)) {
                break Ok(());
            }
            // Nothing more is due without a flag.
            let goes_on = match self.chat.endpoint.flags {
                0 => !rest.is_empty(),
                _ => self.chat.may_deliver(rest.len(), others),
            };
            if !goes_on {
                break Ok(());
            }
        };
        self.chat.endpoint.output.count_answers(others);
        if self.chat.endpoint.flags == 0 && rest.is_empty() {
            return result;
        }
        self.chat.endpoint.judge_answers(others);
        self.chat.keep(rest, whole);
        result.and_then(|()| self.tell_over_limit(map))
    }

    /// Delivers a whole message to a handler that gets its end by a call of its own. Behind
    /// it, `left` bytes are left of the read, `behind` of them after the end.
    #[inline]
    fn deliver_before_end(
        &mut self,
        message: &[u8],
        left: usize,
        behind: usize,
        map: &mut ChannelMap,
    ) -> Result {
        let Self { chat, handler, .. } = self;
        chat.framer.reopen(left - behind);
        chat.endpoint.flags |= UNDELIVERED;
        chat.left_of_read = left;
        match message {
            [] => Ok(()),
            part => handler.collect_incoming_data(part, chat, map),
        }
    }

    /// Delivers what comes next and is no whole message; `None` if it needs more data.
    #[inline(never)]
    fn deliver_part(
        &mut self,
        rest: &mut &[u8],
        turn: &mut Turn,
        map: &mut ChannelMap,
    ) -> Option<Result> {
        let Self { chat, handler, .. } = self;
        let is_last = chat.endpoint.flags & EOF != 0;
        if chat.declares_too_much() {
            chat.left_of_read = rest.len();
            chat.endpoint.flags |= OVER_LIMIT;
            return Some(Ok(()));
        }
        let frame = chat.framer.next(rest, &chat.endpoint.limits, is_last);
        chat.left_of_read = rest.len();
        if frame.is_none() && (!rest.is_empty() || chat.framer.is_under_way()) {
            chat.begin_message(rest.len(), map); // it is kept until it is whole, or skipped
        }
        chat.await_silence(map.now());
        if chat.framer.is_due() {
            chat.endpoint.flags |= UNDELIVERED;
        }
        match frame? {
            Frame::Part(part) => {
                chat.begin_message(part.len(), map);
                Some(handler.collect_incoming_data(part, chat, map))
            }
            Frame::End => {
                turn.budget -= MESSAGE_COST as isize;
                chat.delivered += 1;
                chat.endpoint.end_message();
                Some(handler.found_terminator(chat, map))
            }
            Frame::OverLimit => {
                chat.endpoint.flags |= OVER_LIMIT;
                Some(Ok(()))
            }
            Frame::Refused(error) => Some(Err(error)),
        }
    }

    /// The message is longer than it may be: tells that, if it is to be told.
    #[cold]
    pub(crate) fn tell_over_limit(&mut self, map: &mut ChannelMap) -> Result {
        if self.due() & OVER_LIMIT == 0 || !map.may_continue(self.chat.token()) {
            return Ok(());
        }
        let others = self.chat.endpoint.output.others();
        let told = self.handler.handle_overlimit(&mut self.chat, map);
        self.chat.endpoint.judge_answers(others);
        if self.chat.endpoint.flags & OVER_LIMIT != 0 {
            // The handler does not skip it.
            self.chat.endpoint.flags &= !OVER_LIMIT;
            self.chat.close_when_done_with(CloseReason::OverLimit);
        }
        told
    }

    /// Calls `handle_eof`, if it is due.
    pub(crate) fn tell_eof(&mut self, map: &mut ChannelMap) -> Result {
        if self.due() & EOF == 0 || !map.may_continue(self.chat.token()) {
            return Ok(());
        }
        self.chat.endpoint.flags |= EOF_TOLD;
        self.chat.endpoint.forget_silence();
        self.handler.handle_eof(&mut self.chat, map)
    }
}

impl Chat {
    /// Receives, behind what the framer holds back; returns both, and whether there may be
    /// more. After the last byte, what was held back is data.
    #[inline(always)] // into `receive` of each handler's channel: one frame less
    fn read<'b>(&mut self, buffer: &'b mut [u8], turn: &mut Turn) -> Option<&'b [u8]> {
        let held = usize::from(self.framer.held);
        let size = self.endpoint.limits.in_buffer_size;
        let room = self.framer.read_len(size, turn.budget as usize);
        let room = room.min(buffer.len() - held).max(1);
        match self.endpoint.wire.recv(&mut buffer[held..held + room]) {
            Ok(len) => {
                if len == 0 {
                    self.endpoint.flags |= EOF;
                }
                self.endpoint.received += len as u64;
                (turn.received, turn.is_full) = (len, len == room);
                let data = &mut buffer[..held + len];
                let limit = self.endpoint.limits.message;
                if held > 0 && self.framer.holds_on(data, limit, len == 0) {
                    return Some(&[]);
                }
                Some(data)
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock && !self.endpoint.rests_after(&error) {
                    self.endpoint.end_input(error);
                }
                None
            }
        }
    }

    /// After a callback: whether more is delivered now, of which `left` bytes are left
    /// of the read. Of what is queued, `others` have pushed so much.
    #[cold]
    fn may_deliver(&mut self, left: usize, others: u32) -> bool {
        self.endpoint.judge_answers(others);
        let flags = self.endpoint.flags;
        // An end follows its data at once, even after a pause.
        let is_paused = flags & HELD != 0 && !self.framer.has_ended();
        !(self.closing() || is_paused)
            && flags & (OVER_LIMIT | DISCARDED) == 0
            && self.endpoint.unread.is_empty() // what was put back comes first
            && (left > 0 || self.framer.is_due() || self.declares_too_much())
    }

    /// Keeps the rest of a read that cannot be delivered now; but not for a channel
    /// that is closing, or whose buffers were discarded.
    #[cold]
    fn keep(&mut self, rest: &[u8], whole: Option<&Kept>) {
        let left = mem::take(&mut self.left_of_read);
        if left > 0 && !self.closing() {
            let rest = &rest[rest.len() - left..];
            let rest = whole.map_or_else(|| rest.to_vec().into(), |it| it.end(rest));
            self.endpoint.unread.put_behind(rest);
        }
        self.endpoint.flags &= !DISCARDED;
        self.note_held();
        self.count_kept();
    }

    /// A part of a message, so long, is delivered: its end is to follow in time.
    fn begin_message(&mut self, len: usize, map: &ChannelMap) {
        match self.message_flags() {
            0 => {}
            by => self.endpoint.begin_message(by, len, map.now()),
        }
    }

    /// The flags of a message that has begun: whether it has a deadline, and of which kind.
    pub(crate) fn message_flags(&self) -> Flags {
        let terminator = self.terminator();
        match terminator.count() {
            _ if terminator.is_none() || terminator.is_silence() => 0,
            Some(_) => PARTIAL | BY_COUNT,
            None => PARTIAL,
        }
    }

    /// A part of a message that silence ends has come.
    fn await_silence(&mut self, now: Instant) {
        if let Some(time) = self.framer.silence() {
            self.endpoint.await_silence(time, now);
        }
    }

    /// Nothing has come for the time that ends a message. What a held channel has received
    /// meanwhile belongs to it.
    pub(crate) fn end_by_silence(&mut self, now: Instant) {
        if self.endpoint.unread.is_empty() {
            self.framer.end_by_silence();
            self.note_held();
        } else {
            self.await_silence(now);
        }
    }

    /// Whether input may be received: what is held comes first.
    pub(crate) fn may_receive(&self) -> bool {
        !self.keeps_input_first() && self.is_open_for_input()
    }

    /// Whether input may be received behind that which is kept.
    pub(crate) fn may_receive_behind(&self) -> bool {
        self.keeps_input_first() && self.is_open_for_input()
    }

    /// Whether input is kept before it is delivered: until there is enough of it for a
    /// message that is delivered whole, or since it has a rate.
    fn keeps_input_first(&self) -> bool {
        let flags = self.endpoint.flags;
        flags & GATHERS != 0 || (flags & RATED != 0 && self.endpoint.has_receive_rate())
    }

    fn is_open_for_input(&self) -> bool {
        let flags = self.endpoint.flags;
        // A channel that can send nothing any more goes on receiving; one that ends does not.
        flags & (HELD | UNDELIVERED | OVER_LIMIT | EOF | REST_IN | AWAITS_LAYER) == 0
            && (flags & NOT_LIVE == 0 || (self.endpoint.receives() && !self.closing()))
    }

    /// Adds to the message of a `MessageHandler`.
    pub(crate) fn collect(&mut self, data: &[u8]) {
        let limit = self.framer.limit(self.limits());
        let room = limit.saturating_sub(self.message.len());
        if data.len() > room {
            self.endpoint.flags |= OVER_LIMIT;
        }
        self.message
            .extend_from_slice(&data[..data.len().min(room)]);
        self.count_kept();
    }

    /// Has the map's account know how much input is kept.
    pub(crate) fn count_kept(&mut self) {
        self.endpoint.count_kept(self.message.capacity());
    }
}
