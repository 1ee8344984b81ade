//! Framing by a function of the program's own: [`Framing`], and its errors.

use std::fmt;

use reactor::Result;

use crate::pattern::find_line;
use crate::terminator::Condition;

/// The framing of a protocol whose messages no other [`Terminator`](crate::Terminator)
/// ends: a function that tells the length of a message from its first bytes. It becomes a
/// terminator by [`Terminator::framed`](crate::Terminator::framed), and is implemented for
/// closures.
///
/// The message is delivered whole, with all of its bytes, and
/// [`Limits::message`](crate::Limits::message) bounds it. A longer one is told to
/// [`handle_overlimit`](crate::ChatHandler::handle_overlimit) as soon as its length is
/// known. Nothing is allocated for bytes that have not come.
///
/// ```
/// use chat::{AsyncChat, Chat, ChannelMap, MessageHandler, Result, Terminator};
///
/// /// Two bytes that say how many follow.
/// fn prefixed(data: &[u8]) -> Result<Option<usize>> {
///     Ok(data.first_chunk().map(|len| 2 + usize::from(u16::from_be_bytes(*len))))
/// }
///
/// struct Words(Vec<String>);
///
/// impl MessageHandler for Words {
///     fn handle_message(&mut self, message: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
///         self.0.push(String::from_utf8(message[2..].to_vec())?);
///         Ok(())
///     }
/// }
///
/// let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
/// std::io::Write::write_all(&mut &theirs, b"\0\x05hello\0\0\0\x03you")?;
/// let mut map = ChannelMap::new()?;
/// let channel = AsyncChat::new(ours, Terminator::framed(prefixed), Words(Vec::new()));
/// let words = map.insert(channel)?;
/// map.turn(None)?;
/// assert_eq!(map.get(words)?.handler.0, ["hello", "", "you"]);
/// # Ok::<(), chat::Error>(())
/// ```
pub trait Framing: 'static {
    /// Tells the length of the message that `data` begins with, in bytes, its head and end
    /// included. It may be more than there is of `data`. `None` if that does not tell yet.
    ///
    /// Called with one byte at least. After a `None` it is called again when more has come:
    /// `seen` bytes were there then, and a search need not look at them again. After a length
    /// the channel receives so many bytes, and asks no more. Now and then a call is repeated
    /// with the same arguments.
    ///
    /// # Errors
    ///
    /// If `data` begins with no message. The error goes to
    /// [`handle_error`](crate::ChatHandler::handle_error), which may push an answer. The
    /// channel then closes, unless another terminator is set there.
    fn message_len(&self, data: &[u8], seen: usize) -> Result<Option<usize>>;
}

/// A function that has no use for `seen`.
impl<F: Fn(&[u8]) -> Result<Option<usize>> + 'static> Framing for F {
    fn message_len(&self, data: &[u8], _seen: usize) -> Result<Option<usize>> {
        self(data)
    }
}

/// Why input cannot be cut into messages. It goes to
/// [`handle_error`](crate::ChatHandler::handle_error), as a callback's error does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FramingError {
    /// Other bytes came in place of the string that must follow a
    /// [count](crate::Terminator::count_then).
    WrongEnd,
    /// A [`Framing`] has returned the length 0.
    Empty,
    /// A message to be [skipped](crate::Chat::skip_message) has brought as many bytes as
    /// [`Limits::message`](crate::Limits::message), and its length is still unknown.
    Endless,
}

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongEnd => "a counted message is not followed by its end",
            Self::Empty => "a message of no bytes",
            Self::Endless => "a message of unknown length cannot be skipped",
        })
    }
}

impl std::error::Error for FramingError {}

/// A [`Framing`] of which clones are shared, behind a thin pointer.
pub(crate) struct Hook(pub(crate) Box<dyn Framing>);

/// What is searched for, as the end of its message.
pub(crate) struct Included(pub(crate) Condition);

impl Framing for Included {
    fn message_len(&self, data: &[u8], seen: usize) -> Result<Option<usize>> {
        Ok(match &self.0 {
            Condition::Pattern(pattern) => {
                let len = pattern.bytes().len();
                let from = seen.saturating_sub(len - 1);
                pattern.search(&data[from..]).map(|at| from + at + len)
            }
            _ => find_line(&data[seen..]).map(|(_, end)| seen + end),
        })
    }
}
