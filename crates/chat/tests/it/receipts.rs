//! Whether a push was taken, and what becomes of what was pushed before an `Err`.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use chat::{
    AsyncChat, ChannelMap, Chat, CloseReason, Dispatcher, DispatcherHandler, Endpoint, Limits,
    MessageHandler, More, Producer, Result, SimpleProducer, Timer,
};

use crate::common::part::{Part, Record, Side};
use crate::common::{Log, Probe, journal, name, read_to_end, sim, turn_until, unix_pair};

/// All ways to push a byte to a chat, and what each says.
fn push_all(chat: &mut Chat) -> [bool; 4] {
    [
        chat.push("1"),
        chat.push_bytes("2"),
        chat.push_with_producer(SimpleProducer::new("3")),
        write!(chat, "4").is_ok(),
    ]
}

fn push_all_raw(endpoint: &mut Endpoint) -> [bool; 3] {
    [
        endpoint.push("1"),
        endpoint.push_bytes("2"),
        endpoint.push_with_producer(SimpleProducer::new("3")),
    ]
}

#[test]
fn a_push_says_whether_the_channel_takes_output() {
    type Before = fn(&mut Chat, &sim::Peer);
    let cases: [(&str, Before, bool); 4] = [
        ("open", |_, _| {}, true),
        ("closing", |chat, _| chat.close_when_done(), false),
        ("closed", |chat, _| chat.close(), false),
        (
            "failed",
            |chat, peer| {
                peer.fail_sends(ErrorKind::BrokenPipe);
                chat.push(vec![b'x'; 100_000]);
            },
            false,
        ),
    ];
    for (what, before, taken) in cases {
        let (line, peer) = sim::line();
        let mut map = ChannelMap::new().unwrap();
        let channel = AsyncChat::over(line, "\n", Probe::default());
        let me = map.insert(channel).unwrap();
        sim::settle(&mut map, me, &peer);
        let chat = &mut map.get_mut(me).unwrap().chat;
        before(chat, &peer);
        assert_eq!(push_all(chat), [taken; 4], "{what}");

        let (line, peer) = sim::line();
        let raw = Dispatcher::over(line, Part::<0>::new(&Record::default()));
        let me = map.insert(raw).unwrap();
        sim::settle(&mut map, me, &peer);
        let endpoint = &mut map.get_mut(me).unwrap().endpoint;
        match what {
            "closing" => endpoint.close_when_done(),
            "closed" => endpoint.close(),
            "failed" => {
                peer.fail_sends(ErrorKind::BrokenPipe);
                endpoint.push(vec![b'x'; 100_000]);
            }
            _ => {}
        }
        assert_eq!(push_all_raw(endpoint), [taken; 3], "{what}");
    }
}

#[test]
fn what_cannot_be_written_is_a_broken_pipe() {
    let (line, _peer) = sim::line();
    let mut channel = AsyncChat::over(line, "\n", Probe::default());
    channel.chat.close_when_done();
    let error = write!(channel.chat, "late").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert_eq!(
        channel.chat.write(b"").unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
}

#[test]
fn a_connection_under_way_takes_output_and_a_listener_and_datagrams_do_not_queue_any() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = AsyncChat::connect(address, "\n", Probe::default());
    assert_eq!(push_all(&mut client.chat), [true; 4]);

    let part = || Part::<0>::new(&Record::default());
    let mut listening = Dispatcher::new(listener, part());
    assert_eq!(push_all_raw(&mut listening.endpoint), [false; 3]);

    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut unconnected = Dispatcher::new(socket.try_clone().unwrap(), part());
    assert_eq!(push_all_raw(&mut unconnected.endpoint), [false; 3]);
    socket.connect(peer.local_addr().unwrap()).unwrap();
    let mut connected = Dispatcher::new(socket, part());
    assert_eq!(push_all_raw(&mut connected.endpoint), [true, true, false]);
    let mut buffer = [0; 8];
    for sent in [b"1", b"2"] {
        let len = peer.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], sent);
    }
}

#[test]
fn the_push_that_is_too_much_for_a_slow_reader_says_so() {
    for is_producer in [false, true] {
        let mut limits = Limits::default();
        (limits.output, limits.producers) = (10, 1);
        let (line, peer) = sim::line();
        peer.set_room(0);
        let mut map = ChannelMap::new().unwrap();
        let channel = AsyncChat::over(line, "\n", Probe::default()).limited(limits);
        let me = map.insert(channel).unwrap();
        sim::settle(&mut map, me, &peer);
        let chat = &mut map.get_mut(me).unwrap().chat;
        let mut push = || match is_producer {
            true => chat.push_with_producer(SimpleProducer::new("made")),
            false => chat.push("123456"),
        };
        assert_eq!([push(), push(), push()], [true, false, false]);
    }
}

/// Answers lines, and fails at `bad`; all else is by default.
struct Answering(Log);

impl Answering {
    fn answer(line: &[u8], mut push: impl FnMut(&[u8]) -> bool) -> Result {
        match line {
            b"bad" => Err("no such command".into()),
            line => {
                assert!(push(&[line, b"\n"].concat()));
                Ok(())
            }
        }
    }
}

impl MessageHandler for Answering {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        Self::answer(line, |answer| chat.push(answer))
    }

    fn handle_timer(&mut self, _: Timer, _: &mut Chat, _: &mut ChannelMap) -> Result {
        Err("too late".into())
    }

    fn handle_close(&mut self, reason: CloseReason, chat: &mut Chat, _: &mut ChannelMap) {
        let unsent = chat.unsent();
        let (bytes, producers) = (unsent.bytes, unsent.producers);
        self.0.add(format!("{} {bytes} {producers}", name(&reason)));
    }
}

impl DispatcherHandler for Answering {
    fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        let mut buffer = [0; 64];
        let len = endpoint.recv(&mut buffer)?;
        for line in buffer[..len].split_inclusive(|&byte| byte == b'\n') {
            Self::answer(line.trim_ascii_end(), |answer| endpoint.push(answer))?;
        }
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, endpoint: &mut Endpoint, _: &mut ChannelMap) {
        let unsent = endpoint.unsent();
        let (bytes, producers) = (unsent.bytes, unsent.producers);
        self.0.add(format!("{} {bytes} {producers}", name(&reason)));
    }
}

#[test]
fn what_was_pushed_before_an_err_is_sent_and_the_log_has_a_warning() {
    journal::open();
    for is_chat in [true, false] {
        let log = Log::default();
        let (ours, mut theirs) = unix_pair();
        let mut map = ChannelMap::new().unwrap();
        match is_chat {
            true => {
                let chat = AsyncChat::new(ours, "\n", Answering(log.clone()));
                map.insert(chat).unwrap();
            }
            false => {
                let raw = Dispatcher::new(ours, Answering(log.clone()));
                map.insert(raw).unwrap();
            }
        }
        theirs.write_all(b"one\ntwo\nbad\nthree\n").unwrap();
        assert_eq!(read_to_end(&mut map, &mut theirs), b"one\ntwo\n");
        drop(theirs);
        turn_until(&mut map, |map| map.is_empty());
        assert_eq!(log.take(), ["HandlerError 0 0"]);
        let lines = journal::take();
        let warned = lines.iter().filter(|line| line.starts_with("WARN "));
        assert_eq!(warned.count(), 1, "{lines:?}");
        assert!(
            !lines.iter().any(|line| line.starts_with("ERROR ")),
            "{lines:?}"
        );
    }
}

/// Has nothing, ever.
struct Waiting;

impl Producer for Waiting {
    fn more(&mut self, _: &mut Vec<u8>, _: usize) -> std::io::Result<More> {
        Ok(More::Later)
    }
}

#[test]
fn a_producer_that_waits_keeps_a_channel_whose_handler_has_failed_for_stall() {
    let log = Log::default();
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::over(line, "\n", Answering(log.clone()));
    let me = map.insert(channel).unwrap();
    sim::settle(&mut map, me, &peer);
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.push_with_producer(Waiting);
    chat.push("behind");
    peer.say("bad\n");
    sim::settle(&mut map, me, &peer);
    let stall = Limits::default().stall;
    sim::step_after(&mut map, me, &peer, stall - Duration::from_secs(1));
    assert!(map.is_open(me));
    sim::step_after(&mut map, me, &peer, Duration::from_secs(1));
    assert_eq!(log.take(), ["HandlerError 6 1"]);
}

#[test]
fn an_err_while_connecting_closes_at_once() {
    let log = Log::default();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = AsyncChat::connect(address, "\n", Answering(log.clone()));
    client.chat.push("hello");
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(client).unwrap();
    let now = map.now();
    map.set_timer(me, now);
    map.turn_at(now).unwrap(); // without the poller, which would say that it is connected
    map.turn_at(now).unwrap();
    assert_eq!(log.take(), ["HandlerError 5 0"]);
}

/// Shuts its connection while it has more to send than the peer takes.
struct Shutting;

impl DispatcherHandler for Shutting {
    fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        let mut buffer = [0; 64];
        if endpoint.recv(&mut buffer)? > 0 {
            endpoint.push(vec![b'x'; 1_000_000]);
            endpoint.shutdown(Shutdown::Both)?;
        }
        Ok(())
    }

    fn handle_eof(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
        Ok(())
    }
}

#[test]
fn a_shutdown_of_both_halves_sends_what_is_queued_and_receives_no_more() {
    let (ours, mut theirs): (UnixStream, UnixStream) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    map.insert(Dispatcher::new(ours, Shutting)).unwrap();
    theirs.write_all(b"go").unwrap();
    let mut first = [0; 1];
    turn_until(&mut map, |_| theirs.read(&mut first).is_ok());
    assert_eq!(
        theirs.write(b"x").unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
    assert_eq!(read_to_end(&mut map, &mut theirs).len(), 999_999);
}

/// However long the push: a long one is sent before it is queued.
#[test]
fn a_push_that_finds_the_peer_gone_says_so_or_is_accounted_for() {
    for len in [1, 65_536, 65_537, 100_000, 9 << 20] {
        for (is_chat, is_try) in [(true, false), (false, false), (true, true), (false, true)] {
            let what = format!("{len} bytes, chat: {is_chat}, try_push: {is_try}");
            let record = Record::default();
            let (line, peer) = sim::line();
            let mut map = ChannelMap::new().unwrap();
            let part = Part::<0>::new(&record);
            let me = part.insert(is_chat, line, Limits::default(), &mut map);
            sim::settle(&mut map, me, &peer);
            peer.fail_sends(ErrorKind::BrokenPipe);
            let data = vec![b'x'; len];
            let is_taken = Part::<0>::reach(&mut map, me, |side| match (side, is_try) {
                (Side::Chat(chat), true) => chat.try_push(data).is_ok(),
                (Side::Raw(endpoint), true) => endpoint.try_push(data).is_ok(),
                (side, false) => side.push(data),
            });
            peer.say_eof();
            sim::settle(&mut map, me, &peer);
            assert!(record.is_closed(), "{what}");
            let is_known = is_taken == Some(false) || record.unsent().0 == len;
            assert!(is_known, "{what}: neither refused nor unsent");
        }
    }
}

/// A push that came back is not counted as well.
#[test]
fn what_was_refused_is_not_unsent() {
    for is_bytes in [true, false] {
        let record = Record::default();
        let (line, peer) = sim::line();
        let mut map = ChannelMap::new().unwrap();
        let me = Part::<0>::new(&record).insert(true, line, Limits::default(), &mut map);
        sim::settle(&mut map, me, &peer);
        peer.fail_sends(ErrorKind::BrokenPipe);
        Part::<0>::reach(&mut map, me, |side| {
            let Side::Chat(chat) = side else { return };
            assert!(chat.push("before"));
            let data = vec![b'x'; 100_000];
            match is_bytes {
                true => assert!(!chat.push_bytes(data)),
                false => assert_eq!(chat.try_push(data).unwrap_err().len(), 100_000),
            }
        });
        peer.say_eof();
        sim::settle(&mut map, me, &peer);
        assert_eq!(record.unsent(), (6, 0));
    }
}

/// A long push goes out with what is queued before it, by one call.
#[test]
fn a_head_and_a_long_body_are_sent_by_one_call_and_in_order() {
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::over(line, "\n", Probe::default());
    let me = map.insert(channel).unwrap();
    sim::settle(&mut map, me, &peer);
    peer.set_room(50_000);
    let before = peer.sends();
    let chat = &mut map.get_mut(me).unwrap().chat;
    assert!(chat.push("head"));
    assert!(chat.push(vec![b'x'; 100_000]));
    assert!(chat.push("tail"));
    assert_eq!(peer.sends() - before, 1);
    assert_eq!(chat.queued(), 50_008);
    peer.set_room(usize::MAX);
    sim::settle(&mut map, me, &peer);
    let body = vec![b'x'; 100_000];
    assert_eq!(peer.take_sent(), [&b"head"[..], &body, b"tail"].concat());
}
