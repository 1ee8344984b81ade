//! The body of an HTTP message in chunks (RFC 9112, section 7.1). No I/O.

use std::error::Error;
use std::fmt::{self, Display, Formatter};

use chat::Terminator;

use crate::lines::has_control;

/// The sizes and ends of chunks may have this many bytes, and 8 more for each byte of the
/// body, which is enough for chunks of one byte. Otherwise a peer could send extensions
/// without end.
const MAX_FRAMING: usize = 16_384;

/// A body in chunks that is being received, up to and with the line of its last chunk.
/// The trailers follow. The first message ends with a CRLF.
#[derive(Debug)]
pub struct Chunks {
    stage: Stage,
    /// Bytes that the body may still have.
    room: usize,
    /// Bytes that sizes and ends of chunks may still have.
    framing: usize,
}

/// The part that is being collected now.
#[derive(Debug)]
enum Stage {
    Size,
    Data,
    /// The CRLF after a chunk's data.
    End,
}

/// Why a body is not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// It is longer than it may be.
    TooLarge,
    /// It is not in chunks, or has more framing than data.
    Invalid(&'static str),
}

impl Chunks {
    /// Begins a body of at most `max_len` bytes.
    pub fn new(max_len: usize) -> Self {
        Self {
            stage: Stage::Size,
            room: max_len,
            framing: MAX_FRAMING,
        }
    }

    /// Whether the body itself comes now, and no line for [`advance`](Self::advance).
    pub fn is_at_data(&self) -> bool {
        matches!(self.stage, Stage::Data)
    }

    /// Goes on after a message: a size, data, whose bytes are ignored, or an end. Returns
    /// the next message's terminator; `None` after the last chunk.
    ///
    /// # Errors
    ///
    /// If the body is too large, or its end cannot be told.
    pub fn advance(&mut self, message: &[u8]) -> Result<Option<Terminator>, ChunkError> {
        let (stage, terminator) = match self.stage {
            Stage::Size => match self.begin_chunk(message)? {
                0 => return Ok(None),
                size => (Stage::Data, size.into()),
            },
            Stage::Data => (Stage::End, "\r\n".len().into()),
            Stage::End if message == b"\r\n" => (Stage::Size, "\r\n".into()),
            Stage::End => return Err(ChunkError::Invalid("a chunk is longer than it says")),
        };
        self.stage = stage;
        Ok(Some(terminator))
    }

    fn begin_chunk(&mut self, line: &[u8]) -> Result<usize, ChunkError> {
        let framing = self.framing.checked_sub(line.len() + "\r\n\r\n".len());
        let framing = framing.ok_or(ChunkError::Invalid("its framing is too long for its body"))?;
        let size = parse_size(line)?;
        self.room = self.room.checked_sub(size).ok_or(ChunkError::TooLarge)?;
        self.framing = framing.saturating_add(size.saturating_mul(8));
        Ok(size)
    }
}

impl Display for ChunkError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the chunks are too large",
            Self::Invalid(reason) => reason,
        })
    }
}

impl Error for ChunkError {}

/// Reads a size, in hexadecimal. Extensions after `;` are ignored, and so is space before
/// them.
fn parse_size(line: &[u8]) -> Result<usize, ChunkError> {
    let digits = match line.iter().position(|&byte| byte == b';') {
        Some(end) => line[..end].trim_ascii_end(),
        None => line,
    };
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    // The standard library takes "+5" as well.
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_number && !has_control(line) {
        // Only too many digits fail.
        true => usize::from_str_radix(digits, 16).map_err(|_| ChunkError::TooLarge),
        false => Err(ChunkError::Invalid("invalid chunk size")),
    }
}
