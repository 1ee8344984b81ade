//! Several attempts to connect at once: an address that hangs does not hold up the next
//! one (RFC 8305, section 5).
//!
//! The channel's wire is the latest attempt, and the only one that is watched. The earlier
//! ones are looked at whenever the next one is due.

use std::fmt;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reactor::{CloseReason, Deadline, Opening, Token};

use crate::connecting::{Failure, begin_inet};
use crate::endpoint::Endpoint;
use crate::layer::Layer;
use crate::life::Stage;
use crate::wire::Wire;

/// How long an attempt is alone: RFC 8305's Connection Attempt Delay.
const DELAY: Duration = Duration::from_millis(250);

/// How many are under way at once, at most.
const AT_ONCE: usize = 8;

/// The attempts of a connection under way.
#[derive(Default)]
pub(crate) struct Attempts {
    /// Addresses to try, the next one last.
    addresses: Vec<SocketAddr>,
    /// Those before the present one that are under way, and when they began.
    earlier: Vec<(Instant, Wire)>,
    /// When the present one began; `None` for one that is alone from the beginning.
    begun: Option<Instant>,
    /// `close_when_done` was called: what comes after the connection.
    pub(crate) then: Option<CloseReason>,
    /// What is put over the connection when it is made.
    pub(crate) layer: Option<Layer>,
}

impl Attempts {
    /// The connection is made, and no other address is tried.
    pub(crate) fn last(then: Option<CloseReason>) -> Self {
        Self {
            then,
            ..Self::default()
        }
    }
}

impl Endpoint {
    /// Begins to connect to the first of these addresses at which that works.
    pub(crate) fn connect_to(
        &mut self,
        mut addresses: Vec<SocketAddr>,
        opening: &mut Opening<'_>,
    ) -> Result<(), Failure> {
        addresses.reverse();
        if let Some(attempts) = self.life.attempts() {
            attempts.addresses = addresses;
        }
        self.begin_next(opening)
    }

    /// The present attempt has failed for this reason. The next address is tried, or an
    /// earlier attempt is waited for; the channel is closed if there is neither.
    pub(crate) fn connect_next(&mut self, reason: CloseReason, opening: &mut Opening<'_>) {
        self.begin_connect_anew();
        if self.finish_earlier(opening) {
            return;
        }
        let reason = match self.has_addresses() {
            true => match self.begin_next(opening) {
                Ok(()) => return self.enter_wire(opening),
                Err(Failure::Socket(error) | Failure::Connect(error)) => CloseReason::Io(error),
            },
            false => reason,
        };
        let earlier = self.life.attempts().and_then(|attempts| {
            let (begun, wire) = attempts.earlier.pop()?;
            attempts.begun = Some(begun);
            Some(wire)
        });
        match earlier {
            Some(wire) => {
                self.wire = wire;
                self.finish_transport(opening);
            }
            None => self.close_with(reason),
        }
    }

    /// The time of the attempts is over: for another address, or for one of them.
    pub(crate) fn look_at_attempts(&mut self, opening: &mut Opening<'_>) {
        let now = opening.now();
        if self.finish_earlier(opening) {
            return;
        }
        let limit = self.limits.connect;
        let begun = self.life.attempts().and_then(|attempts| attempts.begun);
        if begun.is_none_or(|begun| is_over(begun, limit, now)) {
            self.connect_next(CloseReason::Missed(Deadline::Connect), opening);
        } else if self.has_addresses() {
            self.begin_another(opening);
        }
    }

    /// Looks at the earlier attempts. Returns whether one of them is the connection now.
    fn finish_earlier(&mut self, opening: &mut Opening<'_>) -> bool {
        let (now, limit) = (opening.now(), self.limits.connect);
        let Some(attempts) = self.life.attempts() else {
            return false;
        };
        let mut connected = None;
        attempts.earlier.retain_mut(|(begun, wire)| {
            let outcome = wire.finish_connect();
            if outcome.is_ok() && connected.is_none() {
                connected = Some(mem::replace(wire, Wire::Unopened(None)));
            }
            let is_under_way = outcome.is_err_and(|error| is_under_way(&error));
            is_under_way && !is_over(*begun, limit, now)
        });
        let Some(wire) = connected else {
            return false;
        };
        self.wire = wire;
        self.go_on_connected(opening);
        true
    }

    /// When the attempts are to be looked at, if they were last at this time.
    pub(crate) fn next_look_at_attempts(&self, last: Instant) -> Option<Instant> {
        let Stage::Connecting(attempts) = self.life.stage() else {
            return None;
        };
        let limit = self.limits.connect;
        let over = attempts.begun.unwrap_or(last).checked_add(limit);
        let is_alone = attempts.addresses.is_empty() && attempts.earlier.is_empty();
        let next = last.checked_add(DELAY).filter(|_| !is_alone);
        [over, next].into_iter().flatten().min()
    }

    /// Begins another attempt beside the present one.
    fn begin_another(&mut self, opening: &mut Opening<'_>) {
        let begun = self.life.attempts().and_then(|attempts| attempts.begun);
        let present = mem::replace(&mut self.wire, Wire::Unopened(None));
        match self.begin_next(opening) {
            Ok(()) => {
                if let (Some(attempts), Some(begun)) = (self.life.attempts(), begun) {
                    attempts.earlier.push((begun, present));
                }
                self.enter_wire(opening);
            }
            Err(_) => self.wire = present,
        }
    }

    /// Begins to connect to the next address, or to the one after that if this fails at
    /// once, and so on.
    fn begin_next(&mut self, opening: &mut Opening<'_>) -> Result<(), Failure> {
        let mut last = None;
        while let Some(attempts) = self.life.attempts() {
            let Some(address) = attempts.addresses.pop() else {
                break;
            };
            match begin_inet(address, opening) {
                Ok(wire) => {
                    attempts.begun = Some(opening.now());
                    self.wire = wire;
                    return Ok(());
                }
                Err(failure) => last = Some(failure),
            }
        }
        Err(last.expect("a name has an address, or is an error"))
    }

    /// The channel has entered a map, and its earlier attempts with it.
    pub(crate) fn enter_earlier(&mut self, me: Token) {
        if let Some(attempts) = self.life.attempts() {
            attempts
                .earlier
                .iter_mut()
                .for_each(|(_, wire)| wire.enter(me));
        }
    }

    /// A transport may be connected already, and no event tells.
    fn finish_transport(&mut self, opening: &mut Opening<'_>) {
        if self.wire.transport().is_some() {
            self.finish_connect(opening);
        }
    }

    /// Whether another address may be tried now.
    fn has_addresses(&mut self) -> bool {
        let attempts = self.life.attempts();
        attempts.is_some_and(|a| !a.addresses.is_empty() && a.earlier.len() + 1 < AT_ONCE)
    }
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempts")
            .field("addresses", &self.addresses)
            .field("earlier", &self.earlier)
            .finish_non_exhaustive()
    }
}

fn is_over(begun: Instant, limit: Duration, now: Instant) -> bool {
    begun.checked_add(limit).is_some_and(|at| at <= now)
}

/// Nobody has said that there is an outcome, and a socket that still connects is not
/// connected.
fn is_under_way(error: &io::Error) -> bool {
    use io::ErrorKind::{NotConnected, WouldBlock};
    matches!(error.kind(), WouldBlock | NotConnected)
}
