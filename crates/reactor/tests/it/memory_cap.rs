//! The memory of the whole map: who goes when it is too much, and when.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use reactor::{
    Buffers, Channel, ChannelMap, CloseReason, Handle, Readiness, Registration, Result, Timer,
    Token,
};

use crate::common::turn;

const CAP: usize = 16_000;

type Script = Box<dyn FnMut(Token, &mut ChannelMap)>;

/// Holds so many bytes, which the map's account has.
struct Hoard {
    bytes: usize,
    is_exempt: bool,
    buffers: Buffers,
    told: Told,
    script: Option<Script>,
}

/// What the channels of a test have told.
#[derive(Clone, Default)]
struct Told {
    /// How big each was that was closed, and why.
    closes: Rc<RefCell<Vec<(usize, String)>>>,
    /// How often one was asked how much it holds.
    asked: Rc<Cell<usize>>,
}

impl Told {
    fn sizes(&self) -> Vec<usize> {
        let closes = self.closes.borrow();
        assert!(closes.iter().all(|(_, why)| why == "closed to make room"));
        closes.iter().map(|(size, _)| *size).collect()
    }
}

impl Hoard {
    fn insert(map: &mut ChannelMap, told: &Told) -> Handle<Self> {
        let hoard = Self {
            bytes: 0,
            is_exempt: false,
            buffers: map.buffers().clone(),
            told: told.clone(),
            script: None,
        };
        map.insert(hoard).unwrap()
    }

    fn take(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.buffers.charge(bytes);
    }
}

impl Channel for Hoard {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn handle_read_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        if let Some(script) = &mut self.script {
            script(me, map);
        }
        Ok(())
    }

    fn handle_timer(&mut self, _: Timer, me: Token, map: &mut ChannelMap) -> Result {
        self.handle_read_event(me, map)
    }

    fn handle_close(&mut self, reason: CloseReason, me: Token, map: &mut ChannelMap) {
        let close = (self.bytes, reason.to_string());
        self.told.closes.borrow_mut().push(close);
        let _ = self.handle_read_event(me, map);
    }

    fn reclaimable(&self) -> usize {
        self.told.asked.set(self.told.asked.get() + 1);
        if self.is_exempt { 0 } else { self.bytes }
    }
}

impl Drop for Hoard {
    fn drop(&mut self) {
        self.buffers.refund(self.bytes);
    }
}

impl std::fmt::Debug for Hoard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hoard")
    }
}

/// A map of such channels under the cap, each with so many bytes.
fn with_sizes(sizes: &[usize]) -> (ChannelMap, Vec<Handle<Hoard>>, Told) {
    let told = Told::default();
    let mut map = ChannelMap::new().unwrap();
    map.set_memory_cap(CAP);
    let hoards = sizes.iter().map(|&size| {
        let hoard = Hoard::insert(&mut map, &told);
        map.get_mut(hoard).unwrap().take(size);
        hoard
    });
    let hoards = hoards.collect();
    (map, hoards, told)
}

#[test]
fn the_biggest_go_first_until_fifteen_sixteenths_of_the_cap_are_held() {
    let (mut map, hoards, told) = with_sizes(&[3_000, 500, 5_000, 100, 4_000, 3_400]);
    turn(&mut map);
    assert_eq!(
        (told.sizes(), map.memory()),
        (vec![], CAP),
        "as much as may be"
    );
    map.get_mut(hoards[3]).unwrap().take(1);
    turn(&mut map);
    assert_eq!((told.sizes(), map.memory()), (vec![5_000], 11_001));
    assert_eq!(map.statistics().evicted, 1);
    // 16,001 bytes again, of which 4,000 and 3,900 are the biggest.
    map.get_mut(hoards[1]).unwrap().take(3_400);
    map.get_mut(hoards[0]).unwrap().take(600);
    map.get_mut(hoards[3]).unwrap().take(1_000);
    turn(&mut map);
    assert_eq!(told.sizes()[1..], [4_000]);
    assert_eq!(map.statistics().evicted, 2);
    map.set_memory_cap(4_100);
    turn(&mut map);
    assert_eq!(told.sizes()[2..], [3_900, 3_600, 3_400]);
    assert_eq!(
        (map.len(), map.memory(), map.statistics().evicted),
        (1, 1_101, 5)
    );
}

#[test]
fn a_big_one_that_is_closed_already_counts_as_gone() {
    let (mut map, hoards, told) = with_sizes(&[9_000, 4_000, 3_000]);
    map.close_with(hoards[0], CloseReason::Evicted);
    map.get_mut(hoards[1]).unwrap().take(4_000);
    turn(&mut map);
    assert_eq!((told.sizes(), map.statistics().evicted), (vec![9_000], 1));
}

#[test]
fn one_that_is_not_to_go_stays_and_the_rest_is_not_asked_again_for_each_byte() {
    let (mut map, hoards, told) = with_sizes(&[15_000, 1_000]);
    map.get_mut(hoards[0]).unwrap().is_exempt = true;
    map.get_mut(hoards[0]).unwrap().take(5_000);
    turn(&mut map);
    assert_eq!((told.sizes(), map.memory()), (vec![1_000], 20_000));
    let asked = told.asked.get();
    for taken in (100..=CAP / 16).step_by(100) {
        map.get_mut(hoards[0]).unwrap().take(100);
        turn(&mut map);
        assert_eq!(told.asked.get(), asked, "{taken} bytes more");
    }
    map.get_mut(hoards[0]).unwrap().take(100);
    turn(&mut map);
    assert_eq!(told.asked.get(), asked + 1);
    assert!(map.is_open(hoards[0]));
    // When that is over, the cap is the cap again.
    let exempt = map.remove(hoards[0]).unwrap();
    drop(exempt);
    assert_eq!(map.memory(), 0);
    let small = [9_000, 7_001].map(|size| {
        let hoard = Hoard::insert(&mut map, &told);
        map.get_mut(hoard).unwrap().take(size);
        hoard
    });
    turn(&mut map);
    assert_eq!(told.sizes()[1..], [9_000]);
    assert!(map.is_open(small[1]));
}

#[test]
fn spare_buffers_go_before_channels() {
    let (mut map, hoards, told) = with_sizes(&[4_000]);
    let mut spare: Vec<_> = (0..3).map(|_| map.buffers().take_spare()).collect();
    assert_eq!(map.memory(), 4_000 + 3 * 4_096);
    spare.drain(..).for_each(|it| map.buffers().put_spare(it));
    // Of a small cap, one alone is kept.
    assert_eq!(map.memory(), 4_000 + 4_096);
    turn(&mut map);
    map.get_mut(hoards[0]).unwrap().take(CAP - 8_000);
    turn(&mut map);
    assert_eq!((told.sizes(), map.memory()), (vec![], CAP - 4_000));
}

#[test]
fn a_buffer_that_has_grown_too_large_is_refunded() {
    let map = ChannelMap::new().unwrap();
    let mut buffer = map.buffers().take_spare();
    let before = buffer.capacity();
    buffer.reserve_exact(100_000);
    map.buffers().charge(buffer.capacity() - before);
    assert_eq!(map.memory(), buffer.capacity());
    map.buffers().put_spare(buffer);
    assert_eq!(map.memory(), 0);
}

/// A callback that gives `big` too much, by whichever way it is called.
fn in_a_callback(call: impl FnOnce(&mut ChannelMap, Handle<Hoard>)) {
    let (mut map, hoards, told) = with_sizes(&[100, 1_000, 200]);
    let (by, big) = (hoards[0], hoards[1]);
    let inner = told.clone();
    map.get_mut(by).unwrap().script = Some(Box::new(move |me, map| {
        if map.get(big).is_ok() {
            assert!(map.may_continue(me) || !map.is_open(me));
            map.get_mut(big).unwrap().take(CAP);
            assert!(!map.may_continue(me), "one that is called stops");
            assert!(map.is_open(big), "not before the callback has returned");
            assert!(inner.sizes().is_empty());
        }
    }));
    // Called next: the eviction comes before.
    let (seen, inner) = (Rc::new(Cell::new(false)), told.clone());
    let is_seen = Rc::clone(&seen);
    map.get_mut(hoards[2]).unwrap().script = Some(Box::new(move |_, _| {
        assert_eq!(
            inner.closes.borrow().first(),
            Some(&(CAP + 1_000, "closed to make room".into()))
        );
        is_seen.set(true);
    }));
    call(&mut map, by);
    map.set_timer(hoards[2], Instant::now());
    turn(&mut map);
    turn(&mut map);
    assert!(seen.get() && !map.is_open(big));
}

#[test]
fn it_is_evicted_when_the_callback_has_returned_that_passes_the_cap() {
    in_a_callback(|map, by| {
        map.dispatch(by, Readiness::READABLE);
    });
    in_a_callback(|map, by| {
        map.dispatch(by, Readiness::READABLE | Readiness::PRIORITY);
    });
    in_a_callback(|map, by| {
        map.set_timer(by, Instant::now());
    });
    in_a_callback(|map, by| {
        map.post(by, |by, map| {
            let by = by.unwrap();
            let script = by.script.as_mut().unwrap();
            script(Token::NONE, map);
        });
    });
    in_a_callback(|map, by| {
        map.get_mut(by).unwrap().told = Told::default();
        map.close_with(by, CloseReason::Requested);
    });
}

#[test]
fn remote_work_that_passes_the_cap_evicts_when_it_is_done() {
    let (mut map, hoards, told) = with_sizes(&[100, 200]);
    let (big, small) = (hoards[0], hoards[1]);
    map.remote()
        .run(move |map| map.get_mut(big).unwrap().take(CAP))
        .unwrap();
    map.remote()
        .run(move |map| assert!(!map.is_open(big) && map.is_open(small)))
        .unwrap();
    turn(&mut map);
    assert_eq!(told.sizes(), [CAP + 100]);
}

#[test]
fn a_handle_close_that_passes_the_cap_evicts_before_the_next_event() {
    let (mut map, hoards, told) = with_sizes(&[1, 2, 100, 3]);
    let [closer, closed, big, next] = [0, 1, 2, 3].map(|n| hoards[n]);
    map.get_mut(closer).unwrap().script = Some(Box::new(move |_, map| {
        map.close_with(closed, CloseReason::Evicted);
    }));
    map.get_mut(closed).unwrap().script = Some(Box::new(move |_, map| {
        map.get_mut(big).unwrap().take(CAP);
    }));
    let inner = told.clone();
    map.get_mut(next).unwrap().script = Some(Box::new(move |_, _| {
        assert_eq!(inner.sizes(), [2, CAP + 100]);
    }));
    map.dispatch(closer, Readiness::READABLE);
    map.dispatch(next, Readiness::READABLE);
    turn(&mut map);
    assert_eq!(told.sizes(), [2, CAP + 100]);
    assert!(map.is_open(next));
}
