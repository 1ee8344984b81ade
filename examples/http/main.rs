//! A web server of files: asynchat's `http_request_handler`, completed.
//!
//!     cargo run --release --example http -- [--listen ADDR] [--root DIR] [--list on]
//!         [--tls-cert FILE --tls-key FILE]
//!
//! `GET` and `HEAD` of the files under the root, `GET /plaintext`, and
//! `POST /echo`, which sends the body back. A folder is its `index.html`, or, with
//! `--list on`, a list of its entries. The log shows each request.
//!
//! - `request.rs`: parses a head (RFC 9112), or finds the status to refuse it with. No I/O.
//! - `fields.rs`: the fields of a head, and those behind a body. No I/O.
//! - `body.rs`: finds the end of a body. No I/O.
//! - `files.rs`: only files under a root. `listing.rs`: a folder's page.
//! - `site.rs`: how a request is answered.
//! - `conditional.rs`: whether a file is sent, by the version that a client has;
//!   `ranges.rs`: which part of it. No I/O.
//! - `response.rs`: the response, `dates.rs`: its date.
//! - `handler.rs`: the connection, which is all of the above in turn.

mod body;
mod conditional;
mod dates;
mod fields;
mod files;
mod handler;
mod listing;
mod ranges;
mod request;
mod response;
mod site;

use std::rc::Rc;

use chat::{Address, AsyncChat, ChannelMap, DispatcherHandler, Endpoint, Limits, Result, Stream};
use examples::{Opt, Security, TLS_CERT, TLS_KEY};

use crate::handler::{HEAD_END, HttpRequestHandler};
use crate::site::Site;

struct HttpServer {
    site: Rc<Site>,
    security: Security,
    limits: Rc<Limits>,
}

impl DispatcherHandler for HttpServer {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        addr: Address,
        _server: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        let handler = HttpRequestHandler::new(addr, Rc::clone(&self.site));
        let channel = AsyncChat::new(self.security.accept(stream), HEAD_END, handler);
        map.insert(channel.limited(Rc::clone(&self.limits)))?;
        Ok(())
    }
}

fn main() -> Result {
    let (mut map, stdout, [address, root, list, certificates, key]) = examples::start([
        Opt::listen("127.0.0.1:8080"),
        Opt {
            name: "root",
            value: "DIR  the folder that is served",
            default: Some("."),
        },
        Opt {
            name: "list",
            value: "on|off  lists of folders without an index.html",
            default: Some("off"),
        },
        TLS_CERT,
        TLS_KEY,
    ])?;
    let lists_folders = match &list[..] {
        "on" => true,
        "off" => false,
        _ => return Err("--list is on or off".into()),
    };
    let site =
        Site::new(&root, lists_folders).map_err(|error| format!("cannot serve {root}: {error}"))?;
    let server = HttpServer {
        site: Rc::new(site),
        security: Security::new(&certificates, &key)?,
        limits: Rc::new(handler::limits()),
    };
    examples::listen(&address, server, stdout, &mut map)?;
    map.run()
}
