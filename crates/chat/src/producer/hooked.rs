//! A callback at the end.

use std::fmt;
use std::io;

use super::{More, Producer};

/// Produces another producer's output, then calls a function with the number of bytes
/// made: for a line in a log, or a counter.
///
/// The function is called once, after the last byte is made and before it is sent.
/// [`handle_drained`](crate::ChatHandler::handle_drained) tells later that the output
/// has left. If the channel closes before, or the producer fails, the function is not
/// called.
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use chat::{HookedProducer, More, Producer, SimpleProducer};
///
/// let made = Rc::new(Cell::new(None));
/// let tell = Rc::clone(&made);
/// let mut producer = HookedProducer::new(SimpleProducer::new("abcde"), move |len| tell.set(Some(len)));
///
/// let mut out = Vec::new();
/// assert_eq!(producer.more(&mut out, 4)?, More::Again);
/// assert_eq!(made.get(), None);
/// assert_eq!(producer.more(&mut out, 4)?, More::Done);
/// assert_eq!(made.get(), Some(5));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "hooked_producer")]
pub struct HookedProducer<P, F> {
    producer: P,
    /// `None` once it was called.
    at_end: Option<F>,
    made: u64,
}

impl<P: Producer, F: FnOnce(u64)> HookedProducer<P, F> {
    /// Produces the output of `producer`, then calls `at_end`.
    pub fn new(producer: P, at_end: F) -> Self {
        Self {
            producer,
            at_end: Some(at_end),
            made: 0,
        }
    }
}

impl<P: Producer, F: FnOnce(u64)> Producer for HookedProducer<P, F> {
    fn more(&mut self, out: &mut Vec<u8>, max: usize) -> io::Result<More> {
        let before = out.len();
        let more = self.producer.more(out, max)?;
        self.made += (out.len() - before) as u64;
        if more == More::Done {
            if let Some(at_end) = self.at_end.take() {
                at_end(self.made);
            }
        }
        Ok(more)
    }
}

impl<P: fmt::Debug, F> fmt::Debug for HookedProducer<P, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookedProducer")
            .field("producer", &self.producer)
            .field("made", &self.made)
            .finish_non_exhaustive()
    }
}
