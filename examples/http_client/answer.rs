//! How far an answer has come: heads, then a body, maybe in chunks (RFC 9112,
//! section 7.1).

use chat::{Result, Terminator};
use examples::Chunks;
use examples::lines::has_control;

use crate::head::{self, Body};

/// Heads and trailers together may have this many bytes. Otherwise a server that goes on
/// with 1xx or trailers keeps a client for ever.
const MAX_FIELDS: usize = 131_072;

/// An answer that is being received. It begins with a message that ends with
/// [`head::END`].
#[derive(Debug)]
pub(crate) struct Answer {
    stage: Stage,
    /// Bytes that heads and trailers may still have.
    room: usize,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            stage: Stage::Head,
            room: MAX_FIELDS,
        }
    }
}

/// The part that is being collected now.
#[derive(Debug)]
enum Stage {
    Head,
    /// A body whose length is known.
    Length,
    /// A body that ends with the connection.
    ToEnd,
    Chunks(Chunks),
    Trailers,
    /// Nothing: all is there.
    Whole,
}

impl Answer {
    /// Whether what comes now is for [`advance`](Self::advance), and no body.
    pub(crate) fn is_at_line(&self) -> bool {
        match &self.stage {
            Stage::Length | Stage::ToEnd => false,
            Stage::Chunks(chunks) => !chunks.is_at_data(),
            Stage::Head | Stage::Trailers | Stage::Whole => true,
        }
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
        if matches!(self.stage, Stage::Head | Stage::Trailers) {
            let room = self.room.checked_sub(line.len() + "\r\n".len());
            self.room = room.ok_or("its heads and trailers are too long")?;
        }
        let (stage, terminator) = match &mut self.stage {
            Stage::Head => match Body::after(line)? {
                Body::Head => (Stage::Head, head::END.into()),
                Body::Length(0) => return Ok(self.finish()),
                Body::Length(length) => (Stage::Length, length.into()),
                Body::Chunks => (Stage::Chunks(Chunks::new(usize::MAX)), "\r\n".into()),
                Body::ToEnd => (Stage::ToEnd, Terminator::none()),
            },
            Stage::Chunks(chunks) => match chunks.advance(line)? {
                Some(terminator) => return Ok(Some(terminator)),
                None => (Stage::Trailers, "\r\n".into()),
            },
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
