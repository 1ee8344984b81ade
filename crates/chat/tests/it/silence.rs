//! Messages that end when nothing comes any more.

use std::time::Duration;

use chat::{AsyncChat, ChannelMap, Chat, Handle, Limits, Terminator};

use crate::common::sim::{self, Peer};
use crate::common::{Log, Probe};

const TIME: Duration = Duration::from_millis(20);

/// A channel, its peer, and a clock.
struct World {
    map: ChannelMap,
    me: Handle<AsyncChat<Probe>>,
    peer: Peer,
    log: Log,
}

impl World {
    fn new(limit: usize) -> Self {
        let log = Log::default();
        let (line, peer) = sim::line();
        let mut limits = Limits::default();
        limits.message = limit;
        let mut map = ChannelMap::new().unwrap();
        let probe = Probe::new(&log).on_overlimit(|chat, _| {
            chat.skip_message();
            Ok(())
        });
        let channel = AsyncChat::over(line, Terminator::silence(TIME), probe);
        let me = map.insert(channel.limited(limits)).unwrap();
        sim::settle(&mut map, me, &peer);
        log.take();
        Self { map, me, peer, log }
    }

    /// The peer says `data`, and so much time passes.
    fn say(&mut self, data: &str, millis: u64) {
        self.peer.say(data);
        sim::settle(&mut self.map, self.me, &self.peer);
        let time = Duration::from_millis(millis);
        sim::step_after(&mut self.map, self.me, &self.peer, time);
        sim::settle(&mut self.map, self.me, &self.peer);
    }

    fn chat(&mut self) -> &mut Chat {
        &mut self.map.get_mut(self.me).unwrap().chat
    }
}

#[test]
fn a_message_ends_when_nothing_has_come_for_the_time_and_not_before() {
    let mut world = World::new(100);
    world.say("on", 19);
    world.say("e", 19);
    assert_eq!(world.log.len(), 0);
    world.say("", 1);
    assert_eq!(world.log.all(), ["message one"]);
    world.say("", 1_000);
    world.say("two", 20);
    assert_eq!(world.log.all(), ["message one", "message two"]);
}

#[test]
fn its_timer_is_not_set_for_each_read_and_at_rest_there_is_none() {
    let mut world = World::new(100);
    assert_eq!(world.map.timers(), 0);
    for _ in 0..50 {
        world.say("x", 1);
        assert_eq!(world.map.timers(), 1);
    }
    world.say("", 20);
    assert_eq!(world.log.len(), 1);
    // As any message, it had a minute to end; the timer of that is not cancelled.
    world.say("", 60_000);
    assert_eq!(world.map.timers(), 0);
}

#[test]
fn a_message_that_ended_by_silence_ends_for_the_limits_as_well() {
    let mut world = World::new(5);
    for _ in 0..3 {
        world.say("abc", 10);
        world.say("de", 20);
    }
    assert_eq!(world.log.count("message abcde"), 3);
    world.log.take();
    world.say("abcdef", 10);
    world.say("more", 20);
    world.say("next", 20);
    assert_eq!(world.log.all(), ["overlimit", "message ", "message next"]);
}

#[test]
fn the_end_of_the_input_ends_no_message() {
    let mut world = World::new(100);
    world.say("half", 10);
    world.peer.say_eof();
    world.say("", 100);
    assert_eq!(world.log.all(), ["eof half", "close Eof"]);
}

#[test]
fn another_terminator_goes_on_with_what_there_is() {
    let mut world = World::new(100);
    world.say("a li", 10);
    world.chat().set_terminator("\n");
    world.say("", 100);
    assert_eq!(world.log.len(), 0);
    world.say("ne\n", 0);
    assert_eq!(world.log.all(), ["message a line"]);
}

/// Nobody knows when in the meantime its input came.
#[test]
fn what_a_held_channel_receives_belongs_to_the_message() {
    let mut world = World::new(100);
    world.say("a", 10);
    world.chat().pause();
    world.say("b", 100);
    world.chat().resume();
    world.say("", 19);
    assert_eq!(world.log.len(), 0);
    world.say("", 1);
    assert_eq!(world.log.all(), ["message ab"]);
}
