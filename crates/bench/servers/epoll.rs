//! The raw loop on epoll(7): the limit.

use std::io;
use std::os::fd::AsFd;

use bench::epoll::{Epoll, Event, Events, Interest};
use bench::raw::{self, Poller};
use bench::start::{self, Work};
use bench::store;

struct Raw(Epoll);

impl Poller for Raw {
    type Events = Events;

    const EDGE: bool = false;

    fn new() -> io::Result<Self> {
        Epoll::new().map(Self)
    }

    fn add(&self, source: &impl AsFd, key: usize, interest: Interest) -> io::Result<()> {
        self.0.add(&source.as_fd(), key, interest)
    }

    fn modify(&self, source: &impl AsFd, key: usize, interest: Interest) -> io::Result<()> {
        self.0.modify(&source.as_fd(), key, interest)
    }

    /// Closing does it.
    fn delete(&self, _source: &impl AsFd) -> io::Result<()> {
        Ok(())
    }

    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        self.0.wait(events, None)
    }

    fn iter(events: &Events) -> impl Iterator<Item = Event> {
        events.iter()
    }
}

fn main() -> io::Result<()> {
    if start::work().0 == Work::Store {
        return store::serve();
    }
    raw::serve::<Raw>()
}
