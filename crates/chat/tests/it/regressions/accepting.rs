//! What goes wrong while connections are accepted.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use chat::{
    Address, AsyncChat, ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint, Handle,
    Readiness, Result, Socket, Stream,
};

use crate::common::alone::{can_trace, is_alone};
use crate::common::{Log, Probe, assert_rest, name, opened, read_len, turn_until};

/// Makes an echo of each connection.
struct Server(Log);

impl DispatcherHandler for Server {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        _: Address,
        _: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        self.0.add("accepted");
        let echo = Probe::new(&self.0).on_message(|line, chat, _| {
            chat.push(line);
            Ok(())
        });
        map.insert(AsyncChat::new(stream, "\n", echo))?;
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.0
            .add(format!("the listener is closed: {}", name(&reason)));
    }
}

fn listen(map: &mut ChannelMap, log: &Log) -> (Handle<Dispatcher<Server>>, SocketAddr) {
    let server = opened(Dispatcher::listen("127.0.0.1:0", Server(log.clone()))).unwrap();
    let address = server.endpoint.local_addr().unwrap().as_inet().unwrap();
    (map.insert(server).unwrap(), address)
}

/// Closes so that the other end is reset.
fn reset(stream: TcpStream) {
    let socket = Socket::from(stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
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
    let server = Dispatcher::listen("127.0.0.1:0", Failing(log.clone()));
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
