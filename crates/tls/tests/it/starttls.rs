//! TLS that begins in the middle of a conversation.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use chat::{
    Address, AsyncChat, ChannelMap, Chat, CloseReason, Dispatcher, DispatcherHandler, Endpoint,
    MessageHandler, Result, Stream,
};
use tls::{Acceptor, Connector, Tls};

use crate::certificates;

type Log = Rc<RefCell<Vec<String>>>;

fn note(log: &Log, line: impl Into<String>) {
    log.borrow_mut().push(line.into());
}

/// A server that begins in the clear.
struct Session(Acceptor, Log);

impl MessageHandler for Session {
    fn handle_connect(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        chat.push("220 here\r\n");
        Ok(())
    }
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        let is_secure = chat.transport::<Tls>().is_some();
        note(
            &self.1,
            format!("{} {is_secure}", String::from_utf8_lossy(line)),
        );
        match line {
            b"STARTTLS" if chat.undelivered() == 0 => {
                chat.push("220 go ahead\r\n");
                self.0.start_tls(chat)?;
            }
            b"STARTTLS" => {
                let refused = self.0.start_tls(chat).unwrap_err();
                chat.push(format!("554 {refused}\r\n"));
                chat.close_when_done();
            }
            b"QUIT" => {
                chat.push("221 bye\r\n");
                chat.close_when_done();
            }
            _ => {
                chat.push("250 fine\r\n");
            }
        }
        Ok(())
    }
    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        note(&self.1, format!("server {reason:?}"));
    }
}

struct Server(Acceptor, Log);

impl DispatcherHandler for Server {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        _: Address,
        _: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        let session = Session(self.0.clone(), Rc::clone(&self.1));
        map.insert(AsyncChat::new(stream, "\r\n", session))?;
        Ok(())
    }
}

struct Client(Connector, Log);

impl MessageHandler for Client {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        let is_secure = chat.transport::<Tls>().is_some();
        note(
            &self.1,
            format!("client: {} {is_secure}", String::from_utf8_lossy(line)),
        );
        match line {
            b"220 here" => drop(chat.push("STARTTLS\r\n")),
            b"220 go ahead" => {
                self.0.start_tls("localhost", chat)?;
                chat.push("HELLO\r\n");
            }
            b"250 fine" => drop(chat.push("QUIT\r\n")),
            _ => {}
        }
        Ok(())
    }
    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        note(&self.1, format!("client {reason:?}"));
    }
}

fn serve(log: &Log) -> (ChannelMap, u16) {
    let mut map = ChannelMap::new().unwrap();
    let server = Server(Acceptor::new(certificates::server()), Rc::clone(log));
    let server = map
        .insert(Dispatcher::listen("127.0.0.1:0", server))
        .unwrap();
    let address = map.get(server).unwrap().endpoint.local_addr().unwrap();
    (map, address.as_inet().unwrap().port())
}

fn turn_until(map: &mut ChannelMap, log: &Log, what: &str) {
    while !log.borrow().iter().any(|line| line.starts_with(what)) {
        assert_ne!(
            map.turn(Some(Duration::from_secs(10))).unwrap(),
            0,
            "{log:?}"
        );
    }
}

#[test]
fn both_sides_go_on_in_tls_after_what_was_said_in_the_clear() {
    let log = Log::default();
    let (mut map, port) = serve(&log);
    let connector = Connector::new(certificates::client());
    let client = AsyncChat::connect(
        ("127.0.0.1", port),
        "\r\n",
        Client(connector, Rc::clone(&log)),
    );
    map.insert(client).unwrap();
    turn_until(&mut map, &log, "client Eof");
    let log = log.borrow();
    let log: Vec<_> = log
        .iter()
        .filter(|line| !line.starts_with("server"))
        .collect();
    assert_eq!(
        log,
        [
            "client: 220 here false",
            "STARTTLS false",
            "client: 220 go ahead false",
            "HELLO true",
            "client: 250 fine true",
            "QUIT true",
            "client: 221 bye true",
            "client Eof",
        ]
    );
}

#[test]
fn input_that_came_before_is_refused_by_its_length() {
    for (said, bytes) in [("STARTTLS\r\nINJECTED\r\n", 10), ("STARTTLS\r\n\r", 1)] {
        let log = Log::default();
        let (mut map, port) = serve(&log);
        let mut peer = TcpStream::connect(("127.0.0.1", port)).unwrap();
        peer.write_all(said.as_bytes()).unwrap();
        turn_until(&mut map, &log, "STARTTLS");
        map.turn(Some(Duration::ZERO)).unwrap();
        let mut answer = String::new();
        peer.read_to_string(&mut answer).unwrap();
        let refusal = format!("220 here\r\n554 {bytes} bytes of input came before their time\r\n");
        assert_eq!(answer, refusal);
    }
}
