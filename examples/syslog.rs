//! Prints log messages that arrive by syslog.
//!
//!     cargo run --release --example syslog -- [--listen ADDR] [--socket PATH]
//!     logger --server 127.0.0.1 --port 5514 --udp hello
//!
//! Datagrams of RFC 3164 or RFC 5424, by UDP and, with `--socket`, on a Unix
//! socket as `/dev/log` is one: every user may write to it. A line is
//! `FACILITY.SEVERITY SENDER: MESSAGE`.
//! Nothing is refused: a datagram that looks like neither RFC is printed whole.

use std::cell::Cell;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::process::ExitCode;
use std::rc::Rc;

use chat::{
    ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint, Error, Result, UnixBind,
};
use examples::{Opt, Output, find_unquoted, printable};

/// How many datagrams are received before others have their turn.
const DATAGRAMS_PER_TURN: usize = 64;

/// As syslog(3) and RFC 5424, section 6.2.1 number them.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];
const SEVERITIES: [&str; 8] = [
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
];

/// RFC 3164, section 4.3.3: `user.notice`, if nothing is said.
const DEFAULT_PRIORITY: usize = 13;

/// Room for any datagram of UDP. A longer one, from a Unix socket, is not printed.
const LONGEST: usize = 65_536;

struct Receiver {
    stdout: Output,
    /// Shared by all receivers. It outlives them.
    has_failed: Rc<Cell<bool>>,
}

impl DispatcherHandler for Receiver {
    fn handle_read(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        let mut buffer = map.buffers().read_buffer();
        for _ in 0..DATAGRAMS_PER_TURN {
            let (len, from) = match endpoint.recv_from(&mut buffer[..LONGEST]) {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    log::warn!("nothing is printed: {error}");
                    continue;
                }
                received => received?, // that there are no more is no error to the loop
            };
            let (priority, message) = parse(&text(&buffer[..len]));
            let facility = FACILITIES[priority / SEVERITIES.len()];
            let severity = SEVERITIES[priority % SEVERITIES.len()];
            let line = format!("{facility}.{severity} {from}: {message}\n");
            self.stdout.print(line, map);
        }
        Ok(())
    }

    fn handle_shutdown(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        if !self.stdout.is_open(map) {
            self.has_failed.set(true); // which is why it ends
        }
        endpoint.close_with(CloseReason::Shutdown);
        Ok(())
    }

    fn handle_error(&mut self, error: Error, _endpoint: &mut Endpoint, map: &mut ChannelMap) {
        log::error!("no more can be received: {error}");
        self.has_failed.set(true);
        examples::shut_down(map);
    }
}

/// The text of a datagram, as one line that is safe to print.
fn text(datagram: &[u8]) -> String {
    // Some end it as C does a string, others as a line.
    let end = datagram
        .iter()
        .rposition(|byte| !b"\0\r\n".contains(byte))
        .map_or(0, |last| last + 1);
    printable(&datagram[..end])
}

/// The priority, and what was logged.
fn parse(text: &str) -> (usize, String) {
    let Some((priority, rest)) = parse_priority(text) else {
        return (DEFAULT_PRIORITY, text.to_owned());
    };
    let message = parse_rfc5424(rest).or_else(|| parse_rfc3164(rest));
    (priority, message.unwrap_or_else(|| rest.to_owned()))
}

/// `<165>`
fn parse_priority(text: &str) -> Option<(usize, &str)> {
    let (digits, rest) = text.strip_prefix('<')?.split_once('>')?;
    let is_number = digits.len() <= 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let priority = digits.parse().ok().filter(|_| is_number)?;
    (priority < FACILITIES.len() * SEVERITIES.len()).then_some((priority, rest))
}

/// `1 TIME HOST PROGRAM PROCESS ID [DATA] MESSAGE`, where `-` is nothing.
fn parse_rfc5424(text: &str) -> Option<String> {
    let mut fields = text.strip_prefix("1 ")?.splitn(6, ' ');
    let (_time, _host) = (fields.next()?, fields.next()?);
    let (program, process, _id) = (fields.next()?, fields.next()?, fields.next()?);
    let message = skip_structured_data(fields.next()?)?;
    let message = message.strip_prefix('\u{feff}').unwrap_or(message);
    Some(match (program, process) {
        ("-", _) => message.to_owned(),
        (_, "-") => format!("{program}: {message}"),
        _ => format!("{program}[{process}]: {message}"),
    })
}

/// The rest after `-`, or after `[id name="value"]` any number of times.
fn skip_structured_data(text: &str) -> Option<&str> {
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    while rest.starts_with('[') {
        rest = &rest[find_unquoted(rest, ']')? + 1..];
    }
    match rest {
        "" => Some(""),
        _ => rest.strip_prefix(' '),
    }
}

/// `Mmm dd hh:mm:ss MESSAGE`; whether the sender's name comes first cannot be
/// told from the text.
fn parse_rfc3164(text: &str) -> Option<String> {
    let (time, message) = text.split_at_checked(16)?;
    let looks_right = |(byte, expected): (u8, u8)| match expected {
        b'M' => byte.is_ascii_alphabetic(),
        b'0' => byte.is_ascii_digit() || byte == b' ',
        _ => byte == expected,
    };
    let is_time = time.bytes().zip(*b"MMM 00 00:00:00 ").all(looks_right);
    is_time.then(|| message.to_owned())
}

fn main() -> Result<ExitCode> {
    let (mut map, stdout, [address, path]) = examples::start([
        Opt::listen("127.0.0.1:5514"),
        Opt {
            name: "socket",
            value: "PATH  a Unix socket to be made as well; a dead one is replaced",
            default: Some(""),
        },
    ])?;
    stdout.end_without_reader(&mut map);
    let has_failed = Rc::new(Cell::new(false));
    let receiver = || Receiver {
        stdout,
        has_failed: Rc::clone(&has_failed),
    };

    let udp = map
        .insert(Dispatcher::bind(&address, receiver()))
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let bound = map.get(udp)?.endpoint.local_addr().ok_or("no address")?;
    stdout.print(format!("listening on {bound}\n"), &mut map);

    if !path.is_empty() {
        let bind = UnixBind::path(&path).replacing_dead().removed_on_close();
        map.insert(Dispatcher::bind_unix(bind, receiver()))
            // Whatever the umask is, as of `/dev/log`: each user logs.
            .and_then(|_| fs::set_permissions(&path, Permissions::from_mode(0o666)))
            .map_err(|error| format!("cannot listen on {path}: {error}"))?;
        stdout.print(format!("listening on {path}\n"), &mut map);
    }
    map.run()?;
    Ok(ExitCode::from(u8::from(has_failed.get())))
}
