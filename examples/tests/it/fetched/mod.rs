//! What the tests of the HTTP client share: the client, and the server that this test
//! is.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::common::{DEADLINE, Reaped, example, wait_until};

pub(crate) fn client(urls: &[String]) -> Command {
    let mut command = example("http_client");
    command.args(urls);
    command
}

pub(crate) fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let addr = listener.local_addr().expect("it is bound");
    (listener, addr.to_string())
}

/// Accepts a connection, and reads its request.
pub(crate) fn accept(listener: &TcpListener) -> (TcpStream, String) {
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

/// An answer of HTTP/1.0, which ends with the connection.
pub(crate) fn answer(body: &str) -> String {
    format!("HTTP/1.0 200 OK\r\n\r\n{body}")
}

/// The client as a process, whose output is read as it comes.
pub(crate) struct Running {
    pub(crate) process: Reaped,
    stdout: Receiver<u8>,
}

impl Running {
    pub(crate) fn start(urls: &[String]) -> Self {
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
    pub(crate) fn expect(&self, text: &str) {
        for (at, expected) in text.bytes().enumerate() {
            let byte = self.stdout.recv_timeout(DEADLINE);
            assert_eq!(byte, Ok(expected), "at {at} of {text:?}");
        }
    }

    /// Waits until it has ended, with nothing more to print: its status, and
    /// stderr.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let status = self.process.wait();
        let rest: Vec<u8> = self.stdout.iter().collect();
        assert_eq!(rest, b"", "{}", rest.escape_ascii());
        let mut log = String::new();
        let mut stderr = self.process.0.stderr.take().expect("it is piped");
        stderr.read_to_string(&mut log).expect("UTF-8");
        (status.code(), log)
    }
}
