//! Sockets that carry no stream, given to a chat channel.

use std::io::{ErrorKind, Read};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};

use chat::{
    AsyncChat, ChannelMap, Chat, CloseReason, Dispatcher, DispatcherHandler, Endpoint,
    MessageHandler, Result, SimpleProducer, Socket,
};
use socket2::{Domain, Type};

use crate::common::part::{Part, Record};
use crate::common::{Log, Place, Probe, opened, tcp_pair, turn_to_rest, turn_until, unix_pair};

struct Silent;

impl DispatcherHandler for Silent {}

/// Keeps a record of why it closed, and of anything else.
struct Told(Log);

impl MessageHandler for Told {
    fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add("message");
        Ok(())
    }

    fn handle_connect(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add("connect");
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        let CloseReason::Io(error) = reason else {
            return self.0.add("closed otherwise");
        };
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        self.0.add(error.to_string());
    }
}

/// One of each kind, with a part of the sentence that refuses it.
fn sockets(place: &Place) -> Vec<(Socket, &'static str)> {
    let connected = UdpSocket::bind("127.0.0.1:0").unwrap();
    connected.connect(connected.local_addr().unwrap()).unwrap();
    let (records, peer) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    std::mem::forget(peer); // its end would be heard
    let record_listener = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    let path = socket2::SockAddr::unix(place.0.join("records")).unwrap();
    record_listener.bind(&path).unwrap();
    record_listener.listen(1).unwrap();
    vec![
        (UdpSocket::bind("127.0.0.1:0").unwrap().into(), "datagrams"),
        (connected.into(), "datagrams"),
        (UnixDatagram::pair().unwrap().0.into(), "datagrams"),
        (records, "records"),
        (record_listener, "records"),
        (TcpListener::bind("127.0.0.1:0").unwrap().into(), "listens"),
        (
            UnixListener::bind(place.0.join("socket")).unwrap().into(),
            "listens",
        ),
    ]
}

/// An empty datagram is no end, and a terminator has no meaning among datagrams.
#[test]
fn a_chat_channel_refuses_what_is_no_stream_and_says_what_to_use() {
    let place = Place::new("refused");
    for (socket, what) in sockets(&place) {
        let probe = Probe::new(&Log::default());
        let refused = opened(AsyncChat::new(socket, "\n", probe)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        let text = refused.to_string();
        assert!(text.contains("use a Dispatcher for"), "{text}");
        assert!(text.contains(what), "{text}");
    }
    for stream in [Socket::from(tcp_pair().0), unix_pair().0.into()] {
        AsyncChat::new(stream, "\n", Probe::new(&Log::default()));
    }
}

/// Sockets that are yet to be opened, or connected, are no streams either.
#[test]
fn a_chat_channel_refuses_what_will_be_no_stream() {
    let place = Place::new("unopened");
    let path = place.0.join("socket");
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = datagrams.local_addr().unwrap();
    let records = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    let to_records = socket2::SockAddr::unix(&path).unwrap();
    for endpoint in [
        Dispatcher::bind("127.0.0.1:0", ()).endpoint,
        Dispatcher::bind_unix(&path, ()).endpoint,
        Dispatcher::listen("127.0.0.1:0", ()).endpoint,
        Dispatcher::listen_unix(&path, ()).endpoint,
        Endpoint::connect_from(datagrams, to),
        Endpoint::connect_from(records, to_records),
    ] {
        let shown = format!("{endpoint:?}");
        let refused = opened(AsyncChat::new(endpoint, "\n", ())).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{shown}");
    }
    assert!(!path.exists(), "nothing was opened");
}

#[test]
fn a_dispatcher_takes_what_a_chat_channel_refuses() {
    let place = Place::new("taken");
    for (socket, _) in sockets(&place) {
        Dispatcher::new(socket, Silent);
    }
}

/// There is no error to return; so it is told as that of a failed connection.
#[test]
fn a_chat_channel_made_of_an_endpoint_without_a_stream_closes_and_says_why() {
    let place = Place::new("converted");
    for (socket, what) in sockets(&place) {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let raw = map.insert(Dispatcher::new(socket, Silent)).unwrap();
        turn_to_rest(&mut map);
        let told = Told(log.clone());
        map.convert(raw, |raw| AsyncChat::new(raw.endpoint, "\n", told))
            .unwrap();
        turn_to_rest(&mut map);
        assert!(map.is_empty());
        assert_eq!(log.len(), 1, "{:?}", log.all());
        assert!(log.all()[0].contains(what), "{:?}", log.all());
    }
}

/// Two pushes are two records, even where they could be sent together.
#[test]
fn each_push_to_a_socket_of_records_is_one_record() {
    let (ours, theirs) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    theirs.set_nonblocking(true).unwrap();
    let mut map = ChannelMap::new().unwrap();
    let channel = Dispatcher::new(ours, Part::<0>::new(&Record::default()));
    let me = map.insert(channel).unwrap();
    turn_to_rest(&mut map);
    let mut buffer = [0; 9];
    let mut next = || {
        (&theirs)
            .read(&mut buffer)
            .map(|len| buffer[..len].to_vec())
    };

    let endpoint = &mut map.get_mut(me).unwrap().endpoint;
    assert!(endpoint.push("a") && endpoint.push_bytes("bc"));
    assert!(!endpoint.push_with_producer(SimpleProducer::new("made")));
    assert_eq!(endpoint.sent(), 3);
    assert_eq!(next().unwrap(), b"a");
    assert_eq!(next().unwrap(), b"bc");

    // One for which there is no room is lost, or handed back.
    let big = vec![b'x'; 60_000];
    let taken = (0..1_000).take_while(|_| endpoint.push(&big)).count();
    assert!((1..1_000).contains(&taken), "{taken}");
    assert_eq!(endpoint.try_push(&big), Err(&big));
    assert!(!endpoint.output_failed());
    drop(theirs);
    // A child of another test's has a copy, for the moment before it calls `exec`.
    turn_until(&mut map, |map| {
        let channel = map.get_mut(me);
        channel.map_or(true, |it| {
            !it.endpoint.push("late") && it.endpoint.output_failed()
        })
    });
    turn_until(&mut map, |map| map.is_empty());
}
