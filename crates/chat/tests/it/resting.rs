//! A channel for which the system is short of memory: it rests, and tries again.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::{Duration, Instant};

use chat::{AsyncChat, ChannelMap, Dispatcher, Readiness, Registration, Token, Transport};

use crate::common::part::{Part, Record};

/// `ENOMEM`, which socket2 and the standard library have no number for.
const SHORTAGE: i32 = 12;

/// Has read ahead, as TLS does, but is short of memory to hand it out.
#[derive(Clone, Debug, Default)]
struct Short(Rc<State>);

#[derive(Debug, Default)]
struct State {
    is_short: Cell<bool>,
    /// Input that was read ahead and is not handed out yet.
    ahead: Cell<&'static [u8]>,
    recvs: Cell<usize>,
}

impl Transport for Short {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.recvs.set(self.0.recvs.get() + 1);
        if self.0.is_short.get() {
            return Err(io::Error::from_raw_os_error(SHORTAGE));
        }
        let mut ahead = self.0.ahead.get();
        if ahead.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = io::Read::read(&mut ahead, buffer)?;
        self.0.ahead.set(ahead);
        Ok(len)
    }

    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn has_input(&self) -> bool {
        !self.0.ahead.get().is_empty()
    }
}

/// Turns at one time, until there is nothing to do; returns the number of turns.
fn turns_to_rest(map: &mut ChannelMap, now: Instant) -> usize {
    (0..1_000)
        .take_while(|_| map.turn_at(now).unwrap() > 0)
        .count()
}

#[test]
fn input_that_a_transport_has_read_ahead_waits_out_a_shortage_without_turns() {
    for is_chat in [true, false] {
        let record = Record::default();
        let part = Part::<0>::new(&record);
        let short = Short::default();
        let mut map = ChannelMap::new().unwrap();
        let me: Token = match is_chat {
            true => map
                .insert(AsyncChat::over(short.clone(), "\r\n", part))
                .unwrap()
                .token(),
            false => map
                .insert(Dispatcher::over(short.clone(), part))
                .unwrap()
                .token(),
        };
        let mut now = map.now();
        turns_to_rest(&mut map, now);
        short.0.is_short.set(true);
        short.0.ahead.set(b"go\r\n");
        map.dispatch(me, Readiness::READABLE);
        let turns = turns_to_rest(&mut map, now);
        assert!(turns < 10, "chat: {is_chat}: {turns} turns");
        assert!(short.0.recvs.get() < 10, "chat: {is_chat}");

        short.0.is_short.set(false);
        now += Duration::from_millis(249);
        turns_to_rest(&mut map, now);
        assert_eq!(record.input_of(0), b"", "chat: {is_chat}");
        now += Duration::from_millis(1);
        turns_to_rest(&mut map, now);
        assert_eq!(record.input_of(0), b"go\r\n", "chat: {is_chat}");
    }
}
