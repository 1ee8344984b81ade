//! The client that prints pages, and where answers end: whole, cut short, or in doubt.

#![cfg(target_os = "linux")] // for /proc

use std::io::Write;
use std::net::Shutdown;
use std::thread;

use crate::common::run;
use crate::fetched::{Running, accept, client, listener};

/// Gets `answer` from a server that sends `rest` after it and then closes, or says nothing
/// more. Checks that the answer alone is printed. Returns the exit status and stderr.
fn get(answer: &str, rest: &str, closes: bool) -> (Option<i32>, String) {
    let (listener, addr) = listener();
    let client = Running::start(&[format!("http://{addr}/")]);
    let (mut stream, _) = accept(&listener);
    write!(stream, "{answer}{rest}").expect("it reads");
    if closes {
        stream.shutdown(Shutdown::Write).expect("it is connected");
    }
    client.expect(answer);
    client.end()
}

#[test]
fn an_answer_ends_where_its_head_says_so_and_the_rest_is_not_printed() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\ncontent-length: 05 \r\nCONTENT-LENGTH: 05, 05\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n\
         00B ;a=\"b\"\r\nhello\r\nyou!\r\n0;last\r\nOne: 1\r\nTwo: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n\
         1\r\n?\r\n0\r\n\r\n",
    ] {
        for (rest, closes) in [("", false), ("", true), ("HTTP/1.1 200 OK\r\n", false)] {
            let (status, log) = get(answer, rest, closes);
            assert_eq!((status, &*log), (Some(0), ""), "{answer:?}, then {rest:?}");
        }
    }
}

#[test]
fn an_answer_that_does_not_say_so_ends_with_the_connection() {
    for answer in [
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.1 200\r\n\r\n\r\n\r\n0\r\n\r\nand so on",
        "HTTP/1.0 302 Found\r\nLocation: /\r\n\r\nthere",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n\x1f...",
    ] {
        let (status, log) = get(answer, "", true);
        assert_eq!((status, &*log), (Some(0), ""), "{answer:?}");
    }
}

#[test]
fn wherever_an_answer_is_cut_short_it_is_printed_and_a_failure() {
    for answer in [
        "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
         5;a\r\nhello\r\n0\r\nOne: 1\r\n\r\n",
    ] {
        let (listener, addr) = listener();
        let urls: Vec<_> = (0..answer.len())
            .map(|len| format!("http://{addr}/{len}/"))
            .collect();
        let client = Running::start(&urls);
        for _ in &urls {
            let (mut stream, request) = accept(&listener);
            let len = request.split('/').nth(1).expect("a path");
            let cut = &answer[..len.parse().expect("it is ours")];
            stream.write_all(cut.as_bytes()).expect("it reads");
            drop(stream);
            client.expect(cut);
        }
        let (status, log) = client.end();
        assert_eq!(status, Some(1), "{log}");
        for url in &urls {
            assert!(log.contains(&format!("{url}: cut short")), "{url}: {log}");
        }
        assert_eq!(log.lines().count(), urls.len(), "{log}");
    }
}

/// The server does not close: the client knows by itself.
#[test]
fn an_answer_whose_end_is_in_doubt_is_a_failure_that_says_why() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let with = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
    for (answer, complaint) in [
        (with("Content-Length: 5\r\nContent-Length: 6"), "differ"),
        (with("Content-Length: 5, 6"), "differ"),
        (with("Content-Length: +5"), "invalid Content-Length"),
        (with("Content-Length: -5"), "invalid Content-Length"),
        (with("Content-Length: 0x5"), "invalid Content-Length"),
        (with("Content-Length: ,5"), "invalid Content-Length"),
        (with("Content-Length:"), "invalid Content-Length"),
        (
            with("Content-Length: 99999999999999999999"),
            "Content-Length is too large",
        ),
        (
            with("Transfer-Encoding: chunked\r\nContent-Length: 5"),
            "with Content-Length",
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            "in HTTP/1.0",
        ),
        (
            with("Transfer-Encoding: chunked, chunked"),
            "invalid Transfer-Encoding",
        ),
        (
            with("Transfer-Encoding: chunked, gzip"),
            "invalid Transfer-Encoding",
        ),
        (
            with("Transfer-Encoding: xchunked"),
            "invalid Transfer-Encoding",
        ),
        (with("Transfer-Encoding:"), "invalid Transfer-Encoding"),
        (with("Content-Length : 5"), "invalid head"),
        (with("A: b\nContent-Length: 5"), "lone CR or LF"),
        (with("A: b\rContent-Length: 5"), "lone CR or LF"),
        (with("A: b\r\n folded"), "invalid head"),
        (with(&["A: b"; 101].join("\r\n")), "too many headers"),
        (
            "HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(),
            "not asked for",
        ),
        ("HTTP/1.1 099 Low\r\n\r\n".to_owned(), "invalid status"),
        ("HTTP/1.1 OK\r\n\r\n".to_owned(), "invalid head"),
        ("HTTP/2.0 200 OK\r\n\r\n".to_owned(), "none of HTTP"),
        ("\r\nHTTP/1.0 200 OK\r\n\r\n".to_owned(), "none of HTTP"),
        ("SSH-2.0-OpenSSH\r\n\r\n".to_owned(), "none of HTTP"),
        (format!("{chunked}\r\n"), "invalid chunk size"),
        (format!("{chunked}+5\r\n"), "invalid chunk size"),
        (format!("{chunked}0x5\r\n"), "invalid chunk size"),
        (format!("{chunked}5 5\r\n"), "invalid chunk size"),
        (format!("{chunked}5;\n\r\n"), "invalid chunk size"),
        (
            format!("{chunked}10000000000000000\r\n"),
            "chunks are too large",
        ),
        (format!("{chunked}5\r\nhello!!"), "longer than it says"),
        (format!("{chunked}0\r\nno trailer\r\n"), "invalid trailer"),
        (format!("{chunked}0\r\nA: b\nC: d\r\n"), "invalid trailer"),
    ] {
        let (status, log) = get(&answer, "", false);
        assert_eq!(status, Some(1), "{answer:?}: {log}");
        assert!(log.contains(complaint), "{answer:?}: {log}");
        assert_eq!(log.lines().count(), 1, "{answer:?}: {log}");
    }
}

#[test]
fn a_head_without_an_end_is_a_failure_after_64_kib() {
    let (listener, addr) = listener();
    let client = Running::start(&[format!("http://{addr}/")]);
    let (mut stream, _) = accept(&listener);
    let server = thread::spawn(move || {
        let line = format!("HTTP/1.0 200 OK\r\nA: {}", "a".repeat(65_536));
        // The client may close before it has all.
        let _ = stream.write_all(line.as_bytes());
    });
    client.expect("HTTP/1.0 200 OK\r\nA: aaa");
    client.expect(&"a".repeat(65_536 - "HTTP/1.0 200 OK\r\nA: aaa".len()));
    let (status, log) = client.end();
    server.join().expect("no panic");
    assert_eq!(status, Some(1), "{log}");
    assert!(log.contains("without an end"), "{log}");
}

/// CVE-2021-3737 of Python's client, and gh-150743: each piece is short and valid, and no
/// end in sight.
#[test]
fn an_answer_that_goes_on_without_a_body_is_a_failure() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    const FIELDS: &str = "heads and trailers are too long";
    const FRAMING: &str = "framing is too long for its body";
    for (begin, piece, complaint) in [
        ("", "HTTP/1.1 100 Continue\r\n\r\n".to_owned(), FIELDS),
        (&format!("{chunked}0\r\n"), "A: b\r\n".to_owned(), FIELDS),
        (chunked, format!("1;{}\r\n!\r\n", "a".repeat(100)), FRAMING),
    ] {
        let (listener, addr) = listener();
        let answer = format!("{begin}{}", piece.repeat(300_000 / piece.len()));
        let server = thread::spawn(move || {
            let (mut stream, _) = accept(&listener);
            // The client may close before it has all.
            let _ = stream.write_all(answer.as_bytes());
            stream // it stays open
        });
        let (status, _, log) = run(client(&[format!("http://{addr}/")]));
        server.join().expect("no panic");
        assert_eq!(status.code(), Some(1), "{piece:?}: {log}");
        assert!(log.contains(complaint), "{piece:?}: {log}");
    }
}

#[test]
fn small_chunks_are_no_framing_without_a_body() {
    let begin = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = format!("{begin}{}0\r\n\r\n", "1\r\n!\r\n".repeat(50_000));
    let (status, log) = get(&answer, "", false);
    assert_eq!((status, &*log), (Some(0), ""));
}
