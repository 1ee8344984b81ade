//! Everything in one loop.
//!
//!     cargo run --release --example mixed -- [--listen ADDR] [--room ADDR] [--udp ADDR]
//!
//! One map with channels of every kind, which reach each other by handle:
//!
//! - a listener whose connections get their lines back,
//! - a raw UDP dispatcher that sends datagrams back,
//! - a room as in the example `chat`, small,
//! - a chat channel that connects to that room as a client,
//! - and a chat channel on standard input, which is no socket at all. It takes
//!   `list` (every channel of the map), `say TEXT` (as the client, in the room)
//!   and `quit`.

use std::io;
use std::rc::Rc;

use chat::{
    Address, AsyncChat, ChannelMap, Chat, ChatMap, CloseReason, Dispatcher, DispatcherHandler,
    Endpoint, FileWrapper, Handle, Limits, MessageHandler, Result, Stream, Terminator,
};
use examples::{Opt, Output, printable};

/// Listens, and gives each connection lines of its own kind.
struct Listener<H> {
    session: fn() -> H,
    limits: Rc<Limits>,
}

impl<H: MessageHandler> DispatcherHandler for Listener<H> {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        _addr: Address,
        _listener: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        let channel = AsyncChat::new(stream, Terminator::line(), (self.session)());
        map.insert(channel.limited(Rc::clone(&self.limits)))?;
        Ok(())
    }
}

/// Sends lines back.
struct Echo;

impl MessageHandler for Echo {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        chat.push(line);
        chat.push("\n");
        Ok(())
    }
}

/// Sends datagrams back.
struct UdpEcho;

impl DispatcherHandler for UdpEcho {
    fn handle_read(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        let mut buffer = map.buffers().read_buffer();
        let (len, from) = endpoint.recv_from(&mut buffer)?;
        // A source is easily forged. Our own, or another echo's, would answer for ever.
        let port = |address: &Address| address.as_inet().map(|address| address.port());
        if port(&from) == endpoint.local_addr().as_ref().and_then(port) {
            log::debug!("nothing sent to {from}: that is our own port");
            return Ok(());
        }
        // A datagram that cannot be sent is lost, as datagrams are.
        if let Err(error) = endpoint.send_to(&buffer[..len], &from) {
            log::debug!("nothing sent to {from}: {error}");
        }
        Ok(())
    }
}

/// A member of the room: all other members get what it says, escaped as in the example
/// `chat`. Nobody keeps a list: the map has one.
struct Member;

impl MessageHandler for Member {
    fn handle_message(&mut self, line: &[u8], _chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let said = format!("{}\n", printable(line));
        // The one that speaks is in its callback, and so is not found.
        for mut other in map.iter_mut::<AsyncChat<Member>>() {
            other.chat.push(&said);
        }
        Ok(())
    }
}

/// Prints the room's lines on standard output.
struct Client {
    stdout: Output,
}

impl MessageHandler for Client {
    fn handle_message(&mut self, line: &[u8], _chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let line = format!("room: {}\n", printable(line));
        self.stdout.print(line, map);
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _chat: &mut Chat, _map: &mut ChannelMap) {
        log::info!("the client left the room: {reason}");
    }
}

/// The command line.
struct Commands {
    client: Handle<AsyncChat<Client>>,
    stdout: Output,
}

impl MessageHandler for Commands {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let line = String::from_utf8_lossy(line);
        let print = |line: &str, map: &mut ChannelMap| {
            self.stdout.print(format!("{line}\n"), map);
        };
        match line.trim().split_once(' ') {
            Some(("say", text)) => {
                if map.push(self.client, format!("{text}\n")).is_err() {
                    print("the client has left", map);
                }
            }
            None if line.trim() == "list" => {
                let channels = map.iter();
                let lines = channels.map(|(token, channel)| format!("{token} {channel:?}"));
                for line in lines.collect::<Vec<_>>() {
                    print(&line, map);
                }
                // This one is in its callback, and so is not found.
                print(&format!("{} standard input", chat.token()), map);
            }
            None if line.trim() == "quit" => examples::shut_down(map),
            _ => print("list, say TEXT, or quit", map),
        }
        Ok(())
    }

    fn handle_eof(&mut self, chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        chat.close_with(CloseReason::Eof);
        Ok(())
    }
}

fn main() -> Result {
    let option = |name, default| Opt {
        name,
        ..Opt::listen(default)
    };
    let (mut map, stdout, [echo, room, udp]) = examples::start([
        option("listen", "127.0.0.1:7000"),
        option("room", "127.0.0.1:7001"),
        option("udp", "127.0.0.1:7002"),
    ])?;

    let listener = Listener {
        session: || Echo,
        limits: Rc::default(),
    };
    examples::listen(&echo, listener, stdout, &mut map)?;
    let mut limits = Limits::default();
    // Escaped, a line is up to six times as long. The client must still take it, and the
    // members all that is said in one turn.
    limits.message = 4096;
    limits.received_per_turn = 65_536;
    let listener = Listener {
        session: || Member,
        limits: Rc::new(limits),
    };
    let room = examples::listen(&room, listener, stdout, &mut map)?;
    let room_address = map.get(room)?.endpoint.local_addr();
    let room_address = room_address
        .and_then(|address| address.as_inet())
        .ok_or("the room has no address")?;

    let receiver = map
        .insert(Dispatcher::bind(&udp, UdpEcho))
        .map_err(|error| format!("cannot bind to {udp}: {error}"))?;
    let bound = map.get(receiver)?.endpoint.local_addr();
    let bound = bound.ok_or("no address")?;
    stdout.print(format!("receiving on {bound}\n"), &mut map);

    let client = Client { stdout };
    let client = map.insert(AsyncChat::connect(room_address, "\n", client))?;

    match FileWrapper::new(io::stdin()) {
        Ok(stdin) => {
            map.insert(AsyncChat::over(stdin, "\n", Commands { client, stdout }))?;
        }
        // A file, or /dev/null.
        Err(error) => log::warn!("no commands are read from standard input: {error}"),
    }
    map.run()
}
