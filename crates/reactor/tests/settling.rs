//! What comes between two waits: who is settled, and whether a channel goes on
//! that was closed or converted meanwhile.

mod common;

use std::cell::Cell;
use std::rc::Rc;

use common::{Log, On, Probe, change, turn};
use reactor::{Channel, ChannelMap, CloseReason, Handle, Readiness, Registration, Settled, Token};

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
    answer: Settled,
    settles: u32,
    questions: Cell<u32>,
}

impl Asked {
    fn count(&self) {
        self.questions.set(self.questions.get() + 1);
    }
}

impl Channel for Asked {
    fn registration(&self) -> Option<&Registration> {
        self.count();
        None
    }

    fn readable(&self, _: Token) -> bool {
        self.count();
        true
    }

    fn writable(&self, _: Token) -> bool {
        self.count();
        false
    }

    fn pending(&self, _: Token) -> bool {
        self.count();
        false
    }

    fn settle(&mut self, _: Token) -> Result<Settled, CloseReason> {
        self.settles += 1;
        Ok(self.answer)
    }

    fn handle_read_event(&mut self, _: Token, _: &mut ChannelMap) -> reactor::Result {
        Ok(())
    }
}

#[test]
fn a_channel_that_is_as_before_is_asked_nothing_and_another_everything_once() {
    let mut map = ChannelMap::new().unwrap();
    let asked = Asked {
        answer: Settled::Ask,
        settles: 0,
        questions: Cell::new(0),
    };
    let asked = map.insert(asked).unwrap();
    map.turn_at(map.now()).unwrap();
    for (answer, questions) in [(Settled::AsBefore, 0), (Settled::Ask, 4)] {
        let channel = map.get_mut(asked).unwrap();
        channel.answer = answer;
        channel.settles = 0;
        channel.questions.set(0);
        map.turn_at(map.now()).unwrap();
        map.dispatch(asked, Readiness::READABLE);
        // It is called, by what it said when it was asked last, and settled again.
        assert_eq!(map.turn_at(map.now()).unwrap(), 1, "{answer:?}");
        map.turn_at(map.now()).unwrap();
        let channel = map.get(asked).unwrap();
        assert_eq!(channel.settles, 2, "{answer:?}");
        assert_eq!(channel.questions.get(), 2 * questions, "{answer:?}");
    }
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
        map.convert(probe, |probe: Probe| probe);
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
        assert_eq!(goes_on, Some((true, false)));
    }
}
