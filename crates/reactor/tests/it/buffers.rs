//! The buffers that all channels of a map share.

use std::io::Write;

use crate::common::{Log, On, Probe, pair, panics, turn};
use reactor::{Buffers, ChannelMap, Readiness};

const READ: usize = 262_144;

/// Whether the shelf has the buffer that `mark` was called with: a fresh one
/// would be zeros.
fn is_marked(buffers: &Buffers) -> bool {
    buffers.read_buffer()[..4] == *b"mark"
}

fn mark(buffers: &Buffers) {
    buffers.read_buffer()[..4].copy_from_slice(b"mark");
}

#[test]
fn the_read_buffer_is_lent_and_comes_back() {
    let map = ChannelMap::new().unwrap();
    let buffers = map.buffers().clone();
    assert!(!is_marked(&buffers));
    mark(&buffers);
    assert!(is_marked(&buffers));
    assert!(is_marked(map.buffers()), "a clone is the same set");
}

#[test]
fn a_nested_loan_is_never_empty() {
    let map = ChannelMap::new().unwrap();
    let first = map.buffers().read_buffer();
    let second = map.buffers().read_buffer();
    let third = map.buffers().read_buffer();
    assert_eq!([first.len(), second.len(), third.len()], [READ; 3]);
    drop(second);
    drop(first);
    drop(third);
    assert_eq!(map.buffers().read_buffer().len(), READ);
}

#[test]
fn a_callback_that_reaches_another_lends_to_both() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let other = map.insert(Probe::new("other", &log).over(&ours)).unwrap();
    theirs.write_all(b"for the other").unwrap();
    let probe = Probe::new("a", &log).on(On::Read, move |_, _, map| {
        let mut mine = map.buffers().read_buffer();
        mine.fill(b'm');
        map.with(other, |probe, map| probe.receive(other.into(), map))
            .unwrap()?;
        assert!(mine.iter().all(|&byte| byte == b'm'));
        Ok(())
    });
    let probe = map.insert(probe).unwrap();
    map.dispatch(probe, Readiness::READABLE);
    turn(&mut map);
    assert_eq!(map.get(other).unwrap().received, b"for the other");
    assert!(map.is_open(probe));
}

#[test]
fn a_panic_gives_the_read_buffer_back() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    mark(map.buffers());
    let probe = Probe::new("a", &log).on(On::Read, |_, _, map| {
        let _lent = map.buffers().read_buffer();
        panic!("with the buffer in hand");
    });
    let probe = map.insert(probe).unwrap();
    map.dispatch(probe, Readiness::READABLE);
    assert!(panics(|| {
        turn(&mut map);
    }));
    assert!(is_marked(map.buffers()));
}

#[test]
fn a_loan_may_outlive_its_map() {
    let map = ChannelMap::new().unwrap();
    let buffers = map.buffers().clone();
    let lent = buffers.read_buffer();
    drop(map);
    drop(lent);
    assert_eq!(buffers.read_buffer().len(), READ);
}

#[test]
fn a_spare_buffer_is_empty_and_has_room() {
    let map = ChannelMap::new().unwrap();
    let buffers = map.buffers();
    let mut spare = buffers.take_spare();
    assert!(spare.is_empty());
    assert!(spare.capacity() >= 4_096);
    spare.extend_from_slice(b"left over");
    let address = spare.as_ptr();
    buffers.put_spare(spare);
    let again = buffers.take_spare();
    assert!(again.is_empty());
    assert_eq!(again.as_ptr(), address);
    assert!(buffers.take_spare().capacity() >= 4_096);
}

#[test]
fn a_buffer_that_has_grown_large_is_not_kept() {
    let map = ChannelMap::new().unwrap();
    let mut spare = map.buffers().take_spare();
    spare.resize(1 << 20, b'x');
    map.buffers().put_spare(spare);
    assert!(map.buffers().take_spare().capacity() < 1 << 20);
}

/// What was once a burst on many channels does not stay for ever, nor does what the
/// next burst brings when that was taken again.
#[test]
fn so_many_bytes_of_spare_buffers_are_kept_and_no_more() {
    let map = ChannelMap::new().unwrap();
    let buffers = map.buffers();
    let mut burst: Vec<_> = (0..100).map(|_| buffers.take_spare()).collect();
    for _ in 0..3 {
        for spare in &mut burst {
            spare.reserve(65_536);
        }
        for spare in burst {
            buffers.put_spare(spare);
        }
        // Some are taken and put again before all are.
        let some: Vec<_> = (0..10).map(|_| buffers.take_spare()).collect();
        for spare in some {
            buffers.put_spare(spare);
        }
        burst = (0..100).map(|_| buffers.take_spare()).collect();
        let kept = burst.iter().filter(|spare| spare.capacity() >= 65_536);
        assert_eq!(kept.count(), 64, "4 MiB");
    }
}
