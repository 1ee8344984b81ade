//! Channels over TLS, in one map, over sockets of the loopback.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use chat::{
    Address, AsyncChat, ChannelMap, Chat, CloseReason, Dispatcher, DispatcherHandler, Endpoint,
    MessageHandler, Result, Stream,
};
use tls::{Acceptor, Connector, Tls};

use crate::certificates;

type Log = Rc<RefCell<Vec<String>>>;

/// Repeats each line.
struct Echo(Log);

impl MessageHandler for Echo {
    fn handle_connect(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        let tls = chat.transport::<Tls>().unwrap();
        let name = tls.server_name().unwrap_or("-");
        self.0
            .borrow_mut()
            .push(format!("server: {name} {:?}", tls.version().unwrap()));
        chat.push("hello\n");
        Ok(())
    }
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        chat.push([line, b"\n"].concat());
        Ok(())
    }
    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        self.0.borrow_mut().push(format!("server: {reason:?}"));
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
        let stream = self.0.accept(stream);
        map.insert(AsyncChat::new(stream, "\n", Echo(Rc::clone(&self.1))))?;
        Ok(())
    }
}

struct Client(Log);

impl MessageHandler for Client {
    fn handle_connect(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        assert!(!chat.endpoint().connecting());
        self.0.borrow_mut().push("client: connected".into());
        chat.push("over TLS\n");
        Ok(())
    }
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0
            .borrow_mut()
            .push(format!("client: {}", String::from_utf8_lossy(line)));
        if line != b"hello" {
            chat.close_when_done();
        }
        Ok(())
    }
    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        self.0.borrow_mut().push(format!("client: {reason:?}"));
    }
}

#[test]
fn a_line_goes_there_and_back() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let server = Server(Acceptor::new(certificates::server()), Rc::clone(&log));
    let server = map
        .insert(Dispatcher::listen("127.0.0.1:0", server))
        .unwrap();
    let port = map.get(server).unwrap().endpoint.local_addr().unwrap();
    let port = port.as_inet().unwrap().port();
    let client = Connector::new(certificates::client()).connect("localhost", port);
    map.insert(AsyncChat::new(client, "\n", Client(Rc::clone(&log))))
        .unwrap();
    while log.borrow().len() < 6 {
        map.turn(Some(Duration::from_secs(10))).unwrap();
    }
    let mut log = log.borrow().clone();
    log.sort();
    assert_eq!(
        log,
        [
            "client: Done",
            "client: connected",
            "client: hello",
            "client: over TLS",
            "server: Eof",
            "server: localhost TLSv1_3"
        ]
    );
}
