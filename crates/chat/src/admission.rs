//! Whom a listener lets in: at a full cap room is made, or the newcomer is refused.
//!
//! The dispatcher accepts a connection before it calls the handler, and hands it out when the
//! handler calls [`Endpoint::accept`]. So a refused one calls no handler.

use std::io;
use std::mem;
use std::net::Shutdown;

use bytes::Bytes;
use reactor::ChannelMap;

use crate::address::Address;
use crate::endpoint::Endpoint;
use crate::leavers::Leavers;
use crate::ledger::{Ledger, Place};
use crate::life::Bound;
use crate::stream::Stream;

/// Whom a listener lets in, and what becomes of the others: [`Limits::admission`]. Only a
/// listener reads it.
///
/// There are two caps: of all connections that the listeners of the map have let in, and of
/// those of one address. At a full cap, the connection that lingers longest closes now, for the
/// reason that it has: of all, or of those of the address. If none lingers, `when_full` or
/// `when_address_full` decides. At most one is closed for each newcomer. If there are more than
/// that above the cap, the newcomer is refused.
///
/// A connection counts from its acceptance until its [`Stream`](crate::Stream) or channel is
/// dropped, on whatever thread, and through [conversions](crate::ChannelMap::convert).
/// Connections that the program has made, or brought along, do not count.
///
/// The listener looks for channels that can go at most every 250 ms. One that begins to linger,
/// or becomes idle, after a look is found by the next.
///
/// A refused connection calls no handler. [`ChatMap::refused`](crate::ChatMap::refused) counts
/// them, and the first of a row is a warning in the log.
///
/// ```
/// use chat::{Limits, WhenFull};
///
/// let mut limits = Limits::default();
/// limits.admission.connections = 10_000;
/// limits.admission.connections_per_address = 50;
/// limits.admission.when_full = WhenFull::EvictIdle;
/// limits.admission.refusal = "421 too many connections\r\n".into();
/// ```
///
/// [`Limits::admission`]: crate::Limits::admission
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Admission {
    /// The number of connections at which a listener refuses newcomers. Those that
    /// [linger](crate::Limits::linger) count. Default 65,536.
    ///
    /// All listeners of a map count together. One with `usize::MAX`, such as a console's, lets
    /// everybody in, and does not count them.
    pub connections: usize,
    /// The number of connections of one IP address, at which a listener refuses more of that
    /// address. Default 65,536.
    ///
    /// A cap that is not below `connections` does not act, and the listener does not count its
    /// addresses. All listeners of a map that count them do so together. A Unix socket's peer
    /// has no address.
    pub connections_per_address: usize,
    /// The bits of an IPv6 address that count as one address. Default 64: the network that a
    /// customer mostly gets.
    pub ipv6_prefix: u8,
    /// Whether a newcomer beyond `connections` is refused (the default) or an idle connection
    /// evicted, if none lingers.
    pub when_full: WhenFull,
    /// The same beyond `connections_per_address`: a connection of the same address is evicted.
    pub when_address_full: WhenFull,
    /// A line for those that are refused, such as `421 too many connections`. Default none.
    /// It is sent as far as there is room at once, and usually arrives even if the peer has
    /// sent something already; not by TLS.
    pub refusal: Bytes,
}

/// What a listener does with a newcomer where [`Admission::connections`] or
/// [`Admission::connections_per_address`] has no room for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// Refuses it, with [`Admission::refusal`].
    #[default]
    Refuse,
    /// Closes the connection that has neither received nor sent anything for longest, as
    /// [`Evicted`](crate::CloseReason::Evicted), with its goodbye. One that is not
    /// [evictable](crate::Limits::evictable) stays. If there is no other, the newcomer is
    /// refused.
    EvictIdle,
}

/// A connection and where it comes from; `None` if nobody waits.
pub(crate) type Accepted = Option<(Stream, Address)>;

/// There is no room for a newcomer.
struct Full;

/// What a listener keeps.
#[derive(Debug, Default)]
pub(crate) struct Entrance {
    pub(crate) path: Bound,
    /// What the next `accept` returns.
    next: Option<io::Result<Accepted>>,
    /// The handler is called for one connection: another one is not admitted yet.
    is_admitting: bool,
    /// Newcomers are refused, and that is in the log.
    is_refusing: bool,
    leavers: Leavers,
}

impl Admission {
    /// The defaults, in a constant.
    pub const DEFAULT: Self = Self {
        connections: 65_536,
        connections_per_address: 65_536,
        ipv6_prefix: 64,
        when_full: WhenFull::Refuse,
        when_address_full: WhenFull::Refuse,
        refusal: Bytes::new(),
    };

    fn counts_addresses(&self) -> bool {
        self.connections_per_address < self.connections
    }

    /// The place of a newcomer, if it is counted.
    fn place(&self, address: &Address, ledger: &mut Ledger) -> Option<Place> {
        match address.as_inet().filter(|_| self.counts_addresses()) {
            Some(address) => Some(ledger.place(address.ip(), self.ipv6_prefix)),
            None => (self.connections < usize::MAX).then(|| ledger.place_of_any()),
        }
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Endpoint {
    /// Accepts the next connection, to be handed out. Returns `false` if it was refused.
    pub(crate) fn admit(&mut self, map: &mut ChannelMap) -> bool {
        if !self.has_admitted() {
            let next = match self.accept_next() {
                Ok(Some((mut stream, address))) => match self.let_in(&address, map) {
                    Ok(place) => {
                        stream.place = place;
                        Ok(Some((stream, address)))
                    }
                    Err(Full) => {
                        self.turn_away(stream, &address, map);
                        return false;
                    }
                },
                nobody => nobody,
            };
            if let Some(entrance) = self.life.entrance() {
                entrance.is_refusing &= !matches!(next, Ok(Some(_)));
                entrance.next = Some(next);
            }
        }
        self.set_admitting(true);
        true
    }

    /// The handler was called. A connection that it did not take waits.
    pub(crate) fn end_admission(&mut self) {
        self.set_admitting(false);
        if !self.has_admitted() {
            self.take_admitted();
        }
    }

    /// Whether a connection waits to be handed out.
    pub(crate) fn has_admitted(&self) -> bool {
        let entrance = self.life.entrance_ref();
        entrance.is_some_and(|it| matches!(it.next, Some(Ok(Some(_)))))
    }

    /// What is handed out in place of what waits in the system.
    pub(crate) fn take_admitted(&mut self) -> Option<io::Result<Accepted>> {
        let entrance = self.life.entrance()?;
        let next = entrance.next.take();
        next.or_else(|| entrance.is_admitting.then_some(Ok(None)))
    }

    fn set_admitting(&mut self, is_admitting: bool) {
        if let Some(entrance) = self.life.entrance() {
            entrance.is_admitting = is_admitting;
        }
    }

    /// Returns the place of a newcomer, if it is to have one. One goes for one that comes: if
    /// more would have to, it is full.
    fn let_in(&mut self, address: &Address, map: &mut ChannelMap) -> Result<Option<Place>, Full> {
        let Some(entrance) = self.life.entrance() else {
            return Ok(None);
        };
        let (admission, leavers) = (&self.limits.admission, &mut entrance.leavers);
        leavers.expire(map.now());
        let Some(place) = admission.place(address, ledger(map)) else {
            return Ok(None);
        };
        let evicts = admission.when_full == WhenFull::EvictIdle;
        let evicts_of_address = admission.when_address_full == WhenFull::EvictIdle;
        let mut make_room = |excess, of, does_evict, map: &mut ChannelMap| match excess {
            0 => Ok(()),
            1 => {
                leavers.look_if_due(evicts || evicts_of_address, map);
                let is_made = leavers.make_room(of, does_evict, map);
                is_made.then_some(()).ok_or(Full)
            }
            _ => Err(Full),
        };
        if let Some(block) = place.block() {
            let limit = admission.connections_per_address;
            let excess = place.count().saturating_sub(limit);
            make_room(excess, Some(block), evicts_of_address, map)?;
        }
        let excess = ledger(map).count().saturating_sub(admission.connections);
        make_room(excess, None, evicts, map)?;
        Ok(Some(place))
    }

    /// Sends the refusal, as far as there is room at once, and closes the connection.
    #[cold]
    fn turn_away(&mut self, stream: Stream, address: &Address, map: &mut ChannelMap) {
        ledger(map).refused += 1;
        let me = self.me;
        let entrance = self.life.entrance();
        if !entrance.is_some_and(|it| mem::replace(&mut it.is_refusing, true)) {
            log::warn!("channel {me}: full: a connection from {address} is refused");
        }
        if self.limits.admission.refusal.is_empty() {
            return;
        }
        let Ok(mut wire) = stream.into_wire() else {
            return;
        };
        let _ = wire.send(&self.limits.admission.refusal);
        let _ = wire.shutdown(Shutdown::Write);
        // The kernel resets a connection that is closed with unread input, and the peer may
        // lose the refusal.
        let _ = wire.recv(&mut map.buffers().read_buffer());
    }
}

/// The map's own, made when it is needed.
fn ledger(map: &mut ChannelMap) -> &mut Ledger {
    if map.provider::<Ledger>().is_none() {
        map.set_provider(Ledger::default());
    }
    map.provider_mut().expect("it was just set")
}
