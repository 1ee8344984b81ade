//! A reader's data.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use super::{More, Producer};

/// Produces a reader's data, a buffer at a time. A file is never in memory as a whole.
///
/// The loop waits while the reader reads. Files are quick enough. A slow reader should
/// return `WouldBlock`, which becomes [`More::Later`].
///
/// ```
/// use std::io::Cursor;
/// use chat::{More, Producer, ReadProducer};
///
/// let mut out = Vec::new();
/// let file = Cursor::new("0123456789"); // stands for a `File`
/// let mut producer = ReadProducer::range(file, 2..5)?;
/// assert_eq!(producer.more(&mut out, 65_536)?, More::Done);
/// assert_eq!(&out[..], b"234");
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias("file_producer", "stream_producer"))]
pub struct ReadProducer<R> {
    reader: R,
    /// The number of bytes still to come; `None` is all there are.
    left: Option<u64>,
}

impl<R: Read> ReadProducer<R> {
    /// Produces all data of `reader`, to its end.
    pub fn new(reader: R) -> Self {
        Self { reader, left: None }
    }

    /// Produces exactly `len` bytes of `reader`, such as the length announced to the
    /// peer. If the reader ends before, [`more`](Producer::more) returns
    /// `UnexpectedEof`, and the channel closes.
    pub fn exact(reader: R, len: u64) -> Self {
        let left = Some(len);
        Self { reader, left }
    }

    /// Produces exactly a range of a file, as [`exact`](Self::exact) does.
    ///
    /// # Errors
    ///
    /// Those of `seek`.
    pub fn range(mut reader: R, range: Range<u64>) -> io::Result<Self>
    where
        R: Seek,
    {
        reader.seek(SeekFrom::Start(range.start))?;
        let len = range.end.saturating_sub(range.start);
        Ok(Self::exact(reader, len))
    }

    /// Reads into `buffer`; `None` if there is nothing now.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.reader.read(buffer) {
                Ok(len) => return Ok(Some(len)),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => return Ok(None),
                    _ => return Err(error),
                },
            }
        }
    }
}

impl<R: Read> Producer for ReadProducer<R> {
    fn more(&mut self, out: &mut Vec<u8>, max: usize) -> io::Result<More> {
        let begin = out.len();
        let max = max.max(1);
        let want = self.left.map_or(max, |left| {
            usize::try_from(left).map_or(max, |left| left.min(max))
        });
        if want == 0 {
            return Ok(More::Done);
        }
        out.resize(begin + want, 0);
        let read = self.read(&mut out[begin..]);
        let len = read.as_ref().map_or(0, |len| len.unwrap_or(0));
        out.truncate(begin + len);
        match (read?, &mut self.left) {
            (None, _) => Ok(More::Later),
            (Some(0), None) => Ok(More::Done),
            (Some(0), Some(_)) => Err(io::ErrorKind::UnexpectedEof.into()),
            (Some(_), None) => Ok(More::Again),
            (Some(len), Some(left)) => {
                *left -= len as u64;
                Ok(if *left == 0 { More::Done } else { More::Again })
            }
        }
    }
}

impl<R> fmt::Debug for ReadProducer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadProducer")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
