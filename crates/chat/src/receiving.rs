//! How a chat channel receives: within a turn's budget, and by messages.

use std::io;
use std::mem;

use bytes::Bytes;
use reactor::{ChannelMap, CloseReason, Result};

use crate::async_chat::AsyncChat;
use crate::chat::Chat;
use crate::ending::End;
use crate::framer::Frame;
use crate::handler::ChatHandler;

/// So many bytes that were pushed while a read was delivered are sent directly
/// afterwards, while the processor has them at hand. Less waits for the settle:
/// others may add to it.
const SEND_SOON: usize = 16_384;

impl<H: ChatHandler> AsyncChat<H> {
    /// Reads, within a turn's budget, and delivers.
    // Nearly all of a channel's time is spent here and in `deliver`: one frame
    // instead of three saves a tenth of its instructions.
    #[inline(always)]
    pub(crate) fn receive(&mut self, map: &mut ChannelMap) -> Result {
        self.chat.delivered = 0;
        match self.receive_once(map)? {
            Received::Some if self.may_receive_again(1, map) => self.receive_on(1, map),
            _ => Ok(()),
        }
    }

    /// The same, where so many reads have been made.
    #[inline(never)]
    pub(crate) fn receive_on(&mut self, mut reads: usize, map: &mut ChannelMap) -> Result {
        while self.receive_once(map)? == Received::Some {
            reads += 1;
            if !self.may_receive_again(reads, map) {
                break;
            }
        }
        Ok(())
    }

    fn may_receive_again(&self, reads: usize, map: &ChannelMap) -> bool {
        reads < self.chat.limits().reads_per_turn
            && !self.chat.has_delivered_enough()
            && map.may_continue(self.chat.token())
    }

    /// Reads once, and delivers.
    #[inline(always)]
    fn receive_once(&mut self, map: &mut ChannelMap) -> Result<Received> {
        if !self.chat.is_ordinary && !self.chat.may_receive() {
            return Ok(Received::All);
        }
        let mut buffer = map.buffers().read_buffer();
        let size = self.chat.limits().in_buffer_size.clamp(1, buffer.len());
        match self.chat.recv(&mut buffer[..size]) {
            Ok(0) => self.end_input(map)?,
            Ok(len) => {
                self.deliver(&buffer[..len], None, map)?;
                if self.chat.output.is_piece_of(SEND_SOON) {
                    self.send_soon(map);
                }
                if len == size {
                    return Ok(Received::Some);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.chat.close_with(CloseReason::Io(error)),
        }
        Ok(Received::All)
    }

    /// Sends much that answers a read. (What a closed channel has queued is
    /// dropped, and what a converted one has is the next one's.)
    #[inline(never)]
    fn send_soon(&mut self, map: &ChannelMap) {
        if self.chat.is_ordinary && map.may_continue(self.chat.token()) {
            self.chat.send_queued();
        }
    }

    /// Delivers what was read before, or is due without data.
    #[inline(never)]
    pub(crate) fn deliver_unread(&mut self, map: &mut ChannelMap) -> Result {
        self.chat.delivered = 0;
        while (!self.chat.endpoint.unread.is_empty() || self.chat.framer.is_due())
            && self.chat.may_deliver(map)
        {
            let unread = mem::take(&mut self.chat.endpoint.unread);
            self.deliver(&unread, Some(&unread), map)?;
            if self.chat.has_delivered_enough() {
                break;
            }
        }
        Ok(())
    }

    /// Cuts `data` into messages and calls the handler with them. What it is
    /// not to be called with any more (it closed, paused, failed or converted
    /// the channel, or has got as many in this turn as it may) is held.
    #[inline(always)]
    fn deliver(&mut self, mut data: &[u8], whole: Option<&Bytes>, map: &mut ChannelMap) -> Result {
        let Self { chat, handler } = self;
        chat.has_discarded = false;
        loop {
            let limit = chat.limits().message;
            let result = if let Some((part, rest)) = chat.framer.next_whole(data, limit) {
                data = rest;
                chat.note_delivered();
                handler.collect_and_find(part, chat, map)
            } else {
                let mut left = data;
                let frame = chat.framer.next(&mut left, limit);
                data = left;
                match frame {
                    Some(Frame::Part(part)) => handler.collect_incoming_data(part, chat, map),
                    Some(Frame::HeldPart(len)) => collect_held(handler, len, chat, map),
                    Some(Frame::End(part)) => {
                        chat.note_delivered();
                        handler.collect_and_find(part, chat, map)
                    }
                    Some(Frame::OverLimit) => {
                        chat.is_over_limit = true;
                        chat.is_ordinary = false;
                        Ok(())
                    }
                    None => break,
                }
            };
            if result.is_err() || !chat.is_ordinary {
                if chat.has_discarded {
                    data = &[];
                }
                if result.is_err() {
                    chat.hold(data, whole);
                    return result;
                }
                if chat.is_over_limit {
                    chat.hold(data, whole);
                    return self.tell_over_limit(map);
                }
                // A terminator that was changed may have put held bytes back.
                if !chat.may_deliver(map) || !chat.endpoint.unread.is_empty() {
                    chat.hold(data, whole);
                    break;
                }
            }
            if data.is_empty() && !chat.framer.is_due() {
                break;
            }
            if chat.has_delivered_enough() || !map.may_continue(chat.endpoint.me) {
                chat.hold(data, whole);
                break;
            }
        }
        Ok(())
    }

    #[cold]
    pub(crate) fn tell_over_limit(&mut self, map: &mut ChannelMap) -> Result {
        self.chat.is_over_limit = false;
        if self.chat.end != End::Open {
            return Ok(());
        }
        self.chat.has_skipped = false;
        let told = self.handler.handle_overlimit(&mut self.chat, map);
        if !self.chat.has_skipped {
            self.chat.close_when_done_with(CloseReason::OverLimit);
        }
        told
    }

    /// The peer has sent its last byte.
    #[cold]
    pub(crate) fn end_input(&mut self, map: &mut ChannelMap) -> Result {
        self.chat.endpoint.is_eof = true;
        self.chat.is_ordinary = false;
        let limit = self.chat.limits().message;
        while let Some(frame) = self.chat.framer.finish(limit) {
            match frame {
                Frame::HeldPart(len) => {
                    collect_held(&mut self.handler, len, &mut self.chat, map)?;
                }
                _ => self.chat.is_over_limit = true,
            }
            if self.chat.is_over_limit {
                return self.tell_over_limit(map);
            }
        }
        self.tell_eof(map)
    }

    pub(crate) fn tell_eof(&mut self, map: &mut ChannelMap) -> Result {
        let may_tell = self.chat.end == End::Open && map.may_continue(self.chat.token());
        if !may_tell || self.chat.endpoint.is_eof_told {
            return Ok(());
        }
        self.chat.endpoint.is_eof_told = true;
        self.handler.handle_eof(&mut self.chat, map)
    }
}

impl Chat {
    /// Puts back input that cannot be delivered now; `whole` is what it is
    /// part of, if that is shared.
    pub(crate) fn hold(&mut self, data: &[u8], whole: Option<&Bytes>) {
        if data.is_empty() || self.end != End::Open {
            return;
        }
        self.is_ordinary = false;
        let rest = match whole {
            Some(whole) => whole.slice_ref(data),
            None => Bytes::copy_from_slice(data),
        };
        let unread = &mut self.endpoint.unread;
        *unread = match unread.is_empty() {
            true => rest,
            false => [&unread[..], &rest].concat().into(),
        };
    }

    /// Whether input is wanted now.
    #[inline]
    pub(crate) fn takes_input(&self) -> bool {
        self.end == End::Open && !self.is_paused && !self.endpoint.is_eof
    }

    /// One message more. (That wraps only where a turn's limit is beyond it.)
    #[inline]
    pub(crate) fn note_delivered(&mut self) {
        self.delivered = self.delivered.wrapping_add(1);
    }

    /// Whether what is left waits for the next turn.
    #[inline]
    pub(crate) fn has_delivered_enough(&self) -> bool {
        self.delivered as usize >= self.limits().messages_per_turn
    }

    /// Whether more can be received: what is held comes first.
    pub(crate) fn may_receive(&self) -> bool {
        self.takes_input() && self.endpoint.unread.is_empty()
    }

    /// Whether input that is there may be delivered, by a channel in the middle
    /// of its callbacks.
    #[inline]
    pub(crate) fn may_deliver(&self, map: &ChannelMap) -> bool {
        self.end == End::Open && !self.is_paused && map.may_continue(self.endpoint.me)
    }

    /// Adds to the message of a `MessageHandler`.
    pub(crate) fn collect(&mut self, data: &[u8]) {
        let room = self.limits().message.saturating_sub(self.message.len());
        if data.len() > room {
            self.is_over_limit = true;
            self.is_ordinary = false;
        }
        self.message
            .extend_from_slice(&data[..data.len().min(room)]);
    }

    /// Receives from the wire.
    #[inline(always)]
    pub(crate) fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let received = self.endpoint.wire.recv(buffer)?;
        if !self.endpoint.wire.waits_for_room() {
            self.is_blocked = false; // it may have waited for this
        }
        Ok(received)
    }
}

/// How much of what there was a read has taken.
#[derive(PartialEq)]
enum Received {
    All,
    /// As much as it could: there may be more.
    Some,
}

/// Delivers the beginning of a terminator that was none.
fn collect_held<H: ChatHandler>(
    handler: &mut H,
    len: usize,
    chat: &mut Chat,
    map: &mut ChannelMap,
) -> Result {
    let terminator = chat.terminator().clone();
    match terminator.as_bytes() {
        Some(bytes) => handler.collect_incoming_data(&bytes[..len], chat, map),
        None => Ok(()),
    }
}
