//! The end of a message: [`Terminator`].

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use crate::framing::{Framing, Hook, Included};
use crate::pattern::{MAX_LEN, Pattern};

/// The longest string behind a count, in bytes.
const MAX_THEN: usize = 6;

/// The condition that ends a message on a chat channel: the argument of
/// [`set_terminator`](crate::Chat::set_terminator).
///
/// | made from | the message ends | a [`ChatHandler`](crate::ChatHandler) gets it | its bound |
/// |---|---|---|---|
/// | `"\r\n"`, `b"\r\n"`, or [`Bytes`] by `try_from` | where the string is found, without it | in parts | [`Limits::message`] |
/// | [`line()`](Self::line) | at `\n` or `\r\n`, without that | in parts | [`Limits::message`] |
/// | a `usize` | after so many bytes; 0 is at once | in parts | itself |
/// | [`count_then(5, b"\r\n")`](Self::count_then) | after so many bytes, which the string must follow, without it | in parts | itself |
/// | [`silence(time)`](Self::silence) | when nothing has come for so long | in parts | [`Limits::message`] |
/// | [`none()`](Self::none) | never: all input is collected | in parts | none |
/// | [`whole(5)`](Self::whole) | after so many bytes | whole | [`Limits::counted_message`] |
/// | [`line().included()`](Self::included), [`from("\n").included()`](Self::included) | as without `included`, but with its end | whole | [`Limits::message`] |
/// | [`framed(function)`](Self::framed) | where your [`Framing`] says | whole | [`Limits::message`] |
///
/// A [`MessageHandler`](crate::MessageHandler) gets every message whole, and
/// bounds numbers, and what comes without a terminator, by [`Limits::counted_message`].
/// asynchat has strings, integers and `None`.
///
/// A string stays until another terminator is set, and so does a framing. A number is used
/// up by its message: the terminator is none afterwards.
///
/// A clone does not allocate, nor does a new one without a string of more than 14 bytes or a
/// framing. Make such a one once, and set clones of it.
///
/// [`Limits::counted_message`]: crate::Limits::counted_message
/// [`Limits::message`]: crate::Limits::message
///
/// ```
/// use bytes::Bytes;
/// use chat::Terminator;
///
/// let line = Terminator::from("\r\n");
/// assert_eq!(line.as_bytes(), Some(&b"\r\n"[..]));
/// let body = Terminator::from(17);
/// assert_eq!(body.count(), Some(17));
/// assert!(Terminator::none().is_none());
///
/// // A peer's string is checked: it may be empty or too long.
/// let boundary = Bytes::from("\r\n--b0undary");
/// assert!(Terminator::try_from(boundary).is_ok());
/// assert!(Terminator::try_from(Bytes::new()).is_err());
/// ```
///
/// `"\r\n"` never ends at a `\n` alone: a peer that sends only that, such as `nc`, gets no
/// answer. [`line()`](Self::line) takes both.
///
/// An empty terminator does not compile:
///
/// ```compile_fail
/// let nothing = chat::Terminator::from(b"");
/// ```
#[derive(Clone)]
pub struct Terminator(pub(crate) Condition);

#[derive(Clone)]
pub(crate) enum Condition {
    None,
    Count(Counted),
    /// So many bytes in one piece.
    Whole(usize),
    Framed(Rc<Hook>),
    /// Milliseconds.
    Silence(u64),
    Pattern(Pattern),
    /// `\n`, and a `\r` before it.
    Line,
}

impl Condition {
    /// The string that is searched for, as far as it is held back at the end of a read.
    pub(crate) fn searched(&self) -> Option<&Pattern> {
        const CRLF: &Pattern = &Pattern::Pair(*b"\r\n");
        match self {
            Self::Pattern(pattern) => Some(pattern),
            Self::Line => Some(CRLF),
            _ => None,
        }
    }

    /// The bytes whose beginning is held back at the end of a read.
    pub(crate) fn held_bytes(&self) -> &[u8] {
        match (self, self.searched()) {
            (Self::Count(counted), _) => counted.then(),
            (_, Some(pattern)) => pattern.bytes(),
            (_, None) => &[],
        }
    }
}

/// A number of bytes, and the string that must follow. Of alignment 1, so that a
/// terminator has room for both.
#[derive(Clone, Copy)]
pub(crate) struct Counted {
    left: [u8; size_of::<usize>()],
    len: u8,
    then: [u8; MAX_THEN],
}

impl Counted {
    const fn new(count: usize, string: &[u8]) -> Self {
        let mut then = [0; MAX_THEN];
        let mut at = 0;
        while at < string.len() {
            then[at] = string[at];
            at += 1;
        }
        Self {
            left: count.to_ne_bytes(),
            len: string.len() as u8,
            then,
        }
    }

    /// The number of bytes still to come.
    pub(crate) const fn left(self) -> usize {
        usize::from_ne_bytes(self.left)
    }

    /// The string that follows; empty if there is none.
    pub(crate) fn then(&self) -> &[u8] {
        &self.then[..usize::from(self.len)]
    }

    /// So many bytes have come.
    pub(crate) fn advance(&mut self, len: usize) {
        self.left = self.left().saturating_sub(len).to_ne_bytes();
    }
}

impl Terminator {
    /// No terminator: all input is collected.
    #[must_use]
    pub const fn none() -> Self {
        Self(Condition::None)
    }

    /// A line's end, `\n` or `\r\n`. Neither is part of the message; any other `\r` is.
    ///
    /// Lines that end with `\r\n` by their protocol are safer with the string `"\r\n"`:
    /// two programs that do not agree on the end of a line can be played off against each
    /// other.
    ///
    /// ```
    /// use chat::{AsyncChat, Chat, ChannelMap, MessageHandler, Result, Terminator};
    ///
    /// struct Log(Vec<Vec<u8>>);
    ///
    /// impl MessageHandler for Log {
    ///     fn handle_message(&mut self, line: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
    ///         self.0.push(line.to_vec());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    /// std::io::Write::write_all(&mut &theirs, b"one\ntwo\r\nth\rree\n")?;
    /// let mut map = ChannelMap::new()?;
    /// let log = map.insert(AsyncChat::new(ours, Terminator::line(), Log(Vec::new())))?;
    /// map.turn(None)?;
    /// assert_eq!(map.get(log)?.handler.0, [&b"one"[..], b"two", b"th\rree"]);
    /// # Ok::<(), chat::Error>(())
    /// ```
    #[must_use]
    pub const fn line() -> Self {
        Self(Condition::Line)
    }

    /// A number of bytes, then a string of 1 to 6 bytes, which is no part of the message. A
    /// peer that sends anything else behind the bytes has made an error:
    /// [`FramingError::WrongEnd`](crate::FramingError) goes to
    /// [`handle_error`](crate::ChatHandler::handle_error).
    ///
    /// ```
    /// use chat::{AsyncChat, Chat, ChannelMap, MessageHandler, Result, Terminator};
    ///
    /// /// The bulk strings of Redis: `$5\r\nhello\r\n`.
    /// #[derive(Default)]
    /// struct Bulk {
    ///     has_length: bool,
    ///     strings: Vec<Vec<u8>>,
    /// }
    ///
    /// impl MessageHandler for Bulk {
    ///     fn handle_message(&mut self, data: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
    ///         self.has_length = !self.has_length;
    ///         if self.has_length {
    ///             let len = data.strip_prefix(b"$").ok_or("no bulk string")?;
    ///             let len: usize = std::str::from_utf8(len)?.parse()?;
    ///             chat.set_terminator(Terminator::count_then(len, b"\r\n"));
    ///         } else {
    ///             self.strings.push(data.to_vec());
    ///             chat.set_terminator("\r\n");
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    /// std::io::Write::write_all(&mut &theirs, b"$5\r\nhello\r\n$0\r\n\r\n$2\r\n\r\n\r\n")?;
    /// let mut map = ChannelMap::new()?;
    /// let bulk = map.insert(AsyncChat::new(ours, "\r\n", Bulk::default()))?;
    /// map.turn(None)?;
    /// assert_eq!(map.get(bulk)?.handler.strings, [&b"hello"[..], b"", b"\r\n"]);
    /// # Ok::<(), chat::Error>(())
    /// ```
    #[must_use]
    pub const fn count_then<const N: usize>(count: usize, string: &[u8; N]) -> Self {
        const {
            assert!(N > 0, "no string: use Terminator::from(count)");
            assert!(N <= MAX_THEN, "a string of more than 6 bytes");
        }
        Self(Condition::Count(Counted::new(count, string)))
    }

    /// A number of bytes that are delivered in one piece: the head of a message, when the
    /// message itself is too long to be kept.
    /// [`Limits::counted_message`](crate::Limits::counted_message) bounds it. It is used up by
    /// its message, as any number is.
    ///
    /// Only a [`ChatHandler`](crate::ChatHandler) needs it. A
    /// [`MessageHandler`](crate::MessageHandler) gets every message in one piece.
    ///
    /// ```
    /// use chat::{AsyncChat, Chat, ChannelMap, ChatHandler, Result, Terminator};
    ///
    /// /// Counts the bytes of frames, whose heads are their lengths.
    /// #[derive(Default)]
    /// struct Counter {
    ///     is_in_body: bool,
    ///     count: usize,
    /// }
    ///
    /// impl ChatHandler for Counter {
    ///     fn collect_incoming_data(
    ///         &mut self,
    ///         data: &[u8],
    ///         chat: &mut Chat,
    ///         _: &mut ChannelMap,
    ///     ) -> Result {
    ///         if self.is_in_body {
    ///             self.count += data.len(); // a part of any length
    ///         } else {
    ///             let len = u32::from_be_bytes(data.try_into()?); // the head
    ///             chat.set_terminator(usize::try_from(len)?);
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     fn found_terminator(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
    ///         self.is_in_body = !self.is_in_body;
    ///         if !self.is_in_body {
    ///             chat.set_terminator(Terminator::whole(4));
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    /// let mut map = ChannelMap::new()?;
    /// let counter = map.insert(AsyncChat::new(ours, Terminator::whole(4), Counter::default()))?;
    /// for part in [&b"\0\0"[..], b"\0\x05he", b"llo\0\0\0\0"] {
    ///     std::io::Write::write_all(&mut &theirs, part)?;
    ///     map.turn(None)?;
    /// }
    /// assert_eq!(map.get(counter)?.handler.count, 5);
    /// # Ok::<(), chat::Error>(())
    /// ```
    #[must_use]
    pub const fn whole(count: usize) -> Self {
        Self(Condition::Whole(count))
    }

    /// The end by silence: a message begins with its first byte, and ends when nothing has
    /// come for `time`, in whole milliseconds. Serial instruments end their frames so. The
    /// end of the input ends no message: [`handle_eof`](crate::ChatHandler::handle_eof) finds
    /// what there is of it.
    ///
    /// The channel has one timer for this, which is not set again for each read. A network
    /// may delay a part of a message, which silence then ends too early.
    ///
    /// ```
    /// use std::time::Duration;
    /// use chat::{AsyncChat, Chat, ChannelMap, MessageHandler, Result, Terminator};
    ///
    /// struct Frames(Vec<Vec<u8>>);
    ///
    /// impl MessageHandler for Frames {
    ///     fn handle_message(&mut self, frame: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
    ///         self.0.push(frame.to_vec());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    /// let mut map = ChannelMap::new()?;
    /// let terminator = Terminator::silence(Duration::from_millis(20));
    /// let frames = map.insert(AsyncChat::new(ours, terminator, Frames(Vec::new())))?;
    /// std::io::Write::write_all(&mut &theirs, b"\x01\x03\x02\0\x2a")?;
    /// while map.get(frames)?.handler.0.is_empty() {
    ///     map.turn(None)?;
    /// }
    /// assert_eq!(map.get(frames)?.handler.0, [b"\x01\x03\x02\0\x2a"]);
    /// # Ok::<(), chat::Error>(())
    /// ```
    #[must_use]
    pub fn silence(time: Duration) -> Self {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self(Condition::Silence(millis.max(1)))
    }

    /// The program's own [`Framing`]: a closure that tells the length of a message, or a
    /// type. Allocates: make it once, and set clones of it.
    #[must_use]
    pub fn framed(framing: impl Framing) -> Self {
        Self(Condition::Framed(Rc::new(Hook(Box::new(framing)))))
    }

    /// Makes the string, or the line's end, part of the message, which is then delivered in
    /// one piece. [`Limits::message`](crate::Limits::message) bounds both together. Any
    /// other terminator stays as it is. Allocates: make it once, and set clones of it.
    ///
    /// ```
    /// # use chat::{AsyncChat, Chat, ChannelMap, MessageHandler, Result, Terminator};
    /// # struct Log(Vec<Vec<u8>>);
    /// # impl MessageHandler for Log {
    /// #   fn handle_message(&mut self, line: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
    /// #       self.0.push(line.to_vec());
    /// #       Ok(())
    /// #   }
    /// # }
    /// # let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    /// # let mut map = ChannelMap::new()?;
    /// std::io::Write::write_all(&mut &theirs, b"one\ntwo\r\n")?;
    /// let terminator = Terminator::line().included();
    /// let log = map.insert(AsyncChat::new(ours, terminator, Log(Vec::new())))?;
    /// map.turn(None)?;
    /// assert_eq!(map.get(log)?.handler.0, [&b"one\n"[..], b"two\r\n"]);
    /// # Ok::<(), chat::Error>(())
    /// ```
    #[must_use]
    pub fn included(self) -> Self {
        match self.0 {
            Condition::Pattern(_) | Condition::Line => Self::framed(Included(self.0)),
            _ => self,
        }
    }

    /// The string, as bytes; `None` for another terminator.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Condition::Pattern(pattern) => Some(pattern.bytes()),
            _ => None,
        }
    }

    /// The number of bytes still to come; `None` for another terminator.
    pub fn count(&self) -> Option<usize> {
        match self.0 {
            Condition::Count(counted) => Some(counted.left()),
            Condition::Whole(count) => Some(count),
            _ => None,
        }
    }

    /// Whether there is no terminator.
    pub fn is_none(&self) -> bool {
        matches!(self.0, Condition::None)
    }

    pub(crate) fn is_silence(&self) -> bool {
        matches!(self.0, Condition::Silence(_))
    }
}

/// A number of bytes.
impl From<usize> for Terminator {
    fn from(count: usize) -> Self {
        Self(Condition::Count(Counted::new(count, &[])))
    }
}

/// A string literal of the program. For any other string, use `try_from`.
///
/// # Panics
///
/// If it is empty (see [`Terminator::none()`]) or longer than 4,096 bytes.
impl From<&'static str> for Terminator {
    fn from(string: &'static str) -> Self {
        match InvalidTerminator::or_pattern(string.as_bytes()) {
            Ok(pattern) => Self(Condition::Pattern(pattern)),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A byte string literal of the program. The compiler checks its length.
impl<const N: usize> From<&'static [u8; N]> for Terminator {
    fn from(bytes: &'static [u8; N]) -> Self {
        const {
            assert!(N > 0, "an empty terminator: use Terminator::none()");
            assert!(N <= MAX_LEN, "a terminator of more than 4096 bytes");
        }
        Self(Condition::Pattern(Pattern::of(bytes)))
    }
}

/// A string that is known at run time only, such as a MIME boundary.
impl TryFrom<Bytes> for Terminator {
    type Error = InvalidTerminator;

    fn try_from(bytes: Bytes) -> Result<Self, InvalidTerminator> {
        Ok(Self(Condition::Pattern(InvalidTerminator::or_pattern(
            &bytes,
        )?)))
    }
}

impl fmt::Debug for Terminator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Condition::None => f.write_str("None"),
            Condition::Count(counted) => {
                write!(f, "{} bytes", counted.left())?;
                match counted.then() {
                    [] => Ok(()),
                    then => write!(f, ", then b\"{}\"", then.escape_ascii()),
                }
            }
            Condition::Whole(count) => write!(f, "{count} bytes in one piece"),
            Condition::Framed(_) => f.write_str("framed"),
            Condition::Silence(millis) => write!(f, "{millis} ms of silence"),
            Condition::Line => f.write_str("a line's end"),
            Condition::Pattern(pattern) => {
                write!(f, "b\"{}\"", pattern.bytes().escape_ascii())
            }
        }
    }
}

/// The error for a terminator that is empty or longer than 4,096 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTerminator {
    len: usize,
}

impl InvalidTerminator {
    fn or_pattern(bytes: &[u8]) -> Result<Pattern, Self> {
        Pattern::new(bytes).ok_or(Self { len: bytes.len() })
    }
}

impl fmt::Display for InvalidTerminator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len {
            0 => f.write_str("an empty terminator: use Terminator::none()"),
            len => write!(f, "a terminator of {len} bytes; the limit is {MAX_LEN}"),
        }
    }
}

impl std::error::Error for InvalidTerminator {}

#[cfg(test)]
mod tests;
