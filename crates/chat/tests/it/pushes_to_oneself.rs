//! What is pushed by token to a channel that is inside its own callback.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use chat::{
    AsyncChat, ChannelMap, Chat, ChatMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint,
    Limits, MessageHandler, Result, State, Token,
};

use crate::common::part::{Part, Record, Side};
use crate::common::sim;
use crate::common::{Log, name, turn_to_rest, turn_until};

/// The members of a room, each of which hears all that is said, itself included.
type Room = State<Vec<Token>>;

fn tell(room: Room, text: &str, map: &mut ChannelMap) {
    let members = map.state(room).unwrap().clone();
    for member in members {
        let _ = map.push(member, format!("{text}\n"));
    }
}

/// Tells the room every line, and then does as that says.
struct Member {
    room: Room,
    log: Log,
}

impl Member {
    fn me(chat: &Chat) -> chat::Handle<AsyncChat<Self>> {
        chat.token().handle()
    }
}

impl MessageHandler for Member {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let room = self.room;
        tell(room, &String::from_utf8_lossy(line), map);
        match line {
            b"done" => chat.close_when_done(),
            b"shut" => chat.shutdown_when_done(),
            b"close" => chat.close(),
            b"fail" => return Err("as it was told".into()),
            b"own" => {
                chat.push("own\n");
                tell(room, "after", map);
            }
            b"kick" => {
                let last = *map.state(room)?.last().unwrap();
                map.close(last);
            }
            b"convert" => {
                map.convert(Self::me(chat), |it| {
                    it.with_handler(|member| Grown(member.room))
                })?;
                tell(room, "after", map);
            }
            b"post" => {
                map.post(Self::me(chat), move |_, map| tell(room, "posted", map));
            }
            _ => {}
        }
        Ok(())
    }

    fn handle_eof(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        tell(self.room, "eof", map);
        chat.close_when_done_with(CloseReason::Eof);
        Ok(())
    }

    fn handle_shutdown(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        tell(self.room, "shutdown", map);
        chat.close_when_done_with(CloseReason::Shutdown);
        Ok(())
    }

    fn handle_overlimit(&mut self, _: &mut Chat, map: &mut ChannelMap) -> Result {
        tell(self.room, "too long", map);
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, chat: &mut Chat, map: &mut ChannelMap) {
        let bytes = chat.unsent().bytes;
        self.log.add(format!("{} {bytes}", name(&reason)));
        tell(self.room, "left", map);
    }
}

/// What a member becomes.
struct Grown(Room);

impl MessageHandler for Grown {
    fn handle_message(&mut self, line: &[u8], _: &mut Chat, map: &mut ChannelMap) -> Result {
        tell(self.0, &format!("grown {}", line.escape_ascii()), map);
        Ok(())
    }
}

/// A room, and the peers of its members.
struct World {
    map: ChannelMap,
    room: Room,
    peers: Vec<UnixStream>,
    log: Log,
}

impl World {
    fn new(members: usize) -> Self {
        let mut map = ChannelMap::new().unwrap();
        let room = map.insert_state(Vec::new());
        let log = Log::default();
        let mut limits = Limits::default();
        limits.message = 100;
        limits.linger = Duration::ZERO;
        let limits = Rc::new(limits);
        let mut peers = Vec::new();
        for _ in 0..members {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let log = log.clone();
            let channel = AsyncChat::new(ours, "\n", Member { room, log });
            let member = map.insert(channel.limited(Rc::clone(&limits))).unwrap();
            map.state_mut(room).unwrap().push(member.token());
            theirs.set_nonblocking(true).unwrap();
            peers.push(theirs);
        }
        turn_to_rest(&mut map);
        Self {
            map,
            room,
            peers,
            log,
        }
    }

    fn say(&mut self, member: usize, lines: &str) {
        self.peers[member].write_all(lines.as_bytes()).unwrap();
    }

    /// What each peer has heard, its lines joined by blanks.
    fn heard(&mut self) -> Vec<String> {
        turn_to_rest(&mut self.map);
        let mut all = Vec::new();
        for peer in &mut self.peers {
            let mut heard = Vec::new();
            let _ = peer.read_to_end(&mut heard); // mostly `WouldBlock`
            let heard = String::from_utf8(heard).unwrap();
            all.push(heard.lines().collect::<Vec<_>>().join(" "));
        }
        all
    }
}

#[test]
fn it_is_sent_though_the_callback_ends_the_channel() {
    let ends: [(&str, &str, &str); 6] = [
        ("done\n", "done", "Done 0"),
        ("fail\n", "fail", "HandlerError 0"),
        ("shut\n", "shut", ""),
        ("(eof)", "eof", "Eof 0"),
        ("(shutdown)", "shutdown", "Shutdown 0"),
        ("(too long)", "too long", "OverLimit 0"),
    ];
    for (said, heard, closed) in ends {
        let mut world = World::new(1);
        match said {
            "(eof)" => world.peers[0].shutdown(Shutdown::Write).unwrap(),
            "(shutdown)" => world
                .map
                .shut_down(world.map.now() + Duration::from_secs(9)),
            "(too long)" => world.say(0, &"x".repeat(101)),
            said => world.say(0, said),
        }
        assert_eq!(world.heard(), [heard], "{said}");
        let mut rest = [0; 1];
        assert_eq!(
            world.peers[0].read(&mut rest).ok(),
            Some(0),
            "{said}: the end"
        );
        assert_eq!(world.log.all().join(","), closed, "{said}");
    }
}

#[test]
fn it_is_unsent_if_the_callback_closes_the_channel_at_once() {
    let mut world = World::new(1);
    world.say(0, "close\n");
    assert_eq!(world.heard(), [""]);
    assert_eq!(world.log.all(), ["Requested 6"]);
}

#[test]
fn it_comes_behind_what_the_callback_pushes() {
    let mut world = World::new(2);
    world.say(0, "own\nnext\n");
    assert_eq!(world.heard(), ["own own after next", "own after next"]);
}

/// A close comes after all messages of the read.
#[test]
fn all_hear_the_same_order_when_a_member_is_closed_meanwhile() {
    let mut world = World::new(3);
    world.say(0, "kick\nnext\n");
    let heard = world.heard();
    assert_eq!(heard[..2], ["kick next left"; 2]);
    assert_eq!(heard[2], "");
}

#[test]
fn all_hear_the_same_order_when_a_post_speaks() {
    for (first, second) in [("post\n", "b\n"), ("a\n", "post\n")] {
        let mut world = World::new(3);
        world.say(0, first);
        world.say(1, second);
        let heard = world.heard();
        assert_eq!(heard, [&heard[2], &heard[2], &heard[2]].map(Clone::clone));
        assert!(heard[2].contains("posted"), "{heard:?}");
    }
}

#[test]
fn all_hear_the_same_order_when_a_channel_is_lent_outside_of_a_turn() {
    let mut world = World::new(2);
    let room = world.room;
    let first = world.map.state(room).unwrap()[0];
    let first = first.handle::<AsyncChat<Member>>();
    let told = world.map.with(first, |_, map| tell(room, "within", map));
    told.unwrap();
    tell(room, "then", &mut world.map);
    assert_eq!(world.heard(), ["within then"; 2]);
}

#[test]
fn it_goes_along_with_a_conversion() {
    let mut world = World::new(2);
    world.say(0, "convert\nnext\n");
    assert_eq!(world.heard(), ["convert after grown next"; 2]);
}

#[test]
fn messages_of_one_read_are_delivered_in_one_turn_all_the_same() {
    let mut world = World::new(2);
    let lines: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
    world.say(0, &(lines.join("\n") + "\n"));
    let before = world.map.turns();
    let members = world.map.state(world.room).unwrap().clone();
    turn_until(&mut world.map, |map| {
        map.chat_mut(members[1]).unwrap().sent() > 0
    });
    assert!(world.map.turns() <= before + 2, "{}", world.map.turns());
    assert_eq!(world.heard(), [lines.join(" "), lines.join(" ")]);
}

/// The bound on the queue holds for it, too.
#[test]
fn too_much_of_it_closes_the_channel() {
    let mut world = World::new(1);
    let me = world.map.state(world.room).unwrap()[0];
    let flood = move |_: &mut AsyncChat<Member>, map: &mut ChannelMap| {
        for _ in 0..100 {
            assert_eq!(map.push(me, vec![b'x'; 1 << 20]), Ok(true));
        }
    };
    world.map.with(me.handle(), flood).unwrap();
    turn_to_rest(&mut world.map);
    let log = world.log.all();
    assert!(log[0].starts_with("OutputOverLimit"), "{log:?}");
}

#[test]
fn more_changes_than_may_wait_close_the_channel() {
    let mut world = World::new(1);
    let me = world.map.state(world.room).unwrap()[0];
    let flood = move |_: &mut AsyncChat<Member>, map: &mut ChannelMap| {
        for _ in 0..65_536 {
            assert_eq!(map.push(me, "x"), Ok(true));
        }
        assert_eq!(map.push(me, "x"), Ok(false));
        assert!(map.push(me, "x").is_err(), "it is closed");
    };
    world.map.with(me.handle(), flood).unwrap();
    turn_to_rest(&mut world.map);
    let log = world.log.all();
    assert!(log[0].starts_with("OutputOverLimit"), "{log:?}");
}

/// Answers by its own token.
struct Raw;

impl DispatcherHandler for Raw {
    fn handle_read(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        let len = endpoint.recv(&mut [0; 16])?;
        assert_eq!(map.push(endpoint.token(), format!("got {len}")), Ok(true));
        endpoint.close_when_done();
        Ok(())
    }
}

#[test]
fn a_dispatcher_gets_it_too() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut map = ChannelMap::new().unwrap();
    let raw = map.insert(Dispatcher::new(ours, Raw)).unwrap();
    assert_eq!(map.push(raw, "hello, "), Ok(true));
    theirs.write_all(b"four").unwrap();
    turn_until(&mut map, |map| map.lingering() == 1);
    let mut heard = String::new();
    theirs.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "hello, got 4");
}

/// What [`ChatMap::push`] has promised is sent, or unsent.
#[test]
fn what_is_pushed_to_oneself_after_the_end_of_output_is_unsent() {
    let ends: [fn(&mut Side<'_>); 3] = [
        |_| {},
        |side| side.close_when_done(),
        |side| side.shutdown_when_done(),
    ];
    for is_chat in [false, true] {
        for end in ends {
            let record = Record::default();
            let mut map = ChannelMap::new().unwrap();
            let (line, peer) = sim::line();
            let part = Part::<0>::new(&record).on_event(move |what, side, map| {
                match what {
                    "connect" if is_chat => side.shutdown_when_done(),
                    "line go" => {
                        if !is_chat {
                            side.raw().shutdown(Shutdown::Write).unwrap();
                        }
                        end(side);
                        let me = side.endpoint().token();
                        assert!(map.push(me, "lost").unwrap());
                    }
                    _ => {}
                }
                false
            });
            let me = part.insert(is_chat, line, Limits::default(), &mut map);
            sim::settle(&mut map, me, &peer);
            peer.say("go\r\n");
            sim::settle(&mut map, me, &peer);
            peer.say_eof();
            sim::settle(&mut map, me, &peer);
            assert!(record.is_closed());
            assert_eq!(peer.shuts(), 1);
            assert_eq!(peer.take_sent(), b"", "chat: {is_chat}");
            assert_eq!(record.unsent(), (4, 0), "chat: {is_chat}");
        }
    }
}
