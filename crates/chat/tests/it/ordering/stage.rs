//! Chat channels that write all they are called with into one record, over
//! lines whose other ends the test holds.

use std::time::Duration;

use chat::{
    AsyncChat, ChannelMap, Chat, CloseReason, Error, Handle, Limits, MessageHandler, Readiness,
    Result, Timer,
};

use crate::common::sim::{self, Peer};
use crate::common::{Log, name};

/// Called with the name of each callback, as it is in the record.
type Script = Box<dyn FnMut(&str, &mut Chat, &mut ChannelMap) -> Result>;

/// Records `name.callback`, plays its script, then does as the trait's
/// defaults do.
pub(crate) struct Actor {
    name: &'static str,
    log: Log,
    script: Script,
}

/// One channel on the stage.
#[derive(Clone)]
pub(crate) struct Role {
    pub(crate) me: Handle<AsyncChat<Actor>>,
    pub(crate) peer: Peer,
}

pub(crate) struct Stage {
    pub(crate) map: ChannelMap,
    pub(crate) log: Log,
}

impl Actor {
    pub(crate) fn new(
        name: &'static str,
        log: &Log,
        script: impl FnMut(&str, &mut Chat, &mut ChannelMap) -> Result + 'static,
    ) -> Self {
        Self {
            name,
            log: log.clone(),
            script: Box::new(script),
        }
    }

    fn play(&mut self, callback: &str, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.log.add(format!("{}.{callback}", self.name));
        (self.script)(callback, chat, map)
    }
}

impl MessageHandler for Actor {
    fn handle_message(&mut self, message: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.play(&format!("message {}", message.escape_ascii()), chat, map)
    }

    fn handle_connect(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.play("connect", chat, map)
    }

    fn handle_peer_finished(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.play("peer finished", chat, map)
    }

    fn handle_eof(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let tail = chat.partial_message().escape_ascii().to_string();
        let played = self.play(format!("eof {tail}").trim_end(), chat, map);
        chat.close_when_done_with(CloseReason::Eof);
        played
    }

    fn handle_overlimit(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let collected = chat.partial_message().escape_ascii().to_string();
        self.play(&format!("overlimit {collected}"), chat, map)
    }

    fn handle_drained(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.play("drained", chat, map)
    }

    fn handle_finished(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.play("finished", chat, map)
    }

    fn handle_timer(&mut self, _: Timer, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.play("timer", chat, map)
    }

    /// Stays: what comes after it is to be seen.
    fn handle_shutdown(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.play("shutdown", chat, map)
    }

    fn handle_close(&mut self, reason: CloseReason, chat: &mut Chat, map: &mut ChannelMap) {
        self.play(&format!("close {}", name(&reason)), chat, map)
            .unwrap();
    }

    fn handle_error(&mut self, error: Error, chat: &mut Chat, map: &mut ChannelMap) {
        self.play(&format!("error {error}"), chat, map).unwrap();
        chat.close_with(CloseReason::HandlerError);
    }
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            map: ChannelMap::new().unwrap(),
            log: Log::default(),
        }
    }

    /// A channel that has been connected, with nothing in the record.
    pub(crate) fn enter(
        &mut self,
        name: &'static str,
        script: impl FnMut(&str, &mut Chat, &mut ChannelMap) -> Result + 'static,
    ) -> Role {
        self.enter_limited(name, Limits::default(), script)
    }

    pub(crate) fn enter_limited(
        &mut self,
        name: &'static str,
        limits: Limits,
        script: impl FnMut(&str, &mut Chat, &mut ChannelMap) -> Result + 'static,
    ) -> Role {
        let (line, peer) = sim::line();
        let actor = Actor::new(name, &self.log, script);
        let channel = AsyncChat::over(line, "\n", actor).limited(limits);
        let me = self.map.insert(channel).unwrap();
        sim::settle(&mut self.map, me, &peer);
        self.log.take();
        Role { me, peer }
    }

    /// A channel that does nothing but to be called.
    pub(crate) fn extra(&mut self, name: &'static str) -> Role {
        self.enter(name, |_, _, _| Ok(()))
    }

    /// Has input in the next turn.
    pub(crate) fn say(&mut self, role: &Role, segment: &str) {
        role.peer.say(segment);
        self.map.dispatch(role.me, Readiness::READABLE);
    }

    /// One turn, at the time of the last; returns what it called.
    pub(crate) fn turn(&mut self) -> Vec<String> {
        self.turn_after(Duration::ZERO)
    }

    pub(crate) fn turn_after(&mut self, passed: Duration) -> Vec<String> {
        self.map.turn_at(self.map.now() + passed).unwrap();
        self.log.take()
    }

    /// Turns until nothing more happens on this channel's line.
    pub(crate) fn play_out(&mut self, role: &Role) -> Vec<String> {
        sim::settle(&mut self.map, role.me, &role.peer);
        self.log.take()
    }
}

/// Adds a line to the record from where only the map is: remote work.
pub(crate) fn note(map: &ChannelMap, role: Handle<AsyncChat<Actor>>, line: &str) {
    map.get(role).unwrap().handler.log.add(line);
}
