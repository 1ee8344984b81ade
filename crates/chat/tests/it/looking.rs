//! What channels show of themselves: `ChatMap::channels`.

use std::io::{ErrorKind, Write};
use std::net::{TcpStream, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

use chat::{
    AsyncChat, ChannelMap, ChannelState, ChannelView, Chat, ChatMap, Dispatcher, Endpoint, Hold,
    Limits, MessageHandler, Result, TimerChannel, Token,
};

use crate::common::sim::{self, step_after};
use crate::common::{Log, Witness, read_len, turn_to_rest, turn_until, unix_pair};

const SECOND: Duration = Duration::from_secs(1);

/// Answers each line with it.
struct Echo;

impl MessageHandler for Echo {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        chat.push([line, b"\n"].concat());
        Ok(())
    }
}

fn view<T>(map: &ChannelMap, channel: impl Into<Token>, see: impl Fn(ChannelView<'_>) -> T) -> T {
    let channel = channel.into();
    see(map.channels().find(|view| view.token() == channel).unwrap())
}

fn state(map: &ChannelMap, channel: impl Into<Token>) -> ChannelState {
    view(map, channel, |view| view.state())
}

#[test]
fn a_channel_shows_what_has_passed_and_what_waits() {
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::new(ours, "\n", Echo)).unwrap();
    theirs.write_all(b"one\ntwo\nthre").unwrap();
    turn_to_rest(&mut map);
    assert_eq!(read_len(&mut map, &mut theirs, 8), b"one\ntwo\n");
    view(&map, me, |view| {
        assert_eq!(view.state(), ChannelState::Open);
        assert_eq!((view.received(), view.sent()), (12, 8));
        assert_eq!((view.messages(), view.partial()), (2, 4));
        assert_eq!((view.queued(), view.undelivered()), (0, 0));
        assert_eq!((view.holds().count(), view.is_outrun()), (0, false));
        let kind = view.type_name().unwrap();
        assert!(
            kind.contains("AsyncChat<") && kind.contains("Echo"),
            "{kind}"
        );
    });
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.pause();
    chat.hold(Hold::new(3));
    theirs.write_all(b"e\nfour").unwrap();
    turn_until(&mut map, |map| {
        view(map, me, |view| view.undelivered()) == 6
    });
    assert_eq!(view(&map, me, |view| view.messages()), 2);
    map.get_mut(me).unwrap().chat.push("queued");
    view(&map, me, |view| {
        assert!(view.holds().eq([Hold::new(3), Hold::PAUSE]));
        assert_eq!(view.queued(), 6);
    });
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.resume();
    chat.release(Hold::new(3));
    turn_to_rest(&mut map);
    assert_eq!(map.get(me).unwrap().chat.messages(), 3);
}

#[test]
fn a_channel_whose_answers_outrun_its_peer_says_so() {
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::new(ours, "\n", Echo)).unwrap();
    let line = [&[b'x'; 30_000][..], b"\n"].concat();
    turn_until(&mut map, |map| {
        if let Err(error) = theirs.write(&line) {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        }
        view(map, me, |view| view.is_outrun())
    });
    let line = view(&map, me, |view| view.to_string());
    assert!(line.ends_with(" holds=outrun"), "{line}");
}

#[test]
fn a_channel_says_what_its_socket_is() {
    let mut map = ChannelMap::new().unwrap();
    let witness = || Witness::new(&Log::default());
    let listener = map
        .insert(Dispatcher::listen("127.0.0.1:0", witness()))
        .unwrap();
    let datagrams = map
        .insert(Dispatcher::bind("127.0.0.1:0", witness()))
        .unwrap();
    let address = map.get(listener).unwrap().endpoint.local_addr();
    let client = AsyncChat::connect(address.clone().unwrap().as_inet().unwrap(), "\n", ());
    let client = map.insert(client).unwrap();
    let timer = map.insert(TimerChannel::new(|_, _, _| Ok(()))).unwrap();
    assert_eq!(state(&map, listener), ChannelState::Listening);
    assert_eq!(state(&map, datagrams), ChannelState::Datagrams);
    assert_eq!(state(&map, client), ChannelState::Connecting);
    assert_eq!(state(&map, timer), ChannelState::Unknown);
    view(&map, listener, |view| {
        assert_eq!(
            (view.local_addr(), view.peer_addr()),
            (address.clone(), None)
        );
    });
    view(&map, timer, |view| {
        assert_eq!(
            (view.idle(), view.received(), view.local_addr()),
            (None, 0, None)
        );
        assert!(view.type_name().unwrap().contains("TimerChannel"));
    });
    turn_until(&mut map, |map| state(map, client) == ChannelState::Open);
    view(&map, client, |view| assert_eq!(view.peer_addr(), address));
}

#[test]
fn a_channel_that_ends_says_how_far_it_is() {
    let mut map = ChannelMap::new().unwrap();
    let (ours, theirs) = unix_pair();
    let me = map.insert(AsyncChat::new(ours, "\n", ())).unwrap();
    turn_to_rest(&mut map);
    let chat = |map: &mut ChannelMap, change: fn(&mut Chat)| {
        change(&mut map.get_mut(me).unwrap().chat);
    };
    chat(&mut map, |chat| _ = chat.push(vec![0; 1024 * 1024]));
    turn_to_rest(&mut map);
    chat(&mut map, Chat::shutdown_when_done);
    assert_eq!(state(&map, me), ChannelState::Shut);
    chat(&mut map, Chat::close_when_done);
    assert_eq!(state(&map, me), ChannelState::Finishing);
    let mut received = Vec::new();
    turn_until(&mut map, |map| {
        crate::common::read_some(&mut &theirs, &mut received);
        state(map, me) == ChannelState::Lingering
    });
    assert_eq!(map.lingering(), 1);
    chat(&mut map, Chat::close);
    assert_eq!(state(&map, me), ChannelState::Closed);
    turn_until(&mut map, |map| !map.is_open(me));

    // Sending fails while input is left.
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, "\n", Echo)).unwrap();
    sim::settle(&mut map, me, &peer);
    peer.fail_sends(ErrorKind::BrokenPipe);
    map.get_mut(me).unwrap().chat.push("x");
    sim::settle(&mut map, me, &peer);
    assert_eq!(state(&map, me), ChannelState::Failing);
}

#[test]
fn a_channel_inside_its_callback_is_shown_with_its_token_name_and_age() {
    struct Console(Log);

    impl MessageHandler for Console {
        fn handle_message(&mut self, _: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
            map.set_name(chat.token(), "the console");
            for channel in map.channels().filter(|view| view.token() == chat.token()) {
                assert_eq!((channel.type_name(), channel.received()), (None, 0));
                self.0.add(channel.to_string());
            }
            assert_eq!(map.channels().count(), map.len());
            Ok(())
        }
    }

    let log = Log::default();
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let me = AsyncChat::new(ours, "\n", Console(log.clone()));
    let me = map.insert(me).unwrap();
    theirs.write_all(b"list\n").unwrap();
    turn_to_rest(&mut map);
    let line = log.all().remove(0);
    let begin = format!(
        "token={} name=\"the console\" state=in-callback",
        me.token()
    );
    assert!(line.starts_with(&begin), "{line}");
}

/// One line, each value of it without a space, except a name in quotes: so a peer that
/// chooses its name forges no value.
#[test]
fn a_view_is_one_line_that_grep_can_read() {
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, "\n", Echo)).unwrap();
    map.set_name(me, "ada\nstate=closed");
    sim::settle(&mut map, me, &peer);
    peer.say("hello\nwor");
    sim::settle(&mut map, me, &peer);
    step_after(&mut map, me, &peer, 2 * SECOND);
    map.get_mut(me).unwrap().chat.pause();
    let (view, kind, memory) = view(&map, me, |view| {
        (view.to_string(), view.type_name(), view.memory())
    });
    assert!(
        (3..100).contains(&memory),
        "the buffer of the partial message"
    );
    let age = view.split(' ').find(|it| it.starts_with("age=")).unwrap();
    let expected = format!(
        "token={} name=\"ada\\nstate=closed\" state=open type={} peer=- local=- {age} idle=2.000 \
         received=9 sent=6 queued=0 undelivered=0 partial=3 memory={memory} messages=1 dropped=0 \
         holds=pause",
        me.token(),
        kind.unwrap(),
    );
    assert_eq!(view, expected);
    assert_eq!(format!("{:?}", map.channels().next().unwrap()), view);
}

/// Of one that is never evicted, too: somebody must go in its place.
#[test]
fn a_view_shows_the_memory_that_a_channel_is_evicted_for() {
    for evictable in [true, false] {
        let mut limits = Limits::default();
        limits.evictable = evictable;
        let limits = Rc::new(limits);
        let mut map = ChannelMap::new().unwrap();
        let timer = map.insert(TimerChannel::new(|_, _, _| Ok(()))).unwrap();
        let (line, chats) = sim::line();
        let chat = AsyncChat::over(line, "\n", Echo).limited(Rc::clone(&limits));
        let chat = map.insert(chat).unwrap().token();
        let (line, sends) = sim::line();
        let raw = Dispatcher::over(line, ()).limited(Rc::clone(&limits));
        let raw = map.insert(raw).unwrap().token();
        for (me, peer, len) in [(chat, &chats, 100_000), (raw, &sends, 30_000)] {
            sim::settle(&mut map, me, peer);
            peer.set_room(0);
            map.push(me, vec![b'p'; len]).unwrap();
            sim::settle(&mut map, me, peer);
            assert_eq!(view(&map, me, |view| view.memory()), len);
        }
        assert_eq!(view(&map, timer, |view| view.memory()), 0);
        assert_eq!(map.memory(), 130_000);
    }
}

/// Whichever way bytes pass, the time is that of the turn.
#[test]
fn last_activity_is_when_bytes_last_passed() {
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::over(line, "\n", Echo);
    assert_eq!(channel.chat.last_activity(), None);
    let start = map.now() + SECOND;
    map.turn_at(start).unwrap();
    let me = map.insert(channel).unwrap();
    let last = |map: &ChannelMap| map.get(me).unwrap().chat.last_activity().unwrap() - start;
    assert_eq!(last(&map), Duration::ZERO);

    let mut now = Duration::ZERO;
    let mut after = |map: &mut ChannelMap, seconds: u32| {
        step_after(map, me, &peer, seconds * SECOND);
        now += seconds * SECOND;
        sim::settle(map, me, &peer);
        now
    };
    after(&mut map, 3); // it begins, and nothing passes
    assert_eq!(last(&map), Duration::ZERO);
    peer.say("half a l");
    let received = after(&mut map, 1);
    assert_eq!(last(&map), received);
    map.get_mut(me).unwrap().chat.push("a piece");
    let sent = after(&mut map, 1);
    assert_eq!(last(&map), sent);
    map.get_mut(me).unwrap().chat.push_bytes(vec![b'x'; 5_000]); // not in one piece
    let sent = after(&mut map, 1);
    assert_eq!(last(&map), sent);
    // At once, since it is so much.
    let alarm = TimerChannel::new(move |_, _, map| {
        map.chat_mut(me)?.push(vec![b'x'; 70_000]);
        Ok(())
    });
    let alarm = map.insert(alarm).unwrap();
    map.set_timer(alarm, map.now() + SECOND);
    peer.set_room(66_000);
    let sent = after(&mut map, 1);
    assert_eq!(last(&map), sent);
    peer.set_room(4_000); // and the rest
    after(&mut map, 1);
    peer.set_room(2);
    map.get_mut(me).unwrap().chat.push("blocked");
    let sent = after(&mut map, 1); // some of it
    assert_eq!(last(&map), sent);
    after(&mut map, 4);
    assert_eq!(last(&map), sent);
    map.get_mut(me).unwrap().chat.pause();
    peer.say("while it is held");
    let received = after(&mut map, 1);
    assert_eq!(last(&map), received);
    peer.set_room(3);
    let sent = after(&mut map, 1);
    assert_eq!(last(&map), sent);
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.close_when_done();
    peer.say("discarded");
    let received = after(&mut map, 1);
    assert_eq!(last(&map), received);
}

/// A transport that keeps output passes it on later.
#[test]
fn what_a_transport_sends_of_what_it_kept_is_activity_too() {
    let (line, peer) = sim::line();
    peer.use_buffer();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, "\n", ())).unwrap();
    sim::settle(&mut map, me, &peer);
    peer.set_room(0);
    map.get_mut(me).unwrap().chat.push("kept");
    sim::settle(&mut map, me, &peer);
    let kept = map.now();
    let last = |map: &ChannelMap| map.get(me).unwrap().chat.last_activity().unwrap();
    assert_eq!(last(&map), kept);
    peer.set_room(2);
    step_after(&mut map, me, &peer, 5 * SECOND);
    sim::settle(&mut map, me, &peer);
    assert_eq!(
        (map.chat_mut(me).unwrap().queued(), last(&map)),
        (2, kept + 5 * SECOND)
    );
}

/// By the dispatcher's own calls, too.
#[test]
fn a_dispatchers_calls_are_activity() {
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let log = Log::default();
    let raw = Witness::new(&log).on_event(|event, endpoint: &mut Endpoint, _| {
        if event.starts_with("read") {
            endpoint.send(b"an answer")?;
        }
        Ok(())
    });
    let me = map.insert(Dispatcher::new(ours, raw)).unwrap();
    turn_to_rest(&mut map);
    let last = |map: &ChannelMap| map.get(me).unwrap().endpoint.last_activity().unwrap();
    let inserted = last(&map);
    let written = Instant::now();
    theirs.write_all(b"hello").unwrap();
    turn_until(&mut map, |map| view(map, me, |view| view.sent()) == 9);
    assert!(last(&map) >= written && last(&map) > inserted);
    // What it sends by itself.
    let (ours, _theirs) = unix_pair();
    let sends = Witness::new(&log).on_event(|event, endpoint: &mut Endpoint, _| {
        if event.starts_with("write") {
            endpoint.send(b"unasked")?;
        }
        Ok(())
    });
    let sends = Dispatcher::new(ours, sends.not_readable().writes(1));
    let sends = map.insert(sends).unwrap();
    let endpoint = |map: &ChannelMap| map.get(sends).unwrap().endpoint.last_activity();
    let inserted = endpoint(&map);
    turn_until(&mut map, |map| view(map, sends, |view| view.sent()) == 7);
    assert!(endpoint(&map) > inserted);

    let spoken = last(&map);
    map.get_mut(me).unwrap().endpoint.push("pushed");
    let pushed = Instant::now();
    turn_until(&mut map, |map| view(map, me, |view| view.sent()) == 15);
    assert!(last(&map) >= pushed.min(map.now()) && last(&map) > spoken);
}

/// A channel may come into another map by a conversion there: no insertion opens it.
#[test]
fn a_channel_that_comes_by_a_conversion_goes_by_the_clock_of_its_new_map() {
    let (line, peer) = sim::line();
    let mut limits = Limits::default();
    limits.idle = 10 * SECOND;
    let mut map = ChannelMap::new().unwrap();
    let me = AsyncChat::over(line, "\n", Echo).limited(limits);
    let me = map.insert(me).unwrap();
    peer.say("a line\n");
    sim::settle(&mut map, me, &peer);
    let moved = map.remove(me).unwrap();

    let mut second = ChannelMap::new().unwrap();
    second.turn_at(map.now() + 100 * SECOND).unwrap();
    let place = second.insert(TimerChannel::new(|_, _, _| Ok(()))).unwrap();
    let me = second.convert(place, move |_| moved).unwrap();
    sim::settle(&mut second, me, &peer);
    let last = |map: &ChannelMap| map.get(me).unwrap().chat.last_activity();
    assert_eq!(last(&second), Some(second.now()));
    step_after(&mut second, me, &peer, 9 * SECOND);
    peer.say("another\n");
    sim::settle(&mut second, me, &peer);
    assert_eq!(last(&second), Some(second.now()));
    step_after(&mut second, me, &peer, 9 * SECOND);
    assert!(second.is_open(me));
    step_after(&mut second, me, &peer, SECOND);
    sim::settle(&mut second, me, &peer);
    assert_eq!(
        view(&second, me, |view| view.state()),
        ChannelState::Lingering
    );
}

/// Of sockets without a stream.
#[test]
fn datagrams_and_accepted_connections_are_activity() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let raw = Witness::new(&log).on_event(|event, endpoint: &mut Endpoint, _| {
        if event.starts_with("write") {
            endpoint.recv_from(&mut [0; 16])?;
        }
        Ok(())
    });
    let datagrams = Dispatcher::bind("127.0.0.1:0", raw.not_readable().writes(1));
    let datagrams = map.insert(datagrams).unwrap();
    let address = map.get(datagrams).unwrap().endpoint.local_addr().unwrap();
    let theirs = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sent = Instant::now();
    theirs
        .send_to(b"hello", address.as_inet().unwrap())
        .unwrap();
    turn_until(&mut map, |map| {
        view(map, datagrams, |view| view.received()) == 5
    });
    assert!(
        map.get(datagrams)
            .unwrap()
            .endpoint
            .last_activity()
            .unwrap()
            >= sent
    );

    let listener = Dispatcher::listen("127.0.0.1:0", Witness::new(&log));
    let listener = map.insert(listener).unwrap();
    let last = |map: &ChannelMap| map.get(listener).unwrap().endpoint.last_activity().unwrap();
    let inserted = last(&map);
    let address = map.get(listener).unwrap().endpoint.local_addr().unwrap();
    let _client = TcpStream::connect(address.as_inet().unwrap()).unwrap();
    turn_until(&mut map, |map| last(map) > inserted);
}

#[test]
fn a_conversion_keeps_the_activity_and_another_map_begins_anew() {
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let start = map.now() + SECOND;
    map.turn_at(start).unwrap();
    let me = map.insert(AsyncChat::over(line, "\n", Echo)).unwrap();
    peer.say("a line\n");
    sim::settle(&mut map, me, &peer);
    step_after(&mut map, me, &peer, 9 * SECOND);
    let other = map.convert(me, |echo| echo.with_handler(|_| ())).unwrap();
    sim::settle(&mut map, other, &peer);
    view(&map, other, |view| {
        assert_eq!((view.idle(), view.age()), (Some(9 * SECOND), 9 * SECOND));
        assert_eq!((view.messages(), view.received()), (1, 7));
    });
    let witness = Witness::new(&Log::default());
    let raw = move |it: AsyncChat<()>| Dispatcher::new(it.chat.into_endpoint(), witness);
    let raw = map.convert(other, raw).unwrap();
    sim::settle(&mut map, raw, &peer);
    assert_eq!(view(&map, raw, |view| view.idle()), Some(9 * SECOND));

    let mut second = ChannelMap::new().unwrap();
    second.turn_at(start + 20 * SECOND).unwrap();
    let raw = second.insert(map.remove(raw).unwrap()).unwrap();
    second.turn_at(start + 22 * SECOND).unwrap();
    view(&second, raw, |view| {
        assert_eq!((view.idle(), view.age()), (Some(2 * SECOND), 2 * SECOND));
        assert_eq!(view.received(), 7); // the connection is the same
    });
}

/// A loop that the program turns by itself, with pauses, does not date a send back to the
/// turn before: the idle deadline would come too soon.
#[test]
fn what_is_pushed_between_turns_counts_from_the_turn_that_sends_it() {
    let (ours, mut theirs) = unix_pair();
    let mut limits = Limits::default();
    limits.idle = 60 * SECOND;
    let mut map = ChannelMap::new().unwrap();
    let me = AsyncChat::new(ours, "\n", ()).limited(limits);
    let me = map.insert(me).unwrap();
    turn_to_rest(&mut map);
    let before = map.now();
    while before.elapsed() < Duration::from_millis(5) {} // the program has other work
    let pushed = Instant::now();
    map.get_mut(me).unwrap().chat.push("late");
    map.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(read_len(&mut map, &mut theirs, 4), b"late");
    assert!(map.get(me).unwrap().chat.last_activity().unwrap() >= pushed);
}
