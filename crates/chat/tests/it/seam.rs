//! Where a channel and its transport meet: what TLS needs of both. Each test runs
//! for a chat and for a dispatcher, as client and as server, over a socket pair and
//! over the simulated line, from the beginning and as a layer that comes in the middle.

use std::io::ErrorKind;
use std::time::Duration;

use chat::{
    AsyncChat, ChannelMap, ChatMap, CloseReason, Dispatcher, Endpoint, Limits, Readiness, Token,
    Transport,
};

use crate::common::part::{Part, Record, Side};
use crate::common::veil::{Far, HEAD, KEEP, MyError, Role, Veil};
use crate::common::{assert_rest, sim, unix_pair};

#[derive(Clone, Copy, Debug)]
struct Cell {
    is_chat: bool,
    role: Role,
    /// Over a socket pair, or else over the simulated line.
    is_real: bool,
    /// As a layer over a channel that is in the map.
    is_late: bool,
}

fn cells() -> impl Iterator<Item = Cell> {
    (0..16).map(|n| Cell {
        is_chat: n & 1 == 0,
        role: match n & 2 {
            0 => Role::Client,
            _ => Role::Server,
        },
        is_real: n & 4 == 0,
        is_late: n & 8 != 0,
    })
}

/// Those whose clock, and whose room, are the test's.
fn simulated() -> impl Iterator<Item = Cell> {
    cells().filter(|cell| !cell.is_real)
}

/// A channel over the transport, and the far end.
struct Seam {
    cell: Cell,
    map: ChannelMap,
    me: Token,
    far: Far,
    record: Record,
}

impl Seam {
    fn new(cell: Cell, limits: Limits) -> Self {
        Self::with(cell, limits, |part| part)
    }

    /// Does as `f` has the handler do.
    fn with(cell: Cell, limits: Limits, f: impl FnOnce(Part<0>) -> Part<0>) -> Self {
        println!("{cell:?}"); // of a test that fails, the last one is its cell
        let record = Record::default();
        let part = f(Part::new(&record));
        let mut map = ChannelMap::new().unwrap();
        let (wire, far) = match cell.is_real {
            true => {
                let (ours, theirs) = unix_pair();
                (Endpoint::from(ours), Far::of_pair(theirs, cell.role))
            }
            false => {
                let (line, peer) = sim::line();
                (Endpoint::over(line), Far::of_line(&peer, cell.role))
            }
        };
        let veil = move |lower| Ok(Box::new(Veil::over(lower, cell.role)) as Box<dyn Transport>);
        let wire = match cell.is_late {
            true => wire,
            false => wire.with_layer(veil),
        };
        let me = match cell.is_chat {
            true => {
                let chat = AsyncChat::new(wire, "\r\n", part).limited(limits);
                map.insert(chat).unwrap().token()
            }
            false => {
                let raw = Dispatcher::new(wire, part).limited(limits);
                map.insert(raw).unwrap().token()
            }
        };
        if cell.is_late {
            map.turn_at(map.now()).unwrap();
            map.turn_at(map.now()).unwrap(); // it hears that it is connected
            let put = match map.chat_mut(me) {
                Ok(chat) => chat.put_layer(veil),
                Err(_) => map
                    .get_mut(me.handle::<Dispatcher<Part<0>>>())
                    .unwrap()
                    .endpoint
                    .put_layer(veil),
            };
            put.unwrap();
        }
        Self {
            cell,
            map,
            me,
            far,
            record,
        }
    }

    /// One whose handshake is done.
    fn shaken(cell: Cell, limits: Limits) -> Self {
        let mut seam = Self::new(cell, limits);
        seam.shake();
        seam
    }

    fn shake(&mut self) {
        for _ in 0..3 {
            self.far.read();
            self.far.send();
            self.rest();
        }
        assert!(self.far.is_ready(), "the handshake stopped");
    }

    fn step(&mut self) -> usize {
        match self.cell.is_real {
            true => self.map.turn(Some(Duration::ZERO)).unwrap(),
            false => sim::step(&mut self.map, self.me, self.far.line()),
        }
    }

    /// Turns until there is nothing to do, by itself.
    #[track_caller]
    fn rest(&mut self) {
        let mut quiet = 0;
        for _ in 0..10_000 {
            quiet = match self.step() {
                0 => quiet + 1,
                _ => 0,
            };
            if quiet == 3 {
                return;
            }
        }
        panic!("it never rests: {:?}", self.record.all());
    }

    /// Asserts that the loop does not turn, and calls nobody.
    #[track_caller]
    fn assert_rest(&mut self) {
        self.rest();
        match self.cell.is_real {
            true => assert_rest(&mut self.map),
            false => {
                let before = self.far.line().sends();
                self.rest();
                assert_eq!(self.far.line().sends(), before, "it is sent in vain");
            }
        }
    }

    /// Turns while the far end reads, until there is nothing more to come.
    #[track_caller]
    fn read(&mut self) {
        let mut quiet = 0;
        while quiet < 3 {
            let before = (self.far.received.len(), self.far.words.len());
            self.far.read();
            let is_idle = self.step() == 0;
            let is_same = before == (self.far.received.len(), self.far.words.len());
            quiet = match is_idle && is_same {
                true => quiet + 1,
                false => 0,
            };
        }
    }

    #[track_caller]
    fn channel<R>(&mut self, f: impl FnOnce(&mut Side<'_>) -> R) -> R {
        let reached = Part::<0>::reach(&mut self.map, self.me, f);
        reached.unwrap_or_else(|| panic!("it is closed: {:?}", self.record.all()))
    }

    /// What the handler heard, but not that a chat is connected.
    fn heard(&self) -> Vec<String> {
        let mut heard = self.record.of(0);
        heard.retain(|event| event != "connect");
        heard
    }

    /// Asserts that it is closed by an error of the transport; returns that.
    #[track_caller]
    fn cause(&self) -> MyError {
        let CloseReason::Io(error) = self.record.take_reason() else {
            panic!("it was closed for another reason: {:?}", self.heard());
        };
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
        *cause.unwrap_or_else(|| panic!("{error:?} has lost its cause"))
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

/// A handler that stays when the peer has ended.
fn staying(part: Part<0>) -> Part<0> {
    part.on_event(|what, _, _| what == "eof")
}

#[test]
fn lines_go_both_ways() {
    for cell in cells() {
        let mut seam = Seam::with(cell, Limits::default(), |part| {
            part.on_event(|what, side, _| {
                if let Some(line) = what.strip_prefix("line ") {
                    side.push(format!("<{line}>"));
                }
                false
            })
        });
        seam.shake();
        seam.far.say("one\r\ntwo\r\n");
        seam.far.say("three\r\n");
        seam.read();
        assert_eq!(seam.heard(), [r"input one\r\ntwo\r\nthree\r\n"]);
        assert_eq!(seam.far.received, b"<one><two><three>");
        seam.assert_rest();
    }
}

#[test]
fn after_the_peers_end_it_is_told_of_ours() {
    for cell in cells() {
        let mut seam = Seam::shaken(cell, Limits::default());
        seam.far.say("last\r\n");
        seam.far.say_close_notify();
        seam.read();
        assert_eq!(seam.heard(), [r"input last\r\n", "eof", "close Eof"]);
        assert_eq!(seam.far.words, ["close_notify after 0", "end after 0"]);
    }
}

#[test]
fn after_the_peers_end_it_is_told_of_ours_behind_what_was_queued() {
    let data = pattern(300_000);
    for cell in cells() {
        let mut seam = Seam::with(cell, Limits::default(), staying);
        seam.shake();
        seam.far.say_close_notify();
        seam.rest();
        seam.channel(|side| {
            side.push(&data);
            side.close_when_done();
        });
        seam.read();
        assert!(seam.far.received == data, "{}", seam.far.received.len());
        assert_eq!(
            seam.far.words,
            ["close_notify after 300000", "end after 300000"]
        );
        assert_eq!(seam.heard().last().unwrap(), "close Done");
    }
}

#[test]
fn close_when_done_tells_the_peer_and_waits_for_its_end() {
    for cell in cells() {
        let mut seam = Seam::shaken(cell, Limits::default());
        seam.channel(|side| {
            side.push("goodbye");
            side.close_when_done();
        });
        seam.read();
        assert_eq!(seam.far.received, b"goodbye");
        assert_eq!(seam.far.words, ["close_notify after 7", "end after 7"]);
        assert!(seam.heard().is_empty(), "{:?}", seam.heard());
        seam.far.say_close_notify();
        seam.rest();
        assert_eq!(seam.heard(), ["close Done"]);
    }
}

/// The last flight is a record without plaintext: `recv` says `WouldBlock`.
#[test]
fn what_was_queued_early_leaves_when_the_handshake_is_done() {
    for cell in cells() {
        let mut seam = Seam::new(cell, Limits::default());
        seam.channel(|side| side.push("early, "));
        seam.assert_rest();
        // The far end's flights; before each, ours waits, and does no more.
        let flights: &[&str] = match cell.role {
            Role::Client => &["last"],
            Role::Server => &["later, ", "last"],
        };
        for word in flights {
            seam.far.read();
            assert!(seam.far.received.is_empty());
            seam.channel(|side| side.push(word));
            seam.assert_rest();
            seam.far.send();
            seam.rest();
        }
        seam.far.read();
        let expected = format!("early, {}", flights.concat());
        assert_eq!(seam.far.received, expected.as_bytes());
        seam.assert_rest();
    }
}

/// The end of the handshake is reason enough: nobody has to say that there is room.
#[test]
fn what_was_queued_early_leaves_after_the_last_flight_whatever_the_poller_says_of_room() {
    for cell in simulated() {
        let mut seam = Seam::new(cell, Limits::default());
        seam.channel(|side| side.push("early"));
        seam.rest();
        // Two of the far end's flights, at most, and what it reads last.
        for _ in 0..3 {
            seam.far.read();
            seam.far.send();
            for _ in 0..3 {
                seam.map.dispatch(seam.me, Readiness::READABLE);
                seam.map.turn_at(seam.map.now()).unwrap();
            }
        }
        seam.far.read();
        assert_eq!(seam.far.received, b"early");
    }
}

#[test]
fn what_was_queued_early_leaves_before_the_close() {
    for cell in cells() {
        let mut seam = Seam::new(cell, Limits::default());
        seam.channel(|side| {
            side.push("early");
            side.close_when_done();
        });
        seam.assert_rest();
        seam.shake();
        seam.read();
        assert_eq!(seam.far.received, b"early");
        assert_eq!(seam.far.words, ["close_notify after 5", "end after 5"]);
        seam.far.say_close_notify();
        seam.rest();
        assert_eq!(seam.heard(), ["close Done"]);
    }
}

/// All of it is in the transport at once, and leaves it in 41 s.
#[test]
fn a_slow_peer_gets_all_that_the_transport_keeps() {
    let data = pattern(60_000);
    assert!(data.len() < KEEP);
    for cell in simulated() {
        let mut limits = Limits::default();
        limits.stall = Duration::from_secs(10);
        let mut seam = Seam::shaken(cell, limits);
        let peer = seam.far.line().clone();
        peer.set_room(0);
        let before = seam.channel(|side| {
            side.push(&data);
            side.close_when_done();
            side.endpoint().sent()
        });
        seam.rest();
        let mut queued = seam.channel(|side| side.endpoint().queued());
        assert!(queued >= data.len(), "what the transport keeps is queued");
        let mut sent = before;
        for _ in 0..40 {
            peer.set_room(1_500);
            sim::step_after(&mut seam.map, seam.me, &peer, Duration::from_secs(1));
            seam.rest();
            let (now_sent, now_queued) = seam.channel(|side| {
                let endpoint = side.endpoint();
                (endpoint.sent(), endpoint.queued())
            });
            assert_eq!(now_sent - sent, 1_500);
            assert_eq!(queued - now_queued, 1_500);
            (sent, queued) = (now_sent, now_queued);
        }
        assert_eq!((sent - before, queued), (60_000, 60 * HEAD));
        peer.set_room(1_500);
        seam.read();
        assert!(seam.far.received == data, "{}", seam.far.received.len());
        assert_eq!(
            seam.far.words,
            ["close_notify after 60000", "end after 60000"]
        );
        seam.far.say_close_notify();
        seam.rest();
        let mut heard = seam.heard();
        heard.retain(|event| event != "drained");
        assert_eq!(heard, ["close Done"]);
    }
}

#[test]
fn a_peer_that_takes_nothing_of_what_the_transport_keeps_is_cut_off() {
    let moment = Duration::from_millis(1);
    for cell in simulated() {
        let mut limits = Limits::default();
        limits.stall = Duration::from_secs(10);
        let mut seam = Seam::shaken(cell, limits);
        let peer = seam.far.line().clone();
        peer.set_room(0);
        seam.channel(|side| {
            side.push(pattern(60_000));
            side.close_when_done();
        });
        seam.rest();
        let stall = Duration::from_secs(10);
        sim::step_after(&mut seam.map, seam.me, &peer, stall - moment);
        assert!(!seam.record.is_closed());
        sim::step_after(&mut seam.map, seam.me, &peer, moment);
        assert_eq!(seam.heard().last().unwrap(), "close Missed(Stall)");
    }
}

/// The peer can be read no more, but would read on.
#[test]
fn a_record_that_is_garbage_does_not_drop_what_is_queued() {
    let data = pattern(700_000);
    for cell in cells() {
        let mut seam = Seam::shaken(cell, Limits::default());
        if !cell.is_real {
            seam.far.line().set_room(50_000);
        }
        seam.channel(|side| side.push(&data));
        seam.rest();
        seam.far.say_garbage();
        seam.rest();
        assert!(!seam.record.is_closed(), "{:?}", seam.heard());
        if !cell.is_real {
            seam.far.line().set_room(usize::MAX);
        }
        seam.read();
        assert!(seam.far.received == data, "{}", seam.far.received.len());
        assert_eq!(seam.far.words[0], "alert after 700000");
        assert!(!seam.far.words.iter().any(|w| w.starts_with("close_notify")));
        assert_eq!(seam.heard().last().unwrap(), "close Io(InvalidData)");
        assert_eq!(seam.record.take_reason().to_string(), "a record of kind 99");
    }
}

#[test]
fn after_garbage_an_alert_is_sent_and_the_reason_has_its_cause() {
    for cell in cells() {
        let mut seam = Seam::shaken(cell, Limits::default());
        seam.far.say("before\r\n");
        seam.far.say_garbage();
        seam.far.say("behind\r\n");
        seam.read();
        assert_eq!(seam.far.words[0], "alert after 0");
        let mut expected = vec![r"input before\r\n"];
        if !cell.is_chat {
            // What its own call returned says the same.
            expected.push("recv said: a record of kind 99");
        }
        expected.push("close Io(InvalidData)");
        assert_eq!(seam.heard(), expected);
        assert_eq!(seam.cause(), MyError::Garbage(99));
    }
}

/// What is queued can never be sent, and is not waited for.
#[test]
fn a_handshake_that_fails_ends_the_channel() {
    for cell in cells() {
        for is_queued in [false, true] {
            let mut seam = Seam::new(cell, Limits::default());
            if is_queued {
                seam.channel(|side| side.push("early"));
            }
            seam.rest();
            seam.far.say_garbage();
            seam.rest();
            assert_eq!(seam.heard().last().unwrap(), "close Io(InvalidData)");
            assert_eq!(seam.cause(), MyError::Garbage(99));
            if !cell.is_real {
                seam.far.read();
                assert_eq!(seam.far.words[0], "alert after 0");
            }
        }
    }
}

#[test]
fn a_handshake_that_is_cut_short_ends_the_channel() {
    for cell in cells() {
        for is_queued in [false, true] {
            let mut seam = Seam::new(cell, Limits::default());
            if is_queued {
                seam.channel(|side| side.push("early"));
            }
            seam.rest();
            seam.far.read(); // or the kernel says that it was reset
            seam.far.hang_up();
            seam.rest();
            assert_eq!(seam.heard().last().unwrap(), "close Io(UnexpectedEof)");
            assert_eq!(seam.cause(), MyError::Truncated);
        }
    }
}

#[test]
fn a_send_that_fails_keeps_its_cause() {
    for cell in simulated() {
        let mut seam = Seam::shaken(cell, Limits::default());
        seam.far.line().fail_sends(ErrorKind::BrokenPipe);
        seam.channel(|side| side.push("lost"));
        seam.rest();
        assert!(seam.channel(|side| side.endpoint().output_failed()));
        seam.far.say("still\r\n");
        seam.far.say_close_notify();
        seam.rest();
        let expected = [r"input still\r\n", "eof", "close Io(BrokenPipe)"];
        assert_eq!(seam.heard(), expected);
        assert_eq!(seam.cause(), MyError::Cut(ErrorKind::BrokenPipe));
    }
}

#[test]
fn a_dispatchers_own_send_is_told_what_the_reason_says() {
    for cell in simulated().filter(|cell| !cell.is_chat) {
        let record = Record::default();
        let own = record.clone();
        let mut seam = Seam::with(cell, Limits::default(), |part| {
            part.on_event(move |what, side, _| {
                if what == "line go" {
                    let error = side.raw().send(b"lost").unwrap_err();
                    own.event(0, format!("{:?} {error}", error.kind()));
                }
                false
            })
        });
        seam.shake();
        seam.far.line().fail_sends(ErrorKind::BrokenPipe);
        seam.far.say("go\r\n");
        seam.rest();
        let text = MyError::Cut(ErrorKind::BrokenPipe).to_string();
        assert_eq!(record.of(0), [format!("BrokenPipe {text}")]);
        seam.far.say("still\r\n");
        seam.far.say_close_notify();
        seam.rest();
        let expected = [r"input go\r\nstill\r\n", "eof", "close Io(BrokenPipe)"];
        assert_eq!(seam.heard(), expected);
        assert_eq!(seam.cause(), MyError::Cut(ErrorKind::BrokenPipe));
    }
}

/// Over a real socket both ways fail at once; whichever is told has its cause.
#[test]
fn a_peer_that_is_gone_leaves_a_cause() {
    for cell in cells().filter(|cell| cell.is_real) {
        let mut seam = Seam::shaken(cell, Limits::default());
        seam.far.hang_up();
        seam.channel(|side| side.push("lost"));
        seam.rest();
        seam.cause();
    }
}

#[test]
fn a_close_notify_that_does_not_fit_is_sent_before_the_close() {
    for cell in simulated() {
        for has_ended in [false, true] {
            for fits in 0..HEAD {
                let mut seam = Seam::with(cell, Limits::default(), staying);
                seam.shake();
                let peer = seam.far.line().clone();
                if has_ended {
                    seam.far.say_close_notify();
                    seam.rest();
                }
                peer.set_room(HEAD + "goodbye".len() + fits);
                seam.channel(|side| {
                    side.push("goodbye");
                    side.close_when_done();
                });
                seam.assert_rest();
                seam.far.read();
                assert_eq!(seam.far.received, b"goodbye");
                assert!(seam.far.words.is_empty(), "{:?}", seam.far.words);
                assert!(!seam.record.is_closed(), "{:?}", seam.heard());
                peer.set_room(100);
                seam.read();
                assert_eq!(seam.far.words, ["close_notify after 7", "end after 7"]);
                assert_eq!(seam.record.is_closed(), has_ended);
                if !has_ended {
                    seam.far.say_close_notify();
                    seam.rest();
                }
                assert_eq!(seam.heard().last().unwrap(), "close Done");
            }
        }
    }
}

/// And if it never fits, the wait has its end.
#[test]
fn a_close_notify_that_nobody_takes_is_waited_for_as_long_as_stall_says() {
    for cell in simulated() {
        let mut seam = Seam::shaken(cell, Limits::default());
        let peer = seam.far.line().clone();
        peer.set_room(HEAD + "goodbye".len());
        seam.channel(|side| {
            side.push("goodbye");
            side.close_when_done();
        });
        seam.rest();
        let stall = Limits::DEFAULT.stall;
        sim::step_after(&mut seam.map, seam.me, &peer, stall / 2);
        assert!(!seam.record.is_closed());
        sim::step_after(&mut seam.map, seam.me, &peer, stall / 2);
        assert_eq!(seam.heard(), ["close Missed(Stall)"]);
    }
}

#[test]
fn the_peers_close_notify_is_eof_and_told_once() {
    for cell in cells() {
        let mut seam = Seam::with(cell, Limits::default(), staying);
        seam.shake();
        seam.far.say("last\r\n");
        seam.far.say_close_notify();
        seam.assert_rest();
        assert_eq!(seam.heard(), [r"input last\r\n", "eof"]);
        seam.channel(|side| side.push("<answer>"));
        seam.read();
        assert_eq!(seam.far.received, b"<answer>");
        seam.far.say_close_notify();
        seam.far.hang_up();
        seam.assert_rest();
        assert_eq!(seam.heard(), [r"input last\r\n", "eof"]);
    }
}

/// Behind it is nothing, whatever else the wire had with it.
#[test]
fn what_comes_behind_the_peers_close_notify_is_not_delivered() {
    for cell in cells() {
        let mut seam = Seam::shaken(cell, Limits::default());
        seam.far.say_close_notify();
        seam.far.say("behind\r\n");
        seam.far.say_garbage();
        seam.rest();
        assert_eq!(seam.heard(), ["eof", "close Eof"]);
    }
}

#[test]
fn an_end_without_a_close_notify_is_an_error() {
    for cell in cells() {
        let mut seam = Seam::shaken(cell, Limits::default());
        seam.far.say("last\r\n");
        seam.far.hang_up();
        seam.rest();
        let heard = seam.heard();
        assert_eq!(heard[0], r"input last\r\n");
        assert_eq!(heard.last().unwrap(), "close Io(UnexpectedEof)");
        assert!(!seam.record.of(0).iter().any(|event| event == "eof"));
        assert_eq!(seam.cause(), MyError::Truncated);
    }
}

/// A peer that does not read costs what the transport keeps, and the queue.
#[test]
fn a_transport_keeps_no_more_than_it_says() {
    for cell in simulated() {
        let mut veil = Veil::over(Box::new(sim::line().0), cell.role);
        assert!(veil.send_vectored(&[]).is_ok());
        let mut seam = Seam::shaken(cell, Limits::default());
        let peer = seam.far.line().clone();
        peer.set_room(0);
        seam.channel(|side| side.push(pattern(700_000)));
        seam.rest();
        let queued = seam.channel(|side| side.endpoint().queued());
        assert!((700_000..703_000).contains(&queued), "{queued}");
        peer.set_room(usize::MAX);
        seam.read();
        assert!(seam.far.received == pattern(700_000));
    }
}
