//! The name of a hold: [`Hold`].

use std::fmt;

use crate::flags::{Flags, HELD};

/// A reason to hold a channel back: see [`Chat::hold`](crate::Chat::hold).
///
/// Give each part of a program that holds channels a constant of its own: then one cannot
/// release the hold of another. There are seven, besides [`PAUSE`](Self::PAUSE).
///
/// ```
/// use chat::Hold;
///
/// const BLOCKED: Hold = Hold::new(0);
/// const THROTTLED: Hold = Hold::new(1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hold(u8);

impl Hold {
    /// The hold of [`Chat::pause`](crate::Chat::pause).
    pub const PAUSE: Self = Self(7);

    /// The hold of this number, from 0 to 6.
    ///
    /// # Panics
    ///
    /// If the number is larger. In a constant, that is an error of the compiler's:
    ///
    /// ```compile_fail
    /// const EIGHTH: chat::Hold = chat::Hold::new(7);
    /// ```
    #[must_use]
    pub const fn new(number: u8) -> Self {
        assert!(number < 7, "a channel has the holds 0 to 6");
        Self(number)
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..=Self::PAUSE.0).map(Self)
    }

    /// Its bit, one of [`HELD`].
    pub(crate) fn flag(self) -> Flags {
        1 << (HELD.trailing_zeros() + u32::from(self.0))
    }
}

/// `pause`, or the number.
impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::PAUSE => f.write_str("pause"),
            Self(number) => write!(f, "{number}"),
        }
    }
}
