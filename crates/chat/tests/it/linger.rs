//! The end of a channel: what was pushed reaches a peer that reads, within
//! bounds of time and bytes.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::time::Duration;

use chat::{AsyncChat, ChannelMap, Handle, Limits};

use crate::common::sim::{self, Peer};
use crate::common::{Log, Probe, read_some, read_to_end, tcp_pair, turn_to_rest, turn_until};

const MOMENT: Duration = Duration::from_millis(1);

fn simulated(map: &mut ChannelMap, log: &Log, limits: Limits) -> (Handle<AsyncChat<Probe>>, Peer) {
    let (line, peer) = sim::line();
    let channel = AsyncChat::over(line, "\n", Probe::new(log)).limited(limits);
    let me = map.insert(channel).unwrap();
    sim::settle(map, me, &peer);
    log.take();
    (me, peer)
}

fn finish(map: &mut ChannelMap, me: Handle<AsyncChat<Probe>>, peer: &Peer, last_words: &str) {
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.push(last_words);
    chat.close_when_done();
    sim::settle(map, me, peer);
}

#[test]
fn after_its_last_byte_a_channel_says_so_and_waits_for_the_peer_to_close() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &log, Limits::default());
    finish(&mut map, me, &peer, "goodbye");
    assert!(peer.is_shut());
    assert_eq!(peer.take_sent(), b"goodbye");
    assert!(map.is_open(me), "the peer may be sending still");
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["close Done"]);
}

#[test]
fn a_peer_that_does_not_close_is_waited_for_as_long_as_linger_says() {
    let log = Log::default();
    let mut limits = Limits::default();
    limits.linger = Duration::from_secs(7);
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &log, limits);
    finish(&mut map, me, &peer, "goodbye");
    // One that keeps talking is not waited for any longer.
    for _ in 0..6 {
        peer.say("still here\n");
        sim::step_after(&mut map, me, &peer, Duration::from_secs(1));
    }
    sim::step_after(&mut map, me, &peer, Duration::from_secs(1) - MOMENT);
    assert!(map.is_open(me));
    sim::step_after(&mut map, me, &peer, MOMENT);
    assert_eq!(log.all(), ["close Done"]);
    assert_eq!(map.timers(), 0);
}

#[test]
fn a_peer_that_sends_for_ever_is_waited_for_as_long_as_linger_bytes_says() {
    let log = Log::default();
    let mut limits = Limits::default();
    limits.linger_bytes = 1_000;
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &log, limits);
    finish(&mut map, me, &peer, "goodbye");
    peer.say([0; 1_000]);
    sim::settle(&mut map, me, &peer);
    assert!(map.is_open(me));
    peer.say([0; 1]);
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["close Done"]);
}

/// What the peer sends before it has all of ours counts, too, and when that
/// is too much, the peer still gets the rest.
#[test]
fn a_flood_during_the_flush_is_cut_off_but_the_output_is_sent() {
    let log = Log::default();
    let mut limits = Limits::default();
    limits.linger_bytes = 1_000;
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &log, limits);
    peer.set_room(0);
    finish(&mut map, me, &peer, "goodbye");
    for _ in 0..100 {
        peer.say([0; 500]);
    }
    sim::settle(&mut map, me, &peer);
    assert!(peer.waiting() > 90, "it is not read for ever");
    assert!(map.is_open(me));
    peer.set_room(100);
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent(), b"goodbye");
    assert_eq!(log.all(), ["close Done"]);
}

#[test]
fn a_peer_that_takes_nothing_of_the_rest_times_out() {
    let log = Log::default();
    let mut limits = Limits::default();
    limits.stall = Duration::from_secs(10);
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &log, limits);
    peer.set_room(0);
    finish(&mut map, me, &peer, "goodbye");
    sim::step_after(&mut map, me, &peer, Duration::from_secs(10) - MOMENT);
    assert!(map.is_open(me));
    sim::step_after(&mut map, me, &peer, MOMENT);
    assert_eq!(log.all(), ["close Missed(Stall)"]);
}

#[test]
fn a_peer_that_takes_a_little_of_the_rest_in_time_gets_all_of_it() {
    let log = Log::default();
    let mut limits = Limits::default();
    limits.stall = Duration::from_secs(10);
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &log, limits);
    peer.set_room(0);
    finish(&mut map, me, &peer, "goodbye");
    for _ in 0.."goodbye".len() {
        sim::step_after(&mut map, me, &peer, Duration::from_secs(9));
        peer.set_room(1);
        sim::settle(&mut map, me, &peer);
    }
    assert_eq!(peer.take_sent(), b"goodbye");
    assert!(peer.is_shut());
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["close Done"]);
}

#[test]
fn a_peer_that_is_gone_is_not_waited_for() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &log, Limits::default());
    peer.fail_sends(ErrorKind::BrokenPipe);
    finish(&mut map, me, &peer, "goodbye");
    assert_eq!(log.all(), ["close Io(BrokenPipe)"]);
}

/// A peer that is a file's length ahead of its reading, and half-closed.
#[test]
fn a_half_closed_peer_gets_everything() {
    let data: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
    let log = Log::default();
    let (ours, mut theirs) = tcp_pair();
    theirs.write_all(b"unread\n").unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    theirs.set_nonblocking(true).unwrap();
    let mut map = ChannelMap::new().unwrap();
    let mut channel = AsyncChat::new(ours, "\n", Probe::new(&log));
    channel.chat.push(&data);
    channel.chat.close_when_done();
    map.insert(channel).unwrap();
    assert!(read_to_end(&mut map, &mut theirs) == data);
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(log.all(), ["close Done"]);
}

/// Closing a socket with unread input makes the kernel send a reset, which
/// takes what is still under way with it.
#[test]
fn a_peer_that_sends_meanwhile_gets_everything() {
    let data: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
    let (ours, mut theirs) = tcp_pair();
    theirs.set_nonblocking(true).unwrap();
    let mut map = ChannelMap::new().unwrap();
    let probe = Probe::default().on_message({
        let data = data.clone();
        move |_, chat, _| {
            chat.push(&data);
            chat.close_when_done();
            Ok(())
        }
    });
    let me = map.insert(AsyncChat::new(ours, "\n", probe)).unwrap();
    theirs.write_all(b"begin\n").unwrap();

    let (mut received, mut said) = (Vec::new(), 0);
    turn_until(&mut map, |_| {
        if said < 500_000 {
            said += theirs.write(&[b'?'; 1_000]).unwrap_or(0);
        }
        read_some(&mut theirs, &mut received)
    });
    assert!(
        received == data,
        "{} bytes of {}",
        received.len(),
        data.len()
    );
    drop(theirs);
    turn_until(&mut map, |map| !map.is_open(me));
}

/// The kernel has taken everything, the peer has not; and then the peer says
/// something. To a socket that was closed meanwhile, that would be the end of
/// what is still on its way.
#[test]
fn a_peer_that_speaks_before_it_reads_gets_everything() {
    let data: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
    let (ours, mut theirs) = tcp_pair();
    theirs.set_nonblocking(true).unwrap();
    let ours = chat::Socket::from(ours);
    ours.set_send_buffer_size(1_000_000).unwrap();
    let peer = chat::Socket::from(theirs.try_clone().unwrap());
    peer.set_recv_buffer_size(20_000).unwrap();
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let mut channel = AsyncChat::new(ours, "\n", Probe::new(&log));
    channel.chat.push(&data);
    channel.chat.close_when_done();
    map.insert(channel).unwrap();
    turn_to_rest(&mut map);
    theirs.write_all(b"are you there?\n").unwrap();
    turn_to_rest(&mut map);
    let received = read_to_end(&mut map, &mut theirs);
    assert!(
        received == data,
        "{} bytes of {}",
        received.len(),
        data.len()
    );
    drop((theirs, peer));
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(log.all(), ["close Done"]);
}

/// A request of which the answer does not need the rest.
#[test]
fn an_answer_before_the_whole_request_was_read_is_not_lost() {
    let (ours, mut theirs) = tcp_pair();
    theirs.set_nonblocking(true).unwrap();
    let probe = Probe::default().on_message(|_, chat, _| {
        chat.push("413 too much\n");
        chat.close_when_done();
        Ok(())
    });
    let mut map = ChannelMap::new().unwrap();
    map.insert(AsyncChat::new(ours, "\n", probe)).unwrap();
    theirs.write_all(b"POST\n").unwrap();
    while theirs.write(&[b'x'; 10_000]).is_ok() {}
    turn_to_rest(&mut map);
    let mut received = Vec::new();
    assert!(
        read_some(&mut theirs, &mut received),
        "no reset, but an end"
    );
    assert_eq!(received, b"413 too much\n");
}

/// A transport that has taken everything may not have sent it: TLS keeps
/// records of its own.
#[test]
fn what_the_transport_keeps_is_sent_before_the_close_too() {
    for is_half_closed in [false, true] {
        let log = Log::default();
        let (line, peer) = sim::line();
        let probe = Probe::new(&log).on_eof(|_, _| Ok(()));
        let mut map = ChannelMap::new().unwrap();
        let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
        if is_half_closed {
            peer.say_eof();
        }
        sim::settle(&mut map, me, &peer);
        peer.use_buffer();
        peer.set_room(0);
        finish(&mut map, me, &peer, "goodbye");
        peer.set_room(100);
        sim::settle(&mut map, me, &peer);
        assert_eq!(peer.take_sent(), b"goodbye");
        peer.say_eof();
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.all().last().unwrap(), "close Done");
    }
}

/// It has the time of a flush for that, not of a farewell.
#[test]
fn what_the_transport_keeps_may_take_longer_than_linger() {
    let log = Log::default();
    let mut limits = Limits::default();
    limits.linger = Duration::from_secs(2);
    limits.stall = Duration::from_secs(30);
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &log, limits);
    peer.use_buffer();
    peer.set_room(0);
    finish(&mut map, me, &peer, "goodbye");
    sim::step_after(&mut map, me, &peer, Duration::from_secs(20));
    peer.set_room(100);
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent(), b"goodbye");
}

/// Its timer went with the map that it was in.
#[test]
fn a_channel_that_is_inserted_again_while_it_ends_ends_in_time() {
    for lingers in [true, false] {
        for is_same_map in [true, false] {
            let log = Log::default();
            let mut here = ChannelMap::new().unwrap();
            let mut there = ChannelMap::new().unwrap();
            let (me, peer) = simulated(&mut here, &log, Limits::default());
            peer.set_room(if lingers { 100 } else { 0 });
            finish(&mut here, me, &peer, "goodbye");
            let channel = here.remove(me).unwrap();
            assert_eq!(here.timers(), 0);
            let map = if is_same_map { &mut here } else { &mut there };
            let me = map.insert(channel).unwrap();
            sim::settle(map, me, &peer);
            let (patience, expected) = match lingers {
                true => (Limits::DEFAULT.linger, "close Done"),
                false => (Limits::DEFAULT.stall, "close Missed(Stall)"),
            };
            sim::step_after(map, me, &peer, patience - MOMENT);
            assert!(map.is_open(me));
            sim::step_after(map, me, &peer, MOMENT);
            assert_eq!(log.all(), [expected]);
        }
    }
}
