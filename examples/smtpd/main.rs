//! A mail server that delivers nothing, but prints what it gets: the standard
//! library's `smtpd.DebuggingServer`, of Python 3.11.
//!
//!     cargo run --release --example smtpd -- [--listen ADDR] [--size BYTES]
//!     swaks --server 127.0.0.1:8025 --to ada@example.org
//!
//! - `session.rs`: the connection, which is a state and a terminator.
//! - `envelope.rs`: what MAIL and RCPT say, or why they are refused. No I/O.
//! - `message.rs`: a message in the form in which it is printed. No I/O.
//!
//! It keeps to RFC 5321 where the original does not: a message may be empty, a
//! session goes on with commands after a message that was too long, EHLO may be
//! said again, and no line makes it drop a connection.

mod envelope;
mod message;
mod session;

use std::rc::Rc;

use chat::{Address, AsyncChat, ChannelMap, DispatcherHandler, Endpoint, Result, Socket};
use examples::Opt;

use crate::session::{Session, Sizes};

struct SmtpServer {
    max_size: usize,
    sizes: Rc<Sizes>,
}

impl DispatcherHandler for SmtpServer {
    fn handle_accepted(
        &mut self,
        socket: Socket,
        addr: Address,
        _server: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        log::debug!("connection from {addr}");
        let session = Session::new(addr, self.max_size, Rc::clone(&self.sizes));
        let channel = AsyncChat::new(socket, session::LINE_END, session)?;
        map.insert(channel.limited(Rc::clone(&self.sizes.command)))?;
        Ok(())
    }
}

fn main() -> Result {
    let [address, size] = examples::options([
        Opt {
            name: "listen",
            value: "ADDR  IP:PORT; port 0 asks for a free one",
            default: Some("127.0.0.1:8025"),
        },
        Opt {
            name: "size",
            value: "BYTES  the longest message that is taken",
            default: Some("33554432"),
        },
    ]);
    let max_size = size.parse().map_err(|_| format!("no size: {size}"))?;
    let sizes = Rc::new(Sizes::new(max_size));
    let server = SmtpServer { max_size, sizes };

    let mut map = ChannelMap::new()?;
    examples::end_on_signals(&mut map)?;
    map.insert(examples::listen(&address, server)?)?;
    map.run()
}
