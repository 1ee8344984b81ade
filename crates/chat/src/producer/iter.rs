//! The items of an iterator.

use std::fmt;
use std::io;

use super::{More, Producer};

/// Items taken for one answer. Without a limit, empty ones could go on for ever.
const ITEMS_PER_ANSWER: usize = 1_024;

/// Produces the items of an iterator. It is asked for more as the peer takes them.
///
/// ```
/// use chat::{IterProducer, More, Producer};
///
/// let squares = (1..=3).map(|n| format!("{}\r\n", n * n));
/// let mut out = Vec::new();
/// assert_eq!(IterProducer::new(squares).more(&mut out, 65_536)?, More::Done);
/// assert_eq!(&out[..], b"1\r\n4\r\n9\r\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct IterProducer<I> {
    items: I,
}

impl<I> IterProducer<I>
where
    I: Iterator<Item: AsRef<[u8]>>,
{
    /// Produces the items of `items`, one after another. Items are not cut: a long one
    /// makes an answer longer than the `max` that was asked for.
    pub fn new(items: impl IntoIterator<IntoIter = I>) -> Self {
        Self {
            items: items.into_iter(),
        }
    }
}

impl<I> Producer for IterProducer<I>
where
    I: Iterator<Item: AsRef<[u8]>>,
{
    fn more(&mut self, out: &mut Vec<u8>, max: usize) -> io::Result<More> {
        let begin = out.len();
        for _ in 0..ITEMS_PER_ANSWER {
            let Some(item) = self.items.next() else {
                return Ok(More::Done);
            };
            out.extend_from_slice(item.as_ref());
            if out.len() - begin >= max {
                break;
            }
        }
        Ok(More::Again)
    }
}

impl<I> fmt::Debug for IterProducer<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IterProducer")
    }
}
