//! Request lines, versions, persistence and lengths (RFC 9112, sections 2, 3, 9).

use super::{Case, HELLO, closed, get, open};

const HELLO_TWICE: &[&str] = &["200 Hello, World!", "200 Hello, World!"];

pub(crate) fn cases() -> Vec<Case> {
    let line = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
    vec![
        // Methods.
        open("GET", get(""), HELLO),
        open("HEAD", line("HEAD /plaintext HTTP/1.1"), &["HEAD 200 13"]),
        open(
            "HEAD of nothing",
            line("HEAD /no HTTP/1.1"),
            &["HEAD 404 14"],
        ),
        open("HEAD of /echo", line("HEAD /echo HTTP/1.1"), &["HEAD 405"]),
        open("PUT", line("PUT /a.txt HTTP/1.1"), &["405"]),
        open("DELETE", line("DELETE /a.txt HTTP/1.1"), &["405"]),
        open("PATCH", line("PATCH /a.txt HTTP/1.1"), &["405"]),
        open("TRACE", line("TRACE / HTTP/1.1"), &["405"]),
        open("OPTIONS", line("OPTIONS / HTTP/1.1"), &["405"]),
        open("GET of /echo", line("GET /echo HTTP/1.1"), &["405"]),
        open("POST of a file", line("POST /a.txt HTTP/1.1"), &["405"]),
        open("unknown", line("BREW /plaintext HTTP/1.1"), &["501"]),
        open("lower case", line("get /plaintext HTTP/1.1"), &["501"]),
        closed("no token", line("G(T /plaintext HTTP/1.1"), &["400"]),
        // Targets.
        open("a query", line("GET /plaintext?a=%2e&b HTTP/1.1"), HELLO),
        open("absolute", line("GET http://b/plaintext HTTP/1.1"), HELLO),
        open(
            "absolute without a path",
            line("GET http://b HTTP/1.1"),
            &["200 <p>index</p>"],
        ),
        open(
            "in any case",
            line("GET HTTP://b/plaintext HTTP/1.1"),
            HELLO,
        ),
        open("a port", line("GET http://b:81/plaintext HTTP/1.1"), HELLO),
        closed(
            "a user",
            line("GET http://u@b/plaintext HTTP/1.1"),
            &["400"],
        ),
        closed("a password", line("GET http://u:p@b/ HTTP/1.1"), &["400"]),
        closed(
            "a wrong port",
            line("GET http://b:65536/ HTTP/1.1"),
            &["400"],
        ),
        closed("no host", line("GET http:///plaintext HTTP/1.1"), &["400"]),
        closed("only a port", line("GET http://:80/ HTTP/1.1"), &["400"]),
        closed("https", line("GET https://b/plaintext HTTP/1.1"), &["421"]),
        closed("ftp", line("GET ftp://b/plaintext HTTP/1.1"), &["421"]),
        closed("ftp and a user", line("GET ftp://u@b/ HTTP/1.1"), &["400"]),
        closed("no hierarchy", line("GET mailto:b HTTP/1.1"), &["400"]),
        open("asterisk", line("OPTIONS * HTTP/1.1"), &["405"]),
        open("CONNECT", line("CONNECT a:80 HTTP/1.1"), &["405"]),
        closed("CONNECT nowhere", line("CONNECT a HTTP/1.1"), &["400"]),
        closed("CONNECT to no port", line("CONNECT a: HTTP/1.1"), &["400"]),
        closed("no target", line("GET HTTP/1.1"), &["400"]),
        closed("an empty target", line("GET  HTTP/1.1"), &["400"]),
        closed("two spaces", line("GET  /plaintext HTTP/1.1"), &["400"]),
        closed("a space within", line("GET /plain text HTTP/1.1"), &["400"]),
        closed("a space behind", line("GET /plaintext HTTP/1.1 "), &["400"]),
        closed("a space before", line(" GET /plaintext HTTP/1.1"), &["400"]),
        closed("a tab", line("GET\t/plaintext HTTP/1.1"), &["400"]),
        closed("NUL in the target", line("GET /plain\0 HTTP/1.1"), &["400"]),
        // Versions.
        closed("0.9", "GET /plaintext\r\n\r\n", &["400"]),
        closed("1.0", "GET /plaintext HTTP/1.0\r\n\r\n", HELLO),
        open("1.2", line("GET /plaintext HTTP/1.2"), HELLO),
        closed("2.0", line("GET /plaintext HTTP/2.0"), &["505"]),
        closed("3.1", line("GET /plaintext HTTP/3.1"), &["505"]),
        closed(
            "the preface of 2.0",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            &["505"],
        ),
        closed("no version", line("GET /plaintext FTP/1.1"), &["400"]),
        closed("small letters", line("GET /plaintext http/1.1"), &["400"]),
        closed("no minor version", line("GET /plaintext HTTP/1"), &["400"]),
        closed("more digits", line("GET /plaintext HTTP/1.10"), &["400"]),
        closed("letters", line("GET /plaintext HTTP/a.b"), &["400"]),
        closed("nothing but noise", "\x16\x03\x01\x02\r\n\r\n", &["400"]),
        // Persistence.
        closed("close", get("Connection: close\r\n"), HELLO),
        closed("close in a list", get("Connection: te , CLOSE\r\n"), HELLO),
        closed(
            "close wins",
            get("Connection: keep-alive, close\r\n"),
            HELLO,
        ),
        closed(
            "close in a second field",
            get("Connection: keep-alive\r\nConnection: close\r\n"),
            HELLO,
        ),
        open(
            "other options",
            get("Connection: x-close, closed\r\n"),
            HELLO,
        ),
        open("keep-alive", get("Connection: keep-alive\r\n"), HELLO),
        open(
            "keep-alive in 1.0",
            "GET /plaintext HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
            HELLO,
        ),
        closed(
            "close in 1.0",
            "GET /plaintext HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n",
            HELLO,
        ),
        // One after the other.
        open("a pair", get("") + &get(""), HELLO_TWICE),
        open(
            "a triple",
            get("") + &line("HEAD /a.txt HTTP/1.1") + &line("GET /no HTTP/1.1"),
            &["200 Hello, World!", "HEAD 200 7", "404"],
        ),
        open(
            "files",
            line("GET /a.txt HTTP/1.1") + &line("GET /empty.txt HTTP/1.1") + &get(""),
            &["200 a text\n", "200 ", "200 Hello, World!"],
        ),
        closed(
            "nothing after a close",
            get("") + &get("Connection: close\r\n") + &get(""),
            HELLO_TWICE,
        ),
        closed(
            "nothing after a bad one",
            get("") + &line("GET HTTP/1.1") + &get(""),
            &["200 Hello, World!", "400"],
        ),
        // Empty lines before a request.
        open("an empty line", format!("\r\n{}", get("")), HELLO),
        open("two empty lines", format!("\r\n\r\n{}", get("")), HELLO),
        open("seven", format!("{}{}", "\r\n".repeat(7), get("")), HELLO),
        open(
            "between",
            get("") + "\r\n" + &get("") + "\r\n\r\n",
            HELLO_TWICE,
        ),
        closed("a bare LF before", format!("\n{}", get("")), &["400"]),
    ]
}

/// As long as may be, and longer.
pub(crate) fn long_cases() -> Vec<Case> {
    let fields = |count| -> String { (1..count).map(|n| format!("F{n}: {n}\r\n")).collect() };
    let long = "x".repeat(16_400);
    let path = |len| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(len));
    // Without the empty line, a head may have 16,384 bytes.
    let rest = path(0).len() - "\r\n\r\n".len();
    let field = |len| get(&format!("F: {}\r\n", "x".repeat(len)));
    let field_rest = field(0).len() - "\r\n\r\n".len();
    vec![
        open("the longest target", path(16_384 - rest), &["404"]),
        closed("a target that is longer", path(16_400), &["414"]),
        closed(
            "the same after an empty line",
            format!("\r\n{}", path(16_400)),
            &["414"],
        ),
        closed(
            "a target without end",
            format!("GET /{long}{long}"),
            &["414"],
        ),
        open("the longest field", field(16_384 - field_rest), HELLO),
        closed("a byte more", field(16_385 - field_rest), &["431"]),
        closed("a long field", field(16_400), &["431"]),
        closed("many long fields", get(&fields(2_000)), &["431"]),
        open("a hundred fields", get(&fields(100)), HELLO),
        closed("one more", get(&fields(101)), &["431"]),
        closed(
            "a long trailer",
            super::chunked(&format!("0\r\nF: {long}\r\n\r\n")),
            &["431"],
        ),
        open(
            "as many trailers as a head has room for besides its two fields",
            super::chunked(&format!("0\r\n{}\r\n", fields(99))),
            &["200 "],
        ),
        closed(
            "a trailer more",
            super::chunked(&format!("0\r\n{}\r\n", fields(100))),
            &["431"],
        ),
        closed(
            "a head and trailers that are too long together",
            super::post(
                &format!("Transfer-Encoding: chunked\r\nF: {}\r\n", &long[..9_000]),
                &format!("0\r\nF: {}\r\n\r\n", &long[..9_000]),
            ),
            &["431"],
        ),
        closed(
            "a trailer without end",
            super::chunked(&format!("0\r\nF: {long}")),
            &["431"],
        ),
        closed(
            "many trailers",
            super::chunked(&format!("0\r\n{}\r\n", fields(1_000))),
            &["431"],
        ),
        closed(
            "a chunk size without end",
            super::chunked(&format!("{}\r\n", "0".repeat(20_000))),
            &["400"],
        ),
    ]
}
