//! Output that is no answer holds nothing.

use chat::{AsyncChat, ChannelMap, ChatMap, IterProducer, Readiness};

use super::{HIGH, answering, chat, other};
use crate::common::{Log, Probe, sim};

/// A room's members and the program push to a channel; it is answered all the same.
#[test]
fn what_others_push_does_not_hold_the_channel() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = answering(100, &mut map, &log);
    peer.set_room(0);
    let member = chat(&mut map, me);
    member.push(vec![b'o'; 300_000]);
    for _ in 0..30 {
        member.push_with_producer(IterProducer::new([vec![b'o'; 1_000]]));
    }
    sim::settle(&mut map, me, &peer);
    // More answers than the mark, while the backlog moves on and stays.
    for nth in 1..=2_000 {
        chat(&mut map, me).push(vec![b'o'; 1_000]);
        peer.set_room(1_000);
        peer.say("?\n");
        sim::step(&mut map, me, &peer);
        assert_eq!(log.count("message ?"), nth);
    }
    assert!(chat(&mut map, me).queued() > 300_000);
    let rest = HIGH / 100;
    peer.set_room(0);
    peer.say("?\n".repeat(2 * rest));
    sim::settle(&mut map, me, &peer);
    let count = log.count("message ?") - 2_000;
    assert!((rest..=rest + 300).contains(&count), "{count} answers wait");
}

#[test]
fn what_another_channel_has_pushed_before_in_the_turn_is_no_answer() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = answering(20_000, &mut map, &log);
    let (room, speaker) = other(&mut map, move |map| _ = chat(map, me).push(vec![0; 60_000]));
    peer.set_room(0);
    speaker.say("say it\n");
    peer.say("?\n".repeat(6));
    map.dispatch(room, Readiness::READABLE);
    sim::step(&mut map, me, &peer);
    assert_eq!(chat(&mut map, me).queued(), 60_000 + 4 * 20_000);
    assert_eq!(log.count("message ?"), 4);
}

/// Others have pushed before the event, and while its messages are delivered.
#[test]
fn what_others_push_while_messages_are_delivered_is_no_answer() {
    let log = Log::default();
    let inner = log.clone();
    let probe = Probe::default().on_message(move |line, chat, map| {
        inner.add("message");
        if line == b"room" {
            map.push(chat.token(), vec![b'o'; 200_000])?;
        }
        chat.push(vec![b'a'; 20_000]);
        Ok(())
    });
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    sim::settle(&mut map, me, &peer);
    peer.set_room(0);
    chat(&mut map, me).push(vec![b'o'; HIGH]);
    peer.say("one\nroom\nthree\n"); // 60,000 bytes of answers
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.count("message"), 3);
    peer.say("four\nfive\n");
    peer.say("six\nseven\neight\n");
    sim::settle(&mut map, me, &peer);
    // Of the first answers, as many as others had pushed may have gone uncounted.
    let delivered = log.count("message");
    assert!((4..8).contains(&delivered), "{delivered}");
}

/// Timers and the end of a backlog push, too.
#[test]
fn what_a_channel_pushes_in_other_callbacks_does_not_hold_it() {
    let log = Log::default();
    let mut left = 3;
    let probe = Probe::new(&log)
        .on_connect(|chat, _| {
            chat.push(vec![b'g'; 100_000]);
            Ok(())
        })
        .on_drained(move |chat, _| {
            left -= 1;
            if left > 0 {
                chat.push(vec![b'g'; 100_000]);
            }
            Ok(())
        });
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    peer.set_room(0);
    for _ in 0..3 {
        peer.say("?\n");
        sim::settle(&mut map, me, &peer);
        peer.set_room(100_000);
        sim::settle(&mut map, me, &peer);
        peer.set_room(0);
    }
    assert_eq!(log.count("message ?"), 3);
    assert_eq!(log.count("drained"), 3);
}
