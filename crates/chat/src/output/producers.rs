//! The producers in a queue: each is asked when it is at the head.

use std::io;

use reactor::Buffers;

use super::account::recount;
use super::{Item, Output, Queued};
use crate::producer::{More, Producer};

/// How often a producer that says `Again` without data is asked in one refill.
pub(super) const EMPTY_ANSWERS: usize = 16;

/// A producer counts as this part of the mark.
const PRODUCERS_AT_MARK: u32 = 16;

/// Asks a channel's handler, as [`Producer::more`] asks a producer.
pub(crate) type Ask<'a> = &'a mut dyn FnMut(&mut Vec<u8>, usize) -> io::Result<More>;

impl Output {
    pub(crate) fn push_producer(&mut self, producer: Box<dyn Producer>) {
        self.push_item(Item::Producer(Some(producer)));
    }

    /// Queues a place at which the handler is asked, as a producer.
    pub(crate) fn push_handler(&mut self) {
        self.push_item(Item::Producer(None));
    }

    /// How many producers are queued.
    pub(crate) fn producers(&self) -> usize {
        match &self.queued {
            Queued::Many(queue) => queue.producers,
            _ => 0,
        }
    }

    /// How many bytes a producer counts as.
    pub(super) fn weight(&self) -> u32 {
        self.mark.div_ceil(PRODUCERS_AT_MARK).max(1)
    }

    /// The producer at the head may have more now.
    pub(crate) fn unstall(&mut self) {
        if let Queued::Many(queue) = &mut self.queued {
            queue.is_stalled = false;
        }
    }

    /// Has the producer at the head, if there is one, put up to about `max`
    /// bytes before itself. If it is the handler, `handler` asks that.
    pub(crate) fn refill(&mut self, max: usize, handler: Ask<'_>) -> io::Result<()> {
        let weight = self.weight();
        for _ in 0..EMPTY_ANSWERS {
            let buffers = self.buffers.as_ref();
            let Queued::Many(queue) = &mut self.queued else {
                return Ok(());
            };
            let Some(Item::Producer(producer)) = queue.items.front_mut() else {
                return Ok(());
            };
            if queue.is_stalled {
                return Ok(());
            }
            let mut made = buffers.map_or_else(Box::default, Buffers::take_spare);
            let capacity = made.capacity();
            let more = match producer {
                Some(producer) => producer.more(&mut made, max),
                None => handler(&mut made, max),
            };
            recount(buffers, capacity, made.capacity());
            let more = match more {
                Ok(more) => more,
                Err(error) => {
                    self.give_back(made);
                    return Err(error);
                }
            };
            if more == More::Done {
                queue.items.pop_front();
                queue.producers -= 1;
                self.answers = self.answers.saturating_sub(weight);
            }
            queue.is_stalled = more == More::Later;
            queue.is_begun = more != More::Done && (queue.is_begun || !made.is_empty());
            if !made.is_empty() {
                queue.len += made.len();
                queue.made = made.len();
                queue.items.push_front(Item::Own(made));
                return Ok(());
            }
            self.give_back(made);
            self.drop_empty_queue();
        }
        Ok(())
    }
}
