//! A map that is dropped leaves no descriptor open. The test counts those of the
//! whole process, and so it has one of its own.

#![cfg(target_os = "linux")]

use std::fs;
use std::sync::Arc;

use crate::common::alone::is_alone;
use crate::common::{Log, Probe, is_watched, pair, turn};
use reactor::{ChannelMap, Handle, Source};

type Kept = Source<crate::common::Stream>;

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn replaced(map: &mut ChannelMap, probe: Handle<Probe>) -> Kept {
    let (other, _) = pair();
    let stream = map.get_mut(probe).unwrap().stream.as_mut().unwrap();
    std::mem::replace(stream, Source::new(other))
}

#[test]
fn a_source_that_lives_on_does_not_keep_a_dropped_maps_poller_open() {
    if !is_alone(
        a_source_that_lives_on_does_not_keep_a_dropped_maps_poller_open,
        &["env"],
    ) {
        return;
    }
    type Way = fn(&mut ChannelMap, Handle<Probe>) -> Kept;
    let ways: [Way; 4] = [
        |map, probe| map.get_mut(probe).unwrap().stream.take().unwrap(),
        |map, probe| {
            let kept = map.get_mut(probe).unwrap().stream.take().unwrap();
            turn(map);
            kept
        },
        |map, probe| map.remove(probe).unwrap().stream.unwrap(),
        replaced,
    ];
    for (index, way) in ways.into_iter().enumerate() {
        for is_settled in [false, true] {
            let (ours, _theirs) = pair();
            let before = descriptors();
            let mut map = ChannelMap::new().unwrap();
            assert!(descriptors() > before);
            let probe = Probe::new("a", &Log::default()).over(&ours);
            let probe = map.insert(probe).unwrap();
            if is_settled {
                turn(&mut map);
            }
            let kept = way(&mut map, probe);
            drop(map);
            assert_eq!(descriptors(), before, "way {index}, {is_settled}");

            // It is as good as new.
            let mut next = ChannelMap::new().unwrap();
            let mut probe = Probe::new("b", &Log::default());
            probe.stream = Some(kept);
            next.insert(probe).unwrap();
            assert!(is_watched(&mut next, &ours));
            drop(next);
            assert_eq!(descriptors(), before, "way {index}, {is_settled}");
            assert_eq!(Arc::strong_count(&ours), 1);
        }
    }
}
