//! The client that prints pages, against servers of all kinds.

#![cfg(target_os = "linux")] // for /proc

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use chat::SockRef;

use crate::common::{Reaped, Server, Usage, has_tool, run, wait_until};
use crate::fetched::{Running, accept, answer, client, listener};

/// Bytes of a page that takes many reads.
const LONG: usize = 1024 * 1024;

/// A folder of this test's own, with a page.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    fs::create_dir_all(&folder).expect("a folder can be made");
    fs::write(folder.join("page.txt"), "a page\n").expect("a file can be made");
    fs::write(folder.join("long.txt"), "~".repeat(LONG)).expect("as before");
    folder
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head").1
}

#[test]
fn pythons_web_server_is_asked_and_its_answers_are_printed() {
    if !has_tool("python3") {
        return;
    }
    let mut command = Command::new("python3");
    command.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]);
    command.arg("--directory").arg(folder("client_of_python"));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut server = Reaped(child.expect("it starts"));
    let mut first = String::new();
    let mut lines = BufReader::new(server.0.stdout.take().expect("it is piped"));
    lines.read_line(&mut first).expect("it says where");
    let mut words = first.split(' ').skip_while(|&word| word != "port");
    let port = words.nth(1).expect("a port");

    let url = |path| format!("http://127.0.0.1:{port}/{path}");
    let (status, page, stderr) = run(client(&[url("page.txt")]));
    assert!(status.success(), "{stderr}");
    assert!(
        page.starts_with("HTTP/1.0 200 OK\r\nServer: SimpleHTTP"),
        "{page}"
    );
    assert_eq!(body(&page), "a page\n");
    let (status, long, stderr) = run(client(&[url("long.txt")]));
    assert!(status.success(), "{stderr}");
    assert_eq!(body(&long), "~".repeat(LONG));
    let (_, missing, _) = run(client(&[url("no.txt")]));
    assert!(missing.starts_with("HTTP/1.0 404 "), "{missing}");
}

#[test]
fn the_web_server_of_the_examples_is_asked_and_its_answers_are_printed() {
    let root = folder("client_of_examples");
    let server = Server::start_with("http", &["--root", root.to_str().expect("UTF-8")]);
    let url = |path| format!("http://{}/{path}", server.addr);
    let (status, page, stderr) = run(client(&[url("page.txt")]));
    assert!(status.success(), "{stderr}");
    assert!(page.starts_with("HTTP/1.0 200 OK\r\n") || page.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(body(&page), "a page\n");
    // One loop gets them all; how they are mixed in the output is open.
    let (status, pages, stderr) = run(client(&vec![url("long.txt"); 20]));
    assert!(status.success(), "{stderr}");
    assert_eq!(pages.matches("200 OK").count(), 20);
    assert_eq!(pages.matches('~').count(), 20 * LONG);
}

#[test]
fn the_request_is_that_of_the_documents() {
    let (listener, addr) = listener();
    for (path, expected) in [("", "/"), ("/", "/"), ("/a/b?c=d%20", "/a/b?c=d%20")] {
        let client = Running::start(&[format!("http://{addr}{path}")]);
        let (mut stream, request) = accept(&listener);
        assert_eq!(
            request,
            format!("GET {expected} HTTP/1.0\r\nHost: {addr}\r\n\r\n")
        );
        let whatever = answer("whatever");
        stream.write_all(whatever.as_bytes()).expect("it reads");
        drop(stream);
        client.expect(&whatever);
        assert_eq!(client.end().0, Some(0));
    }
}

#[test]
fn all_pages_are_got_at_once() {
    let (listener, addr) = listener();
    let urls: Vec<String> = (0..5).map(|n| format!("http://{addr}/{n}")).collect();
    let client = Running::start(&urls);
    // None is answered before all have asked, and the last one first.
    let mut asked: Vec<(TcpStream, String)> = (0..5).map(|_| accept(&listener)).collect();
    asked.sort_by(|(_, one), (_, other)| other.cmp(one));
    for (number, (stream, _)) in asked.iter_mut().enumerate() {
        let answer = answer(&format!("answer{number}"));
        stream.write_all(answer.as_bytes()).expect("it reads");
        stream.shutdown(Shutdown::Write).expect("it is connected");
        client.expect(&answer);
    }
    assert_eq!(client.end().0, Some(0));
}

/// All that comes in one turn is more than is kept of records that cannot wait.
#[test]
fn a_reader_that_is_slow_gets_many_long_pages_whole() {
    const PAGES: usize = 40;
    const LEN: usize = 200_000;

    let (listener, addr) = listener();
    let child = client(&vec![format!("http://{addr}/"); PAGES])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut process = Reaped(child.expect("it starts"));
    let page = answer(&"~".repeat(LEN));
    for mut stream in [(); PAGES].map(|()| accept(&listener).0) {
        stream
            .write_all(page.as_bytes())
            .expect("it fits into the sockets");
    }
    let mut stdout = process.0.stdout.take().expect("it is piped");
    let mut pages = String::new();
    stdout.read_to_string(&mut pages).expect("UTF-8");
    let mut log = String::new();
    let mut stderr = process.0.stderr.take().expect("it is piped");
    stderr.read_to_string(&mut log).expect("UTF-8");
    assert!(process.wait().success(), "{log}");
    assert_eq!(pages.matches('~').count(), PAGES * LEN);
}

#[test]
fn while_it_waits_it_rests() {
    let (listener, addr) = listener();
    let client = Running::start(&[format!("http://{addr}/")]);
    let (mut stream, _) = accept(&listener);
    let half = answer("half");
    stream.write_all(half.as_bytes()).expect("it reads");
    client.expect(&half);
    let usage = || Usage::of(client.process.0.id());
    wait_until("it rests", || {
        let before = usage();
        thread::sleep(Duration::from_millis(250));
        let after = usage();
        (before.ticks, before.sleeps) == (after.ticks, after.sleeps)
    });
    stream.write_all(b" and half").expect("it reads");
    drop(stream);
    client.expect(" and half");
    assert_eq!(client.end().0, Some(0));
}

#[test]
fn what_cannot_be_had_is_reported_and_the_rest_is_printed() {
    let (closed, refused) = listener();
    drop(closed);
    let (listener, addr) = listener();
    let urls = [
        format!("http://{refused}/"),
        "ftp://127.0.0.1/".to_owned(),
        "http://no.such.host.invalid/".to_owned(),
        format!("http://{addr}/"),
    ];
    let client = Running::start(&urls);
    let rest = answer("the rest");
    let (mut stream, _) = accept(&listener);
    stream.write_all(rest.as_bytes()).expect("it reads");
    drop(stream);
    client.expect(&rest);
    let (status, log) = client.end();
    assert_eq!(status, Some(1), "{log}");
    for complaint in [
        &format!("http://{refused}/: cannot connect: Connection refused"),
        "ftp://127.0.0.1/: no http:// or https:// URL",
        "http://no.such.host.invalid/: ",
    ] {
        assert!(log.contains(complaint), "{log}");
    }
    assert_eq!(log.lines().count(), 3, "{log}");
}

/// Nothing is waited for: the system says at once that TCP knows no broadcast.
#[test]
fn when_no_connection_can_even_begin_it_ends() {
    for urls in [1, 3] {
        let (status, _, log) = run(client(&vec!["http://255.255.255.255/".to_owned(); urls]));
        assert_eq!(status.code(), Some(1), "{log}");
        assert_eq!(log.matches("cannot connect").count(), urls, "{log}");
    }
}

#[test]
fn an_answer_that_does_not_come_or_is_cut_off_is_a_failure() {
    let (listener, addr) = listener();
    let half = answer("half");
    for (answer, complaint) in [(String::new(), "cut short"), (half, "Connection reset")] {
        let server = thread::spawn({
            let listener = listener.try_clone().expect("descriptors are left");
            move || {
                let (mut stream, _) = accept(&listener);
                if !answer.is_empty() {
                    stream.write_all(answer.as_bytes()).expect("it reads");
                    let linger = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                    linger.expect("it is a socket");
                }
            }
        });
        let (status, _, stderr) = run(client(&[format!("http://{addr}/")]));
        server.join().expect("no panic");
        assert_eq!(status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(complaint), "{stderr}");
    }
}

#[test]
fn a_signal_ends_it_before_the_answer_has_come() {
    let (listener, addr) = listener();
    let client = Running::start(&[format!("http://{addr}/")]);
    let (mut stream, _) = accept(&listener);
    let kill = Command::new("sh")
        .args([
            "-c",
            "kill -TERM \"$0\"",
            &client.process.0.id().to_string(),
        ])
        .status();
    assert!(kill.is_ok_and(|status| status.success()));
    assert_eq!(client.end().0, None, "not by itself");
    assert_eq!(stream.read(&mut [0; 1]).expect("it is closed"), 0);
}

#[test]
fn a_stdout_that_nobody_reads_is_a_failure_and_no_panic() {
    let (listener, addr) = listener();
    let (stdout, reader) = UnixStream::pair().expect("descriptors are left");
    drop(reader);
    let child = client(&[format!("http://{addr}/")])
        .stdout(Stdio::from(OwnedFd::from(stdout)))
        .stderr(Stdio::null())
        .spawn();
    let mut child = Reaped(child.expect("it starts"));
    let (mut stream, _) = accept(&listener);
    stream.write_all(b"line\n").expect("it reads");
    assert_eq!(child.wait().code(), Some(1));
}

#[test]
fn without_a_url_it_ends_with_status_2_and_says_what_it_takes() {
    for arguments in [&[][..], &["--help".to_owned()]] {
        let (status, stdout, stderr) = run(client(arguments));
        assert_eq!(status.code(), Some(2), "{stderr}");
        assert_eq!(stdout, "");
        assert!(stderr.contains("http[s]://HOST[:PORT]/PATH"), "{stderr}");
    }
}
