//! A channel whose sending has failed: it hears what its peer has said, within limits.

use std::io::ErrorKind;
use std::time::Duration;

use chat::{ChannelMap, Limits, Token};

use crate::common::part::{Part, Record};
use crate::common::{name, sim};

/// A channel that cannot send any more.
fn failed(is_chat: bool) -> (ChannelMap, Token, sim::Peer, Record) {
    let mut limits = Limits::default();
    limits.linger_bytes = 300_000;
    let record = Record::default();
    let part = Part::<0>::new(&record);
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = part.insert(is_chat, line, limits, &mut map);
    sim::settle(&mut map, me, &peer);
    peer.fail_sends(ErrorKind::BrokenPipe);
    Part::<0>::reach(&mut map, me, |side| side.push("lost")).unwrap();
    sim::settle(&mut map, me, &peer);
    assert!(map.is_open(me));
    (map, me, peer, record)
}

#[test]
fn it_closes_after_linger_though_the_peer_stays() {
    for is_chat in [true, false] {
        let (mut map, me, peer, record) = failed(is_chat);
        peer.say("last words\r\n");
        sim::settle(&mut map, me, &peer);
        assert_eq!(record.input_of(0), b"last words\r\n");
        let linger = Limits::default().linger;
        sim::step_after(&mut map, me, &peer, linger - Duration::from_millis(1));
        assert!(map.is_open(me));
        sim::step_after(&mut map, me, &peer, Duration::from_millis(1));
        sim::settle(&mut map, me, &peer);
        assert_eq!(name(&record.take_reason()), "Io(BrokenPipe)");
        assert_eq!(record.unsent(), (4, 0));
    }
}

#[test]
fn it_closes_after_linger_bytes_though_the_peer_goes_on_writing() {
    for is_chat in [true, false] {
        let (mut map, me, peer, record) = failed(is_chat);
        for _ in 0..20 {
            peer.say("a line of 16 b\r\n".repeat(4_096));
        }
        sim::settle(&mut map, me, &peer);
        assert_eq!(name(&record.take_reason()), "Io(BrokenPipe)");
        assert!(peer.waiting() > 0);
    }
}
