//! The producers in a queue: each is asked when it is at the head.

use std::io;

use super::account::Lent;
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
            if !self.has_producer_to_ask() {
                return Ok(());
            }
            let mut lent = Lent::of(self);
            let Queued::Many(queue) = &mut self.queued else {
                return Ok(());
            };
            let Some(Item::Producer(producer)) = queue.items.front_mut() else {
                return Ok(());
            };
            let more = match producer {
                Some(producer) => producer.more(lent.data(), max)?,
                None => handler(lent.data(), max)?,
            };
            let made = lent.data().len();
            if more == More::Done {
                queue.items.pop_front();
                queue.producers -= 1;
                self.answers = self.answers.saturating_sub(weight);
            }
            queue.is_stalled = more == More::Later;
            queue.is_begun = more != More::Done && (queue.is_begun || made > 0);
            if made > 0 {
                queue.len += made;
                queue.made = made;
                queue.items.push_front(Item::Own(lent.take()));
                return Ok(());
            }
            drop(lent);
            self.drop_empty_queue();
        }
        Ok(())
    }

    /// Whether there is a producer at the head, and it did not just say `Later`.
    fn has_producer_to_ask(&self) -> bool {
        let Queued::Many(queue) = &self.queued else {
            return false;
        };
        !queue.is_stalled && matches!(queue.items.front(), Some(Item::Producer(_)))
    }
}
