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

use std::io::{self, Write};
use std::net::UdpSocket;

use chat::{
    Address, AsyncChat, ChannelMap, Chat, CloseReason, Dispatcher, DispatcherHandler, Endpoint,
    FileWrapper, Handle, MessageHandler, Result, Socket,
};
use examples::Opt;

/// Listens, and gives each connection lines of its own kind.
struct Listener<H> {
    session: fn(&Endpoint) -> H,
}

impl<H: MessageHandler> DispatcherHandler for Listener<H> {
    fn handle_accepted(
        &mut self,
        socket: Socket,
        _addr: Address,
        listener: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        let session = (self.session)(listener);
        map.insert(AsyncChat::new(socket, "\n", session)?)?;
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
        // A datagram that cannot be sent is lost, as datagrams are.
        if let Err(error) = endpoint.send_to(&buffer[..len], &from) {
            log::debug!("nothing sent to {from}: {error}");
        }
        Ok(())
    }
}

/// A member of the room: all other members get what it says. Nobody keeps a
/// list: the map has one.
struct Member;

impl MessageHandler for Member {
    fn handle_message(&mut self, line: &[u8], _chat: &mut Chat, map: &mut ChannelMap) -> Result {
        // The one that speaks is in its callback, and so is not found.
        for mut other in map.iter_mut::<AsyncChat<Member>>() {
            other.chat.push(line);
            other.chat.push("\n");
        }
        Ok(())
    }
}

/// What the room says to us goes to standard output.
struct Client;

impl MessageHandler for Client {
    fn handle_message(&mut self, line: &[u8], _chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        print(&format!("room: {}", String::from_utf8_lossy(line)))
    }

    fn handle_close(&mut self, reason: CloseReason, _chat: &mut Chat, _map: &mut ChannelMap) {
        log::info!("the client left the room: {reason}");
    }
}

/// The command line.
struct Commands {
    client: Handle<AsyncChat<Client>>,
}

impl MessageHandler for Commands {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let line = String::from_utf8_lossy(line);
        match line.trim().split_once(' ') {
            Some(("say", text)) => match map.get_mut(self.client) {
                Some(client) => writeln!(client.chat, "{text}")?,
                None => print("the client has left")?,
            },
            None if line.trim() == "list" => {
                for (token, channel) in map.iter() {
                    print(&format!("{token} {channel:?}"))?;
                }
                // This one is in its callback, and so is not found.
                print(&format!("{} standard input", chat.token()))?;
            }
            None if line.trim() == "quit" => examples::shut_down(map),
            _ => print("list, say TEXT, or quit")?,
        }
        Ok(())
    }

    fn handle_eof(&mut self, chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        chat.close_with(CloseReason::Eof);
        Ok(())
    }
}

fn print(line: &str) -> Result {
    writeln!(io::stdout(), "{line}")?;
    Ok(())
}

fn main() -> Result {
    let option = |name, default| Opt {
        name,
        value: "ADDR  IP:PORT; port 0 asks for a free one",
        default: Some(default),
    };
    let [echo, room, udp] = examples::options([
        option("listen", "127.0.0.1:7000"),
        option("room", "127.0.0.1:7001"),
        option("udp", "127.0.0.1:7002"),
    ]);
    let mut map = ChannelMap::new()?;
    examples::end_on_signals(&mut map)?;

    map.insert(examples::listen(&echo, Listener { session: |_| Echo })?)?;

    let room = examples::listen(
        &room,
        Listener {
            session: |_| Member,
        },
    )?;
    let room_address = room
        .endpoint
        .local_addr()
        .and_then(|address| address.as_inet());
    let room_address = room_address.ok_or("the room has no address")?;
    map.insert(room)?;

    let udp = UdpSocket::bind(&udp).map_err(|error| format!("cannot bind to {udp}: {error}"))?;
    print(&format!("receiving on {}", udp.local_addr()?))?;
    map.insert(Dispatcher::new(udp, UdpEcho)?)?;

    let client = map.insert(AsyncChat::connect(room_address, "\n", Client)?)?;

    match FileWrapper::new(io::stdin()) {
        Ok(stdin) => {
            map.insert(AsyncChat::over(stdin, "\n", Commands { client }))?;
        }
        // A file, or /dev/null.
        Err(error) => log::warn!("no commands are read from standard input: {error}"),
    }
    map.run()
}
