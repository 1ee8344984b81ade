//! A handshake that comes to nothing ends in time, for its reason; meanwhile the loop rests.

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use chat::{
    AsyncChat, ChannelMap, Chat, CloseReason, Endpoint, MessageHandler, Readiness, Result, Token,
};
use tls::rustls::{ClientConnection, Connection, ServerConnection};
use tls::{Acceptor, Connector};

use crate::certificates;
use crate::pipe::{Flow, Pipe};

const SECOND: Duration = Duration::from_secs(1);

type Log = Rc<RefCell<Vec<String>>>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Server,
    Client,
    /// A server and a client that begin in the clear.
    LateServer,
    LateClient,
}

const SIDES: [Side; 4] = [
    Side::Server,
    Side::Client,
    Side::LateServer,
    Side::LateClient,
];

/// Notes whatever happens.
struct Probe(Log);

impl MessageHandler for Probe {
    fn handle_connect(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.borrow_mut().push("connect".into());
        Ok(())
    }
    fn handle_message(&mut self, line: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0
            .borrow_mut()
            .push(String::from_utf8_lossy(line).into());
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
struct Rig {
    map: ChannelMap,
    me: Token,
    to: Rc<RefCell<Flow>>,
    from: Rc<RefCell<Flow>>,
    peer: Connection,
    log: Log,
}

impl Rig {
    fn new(side: Side) -> Self {
        println!("{side:?}"); // of a test that fails, the last one
        let (pipe, far) = Pipe::pair(usize::MAX, usize::MAX);
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let acceptor = Acceptor::new(certificates::server());
        let connector = Connector::new(certificates::client());
        let endpoint = match side {
            Side::Server => acceptor.accept(Endpoint::over(pipe)),
            Side::Client => connector.over("localhost", Endpoint::over(pipe)),
            Side::LateServer | Side::LateClient => Endpoint::over(pipe),
        };
        let channel = AsyncChat::new(endpoint, "\n", Probe(Rc::clone(&log)));
        let me = map.insert(channel).unwrap();
        map.turn_at(map.now()).unwrap();
        map.turn_at(map.now()).unwrap();
        let chat = &mut map.get_mut(me).unwrap().chat;
        match side {
            Side::LateServer => acceptor.start_tls(chat).unwrap(),
            Side::LateClient => connector.start_tls("localhost", chat).unwrap(),
            _ => {}
        }
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
        let mut rig = Self {
            map,
            me: me.into(),
            to: far.outbound,
            from: far.inbound,
            peer,
            log,
        };
        rig.turn(Duration::ZERO);
        rig
    }

    /// Turns until there is nothing to do, after so much time; returns in how many turns.
    fn turn(&mut self, time: Duration) -> usize {
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
    fn words(&mut self) -> Vec<u8> {
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

    fn say(&mut self, words: &[u8]) {
        self.to.borrow_mut().bytes.extend(words);
        self.turn(Duration::ZERO);
    }

    fn log(&self) -> Vec<String> {
        self.log.borrow().clone()
    }
}

#[test]
fn a_peer_that_falls_silent_is_given_up_after_ten_seconds() {
    for side in SIDES {
        for part in 0..4 {
            let mut rig = Rig::new(side);
            let words = rig.words();
            // A server's words are all that a client needs.
            let is_last = matches!(side, Side::Client | Side::LateClient);
            let said = [0, 1, words.len() / 2, words.len() - usize::from(is_last)][part];
            rig.say(&words[..said]);
            assert!(rig.turn(9 * SECOND) <= 3, "it rests");
            assert_eq!(rig.log(), [""; 0]);
            rig.turn(SECOND);
            assert_eq!(rig.log(), ["Missed(Handshake)"]);
            assert_eq!((rig.map.len(), rig.map.timers()), (0, 0));
        }
    }
}

#[test]
fn a_handshake_byte_by_byte_is_one() {
    for side in SIDES {
        let mut rig = Rig::new(side);
        while rig.peer.is_handshaking() {
            for byte in rig.words() {
                rig.say(&[byte]);
            }
        }
        rig.peer.writer().write_all(b"hello\n").unwrap();
        for byte in rig.words() {
            rig.say(&[byte]);
        }
        let expected = match side {
            Side::Server | Side::Client => &["connect", "hello"][..],
            Side::LateServer | Side::LateClient => &["hello"],
        };
        assert_eq!(rig.log(), expected);
        rig.turn(20 * SECOND);
        assert_eq!(rig.log(), expected);
        assert_eq!(rig.map.timers(), 0);
    }
}

#[test]
fn garbage_and_an_early_end_and_a_reset_close_the_channel_at_once() {
    for side in SIDES {
        for (what, reason) in [
            ("garbage", "Io(InvalidData)"),
            ("end", "Io(UnexpectedEof)"),
            ("reset", "Io(ConnectionReset)"),
        ] {
            let mut rig = Rig::new(side);
            let words = rig.words();
            rig.say(&words[..words.len() / 2]);
            match what {
                "garbage" => rig.say(&[0x55; 20_000]),
                "end" => rig.to.borrow_mut().is_shut = true,
                _ => rig.to.borrow_mut().error = Some(ErrorKind::ConnectionReset),
            }
            rig.turn(Duration::ZERO);
            assert_eq!(rig.log(), [reason], "{what}");
            assert_eq!((rig.map.len(), rig.map.timers()), (0, 0));
            if what == "garbage" {
                assert!(!rig.from.borrow().bytes.is_empty(), "an alert");
            }
        }
    }
}

#[test]
fn a_drain_or_a_close_in_the_middle_ends_it() {
    for side in SIDES {
        let mut rig = Rig::new(side);
        rig.map.shut_down(rig.map.after(5 * SECOND));
        rig.turn(6 * SECOND);
        assert_eq!(rig.log(), ["Shutdown"]);
        let mut rig = Rig::new(side);
        rig.map.close(rig.me);
        rig.turn(Duration::ZERO);
        assert_eq!(rig.log(), ["Requested"]);
        assert_eq!((rig.map.len(), rig.map.timers()), (0, 0));
    }
}

#[test]
fn what_is_pushed_in_the_clear_leaves_before_and_what_follows_goes_through_tls() {
    for side in [Side::LateServer, Side::LateClient] {
        let mut rig = Rig::new(side);
        let me = rig.me.handle::<AsyncChat<Probe>>();
        rig.map.get_mut(me).unwrap().chat.push("secret\n");
        rig.turn(Duration::ZERO);
        while rig.peer.is_handshaking() {
            let words = rig.words();
            rig.say(&words);
        }
        rig.words();
        let mut heard = [0; 100];
        assert_eq!(rig.peer.reader().read(&mut heard).unwrap(), 7);
        assert_eq!(&heard[..7], b"secret\n");
    }
}
