//! Who goes for a newcomer, where a listener has no room: [`Leavers`].

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use reactor::{ChannelMap, CloseReason, Token};

use crate::chat_map::{ChatMap, endpoint_of};
use crate::endpoint::Endpoint;
use crate::ledger::Block;
use crate::life::Stage;

/// How long one look at all channels serves: a flood of newcomers must not have the loop look
/// at every channel for each.
const LOOK: Duration = Duration::from_millis(250);

/// The channels that could make room, as the last look found them. A listener keeps them.
#[derive(Debug, Default)]
pub(crate) struct Leavers {
    looked: Option<Instant>,
    /// The first is to go first. Some may have gone, or may be idle no more.
    all: VecDeque<Leaver>,
    /// The same, by their addresses; made when the cap of an address asks.
    by_block: Option<HashMap<Block, VecDeque<Leaver>>>,
}

#[derive(Clone, Copy, Debug)]
struct Leaver {
    standing: Standing,
    token: Token,
    block: Option<Block>,
}

/// Why a channel may go, and since when. The least goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Lingers(Instant),
    Idle(Instant),
}

impl Leavers {
    /// Forgets a look that is too old, or of another map's time.
    pub(crate) fn expire(&mut self, now: Instant) {
        let age = |at| now.checked_duration_since(at);
        let is_old = |at| age(at).is_none_or(|age| age >= LOOK);
        if self.looked.is_some_and(is_old) {
            *self = Self::default();
        }
    }

    /// Looks for channels that can go, unless a look is fresh: for those that linger, and, if
    /// it `evicts` any, for those that are idle.
    pub(crate) fn look_if_due(&mut self, evicts: bool, map: &ChannelMap) {
        if self.looked.is_none() {
            *self = Self::look(evicts, map);
        }
    }

    /// Has one channel go, of this block of addresses if it must be of one; only one that
    /// lingers, unless it `evicts`. Returns whether there was any to go.
    pub(crate) fn make_room(
        &mut self,
        of: Option<Block>,
        evicts: bool,
        map: &mut ChannelMap,
    ) -> bool {
        while let Some(leaver) = self.pop(of, evicts) {
            if leaver.goes(evicts, map) {
                return true;
            }
        }
        false
    }

    #[cold]
    fn look(evicts: bool, map: &ChannelMap) -> Self {
        let channels = map.channels().filter_map(|channel| {
            let endpoint = channel.endpoint()?;
            let place = endpoint.place.as_ref()?; // others would make no room
            Some(Leaver {
                standing: Standing::of(endpoint, evicts, map.now())?,
                token: channel.token(),
                block: place.block(),
            })
        });
        let mut all: Vec<Leaver> = channels.collect();
        all.sort_unstable_by_key(|it| (it.standing, it.token));
        Self {
            looked: Some(map.now()),
            all: all.into(),
            by_block: None,
        }
    }

    fn pop(&mut self, of: Option<Block>, evicts: bool) -> Option<Leaver> {
        let queue = self.queue(of)?;
        let first = queue.front()?;
        let may_go = evicts || matches!(first.standing, Standing::Lingers(_));
        may_go.then(|| queue.pop_front())?
    }

    fn queue(&mut self, of: Option<Block>) -> Option<&mut VecDeque<Leaver>> {
        let Some(block) = of else {
            return Some(&mut self.all);
        };
        let by_block = self.by_block.get_or_insert_with(|| {
            let mut by_block: HashMap<Block, VecDeque<Leaver>> = HashMap::new();
            for leaver in &self.all {
                if let Some(block) = leaver.block {
                    by_block.entry(block).or_default().push_back(*leaver);
                }
            }
            by_block
        });
        by_block.get_mut(&block)
    }
}

impl Leaver {
    /// Closes the channel, if it stands as it did or lingers by now. Its place is free at
    /// once.
    fn goes(self, evicts: bool, map: &mut ChannelMap) -> bool {
        let now = map.now();
        let Some(endpoint) = map
            .get_any_mut(self.token)
            .ok()
            .and_then(|channel| endpoint_of(channel).ok())
        else {
            return false;
        };
        let reason = match Standing::of(endpoint, evicts, now) {
            Some(Standing::Lingers(_)) => {
                endpoint.close_as_ended(); // for the reason that it has
                endpoint.take_reason().unwrap_or(CloseReason::Evicted)
            }
            standing if standing == Some(self.standing) => CloseReason::Evicted,
            _ => return false,
        };
        endpoint.place = None;
        map.close_with(self.token, reason)
    }
}

impl Standing {
    fn of(endpoint: &Endpoint, evicts: bool, now: Instant) -> Option<Self> {
        match endpoint.life.stage() {
            Stage::Lingering(_) => Some(Self::Lingers(endpoint.lingers_since().unwrap_or(now))),
            Stage::Live | Stage::Shut | Stage::Failing(_) | Stage::Finishing(_)
                if evicts && endpoint.limits.evictable =>
            {
                endpoint.last_activity().map(Self::Idle)
            }
            _ => None,
        }
    }
}
