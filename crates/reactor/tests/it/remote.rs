//! Work for the loop from other threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::common::{Log, On, Probe, panics, turn, turn_until};
use reactor::{
    Channel, ChannelMap, Handle, Readiness, Registration, RemoteError, Result, Timer, Token,
};

/// How much work may wait, as `Remote::run` documents it.
const CAPACITY: usize = 65_536;

const THREADS: usize = 8;
/// An interpreter does not get through more before `turn_until` loses its patience.
const EACH: usize = if cfg!(miri) { 100 } else { 10_000 };

/// What each thread sent, in the order it came.
#[derive(Debug, Default)]
struct Collector {
    by_thread: [Vec<usize>; THREADS],
    total: usize,
    timed_out: bool,
}

impl Channel for Collector {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn handle_read_event(&mut self, _me: Token, _map: &mut ChannelMap) -> Result {
        Ok(())
    }

    fn handle_timer(&mut self, _timer: Timer, _me: Token, _map: &mut ChannelMap) -> Result {
        self.timed_out = true;
        Ok(())
    }
}

/// A map with a collector, and a timer that ends a wait which nobody else ends.
fn collecting() -> (ChannelMap, Handle<Collector>) {
    let mut map = ChannelMap::new().unwrap();
    let collector = map.insert(Collector::default()).unwrap();
    map.set_timer(collector, map.now() + Duration::from_secs(20));
    (map, collector)
}

#[test]
fn nothing_is_lost_and_each_thread_keeps_its_order() {
    let (mut map, collector) = collecting();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let remote = map.remote();
            thread::spawn(move || {
                for n in 0..EACH {
                    let mut work = Ok(move |map: &mut ChannelMap| {
                        let collector = map.get_mut(collector).unwrap();
                        collector.by_thread[thread].push(n);
                        collector.total += 1;
                    });
                    while let Ok(again) = work {
                        work = match remote.run(again) {
                            Ok(()) => Err(()),
                            Err(refused) => {
                                thread::yield_now();
                                Ok(refused.into_inner())
                            }
                        };
                    }
                }
            })
        })
        .collect();
    turn_until(&mut map, |map| {
        map.get(collector).unwrap().total == THREADS * EACH
    });
    for thread in threads {
        thread.join().unwrap();
    }
    let collector = map.get(collector).unwrap();
    for sent in &collector.by_thread {
        assert!(sent.iter().copied().eq(0..EACH));
    }
}

#[test]
fn work_from_another_thread_ends_the_wait_and_may_do_anything() {
    let (mut map, collector) = collecting();
    let remote = map.remote();
    let thread = thread::spawn(move || {
        let (done, answer) = mpsc::channel();
        remote
            .run(move |map: &mut ChannelMap| {
                map.insert(Collector::default()).unwrap();
                done.send(map.len()).unwrap();
                map.close_all();
            })
            .unwrap();
        answer.recv().unwrap()
    });
    map.run().unwrap();
    assert_eq!(thread.join().unwrap(), 2);
    assert!(map.get(collector).is_err());
}

#[test]
fn between_two_pieces_of_work_the_loop_rests() {
    let (mut map, _) = collecting();
    let remote = map.remote();
    let thread = thread::spawn(move || {
        for _ in 0..5 {
            let (done, answer) = mpsc::channel();
            let work = move |_: &mut ChannelMap| done.send(()).unwrap();
            remote.run(work).unwrap();
            answer.recv().unwrap();
            // Not to wait for anything: time for a loop to spin in.
            thread::park_timeout(Duration::from_millis(10));
        }
        remote.run(ChannelMap::close_all).unwrap();
    });
    map.run().unwrap();
    thread.join().unwrap();
    assert!(map.turns() < 30, "{} turns", map.turns());
}

#[test]
fn what_work_closes_is_told_before_the_next_work() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let told = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&told);
    let probe = Probe::new("a", &log).on(On::Close, move |_, _, _| {
        tell.store(true, Ordering::Relaxed);
        Ok(())
    });
    let probe = map.insert(probe).unwrap();
    let remote = map.remote();
    remote
        .run(move |map: &mut ChannelMap| assert!(map.close(probe)))
        .unwrap();
    remote
        .run(move |_: &mut ChannelMap| assert!(told.load(Ordering::Relaxed)))
        .unwrap();
    turn(&mut map);
}

#[test]
fn work_runs_after_the_events_and_timers_of_its_turn() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log)).unwrap();
    map.remote()
        .run(move |map: &mut ChannelMap| {
            assert_eq!(map.get(probe).unwrap().fired.len(), 1);
        })
        .unwrap();
    map.set_timer(probe, map.now());
    map.dispatch(probe, Readiness::READABLE);
    assert_eq!(turn(&mut map), 3);
    assert_eq!(log.take(), ["a.read", "a.timer"]);
}

#[test]
fn work_that_gives_more_work_does_not_hang_the_turn() {
    let mut map = ChannelMap::new().unwrap();
    fn again(map: &mut ChannelMap) {
        map.remote().run(again).unwrap();
    }
    map.remote().run(again).unwrap();
    for _ in 0..3 {
        assert_eq!(map.turn(None).unwrap(), 1);
    }
}

#[test]
fn too_much_work_is_handed_back() {
    let mut map = ChannelMap::new().unwrap();
    let remote = map.remote();
    let done = Arc::new(AtomicUsize::new(0));
    let work = || {
        let done = Arc::clone(&done);
        move |_: &mut ChannelMap| {
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    for _ in 0..CAPACITY {
        remote.run(work()).unwrap();
    }
    let refused = remote.run(work()).unwrap_err();
    assert!(matches!(refused, RemoteError::Full(_)));
    while done.load(Ordering::Relaxed) < CAPACITY {
        assert!(turn(&mut map) > 0);
    }
    remote.run(refused.into_inner()).unwrap();
    turn(&mut map);
    assert_eq!(done.load(Ordering::Relaxed), CAPACITY + 1);
}

#[test]
fn work_for_a_map_that_is_gone_is_handed_back() {
    let map = ChannelMap::new().unwrap();
    let remote = map.remote();
    let luggage = Arc::new(());
    let owned = Arc::clone(&luggage);
    remote.run(move |_: &mut ChannelMap| drop(owned)).unwrap();
    drop(map);
    assert_eq!(Arc::strong_count(&luggage), 1, "what waited is dropped");

    let owned = Arc::clone(&luggage);
    let refused = remote
        .run(move |_: &mut ChannelMap| drop(owned))
        .unwrap_err();
    assert!(matches!(refused, RemoteError::Gone(_)));
    assert_eq!(Arc::strong_count(&luggage), 2);
    drop(refused.into_inner());
    remote.wake(); // nobody is there, and that is no harm
}

#[test]
fn wake_ends_a_wait_without_any_work() {
    let (mut map, collector) = collecting();
    let remote = map.remote();
    remote.wake();
    assert_eq!(map.turn(None).unwrap(), 0, "the next wait");
    let thread = thread::spawn(move || remote.wake());
    assert_eq!(map.turn(None).unwrap(), 0, "the present one");
    thread.join().unwrap();
    assert!(!map.get(collector).unwrap().timed_out);
}

#[test]
fn work_that_panics_leaves_the_others() {
    let (mut map, collector) = collecting();
    let remote = map.remote();
    let add = move |map: &mut ChannelMap| map.get_mut(collector).unwrap().total += 1;
    remote.run(add).unwrap();
    remote
        .run(|_: &mut ChannelMap| panic!("in remote work"))
        .unwrap();
    remote.run(add).unwrap();
    assert!(panics(|| {
        map.turn(None).unwrap();
    }));
    assert_eq!(map.get(collector).unwrap().total, 1);
    map.turn(None).unwrap();
    assert_eq!(map.get(collector).unwrap().total, 2);
    assert!(!map.get(collector).unwrap().timed_out);
}
