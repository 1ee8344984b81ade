//! What the tests of the proxy share: both ends of a connection through it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use chat::Socket;

use crate::common::{DEADLINE, Server, wait_until};

/// A proxy, and the target it connects to: this test.
pub(crate) fn proxy() -> (Server, TcpListener) {
    let target = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let addr = target.local_addr().expect("it is bound");
    (proxy_to(addr), target)
}

pub(crate) fn proxy_to(addr: SocketAddr) -> Server {
    Server::start_with("proxy", &["--to", &addr.to_string()])
}

/// Both ends of a connection through it.
pub(crate) fn pair(proxy: &Server, target: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(proxy.addr).expect("the proxy accepts");
    target.set_nonblocking(true).expect("it is a socket");
    let mut accepted = None;
    wait_until("the proxy connects", || {
        accepted = target.accept().ok();
        accepted.is_some()
    });
    let (accepted, _) = accepted.expect("it has connected");
    accepted.set_nonblocking(false).expect("it is a socket");
    for stream in [&client, &accepted] {
        stream.set_nodelay(true).expect("it is a TCP socket");
        stream.set_read_timeout(Some(DEADLINE)).expect("not zero");
        stream.set_write_timeout(Some(DEADLINE)).expect("not zero");
    }
    (client, accepted)
}

/// Sends by one end what must come out of the other.
pub(crate) fn expect(mut from: &TcpStream, mut to: &TcpStream, data: &[u8]) {
    from.write_all(data).expect("it is read");
    let mut got = vec![0; data.len()];
    to.read_exact(&mut got).expect("it is forwarded");
    assert!(got == data, "{}", got.escape_ascii());
}

pub(crate) fn expect_end(mut stream: &TcpStream) {
    let read = stream.read(&mut [0; 16]).expect("it ends as it should");
    assert_eq!(read, 0);
}

pub(crate) fn finish(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).expect("it is connected");
}

pub(crate) fn reset(stream: TcpStream) {
    let socket = Socket::from(stream);
    let set = socket.set_linger(Some(Duration::ZERO));
    set.expect("it is a TCP socket");
}

/// Writes until nothing more is taken. Returns how much was.
pub(crate) fn fill(mut stream: &TcpStream) -> u64 {
    let (mut sent, mut vain) = (0, 0);
    stream.set_nonblocking(true).expect("it is a socket");
    wait_until("the writer is held back", || {
        match stream.write(&PATTERN[..1 << 16]) {
            Ok(len) => (sent, vain) = (sent + len as u64, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => vain += 1,
            Err(error) => panic!("{error}"),
        }
        vain == 20
    });
    stream.set_nonblocking(false).expect("it is a socket");
    sent
}

pub(crate) static PATTERN: [u8; 1 << 16] = {
    let mut pattern = [0; 1 << 16];
    let mut at = 0;
    while at < pattern.len() {
        pattern[at] = ((at * at) >> 3) as u8;
        at += 1;
    }
    pattern
};
