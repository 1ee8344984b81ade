//! A connection without a network: what is received, when, and how much can be
//! sent is up to the test, and so is the clock.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;
use std::time::{Duration, Instant};

use chat::{ChannelMap, Readiness, Registration, Token, Transport};

/// The channel's end.
#[derive(Debug)]
pub(crate) struct Line(Rc<RefCell<State>>);

/// The test's end. A clone is the same end.
#[derive(Clone, Debug)]
pub(crate) struct Peer(Rc<RefCell<State>>);

#[derive(Debug, Default)]
struct State {
    /// One segment for each `recv`, as the network cuts them.
    inbound: VecDeque<Vec<u8>>,
    is_eof: bool,
    sent: Vec<u8>,
    room: usize,
    /// The transport takes everything at once and sends it when there is room.
    is_buffering: bool,
    buffered: Vec<u8>,
    send_error: Option<ErrorKind>,
    /// How often `shutdown` was called.
    shuts: usize,
    shut_error: Option<ErrorKind>,
    /// Goes into `buffered` when the line is shut.
    last_words: Vec<u8>,
    recvs: usize,
    sends: usize,
}

pub(crate) fn line() -> (Line, Peer) {
    let state = Rc::new(RefCell::new(State {
        room: usize::MAX,
        ..State::default()
    }));
    (Line(Rc::clone(&state)), Peer(state))
}

impl Transport for Line {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.0.borrow_mut();
        state.recvs += 1;
        let Some(mut segment) = state.inbound.pop_front() else {
            return match state.is_eof {
                true => Ok(0),
                false => Err(ErrorKind::WouldBlock.into()),
            };
        };
        let len = segment.len().min(buffer.len());
        buffer[..len].copy_from_slice(&segment[..len]);
        if len < segment.len() {
            state.inbound.push_front(segment.split_off(len));
        }
        Ok(len)
    }

    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.0.borrow_mut();
        state.sends += 1;
        assert!(slices.len() <= 16, "{} slices", slices.len());
        if let Some(error) = state.send_error {
            return Err(error.into());
        }
        let slices: Vec<&[u8]> = slices.iter().map(|slice| &slice[..]).collect();
        let offered = slices.concat();
        if state.is_buffering {
            state.buffered.extend_from_slice(&offered);
            let len = state.buffered.len().min(state.room);
            let sent: Vec<u8> = state.buffered.drain(..len).collect();
            state.room -= len;
            state.sent.extend(sent);
            return Ok(offered.len());
        }
        let len = offered.len().min(state.room);
        if len == 0 && !offered.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        state.room -= len;
        state.sent.extend_from_slice(&offered[..len]);
        Ok(len)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.shuts += 1;
        if let Some(error) = state.shut_error {
            return Err(error.into());
        }
        let last_words = std::mem::take(&mut state.last_words);
        state.buffered.extend(last_words);
        Ok(())
    }

    fn queued(&self) -> usize {
        self.0.borrow().buffered.len()
    }
}

impl Peer {
    pub(crate) fn say(&self, segment: impl AsRef<[u8]>) {
        let segment = segment.as_ref().to_vec();
        if !segment.is_empty() {
            self.0.borrow_mut().inbound.push_back(segment);
        }
    }

    pub(crate) fn say_eof(&self) {
        self.0.borrow_mut().is_eof = true;
    }

    /// From now on the peer takes so many bytes more.
    pub(crate) fn set_room(&self, room: usize) {
        self.0.borrow_mut().room = room;
    }

    /// Has the transport keep what it cannot send, as TLS does.
    pub(crate) fn use_buffer(&self) {
        self.0.borrow_mut().is_buffering = true;
    }

    pub(crate) fn fail_sends(&self, error: ErrorKind) {
        self.0.borrow_mut().send_error = Some(error);
    }

    /// The transport cannot tell the peer that nothing more will be sent.
    pub(crate) fn fail_shutdown(&self, error: ErrorKind) {
        self.0.borrow_mut().shut_error = Some(error);
    }

    /// Has the transport say this when it is shut, as TLS does. It then keeps what it
    /// cannot send.
    pub(crate) fn use_last_words(&self, words: &[u8]) {
        self.use_buffer();
        self.0.borrow_mut().last_words = words.to_vec();
    }

    pub(crate) fn heal(&self) {
        self.0.borrow_mut().send_error = None;
    }

    pub(crate) fn take_sent(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().sent)
    }

    /// Whether the channel said that it will send no more.
    pub(crate) fn is_shut(&self) -> bool {
        self.shuts() > 0
    }

    /// How often it said so.
    pub(crate) fn shuts(&self) -> usize {
        self.0.borrow().shuts
    }

    /// How often the channel has called `send_vectored`.
    pub(crate) fn sends(&self) -> usize {
        self.0.borrow().sends
    }

    /// How often the channel has called `recv`.
    pub(crate) fn recvs(&self) -> usize {
        self.0.borrow().recvs
    }

    /// How many segments the channel has not received yet.
    pub(crate) fn waiting(&self) -> usize {
        self.0.borrow().inbound.len()
    }

    /// What a poller would report of the channel's end.
    fn readiness(&self) -> Readiness {
        let state = self.0.borrow();
        let mut readiness = Readiness::NONE;
        if !state.inbound.is_empty() || state.is_eof {
            readiness |= Readiness::READABLE;
        }
        if state.room > 0 || state.send_error.is_some() {
            readiness |= Readiness::WRITABLE;
        }
        readiness
    }
}

/// One turn at the map's own time.
pub(crate) fn step(map: &mut ChannelMap, channel: impl Into<Token>, peer: &Peer) -> usize {
    step_after(map, channel, peer, Duration::ZERO)
}

/// One turn, so much later than the last.
pub(crate) fn step_after(
    map: &mut ChannelMap,
    channel: impl Into<Token>,
    peer: &Peer,
    passed: Duration,
) -> usize {
    let now: Instant = map.now() + passed;
    map.dispatch(channel, peer.readiness());
    map.turn_at(now).unwrap()
}

/// Turns until there is nothing to do, at the map's own time.
pub(crate) fn settle(map: &mut ChannelMap, channel: impl Into<Token>, peer: &Peer) {
    let channel = channel.into();
    let mut quiet = 0;
    for _ in 0..100_000 {
        quiet = match step(map, channel, peer) {
            0 => quiet + 1,
            _ => 0,
        };
        if quiet == 2 {
            return;
        }
    }
    panic!("it never rests: {map:?}");
}
