//! The site, and its answer to each request.

use std::io;

use http::{Method, StatusCode, Uri};
use percent_encoding::{CONTROLS, percent_decode_str, utf8_percent_encode};

use super::dates::Dates;
use super::files::{self, Found, Root};
use super::listing;
use super::ranges::{self, Asked};
use super::request::Head;
use super::response::{Content, Response};

/// The state that all connections share.
#[derive(Debug)]
pub(crate) struct Site {
    root: Root,
    lists_folders: bool,
    pub(crate) dates: Dates,
}

impl Site {
    /// Serves the folder `root`, and lists of the folders in it that have no
    /// `index.html` if `lists_folders`.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, or is none.
    pub(crate) fn new(root: &str, lists_folders: bool) -> io::Result<Self> {
        Ok(Self {
            root: Root::new(root)?,
            lists_folders,
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
            (path, true) if path != "/echo" => self.get(head).unwrap_or_else(Response::text),
            (path, _) => Response {
                fields: format!("Allow: {}\r\n", allowed(path)),
                ..Response::text(StatusCode::METHOD_NOT_ALLOWED)
            },
        }
    }

    fn get(&self, head: &Head) -> Result<Response<'static>, StatusCode> {
        let path = head.target.path();
        match self.root.find(path) {
            Ok(found) => file(found, head),
            Err(StatusCode::MOVED_PERMANENTLY) => Ok(moved(&head.target)),
            Err(StatusCode::NOT_FOUND) if self.lists_folders && path.ends_with('/') => {
                let title = percent_decode_str(path).decode_utf8_lossy();
                let page = listing::page(&title, self.root.list(path)?);
                let page = Content::Bytes(page.into_bytes().into());
                Ok(Response::ok("text/html; charset=utf-8", page))
            }
            Err(status) => Err(status),
        }
    }
}

/// To the same with a slash behind its path.
fn moved(target: &Uri) -> Response<'static> {
    let path = files::with_slash(target.path());
    let query = target.query().map_or(String::new(), |query| {
        format!("?{}", utf8_percent_encode(query, CONTROLS))
    });
    Response {
        fields: format!("Location: {path}{query}\r\n"),
        ..Response::text(StatusCode::MOVED_PERMANENTLY)
    }
}

/// A file, or a part of it, unless the request is for another version.
fn file(found: Found, head: &Head) -> Result<Response<'static>, StatusCode> {
    let Found {
        file,
        len,
        version,
        media_type,
    } = found;
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
