//! The raw loop on mio, which is edge-triggered: as its documentation asks, a
//! connection is read and written until it would block, which costs a further
//! `recv` for each event, and saves every change of interest.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use bench::epoll::{Event, Interest};
use bench::raw::{self, Poller};
use mio::unix::SourceFd;
use mio::{Events, Poll, Token};

struct Raw(Poll);

struct Batch(Events);

impl Default for Batch {
    fn default() -> Self {
        Self(Events::with_capacity(1024))
    }
}

impl Poller for Raw {
    type Events = Batch;

    const EDGE: bool = true;

    fn new() -> io::Result<Self> {
        Poll::new().map(Self)
    }

    fn add(&self, source: &impl AsFd, key: usize, interest: Interest) -> io::Result<()> {
        let interests = match interest.writable {
            true => mio::Interest::READABLE | mio::Interest::WRITABLE,
            false => mio::Interest::READABLE,
        };
        self.0.registry().register(
            &mut SourceFd(&source.as_fd().as_raw_fd()),
            Token(key),
            interests,
        )
    }

    fn modify(&self, _source: &impl AsFd, _key: usize, _interest: Interest) -> io::Result<()> {
        unreachable!("an edge-triggered loop changes no interest")
    }

    fn delete(&self, source: &impl AsFd) -> io::Result<()> {
        self.0
            .registry()
            .deregister(&mut SourceFd(&source.as_fd().as_raw_fd()))
    }

    fn wait(&mut self, events: &mut Batch) -> io::Result<()> {
        match self.0.poll(&mut events.0, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            result => result,
        }
    }

    fn iter(events: &Batch) -> impl Iterator<Item = Event> {
        events.0.iter().map(|event| Event {
            key: event.token().0,
            readable: event.is_readable() || event.is_read_closed(),
            writable: event.is_writable(),
        })
    }
}

fn main() -> io::Result<()> {
    raw::serve::<Raw>()
}
