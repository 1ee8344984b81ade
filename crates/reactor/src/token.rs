//! Names for channels: [`Token`] and [`Handle`].

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

/// The next generation of the whole process, so that a token of one map is a
/// stranger to every other.
static NEXT_GENERATION: AtomicU64 = AtomicU64::new(1);

/// The name of one channel of one map, whatever its type.
///
/// A token is a slot number and a generation. The map reuses slots, never
/// generations: the token of a closed channel finds nothing, even when a
/// channel of this map or of another has the slot. Tokens are ordered by age, the oldest channel first.
///
/// ```
/// use reactor::{Channel, ChannelMap, Registration, Result, Token};
/// # #[derive(Debug)]
/// # struct Idle;
/// # impl Channel for Idle {
/// #     fn registration(&self) -> Option<&Registration> { None }
/// #     fn handle_read_event(&mut self, _: Token, _: &mut ChannelMap) -> Result { Ok(()) }
/// # }
///
/// let mut map = ChannelMap::new()?;
/// let first = map.insert(Idle)?;
/// map.remove(first);
/// let second = map.insert(Idle)?; // the same slot
/// assert!(!map.is_open(first));
/// assert!(map.is_open(second));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Eq, PartialOrd, Ord)]
pub struct Token {
    /// Different in every token of the process.
    generation: NonZeroU64,
    pub(crate) slot: usize,
}

impl Token {
    /// The token of a channel that is not in a map. It names no channel, ever.
    pub const NONE: Self = Self {
        generation: NonZeroU64::MAX,
        slot: 0,
    };

    /// Newer than every other token.
    pub(crate) fn new(slot: usize) -> Self {
        let generation = NEXT_GENERATION.fetch_add(1, Ordering::Relaxed);
        Self {
            // A process that makes a channel every nanosecond gets here in 584 years.
            generation: NonZeroU64::new(generation).expect("fewer than 2^64 channels"),
            slot,
        }
    }

    /// See [`Key`].
    pub(crate) fn key(self) -> Key {
        Key(self.generation.get() << Key::SLOT_BITS | self.slot as u64)
    }

    /// Makes a handle of this token, for a channel of type `C`.
    ///
    /// Does not check the type: a handle of the wrong type finds no channel.
    /// A handler uses this to keep a handle of its own channel:
    /// `server.token().handle::<Dispatcher<Room>>()`.
    #[must_use]
    pub fn handle<C>(self) -> Handle<C> {
        Handle {
            token: self,
            channel: PhantomData,
        }
    }
}

// The generation tells two tokens apart by itself; a channel is asked for it after
// each message.

impl PartialEq for Token {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.generation == other.generation
    }
}

impl PartialEq<Key> for Token {
    #[inline]
    fn eq(&self, key: &Key) -> bool {
        !Key::HAS_GENERATION || self.generation.get() as u32 == (key.0 >> Key::SLOT_BITS) as u32
    }
}

impl Hash for Token {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.generation.hash(state);
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}

/// Slot and generation, as `3#17`, for log lines.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.slot, self.generation)
    }
}

/// As it is displayed, for a console: `kill 3#17`. A token that names no channel is no error
/// here; the map does not find it.
impl FromStr for Token {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let parsed = text.split_once('#').and_then(|(slot, generation)| {
            Some(Self {
                slot: slot.parse().ok()?,
                generation: generation.parse().ok()?,
            })
        });
        parsed.ok_or(InvalidToken(()))
    }
}

/// A text that is no [`Token`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidToken(());

impl fmt::Display for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token is a slot and a generation, such as 3#17")
    }
}

impl std::error::Error for InvalidToken {}

/// The name of a channel of type `C`: a [`Token`] that knows the type.
///
/// [`ChannelMap::insert`](crate::ChannelMap::insert) returns one. It is `Copy`, keeps
/// nothing alive, and may be stored anywhere.
pub struct Handle<C> {
    token: Token,
    // `fn() -> C`: a handle owns no `C`, so it is `Send` and `Sync` whatever `C` is.
    channel: PhantomData<fn() -> C>,
}

impl<C> Handle<C> {
    /// The name without the type.
    #[must_use]
    pub fn token(self) -> Token {
        self.token
    }
}

impl<C> Clone for Handle<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Handle<C> {}

impl<C> PartialEq for Handle<C> {
    fn eq(&self, other: &Self) -> bool {
        self.token == other.token
    }
}

impl<C> Eq for Handle<C> {}

impl<C> Hash for Handle<C> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.token.hash(state);
    }
}

impl<C> fmt::Debug for Handle<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.token)
    }
}

impl<C> From<Handle<C>> for Token {
    fn from(handle: Handle<C>) -> Self {
        handle.token
    }
}

impl<C> PartialEq<Token> for Handle<C> {
    fn eq(&self, other: &Token) -> bool {
        self.token == *other
    }
}

impl<C> PartialEq<Handle<C>> for Token {
    fn eq(&self, other: &Handle<C>) -> bool {
        *self == other.token
    }
}

/// What a poller is given to name a channel by: the slot, and above it as much of the
/// generation as there is room for. So an entry that nobody can delete any more reports
/// for nobody, whoever has its slot by then.
///
/// Where `usize` has 32 bits there is no room, and such an entry's events are the next
/// tenant's. `usize::MAX`, which `polling` keeps to itself, is no key: a map with that
/// many slots does not fit into memory.
#[derive(Clone, Copy)]
pub(crate) struct Key(pub(crate) u64);

impl Key {
    const SLOT_BITS: u32 = 32;
    const HAS_GENERATION: bool = usize::BITS > Self::SLOT_BITS;
}
