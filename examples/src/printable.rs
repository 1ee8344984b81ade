//! A peer's text in a form that is safe to print.

/// The text as one line. Bytes that are not UTF-8, control characters and characters that
/// change the direction of text are escaped.
pub fn printable(text: &[u8]) -> String {
    let mut printed = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for char in chunk.valid().chars() {
            match is_safe(char) {
                true => printed.push(char),
                false => printed.extend(char.escape_default()),
            }
        }
        printed.push_str(&chunk.invalid().escape_ascii().to_string());
    }
    printed
}

/// Without power over a terminal, and over the text around it (Unicode's `Bidi_Control`
/// and line separators).
fn is_safe(char: char) -> bool {
    !(char.is_control()
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}')
        || ('\u{2028}'..='\u{202e}').contains(&char)
        || ('\u{2066}'..='\u{2069}').contains(&char))
}
