//! Holds: delivery stops, and receiving goes on up to a bound. So a peer that leaves is
//! noticed.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use chat::{
    AsyncChat, ChannelMap, Chat, CloseReason, Handle, Hold, Limits, MessageHandler, Registration,
    Result, Socket, Token, Transport,
};

use crate::common::sim::{self, Peer};
use crate::common::{Log, Probe, assert_rest, tcp_pair, turn_to_rest, turn_until, unix_pair};

const BLOCKED: Hold = Hold::new(0);
const THROTTLED: Hold = Hold::new(6);

fn limits(held: usize) -> Limits {
    let mut limits = Limits::default();
    limits.held = held;
    limits
}

/// Holds its channel at the message `hold`.
fn holding(log: &Log) -> Probe {
    Probe::new(log).on_message(|line, chat, _| {
        if line == b"hold" {
            chat.hold(BLOCKED);
        }
        Ok(())
    })
}

fn channel(
    map: &mut ChannelMap,
    socket: impl Into<Socket>,
    limits: Limits,
    log: &Log,
) -> Handle<AsyncChat<Probe>> {
    let channel = AsyncChat::new(socket, "\n", holding(log));
    let me = map.insert(channel.limited(limits)).unwrap();
    turn_to_rest(map);
    log.take();
    me
}

fn simulated(map: &mut ChannelMap, limits: Limits, log: &Log) -> (Handle<AsyncChat<Probe>>, Peer) {
    let (line, peer) = sim::line();
    let channel = AsyncChat::over(line, "\r\n", holding(log)).limited(limits);
    let me = map.insert(channel).unwrap();
    sim::settle(map, me, &peer);
    log.take();
    (me, peer)
}

fn chat(map: &mut ChannelMap, me: Handle<AsyncChat<Probe>>) -> &mut Chat {
    &mut map.get_mut(me).unwrap().chat
}

fn reset(peer: TcpStream) {
    let peer = Socket::from(peer);
    peer.set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
}

/// Clients that wait for an element, the first one first, as Redis's `BLPOP` has them.
type Waiting = Rc<RefCell<VecDeque<Token>>>;

struct Blpop(Waiting);

impl Blpop {
    fn leave(&self, chat: &Chat) {
        self.0.borrow_mut().retain(|&it| it != chat.token());
    }
}

impl MessageHandler for Blpop {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        match line {
            b"BLPOP" => {
                self.0.borrow_mut().push_back(chat.token());
                chat.hold(BLOCKED);
            }
            line => drop(chat.push(line)),
        }
        Ok(())
    }

    fn handle_peer_finished(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        self.leave(chat);
        chat.release(BLOCKED);
        Ok(())
    }

    fn handle_close(&mut self, _: CloseReason, chat: &mut Chat, _: &mut ChannelMap) {
        self.leave(chat);
    }
}

#[test]
fn a_client_that_pipelined_and_left_while_held_is_handed_nothing() {
    for pipelined in [&b"BLPOP\n"[..], b"BLPOP\nPING\n"] {
        let waiting = Waiting::default();
        let mut map = ChannelMap::new().unwrap();
        let connect = |map: &mut ChannelMap| {
            let (ours, theirs) = unix_pair();
            let channel = AsyncChat::new(ours, "\n", Blpop(Rc::clone(&waiting)));
            map.insert(channel).unwrap();
            theirs
        };
        let (mut gone, mut patient) = (connect(&mut map), connect(&mut map));
        gone.write_all(pipelined).unwrap();
        turn_until(&mut map, |_| waiting.borrow().len() == 1);
        patient.write_all(b"BLPOP\n").unwrap();
        turn_until(&mut map, |_| waiting.borrow().len() == 2);
        drop(gone);
        turn_until(&mut map, |map| map.len() == 1);

        let first = waiting.borrow_mut().pop_front().unwrap();
        let first = first.handle::<AsyncChat<Blpop>>();
        let chat = &mut map.get_mut(first).unwrap().chat;
        chat.push("element");
        chat.release(BLOCKED);
        let element = crate::common::read_len(&mut map, &mut patient, 7);
        assert_eq!(element, b"element");
    }
}

#[test]
fn delivery_goes_on_when_the_last_of_several_holds_is_released() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Limits::default(), &log);
    let held = chat(&mut map, me);
    assert!(!held.is_held());
    for hold in [BLOCKED, THROTTLED, BLOCKED] {
        held.hold(hold);
    }
    assert!(held.is_held() && !held.is_paused());
    held.pause();
    peer.say("line\r\n");
    let releases: [fn(&mut Chat); 3] = [
        |chat| chat.release(BLOCKED),
        Chat::resume,
        |chat| chat.release(THROTTLED),
    ];
    for release in releases {
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.len(), 0);
        let held = chat(&mut map, me);
        assert!(held.is_held());
        release(held);
    }
    sim::settle(&mut map, me, &peer);
    let held = chat(&mut map, me);
    assert!(!held.is_held() && !held.is_paused());
    assert_eq!(log.all(), ["message line"]);
}

/// Whatever was received before the hold, and whatever the bound lets in.
#[test]
fn held_input_is_delivered_before_later_input_wherever_it_was_cut() {
    let text = b"one\r\n\r\ntwo\r\r\nthree\r\n";
    for cut in 0..text.len() {
        for bound in [1, 2, 5, 100] {
            let log = Log::default();
            let mut map = ChannelMap::new().unwrap();
            let (me, peer) = simulated(&mut map, limits(bound), &log);
            peer.say(&text[..cut]);
            sim::settle(&mut map, me, &peer);
            let heard = log.len();
            chat(&mut map, me).hold(BLOCKED);
            for segment in text[cut..].chunks(2) {
                peer.say(segment);
                sim::settle(&mut map, me, &peer);
                let held = chat(&mut map, me).undelivered();
                assert!(held <= bound, "{held} of {bound} at {cut}");
            }
            assert_eq!(log.len(), heard, "nothing is delivered");
            chat(&mut map, me).release(BLOCKED);
            sim::settle(&mut map, me, &peer);
            let expected = ["one", "", r"two\r", "three"].map(|line| format!("message {line}"));
            assert_eq!(log.all(), expected, "cut at {cut}, bound {bound}");
        }
    }
}

#[test]
fn the_end_within_the_bound_is_heard_at_once_and_eof_comes_after_the_held_input() {
    for rest in ["", "1\n2\npart"] {
        let log = Log::default();
        let (ours, mut theirs) = tcp_pair();
        let mut map = ChannelMap::new().unwrap();
        let me = channel(&mut map, ours, Limits::default(), &log);
        theirs.write_all(b"hold\n").unwrap();
        turn_until(&mut map, |_| log.len() == 1);
        theirs.write_all(rest.as_bytes()).unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        turn_until(&mut map, |_| log.len() == 2);
        assert_rest(&mut map);
        assert_eq!(log.take(), ["message hold", "peer finished"]);
        chat(&mut map, me).push("still sent");
        chat(&mut map, me).release(BLOCKED);
        turn_until(&mut map, |map| map.is_empty());
        match rest {
            "" => assert_eq!(log.all(), ["eof", "close Eof"]),
            _ => assert_eq!(
                log.all(),
                ["message 1", "message 2", "eof part", "close Eof"]
            ),
        }
        let mut answer = String::new();
        theirs.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "still sent");
    }
}

#[test]
fn an_end_that_came_with_the_input_of_the_hold_is_heard_too() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Limits::default(), &log);
    peer.say("hold\r\nrest");
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.take(), ["message hold", "peer finished"]);
    chat(&mut map, me).release(BLOCKED);
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["eof rest", "close Eof"]);
}

#[test]
fn handle_peer_finished_may_close_and_is_called_once() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (line, peer) = sim::line();
    let probe = holding(&log).on_peer_finished(|chat, _| {
        chat.close();
        Ok(())
    });
    let me = map.insert(AsyncChat::over(line, "\r\n", probe)).unwrap();
    peer.say("hold\r\nheld\r\n");
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(
        log.all(),
        [
            "connect",
            "message hold",
            "peer finished",
            "close Requested"
        ]
    );

    let log = Log::default();
    let (me, peer) = simulated(&mut map, Limits::default(), &log);
    peer.say("hold\r\n");
    peer.say_eof();
    for _ in 0..3 {
        sim::settle(&mut map, me, &peer);
        chat(&mut map, me).hold(THROTTLED);
        chat(&mut map, me).release(BLOCKED);
    }
    assert_eq!(log.all(), ["message hold", "peer finished"]);
}

#[test]
fn a_channel_that_is_not_held_hears_of_no_peer_that_finished() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Limits::default(), &log);
    peer.say("line\r\nrest");
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["message line", "eof rest", "close Eof"]);
}

/// It lies behind input that nobody reads.
#[test]
fn the_end_beyond_the_bound_is_heard_after_the_release() {
    let log = Log::default();
    let (ours, mut theirs) = tcp_pair();
    let mut map = ChannelMap::new().unwrap();
    let me = channel(&mut map, ours, limits(10), &log);
    theirs.write_all(b"hold\n").unwrap();
    turn_until(&mut map, |_| log.len() == 1);
    theirs.write_all(b"1\n2\n3\n4\n5\n6\n").unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    turn_until(&mut map, |map| chat(map, me).undelivered() == 10);
    assert_rest(&mut map);
    assert_eq!(log.take(), ["message hold"]);
    chat(&mut map, me).release(BLOCKED);
    turn_until(&mut map, |map| map.is_empty());
    let mut expected: Vec<_> = (1..=6).map(|nth| format!("message {nth}")).collect();
    expected.extend(["eof", "close Eof"].map(String::from));
    assert_eq!(log.all(), expected);
}

#[test]
fn a_reset_closes_a_held_channel_that_holds_no_input() {
    let log = Log::default();
    let (ours, mut theirs) = tcp_pair();
    let mut map = ChannelMap::new().unwrap();
    channel(&mut map, ours, Limits::default(), &log);
    theirs.write_all(b"hold\n").unwrap();
    turn_until(&mut map, |_| log.len() == 1);
    reset(theirs);
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(log.all(), ["message hold", "close Io(ConnectionReset)"]);
}

#[test]
fn a_reset_is_heard_at_once_and_the_held_input_is_delivered_before_the_close() {
    let log = Log::default();
    let (ours, mut theirs) = tcp_pair();
    let mut map = ChannelMap::new().unwrap();
    let me = channel(&mut map, ours, Limits::default(), &log);
    theirs.write_all(b"hold\n1\n2\npart").unwrap();
    turn_until(&mut map, |map| chat(map, me).undelivered() == 8);
    reset(theirs);
    turn_until(&mut map, |_| log.len() == 2);
    assert_rest(&mut map);
    assert_eq!(log.take(), ["message hold", "peer finished"]);
    assert!(chat(&mut map, me).output_failed());
    assert!(!chat(&mut map, me).push("lost"));
    chat(&mut map, me).release(BLOCKED);
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(
        log.all(),
        ["message 1", "message 2", "close Io(ConnectionReset)"]
    );
}

/// A half-closed peer may wait for its answer; one that is reset later does not.
#[cfg(target_os = "linux")]
#[test]
fn a_reset_after_the_end_is_noticed_while_held() {
    for rest in ["", "held\n"] {
        let log = Log::default();
        let (ours, mut theirs) = tcp_pair();
        let mut map = ChannelMap::new().unwrap();
        let me = channel(&mut map, ours, Limits::default(), &log);
        theirs.write_all(b"hold\n").unwrap();
        turn_until(&mut map, |map| chat(map, me).is_held());
        theirs.write_all(rest.as_bytes()).unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        turn_until(&mut map, |_| log.len() == 2);
        assert_rest(&mut map);
        assert_eq!(log.take(), ["message hold", "peer finished"]);
        chat(&mut map, me).push("unread");
        theirs.set_nonblocking(true).unwrap();
        turn_until(&mut map, |_| {
            theirs.peek(&mut [0; 6]).is_ok_and(|len| len == 6)
        });
        drop(theirs); // which is a reset, since there is unread input
        if !rest.is_empty() {
            turn_until(&mut map, |map| chat(map, me).output_failed());
            assert_rest(&mut map);
            chat(&mut map, me).release(BLOCKED);
        }
        turn_until(&mut map, |map| map.is_empty());
        let mut record = log.take();
        let close = record.pop().unwrap();
        assert!(close.starts_with("close Io("), "{close}");
        assert_eq!(record.len(), usize::from(!rest.is_empty()), "{record:?}");
    }
}

/// A program that never answers does not keep a dead connection.
#[test]
fn a_failed_channel_that_is_never_released_closes_after_linger() {
    for by_send in [false, true] {
        let log = Log::default();
        let (ours, mut theirs) = tcp_pair();
        let mut map = ChannelMap::new().unwrap();
        let mut brief = Limits::default();
        brief.linger = Duration::from_millis(20);
        let me = channel(&mut map, ours, brief, &log);
        theirs.write_all(b"hold\nheld\n").unwrap();
        turn_until(&mut map, |map| chat(map, me).undelivered() == 5);
        reset(theirs);
        if by_send {
            chat(&mut map, me).push("into the void");
        }
        turn_until(&mut map, |map| map.is_empty());
        let record = log.all();
        assert_eq!(record[..2], ["message hold", "peer finished"]);
        assert!(record[2].starts_with("close Io("), "{record:?}");
        assert_eq!(record.len(), 3);
    }
}

#[test]
fn held_input_is_delivered_after_the_release_though_sending_failed() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Limits::default(), &log);
    peer.say("hold\r\n1\r\n");
    sim::settle(&mut map, me, &peer);
    peer.fail_sends(ErrorKind::BrokenPipe);
    chat(&mut map, me).push("into the void");
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.take(), ["message hold", "peer finished"]);
    peer.say("2\r\n");
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    chat(&mut map, me).release(BLOCKED);
    sim::settle(&mut map, me, &peer);
    assert_eq!(
        log.all(),
        ["message 1", "message 2", "eof", "close Io(BrokenPipe)"]
    );
}

/// Fills its channel to the bound and beyond; returns how much it wrote.
fn overfill(
    map: &mut ChannelMap,
    me: Handle<AsyncChat<Probe>>,
    bound: usize,
    peer: &mut impl Write,
) {
    peer.write_all(b"hold\n").unwrap();
    turn_until(map, |map| chat(map, me).is_held());
    peer.write_all(&b"x\n".repeat(bound)).unwrap();
    turn_until(map, |map| chat(map, me).undelivered() == bound);
    assert_rest(map);
}

#[cfg(target_os = "linux")]
#[test]
fn a_reset_at_the_bound_is_heard_at_once() {
    for bound in [0, 10] {
        let log = Log::default();
        let (ours, mut theirs) = tcp_pair();
        let mut map = ChannelMap::new().unwrap();
        let me = channel(&mut map, ours, limits(bound), &log);
        overfill(&mut map, me, bound, &mut theirs);
        if bound == 0 {
            theirs.write_all(b"unread\n").unwrap();
        }
        reset(theirs);
        turn_until(&mut map, |_| log.len() == 2);
        assert_rest(&mut map);
        assert_eq!(
            log.take(),
            ["message hold", "peer finished"],
            "bound {bound}"
        );
        chat(&mut map, me).release(BLOCKED);
        turn_until(&mut map, |map| map.is_empty());
        let record = log.all();
        let (close, messages) = record.split_last().unwrap();
        assert_eq!(close, "close Io(ConnectionReset)");
        assert!(messages.len() >= bound / 2, "what was held is delivered");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_hang_up_at_the_bound_is_heard_at_once_and_nothing_is_lost() {
    for bound in [0, 10] {
        let log = Log::default();
        let (ours, mut theirs) = unix_pair();
        let mut map = ChannelMap::new().unwrap();
        let me = channel(&mut map, ours, limits(bound), &log);
        overfill(&mut map, me, bound, &mut theirs);
        theirs.write_all(b"last\n").unwrap();
        drop(theirs);
        turn_until(&mut map, |_| log.len() == 2);
        assert_rest(&mut map);
        assert_eq!(
            log.take(),
            ["message hold", "peer finished"],
            "bound {bound}"
        );
        chat(&mut map, me).release(BLOCKED);
        turn_until(&mut map, |map| map.is_empty());
        let mut expected = vec![String::from("message x"); bound];
        expected.extend(["message last", "eof", "close Eof"].map(String::from));
        assert_eq!(log.all(), expected);
    }
}

/// A half-closed TCP peer has not hung up; its reset after the release is one as ever.
#[test]
fn a_channel_that_was_released_before_the_end_hears_it_as_any_other() {
    let log = Log::default();
    let (ours, mut theirs) = tcp_pair();
    let mut map = ChannelMap::new().unwrap();
    let me = channel(&mut map, ours, limits(4), &log);
    overfill(&mut map, me, 4, &mut theirs);
    chat(&mut map, me).release(BLOCKED);
    turn_until(&mut map, |_| log.len() == 5);
    reset(theirs);
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(log.all()[5..], ["close Io(ConnectionReset)"]);
}

#[test]
fn a_held_channel_takes_the_bound_and_no_more() {
    let log = Log::default();
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let me = channel(&mut map, ours, Limits::default(), &log);
    theirs.write_all(b"hold\n").unwrap();
    turn_until(&mut map, |_| log.len() == 1);
    let mut written = 0;
    loop {
        match theirs.write(&b"x\n".repeat(1_000)) {
            Ok(len) => written += len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
        turn_to_rest(&mut map);
    }
    assert!(written > 65_536, "its own socket holds the rest");
    assert_eq!(chat(&mut map, me).undelivered(), 65_536);
    assert_rest(&mut map);
    chat(&mut map, me).release(BLOCKED);
    turn_until(&mut map, |_| log.len() == 1 + written / 2);
}

/// A transport that has read ahead, as TLS does, and no socket.
#[derive(Debug)]
struct Ahead(&'static [u8]);

impl Transport for Ahead {
    fn registration(&self) -> Option<&Registration> {
        None
    }
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0 {
            [] => Err(ErrorKind::WouldBlock.into()),
            _ => self.0.read(buffer),
        }
    }
    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn has_input(&self) -> bool {
        !self.0.is_empty()
    }
}

#[test]
fn a_held_channel_takes_what_a_transport_has_read_ahead_up_to_the_bound() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let transport = Ahead(b"1\n2\n3\n4\n5\n");
    let mut held = AsyncChat::over(transport, "\n", holding(&log)).limited(limits(6));
    held.chat.hold(BLOCKED);
    let me = map.insert(held).unwrap();
    assert_rest(&mut map);
    assert_eq!(chat(&mut map, me).undelivered(), 6);
    assert_eq!(log.take(), ["connect"]);
    chat(&mut map, me).release(BLOCKED);
    turn_to_rest(&mut map);
    assert_eq!(
        log.all(),
        ["1", "2", "3", "4", "5"].map(|line| format!("message {line}"))
    );
}

#[test]
fn a_conversion_ends_every_hold_and_another_handler_keeps_them() {
    let (ours, mut theirs) = unix_pair();
    theirs.write_all(b"line\n").unwrap();
    let mut held = AsyncChat::new(ours, "\n", ());
    held.chat.hold(BLOCKED);
    let held = held.with_handler(|()| Blpop(Waiting::default()));
    assert!(held.chat.is_held());
    let log = Log::default();
    let endpoint = held.chat.into_endpoint();
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(AsyncChat::new(endpoint, "\n", Probe::new(&log)))
        .unwrap();
    turn_to_rest(&mut map);
    assert!(!chat(&mut map, me).is_held());
    assert_eq!(log.all(), ["connect", "message line"]);
}
