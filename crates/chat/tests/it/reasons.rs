//! Why a channel was closed, when there was more than one reason: the first
//! stands, except that `Done`, `Eof` or `Shutdown` gives way when output that it
//! spoke for is discarded.

use std::io::{self, ErrorKind, IoSlice};
use std::time::Duration;

use chat::{
    AsyncChat, ChannelMap, CloseReason, Limits, More, Producer, Readiness, Registration, Token,
    Transport,
};

use crate::common::part::{Part, Record, Side};
use crate::common::{Log, Probe, journal, sim};

/// Makes a reason, which is no `Clone`.
type Make = fn() -> CloseReason;

/// Closes a channel.
type Close = fn(&mut Side<'_>);

const STALL: Duration = Duration::from_secs(10);

/// A channel over a line, settled; a test for both kinds.
struct Closing {
    map: ChannelMap,
    me: Token,
    peer: sim::Peer,
    record: Record,
}

impl Closing {
    fn new(is_chat: bool) -> Self {
        let mut limits = Limits::default();
        limits.stall = STALL;
        let record = Record::default();
        let part = Part::<0>::new(&record);
        let (line, peer) = sim::line();
        let mut map = ChannelMap::new().unwrap();
        let me = part.insert(is_chat, line, limits, &mut map);
        let mut closing = Self {
            map,
            me,
            peer,
            record,
        };
        closing.settle();
        closing
    }

    fn settle(&mut self) {
        sim::settle(&mut self.map, self.me, &self.peer);
    }

    #[track_caller]
    fn with(&mut self, f: impl FnOnce(&mut Side<'_>)) {
        Part::<0>::reach(&mut self.map, self.me, f).expect("it is closed");
    }

    /// Closes the channel when done, with 4 MB to be sent that the peer does not
    /// take.
    fn finish(&mut self, reason: CloseReason) {
        self.peer.set_room(1_000);
        self.with(|side| {
            side.push(vec![b'x'; 4_000_000]);
            side.close_when_done_with(reason);
        });
        self.settle();
        assert!(!self.record.is_closed());
    }

    /// Asserts that it is closed, once, for this reason.
    #[track_caller]
    fn is_for(&mut self, expected: &str) {
        self.settle();
        let heard = self.record.of(0);
        let heard: Vec<&str> = heard.iter().map(String::as_str).collect();
        let heard = heard.strip_prefix(&["connect"]).unwrap_or(&heard);
        assert_eq!(heard, [format!("close {expected}")]);
    }
}

fn both(test: impl Fn(&mut Closing)) {
    for is_chat in [true, false] {
        println!("a {}", if is_chat { "chat" } else { "dispatcher" });
        test(&mut Closing::new(is_chat));
    }
}

#[test]
fn what_says_that_all_was_sent_gives_way_when_output_is_discarded() {
    let firsts: [Make; 3] = [
        || CloseReason::Done,
        || CloseReason::Eof,
        || CloseReason::Shutdown,
    ];
    for first in firsts {
        both(|closing| {
            closing.finish(first());
            closing.with(|side| side.close());
            closing.is_for("Requested");
        });
        both(|closing| {
            closing.finish(first());
            closing.with(|side| side.close_with(CloseReason::OverLimit));
            closing.is_for("OverLimit");
        });
    }
}

/// All of it in one go, before anything is sent.
#[test]
fn so_it_does_within_one_callback() {
    both(|closing| {
        closing.peer.set_room(1_000);
        closing.with(|side| {
            side.push(vec![b'x'; 4_000_000]);
            side.close_when_done();
            side.close();
        });
        closing.is_for("Requested");
    });
}

#[test]
fn another_first_reason_stands_although_output_is_discarded() {
    let firsts: [(Make, &str); 4] = [
        (|| CloseReason::OverLimit, "OverLimit"),
        (|| CloseReason::Requested, "Requested"),
        (|| CloseReason::HandlerError, "HandlerError"),
        (
            || CloseReason::Io(ErrorKind::InvalidData.into()),
            "Io(InvalidData)",
        ),
    ];
    for (first, expected) in firsts {
        both(|closing| {
            closing.finish(first());
            closing.with(|side| side.close());
            closing.is_for(expected);
        });
        both(|closing| {
            closing.finish(first());
            closing.peer.fail_sends(ErrorKind::BrokenPipe);
            closing.is_for(expected);
        });
        both(|closing| {
            closing.finish(first());
            let (me, peer) = (closing.me, closing.peer.clone());
            peer.set_room(0);
            sim::step_after(&mut closing.map, me, &peer, STALL);
            sim::step_after(&mut closing.map, me, &peer, STALL);
            closing.is_for(expected);
        });
    }
}

#[test]
fn the_first_of_two_closes_when_done_stands() {
    both(|closing| {
        closing.finish(CloseReason::Done);
        closing.with(|side| side.close_when_done_with(CloseReason::OverLimit));
        closing.peer.set_room(usize::MAX);
        closing.settle();
        closing.peer.say_eof();
        closing.is_for("Done");
    });
}

#[test]
fn a_close_while_lingering_does_not_change_that_all_was_sent() {
    both(|closing| {
        closing.with(|side| {
            side.push("goodbye");
            side.close_when_done();
        });
        closing.settle();
        assert!(closing.peer.is_shut() && !closing.record.is_closed());
        closing.with(|side| side.close());
        closing.is_for("Done");
        assert_eq!(closing.peer.take_sent(), b"goodbye");
    });
}

#[test]
fn a_close_with_nothing_queued_does_not_either() {
    both(|closing| {
        closing.with(|side| {
            side.close_when_done();
            side.close();
        });
        closing.is_for("Done");
    });
}

#[test]
fn a_peer_that_stalls_replaces_what_says_that_all_was_sent() {
    both(|closing| {
        closing.finish(CloseReason::Done);
        let (me, peer) = (closing.me, closing.peer.clone());
        // It took some at first: the time runs from the last of it.
        sim::step_after(&mut closing.map, me, &peer, STALL);
        sim::step_after(&mut closing.map, me, &peer, STALL);
        closing.is_for("Missed(Stall)");
    });
}

/// The program may give up for a reason of its own; the log then says nothing of it.
#[test]
fn the_programs_own_reason_is_told_as_it_is_and_stands() {
    journal::open();
    let own = || CloseReason::Other("over quota".into());
    both(|closing| {
        closing.with(|side| side.close_with(own()));
        closing.settle();
        let reason = closing.record.take_reason();
        assert!(matches!(reason, CloseReason::Other(_)));
        assert_eq!(reason.to_string(), "over quota");
    });
    both(|closing| {
        closing.finish(own());
        closing.with(|side| side.close());
        closing.settle();
        assert_eq!(closing.record.take_reason().to_string(), "over quota");
    });
    both(|closing| {
        closing.finish(CloseReason::Done);
        closing.map.close_with(closing.me, own());
        closing.settle();
        assert_eq!(closing.record.take_reason().to_string(), "over quota");
    });
    assert_eq!(journal::take(), [""; 0]);
}

#[test]
fn a_timeout_of_the_programs_own_is_no_warning() {
    journal::open();
    both(|closing| {
        closing.with(|side| side.close_with(CloseReason::TimedOut));
        closing.is_for("TimedOut");
        assert_eq!(journal::take(), [""; 0]);
    });
}

#[test]
fn the_channels_own_timeout_is_a_warning_that_says_how_long_the_peer_took_nothing() {
    journal::open();
    both(|closing| {
        closing.finish(CloseReason::Done);
        let (me, peer) = (closing.me, closing.peer.clone());
        sim::step_after(&mut closing.map, me, &peer, STALL);
        sim::step_after(&mut closing.map, me, &peer, STALL);
        closing.is_for("Missed(Stall)");
        let lines = journal::take();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("WARN channel "), "{lines:?}");
        assert!(
            lines[0].ends_with("given up: the peer took none of the output in time: 10s"),
            "{lines:?}"
        );
    });
}

#[test]
fn a_send_that_fails_does_too() {
    both(|closing| {
        closing.finish(CloseReason::Done);
        closing.peer.set_room(1_000);
        closing.peer.fail_sends(ErrorKind::BrokenPipe);
        closing.is_for("Io(BrokenPipe)");
    });
}

/// Says twice that there is more, and fails.
struct Failing(usize);

impl Producer for Failing {
    fn more(&mut self, out: &mut Vec<u8>, _: usize) -> io::Result<More> {
        self.0 += 1;
        if self.0 == 3 {
            return Err(ErrorKind::NotFound.into());
        }
        out.extend_from_slice(b"promised");
        Ok(More::Again)
    }
}

#[test]
fn a_producer_that_fails_does_too() {
    let firsts: [(Make, &str); 4] = [
        (|| CloseReason::Done, "Io(NotFound)"),
        (|| CloseReason::Eof, "Io(NotFound)"),
        (|| CloseReason::Shutdown, "Io(NotFound)"),
        (|| CloseReason::OverLimit, "OverLimit"),
    ];
    for (first, expected) in firsts {
        both(|closing| {
            closing.with(|side| {
                side.push_with_producer(Failing(0));
                side.close_when_done_with(first());
            });
            closing.is_for(expected);
            assert_eq!(closing.peer.take_sent(), b"promisedpromised");
        });
    }
}

/// Sending had failed before, and the input went on.
#[test]
fn output_that_was_lost_before_is_not_said_to_be_sent() {
    let ways: [(Close, &str); 4] = [
        (|side| side.close_when_done(), "Io(BrokenPipe)"),
        (|side| side.close_with(CloseReason::Eof), "Io(BrokenPipe)"),
        (
            |side| side.close_when_done_with(CloseReason::OverLimit),
            "OverLimit",
        ),
        (|side| side.close(), "Requested"),
    ];
    for (way, expected) in ways {
        both(|closing| {
            closing.peer.fail_sends(ErrorKind::BrokenPipe);
            closing.with(|side| _ = side.push("lost"));
            closing.settle();
            assert!(!closing.record.is_closed());
            closing.with(way);
            closing.is_for(expected);
        });
    }
}

/// Sends fail, and so does the next receive.
#[derive(Debug)]
struct Dead;

impl Transport for Dead {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn recv(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::ConnectionReset.into())
    }

    fn send_vectored(&mut self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        Err(ErrorKind::BrokenPipe.into())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The second failure may be a consequence of the first.
#[test]
fn of_two_failures_the_first_is_the_reason() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let chat = map.insert(AsyncChat::over(Dead, "\n", Probe::new(&log)));
    let chat = chat.unwrap();
    map.get_mut(chat).unwrap().chat.push([0; 100_000]);
    for _ in 0..3 {
        map.dispatch(chat, Readiness::READABLE);
        map.turn_at(map.now()).unwrap();
    }
    assert_eq!(
        log.all(),
        ["connect", "close Io(BrokenPipe)"],
        "nor is it drained"
    );
}
