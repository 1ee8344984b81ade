//! Listening: what a listener accepts, drops and survives.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use chat::{
    Address, ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint, Error, Result,
    Socket, Stream, UnixName,
};

use crate::common::alone::{can_trace, descriptors, is_alone};
use crate::common::{Log, journal, opened, turn_to_rest, turn_until};

/// Logs the turn of each connection, and drops it.
struct Counter(Log);
impl DispatcherHandler for Counter {
    fn handle_accepted(
        &mut self,
        _: Stream,
        _: Address,
        _: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        self.0.add(format!("turn {}", map.turns()));
        Ok(())
    }
}

/// Listens; drops each second connection with an error.
struct Picky {
    log: Log,
    kept: Vec<Socket>,
}

impl DispatcherHandler for Picky {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        addr: Address,
        server: &mut Endpoint,
        _: &mut ChannelMap,
    ) -> Result {
        assert!(server.accepting() && !server.connected());
        let socket = stream.into_socket()?;
        assert!(socket.nonblocking().unwrap());
        let peer = socket.peer_addr().unwrap();
        assert_eq!(addr, Address::from(peer));
        if self.log.count("") % 2 == 1 {
            self.log.add("refused");
            return Err("one too many".into());
        }
        self.log.add("accepted");
        self.kept.push(socket);
        Ok(())
    }

    fn handle_error(&mut self, _: Error, _: &mut Endpoint, _: &mut ChannelMap) {
        self.log.add("error");
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.log
            .add(format!("close {}", crate::common::name(&reason)));
    }
}

fn picky(log: &Log) -> Picky {
    Picky {
        log: log.clone(),
        kept: Vec::new(),
    }
}

#[test]
fn an_error_in_handle_accepted_drops_that_connection_only() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let server = opened(Dispatcher::listen("127.0.0.1:0", picky(&log))).unwrap();
    let address = server.endpoint.local_addr().unwrap().as_inet().unwrap();
    assert_eq!(server.endpoint.addr(), server.endpoint.local_addr());
    let server = map.insert(server).unwrap();
    let mut clients: Vec<_> = (0..4)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    turn_until(&mut map, |_| log.len() == 4);
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["accepted", "refused", "accepted", "refused"]);
    assert!(map.is_open(server));
    // The refused ones are closed, the others are not.
    let mut byte = [0];
    for (nth, client) in clients.iter_mut().enumerate() {
        client.set_nonblocking(true).unwrap();
        match client.read(&mut byte) {
            Ok(0) => assert_eq!(nth % 2, 1),
            Err(error) if error.kind() == ErrorKind::WouldBlock => assert_eq!(nth % 2, 0),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn more_connections_than_one_turn_accepts_are_all_accepted() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let server = opened(Dispatcher::listen("127.0.0.1:0", Counter(log.clone()))).unwrap();
    let address = server.endpoint.local_addr().unwrap().as_inet().unwrap();
    map.insert(server).unwrap();
    let clients: Vec<_> = (0..100)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    turn_until(&mut map, |_| log.len() == clients.len());
    let first = &log.all()[0];
    assert!(log.count(first) <= 64, "a bounded amount in one turn");
}

#[test]
fn a_unix_socket_is_listened_on_and_its_path_must_be_free() {
    let path = std::env::temp_dir().join(format!("chat-listen-{}", std::process::id()));
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let server = opened(Dispatcher::listen_unix(&path, picky(&log))).unwrap();
    assert_eq!(
        server.endpoint.addr(),
        Some(Address::from(UnixName::from(&path)))
    );
    map.insert(server).unwrap();
    let taken = opened(Dispatcher::listen_unix(&path, picky(&log))).unwrap_err();
    let _client = UnixStream::connect(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    turn_until(&mut map, |_| log.len() == 1);
}

#[test]
fn a_port_that_is_taken_is_an_error_of_the_caller() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let refused = Dispatcher::listen(address, picky(&Log::default()));
    assert_eq!(opened(refused).unwrap_err().kind(), ErrorKind::AddrInUse);
}

/// D9a: `EMFILE`, which does not go away by trying again.
///
/// The limit is the whole process's, and so the test runs itself in another.
#[test]
fn a_listener_without_descriptors_pauses_and_goes_on() {
    if !is_alone(
        a_listener_without_descriptors_pauses_and_goes_on,
        &descriptors(40),
    ) {
        return;
    }
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let server = opened(Dispatcher::listen("127.0.0.1:0", Counter(log.clone()))).unwrap();
    let address = server.endpoint.local_addr().unwrap().as_inet().unwrap();
    let server = map.insert(server).unwrap();
    turn_to_rest(&mut map);
    let _client = TcpStream::connect(address).unwrap();
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
        assert!(files.len() < 100, "the limit was not set");
    }

    // The connection is there and cannot be accepted; a few attempts are made.
    let (before, end) = (map.turns(), Instant::now() + Duration::from_millis(100));
    while Instant::now() < end {
        map.turn(Some(end.saturating_duration_since(Instant::now())))
            .unwrap();
    }
    assert!(map.turns() - before < 10, "it spins");
    assert!(map.is_open(server));
    assert_eq!(log.len(), 0);

    drop(files);
    turn_until(&mut map, |_| log.len() == 1);
}

/// Fails once, then accepts.
struct Failing(Log);
impl DispatcherHandler for Failing {
    fn handle_accept(&mut self, server: &mut Endpoint, _: &mut ChannelMap) -> Result {
        if self.0.len() == 0 {
            self.0.add("failed");
            return Err("not now".into());
        }
        if server.accept()?.is_some() {
            self.0.add("accepted");
        }
        Ok(())
    }
}

/// Writes down what comes of each call.
struct Accepting(Log);
impl DispatcherHandler for Accepting {
    fn handle_accept(&mut self, server: &mut Endpoint, _: &mut ChannelMap) -> Result {
        match server.accept() {
            Ok(None) => {}
            Ok(Some(_)) => self.0.add("accepted"),
            Err(error) => {
                self.0.add("failed");
                return Err(error.into());
            }
        }
        Ok(())
    }
}

/// The kernel is made to have no descriptor for the first connection, and no memory for the
/// listener when its pause is over.
#[cfg(target_os = "linux")]
#[test]
fn a_listener_that_cannot_be_watched_after_its_pause_goes_on_later() {
    if !can_trace() {
        return;
    }
    // Calls: two of a new map, one of the insert; a wait (two); the pause (one); a
    // wait; and the end of the pause.
    let strace = "strace -f -o /dev/null -e trace=epoll_ctl,accept4 \
                  -e inject=epoll_ctl:error=ENOMEM:when=9 \
                  -e inject=accept4:error=EMFILE:when=1";
    let strace: Vec<&str> = strace.split_whitespace().collect();
    if !is_alone(
        a_listener_that_cannot_be_watched_after_its_pause_goes_on_later,
        &strace,
    ) {
        return;
    }
    journal::open();
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let server = Dispatcher::listen("127.0.0.1:0", Accepting(log.clone()));
    let server = map.insert(server).unwrap();
    let address = map.get(server).unwrap().endpoint.local_addr().unwrap();
    let address = address.as_inet().unwrap();
    let _client = TcpStream::connect(address).unwrap();
    let begin = Instant::now();
    while log.len() < 2 {
        assert!(begin.elapsed() < Duration::from_secs(5));
        map.turn(Some(Duration::from_secs(5))).unwrap();
    }
    assert_eq!(log.all(), ["failed", "accepted"]);
    assert!(begin.elapsed() >= Duration::from_millis(450), "two pauses");
    assert!(map.turns() < 12, "it spins");
    assert!(map.is_open(server));
    let lines = journal::take();
    let is_of = |line: &&String| line.contains("cannot be watched for now");
    assert_eq!(lines.iter().filter(is_of).count(), 1, "{lines:?}");
}

/// A server that accepts nobody any more is not found out by its silence.
#[test]
fn a_listener_that_fails_says_so_at_warn() {
    journal::open();
    let mut map = ChannelMap::new().unwrap();
    let mut end = |reason| {
        let server = Dispatcher::listen("127.0.0.1:0", Failing(Log::default()));
        let server = map.insert(server).unwrap();
        map.close_with(server, reason);
        turn_to_rest(&mut map);
        journal::take()
    };
    let lines = end(CloseReason::Io(ErrorKind::NotFound.into()));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("WARN channel "), "{lines:?}");
    assert!(
        lines[0].ends_with("closed, no longer listening: entity not found"),
        "{lines:?}"
    );
    assert!(end(CloseReason::Requested).is_empty());

    // A connection's failure is its peer's affair.
    let address = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(address.local_addr().unwrap()).unwrap();
    let stream = Dispatcher::new(stream, Failing(Log::default()));
    let stream = map.insert(stream).unwrap();
    map.close_with(stream, CloseReason::Io(ErrorKind::NotFound.into()));
    turn_to_rest(&mut map);
    assert!(journal::take().is_empty());
}

/// The timer that ends the pause went with the map that it was set in.
#[test]
fn a_listener_that_is_inserted_again_in_its_pause_goes_on() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let server = opened(Dispatcher::listen("127.0.0.1:0", Failing(log.clone()))).unwrap();
    let address = server.endpoint.local_addr().unwrap().as_inet().unwrap();
    let server = map.insert(server).unwrap();
    let _client = TcpStream::connect(address).unwrap();
    turn_until(&mut map, |_| log.len() == 1);
    let server = map.remove(server).unwrap();
    map.insert(server).unwrap();
    turn_until(&mut map, |_| log.len() == 2);
    assert_eq!(log.all(), ["failed", "accepted"]);
}
