//! A pipe in memory, as a transport.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;

use chat::{Registration, Transport};

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    pub(crate) bytes: VecDeque<u8>,
    pub(crate) is_shut: bool,
    pub(crate) error: Option<ErrorKind>,
    /// The reader has gone: there is nothing to shut.
    pub(crate) is_gone: bool,
}

/// One end of a pipe that passes at most so many bytes a call, and holds at most so many.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) inbound: Rc<RefCell<Flow>>,
    pub(crate) outbound: Rc<RefCell<Flow>>,
    piece: usize,
    room: usize,
}

impl Pipe {
    pub(crate) fn pair(piece: usize, room: usize) -> (Self, Self) {
        let (one, other) = (Rc::default(), Rc::default());
        let end = |inbound: &Rc<_>, outbound: &Rc<_>| Self {
            inbound: Rc::clone(inbound),
            outbound: Rc::clone(outbound),
            piece,
            room,
        };
        (end(&one, &other), end(&other, &one))
    }
}

impl Transport for Pipe {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut flow = self.inbound.borrow_mut();
        if let Some(error) = flow.error {
            return Err(error.into());
        }
        let len = buffer.len().min(self.piece).min(flow.bytes.len());
        if len == 0 && !flow.is_shut {
            return Err(ErrorKind::WouldBlock.into());
        }
        for (to, from) in buffer.iter_mut().zip(flow.bytes.drain(..len)) {
            *to = from;
        }
        Ok(len)
    }

    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut flow = self.outbound.borrow_mut();
        if let Some(error) = flow.error {
            return Err(error.into());
        }
        let room = self.room.saturating_sub(flow.bytes.len()).min(self.piece);
        if room == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let data = slices.iter().flat_map(|slice| slice.iter().copied());
        let before = flow.bytes.len();
        flow.bytes.extend(data.take(room));
        Ok(flow.bytes.len() - before)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        let mut flow = self.outbound.borrow_mut();
        flow.is_shut = true;
        match flow.is_gone {
            true => Err(ErrorKind::NotConnected.into()),
            false => Ok(()),
        }
    }
}
