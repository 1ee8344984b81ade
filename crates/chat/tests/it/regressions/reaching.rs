//! What users ask of an event loop: to reach others from within a callback, and
//! all of them from outside.

use std::io::Write;
use std::net::{TcpListener, TcpStream};

use chat::{Address, AsyncChat, ChannelMap, Chat, Handle, Result};

use crate::common::sim::{self, Peer};
use crate::common::{Log, Probe, read_some, turn_to_rest, turn_until};

fn simulated(map: &mut ChannelMap, probe: Probe) -> (Handle<AsyncChat<Probe>>, Peer) {
    let (line, peer) = sim::line();
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    sim::settle(map, me, &peer);
    (me, peer)
}

/// Has a channel of its own call `act` from within a callback.
fn in_a_callback(
    map: &mut ChannelMap,
    act: impl FnMut(&[u8], &mut Chat, &mut ChannelMap) -> Result + 'static,
) -> Handle<AsyncChat<Probe>> {
    let (me, peer) = simulated(map, Probe::default().on_message(act));
    peer.say("now\n");
    sim::settle(map, me, &peer);
    me
}

/// R2a: a channel is there as soon as it was inserted.
#[test]
fn a_callback_inserts_a_channel() {
    let log = Log::default();
    let inner = log.clone();
    let mut map = ChannelMap::new().unwrap();
    in_a_callback(&mut map, move |_, _, map| {
        let (line, _) = sim::line();
        let other = map.insert(AsyncChat::over(line, "\n", Probe::new(&inner)))?;
        assert!(map.get_mut(other).is_ok() && inner.len() == 0);
        Ok(())
    });
    assert_eq!(map.len(), 2);
    assert_eq!(log.all(), ["connect"]);
}

/// R2b: and gone as soon as it was taken out.
#[test]
fn a_callback_takes_a_channel_out_and_has_it() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (other, peer) = simulated(&mut map, Probe::new(&log));
    peer.say("for nobody\n");
    map.dispatch(other, chat::Readiness::READABLE);
    in_a_callback(&mut map, move |_, _, map| {
        if let Ok(mut channel) = map.remove(other) {
            channel.chat.push("it is mine now");
            assert_eq!(channel.chat.queued(), 14);
        }
        assert!(!map.is_open(other));
        Ok(())
    });
    assert_eq!(map.len(), 1);
    assert_eq!(log.count("close"), 0);
}

/// R2c: closing, oneself and others, is told after the callback.
#[test]
fn a_callback_closes_a_channel_and_its_own() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (other, _) = simulated(&mut map, Probe::new(&log));
    let inner = log.clone();
    let me = in_a_callback(&mut map, move |_, chat, map| {
        assert!(map.close(other) && map.close(chat.token()));
        assert!(!map.is_open(other) && !map.is_open(chat.token()));
        inner.add("closed both");
        Ok(())
    });
    assert!(!map.is_open(me) && map.is_empty());
    assert_eq!(log.all(), ["connect", "closed both", "close Requested"]);
}

/// R12: found by its address, closed by its handle.
#[test]
fn live_channels_are_listed_and_one_is_killed() {
    let log = Log::default();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut map = ChannelMap::new().unwrap();
    let mut clients = Vec::new();
    for _ in 0..3 {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_nonblocking(true).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        map.insert(AsyncChat::new(accepted, "\n", Probe::new(&log)))
            .unwrap();
        clients.push(client);
    }
    turn_to_rest(&mut map);
    log.take();
    let shown: Vec<String> = map.iter().map(|(_, c)| format!("{c:?}")).collect();
    assert!(
        shown.iter().all(|shown| shown.contains("Chat")),
        "{shown:?}"
    );

    let wanted = Some(Address::Inet(clients[1].local_addr().unwrap()));
    let found = map
        .iter_mut::<AsyncChat<Probe>>()
        .find(|channel| channel.chat.endpoint().peer_addr() == wanted)
        .map(|channel| channel.handle());
    assert!(map.close(found.unwrap()));
    assert_eq!(map.iter().count(), 2);
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["close Requested"]);
    let mut killed = clients.remove(1);
    turn_until(&mut map, |_| read_some(&mut killed, &mut Vec::new()));
    for client in &mut clients {
        client.write_all(b"still here\n").unwrap();
    }
    turn_to_rest(&mut map);
    assert_eq!(log.count("message still here"), 2);
}
