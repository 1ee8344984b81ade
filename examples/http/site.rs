//! What is served, and how a request for it is answered.

use std::io;

use http::{Method, StatusCode};

use super::dates::Dates;
use super::files::{Found, Root};
use super::ranges::{self, Asked};
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
            (path, true) if path != "/echo" => self.file(head).unwrap_or_else(Response::text),
            (path, _) => Response {
                fields: format!("Allow: {}\r\n", allowed(path)),
                ..Response::text(StatusCode::METHOD_NOT_ALLOWED)
            },
        }
    }

    fn file(&self, head: &Head) -> Result<Response<'static>, StatusCode> {
        let Found {
            file,
            len,
            version,
            media_type,
        } = self.root.find(head.target.path())?;
        let fields = version.fields();
        match head.conditions.refusal(&version) {
            Some(StatusCode::NOT_MODIFIED) => return Ok(Response::not_modified(fields)),
            Some(status) => return Err(status),
            None => {}
        }
        // Section 14.2: of `GET` alone.
        let range = head.conditions.range(&version);
        let range = range.filter(|_| head.method == Method::GET);
        Ok(match range.map(|range| ranges::asked(range, len)) {
            None | Some(Asked::Whole) => Response {
                fields: fields + "Accept-Ranges: bytes\r\n",
                ..Response::ok(media_type, Content::Part(file, 0..len))
            },
            Some(Asked::Part(part)) => Response {
                status: StatusCode::PARTIAL_CONTENT,
                fields: format!(
                    "{fields}Content-Range: bytes {}-{}/{len}\r\n",
                    part.start,
                    part.end - 1
                ),
                ..Response::ok(media_type, Content::Part(file, part))
            },
            Some(Asked::Nothing) => Response {
                fields: format!("Content-Range: bytes */{len}\r\n"),
                ..Response::text(StatusCode::RANGE_NOT_SATISFIABLE)
            },
        })
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
