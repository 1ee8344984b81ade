//! What is so for now, and not promised. These tests keep the page true: who
//! changes what they say changes the page, and breaks no promise.

use std::time::Duration;

use chat::{
    AsyncChat, ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint, Readiness, Result,
    SimpleProducer, Token,
};

use crate::common::{Log, sim};
use crate::ordering::stage::{Actor, Stage, note};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_channel_gets_all_its_events_of_the_turn_before_another_is_told_of_its_close() {
    let mut stage = Stage::new();
    let x = stage.extra("x").me;
    let a = stage.enter("a", move |callback, _, map| {
        if callback == "message 1" {
            map.close(x);
        }
        Ok(())
    });
    stage.say(&a, "1\n2\n");
    assert_eq!(
        stage.turn(),
        ["a.message 1", "a.message 2", "x.close Requested"]
    );
}

/// Closes itself first, then another.
struct Quitter {
    log: Log,
    other: Token,
}

impl DispatcherHandler for Quitter {
    fn handle_read(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        endpoint.close();
        map.close(self.other);
        Ok(())
    }

    fn handle_close(&mut self, _: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.log.add("quitter.close");
    }
}

#[test]
fn closing_oneself_counts_from_the_end_of_the_event() {
    let mut stage = Stage::new();
    let x = stage.extra("x").me;
    let y = stage.extra("y").me;
    let a = stage.enter("a", move |callback, chat, map| {
        if callback == "message quit" {
            chat.close();
            map.close(x);
        }
        Ok(())
    });
    stage.say(&a, "quit\n");
    assert_eq!(
        stage.turn()[1..],
        ["x.close Requested", "a.close Requested"]
    );

    let log = stage.log.clone();
    let other = y.token();
    let quitter = Dispatcher::over(sim::line().0, Quitter { log, other });
    let quitter = stage.map.insert(quitter).unwrap();
    stage.map.dispatch(quitter, Readiness::READABLE);
    assert_eq!(stage.turn(), ["y.close Requested", "quitter.close"]);
}

#[test]
fn a_channel_that_another_closes_by_its_chat_is_closed_when_it_is_settled() {
    let mut stage = Stage::new();
    let x = stage.extra("x").me;
    let a = stage.enter("a", move |callback, _, map| {
        if callback == "message go" {
            map.get_mut(x).unwrap().chat.close();
        }
        Ok(())
    });
    stage.say(&a, "go\n");
    stage.map.set_timer(a.me, stage.map.now());
    assert_eq!(stage.turn(), ["a.message go", "a.timer"]);
    assert!(stage.map.is_open(x));
    assert_eq!(stage.turn(), ["x.close Requested"]);
}

/// Otherwise a channel that is reborn for ever would hang the turn.
#[test]
fn what_handle_close_makes_and_closes_waits_and_so_do_the_closes_after_it() {
    let mut stage = Stage::new();
    let z = stage.extra("z").me;
    let log = stage.log.clone();
    let x = stage.enter("x", move |callback, _, map| {
        if callback.starts_with("close") {
            let (line, _) = sim::line();
            let born = Actor::new("born", &log, |_, _, _| Ok(()));
            let born = map.insert(AsyncChat::over(line, "\n", born))?;
            map.close(born);
            map.close(z);
        }
        Ok(())
    });
    let me = x.me;
    let a = stage.enter("a", move |callback, _, map| {
        if callback == "message go" {
            map.close(me);
        }
        Ok(())
    });
    stage.say(&a, "go\n");
    stage.map.set_timer(a.me, stage.map.now());
    assert_eq!(
        stage.turn(),
        [
            "a.message go",
            "x.close Requested",
            "a.timer",
            "born.close Requested",
            "z.close Requested"
        ]
    );
}

#[test]
fn what_the_handle_close_of_a_close_between_turns_inserts_takes_part_in_the_next() {
    let mut stage = Stage::new();
    let log = stage.log.clone();
    let x = stage.enter("x", move |callback, _, map| {
        if callback.starts_with("close") {
            let (line, _) = sim::line();
            let heir = Actor::new("heir", &log, |_, _, _| Ok(()));
            map.insert(AsyncChat::over(line, "\n", heir))?;
        }
        Ok(())
    });
    stage.map.close(x.me);
    assert_eq!(stage.turn(), ["x.close Requested", "heir.connect"]);
}

#[test]
fn what_a_chat_channel_pushes_to_itself_leaves_directly_after_its_read() {
    let mut stage = Stage::new();
    let a = stage.enter("a", |callback, chat, _| {
        match callback {
            "message one" | "message two" => chat.push("piece "),
            "message shared" => chat.push_bytes(vec![b'x'; 4_096]),
            "message made" => chat.push_with_producer(SimpleProducer::new("made")),
            _ => false,
        };
        Ok(())
    });
    stage.turn();
    for (said, directly, later) in [
        ("one\ntwo\n", 12, 0),
        ("shared\n", 0, 4_096),
        ("one\nmade\n", 0, 10),
    ] {
        stage.say(&a, said);
        stage.turn();
        assert_eq!(a.peer.take_sent().len(), directly, "{said}");
        stage.turn();
        assert_eq!(a.peer.take_sent().len(), later, "{said}");
    }
}

#[test]
fn what_others_have_pushed_before_waits_and_goes_along() {
    let mut stage = Stage::new();
    let a = stage.enter("a", |_, chat, _| {
        chat.push("answer");
        Ok(())
    });
    let to = a.me;
    let b = stage.enter("b", move |callback, _, map| {
        if callback == "message hello" {
            map.get_mut(to).unwrap().chat.push("greeting ");
        }
        Ok(())
    });
    stage.turn();
    a.peer.take_sent();
    stage.say(&b, "hello\n");
    stage.say(&a, "hello\n");
    assert_eq!(stage.turn(), ["b.message hello", "a.message hello"]);
    assert_eq!(a.peer.take_sent(), b"");
    stage.turn();
    assert_eq!(a.peer.take_sent(), b"greeting answer");
}

#[test]
fn a_chat_channel_hears_of_held_input_then_drained_then_new_input() {
    let mut stage = Stage::new();
    let a = stage.enter("a", |callback, chat, _| {
        if callback == "message 1" {
            chat.pause();
        }
        Ok(())
    });
    stage.say(&a, "1\n2\n");
    assert_eq!(stage.turn(), ["a.message 1"]);
    let chat = &mut stage.map.get_mut(a.me).unwrap().chat;
    chat.resume();
    chat.push_with_producer(SimpleProducer::new("produced"));
    stage.say(&a, "3\n");
    assert_eq!(stage.turn(), ["a.message 2", "a.drained", "a.message 3"]);
}

#[test]
fn work_of_all_senders_is_one_queue() {
    let mut stage = Stage::new();
    let a = stage.extra("a").me;
    let senders = [stage.map.remote(), stage.map.remote()];
    for nth in [0, 1, 1, 0, 1] {
        let work = move |map: &mut ChannelMap| note(map, a, &format!("of {nth}"));
        assert!(senders[nth].run(work).is_ok());
    }
    assert_eq!(stage.turn(), ["of 0", "of 1", "of 1", "of 0", "of 1"]);
}

#[test]
fn work_that_an_event_or_a_timer_sends_comes_in_the_same_turn() {
    let mut stage = Stage::new();
    let a = stage.enter("a", |callback, chat, map| {
        let me = chat.token().handle();
        let line = format!("work of {callback}");
        let work = move |map: &mut ChannelMap| note(map, me, &line);
        map.remote().run(work).map_err(|_| "refused".into())
    });
    stage.map.set_timer(a.me, stage.map.now());
    stage.say(&a, "go\n");
    assert_eq!(
        stage.turn(),
        [
            "a.message go",
            "a.timer",
            "work of message go",
            "work of timer"
        ]
    );
}

#[test]
fn what_a_shutdown_closes_at_its_deadline_is_told_at_the_end_of_the_turn() {
    let mut stage = Stage::new();
    let a = stage.extra("a");
    stage.map.shut_down(stage.map.now() + SECOND);
    assert_eq!(stage.turn(), ["a.shutdown"]);
    let me = a.me;
    let work = move |map: &mut ChannelMap| note(map, me, "work");
    assert!(stage.map.remote().run(work).is_ok());
    stage.map.set_timer(a.me, stage.map.now());
    stage.say(&a, "hello\n");
    assert_eq!(
        stage.turn_after(SECOND),
        ["a.message hello", "a.timer", "work", "a.close Shutdown"]
    );
}
