//! What a peer is to do in time, and what happens if it does not. The clock is the test's.

use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::time::Duration;

use chat::{
    AsyncChat, ChannelMap, Chat, CloseReason, Deadline, Dispatcher, DispatcherHandler, Endpoint,
    FileWrapper, Handle, InetName, Limits, MessageHandler, Result, Terminator,
};
use socket2::{Domain, Socket, Type};

use crate::common::sim::{self, Peer, step_after};
use crate::common::{Log, assert_rest, name, turn_until, unix_pair};

const SECOND: Duration = Duration::from_secs(1);

/// Logs messages and deadlines; answers a deadline, and goes on if it is told to.
struct Server {
    log: Log,
    goes_on: bool,
}

impl MessageHandler for Server {
    fn handle_message(&mut self, message: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.log.add(format!("message of {}", message.len()));
        Ok(())
    }

    fn handle_deadline(
        &mut self,
        deadline: Deadline,
        chat: &mut Chat,
        _: &mut ChannelMap,
    ) -> Result {
        self.log.add(format!("{deadline:?}"));
        chat.push("421 too slow\n");
        if !self.goes_on {
            chat.close_when_done_with(CloseReason::Missed(deadline));
        }
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        self.log.add(format!("close {}", name(&reason)));
    }
}

/// A channel, its peer, and a clock.
struct World {
    map: ChannelMap,
    me: Handle<AsyncChat<Server>>,
    peer: Peer,
    log: Log,
}

impl World {
    fn new(terminator: impl Into<Terminator>, limits: Limits) -> Self {
        Self::which(terminator, limits, false)
    }

    fn which(terminator: impl Into<Terminator>, limits: Limits, goes_on: bool) -> Self {
        let log = Log::default();
        let (line, peer) = sim::line();
        let mut map = ChannelMap::new().unwrap();
        let server = Server {
            log: log.clone(),
            goes_on,
        };
        let channel = AsyncChat::over(line, terminator, server).limited(limits);
        let me = map.insert(channel).unwrap();
        sim::settle(&mut map, me, &peer);
        Self { map, me, peer, log }
    }

    /// The peer says something, then time passes by the second.
    fn say(&mut self, data: impl AsRef<[u8]>, seconds: u64) {
        self.peer.say(data);
        for _ in 0..seconds {
            step_after(&mut self.map, self.me, &self.peer, SECOND);
        }
        sim::settle(&mut self.map, self.me, &self.peer);
    }

    fn chat(&mut self) -> &mut Chat {
        &mut self.map.get_mut(self.me).unwrap().chat
    }
}

#[test]
fn a_line_has_sixty_seconds_from_its_first_byte_to_its_end_however_much_comes_meanwhile() {
    let mut world = World::new("\n", Limits::default());
    world.say("", 1_000);
    assert_eq!(world.log.len(), 0, "a silent peer may listen");
    for _ in 0..3 {
        world.say("half of ", 50);
        world.say("a line\n", 50);
    }
    assert_eq!(world.log.count("message of 14"), 3);
    for _ in 0..29 {
        world.say("x", 2);
    }
    assert_eq!(world.log.len(), 3);
    world.say("x", 3);
    assert_eq!(world.log.all()[3..], ["Message"]);
    world.peer.say_eof();
    sim::settle(&mut world.map, world.me, &world.peer);
    assert_eq!(world.log.all()[4..], ["close Missed(Message)"]);
    assert_eq!(world.peer.take_sent(), b"421 too slow\n");
}

/// Also while it is kept as input, until it is whole.
#[test]
fn a_message_has_sixty_seconds_whatever_ends_it() {
    let prefixed = Terminator::framed(|data: &[u8]| {
        Ok(data
            .first_chunk()
            .map(|len| 2 + usize::from(u16::from_be_bytes(*len))))
    });
    for (terminator, begins, goes_on, ends) in [
        (Terminator::line(), "a", "b", "\r\n"),
        (Terminator::line().included(), "a", "b", "\n"),
        // Nothing but the beginning of its end.
        (Terminator::from("\r\n.\r\n"), "\r", "\n", ".\r\n"),
        (prefixed, "\0", "\u{3}a", "bc"),
    ] {
        let mut world = World::new(terminator.clone(), Limits::default());
        world.say(begins, 30);
        world.say(goes_on, 29);
        assert_eq!(world.log.len(), 0, "{terminator:?}");
        world.say("", 2);
        assert_eq!(world.log.all(), ["Message"]);

        let mut world = World::new(terminator, Limits::default());
        world.say(begins, 30);
        world.say(goes_on, 29);
        world.say(ends, 100);
        assert_eq!(world.log.len(), 1);
        world.say(begins, 59);
        assert_eq!(world.log.len(), 1, "the next has its own time");
    }
}

#[test]
fn a_message_by_count_has_all_the_time_if_it_comes_at_240_bytes_a_second() {
    let mut limits = Limits::default();
    limits.counted_message = 3_600_000;
    let mut world = World::new(3_600_000, limits.clone());
    let second = [0; 240];
    world.say("", 100);
    world.say([0; 480], 0);
    for _ in 0..300 {
        world.say(second, 1);
    }
    assert_eq!(world.log.len(), 0);
    // What came early is paid for: some 72,000 bytes in 300 s.
    world.say("", 10);
    assert_eq!(world.log.all(), ["Message", "close Missed(Message)"]);

    // Bytes that came at once pay for no more silence than a line has.
    let mut world = World::new(3_600_000, limits.clone());
    world.say([0; 60_000], 59);
    world.say("x", 59);
    assert_eq!(world.log.len(), 0);
    world.say("", 2);
    assert_eq!(world.log.all(), ["Message"]);

    // And no bytes at all are late after five seconds.
    let mut world = World::new(1_000_000, limits);
    world.say("x", 4);
    assert_eq!(world.log.len(), 0);
    world.say("", 2);
    assert_eq!(world.log.all(), ["Message"]);

    // A second's worth comes too early for the next second.
    let mut world = World::new(2_400, Limits::default());
    world.say([0; 2_399], 9);
    assert_eq!(world.log.len(), 0);
    world.say("x", 1);
    assert_eq!(world.log.all(), ["message of 2400"]);
    world.say("", 100);
    assert_eq!(world.log.len(), 1);
}

#[test]
fn input_without_a_terminator_has_all_the_time() {
    let mut limits = Limits::default();
    limits.message = 1_000;
    let mut world = World::new(Terminator::none(), limits);
    world.say("hello", 10_000);
    assert_eq!(world.log.len(), 0);
    assert_eq!(world.map.timers(), 0);
}

/// A pipe, in which somebody may type.
#[test]
fn what_is_no_network_has_all_the_time() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let server = Server {
        log: log.clone(),
        goes_on: false,
    };
    let wrapper = FileWrapper::new(reader).unwrap();
    let me = map.insert(AsyncChat::over(wrapper, "\n", server)).unwrap();
    writer.write_all(b"half of ").unwrap();
    turn_until(&mut map, |map| {
        !map.get(me).unwrap().chat.partial_message().is_empty()
    });
    map.turn_at(map.now() + 100 * SECOND).unwrap();
    writer.write_all(b"a line\n").unwrap();
    turn_until(&mut map, |_| log.has("message of 14"));
}

#[test]
fn the_time_of_a_held_channel_does_not_count() {
    let mut world = World::new("\n", Limits::default());
    world.say("half of ", 50);
    world.chat().pause();
    world.say("", 500);
    world.chat().resume();
    world.say("", 50);
    assert_eq!(world.log.len(), 0);
    world.say("a line\n", 100);
    assert_eq!(world.log.all(), ["message of 14"]);
    world.say("half", 61);
    assert_eq!(world.log.all()[1..], ["Message"]);
}

/// It is set for the first of many messages, and is late for the others: once.
#[test]
fn a_timer_stays_when_its_message_has_ended_and_goes_when_it_is_due() {
    let mut world = World::new("\n", Limits::default());
    world.say("whole\n", 1);
    assert_eq!(world.map.timers(), 0, "a whole line needs none");
    for _ in 0..100 {
        world.say("in ", 0);
        assert_eq!(world.map.timers(), 1);
        world.say("parts\n", 0);
    }
    world.say("", 60);
    assert_eq!(world.map.timers(), 0);
    assert_eq!(world.log.count("message of 8"), 100);
}

#[test]
fn a_handler_that_lets_the_peer_go_on_gives_it_the_same_time_again() {
    let mut world = World::which("\n", Limits::default(), true);
    world.say("half", 59);
    assert_eq!(world.log.len(), 0);
    world.say("", 2);
    assert_eq!(world.log.len(), 1);
    world.say("", 58);
    assert_eq!(world.log.len(), 1);
    world.say("", 2);
    assert_eq!(world.log.all(), ["Message", "Message"]);
    world.say(" a line\n", 1_000);
    assert_eq!(world.log.all()[2..], ["message of 11"]);
}

/// A member that never reads must not hold a whole room.
#[test]
fn a_peer_that_takes_nothing_is_given_up_and_one_that_takes_little_is_not() {
    let mut world = World::new("\n", Limits::default());
    world.peer.set_room(0);
    world.chat().push([b'x'; 100]);
    for _ in 0..20 {
        world.say("I am here\n", 100);
        world.peer.set_room(1); // and that is progress
    }
    assert_eq!(world.log.count("message of 9"), 20);
    assert_eq!(world.log.len(), 20);
    world.say("", 1);
    world.peer.set_room(0);
    world.say("", 118);
    assert_eq!(world.log.len(), 20);
    world.say("", 122);
    assert_eq!(world.log.all()[20..], ["Stall"]);
    // This answer does not leave either.
    world.say("", 121);
    assert_eq!(world.log.all()[21..], ["close Missed(Stall)"]);
}

#[test]
fn without_a_handler_of_its_own_a_stalled_channel_closes_at_once() {
    for is_chat in [true, false] {
        let log = Log::default();
        let (line, peer) = sim::line();
        peer.set_room(0);
        let mut map = ChannelMap::new().unwrap();
        let me = match is_chat {
            true => {
                let probe = crate::common::Probe::new(&log);
                let mut channel = AsyncChat::over(line, "\n", probe);
                channel.chat.push("never read\n");
                map.insert(channel).unwrap().token()
            }
            false => {
                let mut channel = Dispatcher::over(line, Raw(log.clone()));
                channel.endpoint.push("never read\n");
                map.insert(channel).unwrap().token()
            }
        };
        sim::settle(&mut map, me, &peer);
        for _ in 0..3 {
            step_after(&mut map, me, &peer, 60 * SECOND);
        }
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.all().last().unwrap(), "close Missed(Stall)");
    }
}

/// Keeps a record of its end.
struct Raw(Log);

impl DispatcherHandler for Raw {
    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.0.add(format!("close {}", name(&reason)));
    }
}

#[test]
fn silence_in_both_directions_is_a_deadline_if_that_is_asked_for() {
    let mut limits = Limits::default();
    limits.idle = 10 * SECOND;
    let mut world = World::new("\n", limits.clone());
    for _ in 0..5 {
        world.say("I am here\n", 8);
        world.chat().push("so am I\n");
        world.say("", 8);
    }
    assert_eq!(world.log.len(), 5);
    world.say("", 20);
    assert_eq!(world.log.all()[5..], ["Idle", "close Missed(Idle)"]);

    // To the nanosecond, from the last byte in or out.
    let nano = Duration::from_nanos(1);
    for is_received in [true, false] {
        let mut world = World::new("\n", limits.clone());
        world.say("", 9);
        match is_received {
            true => world.peer.say("I am here\n"),
            false => _ = world.chat().push("so am I\n"),
        }
        sim::settle(&mut world.map, world.me, &world.peer);
        let last = world.map.now();
        assert_eq!(world.chat().last_activity(), Some(last));
        let before = world.log.len();
        world.map.turn_at(last + 10 * SECOND - nano).unwrap();
        assert_eq!(world.log.len(), before);
        world.map.turn_at(last + 10 * SECOND).unwrap();
        assert_eq!(world.log.all()[before..], ["Idle"]);
    }

    // Asked for later, and of a dispatcher.
    let mut world = World::new("\n", Limits::default());
    world.say("", 100);
    world.chat().set_limits(limits.clone());
    world.say("", 20);
    assert_eq!(world.log.all()[0], "Idle");
    let log = Log::default();
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let raw = Dispatcher::over(line, Raw(log.clone())).limited(limits);
    let me = map.insert(raw).unwrap();
    sim::settle(&mut map, me, &peer);
    for _ in 0..20 {
        step_after(&mut map, me, &peer, SECOND);
    }
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["close Missed(Idle)"]);
}

/// A listener whose queue is full, and which ignores whoever knocks.
fn full() -> (Vec<Socket>, std::net::SocketAddr) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap(); // which is one
    let to = listener.local_addr().unwrap();
    let first = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    first.connect(&to).unwrap();
    (vec![listener, first], to.as_socket().unwrap())
}

#[test]
fn an_address_that_hangs_has_thirty_seconds_and_the_next_is_tried_beside_it() {
    let (_full, hangs) = full();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let works = listener.local_addr().unwrap();
    for (addresses, time, outcome) in [
        (vec![hangs], 30_000, "close Missed(Connect)"),
        (vec![hangs, hangs, works], 500, "connect"),
    ] {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let client = crate::common::Probe::new(&log);
        let client = AsyncChat::connect(InetName::from(addresses), "\n", client);
        let me = map.insert(client).unwrap();
        assert_rest(&mut map);
        let begun = map.now();
        for part in [time / 2, time - 100] {
            map.turn_at(begun + Duration::from_millis(part)).unwrap();
            map.turn_at(map.now()).unwrap();
            assert_eq!(log.len(), 0);
            assert!(map.get(me).unwrap().chat.endpoint().connecting());
        }
        map.turn_at(begun + Duration::from_millis(time)).unwrap();
        turn_until(&mut map, |_| log.len() > 0);
        assert_eq!(log.all(), [outcome]);
    }
}

/// A channel in another map has its deadlines there.
#[test]
fn a_channel_that_moves_to_another_map_keeps_its_deadlines() {
    let mut world = World::new("\n", Limits::default());
    world.say("half", 30);
    let channel = world.map.remove(world.me).unwrap();
    assert_eq!(world.map.timers(), 0);
    world.map = ChannelMap::new().unwrap();
    world.me = world.map.insert(channel).unwrap();
    world.say("", 1);
    world.say("", 61);
    assert_eq!(world.log.all(), ["Message"]);
}

/// The system reports room only when there is much of it: a slow peer's progress shows in no
/// event for minutes, but in an attempt to send.
#[test]
fn a_peer_whose_progress_no_event_shows_is_not_given_up() {
    let mut world = World::new("\n", Limits::default());
    world.peer.set_room(0);
    world.chat().push([b'x'; 100]);
    sim::settle(&mut world.map, world.me, &world.peer);
    for sent in 1..=20 {
        world.peer.set_room(1);
        for _ in 0..121 {
            world.map.turn_at(world.map.now() + SECOND).unwrap();
        }
        world.peer.set_room(0);
        let endpoint = world.map.get(world.me).unwrap().chat.endpoint();
        assert_eq!(endpoint.sent(), sent);
    }
    assert_eq!(world.log.len(), 0);
    for _ in 0..240 {
        world.map.turn_at(world.map.now() + SECOND).unwrap();
    }
    assert!(world.log.has("Stall"));
}

#[test]
fn a_socket_that_blocks_goes_on() {
    let (ours, theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let mut channel = AsyncChat::new(ours, "\n", ());
    channel.chat.push(vec![0; 4 * 1024 * 1024]);
    let me = map.insert(channel).unwrap();
    assert_rest(&mut map);
    assert!(map.is_open(me));
    let mut left = 4 * 1024 * 1024;
    turn_until(&mut map, |_| {
        let mut buffer = [0; 65_536];
        match std::io::Read::read(&mut &theirs, &mut buffer) {
            Ok(len) => left -= len,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        left == 0
    });
}

/// What has become of a message that began under another terminator, or in another channel,
/// is judged by its own rules.
#[test]
fn a_deadline_does_not_outlive_the_kind_of_its_message() {
    /// Sets a terminator in the middle of a message.
    struct Changes(Log, Option<Terminator>);

    impl chat::ChatHandler for Changes {
        fn collect_incoming_data(
            &mut self,
            _: &[u8],
            chat: &mut Chat,
            _: &mut ChannelMap,
        ) -> Result {
            if let Some(terminator) = self.1.take() {
                chat.set_terminator(terminator);
            }
            Ok(())
        }
        fn found_terminator(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
            Ok(())
        }
        fn handle_deadline(
            &mut self,
            deadline: Deadline,
            _: &mut Chat,
            _: &mut ChannelMap,
        ) -> Result {
            self.0.add(format!("{deadline:?}"));
            Ok(())
        }
    }

    let mut short = Limits::default();
    short.message_time = 20 * SECOND;
    // From, to, bytes a second, and how often it is missed within 100 s.
    let cases: [(Terminator, Terminator, usize, bool); 4] = [
        ("\r\n".into(), Terminator::none(), 0, false),
        ("\r\n".into(), 1_000_000.into(), 10_000, false),
        ("\r\n".into(), Terminator::silence(200 * SECOND), 1, false),
        (1_000_000.into(), "\r\n".into(), 300, true),
    ];
    for (from, to, rate, is_missed) in cases {
        let log = Log::default();
        let shown = format!("{from:?} {to:?}");
        let (line, peer) = sim::line();
        let mut map = ChannelMap::new().unwrap();
        let channel = AsyncChat::over(line, from, Changes(log.clone(), Some(to)));
        let me = map.insert(channel.limited(short.clone())).unwrap();
        peer.say("abc");
        for _ in 0..100 {
            sim::settle(&mut map, me, &peer);
            step_after(&mut map, me, &peer, SECOND);
            peer.say(vec![b'x'; rate]);
        }
        assert_eq!(log.has("Message"), is_missed, "{shown}");
    }
}

#[test]
fn a_conversion_to_another_channel_ends_the_time_of_its_message() {
    let mut world = World::new("\n", Limits::default());
    world.say("half", 30);
    let log = Log::default();
    let raw = Raw(log.clone());
    let tunnel = world.map.convert(world.me, move |channel| {
        Dispatcher::new(channel.chat.into_endpoint(), raw)
    });
    let tunnel = tunnel.unwrap();
    for _ in 0..100 {
        step_after(&mut world.map, tunnel, &world.peer, SECOND);
    }
    assert!(world.map.is_open(tunnel));
    assert_eq!(log.len(), 0);
    let server = Server {
        log: log.clone(),
        goes_on: false,
    };
    let chat = world.map.convert(tunnel, move |raw| {
        AsyncChat::new(raw.endpoint, "\n", server)
    });
    world.me = chat.unwrap();
    world.say("a\n", 100);
    assert_eq!(log.all(), ["message of 1"]);
}

/// Nothing of it is delivered, and still it holds its place.
#[test]
fn a_message_that_is_skipped_has_its_time_too() {
    struct Skips(Log);

    impl MessageHandler for Skips {
        fn handle_message(&mut self, _: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
            chat.skip_message();
            Ok(())
        }
        fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
            self.0.add(format!("close {}", name(&reason)));
        }
    }

    let log = Log::default();
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(AsyncChat::over(line, "\n", Skips(log.clone())))
        .unwrap();
    peer.say("first\n");
    for _ in 0..70 {
        sim::settle(&mut map, me, &peer);
        step_after(&mut map, me, &peer, SECOND);
        peer.say("x");
    }
    assert_eq!(log.all(), ["close Missed(Message)"]);
}

/// Input has a transport try to send again, which is no progress.
#[test]
fn a_peer_that_speaks_and_takes_nothing_is_given_up_over_a_transport_too() {
    let mut world = World::new("\n", Limits::default());
    world.peer.set_room(3);
    world.chat().push([b'x'; 10]);
    for _ in 0..250 {
        world.say("I am here\n", 1);
    }
    assert!(world.log.has("Stall"), "{:?}", world.log.all());
}
