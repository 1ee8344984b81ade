//! Where the body of a request ends: by a length, or in chunks (RFC 9112,
//! section 7.1).

use chat::Terminator;
use http::StatusCode;

use crate::request::has_bare_cr_or_lf;

/// The longest body that is taken, in bytes.
pub(crate) const MAX_BODY: usize = 1024 * 1024;

/// The longest trailer section, in bytes.
const MAX_TRAILERS: usize = 8_192;

/// A body that is being received.
#[derive(Debug)]
pub(crate) struct Reader {
    data: Vec<u8>,
    stage: Stage,
    trailers: usize,
}

/// What is being collected now.
#[derive(Debug)]
enum Stage {
    /// A body whose length is known.
    Whole,
    ChunkSize,
    ChunkData,
    /// The line end after a chunk's data.
    ChunkEnd,
    Trailers,
}

/// What a terminator that was found means.
#[derive(Debug)]
pub(crate) enum Progress {
    /// There is more, up to this terminator.
    Next(Terminator),
    /// The body is complete.
    Done(Vec<u8>),
}

impl Reader {
    /// A body of `length` bytes, and its terminator.
    pub(crate) fn with_length(length: u64) -> Result<(Self, Terminator), StatusCode> {
        match usize::try_from(length) {
            Ok(length) if length <= MAX_BODY => Ok((Self::new(Stage::Whole), length.into())),
            _ => Err(StatusCode::PAYLOAD_TOO_LARGE),
        }
    }

    /// A body in chunks, and its first terminator.
    pub(crate) fn chunked() -> (Self, Terminator) {
        (Self::new(Stage::ChunkSize), "\r\n".into())
    }

    fn new(stage: Stage) -> Self {
        Self {
            data: Vec::new(),
            stage,
            trailers: 0,
        }
    }

    /// Whether what comes now is the body itself, to be given to
    /// [`extend`](Self::extend); otherwise it is a line for
    /// [`advance`](Self::advance).
    pub(crate) fn takes_data(&self) -> bool {
        matches!(self.stage, Stage::Whole | Stage::ChunkData)
    }

    pub(crate) fn extend(&mut self, data: &[u8]) {
        self.data.extend_from_slice(data);
    }

    /// The terminator was found; `line` is what came before it.
    ///
    /// # Errors
    ///
    /// The status to refuse the request with.
    pub(crate) fn advance(&mut self, line: &[u8]) -> Result<Progress, StatusCode> {
        match self.stage {
            Stage::Whole => Ok(self.done()),
            Stage::ChunkSize => match chunk_size(line)? {
                0 => self.next(Stage::Trailers, "\r\n"),
                size if size > MAX_BODY - self.data.len() => Err(StatusCode::PAYLOAD_TOO_LARGE),
                size => self.next(Stage::ChunkData, size),
            },
            Stage::ChunkData => self.next(Stage::ChunkEnd, 2),
            Stage::ChunkEnd if line == b"\r\n" => self.next(Stage::ChunkSize, "\r\n"),
            Stage::ChunkEnd => Err(StatusCode::BAD_REQUEST),
            Stage::Trailers if line.is_empty() => Ok(self.done()),
            Stage::Trailers => {
                self.trailers += line.len();
                if self.trailers > MAX_TRAILERS {
                    return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
                }
                if has_bare_cr_or_lf(line) {
                    return Err(StatusCode::BAD_REQUEST);
                }
                self.next(Stage::Trailers, "\r\n")
            }
        }
    }

    fn next(
        &mut self,
        stage: Stage,
        terminator: impl Into<Terminator>,
    ) -> Result<Progress, StatusCode> {
        self.stage = stage;
        Ok(Progress::Next(terminator.into()))
    }

    fn done(&mut self) -> Progress {
        Progress::Done(std::mem::take(&mut self.data))
    }
}

/// The size of a chunk, in hexadecimal; extensions after `;` are ignored.
fn chunk_size(line: &[u8]) -> Result<usize, StatusCode> {
    if has_bare_cr_or_lf(line) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    let digits = digits.trim_ascii_end(); // "BWS" before an extension
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(StatusCode::BAD_REQUEST);
    }
    // Hexadecimal digits are UTF-8; too many of them are too large a size.
    let digits = std::str::from_utf8(digits).map_err(|_| StatusCode::BAD_REQUEST)?;
    usize::from_str_radix(digits, 16).map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)
}
