//! Gets pages and prints them: the HTTP client of asyncore's documentation.
//!
//!     cargo run --release --example http_client -- [--cafile FILE] URL...
//!
//! A URL is `http://HOST[:PORT]/PATH`, or `https:` if the program was built with TLS
//! (`--features tls`). A server must have a certificate for its name, of an authority that
//! FILE lists, by default `/etc/ssl/certs/ca-certificates.crt`.
//!
//! It gets all of them concurrently in one loop, by HTTP/1.0. Heads and bodies are printed
//! as they come, chunk sizes included, and those of several pages may be mixed. An answer
//! ends where its head says so: by `Content-Length`, after the last chunk, or with the
//! connection. Bytes after that are not printed.
//!
//! The exit status is 0 if every answer came whole, a 404 too, as with curl. It is 1
//! if a URL is refused, or if an answer is missing, cut short, or framed in a way that
//! leaves its end in doubt; a line on stderr says why.
//!
//! - `url.rs`: parses a URL. No I/O.
//! - `secure.rs`: connects by TLS.
//! - `head.rs`: finds the kind of body that follows a head. No I/O.
//! - `answer.rs`: follows an answer up to its end. No I/O.

mod answer;
mod head;
mod secure;
mod url;

use std::cell::Cell;
use std::env;
use std::io::{self, Write};
use std::mem;
use std::process::ExitCode;
use std::rc::Rc;

use chat::{
    AsyncChat, ChannelMap, Chat, ChatHandler, CloseReason, Endpoint, Error, Limits, Result,
};
use examples::Output;

use crate::answer::Answer;
use crate::secure::Connector;
use crate::url::Url;

struct HttpClient {
    url: String,
    answer: Answer,
    /// The head or line that is being collected. Bodies are not.
    line: Vec<u8>,
    stdout: Output,
    /// Shared by all clients. It outlives them.
    has_failed: Rc<Cell<bool>>,
}

impl HttpClient {
    /// Prints, and reads no further while that waits for its reader.
    fn print(&self, data: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
        if !self.stdout.print_always(data, map) {
            return Err("nobody reads standard output any more".into());
        }
        if self.stdout.needs_drain(map) && !chat.is_paused() {
            chat.pause();
            let me = chat.token().handle::<AsyncChat<Self>>();
            self.stdout.when_drained(map, move |map| {
                if let Ok(client) = map.get_mut(me) {
                    client.chat.resume();
                }
            });
        }
        Ok(())
    }
}

impl ChatHandler for HttpClient {
    fn collect_incoming_data(
        &mut self,
        data: &[u8],
        chat: &mut Chat,
        map: &mut ChannelMap,
    ) -> Result {
        if self.answer.is_at_line() {
            self.line.extend_from_slice(data);
        }
        self.print(data, chat, map)
    }

    fn found_terminator(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let end = chat.terminator().clone();
        self.print(end.as_bytes().unwrap_or_default(), chat, map)?;
        let line = mem::take(&mut self.line);
        match self.answer.advance(&line)? {
            Some(terminator) => chat.set_terminator(terminator),
            None => chat.close_with(CloseReason::Done),
        }
        Ok(())
    }

    fn handle_eof(&mut self, chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        self.answer.end()?;
        chat.close_with(CloseReason::Done);
        Ok(())
    }

    /// An error is why the channel closes.
    fn handle_error(&mut self, error: Error, chat: &mut Chat, _map: &mut ChannelMap) {
        chat.close_with(CloseReason::Io(io::Error::other(error)));
    }

    fn handle_close(&mut self, reason: CloseReason, chat: &mut Chat, _map: &mut ChannelMap) {
        // Whatever became of the request, or of the connection.
        if !self.answer.is_whole() {
            let when = match chat.endpoint().connecting() {
                true => "cannot connect: ",
                false => "",
            };
            log::error!("{}: {when}{reason}", self.url);
            self.has_failed.set(true);
        }
    }
}

/// Begins to get a page.
fn get(
    url: &str,
    connector: &Connector,
    stdout: Output,
    has_failed: &Rc<Cell<bool>>,
    map: &mut ChannelMap,
) -> Result {
    let Url {
        is_secure,
        host,
        port,
        authority,
        target,
    } = url.parse()?;
    let client = HttpClient {
        url: url.to_owned(),
        answer: Answer::default(),
        line: Vec::new(),
        stdout,
        has_failed: Rc::clone(has_failed),
    };
    let endpoint = match is_secure {
        true => connector.connect(&host, port)?,
        false => Endpoint::connect((host.as_str(), port)),
    };
    let channel = AsyncChat::new(endpoint, head::END, client);
    let mut limits = Limits::default();
    limits.received_per_turn = 65_536; // as much of each page may wait to be printed
    let mut channel = channel.limited(limits);
    let request = format!("GET {target} HTTP/1.0\r\nHost: {authority}\r\n\r\n");
    channel.chat.push(request);
    map.insert(channel)?;
    Ok(())
}

fn main() -> Result<ExitCode> {
    let urls = env::args_os().skip(1);
    // An argument that is not UTF-8 is refused later: it is no URL.
    let mut urls: Vec<String> = urls.map(|url| url.to_string_lossy().into()).collect();
    let mut connector = Connector::default();
    if urls.len() > 1 && urls[0] == "--cafile" {
        connector = Connector::new(&urls[1]);
        urls.drain(..2);
    }
    if urls.is_empty() || urls.iter().any(|url| url.starts_with('-')) {
        writeln!(
            io::stderr(),
            "arguments: [--cafile FILE] http[s]://HOST[:PORT]/PATH..."
        )?;
        return Ok(ExitCode::from(2));
    }
    let (mut map, stdout) = examples::begin()?;
    stdout.end_without_reader(&mut map);
    let has_failed = Rc::new(Cell::new(false));
    for url in urls {
        if let Err(error) = get(&url, &connector, stdout, &has_failed, &mut map) {
            log::error!("{}: {error}", url.escape_debug());
            has_failed.set(true);
        }
    }
    map.run()?;
    Ok(ExitCode::from(u8::from(has_failed.get())))
}
