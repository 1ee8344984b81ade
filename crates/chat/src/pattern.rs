//! The search for the string that ends a message.

use std::rc::Rc;

use memchr::{memchr, memchr_iter, memmem};

/// The longest terminator, in bytes.
pub(crate) const MAX_LEN: usize = 4_096;

/// Terminators of up to this length are kept inline and found without a table.
const SHORT_LEN: usize = 14;

/// The bytes of a terminator, prepared for the search.
#[derive(Clone)]
pub(crate) enum Pattern {
    Byte([u8; 1]),
    /// `\r\n`, mostly.
    Pair([u8; 2]),
    Short {
        len: u8,
        bytes: [u8; SHORT_LEN],
    },
    Long(Rc<Long>),
}

pub(crate) struct Long {
    finder: memmem::Finder<'static>,
    /// The length of each prefix's longest border: the table of Knuth, Morris and Pratt.
    borders: Box<[u16]>,
}

impl Pattern {
    /// `None` if it would be empty or too long.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        (1..=MAX_LEN)
            .contains(&bytes.len())
            .then(|| Self::of(bytes))
    }

    /// `bytes` must be of a valid length.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        match *bytes {
            [byte] => return Self::Byte([byte]),
            [first, last] => return Self::Pair([first, last]),
            _ => {}
        }
        let mut short = [0; SHORT_LEN];
        if let Some(start) = short.get_mut(..bytes.len()) {
            start.copy_from_slice(bytes);
            return Self::Short {
                len: bytes.len() as u8,
                bytes: short,
            };
        }
        Self::Long(Rc::new(Long {
            finder: memmem::Finder::new(bytes).into_owned(),
            borders: borders(bytes),
        }))
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Byte(byte) => byte,
            Self::Pair(pair) => pair,
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(long) => long.finder.needle(),
        }
    }

    /// The data before the first whole pattern in `data`, and the data behind it.
    #[inline]
    pub(crate) fn split<'d>(&self, data: &'d [u8]) -> Option<(&'d [u8], &'d [u8])> {
        if let Self::Byte([byte]) = self {
            let at = memchr(*byte, data)?;
            return Some((&data[..at], &data[at + 1..]));
        }
        let at = self.search(data)?;
        Some((&data[..at], &data[at + self.bytes().len()..]))
    }

    /// The position of the first whole pattern in `data`.
    pub(crate) fn search(&self, data: &[u8]) -> Option<usize> {
        match self {
            Self::Byte([byte]) => memchr(*byte, data),
            Self::Pair(pair) => find_pair(*pair, data),
            Self::Short { .. } => find_short(self.bytes(), data),
            Self::Long(long) => long.finder.find(data),
        }
    }

    /// The position of the first whole pattern in `data`. If there is none, as the error,
    /// the number of bytes at the end that are the beginning of one. `data` is known to
    /// begin with the `known` first bytes of the pattern, but not with all.
    pub(crate) fn find(&self, data: &[u8], known: usize) -> Result<usize, usize> {
        let (from, matched) = self.resume(data, known);
        if matched == self.bytes().len() {
            return Ok(from);
        }
        if from < known {
            return Err(matched);
        }
        match self.search(&data[from..]) {
            Some(at) => Ok(from + at),
            None => Err(self.prefix_at_end(&data[from..])),
        }
    }

    /// Searches on behind the `known` bytes, as long as a match may begin among them.
    /// Returns the position and the length of the longest match: a whole one, or one up
    /// to the end of `data`.
    pub(crate) fn resume(&self, data: &[u8], known: usize) -> (usize, usize) {
        let (mut end, mut matched) = (known, known);
        while end - matched < known && matched < self.bytes().len() {
            let Some(&byte) = data.get(end) else {
                break;
            };
            matched = self.step(matched, byte);
            end += 1;
        }
        (end - matched, matched)
    }

    /// The number of bytes at the end of `data` that are the beginning of the pattern:
    /// asynchat's `find_prefix_at_end`. `data` must not contain the whole pattern.
    pub(crate) fn prefix_at_end(&self, data: &[u8]) -> usize {
        let longest = self.bytes().len() - 1;
        let tail = &data[data.len().saturating_sub(longest)..];
        tail.iter()
            .fold(0, |matched, &byte| self.step(matched, byte))
    }

    /// The length of the match once `byte` has followed `matched` bytes of the pattern,
    /// which must not be all of it.
    fn step(&self, matched: usize, byte: u8) -> usize {
        let pattern = self.bytes();
        let mut matched = matched;
        while pattern[matched] != byte {
            if matched == 0 {
                return 0;
            }
            matched = self.border(matched);
        }
        matched + 1
    }

    /// The length of the longest proper prefix of `pattern[..len]` that also
    /// ends it.
    fn border(&self, len: usize) -> usize {
        match self {
            Self::Byte(_) | Self::Pair(_) | Self::Short { .. } => {
                let prefix = &self.bytes()[..len];
                (0..len)
                    .rev()
                    .find(|&shorter| prefix.ends_with(&prefix[..shorter]))
                    .unwrap_or(0)
            }
            Self::Long(long) => usize::from(long.borders[len - 1]),
        }
    }
}

/// The length of the line that `data` begins with, and with its end.
#[inline]
pub(crate) fn find_line(data: &[u8]) -> Option<(usize, usize)> {
    let end = memchr(b'\n', data)?;
    Some((end - usize::from(data[..end].ends_with(b"\r")), end + 1))
}

/// Finds a pair by its last byte, which is the rarer one of `\r\n`.
#[inline]
fn find_pair([first, last]: [u8; 2], data: &[u8]) -> Option<usize> {
    let mut from = 1;
    loop {
        let end = from + memchr(last, data.get(from..)?)?;
        if data[end - 1] == first {
            return Some(end - 1);
        }
        from = end + 1;
    }
}

/// Finds a short pattern by its last byte, too.
fn find_short(pattern: &[u8], data: &[u8]) -> Option<usize> {
    let (&last, head) = pattern.split_last()?;
    memchr_iter(last, data)
        .filter_map(|end| end.checked_sub(head.len()))
        // Byte by byte: a call costs more than the comparison of so few.
        .find(|&begin| head.iter().zip(&data[begin..]).all(|(a, b)| a == b))
}

fn borders(pattern: &[u8]) -> Box<[u16]> {
    let mut borders = vec![0_u16; pattern.len()];
    for end in 1..pattern.len() {
        let mut border = borders[end - 1];
        while border > 0 && pattern[usize::from(border)] != pattern[end] {
            border = borders[usize::from(border) - 1];
        }
        if pattern[usize::from(border)] == pattern[end] {
            border += 1;
        }
        borders[end] = border;
    }
    borders.into_boxed_slice()
}

#[cfg(test)]
mod tests;
