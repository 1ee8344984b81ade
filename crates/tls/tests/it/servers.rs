//! Our client with servers of others: OpenSSL's, Python's and, by STARTTLS, aiosmtpd or as
//! much of a mail server as it takes.

use std::cell::RefCell;
use std::rc::Rc;

use chat::{AsyncChat, ChannelMap, Chat, CloseReason, Endpoint, MessageHandler, Result};
use tls::{Connector, Tls};

use crate::certificates;
use crate::tools::{Program, patience, talk};

fn connect(port: u16) -> Endpoint {
    let endpoint = Endpoint::connect(("127.0.0.1", port));
    Connector::new(certificates::client()).over("localhost", endpoint)
}

#[test]
fn openssl_sends_lines_back_reversed() {
    for version in ["-tls1_2", "-tls1_3"] {
        let line = format!("s_server -accept $PORT -cert $CERT -key $KEY -rev -quiet {version}");
        let Some(server) = Program::start("openssl", &line, None) else {
            return;
        };
        for _ in 0..2 {
            let said = talk(connect(server.port), "hello\nCLOSE\n");
            assert_eq!(said[..2], ["connected", "olleh"], "{version}");
        }
    }
}

/// It asks for a certificate, and we have none.
#[test]
fn openssl_turns_us_away_without_a_certificate() {
    let line = "s_server -accept $PORT -cert $CERT -key $KEY -CAfile $CA -Verify 1 -quiet -rev \
                -verify_return_error";
    if let Some(server) = Program::start("openssl", line, None) {
        let said = talk(connect(server.port), "hello\n");
        let last = said.last().unwrap();
        assert!(last.contains("alert"), "{said:?}");
    }
}

/// What it does with a line: sends it back, ends in an orderly way, ends without a word, in
/// the middle of one, or asks for new keys.
const PYTHON: &str = r#"
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
context.maximum_version = getattr(ssl.TLSVersion, sys.argv[4])
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    plain, _ = listener.accept()
    try:
        tls = context.wrap_socket(plain, server_side=True)
        tls.sendall(b"resumed\r\n" if tls.session_reused else b"new\r\n")
        for line in tls.makefile("rb"):
            if line == b"unwrap\n":
                tls.unwrap()
                tls.close()
                break
            elif line == b"truncate\n":
                tls.sendall(b"half of a li")
                socket.close(tls.detach())
                break
            tls.sendall(line)
        tls.close()
    except OSError:
        plain.close()
"#;

#[test]
fn python_ends_in_order_and_cuts_off() {
    for version in ["TLSv1_2", "TLSv1_3"] {
        let line = format!("$PORT $CERT $KEY {version}");
        let Some(server) = Program::start("python3", &line, Some(PYTHON)) else {
            return;
        };
        let said = talk(connect(server.port), "hello\nunwrap\n");
        assert_eq!(said, ["connected", "new\r", "hello", "Eof"]);
        let said = talk(connect(server.port), "hello\ntruncate\n");
        let (last, before) = said.split_last().unwrap();
        assert_eq!(before, ["connected", "new\r", "hello"]);
        assert!(last.starts_with("UnexpectedEof"), "{last}");
        let endpoint = Endpoint::connect(("127.0.0.1", server.port));
        let lenient = Connector::new(certificates::client()).lenient(true);
        let said = talk(lenient.over("localhost", endpoint), "truncate\n");
        assert_eq!(said, ["connected", "new\r", "Eof"]);
        let connector = Connector::new(certificates::client());
        for answer in ["new\r", "resumed\r"] {
            let endpoint = Endpoint::connect(("127.0.0.1", server.port));
            let said = talk(connector.over("localhost", endpoint), "hello\nunwrap\n");
            assert_eq!(said, ["connected", answer, "hello", "Eof"], "{version}");
        }
    }
}

/// Sends a mail by STARTTLS.
struct Sender {
    connector: Connector,
    log: Rc<RefCell<Vec<String>>>,
    said: usize,
}

impl MessageHandler for Sender {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        const WORDS: [&str; 7] = [
            "EHLO here",
            "STARTTLS",
            "EHLO here",
            "MAIL FROM:<ada@example.org>",
            "RCPT TO:<grace@example.org>",
            "DATA",
            "Subject: x\r\n\r\nhello\r\n.",
        ];
        let is_secure = chat.transport::<Tls>().is_some();
        let line = String::from_utf8_lossy(line).into_owned();
        if line.as_bytes().get(3) == Some(&b'-') {
            return Ok(());
        }
        let code = line.get(..3).unwrap_or("-");
        self.log.borrow_mut().push(format!("{code} {is_secure}"));
        if self.said == 2 {
            self.connector.start_tls("localhost", chat)?;
        }
        match WORDS.get(self.said) {
            Some(words) => drop(chat.push(format!("{words}\r\n"))),
            None => drop(chat.push("QUIT\r\n")),
        }
        self.said += 1;
        Ok(())
    }
    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        self.log.borrow_mut().push(format!("{reason:?}"));
    }
}

const AIOSMTPD: &str = r#"
import asyncio, ssl, sys
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
async def serve():
    loop = asyncio.get_running_loop()
    def make():
        return SMTP(Sink(), tls_context=context, require_starttls=True, loop=loop)
    server = await loop.create_server(make, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()
asyncio.run(serve())
"#;

/// In its place: the dialogue, without mail.
const MAIL_SERVER: &str = r#"
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    stream, _ = listener.accept()
    try:
        stream.sendall(b"220 here\r\n")
        lines = stream.makefile("rb")
        while line := lines.readline():
            word = line.split()[0].upper()
            if word == b"EHLO":
                stream.sendall(b"250-here\r\n250 STARTTLS\r\n")
            elif word == b"STARTTLS":
                stream.sendall(b"220 go ahead\r\n")
                stream = context.wrap_socket(stream, server_side=True)
                lines = stream.makefile("rb")
            elif word == b"DATA":
                stream.sendall(b"354 go on\r\n")
                while lines.readline() != b".\r\n":
                    pass
                stream.sendall(b"250 OK\r\n")
            elif word == b"QUIT":
                stream.sendall(b"221 bye\r\n")
                lines.close()
                break
            else:
                stream.sendall(b"250 OK\r\n")
        stream.close()
    except OSError:
        stream.close()
"#;

fn sends_a_mail(python: &str, script: &str) {
    let line = "$PORT $CERT $KEY";
    let Some(server) = Program::start(python, line, Some(script)) else {
        return;
    };
    let log = Rc::default();
    let sender = Sender {
        connector: Connector::new(certificates::client()),
        log: Rc::clone(&log),
        said: 0,
    };
    let mut map = ChannelMap::new().unwrap();
    let address = ("127.0.0.1", server.port);
    let channel = AsyncChat::connect(address, "\r\n", sender);
    map.insert(channel.limited(patience())).unwrap();
    map.run().unwrap();
    let log = log.borrow();
    assert_eq!(log[..3], ["220 false", "250 false", "220 false"]);
    let secure = [
        "250 true", "250 true", "250 true", "354 true", "250 true", "221 true",
    ];
    assert_eq!(log[3..9], secure);
}

#[test]
fn a_mail_goes_out_by_starttls() {
    sends_a_mail("python3", MAIL_SERVER);
}

/// `AIOSMTPD` names a Python that has it, such as one of a virtual environment.
#[test]
fn a_mail_goes_to_aiosmtpd() {
    let python = std::env::var("AIOSMTPD").unwrap_or("python3".into());
    let import = std::process::Command::new(&python)
        .args(["-c", "import aiosmtpd"])
        .output();
    match import {
        Ok(done) if done.status.success() => sends_a_mail(&python, AIOSMTPD),
        _ => eprintln!("skipped: no aiosmtpd"),
    }
}
