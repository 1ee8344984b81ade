//! The members of a room: so many lines are on their way at any time, spoken by
//! the members in turn; a line has arrived when all members have it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bench::epoll::{Epoll, Events, Interest};
use memchr::memchr_iter;

use super::{check, connect, deadline};
use crate::Result;

/// How one joins, speaks and hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Whoever is connected is a member; lines are lines.
    Lines,
    /// RESP 3, by which a subscriber may also publish.
    Redis,
    Nats,
}

impl Protocol {
    pub fn join(self, address: SocketAddr) -> Result<TcpStream> {
        let mut stream = connect(address)?;
        match self {
            Self::Lines => {}
            Self::Redis => {
                stream.write_all(b"HELLO 3\r\nSUBSCRIBE room\r\nCLIENT REPLY OFF\r\n")?;
                read_until(&mut stream, b"subscribe\r\n$4\r\nroom\r\n:1\r\n")?;
            }
            Self::Nats => {
                stream.write_all(b"CONNECT {\"verbose\":false}\r\nSUB room 1\r\nPING\r\n")?;
                read_until(&mut stream, b"PONG\r\n")?;
            }
        }
        Ok(stream)
    }

    /// What a member sends to say this; lines end with their `\n`.
    pub fn said(self, line: &[u8]) -> Vec<u8> {
        let len = line.len();
        match self {
            Self::Lines => line.to_vec(),
            Self::Redis => {
                let head = format!("*3\r\n$7\r\nPUBLISH\r\n$4\r\nroom\r\n${len}\r\n");
                [head.as_bytes(), line, b"\r\n"].concat()
            }
            Self::Nats => {
                let head = format!("PUB room {len}\r\n");
                [head.as_bytes(), line, b"\r\n"].concat()
            }
        }
    }

    /// What every member receives then.
    pub fn heard(self, line: &[u8]) -> Vec<u8> {
        let len = line.len();
        match self {
            Self::Lines => line.to_vec(),
            Self::Redis => {
                let head = format!(">3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n${len}\r\n");
                [head.as_bytes(), line, b"\r\n"].concat()
            }
            Self::Nats => {
                let head = format!("MSG room 1 {len}\r\n");
                [head.as_bytes(), line, b"\r\n"].concat()
            }
        }
    }

    /// Bytes that are no delivery: the pings of a server that makes sure of its
    /// clients. No line has a `P` in it.
    pub fn noise(self, received: &[u8]) -> u64 {
        match self {
            Self::Nats => memchr_iter(b'P', received).count() as u64 * b"PING\r\n".len() as u64,
            Self::Lines | Self::Redis => 0,
        }
    }
}

pub struct Room {
    protocol: Protocol,
    epoll: Epoll,
    members: Vec<TcpStream>,
    in_flight: u64,
    line: Vec<u8>,
    speaker: usize,
    buffer: Vec<u8>,
}

impl Room {
    /// Has `members` join; lines have `len` bytes, their end included.
    pub fn join(
        address: SocketAddr,
        protocol: Protocol,
        members: usize,
        in_flight: u64,
        len: usize,
    ) -> Result<Self> {
        let epoll = Epoll::new()?;
        let mut streams = Vec::new();
        for key in 0..members {
            let stream = protocol.join(address)?;
            epoll.add(&stream, key, Interest::READ)?;
            streams.push(stream);
        }
        let mut line = vec![b'x'; len];
        line[len - 1] = b'\n';
        let mut room = Self {
            protocol,
            epoll,
            members: streams,
            in_flight,
            line,
            speaker: 0,
            buffer: vec![0; 65_536],
        };
        room.await_all(protocol, members)?;
        Ok(room)
    }

    /// Until the last to connect was heard by all, some may not be members yet.
    fn await_all(&mut self, protocol: Protocol, members: usize) -> Result<()> {
        if protocol == Protocol::Lines {
            // The server accepts in order: an answer to the last is proof.
            let last = &mut self.members[members - 1];
            super::say_one_line(last)?;
            let others = &mut self.members[..members - 1];
            others.iter_mut().try_for_each(super::hear_one_line)?;
        }
        for member in &self.members {
            member.set_nonblocking(true)?;
        }
        Ok(())
    }

    /// Says so many lines, and returns how many deliveries that made.
    pub fn run(&mut self, lines: u64) -> Result<u64> {
        let said = self.protocol.said(&self.line);
        let heard = self.protocol.heard(&self.line).len() as u64;
        let members = self.members.len() as u64;
        let deadline = deadline();
        let mut events = Events::default();
        let (mut spoken, mut received) = (0, 0);
        while received < lines * members * heard {
            let arrived = received / (members * heard);
            while spoken < lines.min(arrived + self.in_flight) {
                // A line or two are below any socket's buffer.
                self.members[self.speaker].write_all(&said)?;
                self.speaker = (self.speaker + 1) % self.members.len();
                spoken += 1;
            }
            check(deadline)?;
            self.epoll.wait(&mut events, Some(Duration::from_secs(1)))?;
            for event in events.iter() {
                match self.members[event.key].read(&mut self.buffer) {
                    Ok(0) => return Err("the server has closed the connection".into()),
                    Ok(len) => {
                        received += len as u64;
                        received -= self.protocol.noise(&self.buffer[..len]);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        match received == lines * members * heard {
            true => Ok(lines * members),
            false => Err("more was heard than was said".into()),
        }
    }
}

fn read_until(stream: &mut TcpStream, end: &[u8]) -> Result<()> {
    let mut received = Vec::new();
    let mut byte = [0];
    while !received.ends_with(end) {
        stream.read_exact(&mut byte)?;
        received.push(byte[0]);
    }
    Ok(())
}
