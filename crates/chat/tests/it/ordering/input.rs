//! The order of what one channel hears of its connection.

use std::cell::RefCell;
use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::rc::Rc;

use chat::{
    Address, AsyncChat, ChannelMap, Chat, ChatHandler, Dispatcher, DispatcherHandler, Endpoint,
    Handle, Limits, Readiness, Result, SimpleProducer, Stream, Terminator,
};

use crate::common::sim::{self, Peer};
use crate::common::{Log, Witness, opened, turn_until};
use crate::ordering::stage::{Actor, Stage};

fn actor(log: &Log) -> Actor {
    Actor::new("a", log, |_, _, _| Ok(()))
}

/// Makes an actor of each connection.
struct Door(Log);

impl DispatcherHandler for Door {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        _: Address,
        _: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        map.insert(AsyncChat::new(stream, "\n", actor(&self.0)))?;
        Ok(())
    }
}

/// What a peer says that was quicker, and is gone.
fn say_and_leave(mut socket: TcpStream) {
    socket.write_all(b"hello\n").unwrap();
    socket.shutdown(Shutdown::Both).unwrap();
}

#[test]
fn handle_connect_comes_before_any_input() {
    let expected = ["a.connect", "a.message hello", "a.eof"];
    let heard = |log: &Log, map: &mut ChannelMap| {
        turn_until(map, |_| log.has("a.eof"));
        assert_eq!(log.all()[..3], expected);
    };

    // Inserted connected.
    let (log, mut map) = (Log::default(), ChannelMap::new().unwrap());
    let (line, peer) = sim::line();
    peer.say("hello\n");
    peer.say_eof();
    let me = map
        .insert(AsyncChat::over(line, "\n", actor(&log)))
        .unwrap();
    map.dispatch(me, Readiness::READABLE);
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all()[..3], expected);

    // A dispatcher.
    let (log, mut map) = (Log::default(), ChannelMap::new().unwrap());
    let (line, peer) = sim::line();
    peer.say("hello\n");
    peer.say_eof();
    let me = map.insert(Dispatcher::over(line, Witness::new(&log)));
    let me = me.unwrap();
    map.dispatch(me, Readiness::READABLE | Readiness::WRITABLE);
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all()[..3], ["connect", "read hello\\n", "eof"]);

    // Connecting.
    let (log, mut map) = (Log::default(), ChannelMap::new().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let channel = opened(AsyncChat::connect(address, "\n", actor(&log))).unwrap();
    say_and_leave(listener.accept().unwrap().0);
    map.insert(channel).unwrap();
    heard(&log, &mut map);

    // Accepted.
    let (log, mut map) = (Log::default(), ChannelMap::new().unwrap());
    let door = opened(Dispatcher::listen("127.0.0.1:0", Door(log.clone()))).unwrap();
    let address = door.endpoint.local_addr().unwrap().as_inet().unwrap();
    map.insert(door).unwrap();
    say_and_leave(TcpStream::connect(address).unwrap());
    heard(&log, &mut map);
}

/// What was collected, and a bar for each end of a message.
#[derive(Clone, Default)]
struct Heard(Rc<RefCell<String>>);

struct Parts {
    heard: Heard,
    /// Pauses wherever there is data.
    pauses: bool,
    /// The terminator to set at the first data.
    next: Option<&'static str>,
}

impl ChatHandler for Parts {
    fn collect_incoming_data(
        &mut self,
        data: &[u8],
        chat: &mut Chat,
        _: &mut ChannelMap,
    ) -> Result {
        *self.heard.0.borrow_mut() += std::str::from_utf8(data)?;
        if self.pauses {
            chat.pause();
        }
        if let Some(terminator) = self.next.take() {
            chat.set_terminator(terminator);
        }
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        self.heard.0.borrow_mut().push('|');
        if chat.terminator().as_bytes().is_none() {
            chat.set_terminator(3); // a number is for one message
        }
        Ok(())
    }
}

impl Parts {
    fn new(heard: &Heard) -> Self {
        Self {
            heard: heard.clone(),
            pauses: false,
            next: None,
        }
    }
}

/// `handler`'s channel, whose peer has said so in so many segments.
fn told(
    handler: Parts,
    terminator: impl Into<Terminator>,
    segments: &[&str],
) -> (ChannelMap, Handle<AsyncChat<Parts>>, Peer) {
    let (line, peer) = sim::line();
    for segment in segments {
        peer.say(segment);
    }
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::over(line, terminator, handler);
    let me = map.insert(channel).unwrap();
    sim::settle(&mut map, me, &peer);
    (map, me, peer)
}

/// Every way to cut `text` into at most three.
fn cuts(text: &str) -> impl Iterator<Item = [&str; 3]> {
    (0..text.len()).flat_map(move |first| {
        let (front, rest) = text.split_at(first);
        (0..rest.len()).map(move |second| {
            let (middle, back) = rest.split_at(second);
            [front, middle, back]
        })
    })
}

#[test]
fn collect_comes_before_found_and_both_as_the_bytes_came() {
    let by_string: (Terminator, _) = ("\r\n".into(), "one\r\ntwo\r\n\r\nsix\r\nrest");
    let by_number: (Terminator, _) = (3.into(), "onetwosixre");
    for ((terminator, text), expected) in [
        (by_string, "one|two||six|rest"),
        (by_number, "one|two|six|re"),
    ] {
        for segments in cuts(text) {
            let heard = Heard::default();
            told(Parts::new(&heard), terminator.clone(), &segments);
            assert_eq!(*heard.0.borrow(), expected, "{segments:?}");
        }
    }
}

/// What had been taken for a terminator, or for its beginning, is input again.
#[test]
fn bytes_keep_their_order_when_the_terminator_changes_among_them() {
    for segments in cuts("aaab.aab.") {
        let heard = Heard::default();
        let mut handler = Parts::new(&heard);
        handler.next = Some(".");
        told(handler, "aab", &segments);
        assert_eq!(*heard.0.borrow(), "aaab|aab|", "{segments:?}");
    }
}

#[test]
fn found_terminator_follows_the_last_data_even_after_a_pause_in_it() {
    for (terminator, text) in [(Terminator::from("\n"), "one\ntwo\n"), (3.into(), "onetwo")] {
        let heard = Heard::default();
        let mut handler = Parts::new(&heard);
        handler.pauses = true;
        let (mut map, me, peer) = told(handler, terminator, &[text]);
        assert_eq!(*heard.0.borrow(), "one|");
        map.get_mut(me).unwrap().chat.resume();
        sim::settle(&mut map, me, &peer);
        assert_eq!(*heard.0.borrow(), "one|two|");
    }
}

/// Held by a pause, or by the turn's budget.
#[test]
fn what_was_held_comes_before_what_is_received_afterwards_and_eof_comes_last() {
    for pauses in [false, true] {
        let mut limits = Limits::default();
        limits.received_per_turn = 1;
        let mut stage = Stage::new();
        let a = stage.enter_limited("a", limits, move |callback, chat, _| {
            if pauses && callback.starts_with("message") {
                chat.pause();
            }
            Ok(())
        });
        stage.say(&a, "1\n2\n3\n4\n5\n6");
        let mut record = stage.turn();
        assert_eq!(record, ["a.message 1"]);
        a.peer.say("\n7\nrest");
        a.peer.say_eof();
        for _ in 0..8 {
            if let Ok(channel) = stage.map.get_mut(a.me) {
                channel.chat.resume();
            }
            record.extend(stage.play_out(&a));
        }
        record.retain(|callback| callback != "a.peer finished");
        let mut expected: Vec<_> = (1..=7).map(|nth| format!("a.message {nth}")).collect();
        expected.extend(["a.eof rest", "a.finished", "a.close Eof"].map(String::from));
        assert_eq!(record, expected);
    }
}

#[test]
fn peer_finished_comes_while_input_is_held_and_eof_after_all_of_it() {
    let mut stage = Stage::new();
    let a = stage.enter("a", |callback, chat, _| {
        if callback == "message 1" {
            chat.pause();
        }
        Ok(())
    });
    stage.say(&a, "1\n2\n");
    assert_eq!(stage.turn(), ["a.message 1"]);
    a.peer.say("3\nrest");
    a.peer.say_eof();
    assert_eq!(stage.play_out(&a), ["a.peer finished"]);
    stage.map.get_mut(a.me).unwrap().chat.resume();
    assert_eq!(
        stage.play_out(&a),
        [
            "a.message 2",
            "a.message 3",
            "a.eof rest",
            "a.finished",
            "a.close Eof"
        ]
    );
}

#[test]
fn overlimit_comes_after_the_data_that_is_allowed_and_before_the_close() {
    let mut limits = Limits::default();
    limits.message = 5;
    let mut stage = Stage::new();
    let a = stage.enter_limited("a", limits, |callback, chat, _| {
        if callback.starts_with("overlimit") {
            chat.push("too long");
        }
        Ok(())
    });
    a.peer.say_eof();
    stage.say(&a, "short\ntoo long\nshort\n");
    assert_eq!(
        stage.play_out(&a),
        [
            "a.message short",
            "a.overlimit too l",
            "a.finished",
            "a.close OverLimit"
        ]
    );
    assert_eq!(a.peer.take_sent(), b"too long");
}

#[test]
fn an_error_of_framing_comes_after_the_messages_before_it_and_ends_the_input() {
    let mut stage = Stage::new();
    let a = stage.enter("a", |callback, chat, _| {
        if callback == "message n" {
            chat.set_terminator(Terminator::count_then(2, b"\r\n"));
        }
        Ok(())
    });
    a.peer.say_eof();
    stage.say(&a, "one\nn\nab\nmore\n");
    assert_eq!(
        stage.play_out(&a),
        [
            "a.message one",
            "a.message n",
            "a.error a counted message is not followed by its end",
            "a.close HandlerError"
        ]
    );
}

#[test]
fn drained_comes_after_the_bytes_it_speaks_of_were_sent() {
    let mut limits = Limits::default();
    limits.high_water = 10;
    limits.low_water = 4;
    let mut stage = Stage::new();
    let log = stage.log.clone();
    let a = stage.enter_limited("a", limits, move |callback, chat, _| {
        if callback == "drained" {
            log.add(format!("{} sent, {} queued", chat.sent(), chat.queued()));
        }
        Ok(())
    });
    a.peer.set_room(0);
    stage.map.get_mut(a.me).unwrap().chat.push("0123456789AB");
    for room in [5, 2] {
        assert!(stage.play_out(&a).is_empty());
        a.peer.set_room(room);
    }
    assert!(stage.play_out(&a).is_empty(), "5 are left");
    a.peer.set_room(1);
    assert_eq!(stage.play_out(&a), ["a.drained", "8 sent, 4 queued"]);
    assert_eq!(a.peer.take_sent(), b"01234567");

    // All of a producer's, and what was pushed before.
    let chat = &mut stage.map.get_mut(a.me).unwrap().chat;
    chat.push_with_producer(SimpleProducer::new("producer"));
    a.peer.set_room(7);
    stage.play_out(&a);
    assert_eq!(a.peer.take_sent(), b"89ABpro");
    a.peer.set_room(100);
    assert_eq!(stage.play_out(&a), ["a.drained", "20 sent, 0 queued"]);
}
