//! A channel that has said everything, and listens: its sending half is shut when all
//! is sent.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;

use chat::socket2::{Domain, Type};
use chat::{
    AsyncChat, ChannelMap, Chat, CloseReason, Dispatcher, Limits, MessageHandler, More, Producer,
    Result, SimpleProducer, Socket, Token,
};

use crate::common::part::{Part, Record, Side};
use crate::common::sim::{self, Peer};
use crate::common::{Log, Probe, assert_rest, read_to_end, turn_until, unix_pair};

/// Has the record say `finished`.
fn part(record: &Record) -> Part<0> {
    let record = record.clone();
    Part::new(&record.clone()).on_event(move |what, _, _| {
        if what == "finished" {
            record.event(0, "finished");
        }
        false
    })
}

struct Shut {
    map: ChannelMap,
    me: Token,
    peer: Peer,
    record: Record,
}

impl Shut {
    fn new(is_chat: bool) -> Self {
        Self::with_part(is_chat, part)
    }

    fn with_part(is_chat: bool, part: fn(&Record) -> Part<0>) -> Self {
        let record = Record::default();
        let (line, peer) = sim::line();
        let mut map = ChannelMap::new().unwrap();
        let me = part(&record).insert(is_chat, line, Limits::default(), &mut map);
        sim::settle(&mut map, me, &peer);
        Self {
            map,
            me,
            peer,
            record,
        }
    }

    #[track_caller]
    fn with<R>(&mut self, f: impl FnOnce(&mut Side<'_>) -> R) -> R {
        Part::<0>::reach(&mut self.map, self.me, f).expect("it is closed")
    }

    fn settle(&mut self) {
        sim::settle(&mut self.map, self.me, &self.peer);
    }

    /// Without `connect`, which only a chat hears here.
    fn heard(&self) -> Vec<String> {
        let mut heard = self.record.of(0);
        heard.retain(|event| event != "connect");
        heard
    }
}

fn both(test: impl Fn(Shut)) {
    for is_chat in [true, false] {
        test(Shut::new(is_chat));
    }
}

#[test]
fn what_is_queued_is_sent_then_the_end_and_input_goes_on() {
    both(|mut shut| {
        shut.peer.set_room(0);
        shut.with(|side| {
            side.push("pushed ");
            side.push_with_producer(SimpleProducer::new("produced"));
            side.shutdown_when_done();
            assert!(!side.push("too late"));
        });
        shut.peer.say("one\r\n");
        shut.settle();
        assert!(!shut.peer.is_shut(), "not before what is queued");
        shut.peer.set_room(100);
        shut.settle();
        assert_eq!(shut.peer.take_sent(), b"pushed produced");
        assert!(shut.peer.is_shut());
        shut.peer.say("two\r\n");
        shut.settle();
        shut.peer.say_eof();
        shut.settle();
        let mut heard = shut.heard();
        heard.retain(|event| event != "drained"); // of the producer
        let expected = [
            "input one\\r\\n",
            "finished",
            "input two\\r\\n",
            "eof",
            "close Eof",
        ];
        assert_eq!(heard, expected);
        assert_eq!(shut.peer.shuts(), 1);
    });
}

/// A client of a protocol like that of finger or HTTP/1.0, over real sockets.
#[test]
fn a_peer_reads_to_the_end_and_answers_then() {
    for is_chat in [true, false] {
        let record = Record::default();
        let (ours, mut theirs) = unix_pair();
        let mut map = ChannelMap::new().unwrap();
        let (question, len) = ("?".repeat(1_000_000), 1_000_000);
        let me = match is_chat {
            true => {
                let mut chat = AsyncChat::new(ours, "\r\n", part(&record));
                chat.chat.push(&question);
                chat.chat.shutdown_when_done();
                map.insert(chat).unwrap().token()
            }
            false => {
                let mut raw = Dispatcher::new(ours, part(&record));
                raw.endpoint.push(&question);
                raw.endpoint.shutdown(Shutdown::Write).unwrap();
                map.insert(raw).unwrap().token()
            }
        };
        assert_eq!(read_to_end(&mut map, &mut theirs).len(), len);
        turn_until(&mut map, |_| record.of(0).contains(&"finished".to_owned()));
        assert_rest(&mut map);
        assert!(map.is_open(me));
        theirs.write_all(b"answer\r\n").unwrap();
        drop(theirs);
        turn_until(&mut map, |map| map.is_empty());
        let heard = record.of(0);
        let last = &heard[heard.len() - 3..];
        assert_eq!(last, ["input answer\\r\\n", "eof", "close Eof"]);
    }
}

/// Has nothing, ever.
struct Later;

impl Producer for Later {
    fn more(&mut self, _: &mut Vec<u8>, _: usize) -> std::io::Result<More> {
        Ok(More::Later)
    }
}

/// Also when a push could go into the buffer that is there.
#[test]
fn every_push_is_refused_from_then_on() {
    for has_left in [true, false] {
        both(|mut shut| {
            shut.with(|side| {
                side.push("queued");
                side.shutdown_when_done();
            });
            if has_left {
                shut.settle();
            }
            shut.with(|side| {
                assert!(!side.push("1"));
                assert!(!side.push("2".repeat(100_000)));
                assert!(!side.push_with_producer(Later));
                match side {
                    Side::Chat(chat) => {
                        assert!(!chat.push_bytes("3"));
                        assert_eq!(chat.try_push("4"), Err("4"));
                        let error = write!(chat, "5").unwrap_err();
                        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
                        assert!(!chat.closing());
                    }
                    Side::Raw(endpoint) => {
                        assert!(!endpoint.push_bytes("3"));
                        let expected = match has_left {
                            true => ErrorKind::BrokenPipe,
                            false => ErrorKind::WouldBlock,
                        };
                        assert_eq!(endpoint.send(b"5").unwrap_err().kind(), expected);
                        assert_eq!(endpoint.try_push("4"), Err("4"));
                        assert!(!endpoint.closing());
                    }
                }
            });
            shut.settle();
            assert_eq!(shut.peer.take_sent(), b"queued");
            assert_eq!(shut.heard(), ["finished"]);
            assert!(shut.map.is_open(shut.me));
        });
    }
}

#[test]
fn a_record_is_refused_too() {
    let (ours, theirs) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    let mut raw = Dispatcher::new(ours, Part::<0>::new(&Record::default()));
    assert!(raw.endpoint.push("record"));
    raw.endpoint.shutdown(Shutdown::Write).unwrap();
    assert!(!raw.endpoint.push("too late"));
    assert!(!raw.endpoint.output_failed(), "the refusal costs nothing");
    let mut received = [0; 20];
    assert_eq!((&theirs).read(&mut received).unwrap(), 6);
    assert_eq!((&theirs).read(&mut received).unwrap(), 0);
}

#[test]
fn a_connection_under_way_is_waited_for() {
    for is_chat in [true, false] {
        for question in ["question", ""] {
            let record = Record::default();
            let server = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = server.local_addr().unwrap();
            let mut map = ChannelMap::new().unwrap();
            match is_chat {
                true => {
                    let mut chat = AsyncChat::connect(address, "\r\n", part(&record));
                    chat.chat.push(question);
                    chat.chat.shutdown_when_done();
                    assert!(!chat.chat.push("too late"));
                    map.insert(chat).unwrap();
                }
                false => {
                    let mut raw = Dispatcher::connect(address, part(&record));
                    raw.endpoint.push(question);
                    raw.endpoint.shutdown(Shutdown::Write).unwrap();
                    assert!(!raw.endpoint.push("too late"));
                    map.insert(raw).unwrap();
                }
            }
            let (mut theirs, _) = server.accept().unwrap();
            theirs.set_nonblocking(true).unwrap();
            assert_eq!(read_to_end(&mut map, &mut theirs), question.as_bytes());
            theirs.write_all(b"answer\r\n").unwrap();
            drop(theirs);
            turn_until(&mut map, |map| map.is_empty());
            let expected = [
                "connect",
                "finished",
                "input answer\\r\\n",
                "eof",
                "close Eof",
            ];
            assert_eq!(record.of(0), expected, "chat: {is_chat}");
        }
    }
}

#[test]
fn a_send_that_fails_afterwards_closes_for_its_reason() {
    both(|mut shut| {
        shut.peer.set_room(0);
        shut.with(|side| {
            side.push("queued");
            side.shutdown_when_done();
        });
        shut.settle();
        shut.peer.fail_sends(ErrorKind::ConnectionReset);
        shut.peer.say("last words\r\n");
        shut.peer.say_eof();
        shut.settle();
        let expected = ["input last words\\r\\n", "eof", "close Io(ConnectionReset)"];
        assert_eq!(shut.heard(), expected);
        assert_eq!(shut.record.unsent(), (6, 0));
    });
}

#[test]
fn a_close_when_done_afterwards_lingers_and_neither_shuts_nor_finishes_again() {
    for has_left in [true, false] {
        both(|mut shut| {
            shut.with(|side| {
                side.push("queued");
                side.shutdown_when_done();
            });
            if has_left {
                shut.settle();
            }
            shut.with(|side| {
                side.shutdown_when_done();
                side.close_when_done();
                side.shutdown_when_done();
            });
            shut.settle();
            assert_eq!(shut.peer.take_sent(), b"queued");
            assert!(shut.map.is_open(shut.me), "the peer has time to close");
            let (me, peer) = (shut.me, shut.peer.clone());
            sim::step_after(&mut shut.map, me, &peer, Limits::DEFAULT.linger);
            shut.settle();
            assert_eq!(shut.heard(), ["finished", "close Done"]);
            assert_eq!(shut.peer.shuts(), 1);
        });
    }
}

/// A proxy's way: each half ends by itself, and with the second one the channel.
#[test]
fn a_channel_whose_input_has_ended_stays_until_its_handler_closes() {
    fn patient(record: &Record) -> Part<0> {
        let record = record.clone();
        Part::new(&record.clone()).on_event(move |what, side, _| {
            if what == "finished" {
                record.event(0, "finished");
                side.close();
            }
            what == "eof"
        })
    }
    for is_chat in [true, false] {
        let mut shut = Shut::with_part(is_chat, patient);
        shut.peer.set_room(0);
        shut.with(|side| {
            side.push("queued");
        });
        shut.peer.say_eof();
        shut.settle();
        shut.with(|side| side.shutdown_when_done());
        shut.settle();
        assert_eq!(shut.heard(), ["eof"]);
        shut.peer.set_room(100);
        shut.settle();
        assert_eq!(shut.peer.take_sent(), b"queued");
        assert_eq!(shut.heard(), ["eof", "finished", "close Requested"]);
    }
}

/// As that of any other channel whose input has ended.
#[test]
fn after_the_peers_end_what_is_queued_has_a_time() {
    fn patient(record: &Record) -> Part<0> {
        Part::new(record).on_event(|what, _, _| what == "eof")
    }
    for is_chat in [true, false] {
        let mut shut = Shut::with_part(is_chat, patient);
        shut.peer.set_room(0);
        shut.with(|side| {
            side.push("queued");
            side.shutdown_when_done();
        });
        shut.peer.say_eof();
        shut.settle();
        let (me, peer) = (shut.me, shut.peer.clone());
        sim::step_after(&mut shut.map, me, &peer, Limits::DEFAULT.stall / 2);
        assert_eq!(shut.heard(), ["eof"]);
        sim::step_after(&mut shut.map, me, &peer, Limits::DEFAULT.stall / 2);
        shut.settle();
        assert_eq!(shut.heard(), ["eof", "close Missed(Stall)"]);
    }
}

/// It waits for room, and goes on.
#[test]
fn a_paused_handler_still_hears_that_the_queue_is_short() {
    let log = Log::default();
    let probe = Probe::new(&log)
        .on_message(|message, chat, _| {
            if message == b"one" {
                chat.push(vec![b'x'; 100_000]);
                chat.shutdown_when_done();
                assert!(chat.needs_drain());
                chat.pause();
            }
            Ok(())
        })
        .on_drained(|chat, _| {
            chat.resume();
            Ok(())
        });
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    peer.set_room(0);
    peer.say("one\ntwo\n");
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["connect", "message one"]);
    peer.set_room(usize::MAX);
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all()[2..], ["drained", "message two"]);
}

/// The channel goes on, and tries again.
#[test]
fn a_transport_that_cannot_be_shut_never_has_it_finished() {
    both(|mut shut| {
        shut.peer.fail_shutdown(ErrorKind::NotConnected);
        shut.with(|side| match side {
            Side::Chat(chat) => chat.shutdown_when_done(),
            Side::Raw(endpoint) => {
                let error = endpoint.shutdown(Shutdown::Write).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NotConnected);
            }
        });
        shut.peer.say("input\r\n");
        shut.settle();
        assert_eq!(shut.heard(), ["input input\\r\\n"]);
        assert!(shut.map.is_open(shut.me));
    });
}

/// Both directions of a half-closed conversation, in one loop.
#[test]
fn two_channels_that_shut_their_halves_hear_each_other_to_the_end() {
    struct Talker(Log);
    impl MessageHandler for Talker {
        fn handle_connect(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
            chat.push("hello\n");
            chat.shutdown_when_done();
            Ok(())
        }

        fn handle_message(&mut self, line: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
            self.0.add(String::from_utf8_lossy(line));
            Ok(())
        }

        fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
            self.0.add(format!("{reason:?}"));
        }
    }
    let logs = [Log::default(), Log::default()];
    let (one, other) = UnixStream::pair().unwrap();
    let mut map = ChannelMap::new().unwrap();
    for (socket, log) in [one, other].into_iter().zip(&logs) {
        let talker = Talker(log.clone());
        map.insert(AsyncChat::new(socket, "\n", talker)).unwrap();
    }
    turn_until(&mut map, |map| map.is_empty());
    for log in logs {
        assert_eq!(log.all(), ["hello", "Eof"]);
    }
}
