//! `handle_finished`: all output has left, and the linger is still to come.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;

use chat::{
    AsyncChat, ChannelMap, Chat, CloseReason, Dispatcher, DispatcherHandler, Endpoint, Error,
    Limits, MessageHandler, More, Producer, Result, SimpleProducer, Socket, Token,
};

use crate::common::part::{Part, Record, Side};
use crate::common::sim::{self, Peer};
use crate::common::{self, Log, Probe, name, read_some, tcp_pair, turn_until, unix_pair};

/// Has the record say `finished`, when nothing is queued any more.
fn part(record: &Record) -> Part<0> {
    let record = record.clone();
    Part::new(&record.clone()).on_event(move |what, side, _| {
        if what == "finished" {
            let producers = side.endpoint().unsent().producers;
            assert_eq!((side.endpoint().queued(), producers), (0, 0));
            record.event(0, "finished");
        }
        false
    })
}

fn simulated(is_chat: bool, map: &mut ChannelMap, limits: Limits) -> (Token, Peer, Record) {
    let record = Record::default();
    let (line, peer) = sim::line();
    let me = part(&record).insert(is_chat, line, limits, map);
    sim::settle(map, me, &peer);
    (me, peer, record)
}

/// The record, without `connect`, which only a chat hears here.
fn heard(record: &Record) -> Vec<String> {
    let mut heard = record.of(0);
    heard.retain(|event| event != "connect");
    heard
}

#[track_caller]
fn with(map: &mut ChannelMap, me: Token, f: impl FnOnce(&mut Side<'_>)) {
    Part::<0>::reach(map, me, f).expect("it is closed");
}

fn insert_on(socket: impl Into<Socket>, is_chat: bool, map: &mut ChannelMap) -> (Token, Record) {
    let record = Record::default();
    let part = part(&record);
    let me = match is_chat {
        true => {
            let chat = AsyncChat::new(socket, "\r\n", part);
            map.insert(chat).unwrap().token()
        }
        false => {
            let raw = Dispatcher::new(socket, part);
            map.insert(raw).unwrap().token()
        }
    };
    (me, record)
}

/// Makes so many pieces, one each time it is asked.
struct Pieces(usize);

impl Producer for Pieces {
    fn more(&mut self, out: &mut Vec<u8>, _: usize) -> std::io::Result<More> {
        out.extend_from_slice(b"piece ");
        self.0 -= 1;
        match self.0 {
            0 => Ok(More::Done),
            _ => Ok(More::Again),
        }
    }
}

#[test]
fn it_comes_when_all_has_left_and_before_the_linger() {
    for is_chat in [true, false] {
        let mut map = ChannelMap::new().unwrap();
        let (me, peer, record) = simulated(is_chat, &mut map, Limits::default());
        peer.set_room(0);
        with(&mut map, me, |side| {
            side.push("pushed ");
            side.push_with_producer(Pieces(3));
            side.push("last");
            side.close_when_done();
        });
        let len = "pushed piece piece piece last".len();
        for _ in 0..len {
            sim::settle(&mut map, me, &peer);
            assert!(!heard(&record).contains(&"finished".to_owned()));
            assert!(!peer.is_shut());
            peer.set_room(1);
        }
        sim::settle(&mut map, me, &peer);
        assert_eq!(peer.take_sent(), b"pushed piece piece piece last");
        assert!(peer.is_shut(), "the end has left, too");
        assert!(map.is_open(me));
        assert_eq!(heard(&record), ["finished"], "at the time of the send");
        for _ in 0..2 {
            sim::step_after(&mut map, me, &peer, Limits::DEFAULT.linger);
        }
        assert_eq!(heard(&record), ["finished", "close Done"]);
    }
}

/// Without another turn of ours.
#[test]
fn a_peer_can_read_everything_to_the_end_at_that_moment() {
    for is_chat in [true, false] {
        let (ours, mut theirs) = tcp_pair();
        theirs.set_nonblocking(true).unwrap();
        let mut map = ChannelMap::new().unwrap();
        let (me, record) = insert_on(ours, is_chat, &mut map);
        with(&mut map, me, |side| {
            side.push("the file");
            side.close_when_done();
        });
        turn_until(&mut map, |_| heard(&record) == ["finished"]);
        theirs.set_nonblocking(false).unwrap();
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).unwrap();
        assert_eq!(received, b"the file");
        assert!(map.is_open(me));
        drop(theirs);
        turn_until(&mut map, |map| !map.is_open(me));
        assert_eq!(heard(&record), ["finished", "close Done"]);
    }
}

#[test]
fn it_waits_for_a_slow_reader() {
    for is_chat in [true, false] {
        let (ours, mut theirs) = tcp_pair();
        theirs.set_nonblocking(true).unwrap();
        let mut map = ChannelMap::new().unwrap();
        let (me, record) = insert_on(ours, is_chat, &mut map);
        with(&mut map, me, |side| {
            side.push_with_producer(SimpleProducer::new(vec![b'x'; 12_000_000]));
            side.close_when_done();
        });
        common::turn_to_rest(&mut map);
        assert!(heard(&record).is_empty());
        let mut received = Vec::new();
        turn_until(&mut map, |_| read_some(&mut theirs, &mut received));
        assert_eq!(received.len(), 12_000_000);
        turn_until(&mut map, |_| heard(&record) == ["finished"]);
    }
}

/// By default the channel then closes at once.
#[test]
fn it_comes_before_handle_close_when_the_peer_has_closed_already() {
    for is_chat in [true, false] {
        for output in ["", "output"] {
            let mut map = ChannelMap::new().unwrap();
            let (ours, theirs) = unix_pair();
            let (me, record) = insert_on(ours, is_chat, &mut map);
            with(&mut map, me, |side| {
                side.push(output);
            });
            theirs.shutdown(Shutdown::Write).unwrap();
            turn_until(&mut map, |map| map.is_empty());
            assert_eq!(heard(&record), ["eof", "finished", "close Eof"]);

            let (me, peer, record) = simulated(is_chat, &mut map, Limits::default());
            with(&mut map, me, |side| {
                side.push(output);
            });
            peer.say_eof();
            sim::settle(&mut map, me, &peer);
            assert_eq!(heard(&record), ["eof", "finished", "close Eof"]);
        }
    }
}

/// What may come between a push and its way to the kernel.
type Loss = fn(&mut ChannelMap, Token, &Peer);

#[test]
fn it_never_comes_when_sending_failed_or_output_was_dropped() {
    let losses: [(Loss, &str); 7] = [
        (
            |map, me, _| with(map, me, |side| side.close()),
            "close Requested",
        ),
        (
            |map, me, _| {
                map.close(me);
            },
            "close Requested",
        ),
        (
            |_, _, peer| peer.fail_sends(ErrorKind::BrokenPipe),
            "close Io(BrokenPipe)",
        ),
        (
            |map, me, peer| {
                sim::step_after(map, me, peer, Limits::DEFAULT.stall);
            },
            "close Missed(Stall)",
        ),
        (
            |_, _, peer| {
                peer.say_eof();
                peer.fail_sends(ErrorKind::BrokenPipe);
            },
            "close Io(BrokenPipe)",
        ),
        (|map, _, _| map.close_all(), "close Requested"),
        (|map, _, _| map.shut_down(map.now()), "close Shutdown"),
    ];
    for is_chat in [true, false] {
        for is_closing in [true, false] {
            for (nth, (loss, reason)) in losses.iter().enumerate() {
                let mut map = ChannelMap::new().unwrap();
                let (me, peer, record) = simulated(is_chat, &mut map, Limits::default());
                peer.set_room(0);
                with(&mut map, me, |side| {
                    side.push("never taken");
                    match is_closing {
                        true => side.close_when_done(),
                        false => side.shutdown_when_done(),
                    }
                });
                sim::settle(&mut map, me, &peer);
                loss(&mut map, me, &peer);
                sim::settle(&mut map, me, &peer);
                sim::step_after(&mut map, me, &peer, Limits::DEFAULT.linger);
                let last = heard(&record).pop();
                assert_eq!(last.as_deref(), Some(*reason), "{nth} {is_closing}");
                let finished = heard(&record).contains(&"finished".to_owned());
                assert!(!finished, "{nth} {is_closing} {is_chat}");
            }
        }
    }
}

/// The end of the input closes the channel, and nothing is queued by then.
#[test]
fn it_never_comes_when_a_socket_has_failed_before_the_end_of_its_input() {
    for is_chat in [true, false] {
        let (ours, mut theirs) = unix_pair();
        let mut map = ChannelMap::new().unwrap();
        let (me, record) = insert_on(ours, is_chat, &mut map);
        theirs.write_all(b"last words\r\n").unwrap();
        drop(theirs);
        with(&mut map, me, |side| {
            side.push("to nobody");
        });
        turn_until(&mut map, |map| map.is_empty());
        let expected = ["input last words\\r\\n", "eof", "close Io(BrokenPipe)"];
        assert_eq!(heard(&record), expected);
    }
}

#[test]
fn it_never_comes_unless_the_output_was_to_end() {
    for is_chat in [true, false] {
        let mut map = ChannelMap::new().unwrap();
        let (me, peer, record) = simulated(is_chat, &mut map, Limits::default());
        with(&mut map, me, |side| {
            side.push("all of it");
        });
        sim::settle(&mut map, me, &peer);
        with(&mut map, me, |side| side.close());
        sim::settle(&mut map, me, &peer);
        assert_eq!(peer.take_sent(), b"all of it");
        assert_eq!(heard(&record), ["close Requested"]);
    }
}

/// A peer that is known to have reset the connection has not read everything; a pipe has
/// no half to shut.
#[test]
fn a_transport_that_cannot_tell_the_peer_says_whether_its_close_does() {
    for is_chat in [true, false] {
        for (error, expected) in [
            (ErrorKind::NotConnected, &["close Done"][..]),
            (ErrorKind::Unsupported, &["finished", "close Done"]),
        ] {
            let mut map = ChannelMap::new().unwrap();
            let (me, peer, record) = simulated(is_chat, &mut map, Limits::default());
            peer.fail_shutdown(error);
            with(&mut map, me, |side| {
                side.push("last");
                side.close_when_done();
            });
            sim::settle(&mut map, me, &peer);
            assert_eq!(peer.take_sent(), b"last");
            assert_eq!(heard(&record), expected);
        }
    }
}

#[test]
fn it_waits_for_a_transports_last_words() {
    for is_chat in [true, false] {
        for is_closing in [true, false] {
            let mut map = ChannelMap::new().unwrap();
            let (me, peer, record) = simulated(is_chat, &mut map, Limits::default());
            peer.use_last_words(b"<end>");
            peer.set_room(4);
            with(&mut map, me, |side| {
                side.push("last");
                match is_closing {
                    true => side.close_when_done(),
                    false => side.shutdown_when_done(),
                }
            });
            sim::settle(&mut map, me, &peer);
            assert!(peer.is_shut());
            assert!(heard(&record).is_empty());
            peer.set_room(5);
            sim::settle(&mut map, me, &peer);
            assert_eq!(peer.take_sent(), b"last<end>");
            assert_eq!(heard(&record), ["finished"]);
            assert_eq!(peer.shuts(), 1);
        }
    }
}

/// Its output left at the beginning of the turn; then another channel is called first.
#[test]
fn a_channel_that_another_closes_before_it_was_told_hears_it_first() {
    for is_chat in [true, false] {
        let mut map = ChannelMap::new().unwrap();
        let other = AsyncChat::over(sim::line().0, "\n", Probe::default());
        let other = map.insert(other).unwrap();
        let (me, peer, record) = simulated(is_chat, &mut map, Limits::default());
        with(&mut map, me, |side| {
            side.push("last");
            side.close_when_done();
        });
        let log = record.clone();
        map.post(other, move |_, map| {
            log.event(0, "closed by another");
            map.close(me);
        });
        map.turn_at(map.now()).unwrap();
        assert_eq!(peer.take_sent(), b"last");
        let expected = ["closed by another", "finished", "close Requested"];
        assert_eq!(heard(&record), expected);
    }
}

/// Fails in `handle_finished`.
struct Failing(Log);

impl MessageHandler for Failing {
    fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        Ok(())
    }

    fn handle_finished(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        assert!(!chat.push("more"), "too late");
        Err("no".into())
    }

    fn handle_error(&mut self, error: Error, _: &mut Chat, _: &mut ChannelMap) {
        self.0.add(format!("error {error}"));
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        self.0.add(format!("close {}", name(&reason)));
    }
}

impl DispatcherHandler for Failing {
    fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        endpoint.recv(&mut [0; 9])?;
        Ok(())
    }

    fn handle_finished(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        assert!(!endpoint.push("more"), "too late");
        Err("no".into())
    }

    fn handle_error(&mut self, error: Error, _: &mut Endpoint, _: &mut ChannelMap) {
        self.0.add(format!("error {error}"));
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.0.add(format!("close {}", name(&reason)));
    }
}

#[test]
fn its_error_goes_to_handle_error_also_directly_before_handle_close() {
    for is_chat in [true, false] {
        for has_ended in [true, false] {
            let log = Log::default();
            let (ours, theirs) = unix_pair();
            let mut map = ChannelMap::new().unwrap();
            if has_ended {
                theirs.shutdown(Shutdown::Write).unwrap();
            }
            let handler = Failing(log.clone());
            match is_chat {
                true => {
                    let mut chat = AsyncChat::new(ours, "\n", handler);
                    chat.chat.push("last");
                    if !has_ended {
                        chat.chat.close_when_done_with(CloseReason::Eof);
                    }
                    map.insert(chat).unwrap();
                }
                false => {
                    let mut raw = Dispatcher::new(ours, handler);
                    raw.endpoint.push("last");
                    if !has_ended {
                        raw.endpoint.close_when_done_with(CloseReason::Eof);
                    }
                    map.insert(raw).unwrap();
                }
            }
            turn_until(&mut map, |_| log.len() > 0);
            drop(theirs);
            turn_until(&mut map, |map| map.is_empty());
            assert_eq!(log.all(), ["error no", "close Eof"]);
        }
    }
}

/// The other kind's handler, which is there when it comes.
struct Heir(Log);

impl DispatcherHandler for Heir {
    fn handle_finished(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.0.add("finished");
        Ok(())
    }
}

impl MessageHandler for Heir {
    fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        Ok(())
    }

    fn handle_finished(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add("finished");
        Ok(())
    }
}

#[test]
fn the_handler_of_that_moment_gets_it() {
    for is_closing in [true, false] {
        let log = Log::default();
        let (line, peer) = sim::line();
        let mut map = ChannelMap::new().unwrap();
        let me = map
            .insert(AsyncChat::over(line, "\n", Heir(Log::default())))
            .unwrap();
        sim::settle(&mut map, me, &peer);
        peer.set_room(0);
        let chat = &mut map.get_mut(me).unwrap().chat;
        chat.push("last");
        match is_closing {
            true => chat.close_when_done(),
            false => chat.shutdown_when_done(),
        }
        sim::settle(&mut map, me, &peer);
        let heir = Heir(log.clone());
        assert!(
            map.convert(me, |channel| {
                Dispatcher::new(channel.chat.into_endpoint(), heir)
            })
            .is_ok()
        );
        peer.set_room(100);
        sim::settle(&mut map, me, &peer);
        assert_eq!(peer.take_sent(), b"last");
        assert_eq!(log.all(), ["finished"]);
    }
}

/// The one of RFC 959: the reply goes to the control connection when the file has left,
/// not when the client has closed the data connection.
#[test]
fn an_ftp_server_answers_226_before_the_client_has_closed() {
    struct Data {
        control: chat::Handle<AsyncChat<Heir>>,
    }
    impl DispatcherHandler for Data {
        fn handle_finished(&mut self, _: &mut Endpoint, map: &mut ChannelMap) -> Result {
            let control = map.get_mut(self.control)?;
            control.chat.push("226 done\r\n");
            Ok(())
        }
    }
    let mut map = ChannelMap::new().unwrap();
    let (ours, mut control) = unix_pair();
    let ours = AsyncChat::new(ours, "\r\n", Heir(Log::default()));
    let data = Data {
        control: map.insert(ours).unwrap(),
    };
    let (ours, _theirs) = tcp_pair();
    let mut ours = Dispatcher::new(ours, data);
    ours.endpoint
        .push_with_producer(SimpleProducer::new("the file"));
    ours.endpoint.close_when_done();
    let data = map.insert(ours).unwrap();
    let begin = map.now();
    let reply = common::read_len(&mut map, &mut control, "226 done\r\n".len());
    assert_eq!(reply, b"226 done\r\n");
    assert!(map.is_open(data));
    assert!(map.now() < begin + Limits::DEFAULT.linger);
}

/// What is pushed to a channel in its own callback comes behind that: behind the end, too.
#[test]
fn a_push_that_comes_behind_the_end_is_lost_and_nothing_is_finished() {
    struct Ends(crate::common::Log);

    impl chat::DispatcherHandler for Ends {
        fn handle_connect(
            &mut self,
            endpoint: &mut chat::Endpoint,
            map: &mut ChannelMap,
        ) -> chat::Result {
            chat::ChatMap::push(map, endpoint.token(), "lost")?;
            endpoint.shutdown(std::net::Shutdown::Write)?;
            Ok(())
        }
        fn handle_finished(&mut self, _: &mut chat::Endpoint, _: &mut ChannelMap) -> chat::Result {
            self.0.add("finished");
            Ok(())
        }
        fn handle_close(
            &mut self,
            _: chat::CloseReason,
            endpoint: &mut chat::Endpoint,
            _: &mut ChannelMap,
        ) {
            self.0.add(format!("unsent {}", endpoint.unsent().bytes));
        }
    }

    let log = crate::common::Log::default();
    let (ours, theirs) = crate::common::unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let channel = chat::Dispatcher::new(ours, Ends(log.clone()));
    map.insert(channel).unwrap();
    crate::common::turn_to_rest(&mut map);
    drop(theirs);
    crate::common::turn_until(&mut map, |map| map.is_empty());
    assert_eq!(log.all(), ["unsent 4"]);
}
