//! What a channel can be ready for.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign};

/// A set of events: those that the poller reported for a channel, or those that a
/// channel wants.
///
/// ```
/// use reactor::Readiness;
///
/// let both = Readiness::READABLE | Readiness::WRITABLE;
/// assert!(both.contains(Readiness::WRITABLE));
/// assert!(!both.contains(Readiness::PRIORITY));
/// assert!(Readiness::NONE.is_empty());
/// ```
// The bits are in the order in which a channel is called with the events.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The map is being shut down.
    pub(crate) const SHUTDOWN: Self = Self(1);
    /// The channel said [`pending`](crate::Channel::pending).
    pub(crate) const PENDING: Self = Self(2);
    /// Exceptional data: for TCP, out-of-band data (`POLLPRI`).
    pub const PRIORITY: Self = Self(4);
    /// Input, the end of it, or an error (`POLLIN`, `POLLHUP`, `POLLERR`).
    pub const READABLE: Self = Self(8);
    /// Room for output, or an error (`POLLOUT`, `POLLHUP`, `POLLERR`).
    pub const WRITABLE: Self = Self(16);
    /// An error (`POLLERR`), which the events before may have cleared.
    pub(crate) const ERROR: Self = Self(32);
    /// A hang-up: a connection that is closed at both ends, or was reset (`POLLHUP`).
    pub const HANG_UP: Self = Self(64);

    /// Whether every event of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Takes out the event that a channel is called with first.
    pub(crate) fn take_first(&mut self) -> Option<Self> {
        let first = Self(self.0 & self.0.wrapping_neg());
        self.0 ^= first.0;
        (!first.is_empty()).then_some(first)
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Readiness {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Readiness {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Readiness {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::READABLE, "READABLE"),
            (Self::WRITABLE, "WRITABLE"),
            (Self::PRIORITY, "PRIORITY"),
            (Self::PENDING, "PENDING"),
            (Self::SHUTDOWN, "SHUTDOWN"),
            (Self::ERROR, "ERROR"),
            (Self::HANG_UP, "HANG_UP"),
        ];
        let mut set = f.debug_set();
        for (event, name) in names {
            if self.contains(event) {
                set.entry(&format_args!("{name}"));
            }
        }
        set.finish()
    }
}
