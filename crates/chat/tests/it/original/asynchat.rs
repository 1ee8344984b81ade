//! Chat channels: output, and what is no error.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chat::{AsyncChat, ChannelMap, Limits, Readiness, SimpleProducer};

use crate::common::{read_to_end, sim, turn_to_rest, turn_until};
use crate::original::collector::Collector;
use crate::original::echo::echo;
use crate::original::family::{Family, Place};

#[test]
fn a_simple_producer_hands_out_pieces_of_the_buffers_size() {
    for family in Family::all() {
        let seen = echo(family, "\n", 7, |chat| {
            let mut limits = Limits::default();
            limits.out_buffer_size = 8;
            chat.set_limits(limits);
            chat.push_with_producer(SimpleProducer::new("the first line\nthe second\n"));
        });
        assert_eq!(
            seen.contents,
            ["the first line", "the second"],
            "{family:?}"
        );
    }

    let (line, peer) = sim::line();
    let mut limits = Limits::default();
    limits.out_buffer_size = 8;
    let mut channel = AsyncChat::over(line, "\n", Collector::default()).limited(limits);
    let producer = SimpleProducer::new("twenty bytes in all\n");
    channel.chat.push_with_producer(producer);
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(channel).unwrap();
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent(), b"twenty bytes in all\n");
    assert_eq!(peer.sends(), 3);
}

/// The original takes a string in the place of a producer.
#[test]
fn a_string_goes_as_a_producer_or_shared() {
    for family in Family::all() {
        let seen = echo(family, "\n", 100, |chat| {
            chat.push_with_producer(SimpleProducer::new("a producer\n"));
            chat.push_bytes("shared\n");
        });
        assert_eq!(seen.contents, ["a producer", "shared"], "{family:?}");
    }
}

#[test]
fn data_and_producers_go_out_in_the_order_they_were_queued() {
    for family in Family::all() {
        let seen = echo(family, "\n", 100, |chat| {
            chat.push("1\n");
            chat.push_with_producer(SimpleProducer::new("2\n"));
            chat.push("3\n");
            chat.push_with_producer(SimpleProducer::new(""));
            chat.push_with_producer(SimpleProducer::new("4\n"));
            chat.push_bytes("5\n");
        });
        assert_eq!(seen.contents, ["1", "2", "3", "4", "5"], "{family:?}");
    }
}

#[test]
fn whatever_lends_bytes_can_be_pushed() {
    let mut array = *b"array\n";
    for family in Family::all() {
        let seen = echo(family, "\n", 100, |chat| {
            chat.push(b"bytes\n");
            chat.push(&array[..]);
            chat.push(&mut array[..]);
            chat.push(vec![b'v', b'\n']);
            chat.push(BytesMut::from("bytearray\n"));
            chat.push(Bytes::from_static(b"shared\n"));
            chat.push("text\n");
            chat.push(String::from("string\n"));
            chat.push([]);
        });
        let expected = [
            "bytes",
            "array",
            "array",
            "v",
            "bytearray",
            "shared",
            "text",
            "string",
        ];
        assert_eq!(seen.contents, expected, "{family:?}");
    }
}

/// The peer answers only when it has seen the end, so that everything it says
/// is too late.
#[test]
fn close_when_done_sends_what_is_queued_and_delivers_nothing() {
    for family in Family::all() {
        let (place, listener) = Place::plain(family);
        let collector = Collector::default();
        let mut map = ChannelMap::new().unwrap();
        let mut client = place.connect_chat("\n", collector.clone());
        client.chat.push("the first line\n");
        client
            .chat
            .push_with_producer(SimpleProducer::new("the second\n"));
        client.chat.close_when_done();
        client.chat.push("too late\n");
        map.insert(client).unwrap();

        let (mut peer, _) = listener.accept().unwrap();
        peer.set_nonblocking(true).unwrap();
        let received = read_to_end(&mut map, &mut peer);
        assert_eq!(received, b"the first line\nthe second\n", "{family:?}");
        peer.write_all(&received).unwrap();
        turn_to_rest(&mut map);
        drop(peer);
        turn_until(&mut map, |_| !collector.events().is_empty());
        let seen = collector.take();
        assert_eq!(seen.events, ["close Done"], "{family:?}");
        assert!(
            seen.contents.is_empty() && seen.rest.is_empty(),
            "{family:?}"
        );
    }
}

/// The event may be gone when it is handled.
#[test]
fn nothing_to_receive_is_no_error() {
    for family in Family::all() {
        let (ours, mut theirs) = family.pair();
        let collector = Collector::default();
        let mut map = ChannelMap::new().unwrap();
        let channel = AsyncChat::new(ours, "\n", collector.clone());
        let me = map.insert(channel).unwrap();
        for _ in 0..3 {
            map.dispatch(me, Readiness::READABLE | Readiness::WRITABLE);
            map.turn(Some(Duration::ZERO)).unwrap();
        }
        assert!(
            collector.events().is_empty() && map.is_open(me),
            "{family:?}"
        );
        theirs.write_all(b"as before\n").unwrap();
        turn_until(&mut map, |_| collector.contents() == ["as before"]);
    }
}

#[test]
fn no_room_to_send_is_no_error() {
    let (line, peer) = sim::line();
    peer.set_room(0);
    let collector = Collector::default();
    let mut channel = AsyncChat::over(line, "\n", collector.clone());
    channel.chat.push("in the end\n");
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(channel).unwrap();
    sim::settle(&mut map, me, &peer);
    assert!(peer.sends() > 0 && map.is_open(me));
    peer.set_room(100);
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent(), b"in the end\n");
    assert!(collector.events().is_empty());
}

/// What came before it is delivered; it is no error of the handler's.
#[test]
fn an_error_of_the_socket_is_the_reason_of_the_close() {
    for family in Family::all() {
        let (ours, mut theirs) = family.pair();
        let collector = Collector::default();
        let mut map = ChannelMap::new().unwrap();
        let mut channel = AsyncChat::new(ours, "\n", collector.clone());
        channel.chat.push("nobody reads this");
        let me = map.insert(channel).unwrap();
        theirs.write_all(b"one line\nand half").unwrap();
        turn_until(&mut map, |_| collector.rest() == "and half");
        turn_to_rest(&mut map);
        drop(theirs); // with unread input, which resets the connection
        turn_until(&mut map, |_| !collector.events().is_empty());
        let seen = collector.take();
        let reset = format!("close Io({:?})", ErrorKind::ConnectionReset);
        assert_eq!(seen.events, [reset], "{family:?}");
        assert_eq!(seen.contents, ["one line"], "{family:?}");
        assert!(!map.is_open(me));
    }
}
