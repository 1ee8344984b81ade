//! A callback that panics costs its channel, and nobody else.

use std::io::Write;
use std::rc::Rc;

use crate::common::{Log, On, Probe, change, is_watched, pair, panics, turn};
use reactor::{Channel, ChannelMap, Handle, Readiness, Registration, Result, Token};

fn turn_panics(map: &mut ChannelMap) -> bool {
    panics(|| {
        turn(map);
    })
}

fn panicking(name: &'static str, log: &Log, on: On) -> Probe {
    Probe::new(name, log).on(on, |_, _, _| panic!("in a callback"))
}

/// The channel is dropped and gone, and its slot and timers with it.
fn assert_gone(map: &mut ChannelMap, probe: Handle<Probe>, luggage: &Rc<()>) {
    assert_eq!(Rc::strong_count(luggage), 1, "it is dropped");
    assert!(!map.is_open(probe));
    assert!(map.is_empty());
    assert_eq!(map.iter().count(), 0);
    assert_eq!(map.timers(), 0);
    map.run().unwrap(); // nobody is left to wait for
}

#[test]
fn a_callback_that_panics_drops_its_channel_without_a_handle_close() {
    for on in [On::Expt, On::Read, On::Write, On::Pending, On::Timer] {
        let log = Log::default();
        let luggage = Rc::new(());
        let (ours, _theirs) = pair();
        let mut map = ChannelMap::new().unwrap();
        let mut probe = panicking("a", &log, on).over(&ours);
        probe.luggage = Some(Rc::clone(&luggage));
        probe.writable = on == On::Write;
        probe.pending = on == On::Pending;
        let probe = map.insert(probe).unwrap();
        match on {
            On::Expt => map.dispatch(probe, Readiness::PRIORITY),
            On::Read => map.dispatch(probe, Readiness::READABLE),
            _ => true,
        };
        if on == On::Timer {
            map.set_timer(probe, map.now());
            map.set_timer(probe, map.now());
        }
        assert!(turn_panics(&mut map));
        assert_gone(&mut map, probe, &luggage);
        assert_eq!(log.take().len(), 1);
        assert!(!is_watched(&mut map, &ours));
    }
}

#[test]
fn handle_error_may_panic_too() {
    let log = Log::default();
    let luggage = Rc::new(());
    let mut map = ChannelMap::new().unwrap();
    let mut probe = panicking("a", &log, On::Error).on(On::Read, |_, _, _| Err("boom".into()));
    probe.luggage = Some(Rc::clone(&luggage));
    let probe = map.insert(probe).unwrap();
    map.dispatch(probe, Readiness::READABLE);
    assert!(turn_panics(&mut map));
    assert_gone(&mut map, probe, &luggage);
    assert_eq!(log.take(), ["a.read", "a.error boom"]);
}

#[test]
fn settle_may_panic_too() {
    let log = Log::default();
    let luggage = Rc::new(());
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("a", &log);
    probe.luggage = Some(Rc::clone(&luggage));
    probe.on_settle = Some(Box::new(|| panic!("in settle")));
    let probe = map.insert(probe).unwrap();
    assert!(turn_panics(&mut map));
    assert_gone(&mut map, probe, &luggage);
    assert!(log.take().is_empty());
}

#[test]
fn handle_close_may_panic_and_the_other_closes_go_on() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    for name in ["a", "b", "c"] {
        let probe = match name {
            "b" => panicking(name, &log, On::Close),
            _ => Probe::new(name, &log),
        };
        let probe = map.insert(probe).unwrap();
        map.close(probe);
    }
    assert!(turn_panics(&mut map));
    map.run().unwrap();
    assert_eq!(
        log.take(),
        ["a", "b", "c"].map(|name| format!("{name}.close Requested"))
    );
}

#[test]
fn inside_with_the_lent_channel_is_dropped() {
    let log = Log::default();
    let luggage = Rc::new(());
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("a", &log);
    probe.luggage = Some(Rc::clone(&luggage));
    let probe = map.insert(probe).unwrap();
    assert!(panics(|| {
        map.with(probe, |_, _| panic!("in with")).unwrap();
    }));
    assert_gone(&mut map, probe, &luggage);
    turn(&mut map); // not a nested one
    assert!(log.take().is_empty());
}

#[test]
fn inside_convert_the_channel_is_dropped() {
    let log = Log::default();
    let luggage = Rc::new(());
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("a", &log);
    probe.luggage = Some(Rc::clone(&luggage));
    let probe = map.insert(probe).unwrap();
    map.set_timer(probe, map.now());
    assert!(panics(|| {
        map.convert(probe, |_| -> Probe { panic!("in convert") })
            .unwrap();
    }));
    assert_gone(&mut map, probe, &luggage);

    let mut probe = Probe::new("a", &log).on(On::Read, |_, me, map| {
        map.convert(me.handle::<Probe>(), |_| -> Probe { panic!("in convert") })
            .unwrap();
        Ok(())
    });
    probe.luggage = Some(Rc::clone(&luggage));
    let probe = map.insert(probe).unwrap();
    map.dispatch(probe, Readiness::READABLE);
    assert!(turn_panics(&mut map));
    assert_gone(&mut map, probe, &luggage);
    assert_eq!(log.take(), ["a.read"]);
}

#[test]
fn a_panic_in_a_nested_with_drops_both_and_nobody_else() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let inner = map.insert(Probe::new("inner", &log)).unwrap();
    let bystander = map.insert(Probe::new("bystander", &log)).unwrap();
    let outer = Probe::new("outer", &log).on(On::Read, move |_, _, map| {
        map.with(inner, |_, _| panic!("in with")).unwrap();
        Ok(())
    });
    let outer = map.insert(outer).unwrap();
    map.dispatch(outer, Readiness::READABLE);
    assert!(turn_panics(&mut map));
    assert!(!map.is_open(inner));
    assert!(!map.is_open(outer));
    assert_eq!(map.len(), 1);
    map.dispatch(bystander, Readiness::READABLE);
    turn(&mut map);
    assert_eq!(log.take(), ["outer.read", "bystander.read"]);
}

#[test]
fn events_timers_and_closes_of_the_others_go_on_in_the_next_turn() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let polled = map.insert(Probe::new("polled", &log).over(&ours)).unwrap();
    let closed = map.insert(Probe::new("closed", &log)).unwrap();
    let first = Probe::new("panics", &log).on(On::Read, move |_, _, map| {
        map.close(closed);
        panic!("after closing another");
    });
    let first = map.insert(first).unwrap();
    let waiting = map.insert(Probe::new("waiting", &log)).unwrap();
    turn(&mut map);
    map.set_timer(waiting, map.now());
    map.dispatch(first, Readiness::READABLE);
    map.dispatch(waiting, Readiness::READABLE);
    theirs.write_all(b"x").unwrap();

    assert!(turn_panics(&mut map));
    turn(&mut map);
    turn(&mut map);
    assert_eq!(map.get(polled).unwrap().received, b"x");
    let mut lines = log.take();
    lines.sort();
    assert_eq!(
        lines,
        [
            "closed.close Requested",
            "panics.read",
            "polled.read",
            "waiting.read",
            "waiting.timer"
        ]
    );
}

#[test]
fn the_others_are_settled_in_the_next_turn() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let mut settling = Vec::new();
    for name in ["a", "b", "c"] {
        let probe = map.insert(Probe::new(name, &log)).unwrap();
        settling.push(probe);
    }
    turn(&mut map);
    change(&mut map, settling[1], |probe| {
        probe.on_settle = Some(Box::new(|| panic!("in settle")));
    });
    for &probe in &settling {
        map.touch(probe);
    }
    assert!(turn_panics(&mut map));
    turn(&mut map);
    assert_eq!(map.get(settling[0]).unwrap().settles, 2);
    assert!(map.get(settling[1]).is_err());
    assert_eq!(map.get(settling[2]).unwrap().settles, 2);
}

#[derive(Debug)]
struct Unsure {
    panics: bool,
    luggage: Rc<()>,
}

impl Channel for Unsure {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn readable(&self, _me: Token) -> bool {
        assert!(!self.panics, "in a question");
        true
    }

    fn handle_read_event(&mut self, _me: Token, _map: &mut ChannelMap) -> Result {
        Ok(())
    }
}

#[test]
fn a_question_that_panics_costs_the_channel_wherever_it_is_asked() {
    for in_dispatch in [false, true] {
        let log = Log::default();
        let luggage = Rc::new(());
        let mut map = ChannelMap::new().unwrap();
        let unsure = map
            .insert(Unsure {
                panics: false,
                luggage: Rc::clone(&luggage),
            })
            .unwrap();
        let other = Probe::new("other", &log).on(On::Read, move |_, _, map| {
            map.get_mut(unsure).unwrap().panics = true;
            Ok(())
        });
        let other = map.insert(other).unwrap();
        assert_eq!(Rc::strong_count(&map.get(unsure).unwrap().luggage), 2);
        if in_dispatch {
            map.dispatch(other, Readiness::READABLE);
            map.dispatch(unsure, Readiness::READABLE);
        } else {
            map.get_mut(unsure).unwrap().panics = true;
        }
        assert!(turn_panics(&mut map));
        assert!(!map.is_open(unsure));
        assert_eq!(Rc::strong_count(&luggage), 1);
        turn(&mut map);
    }
}
