//! The two kinds of handlers, which do what the script says and keep a record.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;

use chat::{ChannelMap, Chat, ChatHandler, CloseReason, MessageHandler, Result};

use super::model::Event;
use super::script::{Change, Kind, Script};

pub(super) struct Record {
    script: Rc<Script>,
    events: Rc<RefCell<Vec<Event>>>,
    collected: Vec<u8>,
    /// Nothing more is to be collected of the present message.
    is_skipped: bool,
    messages: usize,
    collects: usize,
}

impl Record {
    pub(super) fn new(script: Rc<Script>) -> (Self, Rc<RefCell<Vec<Event>>>) {
        let events = Rc::default();
        let record = Self {
            script,
            events: Rc::clone(&events),
            collected: Vec::new(),
            is_skipped: false,
            messages: 0,
            collects: 0,
        };
        (record, events)
    }

    /// The message is skipped.
    pub(super) fn forget(&mut self) {
        self.collected.clear();
        self.is_skipped = true;
    }

    fn add(&self, event: Event) {
        self.events.borrow_mut().push(event);
    }

    fn collect(&mut self, data: &[u8], chat: &mut Chat) {
        assert!(!data.is_empty(), "an empty part");
        assert!(!self.is_skipped, "a part of a message that is skipped");
        self.collected.extend_from_slice(data);
        self.collects += 1;
        if self.script.skips(self.messages) {
            self.forget();
            chat.skip_message();
        }
        let each = self.script.pauses_each;
        if each > 0 && self.collects % each == 0 {
            chat.pause();
        }
    }

    fn end_message(&mut self, message: Vec<u8>, chat: &mut Chat) {
        self.add(Event::Message(message));
        self.is_skipped = false;
        let nth = self.messages;
        self.messages += 1;
        let script = Rc::clone(&self.script);
        let Some(step) = script.steps.get(nth) else {
            return;
        };
        if step.pauses {
            chat.pause();
        }
        for change in &step.changes {
            self.is_skipped |= matches!(change, Change::Skip);
            change.apply(chat);
        }
    }

    fn over_limit(&mut self, message: Vec<u8>, chat: &mut Chat) {
        self.add(Event::OverLimit(message));
        if self.script.skips_overlong {
            self.forget();
            chat.skip_message();
        }
    }

    fn eof(&self, rest: Vec<u8>, chat: &mut Chat) {
        self.add(Event::Eof(rest));
        chat.close_when_done_with(CloseReason::Eof);
    }

    fn close(&self, reason: &CloseReason) {
        self.add(Event::Close(match reason {
            CloseReason::Eof => "Eof",
            CloseReason::OverLimit => "OverLimit",
            other => panic!("closed: {other}"),
        }));
    }
}

/// A `ChatHandler`.
pub(super) struct Parts(pub(super) Record);

impl AsMut<Record> for Parts {
    fn as_mut(&mut self) -> &mut Record {
        &mut self.0
    }
}

impl ChatHandler for Parts {
    fn handle_connect(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add(Event::Connect);
        Ok(())
    }

    fn collect_incoming_data(
        &mut self,
        data: &[u8],
        chat: &mut Chat,
        _: &mut ChannelMap,
    ) -> Result {
        self.0.collect(data, chat);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        let message = mem::take(&mut self.0.collected);
        self.0.end_message(message, chat);
        Ok(())
    }

    fn found_message(
        &mut self,
        message: &[u8],
        chat: &mut Chat,
        _: &mut ChannelMap,
    ) -> Option<Result> {
        assert!(self.0.collected.is_empty(), "it is not whole");
        assert!(!self.0.is_skipped, "a message that is skipped");
        let is_collected = self.0.script.kind == Kind::Collects
            || self.0.messages % 2 == 0
            || self.0.script.skips(self.0.messages);
        if is_collected {
            return None;
        }
        self.0.end_message(message.to_vec(), chat);
        Some(Ok(()))
    }

    fn handle_overlimit(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        let message = mem::take(&mut self.0.collected);
        self.0.over_limit(message, chat);
        Ok(())
    }

    fn handle_eof(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        let rest = mem::take(&mut self.0.collected);
        self.0.eof(rest, chat);
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        self.0.close(&reason);
    }
}

/// A `MessageHandler`.
pub(super) struct Whole(pub(super) Record);

impl AsMut<Record> for Whole {
    fn as_mut(&mut self) -> &mut Record {
        &mut self.0
    }
}

impl MessageHandler for Whole {
    fn handle_connect(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add(Event::Connect);
        Ok(())
    }

    fn handle_message(&mut self, message: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.end_message(message.to_vec(), chat);
        Ok(())
    }

    fn handle_overlimit(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        let message = chat.partial_message().to_vec();
        self.0.over_limit(message, chat);
        Ok(())
    }

    fn handle_eof(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        let rest = chat.partial_message().to_vec();
        self.0.eof(rest, chat);
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        self.0.close(&reason);
    }
}
