//! What users ask of an event loop: output, threads.

use std::io::Write;
use std::thread;
use std::time::Duration;

use chat::{AsyncChat, ChannelMap, Handle, Limits};

use crate::common::sim::{self, Peer};
use crate::common::veil::{Far, Role, Veil};
use crate::common::{Log, Probe, read_len, turn_to_rest, unix_pair};

fn simulated(map: &mut ChannelMap, probe: Probe) -> (Handle<AsyncChat<Probe>>, Peer) {
    let (line, peer) = sim::line();
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    sim::settle(map, me, &peer);
    (me, peer)
}

/// R1a: how much waits, and how much is gone.
#[test]
fn a_channel_says_how_many_bytes_are_queued_and_sent() {
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Probe::default());
    peer.set_room(7);
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.push("0123456789");
    chat.push_bytes(vec![b'x'; 2_000]);
    write!(chat, "{}", 42).unwrap();
    assert_eq!((chat.queued(), chat.sent()), (2_012, 0));
    sim::settle(&mut map, me, &peer);
    let chat = &map.get(me).unwrap().chat;
    assert_eq!((chat.queued(), chat.sent()), (2_005, 7));
}

/// R1b: too much, and few enough again.
#[test]
fn a_high_water_mark_is_seen_and_its_end_is_told() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Probe::new(&log));
    peer.set_room(0);
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.push([b'x'; 65_536]);
    assert!(!chat.needs_drain());
    chat.push("x");
    assert!(chat.needs_drain());
    for (room, events) in [(49_152, 1), (1, 2), (100_000, 2)] {
        peer.set_room(room);
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.len(), events, "{:?}", log.all());
    }
    assert_eq!(log.all(), ["connect", "drained"]);
    assert!(!map.get(me).unwrap().chat.needs_drain());
}

/// R1d: nobody has to know of a limit to have it.
#[test]
fn every_default_limit_is_finite() {
    let limits = Limits::default();
    let sizes = [
        limits.in_buffer_size,
        limits.out_buffer_size,
        limits.message,
        limits.counted_message,
        limits.output,
        limits.high_water,
        limits.low_water,
        limits.received_per_turn,
        limits.sent_per_turn,
        limits.linger_bytes,
    ];
    assert!(sizes.iter().all(|&size| 0 < size && size <= 1 << 26));
    assert!(limits.linger.max(limits.stall) <= Duration::from_secs(120));
}

/// R5: the thread has something to say to one channel.
#[test]
fn a_message_of_another_thread_reaches_a_channel() {
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::new(ours, "\n", Probe::default()));
    let (me, remote) = (me.unwrap(), map.remote());
    let thread = thread::spawn(move || {
        for word in ["from ", "another ", "thread"] {
            let told = remote.run(move |map| {
                if let Ok(channel) = map.get_mut(me) {
                    channel.chat.push(word);
                }
            });
            assert!(told.is_ok());
        }
    });
    let received = read_len(&mut map, &mut theirs, 19);
    assert_eq!(received, b"from another thread");
    thread.join().unwrap();
}

/// R9: the socket is empty, the transport is not.
#[test]
fn the_loop_does_not_sleep_on_input_that_a_transport_holds() {
    let log = Log::default();
    let (ours, theirs) = unix_pair();
    let mut far = Far::of_pair(theirs, Role::Client);
    let mut map = ChannelMap::new().unwrap();
    let veil = Veil::new(ours, Role::Client);
    map.insert(AsyncChat::over(veil, "\n", Probe::new(&log)))
        .unwrap();
    turn_to_rest(&mut map);
    far.read();
    far.say("a line\n".repeat(20));
    while log.count("message a line") < 20 {
        let dispatched = map.turn(Some(Duration::from_secs(1))).unwrap();
        assert!(dispatched > 0, "it slept on {} of 20", log.len());
    }
}

/// R11: a peer that sends and does not read.
#[test]
fn input_is_read_while_output_is_stuck() {
    let log = Log::default();
    let probe = Probe::new(&log).on_message(|line, chat, _| {
        chat.push(line);
        Ok(())
    });
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, probe);
    peer.set_room(0);
    for sent in 1..=100 {
        peer.say("line\n");
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.count("message"), sent);
    }
    assert_eq!(map.get(me).unwrap().chat.queued(), 400);
}
