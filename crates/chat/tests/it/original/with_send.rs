//! `dispatcher_with_send`: output that is queued.

use std::io::ErrorKind;

use chat::{ChannelMap, Dispatcher, DispatcherWithSend};

use crate::common::{Log, Witness, read_len, read_some, turn_until};
use crate::original::family::{Family, Place};

#[test]
fn what_is_pushed_before_the_connection_is_there_arrives_in_order() {
    for family in Family::all() {
        let log = Log::default();
        let (place, listener) = Place::plain(family);
        let mut map = ChannelMap::new().unwrap();
        let mut client: DispatcherWithSend<_> = place.connect(Witness::new(&log).not_readable());
        client.endpoint.push("one piece, ");
        client.endpoint.push(b"another ");
        client.endpoint.push("\n");
        assert_eq!(client.endpoint.queued(), 20);
        let me = map.insert(client).unwrap();

        let (mut peer, _) = listener.accept().unwrap();
        peer.set_nonblocking(true).unwrap();
        let received = read_len(&mut map, &mut peer, 20);
        assert_eq!(received, b"one piece, another \n", "{family:?}");
        assert_eq!(map.get(me).unwrap().endpoint.queued(), 0, "{family:?}");
        assert_eq!(log.all(), ["connect"], "{family:?}");
    }
}

#[test]
fn what_the_socket_does_not_take_at_once_is_sent_when_there_is_room() {
    let data: Vec<u8> = (0..2_000_000_u32).map(|n| (n % 251) as u8).collect();
    for family in Family::all() {
        let log = Log::default();
        let (ours, mut theirs) = family.pair();
        ours.set_send_buffer_size(65_536).unwrap();
        theirs.set_recv_buffer_size(65_536).unwrap();
        let mut map = ChannelMap::new().unwrap();
        let mut channel = Dispatcher::new(ours, Witness::new(&log));
        channel.endpoint.push(&data);
        let me = map.insert(channel).unwrap();
        turn_until(&mut map, |map| {
            let endpoint = &mut map.get_mut(me).unwrap().endpoint;
            endpoint.queued() < data.len()
        });
        let mut received = Vec::new();
        read_some(&mut theirs, &mut received); // so there is room, but the rest goes first
        let endpoint = &mut map.get_mut(me).unwrap().endpoint;
        assert!(endpoint.queued() > 0, "more than the socket takes");
        let refused = endpoint.send(b"not before the rest").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::WouldBlock);
        let rest = data.len() - received.len();
        received.extend(read_len(&mut map, &mut theirs, rest));
        assert!(received == data, "{family:?}");
        assert_eq!(map.get(me).unwrap().endpoint.queued(), 0, "{family:?}");
        assert!(log.after_connect().is_empty(), "{family:?}");
    }
}
