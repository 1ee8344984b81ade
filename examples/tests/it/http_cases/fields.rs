//! Fields: the host, line ends, and what frames a body (RFC 9112, sections 2,
//! 3, 5, 6).

use super::{Case, HELLO, closed, get, open, post};

pub(crate) fn cases() -> Vec<Case> {
    let host = |field: &str| format!("GET /plaintext HTTP/1.1\r\n{field}\r\n");
    let length = |field: &str| post(field, "hello");
    let coding = |field: &str| post(field, "5\r\nhello\r\n0\r\n\r\n");
    vec![
        // Host.
        closed("no host", host("A: b\r\n"), &["400"]),
        closed("no field at all", host(""), &["400"]),
        open("an empty host", host("Host:\r\n"), HELLO),
        open("in any case", host("hOST:a\r\n"), HELLO),
        open("with a port", host("Host: example.org:8080\r\n"), HELLO),
        open("an address", host("Host: [::1]:80\r\n"), HELLO),
        closed("two hosts", host("Host: a\r\nHost: b\r\n"), &["400"]),
        closed("the same twice", host("Host: a\r\nHost: a\r\n"), &["400"]),
        closed("a host with a space", host("Host: a b\r\n"), &["400"]),
        closed("a host with a path", host("Host: a/b\r\n"), &["400"]),
        closed("a host with a user", host("Host: u@a\r\n"), &["400"]),
        closed("half an address", host("Host: [::1\r\n"), &["400"]),
        closed("a port that is none", host("Host: a:b\r\n"), &["400"]),
        open("no port after all", host("Host: a:\r\n"), HELLO),
        open("the last port", host("Host: a:65535\r\n"), HELLO),
        open("zeros before a port", host("Host: a:000080\r\n"), HELLO),
        closed("a port too many", host("Host: a:65536\r\n"), &["400"]),
        closed("a port with a sign", host("Host: a:+80\r\n"), &["400"]),
        closed("two ports", host("Host: a:80:80\r\n"), &["400"]),
        closed("a port alone", host("Host: :80\r\n"), &["400"]),
        closed(
            "two hosts in 1.0",
            "GET /plaintext HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
            &["400"],
        ),
        closed(
            "absolute without a host",
            "GET http://a/plaintext HTTP/1.1\r\n\r\n",
            &["400"],
        ),
        closed(
            "HEAD without a host",
            "HEAD /plaintext HTTP/1.1\r\n\r\n",
            &["HEAD 400"],
        ),
        // Names and values.
        open("no space after the colon", get("A:b\r\n"), HELLO),
        open("white space around", get("A: \t b \t \r\n"), HELLO),
        open("no value", get("A:\r\n"), HELLO),
        open("beyond ASCII", get("A: \u{e4}\r\n"), HELLO),
        closed("a space before the colon", get("A : b\r\n"), &["400"]),
        closed("a tab before the colon", get("A\t: b\r\n"), &["400"]),
        closed("no colon", get("A\r\n"), &["400"]),
        closed("no name", get(": b\r\n"), &["400"]),
        closed("a name that is none", get("A(: b\r\n"), &["400"]),
        closed("NUL in a name", get("A\0: b\r\n"), &["400"]),
        closed("NUL in a value", get("A: b\0\r\n"), &["400"]),
        closed("a control in a value", get("A: b\x08\r\n"), &["400"]),
        closed("folded", get("A: b\r\n c\r\n"), &["400"]),
        closed("folded by a tab", get("A: b\r\n\tc\r\n"), &["400"]),
        closed("folded at once", host(" Host: a\r\n"), &["400"]),
        closed("a bare CR in a value", get("A: b\rc\r\n"), &["400"]),
        closed("a bare CR before CRLF", get("A: b\r\r\n"), &["400"]),
        closed("a bare CR at the end", get("A: b\r\n\r"), &["400"]),
        closed("a bare LF for a line end", get("A: b\nB: c\r\n"), &["400"]),
        closed(
            "a bare LF after the request line",
            "GET /plaintext HTTP/1.1\nHost: a\r\n\r\n",
            &["400"],
        ),
        closed(
            "bare LFs only",
            "GET /plaintext HTTP/1.1\nHost: a\n\n",
            &["400"],
        ),
        closed(
            "a bare CR in the request line",
            "GET /plaintext\r HTTP/1.1\r\nHost: a\r\n\r\n",
            &["400"],
        ),
        // Content-Length.
        open("a length", length("Content-Length: 5\r\n"), &["200 hello"]),
        open("zeros", length("Content-Length: 0005\r\n"), &["200 hello"]),
        closed("negative", length("Content-Length: -5\r\n"), &["400"]),
        closed("a plus", length("Content-Length: +5\r\n"), &["400"]),
        closed("hexadecimal", length("Content-Length: 0x5\r\n"), &["400"]),
        closed("a fraction", length("Content-Length: 5.0\r\n"), &["400"]),
        closed(
            "within a space",
            length("Content-Length: 5 5\r\n"),
            &["400"],
        ),
        closed("empty", length("Content-Length:\r\n"), &["400"]),
        closed("a list", length("Content-Length: 5, 5\r\n"), &["400"]),
        closed(
            "a list that ends",
            length("Content-Length: 5,\r\n"),
            &["400"],
        ),
        closed(
            "conflicting",
            length("Content-Length: 5\r\nContent-Length: 6\r\n"),
            &["400"],
        ),
        closed(
            "twice",
            length("Content-Length: 5\r\nContent-Length: 5\r\n"),
            &["400"],
        ),
        closed(
            "other digits",
            length("Content-Length: \u{0665}\r\n"),
            &["400"],
        ),
        closed(
            "conflicting, of a request without a body",
            get("Content-Length: 0\r\nContent-Length: 5\r\n"),
            &["400"],
        ),
        // Transfer-Encoding.
        open(
            "chunked",
            coding("Transfer-Encoding: chunked\r\n"),
            &["200 hello"],
        ),
        open(
            "in any case",
            coding("transfer-encoding:CHUNKED \r\n"),
            &["200 hello"],
        ),
        open(
            "a list of one",
            coding("Transfer-Encoding: ,chunked,\r\n"),
            &["200 hello"],
        ),
        closed("gzip", coding("Transfer-Encoding: gzip\r\n"), &["400"]),
        closed(
            "unknown before",
            coding("Transfer-Encoding: gzip, chunked\r\n"),
            &["501"],
        ),
        closed(
            "not the last",
            coding("Transfer-Encoding: chunked, gzip\r\n"),
            &["400"],
        ),
        closed(
            "chunked twice",
            coding("Transfer-Encoding: chunked, chunked\r\n"),
            &["400"],
        ),
        closed(
            "chunked in two fields",
            coding("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            &["400"],
        ),
        closed(
            "identity",
            coding("Transfer-Encoding: identity\r\n"),
            &["400"],
        ),
        closed("no coding", coding("Transfer-Encoding:\r\n"), &["400"]),
        closed(
            "nearly chunked",
            coding("Transfer-Encoding: xchunked\r\n"),
            &["400"],
        ),
        closed(
            "a parameter",
            coding("Transfer-Encoding: chunked;a=b\r\n"),
            &["400"],
        ),
        closed(
            "quoted",
            coding("Transfer-Encoding: \"chunked\"\r\n"),
            &["400"],
        ),
        closed(
            "a space that is none",
            coding("Transfer-Encoding: \u{a0}chunked\r\n"),
            &["400"],
        ),
        closed(
            "an option after a space that is none",
            "GET /plaintext HTTP/1.0\r\nConnection: \u{85}keep-alive\r\n\r\n",
            HELLO,
        ),
        closed(
            "with a length",
            coding("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            &["400"],
        ),
        closed(
            "with a length after it",
            coding("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
            &["400"],
        ),
        closed(
            "in 1.0",
            "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &["400"],
        ),
    ]
}
