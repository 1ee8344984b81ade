//! `ChatMap::lingering`: who has sent all, and waits for the peer to close.

use chat::{AsyncChat, ChannelMap, ChatMap, Limits};

use crate::common::part::{Part, Record};
use crate::common::sim::{self, Peer};
use crate::common::{Probe, read_to_end, turn_until, unix_pair};

#[test]
fn it_counts_chats_and_dispatchers_that_have_sent_all() {
    let mut map = ChannelMap::new().unwrap();
    let record = Record::default();
    let mut roles = Vec::new();
    for is_chat in [true, false] {
        for _ in 0..3 {
            let (line, peer) = sim::line();
            let part = Part::<0>::new(&record);
            let me = part.insert(is_chat, line, Limits::default(), &mut map);
            sim::settle(&mut map, me, &peer);
            roles.push((me, peer));
        }
    }
    assert_eq!((map.lingering(), map.len()), (0, 6));
    let settle = |map: &mut ChannelMap, roles: &[(chat::Token, Peer)]| {
        for (me, peer) in roles {
            sim::settle(map, *me, peer);
        }
    };
    // Of each kind: one closes, one closes and is stuck, one only ends its output.
    for (nth, (me, peer)) in roles.iter().enumerate() {
        peer.set_room(if nth % 3 == 1 { 0 } else { 100 });
        let done = Part::<0>::reach(&mut map, *me, |side| {
            side.push("last");
            match nth % 3 {
                2 => side.shutdown_when_done(),
                _ => side.close_when_done(),
            }
        });
        assert!(done.is_some());
    }
    settle(&mut map, &roles);
    assert_eq!((map.lingering(), map.len()), (2, 6));
    for (_, peer) in &roles {
        peer.set_room(100);
    }
    settle(&mut map, &roles);
    assert_eq!((map.lingering(), map.len()), (4, 6));
    map.turn_at(map.now() + Limits::DEFAULT.linger).unwrap();
    map.turn_at(map.now()).unwrap();
    assert_eq!((map.lingering(), map.len()), (0, 2));
}

/// A client that has said goodbye need not wait until the server hangs up.
#[test]
fn a_program_can_stop_when_nothing_else_is_left() {
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let mut channel = AsyncChat::new(ours, "\n", Probe::default());
    channel.chat.push("QUIT\n");
    channel.chat.close_when_done();
    map.insert(channel).unwrap();
    turn_until(&mut map, |map| map.lingering() == map.len());
    assert!(!map.is_empty());
    assert_eq!(read_to_end(&mut map, &mut theirs), b"QUIT\n");
}
