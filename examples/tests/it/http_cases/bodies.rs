//! Bodies: whole, in chunks, too large, expected, and not asked for (RFC 9112,
//! sections 6, 7; RFC 9110, section 10.1.1).

use super::{Case, chunked, closed, get, open, post};

pub(crate) fn cases() -> Vec<Case> {
    let hello = "5\r\nhello\r\n0\r\n\r\n";
    let next = "GET /secret HTTP/1.1\r\nHost: a\r\n\r\n"; // 33 bytes
    let with = |line: &str, fields: &str, body: &str| {
        format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}")
    };
    vec![
        // Whole.
        open(
            "a body",
            post("Content-Length: 5\r\n", "hello"),
            &["200 hello"],
        ),
        open(
            "an empty body",
            post("Content-Length: 0\r\n", ""),
            &["200 "],
        ),
        open(
            "line ends",
            post("Content-Length: 6\r\n", "\r\n\r\n\r\n"),
            &["200 \r\n\r\n\r\n"],
        ),
        open(
            "a body that is like a request",
            post("Content-Length: 33\r\n", next),
            &["200 GET /secret HTTP/1.1\r\nHost: a\r\n\r\n"],
        ),
        open(
            "two bodies and a request",
            post("Content-Length: 1\r\n", "a") + &post("Content-Length: 2\r\n", "bc") + &get(""),
            &["200 a", "200 bc", "200 Hello, World!"],
        ),
        open(
            "absolute",
            with("POST http://b/echo", "Content-Length: 1\r\n", "a"),
            &["200 a"],
        ),
        closed(
            "in 1.0",
            "POST /echo HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
            &["200 hello"],
        ),
        open(
            "in 1.0 that stays",
            "POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
            &["200 hello"],
        ),
        closed("no length", post("", ""), &["411"]),
        closed("no length in 1.0", "POST /echo HTTP/1.0\r\n\r\n", &["411"]),
        closed(
            "too long",
            post("Content-Length: 1048577\r\n", "hello"),
            &["413"],
        ),
        closed(
            "more than a number holds",
            post("Content-Length: 18446744073709551621\r\n", "hello"),
            &["413"],
        ),
        closed(
            "much more",
            post(&format!("Content-Length: {}\r\n", "9".repeat(400)), "hello"),
            &["413"],
        ),
        // In chunks.
        open("a chunk", chunked(hello), &["200 hello"]),
        open("no chunk", chunked("0\r\n\r\n"), &["200 "]),
        open(
            "chunks",
            chunked("1\r\na\r\n002\r\nbc\r\n0\r\n\r\n"),
            &["200 abc"],
        ),
        open(
            "hexadecimal",
            chunked("A\r\n0123456789\r\n000\r\n\r\n"),
            &["200 0123456789"],
        ),
        open(
            "small letters",
            chunked("a\r\n0123456789\r\n0\r\n\r\n"),
            &["200 0123456789"],
        ),
        open(
            "line ends in a chunk",
            chunked("4\r\n\r\n\r\n\r\n0\r\n\r\n"),
            &["200 \r\n\r\n"],
        ),
        open(
            "like an end",
            chunked("5\r\n0\r\n\r\n\r\n0\r\n\r\n"),
            &["200 0\r\n\r\n"],
        ),
        open(
            "an extension",
            chunked("5;a=b\r\nhello\r\n0;c\r\n\r\n"),
            &["200 hello"],
        ),
        open(
            "a quoted one",
            chunked("5 ; a=\"b;c\"\r\nhello\r\n0\r\n\r\n"),
            &["200 hello"],
        ),
        open(
            "a trailer",
            chunked("5\r\nhello\r\n0\r\nA: b\r\n\r\n"),
            &["200 hello"],
        ),
        open(
            "trailers that would mean something in a head",
            chunked("5\r\nhello\r\n0\r\nContent-Length: 9\r\nConnection: close\r\n\r\n"),
            &["200 hello"],
        ),
        open(
            "chunks, and then a pair",
            chunked(hello) + &get("") + &chunked(hello),
            &["200 hello", "200 Hello, World!", "200 hello"],
        ),
        closed("no size", chunked("\r\nhello\r\n0\r\n\r\n"), &["400"]),
        closed(
            "an extension only",
            chunked(";a\r\nhello\r\n0\r\n\r\n"),
            &["400"],
        ),
        closed("no digits", chunked("g\r\nhello\r\n0\r\n\r\n"), &["400"]),
        closed("0x", chunked("0x5\r\nhello\r\n0\r\n\r\n"), &["400"]),
        closed("negative", chunked("-5\r\nhello\r\n0\r\n\r\n"), &["400"]),
        closed("a plus", chunked("+5\r\nhello\r\n0\r\n\r\n"), &["400"]),
        closed(
            "a space before",
            chunked(" 5\r\nhello\r\n0\r\n\r\n"),
            &["400"],
        ),
        closed(
            "an underscore",
            chunked("0_5\r\nhello\r\n0\r\n\r\n"),
            &["400"],
        ),
        closed(
            "a form feed behind",
            chunked("5\x0c\r\nhello\r\n0\r\n\r\n"),
            &["400"],
        ),
        closed("NUL behind", chunked("5\0\r\nhello\r\n0\r\n\r\n"), &["400"]),
        closed(
            "a bare LF behind",
            chunked("5\nhello\r\n0\r\n\r\n"),
            &["400"],
        ),
        closed(
            "a bare CR behind",
            chunked("5\rhello\r\n0\r\n\r\n"),
            &["400"],
        ),
        closed(
            "a bare LF in an extension",
            chunked("5;a\nb\r\nhello\r\n0\r\n\r\n"),
            &["400"],
        ),
        closed(
            "a chunk that is longer",
            chunked("5\r\nhello!\r\n0\r\n\r\n"),
            &["400"],
        ),
        closed(
            "a chunk that is shorter",
            chunked("6\r\nhello\r\n0\r\n\r\n"),
            &["400"],
        ),
        closed(
            "LF after a chunk",
            chunked("5\r\nhello\n0\r\n\r\n"),
            &["400"],
        ),
        closed(
            "nothing after a chunk",
            chunked("5\r\nhello0\r\n\r\n"),
            &["400"],
        ),
        closed(
            "something else after a chunk",
            chunked("5\r\nhello!!0\r\n\r\n"),
            &["400"],
        ),
        closed(
            "a bare LF in a trailer",
            chunked("0\r\nA: b\nC: d\r\n\r\n"),
            &["400"],
        ),
        closed(
            "a bare CR in a trailer",
            chunked("0\r\nA: b\r\r\n\r\n"),
            &["400"],
        ),
        open(
            "trailers by the letter",
            chunked("0\r\nA:b\r\nC: \t d \t \r\nE:\r\nF: \u{e4}\r\n\r\n"),
            &["200 "],
        ),
        closed(
            "a trailer with a space before the colon",
            chunked("0\r\nA : b\r\n\r\n"),
            &["400"],
        ),
        closed(
            "a trailer without a colon",
            chunked("0\r\nA\r\n\r\n"),
            &["400"],
        ),
        closed(
            "a trailer without a name",
            chunked("0\r\n: b\r\n\r\n"),
            &["400"],
        ),
        closed(
            "a name in a trailer that is none",
            chunked("0\r\nA(: b\r\n\r\n"),
            &["400"],
        ),
        closed(
            "a control in a trailer",
            chunked("0\r\nA: b\x08\r\n\r\n"),
            &["400"],
        ),
        closed(
            "a folded trailer",
            chunked("0\r\nA: b\r\n c: d\r\n\r\n"),
            &["400"],
        ),
        closed(
            "trailers folded at once",
            chunked("0\r\n\tA: b\r\n\r\n"),
            &["400"],
        ),
        closed(
            "a request in place of trailers",
            chunked("0\r\nGET /a:b HTTP/1.1\r\nHost: a\r\n\r\n"),
            &["400"],
        ),
        closed("a chunk too large", chunked("100001\r\nhello"), &["413"]),
        closed(
            "chunks too large",
            chunked("5\r\nhello\r\n100000\r\nhello"),
            &["413"],
        ),
        closed(
            "a large size",
            chunked("ffffffffffffffff\r\nhello"),
            &["413"],
        ),
        closed(
            "too many digits",
            chunked("10000000000000005\r\nhello"),
            &["413"],
        ),
        // Expected.
        open(
            "100-continue",
            post("Content-Length: 5\r\nExpect: 100-continue\r\n", "hello"),
            &["100", "200 hello"],
        ),
        open(
            "in any case, and chunks",
            post(
                "Transfer-Encoding: chunked\r\nExpect: 100-Continue\r\n",
                hello,
            ),
            &["100", "200 hello"],
        ),
        closed(
            "100-continue of too much",
            post("Content-Length: 1048577\r\nExpect: 100-continue\r\n", ""),
            &["413"],
        ),
        closed(
            "100-continue of what is not taken",
            with(
                "PUT /a.txt",
                "Content-Length: 5\r\nExpect: 100-continue\r\n",
                "hello",
            ),
            &["405"],
        ),
        open(
            "100-continue of nothing",
            get("Expect: 100-continue\r\n"),
            super::HELLO,
        ),
        closed(
            "100-continue in 1.0",
            "POST /echo HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
            &["200 hello"],
        ),
        open(
            "nothing",
            post("Content-Length: 5\r\nExpect: ,\r\n", "hello"),
            &["200 hello"],
        ),
        open(
            "the same twice",
            post(
                "Content-Length: 5\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n",
                "hello",
            ),
            &["100", "200 hello"],
        ),
        closed(
            "something else",
            post("Content-Length: 5\r\nExpect: wonders\r\n", "hello"),
            &["417"],
        ),
        // Not asked for: never the next request.
        closed(
            "GET",
            with("GET /plaintext", "Content-Length: 33\r\n", next),
            super::HELLO,
        ),
        closed(
            "HEAD",
            with("HEAD /a.txt", "Content-Length: 33\r\n", next),
            &["HEAD 200 7"],
        ),
        closed(
            "GET of a file",
            with("GET /a.txt", "Content-Length: 33\r\n", next),
            &["200 a text\n"],
        ),
        closed(
            "GET of nothing",
            with("GET /no", "Content-Length: 33\r\n", next),
            &["404"],
        ),
        closed(
            "GET of /echo",
            with("GET /echo", "Content-Length: 33\r\n", next),
            &["405"],
        ),
        closed(
            "POST of a file",
            with("POST /a.txt", "Content-Length: 33\r\n", next),
            &["405"],
        ),
        closed(
            "unknown",
            with("BREW /", "Content-Length: 33\r\n", next),
            &["501"],
        ),
        closed(
            "CONNECT",
            with("CONNECT a:80", "Content-Length: 33\r\n", next),
            &["405"],
        ),
        closed(
            "in chunks",
            with("GET /plaintext", "Transfer-Encoding: chunked\r\n", "21\r\n")
                + next
                + "\r\n0\r\n\r\n",
            super::HELLO,
        ),
        closed(
            "much",
            with(
                "GET /plaintext",
                "Content-Length: 99999999999999999999\r\n",
                "",
            ),
            super::HELLO,
        ),
        open(
            "none after all",
            with("GET /plaintext", "Content-Length: 0\r\n", ""),
            super::HELLO,
        ),
    ]
}
