//! The caps of a listener on real sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use chat::socket2::{Domain, Socket, Type};
use chat::{AsyncChat, ChannelMap, ChatMap, Dispatcher, Handle, Limits, WhenFull};

use super::{REFUSAL, Server, Told, caps, take};
use crate::common::{Place, assert_rest, read_to_end, turn_to_rest};

fn listening(map: &mut ChannelMap, told: &Told, limits: Limits) -> SocketAddr {
    let server = Dispatcher::listen("127.0.0.1:0", Server::new(told)).limited(limits);
    let server: Handle<Dispatcher<Server>> = map.insert(server).unwrap();
    let address = map.get(server).unwrap().endpoint.local_addr();
    address.unwrap().as_inet().unwrap()
}

/// A client from this address of the loopback network.
fn connect(to: SocketAddr, from: [u8; 4]) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.into()
}

#[test]
fn the_refusal_arrives_even_if_the_client_has_written_already() {
    let told = Told::default();
    let mut map = ChannelMap::new().unwrap();
    let address = listening(&mut map, &told, caps(0, usize::MAX, WhenFull::Refuse));
    for written in [0, 10, 50_000] {
        let mut client = connect(address, [127, 0, 0, 1]);
        client.write_all(&vec![b'w'; written]).unwrap();
        let read = read_to_end(&mut map, &mut client);
        assert_eq!(read, REFUSAL.as_bytes(), "{written} bytes were written");
    }
    assert_eq!((map.refused(), take(&told).len()), (3, 0));
    assert_rest(&mut map);
}

#[test]
#[cfg(target_os = "linux")] // elsewhere the loopback network has one address
fn each_address_has_its_cap() {
    let told = Told::default();
    let mut map = ChannelMap::new().unwrap();
    let address = listening(&mut map, &told, caps(usize::MAX, 2, WhenFull::Refuse));
    let (one, two) = ([127, 0, 0, 1], [127, 0, 0, 2]);
    let mut clients: Vec<_> = [one, two, one, two]
        .into_iter()
        .map(|from| connect(address, from))
        .collect();
    turn_to_rest(&mut map);
    assert_eq!((map.len(), map.refused()), (5, 0));
    let mut fifth = connect(address, two);
    assert_eq!(read_to_end(&mut map, &mut fifth), REFUSAL.as_bytes());
    drop(clients.remove(1));
    turn_to_rest(&mut map);
    clients.push(connect(address, two));
    turn_to_rest(&mut map);
    assert_eq!((map.len(), map.refused()), (5, 1));
}

#[test]
fn a_unix_socket_has_no_address_but_counts_in_all() {
    let told = Told::default();
    let place = Place::new("caps");
    let path = place.0.join("socket");
    let mut map = ChannelMap::new().unwrap();
    let limits = caps(3, 1, WhenFull::Refuse);
    let server = Dispatcher::listen_unix(&*path, Server::new(&told)).limited(limits);
    map.insert(server).unwrap();
    let mut clients: Vec<_> = (0..4)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    turn_to_rest(&mut map);
    assert_eq!((map.len(), map.refused()), (4, 1));
    let mut line = String::new();
    clients[3].read_to_string(&mut line).unwrap();
    assert_eq!(line, REFUSAL);
}

#[test]
fn a_full_map_refuses_without_a_listener_that_spins() {
    let told = Told::default();
    let mut map = ChannelMap::new().unwrap();
    map.insert(AsyncChat::new(UnixStream::pair().unwrap().0, "\n", ()))
        .unwrap();
    let address = listening(&mut map, &told, caps(0, usize::MAX, WhenFull::EvictIdle));
    let mut clients: Vec<_> = (0..100).map(|_| connect(address, [127, 0, 0, 1])).collect();
    for client in &mut clients {
        assert_eq!(read_to_end(&mut map, client), REFUSAL.as_bytes());
    }
    assert_eq!((map.refused(), map.statistics().evicted), (100, 0));
    assert_rest(&mut map);
}
