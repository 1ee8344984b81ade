//! The number of bad commands that a client may send. No I/O.

use std::time::Duration;

/// Bad commands that are answered at once.
const FREE: u32 = 5;

/// The server hangs up after this many bad commands.
const LAST: u32 = 10;

/// Each bad command beyond the free ones delays the next by this much more.
const STEP: Duration = Duration::from_millis(500);

/// Commands that bring no message nearer, before more of them count as bad (a greeting
/// begins every session, NOOP keeps a connection open).
const IDLE: u32 = 100;

/// Begins lines of HTTP: a browser that is made to POST to this port sends mail otherwise.
const HTTP: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "HOST:",
];

/// The step after the answer to a command.
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
        let is_idle = matches!(
            verb,
            "HELO" | "EHLO" | "NOOP" | "RSET" | "VRFY" | "EXPN" | "HELP"
        );
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
