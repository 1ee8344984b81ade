//! calloop: each connection is a level-triggered source of its own; the read
//! and output buffers are the loop's data, which the callbacks share.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::mem;
use std::net::TcpStream;
use std::rc::Rc;

use bench::epoll;
use bench::start::{self, Work};
use calloop::generic::Generic;
use calloop::{EventLoop, EventSource, Interest, LoopHandle, Mode, Poll, PostAction};
use calloop::{Readiness, Token, TokenFactory};
use memchr::memchr;
use slab::Slab;

/// Best where bytes come without a pause; all connections share it.
const READ_BUFFER_SIZE: usize = 262_144;

const MAX_LINE: usize = 65_536;

/// Bytes that may wait for one member of a room.
const MAX_OUTPUT: usize = 8 * 1024 * 1024;

/// What all connections share.
struct Server {
    work: Work,
    input: Box<[u8]>,
    output: Vec<u8>,
    handle: LoopHandle<'static, Server>,
    members: Slab<Rc<Member>>,
    is_spoken: bool,
}

/// Of a room: written to at the end of a turn, once for all that was said.
struct Member {
    stream: Rc<TcpStream>,
    unsent: RefCell<Vec<u8>>,
    /// A source waits until the socket takes more.
    is_blocked: Cell<bool>,
}

struct Conn {
    socket: Generic<Rc<TcpStream>>,
    wire: Wire,
}

struct Wire {
    stream: Rc<TcpStream>,
    /// Its key in a room.
    member: Option<usize>,
    partial: Vec<u8>,
    /// What the socket did not take. While there is any, nothing is read.
    unsent: Vec<u8>,
}

/// The callback does the work, and says whether the connection goes on.
impl EventSource for Conn {
    type Event = Readiness;
    type Metadata = Wire;
    type Ret = io::Result<bool>;
    type Error = io::Error;

    fn process_events<F>(
        &mut self,
        readiness: Readiness,
        token: Token,
        mut callback: F,
    ) -> io::Result<PostAction>
    where
        F: FnMut(Readiness, &mut Wire) -> io::Result<bool>,
    {
        let wire = &mut self.wire;
        let action = self
            .socket
            .process_events(readiness, token, |readiness, _| {
                Ok(match callback(readiness, wire) {
                    Ok(true) => PostAction::Continue,
                    Ok(false) | Err(_) => PostAction::Remove,
                })
            })?;
        let is_blocked = !self.wire.unsent.is_empty();
        if action == PostAction::Continue && is_blocked != self.socket.interest.writable {
            self.socket.interest = match is_blocked {
                true => Interest::WRITE,
                false => Interest::READ,
            };
            return Ok(PostAction::Reregister);
        }
        Ok(action)
    }

    fn register(&mut self, poll: &mut Poll, factory: &mut TokenFactory) -> calloop::Result<()> {
        self.socket.register(poll, factory)
    }

    fn reregister(&mut self, poll: &mut Poll, factory: &mut TokenFactory) -> calloop::Result<()> {
        self.socket.reregister(poll, factory)
    }

    fn unregister(&mut self, poll: &mut Poll) -> calloop::Result<()> {
        self.socket.unregister(poll)
    }
}

impl Wire {
    fn handle(&mut self, readiness: Readiness, server: &mut Server) -> io::Result<bool> {
        if readiness.writable && !self.unsent.is_empty() {
            let unsent = mem::take(&mut self.unsent);
            self.send(&unsent)?;
            return Ok(true);
        }
        let len = match (&*self.stream).read(&mut server.input) {
            Ok(0) => return Ok(false),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        };
        let input = &server.input[..len];
        if server.work == Work::Bulk {
            self.send(input)?;
            return Ok(true);
        }
        server.output.clear();
        self.lines(input, &mut server.output)?;
        if server.work == Work::Room {
            server.tell();
            return Ok(true);
        }
        self.send(&server.output)?;
        Ok(true)
    }

    fn lines(&mut self, mut input: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
        while let Some(at) = memchr(b'\n', input) {
            let partial = mem::take(&mut self.partial);
            output.extend_from_slice(&partial);
            output.extend_from_slice(&input[..at]);
            output.push(b'\n');
            input = &input[at + 1..];
        }
        if self.partial.len() + input.len() > MAX_LINE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.partial.extend_from_slice(input);
        Ok(())
    }

    fn send(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            match (&*self.stream).write(data) {
                Ok(len) => data = &data[len..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unsent.extend_from_slice(data);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Server {
    fn tell(&mut self) {
        for line in self.output.split_inclusive(|&byte| byte == b'\n') {
            for (_, member) in &self.members {
                let mut unsent = member.unsent.borrow_mut();
                if unsent.len() + line.len() <= MAX_OUTPUT {
                    unsent.extend_from_slice(line);
                }
            }
            self.is_spoken = true;
        }
    }

    fn write_to_members(&mut self) -> calloop::Result<()> {
        if !mem::take(&mut self.is_spoken) {
            return Ok(());
        }
        for (_, member) in &self.members {
            if member.is_blocked.get() || member.write() {
                continue;
            }
            member.is_blocked.set(true);
            let stream = Generic::new(member.stream.try_clone()?, Interest::WRITE, Mode::Level);
            let member = Rc::clone(member);
            let wait = move |_, _: &mut _, _: &mut Self| {
                member.is_blocked.set(!member.write());
                Ok(match member.is_blocked.get() {
                    true => PostAction::Continue,
                    false => PostAction::Remove,
                })
            };
            self.handle.insert_source(stream, wait)?;
        }
        Ok(())
    }
}

impl Member {
    /// Whether the socket took everything.
    fn write(&self) -> bool {
        let mut unsent = self.unsent.borrow_mut();
        while !unsent.is_empty() {
            match (&*self.stream).write(&unsent) {
                Ok(len) => drop(unsent.drain(..len)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // The reader sees it, too.
                Err(_) => unsent.clear(),
            }
        }
        true
    }
}

fn main() -> calloop::Result<()> {
    let (work, _) = start::work();
    if matches!(work, Work::Plaintext | Work::Store | Work::Secure) {
        start::refuse(work);
    }
    let mut events: EventLoop<Server> = EventLoop::try_new()?;
    let handle = events.handle();
    let mut server = Server {
        work,
        input: vec![0; READ_BUFFER_SIZE].into_boxed_slice(),
        output: Vec::new(),
        handle: handle.clone(),
        members: Slab::new(),
        is_spoken: false,
    };
    let listener = Generic::new(start::listen()?, Interest::READ, Mode::Level);
    handle
        .clone()
        .insert_source(listener, move |_, listener, server| {
            while let Some(stream) = epoll::accept(listener)? {
                let stream = Rc::new(stream);
                let member = (server.work == Work::Room).then(|| {
                    server.members.insert(Rc::new(Member {
                        stream: Rc::clone(&stream),
                        unsent: RefCell::default(),
                        is_blocked: Cell::new(false),
                    }))
                });
                let conn = Conn {
                    socket: Generic::new(Rc::clone(&stream), Interest::READ, Mode::Level),
                    wire: Wire {
                        stream,
                        member,
                        partial: Vec::new(),
                        unsent: Vec::new(),
                    },
                };
                handle
                    .insert_source(conn, |readiness, wire, server| {
                        let result = wire.handle(readiness, server);
                        if let (Ok(false) | Err(_), Some(key)) = (&result, wire.member) {
                            server.members.remove(key);
                        }
                        result
                    })
                    .map_err(|refused| io::Error::other(refused.error))?;
            }
            Ok(PostAction::Continue)
        })?;
    let mut result = Ok(());
    let signal = events.get_signal();
    events.run(None, &mut server, |server| {
        result = server.write_to_members();
        if result.is_err() {
            signal.stop();
        }
    })?;
    result
}
