//! Draining: listeners close, chats finish, and the deadline ends the rest.

mod common;

use std::time::{Duration, Instant};

use chat::{AsyncChat, ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint};

use common::sim;
use common::{Log, Probe, read_to_end, turn_until, unix_pair};

struct Listener(Log);

impl DispatcherHandler for Listener {
    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.0.add(format!("close {}", common::name(&reason)));
    }
}

const LATER: Duration = Duration::from_secs(60);

#[test]
fn listeners_close_at_once_and_chats_send_what_is_queued() {
    let (listener_log, chat_log) = (Log::default(), Log::default());
    let mut map = ChannelMap::new().unwrap();
    let listener = Dispatcher::listen("127.0.0.1:0", Listener(listener_log.clone())).unwrap();
    map.insert(listener).unwrap();
    let (ours, mut theirs) = unix_pair();
    let mut channel = AsyncChat::new(ours, "\n", Probe::new(&chat_log)).unwrap();
    channel.chat.push(vec![b'x'; 1_000_000]);
    map.insert(channel).unwrap();
    map.drain(Instant::now() + LATER);
    map.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(listener_log.all(), ["close Drained"]);
    assert_eq!(read_to_end(&mut map, &mut theirs).len(), 1_000_000);
    drop(theirs);
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(chat_log.all(), ["close Done"]);
}

#[test]
fn input_is_not_delivered_any_more() {
    let log = Log::default();
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(AsyncChat::over(line, "\n", Probe::new(&log)))
        .unwrap();
    sim::settle(&mut map, me, &peer);
    map.drain(map.now() + LATER);
    peer.say("too late\n");
    sim::settle(&mut map, me, &peer);
    assert!(peer.is_shut());
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["connect", "close Done"]);
}

#[test]
fn what_is_left_at_the_deadline_is_closed() {
    let log = Log::default();
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(AsyncChat::over(line, "\n", Probe::new(&log)))
        .unwrap();
    sim::settle(&mut map, me, &peer);
    peer.set_room(0);
    map.get_mut(me).unwrap().chat.push("never taken");
    map.drain(map.now() + Duration::from_secs(5));
    sim::step_after(&mut map, me, &peer, Duration::from_secs(4));
    assert!(map.is_open(me));
    sim::step_after(&mut map, me, &peer, Duration::from_secs(1));
    assert_eq!(log.all(), ["connect", "close Drained"]);
    assert!(map.is_empty());
}

/// A connection that is still being made has nothing to finish.
#[test]
fn a_channel_that_is_inserted_while_draining_is_drained_too() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (line, peer) = sim::line();
    let first = map
        .insert(AsyncChat::over(line, "\n", Probe::default()))
        .unwrap();
    sim::settle(&mut map, first, &peer);
    map.drain(map.now() + LATER);
    let (line, peer) = sim::line();
    let mut late = AsyncChat::over(line, "\n", Probe::new(&log));
    late.chat.push("sorry");
    let late = map.insert(late).unwrap();
    sim::settle(&mut map, late, &peer);
    assert_eq!(peer.take_sent(), b"sorry");
    peer.say_eof();
    sim::settle(&mut map, late, &peer);
    assert_eq!(log.all(), ["close Done"]);
}

#[test]
fn run_returns_when_all_is_drained() {
    let log = Log::default();
    let (ours, theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let probe = Probe::new(&log).on_connect(|chat, map| {
        chat.push("the last word");
        map.drain(map.now() + LATER);
        Ok(())
    });
    map.insert(AsyncChat::new(ours, "\n", probe).unwrap())
        .unwrap();
    drop(theirs);
    map.run().unwrap();
    assert_eq!(log.count("close"), 1);
}
