//! The raw socket channel: its events, its predicates, and its errors.

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpListener, UdpSocket};

use chat::{
    Address, AsyncChat, ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint, Error,
    Handle, Result,
};

use crate::common::{
    Log, Probe, assert_rest, read_len, tcp_pair, turn_to_rest, turn_until, unix_pair,
};

/// Connects or is connected; echoes by hand, and logs all.
struct Raw {
    log: Log,
    to_send: Vec<u8>,
    reads_till_dry: bool,
}

impl Raw {
    fn new(log: &Log) -> Self {
        Self {
            log: log.clone(),
            to_send: Vec::new(),
            reads_till_dry: false,
        }
    }
}

impl DispatcherHandler for Raw {
    fn writable(&self, _: &Endpoint) -> bool {
        !self.to_send.is_empty()
    }

    fn handle_connect(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        assert!(endpoint.connected() && !endpoint.connecting());
        self.log.add("connect");
        Ok(())
    }

    fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        let mut buffer = [0; 100];
        loop {
            let len = endpoint.recv(&mut buffer)?; // WouldBlock, in the end
            if len > 0 {
                let data = buffer[..len].escape_ascii();
                self.log.add(format!("read {data}"));
                self.to_send.extend_from_slice(&buffer[..len]);
            }
            if len == 0 || !self.reads_till_dry {
                return Ok(());
            }
        }
    }

    fn handle_write(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        let sent = endpoint.send(&self.to_send)?;
        self.to_send.drain(..sent);
        Ok(())
    }

    fn handle_eof(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.log.add("eof");
        if self.to_send.is_empty() {
            endpoint.close_with(CloseReason::Eof);
        }
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.log
            .add(format!("close {}", crate::common::name(&reason)));
    }

    fn handle_error(&mut self, error: Error, _: &mut Endpoint, _: &mut ChannelMap) {
        self.log.add(format!("error {error}"));
    }
}

#[test]
fn a_dispatcher_connects_reads_writes_and_hears_the_end_once() {
    let log = Log::default();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut map = ChannelMap::new().unwrap();
    let client = Dispatcher::connect(address, Raw::new(&log));
    assert!(client.endpoint.connecting());
    let me = map.insert(client).unwrap();
    let (mut theirs, _) = listener.accept().unwrap();
    theirs.set_nonblocking(true).unwrap();
    theirs.write_all(b"hello").unwrap();
    assert_eq!(read_len(&mut map, &mut theirs, 5), b"hello");
    let endpoint = &map.get(me).unwrap().endpoint;
    assert_eq!(endpoint.addr(), Some(Address::Inet(address)));
    theirs.shutdown(Shutdown::Write).unwrap();
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(log.all(), ["connect", "read hello", "eof", "close Eof"]);
}

#[test]
fn a_refused_connection_goes_to_handle_close() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    map.insert(Dispatcher::connect(address, Raw::new(&log)))
        .unwrap();
    turn_until(&mut map, |map| map.is_empty());
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["close Io(ConnectionRefused)"]);
}

/// A handler may read until there is no more and pass on what stops it.
#[test]
fn would_block_returned_by_a_handler_does_no_harm() {
    let log = Log::default();
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let mut raw = Raw::new(&log);
    raw.reads_till_dry = true;
    let me = map.insert(Dispatcher::new(ours, raw)).unwrap();
    theirs.write_all(&[b'x'; 250]).unwrap();
    assert_eq!(read_len(&mut map, &mut theirs, 250).len(), 250);
    assert!(map.is_open(me));
    assert_eq!((log.count("read"), log.count("error")), (3, 0));
}

#[test]
fn what_is_left_unread_is_reported_again() {
    let log = Log::default();
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    map.insert(Dispatcher::new(ours, Raw::new(&log))).unwrap();
    theirs.write_all(&[b'x'; 250]).unwrap();
    turn_to_rest(&mut map);
    assert_eq!(log.count("read"), 3);
}

/// The end is heard once, however the channel goes on.
#[test]
fn eof_is_told_once_and_does_not_keep_the_loop_awake() {
    let log = Log::default();
    let (ours, theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let mut raw = Raw::new(&log);
    raw.to_send = vec![b'x'; 10_000_000]; // more than the socket takes
    let me = map.insert(Dispatcher::new(ours, raw)).unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    assert_rest(&mut map);
    assert_eq!(log.after_connect(), ["eof"]);
    assert!(map.is_open(me));
}

#[test]
fn a_fatal_error_of_the_socket_closes_once_and_is_no_error_of_the_handler() {
    let log = Log::default();
    let (ours, theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let mut raw = Raw::new(&log);
    raw.to_send = b"into the void".to_vec();
    let mut channel = Dispatcher::new(ours, raw);
    drop(theirs);
    let error = channel.endpoint.send(b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    map.insert(channel).unwrap();
    turn_to_rest(&mut map);
    assert_eq!(log.after_connect(), ["eof", "close Io(BrokenPipe)"]);

    log.take();
    let (ours, theirs) = unix_pair();
    let mut raw = Raw::new(&log);
    raw.to_send = b"into the void".to_vec();
    let me = map.insert(Dispatcher::new(ours, raw)).unwrap();
    theirs.shutdown(Shutdown::Read).unwrap();
    turn_until(&mut map, |map| !map.is_open(me));
    turn_to_rest(&mut map);
    assert_eq!(log.after_connect(), ["close Io(BrokenPipe)"]);
}

/// Predicates are asked when the channel was touched.
#[test]
fn a_dispatcher_that_is_not_readable_is_left_alone() {
    struct Gate(Log, bool);
    impl DispatcherHandler for Gate {
        fn readable(&self, _: &Endpoint) -> bool {
            self.1
        }
        fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
            let mut buffer = [0; 100];
            let len = endpoint.recv(&mut buffer)?;
            self.0.add(format!("read {len}"));
            Ok(())
        }
    }
    let log = Log::default();
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let me: Handle<Dispatcher<Gate>> = map
        .insert(Dispatcher::new(ours, Gate(log.clone(), false)))
        .unwrap();
    theirs.write_all(b"abc").unwrap();
    assert_rest(&mut map);
    assert_eq!(log.len(), 0);
    map.get_mut(me).unwrap().handler.1 = true;
    turn_until(&mut map, |_| log.len() > 0);
    assert_eq!(log.all(), ["read 3"]);
}

#[test]
fn a_socket_says_what_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let log = Log::default();
    let listening = Dispatcher::new(listener, Raw::new(&log));
    let endpoint = &listening.endpoint;
    assert!(endpoint.accepting() && !endpoint.connected() && !endpoint.connecting());
    assert_eq!(endpoint.peer_addr(), None);

    let (ours, theirs) = tcp_pair();
    let connected = Dispatcher::new(ours, Raw::new(&log));
    let endpoint = &connected.endpoint;
    assert!(endpoint.connected() && !endpoint.accepting() && !endpoint.closing());
    let peer = Address::Inet(theirs.local_addr().unwrap());
    assert_eq!(
        (endpoint.addr(), endpoint.peer_addr()),
        (Some(peer.clone()), Some(peer))
    );

    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let neither = Dispatcher::new(datagrams, Raw::new(&log));
    let endpoint = &neither.endpoint;
    assert!(!endpoint.connected() && !endpoint.accepting() && !endpoint.connecting());
}

#[test]
fn an_empty_datagram_is_not_the_end() {
    struct Datagrams(Log);
    impl DispatcherHandler for Datagrams {
        fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
            let mut buffer = [0; 100];
            let len = endpoint.recv(&mut buffer)?;
            self.0.add(format!("{len} bytes"));
            Ok(())
        }
        fn handle_eof(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
            self.0.add("eof");
            Ok(())
        }
    }
    let log = Log::default();
    let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = ours.local_addr().unwrap();
    let mut map = ChannelMap::new().unwrap();
    map.insert(Dispatcher::new(ours, Datagrams(log.clone())))
        .unwrap();
    let theirs = UdpSocket::bind("127.0.0.1:0").unwrap();
    for data in ["abc", "", "de"] {
        theirs.send_to(data.as_bytes(), address).unwrap();
    }
    turn_until(&mut map, |_| log.len() == 3);
    assert_eq!(log.all(), ["3 bytes", "0 bytes", "2 bytes"]);
}

/// Hears the end, and stays.
struct Staying(&'static str, Log);

impl DispatcherHandler for Staying {
    fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        endpoint.recv(&mut [0; 100])?;
        Ok(())
    }

    fn handle_eof(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.1.add(format!("{} eof", self.0));
        Ok(())
    }
}

/// It is the connection that has ended, whoever was told.
#[test]
fn eof_is_told_once_though_the_channel_becomes_another() {
    type Way = fn(&mut ChannelMap, Handle<Dispatcher<Staying>>, Log);
    let ways: [Way; 3] = [
        |map, me, _| {
            map.convert(me, |raw| raw.with_handler(|raw| Staying("second", raw.1)))
                .unwrap();
        },
        |map, me, log| {
            let next = Staying("second", log);
            map.convert(me, |raw| Dispatcher::new(raw.endpoint, next))
                .unwrap();
        },
        |map, me, log| {
            let next = Probe::new(&log).on_eof(|_, _| Ok(()));
            map.convert(me, |raw| AsyncChat::new(raw.endpoint, "\n", next))
                .unwrap();
            turn_to_rest(map);
            assert!(log.has("connect") || log.has("convert"));
        },
    ];
    for (way, is_told) in ways.iter().flat_map(|way| [(way, true), (way, false)]) {
        let log = Log::default();
        let (ours, theirs) = unix_pair();
        let mut map = ChannelMap::new().unwrap();
        let raw = Dispatcher::new(ours, Staying("first", log.clone()));
        let me = map.insert(raw).unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        if is_told {
            turn_to_rest(&mut map);
        }
        way(&mut map, me, log.clone());
        assert_rest(&mut map);
        let told = log.all().into_iter().filter(|line| line.contains("eof"));
        assert_eq!(told.count(), 1, "{:?}", log.all());
        assert_eq!(log.has("first eof"), is_told);
        assert_eq!(map.len(), 1);
    }
}

#[test]
fn a_chat_that_was_told_of_eof_becomes_a_channel_that_is_not() {
    for becomes_chat in [true, false] {
        let log = Log::default();
        let (ours, theirs) = unix_pair();
        let mut map = ChannelMap::new().unwrap();
        let probe = Probe::new(&log).on_eof(|_, _| Ok(()));
        let me = map.insert(AsyncChat::new(ours, "\n", probe)).unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        turn_to_rest(&mut map);
        let inner = log.clone();
        if becomes_chat {
            map.convert(me, move |chat| chat.with_handler(|_| Probe::new(&inner)))
                .unwrap();
        } else {
            map.convert(me, |chat| {
                Dispatcher::new(chat.chat.into_endpoint(), Staying("second", inner))
            })
            .unwrap();
        }
        assert_rest(&mut map);
        let expected = ["connect", "eof", "convert"];
        assert_eq!(log.all(), expected[..2 + usize::from(becomes_chat)]);
        assert_eq!(map.len(), 1);
    }
}

#[test]
fn what_a_dispatcher_sends_by_hand_is_counted_too() {
    let (ours, _theirs) = unix_pair();
    let mut channel = Dispatcher::new(ours, Raw::new(&Log::default()));
    assert_eq!(channel.endpoint.send(b"hello").unwrap(), 5);
    assert_eq!(channel.endpoint.sent(), 5);
}

/// Wants to write, always.
struct Eager(Log);

impl DispatcherHandler for Eager {
    fn writable(&self, _: &Endpoint) -> bool {
        true
    }

    fn handle_write(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.0.add("write");
        Ok(())
    }
}

/// Else the loop would turn for as long as the peer stays.
#[test]
fn one_that_closes_is_not_asked_to_write_any_more() {
    let log = Log::default();
    let (ours, _theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let channel = Dispatcher::new(ours, Eager(log.clone()));
    let me = map.insert(channel).unwrap();
    turn_until(&mut map, |_| log.count("write") > 3);
    map.get_mut(me).unwrap().endpoint.close_when_done();
    map.turn(Some(std::time::Duration::ZERO)).unwrap();
    log.take();
    assert_rest(&mut map);
    assert!(map.is_open(me), "it lingers");
    assert_eq!(log.all(), [""; 0]);
}
