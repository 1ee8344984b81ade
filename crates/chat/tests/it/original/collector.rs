//! The handler of asynchat's documents, with a record.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;

use chat::{ChannelMap, Chat, ChatHandler, CloseReason, Error, Result};

use crate::common::name;

/// The documents' two methods and the record of them. A clone is the same record.
#[derive(Clone, Default)]
pub(crate) struct Collector(Rc<RefCell<Collected>>);

#[derive(Default)]
pub(crate) struct Collected {
    /// What was collected before each terminator.
    pub(crate) contents: Vec<String>,
    /// What was collected after the last.
    pub(crate) rest: String,
    /// How many times data was collected.
    pub(crate) parts: usize,
    /// Errors, and the end.
    pub(crate) events: Vec<String>,
}

impl Collector {
    pub(crate) fn take(&self) -> Collected {
        self.0.take()
    }

    pub(crate) fn rest(&self) -> String {
        self.0.borrow().rest.clone()
    }

    pub(crate) fn contents(&self) -> Vec<String> {
        self.0.borrow().contents.clone()
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.0.borrow().events.clone()
    }
}

impl ChatHandler for Collector {
    fn collect_incoming_data(&mut self, data: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        let mut record = self.0.borrow_mut();
        record.rest.push_str(std::str::from_utf8(data)?);
        record.parts += 1;
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        let mut record = self.0.borrow_mut();
        let message = mem::take(&mut record.rest);
        record.contents.push(message);
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        let event = format!("close {}", name(&reason));
        self.0.borrow_mut().events.push(event);
    }

    fn handle_error(&mut self, error: Error, chat: &mut Chat, _: &mut ChannelMap) {
        let event = format!("error {error}");
        self.0.borrow_mut().events.push(event);
        chat.close();
    }
}
