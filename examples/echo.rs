//! Sends every line back as it came.
//!
//!     cargo run --release --example echo -- [--listen ADDR]

use chat::{
    Address, AsyncChat, ChannelMap, Chat, DispatcherHandler, Endpoint, MessageHandler, Result,
    Stream,
};
use examples::Opt;

struct Server;

impl DispatcherHandler for Server {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        addr: Address,
        _server: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        log::debug!("connection from {addr}");
        map.insert(AsyncChat::new(stream, "\n", Echo))?;
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
    let (mut map, stdout, [address]) = examples::start([Opt::listen("127.0.0.1:7000")])?;
    examples::listen(&address, Server, stdout, &mut map)?;
    map.run()
}
