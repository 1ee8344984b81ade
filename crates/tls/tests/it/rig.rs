//! A channel that shakes hands, the peer's end of its pipe, and the clock.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::time::Duration;

use chat::{
    AsyncChat, ChannelMap, Chat, CloseReason, Endpoint, Limits, MessageHandler, Readiness, Result,
    Token,
};
use tls::rustls::{ClientConnection, Connection, ServerConnection};
use tls::{Acceptor, Connector};

use crate::certificates;
use crate::pipe::{Flow, Pipe};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) type Log = Rc<RefCell<Vec<String>>>;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Side {
    Server,
    Client,
    /// A server and a client that begin in the clear.
    LateServer,
    LateClient,
}

pub(crate) const SIDES: [Side; 4] = [
    Side::Server,
    Side::Client,
    Side::LateServer,
    Side::LateClient,
];

/// Notes whatever happens. `STARTTLS` starts it, if that is the side to do so.
pub(crate) struct Probe(pub(crate) Log, pub(crate) Side);

impl MessageHandler for Probe {
    fn handle_connect(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.borrow_mut().push("connect".into());
        Ok(())
    }
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0
            .borrow_mut()
            .push(String::from_utf8_lossy(line).into());
        if line == b"STARTTLS" {
            chat.push("go ahead\n");
            start_tls(self.1, chat);
        }
        Ok(())
    }
    fn handle_eof(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.borrow_mut().push("eof".into());
        chat.close_when_done();
        Ok(())
    }
    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        let reason = match reason {
            CloseReason::Io(error) => format!("Io({:?})", error.kind()),
            reason => format!("{reason:?}"),
        };
        self.0.borrow_mut().push(reason);
    }
}

/// A channel that is to shake hands, and the peer's end of its pipe.
pub(crate) struct Rig {
    pub(crate) map: ChannelMap,
    pub(crate) me: Token,
    pub(crate) to: Rc<RefCell<Flow>>,
    pub(crate) from: Rc<RefCell<Flow>>,
    pub(crate) peer: Connection,
    pub(crate) log: Log,
    side: Side,
}

impl Rig {
    /// The handshake has begun.
    pub(crate) fn new(side: Side) -> Self {
        let mut rig = Self::in_the_clear(side, Limits::default());
        rig.start_tls();
        rig.turn(Duration::ZERO);
        rig
    }

    /// The same, but a late side has not begun.
    pub(crate) fn in_the_clear(side: Side, limits: Limits) -> Self {
        println!("{side:?}"); // of a test that fails, the last one
        let (pipe, far) = Pipe::pair(usize::MAX, usize::MAX);
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let endpoint = match side {
            Side::Server => acceptor().accept(Endpoint::over(pipe)),
            Side::Client => connector().over("localhost", Endpoint::over(pipe)),
            Side::LateServer | Side::LateClient => Endpoint::over(pipe),
        };
        let channel = AsyncChat::new(endpoint, "\n", Probe(Rc::clone(&log), side)).limited(limits);
        let me = map.insert(channel).unwrap();
        map.turn_at(map.now()).unwrap();
        map.turn_at(map.now()).unwrap();
        log.borrow_mut().clear();
        let peer = match side {
            Side::Server | Side::LateServer => {
                let name = "localhost".try_into().unwrap();
                ClientConnection::new(certificates::client(), name)
                    .unwrap()
                    .into()
            }
            Side::Client | Side::LateClient => {
                Connection::from(ServerConnection::new(certificates::server()).unwrap())
            }
        };
        Self {
            map,
            me: me.into(),
            to: far.outbound,
            from: far.inbound,
            peer,
            log,
            side,
        }
    }

    pub(crate) fn start_tls(&mut self) {
        let side = self.side;
        self.chat(|chat| start_tls(side, chat));
    }

    /// Whatever a program does to its channel.
    pub(crate) fn chat<T>(&mut self, f: impl FnOnce(&mut Chat) -> T) -> T {
        let me = self.me.handle::<AsyncChat<Probe>>();
        f(&mut self.map.get_mut(me).unwrap().chat)
    }

    /// What has left in the clear.
    pub(crate) fn clear(&mut self) -> String {
        let bytes: Vec<u8> = self.from.borrow_mut().bytes.drain(..).collect();
        String::from_utf8(bytes).unwrap()
    }

    /// Has both sides talk until neither has a word to say.
    pub(crate) fn talk(&mut self) {
        loop {
            let words = self.words();
            if words.is_empty() {
                return;
            }
            self.say(&words);
        }
    }

    /// Has the peer say this by TLS.
    pub(crate) fn whisper(&mut self, text: &str) {
        self.peer.writer().write_all(text.as_bytes()).unwrap();
        self.talk();
    }

    /// What the peer has heard by TLS.
    pub(crate) fn heard(&mut self) -> String {
        let mut heard = vec![0; 1 << 20];
        let len = self.peer.reader().read(&mut heard).unwrap_or(0);
        String::from_utf8_lossy(&heard[..len]).into()
    }

    /// Turns until there is nothing to do, after so much time; returns in how many turns.
    pub(crate) fn turn(&mut self, time: Duration) -> usize {
        self.map.turn_at(self.map.now() + time).unwrap();
        let mut turns = 1;
        loop {
            let mut readiness = Readiness::WRITABLE;
            let flow = self.to.borrow();
            if !flow.bytes.is_empty() || flow.is_shut || flow.error.is_some() {
                readiness |= Readiness::READABLE;
            }
            drop(flow);
            self.map.dispatch(self.me, readiness);
            turns += 1;
            assert!(turns < 1_000, "it does not rest");
            if self.map.turn_at(self.map.now()).unwrap() == 0 {
                return turns;
            }
        }
    }

    /// What the peer has to say.
    pub(crate) fn words(&mut self) -> Vec<u8> {
        let mut said = Vec::new();
        let heard: Vec<u8> = self.from.borrow_mut().bytes.drain(..).collect();
        let mut heard = &heard[..];
        while !heard.is_empty() {
            self.peer.read_tls(&mut heard).unwrap();
            self.peer.process_new_packets().unwrap();
        }
        while self.peer.wants_write() {
            self.peer.write_tls(&mut said).unwrap();
        }
        said
    }

    pub(crate) fn say(&mut self, words: &[u8]) {
        self.to.borrow_mut().bytes.extend(words);
        self.turn(Duration::ZERO);
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.borrow().clone()
    }
}

pub(crate) fn acceptor() -> Acceptor {
    Acceptor::new(certificates::server())
}

pub(crate) fn connector() -> Connector {
    Connector::new(certificates::client())
}

/// Nothing, of a side that has TLS from the beginning.
pub(crate) fn start_tls(side: Side, chat: &mut Chat) {
    match side {
        Side::LateServer => acceptor().start_tls(chat).unwrap(),
        Side::LateClient => connector().start_tls("localhost", chat).unwrap(),
        Side::Server | Side::Client => {}
    }
}
