//! A peer that has ended its input, and output that gets nowhere.

use std::cell::RefCell;
use std::rc::Rc;

use chat::{
    AsyncChat, ChannelMap, Chat, CloseReason, Dispatcher, DispatcherHandler, Endpoint, Limits,
    MessageHandler, More, Producer, Result,
};

use crate::common::unix_pair;

/// Goes on after the end of its input.
#[derive(Clone, Default)]
struct Patient(Rc<RefCell<Vec<String>>>);

impl MessageHandler for Patient {
    fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        Ok(())
    }

    fn handle_eof(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.borrow_mut().push("eof".to_owned());
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        self.0.borrow_mut().push(format!("{reason:?}"));
    }
}

impl DispatcherHandler for Patient {
    fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        endpoint.recv(&mut [0; 9])?;
        Ok(())
    }

    fn handle_eof(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.0.borrow_mut().push("eof".to_owned());
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.0.borrow_mut().push(format!("{reason:?}"));
    }
}

struct Later;

impl Producer for Later {
    fn more(&mut self, _: &mut Vec<u8>, _: usize) -> std::io::Result<More> {
        Ok(More::Later)
    }
}

#[test]
fn after_the_peers_end_a_producer_that_says_later_has_a_time() {
    for is_chat in [true, false] {
        let (ours, theirs) = unix_pair();
        let handler = Patient::default();
        let record = Rc::clone(&handler.0);
        let mut map = ChannelMap::new().unwrap();
        if is_chat {
            let mut channel = AsyncChat::new(ours, "\n", handler);
            channel.chat.push_with_producer(Later);
            map.insert(channel).unwrap();
        } else {
            let mut channel = Dispatcher::new(ours, handler);
            channel.endpoint.push_with_producer(Later);
            map.insert(channel).unwrap();
        }
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        while record.borrow().is_empty() {
            map.turn(None).unwrap();
        }
        map.turn_at(map.now()).unwrap();
        let due = map.now() + Limits::DEFAULT.stall;
        map.turn_at(due - Limits::DEFAULT.stall / 2).unwrap();
        assert_eq!(*record.borrow(), ["eof"], "chat: {is_chat}");
        for _ in 0..3 {
            map.turn_at(due).unwrap();
        }
        assert_eq!(
            *record.borrow(),
            ["eof", "Missed(Stall)"],
            "chat: {is_chat}"
        );
    }
}
