//! What goes wrong while connections are accepted or made.

use std::fs::File;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use chat::{
    Address, AsyncChat, ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint, Handle,
    Readiness, Result, Socket,
};
use socket2::{Domain, Type};

use crate::common::alone::{can_trace, descriptors, is_alone};
use crate::common::{Log, Probe, assert_rest, name, read_len, turn_to_rest, turn_until};

/// Makes an echo of each connection.
struct Server(Log);

impl DispatcherHandler for Server {
    fn handle_accepted(
        &mut self,
        socket: Socket,
        _: Address,
        _: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        self.0.add("accepted");
        let echo = Probe::new(&self.0).on_message(|line, chat, _| {
            chat.push(line);
            Ok(())
        });
        map.insert(AsyncChat::new(socket, "\n", echo)?)?;
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.0
            .add(format!("the listener is closed: {}", name(&reason)));
    }
}

fn listen(map: &mut ChannelMap, log: &Log) -> (Handle<Dispatcher<Server>>, SocketAddr) {
    let server = Dispatcher::listen("127.0.0.1:0", Server(log.clone())).unwrap();
    let address = server.endpoint.local_addr().unwrap().as_inet().unwrap();
    (map.insert(server).unwrap(), address)
}

/// Closes so that the other end is reset.
fn reset(stream: TcpStream) {
    let socket = Socket::from(stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

/// D9a: `EMFILE`, which does not go away by trying again.
#[test]
fn a_listener_without_descriptors_neither_closes_nor_spins() {
    if !is_alone(
        a_listener_without_descriptors_neither_closes_nor_spins,
        &descriptors(40),
    ) {
        return;
    }
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (server, address) = listen(&mut map, &log);
    let _client = TcpStream::connect(address).unwrap();
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
        assert!(files.len() < 100, "the limit was not set");
    }
    let (before, end) = (map.turns(), Instant::now() + Duration::from_millis(100));
    while Instant::now() < end {
        map.turn(Some(end.saturating_duration_since(Instant::now())))
            .unwrap();
    }
    assert!(map.turns() - before < 10, "it spins");
    assert!(map.is_open(server));
    drop(files);
    turn_until(&mut map, |_| log.len() > 0);
    assert_eq!(log.all()[0], "accepted");
}

/// D9b: the connection that was aborted is not the last one that waits. The
/// kernel is made to say so by `strace`: Linux does not by itself.
#[test]
fn an_aborted_connection_does_not_end_the_accepting_of_the_others() {
    if !can_trace() {
        return;
    }
    let strace = "strace -f -o /dev/null -e trace=accept4 \
                  -e inject=accept4:error=ECONNABORTED:when=1";
    let strace: Vec<&str> = strace.split_whitespace().collect();
    if !is_alone(
        an_aborted_connection_does_not_end_the_accepting_of_the_others,
        &strace,
    ) {
        return;
    }
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (_, address) = listen(&mut map, &log);
    let _clients = [(); 2].map(|()| TcpStream::connect(address).unwrap());
    while map.turn(Some(Duration::from_secs(1))).unwrap() == 0 {}
    // In the first turn that the listener was called in.
    assert_eq!(log.all(), ["accepted", "accepted"]);
}

/// D9c: accepted, and gone before anybody asked who it is.
#[test]
fn connections_that_are_reset_at_once_cost_the_server_nothing() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (server, address) = listen(&mut map, &log);
    for _ in 0..3 {
        reset(TcpStream::connect(address).unwrap());
    }
    let mut good = TcpStream::connect(address).unwrap();
    good.set_nonblocking(true).unwrap();
    good.write_all(b"hello\n").unwrap();
    assert_eq!(read_len(&mut map, &mut good, 5), b"hello");
    turn_until(&mut map, |_| log.count("close") == 3);
    assert_eq!(log.count("accepted"), 4);
    assert_eq!((log.count("message"), log.count("the listener")), (1, 0));
    assert_eq!(map.len(), 2, "the listener and the good one");
    assert!(map.is_open(server));
    assert_rest(&mut map);
}

/// R7: at the limit of descriptors, four attempts a second.
#[test]
fn a_listener_that_cannot_accept_pauses_and_comes_back_by_itself() {
    struct Failing(Log);
    impl DispatcherHandler for Failing {
        fn handle_accept(&mut self, server: &mut Endpoint, _: &mut ChannelMap) -> Result {
            self.0.add("attempt");
            if self.0.len() <= 4 {
                return Err(io::Error::other("as if there were no descriptors").into());
            }
            server.accept()?;
            Ok(())
        }
    }
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let server = Dispatcher::listen("127.0.0.1:0", Failing(log.clone())).unwrap();
    let server = map.insert(server).unwrap();
    let start = map.now();
    for passed in 0..1_000 {
        map.dispatch(server, Readiness::READABLE); // the connection waits
        map.turn_at(start + Duration::from_millis(passed)).unwrap();
    }
    assert_eq!(log.len(), 4);
    assert!(map.is_open(server));
    map.turn_at(start + Duration::from_millis(1_250)).unwrap();
    map.dispatch(server, Readiness::READABLE);
    map.turn_at(start + Duration::from_millis(1_251)).unwrap();
    assert!(log.len() > 4);
}

/// R8a: there is an error, and it is the channel's to hear.
#[test]
fn a_connection_that_failed_is_told_with_its_error() {
    // A port that is taken, so that no other test gets it, and does not listen.
    let taken = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    taken.bind(&any.into()).unwrap();
    let address = taken.local_addr().unwrap().as_socket().unwrap();
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    map.insert(AsyncChat::connect(address, "\n", Probe::new(&log)).unwrap())
        .unwrap();
    turn_until(&mut map, |map| map.is_empty());
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["close Io(ConnectionRefused)"]);
}

/// R8b: made and reset. The error may be taken already, and then only the
/// missing peer tells of it.
#[test]
fn a_connection_without_a_peer_is_none() {
    for is_taken in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log = Log::default();
        let client = AsyncChat::connect(address, "\n", Probe::new(&log)).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        reset(accepted);
        let socket = client.chat.endpoint().socket().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while socket.peer_addr().is_ok() {
            assert!(Instant::now() < deadline, "the reset did not come");
        }
        if is_taken {
            assert!(socket.take_error().unwrap().is_some());
        }
        let mut map = ChannelMap::new().unwrap();
        map.insert(client).unwrap();
        turn_until(&mut map, |map| map.is_empty());
        let reason = match is_taken {
            true => "NotConnected",
            false => "ConnectionReset",
        };
        assert_eq!(log.all(), [format!("close Io({reason})")]);
    }
}

/// R8c: and one that has a peer says who it is.
#[test]
fn a_connection_that_is_there_is_told_once_and_has_its_peer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let log = Log::default();
    let inner = log.clone();
    let probe = Probe::new(&log).on_connect(move |chat, _| {
        let peer = chat.endpoint().peer_addr();
        assert_eq!(peer, Some(Address::Inet(address)));
        inner.add("peer");
        Ok(())
    });
    let mut map = ChannelMap::new().unwrap();
    map.insert(AsyncChat::connect(address, "\n", probe).unwrap())
        .unwrap();
    assert_eq!(log.len(), 0);
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["connect", "peer"]);
}
