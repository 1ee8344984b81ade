//! The order of posts, and of what others push to a channel in its own callback.

use chat::{AsyncChat, ChatMap};

use crate::ordering::stage::{Actor, Stage};

#[test]
fn posts_are_first_in_first_out_after_closes_and_before_another_channel_is_called() {
    let mut stage = Stage::new();
    let log = stage.log.clone();
    let victim = stage.extra("victim").me;
    let b = stage.extra("b");
    let to = b.me;
    let a = stage.enter("a", move |callback, chat, map| {
        if callback == "message go" {
            let me = chat.token().handle::<AsyncChat<Actor>>();
            for (target, what) in [(to, "first"), (me, "second"), (to, "third")] {
                let log = log.clone();
                map.post(target, move |found, _| {
                    log.add(format!("{what} {}", found.is_ok()));
                });
            }
            map.close(victim);
        }
        Ok(())
    });
    stage.say(&a, "go\n");
    stage.say(&b, "hello\n");
    let expected = [
        "a.message go",
        "victim.close Requested",
        "first true",
        "second true",
        "third true",
        "b.message hello",
    ];
    assert_eq!(stage.turn(), expected);
}

#[test]
fn after_a_message_that_posts_the_rest_of_the_read_waits_for_the_posts() {
    let mut stage = Stage::new();
    let log = stage.log.clone();
    let a = stage.enter("a", move |callback, chat, map| {
        if callback == "message 1" {
            let log = log.clone();
            let me = chat.token().handle::<AsyncChat<Actor>>();
            map.post(me, move |_, _| log.add("post"));
        }
        Ok(())
    });
    stage.say(&a, "1\n2\n3\n");
    assert_eq!(stage.turn(), ["a.message 1", "post"]);
    // What was held comes before what is received later.
    stage.say(&a, "4\n");
    let rest = ["a.message 2", "a.message 3", "a.message 4"];
    assert_eq!(stage.turn(), rest);
}

#[test]
fn a_post_of_a_post_waits_for_the_next_callback_or_turn() {
    let mut stage = Stage::new();
    let log = stage.log.clone();
    let b = stage.extra("b");
    let a = stage.enter("a", move |callback, chat, map| {
        if callback == "message go" {
            let me = chat.token().handle::<AsyncChat<Actor>>();
            let log = log.clone();
            map.post(me, move |_, map| {
                log.add("post");
                map.post(me, move |_, _| log.add("its post"));
            });
        }
        Ok(())
    });
    stage.say(&a, "go\n");
    stage.say(&b, "hello\n");
    let expected = ["a.message go", "post", "b.message hello", "its post"];
    assert_eq!(stage.turn(), expected);
}

/// The speaker of a room is a member like any other.
#[test]
fn what_others_push_to_the_channel_being_called_comes_after_its_own_and_before_its_next_message() {
    let mut stage = Stage::new();
    let a = stage.enter("a", move |callback, chat, map| {
        if callback.starts_with("message") {
            chat.push("[own before]");
            assert_eq!(map.push(chat.token(), format!("[{callback}]")), Ok(true));
            chat.push("[own after]");
        }
        Ok(())
    });
    stage.say(&a, "1\n2\n");
    stage.play_out(&a);
    let one = "[own before][own after][message 1]";
    let two = "[own before][own after][message 2]";
    assert_eq!(a.peer.take_sent(), [one, two].concat().as_bytes());
}

#[test]
fn a_post_from_outside_of_a_turn_runs_when_the_next_one_begins() {
    let mut stage = Stage::new();
    let a = stage.extra("a");
    stage.say(&a, "hello\n");
    let log = stage.log.clone();
    stage.map.post(a.me, move |_, _| log.add("post"));
    assert_eq!(stage.turn(), ["post", "a.message hello"]);
}
