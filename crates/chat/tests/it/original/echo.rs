//! A peer that sends back what it got, cut as it likes.

use std::io::Write;
use std::time::Duration;

use chat::{ChannelMap, Chat, Terminator};

use crate::common::{read_len, turn_until};
use crate::original::collector::{Collected, Collector};
use crate::original::family::{Family, Place};

/// Where the peer stops to listen.
const BYE: &str = "BYE\n";

/// Connects a collector, queues what `push` pushes before the connection is
/// there, and a last line that says so. The peer sends all before that back,
/// `chunk` bytes at a time, and closes.
pub(crate) fn echo(
    family: Family,
    terminator: impl Into<Terminator>,
    chunk: usize,
    push: impl FnOnce(&mut Chat),
) -> Collected {
    let (place, listener) = Place::plain(family);
    let collector = Collector::default();
    let mut map = ChannelMap::new().unwrap();
    let mut client = place.connect_chat(terminator, collector.clone());
    push(&mut client.chat);
    client.chat.push(BYE);
    map.insert(client).unwrap();

    let (mut peer, _) = listener.accept().unwrap();
    peer.set_nonblocking(true).unwrap();
    let mut received = Vec::new();
    while !received.ends_with(BYE.as_bytes()) {
        received.extend(read_len(&mut map, &mut peer, 1));
    }
    received.truncate(received.len() - BYE.len());
    if family != Family::Unix {
        peer.set_tcp_nodelay(true).unwrap();
    }
    for data in received.chunks(chunk) {
        peer.write_all(data).unwrap();
        map.turn(Some(Duration::ZERO)).unwrap();
    }
    drop(peer);
    turn_until(&mut map, |map| map.is_empty());
    map.turn(Some(Duration::ZERO)).unwrap(); // handle_close, if it is due
    let collected = collector.take();
    assert_eq!(collected.events, ["close Eof"], "{family:?}");
    collected
}
