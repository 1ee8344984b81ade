//! Clients that speak TLS. What they say is encrypted beforehand, so that the servers have as
//! much to do at a time as without TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion};

use super::lines::Shape;
use super::{LINE, connect};
use crate::Result;
use crate::certificate::HOST;

/// How many come and go at a time: rustls keeps no more tickets of a server.
const AT_A_TIME: usize = 8;

/// One connection.
pub struct Client {
    connection: ClientConnection,
    stream: TcpStream,
    /// What is to be sent next.
    cipher: Vec<u8>,
}

impl Client {
    /// The last word of the handshake leaves with the first that is said.
    pub fn connect(address: SocketAddr, trust: &Arc<ClientConfig>) -> Result<Self> {
        let mut client = Self::begin(address, trust)?;
        client.send()?;
        client.handshake()?;
        Ok(client)
    }

    /// Connects, and prepares the first word of the handshake.
    fn begin(address: SocketAddr, trust: &Arc<ClientConfig>) -> Result<Self> {
        let connection = ClientConnection::new(Arc::clone(trust), HOST.try_into()?)?;
        let mut client = Self {
            connection,
            stream: connect(address)?,
            cipher: Vec::new(),
        };
        client.connection.set_buffer_limit(None);
        client.prepare(&[])?;
        Ok(client)
    }

    /// Hears the server's part of the handshake.
    fn handshake(&mut self) -> Result<()> {
        while self.connection.is_handshaking() {
            if self.connection.read_tls(&mut self.stream)? == 0 {
                return Err("the server ends in the handshake".into());
            }
            self.connection.process_new_packets()?;
        }
        match self.connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => Ok(()),
            other => Err(format!("the server speaks {other:?}").into()),
        }
    }

    pub fn say(&mut self, text: &[u8]) -> Result<()> {
        self.prepare(text)?;
        self.send()
    }

    fn prepare(&mut self, text: &[u8]) -> Result<()> {
        self.connection.writer().write_all(text)?;
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.cipher)?;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        self.stream.write_all(&self.cipher)?;
        self.cipher.clear();
        Ok(())
    }

    /// Waits for an answer of this length.
    pub fn hear(&mut self, answer: &mut [u8]) -> Result<()> {
        let mut stream = rustls::Stream::new(&mut self.connection, &mut self.stream);
        Ok(stream.read_exact(answer)?)
    }

    /// Says that it ends, and waits until the server does so, too.
    pub fn finish(mut self) -> Result<()> {
        self.connection.send_close_notify();
        self.say(&[])?;
        let mut stream = rustls::Stream::new(&mut self.connection, &mut self.stream);
        match stream.read(&mut [0])? {
            0 => Ok(()),
            _ => Err("more came than was asked for".into()),
        }
    }

    /// A line there and back.
    pub fn exchange(&mut self, line: &[u8]) -> Result<()> {
        self.say(line)?;
        self.hear_back(line)
    }

    fn hear_back(&mut self, line: &[u8]) -> Result<()> {
        let mut answer = vec![0; line.len()];
        self.hear(&mut answer)?;
        match answer == line {
            true => Ok(()),
            false => Err("not the line that was sent".into()),
        }
    }
}

/// Clients in step, as in `steps.rs`.
pub struct Clients {
    clients: Vec<Client>,
    in_flight: u64,
    said: Vec<u8>,
    heard: Vec<u8>,
}

impl Clients {
    pub fn connect(address: SocketAddr, trust: &Arc<ClientConfig>, shape: Shape) -> Result<Self> {
        let line = [vec![b'x'; shape.line as usize - 1], vec![b'\n']].concat();
        let said = line.repeat(shape.in_flight as usize);
        Ok(Self {
            clients: connect_all(address, trust, shape.clients)?,
            in_flight: shape.in_flight,
            heard: vec![0; said.len()],
            said,
        })
    }

    /// Sends so many lines, rounded up to whole steps; returns how many.
    pub fn run(&mut self, lines: u64) -> Result<u64> {
        let step = self.clients.len() as u64 * self.in_flight;
        let steps = lines.div_ceil(step);
        for _ in 0..steps {
            let mut clients = self.clients.iter_mut();
            clients.try_for_each(|client| client.prepare(&self.said))?;
            self.clients.iter_mut().try_for_each(Client::send)?;
            for client in &mut self.clients {
                client.hear(&mut self.heard)?;
            }
        }
        Ok(steps * step)
    }
}

/// Connects `count` clients, and has each say a line.
pub fn connect_all(
    address: SocketAddr,
    trust: &Arc<ClientConfig>,
    count: usize,
) -> Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        let mut client = Client::connect(address, trust)?;
        client.exchange(LINE)?;
        clients.push(client);
    }
    Ok(clients)
}

/// So many clients that come, say a line and go, in step, rounded up to whole groups; returns
/// how many. Their handshakes must be of this kind, if one is given.
pub fn come_and_go(
    address: SocketAddr,
    trust: &Arc<ClientConfig>,
    kind: Option<HandshakeKind>,
    count: u64,
) -> Result<u64> {
    let groups = count.div_ceil(AT_A_TIME as u64);
    for _ in 0..groups {
        let clients = (0..AT_A_TIME).map(|_| Client::begin(address, trust));
        let mut clients = clients.collect::<Result<Vec<_>>>()?;
        clients.iter_mut().try_for_each(Client::send)?;
        for client in &mut clients {
            client.handshake()?;
            match client.connection.handshake_kind() {
                made if kind.is_none() || made == kind => client.prepare(LINE)?,
                other => return Err(format!("a handshake was {other:?}, not {kind:?}").into()),
            }
        }
        clients.iter_mut().try_for_each(Client::send)?;
        clients
            .iter_mut()
            .try_for_each(|client| client.hear_back(LINE))?;
        clients.into_iter().try_for_each(Client::finish)?;
    }
    Ok(groups * AT_A_TIME as u64)
}
