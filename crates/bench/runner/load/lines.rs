//! Clients that each keep so many lines on their way: as many as come back are
//! sent anew. Bytes without lines are lines of one byte, without end.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bench::epoll::{Epoll, Events, Interest};

use super::{check, connect_all, deadline};
use crate::Result;

/// Bytes that are written or read at once.
const CHUNK: usize = 262_144;

/// What each of the clients does.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub clients: usize,
    /// Lines on their way at any time.
    pub in_flight: u64,
    /// Bytes of a line, its end included.
    pub line: u64,
}

pub struct Lines {
    shape: Shape,
    epoll: Epoll,
    clients: Vec<Client>,
    /// Lines, one after the other.
    text: Vec<u8>,
    buffer: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    sent: u64,
    received: u64,
    /// The socket was full.
    is_blocked: bool,
    is_watched_for_room: bool,
}

impl Lines {
    /// Connects to a server of lines, which is seen to have accepted all.
    pub fn connect(address: SocketAddr, shape: Shape) -> Result<Self> {
        let streams = connect_all(address, shape.clients)?;
        let mut line = vec![b'x'; shape.line as usize];
        if shape.line > 1 {
            line[shape.line as usize - 1] = b'\n';
        }
        let in_text = (shape.in_flight + 1).min((CHUNK as u64 / shape.line).max(2));
        let epoll = Epoll::new()?;
        let mut clients = Vec::new();
        for (key, stream) in streams.into_iter().enumerate() {
            stream.set_nonblocking(true)?;
            epoll.add(&stream, key, Interest::READ)?;
            clients.push(Client {
                stream,
                sent: 0,
                received: 0,
                is_blocked: false,
                is_watched_for_room: false,
            });
        }
        Ok(Self {
            shape,
            epoll,
            clients,
            text: line.repeat(in_text as usize),
            buffer: vec![0; CHUNK],
        })
    }

    /// Sends so many lines, shared out evenly and rounded up, and awaits them;
    /// returns how many it were.
    pub fn run(&mut self, lines: u64) -> Result<u64> {
        let each = lines.div_ceil(self.clients.len() as u64);
        let total = each * self.shape.line;
        for (key, client) in self.clients.iter_mut().enumerate() {
            (client.sent, client.received) = (0, 0);
            client.send(total, self.shape, &self.text)?;
            client.watch(key, &self.epoll)?;
        }
        let deadline = deadline();
        let mut events = Events::default();
        let mut unfinished = self.clients.len();
        while unfinished > 0 {
            check(deadline)?;
            self.epoll.wait(&mut events, Some(Duration::from_secs(1)))?;
            for event in events.iter() {
                let client = &mut self.clients[event.key];
                if event.readable {
                    match client.stream.read(&mut self.buffer) {
                        Ok(0) => return Err("the server has closed the connection".into()),
                        Ok(len) => client.received += len as u64,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error.into()),
                    }
                    if client.received > total {
                        return Err("more came back than was sent".into());
                    }
                    unfinished -= usize::from(client.received == total);
                }
                client.send(total, self.shape, &self.text)?;
                client.watch(event.key, &self.epoll)?;
            }
        }
        Ok(each * self.clients.len() as u64)
    }
}

impl Client {
    /// Sends what may be on its way now.
    fn send(&mut self, total: u64, shape: Shape, text: &[u8]) -> Result<()> {
        let back = self.received / shape.line;
        let allowed = back
            .saturating_add(shape.in_flight)
            .saturating_mul(shape.line)
            .min(total);
        self.is_blocked = false;
        while self.sent < allowed {
            let at = (self.sent % shape.line) as usize;
            let end = text.len().min(at + (allowed - self.sent) as usize);
            match self.stream.write(&text[at..end]) {
                Ok(len) => self.sent += len as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
    /// Asks for the events that matter now.
    fn watch(&mut self, key: usize, epoll: &Epoll) -> Result<()> {
        if self.is_blocked != self.is_watched_for_room {
            self.is_watched_for_room = self.is_blocked;
            let interest = Interest::new(true, self.is_blocked);
            epoll.modify(&self.stream, key, interest)?;
        }
        Ok(())
    }
}
