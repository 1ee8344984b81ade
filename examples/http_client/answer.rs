//! How far an answer has come: heads, then a body, maybe in chunks (RFC 9112,
//! section 7.1).

use chat::{Result, Terminator};

use crate::head::{self, Body};

/// Heads, chunk sizes and trailers together may have so many bytes, and 8 more for each
/// byte in chunks: chunks of one byte do. Otherwise a server that goes on with 1xx or
/// trailers keeps a client for ever.
const MAX_FRAMING: usize = 131_072;

/// An answer that is being received. It begins with a message that ends with
/// [`head::END`].
#[derive(Debug)]
pub(crate) struct Answer {
    stage: Stage,
    /// Bytes that what frames the body may still have.
    room: usize,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            stage: Stage::Head,
            room: MAX_FRAMING,
        }
    }
}

/// What is being collected now.
#[derive(Debug)]
enum Stage {
    Head,
    /// A body whose length is known.
    Length,
    /// A body that ends with the connection.
    ToEnd,
    ChunkSize,
    ChunkData,
    /// The line end after a chunk's data.
    ChunkEnd,
    Trailers,
    /// Nothing: all is there.
    Whole,
}

impl Answer {
    /// Whether what comes now is for [`advance`](Self::advance), and no body.
    pub(crate) fn is_at_line(&self) -> bool {
        !matches!(self.stage, Stage::Length | Stage::ToEnd | Stage::ChunkData)
    }

    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.stage, Stage::Whole)
    }

    /// The terminator was found, and `line` came before it. Returns the next one;
    /// `None` if the answer is whole.
    ///
    /// # Errors
    ///
    /// If the answer's end cannot be told.
    pub(crate) fn advance(&mut self, line: &[u8]) -> Result<Option<Terminator>> {
        if self.is_at_line() {
            let room = self.room.checked_sub(line.len() + "\r\n".len());
            self.room = room.ok_or("its framing is too long for its body")?;
        }
        let (stage, terminator) = match self.stage {
            Stage::Head => match Body::after(line)? {
                Body::Head => (Stage::Head, head::END.into()),
                Body::Length(0) => return Ok(self.finish()),
                Body::Length(length) => (Stage::Length, length.into()),
                Body::Chunks => (Stage::ChunkSize, "\r\n".into()),
                Body::ToEnd => (Stage::ToEnd, Terminator::none()),
            },
            Stage::ChunkSize => match chunk_size(line)? {
                0 => (Stage::Trailers, "\r\n".into()),
                size => {
                    self.room = self.room.saturating_add(size.saturating_mul(8));
                    (Stage::ChunkData, size.into())
                }
            },
            Stage::ChunkData => (Stage::ChunkEnd, 2.into()),
            Stage::ChunkEnd if line == b"\r\n" => (Stage::ChunkSize, "\r\n".into()),
            Stage::ChunkEnd => return Err("a chunk is longer than it says".into()),
            Stage::Trailers if line.is_empty() => return Ok(self.finish()),
            Stage::Trailers if has_control(line) || !line.contains(&b':') => {
                return Err("invalid trailer".into());
            }
            Stage::Trailers => (Stage::Trailers, "\r\n".into()),
            Stage::Length | Stage::ToEnd | Stage::Whole => return Ok(self.finish()),
        };
        self.stage = stage;
        Ok(Some(terminator))
    }

    /// The connection has ended, which is the end of some answers.
    ///
    /// # Errors
    ///
    /// If that cuts the answer short.
    pub(crate) fn end(&mut self) -> Result {
        let cut = match self.stage {
            Stage::ToEnd | Stage::Whole => {
                self.finish();
                return Ok(());
            }
            Stage::Head => "its head",
            Stage::Length => "the length that its head says",
            _ => "its last chunk",
        };
        Err(format!("cut short, before the end of {cut}").into())
    }

    fn finish(&mut self) -> Option<Terminator> {
        self.stage = Stage::Whole;
        None
    }
}

/// A lone CR or LF, a NUL, or another that has no place in a line.
fn has_control(line: &[u8]) -> bool {
    line.iter()
        .any(|&byte| byte != b'\t' && byte.is_ascii_control())
}

/// The size of a chunk, in hexadecimal; extensions after `;` are ignored, and so is
/// space before them.
fn chunk_size(line: &[u8]) -> Result<usize> {
    let text = std::str::from_utf8(line).unwrap_or_default();
    let digits = match text.split_once(';') {
        Some((digits, _extensions)) => digits.trim_end_matches([' ', '\t']),
        None => text,
    };
    // "+5" is a number to the standard library, and none here.
    let is_number = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match usize::from_str_radix(digits, 16) {
        Ok(size) if is_number && !has_control(line) => Ok(size),
        _ => Err("invalid chunk size".into()),
    }
}
