//! The two halves of a connection, and its end.

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use chat::{
    AsyncChat, ChannelMap, Dispatcher, DispatcherHandler, Endpoint, Result, SockRef, Socket,
};
use socket2::{Domain, Type};

use crate::common::{Log, Probe, read_some, read_to_end, tcp_pair, turn_until, unix_pair};

/// D8a: a socket that is closed with input unread resets the connection, and
/// what it has not delivered yet is lost.
#[test]
fn a_reply_is_not_lost_to_what_the_peer_still_sends() {
    let reply = vec![b'r'; 150_000];
    let pushed = reply.clone();
    let probe = Probe::default().on_message(move |_, chat, _| {
        chat.push(&pushed);
        chat.close_when_done();
        Ok(())
    });
    // The reply fits into our socket, and not into the peer's.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    theirs.set_recv_buffer_size(4_096).unwrap();
    let address = listener.local_addr().unwrap();
    theirs.connect(&address.into()).unwrap();
    theirs.set_nonblocking(true).unwrap();
    let mut theirs = TcpStream::from(theirs);
    let (ours, _) = listener.accept().unwrap();
    SockRef::from(&ours)
        .set_send_buffer_size(1_000_000)
        .unwrap();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::new(ours, "\n", probe);
    let me = map.insert(channel).unwrap();
    // A request, and a body that nobody asked for. The peer reads only when it
    // has said everything, and when the channel has done what it does.
    let mut request = b"question\n".to_vec();
    request.resize(2_000_000, b'b');
    let mut left = &request[..];
    while !left.is_empty() {
        match theirs.write(left) {
            Ok(len) => left = &left[len..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                map.turn(Some(Duration::from_millis(1))).unwrap();
            }
            Err(error) => panic!("the peer lost the connection: {error}"),
        }
    }
    for _ in 0..20 {
        map.turn(Some(Duration::ZERO)).unwrap();
    }
    assert!(read_to_end(&mut map, &mut theirs) == reply);
    drop(theirs);
    turn_until(&mut map, |map| !map.is_open(me));
}

/// D8b: a peer that has said everything and listens.
#[test]
fn a_half_closed_peer_is_answered_and_its_tail_is_seen() {
    let log = Log::default();
    let probe = Probe::new(&log).on_eof(|chat, _| {
        let tail = chat.partial_message().to_vec();
        chat.push([b"you said: ", &tail[..]].concat());
        chat.close_when_done();
        Ok(())
    });
    let (ours, mut theirs) = unix_pair();
    theirs.write_all(b"one\nand a half").unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    let mut map = ChannelMap::new().unwrap();
    map.insert(AsyncChat::new(ours, "\n", probe)).unwrap();
    let answer = read_to_end(&mut map, &mut theirs);
    assert_eq!(answer, b"you said: and a half");
    assert_eq!(&log.all()[1..3], ["message one", "eof and a half"]);
}

/// D8c: we have said everything, and listen.
#[test]
fn a_dispatcher_that_ends_its_own_half_goes_on_reading() {
    struct Asking {
        log: Log,
        has_asked: bool,
    }
    impl DispatcherHandler for Asking {
        fn writable(&self, _: &Endpoint) -> bool {
            !self.has_asked
        }

        fn handle_write(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
            assert_eq!(endpoint.send(b"question")?, 8);
            endpoint.shutdown(Shutdown::Write)?;
            self.has_asked = true;
            Ok(())
        }

        fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
            let mut buffer = [0; 100];
            let len = endpoint.recv(&mut buffer)?;
            self.log.add(String::from_utf8_lossy(&buffer[..len]));
            Ok(())
        }
    }
    let log = Log::default();
    let handler = Asking {
        log: log.clone(),
        has_asked: false,
    };
    let (ours, mut theirs) = tcp_pair();
    theirs.set_nonblocking(true).unwrap();
    let mut map = ChannelMap::new().unwrap();
    map.insert(Dispatcher::new(ours, handler)).unwrap();
    assert_eq!(read_to_end(&mut map, &mut theirs), b"question");
    theirs.write_all(b"answer").unwrap();
    turn_until(&mut map, |_| log.len() > 0);
    assert_eq!(log.all(), ["answer"]);
}

/// R6: everything that was queued, then the end.
#[test]
fn flush_then_close_brings_a_slow_peer_everything_and_then_the_end() {
    let log = Log::default();
    let data: Vec<u8> = (0..4_000_000_u32).map(|i| (i % 251) as u8).collect();
    let (ours, mut theirs) = tcp_pair();
    theirs.set_nonblocking(true).unwrap();
    let mut map = ChannelMap::new().unwrap();
    let mut channel = AsyncChat::new(ours, "\n", Probe::new(&log));
    channel.chat.push(&data);
    channel.chat.close_when_done();
    channel.chat.push("too late");
    let me = map.insert(channel).unwrap();
    for _ in 0..10 {
        map.turn(Some(Duration::from_millis(1))).unwrap();
    }
    assert!(map.is_open(me), "not all of it is sent yet");
    let mut received = Vec::new();
    turn_until(&mut map, |_| read_some(&mut theirs, &mut received));
    assert!(received == data);
    drop(theirs);
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(log.all(), ["close Done"]);
}
