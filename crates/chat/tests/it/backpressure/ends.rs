//! What ends such a hold but a peer that reads, and how it is switched off.

use std::cell::Cell;
use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;

use chat::{
    AsyncChat, ChannelMap, Chat, CloseReason, Dispatcher, Hold, IterProducer, Limits,
    MessageHandler, Result, Socket, Token,
};

use super::{HIGH, LOW, answering, chat};
use crate::common::part::{Part, Record};
use crate::common::sim::{self, Peer};
use crate::common::{Log, Probe, tcp_pair, turn_to_rest, turn_until};

#[test]
fn a_failed_send_releases_it_and_the_rest_is_delivered() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = answering(HIGH + 1, &mut map, &log);
    peer.set_room(0);
    peer.say("one\ntwo\nthree\n");
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["message one"]);
    peer.fail_sends(ErrorKind::BrokenPipe);
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["message one", "message two", "message three"]);
    assert!(map.is_open(me), "it reads on");
    peer.say("four\n");
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(
        log.all()[3..],
        ["message four", "eof", "close Io(BrokenPipe)"]
    );
}

/// The channel had received all that there was, or no more than it may.
#[test]
fn a_failed_send_costs_no_last_words() {
    for held in [Limits::default().held, 0] {
        let mut map = ChannelMap::new().unwrap();
        let log = Log::default();
        let (me, peer) = answering(HIGH + 1, &mut map, &log);
        let mut limits = Limits::default();
        limits.held = held;
        chat(&mut map, me).set_limits(limits);
        peer.set_room(0);
        peer.say("one\n");
        sim::settle(&mut map, me, &peer);
        peer.fail_sends(ErrorKind::BrokenPipe);
        sim::settle(&mut map, me, &peer);
        assert!(map.is_open(me), "{held}");
        peer.say("two\n");
        peer.say_eof();
        sim::settle(&mut map, me, &peer);
        let expected = ["message one", "message two", "eof", "close Io(BrokenPipe)"];
        assert_eq!(log.all(), expected);
    }
}

#[test]
fn a_reset_releases_it_and_the_held_input_is_delivered() {
    let log = Log::default();
    let probe = Probe::new(&log).on_message(|_, chat, _| {
        chat.push_with_producer(IterProducer::new(std::iter::repeat([0; 60_000])));
        Ok(())
    });
    let (ours, mut theirs) = tcp_pair();
    let mut map = ChannelMap::new().unwrap();
    map.insert(AsyncChat::new(ours, "\n", probe)).unwrap();
    theirs.write_all(&b"?\n".repeat(30)).unwrap();
    turn_until(&mut map, |_| log.count("message ?") == 17);
    turn_to_rest(&mut map);
    assert_eq!(log.count("message ?"), 17);
    let theirs = Socket::from(theirs);
    theirs.set_linger(Some(Duration::ZERO)).unwrap();
    drop(theirs);
    turn_until(&mut map, |map| map.is_empty());
    turn_to_rest(&mut map);
    assert_eq!(log.count("message ?"), 30);
    let last = log.all().pop().unwrap();
    assert!(last.starts_with("close Io("), "{last}");
}

#[test]
fn a_programs_own_hold_and_backpressure_do_not_end_each_other() {
    const MINE: Hold = Hold::new(6);
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = answering(HIGH + 1, &mut map, &log);
    let count = |log: &Log, map: &mut ChannelMap, room: usize| {
        peer.set_room(room);
        sim::settle(map, me, &peer);
        (log.count("message ?"), chat(map, me).is_held())
    };
    peer.say("?\n".repeat(5));
    assert_eq!(count(&log, &mut map, 0), (1, false));
    chat(&mut map, me).release(MINE);
    chat(&mut map, me).resume();
    assert_eq!(count(&log, &mut map, 0), (1, false), "no hold of theirs");
    chat(&mut map, me).hold(MINE);
    assert_eq!(count(&log, &mut map, usize::MAX), (1, true));
    assert_eq!(chat(&mut map, me).queued(), 0);
    peer.set_room(0);
    chat(&mut map, me).release(MINE);
    assert_eq!(count(&log, &mut map, 0), (2, false));
    chat(&mut map, me).pause();
    chat(&mut map, me).resume();
    assert_eq!(count(&log, &mut map, HIGH - LOW), (2, false));
    assert_eq!(count(&log, &mut map, 1), (3, false));
}

#[test]
fn it_can_be_switched_off_and_a_channel_that_connects_has_none() {
    let answers = |channel: &mut AsyncChat<Probe>| {
        let probe = std::mem::take(&mut channel.handler);
        channel.handler = probe.on_message(|_, chat, _| {
            chat.push(vec![b'a'; 100_000]);
            Ok(())
        });
    };
    let over = |peer_of: &mut Option<Peer>| {
        let (line, peer) = sim::line();
        *peer_of = Some(peer);
        AsyncChat::over(line, "\n", Probe::default())
    };
    for is_on in [true, false] {
        let mut peer = None;
        let mut channel = over(&mut peer).with_backpressure(is_on);
        answers(&mut channel);
        let log = channel.handler.log.clone();
        let peer = peer.unwrap();
        peer.set_room(0);
        let mut map = ChannelMap::new().unwrap();
        let me = map.insert(channel).unwrap();
        peer.say("?\n".repeat(10));
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.count("message ?"), if is_on { 1 } else { 10 });
        chat(&mut map, me).set_backpressure(false);
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.count("message ?"), 10, "switching it off releases");
        chat(&mut map, me).set_backpressure(true);
        peer.say("?\n".repeat(10));
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.count("message ?"), 11);
    }

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut map = ChannelMap::new().unwrap();
    for is_on in [None, Some(true)] {
        let address = listener.local_addr().unwrap();
        let mut channel = AsyncChat::connect(address, "\n", Probe::default());
        if let Some(is_on) = is_on {
            channel = channel.with_backpressure(is_on);
        }
        answers(&mut channel);
        let log = channel.handler.log.clone();
        map.insert(channel).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(&b"?\n".repeat(75)).unwrap();
        turn_until(&mut map, |_| log.count("message ?") > 0);
        turn_to_rest(&mut map);
        // 7.5 MB, of which the kernel takes a part.
        assert_eq!(log.count("message ?") == 75, is_on.is_none());
    }
}

/// A handler that is swapped is held still; another channel type is not, but the setting
/// goes along.
#[test]
fn a_conversion_takes_it_along_or_ends_it() {
    for is_on in [true, false] {
        let record = Record::default();
        let part = |count: usize| {
            Part::<0>::new(&record).on_event(move |what, side, _| {
                if what.starts_with("line") {
                    side.push(vec![b'a'; count]);
                }
                false
            })
        };
        let (line, peer) = sim::line();
        let mut map = ChannelMap::new().unwrap();
        let channel = AsyncChat::over(line, "\r\n", part(HIGH + 1));
        let me = map.insert(channel.with_backpressure(is_on)).unwrap();
        sim::settle(&mut map, me, &peer);
        peer.set_room(0);
        peer.say("1\r\n2\r\n3\r\n4\r\n");
        let input = |map: &mut ChannelMap, me: Token| {
            sim::settle(map, me, &peer);
            record.input_of(0).len()
        };
        if !is_on {
            assert_eq!(input(&mut map, me.token()), 12);
            continue;
        }
        assert_eq!(input(&mut map, me.token()), 3);
        map.convert(me, move |channel| channel.with_handler(|part| part))
            .unwrap();
        assert_eq!(input(&mut map, me.token()), 3, "held still");
        let silent = Part::<0>::new(&record);
        map.convert(me, |channel| {
            AsyncChat::new(channel.chat.into_endpoint(), "\r\n", silent)
        })
        .unwrap();
        assert_eq!(
            input(&mut map, me.token()),
            6,
            "its old answers still outrun"
        );
        peer.set_room(HIGH);
        assert_eq!(input(&mut map, me.token()), 12);
    }
    // The setting is the endpoint's, whatever channel it was in.
    let (line, peer) = sim::line();
    let log = Log::default();
    let probe = Probe::new(&log).on_message(|_, chat, _| {
        chat.push(vec![b'a'; HIGH + 1]);
        Ok(())
    });
    let off = AsyncChat::over(line, "\n", ()).with_backpressure(false);
    let raw = Dispatcher::new(off.chat.into_endpoint(), ());
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(AsyncChat::new(raw.endpoint, "\n", probe))
        .unwrap();
    peer.set_room(0);
    peer.say("?\n?\n?\n");
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.count("message ?"), 3);
}

/// One end of a connection on which both ask and both answer.
struct Asking {
    left: Rc<Cell<usize>>,
}

const QUESTION: usize = 1_000;

impl MessageHandler for Asking {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        match line[0] {
            b'?' => {
                chat.push([b"!", &line[1..], b"\n"].concat());
            }
            _ => {
                self.left.set(self.left.get() - 1);
                if self.left.get() == 0 {
                    chat.shutdown_when_done();
                }
            }
        }
        Ok(())
    }

    fn handle_eof(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        chat.close_when_done_with(CloseReason::Eof);
        Ok(())
    }
}

#[test]
fn two_peers_that_ask_and_answer_on_one_connection_both_finish() {
    const COUNT: usize = 10_000;
    let mut limits = Limits::default();
    limits.output = 64 << 20;
    let limits = Rc::new(limits);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let lefts = [Rc::new(Cell::new(COUNT)), Rc::new(Cell::new(COUNT))];
    let asking = |nth: usize| Asking {
        left: Rc::clone(&lefts[nth]),
    };
    let mut map = ChannelMap::new().unwrap();
    let mut insert = |mut channel: AsyncChat<Asking>| {
        for _ in 0..COUNT {
            channel.chat.push("?");
            channel.chat.push([b'q'; QUESTION - 2]);
            channel.chat.push("\n");
        }
        map.insert(channel).unwrap();
    };
    let limited = |channel: AsyncChat<Asking>| channel.limited(Rc::clone(&limits));
    insert(limited(AsyncChat::connect(address, "\n", asking(0))));
    let (accepted, _) = listener.accept().unwrap();
    insert(limited(AsyncChat::new(accepted, "\n", asking(1))));
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(lefts.map(|left| left.get()), [0, 0]);
}
