//! What is served, and how a request for it is answered.

use std::io;

use http::{Method, StatusCode};

use super::dates::Dates;
use super::files::Root;
use super::request::Head;
use super::response::{Content, Response};

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Site {
    root: Root,
    pub(crate) dates: Dates,
}

impl Site {
    /// Serves the folder `root`.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, or is none.
    pub(crate) fn new(root: &str) -> io::Result<Self> {
        Ok(Self {
            root: Root::open(root)?,
            dates: Dates::default(),
        })
    }

    pub(crate) fn answer<'b>(&self, head: &Head, body: &'b [u8]) -> Response<'b> {
        let is_get = head.method == Method::GET || head.method == Method::HEAD;
        match (head.target.path(), is_get) {
            _ if !is_known(&head.method) => Response::text(StatusCode::NOT_IMPLEMENTED),
            ("/plaintext", true) => {
                Response::ok("text/plain", Content::Bytes(b"Hello, World!".into()))
            }
            ("/echo", _) if head.method == Method::POST => {
                Response::ok("application/octet-stream", Content::Bytes(body.into()))
            }
            (path, true) if path != "/echo" => self.file(path).unwrap_or_else(Response::text),
            (path, _) => Response {
                fields: format!("Allow: {}\r\n", allowed(path)),
                ..Response::text(StatusCode::METHOD_NOT_ALLOWED)
            },
        }
    }

    fn file(&self, path: &str) -> Result<Response<'static>, StatusCode> {
        let found = self.root.find(path)?;
        let content = Content::Part(found.file, 0..found.len);
        Ok(Response::ok(found.media_type, content))
    }
}

/// The methods that RFC 9110 and RFC 5789 define: not allowed is not the same
/// as not known.
fn is_known(method: &Method) -> bool {
    [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ]
    .contains(method)
}

fn allowed(path: &str) -> &'static str {
    match path {
        "/echo" => "POST",
        _ => "GET, HEAD",
    }
}
