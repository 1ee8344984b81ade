//! How a chat channel receives: within a turn's budget, and by messages.

use std::io;
use std::mem;

use bytes::Bytes;
use reactor::{ChannelMap, CloseReason, Result};

use crate::async_chat::AsyncChat;
use crate::chat::Chat;
use crate::flags::{EOF, EOF_TOLD, HELD, OVER_LIMIT, PAUSED};
use crate::framer::Frame;
use crate::handler::ChatHandler;

/// So many bytes that were pushed while a read was delivered are sent directly
/// afterwards, while the processor has them at hand. Less waits for the settle:
/// others may add to it.
const SEND_SOON: usize = 16_384;

/// What becomes of the rest of a read, after each callback.
enum Verdict {
    /// It is delivered.
    GoOn,
    /// It is kept: the handler has paused, failed or converted the channel, or
    /// has got as many messages in this turn as it may.
    Hold,
    /// It is dropped: the channel is closing, or its buffers were discarded.
    Stop,
}

impl<H: ChatHandler> AsyncChat<H> {
    /// Delivers what is held; if nothing is, reads, within a turn's budget, and
    /// delivers that.
    pub(crate) fn receive(&mut self, map: &mut ChannelMap) -> Result {
        let limits = &self.chat.endpoint.limits;
        let mut messages = limits.messages_per_turn.max(1);
        let mut reads = limits.reads_per_turn;
        let mut buffer = map.buffers().read_buffer();
        loop {
            let held = match self.chat.endpoint.flags & HELD {
                0 => None,
                _ => Some(mem::take(&mut self.chat.endpoint.unread)),
            };
            let (data, is_all) = match &held {
                Some(held) => (&held[..], true),
                None => match self.chat.read(&mut buffer) {
                    Some(read) => read,
                    None => return Ok(()),
                },
            };
            self.deliver(data, held.as_ref(), &mut messages, map)?;
            if self.chat.endpoint.flags & EOF != 0 {
                return self.tell_eof(map);
            }
            let endpoint = &mut self.chat.endpoint;
            let goes_on = map.may_continue(endpoint.me);
            if goes_on && endpoint.may_send() && endpoint.output.len() >= SEND_SOON {
                endpoint.send_piece();
            }
            reads = reads.saturating_sub(1);
            if is_all || reads == 0 || messages == 0 || !goes_on || !self.chat.may_receive() {
                return Ok(());
            }
        }
    }

    /// Cuts `data` into messages and calls the handler with them, at most
    /// `messages` times; the rest is held. `whole` is the same as `data`, if that
    /// is shared.
    fn deliver(
        &mut self,
        data: &[u8],
        whole: Option<&Bytes>,
        messages: &mut usize,
        map: &mut ChannelMap,
    ) -> Result {
        let Self { chat, handler } = self;
        let mut rest = data;
        let result = loop {
            let before = rest;
            let limit = chat.endpoint.limits.message;
            let frame = match chat.framer.next_whole(rest, limit) {
                Some((message, behind)) => {
                    rest = behind;
                    Some(Frame::Message(message))
                }
                None => {
                    let is_last = chat.endpoint.flags & EOF != 0;
                    chat.framer.next(&mut rest, limit, is_last)
                }
            };
            let Some(frame) = frame else {
                chat.undelivered = 0;
                break Ok(());
            };
            chat.undelivered = rest.len();
            let result = match frame {
                Frame::Message(message) => match handler.found_message(message, chat, map) {
                    Some(result) => {
                        *messages -= 1;
                        result
                    }
                    None => {
                        rest = &before[message.len()..];
                        chat.framer.reopen(rest.len() - chat.undelivered);
                        if message.is_empty() {
                            continue;
                        }
                        chat.undelivered = rest.len();
                        handler.collect_incoming_data(message, chat, map)
                    }
                },
                Frame::Part(part) => handler.collect_incoming_data(part, chat, map),
                Frame::End => {
                    *messages -= 1;
                    handler.found_terminator(chat, map)
                }
                Frame::OverLimit => {
                    chat.endpoint.flags |= OVER_LIMIT;
                    Ok(())
                }
            };
            match chat.verdict(result.is_ok(), rest.len(), *messages, map) {
                Verdict::GoOn if rest.is_empty() && !chat.framer.is_due() => break result,
                Verdict::GoOn => {}
                Verdict::Hold => break result,
                Verdict::Stop => {
                    chat.undelivered = 0;
                    break result;
                }
            }
        };
        if chat.endpoint.flags == 0 && chat.undelivered == 0 && !chat.framer.is_due() {
            return result;
        }
        let rest = &data[data.len() - chat.undelivered..];
        chat.hold(match whole {
            Some(whole) => whole.slice_ref(rest),
            None => Bytes::copy_from_slice(rest),
        });
        result?;
        self.tell_over_limit(map)
    }

    /// The message is longer than it may be: tells that, if it is to be told.
    pub(crate) fn tell_over_limit(&mut self, map: &mut ChannelMap) -> Result {
        if self.due() & OVER_LIMIT == 0 || !map.may_continue(self.chat.token()) {
            return Ok(());
        }
        let told = self.handler.handle_overlimit(&mut self.chat, map);
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
        self.handler.handle_eof(&mut self.chat, map)
    }
}

impl Chat {
    /// Receives, behind what the framer holds back; returns both, and whether
    /// that is all there was. After the last byte, what was held back is data.
    #[inline]
    fn read<'b>(&mut self, buffer: &'b mut [u8]) -> Option<(&'b [u8], bool)> {
        let held = self.framer.write_held(buffer);
        let size = self.endpoint.limits.in_buffer_size;
        let room = size.clamp(1, buffer.len() - held);
        match self.endpoint.receive(&mut buffer[held..held + room]) {
            Ok(len) => {
                if len == 0 {
                    self.endpoint.flags |= EOF;
                }
                Some((&buffer[..held + len], len < room))
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    self.endpoint.end_input(error);
                }
                None
            }
        }
    }

    /// After a callback: `left` bytes are left of the read, and so many messages
    /// may follow in this turn.
    #[inline]
    fn verdict(&self, is_ok: bool, left: usize, messages: usize, map: &ChannelMap) -> Verdict {
        let goes_on = is_ok && messages > 0 && map.may_continue(self.endpoint.me);
        match goes_on && self.endpoint.flags == 0 {
            true => Verdict::GoOn,
            false => self.verdict_with_care(goes_on, left),
        }
    }

    fn verdict_with_care(&self, goes_on: bool, left: usize) -> Verdict {
        if self.closing() || self.undelivered < left {
            return Verdict::Stop;
        }
        let flags = self.endpoint.flags;
        // An end follows its data at once, even after a pause.
        let is_paused = flags & PAUSED != 0 && !self.framer.has_ended();
        // What was put back comes first.
        let is_behind = !self.endpoint.unread.is_empty();
        match goes_on && !is_paused && !is_behind && flags & OVER_LIMIT == 0 {
            true => Verdict::GoOn,
            false => Verdict::Hold,
        }
    }

    /// Keeps the rest of a read that cannot be delivered now.
    fn hold(&mut self, rest: Bytes) {
        self.undelivered = 0;
        let unread = &mut self.endpoint.unread;
        match unread.is_empty() {
            true => *unread = rest,
            false => *unread = [&unread[..], &rest].concat().into(),
        }
        self.note_held();
    }

    /// Whether input may be received: what is held comes first.
    pub(crate) fn may_receive(&self) -> bool {
        let stops = PAUSED | HELD | OVER_LIMIT;
        self.endpoint.flags & stops == 0 && self.endpoint.receives() && !self.closing()
    }

    /// Adds to the message of a `MessageHandler`.
    pub(crate) fn collect(&mut self, data: &[u8]) {
        let room = self.limits().message.saturating_sub(self.message.len());
        if data.len() > room {
            self.endpoint.flags |= OVER_LIMIT;
        }
        self.message
            .extend_from_slice(&data[..data.len().min(room)]);
    }
}
