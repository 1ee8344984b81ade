//! The order of what is sent to one peer.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::rc::Rc;

use chat::{
    ChannelMap, Dispatcher, DispatcherHandler, Endpoint, Limits, More, Producer, Result,
    SimpleProducer, Timer,
};

use crate::common::rng::Rng;
use crate::common::sim;
use crate::ordering::stage::{Role, Stage};

/// Something to send; no two are alike, so that what is out of order shows.
fn piece(nth: usize, rng: &mut Rng) -> String {
    let len = match rng.below(4) {
        0 => rng.below(3_000), // above 1,024, `push_bytes` does not copy
        _ => rng.below(40),
    };
    format!("<{nth}{}>", ".".repeat(len))
}

/// Queues `piece` one way or another; whether it was taken.
fn queue(rng: &mut Rng, stage: &mut Stage, to: &Role, piece: &str) -> bool {
    let chat = &mut stage.map.get_mut(to.me).unwrap().chat;
    let fits = chat.queued() + piece.len() <= chat.limits().output;
    match rng.below(6) {
        0 | 1 => chat.try_push(piece).is_ok(),
        2 => chat.push_with_producer(SimpleProducer::new(piece.to_owned())),
        _ if !fits => false, // it would cost the peer its channel
        3 => chat.push(piece),
        4 => chat.push_bytes(piece.to_owned()),
        _ => write!(chat, "{piece}").is_ok(),
    }
}

#[test]
fn pushes_of_every_kind_keep_their_order_however_the_peer_takes_them() {
    let mut rng = Rng::new(9);
    let mut limits = Limits::default();
    limits.high_water = 500;
    limits.low_water = 100;
    limits.output = 6_000;
    limits.out_buffer_size = 700;
    limits.sent_per_turn = 900;
    let mut refused = 0;
    for _ in 0..30 {
        let mut stage = Stage::new();
        let a = stage.enter_limited("a", limits.clone(), |_, _, _| Ok(()));
        let mut expected = String::new();
        for nth in 0..100 {
            let piece = piece(nth, &mut rng);
            match queue(&mut rng, &mut stage, &a, &piece) {
                true => expected += &piece,
                false => refused += 1,
            }
            if rng.below(3) == 0 {
                a.peer.set_room(rng.below(2_000));
                sim::step(&mut stage.map, a.me, &a.peer);
            }
        }
        a.peer.set_room(usize::MAX);
        stage.play_out(&a);
        let sent = String::from_utf8(a.peer.take_sent()).unwrap();
        assert_eq!(sent, expected);
    }
    assert!(refused > 0, "a refusal is part of the test");
}

/// Pushed from outside, from callbacks of the channel and of others, from
/// timers and from remote work.
#[test]
fn pushes_from_anywhere_to_one_channel_leave_in_the_order_they_were_made() {
    let mut stage = Stage::new();
    let made = Rc::new(RefCell::new(String::new()));
    let by_a = Rc::clone(&made);
    let a = stage.enter("a", move |callback, chat, _| {
        let piece = format!("({callback})");
        chat.push(&piece);
        *by_a.borrow_mut() += &piece;
        Ok(())
    });
    a.peer.take_sent();
    made.take();
    let to = a.me;
    let by_b = Rc::clone(&made);
    let b = stage.enter("b", move |callback, _, map| {
        let piece = format!("[{callback}]");
        map.get_mut(to).unwrap().chat.push(&piece);
        *by_b.borrow_mut() += &piece;
        Ok(())
    });
    stage.play_out(&a);
    assert_eq!(a.peer.take_sent(), made.take().as_bytes(), "[connect]");

    stage.map.get_mut(to).unwrap().chat.push("outside");
    made.borrow_mut().push_str("outside");
    let work = move |map: &mut ChannelMap| {
        map.get_mut(to).unwrap().chat.push("work");
    };
    assert!(stage.map.remote().run(work).is_ok());
    for role in [&b, &a] {
        stage.say(role, "1\n2\n");
        stage.map.set_timer(role.me, stage.map.now());
    }
    stage.turn();
    made.borrow_mut().push_str("work");
    stage.map.close(b.me);
    stage.play_out(&a);
    assert_eq!(made.borrow().matches(['(', '[']).count(), 7);
    let sent = String::from_utf8(a.peer.take_sent()).unwrap();
    assert_eq!(sent, *made.borrow());
}

/// Gives what it is given, a piece at a time; has nothing for now in between.
#[derive(Clone, Default)]
struct Pipe(Rc<RefCell<VecDeque<(&'static str, More)>>>);

impl Producer for Pipe {
    fn more(&mut self, out: &mut Vec<u8>, _: usize) -> io::Result<More> {
        let Some((piece, more)) = self.0.borrow_mut().pop_front() else {
            return Ok(More::Later);
        };
        out.extend_from_slice(piece.as_bytes());
        Ok(more)
    }
}

#[test]
fn what_is_pushed_after_a_producer_waits_until_it_is_done() {
    let mut stage = Stage::new();
    let a = stage.extra("a");
    let pipe = Pipe::default();
    let chat = &mut stage.map.get_mut(a.me).unwrap().chat;
    chat.push("1");
    chat.push_with_producer(pipe.clone());
    chat.push("2");
    chat.push_with_producer(SimpleProducer::new("3"));
    chat.push_bytes("4");
    let mut fill = |piece, more, expected: &str| {
        pipe.0.borrow_mut().push_back((piece, more));
        stage.map.touch(a.me);
        stage.play_out(&a);
        assert_eq!(a.peer.take_sent(), expected.as_bytes());
    };
    fill("", More::Later, "1");
    fill("a", More::Again, "a");
    fill("b", More::Later, "b");
    fill("", More::Again, "");
    fill("c", More::Done, "c234");
}

#[test]
fn offers_keep_their_order_and_pushes_overtake_those_that_wait() {
    for closes in [false, true] {
        let mut limits = Limits::default();
        (limits.high_water, limits.low_water) = (8, 4);
        let mut stage = Stage::new();
        let log = stage.log.clone();
        let a = stage.enter_limited("a", limits, move |_, chat, _| {
            log.add(format!("{} sent", chat.sent()));
            Ok(())
        });
        a.peer.set_room(0);
        let chat = &mut stage.map.get_mut(a.me).unwrap().chat;
        chat.push("<1>");
        chat.offer("(1 at once)");
        chat.offer("(2)");
        chat.push("<2>");
        chat.offer_latest(7, "(3)");
        chat.offer("(4)");
        stage.play_out(&a);
        let chat = &mut stage.map.get_mut(a.me).unwrap().chat;
        chat.push("<3>");
        chat.offer_latest(7, "(three)");
        if closes {
            chat.close_when_done();
        }
        a.peer.set_room(100);
        let end = if closes { "a.finished" } else { "a.drained" };
        assert_eq!(stage.play_out(&a), [end, "33 sent"]);
        let sent = a.peer.take_sent();
        assert_eq!(sent, b"<1>(1 at once)<2><3>(2)(three)(4)");
    }
}

#[test]
fn after_a_shutdown_what_was_pushed_leaves_then_the_end_and_input_goes_on() {
    let mut stage = Stage::new();
    let a = stage.enter("a", |callback, chat, _| {
        if callback == "message go" {
            chat.push("pushed ");
            chat.push_with_producer(SimpleProducer::new("produced"));
            chat.shutdown_when_done();
            assert!(!chat.push("too late"));
        }
        Ok(())
    });
    a.peer.set_room(4);
    stage.say(&a, "go\nsame read\n");
    assert_eq!(stage.play_out(&a), ["a.message go", "a.message same read"]);
    assert!(!a.peer.is_shut(), "there is more to come");
    a.peer.set_room(100);
    assert_eq!(stage.play_out(&a), ["a.drained", "a.finished"]);
    assert_eq!(a.peer.take_sent(), b"pushed produced");
    assert!(a.peer.is_shut());
    stage.say(&a, "later\n");
    assert_eq!(stage.play_out(&a), ["a.message later"]);
}

/// Pushes and sends, and keeps what it was told.
struct Sender(Rc<RefCell<Vec<bool>>>);

impl DispatcherHandler for Sender {
    fn handle_timer(&mut self, _: Timer, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        endpoint.push("pushed ");
        let sent = endpoint.send(b"sent ");
        self.0.borrow_mut().push(sent.is_ok());
        Ok(())
    }
}

#[test]
fn nothing_overtakes_what_a_dispatcher_has_pushed() {
    let mut map = ChannelMap::new().unwrap();
    let told = Rc::new(RefCell::new(Vec::new()));
    let (line, peer) = sim::line();
    let channel = Dispatcher::over(line, Sender(Rc::clone(&told)));
    let me = map.insert(channel).unwrap();
    map.get_mut(me).unwrap().endpoint.push("first ");
    map.set_timer(me, map.now());
    sim::settle(&mut map, me, &peer);
    map.get_mut(me).unwrap().endpoint.send(b"last").unwrap();
    assert_eq!(*told.borrow(), [false], "not while something is queued");
    assert_eq!(peer.take_sent(), b"first pushed last");
}
