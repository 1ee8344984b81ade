//! A server whose standard output is read, line by line.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::common::{DEADLINE, Reaped, Usage, example};

/// An example that prints. Dropped, it is killed.
pub(crate) struct Printing {
    process: Reaped,
    pub(crate) addr: SocketAddr,
    lines: Receiver<String>,
}

impl Printing {
    /// Starts an example on a free port.
    pub(crate) fn start(name: &str, options: &[&str]) -> Self {
        let child = example(name)
            .args(["--listen", "127.0.0.1:0"])
            .args(options)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let mut process = Reaped(child.expect("it starts"));
        let stdout = process.0.stdout.take().expect("it is piped");
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return; // nobody reads, as if the pipe were closed
                }
            }
        });
        let first: String = lines.recv_timeout(DEADLINE).expect("a first line");
        let addr = first.strip_prefix("listening on ").expect("where");
        Self {
            process,
            addr: addr.parse().expect("an address"),
            lines,
        }
    }

    /// The next line, without its end.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("a line")
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.process.0.id())
    }

    /// Sends a signal: `TERM`, `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.0.id().to_string();
        let status = Command::new("sh")
            .args(["-c", "kill -\"$0\" \"$1\"", name, &pid])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// Waits for its end, which must be with status 0; returns the lines that
    /// were not asked for.
    pub(crate) fn wait(mut self) -> Vec<String> {
        let status = self.process.wait();
        assert!(status.success(), "{status}");
        self.lines.iter().collect()
    }

    /// Tells it to end, and waits for that.
    pub(crate) fn end(self) -> Vec<String> {
        self.signal("TERM");
        self.wait()
    }
}
