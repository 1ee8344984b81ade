//! What comes between two waits: who is settled, and whether a channel goes on
//! that was closed or converted meanwhile.

use std::cell::Cell;
use std::rc::Rc;

use crate::common::{Log, On, Probe, change, turn};
use reactor::{Channel, ChannelMap, CloseReason, Handle, Readiness, Registration, Token};

/// Refuses to be settled again as soon as it is told to, and touches the next one
/// when it is closed.
fn domino(map: &mut ChannelMap, log: &Log, next: Handle<Probe>) -> Handle<Probe> {
    let probe = Probe::new("domino", log).on(On::Close, move |_, _, map| {
        fell(map, next);
        Ok(())
    });
    map.insert(probe).unwrap()
}

fn fell(map: &mut ChannelMap, probe: Handle<Probe>) {
    change(map, probe, |probe| {
        if probe.name == "domino" {
            probe.on_settle = Some(Box::new(|| Err(CloseReason::Eof)));
        }
    });
}

/// What the last one has to send leaves before the wait, and before anybody else
/// is called.
#[test]
fn whom_the_closes_of_a_settle_touch_is_settled_before_the_wait() {
    for is_dispatched in [false, true] {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let last = map.insert(Probe::new("last", &log)).unwrap();
        let second = domino(&mut map, &log, last);
        let first = domino(&mut map, &log, second);
        turn(&mut map);
        if is_dispatched {
            map.dispatch(first, Readiness::READABLE);
            turn(&mut map);
            log.take();
        }
        let before = map.get(last).unwrap().settles;
        fell(&mut map, first);
        map.turn_at(map.now()).unwrap();
        assert_eq!(log.take(), ["domino.close Eof"; 2]);
        assert_eq!(map.get(last).unwrap().settles, before + 1);
    }
}

/// Between turns, by one that is settled, by one that is called, and when that is dropped.
#[test]
fn whoever_is_touched_without_the_map_is_settled_before_the_wait() {
    /// Touches when it is dropped.
    struct Last(reactor::Buffers, Handle<Probe>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.touch(self.1);
        }
    }
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("probe", &log)).unwrap();
    let (buffers, last) = (map.buffers().clone(), Last(map.buffers().clone(), probe));
    let mut other = Probe::new("other", &log).on(On::Read, move |_, _, map| {
        map.buffers().touch(probe);
        Ok(())
    });
    other = other.on(On::Close, move |_, _, _| {
        let _ = &last; // dropped with the channel, after its last callback
        Ok(())
    });
    other.on_settle = Some(Box::new(move || {
        buffers.touch(probe);
        Ok(())
    }));
    let other = map.insert(other).unwrap();
    turn(&mut map);
    let settles = |map: &ChannelMap| map.get(probe).unwrap().settles;

    let before = settles(&map);
    turn(&mut map);
    assert_eq!(settles(&map), before, "at rest");
    (0..10).for_each(|_| map.buffers().touch(probe));
    turn(&mut map);
    assert_eq!(settles(&map), before + 1, "between turns, once");
    map.touch(other);
    turn(&mut map);
    assert_eq!(settles(&map), before + 2, "by one that is settled");
    map.dispatch(other, Readiness::READABLE);
    turn(&mut map);
    turn(&mut map); // which settles `other`, too: both at once
    assert_eq!(settles(&map), before + 3, "by one that is called");
    map.close(other);
    turn(&mut map);
    assert_eq!(settles(&map), before + 4, "by one that is dropped");
    map.buffers().touch(other); // a stranger
    turn(&mut map);
    assert_eq!(settles(&map), before + 4);
}

/// It said so when it was settled first; then came somebody's close.
#[test]
fn a_channel_that_is_not_pending_any_more_before_the_wait_is_not_called() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("a", &log);
    probe.pending = true;
    let probe = map.insert(probe).unwrap();
    let mut other = Probe::new("other", &log).on(On::Close, move |_, _, map| {
        change(map, probe, |probe| probe.pending = false);
        Ok(())
    });
    other.on_settle = Some(Box::new(|| Err(CloseReason::Eof)));
    map.insert(other).unwrap();
    turn(&mut map);
    turn(&mut map);
    assert_eq!(log.take(), ["other.close Eof"]);
}

/// Counts what it is asked, and answers what it is told to.
#[derive(Debug)]
struct Asked {
    is_as_before: bool,
    flushes: Cell<u32>,
    settles: Cell<u32>,
    questions: Cell<u32>,
}

impl Asked {
    /// In a map, at rest there, and nothing counted.
    fn insert(map: &mut ChannelMap, is_as_before: bool) -> Handle<Self> {
        let asked = Self {
            is_as_before,
            flushes: Cell::new(0),
            settles: Cell::new(0),
            questions: Cell::new(0),
        };
        let asked = map.insert(asked).unwrap();
        map.turn_at(map.now()).unwrap();
        Self::take_counts(map, asked);
        asked
    }

    /// How often it was flushed and settled since, and how many questions it was asked.
    fn take_counts(map: &ChannelMap, asked: Handle<Self>) -> [u32; 3] {
        let asked = map.get(asked).unwrap();
        [&asked.flushes, &asked.settles, &asked.questions].map(Cell::take)
    }
}

fn count(number: &Cell<u32>) {
    number.set(number.get() + 1);
}

impl Channel for Asked {
    fn registration(&self) -> Option<&Registration> {
        count(&self.questions);
        None
    }

    fn readable(&self, _: Token) -> bool {
        count(&self.questions);
        true
    }

    fn writable(&self, _: Token) -> bool {
        count(&self.questions);
        false
    }

    fn pending(&self, _: Token) -> bool {
        count(&self.questions);
        false
    }

    fn flush(&mut self, _: Token) -> bool {
        count(&self.flushes);
        self.is_as_before
    }

    fn settle(&mut self, _: Token) -> Result<(), CloseReason> {
        count(&self.settles);
        Ok(())
    }

    fn handle_read_event(&mut self, _: Token, _: &mut ChannelMap) -> reactor::Result {
        Ok(())
    }
}

#[test]
fn a_channel_that_is_as_before_is_asked_nothing_and_another_everything_once() {
    for (is_as_before, counts) in [(true, [1, 0, 0]), (false, [1, 1, 4])] {
        let mut map = ChannelMap::new().unwrap();
        let asked = Asked::insert(&mut map, is_as_before);
        map.touch(asked);
        map.turn_at(map.now()).unwrap();
        assert_eq!(Asked::take_counts(&map, asked), counts, "{is_as_before}");
    }
}

/// Has no [`Channel::flush`] of its own.
#[derive(Debug, Default)]
struct Plain {
    settles: u32,
}

impl Channel for Plain {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn settle(&mut self, _: Token) -> Result<(), CloseReason> {
        self.settles += 1;
        Ok(())
    }

    fn handle_read_event(&mut self, _: Token, _: &mut ChannelMap) -> reactor::Result {
        Ok(())
    }
}

#[test]
fn a_channel_without_a_flush_is_settled_after_each_event() {
    let mut map = ChannelMap::new().unwrap();
    let plain = map.insert(Plain::default()).unwrap();
    for settles in 1..4 {
        turn(&mut map);
        assert_eq!(map.get(plain).unwrap().settles, settles);
        map.dispatch(plain, Readiness::READABLE);
        turn(&mut map);
        assert_eq!(map.get(plain).unwrap().settles, settles);
    }
}

#[test]
fn a_channel_that_flushes_after_a_read_event_is_not_settled_again() {
    for (is_as_before, next) in [(true, [0, 0, 0]), (false, [1, 1, 4])] {
        let mut map = ChannelMap::new().unwrap();
        let asked = Asked::insert(&mut map, is_as_before);
        map.dispatch(asked, Readiness::READABLE);
        assert_eq!(map.turn_at(map.now()).unwrap(), 1);
        assert_eq!(Asked::take_counts(&map, asked), [1, 0, 0], "{is_as_before}");
        map.turn_at(map.now()).unwrap();
        assert_eq!(Asked::take_counts(&map, asked), next, "{is_as_before}");
    }
}

/// A probe that says each time that it has flushed all, and the count of that.
fn flushed(name: &'static str, log: &Log) -> (Probe, Rc<Cell<u32>>) {
    let flushes = Rc::<Cell<u32>>::default();
    let mut probe = Probe::new(name, log);
    let counted = Rc::clone(&flushes);
    probe.on_flush = Some(Box::new(move || {
        count(&counted);
        true
    }));
    (probe, flushes)
}

#[test]
fn a_touch_in_a_read_event_is_not_lost_by_the_flush_that_follows() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (probe, flushes) = flushed("a", &log);
    let probe = probe.on(On::Read, |_, me, map| {
        map.touch(me);
        Ok(())
    });
    let probe = map.insert(probe).unwrap();
    turn(&mut map);
    flushes.take();
    map.dispatch(probe, Readiness::READABLE);
    turn(&mut map);
    assert_eq!(flushes.take(), 1, "directly");
    turn(&mut map);
    assert_eq!(flushes.take(), 1, "touched");
}

#[test]
fn a_channel_that_another_reached_before_its_event_waits_to_be_settled() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (probe, flushes) = flushed("a", &log);
    let probe = map.insert(probe).unwrap();
    let speaker = Probe::new("speaker", &log).on(On::Read, move |_, _, map| {
        map.get_mut(probe).unwrap();
        Ok(())
    });
    let speaker = map.insert(speaker).unwrap();
    turn(&mut map);
    flushes.take();
    map.dispatch(speaker, Readiness::READABLE);
    map.dispatch(probe, Readiness::READABLE);
    turn(&mut map);
    assert_eq!(log.take(), ["speaker.read", "a.read"]);
    assert_eq!(flushes.take(), 0);
    turn(&mut map);
    assert_eq!(flushes.take(), 1);
}

#[test]
fn the_others_of_a_batch_go_with_the_map_that_a_callback_replaced() {
    let log = Log::default();
    let luggage = Rc::new(());
    let mut map = ChannelMap::new().unwrap();
    for _ in 0..3 {
        let mut probe = Probe::new("a", &log).on(On::Read, |_, _, map| {
            *map = ChannelMap::new().unwrap();
            Ok(())
        });
        probe.luggage = Some(Rc::clone(&luggage));
        let probe = map.insert(probe).unwrap();
        map.dispatch(probe, Readiness::READABLE);
    }
    turn(&mut map);
    assert_eq!(log.take(), ["a.read"]);
    assert_eq!(Rc::strong_count(&luggage), 1, "all are dropped");
}

/// What a callback does to a channel.
type Deed = fn(&mut ChannelMap, Handle<Probe>);

const DEEDS: [Deed; 2] = [
    |map, probe| {
        map.close(probe);
    },
    |map, probe| {
        map.convert(probe, |probe: Probe| probe).unwrap();
    },
];

#[test]
fn a_channel_goes_on_whatever_it_did_to_another() {
    for deed in DEEDS {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let other = map.insert(Probe::new("other", &log)).unwrap();
        let mut probe = Probe::new("a", &log).on(On::Read, move |_, me, map| {
            deed(map, other);
            assert!(map.may_continue(me));
            Ok(())
        });
        probe.writable = true;
        let probe = map.insert(probe).unwrap();
        map.dispatch(probe, Readiness::READABLE | Readiness::WRITABLE);
        turn(&mut map);
        assert_eq!(log.take()[..2], ["a.read", "a.write"]);
    }
}

#[test]
fn a_channel_does_not_go_on_that_was_closed_or_converted_whatever_came_then() {
    for first in DEEDS {
        for then in DEEDS {
            let log = Log::default();
            let mut map = ChannelMap::new().unwrap();
            let other = map.insert(Probe::new("other", &log)).unwrap();
            let mut probe = Probe::new("a", &log).on(On::Read, move |_, me, map| {
                first(map, me.handle());
                then(map, other);
                assert!(!map.may_continue(me));
                Ok(())
            });
            probe.writable = true;
            let probe = map.insert(probe).unwrap();
            map.dispatch(probe, Readiness::READABLE | Readiness::WRITABLE);
            turn(&mut map);
            let lines = log.take();
            assert_eq!(lines[0], "a.read");
            assert!(!lines.contains(&"a.write".to_owned()), "{lines:?}");
        }
    }
}

/// Nobody calls it then; whoever has it asks for its sake.
#[test]
fn a_channel_that_is_lent_does_not_go_on_either() {
    for deed in DEEDS {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let probe = map.insert(Probe::new("a", &log)).unwrap();
        let goes_on = map.with(probe, |_, map| {
            let before = map.may_continue(probe.token());
            deed(map, probe);
            (before, map.may_continue(probe.token()))
        });
        assert_eq!(goes_on, Ok((true, false)));
    }
}
