//! A handler with a time limit: a minute for each message.

use std::time::Duration;

use chat::{ChannelMap, Chat, CloseReason, MessageHandler, Result, Timer};

#[derive(Default)]
pub(crate) struct Session(Option<Timer>);

impl Session {
    fn restart(&mut self, chat: &Chat, map: &mut ChannelMap) {
        if let Some(timer) = self.0.take() {
            map.cancel(timer);
        }
        self.0 = Some(map.set_timer(chat.token(), map.now() + Duration::from_secs(60)));
    }
}

impl MessageHandler for Session {
    fn handle_connect(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.restart(chat, map);
        Ok(())
    }

    fn handle_message(&mut self, _: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.restart(chat, map);
        Ok(())
    }

    fn handle_timer(&mut self, _: Timer, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        chat.close_with(CloseReason::TimedOut);
        Ok(())
    }
}
