//! The raw loop of a store of values, on epoll(7): what one writes by hand for exactly this
//! work. A value is received where it will stay, and is sent from there.
//!
//! `set LEN\n`, so many bytes and `\n` are answered by `ok\n`; `get\n` by `LEN\n`, the value
//! and `\n`; any other line comes back.

use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;

use memchr::memchr;
use slab::Slab;

use crate::epoll::{self, Epoll, Events, Interest};
use crate::start;

/// Bytes that a value may have.
pub const MAX_VALUE: usize = 8_000_000;

/// Bytes that a line may have.
const MAX_LINE: usize = 65_536;

/// Bytes that are received in one turn for one client.
const TURN: usize = 1 << 20;

/// The length in a `set`.
#[must_use]
pub fn value_len(line: &[u8]) -> Option<usize> {
    let len = std::str::from_utf8(line.strip_prefix(b"set ")?).ok()?;
    len.parse().ok().filter(|&len| len <= MAX_VALUE)
}

const LISTENER: usize = usize::MAX - 1;

/// Serves until it is killed.
///
/// # Errors
///
/// What the listener or epoll say.
pub fn serve() -> io::Result<()> {
    let epoll = Epoll::new()?;
    let listener = start::listen()?;
    epoll.add(&listener, LISTENER, Interest::READ)?;
    let mut server = Server {
        epoll,
        listener,
        conns: Slab::new(),
        value: Rc::new(b"\n".to_vec()),
        input: vec![0; MAX_LINE].into_boxed_slice(),
    };
    let mut events = Events::default();
    loop {
        server.epoll.wait(&mut events, None)?;
        for event in events.iter() {
            if event.key == LISTENER {
                server.accept()?;
            } else if server.serve(event.key).is_err() {
                server.conns.remove(event.key);
            }
        }
    }
}

struct Server {
    epoll: Epoll,
    listener: TcpListener,
    conns: Slab<Conn>,
    /// With its end.
    value: Rc<Vec<u8>>,
    /// For lines; shared by all connections.
    input: Box<[u8]>,
}

struct Conn {
    stream: TcpStream,
    /// The beginning of a line.
    partial: Vec<u8>,
    /// A value with its end, as much as has come, and its length.
    coming: Option<(Vec<u8>, usize)>,
    answers: Vec<u8>,
    /// The value that is sent, behind its length, and how much of both was sent.
    sending: Option<(String, Rc<Vec<u8>>, usize)>,
    is_blocked: bool,
}

impl Server {
    fn accept(&mut self) -> io::Result<()> {
        while let Some(stream) = epoll::accept(&self.listener)? {
            let entry = self.conns.vacant_entry();
            self.epoll.add(&stream, entry.key(), Interest::READ)?;
            entry.insert(Conn {
                stream,
                partial: Vec::new(),
                coming: None,
                answers: Vec::new(),
                sending: None,
                is_blocked: false,
            });
        }
        Ok(())
    }

    fn serve(&mut self, key: usize) -> io::Result<()> {
        let conn = &mut self.conns[key];
        let mut budget = TURN;
        while budget > 0 && conn.sending.is_none() {
            let received = match conn.coming.is_some() {
                true => conn.receive_value(budget, &mut self.value),
                false => conn.receive_lines(&mut self.input, &self.value),
            };
            match received {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) if conn.coming.is_none() && len < MAX_LINE => break,
                Ok(len) => budget = budget.saturating_sub(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let is_blocked = !conn.send()?;
        if is_blocked != conn.is_blocked {
            conn.is_blocked = is_blocked;
            let interest = if is_blocked {
                Interest::WRITE
            } else {
                Interest::READ
            };
            self.epoll.modify(&conn.stream, key, interest)?;
        }
        Ok(())
    }
}

impl Conn {
    /// Straight to its place.
    fn receive_value(&mut self, budget: usize, value: &mut Rc<Vec<u8>>) -> io::Result<usize> {
        let (place, whole) = self.coming.as_mut().expect("it was asked for");
        let max = budget.min(*whole - place.len());
        let len = epoll::recv_into(&self.stream, place, max)?;
        if place.len() == *whole {
            let (place, _) = self.coming.take().expect("it is there");
            if place.last() != Some(&b'\n') {
                return Err(io::ErrorKind::InvalidData.into());
            }
            *value = Rc::new(place);
            self.answers.extend_from_slice(b"ok\n");
        }
        Ok(len)
    }

    fn receive_lines(&mut self, input: &mut [u8], value: &Rc<Vec<u8>>) -> io::Result<usize> {
        let len = self.stream.read(input)?;
        let mut rest = &input[..len];
        while let Some(at) = memchr(b'\n', rest) {
            let (line, behind) = (&rest[..at], &rest[at + 1..]);
            let partial = std::mem::take(&mut self.partial);
            let whole = [&partial[..], line].concat();
            if let Some(value_len) = value_len(&whole) {
                let mut place = Vec::with_capacity(value_len + 1);
                let came = behind.len().min(value_len);
                place.extend_from_slice(&behind[..came]);
                self.coming = Some((place, value_len + 1));
                return match behind.len() == came {
                    true => Ok(len),
                    false => Err(io::ErrorKind::Unsupported.into()), // nobody pipelines here
                };
            }
            match &whole[..] {
                b"get" => {
                    self.sending = Some((format!("{}\n", value.len() - 1), Rc::clone(value), 0))
                }
                line => {
                    self.answers.extend_from_slice(line);
                    self.answers.push(b'\n');
                }
            }
            rest = behind;
        }
        if self.partial.len() + rest.len() > MAX_LINE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.partial.extend_from_slice(rest);
        Ok(len)
    }

    /// Whether all was sent.
    fn send(&mut self) -> io::Result<bool> {
        while !self.answers.is_empty() {
            match self.stream.write(&self.answers) {
                Ok(len) => drop(self.answers.drain(..len)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let mut budget = TURN;
        while let Some((head, value, sent)) = &mut self.sending {
            let mut parts = [head.as_bytes(), &value[..]].map(IoSlice::new);
            let mut parts = &mut parts[..];
            IoSlice::advance_slices(&mut parts, *sent);
            if parts.is_empty() {
                self.sending = None;
                break;
            }
            if budget == 0 {
                return Ok(false); // others come first
            }
            match self.stream.write_vectored(parts) {
                Ok(len) => {
                    *sent += len;
                    budget = budget.saturating_sub(len);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
