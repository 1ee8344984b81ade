//! A mail server that delivers nothing, but prints what it gets: the standard
//! library's `smtpd.DebuggingServer`, of Python 3.11.
//!
//!     cargo run --release --example smtpd -- [--listen ADDR] [--size BYTES]
//!     swaks --server 127.0.0.1:8025 --to ada@example.org
//!
//! - `session.rs`: the connection, which is a state and a terminator.
//! - `envelope.rs`: what MAIL and RCPT say, or why they are refused. No I/O.
//! - `message.rs`: a message in the form in which it is printed. No I/O.
//! - `patience.rs`: how many bad commands are answered, and how soon. No I/O.
//!
//! It keeps to RFC 5321 where the original does not: a message may be empty, a
//! session goes on with commands after a message that was too long, EHLO may be
//! said again, and a line that is no command costs patience only. Whoever speaks HTTP, or
//! says ten bad commands, is hung up on.

mod envelope;
mod message;
mod patience;
mod session;

use std::rc::Rc;

use chat::{Address, AsyncChat, ChannelMap, DispatcherHandler, Endpoint, Result, Socket};
use examples::{Opt, Output};

use crate::session::{Session, Sizes};

struct SmtpServer {
    max_size: usize,
    sizes: Rc<Sizes>,
    stdout: Output,
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
        let session = Session::new(addr, self.max_size, Rc::clone(&self.sizes), self.stdout);
        let channel = AsyncChat::new(socket, session::LINE_END, session)?;
        map.insert(channel.limited(Rc::clone(&self.sizes.command)))?;
        Ok(())
    }
}

fn main() -> Result {
    let (mut map, stdout, [address, size]) = examples::start([
        Opt::listen("127.0.0.1:8025"),
        Opt {
            name: "size",
            value: "BYTES  the longest message that is taken",
            default: Some("33554432"),
        },
    ])?;
    let max_size = size.parse().map_err(|_| format!("no size: {size}"))?;
    let sizes = Rc::new(Sizes::new(max_size));
    let server = SmtpServer {
        max_size,
        sizes,
        stdout,
    };
    examples::listen(&address, server, stdout, &mut map)?;
    map.run()
}
