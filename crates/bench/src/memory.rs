//! A peer in memory: chat channels without sockets, for what is measured of
//! framing and queues alone.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::Instant;

use chat::{AsyncChat, ChannelMap, ChatHandler, Handle, Limits, Registration, Terminator};
use chat::{Result, Transport};

/// Sends `data` over and over, as long as there is credit; takes whatever it is
/// sent.
#[derive(Debug)]
struct Memory {
    data: Rc<[u8]>,
    at: usize,
    credit: Rc<Cell<usize>>,
}

impl Transport for Memory {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.data[self.at..];
        let len = buffer.len().min(rest.len()).min(self.credit.get());
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buffer[..len].copy_from_slice(&rest[..len]);
        self.at = (self.at + len) % self.data.len();
        self.credit.set(self.credit.get() - len);
        Ok(len)
    }

    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn has_input(&self) -> bool {
        self.credit.get() > 0
    }
}

/// One chat channel in a map, and its peer in memory.
#[derive(Debug)]
pub struct Driven<H> {
    pub map: ChannelMap,
    pub channel: Handle<AsyncChat<H>>,
    credit: Rc<Cell<usize>>,
    now: Instant,
}

impl<H: ChatHandler> Driven<H> {
    /// # Errors
    ///
    /// If there is no poller to be had.
    pub fn new(
        data: impl Into<Rc<[u8]>>,
        terminator: impl Into<Terminator>,
        handler: H,
        limits: Limits,
    ) -> Result<Self> {
        let credit = Rc::<Cell<usize>>::default();
        let transport = Memory {
            data: data.into(),
            at: 0,
            credit: Rc::clone(&credit),
        };
        let mut map = ChannelMap::new()?;
        let channel = AsyncChat::over(transport, terminator, handler).limited(limits);
        let channel = map.insert(channel)?;
        Ok(Self {
            now: map.now(),
            map,
            channel,
            credit,
        })
    }

    /// Has the channel receive so many bytes more, and turns the loop, without
    /// the poller, until it has delivered them.
    ///
    /// # Errors
    ///
    /// None, outside of callbacks.
    ///
    /// # Panics
    ///
    /// If the channel was closed.
    pub fn receive(&mut self, len: usize) -> Result {
        self.credit.set(len);
        self.map.touch(self.channel);
        // At rest, nothing is dispatched: all was received and delivered.
        while self.map.turn_at(self.now)? > 0 || self.credit.get() > 0 {
            assert!(self.map.is_open(self.channel), "the channel was closed");
        }
        Ok(())
    }
}
