//! Timers: what the map does with them, and the indexed binary heap that they
//! are in.
//!
//! Every entry knows its place in the heap, so that cancelling one removes it
//! at once instead of leaving a corpse to be popped later; and the entries of
//! one channel are linked, so that closing it removes them all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use slab::Slab;

use crate::map::{ChannelMap, open_slot};
use crate::token::Token;

/// The next sequence number of the whole process, so that a timer of one map is
/// a stranger to every other.
static NEXT_SEQUENCE: AtomicU64 = AtomicU64::new(0);

/// The name of a timer that was set: what
/// [`ChannelMap::set_timer`](crate::ChannelMap::set_timer) returns and
/// [`Channel::handle_timer`](crate::Channel::handle_timer) is called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timer {
    entry: usize,
    sequence: u64,
}

impl Timer {
    /// A timer that is not set and never was.
    pub(crate) fn spent() -> Self {
        Self {
            entry: usize::MAX,
            sequence: NEXT_SEQUENCE.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// A sequence that no existing timer has reached.
    pub(crate) fn watermark() -> u64 {
        NEXT_SEQUENCE.load(Ordering::Relaxed)
    }
}

/// # Timers
impl ChannelMap {
    /// Has the loop call the channel's
    /// [`handle_timer`](crate::Channel::handle_timer), once, when
    /// [`now`](Self::now) is not before `deadline` any more. Timers that are due
    /// together are called by deadline, then in the order they were set; a
    /// deadline in the past that is set in a callback counts as `now`, and one
    /// that a timer or remote work sets is not called before the next turn.
    ///
    /// A timer ends with its channel. For a channel that is not open, the
    /// timer is spent already.
    ///
    /// ```
    /// use std::time::Duration;
    /// use reactor::{Channel, ChannelMap, Registration, Result, Timer, Token};
    ///
    /// #[derive(Debug)]
    /// struct Alarm;
    ///
    /// impl Channel for Alarm {
    ///     fn registration(&self) -> Option<&Registration> {
    ///         None // timers only
    ///     }
    ///     fn handle_read_event(&mut self, _: Token, _: &mut ChannelMap) -> Result {
    ///         Ok(())
    ///     }
    ///     fn handle_timer(&mut self, _: Timer, me: Token, map: &mut ChannelMap) -> Result {
    ///         map.close(me);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut map = ChannelMap::new()?;
    /// let alarm = map.insert(Alarm)?;
    /// map.set_timer(alarm, map.now() + Duration::from_millis(10));
    /// map.run()?; // until the alarm has closed itself
    /// # Ok::<(), reactor::Error>(())
    /// ```
    pub fn set_timer(&mut self, channel: impl Into<Token>, deadline: Instant) -> Timer {
        let token = channel.into();
        // A turn calls the timers that were set before it began to. One that is
        // set for the past meanwhile must not get ahead of those.
        let deadline = match self.turning {
            true => deadline.max(self.now),
            false => deadline,
        };
        match open_slot(&mut self.slots, token) {
            Some(slot) => self.timers.insert(deadline, token, &mut slot.timers),
            None => Timer::spent(),
        }
    }

    /// Removes a timer. Returns whether it was still set.
    pub fn cancel(&mut self, timer: Timer) -> bool {
        let Some(removed) = self.timers.remove(timer) else {
            return false;
        };
        self.unlink(removed.token, removed.new_head);
        true
    }

    /// How many timers are set.
    #[must_use]
    pub fn timers(&self) -> usize {
        self.timers.len()
    }

    /// A timer was removed that may have been the first of its channel's list.
    pub(crate) fn unlink(&mut self, token: Token, new_head: Option<Option<usize>>) {
        if let Some(head) = new_head {
            self.slots[token.slot()].timers = head;
        }
    }
}

/// A timer that is no longer set, and what its channel's list begins with now.
pub(crate) struct Removed {
    pub(crate) timer: Timer,
    pub(crate) token: Token,
    /// `Some` if the entry was the first of its channel's list.
    pub(crate) new_head: Option<Option<usize>>,
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    entries: Slab<Entry>,
    /// Keys of `entries`, ordered as a binary heap by deadline and sequence.
    heap: Vec<usize>,
}

#[derive(Debug)]
struct Entry {
    deadline: Instant,
    sequence: u64,
    token: Token,
    /// Where `heap` holds this entry.
    place: usize,
    previous: Option<usize>,
    next: Option<usize>,
}

impl Timers {
    /// Sets a timer and puts it at the front of the list that starts at `head`.
    pub(crate) fn insert(
        &mut self,
        deadline: Instant,
        token: Token,
        head: &mut Option<usize>,
    ) -> Timer {
        let sequence = NEXT_SEQUENCE.fetch_add(1, Ordering::Relaxed);
        let place = self.heap.len();
        let entry = self.entries.insert(Entry {
            deadline,
            sequence,
            token,
            place,
            previous: None,
            next: *head,
        });
        if let Some(second) = head.replace(entry) {
            self.entries[second].previous = Some(entry);
        }
        self.heap.push(entry);
        self.sift_up(place);
        Timer { entry, sequence }
    }

    /// Removes a timer; `None` if it is not set.
    pub(crate) fn remove(&mut self, timer: Timer) -> Option<Removed> {
        let entry = self.entries.get(timer.entry)?;
        (entry.sequence == timer.sequence).then(|| self.take(timer.entry))
    }

    /// Removes all timers of the list that starts at `head`.
    pub(crate) fn remove_list(&mut self, head: Option<usize>) {
        let mut next = head;
        while let Some(key) = next {
            next = self.entries[key].next;
            self.take(key);
        }
    }

    /// Removes and returns the first timer that is due at `now` and was set
    /// before the sequence `before`.
    pub(crate) fn pop_due(&mut self, now: Instant, before: u64) -> Option<Removed> {
        let first = *self.heap.first()?;
        let entry = &self.entries[first];
        (entry.deadline <= now && entry.sequence < before).then(|| self.take(first))
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        Some(self.entries[*self.heap.first()?].deadline)
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    fn take(&mut self, key: usize) -> Removed {
        let entry = self.entries.remove(key);
        self.heap.swap_remove(entry.place);
        if let Some(&moved) = self.heap.get(entry.place) {
            self.entries[moved].place = entry.place;
            self.sift_up(entry.place);
            self.sift_down(self.entries[moved].place);
        }
        if let Some(next) = entry.next {
            self.entries[next].previous = entry.previous;
        }
        if let Some(previous) = entry.previous {
            self.entries[previous].next = entry.next;
        }
        Removed {
            timer: Timer {
                entry: key,
                sequence: entry.sequence,
            },
            token: entry.token,
            new_head: entry.previous.is_none().then_some(entry.next),
        }
    }

    fn sift_up(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if !self.is_before(place, parent) {
                break;
            }
            self.swap(place, parent);
            place = parent;
        }
    }

    fn sift_down(&mut self, mut place: usize) {
        loop {
            let left = 2 * place + 1;
            if left >= self.heap.len() {
                break;
            }
            let right = left + 1;
            let child = if right < self.heap.len() && self.is_before(right, left) {
                right
            } else {
                left
            };
            if !self.is_before(child, place) {
                break;
            }
            self.swap(child, place);
            place = child;
        }
    }

    fn is_before(&self, left: usize, right: usize) -> bool {
        let key = |place: usize| {
            let entry = &self.entries[self.heap[place]];
            (entry.deadline, entry.sequence)
        };
        key(left) < key(right)
    }

    fn swap(&mut self, left: usize, right: usize) {
        self.heap.swap(left, right);
        for place in [left, right] {
            self.entries[self.heap[place]].place = place;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    /// The heap against a sorted map, over a long random history.
    #[test]
    fn the_heap_agrees_with_a_sorted_map() {
        let epoch = Instant::now();
        let tokens: Vec<Token> = (0..4).map(Token::new).collect();
        let mut heads = vec![None; tokens.len()];
        let mut timers = Timers::default();
        let mut model: BTreeMap<(Instant, u64), (Timer, usize)> = BTreeMap::new();
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let unlink = |removed: &Removed, heads: &mut Vec<Option<usize>>| {
            if let Some(head) = removed.new_head {
                heads[removed.token.slot()] = head;
            }
        };

        for _ in 0..20_000 {
            match random(10) {
                0..5 => {
                    let owner = random(4) as usize;
                    let deadline = epoch + Duration::from_millis(random(50));
                    let timer = timers.insert(deadline, tokens[owner], &mut heads[owner]);
                    model.insert((deadline, timer.sequence), (timer, owner));
                }
                5..7 => {
                    let nth = random(model.len().max(1) as u64) as usize;
                    let Some((&key, &(timer, _))) = model.iter().nth(nth) else {
                        continue;
                    };
                    unlink(&timers.remove(timer).unwrap(), &mut heads);
                    assert!(timers.remove(timer).is_none(), "removed twice");
                    model.remove(&key);
                }
                7..9 => {
                    let now = epoch + Duration::from_millis(random(50));
                    let due = timers.pop_due(now, u64::MAX);
                    let expected = model.first_key_value().filter(|(key, _)| key.0 <= now);
                    assert_eq!(
                        due.as_ref().map(|removed| removed.timer),
                        expected.map(|(_, &(timer, _))| timer)
                    );
                    if let Some(removed) = due {
                        unlink(&removed, &mut heads);
                        model.pop_first();
                    }
                }
                _ => {
                    let owner = random(40) as usize;
                    if owner < 4 {
                        timers.remove_list(heads[owner].take());
                        model.retain(|_, entry| entry.1 != owner);
                    }
                }
            }
            assert_eq!(timers.len(), model.len());
            assert_eq!(
                timers.next_deadline(),
                model.first_key_value().map(|(key, _)| key.0)
            );
        }
    }
}
