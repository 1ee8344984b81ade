//! Connecting, and being connected: who speaks first, and what fails.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::rc::Rc;

use chat::{
    Address, AsyncChat, ChannelMap, Dispatcher, DispatcherHandler, Endpoint, Result, Socket, Stream,
};
use socket2::{Domain, Type};

use crate::common::{Log, Place, Probe, opened, read_len, turn_to_rest, turn_until, unix_pair};

/// A port that is taken, so that no other test gets it, and does not listen.
fn closed_port() -> SocketAddr {
    let taken = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    taken.bind(&any.into()).unwrap();
    let address = taken.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(taken); // while there are tests
    address
}

/// A mail server, more or less: it speaks first.
struct Mail(Log);

impl DispatcherHandler for Mail {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        addr: Address,
        _: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        let session = Probe::new(&self.0)
            .on_connect(move |chat, _| {
                assert_eq!(chat.endpoint().peer_addr(), Some(addr.clone()));
                let host = "mail.example.org";
                write!(chat, "220 {host} ready\r\n")?;
                Ok(())
            })
            .on_message(|_, chat, _| {
                chat.push("221 bye\r\n");
                chat.close_when_done();
                Ok(())
            });
        map.insert(AsyncChat::new(stream, "\r\n", session))?;
        Ok(())
    }
}

#[test]
fn a_server_that_speaks_first_and_a_client_that_answers() {
    let (server_log, client_log) = (Log::default(), Log::default());
    let mut map = ChannelMap::new().unwrap();
    let server = opened(Dispatcher::listen("127.0.0.1:0", Mail(server_log.clone()))).unwrap();
    let address = server.endpoint.local_addr().unwrap().as_inet().unwrap();
    map.insert(server).unwrap();
    let client = Probe::new(&client_log).on_message(|line, chat, _| {
        if line.starts_with(b"220") {
            chat.push("QUIT\r\n");
        }
        Ok(())
    });
    let client = AsyncChat::connect(address, "\r\n", client);
    assert!(client.chat.endpoint().connecting());
    let client = map.insert(client).unwrap();
    turn_until(&mut map, |map| !map.is_open(client) && map.len() == 1);
    turn_to_rest(&mut map);
    assert_eq!(
        client_log.all(),
        [
            "connect",
            "message 220 mail.example.org ready",
            "message 221 bye",
            "eof",
            "close Eof"
        ]
    );
    assert_eq!(server_log.all(), ["connect", "message QUIT", "close Done"]);
}

#[test]
fn handle_connect_comes_once_before_any_input_for_an_inserted_socket() {
    let log = Log::default();
    let (ours, mut theirs) = unix_pair();
    theirs.write_all(b"impatient\n").unwrap();
    let mut map = ChannelMap::new().unwrap();
    map.insert(AsyncChat::new(ours, "\n", Probe::new(&log)))
        .unwrap();
    assert_eq!(log.len(), 0, "not from within insert");
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["connect", "message impatient"]);
}

#[test]
fn what_is_pushed_while_connecting_is_sent_afterwards() {
    let log = Log::default();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut map = ChannelMap::new().unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = AsyncChat::connect(address, "\n", Probe::new(&log));
    client.chat.push("early ");
    client.chat.push(vec![b'x'; 100_000]); // above high water
    let me = map.insert(client).unwrap();
    let (mut theirs, _) = listener.accept().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let received = read_len(&mut map, &mut theirs, 100_006);
    assert!(received.starts_with(b"early x"));
    assert!(map.get(me).unwrap().chat.endpoint().connected());
    assert_eq!(log.all()[0], "connect");
}

#[test]
fn closing_when_done_while_connecting_sends_and_closes() {
    let log = Log::default();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut map = ChannelMap::new().unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = AsyncChat::connect(address, "\n", Probe::new(&log));
    client.chat.push("ping");
    client.chat.close_when_done();
    map.insert(client).unwrap();
    let (mut theirs, _) = listener.accept().unwrap();
    theirs.set_nonblocking(true).unwrap();
    assert_eq!(crate::common::read_to_end(&mut map, &mut theirs), b"ping");
    drop(theirs);
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(log.all(), ["close Done"]);
}

/// R8a: there is an error, and it is the channel's to hear.
#[test]
fn a_refused_connection_is_told_by_handle_close_with_the_error() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let mut client = AsyncChat::connect(closed_port(), "\n", Probe::new(&log));
    client.chat.push("to nobody");
    map.insert(client).unwrap();
    assert_eq!(log.len(), 0);
    turn_until(&mut map, |map| map.is_empty());
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["close Io(ConnectionRefused)"]);
}

/// `connect(2)` of a Unix socket fails at once; it is told all the same.
#[test]
fn a_connection_that_fails_at_once_is_told_by_handle_close_too() {
    let place = Place::new("nobody");
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let path = place.0.join("sock");
    let client = AsyncChat::connect_unix(&path, "\n", Probe::new(&log));
    let me = map.insert(client).unwrap();
    assert_eq!(log.len(), 0);
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["close Io(NotFound)"]);
    assert!(!map.is_open(me));

    // A socket file that a dead server left behind.
    drop(UnixListener::bind(&path).unwrap());
    let client = AsyncChat::connect_unix(&path, "\n", Probe::new(&log));
    map.insert(client).unwrap();
    log.take();
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["close Io(ConnectionRefused)"]);
}

#[test]
fn a_unix_socket_connects_and_talks() {
    let place = Place::new("talks");
    let path = place.0.join("sock");
    let log = Log::default();
    let listener = UnixListener::bind(&path).unwrap();
    let mut map = ChannelMap::new().unwrap();
    let probe = Probe::new(&log).on_connect(|chat, _| {
        chat.push("hello");
        Ok(())
    });
    let me = map
        .insert(AsyncChat::connect_unix(&path, "\n", probe))
        .unwrap();
    turn_to_rest(&mut map);
    let endpoint = map.get(me).unwrap().chat.endpoint();
    assert_eq!(endpoint.addr(), Some(Address::Unix(Some(path.into()))));
    let (mut theirs, _) = listener.accept().unwrap();
    let mut greeting = [0; 5];
    theirs.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"hello");
}

#[test]
fn a_name_without_an_address_is_an_error_of_the_caller() {
    let nowhere: &[SocketAddr] = &[];
    let refused = AsyncChat::connect(nowhere, "\n", Probe::default());
    let refused = opened(refused).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn closing_in_handle_connect_delivers_nothing() {
    let log = Log::default();
    let (ours, mut theirs) = unix_pair();
    theirs.write_all(b"let me in\n").unwrap();
    let probe = Probe::new(&log).on_connect(|chat, _| {
        chat.push("go away\n");
        chat.close_when_done();
        Ok(())
    });
    let mut map = ChannelMap::new().unwrap();
    map.insert(AsyncChat::new(ours, "\n", probe)).unwrap();
    assert_eq!(
        crate::common::read_to_end(&mut map, &mut theirs),
        b"go away\n"
    );
    drop(theirs);
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(log.all(), ["connect", "close Done"]);
}

#[test]
fn several_addresses_are_tried_until_one_accepts() {
    // The last is refused by `connect(2)` itself: it is no peer's address.
    let at_once = SocketAddr::from(([255, 255, 255, 255], 9));
    let refusals = [&[closed_port()][..], &[closed_port(), at_once], &[at_once]];
    for refusals in refusals {
        let log = Log::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let addresses = [refusals, &[address, closed_port()]].concat();
        let mut map = ChannelMap::new().unwrap();
        let probe = Probe::new(&log).on_connect(move |chat, _| {
            let peer = chat.endpoint().peer_addr();
            assert_eq!(peer, Some(Address::Inet(address)));
            Ok(())
        });
        let mut client = AsyncChat::connect(&addresses[..], "\n", probe);
        client.chat.push("hello");
        let me = map.insert(client).unwrap();
        turn_until(&mut map, |_| log.len() > 0);
        let (mut theirs, _) = listener.accept().unwrap();
        theirs.set_nonblocking(true).unwrap();
        assert_eq!(read_len(&mut map, &mut theirs, 5), b"hello");
        theirs.write_all(b"welcome\n").unwrap();
        turn_until(&mut map, |_| log.len() > 1);
        assert_eq!(log.all(), ["connect", "message welcome"]);
        let endpoint = map.get(me).unwrap().chat.endpoint();
        assert_eq!(endpoint.peer_addr(), Some(Address::Inet(address)));
    }
}

#[test]
fn when_every_address_refuses_it_is_told_once() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let nobody = [closed_port(), closed_port(), closed_port()];
    map.insert(AsyncChat::connect(&nobody[..], "\n", Probe::new(&log)))
        .unwrap();
    turn_until(&mut map, |map| map.is_empty());
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["close Io(ConnectionRefused)"]);
}

/// Whoever closes while the first attempt is under way wants no second.
#[test]
fn a_channel_that_was_closed_tries_no_further_address() {
    let log = Log::default();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let addresses = [closed_port(), listener.local_addr().unwrap()];
    let mut map = ChannelMap::new().unwrap();
    let client = AsyncChat::connect(&addresses[..], "\n", Probe::new(&log));
    let me = map.insert(client).unwrap();
    map.get_mut(me).unwrap().chat.close();
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["close Requested"]);
    assert!(listener.accept().is_err());
}

#[test]
fn a_dispatcher_tries_several_addresses_too() {
    struct Client(Log);
    impl DispatcherHandler for Client {
        fn handle_connect(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
            self.0.add("connect");
            Ok(())
        }
        fn handle_close(&mut self, _: chat::CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
            self.0.add("close");
        }
    }
    let log = Log::default();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = [closed_port(), listener.local_addr().unwrap()];
    let mut map = ChannelMap::new().unwrap();
    map.insert(Dispatcher::connect(&addresses[..], Client(log.clone())))
        .unwrap();
    turn_until(&mut map, |_| log.len() > 0);
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["connect"]);
    map.insert(Dispatcher::connect(&addresses[..1], Client(log.clone())))
        .unwrap();
    turn_until(&mut map, |_| log.len() > 1);
    assert_eq!(log.all(), ["connect", "close"]);
}

/// sslh's #31 and sniproxy's #313: a machine that is switched off says no word, and its
/// connections would stay for ever.
#[test]
fn the_system_finds_out_that_a_peer_is_gone_on_both_sides_of_a_connection() {
    struct Server(Rc<Cell<Option<bool>>>);

    impl DispatcherHandler for Server {
        fn handle_accepted(
            &mut self,
            stream: Stream,
            _: Address,
            _: &mut Endpoint,
            _: &mut ChannelMap,
        ) -> Result {
            self.0.set(Some(stream.into_socket()?.keepalive()?));
            Ok(())
        }
    }

    for any in ["127.0.0.1:0", "[::1]:0"] {
        let accepted = Rc::default();
        let mut map = ChannelMap::new().unwrap();
        let server = opened(Dispatcher::listen(any, Server(Rc::clone(&accepted)))).unwrap();
        let address = server.endpoint.local_addr().unwrap().as_inet().unwrap();
        map.insert(server).unwrap();
        let client = AsyncChat::connect(address, "\n", Probe::default());
        let client = opened(client).unwrap();
        assert!(
            client
                .chat
                .endpoint()
                .socket()
                .unwrap()
                .keepalive()
                .unwrap()
        );
        map.insert(client).unwrap();
        turn_until(&mut map, |_| accepted.get().is_some());
        assert_eq!(accepted.get(), Some(true));
    }
}
