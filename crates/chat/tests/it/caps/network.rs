//! A network whose clients come from wherever a test says.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chat::{
    Address, ChannelMap, ChatMap, DatagramSocket, Dispatcher, DispatcherHandler, Limits, Listener,
    Network, Readiness, Registration, Stream, Token, Transport,
};

/// A map in such a network, with a listener.
pub(super) struct Crowd {
    pub(super) map: ChannelMap,
    pub(super) server: Token,
    waiting: Waiting,
}

type Waiting = Arc<Mutex<VecDeque<(Client, Address)>>>;

/// The test's end of a connection. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Client(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    inbound: VecDeque<u8>,
    is_eof: bool,
    sent: Vec<u8>,
    is_shut: bool,
    is_gone: bool,
    channel: Option<Token>,
}

impl Crowd {
    pub(super) fn new(server: impl DispatcherHandler, limits: Limits) -> Self {
        let waiting = Waiting::default();
        let mut map = ChannelMap::new().unwrap();
        map.set_network(Net(Arc::clone(&waiting)));
        let server = Dispatcher::listen("10.0.0.1:1", server).limited(limits);
        let server = map.insert(server).unwrap().token();
        Self {
            map,
            server,
            waiting,
        }
    }

    /// A client connects from this address.
    pub(super) fn come(&mut self, from: &str) -> Client {
        let client = Client::default();
        let from = SocketAddr::new(from.parse().unwrap(), 9);
        let mut waiting = self.waiting.lock().unwrap();
        waiting.push_back((client.clone(), from.into()));
        drop(waiting);
        self.map.dispatch(self.server, Readiness::READABLE);
        client
    }

    /// The same, and the server has heard of it.
    pub(super) fn enter(&mut self, from: &str) -> Client {
        let client = self.come(from);
        self.pass(Duration::ZERO);
        client
    }

    /// The client says so, and the server hears it a second later.
    pub(super) fn say(&mut self, client: &Client, words: &str) {
        self.say_after(client, words, Duration::from_secs(1));
    }

    /// The same, so much later.
    pub(super) fn say_after(&mut self, client: &Client, words: &str, time: Duration) {
        let channel = {
            let mut state = client.0.lock().unwrap();
            state.inbound.extend(words.bytes());
            state.channel.unwrap()
        };
        self.map.dispatch(channel, Readiness::READABLE);
        self.pass(time);
    }

    /// The client closes its end.
    pub(super) fn leave(&mut self, client: &Client) {
        client.0.lock().unwrap().is_eof = true;
        let channel = client.0.lock().unwrap().channel.unwrap();
        self.map.dispatch(channel, Readiness::READABLE);
        self.pass(Duration::ZERO);
    }

    /// Turns to rest, so much later.
    pub(super) fn pass(&mut self, time: Duration) {
        let now = self.map.now() + time;
        let mut quiet = 0;
        while quiet < 2 {
            quiet = match self.map.turn_at(now).unwrap() {
                0 => quiet + 1,
                _ => 0,
            };
        }
    }
}

impl Client {
    pub(super) fn take_sent(&self) -> String {
        let sent = std::mem::take(&mut self.0.lock().unwrap().sent);
        String::from_utf8(sent).unwrap()
    }

    /// Whether it was told the end, or the connection is gone.
    pub(super) fn is_ended(&self) -> bool {
        let state = self.0.lock().unwrap();
        state.is_shut || state.is_gone
    }

    pub(super) fn is_gone(&self) -> bool {
        self.0.lock().unwrap().is_gone
    }
}

#[derive(Debug)]
struct Net(Waiting);

#[derive(Debug)]
struct Door(Waiting);

#[derive(Debug)]
struct Line(Client);

impl Drop for Line {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().is_gone = true;
    }
}

impl Network for Net {
    fn resolve(&mut self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        Err(ErrorKind::NotFound.into())
    }

    fn listen(&mut self, _: &Address) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(Door(Arc::clone(&self.0))))
    }

    fn connect(&mut self, _: &Address) -> io::Result<Box<dyn Transport>> {
        Err(ErrorKind::ConnectionRefused.into())
    }

    fn bind(&mut self, _: &Address) -> io::Result<Box<dyn DatagramSocket>> {
        Err(ErrorKind::Unsupported.into())
    }
}

impl Listener for Door {
    fn enter(&mut self, _: Token) {}

    fn accept(&mut self) -> io::Result<(Stream, Address)> {
        let waiting = self.0.lock().unwrap().pop_front();
        let (client, from) = waiting.ok_or(ErrorKind::WouldBlock)?;
        Ok((Stream::over(Line(client)), from))
    }

    fn has_input(&self) -> bool {
        !self.0.lock().unwrap().is_empty()
    }

    fn local_addr(&self) -> Option<Address> {
        None
    }
}

impl Transport for Line {
    fn enter(&mut self, me: Token) {
        self.0.0.lock().unwrap().channel = Some(me);
    }

    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.0.0.lock().unwrap();
        let len = buffer.len().min(state.inbound.len());
        for (to, from) in buffer.iter_mut().zip(state.inbound.drain(..len)) {
            *to = from;
        }
        match (len, state.is_eof) {
            (0, false) => Err(ErrorKind::WouldBlock.into()),
            _ => Ok(len),
        }
    }

    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let sent = &mut self.0.0.lock().unwrap().sent;
        slices
            .iter()
            .for_each(|slice| sent.extend_from_slice(slice));
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.0.0.lock().unwrap().is_shut = true;
        Ok(())
    }
}
