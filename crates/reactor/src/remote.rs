//! Work for the loop from other threads.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use polling::Poller;

use crate::map::ChannelMap;

/// How many pieces of work may wait for the loop at once.
const CAPACITY: usize = 65_536;

type Work = Box<dyn FnOnce(&mut ChannelMap) + Send>;

/// Runs closures on the loop, from any thread.
///
/// [`ChannelMap::remote`] returns one; clone it for each thread. A closure wakes the
/// loop, which runs it at the end of its turn. The closures of one thread run in the
/// order in which it gave them.
///
/// ```
/// use std::thread;
/// use reactor::{Channel, ChannelMap, Registration, Result, Token};
/// # #[derive(Debug)]
/// # struct Idle;
/// # impl Channel for Idle {
/// #     fn registration(&self) -> Option<&Registration> { None }
/// #     fn handle_read_event(&mut self, _: Token, _: &mut ChannelMap) -> Result { Ok(()) }
/// # }
///
/// let mut map = ChannelMap::new()?;
/// let idle = map.insert(Idle)?;
/// let remote = map.remote();
/// let thread = thread::spawn(move || {
///     remote.run(move |map| {
///         map.close(idle);
///     })
/// });
/// map.run()?; // until the last channel is closed
/// assert!(thread.join().unwrap().is_ok());
/// # Ok::<(), reactor::Error>(())
/// ```
#[derive(Clone)]
pub struct Remote {
    pub(crate) inbox: Arc<Inbox>,
}

impl Remote {
    /// Work for the loop that `poller` wakes.
    pub(crate) fn new(poller: Arc<Poller>) -> Self {
        let inbox = Inbox {
            poller,
            queue: Mutex::default(),
            waiting: AtomicUsize::new(0),
        };
        Self {
            inbox: Arc::new(inbox),
        }
    }

    /// Queues `work`, which the loop calls with its map at the end of a turn.
    ///
    /// # Errors
    ///
    /// Hands `work` back if 65,536 pieces of work are already waiting, or if the map
    /// was dropped.
    pub fn run<F>(&self, work: F) -> Result<(), RemoteError<F>>
    where
        F: FnOnce(&mut ChannelMap) + Send + 'static,
    {
        let mut queue = self.lock();
        if queue.closed {
            return Err(RemoteError::Gone(work));
        }
        if queue.work.len() >= CAPACITY {
            return Err(RemoteError::Full(work));
        }
        queue.work.push_back(Box::new(work));
        self.inbox.waiting.store(queue.work.len(), Ordering::SeqCst);
        drop(queue);
        self.wake();
        Ok(())
    }

    /// Ends the loop's present wait, or its next one, without queuing work.
    pub fn wake(&self) {
        if let Err(error) = self.inbox.poller.notify() {
            log::error!("cannot wake the loop: {error}");
        }
    }

    pub(crate) fn take_first(&self) -> Option<Work> {
        let mut queue = self.lock();
        let work = queue.work.pop_front();
        self.inbox.waiting.store(queue.work.len(), Ordering::SeqCst);
        work
    }

    /// The map is going: refuses further work, and drops what waits.
    pub(crate) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        let abandoned = std::mem::take(&mut queue.work);
        self.inbox.waiting.store(0, Ordering::SeqCst);
        // Dropped without the lock: what the closures own may use a remote.
        drop(queue);
        drop(abandoned);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing in here panics half-way, so a poisoned queue is whole.
        let queue = self.inbox.queue.lock();
        queue.unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("waiting", &self.inbox.waiting)
            .finish()
    }
}

/// Work that the loop refused, handed back.
#[non_exhaustive]
pub enum RemoteError<F> {
    /// The queue is full because the loop is behind. Try again later.
    Full(F),
    /// The map was dropped.
    Gone(F),
}

impl<F> RemoteError<F> {
    /// The work that was refused.
    pub fn into_inner(self) -> F {
        match self {
            Self::Full(work) | Self::Gone(work) => work,
        }
    }
}

impl<F> fmt::Debug for RemoteError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Gone(_) => "Gone(..)",
        })
    }
}

impl<F> fmt::Display for RemoteError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "too much work is waiting for the loop",
            Self::Gone(_) => "the channel map is gone",
        })
    }
}

impl<F> std::error::Error for RemoteError<F> {}

/// What remotes and the map share.
pub(crate) struct Inbox {
    poller: Arc<Poller>,
    queue: Mutex<Queue>,
    /// Length of the queue, so that a turn without work takes no lock.
    ///
    /// `SeqCst`, as is the poller's own note that it was notified: whoever finds that
    /// set does not wake the loop, and relies on it to look here after it clears it.
    pub(crate) waiting: AtomicUsize,
}

#[derive(Default)]
struct Queue {
    work: VecDeque<Work>,
    closed: bool,
}
