//! Whom a listener lets in: at a full cap room is made, or the newcomer is refused.
//!
//! The dispatcher accepts a connection before it calls the handler, and hands it out when the
//! handler calls [`Endpoint::accept`]. So a refused one calls no handler.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem;
use std::net::Shutdown;
use std::time::Instant;

use reactor::{ChannelMap, CloseReason, Token};

use crate::address::Address;
use crate::chat_map::{ChatMap, endpoint_of};
use crate::endpoint::Endpoint;
use crate::ledger::{Block, Ledger, Place};
use crate::life::{Bound, Stage};
use crate::limits::{Limits, WhenFull};
use crate::stream::Stream;

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
}

/// The channels that could make room, found by one look at all of them a turn.
#[derive(Default)]
pub(crate) struct Room(Option<Candidates>);

#[derive(Default)]
struct Candidates {
    lingering: Queue,
    idle: Queue,
}

/// The first is to go first. One that has gone may be in it still.
#[derive(Default)]
struct Queue {
    all: VecDeque<Token>,
    by_block: HashMap<Block, VecDeque<Token>>,
}

impl Endpoint {
    /// Accepts the next connection, to be handed out. Returns `false` if it was refused.
    pub(crate) fn admit(&mut self, room: &mut Room, map: &mut ChannelMap) -> bool {
        if !self.has_admitted() {
            let next = match self.accept_next() {
                Ok(Some((mut stream, address))) => match self.let_in(&address, room, map) {
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
    fn let_in(
        &self,
        address: &Address,
        room: &mut Room,
        map: &mut ChannelMap,
    ) -> Result<Option<Place>, Full> {
        let limits = &*self.limits;
        if map.len() > limits.channels {
            return Err(Full);
        }
        let is_counted = limits.channels_per_address < usize::MAX;
        let mut place = None;
        if let Some(address) = address.as_inet().filter(|_| is_counted) {
            let taken = ledger(map).place(address.ip(), limits.ipv6_prefix);
            let excess = taken.count().saturating_sub(limits.channels_per_address);
            if excess > 1 || (excess == 1 && !room.make(Some(taken.block()), limits, map)) {
                return Err(Full);
            }
            place = Some(taken);
        }
        if map.len() == limits.channels && !room.make(None, limits, map) {
            return Err(Full);
        }
        Ok(place)
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
        if self.limits.refusal.is_empty() {
            return;
        }
        let mut wire = Endpoint::from(stream).take_wire();
        let _ = wire.send(&self.limits.refusal);
        let _ = wire.shutdown(Shutdown::Write);
        // The kernel resets a connection that is closed with unread input, and the peer may
        // lose the refusal.
        let _ = wire.recv(&mut map.buffers().read_buffer());
    }
}

impl Room {
    /// Has one channel go, of this block of addresses if it must be of one. Returns whether
    /// there was any to go.
    fn make(&mut self, of: Option<Block>, limits: &Limits, map: &mut ChannelMap) -> bool {
        let evicts = limits.when_full == WhenFull::EvictIdle;
        let candidates = self.0.get_or_insert_with(|| Candidates::find(evicts, map));
        while let Some(token) = candidates.lingering.pop(of) {
            if map.is_open(token) {
                return end(token, None, map);
            }
        }
        while let Some(token) = candidates.idle.pop(of) {
            if map.is_open(token) {
                return end(token, Some(CloseReason::Evicted), map);
            }
        }
        false
    }
}

impl Candidates {
    fn find(evicts: bool, map: &ChannelMap) -> Self {
        let (mut lingering, mut idle) = (Vec::new(), Vec::new());
        for channel in map.channels() {
            let Some(endpoint) = channel.endpoint() else {
                continue;
            };
            let (queue, since) = match endpoint.life.stage() {
                Stage::Lingering(_) => (&mut lingering, endpoint.lingers_since()),
                Stage::Live | Stage::Shut | Stage::Failing(_) | Stage::Finishing(_)
                    if evicts && endpoint.limits.evictable =>
                {
                    (&mut idle, endpoint.last_activity())
                }
                _ => continue,
            };
            let block = endpoint.place.as_ref().map(Place::block);
            queue.push((since.unwrap_or_else(|| map.now()), channel.token(), block));
        }
        Self {
            lingering: Queue::new(lingering),
            idle: Queue::new(idle),
        }
    }
}

impl Queue {
    fn new(mut channels: Vec<(Instant, Token, Option<Block>)>) -> Self {
        channels.sort_unstable_by_key(|&(since, token, _)| (since, token));
        let mut queue = Self::default();
        for (_, token, block) in channels {
            queue.all.push_back(token);
            if let Some(block) = block {
                queue.by_block.entry(block).or_default().push_back(token);
            }
        }
        queue
    }

    fn pop(&mut self, of: Option<Block>) -> Option<Token> {
        match of {
            Some(block) => self.by_block.get_mut(&block)?.pop_front(),
            None => self.all.pop_front(),
        }
    }
}

/// Closes a channel to make room: for `reason`, or that which it has. Its place is free at
/// once.
fn end(token: Token, reason: Option<CloseReason>, map: &mut ChannelMap) -> bool {
    let Some(endpoint) = map
        .get_any_mut(token)
        .ok()
        .and_then(|it| endpoint_of(it).ok())
    else {
        return false;
    };
    endpoint.place = None;
    let reason = reason.or_else(|| {
        endpoint.close_as_ended();
        endpoint.take_reason()
    });
    map.close_with(token, reason.unwrap_or(CloseReason::Evicted))
}

/// The map's own, made when it is needed.
fn ledger(map: &mut ChannelMap) -> &mut Ledger {
    if map.provider::<Ledger>().is_none() {
        map.set_provider(Ledger::default());
    }
    map.provider_mut().expect("it was just set")
}
