//! Gets pages and prints them: the HTTP client of asyncore's documentation.
//!
//!     cargo run --release --example http_client -- http://HOST[:PORT]/PATH...
//!
//! All are got in one loop, at once. What comes, heads and bodies, is printed
//! as it comes. The exit status is 1 if a page could not be had.

use std::cell::Cell;
use std::env;
use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;

use chat::{ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint, Result};

struct HttpClient {
    url: String,
    /// What is left of the request.
    buffer: Vec<u8>,
    is_answered: bool,
    /// Of all clients: nobody sees a handler after it was closed.
    has_failed: Rc<Cell<bool>>,
}

impl DispatcherHandler for HttpClient {
    fn writable(&self, _endpoint: &Endpoint) -> bool {
        !self.buffer.is_empty()
    }

    fn handle_write(&mut self, endpoint: &mut Endpoint, _map: &mut ChannelMap) -> Result {
        let sent = endpoint.send(&self.buffer)?;
        self.buffer.drain(..sent);
        Ok(())
    }

    fn handle_read(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        let mut buffer = map.buffers().read_buffer();
        let len = endpoint.recv(&mut buffer)?;
        self.is_answered |= len > 0;
        let mut stdout = io::stdout();
        stdout.write_all(&buffer[..len])?;
        stdout.flush()?;
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, endpoint: &mut Endpoint, _: &mut ChannelMap) {
        match reason {
            // HTTP/1.0: the end of the connection is the end of the page.
            CloseReason::Eof if self.is_answered => return,
            _ if endpoint.connecting() => log::error!("{}: cannot connect: {reason}", self.url),
            _ => log::error!("{}: {reason}", self.url),
        }
        self.has_failed.set(true);
    }
}

/// Begins to get a page.
fn get(url: &str, has_failed: &Rc<Cell<bool>>, map: &mut ChannelMap) -> Result {
    let rest = url.strip_prefix("http://").ok_or("no http:// URL")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let port = host.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    let address = match port {
        Some(Ok(_)) => host.to_owned(),
        _ => format!("{host}:80"), // the colons of [::1] come before no port
    };
    let client = HttpClient {
        url: url.to_owned(),
        buffer: format!("GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n").into_bytes(),
        is_answered: false,
        has_failed: Rc::clone(has_failed),
    };
    map.insert(Dispatcher::connect(address, client)?)?;
    Ok(())
}

fn main() -> Result<ExitCode> {
    env_logger::init();
    let urls: Vec<String> = env::args().skip(1).collect();
    if urls.is_empty() || urls.iter().any(|url| url.starts_with('-')) {
        writeln!(io::stderr(), "arguments: http://HOST[:PORT]/PATH...")?;
        return Ok(ExitCode::from(2));
    }
    let mut map = ChannelMap::new()?;
    examples::end_on_signals(&mut map)?;
    let has_failed = Rc::new(Cell::new(false));
    for url in urls {
        if let Err(error) = get(&url, &has_failed, &mut map) {
            log::error!("{url}: {error}");
            has_failed.set(true);
        }
    }
    // Signals have a channel, which stays when all is done.
    while map.len() > 1 {
        map.turn(None)?;
    }
    Ok(match has_failed.get() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}
