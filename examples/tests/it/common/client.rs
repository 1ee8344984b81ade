//! Clients: a socket that reads lines, and the tools that the tests start.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::{DEADLINE, Server, wait_until};

/// A client that speaks and hears lines. Whatever takes too long panics.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("the server accepts");
        stream.set_nodelay(true).expect("it is a TCP socket");
        stream.set_read_timeout(Some(DEADLINE)).expect("not zero");
        stream.set_write_timeout(Some(DEADLINE)).expect("not zero");
        Self {
            reader: BufReader::with_capacity(65_536, stream),
        }
    }

    /// A member of the room, who has joined when this returns. The others hear
    /// of it.
    pub(crate) fn join(addr: SocketAddr, nick: &str, others: &mut [&mut Self]) -> Self {
        let mut member = Self::connect(addr);
        member.send(format!("{nick}\n"));
        for other in others {
            other.expect(&format!("* {nick} joined\n"));
        }
        member
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    pub(crate) fn send(&mut self, data: impl AsRef<[u8]>) {
        let mut stream = self.stream();
        stream.write_all(data.as_ref()).expect("the server reads");
    }

    /// Says that nothing more comes.
    pub(crate) fn finish(&mut self) {
        let done = self.stream().shutdown(Shutdown::Write);
        done.expect("it is connected");
    }

    /// The next line, with its end. Empty at the end of the stream.
    pub(crate) fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        let read = self.reader.read_until(b'\n', &mut line);
        read.unwrap_or_else(|error| panic!("{error} after {:?}", line.escape_ascii().to_string()));
        line
    }

    pub(crate) fn expect(&mut self, line: &str) {
        assert_eq!(String::from_utf8_lossy(&self.line()), line);
    }

    /// Says something, which must come back.
    pub(crate) fn expect_echo(&mut self, line: &str) {
        self.send(line);
        self.expect(line);
    }

    /// Says a line again and again, without reading, until nothing goes on.
    /// Returns how many bytes that were; the last line may have no end.
    pub(crate) fn fill(&mut self, server: &Server, line: &[u8]) -> usize {
        let mut sent = 0;
        let data = line.repeat(65_536 / line.len());
        let mut stream = self.stream();
        stream.set_nonblocking(true).expect("it is a socket");
        wait_until("server and client hold each other back", || {
            let error = loop {
                match stream.write(&data[sent % data.len()..]) {
                    Ok(len) => sent += len,
                    Err(error) => break error.kind(),
                }
            };
            assert_eq!(error, ErrorKind::WouldBlock);
            self.is_held_back(server)
        });
        stream.set_nonblocking(false).expect("it is a socket");
        sent
    }

    /// Whether the server leaves unread what this client has sent, because it
    /// cannot send what it has queued. Takes its time to find out.
    pub(crate) fn is_held_back(&self, server: &Server) -> bool {
        let look = || (self.queues(server), server.usage().sleeps);
        let before = look();
        for _ in 0..20 {
            let ((to_send, unread), _) = before;
            if to_send == 0 || unread == 0 || look() != before {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// What waits in the kernel on the server's side of this connection: bytes
    /// to be sent, and bytes that the server has not read.
    pub(crate) fn queues(&self, server: &Server) -> (u64, u64) {
        let own = self.stream().local_addr().expect("it is connected");
        let [own, server] = [own, server.addr].map(|addr| format!(":{:04X}", addr.port()));
        let table = fs::read_to_string("/proc/net/tcp").expect("proc(5)");
        for line in table.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields[1].ends_with(&server) && fields[2].ends_with(&own) {
                let number = |hex| u64::from_str_radix(hex, 16).expect("proc(5)");
                let (to_send, unread) = fields[4].split_once(':').expect("proc(5)");
                return (number(to_send), number(unread));
            }
        }
        panic!("the connection is gone");
    }

    /// All that comes until the server closes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let read = self.reader.read_to_end(&mut rest);
        read.unwrap_or_else(|error| panic!("{error} after {} bytes", rest.len()));
        rest
    }

    /// Reads `len` bytes and drops them.
    pub(crate) fn skip(&mut self, len: usize) {
        let mut rest = len;
        while rest > 0 {
            let read = self.reader.fill_buf().map(|data| data.len().min(rest));
            let read = read.expect("the server sends");
            assert!(read > 0, "the end, {rest} bytes early");
            self.reader.consume(read);
            rest -= read;
        }
    }
}

/// Whether there is a program of this name. If not, the test says so, and is
/// to return.
pub(crate) fn has_tool(name: &str) -> bool {
    let found = Command::new("sh")
        .arg("-c")
        .arg(format!("command -v {name}"))
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        // Not by `println!`, which the test harness would keep to itself.
        let _ = writeln!(std::io::stderr(), "skipped: no {name}");
    }
    found
}

/// The command of a script in `clients`, with the server's address.
pub(crate) fn python(script: &str, addr: SocketAddr) -> Command {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let mut command = Command::new("python3");
    command.arg(clients.join(script));
    command.arg(addr.ip().to_string());
    command.arg(addr.port().to_string());
    command
}

/// Sends a UDP socket a datagram whose sender is that socket's own address. Whether that
/// can be done; if not, the test says so, and is to return.
pub(crate) fn forge_own(addr: SocketAddr, datagram: &str) -> bool {
    if !has_tool("python3") {
        return false;
    }
    let mut script = python("own_address.py", addr);
    let status = script.arg(datagram).status().expect("it is installed");
    if status.code() == Some(77) {
        let _ = writeln!(std::io::stderr(), "skipped: no right to forge a sender");
        return false;
    }
    assert!(status.success(), "{status}");
    true
}
