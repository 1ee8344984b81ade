//! A server for clients of others, our own client for servers of others, and their programs.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use chat::{
    Address, AsyncChat, ChannelMap, Chat, CloseReason, Dispatcher, DispatcherHandler, Endpoint,
    Limits, MessageHandler, Result, Stream,
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
            ("WHO", Some(tls)) => {
                let which = tls.peer_certificates().map_or("no", |_| "a");
                chat.push(format!("{which} certificate\r\n"));
            }
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

/// A server on a thread, with the usual certificate; returns its port.
pub(crate) fn serve(is_at_once: bool) -> u16 {
    let [_, certificate, key] = certificates::files();
    serve_with(
        Acceptor::from_pem_files(certificate, key).unwrap(),
        is_at_once,
    )
}

/// The same, with another configuration.
pub(crate) fn serve_with(acceptor: Acceptor, is_at_once: bool) -> u16 {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || -> Result {
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
pub(crate) fn run(program: &str, args: &[String], input: &str) -> Option<String> {
    if !is_there(program) {
        return None;
    }
    let mut child = Command::new("timeout")
        .args(["20", program])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
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
pub(crate) fn args(line: &str, port: u16) -> Vec<String> {
    let names = ["$CA", "$CERT", "$KEY", "$CLIENT", "$STRANGER"];
    let files = certificates::files().iter();
    let files = files.chain(certificates::client_files());
    let of = |word: &str| {
        let with_port = word.replace("$PORT", &port.to_string());
        let replace = |word: String, (name, path): (&str, &PathBuf)| {
            word.replace(name, path.to_str().unwrap())
        };
        names
            .into_iter()
            .zip(files.clone())
            .fold(with_port, replace)
    };
    line.split_whitespace().map(of).collect()
}

/// A client that says its lines when it is connected, and notes whatever happens.
struct Talker {
    lines: &'static str,
    log: Rc<RefCell<Vec<String>>>,
}

impl Talker {
    fn note(&self, line: impl Into<String>) {
        self.log.borrow_mut().push(line.into());
    }
}

impl MessageHandler for Talker {
    fn handle_connect(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        self.note("connected");
        chat.push(self.lines);
        Ok(())
    }
    fn handle_message(&mut self, line: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.note(String::from_utf8_lossy(line));
        Ok(())
    }
    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        self.note(match reason {
            CloseReason::Io(error) => format!("{:?}: {error}", error.kind()),
            reason => format!("{reason:?}"),
        });
    }
}

/// A server that neither speaks nor ends is no reason to wait for ever.
pub(crate) fn patience() -> Limits {
    let mut limits = Limits::default();
    limits.idle = Duration::from_secs(20);
    limits
}

/// What our client hears on a connection, until that is closed.
pub(crate) fn talk(endpoint: Endpoint, lines: &'static str) -> Vec<String> {
    let log = Rc::default();
    let talker = Talker {
        lines,
        log: Rc::clone(&log),
    };
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::new(endpoint, "\n", talker);
    map.insert(channel.limited(patience())).unwrap();
    map.run().unwrap(); // until the channel is closed
    log.take()
}

/// A server of others, which ends with the test.
pub(crate) struct Program {
    child: Child,
    pub(crate) port: u16,
}

impl Program {
    /// Starts it; `$PORT` is a free one. `None` if there is no such program.
    pub(crate) fn start(program: &str, line: &str, script: Option<&str>) -> Option<Self> {
        if !is_there(program) {
            return None;
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut command = Command::new(program);
        if let Some(script) = script {
            command.args(["-c", script]);
        }
        let child = command
            .args(args(line, port))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { child, port };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none(), "{program}: {ended:?}");
            thread::yield_now();
        }
        Some(server)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_there(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    if !is_there {
        let _ = writeln!(io::stderr(), "skipped: no {program}");
    }
    is_there
}
