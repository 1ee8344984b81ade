//! Sends every line back as it came.
//!
//!     cargo run --release --example echo -- [--listen ADDR] [--tls-cert FILE --tls-key FILE]

use chat::{
    Address, AsyncChat, ChannelMap, Chat, DispatcherHandler, Endpoint, MessageHandler, Result,
    Stream,
};
use examples::{Opt, Security, TLS_CERT, TLS_KEY};

struct Server(Security);

impl DispatcherHandler for Server {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        addr: Address,
        _server: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        log::debug!("connection from {addr}");
        map.insert(AsyncChat::new(self.0.accept(stream), "\n", Echo))?;
        Ok(())
    }
}

struct Echo;

impl MessageHandler for Echo {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        chat.push(line);
        chat.push(b"\n");
        Ok(())
    }
}

fn main() -> Result {
    let options = [Opt::listen("127.0.0.1:7000"), TLS_CERT, TLS_KEY];
    let (mut map, stdout, [address, certificates, key]) = examples::start(options)?;
    let server = Server(Security::new(&certificates, &key)?);
    examples::listen(&address, server, stdout, &mut map)?;
    map.run()
}
