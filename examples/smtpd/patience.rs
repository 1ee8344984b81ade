//! How much nonsense a client may say. No I/O.

use std::time::Duration;

/// So many bad commands are answered at once.
const FREE: u32 = 5;

/// After so many the client is hung up on.
const LAST: u32 = 10;

/// Each bad command beyond the free ones is waited after, so much longer than the last.
const STEP: Duration = Duration::from_millis(500);

/// So many commands that bring no message nearer are no bad ones (NOOP keeps a
/// connection open).
const IDLE: u32 = 100;

/// Begins lines of HTTP: a browser that is made to POST to this port sends mail otherwise.
const HTTP: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "HOST:",
];

/// What the answer to a command is followed by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Then {
    GoOn,
    /// No further command is read for this long.
    Wait(Duration),
    HangUp,
}

#[derive(Debug, Default)]
pub(crate) struct Patience {
    bad: u32,
    idle: u32,
}

impl Patience {
    /// Whether the line is of another protocol, and whoever says it no mail client.
    pub(crate) fn is_http(line: &str) -> bool {
        let verb = line.split(' ').next().unwrap_or_default();
        HTTP.iter().any(|word| verb.eq_ignore_ascii_case(word))
    }

    /// Judges a command by its answer.
    pub(crate) fn judge(&mut self, verb: &str, reply: &str) -> Then {
        let is_idle = matches!(verb, "NOOP" | "RSET" | "VRFY" | "EXPN" | "HELP");
        self.idle += u32::from(is_idle);
        if !reply.starts_with('5') && self.idle <= IDLE {
            return Then::GoOn;
        }
        self.bad += 1;
        match self.bad {
            ..=FREE => Then::GoOn,
            LAST.. => Then::HangUp,
            bad => Then::Wait(STEP * (bad - FREE)),
        }
    }

    /// A message was taken: whatever was bad before is forgiven.
    pub(crate) fn renew(&mut self) {
        *self = Self::default();
    }
}
