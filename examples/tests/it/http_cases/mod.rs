//! The tables of requests, and what answers them.

pub(crate) mod bodies;
pub(crate) mod fields;
pub(crate) mod heads;
pub(crate) mod paths;

/// Bytes that are sent, and what becomes of them.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) request: Vec<u8>,
    /// `STATUS`, or `STATUS BODY`, or, if no body may come, `HEAD STATUS LENGTH`.
    pub(crate) answers: &'static [&'static str],
    pub(crate) end: End,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Open,
    Closed,
}

/// `GET /plaintext` gets this.
pub(crate) const HELLO: &[&str] = &["200 Hello, World!"];

pub(crate) fn open(
    name: &'static str,
    request: impl Into<Vec<u8>>,
    answers: &'static [&'static str],
) -> Case {
    let request = request.into();
    let end = End::Open;
    Case {
        name,
        request,
        answers,
        end,
    }
}

pub(crate) fn closed(
    name: &'static str,
    request: impl Into<Vec<u8>>,
    answers: &'static [&'static str],
) -> Case {
    let end = End::Closed;
    Case {
        end,
        ..open(name, request, answers)
    }
}

/// A request for `/plaintext` with these fields besides the host.
pub(crate) fn get(fields: &str) -> String {
    format!("GET /plaintext HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

/// A request to `/echo` with these fields, and what follows them.
pub(crate) fn post(fields: &str, body: &str) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}")
}

/// A request to `/echo` with a body in chunks.
pub(crate) fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}
