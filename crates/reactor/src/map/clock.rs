//! The time of a map, for channels that have no map at hand: [`Moment`].

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::buffers::Buffers;

/// An instant by the clock of one map, in one word, which a channel can note whenever bytes
/// pass. [`Buffers::time`] tells that of the turn, and [`Buffers::instant`] reads it.
///
/// The default is the making of the map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(
    /// Nanoseconds since then: enough for 584 years.
    pub(super) u64,
);

pub(super) struct Clock {
    /// When the map was made.
    pub(super) began: Instant,
    /// The time of the turn.
    pub(super) time: Cell<Moment>,
}

impl Buffers {
    /// The instant that a moment of this map stands for.
    #[must_use]
    pub fn instant(&self, moment: Moment) -> Instant {
        self.0.clock.began + Duration::from_nanos(moment.0)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            time: Cell::default(),
        }
    }
}
