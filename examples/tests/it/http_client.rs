//! The client that prints pages, against servers of all kinds.

#![cfg(target_os = "linux")] // for /proc

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use crate::common::{DEADLINE, Reaped, Server, Usage, example, has_tool, run, wait_until};
use chat::SockRef;

/// Bytes of a page that takes many reads.
const LONG: usize = 1024 * 1024;

fn client(urls: &[String]) -> Command {
    let mut command = example("http_client");
    command.args(urls);
    command
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let addr = listener.local_addr().expect("it is bound");
    (listener, addr.to_string())
}

/// Accepts a connection, and reads its request.
fn accept(listener: &TcpListener) -> (TcpStream, String) {
    listener.set_nonblocking(true).expect("it is a socket");
    let mut accepted = None;
    wait_until("it connects", || {
        accepted = listener.accept().ok();
        accepted.is_some()
    });
    let (stream, _) = accepted.expect("it has connected");
    stream.set_nonblocking(false).expect("it is a socket");
    stream.set_read_timeout(Some(DEADLINE)).expect("not zero");
    let mut reader = BufReader::new(&stream);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        let read = reader.read_line(&mut request).expect("it asks");
        assert!(read > 0, "the end after {request:?}");
    }
    (stream, request)
}

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

/// The client as a process, whose output is read as it comes.
struct Running {
    process: Reaped,
    stdout: Receiver<u8>,
}

impl Running {
    fn start(urls: &[String]) -> Self {
        let child = client(urls)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut process = Reaped(child.expect("it starts"));
        let output = process.0.stdout.take().expect("it is piped");
        let (tell, stdout) = mpsc::channel();
        thread::spawn(move || {
            for byte in BufReader::new(output).bytes().map_while(Result::ok) {
                let _ = tell.send(byte);
            }
        });
        Self { process, stdout }
    }

    /// What it prints next.
    fn expect(&self, text: &str) {
        for (at, expected) in text.bytes().enumerate() {
            let byte = self.stdout.recv_timeout(DEADLINE);
            assert_eq!(byte, Ok(expected), "at {at} of {text:?}");
        }
    }

    /// Waits until it has ended, with nothing more to print: its status, and
    /// stderr.
    fn end(mut self) -> (Option<i32>, String) {
        let status = self.process.wait();
        let rest: Vec<u8> = self.stdout.iter().collect();
        assert_eq!(rest, b"", "{}", rest.escape_ascii());
        let mut log = String::new();
        let mut stderr = self.process.0.stderr.take().expect("it is piped");
        stderr.read_to_string(&mut log).expect("UTF-8");
        (status.code(), log)
    }
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
        stream.write_all(b"whatever").expect("it reads");
        drop(stream);
        client.expect("whatever");
        assert_eq!(client.end().0, Some(0));
    }
}

#[test]
fn an_address_of_ip_6_stands_in_brackets() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        let _ = writeln!(std::io::stderr(), "skipped: no IPv6");
        return;
    };
    let addr = listener.local_addr().expect("it is bound");
    let client = Running::start(&[format!("http://{addr}/")]);
    accept(&listener).0.write_all(b"six").expect("it reads");
    client.expect("six");
    assert_eq!(client.end().0, Some(0));
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
        write!(stream, "answer{number}").expect("it reads");
        stream.shutdown(Shutdown::Write).expect("it is connected");
        client.expect(&format!("answer{number}"));
    }
    assert_eq!(client.end().0, Some(0));
}

#[test]
fn while_it_waits_it_rests() {
    let (listener, addr) = listener();
    let client = Running::start(&[format!("http://{addr}/")]);
    let (mut stream, _) = accept(&listener);
    stream.write_all(b"half").expect("it reads");
    let usage = || Usage::of(client.process.0.id());
    wait_until("it rests", || {
        let before = usage();
        thread::sleep(Duration::from_millis(250));
        let after = usage();
        (before.ticks, before.sleeps) == (after.ticks, after.sleeps)
    });
    stream.write_all(b" and half").expect("it reads");
    drop(stream);
    client.expect("half and half");
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
    accept(&listener)
        .0
        .write_all(b"the rest")
        .expect("it reads");
    client.expect("the rest");
    let (status, log) = client.end();
    assert_eq!(status, Some(1), "{log}");
    for complaint in [
        &format!("http://{refused}/: cannot connect: Connection refused"),
        "ftp://127.0.0.1/: no http:// URL",
        "http://no.such.host.invalid/: ",
    ] {
        assert!(log.contains(complaint), "{log}");
    }
    assert_eq!(log.lines().count(), 3, "{log}");
}

#[test]
fn an_answer_that_does_not_come_or_is_cut_off_is_a_failure() {
    let (listener, addr) = listener();
    for (answer, complaint) in [("", "closed by the peer"), ("half", "Connection reset")] {
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
    assert_eq!(client.end().0, Some(1));
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
        assert!(stderr.contains("http://HOST[:PORT]/PATH"), "{stderr}");
    }
}
