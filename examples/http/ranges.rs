//! Which part of a file is asked for (RFC 9110, section 14). No I/O.

use std::ops::Range;

use super::fields::number;

/// The part that a field `Range` asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All of it. The field is not one range of bytes. Several may be ignored, and are.
    Whole,
    Part(Range<u64>),
    /// A part that is not there.
    Nothing,
}

/// Reads the field for a file of `len` bytes.
pub(crate) fn asked(field: &[u8], len: u64) -> Asked {
    match one_range(field) {
        // Every part of an empty file is empty, and cannot be named.
        Some(_) if len == 0 => Asked::Whole,
        Some((Some(first), last)) if first < len => {
            let end = last.map_or(len, |last| last.saturating_add(1).min(len));
            Asked::Part(first..end)
        }
        Some((None, Some(suffix @ 1..))) => Asked::Part(len.saturating_sub(suffix)..len),
        Some(_) => Asked::Nothing,
        None => Asked::Whole,
    }
}

/// The first and the last position; without the first, the length of a suffix.
fn one_range(field: &[u8]) -> Option<(Option<u64>, Option<u64>)> {
    let (unit, ranges) = std::str::from_utf8(field).ok()?.split_once('=')?;
    let ranges = ranges
        .split(',')
        .map(|range| range.trim_matches([' ', '\t']));
    let mut ranges = ranges.filter(|range| !range.is_empty());
    let (first, last) = ranges.next()?.split_once('-')?;
    if !unit.eq_ignore_ascii_case("bytes") || ranges.next().is_some() {
        return None;
    }
    let [first, last] = [first, last].map(|digits| match digits {
        "" => Some(None),
        digits => number(digits.as_bytes()).map(Some),
    });
    match (first?, last?) {
        (None, None) => None,
        (Some(first), Some(last)) if first > last => None,
        range => Some(range),
    }
}
