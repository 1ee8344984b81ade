//! A channel that writes down its callbacks and does what a test tells it to.

#![allow(dead_code)] // `alone` and `log` are for `chat` as well

pub(crate) mod alone;
pub(crate) mod journal;
pub(crate) mod libc;
mod log;

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reactor::{
    Channel, ChannelMap, CloseReason, Error, Handle, Registration, Result, Source, Timer, Token,
};

pub(crate) use log::Log;

/// Shared, so that a test can keep the descriptor open beyond its source.
pub(crate) type Stream = Arc<UnixStream>;

/// Which callback a script replaces.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum On {
    Read,
    Write,
    Expt,
    HangUp,
    Pending,
    Timer,
    Shutdown,
    Error,
    Close,
}

type Script = Box<dyn FnMut(&mut Probe, Token, &mut ChannelMap) -> Result>;
type Flush = Box<dyn FnMut() -> bool>;
type Settle = Box<dyn FnMut() -> Result<(), CloseReason>>;

pub(crate) struct Probe {
    pub(crate) name: &'static str,
    pub(crate) stream: Option<Source<Stream>>,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) watches_hang_up: bool,
    pub(crate) pending: bool,
    /// Whether it finishes by itself when it is shut down.
    pub(crate) shuts_down: bool,
    pub(crate) shutdown_calls: u32,
    pub(crate) settles: u32,
    /// How often `readable` was asked.
    pub(crate) asked: Cell<u32>,
    pub(crate) received: Vec<u8>,
    pub(crate) fired: Vec<Timer>,
    /// Dropped with the channel.
    pub(crate) luggage: Option<Rc<()>>,
    pub(crate) on_flush: Option<Flush>,
    pub(crate) on_settle: Option<Settle>,
    log: Log,
    scripts: HashMap<On, Script>,
}

impl Probe {
    /// Without a source: only what is dispatched by hand reaches it.
    pub(crate) fn new(name: &'static str, log: &Log) -> Self {
        Self {
            name,
            stream: None,
            readable: true,
            writable: false,
            watches_hang_up: false,
            pending: false,
            shuts_down: false,
            shutdown_calls: 0,
            settles: 0,
            asked: Cell::new(0),
            received: Vec::new(),
            fired: Vec::new(),
            luggage: None,
            on_flush: None,
            on_settle: None,
            log: log.clone(),
            scripts: HashMap::new(),
        }
    }

    pub(crate) fn over(mut self, stream: &Stream) -> Self {
        self.stream = Some(Source::new(Arc::clone(stream)));
        self
    }

    pub(crate) fn on(
        mut self,
        on: On,
        script: impl FnMut(&mut Self, Token, &mut ChannelMap) -> Result + 'static,
    ) -> Self {
        self.scripts.insert(on, Box::new(script));
        self
    }

    /// Reads what is there; closes the channel at the end.
    pub(crate) fn receive(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        let Some(stream) = &self.stream else {
            return Ok(());
        };
        let mut buffer = map.buffers().read_buffer();
        match (&***stream).read(&mut buffer) {
            Ok(0) => {
                map.close_with(me, CloseReason::Eof);
            }
            Ok(n) => self.received.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn play(&mut self, on: On, me: Token, map: &mut ChannelMap) -> Option<Result> {
        let mut script = self.scripts.remove(&on)?;
        let result = script(self, me, map);
        self.scripts.entry(on).or_insert(script);
        Some(result)
    }

    fn note(&self, what: &str) {
        self.log.add(format!("{}.{what}", self.name));
    }
}

impl Channel for Probe {
    fn registration(&self) -> Option<&Registration> {
        self.stream.as_ref().map(Source::registration)
    }

    fn readable(&self, _me: Token) -> bool {
        self.asked.set(self.asked.get() + 1);
        self.readable
    }

    fn writable(&self, _me: Token) -> bool {
        self.writable
    }

    fn watches_hang_up(&self, _me: Token) -> bool {
        self.watches_hang_up
    }

    fn pending(&self, _me: Token) -> bool {
        self.pending
    }

    fn flush(&mut self, _me: Token) -> bool {
        self.on_flush.as_mut().is_some_and(|flush| flush())
    }

    fn settle(&mut self, _me: Token) -> Result<(), CloseReason> {
        self.settles += 1;
        self.on_settle.as_mut().map_or(Ok(()), |settle| settle())
    }

    fn handle_read_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.note("read");
        match self.play(On::Read, me, map) {
            Some(result) => result,
            None => self.receive(me, map),
        }
    }

    fn handle_write_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.note("write");
        self.play(On::Write, me, map).unwrap_or(Ok(()))
    }

    fn handle_expt_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.note("expt");
        self.play(On::Expt, me, map).unwrap_or(Ok(()))
    }

    fn handle_hang_up(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.note("hang-up");
        self.watches_hang_up = false;
        self.play(On::HangUp, me, map).unwrap_or(Ok(()))
    }

    fn handle_pending(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.note("pending");
        self.play(On::Pending, me, map).unwrap_or(Ok(()))
    }

    fn handle_timer(&mut self, timer: Timer, me: Token, map: &mut ChannelMap) -> Result {
        self.note("timer");
        self.fired.push(timer);
        self.play(On::Timer, me, map).unwrap_or(Ok(()))
    }

    fn handle_shutdown(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        self.shutdown_calls += 1;
        if let Some(result) = self.play(On::Shutdown, me, map) {
            return result;
        }
        if !self.shuts_down {
            map.close_with(me, CloseReason::Shutdown);
        }
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, me: Token, map: &mut ChannelMap) {
        self.note(&format!("close {reason:?}"));
        self.play(On::Close, me, map).unwrap_or(Ok(())).unwrap();
    }

    fn handle_error(&mut self, error: Error, me: Token, map: &mut ChannelMap) {
        self.note(&format!("error {error}"));
        match self.play(On::Error, me, map) {
            Some(result) => result.unwrap(),
            None => {
                map.close_with(me, CloseReason::HandlerError);
            }
        }
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Probe").field(&self.name).finish()
    }
}

/// A connected pair; the first is non-blocking, for a source.
pub(crate) fn pair() -> (Stream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Arc::new(ours), theirs)
}

/// Probes `a` and `b` over sockets that are both readable, so that both are in
/// one batch.
pub(crate) fn both_ready(log: &Log, map: &mut ChannelMap) -> ([Handle<Probe>; 2], [UnixStream; 2]) {
    let made = ["a", "b"].map(|name| {
        let (ours, mut theirs) = pair();
        theirs.write_all(b"x").unwrap();
        (
            map.insert(Probe::new(name, log).over(&ours)).unwrap(),
            theirs,
        )
    });
    let [(a, a_peer), (b, b_peer)] = made;
    ([a, b], [a_peer, b_peer])
}

/// One turn that does not wait.
pub(crate) fn turn(map: &mut ChannelMap) -> usize {
    map.turn(Some(Duration::ZERO)).unwrap()
}

/// Turns until `done`, and fails if that takes suspiciously long.
pub(crate) fn turn_until(map: &mut ChannelMap, mut done: impl FnMut(&mut ChannelMap) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done(map) {
        assert!(Instant::now() < deadline, "it did not happen");
        map.turn(Some(Duration::from_millis(20))).unwrap();
    }
}

/// Whether the map's poller watches this descriptor: a poller takes each once.
pub(crate) fn is_watched(map: &mut ChannelMap, stream: &Stream) -> bool {
    match map.try_insert(Probe::new("second", &Log::default()).over(stream)) {
        Ok(second) => {
            map.remove(second).unwrap();
            false
        }
        Err(refused) => {
            assert_eq!(refused.error.kind(), io::ErrorKind::AlreadyExists);
            true
        }
    }
}

/// Whether `f` panicked.
pub(crate) fn panics(f: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

/// The slot part of a token's `slot#generation`.
pub(crate) fn slot(token: impl Into<Token>) -> String {
    let name = token.into().to_string();
    name.split('#').next().unwrap().to_owned()
}

/// Calls `set` with a probe that must be there.
pub(crate) fn change(map: &mut ChannelMap, probe: Handle<Probe>, set: impl FnOnce(&mut Probe)) {
    set(map.get_mut(probe).expect("the channel is there"));
}
