//! The account of the memory of all channels agrees with what they hold, whatever is done.

use std::io::Write as _;

use chat::{
    AsyncChat, ChannelMap, Chat, ChatMap, Dispatcher, Limits, MessageHandler, Readiness, Result,
    Token,
};

use crate::common::rng::Rng;
use crate::common::sim;
use crate::common::slow::GOODBYE;
use crate::memory_cap::reclaimable;

/// Drops what it is sent.
struct Sink;

impl MessageHandler for Sink {
    fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        Ok(())
    }
}

impl chat::DispatcherHandler for Sink {}

/// Makes what it is asked for, in a buffer of its own at times, and may fail.
struct Maker(Vec<(usize, bool)>);

impl chat::Producer for Maker {
    fn more(&mut self, out: &mut Vec<u8>, _: usize) -> std::io::Result<chat::More> {
        match self.0.pop() {
            None => Ok(chat::More::Done),
            Some((0, true)) => {
                out.extend_from_slice(&[0; 10_000]);
                Err(std::io::ErrorKind::Other.into())
            }
            Some((len, false)) => {
                out.resize(len, b'm');
                Ok(chat::More::Again)
            }
            Some((len, true)) => {
                *out = vec![b'o'; len];
                Ok(chat::More::Later)
            }
        }
    }
}

/// What only a chat channel has.
fn act_on_chat(what: usize, len: usize, chat: &mut Chat) {
    match what {
        10 => {
            let _ = write!(chat, "{:len$}", 7);
            chat.push(len.to_string().repeat(5));
        }
        11 => match chat.is_paused() {
            true => chat.resume(),
            false => chat.pause(),
        },
        15 if len < 4_000 => chat.discard_buffers(),
        15 if len < 8_000 => chat.close_when_done(),
        _ => {}
    }
}

/// Two maps, between which channels move, of one kind or the other.
struct World {
    maps: [ChannelMap; 2],
    channels: Vec<(usize, Token, bool, sim::Peer)>,
    rng: Rng,
}

type AsChat = AsyncChat<Sink>;
type AsDispatcher = Dispatcher<Sink>;

impl World {
    fn insert(&mut self) {
        let mut limits = Limits::default();
        limits.output = 300_000;
        limits.producers = 3;
        limits.held = 30_000;
        limits.goodbye = GOODBYE.into();
        let (line, peer) = sim::line();
        let channel = AsyncChat::over(line, "\n", Sink).limited(limits);
        let at = self.rng.below(2);
        let me = self.maps[at].insert(channel).unwrap();
        self.channels.push((at, me.token(), true, peer));
    }

    /// Does something to a channel.
    fn act(&mut self) {
        let which = self.rng.below(self.channels.len());
        let (at, me, _, peer) = &mut self.channels[which];
        let (map, me, len) = (&mut self.maps[*at], *me, self.rng.below(40_000));
        if !map.is_open(me) {
            self.channels.swap_remove(which);
            return self.insert();
        }
        match self.rng.below(18) {
            0..=2 => drop(map.push(me, vec![b'b'; len])),
            3 => drop(map.push(me, vec![b's'; len % 1_024])),
            4 => peer.set_room(len),
            5 => peer.set_room(3 * len),
            6 => peer.say(format!("{}\n", "l".repeat(len))),
            7 => peer.say(vec![b'p'; len]),
            8 if len < 4_000 => peer.use_buffer(),
            9 => self.produce(which, len),
            12 => self.convert(which),
            13 => self.move_over(which),
            14 if len < 8_000 => drop(map.close(me)),
            16 => {
                for part in 0..1 + len % 300 {
                    let _ = map.offer(me, vec![b'o'; part * len % 97]);
                }
            }
            17 => drop(map.offer_latest(me, (len % 3) as u64, vec![b'k'; len])),
            what => {
                if let Ok(chat) = map.chat_mut(me) {
                    act_on_chat(what, len, chat);
                }
            }
        }
    }

    /// Has the channel send what a producer makes.
    fn produce(&mut self, which: usize, len: usize) {
        let (at, me, is_chat, _) = self.channels[which];
        let pieces = (0..self.rng.below(4)).map(|_| (self.rng.below(3) * len, false));
        let mut pieces: Vec<_> = pieces.collect();
        pieces.push((self.rng.below(2) * len, self.rng.below(3) == 0));
        let map = &mut self.maps[at];
        match is_chat {
            true => drop(map.chat_mut(me).unwrap().push_with_producer(Maker(pieces))),
            false => {
                let dispatcher = map.get_mut(me.handle::<AsDispatcher>()).unwrap();
                dispatcher.endpoint.push_with_producer(Maker(pieces));
            }
        }
    }

    /// Makes it a channel of the other kind.
    fn convert(&mut self, which: usize) {
        let (at, me, is_chat, _) = &mut self.channels[which];
        let map = &mut self.maps[*at];
        if *is_chat {
            let convert = |it: AsChat| Dispatcher::new(it.chat.into_endpoint(), Sink);
            map.convert(me.handle(), convert).unwrap();
        } else {
            let convert = |it: AsDispatcher| AsyncChat::new(it.endpoint, "\n", Sink);
            map.convert(me.handle(), convert).unwrap();
        }
        *is_chat = !*is_chat;
    }

    /// Moves it to the other map.
    fn move_over(&mut self, which: usize) {
        let (at, me, is_chat, _) = &mut self.channels[which];
        let (from, to) = (*at, 1 - *at);
        *me = if *is_chat {
            let channel = self.maps[from].remove(me.handle::<AsChat>()).unwrap();
            self.maps[to].insert(channel).unwrap().token()
        } else {
            let channel = self.maps[from].remove(me.handle::<AsDispatcher>()).unwrap();
            self.maps[to].insert(channel).unwrap().token()
        };
        *at = to;
    }

    fn turn(&mut self) {
        for (at, me, _, _) in &self.channels {
            self.maps[*at].dispatch(*me, Readiness::READABLE | Readiness::WRITABLE);
        }
        for map in &mut self.maps {
            let now = map.now();
            map.turn_at(now).unwrap();
        }
    }
}

#[test]
fn what_is_charged_is_what_is_held_and_in_the_end_nothing() {
    for seed in 0..150 {
        let mut world = World {
            maps: [ChannelMap::new().unwrap(), ChannelMap::new().unwrap()],
            channels: Vec::new(),
            rng: Rng::new(0xcafe + seed),
        };
        (0..6).for_each(|_| world.insert());
        for step in 0..120 {
            world.act();
            let is_settled = world.rng.below(2) == 0;
            if is_settled {
                world.turn();
            }
            for map in &mut world.maps {
                let (all, held) = (map.memory(), reclaimable(map));
                let when = format!("seed {seed}, step {step}");
                assert!(held <= all, "{when}: {held} of {all} bytes");
                if is_settled && step % 8 == 0 {
                    map.set_memory_cap(held); // the spare buffers go, and nobody else
                    assert_eq!(map.memory(), held, "{when}");
                    map.set_memory_cap(usize::MAX);
                }
            }
        }
        for map in &mut world.maps {
            map.close_all();
            let now = map.now();
            map.turn_at(now).unwrap();
            assert!(map.is_empty());
            map.set_memory_cap(0); // no spare buffers either
            assert_eq!(map.memory(), 0, "seed {seed}");
        }
    }
}
