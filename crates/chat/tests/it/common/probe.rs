//! A handler that keeps a record and does as each test says.

use chat::{ChannelMap, Chat, CloseReason, Error, MessageHandler, Result, Timer};

use super::{Log, name};

type Hook = Box<dyn FnMut(&mut Chat, &mut ChannelMap) -> Result>;
type MessageHook = Box<dyn FnMut(&[u8], &mut Chat, &mut ChannelMap) -> Result>;
type ErrorHook = Box<dyn FnMut(&mut Chat, &mut ChannelMap)>;

/// Records every callback; does what the trait's default does unless a hook
/// says otherwise.
#[derive(Default)]
pub(crate) struct Probe {
    pub(crate) log: Log,
    message: Option<MessageHook>,
    connect: Option<Hook>,
    convert: Option<Hook>,
    peer_finished: Option<Hook>,
    eof: Option<Hook>,
    overlimit: Option<Hook>,
    drained: Option<Hook>,
    shutdown: Option<Hook>,
    close: Option<ErrorHook>,
    error: Option<ErrorHook>,
}

impl Probe {
    pub(crate) fn new(log: &Log) -> Self {
        Self {
            log: log.clone(),
            ..Self::default()
        }
    }

    pub(crate) fn on_message(
        mut self,
        hook: impl FnMut(&[u8], &mut Chat, &mut ChannelMap) -> Result + 'static,
    ) -> Self {
        self.message = Some(Box::new(hook));
        self
    }

    pub(crate) fn on_connect(
        mut self,
        hook: impl FnMut(&mut Chat, &mut ChannelMap) -> Result + 'static,
    ) -> Self {
        self.connect = Some(Box::new(hook));
        self
    }

    pub(crate) fn on_convert(
        mut self,
        hook: impl FnMut(&mut Chat, &mut ChannelMap) -> Result + 'static,
    ) -> Self {
        self.convert = Some(Box::new(hook));
        self
    }

    pub(crate) fn on_peer_finished(
        mut self,
        hook: impl FnMut(&mut Chat, &mut ChannelMap) -> Result + 'static,
    ) -> Self {
        self.peer_finished = Some(Box::new(hook));
        self
    }

    pub(crate) fn on_eof(
        mut self,
        hook: impl FnMut(&mut Chat, &mut ChannelMap) -> Result + 'static,
    ) -> Self {
        self.eof = Some(Box::new(hook));
        self
    }

    pub(crate) fn on_overlimit(
        mut self,
        hook: impl FnMut(&mut Chat, &mut ChannelMap) -> Result + 'static,
    ) -> Self {
        self.overlimit = Some(Box::new(hook));
        self
    }

    pub(crate) fn on_drained(
        mut self,
        hook: impl FnMut(&mut Chat, &mut ChannelMap) -> Result + 'static,
    ) -> Self {
        self.drained = Some(Box::new(hook));
        self
    }

    pub(crate) fn on_shutdown(
        mut self,
        hook: impl FnMut(&mut Chat, &mut ChannelMap) -> Result + 'static,
    ) -> Self {
        self.shutdown = Some(Box::new(hook));
        self
    }

    pub(crate) fn on_close(
        mut self,
        hook: impl FnMut(&mut Chat, &mut ChannelMap) + 'static,
    ) -> Self {
        self.close = Some(Box::new(hook));
        self
    }

    pub(crate) fn on_error(
        mut self,
        hook: impl FnMut(&mut Chat, &mut ChannelMap) + 'static,
    ) -> Self {
        self.error = Some(Box::new(hook));
        self
    }
}

impl MessageHandler for Probe {
    fn handle_message(&mut self, message: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.log.add(format!("message {}", message.escape_ascii()));
        match &mut self.message {
            Some(hook) => hook(message, chat, map),
            None => Ok(()),
        }
    }

    fn handle_connect(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.log.add("connect");
        match &mut self.connect {
            Some(hook) => hook(chat, map),
            None => Ok(()),
        }
    }

    fn handle_convert(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.log.add("convert");
        match &mut self.convert {
            Some(hook) => hook(chat, map),
            None => Ok(()),
        }
    }

    fn handle_peer_finished(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.log.add("peer finished");
        match &mut self.peer_finished {
            Some(hook) => hook(chat, map),
            None => Ok(()),
        }
    }

    fn handle_eof(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let tail = chat.partial_message().escape_ascii();
        self.log.add(format!("eof {tail}").trim_end());
        match &mut self.eof {
            Some(hook) => hook(chat, map),
            None => {
                chat.close_when_done_with(CloseReason::Eof);
                Ok(())
            }
        }
    }

    fn handle_overlimit(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.log.add("overlimit");
        match &mut self.overlimit {
            Some(hook) => hook(chat, map),
            None => Ok(()),
        }
    }

    fn handle_drained(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.log.add("drained");
        match &mut self.drained {
            Some(hook) => hook(chat, map),
            None => Ok(()),
        }
    }

    fn handle_timer(&mut self, _: Timer, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.log.add("timer");
        Ok(())
    }

    /// With a hook only, the record has it.
    fn handle_shutdown(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        match &mut self.shutdown {
            Some(hook) => {
                self.log.add("shutdown");
                hook(chat, map)
            }
            None => {
                chat.close_when_done();
                Ok(())
            }
        }
    }

    fn handle_close(&mut self, reason: CloseReason, chat: &mut Chat, map: &mut ChannelMap) {
        self.log.add(format!("close {}", name(&reason)));
        if let Some(hook) = &mut self.close {
            hook(chat, map);
        }
    }

    fn handle_error(&mut self, error: Error, chat: &mut Chat, map: &mut ChannelMap) {
        self.log.add(format!("error {error}"));
        match &mut self.error {
            Some(hook) => hook(chat, map),
            None => chat.close_with(CloseReason::HandlerError),
        }
    }
}
