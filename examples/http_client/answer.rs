//! How far an answer has come: heads, then a body, maybe in chunks (RFC 9112,
//! section 7.1).

use chat::{Result, Terminator};

use crate::head::{self, Body};

/// An answer that is being received. It begins with a message that ends with
/// [`head::END`].
#[derive(Debug, Default)]
pub(crate) struct Answer(Stage);

/// What is being collected now.
#[derive(Debug, Default)]
enum Stage {
    #[default]
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
        !matches!(self.0, Stage::Length | Stage::ToEnd | Stage::ChunkData)
    }

    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.0, Stage::Whole)
    }

    /// The terminator was found, and `line` came before it. Returns the next one;
    /// `None` if the answer is whole.
    ///
    /// # Errors
    ///
    /// If the answer's end cannot be told.
    pub(crate) fn advance(&mut self, line: &[u8]) -> Result<Option<Terminator>> {
        let (stage, terminator) = match self.0 {
            Stage::Head => match Body::after(line)? {
                Body::Head => (Stage::Head, head::END.into()),
                Body::Length(0) => return Ok(self.finish()),
                Body::Length(length) => (Stage::Length, length.into()),
                Body::Chunks => (Stage::ChunkSize, "\r\n".into()),
                Body::ToEnd => (Stage::ToEnd, Terminator::none()),
            },
            Stage::ChunkSize => match chunk_size(line)? {
                0 => (Stage::Trailers, "\r\n".into()),
                size => (Stage::ChunkData, size.into()),
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
        self.0 = stage;
        Ok(Some(terminator))
    }

    /// The connection has ended, which is the end of some answers.
    ///
    /// # Errors
    ///
    /// If that cuts the answer short.
    pub(crate) fn end(&mut self) -> Result {
        let cut = match self.0 {
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
        self.0 = Stage::Whole;
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
