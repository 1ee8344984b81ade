//! The client that prints pages, and what it makes of URLs.

#![cfg(target_os = "linux")] // for /proc

use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;

use crate::common::{example, run};
use crate::fetched::{Running, accept, answer, client, listener};

/// Gets a URL, and returns the request.
fn request(listener: &TcpListener, url: String) -> String {
    let client = Running::start(&[url]);
    let (mut stream, request) = accept(listener);
    let page = answer("page");
    stream.write_all(page.as_bytes()).expect("it reads");
    drop(stream);
    client.expect(&page);
    let (status, log) = client.end();
    assert_eq!((status, &*log), (Some(0), ""), "{request:?}");
    request
}

#[test]
fn a_query_goes_along_and_a_fragment_does_not() {
    let (listener, addr) = listener();
    for (rest, target) in [
        ("?x", "/?x"),
        ("?a/b?c", "/?a/b?c"),
        ("#top", "/"),
        ("/a#b?c#d", "/a"),
        ("?x#/y", "/?x"),
        ("/%0D%0A%20", "/%0D%0A%20"),
        ("/a@b:c//[d]", "/a@b:c//[d]"),
    ] {
        assert_eq!(
            request(&listener, format!("HTTP://{addr}{rest}")),
            format!("GET {target} HTTP/1.0\r\nHost: {addr}\r\n\r\n"),
            "{rest}"
        );
    }
    let port = listener.local_addr().expect("it is bound").port();
    assert_eq!(
        request(&listener, format!("http://localhost:0{port}/")),
        format!("GET / HTTP/1.0\r\nHost: localhost:{port}\r\n\r\n")
    );
}

#[test]
fn an_address_of_ip_6_stands_in_brackets_and_its_zone_stays_here() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        let _ = writeln!(std::io::stderr(), "skipped: no IPv6");
        return;
    };
    let port = listener.local_addr().expect("it is bound").port();
    let interfaces = fs::read_to_string("/proc/net/if_inet6").expect("there is IPv6");
    let mut interfaces = interfaces.lines().map(|line| line.split(' '));
    let index = interfaces.find_map(|mut words| match words.next() {
        Some("00000000000000000000000000000001") => words.next(),
        _ => None,
    });
    let index = u32::from_str_radix(index.expect("it listens there"), 16);
    let index = index.expect("a number");
    for host in [
        "[::1]",
        &format!("[::1%25{index}]"),
        &format!("[::1%{index}]"),
    ] {
        assert_eq!(
            request(&listener, format!("http://{host}:{port}/")),
            format!("GET / HTTP/1.0\r\nHost: [::1]:{port}\r\n\r\n"),
            "{host}"
        );
    }
    // A zone may be a name, too: it is resolved.
    let (_, _, log) = run(client(&["http://[fe80::1%25no-such-zone]/".to_owned()]));
    assert!(log.contains("lookup"), "{log}");
}

#[test]
fn a_url_that_is_none_is_refused_and_nobody_is_asked() {
    let (listener, addr) = listener();
    let urls = [
        (format!("http://{addr}/ HTTP/1.0\r\nX: y"), "%-encoded"),
        (format!("http://{addr}/\r\nX:y"), "%-encoded"),
        (format!("http://{addr}/\n"), "%-encoded"),
        (format!("http://{addr}/a b"), "%-encoded"),
        (format!("http://{addr}/#a b"), "%-encoded"),
        (format!("http://{addr}/ü"), "%-encoded"),
        (format!("http://{addr}\t/"), "%-encoded"),
        (format!("http://me@{addr}/"), "user name"),
        (format!("http://me:secret@{addr}/"), "user name"),
        (format!("http://@{addr}/"), "user name"),
        (format!("ftp://{addr}/"), "no http:// or https:// URL"),
        (format!("http:/{addr}/"), "no http:// or https:// URL"),
        (format!("{addr}/"), "no http:// or https:// URL"),
        ("http://".to_owned(), "no host"),
        ("http:///path".to_owned(), "no host"),
        ("http://?query".to_owned(), "no host"),
        ("http://:80/".to_owned(), "no host"),
        ("http://::1/".to_owned(), "no host"),
        ("http://127.0.0.1:http/".to_owned(), "invalid port"),
        ("http://127.0.0.1:+80/".to_owned(), "invalid port"),
        ("http://127.0.0.1:80:80/".to_owned(), "invalid port"),
        ("http://[::1]80/".to_owned(), "invalid port"),
        ("http://127.0.0.1:0/".to_owned(), "no such port"),
        ("http://127.0.0.1:65536/".to_owned(), "no such port"),
        ("http://127.0.0.1\\a/".to_owned(), "invalid host"),
        ("http://%31/".to_owned(), "invalid host"),
        ("http://[::1/".to_owned(), "without its ]"),
        ("http://[127.0.0.1]/".to_owned(), "no IPv6 address"),
        ("http://[]/".to_owned(), "no IPv6 address"),
        ("http://[::1%]/".to_owned(), "invalid zone"),
        ("http://[::1%25a/b]/".to_owned(), "without its ]"),
        ("http://[::1%25a:b]/".to_owned(), "invalid zone"),
    ];
    for (url, complaint) in urls {
        let (status, stdout, log) = run(client(std::slice::from_ref(&url)));
        assert_eq!((status.code(), &*stdout), (Some(1), ""), "{url:?}: {log}");
        assert!(log.contains(complaint), "{url:?}: {log}");
        assert_eq!(log.lines().count(), 1, "{url:?}: {log}");
    }
    listener.set_nonblocking(true).expect("it is a socket");
    let asked = listener.accept().map_err(|error| error.kind());
    assert_eq!(asked.err(), Some(ErrorKind::WouldBlock));
}

#[test]
fn an_argument_that_is_not_utf_8_is_refused_and_no_panic() {
    let mut command = example("http_client");
    command.arg(OsStr::from_bytes(b"http://127.0.0.1/\xff"));
    let (status, _, log) = run(command);
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("%-encoded"), "{log}");
}
