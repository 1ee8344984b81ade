//! A transport that stands for TLS, and its far end, which a test works by hand.
//!
//! What is on the wire is records: a kind, a length of two bytes, and a body that is
//! XOR-ed. Nothing is said before three flights have passed, the end is a record
//! of its own, and what does not fit waits in the transport.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use chat::{Registration, SockRef, Source, Transport};

use super::sim;

/// How much of a record is handed out at a time.
const PIECE: usize = 8;

/// Bytes of a body, at most.
const BODY: usize = 1_000;

/// The transport takes no more while it keeps so much.
pub(crate) const KEEP: usize = 100_000;

/// What a record has before its body.
pub(crate) const HEAD: usize = 3;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const FINISHED: u8 = 3;
const DATA: u8 = 4;
const ALERT: u8 = 5;
const CLOSE_NOTIFY: u8 = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

impl Role {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// The cause inside of every error of the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MyError {
    /// A record that has no place here, of this kind.
    Garbage(u8),
    /// The wire has ended, and no record said that it would.
    Truncated,
    /// The wire failed.
    Cut(ErrorKind),
}

impl fmt::Display for MyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Garbage(kind) => write!(f, "a record of kind {kind}"),
            Self::Truncated => f.write_str("an end without a close_notify"),
            Self::Cut(kind) => write!(f, "the wire failed: {kind}"),
        }
    }
}

impl std::error::Error for MyError {}

impl From<MyError> for io::Error {
    fn from(error: MyError) -> Self {
        let kind = match error {
            MyError::Garbage(_) => ErrorKind::InvalidData,
            MyError::Truncated => ErrorKind::UnexpectedEof,
            MyError::Cut(kind) => kind,
        };
        Self::new(kind, error)
    }
}

fn cut(error: &io::Error) -> io::Error {
    MyError::Cut(error.kind()).into()
}

/// One end of the protocol, without a wire.
#[derive(Debug)]
struct Session {
    role: Role,
    /// The handshake is done.
    is_ready: bool,
    /// Received, and no whole record yet.
    incoming: Vec<u8>,
    plain: VecDeque<u8>,
    /// Records to be sent.
    out: Vec<u8>,
    has_ended: bool,
    error: Option<MyError>,
    is_alerted: bool,
}

impl Session {
    fn new(role: Role) -> Self {
        let mut session = Self {
            role,
            is_ready: false,
            incoming: Vec::new(),
            plain: VecDeque::new(),
            out: Vec::new(),
            has_ended: false,
            error: None,
            is_alerted: false,
        };
        if role == Role::Client {
            session.seal(CLIENT_HELLO, b"");
        }
        session
    }

    fn seal(&mut self, kind: u8, body: &[u8]) {
        self.out.push(kind);
        self.out.extend((body.len() as u16).to_be_bytes());
        self.out.extend(body.iter().map(|byte| byte ^ 0x55));
    }

    /// How long the first record is, if all of it is there.
    fn whole(&self) -> Option<usize> {
        let head = self.incoming.get(..HEAD)?;
        let len = HEAD + usize::from(u16::from_be_bytes([head[1], head[2]]));
        (self.incoming.len() >= len).then_some(len)
    }

    /// Opens one record; whether there was one.
    fn open(&mut self) -> Result<bool, MyError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let Some(len) = self.whole() else {
            return Ok(false);
        };
        let record: Vec<u8> = self.incoming.drain(..len).collect();
        match (record[0], self.role, self.is_ready) {
            (CLIENT_HELLO, Role::Server, false) => self.seal(SERVER_HELLO, b""),
            (SERVER_HELLO, Role::Client, false) => {
                self.seal(FINISHED, b"");
                self.is_ready = true;
            }
            (FINISHED, Role::Server, false) => self.is_ready = true,
            (DATA, _, true) => self.plain.extend(record[HEAD..].iter().map(|b| b ^ 0x55)),
            (CLOSE_NOTIFY, _, true) => self.has_ended = true,
            (ALERT, ..) => self.is_alerted = true,
            (kind, ..) => {
                self.error = Some(MyError::Garbage(kind));
                return Err(MyError::Garbage(kind));
            }
        }
        Ok(true)
    }
}

/// The transport.
#[derive(Debug)]
pub(crate) struct Veil {
    wire: Box<dyn Transport>,
    session: Session,
    sent: u64,
    /// An alert goes out behind what the channel has queued.
    owes_alert: bool,
    is_closing: bool,
    is_shut: bool,
}

impl Veil {
    /// Over a real socket.
    pub(crate) fn new(socket: UnixStream, role: Role) -> Self {
        socket.set_nonblocking(true).unwrap();
        Self::over(Box::new(Plain(Source::new(socket))), role)
    }

    pub(crate) fn over(wire: Box<dyn Transport>, role: Role) -> Self {
        Self {
            wire,
            session: Session::new(role),
            sent: 0,
            owes_alert: false,
            is_closing: false,
            is_shut: false,
        }
    }

    /// Sends what is kept, as far as there is room.
    fn flush(&mut self) -> io::Result<()> {
        while !self.session.out.is_empty() {
            match self.wire.send_vectored(&[IoSlice::new(&self.session.out)]) {
                Ok(0) => break,
                Ok(len) => {
                    self.session.out.drain(..len);
                    self.sent += len as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(cut(&error)),
            }
        }
        if self.is_closing && self.session.out.is_empty() && !self.is_shut {
            self.is_shut = true;
            self.wire.shutdown()?;
        }
        Ok(())
    }
}

impl Transport for Veil {
    fn registration(&self) -> Option<&Registration> {
        self.wire.registration()
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let session = &mut self.session;
            if !session.plain.is_empty() {
                let len = PIECE.min(session.plain.len()).min(buffer.len());
                for (to, from) in buffer.iter_mut().zip(session.plain.drain(..len)) {
                    *to = from;
                }
                return Ok(len);
            }
            if session.has_ended {
                return Ok(0);
            }
            match session.open() {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    self.owes_alert = error != MyError::Truncated;
                    return Err(error.into());
                }
            }
            let mut raw = [0; 4_096];
            match self.wire.recv(&mut raw) {
                Ok(0) => {
                    session.error = Some(MyError::Truncated);
                    return Err(MyError::Truncated.into());
                }
                Ok(len) => session.incoming.extend_from_slice(&raw[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(error),
                Err(error) => return Err(cut(&error)),
            }
        }
    }

    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.flush()?;
        let is_ready = self.session.is_ready;
        let has_data = slices.iter().any(|slice| !slice.is_empty());
        if self.owes_alert && !(is_ready && has_data) {
            self.owes_alert = false;
            self.session.seal(ALERT, b"");
            self.flush()?;
        }
        match self.session.error {
            _ if !has_data => return Ok(0),
            // What waits for the handshake will never leave.
            Some(error) if !is_ready => return Err(error.into()),
            None if !is_ready => return Err(ErrorKind::WouldBlock.into()),
            _ => {}
        }
        let mut taken = 0;
        for body in slices.iter().flat_map(|slice| slice.chunks(BODY)) {
            if self.session.out.len() >= KEEP {
                break;
            }
            self.session.seal(DATA, body);
            taken += body.len();
        }
        self.flush()?;
        match taken {
            0 => Err(ErrorKind::WouldBlock.into()),
            _ => Ok(taken),
        }
    }

    fn shutdown(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.owes_alert) {
            self.session.seal(ALERT, b"");
        } else if !self.is_closing && self.session.error.is_none() {
            self.session.seal(CLOSE_NOTIFY, b"");
        }
        self.is_closing = true;
        self.flush()
    }

    fn has_input(&self) -> bool {
        let session = &self.session;
        let is_whole = session.whole().is_some() && session.error.is_none();
        !session.plain.is_empty() || (is_whole && !session.has_ended)
    }

    fn waits_for_room(&self) -> bool {
        self.session.is_ready || !self.session.out.is_empty()
    }

    fn is_handshaking(&self) -> bool {
        !self.session.is_ready && self.session.error.is_none()
    }

    fn queued(&self) -> usize {
        self.session.out.len() + HEAD * usize::from(self.owes_alert)
    }

    fn sent(&self) -> Option<u64> {
        Some(self.sent)
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        self.wire.socket()
    }
}

/// A socket, as a transport to have another one over it.
#[derive(Debug)]
struct Plain(Source<UnixStream>);

impl Transport for Plain {
    fn registration(&self) -> Option<&Registration> {
        Some(self.0.registration())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }

    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self.0).write_vectored(slices)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        Some(SockRef::from(&*self.0))
    }
}

/// The other end of the wire. It reads and sends when it is told to.
pub(crate) struct Far {
    session: Session,
    wire: FarWire,
    pub(crate) received: Vec<u8>,
    /// The records that are no data, each with how many bytes came before it, and
    /// the wire's `end`: `close_notify after 7`.
    pub(crate) words: Vec<String>,
}

enum FarWire {
    Line(sim::Peer),
    /// `None` once it has hung up.
    Pair(Option<UnixStream>),
}

impl Far {
    /// The peer of a [`Veil`] that has the role `ours`.
    pub(crate) fn of_pair(stream: UnixStream, ours: Role) -> Self {
        stream.set_nonblocking(true).unwrap();
        Self::new(FarWire::Pair(Some(stream)), ours)
    }

    pub(crate) fn of_line(peer: &sim::Peer, ours: Role) -> Self {
        Self::new(FarWire::Line(peer.clone()), ours)
    }

    fn new(wire: FarWire, ours: Role) -> Self {
        Self {
            session: Session::new(ours.other()),
            wire,
            received: Vec::new(),
            words: Vec::new(),
        }
    }

    /// The simulated line's end, if that is what it is.
    pub(crate) fn line(&self) -> &sim::Peer {
        match &self.wire {
            FarWire::Line(peer) => peer,
            FarWire::Pair(_) => panic!("it is a socket"),
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.session.is_ready
    }

    /// Reads what is there now, and opens it.
    pub(crate) fn read(&mut self) {
        let is_end = match &mut self.wire {
            FarWire::Line(peer) => {
                self.session.incoming.extend(peer.take_sent());
                peer.is_shut()
            }
            FarWire::Pair(Some(stream)) => super::read_some(stream, &mut self.session.incoming),
            FarWire::Pair(None) => false,
        };
        while self.session.open().expect("the far end is sent rubbish") {
            self.received.extend(self.session.plain.drain(..));
            if std::mem::take(&mut self.session.is_alerted) {
                self.note("alert");
            }
            if std::mem::take(&mut self.session.has_ended) {
                self.note("close_notify");
            }
        }
        if is_end && !self.words.iter().any(|word| word.starts_with("end")) {
            self.note("end");
        }
    }

    fn note(&mut self, word: &str) {
        self.words
            .push(format!("{word} after {}", self.received.len()));
    }

    /// Sends what it has to say: the next flight, and what was said.
    pub(crate) fn send(&mut self) {
        let out = &mut self.session.out;
        match &mut self.wire {
            FarWire::Line(peer) => peer.say(std::mem::take(out)),
            FarWire::Pair(Some(stream)) => {
                while !out.is_empty() {
                    match stream.write(out) {
                        Ok(len) => drop(out.drain(..len)),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => panic!("the far end cannot send: {error}"),
                    }
                }
            }
            FarWire::Pair(None) => {}
        }
    }

    pub(crate) fn say(&mut self, data: impl AsRef<[u8]>) {
        for body in data.as_ref().chunks(BODY) {
            self.session.seal(DATA, body);
        }
        self.send();
    }

    pub(crate) fn say_close_notify(&mut self) {
        self.session.seal(CLOSE_NOTIFY, b"");
        self.send();
    }

    /// Sends a record of a kind that there is not, number 99.
    pub(crate) fn say_garbage(&mut self) {
        self.session.seal(99, b"?");
        self.send();
    }

    /// Ends the wire, and says nothing of it.
    pub(crate) fn hang_up(&mut self) {
        match &mut self.wire {
            FarWire::Line(peer) => peer.say_eof(),
            FarWire::Pair(stream) => *stream = None,
        }
    }
}
