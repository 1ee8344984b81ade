//! How connections over TLS end, and what those leave that never began.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use chat::{
    Address, AsyncChat, ChannelMap, ChannelState, Chat, ChatMap, Dispatcher, DispatcherHandler,
    Endpoint, MessageHandler, Result, Stream,
};
use tls::Acceptor;
use tls::rustls::{ClientConnection, StreamOwned};

use crate::certificates;

/// Answers when the peer has said all.
#[derive(Default)]
struct Summer(u64);

impl MessageHandler for Summer {
    fn handle_message(&mut self, line: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0 += std::str::from_utf8(line)?.parse::<u64>()?;
        Ok(())
    }
    fn handle_eof(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        chat.push(format!("{}\n", self.0));
        chat.close_when_done();
        Ok(())
    }
}

struct Server(Acceptor);

impl DispatcherHandler for Server {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        _: Address,
        _: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        map.insert(AsyncChat::new(
            self.0.accept(stream),
            "\n",
            Summer::default(),
        ))?;
        Ok(())
    }
}

fn serve() -> (ChannelMap, u16) {
    let mut map = ChannelMap::new().unwrap();
    let server = Dispatcher::listen("127.0.0.1:0", Server(Acceptor::new(certificates::server())));
    let server = map.insert(server).unwrap();
    let address = map.get(server).unwrap().endpoint.local_addr().unwrap();
    (map, address.as_inet().unwrap().port())
}

fn turn(map: &mut ChannelMap) {
    map.turn(Some(Duration::from_secs(10))).unwrap();
}

/// A client that does not block for ever.
fn connect(port: u16) -> StreamOwned<ClientConnection, TcpStream> {
    let name = "localhost".try_into().unwrap();
    let client = ClientConnection::new(certificates::client(), name).unwrap();
    StreamOwned::new(client, TcpStream::connect(("127.0.0.1", port)).unwrap())
}

/// The client has said all, with or without the connection's own end, and hears the answer.
#[test]
fn a_peer_that_has_said_all_hears_the_answer() {
    for shuts in [false, true] {
        let (mut map, port) = serve();
        let client = std::thread::spawn(move || {
            let mut client = connect(port);
            client.write_all(b"1\n20\n").unwrap();
            client.write_all(b"300\n").unwrap();
            client.conn.send_close_notify();
            client.flush().unwrap();
            if shuts {
                client.sock.shutdown(Shutdown::Write).unwrap();
            }
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap(); // ends by a close_notify
            answer
        });
        while !client.is_finished() {
            map.turn(Some(Duration::from_millis(1))).unwrap();
        }
        assert_eq!(client.join().unwrap(), "321\n");
    }
}

#[test]
fn a_drain_ends_every_connection_in_order() {
    let (mut map, port) = serve();
    let clients: Vec<_> = (0..10)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = connect(port);
                client.write_all(b"1\n").unwrap();
                let mut rest = Vec::new();
                client.read_to_end(&mut rest).map(|_| rest)
            })
        })
        .collect();
    let mut half = TcpStream::connect(("127.0.0.1", port)).unwrap(); // has no handshake
    while map.len() < 12 || shaking(&map) > 1 {
        turn(&mut map);
    }
    map.shut_down(map.after(Duration::from_secs(10)));
    while !map.is_empty() {
        turn(&mut map);
    }
    for client in clients {
        assert_eq!(client.join().unwrap().unwrap(), b"", "an end, and no error");
    }
    assert_eq!(half.read(&mut [0; 10]).unwrap_or(0), 0);
}

/// How many channels have no handshake yet.
fn shaking(map: &ChannelMap) -> usize {
    let channels = map.channels();
    channels
        .filter(|view| view.state() == ChannelState::Connecting)
        .count()
}

/// Descriptors and kilobytes of this process.
fn held() -> Option<(usize, usize)> {
    let descriptors = fs::read_dir("/proc/self/fd").ok()?.count();
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"))?;
    let kilobytes = line.split_whitespace().nth(1)?.parse().ok()?;
    Some((descriptors, kilobytes))
}

#[test]
fn two_thousand_handshakes_that_fail_leave_nothing() {
    let (mut map, port) = serve();
    let mut fail = |count: usize| {
        for n in 0..count {
            let mut peer = TcpStream::connect(("127.0.0.1", port)).unwrap();
            while map.len() < 2 {
                turn(&mut map);
            }
            match n % 3 {
                0 => peer.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap(),
                1 => peer.write_all(b"\x16\x03\x01\x02\x00").unwrap(), // a part of a hello
                _ => {}
            }
            if n % 3 > 0 {
                drop(peer);
            }
            while map.len() > 1 {
                turn(&mut map);
            }
        }
        assert_eq!(map.timers(), 0);
    };
    fail(300);
    let before = held();
    fail(2_000);
    if let (Some(before), Some(after)) = (before, held()) {
        // Other tests of this process have some of their own meanwhile.
        assert!(after.0 < before.0 + 500, "{before:?}, {after:?}");
        assert!(after.1 < before.1 + 65_536, "{before:?}, {after:?}");
    }
}
