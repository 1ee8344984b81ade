//! Shutting down: listeners close, chats finish, and the deadline ends the rest.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use chat::socket2::{Domain, Type};
use chat::{
    AsyncChat, ChannelMap, Chat, CloseReason, Dispatcher, DispatcherHandler, Endpoint,
    MessageHandler, Result, Socket,
};

use crate::common::{self, Log, Probe, read_to_end, sim, turn_until, unix_pair};

struct Listener(Log);

impl DispatcherHandler for Listener {
    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.0
            .add(format!("close {}", crate::common::name(&reason)));
    }
}

const LATER: Duration = Duration::from_secs(60);

#[test]
fn listeners_close_at_once_and_chats_send_what_is_queued() {
    let (listener_log, chat_log) = (Log::default(), Log::default());
    let mut map = ChannelMap::new().unwrap();
    let listener = Dispatcher::listen("127.0.0.1:0", Listener(listener_log.clone()));
    map.insert(listener).unwrap();
    let (ours, mut theirs) = unix_pair();
    let mut channel = AsyncChat::new(ours, "\n", Probe::new(&chat_log));
    channel.chat.push(vec![b'x'; 1_000_000]);
    map.insert(channel).unwrap();
    map.shut_down(Instant::now() + LATER);
    map.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(listener_log.all(), ["close Shutdown"]);
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
    map.shut_down(map.now() + LATER);
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
    map.shut_down(map.now() + Duration::from_secs(5));
    sim::step_after(&mut map, me, &peer, Duration::from_secs(4));
    assert!(map.is_open(me));
    sim::step_after(&mut map, me, &peer, Duration::from_secs(1));
    assert_eq!(log.all(), ["connect", "close Shutdown"]);
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
    map.shut_down(map.now() + LATER);
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
        map.shut_down(map.now() + LATER);
        Ok(())
    });
    map.insert(AsyncChat::new(ours, "\n", probe)).unwrap();
    drop(theirs);
    map.run().unwrap();
    assert_eq!(log.count("close"), 1);
}

/// Logs the shutdown, and closes by itself if it has no word to say first.
struct Raw {
    log: Log,
    last_word: &'static [u8],
}

impl DispatcherHandler for Raw {
    fn writable(&self, _: &Endpoint) -> bool {
        !self.last_word.is_empty()
    }

    fn handle_write(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        if map.is_shutting_down() {
            endpoint.send(self.last_word)?;
            endpoint.close();
        }
        Ok(())
    }

    fn handle_shutdown(&mut self, _: &mut Endpoint, map: &mut ChannelMap) -> Result {
        assert!(map.is_shutting_down());
        self.log.add("shutdown");
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.log
            .add(format!("close {}", crate::common::name(&reason)));
    }
}

#[test]
fn a_connected_dispatcher_ends_as_a_chat_does_unless_it_says_otherwise() {
    let (plain_log, patient_log) = (Log::default(), Log::default());
    let mut map = ChannelMap::new().unwrap();
    let (plain, its_peer) = unix_pair();
    map.insert(Dispatcher::new(plain, Listener(plain_log.clone())))
        .unwrap();
    let (patient, mut theirs) = unix_pair();
    let raw = Raw {
        log: patient_log.clone(),
        last_word: b"bye",
    };
    map.insert(Dispatcher::new(patient, raw)).unwrap();
    turn_to_rest_but_for_writes(&mut map);
    assert_eq!(plain_log.len() + patient_log.len(), 0);
    map.shut_down(Instant::now() + LATER);
    assert_eq!(read_to_end(&mut map, &mut theirs), b"bye");
    assert_eq!(patient_log.all(), ["shutdown", "close Requested"]);
    assert_eq!(plain_log.len(), 0, "it waits for its peer to close, too");
    drop(its_peer);
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(plain_log.all(), ["close Shutdown"]);
}

/// `Raw` is writable all the time.
fn turn_to_rest_but_for_writes(map: &mut ChannelMap) {
    for _ in 0..3 {
        map.turn(Some(Duration::ZERO)).unwrap();
    }
}

#[test]
fn a_chat_handler_may_say_goodbye() {
    let log = Log::default();
    let (line, peer) = sim::line();
    let probe = Probe::new(&log).on_shutdown(|chat, map| {
        assert!(map.is_shutting_down());
        chat.push("421 going down\n");
        chat.close_when_done();
        Ok(())
    });
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    map.get_mut(me).unwrap().chat.push("queued\n");
    peer.set_room(0);
    sim::settle(&mut map, me, &peer);
    map.shut_down(map.now() + LATER);
    assert_eq!(log.all(), ["connect"], "not from within shut_down");
    sim::settle(&mut map, me, &peer);
    peer.set_room(100);
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent(), b"queued\n421 going down\n");
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["connect", "shutdown", "close Done"]);
    assert!(!map.is_shutting_down(), "that is over");
}

/// One that neither closes nor asks goes on until the deadline.
#[test]
fn a_chat_handler_that_does_not_close_is_served_until_the_deadline() {
    let log = Log::default();
    let (line, peer) = sim::line();
    let probe = Probe::new(&log).on_shutdown(|_, _| Ok(()));
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    sim::settle(&mut map, me, &peer);
    map.shut_down(map.now() + LATER);
    peer.say("still here\n");
    sim::settle(&mut map, me, &peer);
    map.shut_down(map.now() + LATER);
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["connect", "shutdown", "message still here"]);
    sim::step_after(&mut map, me, &peer, LATER);
    assert_eq!(log.all().last().unwrap(), "close Shutdown");
    assert!(map.is_empty());
}

#[test]
fn an_error_in_handle_shutdown_is_the_handlers() {
    let log = Log::default();
    let (line, peer) = sim::line();
    let probe = Probe::new(&log).on_shutdown(|_, _| Err("not now".into()));
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    sim::settle(&mut map, me, &peer);
    map.shut_down(map.now() + LATER);
    sim::settle(&mut map, me, &peer);
    let expected = ["connect", "shutdown", "error not now", "close HandlerError"];
    assert_eq!(log.all(), expected);
}

/// The client that is never without a connection, but for the end.
#[test]
fn a_channel_that_reconnects_asks_whether_it_should() {
    let lives = Rc::new(Cell::new(0));
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(reconnecting(&lives)).unwrap();
    map.turn(Some(Duration::ZERO)).unwrap();
    map.close(me);
    map.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!((lives.get(), map.len()), (2, 1));
    map.shut_down(Instant::now() + LATER);
    map.run().unwrap();
    assert_eq!(lives.get(), 2);
}

fn reconnecting(lives: &Rc<Cell<u32>>) -> AsyncChat<Probe> {
    lives.set(lives.get() + 1);
    let lives = Rc::clone(lives);
    let (line, peer) = sim::line();
    peer.say_eof();
    let probe = Probe::default().on_close(move |_, map| {
        if !map.is_shutting_down() {
            map.insert(reconnecting(&lives)).unwrap();
        }
    });
    let probe = probe.on_shutdown(|chat, _| {
        chat.close();
        Ok(())
    });
    AsyncChat::over(line, "\n", probe)
}

/// A handler of both kinds that leaves everything to the defaults but the record.
struct Defaults(Log);

impl MessageHandler for Defaults {
    fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        self.0.add(format!("chat: {}", common::name(&reason)));
    }
}

impl DispatcherHandler for Defaults {
    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.0.add(format!("dispatcher: {}", common::name(&reason)));
    }
}

#[test]
fn by_default_both_kinds_close_for_the_shutdown() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (chat, chats_peer) = unix_pair();
    let chat = AsyncChat::new(chat, "\n", Defaults(log.clone()));
    map.insert(chat).unwrap();
    let (raw, raws_peer) = unix_pair();
    map.insert(Dispatcher::new(raw, Defaults(log.clone())))
        .unwrap();
    map.shut_down(Instant::now() + LATER);
    drop((chats_peer, raws_peer));
    turn_until(&mut map, |map| map.is_empty());
    let mut closed = log.all();
    closed.sort();
    assert_eq!(closed, ["chat: Shutdown", "dispatcher: Shutdown"]);
}

/// Nobody waits for a connection that nobody needs any more.
#[test]
fn both_kinds_close_at_once_while_they_connect() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    // Not connected, so under way: nothing but the shutdown ends it in time.
    let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let chat = Dispatcher::new(socket(), Defaults(log.clone()));
    let chat = AsyncChat::new(chat.endpoint, "\n", Defaults(log.clone()));
    assert!(chat.chat.endpoint().connecting());
    map.insert(chat).unwrap();
    map.insert(Dispatcher::new(socket(), Defaults(log.clone())))
        .unwrap();
    map.shut_down(Instant::now() + LATER);
    map.turn_at(map.now()).unwrap();
    let mut closed = log.all();
    closed.sort();
    assert_eq!(closed, ["chat: Shutdown", "dispatcher: Shutdown"]);
}
