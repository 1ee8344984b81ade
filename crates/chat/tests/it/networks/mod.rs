//! A map with a network of its own: the same program runs in it, unchanged.

mod memory;

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use chat::{
    Address, AsyncChat, ChannelMap, Chat, ChatMap, DatagramSocket, Dispatcher, DispatcherHandler,
    Endpoint, Listener, MessageHandler, Network, Readiness, Registration, Result, Source, Stream,
    Timer, Transport, UnixName,
};

use crate::common::{Log, Place, Probe, assert_rest, turn_until, unix_pair};
use memory::Memory;

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
        assert_eq!(log.has("connect"), turn > 1, "{turn}");
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

/// A client that reconnects in its place, while the network reports whatever it has.
#[test]
fn an_endpoint_that_is_replaced_connects_before_it_hears_of_any_event() {
    struct Client(Log);

    impl DispatcherHandler for Client {
        fn writable(&self, _: &Endpoint) -> bool {
            true
        }

        fn handle_connect(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
            self.0.add(format!("connect {:?}", endpoint.connected()));
            Ok(())
        }

        fn handle_eof(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
            *endpoint = Dispatcher::connect("10.0.0.2:25", ()).endpoint;
            Ok(())
        }
    }

    struct Leaver;

    impl DispatcherHandler for Leaver {
        fn handle_accepted(
            &mut self,
            _: Stream,
            _: Address,
            _: &mut Endpoint,
            _: &mut ChannelMap,
        ) -> Result {
            Ok(())
        }
    }

    let network = Memory::default();
    let mut map = ChannelMap::new().unwrap();
    map.set_network(network.clone());
    map.insert(Dispatcher::listen("10.0.0.2:25", Leaver))
        .unwrap();
    let log = Log::default();
    let client = Dispatcher::connect("10.0.0.2:25", Client(log.clone()));
    let me = map.insert(client).unwrap();
    for _ in 0..50 {
        // A channel that connects anew is a new one in the network.
        let mut world = network.0.lock().unwrap();
        world.channels.retain(|&channel| channel != me.token());
        let reported = [world.channels.clone(), vec![me.token()]].concat();
        drop(world);
        for channel in reported {
            map.dispatch(channel, Readiness::READABLE | Readiness::WRITABLE);
        }
        map.turn(Some(Duration::ZERO)).unwrap();
    }
    assert!(log.count("connect true") > 3, "{:?} {map:?}", log.all());
    assert_eq!(log.count(""), log.count("connect true"));
}

/// No descriptor is left, for example: it pauses, and nobody hears of its timer.
#[test]
fn a_listener_whose_accept_fails_pauses_and_accepts_later() {
    struct Server(Log);

    impl DispatcherHandler for Server {
        fn handle_accepted(
            &mut self,
            _: Stream,
            _: Address,
            _: &mut Endpoint,
            _: &mut ChannelMap,
        ) -> Result {
            self.0.add("accepted");
            Ok(())
        }

        fn handle_timer(&mut self, _: Timer, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
            self.0.add("timer");
            Ok(())
        }
    }

    let network = Memory::default();
    let mut map = ChannelMap::new().unwrap();
    map.set_network(network.clone());
    let log = Log::default();
    map.insert(Dispatcher::listen("10.0.0.2:25", Server(log.clone())))
        .unwrap();
    network.0.lock().unwrap().accept_errors = 2;
    map.insert(AsyncChat::connect("10.0.0.2:25", "\n", ()))
        .unwrap();
    for _ in 0..20 {
        map.turn(Some(Duration::ZERO)).unwrap();
    }
    let timers = map.timers();
    assert_eq!((timers, log.len()), (2, 0), "a pause, and a connection");
    for _ in 0..3 {
        map.turn_at(map.now() + Duration::from_millis(250)).unwrap();
        map.turn_at(map.now()).unwrap();
    }
    assert_eq!(log.all(), ["accepted"]);
}

/// The whole length of a datagram says whether it fits.
#[test]
fn a_datagram_that_does_not_fit_is_an_error() {
    let network = Memory::default();
    let mut map = ChannelMap::new().unwrap();
    map.set_network(network);
    let mut early = Dispatcher::bind("10.0.0.2:53", ());
    let error = early.endpoint.recv_from(&mut [0; 5]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected, "not in a map yet");
    let me = map.insert(early).unwrap();
    let endpoint = &mut map.get_mut(me).unwrap().endpoint;
    let own = endpoint.local_addr().unwrap();
    for _ in 0..3 {
        endpoint.send_to(b"hello", &own).unwrap();
    }
    let mut buffer = [0; 5];
    assert_eq!(endpoint.recv_from(&mut buffer).unwrap(), (5, own));
    let error = endpoint.recv_from(&mut buffer[..4]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(endpoint.recv(&mut buffer).unwrap(), 5);
}

/// As TLS does, whose handshake is part of the connection: it waits for the peer's part, and
/// the loop sleeps meanwhile.
#[test]
fn a_connection_that_waits_for_input_is_finished_by_it_and_costs_no_turns() {
    #[derive(Debug)]
    struct Handshake(Source<UnixStream>);

    impl Transport for Handshake {
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
            self.0.shutdown(std::net::Shutdown::Write)
        }
        fn waits_for_room(&self) -> bool {
            false
        }
        fn finish_connect(&mut self) -> io::Result<()> {
            (&*self.0).read_exact(&mut [0])
        }
    }

    struct Local(Option<UnixStream>);

    impl Network for Local {
        fn resolve(&mut self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
            Err(ErrorKind::NotFound.into())
        }
        fn listen(&mut self, _: &Address) -> io::Result<Box<dyn Listener>> {
            Err(ErrorKind::Unsupported.into())
        }
        fn connect(&mut self, _: &Address) -> io::Result<Box<dyn Transport>> {
            let stream = self.0.take().ok_or(ErrorKind::ConnectionRefused)?;
            Ok(Box::new(Handshake(Source::new(stream))))
        }
        fn bind(&mut self, _: &Address) -> io::Result<Box<dyn DatagramSocket>> {
            Err(ErrorKind::Unsupported.into())
        }
    }

    for is_chat in [true, false] {
        let (ours, mut theirs) = unix_pair();
        ours.set_nonblocking(true).unwrap();
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        map.set_network(Local(Some(ours)));
        let probe = Probe::new(&log);
        match is_chat {
            true => {
                let client = AsyncChat::connect("10.0.0.2:25", "\n", probe);
                map.insert(client).unwrap();
            }
            false => {
                let client = Dispatcher::connect("10.0.0.2:25", Connects(log.clone()));
                map.insert(client).unwrap();
            }
        }
        assert_rest(&mut map);
        assert_eq!(log.len(), 0);
        theirs.write_all(b"!").unwrap();
        turn_until(&mut map, |_| log.has("connect"));
    }
}

/// Logs that it is connected.
struct Connects(Log);

impl DispatcherHandler for Connects {
    fn handle_connect(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.0.add("connect");
        Ok(())
    }
}

/// The second is there as soon as it has begun.
#[test]
fn the_next_address_may_be_connected_at_once() {
    #[derive(Debug)]
    struct Wired(bool);

    impl Transport for Wired {
        fn registration(&self) -> Option<&Registration> {
            None
        }
        fn recv(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::WouldBlock.into())
        }
        fn send_vectored(&mut self, _: &[IoSlice<'_>]) -> io::Result<usize> {
            Err(ErrorKind::WouldBlock.into())
        }
        fn shutdown(&mut self) -> io::Result<()> {
            Ok(())
        }
        fn finish_connect(&mut self) -> io::Result<()> {
            match self.0 {
                true => Ok(()),
                false => Err(ErrorKind::ConnectionRefused.into()),
            }
        }
    }

    struct Second(u32);

    impl Network for Second {
        fn resolve(&mut self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
            Err(ErrorKind::NotFound.into())
        }
        fn listen(&mut self, _: &Address) -> io::Result<Box<dyn Listener>> {
            Err(ErrorKind::Unsupported.into())
        }
        fn connect(&mut self, _: &Address) -> io::Result<Box<dyn Transport>> {
            self.0 += 1;
            Ok(Box::new(Wired(self.0 == 2)))
        }
        fn bind(&mut self, _: &Address) -> io::Result<Box<dyn DatagramSocket>> {
            Err(ErrorKind::Unsupported.into())
        }
    }

    let mut map = ChannelMap::new().unwrap();
    map.set_network(Second(0));
    let log = Log::default();
    let addresses: &[SocketAddr] = &[([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 1).into()];
    map.insert(AsyncChat::connect(addresses, "\n", Probe::new(&log)))
        .unwrap();
    map.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(log.all(), ["connect"]);
}
