//! The order of closes, and of what surrounds them.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use chat::{
    AsyncChat, ChannelMap, Chat, CloseReason, Limits, MessageHandler, Readiness, Result,
    SimpleProducer,
};

use crate::common::{Log, name, sim};
use crate::ordering::stage::{Actor, Stage, note};

fn closes<const N: usize>(names: [&str; N]) -> [String; N] {
    names.map(|name| format!("{name}.close Requested"))
}

#[test]
fn closes_are_first_in_first_out() {
    let mut stage = Stage::new();
    let victims = ["v", "w", "x", "y", "z"].map(|name| stage.extra(name).me);
    let a = stage.enter("a", move |callback, _, map| {
        if callback == "message go" {
            for nth in [3, 0, 4, 1, 2] {
                assert!(map.close(victims[nth]));
            }
        }
        Ok(())
    });
    stage.say(&a, "go\n");
    assert_eq!(stage.turn()[1..], closes(["y", "v", "z", "w", "x"]));
}

#[test]
fn a_close_that_handle_close_asks_for_comes_after_those_asked_for_before() {
    let mut stage = Stage::new();
    let y = stage.extra("y").me;
    let z = stage.extra("z").me;
    let x = stage.enter("x", move |callback, _, map| {
        if callback.starts_with("close") {
            map.close(z);
        }
        Ok(())
    });
    let others = [x.me, y];
    let a = stage.enter("a", move |callback, _, map| {
        if callback == "message go" {
            for other in others {
                map.close(other);
            }
        }
        Ok(())
    });
    stage.say(&a, "go\n");
    assert_eq!(stage.turn()[1..], closes(["x", "y", "z"]));
}

/// From an event, a timer and remote work alike.
#[test]
fn handle_close_comes_after_the_callback_and_before_another_channel_is_called() {
    let mut stage = Stage::new();
    let [u, v, w, x, y, z] = ["u", "v", "w", "x", "y", "z"].map(|name| stage.extra(name).me);
    let roles = [("a", [u, v]), ("b", [w, x])].map(|(name, [first, second])| {
        let log = stage.log.clone();
        stage.enter(name, move |callback, _, map| {
            let victim = match callback {
                "message go" => first,
                "timer" => second,
                _ => return Ok(()),
            };
            map.close(victim);
            assert!(!map.is_open(victim), "hidden at once");
            log.add(format!("{name} returns"));
            Ok(())
        })
    });
    let me = roles[0].me;
    for victim in [y, z] {
        let work = move |map: &mut ChannelMap| {
            map.close(victim);
            note(map, me, "work returns");
        };
        assert!(stage.map.remote().run(work).is_ok());
    }
    for role in &roles {
        stage.say(role, "go\n");
        stage.map.set_timer(role.me, stage.map.now());
    }
    let record = stage.turn();
    let mut events: Vec<_> = record[..6].chunks(3).collect();
    events.sort(); // one batch
    assert_eq!(
        events,
        [
            ["a.message go", "a returns", "u.close Requested"],
            ["b.message go", "b returns", "w.close Requested"],
        ]
    );
    assert_eq!(
        record[6..],
        [
            "a.timer",
            "a returns",
            "v.close Requested",
            "b.timer",
            "b returns",
            "x.close Requested",
            "work returns",
            "y.close Requested",
            "work returns",
            "z.close Requested",
        ]
    );
}

#[test]
fn what_is_closed_between_turns_is_told_before_the_events_of_the_next() {
    let mut stage = Stage::new();
    let a = stage.extra("a");
    let [x, y] = ["x", "y"].map(|name| stage.extra(name).me);
    stage.say(&a, "hello\n");
    stage.map.close(y);
    stage.map.close(x);
    let record = stage.turn();
    assert_eq!(record[..2], closes(["y", "x"]));
    assert_eq!(record[2..], ["a.message hello"]);
}

#[test]
fn handle_error_comes_at_once_and_handle_close_after_it() {
    let mut stage = Stage::new();
    let x = stage.extra("x").me;
    let a = stage.enter("a", move |callback, chat, map| match callback {
        "message before" => Err("no".into()),
        "message after" => {
            map.close(x);
            map.close(chat.token());
            Err("too late".into())
        }
        _ => Ok(()),
    });
    let b = stage.enter("b", |callback, _, _| match callback {
        "message before" => Err("no".into()),
        _ => Ok(()),
    });
    // The error is what closes the channel.
    stage.say(&b, "before\nmore\n");
    assert_eq!(
        stage.turn(),
        ["b.message before", "b.error no", "b.close HandlerError"]
    );
    // The channel was closed before the error.
    stage.say(&a, "after\nmore\n");
    assert_eq!(
        stage.turn(),
        [
            "a.message after",
            "a.error too late",
            "x.close Requested",
            "a.close Requested"
        ]
    );
}

/// Everything else that can come is due, in the same turn and in the next.
/// Answers each line, and fails at `bad`; all else is by default.
struct Answering(Log);

impl MessageHandler for Answering {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add(line.escape_ascii().to_string());
        chat.push("answer ");
        match line {
            b"bad" => Err("no such command".into()),
            _ => Ok(()),
        }
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        self.0.add(name(&reason));
    }
}

#[test]
fn answers_before_an_err_are_sent_and_no_input_follows() {
    let log = Log::default();
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::over(line, "\n", Answering(log.clone()));
    let me = map.insert(channel).unwrap();
    peer.say("good\nbad\nmore\n");
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent(), b"answer answer ");
    assert!(peer.is_shut());
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.take(), ["good", "bad", "HandlerError"]);
}

#[test]
fn handle_close_is_the_last_callback_of_its_channel() {
    type Way = fn(&mut Chat, &mut ChannelMap) -> Result;
    let ways: [(Way, &[&str]); 3] = [
        (
            |_, map| {
                map.close_all();
                Ok(())
            },
            &["a.close Requested"],
        ),
        (
            |chat, _| {
                chat.close();
                Ok(())
            },
            &["a.close Requested"],
        ),
        (
            |_, _| Err("no".into()),
            &["a.error no", "a.close HandlerError"],
        ),
    ];
    for (way, end) in ways {
        let mut stage = Stage::new();
        let a = stage.enter("a", move |callback, chat, map| {
            if callback != "message go" {
                return Ok(());
            }
            let me = chat.token();
            map.set_timer(me, map.now());
            map.dispatch(me, Readiness::READABLE);
            map.shut_down(map.now());
            chat.push_with_producer(SimpleProducer::new("drained next"));
            way(chat, map)
        });
        a.peer.say_eof();
        stage.say(&a, "go\nmore\n");
        let mut record = stage.turn();
        record.extend(stage.turn());
        assert_eq!(record[0], "a.message go");
        assert_eq!(record[1..], *end);
    }
}

#[test]
fn what_is_queued_is_sent_before_handle_close() {
    let mut stage = Stage::new();
    let sent = Rc::new(Cell::new(0));
    let at_close = Rc::clone(&sent);
    let a = stage.enter("a", move |callback, chat, _| {
        match callback {
            "message quit" => {
                chat.push("pushed ");
                chat.push_with_producer(SimpleProducer::new("produced"));
                chat.close_when_done();
                chat.push("too late");
            }
            "close Done" => at_close.set(chat.sent()),
            _ => {}
        }
        Ok(())
    });
    a.peer.set_room(4);
    stage.say(&a, "quit\n");
    assert_eq!(stage.play_out(&a), ["a.message quit"]);
    assert_eq!(a.peer.take_sent(), b"push");
    assert!(!a.peer.is_shut(), "there is more to come");
    a.peer.set_room(100);
    assert_eq!(stage.play_out(&a), ["a.finished"]);
    assert_eq!(a.peer.take_sent(), b"ed produced");
    assert!(a.peer.is_shut(), "the peer was told");
    a.peer.say_eof();
    assert_eq!(stage.play_out(&a), ["a.close Done"]);
    assert_eq!(sent.get(), 15);
}

#[test]
fn a_goodbye_comes_behind_whole_pushes_and_before_handle_close() {
    for is_slow in [true, false] {
        let mut limits = Limits::default();
        (limits.output, limits.goodbye) = (20, "goodbye".into());
        let mut stage = Stage::new();
        let log = stage.log.clone();
        let a = stage.enter_limited("a", limits, move |callback, chat, map| {
            match callback {
                "message go" if is_slow => while chat.push("a push ") {},
                "message go" => {
                    chat.push("a push ");
                    map.shut_down(map.now() + Duration::from_secs(1));
                }
                _ => log.add(format!("{} sent", chat.sent())),
            }
            Ok(())
        });
        a.peer.set_room(1);
        stage.say(&a, "go\n");
        assert_eq!(stage.turn(), ["a.message go"]);
        stage.turn();
        a.peer.set_room(100);
        if is_slow {
            assert_eq!(stage.play_out(&a), [""; 0], "it is not finished");
            a.peer.say_eof();
            assert_eq!(stage.play_out(&a), ["a.close OutputOverLimit", "28 sent"]);
            assert_eq!(a.peer.take_sent(), b"a push a push a push goodbye");
        } else {
            let record = stage.turn_after(Duration::from_secs(1));
            let end = ["a.finished", "14 sent", "a.close Shutdown", "14 sent"];
            assert_eq!(record, end, "nothing was lost");
            assert_eq!(a.peer.take_sent(), b"a push goodbye");
        }
    }
}

#[test]
fn handle_finished_comes_when_all_has_left_after_drained_and_before_handle_close() {
    for is_closing in [true, false] {
        let mut stage = Stage::new();
        let log = stage.log.clone();
        let a = stage.enter("a", move |callback, chat, _| {
            match callback {
                "message quit" => {
                    chat.push("pushed ");
                    chat.push_with_producer(SimpleProducer::new("produced"));
                    match is_closing {
                        true => chat.close_when_done(),
                        false => chat.shutdown_when_done(),
                    }
                }
                "finished" => log.add(format!("{} sent", chat.sent())),
                _ => {}
            }
            Ok(())
        });
        a.peer.set_room(4);
        stage.say(&a, "quit\n");
        assert_eq!(stage.play_out(&a), ["a.message quit"]);
        a.peer.set_room(100);
        let record = stage.play_out(&a);
        match is_closing {
            true => assert_eq!(record, ["a.finished", "15 sent"]),
            false => assert_eq!(record, ["a.drained", "a.finished", "15 sent"]),
        }
        a.peer.say_eof();
        let record = stage.play_out(&a);
        match is_closing {
            true => assert_eq!(record, ["a.close Done"]),
            false => assert_eq!(record, ["a.eof", "a.close Eof"]),
        }
        assert!(a.peer.is_shut());
    }

    // The peer has closed already, so the channel closes at once.
    let mut stage = Stage::new();
    let a = stage.extra("a");
    a.peer.say_eof();
    assert_eq!(stage.play_out(&a), ["a.eof", "a.finished", "a.close Eof"]);
}

#[test]
fn what_a_callback_evicts_is_told_after_it_and_before_the_next_message() {
    let mut stage = Stage::new();
    let big = stage.extra("big");
    big.peer.set_room(0);
    let log = stage.log.clone();
    let a = stage.enter("a", move |callback, _, map| {
        if callback == "message push" {
            let chat = &mut map.get_mut(big.me).unwrap().chat;
            chat.push(vec![b'b'; 200_000]);
            assert!(map.is_open(big.me));
            log.add("a returns");
        }
        Ok(())
    });
    let b = stage.extra("b");
    stage.map.set_memory_cap(100_000);
    stage.say(&a, "push\n1\n2\n");
    stage.say(&b, "3\n");
    let record = stage.turn();
    let evicted = ["a.message push", "a returns", "big.close Evicted"];
    assert_eq!(record[..3], evicted);
    assert_eq!(record[3..], ["b.message 3"]);
    assert_eq!(stage.turn(), ["a.message 1", "a.message 2"]);
}

/// What an actor becomes.
struct Grown(Log);

impl MessageHandler for Grown {
    fn handle_message(&mut self, message: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0
            .add(format!("grown.message {}", message.escape_ascii()));
        Ok(())
    }

    fn handle_convert(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add("grown.convert");
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        self.0.add(format!("grown.close {}", name(&reason)));
    }
}

#[test]
fn a_conversion_comes_after_the_callback_and_before_the_next() {
    for closes in [false, true] {
        let mut stage = Stage::new();
        let log = stage.log.clone();
        let a = stage.enter("a", move |callback, chat, map| {
            if callback != "message grow" {
                return Ok(());
            }
            let me = chat.token().handle::<AsyncChat<Actor>>();
            let (made, given) = (log.clone(), log.clone());
            map.convert(me, |young| {
                young.with_handler(move |_| {
                    made.add("converted");
                    Grown(given)
                })
            })
            .unwrap();
            if closes {
                map.close(me);
            }
            log.add("a returns");
            Ok(())
        });
        stage.say(&a, "grow\n1\n2\n");
        let mut record = stage.turn();
        record.extend(stage.turn());
        let next: &[&str] = match closes {
            false => &["grown.convert", "grown.message 1", "grown.message 2"],
            true => &["grown.close Requested"],
        };
        assert_eq!(record[..3], ["a.message grow", "a returns", "converted"]);
        assert_eq!(record[3..], *next);
    }
}
