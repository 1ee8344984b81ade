//! What the tests share: a loop with an end, a handler that keeps a record,
//! and a network that does what it is told ([`sim`]).

#![allow(dead_code, unused_imports, reason = "each test file uses some of it")]

#[path = "../../../../reactor/tests/it/common/alone.rs"]
pub(crate) mod alone;
#[path = "../../../../reactor/tests/it/common/journal.rs"]
pub(crate) mod journal;
#[path = "../../../../reactor/tests/it/common/log.rs"]
mod log;
pub(crate) mod part;
mod place;
pub(crate) mod probe;
// The unit tests in `src` have it, too.
#[path = "../../common/rng.rs"]
pub(crate) mod rng;
pub(crate) mod sim;
pub(crate) mod slow;
pub(crate) mod veil;
mod witness;

use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use chat::{Channel, ChannelMap, CloseReason};

pub(crate) use log::Log;
pub(crate) use place::Place;
pub(crate) use probe::Probe;
pub(crate) use witness::{Server, Witness};

/// How long a test waits for something that should take no time at all.
const PATIENCE: Duration = Duration::from_secs(10);

impl Log {
    /// The events of a channel that was connected from the start, without the first.
    #[track_caller]
    pub(crate) fn after_connect(&self) -> Vec<String> {
        let mut events = self.all();
        assert_eq!(events.first().map(String::as_str), Some("connect"));
        events.remove(0);
        events
    }
}

/// `Eof`, `Done`, `Io(ConnectionRefused)`.
pub(crate) fn name(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Io(error) => format!("Io({:?})", error.kind()),
        other => format!("{other:?}"),
    }
}

/// Turns the map until `condition` holds.
#[track_caller]
pub(crate) fn turn_until(map: &mut ChannelMap, mut condition: impl FnMut(&mut ChannelMap) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition(map) {
        assert!(Instant::now() < deadline, "it never happened: {map:?}");
        map.turn(Some(Duration::from_millis(2))).unwrap();
    }
}

/// Turns the map until it has nothing to do for a moment.
#[track_caller]
pub(crate) fn turn_to_rest(map: &mut ChannelMap) {
    let mut quiet = 0;
    for _ in 0..5_000 {
        let dispatched = map.turn(Some(Duration::from_millis(1))).unwrap();
        quiet = if dispatched == 0 { quiet + 1 } else { 0 };
        if quiet == 3 {
            return;
        }
    }
    panic!("it never rests: {map:?}");
}

/// Asserts that the map is at rest: given the time, it does not turn.
///
/// Only a poller that reports nothing sleeps through the whole of a wait, so a
/// map that spins makes thousands of turns here, and one at rest makes few.
#[track_caller]
pub(crate) fn assert_rest(map: &mut ChannelMap) {
    turn_to_rest(map);
    let before = map.turns();
    let end = Instant::now() + Duration::from_millis(30);
    while Instant::now() < end {
        map.turn(Some(end.saturating_duration_since(Instant::now())))
            .unwrap();
    }
    let turns = map.turns() - before;
    assert!(turns <= 5, "{turns} turns at rest: {map:?}");
}

/// A channel whose socket is open, and that is in no map.
pub(crate) fn opened<C: Channel>(channel: C) -> std::io::Result<C> {
    let mut map = ChannelMap::new()?;
    let channel = map.insert(channel)?;
    Ok(map.remove(channel).unwrap())
}

/// Two ends of a TCP connection over loopback.
pub(crate) fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    (ours, theirs)
}

/// Two ends of a Unix socket; the peer's does not block.
pub(crate) fn unix_pair() -> (UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    (ours, theirs)
}

/// Reads what is there now; whether that was the end.
pub(crate) fn read_some(peer: &mut impl Read, into: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 16_384];
    loop {
        match peer.read(&mut buffer) {
            Ok(0) => return true,
            Ok(len) => into.extend_from_slice(&buffer[..len]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => panic!("the peer lost the connection: {error}"),
        }
    }
}

/// Turns the map while the peer, whose end must not block, reads to the end.
#[track_caller]
pub(crate) fn read_to_end(map: &mut ChannelMap, peer: &mut impl Read) -> Vec<u8> {
    let mut received = Vec::new();
    turn_until(map, |_| read_some(peer, &mut received));
    received
}

/// Turns the map until the peer, whose end must not block, has so many bytes.
#[track_caller]
pub(crate) fn read_len(map: &mut ChannelMap, peer: &mut impl Read, len: usize) -> Vec<u8> {
    let mut received = Vec::new();
    turn_until(map, |_| {
        let is_end = read_some(peer, &mut received);
        assert!(!is_end || received.len() >= len, "the end came too soon");
        received.len() >= len
    });
    received
}
