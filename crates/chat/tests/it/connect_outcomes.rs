//! However a connection turns out, the client is told once: there, refused,
//! reset, timed out.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use chat::{
    AsyncChat, ChannelMap, Chat, CloseReason, Dispatcher, DispatcherHandler, Endpoint,
    MessageHandler, Result, Socket, Timer, Token,
};
use socket2::{Domain, SockAddr, Type};

use crate::common::{Log, Place, alone, assert_rest, name, opened, turn_until};

/// Keeps a record of the outcome, as either kind of handler; gives up when its
/// timer is due.
struct Client(Log);

impl DispatcherHandler for Client {
    fn handle_connect(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        assert!(endpoint.connected() && !endpoint.connecting());
        self.0.add("connect");
        Ok(())
    }

    fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.0.add("read");
        endpoint.recv(&mut [0; 100])?;
        Ok(())
    }

    fn handle_eof(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.0.add("eof");
        Ok(())
    }

    fn handle_timer(&mut self, _: Timer, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        endpoint.close_with(CloseReason::TimedOut);
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.0.add(told(&reason));
    }

    fn handle_error(&mut self, error: chat::Error, _: &mut Endpoint, _: &mut ChannelMap) {
        self.0.add(format!("error {error}"));
    }
}

impl MessageHandler for Client {
    fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add("message");
        Ok(())
    }

    fn handle_connect(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        assert!(chat.endpoint().connected());
        self.0.add("connect");
        Ok(())
    }

    fn handle_eof(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add("eof");
        Ok(())
    }

    fn handle_timer(&mut self, _: Timer, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        chat.close_with(CloseReason::TimedOut);
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        self.0.add(told(&reason));
    }

    fn handle_error(&mut self, error: chat::Error, _: &mut Chat, _: &mut ChannelMap) {
        self.0.add(format!("error {error}"));
    }
}

/// The reason, and the text of an error that is none of the system's.
fn told(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Io(error) if error.get_ref().is_some() => {
            format!("close {} {error}", name(reason))
        }
        _ => format!("close {}", name(reason)),
    }
}

type Insert = fn(&mut ChannelMap, Endpoint, &Log) -> Token;

/// With something to send, which must not make another event of it.
const KINDS: [Insert; 2] = [
    |map, mut endpoint, log| {
        endpoint.push("hello");
        let channel = Dispatcher::new(endpoint, Client(log.clone()));
        map.insert(channel).unwrap().into()
    },
    |map, endpoint, log| {
        let mut channel = AsyncChat::new(endpoint, "\n", Client(log.clone()));
        channel.chat.push("hello");
        map.insert(channel).unwrap().into()
    },
];

/// A connection that begins before its channel is in the map that turns.
fn begun(socket: Socket, to: SockAddr) -> Endpoint {
    let channel = Dispatcher::new(Endpoint::connect_from(socket, to), ());
    opened(channel).unwrap().endpoint
}

/// The one socket of a place.
fn socket_in(place: &Place) -> SockAddr {
    SockAddr::unix(place.0.join("socket")).unwrap()
}

fn socket(address: &SockAddr) -> Socket {
    Socket::new(address.domain(), Type::STREAM, None).unwrap()
}

/// A listener on this address or, for TCP, on a port of its own.
fn listen(address: &SockAddr, backlog: i32) -> Socket {
    let listener = socket(address);
    listener.bind(address).unwrap();
    listener.listen(backlog).unwrap();
    listener
}

fn loopbacks() -> Vec<SockAddr> {
    let v6 = SockAddr::from(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)));
    let mut addresses = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()];
    match socket(&v6).bind(&v6) {
        Ok(()) => addresses.push(v6),
        Err(_) => {
            let _ = writeln!(io::stderr(), "skipped: no IPv6");
        }
    }
    addresses
}

/// Where a listener can be, TCP and Unix.
fn everywhere(place: &Place) -> Vec<SockAddr> {
    let mut addresses = loopbacks();
    addresses.push(socket_in(place));
    addresses
}

fn remove(address: &SockAddr) {
    if let Some(path) = address.as_pathname().map(Path::to_path_buf) {
        std::fs::remove_file(path).unwrap();
    }
}

#[track_caller]
fn wait_for(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "it never happened");
        std::thread::yield_now();
    }
}

/// R8c: and one that has a peer is told once.
#[test]
fn a_connection_that_is_there_is_told_by_handle_connect_once() {
    let place = Place::new("there");
    for address in everywhere(&place) {
        for insert in KINDS {
            let log = Log::default();
            let mut map = ChannelMap::new().unwrap();
            let listener = listen(&address, 8);
            let to = listener.local_addr().unwrap();
            let endpoint = Endpoint::connect_from(socket(&to), to);
            insert(&mut map, endpoint, &log);
            assert_eq!(log.len(), 0, "not from within insert");
            let _theirs = listener.accept().unwrap();
            turn_until(&mut map, |_| log.len() > 0);
            assert_rest(&mut map);
            assert_eq!(log.all(), ["connect"]);
            remove(&address);
        }
    }
}

#[test]
fn a_refused_connection_is_told_by_handle_close_once() {
    let place = Place::new("refused");
    for address in everywhere(&place) {
        for insert in KINDS {
            let log = Log::default();
            let mut map = ChannelMap::new().unwrap();
            let gone = listen(&address, 8);
            let to = gone.local_addr().unwrap();
            drop(gone);
            let endpoint = Endpoint::connect_from(socket(&to), to);
            insert(&mut map, endpoint, &log);
            assert_eq!(log.len(), 0, "not from within insert");
            turn_until(&mut map, |map| map.is_empty());
            assert_rest(&mut map);
            assert_eq!(log.all(), ["close Io(ConnectionRefused)"]);
            remove(&address);
        }
    }
}

/// The server accepts and resets before the client's loop has turned: for the
/// client there never was a connection.
#[test]
fn a_connection_that_was_reset_meanwhile_is_told_by_handle_close_once() {
    for address in loopbacks() {
        for insert in KINDS {
            let log = Log::default();
            let mut map = ChannelMap::new().unwrap();
            let listener = listen(&address, 8);
            let to = listener.local_addr().unwrap();
            let endpoint = begun(socket(&to), to);
            let (theirs, _) = listener.accept().unwrap();
            theirs.set_linger(Some(Duration::ZERO)).unwrap();
            drop(theirs);
            wait_for(|| endpoint.peer_addr().is_none());
            insert(&mut map, endpoint, &log);
            turn_until(&mut map, |map| map.is_empty());
            assert_rest(&mut map);
            assert_eq!(log.all(), ["close Io(ConnectionReset)"]);
        }
    }
}

/// R8b: only the missing peer tells of it.
///
/// Somebody has asked for the error already (`SO_ERROR` tells it once).
#[test]
fn a_reset_whose_error_was_taken_is_no_connection_either() {
    for insert in KINDS {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let listener = listen(&loopbacks()[0], 8);
        let to = listener.local_addr().unwrap();
        let endpoint = begun(socket(&to), to);
        drop(listener); // and with it who waited to be accepted
        wait_for(|| endpoint.peer_addr().is_none());
        let error = endpoint.socket().unwrap().take_error().unwrap();
        assert!(error.is_some());
        insert(&mut map, endpoint, &log);
        turn_until(&mut map, |map| map.is_empty());
        assert_eq!(log.all(), ["close Io(NotConnected)"]);
    }
}

/// A Unix socket is connected before it is accepted; but the loop had no time
/// to say so.
#[test]
fn a_unix_listener_that_goes_without_accepting_is_told_by_handle_close_once() {
    let place = Place::new("embryo");
    for insert in KINDS {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let listener = listen(&socket_in(&place), 8);
        let to = listener.local_addr().unwrap();
        let endpoint = begun(socket(&to), to);
        drop(listener);
        insert(&mut map, endpoint, &log);
        turn_until(&mut map, |map| map.is_empty());
        assert_rest(&mut map);
        assert_eq!(log.all(), ["close Io(ConnectionReset)"]);
        remove(&socket_in(&place));
    }
}

/// A listener whose queue is full, and which ignores whoever knocks.
struct Full {
    address: SockAddr,
    _sockets: [Socket; 2],
}

impl Full {
    fn new(address: &SockAddr) -> Self {
        let listener = listen(address, 0); // which is one
        let address = listener.local_addr().unwrap();
        let first = socket(&address);
        first.connect(&address).unwrap();
        Self {
            address,
            _sockets: [listener, first],
        }
    }
}

/// The kernel's own time limit, made short. While it runs, the loop sleeps.
#[test]
fn a_connection_that_times_out_is_told_by_handle_close_once_and_costs_no_turns() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let full: Vec<_> = loopbacks().iter().map(Full::new).collect();
    for full in &full {
        for insert in KINDS {
            let socket = socket(&full.address);
            let limit = Duration::from_millis(300);
            socket.set_tcp_user_timeout(Some(limit)).unwrap();
            let endpoint = Endpoint::connect_from(socket, full.address.clone());
            insert(&mut map, endpoint, &log);
        }
    }
    let clients = map.len();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !map.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(left > Duration::ZERO, "they never timed out");
        map.turn(Some(left)).unwrap();
    }
    assert!(
        map.turns() <= 2 * clients as u64 + 2,
        "{} turns",
        map.turns()
    );
    assert_eq!(log.all(), vec!["close Io(TimedOut)"; clients]);
}

#[test]
fn a_programs_own_time_limit_ends_an_attempt_at_once() {
    let limit = Duration::from_secs(30);
    for insert in KINDS {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let full = Full::new(&loopbacks()[0]);
        let socket = socket(&full.address);
        let endpoint = Endpoint::connect_from(socket, full.address.clone());
        let me = insert(&mut map, endpoint, &log);
        map.set_timer(me, map.now() + limit);
        assert_rest(&mut map);
        map.turn_at(map.now() + limit - Duration::from_secs(1))
            .unwrap();
        assert!(map.is_open(me));
        map.turn_at(map.now() + Duration::from_secs(1)).unwrap();
        assert!(map.is_empty());
        drop(full); // which refuses those who still knock
        assert_rest(&mut map);
        assert_eq!(log.all(), ["close TimedOut"]);
    }
}

/// `connect(2)` of a Unix socket does not wait in the background: a full queue
/// is the outcome.
#[test]
fn a_unix_listener_whose_queue_is_full_is_told_by_handle_close_once() {
    let place = Place::new("full");
    let full = Full::new(&socket_in(&place));
    for insert in KINDS {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let socket = socket(&full.address);
        let endpoint = Endpoint::connect_from(socket, full.address.clone());
        insert(&mut map, endpoint, &log);
        turn_until(&mut map, |map| map.is_empty());
        assert_eq!(log.all(), [format!("close Io(WouldBlock) {QUEUE_IS_FULL}")]);
    }
}

const QUEUE_IS_FULL: &str = "too many connections wait to be accepted there; try again later";

/// Bound to the address that it connects to, as the system may bind a client by chance.
#[test]
fn a_socket_that_would_be_connected_to_itself_is_refused() {
    for address in loopbacks() {
        for insert in KINDS {
            let log = Log::default();
            let mut map = ChannelMap::new().unwrap();
            let socket = socket(&address);
            socket.bind(&address).unwrap();
            let to_itself = socket.local_addr().unwrap();
            let endpoint = Endpoint::connect_from(socket, to_itself.clone());
            insert(&mut map, endpoint, &log);
            turn_until(&mut map, |map| map.is_empty());
            let reason = "nobody listens on that port: the socket has connected to itself";
            assert_eq!(log.all(), [format!("close Io(ConnectionRefused) {reason}")]);
            listen(&to_itself, 1); // the port is free
        }
    }
}

/// A network of its own that has two ports for clients, and gives the even one first.
const FEW_PORTS: [&str; 6] = [
    "unshare",
    "--map-root-user",
    "--net",
    "sh",
    "-c",
    "ip link set lo up && echo 50000 50001 > /proc/sys/net/ipv4/ip_local_port_range \
     && exec \"$0\" \"$@\"",
];

/// Whether there may be one; if not, says so.
fn has_few_ports() -> bool {
    let mut command = Command::new(FEW_PORTS[0]);
    command.args(&FEW_PORTS[1..]).arg("true");
    let can = command.output().is_ok_and(|output| output.status.success());
    if !can {
        let _ = writeln!(io::stderr(), "skipped: no unshare or ip");
    }
    can
}

#[test]
fn a_client_that_gets_the_very_port_it_asks_for_goes_on_to_the_next_address() {
    let is_inside = std::env::var_os("TEST_ALONE").is_some();
    let test = a_client_that_gets_the_very_port_it_asks_for_goes_on_to_the_next_address;
    if !is_inside && !has_few_ports() || !alone::is_alone(test, &FEW_PORTS) {
        return;
    }
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000));
    let listener = TcpListener::bind("127.0.0.1:40000").unwrap();
    let there = listener.local_addr().unwrap();
    for (addresses, outcome) in [
        (&[nobody][..], "close Io(ConnectionRefused)"),
        (&[nobody, there], "connect"),
        (&[nobody, nobody], "close Io(ConnectionRefused)"),
    ] {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let raw = Dispatcher::connect(addresses, Client(log.clone()));
        map.insert(raw).unwrap();
        turn_until(&mut map, |_| log.len() > 0);
        assert_rest(&mut map);
        assert_eq!((log.count(outcome), log.len()), (1, 1), "{:?}", log.all());
        drop(map);

        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let chat = AsyncChat::connect(addresses, "\n", Client(log.clone()));
        map.insert(chat).unwrap();
        turn_until(&mut map, |_| log.len() > 0);
        assert_rest(&mut map);
        assert_eq!((log.count(outcome), log.len()), (1, 1), "{:?}", log.all());
    }
}

/// Several sockets of a program may be bound to one port, and talk to each other.
#[test]
fn a_socket_that_is_bound_to_its_peers_port_on_another_address_is_connected() {
    for insert in KINDS {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let listener = listen(&loopbacks()[0], 8);
        let to = listener.local_addr().unwrap();
        let port = to.as_socket().unwrap().port();
        let socket = socket(&to);
        let other = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), port));
        if socket.bind(&other.into()).is_err() {
            let _ = writeln!(io::stderr(), "skipped: no {other}");
            return;
        }
        let endpoint = Endpoint::connect_from(socket, to);
        insert(&mut map, endpoint, &log);
        turn_until(&mut map, |_| log.len() == 1);
        assert_eq!(log.all(), ["connect"]);
    }
}

/// Records with bounds, and an end, as only Unix sockets have them.
#[test]
fn a_seqpacket_socket_connects_and_hears_the_end() {
    let place = Place::new("seqpacket");
    let listener = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    listener.bind(&socket_in(&place)).unwrap();
    listener.listen(8).unwrap();
    let mut map = ChannelMap::new().unwrap();
    for is_inserted_connected in [false, true] {
        let log = Log::default();
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
        let dispatcher = if is_inserted_connected {
            socket.connect(&socket_in(&place)).unwrap();
            Dispatcher::new(socket, Client(log.clone()))
        } else {
            let endpoint = Endpoint::connect_from(socket, socket_in(&place));
            Dispatcher::new(endpoint, Client(log.clone()))
        };
        let me = map.insert(dispatcher).unwrap();
        let (theirs, _) = listener.accept().unwrap();
        theirs.send(b"a record").unwrap();
        theirs.send(b"another").unwrap();
        assert_rest(&mut map);
        assert!(map.get(me).unwrap().endpoint.connected());
        assert_eq!(log.count("read"), 2, "a record at a time");
        drop(theirs);
        assert_rest(&mut map);
        assert_eq!(log.count("connect"), 1);
        assert_eq!((log.count("eof"), log.len()), (1, 5));
    }
}

const CUT: &str = "close Io(InvalidData) what was received does not fit into 100 bytes";

/// A part of a record is none: the connection ends, as by any other error.
#[test]
fn a_record_that_does_not_fit_closes_the_connection_with_invalid_data() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (ours, theirs) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    map.insert(Dispatcher::new(ours, Client(log.clone())))
        .unwrap();
    theirs.send(&[0; 100]).unwrap(); // as many as there is room for
    turn_until(&mut map, |_| log.has("read"));
    assert_rest(&mut map);
    assert_eq!(log.after_connect(), ["read"]);
    theirs.send(&[0; 101]).unwrap();
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(log.after_connect(), ["read", "read", CUT]);
}
