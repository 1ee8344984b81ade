//! The web server and requests, byte by byte: what is answered, and what is not.

#![cfg(target_os = "linux")] // for /proc

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::common::{Client, Server, example};
use crate::http::{Answer, Site, without_dates};
use crate::http_cases::{Case, End, bodies, fields, heads, paths};

/// Comes after every case's bytes. It is answered if the connection stays, and
/// never if it does not.
const PROBE: &[u8] = b"GET /a.txt HTTP/1.1\r\nHost: probe\r\n\r\n";

#[test]
fn request_lines_are_answered_as_the_rfc_says_however_they_are_cut() {
    check("request_lines", &heads::cases(), 40);
}

#[test]
fn fields_are_answered_as_the_rfc_says_however_they_are_cut() {
    check("fields", &fields::cases(), 40);
}

#[test]
fn bodies_are_answered_as_the_rfc_says_however_they_are_cut() {
    check("bodies", &bodies::cases(), 50);
}

#[test]
fn files_under_the_root_are_answered_and_nothing_else() {
    check("paths", &paths::cases(), 30);
}

#[test]
fn requests_that_are_too_long_are_refused_however_they_are_cut() {
    check("long", &heads::long_cases(), 9);
}

/// Every case in one piece, then all of them byte by byte, in turns: what the
/// server reads of one is a byte or two.
fn check(table: &str, cases: &[Case], at_least: usize) {
    assert!(cases.len() >= at_least, "{} cases", cases.len());
    let site = Site::new(table);
    let mut command = example("http");
    command
        .env("RUST_LOG", "warn")
        .args(["--root", site.root()]);
    let server = Server::spawn(command);
    let mut wrong = Vec::new();
    let whole: Vec<Vec<u8>> = cases
        .iter()
        .map(|case| {
            let stream = connect(server.addr);
            send(&stream, &case.with_probe());
            hear(stream, case)
        })
        .collect();
    let streams: Vec<TcpStream> = cases.iter().map(|_| connect(server.addr)).collect();
    let inputs: Vec<Vec<u8>> = cases.iter().map(Case::with_probe).collect();
    for at in 0..inputs.iter().map(Vec::len).max().unwrap_or_default() {
        for (stream, input) in streams.iter().zip(&inputs) {
            send(
                stream,
                &input[at.min(input.len())..(at + 1).min(input.len())],
            );
        }
    }
    for ((case, stream), whole) in cases.iter().zip(streams).zip(whole) {
        let cut = without_dates(&hear(stream, case));
        if let Err(what) = case.verdict(&whole) {
            let got = without_dates(&whole);
            wrong.push(format!("{}: {what}; got {got}", case.name));
        } else if cut != without_dates(&whole) {
            wrong.push(format!("{}: byte by byte: got {cut}", case.name));
        }
    }
    let (count, all) = (wrong.len(), cases.len());
    assert!(wrong.is_empty(), "{count} of {all}:\n{}", wrong.join("\n"));
    // Nothing of all that was too much for it.
    let mut client = Client::connect(server.addr);
    client.send(PROBE);
    client.expect("HTTP/1.1 200 OK\r\n");
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("the server accepts");
    stream.set_nodelay(true).expect("it is a TCP socket");
    // Less than the server gives a head: what it does not close is seen.
    for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
        set(&stream, Some(Duration::from_secs(5))).expect("not zero");
    }
    stream
}

fn send(mut stream: &TcpStream, data: &[u8]) {
    // A server that has refused may be gone before all is sent.
    let _ = stream.write_all(data);
}

/// All that is answered. If the connection is to be closed, that is the
/// server's to do.
fn hear(mut stream: TcpStream, case: &Case) -> Vec<u8> {
    if case.end == End::Open {
        // An error says that the server has closed, which is seen below.
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut heard = Vec::new();
    if let Err(error) = stream.read_to_end(&mut heard) {
        heard.extend_from_slice(format!("[{error}]").as_bytes());
    }
    heard
}

impl Case {
    fn with_probe(&self) -> Vec<u8> {
        [&self.request, PROBE].concat()
    }

    /// What is wrong with what was heard.
    fn verdict(&self, mut heard: &[u8]) -> Result<(), String> {
        for (number, expected) in self.answers.iter().enumerate() {
            let (is_head, expected) = match expected.strip_prefix("HEAD ") {
                Some(expected) => (true, expected),
                None => (false, *expected),
            };
            let (status, body) = expected.split_once(' ').unzip();
            let status = status.unwrap_or(expected);
            let answer = Answer::take(&mut heard, is_head).ok_or("no answer")?;
            if answer.status.to_string() != status {
                return Err(format!("{} is not {status}", answer.status));
            }
            if status == "100" {
                continue;
            }
            match body {
                Some(len) if is_head && answer.field("Content-Length") == Some(len) => {}
                Some(body) if !is_head && answer.body == body.as_bytes() => {}
                None => {}
                Some(body) => return Err(format!("the body is not {body:?}")),
            }
            if answer.field("Date").is_none() || answer.field("Content-Type").is_none() {
                return Err("no date, or no type".to_owned());
            }
            if (status == "405") != answer.field("Allow").is_some() {
                return Err("405 has a list of methods".to_owned());
            }
            let is_last = self.end == End::Closed && number + 1 == self.answers.len();
            if is_last != (answer.field("Connection") == Some("close")) {
                return Err("whether it closes is not what it says".to_owned());
            }
        }
        if self.end == End::Open {
            let probe = Answer::take(&mut heard, false).ok_or("it does not go on")?;
            if (probe.status, probe.body) != (200, b"a text\n") {
                return Err("the next request is not what it was".to_owned());
            }
        }
        match heard {
            [] => Ok(()),
            _ => Err("more than that".to_owned()),
        }
    }
}
