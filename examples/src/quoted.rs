//! Text with quoted strings in it.

use std::mem;

/// The index of the first `wanted` outside quotes. A backslash escapes the character after
/// it, inside quotes and outside.
pub fn find_unquoted(text: &str, wanted: char) -> Option<usize> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    text.find(|char| {
        let was_escaped = mem::take(&mut is_escaped);
        if !was_escaped {
            is_escaped = char == '\\';
            is_quoted ^= char == '"';
        }
        char == wanted && !is_quoted && !was_escaped
    })
}
