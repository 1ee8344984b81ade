//! Clients of others: OpenSSL's, GnuTLS' and Python's.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use chat::{
    Address, AsyncChat, ChannelMap, Chat, Dispatcher, DispatcherHandler, Endpoint, MessageHandler,
    Result, Stream,
};
use tls::{Acceptor, Tls};

use crate::certificates;

/// Answers each line with what it knows of the connection, and the line.
struct Session(Acceptor);

impl MessageHandler for Session {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        let line = String::from_utf8_lossy(line).into_owned();
        match (&*line, chat.transport_mut::<Tls>()) {
            ("STARTTLS", None) => {
                chat.push("220 go ahead\r\n");
                self.0.start_tls(chat)?;
            }
            ("KEYS", Some(tls)) => {
                tls.refresh_keys()?;
                chat.push("new keys\r\n");
            }
            ("BIG", _) => drop(chat.push("x".repeat(1_000_000) + "\r\n")),
            ("QUIT", _) => chat.close_when_done(),
            ("EHLO", None) => drop(chat.push("250-here\r\n250 STARTTLS\r\n")),
            (_, None) => drop(chat.push(format!("clear {line}\r\n"))),
            (_, Some(tls)) => {
                let version = tls.version().unwrap();
                let name = tls.server_name().unwrap_or("-");
                let alpn = String::from_utf8_lossy(tls.alpn().unwrap_or(b"-"));
                let is_resumed = tls.is_resumed();
                let told = format!("{version:?} {name} {alpn} {is_resumed} {line}\r\n");
                chat.push(told);
            }
        }
        Ok(())
    }
}

struct Server {
    acceptor: Acceptor,
    /// The client begins with TLS.
    is_at_once: bool,
}

impl DispatcherHandler for Server {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        _: Address,
        _: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        let endpoint = match self.is_at_once {
            true => self.acceptor.accept(stream),
            false => stream.into(),
        };
        let mut channel = AsyncChat::new(endpoint, "\n", Session(self.acceptor.clone()));
        if !self.is_at_once {
            channel.chat.set_terminator("\r\n");
            channel.chat.push("220 here\r\n");
        }
        map.insert(channel)?;
        Ok(())
    }
}

/// A server on a thread; returns its port.
fn serve(is_at_once: bool) -> u16 {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || -> Result {
        let [_, certificate, key] = certificates::files();
        let acceptor = Acceptor::from_pem_files(certificate, key)?;
        let server = Server {
            acceptor,
            is_at_once,
        };
        let mut map = ChannelMap::new()?;
        let server = map.insert(Dispatcher::listen("127.0.0.1:0", server))?;
        let address = map.get(server)?.endpoint.local_addr().unwrap();
        sender.send(address.as_inet().unwrap().port())?;
        map.run()
    });
    receiver.recv().unwrap()
}

/// What a program prints that gets these lines; `None` if there is no such program.
fn run(program: &str, args: &[String], input: &str) -> Option<String> {
    let spawned = Command::new("timeout")
        .args(["20", program])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let is_there = Command::new(program).arg("--version").output().is_ok();
    if !is_there {
        let _ = writeln!(io::stderr(), "skipped: no {program}");
        return None;
    }
    let mut child = spawned.unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(input.as_bytes()); // what it prints tells more
    let mut output = String::new();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_to_string(&mut output).unwrap();
    drop(stdin);
    let mut errors = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut errors).unwrap();
    child.wait().unwrap();
    Some(output + &errors)
}

/// The words of a command line, with the port and the authority's file.
fn args(line: &str, port: u16) -> Vec<String> {
    let [ca, ..] = certificates::files();
    let of = |word: &str| {
        word.replace("$PORT", &port.to_string())
            .replace("$CA", ca.to_str().unwrap())
    };
    line.split_whitespace().map(of).collect()
}

#[test]
fn openssl_talks_by_both_versions() {
    let port = serve(true);
    for (option, version) in [("-tls1_2", "TLSv1_2"), ("-tls1_3", "TLSv1_3")] {
        let line = "s_client -connect 127.0.0.1:$PORT -servername localhost -CAfile $CA \
                    -verify_return_error -quiet";
        let mut args = args(line, port);
        args.push(option.into());
        let Some(said) = run("openssl", &args, "hello\nBIG\nagain\nQUIT\n") else {
            return;
        };
        let answer = format!("{version} localhost - false hello");
        assert!(said.contains(&answer), "{said}");
        assert!(said.contains("false again") && said.len() > 1_000_000);
    }
}

#[test]
fn openssl_takes_new_keys() {
    let port = serve(true);
    let line = "s_client -connect 127.0.0.1:$PORT -servername localhost -CAfile $CA -quiet";
    if let Some(said) = run("openssl", &args(line, port), "KEYS\nhello\nQUIT\n") {
        assert!(
            said.contains("new keys") && said.contains("false hello"),
            "{said}"
        );
    }
}

#[test]
fn gnutls_talks_and_says_goodbye() {
    let port = serve(true);
    let line = "--x509cafile=$CA --port=$PORT --sni-hostname=localhost \
                --verify-hostname=localhost 127.0.0.1";
    if let Some(said) = run("gnutls-cli", &args(line, port), "hello\nQUIT\n") {
        assert!(said.contains("TLSv1_3 localhost - false hello"), "{said}");
        assert!(!said.to_lowercase().contains("error"), "{said}");
    }
}

#[test]
fn openssl_starts_tls_in_the_middle() {
    let port = serve(false);
    let line = "s_client -connect 127.0.0.1:$PORT -servername localhost -CAfile $CA \
                -verify_return_error -starttls smtp -quiet -crlf";
    if let Some(said) = run("openssl", &args(line, port), "hello\nQUIT\n") {
        assert!(said.contains("TLSv1_3 localhost - false hello"), "{said}");
    }
}

/// A session is resumed, and the end of one direction leaves the other open.
#[test]
fn python_resumes_and_unwraps() {
    let [ca, ..] = certificates::files();
    let script = format!(
        r#"
import socket, ssl, sys
context = ssl.create_default_context(cafile={ca:?})
context.maximum_version = getattr(ssl.TLSVersion, sys.argv[2])
session = None
for turn in range(2):
    plain = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    tls = context.wrap_socket(plain, server_hostname="localhost", session=session)
    tls.sendall(b"hello\n")
    print(tls.makefile("rb").readline().decode(), end="")
    session = tls.session
    tls.sendall(b"QUIT\n")
    tls.unwrap()
    print("unwrapped")
"#
    );
    let port = serve(true);
    for (version, name) in [("TLSv1_2", "TLSv1_2"), ("TLSv1_3", "TLSv1_3")] {
        let args = ["-c".into(), script.clone(), port.to_string(), name.into()];
        if let Some(said) = run("python3", &args, "") {
            let expected = format!(
                "{version} localhost - false hello\nunwrapped\n{version} localhost - true hello\nunwrapped\n"
            );
            assert_eq!(said.replace('\r', ""), expected);
        }
    }
}
