//! A dispatcher over TLS: it hears of the connection when the handshake is done, whatever it
//! asks for meanwhile.

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;

use chat::{
    ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint, More, Producer, Readiness,
    Result, Token,
};
use tls::Tls;
use tls::rustls::{ClientConnection, Connection, ServerConnection};

use crate::certificates;
use crate::pipe::{Flow, Pipe};
use crate::rig::{Log, acceptor, connector};

/// Reads only when it may.
struct Reader {
    log: Log,
    may_read: Rc<RefCell<bool>>,
}

impl Reader {
    fn note(&self, line: impl Into<String>) -> Result {
        self.log.borrow_mut().push(line.into());
        Ok(())
    }
}

impl DispatcherHandler for Reader {
    fn readable(&self, _: &Endpoint) -> bool {
        *self.may_read.borrow()
    }
    fn handle_connect(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.note("connect")
    }
    fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        let mut buffer = [0; 100];
        let len = endpoint.recv(&mut buffer)?;
        self.note(String::from_utf8_lossy(&buffer[..len]))
    }
    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        let reason = match reason {
            CloseReason::Io(error) => format!("Io({:?})", error.kind()),
            reason => format!("{reason:?}"),
        };
        let _ = self.note(reason);
    }
}

struct Rig {
    map: ChannelMap,
    me: Token,
    to: Rc<RefCell<Flow>>,
    from: Rc<RefCell<Flow>>,
    peer: Connection,
    log: Log,
    may_read: Rc<RefCell<bool>>,
}

impl Rig {
    fn new(is_server: bool, is_late: bool, may_read: bool) -> Self {
        println!("server: {is_server}, late: {is_late}");
        let (pipe, far) = Pipe::pair(usize::MAX, usize::MAX);
        let endpoint = match (is_late, is_server) {
            (true, _) => Endpoint::over(pipe),
            (false, true) => acceptor().accept(Endpoint::over(pipe)),
            (false, false) => connector().over("localhost", Endpoint::over(pipe)),
        };
        let (log, may_read) = (Log::default(), Rc::new(RefCell::new(may_read)));
        let handler = Reader {
            log: Rc::clone(&log),
            may_read: Rc::clone(&may_read),
        };
        let mut map = ChannelMap::new().unwrap();
        let me = map
            .insert(Dispatcher::new(endpoint, handler))
            .unwrap()
            .into();
        let name = "localhost".try_into().unwrap();
        let peer = match is_server {
            true => Connection::from(ClientConnection::new(certificates::client(), name).unwrap()),
            false => ServerConnection::new(certificates::server())
                .unwrap()
                .into(),
        };
        let (to, from) = (far.outbound, far.inbound);
        let mut rig = Self {
            map,
            me,
            to,
            from,
            peer,
            log,
            may_read,
        };
        rig.turn();
        rig
    }

    fn endpoint<T>(&mut self, f: impl FnOnce(&mut Endpoint) -> T) -> T {
        let me = self.me.handle::<Dispatcher<Reader>>();
        f(&mut self.map.get_mut(me).unwrap().endpoint)
    }

    /// As a program does that has a dispatcher.
    fn put_tls(&mut self, is_server: bool) {
        self.endpoint(|endpoint| {
            let put = endpoint.put_layer(move |lower| {
                let name = "localhost".try_into().unwrap();
                Ok(Box::new(match is_server {
                    true => Tls::new(
                        lower,
                        ServerConnection::new(certificates::server()).unwrap(),
                    ),
                    false => {
                        let client = ClientConnection::new(certificates::client(), name);
                        Tls::new(lower, client.unwrap())
                    }
                }))
            });
            put.unwrap();
        });
    }

    fn turn(&mut self) {
        for _ in 0..100 {
            let mut readiness = Readiness::WRITABLE;
            let flow = self.to.borrow();
            if !flow.bytes.is_empty() || flow.is_shut {
                readiness |= Readiness::READABLE;
            }
            drop(flow);
            self.map.dispatch(self.me, readiness);
            if self.map.turn_at(self.map.now()).unwrap() == 0 {
                return;
            }
        }
        panic!("it does not rest");
    }

    fn talk(&mut self) {
        loop {
            let heard: Vec<u8> = self.from.borrow_mut().bytes.drain(..).collect();
            let mut heard = &heard[..];
            while !heard.is_empty() {
                self.peer.read_tls(&mut heard).unwrap();
                self.peer.process_new_packets().unwrap();
            }
            let mut said = Vec::new();
            while self.peer.wants_write() {
                self.peer.write_tls(&mut said).unwrap();
            }
            if said.is_empty() {
                return;
            }
            self.to.borrow_mut().bytes.extend(said);
            self.turn();
        }
    }
}

#[test]
fn one_that_reads_nothing_shakes_hands() {
    for is_server in [true, false] {
        for is_late in [false, true] {
            let mut rig = Rig::new(is_server, is_late, false);
            if is_late {
                rig.put_tls(is_server);
                rig.turn();
            }
            rig.talk();
            assert!(!rig.peer.is_handshaking());
            assert_eq!(*rig.log.borrow(), ["connect"]);
            rig.peer.writer().write_all(b"hello").unwrap();
            rig.talk();
            assert_eq!(*rig.log.borrow(), ["connect"]);
            *rig.may_read.borrow_mut() = true;
            rig.endpoint(|endpoint| endpoint.push("hello, too"));
            rig.turn();
            assert_eq!(*rig.log.borrow(), ["connect", "hello"]);
            rig.talk();
            let mut heard = [0; 100];
            assert_eq!(rig.peer.reader().read(&mut heard).unwrap(), 10);
        }
    }
}

#[test]
fn a_handshake_that_fails_closes_it() {
    for is_server in [true, false] {
        for (is_late, may_read) in [(false, false), (true, false), (true, true)] {
            let mut rig = Rig::new(is_server, is_late, may_read);
            if is_late {
                rig.put_tls(is_server);
                rig.turn();
            }
            rig.to.borrow_mut().bytes.extend([0x55; 20_000]);
            rig.turn();
            assert_eq!(rig.log.borrow().last().unwrap(), "Io(InvalidData)");
            assert_eq!((rig.map.len(), rig.map.timers()), (0, 0));
        }
    }
}

#[test]
fn the_last_words_and_the_end_are_told() {
    for is_server in [true, false] {
        for is_late in [false, true] {
            let mut rig = Rig::new(is_server, is_late, true);
            if is_late {
                rig.put_tls(is_server);
                rig.turn();
            }
            rig.talk();
            rig.peer.writer().write_all(b"hello").unwrap();
            rig.peer.send_close_notify();
            rig.talk();
            assert_eq!(rig.log.borrow()[1..], ["hello", "", "Eof"]);
        }
    }
}

/// Says nothing yet.
struct Never;

impl Producer for Never {
    fn more(&mut self, _: &mut Vec<u8>, _: usize) -> std::io::Result<More> {
        Ok(More::Later)
    }
}

#[test]
fn while_the_layer_waits_nothing_is_received() {
    for is_server in [true, false] {
        let mut rig = Rig::new(is_server, true, true);
        rig.endpoint(|endpoint| endpoint.push_with_producer(Never));
        rig.put_tls(is_server);
        rig.to.borrow_mut().bytes.extend(b"INJECTED");
        rig.turn();
        let received = rig.endpoint(|endpoint| endpoint.recv(&mut [0; 100]));
        assert_eq!(received.unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(*rig.log.borrow(), ["connect"]);
    }
}
