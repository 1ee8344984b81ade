//! The order of remote work.

use std::thread;

use chat::ChannelMap;

use crate::common::turn_until;
use crate::ordering::stage::{Stage, note};

#[test]
fn the_work_of_one_sender_comes_in_the_order_it_was_sent() {
    const SENDERS: usize = 3;
    const WORKS: usize = 300;

    let mut stage = Stage::new();
    let a = stage.extra("a").me;
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let remote = stage.map.remote();
            thread::spawn(move || {
                for nth in 0..WORKS {
                    let line = format!("{sender} {nth}");
                    let work = move |map: &mut ChannelMap| note(map, a, &line);
                    assert!(remote.run(work).is_ok());
                }
            })
        })
        .collect();
    let log = stage.log.clone();
    turn_until(&mut stage.map, |_| log.len() == SENDERS * WORKS);
    for sender in senders {
        sender.join().unwrap();
    }
    let record = log.take();
    for sender in 0..SENDERS {
        let prefix = format!("{sender} ");
        let came = record.iter().filter(|line| line.starts_with(&prefix));
        let sent = (0..WORKS).map(|nth| format!("{sender} {nth}"));
        assert!(came.eq(sent.collect::<Vec<_>>().iter()));
    }
}

#[test]
fn work_that_work_sends_comes_in_the_next_turn() {
    let mut stage = Stage::new();
    let a = stage.extra("a").me;
    let remote = stage.map.remote();
    let again = remote.clone();
    let first = move |map: &mut ChannelMap| {
        note(map, a, "first");
        let third = move |map: &mut ChannelMap| note(map, a, "third");
        assert!(again.run(third).is_ok());
    };
    assert!(remote.run(first).is_ok());
    let second = move |map: &mut ChannelMap| note(map, a, "second");
    assert!(remote.run(second).is_ok());
    assert_eq!(stage.turn(), ["first", "second"]);
    assert_eq!(stage.turn(), ["third"]);
}
