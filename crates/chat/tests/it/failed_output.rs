//! A channel whose sending has failed: it hears what its peer has said, within limits.

use std::io::ErrorKind;
use std::time::Duration;

use chat::{AsyncChat, ChannelMap, Limits, Token};

use crate::common::part::{Part, Record};
use crate::common::{Log, Probe, name, sim};

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
    // Reads are full, or they are not.
    for (is_chat, lines) in [(true, 4_096), (false, 4_096), (true, 4_000), (false, 4_000)] {
        let (mut map, me, peer, record) = failed(is_chat);
        for _ in 0..20 {
            peer.say("a line of 16 b\r\n".repeat(lines));
            sim::step(&mut map, me, &peer);
        }
        sim::settle(&mut map, me, &peer);
        assert_eq!(name(&record.take_reason()), "Io(BrokenPipe)");
        assert!((300_000..600_000).contains(&record.input_of(0).len()));
    }
}

/// A server that refuses a request does so before it has read all of it.
#[test]
fn an_answer_is_heard_however_the_rest_of_the_request_failed() {
    for by_send in [true, false] {
        let record = Record::default();
        let (line, peer) = sim::line();
        let mut map = ChannelMap::new().unwrap();
        let me = Part::<0>::new(&record).insert(false, line, Limits::default(), &mut map);
        sim::settle(&mut map, me, &peer);
        peer.fail_sends(ErrorKind::BrokenPipe);
        Part::<0>::reach(&mut map, me, |side| {
            let endpoint = side.raw();
            match by_send {
                true => assert_eq!(
                    endpoint.send(b"x").unwrap_err().kind(),
                    ErrorKind::BrokenPipe
                ),
                false => assert!(endpoint.push(b"x")),
            }
        });
        sim::settle(&mut map, me, &peer);
        Part::<0>::reach(&mut map, me, |side| assert!(side.raw().output_failed()));
        peer.say("413 too large\r\n");
        peer.say_eof();
        sim::settle(&mut map, me, &peer);
        assert_eq!(record.input_of(0), b"413 too large\r\n");
        assert_eq!(name(&record.take_reason()), "Io(BrokenPipe)");
    }
}

/// Such a handler pauses until its answers are sent; but these never are.
#[test]
fn it_needs_no_drain_and_is_not_paused_for_it() {
    let log = Log::default();
    let (line, peer) = sim::line();
    let probe = Probe::new(&log).on_message(|_, chat, _| {
        chat.push(vec![b'x'; 100_000]);
        if chat.needs_drain() {
            chat.pause();
        }
        Ok(())
    });
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    sim::settle(&mut map, me, &peer);
    peer.fail_sends(ErrorKind::BrokenPipe);
    peer.say("one\ntwo\n");
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["connect", "message one", "message two"]);
}
