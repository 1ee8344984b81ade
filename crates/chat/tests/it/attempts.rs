//! A name with several addresses: one that hangs does not hold up the others.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use chat::{
    Address, AsyncChat, ChannelMap, ChatMap, DatagramSocket, Endpoint, InetName, Listener, Network,
    Readiness, Registration, Token, Transport,
};

use crate::common::{Log, Probe};

const MS: Duration = Duration::from_millis(1);

/// What becomes of the connections to each address, by its last byte.
#[derive(Clone, Default)]
struct World(Rc<Hosts>);

#[derive(Default)]
struct Hosts {
    outcomes: [Cell<Option<Result<(), ErrorKind>>>; 32],
    /// In the order in which they were tried.
    tried: RefCell<Vec<u8>>,
    open: Cell<usize>,
}

impl Network for World {
    fn resolve(&mut self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        Err(ErrorKind::NotFound.into())
    }
    fn listen(&mut self, _: &Address) -> io::Result<Box<dyn Listener>> {
        Err(ErrorKind::Unsupported.into())
    }
    fn connect(&mut self, to: &Address) -> io::Result<Box<dyn Transport>> {
        let host = to.as_inet().unwrap().port() as u8;
        self.0.tried.borrow_mut().push(host);
        self.0.open.set(self.0.open.get() + 1);
        Ok(Box::new(Attempt(Rc::clone(&self.0), host, Token::NONE)))
    }
    fn bind(&mut self, _: &Address) -> io::Result<Box<dyn DatagramSocket>> {
        Err(ErrorKind::Unsupported.into())
    }
}

struct Attempt(Rc<Hosts>, u8, Token);

impl Transport for Attempt {
    fn enter(&mut self, me: Token) {
        self.2 = me;
    }
    fn registration(&self) -> Option<&Registration> {
        None
    }
    fn recv(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }
    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn peer_addr(&self) -> Option<Address> {
        Some(address(self.1).into())
    }
    fn finish_connect(&mut self) -> io::Result<()> {
        assert_ne!(self.2, Token::NONE, "it has entered the map");
        let outcome = self.0.outcomes[usize::from(self.1)].get();
        outcome.unwrap_or(Err(ErrorKind::WouldBlock))?;
        Ok(())
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
    }
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Attempt").field(&self.1).finish()
    }
}

fn address(host: u8) -> SocketAddr {
    ([10, 0, 0, 1], u16::from(host)).into()
}

/// A client that connects to so many addresses, which all hang at first.
struct Client {
    world: World,
    map: ChannelMap,
    me: chat::Handle<AsyncChat<Probe>>,
    log: Log,
}

impl Client {
    fn new(addresses: u8) -> Self {
        let (world, log) = (World::default(), Log::default());
        let mut map = ChannelMap::new().unwrap();
        map.set_network(world.clone());
        let addresses: Vec<_> = (0..addresses).map(address).collect();
        let client = AsyncChat::connect(InetName::from(addresses), "\n", Probe::new(&log));
        let me = map.insert(client).unwrap();
        let mut this = Self {
            world,
            map,
            me,
            log,
        };
        this.wait(Duration::ZERO);
        this
    }

    fn wait(&mut self, time: Duration) {
        self.map.turn_at(self.map.now() + time).unwrap();
        self.map.turn_at(self.map.now()).unwrap();
    }

    fn is_to(&mut self, host: u8, outcome: Result<(), ErrorKind>) {
        self.world.0.outcomes[usize::from(host)].set(Some(outcome));
    }

    /// The present attempt has come to something.
    fn hears(&mut self) {
        self.map.dispatch(self.me, Readiness::WRITABLE);
        self.wait(Duration::ZERO);
    }

    fn tried(&self) -> Vec<u8> {
        self.world.0.tried.borrow().clone()
    }

    fn open(&self) -> usize {
        self.world.0.open.get()
    }

    fn peer(&mut self) -> Option<Address> {
        self.map.get(self.me).unwrap().chat.endpoint().peer_addr()
    }
}

#[test]
fn the_next_address_is_tried_after_250_ms_beside_the_one_that_hangs() {
    let mut client = Client::new(3);
    client.wait(249 * MS);
    assert_eq!(client.tried(), [0]);
    client.wait(MS);
    assert_eq!((client.tried(), client.open()), (vec![0, 1], 2));
    client.is_to(1, Ok(()));
    client.hears();
    assert_eq!(
        (client.log.all(), client.open()),
        (vec!["connect".into()], 1)
    );
    assert_eq!(client.peer(), Some(address(1).into()));
    client.wait(60_000 * MS);
    assert_eq!(client.log.len(), 1);
    assert_eq!(client.tried(), [0, 1]);
}

#[test]
fn the_first_address_may_be_the_one_that_answers_in_the_end() {
    let mut client = Client::new(2);
    client.wait(250 * MS);
    client.is_to(0, Ok(()));
    client.wait(250 * MS); // nothing but the time tells of it
    assert_eq!(
        (client.log.all(), client.open()),
        (vec!["connect".into()], 1)
    );
    assert_eq!(client.peer(), Some(address(0).into()));
}

/// Whichever attempt it is that connects: what is to go through a layer never goes without.
#[test]
fn a_layer_comes_over_the_attempt_that_connects() {
    for (host, is_watched) in [(0, false), (1, true)] {
        let mut client = Client::new(2);
        client.map.remove(client.me).unwrap();
        let over = Rc::new(Cell::new(None));
        let seen = Rc::clone(&over);
        let endpoint = Endpoint::connect(InetName::from(vec![address(0), address(1)]));
        let endpoint = endpoint.with_layer(move |lower| {
            seen.set(lower.peer_addr().map(|addr| addr.as_inet().unwrap().port()));
            Ok(lower)
        });
        let channel = AsyncChat::new(endpoint, "\n", Probe::new(&client.log));
        client.me = client.map.insert(channel).unwrap();
        client.wait(Duration::ZERO);
        client.wait(250 * MS);
        assert_eq!(over.get(), None);
        client.is_to(host, Ok(()));
        match is_watched {
            true => client.hears(),
            false => client.wait(250 * MS),
        }
        assert_eq!(over.get(), Some(u16::from(host)));
        assert_eq!(client.log.all(), ["connect"]);
    }
}

#[test]
fn an_address_that_refuses_has_the_next_one_tried_at_once_and_then_the_earlier_ones_waited_for() {
    let mut client = Client::new(3);
    client.wait(250 * MS);
    client.is_to(1, Err(ErrorKind::ConnectionRefused));
    client.hears();
    assert_eq!((client.tried(), client.open()), (vec![0, 1, 2], 2));
    client.is_to(2, Err(ErrorKind::HostUnreachable));
    client.hears();
    assert_eq!((client.log.len(), client.open()), (0, 1));
    client.is_to(0, Ok(()));
    client.hears(); // it is watched again
    assert_eq!(client.log.all(), ["connect"]);
}

#[test]
fn each_attempt_has_its_own_thirty_seconds() {
    let mut client = Client::new(2);
    client.wait(250 * MS);
    client.wait(29_749 * MS);
    assert_eq!((client.log.len(), client.open()), (0, 2));
    client.wait(250 * MS); // it looks four times a second
    assert_eq!(client.open(), 1);
    client.wait(250 * MS);
    assert_eq!(client.log.all(), ["close Missed(Connect)"]);
    assert_eq!(client.open(), 0);
    assert_eq!(client.map.timers(), 0);
}

#[test]
fn one_failure_is_told_when_all_have_failed() {
    let mut client = Client::new(2);
    client.wait(250 * MS);
    client.is_to(0, Err(ErrorKind::ConnectionReset));
    client.is_to(1, Err(ErrorKind::ConnectionRefused));
    client.hears();
    assert_eq!(client.log.all(), ["close Io(ConnectionRefused)"]); // the latest attempt's
    assert_eq!(client.open(), 0);
}

#[test]
fn at_most_eight_are_under_way_at_once() {
    let mut client = Client::new(20);
    for _ in 0..40 {
        client.wait(250 * MS);
        assert!(client.open() <= 8);
    }
    assert_eq!(client.tried().len(), 8);
    client.wait(30_000 * MS);
    client.wait(250 * MS);
    assert!(client.tried().len() > 8);
}

#[test]
fn closing_ends_them_all() {
    let mut client = Client::new(3);
    client.wait(250 * MS);
    client.map.close(client.me);
    client.wait(Duration::ZERO);
    assert_eq!(client.open(), 0);
    assert_eq!(client.log.all(), ["close Requested"]);
}

#[test]
fn a_channel_that_moves_to_another_map_takes_its_attempts_along() {
    let mut client = Client::new(2);
    client.wait(250 * MS);
    let channel = client.map.remove(client.me).unwrap();
    client.map = ChannelMap::new().unwrap();
    client.me = client.map.insert(channel).unwrap();
    client.is_to(0, Ok(()));
    client.wait(Duration::ZERO);
    client.wait(250 * MS);
    assert_eq!(
        (client.log.all(), client.open()),
        (vec!["connect".into()], 1)
    );
}
