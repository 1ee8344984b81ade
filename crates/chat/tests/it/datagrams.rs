//! Datagrams: who sent them, whom they can be sent to, and that no error and no
//! empty one ends the channel.

use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use chat::{
    Address, ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint, Error, Handle,
    Result, Socket, UnixName,
};

use crate::common::{Log, Place, assert_rest, name, tcp_pair, turn_until};

/// Answers each datagram to its sender, and keeps a record of errors too.
struct Echo {
    log: Log,
}

impl Echo {
    fn new(log: &Log) -> Self {
        Self { log: log.clone() }
    }

    fn record(&self, what: &str, error: &io::Error) {
        self.log.add(format!("{what} failed: {:?}", error.kind()));
    }
}

impl DispatcherHandler for Echo {
    fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        let mut buffer = [0; 2_000];
        match endpoint.recv_from(&mut buffer) {
            Ok((len, from)) => {
                let data = buffer[..len].escape_ascii();
                self.log.add(format!("{data} from {from}"));
                if let Err(error) = endpoint.send_to(&buffer[..len], &from) {
                    self.record("send_to", &error);
                }
            }
            Err(error) => self.record("recv_from", &error),
        }
        Ok(())
    }

    fn handle_eof(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.log.add("eof");
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.log.add(format!("close {}", name(&reason)));
    }

    fn handle_error(&mut self, error: Error, _: &mut Endpoint, _: &mut ChannelMap) {
        self.log.add(format!("error {error}"));
    }
}

impl Place {
    fn socket(&self, name: &str) -> (UnixDatagram, PathBuf) {
        let path = self.0.join(name);
        (UnixDatagram::bind(&path).unwrap(), path)
    }
}

fn insert(map: &mut ChannelMap, socket: impl Into<Socket>, log: &Log) -> Handle<Dispatcher<Echo>> {
    let channel = Dispatcher::new(socket, Echo::new(log));
    map.insert(channel).unwrap()
}

/// A UDP socket of ours and where it is.
fn udp() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn unix_address(path: &Path) -> Address {
    UnixName::from(path).into()
}

#[test]
fn udp_datagrams_are_answered_to_whoever_sent_them() {
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(ours) = UdpSocket::bind(host) else {
            let _ = writeln!(io::stderr(), "skipped: no {host}");
            continue;
        };
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let to = ours.local_addr().unwrap();
        insert(&mut map, ours, &log);
        let clients = [(); 3].map(|()| UdpSocket::bind(host).unwrap());
        for (n, client) in clients.iter().enumerate() {
            client.send_to(format!("from {n}").as_bytes(), to).unwrap();
        }
        turn_until(&mut map, |_| log.len() == 3);
        for (n, client) in clients.iter().enumerate() {
            let mut buffer = [0; 100];
            let (len, from) = client.recv_from(&mut buffer).unwrap();
            assert_eq!(from, to);
            assert_eq!(buffer[..len], *format!("from {n}").as_bytes());
            let expected = format!("from {n} from {}", client.local_addr().unwrap());
            assert!(log.has(&expected), "{:?}", log.all());
        }
        assert_rest(&mut map);
        assert_eq!(log.len(), 3);
    }
}

#[test]
fn unix_datagrams_are_answered_to_the_senders_path() {
    let place = Place::new("echo");
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (ours, to) = place.socket("server");
    let me = insert(&mut map, ours, &log);
    let local = map.get(me).unwrap().endpoint.local_addr();
    assert_eq!(local, Some(unix_address(&to)));
    let (theirs, from) = place.socket("client");
    theirs.send_to(b"hello", &to).unwrap();
    turn_until(&mut map, |_| log.len() == 1);
    assert_eq!(log.all(), [format!("hello from unix:{}", from.display())]);
    let mut buffer = [0; 100];
    let (len, answered_by) = theirs.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"hello");
    assert_eq!(answered_by.as_pathname(), Some(to.as_path()));
}

/// A sender without a path can be heard, and not answered. It is no reason to
/// close.
#[test]
fn an_unnamed_unix_sender_has_no_address_to_answer_to() {
    let place = Place::new("unnamed");
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (ours, to) = place.socket("server");
    let me = insert(&mut map, ours, &log);
    let theirs = UnixDatagram::unbound().unwrap();
    theirs.send_to(b"who am I", &to).unwrap();
    turn_until(&mut map, |_| log.len() == 2);
    assert_eq!(
        log.all(),
        [
            "who am I from unix:(unnamed)",
            "send_to failed: InvalidInput"
        ]
    );
    let endpoint = &mut map.get_mut(me).unwrap().endpoint;
    let refused = endpoint.send_to(b"x", &Address::Unix(None)).unwrap_err();
    assert!(refused.to_string().contains("unix:(unnamed)"), "{refused}");
    assert_rest(&mut map);
    assert!(map.is_open(me));
}

#[test]
fn an_address_of_another_family_is_refused_by_name() {
    let place = Place::new("families");
    let mut map = ChannelMap::new().unwrap();
    let ((inet, to_inet), (unix, to_unix)) = (udp(), place.socket("server"));
    let inet = insert(&mut map, inet, &Log::default());
    let unix = insert(&mut map, unix, &Log::default());
    for (me, to) in [
        (inet, unix_address(&to_unix)),
        (unix, Address::Inet(to_inet)),
        (inet, Address::Other),
    ] {
        let endpoint = &mut map.get_mut(me).unwrap().endpoint;
        let refused = endpoint.send_to(b"lost", &to).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(refused.to_string().contains(&to.to_string()), "{refused}");
    }
    assert_rest(&mut map);
    assert_eq!(map.len(), 2);
}

#[test]
fn streams_and_listeners_have_no_datagrams() {
    let (ours, _theirs) = tcp_pair();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (line, _peer) = crate::common::sim::line();
    let log = Log::default();
    let channels = [
        Dispatcher::new(ours, Echo::new(&log)),
        Dispatcher::new(listener, Echo::new(&log)),
        Dispatcher::over(line, Echo::new(&log)),
    ];
    let to = Address::Inet(udp().1);
    for mut channel in channels {
        let endpoint = &mut channel.endpoint;
        let received = endpoint.recv_from(&mut [0; 10]).unwrap_err();
        let sent = endpoint.send_to(b"x", &to).unwrap_err();
        for error in [received, sent] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.to_string(), "not a datagram socket");
        }
        assert!(!endpoint.closing());
    }
}

#[test]
fn without_a_datagram_recv_from_says_would_block_which_a_handler_may_pass_on() {
    /// Reads until there is nothing, as `recv`'s documentation allows.
    struct TillDry(Log);
    impl DispatcherHandler for TillDry {
        fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
            loop {
                let (len, _) = endpoint.recv_from(&mut [0; 10])?;
                self.0.add(format!("{len} bytes"));
            }
        }
    }
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (ours, to) = udp();
    let me = map
        .insert(Dispatcher::new(ours, TillDry(log.clone())))
        .unwrap();
    let (theirs, _) = udp();
    for data in ["one", "", "three"] {
        theirs.send_to(data.as_bytes(), to).unwrap();
    }
    turn_until(&mut map, |_| log.len() == 3);
    assert_rest(&mut map);
    assert_eq!(log.all(), ["3 bytes", "0 bytes", "5 bytes"]);
    assert!(map.is_open(me));
}

/// Where a stream ends with nothing, a datagram just is nothing.
#[test]
fn an_empty_datagram_is_received_with_its_sender_and_ends_nothing() {
    let place = Place::new("empty");
    let (unix, to) = place.socket("server");
    let (theirs, path) = place.socket("client");
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    insert(&mut map, unix, &log);
    for data in ["", "after", ""] {
        theirs.send_to(data.as_bytes(), &to).unwrap();
    }
    turn_until(&mut map, |_| log.len() == 3);
    assert_rest(&mut map);
    let from = unix_address(&path);
    let expected = ["", "after", ""].map(|data| format!("{data} from {from}"));
    assert_eq!(log.all(), expected);
}

/// Datagrams of these lengths, into room for 4: the lengths that `receive` returned, and
/// its errors.
fn received_into_4(
    endpoint: &mut Endpoint,
    mut receive: impl FnMut(&mut Endpoint, &mut [u8]) -> io::Result<usize>,
) -> Vec<String> {
    let mut received = Vec::new();
    loop {
        let mut buffer = [b'.'; 4];
        let what = match receive(endpoint, &mut buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return received,
            Err(error) => format!("{:?}", error.kind()),
            Ok(len) => len.to_string(),
        };
        received.push(format!("{what} {}", buffer.escape_ascii()));
    }
}

/// What a caller takes for a datagram is one, and whole.
#[test]
fn a_datagram_that_does_not_fit_is_an_error_and_the_next_one_is_whole() {
    type Receive = fn(&mut Endpoint, &mut [u8]) -> io::Result<usize>;
    let by: [Receive; 2] = [
        |endpoint, buffer| endpoint.recv_from(buffer).map(|(len, _)| len),
        |endpoint, buffer| endpoint.recv(buffer),
    ];
    let place = Place::new("cut");
    for (n, receive) in by.into_iter().enumerate() {
        let ((inet, to_inet), (unix, to_unix)) = (udp(), place.socket(&format!("server {n}")));
        let (from_inet, from_unix) = (udp().0, UnixDatagram::unbound().unwrap());
        for data in ["abcd", "", "abcde", "ab", "much too long", "abc"] {
            from_inet.send_to(data.as_bytes(), to_inet).unwrap();
            from_unix.send_to(data.as_bytes(), &to_unix).unwrap();
        }
        for socket in [Socket::from(inet), Socket::from(unix)] {
            let mut channel = Dispatcher::new(socket, Echo::new(&Log::default()));
            let received = received_into_4(&mut channel.endpoint, receive);
            assert_eq!(
                received,
                [
                    "4 abcd",
                    "0 ....",
                    "InvalidData abcd",
                    "2 ab..",
                    "InvalidData much",
                    "3 abc."
                ]
            );
            assert!(!channel.endpoint.closing());
        }
    }
}

#[test]
fn the_error_of_a_datagram_that_does_not_fit_names_its_sender_and_may_be_passed_on() {
    /// Room for 4 bytes, and an error by `?`.
    struct Short(Log);
    impl DispatcherHandler for Short {
        fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
            let received = endpoint.recv_from(&mut [0; 4]);
            self.0.add(match &received {
                Ok((len, _)) => len.to_string(),
                Err(error) => error.to_string(),
            });
            received?;
            Ok(())
        }
        fn handle_error(&mut self, error: Error, _: &mut Endpoint, _: &mut ChannelMap) {
            self.0.add(format!("handle_error {error}"));
        }
    }
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (ours, to) = udp();
    let me = map
        .insert(Dispatcher::new(ours, Short(log.clone())))
        .unwrap();
    let (theirs, from) = udp();
    theirs.send_to(b"too long", to).unwrap();
    theirs.send_to(b"next", to).unwrap();
    turn_until(&mut map, |_| log.len() == 2);
    assert_rest(&mut map);
    let expected = format!("a datagram from {from} does not fit into 4 bytes");
    assert_eq!(log.all(), [&*expected, "4"]);
    assert!(map.is_open(me));
}

/// Room for all that UDP can carry; a Unix socket carries more.
#[test]
fn datagrams_larger_than_64_kib_come_whole_into_a_buffer_that_is() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let mut channel = Dispatcher::new(ours, Echo::new(&Log::default()));
    let mut buffer = vec![0; 70_000];
    theirs.send(&vec![7; 70_000]).unwrap();
    let (len, _) = channel.endpoint.recv_from(&mut buffer).unwrap();
    assert_eq!((len, buffer[69_999]), (70_000, 7));
    theirs.send(&vec![7; 65_537]).unwrap();
    let cut = channel.endpoint.recv_from(&mut buffer[..65_536]);
    assert_eq!(cut.unwrap_err().kind(), ErrorKind::InvalidData);

    let ((ours, to), (theirs, from)) = (udp(), udp());
    let mut channel = Dispatcher::new(ours, Echo::new(&Log::default()));
    theirs.send_to(&vec![7; 65_507], to).unwrap();
    let received = channel.endpoint.recv_from(&mut buffer[..65_536]).unwrap();
    assert_eq!(received, (65_507, from.into()));
}

/// A server at this port is not there yet: the ICMP answer is this socket's
/// pending error. It costs neither the channel nor turns.
#[test]
fn a_connected_udp_socket_survives_its_peers_absence() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (ours, from) = udp();
    let (_, absent) = udp();
    ours.connect(absent).unwrap();
    let me = insert(&mut map, ours, &log);
    for round in 1..=3 {
        let endpoint = &mut map.get_mut(me).unwrap().endpoint;
        assert_eq!(endpoint.send(b"anybody?").unwrap(), 8);
        turn_until(&mut map, |_| log.len() == round);
        assert_rest(&mut map);
    }
    assert_eq!(log.all(), ["recv_from failed: ConnectionRefused"; 3]);
    assert!(map.is_open(me));

    // It comes, and they talk.
    let theirs = UdpSocket::bind(absent).unwrap();
    theirs.send_to(b"here I am", from).unwrap();
    turn_until(&mut map, |_| log.len() == 4);
    assert_eq!(log.all()[3], format!("here I am from {absent}"));
}

/// The same by `send`: the pending error is what the next one returns.
#[test]
fn an_error_of_sending_a_datagram_is_the_callers_alone() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (ours, _) = udp();
    let (_, absent) = udp();
    ours.connect(absent).unwrap();
    let me = insert(&mut map, ours, &log);
    let endpoint = &mut map.get_mut(me).unwrap().endpoint;
    endpoint.send(b"anybody?").unwrap();
    let refused = endpoint.send(b"hello?").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let too_large = vec![0; 70_000];
    assert!(endpoint.send(&too_large).is_err());
    assert!(endpoint.send_to(&too_large, &absent.into()).is_err());
    assert!(!endpoint.closing());
    assert_rest(&mut map);
    assert!(map.is_open(me));
}

#[test]
fn a_pair_of_unix_datagram_sockets_talks_and_outlives_an_end() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let me = insert(&mut map, ours, &log);
    theirs.send(b"ping").unwrap();
    turn_until(&mut map, |_| log.len() == 2);
    assert_eq!(log.all()[0], "ping from unix:(unnamed)");
    // There is no address; being connected, it needs none.
    let endpoint = &mut map.get_mut(me).unwrap().endpoint;
    assert_eq!(endpoint.send(b"pong").unwrap(), 4);
    let mut buffer = [0; 10];
    assert_eq!(theirs.recv(&mut buffer).unwrap(), 4);
    drop(theirs);
    let endpoint = &mut map.get_mut(me).unwrap().endpoint;
    assert!(endpoint.send(b"still there?").is_err());
    assert_rest(&mut map);
    assert!(map.is_open(me));
    assert_eq!(log.len(), 2);
}

/// A receiver that does not read holds a Unix sender back, and loses nothing.
#[test]
fn a_full_receiver_says_would_block() {
    let place = Place::new("full");
    let (theirs, to) = place.socket("slow");
    let mut channel = Dispatcher::new(UnixDatagram::unbound().unwrap(), Echo::new(&Log::default()));
    let to = unix_address(&to);
    let mut sent = 0;
    let full = loop {
        match channel.endpoint.send_to(b"more", &to) {
            Ok(len) => sent += len,
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    let mut buffer = [0; 10];
    theirs.set_nonblocking(true).unwrap();
    while let Ok(len) = theirs.recv(&mut buffer) {
        sent -= len;
    }
    assert_eq!(sent, 0);
}

/// `recv` without addresses, `recv_from` with them, of the same socket.
#[test]
fn a_datagram_socket_says_what_it_is_and_where() {
    let (ours, to) = udp();
    let (theirs, from) = udp();
    let mut channel = Dispatcher::new(ours, Echo::new(&Log::default()));
    let endpoint = &mut channel.endpoint;
    assert_eq!(endpoint.addr(), Some(to.into()));
    assert_eq!(endpoint.peer_addr(), None);
    assert!(endpoint.socket().unwrap().set_broadcast(true).is_ok());
    theirs.send_to(b"one", to).unwrap();
    theirs.send_to(b"two", to).unwrap();
    let mut buffer = [0; 10];
    assert_eq!(endpoint.recv(&mut buffer).unwrap(), 3);
    let (len, sender) = endpoint.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..len], sender), (&b"two"[..], from.into()));
    endpoint.socket().unwrap().connect(&from.into()).unwrap();
    assert_eq!(endpoint.peer_addr(), Some(from.into()));
}
