//! The order of timers.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use chat::ChannelMap;

use crate::ordering::stage::{Stage, note};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn timers_come_by_deadline_and_then_in_the_order_they_were_set() {
    let mut stage = Stage::new();
    let [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map(|name| stage.extra(name).me);
    let now = stage.map.now();
    for (role, seconds) in [(e, 3), (b, 2), (c, 2), (a, 1), (d, 2)] {
        stage.map.set_timer(role, now + seconds * SECOND);
    }
    assert_eq!(
        stage.turn_after(3 * SECOND),
        ["a.timer", "b.timer", "c.timer", "d.timer", "e.timer"]
    );
}

/// It was not there when the others were waiting.
#[test]
fn a_timer_that_an_event_sets_for_the_past_comes_in_the_same_turn_as_one_set_for_now() {
    let mut stage = Stage::new();
    let [b, c, d] = ["b", "c", "d"].map(|name| stage.extra(name).me);
    let a = stage.enter("a", move |callback, chat, map| {
        if callback == "message go" {
            map.set_timer(chat.token(), map.now() - 60 * SECOND);
            map.set_timer(d, map.now());
        }
        Ok(())
    });
    let due = stage.map.now() + SECOND;
    stage.map.set_timer(c, due);
    stage.map.set_timer(b, due - SECOND / 2);
    stage.say(&a, "go\n");
    assert_eq!(
        stage.turn_after(SECOND),
        ["a.message go", "b.timer", "c.timer", "a.timer", "d.timer"]
    );
}

#[test]
fn a_timer_that_a_timer_sets_for_now_or_the_past_comes_in_the_next_turn_and_delays_none() {
    let mut stage = Stage::new();
    for ago in [Duration::ZERO, 60 * SECOND] {
        let b = stage.extra("b").me;
        let mut left = 100;
        let a = stage.enter("a", move |callback, chat, map| {
            if callback == "timer" && left > 0 {
                left -= 1;
                map.set_timer(chat.token(), map.now() - ago);
            }
            Ok(())
        });
        stage.map.set_timer(a.me, stage.map.now());
        stage.map.set_timer(b, stage.map.now());
        assert_eq!(stage.turn(), ["a.timer", "b.timer"]);
        assert_eq!(stage.turn(), ["a.timer"]);
        stage.map.remove(a.me).unwrap();
    }
}

#[test]
fn a_timer_that_remote_work_sets_for_now_comes_in_the_next_turn() {
    let mut stage = Stage::new();
    let a = stage.extra("a").me;
    let work = move |map: &mut ChannelMap| {
        map.set_timer(a, map.now());
        note(map, a, "work");
    };
    assert!(stage.map.remote().run(work).is_ok());
    assert_eq!(stage.turn(), ["work"]);
    assert_eq!(stage.turn(), ["a.timer"]);
}

/// Both are due in one turn.
#[test]
fn a_timer_can_cancel_one_that_comes_after_it_or_close_its_channel() {
    let mut stage = Stage::new();
    let b = stage.extra("b").me;
    let c = stage.extra("c").me;
    let of_b = Rc::new(Cell::new(None));
    let set = Rc::clone(&of_b);
    let a = stage.enter("a", move |callback, _, map| {
        if callback == "timer" {
            assert!(map.cancel(set.take().unwrap()));
            map.close(c);
        }
        Ok(())
    });
    let now = stage.map.now();
    stage.map.set_timer(a.me, now);
    of_b.set(Some(stage.map.set_timer(b, now)));
    stage.map.set_timer(c, now);
    assert_eq!(stage.turn(), ["a.timer", "c.close Requested"]);
    assert!(stage.turn().is_empty());
}
