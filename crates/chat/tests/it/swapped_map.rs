//! A callback that puts another map in the place of its own, and ends its channel: the
//! map that it was in hears of it.

use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::Rc;
use std::time::Duration;

use chat::{
    Address, AsyncChat, ChannelMap, Dispatcher, DispatcherHandler, Endpoint, Limits, Result, Stream,
};

use crate::common::part::{Part, Record};
use crate::common::{Log, Probe, opened, sim, turn_until};

/// The events by which a part may swap, and what brings each about.
const EVENTS: [&str; 5] = ["line", "eof", "drained", "timer", "shutdown"];

#[test]
fn a_channel_that_closes_itself_after_a_swap_is_told_once_by_its_own_map() {
    for is_chat in [true, false] {
        for event in EVENTS {
            let record = Record::default();
            let stash = Rc::new(RefCell::new(ChannelMap::new().unwrap()));
            let (line, peer) = sim::line();
            let mut map = ChannelMap::new().unwrap();
            let there = Rc::clone(&stash);
            let part = Part::<0>::new(&record).on_event(move |what, side, map| {
                let is_it = what.starts_with(event);
                if is_it {
                    mem::swap(map, &mut there.borrow_mut());
                    side.close();
                }
                is_it
            });
            let me = part.insert(is_chat, line, Limits::default(), &mut map);
            sim::settle(&mut map, me, &peer);
            match event {
                "line" => peer.say("go\r\n"),
                "eof" => peer.say_eof(),
                "drained" => {
                    Part::<0>::reach(&mut map, me, |side| side.push(vec![b'x'; 70_000]));
                }
                "timer" => {
                    let now = map.now();
                    map.set_timer(me, now);
                }
                _ => map.shut_down(map.now() + Duration::from_secs(60)),
            }
            while !map.is_empty() && stash.borrow().is_empty() {
                sim::step(&mut map, me, &peer);
            }
            let mut home = stash.borrow_mut();
            for _ in 0..3 {
                sim::step(&mut home, me, &peer);
            }
            let closes = record
                .of(0)
                .iter()
                .filter(|s| s.starts_with("close "))
                .count();
            assert_eq!(closes, 1, "chat: {is_chat}, {event}: {:?}", record.of(0));
            assert!(home.is_empty(), "chat: {is_chat}, {event}: {home:?}");
        }
    }
}

#[test]
fn a_channel_whose_error_closes_it_after_a_swap_is_told_once_by_its_own_map() {
    let log = Log::default();
    let stash = Rc::new(RefCell::new(ChannelMap::new().unwrap()));
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let there = Rc::clone(&stash);
    let probe = Probe::new(&log).on_message(move |_, _, map| {
        mem::swap(map, &mut there.borrow_mut());
        Err("boom".into())
    });
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    peer.say("go\n");
    while !map.is_empty() {
        sim::step(&mut map, me, &peer);
    }
    sim::settle(&mut stash.borrow_mut(), me, &peer);
    let expected = ["connect", "message go", "error boom", "close HandlerError"];
    assert_eq!(log.take(), expected);
    assert!(stash.borrow().is_empty());
}

/// Swaps once, by a failure.
struct Failing {
    stash: Rc<RefCell<ChannelMap>>,
    accepted: Rc<Cell<usize>>,
    has_failed: bool,
}

impl DispatcherHandler for Failing {
    fn handle_accept(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        if !mem::replace(&mut self.has_failed, true) {
            mem::swap(map, &mut self.stash.borrow_mut());
            return Err("no descriptors".into());
        }
        match endpoint.accept()? {
            Some((socket, address)) => self.handle_accepted(socket, address, endpoint, map),
            None => Ok(()),
        }
    }

    fn handle_accepted(
        &mut self,
        _: Stream,
        _: Address,
        _: &mut Endpoint,
        _: &mut ChannelMap,
    ) -> Result {
        self.accepted.set(self.accepted.get() + 1);
        Ok(())
    }
}

#[test]
fn a_listener_whose_accept_fails_after_a_swap_accepts_later() {
    let stash = Rc::new(RefCell::new(ChannelMap::new().unwrap()));
    let accepted = Rc::new(Cell::new(0));
    let mut map = ChannelMap::new().unwrap();
    let failing = Failing {
        stash: Rc::clone(&stash),
        accepted: Rc::clone(&accepted),
        has_failed: false,
    };
    let listener = opened(Dispatcher::listen("127.0.0.1:0", failing)).unwrap();
    let address = listener.endpoint.local_addr().unwrap().as_inet().unwrap();
    map.insert(listener).unwrap();
    let _client = std::net::TcpStream::connect(address).unwrap();
    turn_until(&mut map, |map| map.is_empty());
    turn_until(&mut stash.borrow_mut(), |_| accepted.get() == 1);
    drop(stash.replace(ChannelMap::new().unwrap())); // which has the listener, and that the stash
}
