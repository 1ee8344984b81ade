//! Closing: once, with the right reason, and nothing after it.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::time::Duration;

use chat::{AsyncChat, ChannelMap, Chat, CloseReason, Handle, Limits};

use crate::common::sim::{self, Peer};
use crate::common::{
    Log, Probe, read_len, read_to_end, tcp_pair, turn_to_rest, turn_until, unix_pair,
};

fn simulated(map: &mut ChannelMap, probe: Probe) -> (Handle<AsyncChat<Probe>>, Peer) {
    let (line, peer) = sim::line();
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    sim::settle(map, me, &peer);
    probe_log(map, me).take();
    (me, peer)
}

fn probe_log(map: &ChannelMap, me: Handle<AsyncChat<Probe>>) -> Log {
    map.get(me).unwrap().handler.log.clone()
}

/// A proxy: what one end has passed on leaves before the news of its end ends the
/// other, also if both come with the last read.
#[test]
fn what_was_pushed_to_another_channel_leaves_before_handle_close_closes_that() {
    let mut map = ChannelMap::new().unwrap();
    let (other, other_peer) = simulated(&mut map, Probe::default());
    let probe = Probe::default()
        .on_message(move |line, _, map| {
            map.get_mut(other).unwrap().chat.push(line);
            Ok(())
        })
        .on_close(move |_, map| {
            map.close(other);
        });
    let (me, peer) = simulated(&mut map, probe);
    let mut limits = Limits::default();
    limits.in_buffer_size = 15; // all of it, so that the end is read as well
    map.get_mut(me).unwrap().chat.set_limits(limits);
    peer.say("the last words\n");
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(other_peer.take_sent(), b"the last words");
    assert!(map.is_empty());
}

/// The same, between two turns.
#[test]
fn what_was_pushed_between_turns_leaves_before_a_close_is_told_of() {
    let mut map = ChannelMap::new().unwrap();
    let (other, other_peer) = simulated(&mut map, Probe::default());
    let probe = Probe::default().on_close(move |_, map| {
        map.close(other);
    });
    let (me, peer) = simulated(&mut map, probe);
    map.get_mut(other).unwrap().chat.push("the last words");
    map.close(me);
    sim::settle(&mut map, me, &peer);
    assert_eq!(other_peer.take_sent(), b"the last words");
    assert!(map.is_empty());
}

/// D2a: the lines behind `QUIT` were read already.
///
/// CVE-2024-49768 in Waitress, and the same in asynchat: `QUIT` was answered,
/// and then the next command ran.
#[test]
fn lines_after_a_close_in_found_terminator_are_not_delivered() {
    let ways: [fn(&mut Chat, &mut ChannelMap); 4] = [
        |chat, _| chat.close(),
        |chat, _| chat.close_when_done(),
        |chat, map| assert!(map.close(chat.token())),
        |_, map| map.close_all(),
    ];
    for (way, reason) in ways
        .into_iter()
        .zip(["Requested", "Done", "Requested", "Requested"])
    {
        let log = Log::default();
        let probe = Probe::new(&log).on_message(move |_, chat, map| {
            chat.push("221 bye\r\n");
            way(chat, map);
            Ok(())
        });
        let mut map = ChannelMap::new().unwrap();
        let (me, peer) = simulated(&mut map, probe);
        peer.say("QUIT\nRCPT\nDA");
        peer.say("TA\n");
        peer.say_eof();
        sim::settle(&mut map, me, &peer);
        let expected = ["message QUIT".to_owned(), format!("close {reason}")];
        assert_eq!(log.all(), expected);
        let is_answered = peer.take_sent() == b"221 bye\r\n";
        assert_eq!(is_answered, reason == "Done");
        assert!(map.is_empty());
    }
}

#[test]
fn input_after_close_when_done_is_read_and_not_delivered() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Probe::new(&log));
    peer.set_room(0);
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.push("goodbye");
    chat.close_when_done();
    for _ in 0..10 {
        peer.say("too late\n");
        sim::settle(&mut map, me, &peer);
    }
    assert_eq!(peer.waiting(), 0, "read, so that nothing is reset");
    peer.set_room(usize::MAX);
    sim::settle(&mut map, me, &peer);
    peer.say("much too late\n");
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["close Done"]);
}

#[test]
fn what_was_pushed_before_close_is_dropped_and_before_close_when_done_sent() {
    let mut map = ChannelMap::new().unwrap();
    for (is_done, expected) in [(false, &b""[..]), (true, b"bytes")] {
        let (me, peer) = simulated(&mut map, Probe::default());
        let chat = &mut map.get_mut(me).unwrap().chat;
        chat.push("bytes");
        match is_done {
            true => chat.close_when_done(),
            false => chat.close(),
        }
        sim::settle(&mut map, me, &peer);
        assert_eq!(peer.take_sent(), expected);
    }
}

#[test]
fn handle_close_comes_once_however_often_and_wherever_it_is_closed() {
    let log = Log::default();
    let probe = Probe::new(&log).on_message(|_, chat, map| {
        chat.close_when_done();
        chat.close();
        chat.close_with(CloseReason::TimedOut);
        map.close(chat.token());
        map.close(chat.token());
        Err("and an error".into())
    });
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, probe);
    peer.say("now\nnot now\n");
    sim::settle(&mut map, me, &peer);
    assert!(!map.close(me), "it is closed already");
    sim::settle(&mut map, me, &peer);
    let expected = ["message now", "error and an error", "close Requested"];
    assert_eq!(log.all(), expected);
}

type Way = fn(&mut Chat, &Peer);

/// The first reason stands.
#[test]
fn handle_close_is_told_the_reason() {
    let reasons: [(&str, Way); 6] = [
        ("Requested", |chat, _| chat.close()),
        ("TimedOut", |chat, _| chat.close_with(CloseReason::TimedOut)),
        ("OverLimit", |chat, peer| {
            chat.close_when_done_with(CloseReason::OverLimit);
            chat.close_when_done_with(CloseReason::Eof);
            peer.say_eof();
        }),
        ("Done", |chat, peer| {
            chat.close_when_done();
            peer.say_eof();
        }),
        ("Eof", |_, peer| peer.say_eof()),
        ("Io(BrokenPipe)", |chat, peer| {
            peer.fail_sends(ErrorKind::BrokenPipe);
            chat.push("x");
            chat.pause(); // nothing more can be heard
        }),
    ];
    for (expected, way) in reasons {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let (me, peer) = simulated(&mut map, Probe::new(&log));
        way(&mut map.get_mut(me).unwrap().chat, &peer);
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.all().last().unwrap(), &format!("close {expected}"));
        assert_eq!(log.count("close"), 1);
    }
}

#[test]
fn a_reset_by_the_peer_closes_with_the_error() {
    let log = Log::default();
    let (ours, theirs) = tcp_pair();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::new(ours, "\n", Probe::new(&log));
    let me = map.insert(channel).unwrap();
    turn_to_rest(&mut map);
    let theirs = chat::Socket::from(theirs);
    theirs.set_linger(Some(Duration::ZERO)).unwrap();
    drop(theirs);
    turn_until(&mut map, |map| !map.is_open(me));
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["connect", "close Io(ConnectionReset)"]);
}

#[test]
fn eof_sends_what_is_queued_and_tells_what_was_not_ended() {
    let log = Log::default();
    let probe = Probe::new(&log).on_message(|line, chat, _| {
        chat.push(line);
        Ok(())
    });
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, probe);
    peer.say("whole\npart");
    peer.say("ial");
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["message whole", "eof partial", "close Eof"]);
    assert_eq!(peer.take_sent(), b"whole");
}

/// A client that shuts its sending side down, and reads.
#[test]
fn a_half_closed_channel_can_go_on_sending() {
    let log = Log::default();
    let probe = Probe::new(&log).on_eof(|chat, map| {
        map.set_timer(chat.token(), map.now());
        Ok(())
    });
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::new(ours, "\n", probe)).unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["connect", "eof", "timer"]);
    map.get_mut(me).unwrap().chat.push("still here");
    assert_eq!(read_len(&mut map, &mut theirs, 10), b"still here");
    map.get_mut(me).unwrap().chat.close_when_done();
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(log.all().last().unwrap(), "close Done");
}

/// asyncore read once and closed: of 200,000 bytes 65,536 arrived.
#[test]
fn what_a_peer_wrote_before_it_closed_arrives_whole() {
    for sends_meanwhile in [false, true] {
        let log = Log::default();
        let probe = Probe::new(&log).on_message(move |_, chat, _| {
            if sends_meanwhile {
                chat.push("an answer to nobody\n"); // EPIPE
            }
            Ok(())
        });
        let (ours, mut theirs) = unix_pair();
        let socket = chat::Socket::from(theirs.try_clone().unwrap());
        socket.set_send_buffer_size(1_000_000).unwrap();
        drop(socket);
        let mut map = ChannelMap::new().unwrap();
        map.insert(AsyncChat::new(ours, "\n", probe)).unwrap();
        let lines = "0123456789abcde\n".repeat(200_000 / 16);
        let mut left = lines.as_bytes();
        while !left.is_empty() {
            match theirs.write(left) {
                Ok(len) => left = &left[len..],
                // A smaller socket than was asked for: the loop makes room.
                Err(_) => assert!(map.turn(Some(Duration::ZERO)).unwrap() > 0),
            }
        }
        drop(theirs);
        turn_until(&mut map, |map| map.is_empty());
        assert_eq!(log.count("message 0123456789abcde"), 200_000 / 16);
        assert_eq!((log.count("eof"), log.count("close")), (1, 1));
    }
}

#[test]
fn removing_a_channel_or_dropping_the_map_calls_nothing() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (removed, _peer) = simulated(&mut map, Probe::new(&log));
    let (_dropped, _peer) = simulated(&mut map, Probe::new(&log));
    let channel = map.remove(removed).unwrap();
    drop(channel);
    drop(map);
    assert!(log.all().is_empty());
}

#[test]
fn a_peer_that_reads_gets_a_megabyte_before_the_close() {
    let data: Vec<u8> = (0..1_048_576_u32).map(|i| (i % 251) as u8).collect();
    let bytes = bytes::Bytes::from(data.clone());
    let probe = Probe::default().on_connect(move |chat, _| {
        let mut limits = Limits::default();
        limits.sent_per_turn = 100_000;
        chat.set_limits(limits);
        chat.push_bytes(bytes.clone());
        chat.close_when_done();
        Ok(())
    });
    let (ours, mut theirs) = tcp_pair();
    theirs.set_nonblocking(true).unwrap();
    let mut map = ChannelMap::new().unwrap();
    map.insert(AsyncChat::new(ours, "\n", probe)).unwrap();
    assert!(read_to_end(&mut map, &mut theirs) == data);
}

/// Above the high-water mark a push sends at once, but not here.
#[test]
fn what_is_pushed_in_handle_close_goes_nowhere() {
    type Close = fn(&mut ChannelMap, Handle<AsyncChat<Probe>>);
    let ways: [Close; 3] = [
        |map, me| assert!(map.close(me)),
        |map, me| map.get_mut(me).unwrap().chat.close(),
        |map, _| map.close_all(),
    ];
    for way in ways {
        let log = Log::default();
        let inner = log.clone();
        let probe = Probe::new(&log).on_close(move |chat, _| {
            assert!(chat.closing());
            chat.push([b'x'; 100_000]);
            chat.push_bytes(vec![b'y'; 100_000]);
            chat.push_with_producer(chat::SimpleProducer::new("z"));
            assert!(chat.try_push("!").is_err());
            assert_eq!(chat.queued(), 0);
            inner.add("pushed");
        });
        let mut map = ChannelMap::new().unwrap();
        let (me, peer) = simulated(&mut map, probe);
        way(&mut map, me);
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.all(), ["close Requested", "pushed"]);
        assert_eq!((peer.sends(), peer.take_sent().len()), (0, 0));
    }
}
