//! Work for a channel that may be inside its own callback now.

use std::any::{Any, TypeId};
use std::rc::Rc;

use super::{CAPACITY, ChannelMap};
use crate::channel::Channel;
use crate::error::Absent;
use crate::token::{Handle, Token};

type Work = Box<dyn FnOnce(Result<&mut dyn Channel, Absent>, &mut ChannelMap)>;

pub(super) struct Post {
    to: Token,
    /// The type that the channel must have.
    kind: TypeId,
    work: Work,
}

/// # Posts
impl ChannelMap {
    /// Calls `f` with a channel and the map, as [`with`](Self::with) does, but not before
    /// the present callback has returned. So `f` reaches a channel that is inside its own
    /// callback now. Nothing is lost silently: if the channel is closed by then, or was
    /// [converted](Self::convert), `f` gets [`Absent`].
    ///
    /// - The channel that is being called delivers no further message of its present read
    ///   before the posts have run. The rest of the read is kept, and comes before later
    ///   input.
    /// - Posts run first in first out, after the closes that were asked for, and before the
    ///   next event, timer or remote work. A post that `f` makes waits for the next
    ///   callback, or the next turn, which then does not sleep.
    /// - A post from outside of a turn runs at the beginning of the next one.
    ///
    /// Returns `false` if 65,536 posts wait already. Then `f` is dropped, and an error is
    /// in the log.
    ///
    /// ```
    /// use reactor::{Absent, Channel, ChannelMap, Registration, Result, Token};
    ///
    /// #[derive(Debug, Default)]
    /// struct Counter(u32);
    /// # impl Channel for Counter {
    /// #     fn registration(&self) -> Option<&Registration> { None }
    /// # }
    ///
    /// let mut map = ChannelMap::new()?;
    /// let counter = map.insert(Counter::default())?;
    /// map.with(counter, |_, map| {
    ///     assert_eq!(map.get(counter).unwrap_err(), Absent::InCallback);
    ///     map.post(counter, |counter, _| counter.unwrap().0 += 1);
    /// })?;
    /// map.turn(None)?;
    /// assert_eq!(map.get(counter)?.0, 1);
    ///
    /// map.close(counter);
    /// map.post(counter, |counter, _| assert_eq!(counter.unwrap_err(), Absent::Closed));
    /// map.run()?;
    /// # Ok::<(), reactor::Error>(())
    /// ```
    pub fn post<C: Channel>(
        &mut self,
        handle: Handle<C>,
        f: impl FnOnce(Result<&mut C, Absent>, &mut Self) + 'static,
    ) -> bool {
        let to = handle.token();
        if self.posts.len() >= CAPACITY {
            log::error!("a post for channel {to} is lost: {CAPACITY} wait already");
            return false;
        }
        let work = |channel: Result<&mut dyn Channel, Absent>, map: &mut Self| {
            let channel = channel.and_then(|channel| {
                (channel as &mut dyn Any)
                    .downcast_mut()
                    .ok_or(Absent::OtherType)
            });
            f(channel, map);
        };
        self.posts.push_back(Post {
            to,
            kind: TypeId::of::<C>(),
            work: Box::new(work),
        });
        // The channel that is being called delivers nothing more before this has run.
        self.buffers.0.calling.set(None);
        self.pauses = true;
        true
    }

    /// Runs the posts that wait now; returns how many.
    #[cold]
    pub(super) fn run_posts(&mut self) -> usize {
        let home = Rc::clone(&self.home);
        let count = self.posts.len();
        for _ in 0..count {
            let Some(Post { to, kind, work }) = self.posts.pop_front() else {
                break; // another map is in this one's place
            };
            self.bring_home();
            match self.reach(to, kind) {
                Ok(()) => {
                    self.touch(to);
                    self.lend(to, |channel, map| work(Ok(channel), map));
                }
                Err(absent) => work(Err(absent), self),
            }
            if !self.is_at(&home) {
                self.park(None);
            }
            self.end_callback();
        }
        self.pauses = self.measure.is_some() || !self.posts.is_empty();
        count
    }
}
