//! Speakers that wait for a member: when they do, and that they never do for ever.

use std::any::Any;

use chat::{AsyncChat, ChannelMap, ChatMap, CloseReason, Dispatcher, Handle, Hold, Limits, Token};

use crate::common::part::{Part, Record};
use crate::common::sim::{self, Peer};
use crate::common::{Log, Probe, assert_rest};

/// A speaker that pushes each message to these members, 10 bytes long.
fn speaker(map: &mut ChannelMap, log: &Log, members: &[Token]) -> (Handle<AsyncChat<Probe>>, Peer) {
    let members = members.to_vec();
    let probe = Probe::new(log).on_message(move |message, chat, map| {
        for &member in &members {
            let data = [message, b"........."].concat()[..10].to_vec();
            let _ = map.push_from(chat, member, data);
        }
        Ok(())
    });
    let (line, peer) = sim::line();
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    sim::settle(map, me, &peer);
    (me, peer)
}

/// A member that takes nothing, and is behind when more than 25 bytes are queued.
fn member(map: &mut ChannelMap, is_chat: bool) -> (Token, Peer) {
    let mut limits = Limits::default();
    (limits.high_water, limits.low_water) = (25, 10);
    let (line, peer) = sim::line();
    peer.set_room(0);
    let part = Part::<0>::new(&Record::default());
    let me = part.insert(is_chat, line, limits, map);
    sim::settle(map, me, &peer);
    (me, peer)
}

/// Turns with every one of them until nothing happens.
fn settle(map: &mut ChannelMap, all: &[(Token, &Peer)]) {
    for _ in 0..3 {
        for (channel, peer) in all {
            sim::settle(map, *channel, peer);
        }
    }
}

fn count(log: &Log) -> usize {
    log.all()
        .iter()
        .filter(|it| it.starts_with("message"))
        .count()
}

/// Takes a member out of its map.
fn take(map: &mut ChannelMap, member: Token) -> Box<dyn Any> {
    match map.remove(member.handle::<AsyncChat<Part<0>>>()) {
        Ok(chat) => Box::new(chat),
        Err(_) => Box::new(map.remove(member.handle::<Dispatcher<Part<0>>>()).unwrap()),
    }
}

#[test]
fn a_speaker_waits_while_a_member_is_behind_and_goes_on_when_it_has_drained() {
    for is_chat in [true, false] {
        let mut map = ChannelMap::new().unwrap();
        let log = Log::default();
        let (slow, slow_peer) = member(&mut map, is_chat);
        let (fast, fast_peer) = member(&mut map, is_chat);
        fast_peer.set_room(usize::MAX);
        let (me, peer) = speaker(&mut map, &log, &[slow, fast]);
        let all = [(me.token(), &peer), (slow, &slow_peer), (fast, &fast_peer)];
        peer.say("1\n2\n3\n4\n5\n6\n7\n8\n");
        settle(&mut map, &all);
        assert_eq!(count(&log), 3, "two fit, the third is above the mark");
        assert!(!map.get(me).unwrap().chat.is_held(), "by the program");
        assert_rest(&mut map);
        // Down to 11 bytes, and to 10.
        slow_peer.set_room(19);
        settle(&mut map, &all);
        assert_eq!(count(&log), 3);
        slow_peer.set_room(1);
        settle(&mut map, &all);
        assert_eq!(count(&log), 5, "10, 20, 30");
        slow_peer.set_room(usize::MAX);
        settle(&mut map, &all);
        assert_eq!(count(&log), 8);
        assert_eq!(slow_peer.take_sent().len(), 80);
        assert_eq!(fast_peer.take_sent().len(), 80);
    }
}

#[test]
fn it_waits_for_the_last_of_several() {
    for is_chat in [true, false] {
        let mut map = ChannelMap::new().unwrap();
        let log = Log::default();
        let (a, a_peer) = member(&mut map, is_chat);
        let (b, b_peer) = member(&mut map, is_chat);
        let (me, peer) = speaker(&mut map, &log, &[a, b]);
        let all = [(me.token(), &peer), (a, &a_peer), (b, &b_peer)];
        peer.say("1\n2\n3\n4\n");
        settle(&mut map, &all);
        a_peer.set_room(30);
        settle(&mut map, &all);
        assert_eq!(count(&log), 3);
        b_peer.set_room(30);
        settle(&mut map, &all);
        assert_eq!(count(&log), 4);
    }
}

/// Also while the map does not turn, or the member is dropped without it.
#[test]
fn it_goes_on_when_the_member_is_gone_whatever_way_it_went() {
    type End = fn(&mut ChannelMap, Token, &Peer);
    let ends: [(&str, End); 7] = [
        ("closed by the map", |map, it, _| _ = map.close(it)),
        ("closed by itself", |map, it, _| {
            Part::<0>::reach(map, it, |side| side.close()).unwrap();
        }),
        ("closing when done", |map, it, _| {
            Part::<0>::reach(map, it, |side| side.close_when_done()).unwrap();
        }),
        ("shut for sending", |map, it, _| {
            Part::<0>::reach(map, it, |side| side.shutdown_when_done()).unwrap();
        }),
        ("failed", |map, it, peer| {
            peer.fail_sends(std::io::ErrorKind::BrokenPipe);
            map.touch(it);
        }),
        ("cut off", |map, it, _| {
            let data = vec![0; 9 << 20];
            assert_eq!(map.push(it, data), Ok(false));
        }),
        ("closed with a reason", |map, it, _| {
            map.close_with(it, CloseReason::TimedOut);
        }),
    ];
    for is_chat in [true, false] {
        for (what, end) in ends {
            let mut map = ChannelMap::new().unwrap();
            let log = Log::default();
            let (slow, slow_peer) = member(&mut map, is_chat);
            let (me, peer) = speaker(&mut map, &log, &[slow]);
            let all = [(me.token(), &peer), (slow, &slow_peer)];
            peer.say("1\n2\n3\n4\n5\n");
            settle(&mut map, &all);
            assert_eq!(count(&log), 3);
            end(&mut map, slow, &slow_peer);
            if what == "failed" {
                sim::step(&mut map, slow, &slow_peer);
            }
            settle(&mut map, &all[..1]);
            assert_eq!(count(&log), 5, "{what}");
        }
        let mut map = ChannelMap::new().unwrap();
        let log = Log::default();
        let (slow, slow_peer) = member(&mut map, is_chat);
        let (me, peer) = speaker(&mut map, &log, &[slow]);
        peer.say("1\n2\n3\n4\n5\n");
        settle(&mut map, &[(me.token(), &peer), (slow, &slow_peer)]);
        let removed = take(&mut map, slow);
        settle(&mut map, &[(me.token(), &peer)]);
        assert_eq!(count(&log), 3, "it is a channel still");
        drop(removed);
        settle(&mut map, &[(me.token(), &peer)]);
        assert_eq!(count(&log), 5, "dropped");
    }
}

/// The loop has as much to do for other threads as it takes.
#[test]
fn it_goes_on_when_the_member_is_dropped_while_the_loop_is_busy() {
    let mut map = ChannelMap::new().unwrap();
    let log = Log::default();
    let (slow, slow_peer) = member(&mut map, true);
    let (me, peer) = speaker(&mut map, &log, &[slow]);
    peer.say("1\n2\n3\n4\n5\n");
    settle(&mut map, &[(me.token(), &peer), (slow, &slow_peer)]);
    let removed = take(&mut map, slow);
    assert_eq!(count(&log), 3);
    let remote = map.remote();
    while remote.run(|_| ()).is_ok() {}
    drop(removed);
    settle(&mut map, &[(me.token(), &peer)]);
    assert_eq!(count(&log), 5);
}

#[test]
fn it_goes_on_when_the_member_is_converted_or_enters_another_map() {
    let mut map = ChannelMap::new().unwrap();
    let log = Log::default();
    let (slow, slow_peer) = member(&mut map, true);
    let (me, peer) = speaker(&mut map, &log, &[slow]);
    let all = [(me.token(), &peer), (slow, &slow_peer)];
    peer.say("1\n2\n3\n4\n5\n");
    settle(&mut map, &all);
    assert_eq!(count(&log), 3);
    let member = slow.handle::<AsyncChat<Part<0>>>();
    let convert =
        |chat: AsyncChat<Part<0>>| Dispatcher::new(chat.chat.into_endpoint(), chat.handler);
    let member = map.convert(member, convert).unwrap();
    settle(&mut map, &all);
    assert_eq!(count(&log), 4, "the next push finds it behind again");

    let mut other = ChannelMap::new().unwrap();
    let member = map.remove(member).unwrap();
    let member = other.insert(member).unwrap();
    sim::settle(&mut other, member, &slow_peer);
    settle(&mut map, &all[..1]);
    assert_eq!(count(&log), 5);
}

#[test]
fn a_speaker_that_is_gone_leaves_nothing_at_the_member() {
    let mut map = ChannelMap::new().unwrap();
    let (slow, slow_peer) = member(&mut map, true);
    map.chat_mut(slow).unwrap().push([b'.'; 30]);
    for _ in 0..1_000 {
        let log = Log::default();
        let (me, peer) = speaker(&mut map, &log, &[slow]);
        peer.say("1\n2\n");
        sim::settle(&mut map, me, &peer);
        assert_eq!(count(&log), 1);
        map.close(me);
        sim::settle(&mut map, me, &peer);
        assert!(log.has("close Requested"));
    }
    slow_peer.set_room(usize::MAX);
    sim::settle(&mut map, slow, &slow_peer);
    assert_eq!(slow_peer.take_sent().len(), 30 + 10_000);
    assert_rest(&mut map);
}

/// Each hears itself, and the other.
#[test]
fn members_that_wait_for_themselves_and_for_each_other_go_on_when_their_peers_read() {
    let mut map = ChannelMap::new().unwrap();
    let room = map.insert_state(Vec::<Token>::new());
    let log = Log::default();
    let mut ends = Vec::new();
    for _ in 0..2 {
        let probe = Probe::new(&log).on_message(move |_, chat, map| {
            let members = map.state(room)?.clone();
            for member in members {
                map.push_from(chat, member, "0123456789")?;
            }
            Ok(())
        });
        let mut limits = Limits::default();
        (limits.high_water, limits.low_water) = (25, 10);
        let (line, peer) = sim::line();
        peer.set_room(0);
        let channel = AsyncChat::over(line, "\n", probe).with_backpressure(false);
        let me = map.insert(channel.limited(limits)).unwrap().token();
        map.state_mut(room).unwrap().push(me);
        ends.push((me, peer));
    }
    let all = [(ends[0].0, &ends[0].1), (ends[1].0, &ends[1].1)];
    settle(&mut map, &all);
    ends[0].1.say("a\n".repeat(9));
    ends[1].1.say("b\n".repeat(9));
    settle(&mut map, &all);
    let said = count(&log);
    assert!((3..=5).contains(&said), "{said}");
    assert_rest(&mut map);
    for _ in 0..100 {
        ends[0].1.set_room(7);
        settle(&mut map, &all);
        ends[1].1.set_room(7);
        settle(&mut map, &all);
    }
    assert_eq!(count(&log), 18);
    for (_, peer) in &ends {
        assert_eq!(peer.take_sent().len(), 180);
    }
}

#[test]
fn a_speaker_that_hears_itself_waits_for_itself() {
    let mut map = ChannelMap::new().unwrap();
    let log = Log::default();
    let probe = Probe::new(&log).on_message(|_, chat, map| {
        let me = chat.token();
        assert_eq!(map.push_from(chat, me, "0123456789"), Ok(true));
        Ok(())
    });
    let mut limits = Limits::default();
    (limits.high_water, limits.low_water) = (25, 10);
    let (line, peer) = sim::line();
    peer.set_room(0);
    let channel = AsyncChat::over(line, "\n", probe).with_backpressure(false);
    let me = map.insert(channel.limited(limits)).unwrap();
    peer.say("a\n".repeat(9));
    sim::settle(&mut map, me, &peer);
    assert_eq!(count(&log), 4, "the call after the third finds it behind");
    assert_rest(&mut map);
    peer.set_room(30);
    sim::settle(&mut map, me, &peer);
    assert!((6..9).contains(&count(&log)), "{}", count(&log));
    peer.set_room(usize::MAX);
    sim::settle(&mut map, me, &peer);
    assert_eq!((count(&log), peer.take_sent().len()), (9, 90));
}

/// They are reasons of their own.
#[test]
fn neither_a_release_nor_backpressure_switched_off_ends_the_wait() {
    const MINE: Hold = Hold::new(0);
    let mut map = ChannelMap::new().unwrap();
    let log = Log::default();
    let (slow, slow_peer) = member(&mut map, true);
    let (me, peer) = speaker(&mut map, &log, &[slow]);
    let all = [(me.token(), &peer), (slow, &slow_peer)];
    peer.say("1\n2\n3\n4\n5\n");
    settle(&mut map, &all);
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.hold(MINE);
    chat.release(MINE);
    chat.set_backpressure(false);
    settle(&mut map, &all);
    assert_eq!(count(&log), 3);
    map.get_mut(me).unwrap().chat.hold(MINE);
    slow_peer.set_room(usize::MAX);
    settle(&mut map, &all);
    assert_eq!(count(&log), 3, "the program's hold stays");
    map.get_mut(me).unwrap().chat.release(MINE);
    settle(&mut map, &all);
    assert_eq!(count(&log), 5);
}

/// With its handler replaced, it waits on; made a channel of another kind, it does not.
#[test]
fn a_speaker_that_is_converted_keeps_its_wait_as_it_keeps_its_holds() {
    let mut map = ChannelMap::new().unwrap();
    let log = Log::default();
    let (slow, slow_peer) = member(&mut map, true);
    let (me, peer) = speaker(&mut map, &log, &[slow]);
    peer.say("1\n2\n3\n4\n5\n");
    settle(&mut map, &[(me.token(), &peer), (slow, &slow_peer)]);
    let heard = log.clone();
    let me = map
        .convert(me, move |it| it.with_handler(|_| Probe::new(&heard)))
        .unwrap();
    settle(&mut map, &[(me.token(), &peer)]);
    assert_eq!(count(&log), 3);
    let heard = log.clone();
    let convert = move |it: AsyncChat<Probe>| {
        AsyncChat::new(it.chat.into_endpoint(), "\n", Probe::new(&heard))
    };
    let me = map.convert(me, convert).unwrap();
    settle(&mut map, &[(me.token(), &peer)]);
    assert_eq!(count(&log), 5);
}

/// A slow peer that takes nothing is given up, and the speaker goes on.
#[test]
fn the_wait_for_a_peer_that_takes_nothing_ends_with_its_stall() {
    let mut map = ChannelMap::new().unwrap();
    let log = Log::default();
    let (slow, slow_peer) = member(&mut map, true);
    let (me, peer) = speaker(&mut map, &log, &[slow]);
    let all = [(me.token(), &peer), (slow, &slow_peer)];
    peer.say("1\n2\n3\n4\n");
    settle(&mut map, &all);
    assert_eq!(count(&log), 3);
    sim::step_after(&mut map, slow, &slow_peer, Limits::default().stall);
    settle(&mut map, &all[..1]);
    assert!(!map.is_open(slow));
    assert_eq!(count(&log), 4);
}
