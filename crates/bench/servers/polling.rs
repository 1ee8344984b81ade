//! The raw loop on `polling`, level-triggered: what our reactor stands on.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use bench::epoll::{Event, Interest};
use bench::raw::{self, Poller};
use polling::{Events, PollMode};

struct Raw(polling::Poller);

#[derive(Default)]
struct Batch(Events);

impl Poller for Raw {
    type Events = Batch;

    const EDGE: bool = false;

    fn new() -> io::Result<Self> {
        polling::Poller::new().map(Self)
    }

    fn add(&self, source: &impl AsFd, key: usize, interest: Interest) -> io::Result<()> {
        let fd = source.as_fd().as_raw_fd();
        // SAFETY: `delete` is called before the source is closed.
        unsafe {
            self.0
                .add_with_mode(fd, event(key, interest), PollMode::Level)
        }
    }

    fn modify(&self, source: &impl AsFd, key: usize, interest: Interest) -> io::Result<()> {
        self.0
            .modify_with_mode(source.as_fd(), event(key, interest), PollMode::Level)
    }

    fn delete(&self, source: &impl AsFd) -> io::Result<()> {
        self.0.delete(source.as_fd())
    }

    fn wait(&mut self, events: &mut Batch) -> io::Result<()> {
        events.0.clear();
        self.0.wait(&mut events.0, None)?;
        Ok(())
    }

    fn iter(events: &Batch) -> impl Iterator<Item = Event> {
        events.0.iter().map(|event| Event {
            key: event.key,
            readable: event.readable,
            writable: event.writable,
        })
    }
}

fn event(key: usize, interest: Interest) -> polling::Event {
    polling::Event::new(key, interest.readable, interest.writable)
}

fn main() -> io::Result<()> {
    raw::serve::<Raw>()
}
