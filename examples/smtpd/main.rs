//! A mail server that prints the mail it receives and delivers none: the standard
//! library's `smtpd.DebuggingServer`, of Python 3.11.
//!
//!     cargo run --release --example smtpd -- [--listen ADDR] [--size BYTES] [--timeout SECONDS]
//!         [--tls-cert FILE --tls-key FILE]
//!     swaks --server 127.0.0.1:8025 --to ada@example.org
//!
//! - `session.rs`: the connection, which is a state and a terminator.
//! - `envelope.rs`: parses MAIL and RCPT, or refuses them. No I/O.
//! - `message.rs`: a message in the form in which it is printed. No I/O.
//! - `patience.rs`: how many bad commands are answered, and how soon. No I/O.
//!
//! It keeps to RFC 5321 where the original does not: a message may be empty, a
//! session goes on with commands after a message that was too long, EHLO may be
//! said again, and a line that is no command costs patience only. The server hangs up on a
//! client that speaks HTTP, sends ten bad commands, or is silent for five minutes.

mod envelope;
mod message;
mod patience;
mod session;

use std::rc::Rc;
use std::time::Duration;

use chat::{Address, AsyncChat, ChannelMap, DispatcherHandler, Endpoint, Result, Stream};
use examples::{Opt, Output, Security, TLS_CERT, TLS_KEY};

use crate::session::{Bounds, Session};

struct SmtpServer {
    bounds: Rc<Bounds>,
    security: Security,
    stdout: Output,
}

impl DispatcherHandler for SmtpServer {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        addr: Address,
        _server: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        log::debug!("connection from {addr}");
        let security = self.security.clone();
        let session = Session::new(addr, Rc::clone(&self.bounds), security, self.stdout);
        let channel = AsyncChat::new(stream, session::LINE_END, session);
        map.insert(channel.limited(Rc::clone(&self.bounds.command)))?;
        Ok(())
    }
}

fn main() -> Result {
    let (mut map, stdout, [address, size, timeout, certificates, key]) = examples::start([
        Opt::listen("127.0.0.1:8025"),
        Opt {
            name: "size",
            value: "BYTES  the longest message that is taken",
            default: Some("33554432"),
        },
        Opt {
            name: "timeout",
            value: "SECONDS  how long a command or a message may take",
            default: Some("300"),
        },
        TLS_CERT,
        TLS_KEY,
    ])?;
    let max_size = size.parse().map_err(|_| format!("no size: {size}"))?;
    // Of 32 bits: a time that is 136 years ahead is still one that the clock can tell.
    let seconds: u32 = timeout
        .parse()
        .map_err(|_| format!("no number of seconds: {timeout}"))?;
    let bounds = Bounds::new(max_size, Duration::from_secs(seconds.into()));
    let server = SmtpServer {
        bounds: Rc::new(bounds),
        security: Security::new(&certificates, &key)?,
        stdout,
    };
    examples::listen(&address, server, stdout, &mut map)?;
    map.run()
}
