//! The raw loop: what one writes by hand for exactly this work, once for all
//! pollers. It knows no handlers, no timers and no other protocols, but does
//! what the work needs: partial lines are kept, short sends are finished, a
//! client that does not read is not read either, an idle connection has no
//! buffer, a line has a limit.

use std::io::{self, Read, Write};
use std::mem;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

use memchr::memchr;
use slab::Slab;

use crate::epoll::{self, Event, Interest};
use crate::hello::Hello;
use crate::start::{self, Work};

/// Best where bytes come without a pause; all connections share it.
const READ_BUFFER_SIZE: usize = 262_144;

/// Bytes a line may have.
const MAX_LINE: usize = 65_536;

/// Bytes that may wait for one member of a room.
const MAX_OUTPUT: usize = 8 * 1024 * 1024;

/// The listener's key; the connections' are their places in a slab.
const LISTENER: usize = usize::MAX - 1;

/// What tells of events.
pub trait Poller: Sized {
    type Events: Default;

    /// Whether an event is told once: then a connection is read and written
    /// until it would block, and its interest never changes.
    const EDGE: bool;

    /// # Errors
    ///
    /// What the operating system says; so for all methods.
    fn new() -> io::Result<Self>;
    /// # Errors
    fn add(&self, source: &impl AsFd, key: usize, interest: Interest) -> io::Result<()>;
    /// # Errors
    fn modify(&self, source: &impl AsFd, key: usize, interest: Interest) -> io::Result<()>;
    /// Called before the source closes.
    ///
    /// # Errors
    fn delete(&self, source: &impl AsFd) -> io::Result<()>;
    /// # Errors
    fn wait(&mut self, events: &mut Self::Events) -> io::Result<()>;
    fn iter(events: &Self::Events) -> impl Iterator<Item = Event>;
}

/// Serves until it is killed.
///
/// # Errors
///
/// What the listener or the poller say.
pub fn serve<P: Poller>() -> io::Result<()> {
    let (work, _) = start::work();
    if matches!(work, Work::Store | Work::Secure) {
        start::refuse(work);
    }
    let mut server = Server {
        poller: P::new()?,
        listener: start::listen()?,
        conns: Slab::new(),
        work,
        input: vec![0; READ_BUFFER_SIZE].into_boxed_slice(),
        output: Vec::new(),
        hello: Hello::default(),
        spoken_to: Vec::new(),
    };
    server
        .poller
        .add(&server.listener, LISTENER, Interest::READ)?;
    let mut events = P::Events::default();
    loop {
        server.poller.wait(&mut events)?;
        for event in P::iter(&events) {
            if event.key == LISTENER {
                server.accept()?;
                continue;
            }
            if event.writable {
                server.writable(event.key);
            }
            if event.readable {
                server.readable(event.key);
            }
        }
        server.send_to_members();
    }
}

struct Server<P> {
    poller: P,
    listener: TcpListener,
    conns: Slab<Conn>,
    work: Work,
    /// Shared by all connections, as is `output`.
    input: Box<[u8]>,
    output: Vec<u8>,
    hello: Hello,
    /// The members of a room that have something to be sent, each once.
    spoken_to: Vec<usize>,
}

struct Conn {
    stream: TcpStream,
    /// The beginning of a line.
    partial: Vec<u8>,
    /// What the socket did not take; of a member of a room, what it is to get.
    unsent: Vec<u8>,
    /// The socket took less than it was offered.
    is_blocked: bool,
    is_spoken_to: bool,
    /// The request that has begun is one for `/plaintext`.
    is_found: bool,
}

impl<P: Poller> Server<P> {
    fn accept(&mut self) -> io::Result<()> {
        while let Some(stream) = epoll::accept(&self.listener)? {
            let entry = self.conns.vacant_entry();
            let interest = if P::EDGE {
                Interest::BOTH
            } else {
                Interest::READ
            };
            self.poller.add(&stream, entry.key(), interest)?;
            entry.insert(Conn {
                stream,
                partial: Vec::new(),
                unsent: Vec::new(),
                is_blocked: false,
                is_spoken_to: false,
                is_found: false,
            });
        }
        Ok(())
    }

    fn close(&mut self, key: usize) {
        let conn = self.conns.remove(key);
        // A socket that the poller lost is closed all the same.
        let _ = self.poller.delete(&conn.stream);
        if conn.is_spoken_to {
            self.spoken_to.retain(|&member| member != key);
        }
    }

    fn readable(&mut self, key: usize) {
        loop {
            // An event may be of a connection that was closed in this batch.
            let Some(conn) = self.conns.get_mut(key) else {
                return;
            };
            if conn.is_blocked && self.work != Work::Room {
                return;
            }
            let len = match conn.stream.read(&mut self.input) {
                Ok(0) => return self.close(key),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return self.close(key),
            };
            if self.take(key, len).is_err() {
                return self.close(key);
            }
            if !P::EDGE {
                return;
            }
        }
    }

    fn take(&mut self, key: usize, len: usize) -> io::Result<()> {
        let Self {
            conns,
            input,
            output,
            hello,
            ..
        } = self;
        let conn = &mut conns[key];
        let input = &input[..len];
        output.clear();
        if self.work == Work::Bulk {
            conn.send(input)?;
        } else if self.work == Work::Plaintext {
            let mut is_found = conn.is_found;
            conn.lines(input, |line| match line {
                b"\r" => output.extend_from_slice(hello.answer(is_found)),
                line if line.starts_with(b"GET ") => {
                    is_found = line.starts_with(b"GET /plaintext ");
                }
                _ => {}
            })?;
            conn.is_found = is_found;
            conn.send(output)?;
        } else {
            conn.lines(input, |line| {
                output.extend_from_slice(line);
                output.push(b'\n');
            })?;
            if self.work == Work::Room {
                return self.tell();
            }
            conn.send(output)?;
        }
        if conn.is_blocked && !P::EDGE {
            self.poller.modify(&conn.stream, key, Interest::WRITE)?;
        }
        Ok(())
    }

    /// Gives every member what was said, line by line as it was said.
    fn tell(&mut self) -> io::Result<()> {
        for line in self.output.split_inclusive(|&byte| byte == b'\n') {
            for (key, member) in &mut self.conns {
                if member.unsent.len() + line.len() > MAX_OUTPUT {
                    continue;
                }
                member.unsent.extend_from_slice(line);
                if !mem::replace(&mut member.is_spoken_to, true) {
                    self.spoken_to.push(key);
                }
            }
        }
        Ok(())
    }

    fn send_to_members(&mut self) {
        let mut members = mem::take(&mut self.spoken_to);
        for key in members.drain(..) {
            let conn = &mut self.conns[key];
            conn.is_spoken_to = false;
            if conn.is_blocked {
                continue; // its event will come
            }
            let sent = conn.send_unsent();
            let watched = match conn.is_blocked && !P::EDGE {
                true => self.poller.modify(&conn.stream, key, Interest::BOTH),
                false => Ok(()),
            };
            if sent.and(watched).is_err() {
                self.close(key);
            }
        }
        self.spoken_to = members;
    }

    fn writable(&mut self, key: usize) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if !conn.is_blocked {
            return;
        }
        if conn.send_unsent().is_err() {
            return self.close(key);
        }
        if conn.is_blocked {
            return;
        }
        if P::EDGE {
            // What came meanwhile was told of, and not read.
            self.readable(key);
        } else if self
            .poller
            .modify(&conn.stream, key, Interest::READ)
            .is_err()
        {
            self.close(key);
        }
    }
}

impl Conn {
    /// Calls `each` with every line, without its end.
    fn lines(&mut self, mut input: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
        while let Some(at) = memchr(b'\n', input) {
            if self.partial.is_empty() {
                each(&input[..at]);
            } else {
                self.partial.extend_from_slice(&input[..at]);
                each(&mem::take(&mut self.partial));
            }
            input = &input[at + 1..];
        }
        if input.is_empty() {
            return Ok(());
        }
        if self.partial.len() + input.len() > MAX_LINE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.partial.extend_from_slice(input);
        Ok(())
    }

    /// Sends `data`, and keeps what the socket does not take.
    fn send(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            match self.stream.write(data) {
                Ok(len) => data = &data[len..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    self.unsent.extend_from_slice(data);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn send_unsent(&mut self) -> io::Result<()> {
        let mut unsent = mem::take(&mut self.unsent);
        let mut sent = 0;
        self.is_blocked = false;
        while sent < unsent.len() {
            match self.stream.write(&unsent[sent..]) {
                Ok(len) => sent += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        unsent.drain(..sent);
        self.unsent = unsent;
        Ok(())
    }
}
