//! The socket of a dispatcher: what it is, where it is bound, how it is reached.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use chat::{Address, ChannelMap, Dispatcher, Endpoint, Socket, Stream};
use rustix::io::FdFlags;
use socket2::{Domain, SockRef, Type};

use crate::common::{Log, Server, Witness, opened, sim, turn_until};
use crate::original::family::{Family, Place};

#[track_caller]
fn assert_well_made(socket: &SockRef<'_>, family: Family) {
    assert_eq!(socket.r#type().unwrap(), Type::STREAM, "{family:?}");
    let domain = socket.local_addr().unwrap().domain();
    assert_eq!(domain, family.domain(), "{family:?}");
    assert!(socket.nonblocking().unwrap(), "{family:?}");
    let flags = rustix::io::fcntl_getfd(&**socket).unwrap();
    assert!(flags.contains(FdFlags::CLOEXEC), "{family:?}");
}

#[test]
fn sockets_are_streams_of_their_family_that_neither_block_nor_are_inherited() {
    for family in Family::all() {
        let log = Log::default();
        let report = log.clone();
        let accept = move |stream: Stream, _, _: &mut ChannelMap| {
            assert_well_made(&stream.socket().unwrap(), family);
            report.add("accepted");
            Ok(())
        };
        let (place, server) = Place::listen(family, Server(accept));
        assert_well_made(&server.endpoint.socket().unwrap(), family);
        let mut map = ChannelMap::new().unwrap();
        map.insert(server).unwrap();

        let client = opened(place.connect(Witness::new(&log))).unwrap();
        assert_well_made(&client.endpoint.socket().unwrap(), family);
        map.insert(client).unwrap();

        // One of the program's own, which blocks.
        let own = Socket::new(family.domain(), Type::STREAM, None).unwrap();
        let endpoint = Endpoint::connect_from(own, place.sock_addr());
        let client = opened(Dispatcher::new(endpoint, Witness::new(&log))).unwrap();
        assert_well_made(&client.endpoint.socket().unwrap(), family);
        map.insert(client).unwrap();
        turn_until(&mut map, |_| {
            log.count("accepted") == 2 && log.count("connect") == 2
        });
    }
}

#[test]
fn where_one_listens_another_cannot() {
    for family in Family::all() {
        let log = Log::default();
        let (place, server) = Place::listen(family, Witness::new(&log));
        let refused = place.listen_again(Witness::new(&log)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AddrInUse, "{family:?}");
        assert!(server.endpoint.accepting());
    }
}

/// Unix sockets have no ports to reuse.
#[test]
fn a_listener_reuses_its_address_and_sockets_of_the_programs_own_stay_as_they_are() {
    for family in Family::inet() {
        let log = Log::default();
        let (_place, server) = Place::listen(family, Witness::new(&log));
        let socket = server.endpoint.socket().unwrap();
        assert!(socket.reuse_address().unwrap(), "{family:?}");

        let own = Socket::new(family.domain(), Type::STREAM, None).unwrap();
        let channel = Dispatcher::new(own, Witness::new(&log));
        let socket = channel.endpoint.socket().unwrap();
        assert!(!socket.reuse_address().unwrap(), "{family:?}");
        socket.set_reuse_address(true).unwrap();
        assert!(socket.reuse_address().unwrap(), "{family:?}");
    }
}

/// While a connection that it closed first is still remembered by the system.
#[test]
fn a_server_that_is_started_again_gets_its_port() {
    for family in Family::inet() {
        let log = Log::default();
        let (place, server) = Place::listen(family, Witness::new(&log));
        let mut map = ChannelMap::new().unwrap();
        let me = map.insert(server).unwrap();
        let mut client = place.dial();
        turn_until(&mut map, |_| log.has("accepted")); // and dropped
        turn_until(&mut map, |_| matches!(client.read(&mut [0]), Ok(0)));
        drop(client);
        drop(map.remove(me).unwrap());

        let again = place.listen_again(Witness::new(&log)).unwrap();
        assert_eq!(again.endpoint.local_addr().as_ref(), Some(place.address()));
    }
}

#[test]
fn the_sockets_options_and_addresses_are_reached_through_the_endpoint() {
    for family in Family::all() {
        let (ours, theirs) = family.pair();
        let log = Log::default();
        let channel = Dispatcher::new(ours, Witness::new(&log));
        let endpoint = &channel.endpoint;
        let (local, peer) = (theirs.peer_addr().unwrap(), theirs.local_addr().unwrap());
        assert_eq!(endpoint.local_addr(), Some(Address::from(local)));
        assert_eq!(endpoint.peer_addr(), Some(Address::from(peer)));
        assert_eq!(endpoint.addr(), endpoint.peer_addr());

        let socket = endpoint.socket().unwrap();
        socket.set_keepalive(true).unwrap();
        assert!(socket.keepalive().unwrap(), "{family:?}");
        socket.set_linger(Some(Duration::from_secs(3))).unwrap();
        assert_eq!(socket.linger().unwrap(), Some(Duration::from_secs(3)));
    }

    let (line, _peer) = sim::line();
    let none = Dispatcher::over(line, Witness::new(&Log::default()));
    assert!(none.endpoint.socket().is_none() && none.endpoint.addr().is_none());
}

#[test]
fn a_connection_comes_from_where_its_socket_was_bound() {
    for family in Family::inet() {
        let log = Log::default();
        let (place, listener) = Place::plain(family);
        let own = Socket::new(family.domain(), Type::STREAM, None).unwrap();
        let any_port = match family.domain() {
            Domain::IPV6 => SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
            _ => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        };
        own.bind(&any_port.into()).unwrap();
        let from = own.local_addr().unwrap();
        let endpoint = Endpoint::connect_from(own, place.sock_addr());
        let mut map = ChannelMap::new().unwrap();
        map.insert(Dispatcher::new(endpoint, Witness::new(&log)))
            .unwrap();
        turn_until(&mut map, |_| log.has("connect"));
        let (_peer, address) = listener.accept().unwrap();
        assert_eq!(Address::from(address), Address::from(from), "{family:?}");
    }
}
