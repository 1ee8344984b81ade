//! The channel map itself: channels in and out, timers set and cancelled, a turn
//! among channels that are idle.

use std::time::Duration;

use chat::{Channel, ChannelMap, Handle, Readiness, Registration, Result, Token};
use divan::Bencher;

/// A channel without a source.
#[derive(Debug)]
struct Idle;

impl Channel for Idle {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn handle_read_event(&mut self, _me: Token, _map: &mut ChannelMap) -> Result {
        Ok(())
    }
}

const OTHERS: [usize; 2] = [0, 10_000];

/// A map with `others`, at rest, and one channel more.
fn map_among(others: usize) -> (ChannelMap, Handle<Idle>) {
    let mut map = ChannelMap::new().expect("a poller");
    for _ in 0..others {
        map.insert(Idle).expect("no shutdown");
    }
    let one = map.insert(Idle).expect("no shutdown");
    let now = map.now();
    map.turn_at(now).expect("no nested turn");
    (map, one)
}

#[divan::bench(args = OTHERS)]
fn insert_and_remove(bencher: Bencher, others: usize) {
    let (mut map, _) = map_among(others);
    let now = map.now();
    let mut count = 0_u32;
    bencher.bench_local(|| {
        let channel = map.insert(Idle).expect("no shutdown");
        map.remove(channel).unwrap();
        // What was touched is forgotten when the map turns.
        count += 1;
        if count % 1024 == 0 {
            map.turn_at(now).expect("no nested turn");
        }
    });
}

#[divan::bench(args = OTHERS)]
fn get_mut(bencher: Bencher, others: usize) {
    let (mut map, one) = map_among(others);
    bencher.bench_local(|| divan::black_box(map.get_mut(one)).is_ok());
}

#[divan::bench(args = OTHERS)]
fn set_timer_and_cancel(bencher: Bencher, others: usize) {
    let (mut map, one) = map_among(others);
    let now = map.now();
    for number in 0..others as u64 {
        map.set_timer(one, now + Duration::from_millis(60_000 + 37 * number));
    }
    bencher.bench_local(|| {
        let timer = map.set_timer(one, now + Duration::from_secs(120));
        map.cancel(timer)
    });
}

#[divan::bench(args = OTHERS)]
fn dispatch_one(bencher: Bencher, others: usize) {
    let (mut map, one) = map_among(others);
    let now = map.now();
    bencher.bench_local(|| {
        map.dispatch(one, Readiness::READABLE);
        map.turn_at(now)
    });
}

fn main() {
    divan::main();
}
