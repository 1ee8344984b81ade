//! What the tests share: an example as a process of its own, and its clients.

mod client;
mod process;
mod program;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub(crate) use client::{Client, forge_own, has_tool, python};
pub(crate) use process::{Usage, assert_rests, wait_for_rest};

/// Far longer than anything here takes: a test that gets there has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Polls until `done`, and panics when it takes too long.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "in vain waited until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The command of an example, without arguments.
pub(crate) fn example(name: &str) -> Command {
    Command::new(program::path(name))
}

/// Runs a command that is to end by itself: its status, stdout and stderr.
pub(crate) fn run(mut command: Command) -> (ExitStatus, String, String) {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut child = Reaped(child);
    let stdout = collect(child.0.stdout.take().expect("it is piped"));
    let stderr = collect(child.0.stderr.take().expect("it is piped"));
    let status = child.wait();
    (status, stdout.finish(), stderr.finish())
}

/// A child process that is not left behind.
pub(crate) struct Reaped(pub(crate) Child);

impl Reaped {
    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the process ends", || {
            status = self.0.try_wait().expect("it is our child");
            status.is_some()
        });
        status.expect("it has ended")
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        // Errors say that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An example that serves. Dropped, it is killed; it must not have panicked,
/// nor ended without being told to.
pub(crate) struct Server {
    child: Reaped,
    pub(crate) addr: SocketAddr,
    log: Collected,
    is_ended: bool,
}

impl Server {
    /// Starts an example on a free port.
    pub(crate) fn start(name: &str) -> Self {
        Self::spawn(example(name))
    }

    /// Starts an example with a `RUST_LOG` of the caller's.
    pub(crate) fn start_logging(name: &str, filter: &str) -> Self {
        let mut command = example(name);
        command.env("RUST_LOG", filter);
        Self::spawn(command)
    }

    /// Starts an example that may have `limit` descriptors.
    pub(crate) fn start_limited(name: &str, limit: u32) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
        command.arg("-c").arg(script).arg(program::path(name));
        Self::spawn(command)
    }

    /// Starts an example with options under `strace -e WHAT -o FILE`. The tracer is a
    /// grandchild, which ends when the example does.
    pub(crate) fn start_traced(name: &str, options: &[&str], what: &str, file: &Path) -> Self {
        let mut command = Command::new("strace");
        command.arg("-D").arg("-e").arg(what);
        command.arg("-o").arg(file).arg(program::path(name));
        command.args(options);
        Self::spawn(command)
    }

    /// Starts an example with options of its own.
    pub(crate) fn start_with(name: &str, options: &[&str]) -> Self {
        let mut command = example(name);
        command.args(options);
        Self::spawn(command)
    }

    pub(crate) fn spawn(mut command: Command) -> Self {
        let child = command
            .args(["--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut child = Reaped(child);
        let log = collect(child.0.stderr.take().expect("it is piped"));
        let stdout = child.0.stdout.take().expect("it is piped");
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Nobody listens after the first line.
                let _ = tell.send(line);
            }
        });
        let first = told.recv_timeout(DEADLINE);
        let first = first.unwrap_or_else(|_| panic!("no line on stdout; stderr: {}", log.text()));
        let addr = first
            .strip_prefix("listening on ")
            .and_then(|addr| addr.parse().ok());
        Self {
            child,
            addr: addr.unwrap_or_else(|| panic!("{first:?} is no `listening on IP:PORT`")),
            log,
            is_ended: false,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// What it has written to stderr.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    pub(crate) fn wait_for_log(&self, text: &str) {
        let deadline = Instant::now() + DEADLINE;
        while !self.log().contains(text) {
            assert!(
                Instant::now() < deadline,
                "no {text:?} in the log:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal: `TERM`, `INT`.
    pub(crate) fn signal(&self, name: &str) {
        // The shell's own: the program `kill` is not everywhere.
        let status = Command::new("sh")
            .args(["-c", "kill -\"$0\" \"$1\"", name, &self.pid().to_string()])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.is_ended = true;
        self.child.wait()
    }

    /// Tells it to end; it must do so with status 0.
    pub(crate) fn end(mut self) {
        self.signal("TERM");
        let status = self.wait();
        assert!(status.success(), "{status}; log:\n{}", self.log());
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.pid())
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        let directory = fs::read_dir(format!("/proc/{}/fd", self.pid()));
        directory.expect("it is alive").count()
    }

    /// Waits until it has as many descriptors open as it had before.
    pub(crate) fn wait_for_descriptors(&self, count: usize) {
        wait_until("the server has closed what its clients closed", || {
            self.descriptors() <= count
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let has_died = !self.is_ended && !matches!(self.child.0.try_wait(), Ok(None));
        let _ = self.child.0.kill();
        let _ = self.child.0.wait();
        let log = self.log.text();
        if thread::panicking() {
            eprintln!("log of the server:\n{log}");
        } else {
            assert!(!has_died, "the server died; log:\n{log}");
            assert!(!log.contains("panicked"), "the server panicked:\n{log}");
        }
    }
}

/// What a pipe says, read as it comes.
struct Collected {
    text: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

fn collect(mut pipe: impl Read + Send + 'static) -> Collected {
    let text = Arc::new(Mutex::new(String::new()));
    let shared = Arc::clone(&text);
    let reader = thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = pipe.read(&mut buffer) {
            let piece = String::from_utf8_lossy(&buffer[..len]);
            shared.lock().expect("no reader panics").push_str(&piece);
        }
    });
    Collected { text, reader }
}

impl Collected {
    fn text(&self) -> String {
        self.text.lock().expect("no reader panics").clone()
    }

    /// All of it, up to the end.
    fn finish(self) -> String {
        wait_until("the pipe is closed", || self.reader.is_finished());
        self.text()
    }
}
