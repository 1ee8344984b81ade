//! A goodbye that a transport has taken, and not sent yet: it stays the last word.

use std::io;
use std::time::Duration;

use chat::{
    AsyncChat, ChannelMap, Chat, ChatMap, CloseReason, Limits, MessageHandler, More, Producer,
    Readiness, Result, Timer,
};

use crate::common::sim::{self, Peer};
use crate::common::{Log, name};

/// Nothing yet.
struct Later;

impl Producer for Later {
    fn more(&mut self, _: &mut Vec<u8>, _: usize) -> io::Result<More> {
        Ok(More::Later)
    }
}

/// Pushes to itself when its timer is due.
struct Member(Log);

impl MessageHandler for Member {
    fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        Ok(())
    }

    fn handle_timer(&mut self, _: Timer, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        map.push(chat.token(), "AFTER")?;
        Ok(())
    }

    fn handle_finished(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add("finished");
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, chat: &mut Chat, _: &mut ChannelMap) {
        let unsent = chat.unsent();
        self.0.add(format!(
            "close {} unsent {} {}",
            name(&reason),
            unsent.bytes,
            unsent.producers
        ));
    }
}

/// A slow reader that is cut off behind producers which have made nothing: the transport
/// keeps its goodbye.
fn cut_off(log: &Log) -> (ChannelMap, chat::Token, Peer) {
    let (line, peer) = sim::line();
    peer.use_buffer();
    peer.set_room(0);
    let mut limits = Limits::default();
    limits.producers = 1;
    limits.goodbye = "BYE".into();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::over(line, "\n", Member(log.clone())).limited(limits);
    let me = map.insert(channel).unwrap();
    sim::settle(&mut map, me, &peer);
    let chat = map.chat_mut(me).unwrap();
    chat.push_with_producer(Later);
    chat.push_with_producer(Later);
    sim::settle(&mut map, me, &peer);
    (map, me.token(), peer)
}

#[test]
fn nothing_follows_it_and_what_it_replaced_stays_lost() {
    let log = Log::default();
    let (mut map, me, peer) = cut_off(&log);
    map.set_timer(me, map.now());
    sim::settle(&mut map, me, &peer);
    peer.set_room(usize::MAX);
    peer.say_eof();
    for _ in 0..4 {
        map.dispatch(me, Readiness::READABLE | Readiness::WRITABLE);
        map.turn_at(map.now() + Duration::from_millis(1)).unwrap();
    }
    assert_eq!(peer.take_sent(), b"BYE");
    assert_eq!(log.all(), ["close OutputOverLimit unsent 5 2"]);
}

#[test]
fn it_is_said_once_even_if_the_map_is_shut_down_meanwhile() {
    let log = Log::default();
    let (mut map, me, peer) = cut_off(&log);
    peer.set_room(usize::MAX);
    map.close_with(me, CloseReason::Shutdown);
    map.turn_at(map.now()).unwrap();
    assert_eq!(peer.take_sent(), b"BYE");
    assert_eq!(log.len(), 1);
}
