//! A map with a network of its own: the same program runs in it, unchanged.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chat::{
    Address, AsyncChat, ChannelMap, Chat, ChatMap, Dispatcher, DispatcherHandler, Endpoint,
    MessageHandler, Network, Opening, Readiness, Registration, Result, Stream, Token, Transport,
    UnixName,
};

use crate::common::{Log, Place, Probe, turn_until};

/// A network in memory. A clone is the same network.
#[derive(Clone, Debug, Default)]
struct Memory(Arc<Mutex<World>>);

#[derive(Debug, Default)]
struct World {
    /// Who waits to be accepted where somebody listens.
    listeners: HashMap<String, VecDeque<Pipe>>,
    datagrams: HashMap<String, VecDeque<(Vec<u8>, Address)>>,
    /// The channels to be called.
    channels: Vec<Token>,
    ports: u16,
}

type Bytes = Arc<Mutex<Flow>>;

/// One direction of a connection.
#[derive(Debug, Default)]
struct Flow {
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

    fn transport(&self, own: Option<Address>, kind: Kind) -> Box<Wire> {
        Box::new(Wire {
            network: self.clone(),
            me: None,
            own,
            kind,
        })
    }

    /// Turns the map, in which nothing but this network happens.
    fn turn(&self, map: &mut ChannelMap) {
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

    fn listen(&mut self, at: &Address) -> io::Result<Box<dyn Transport>> {
        let at = self.bound(at);
        let mut world = self.0.lock().unwrap();
        if world.listeners.contains_key(&at.to_string()) {
            return Err(ErrorKind::AddrInUse.into());
        }
        world.listeners.insert(at.to_string(), VecDeque::new());
        drop(world);
        Ok(self.transport(Some(at), Kind::Listener))
    }

    fn connect(&mut self, to: &Address) -> io::Result<Box<dyn Transport>> {
        let (ours, theirs) = Pipe::pair();
        let mut world = self.0.lock().unwrap();
        let queue = world.listeners.get_mut(&to.to_string());
        queue.ok_or(ErrorKind::ConnectionRefused)?.push_back(theirs);
        drop(world);
        Ok(self.transport(None, Kind::Connection(ours, 3)))
    }

    fn bind(&mut self, at: &Address) -> io::Result<Box<dyn Transport>> {
        let at = self.bound(at);
        let mut world = self.0.lock().unwrap();
        world.datagrams.insert(at.to_string(), VecDeque::new());
        drop(world);
        Ok(self.transport(Some(at), Kind::Datagrams))
    }
}

/// Both directions of a connection.
#[derive(Debug)]
struct Pipe {
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

#[derive(Debug)]
struct Wire {
    network: Memory,
    me: Option<Token>,
    own: Option<Address>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Listener,
    Datagrams,
    /// A connection that is made after so many write events.
    Connection(Pipe, u32),
}

impl Transport for Wire {
    fn open(&mut self, opening: &mut Opening<'_>) -> io::Result<()> {
        assert_eq!(self.me.replace(opening.me()), None, "once");
        self.network.0.lock().unwrap().channels.push(opening.me());
        Ok(())
    }

    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Kind::Connection(pipe, _) = &self.kind else {
            return Err(ErrorKind::Unsupported.into());
        };
        let mut flow = pipe.inbound.lock().unwrap();
        let len = flow.bytes.len().min(buffer.len());
        if len == 0 && !flow.is_shut {
            return Err(ErrorKind::WouldBlock.into());
        }
        for (to, from) in buffer.iter_mut().zip(flow.bytes.drain(..len)) {
            *to = from;
        }
        Ok(len)
    }

    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let Kind::Connection(pipe, _) = &self.kind else {
            return Err(ErrorKind::Unsupported.into());
        };
        let data: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        pipe.outbound.lock().unwrap().bytes.extend(&data);
        Ok(data.len())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        if let Kind::Connection(pipe, _) = &self.kind {
            pipe.outbound.lock().unwrap().is_shut = true;
        }
        Ok(())
    }

    fn local_addr(&self) -> Option<Address> {
        self.own.clone()
    }

    fn finish_connect(&mut self) -> io::Result<()> {
        match &mut self.kind {
            Kind::Connection(_, 0) => Ok(()),
            Kind::Connection(_, left) => {
                *left -= 1;
                Err(ErrorKind::WouldBlock.into())
            }
            _ => Err(ErrorKind::Unsupported.into()),
        }
    }

    fn accept(&mut self) -> io::Result<(Stream, Address)> {
        let at = self.own.as_ref().unwrap().to_string();
        let mut world = self.network.0.lock().unwrap();
        let waiting = world.listeners.get_mut(&at).unwrap().pop_front();
        let pipe = waiting.ok_or(ErrorKind::WouldBlock)?;
        drop(world);
        let wire = self.network.transport(None, Kind::Connection(pipe, 0));
        Ok((Stream::over(*wire), Address::Unix(None)))
    }

    fn recv_from(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
        let at = self.own.as_ref().unwrap().to_string();
        let mut world = self.network.0.lock().unwrap();
        let datagram = world.datagrams.get_mut(&at).unwrap().pop_front();
        let (data, from) = datagram.ok_or(ErrorKind::WouldBlock)?;
        buffer[..data.len()].copy_from_slice(&data);
        Ok((data.len(), from))
    }

    fn send_to(&mut self, data: &[u8], to: &Address) -> io::Result<usize> {
        let mut world = self.network.0.lock().unwrap();
        if let Some(queue) = world.datagrams.get_mut(&to.to_string()) {
            queue.push_back((data.to_vec(), self.own.clone().unwrap()));
        }
        Ok(data.len())
    }
}

/// Sends lines and datagrams back, in capitals.
struct Shout;

impl MessageHandler for Shout {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        chat.push([&line.to_ascii_uppercase()[..], b"\n"].concat());
        Ok(())
    }
}

impl DispatcherHandler for Shout {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        _: Address,
        _: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        map.insert(AsyncChat::new(stream, "\n", Shout))?;
        Ok(())
    }

    fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        let mut buffer = [0; 100];
        let (len, from) = endpoint.recv_from(&mut buffer)?;
        endpoint.send_to(&buffer[..len].to_ascii_uppercase(), &from)?;
        Ok(())
    }
}

/// Asks by a datagram, and logs the answer.
struct Asks(Log);

impl DispatcherHandler for Asks {
    fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        let mut buffer = [0; 100];
        let (len, _) = endpoint.recv_from(&mut buffer)?;
        self.0.add(buffer[..len].escape_ascii().to_string());
        Ok(())
    }
}

/// A program that knows nothing of where it runs: servers of each kind and their clients, in
/// one map.
fn program(place: &Place, map: &mut ChannelMap) -> Result<Log> {
    let log = Log::default();
    let tcp = map.insert(Dispatcher::listen("127.0.0.1:0", Shout))?;
    let tcp = map.get(tcp)?.endpoint.local_addr().ok_or("no address")?;
    let unix = UnixName::from(place.0.join("socket"));
    map.insert(Dispatcher::listen_unix(unix.clone(), Shout))?;
    let udp = map.insert(Dispatcher::bind("127.0.0.1:0", Shout))?;
    let udp = map.get(udp)?.endpoint.local_addr().ok_or("no address")?;

    let client = |text: &'static str| {
        Probe::new(&log).on_connect(move |chat, _| {
            chat.push(text);
            Ok(())
        })
    };
    let tcp = tcp.as_inet().ok_or("not inet")?;
    map.insert(AsyncChat::connect(tcp, "\n", client("by TCP\n")))?;
    map.insert(AsyncChat::connect_unix(unix, "\n", client("by Unix\n")))?;
    let asks = map.insert(Dispatcher::bind("127.0.0.1:0", Asks(log.clone())))?;
    let asks = map.get_mut(asks)?;
    asks.endpoint.send_to(b"by UDP", &udp)?;
    Ok(log)
}

const ANSWERS: [&str; 3] = ["message BY TCP", "message BY UNIX", "BY UDP"];

#[test]
fn a_program_runs_in_the_systems_network_and_in_one_of_the_maps_own() {
    let place = Place::new("system");
    let mut map = ChannelMap::new().unwrap();
    let log = program(&place, &mut map).unwrap();
    turn_until(&mut map, |_| ANSWERS.iter().all(|answer| log.has(answer)));

    let place = Place::new("own");
    let network = Memory::default();
    let mut map = ChannelMap::new().unwrap();
    map.set_network(network.clone());
    let log = program(&place, &mut map).unwrap();
    for _ in 0..10 {
        network.turn(&mut map);
    }
    for answer in ANSWERS {
        assert!(log.has(answer), "{:?}", log.all());
    }
    assert!(
        !place.0.join("socket").exists(),
        "no socket of the system's"
    );
}

#[test]
fn names_and_errors_are_the_networks() {
    let network = Memory::default();
    let mut map = ChannelMap::new().unwrap();
    map.set_network(network.clone());
    let first = map.insert(Dispatcher::listen("10.0.0.2:25", Shout));
    let again = map.insert(Dispatcher::listen("10.0.0.2:25", Shout));
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AddrInUse);
    let unknown = map.insert(AsyncChat::connect("elsewhere:25", "\n", ()));
    assert_eq!(unknown.unwrap_err().kind(), ErrorKind::NotFound);

    // Of its two addresses, the first refuses.
    let log = Log::default();
    let client = AsyncChat::connect("server:25", "\n", Probe::new(&log));
    map.insert(client).unwrap();
    for turn in 0..6 {
        assert_eq!(log.has("connect"), turn > 3, "{turn}");
        network.turn(&mut map);
    }
    // And both.
    let log = Log::default();
    let client = AsyncChat::connect("server:26", "\n", Probe::new(&log));
    map.insert(client).unwrap();
    assert_eq!(log.len(), 0, "not from within insert");
    network.turn(&mut map);
    assert_eq!(log.all(), ["close Io(ConnectionRefused)"]);
    assert!(map.is_open(first.unwrap()));
}
