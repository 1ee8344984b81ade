//! A network in memory.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chat::{
    Address, ChannelMap, DatagramSocket, Listener, Network, Readiness, Registration, Stream, Token,
    Transport,
};

/// A network in memory. A clone is the same network.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(pub(super) Arc<Mutex<World>>);

#[derive(Debug, Default)]
pub(super) struct World {
    /// Who waits to be accepted where somebody listens.
    listeners: HashMap<String, VecDeque<Pipe>>,
    datagrams: HashMap<String, VecDeque<(Vec<u8>, Address)>>,
    /// The channels to be called.
    pub(super) channels: Vec<Token>,
    ports: u16,
    /// How often `accept` is to fail.
    pub(super) accept_errors: u32,
}

type Bytes = Arc<Mutex<Flow>>;

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Flow {
    bytes: VecDeque<u8>,
    is_shut: bool,
}

impl Memory {
    /// A port of one's own for 0.
    fn bound(&self, at: &Address) -> Address {
        let mut world = self.0.lock().unwrap();
        match at {
            Address::Inet(inet) if inet.port() == 0 => {
                world.ports += 1;
                SocketAddr::new(inet.ip(), world.ports).into()
            }
            other => other.clone(),
        }
    }

    fn enter(&self, me: Token) {
        let channels = &mut self.0.lock().unwrap().channels;
        assert!(!channels.contains(&me), "each enters once");
        channels.push(me);
    }

    /// Turns the map, in which nothing but this network happens.
    pub(super) fn turn(&self, map: &mut ChannelMap) {
        for &channel in &self.0.lock().unwrap().channels {
            map.dispatch(channel, Readiness::READABLE | Readiness::WRITABLE);
        }
        map.turn(Some(Duration::ZERO)).unwrap();
    }
}

impl Network for Memory {
    fn resolve(&mut self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match host {
            // The first has nobody.
            "server" => Ok(vec![
                ([10, 0, 0, 1], port).into(),
                ([10, 0, 0, 2], port).into(),
            ]),
            _ => Err(ErrorKind::NotFound.into()),
        }
    }

    fn listen(&mut self, at: &Address) -> io::Result<Box<dyn Listener>> {
        let at = self.bound(at);
        let mut world = self.0.lock().unwrap();
        if world.listeners.contains_key(&at.to_string()) {
            return Err(ErrorKind::AddrInUse.into());
        }
        world.listeners.insert(at.to_string(), VecDeque::new());
        drop(world);
        Ok(Box::new(Bound(self.clone(), at)))
    }

    fn connect(&mut self, to: &Address) -> io::Result<Box<dyn Transport>> {
        let (ours, theirs) = Pipe::pair();
        let mut world = self.0.lock().unwrap();
        let queue = world.listeners.get_mut(&to.to_string());
        queue.ok_or(ErrorKind::ConnectionRefused)?.push_back(theirs);
        drop(world);
        Ok(Box::new(Wire(self.clone(), ours, 5)))
    }

    fn bind(&mut self, at: &Address) -> io::Result<Box<dyn DatagramSocket>> {
        let at = self.bound(at);
        let mut world = self.0.lock().unwrap();
        world.datagrams.insert(at.to_string(), VecDeque::new());
        drop(world);
        Ok(Box::new(Bound(self.clone(), at)))
    }
}

/// Both directions of a connection.
#[derive(Debug)]
pub(super) struct Pipe {
    inbound: Bytes,
    outbound: Bytes,
}

impl Pipe {
    fn pair() -> (Self, Self) {
        let (one, other) = (Bytes::default(), Bytes::default());
        let ours = Self {
            inbound: Arc::clone(&one),
            outbound: Arc::clone(&other),
        };
        let theirs = Self {
            inbound: other,
            outbound: one,
        };
        (ours, theirs)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.outbound.lock().unwrap().is_shut = true;
    }
}

/// A connection, and after how many events it is made.
#[derive(Debug)]
pub(super) struct Wire(Memory, Pipe, u32);

impl Transport for Wire {
    fn enter(&mut self, me: Token) {
        self.0.enter(me);
    }

    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut flow = self.1.inbound.lock().unwrap();
        let len = flow.bytes.len().min(buffer.len());
        if len == 0 && !flow.is_shut {
            return Err(ErrorKind::WouldBlock.into());
        }
        for (to, from) in buffer.iter_mut().zip(flow.bytes.drain(..len)) {
            *to = from;
        }
        Ok(len)
    }

    fn has_input(&self) -> bool {
        let flow = self.1.inbound.lock().unwrap();
        flow.is_shut || !flow.bytes.is_empty()
    }

    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let data: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        self.1.outbound.lock().unwrap().bytes.extend(&data);
        Ok(data.len())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.1.outbound.lock().unwrap().is_shut = true;
        Ok(())
    }

    fn finish_connect(&mut self) -> io::Result<()> {
        self.2 = match self.2 {
            0 => return Ok(()),
            left => left - 1,
        };
        Err(match self.2 % 2 {
            0 => ErrorKind::Interrupted,
            _ => ErrorKind::WouldBlock,
        }
        .into())
    }
}

/// A listener, or a socket for datagrams, at an address.
#[derive(Debug)]
pub(super) struct Bound(Memory, Address);

impl Listener for Bound {
    fn enter(&mut self, me: Token) {
        self.0.enter(me);
    }

    fn accept(&mut self) -> io::Result<(Stream, Address)> {
        let mut world = self.0.0.lock().unwrap();
        if world.accept_errors > 0 {
            world.accept_errors -= 1;
            return Err(io::Error::other("no descriptor is left"));
        }
        let listeners = &mut world.listeners;
        let waiting = listeners.get_mut(&self.1.to_string()).unwrap().pop_front();
        let pipe = waiting.ok_or(ErrorKind::WouldBlock)?;
        let stream = Stream::over(Wire(self.0.clone(), pipe, 0));
        Ok((stream, Address::Unix(None)))
    }

    fn has_input(&self) -> bool {
        let listeners = &self.0.0.lock().unwrap().listeners;
        !listeners[&self.1.to_string()].is_empty()
    }

    fn local_addr(&self) -> Option<Address> {
        Some(self.1.clone())
    }
}

impl DatagramSocket for Bound {
    fn enter(&mut self, me: Token) {
        self.0.enter(me);
    }

    fn recv_from(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
        let datagrams = &mut self.0.0.lock().unwrap().datagrams;
        let datagram = datagrams.get_mut(&self.1.to_string()).unwrap().pop_front();
        let (data, from) = datagram.ok_or(ErrorKind::WouldBlock)?;
        let fits = data.len().min(buffer.len());
        buffer[..fits].copy_from_slice(&data[..fits]);
        Ok((data.len(), from))
    }

    fn send_to(&mut self, data: &[u8], to: &Address) -> io::Result<usize> {
        let datagrams = &mut self.0.0.lock().unwrap().datagrams;
        if let Some(queue) = datagrams.get_mut(&to.to_string()) {
            queue.push_back((data.to_vec(), self.1.clone()));
        }
        Ok(data.len())
    }

    fn has_input(&self) -> bool {
        let datagrams = &self.0.0.lock().unwrap().datagrams;
        !datagrams[&self.1.to_string()].is_empty()
    }

    fn local_addr(&self) -> Option<Address> {
        Some(self.1.clone())
    }
}
