//! Timers that are set and cancelled, and channels that come and go, cost no memory in
//! the long run.

#![allow(unsafe_code)] // a global allocator cannot be written without

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use reactor::{Channel, ChannelMap, Readiness, Registration, Result, Token};

thread_local! {
    // Per thread, so that the test harness' own threads do not count.
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    LIVE.set(LIVE.get() + bytes);
}

struct Counting;

// SAFETY: everything is passed on to the system's allocator unchanged; the
// counter neither allocates nor has a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Debug)]
struct Idle;

impl Channel for Idle {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn handle_read_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        map.close(me);
        Ok(())
    }
}

#[test]
fn a_million_timers_set_and_cancelled_leave_nothing() {
    let mut map = ChannelMap::new().unwrap();
    let idle = map.insert(Idle).unwrap();
    let far = map.now() + Duration::from_secs(3600);
    let first = map.set_timer(idle, far);
    assert!(map.cancel(first));
    let before = LIVE.get();
    for n in 0..1_000_000 {
        let timer = map.set_timer(idle, far + Duration::from_nanos(n));
        assert!(map.cancel(timer));
    }
    assert_eq!(map.timers(), 0);
    assert_eq!(LIVE.get(), before);
}

#[test]
fn a_timer_that_is_always_put_off_costs_one_timer() {
    let mut map = ChannelMap::new().unwrap();
    let channels: Vec<_> = (0..100).map(|_| map.insert(Idle).unwrap()).collect();
    let far = map.now() + Duration::from_secs(3600);
    let mut timers: Vec<_> = channels.iter().map(|&c| map.set_timer(c, far)).collect();
    let before = LIVE.get();
    for n in 0..1_000 {
        for (timer, &channel) in timers.iter_mut().zip(&channels) {
            assert!(map.cancel(*timer));
            *timer = map.set_timer(channel, far + Duration::from_nanos(n));
        }
    }
    assert_eq!(map.timers(), 100);
    assert_eq!(LIVE.get(), before);
}

#[test]
fn channels_that_come_and_go_with_their_timers_leave_nothing() {
    let mut map = ChannelMap::new().unwrap();
    let mut before = 0;
    for round in 0..1_000 {
        for _ in 0..10 {
            let idle = map.insert(Idle).unwrap();
            for _ in 0..10 {
                map.set_timer(idle, map.now() + Duration::from_secs(3600));
            }
            map.close(idle);
        }
        map.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(map.timers(), 0);
        if round == 10 {
            before = LIVE.get();
        }
    }
    assert_eq!(LIVE.get(), before);
}

/// Nobody turns the map meanwhile: the queues would have a name for each of the dead.
#[test]
fn channels_that_come_and_go_between_two_turns_leave_nothing() {
    let mut map = ChannelMap::new().unwrap();
    let living: Vec<_> = (0..10).map(|_| map.insert(Idle).unwrap()).collect();
    for &idle in &living[..5] {
        map.dispatch(idle, Readiness::READABLE);
    }
    let before = LIVE.get();
    for _ in 0..100_000 {
        let idle = map.insert(Idle).unwrap();
        map.dispatch(idle, Readiness::READABLE);
        map.remove(idle).unwrap();
    }
    let grown = LIVE.get() - before;
    // Two queues, of twice the 1,024 names that are borne, of 16 bytes each.
    assert!(grown <= 2 * 2 * 1_024 * 16, "{grown} bytes");
    // The living have kept their places.
    map.turn(Some(Duration::ZERO)).unwrap();
    let is_open: Vec<_> = living.iter().map(|&idle| map.is_open(idle)).collect();
    assert_eq!(is_open, [[false; 5], [true; 5]].concat());
}
