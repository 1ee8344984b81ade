//! The errors of framing: [`FramingError`].

use std::fmt;

/// Why input cannot be cut into messages. It goes to
/// [`handle_error`](crate::ChatHandler::handle_error), as a callback's error does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FramingError {
    /// Other bytes came in place of the string that must follow a
    /// [count](crate::Terminator::count_then).
    WrongEnd,
}

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongEnd => "a counted message is not followed by its end",
        })
    }
}

impl std::error::Error for FramingError {}
