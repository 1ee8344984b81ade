//! TLS over another transport: [`Tls`].

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::mem;

use chat::{Address, Registration, SockRef, Token, Transport};
use rustls::pki_types::CertificateDer;
use rustls::{Connection, HandshakeKind, IoState, ProtocolVersion, SupportedCipherSuite};

/// A record with its header and the most that encryption adds (RFC 8446, section 5.2).
const RECORD_LEN: usize = 5 + 16_384 + 256;

/// Into at least so much room, ciphertext is received by one call for many records.
const MANY_RECORDS: usize = 2 * RECORD_LEN;

/// rustls reads so much at a time. Its buffer for ciphertext is as long at rest.
const LITTLE: usize = 4096;

/// How many slices rustls gets at a time.
const SLICES: usize = 16;

/// How often one call receives, at most, without any plaintext. The rest is for the next
/// turn: a peer must not keep the loop busy by records that say nothing.
const EMPTY_READS: usize = 16;

/// TLS between a channel and its connection: a [`Transport`] over another one.
///
/// An [`Acceptor`](crate::Acceptor) or a [`Connector`](crate::Connector) makes it. A handler
/// reaches it by `chat.transport::<Tls>()`, to ask what was negotiated:
///
/// ```no_run
/// # use chat::{Chat, ChannelMap, MessageHandler, Result};
/// # use tls::Tls;
/// # struct Session;
/// # impl MessageHandler for Session {
/// # fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result { Ok(()) }
/// fn handle_connect(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
///     if let Some(tls) = chat.transport::<Tls>() {
///         assert_eq!(tls.alpn(), Some(&b"http/1.1"[..]));
///     }
///     Ok(())
/// }
/// # }
/// ```
pub struct Tls {
    lower: Box<dyn Transport>,
    connection: Connection,
    /// Ciphertext that was received and that rustls had no room for.
    unread: Vec<u8>,
    /// Plaintext that rustls has for us.
    readable: usize,
    /// Ciphertext that rustls was given by the last receive.
    given: usize,
    /// rustls' buffer for ciphertext may be longer than it is at rest.
    has_grown: bool,
    /// The last call received as much as it had room for: there may be more.
    has_more: bool,
    /// Plaintext that rustls has taken since all was last sent.
    kept: usize,
    /// Bytes of ciphertext that were sent.
    sent: u64,
    /// Why nothing more is received.
    end: Option<End>,
    is_lenient: bool,
    /// The lower transport is to be shut when all is sent.
    shut_due: bool,
}

/// Why nothing more is received.
#[derive(Debug)]
enum End {
    /// The peer has said so, or may end without a word. Not told yet.
    Clean,
    /// The same, told.
    Over,
    /// Not told yet.
    Failed(io::Error),
    /// Told.
    Dead,
}

impl Tls {
    /// A side of a connection over `lower`, of which no byte was received yet.
    pub fn new(lower: Box<dyn Transport>, connection: impl Into<Connection>) -> Self {
        Self {
            lower,
            connection: connection.into(),
            unread: Vec::new(),
            readable: 0,
            given: 0,
            has_grown: false,
            has_more: false,
            kept: 0,
            sent: 0,
            end: None,
            is_lenient: false,
            shut_due: false,
        }
    }

    /// Sets whether a peer may end its output without saying so (`close_notify`). An attacker
    /// can end a connection so. That does no harm where the protocol says how long each
    /// message is, and many peers of HTTP do it. By default it is an error
    /// (`UnexpectedEof`), and the channel closes with it.
    pub fn set_lenient(&mut self, is_lenient: bool) {
        self.is_lenient = is_lenient;
    }

    /// The protocol that both sides have agreed on (ALPN, RFC 7301).
    pub fn alpn(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// The name that a client asks for (SNI, RFC 6066, section 3); `None` in a client.
    pub fn server_name(&self) -> Option<&str> {
        match &self.connection {
            Connection::Server(server) => server.server_name(),
            Connection::Client(_) => None,
        }
    }

    /// The version of TLS; `None` until it is agreed on.
    pub fn version(&self) -> Option<ProtocolVersion> {
        self.connection.protocol_version()
    }

    /// The cipher suite; `None` until it is agreed on.
    pub fn cipher_suite(&self) -> Option<SupportedCipherSuite> {
        self.connection.negotiated_cipher_suite()
    }

    /// The peer's certificates, its own first; `None` if it has sent none.
    pub fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.connection.peer_certificates()
    }

    /// Whether the handshake was a short one, since both sides knew each other.
    pub fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Changes the keys of both directions (RFC 8446, section 4.6.3). TLS 1.3 only.
    ///
    /// # Errors
    ///
    /// rustls', if the handshake is not done, or the version is another.
    pub fn refresh_keys(&mut self) -> Result<(), rustls::Error> {
        self.connection.refresh_traffic_keys()
    }

    /// rustls' connection, for whatever else is to be asked.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Takes account of what rustls has made of the ciphertext.
    fn process(&mut self) {
        match self.connection.process_new_packets() {
            Ok(state) => self.note(state),
            Err(error) => self.fail(invalid(error)),
        }
    }

    fn note(&mut self, state: IoState) {
        self.readable = state.plaintext_bytes_to_read();
        if state.peer_has_closed() && self.end.is_none() {
            self.end = Some(End::Clean);
        }
    }

    fn fail(&mut self, error: io::Error) {
        if self.end.is_none() {
            self.end = Some(End::Failed(error));
        }
    }

    /// The lower transport has no more.
    fn end(&mut self) {
        self.end = Some(match self.is_lenient && !self.connection.is_handshaking() {
            true => End::Clean,
            false => End::Failed(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the peer has ended the connection without a word of TLS",
            )),
        });
    }

    /// Sends what rustls has, as far as there is room.
    fn flush(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            let sent = self.connection.write_tls(&mut Lower(&mut *self.lower))?;
            if sent == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            self.sent += sent as u64;
        }
        self.kept = 0;
        Ok(())
    }

    /// All is sent: shuts the lower transport, if that is due. It fails if the peer is gone,
    /// which is no failure to send.
    fn shut_lower(&mut self) -> io::Result<()> {
        match mem::take(&mut self.shut_due) {
            true => self.lower.shutdown(),
            false => Ok(()),
        }
    }

    /// Sends it, where a failure is not the caller's matter: the next send tells it.
    fn flush_early(&mut self) {
        if self.connection.wants_write() && self.flush().is_ok() {
            let _ = self.shut_lower();
        }
    }

    /// Gives ciphertext to rustls, and takes what it makes of it for `plain`. Returns how
    /// much was taken and given; less than all, if there is no room for more.
    fn decrypt(&mut self, mut cipher: &[u8], plain: &mut [u8]) -> (usize, usize) {
        let len = cipher.len();
        let mut taken = 0;
        loop {
            taken += self.take_plaintext(&mut plain[taken..]);
            if cipher.is_empty() || self.end.is_some() || self.readable > 0 {
                break;
            }
            match self.connection.read_tls(&mut cipher) {
                Ok(given) => {
                    self.given += given;
                    self.process();
                }
                Err(error) => self.fail(error),
            }
        }
        (taken, len - cipher.len())
    }

    fn take_plaintext(&mut self, plain: &mut [u8]) -> usize {
        if self.readable == 0 || plain.is_empty() {
            return 0;
        }
        let taken = self.connection.reader().read(plain).unwrap_or(0);
        self.readable -= taken.min(self.readable);
        taken
    }

    /// Receives for a buffer that has room for many records. The ciphertext comes into its
    /// end. Its plaintext is shorter, and comes into the beginning: with a record that was
    /// received in part before, it is at most a record longer than the ciphertext read so far.
    fn receive_many(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.has_more = false;
        let received = self.lower.recv(&mut buffer[RECORD_LEN..])?;
        self.has_more = received == buffer.len() - RECORD_LEN;
        if received == 0 {
            self.end();
            return Ok(0);
        }
        let (mut from, end) = (RECORD_LEN, RECORD_LEN + received);
        let mut taken = 0;
        while from < end && self.end.is_none() {
            let (plain, cipher) = buffer.split_at_mut(from);
            let (some, read) = self.decrypt(&cipher[..end - from], &mut plain[taken..]);
            if some + read == 0 {
                break;
            }
            taken += some;
            from += read;
        }
        taken += self.take_plaintext(&mut buffer[taken..from]);
        self.unread.extend_from_slice(&buffer[from..end]);
        Ok(taken)
    }

    /// Receives for a small buffer, or during a handshake.
    fn receive_little(&mut self, plain: &mut [u8]) -> io::Result<usize> {
        self.has_more = false; // an event will tell
        let received = self.connection.read_tls(&mut Lower(&mut *self.lower))?;
        self.given += received;
        match received {
            0 if self.end.is_none() => self.end(),
            _ => self.process(),
        }
        Ok(self.take_plaintext(plain))
    }

    /// Has rustls give back what its buffer has grown by for long records, which it would do
    /// when it next reads: the connection may be idle until then.
    #[cold]
    fn shrink(&mut self) {
        let _ = self.connection.read_tls(&mut Nothing);
        self.has_grown = self.given > LITTLE; // may end in the middle of a record, which is kept
    }

    /// Takes what was received before.
    fn take_unread(&mut self, buffer: &mut [u8]) -> usize {
        let taken = self.take_plaintext(buffer);
        if self.unread.is_empty() || self.readable > 0 {
            return taken;
        }
        let mut unread = mem::take(&mut self.unread);
        let (some, read) = self.decrypt(&unread, &mut buffer[taken..]);
        if read < unread.len() {
            unread.drain(..read);
            self.unread = unread; // otherwise its memory goes
        }
        taken + some
    }
}

impl Transport for Tls {
    fn enter(&mut self, me: Token) {
        self.lower.enter(me);
    }

    fn registration(&self) -> Option<&Registration> {
        self.lower.registration()
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.given = 0;
        let mut taken = self.take_unread(buffer);
        let mut blocked = false;
        for _ in 0..EMPTY_READS {
            if taken > 0 || self.end.is_some() || buffer.is_empty() || blocked {
                break;
            }
            let received = match buffer.len() >= MANY_RECORDS && !self.is_handshaking() {
                true => self.receive_many(buffer),
                false => self.receive_little(buffer),
            };
            match received {
                Ok(len) => taken = len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => blocked = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.flush_early(); // the handshake's next words, an alert, new keys
        if taken > 0 {
            if self.given > LITTLE || self.has_grown {
                self.shrink();
            }
            return Ok(taken);
        }
        match self.end.take() {
            None => Err(ErrorKind::WouldBlock.into()),
            Some(End::Clean | End::Over) => {
                self.end = Some(End::Over);
                Ok(0)
            }
            Some(End::Failed(error)) => {
                self.end = Some(End::Dead);
                Err(error)
            }
            Some(End::Dead) => {
                self.end = Some(End::Dead);
                Err(ErrorKind::ConnectionAborted.into())
            }
        }
    }

    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.flush()?;
        let _ = self.shut_lower();
        if slices.is_empty() {
            return Ok(0);
        }
        if self.connection.is_handshaking() {
            // After its end, nothing will ever leave.
            let kind = match self.end {
                None => ErrorKind::WouldBlock,
                Some(_) => ErrorKind::ConnectionAborted,
            };
            return Err(kind.into());
        }
        let mut taken = 0;
        loop {
            let mut rest = [IoSlice::new(&[]); SLICES];
            let count = skip(slices, taken, &mut rest);
            if count == 0 {
                return Ok(taken);
            }
            let some = self.connection.writer().write_vectored(&rest[..count])?;
            taken += some;
            self.kept += some;
            match self.flush() {
                Ok(()) if some > 0 => {}
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                _ => return Ok(taken),
            }
        }
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.connection.send_close_notify();
        self.shut_due = true;
        match self.flush() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()), // it is queued
            flushed => flushed.and_then(|()| self.shut_lower()),
        }
    }

    fn has_input(&self) -> bool {
        let is_end_untold = matches!(self.end, Some(End::Clean | End::Failed(_)));
        let is_known = self.readable > 0 || !self.unread.is_empty() || is_end_untold;
        is_known || self.has_more || self.lower.has_input()
    }

    fn waits_for_room(&self) -> bool {
        self.connection.wants_write() || !self.connection.is_handshaking()
    }

    fn queued(&self) -> usize {
        match self.connection.wants_write() || self.shut_due {
            true => self.kept.max(1), // its own words, such as an alert, have no length
            false => 0,
        }
    }

    fn sent(&self) -> Option<u64> {
        Some(self.sent)
    }

    fn is_network(&self) -> bool {
        self.lower.is_network()
    }

    fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        self.lower.socket()
    }

    fn local_addr(&self) -> Option<Address> {
        self.lower.local_addr()
    }

    fn peer_addr(&self) -> Option<Address> {
        self.lower.peer_addr()
    }

    fn finish_connect(&mut self) -> io::Result<()> {
        self.lower.finish_connect()?;
        while self.connection.is_handshaking() {
            match self.flush() {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
            self.receive_little(&mut [])?;
            let is_over = self.end.is_some() && self.connection.is_handshaking();
            if is_over {
                self.flush_early(); // the alert
                return Err(match self.end.replace(End::Dead) {
                    Some(End::Failed(error)) => error,
                    _ => ErrorKind::UnexpectedEof.into(),
                });
            }
        }
        self.flush_early();
        Ok(())
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("version", &self.version())
            .field("lower", &self.lower)
            .finish()
    }
}

/// The lower transport, as rustls reads and writes.
struct Lower<'t>(&'t mut dyn Transport);

impl Read for Lower<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buffer)
    }
}

impl Write for Lower<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.send_vectored(&[IoSlice::new(data)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.send_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// No input for now.
struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }
}

/// Fills `rest` with what comes after the first `skipped` bytes of `slices`; returns how many
/// slices that is.
fn skip<'d>(
    slices: &'d [IoSlice<'_>],
    mut skipped: usize,
    rest: &mut [IoSlice<'d>; SLICES],
) -> usize {
    let mut count = 0;
    for slice in slices {
        let begin = skipped.min(slice.len());
        skipped -= begin;
        if begin < slice.len() && count < SLICES {
            rest[count] = IoSlice::new(&slice[begin..]);
            count += 1;
        }
    }
    count
}

/// rustls' error as a channel's reason for closing.
pub(crate) fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
