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

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn text_stays_as_it_is() {
        for text in [
            "",
            "plain text, and a \\",
            "gr\u{fc}\u{df}e, \u{4f60}\u{597d} \u{5e9} \u{1f600}",
            "\u{a0}\u{200d}\u{10ffff}",
        ] {
            assert_eq!(printable(text.as_bytes()), text);
        }
    }

    /// The first and the last of each kind, and their neighbours.
    #[test]
    fn what_has_power_over_a_terminal_or_the_text_around_it_is_escaped() {
        for (text, printed) in [
            ("\0a\t\r\n", "\\u{0}a\\t\\r\\n"),
            ("\x1b[2J", "\\u{1b}[2J"),
            ("\x1f ~\x7f", "\\u{1f} ~\\u{7f}"),
            ("\u{80}\u{9b}2K\u{9f}", "\\u{80}\\u{9b}2K\\u{9f}"),
            ("\u{61b}\u{61c}", "\u{61b}\\u{61c}"),
            (
                "\u{200d}\u{200e}\u{200f}\u{2010}",
                "\u{200d}\\u{200e}\\u{200f}\u{2010}",
            ),
            (
                "\u{2027}\u{2028}\u{2029}\u{202a}\u{202e}\u{202f}",
                "\u{2027}\\u{2028}\\u{2029}\\u{202a}\\u{202e}\u{202f}",
            ),
            (
                "\u{2065}\u{2066}\u{2069}\u{206a}",
                "\u{2065}\\u{2066}\\u{2069}\u{206a}",
            ),
        ] {
            assert_eq!(printable(text.as_bytes()), printed);
        }
    }

    /// Each byte of it, wherever it stands. So are control characters of 8 bits, and what
    /// only looks like UTF-8.
    #[test]
    fn what_is_no_utf_8_is_escaped() {
        for (bytes, printed) in [
            (&b"\xff"[..], "\\xff"),
            (b"a\x9b2Kb", "a\\x9b2Kb"),
            (b"\xc3\xbc\xc3", "\u{fc}\\xc3"),
            (b"\xe2\x80\n", "\\xe2\\x80\\n"),
            (b"\xc0\x8a", "\\xc0\\x8a"),
            (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
        ] {
            assert_eq!(printable(bytes), printed);
        }
    }
}
