//! State that many channels share.

use std::cell::RefCell;
use std::rc::Rc;

use crate::common::{Log, On, Probe, panics, turn};
use reactor::{Absent, ChannelMap, Readiness};

#[test]
fn all_channels_reach_the_same_state_from_their_callbacks() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let sum = map.insert_state(0);
    for add in [1, 20, 300] {
        let probe = Probe::new("a", &log).on(On::Read, move |_, _, map| {
            *map.state_mut(sum)? += add;
            Ok(())
        });
        let probe = map.insert(probe).unwrap();
        map.dispatch(probe, Readiness::READABLE);
    }
    turn(&mut map);
    assert_eq!(*map.state(sum).unwrap(), 321);
}

#[test]
fn a_state_keeps_no_loop_running_and_outlives_all_channels() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let closed = map.insert_state(Vec::new());
    assert_eq!((map.len(), map.is_empty()), (0, true));
    map.run().unwrap();
    for name in ["a", "b"] {
        let probe = Probe::new(name, &log).on(On::Close, move |_, _, map| {
            map.state_mut(closed)?.push(name);
            Ok(())
        });
        map.insert(probe).unwrap();
    }
    map.shut_down(map.now());
    map.run().unwrap();
    assert_eq!(*map.state(closed).unwrap(), ["a", "b"]);
    map.close_all();
    assert_eq!(map.state(closed).unwrap().len(), 2);
}

#[test]
fn a_state_that_is_lent_is_not_given_out_again() {
    let mut map = ChannelMap::new().unwrap();
    let [outer, other] = [1, 2].map(|number| map.insert_state(number));
    let result = map.with_state(outer, |number, map| {
        *number += 10;
        assert_eq!(map.state(outer).unwrap_err(), Absent::InCallback);
        assert_eq!(map.state_mut(outer).unwrap_err(), Absent::InCallback);
        assert_eq!(map.remove_state(outer), Err(Absent::InCallback));
        assert_eq!(map.with_state(outer, |_, _| ()), Err(Absent::InCallback));
        map.with_state(other, |other, _| *other += 100)?;
        Ok::<_, Absent>(*number)
    });
    assert_eq!(result, Ok(Ok(11)));
    assert_eq!(
        (*map.state(outer).unwrap(), *map.state(other).unwrap()),
        (11, 102)
    );
}

#[test]
fn a_panic_gives_a_lent_state_back() {
    let mut map = ChannelMap::new().unwrap();
    let state = map.insert_state(String::from("kept"));
    assert!(panics(|| {
        let _ = map.with_state(state, |_, _| panic!("in the middle"));
    }));
    assert_eq!(*map.state(state).unwrap(), "kept");
}

#[test]
fn a_state_that_was_taken_out_is_not_its_successor() {
    let mut map = ChannelMap::new().unwrap();
    let first = map.insert_state("first");
    assert_eq!(map.remove_state(first), Ok("first"));
    let second = map.insert_state("second");
    assert_ne!(first, second);
    assert_eq!(map.state(first).unwrap_err(), Absent::Closed);
    assert_eq!(map.remove_state(first), Err(Absent::Closed));
    assert_eq!(*map.state(second).unwrap(), "second");
    let other = ChannelMap::new().unwrap();
    assert_eq!(other.state(second).unwrap_err(), Absent::Closed);
}

/// Says when it is dropped.
struct Dropped(&'static str, Rc<RefCell<Vec<&'static str>>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
    }
}

#[test]
fn a_map_drops_its_channels_before_its_state() {
    let dropped = Rc::default();
    let mut map = ChannelMap::new().unwrap();
    map.insert_state(Dropped("state", Rc::clone(&dropped)));
    let in_channel = Dropped("channel", Rc::clone(&dropped));
    let probe = Probe::new("a", &Log::default()).on(On::Read, move |_, _, _| {
        let _ = &in_channel;
        Ok(())
    });
    map.insert(probe).unwrap();
    drop(map);
    assert_eq!(*dropped.borrow(), ["channel", "state"]);
}
