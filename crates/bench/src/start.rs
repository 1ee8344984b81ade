//! How every server in Rust starts: `server-NAME WORK`, a listener on a free
//! port of the loopback interface, and one line on stdout that names it.

use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::process;

use crate::epoll::check;

/// What a server does with its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// Sends every line back.
    Echo,
    /// Sends every byte back; there are no lines.
    Bulk,
    /// Sends every line to everybody, the speaker included.
    Room,
    /// Answers `GET /plaintext`.
    Plaintext,
    /// Keeps a value, and gives it back.
    Store,
    /// Sends every line back, by TLS. The next arguments are files: a certificate, its key.
    Secure,
}

impl Work {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Bulk => "bulk",
            Self::Room => "room",
            Self::Plaintext => "plaintext",
            Self::Store => "store",
            Self::Secure => "secure",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Echo,
            Self::Bulk,
            Self::Room,
            Self::Plaintext,
            Self::Store,
            Self::Secure,
        ]
        .into_iter()
        .find(|work| work.name() == name)
    }
}

/// The work asked for on the command line, and the further arguments; exits
/// with a message if there is none.
pub fn work() -> (Work, Vec<String>) {
    let mut arguments = std::env::args().skip(1);
    let Some(work) = arguments.next().as_deref().and_then(Work::from_name) else {
        eprintln!("usage: server-NAME echo|bulk|room|plaintext|store|secure [VARIANT]...");
        process::exit(2);
    };
    (work, arguments.collect())
}

/// The files of the certificate and its key, which come first in these arguments; exits if they
/// are not there.
#[must_use]
pub fn certificate(arguments: &[String]) -> [&str; 2] {
    match arguments {
        [certificate, key, ..] => [certificate, key],
        _ => {
            eprintln!("usage: server-NAME secure CERTIFICATE KEY");
            process::exit(2);
        }
    }
}

/// Exits: this server has no such work.
pub fn refuse(work: Work) -> ! {
    eprintln!("this server does not do {:?}", work.name());
    process::exit(2);
}

/// Listens, and says where. The listener is non-blocking, and what it accepts
/// inherits `TCP_NODELAY`: no contestant shall wait for Nagle's algorithm, and
/// none shall pay a system call per connection to be rid of it.
///
/// # Errors
///
/// If the port cannot be had, or nobody reads stdout.
pub fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let on: libc::c_int = 1;
    // SAFETY: the option's value is an int, and lives during the call.
    check(unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_NODELAY,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    })?;
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {}", listener.local_addr()?)?;
    stdout.flush()?;
    Ok(listener)
}
