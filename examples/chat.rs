//! A chat room: each member reads what the others say.
//!
//!     cargo run --release --example chat -- [--listen ADDR] [--tls-cert FILE --tls-key FILE]
//!     nc 127.0.0.1 7000
//!
//! The first line is the nick; every further line goes to the others as
//! `nick: line`. Control characters and bytes that are not UTF-8 are escaped: no member can
//! write over another's lines on a terminal. The room announces `* nick joined` and
//! `* nick left`. A member that reads too slowly misses the oldest lines that wait for it, and
//! hears how many. The room is state of the map's that the members share.

use std::collections::HashMap;
use std::mem;
use std::rc::Rc;

use chat::bytes::Bytes;
use chat::{
    Address, AsyncChat, ChannelMap, Chat, ChatMap, CloseReason, DispatcherHandler, Endpoint,
    Limits, MessageHandler, OfferPolicy, Result, State, Stream, Terminator, Token,
};
use examples::{Opt, Security, TLS_CERT, TLS_KEY, printable};

/// In bytes: it goes before every line.
const MAX_NICK: usize = 32;

#[derive(Default)]
struct Room {
    /// Each member with its nick, without regard to case: no two have the same.
    members: HashMap<Token, String>,
}

impl Room {
    /// Sends a line to all members but `speaker`.
    fn tell(&self, speaker: Token, line: String, map: &mut ChannelMap) {
        // Boxed: a string may have twice the room that it needs, and a member that is
        // behind keeps every line.
        let line = Bytes::from(line.into_bytes().into_boxed_slice());
        for &member in self.members.keys().filter(|&&member| member != speaker) {
            // One that is closed hears no more; its own `handle_close` tells the room.
            let _ = map.offer(member, line.clone());
        }
    }

    /// Takes a member, unless somebody has that nick.
    fn join(&mut self, member: Token, nick: &str, map: &mut ChannelMap) -> bool {
        // Both: a final sigma or a long s is another letter in lower case only, a Kelvin sign
        // in upper case only.
        let key = nick.to_lowercase().to_uppercase();
        let is_free = self.members.values().all(|taken| *taken != key);
        if is_free {
            self.tell(member, format!("* {nick} joined\n"), map);
            self.members.insert(member, key);
        }
        is_free
    }
}

struct Listener {
    room: State<Room>,
    security: Security,
    limits: Rc<Limits>,
}

impl Listener {
    fn new(room: State<Room>, security: Security) -> Self {
        let mut limits = Limits::default();
        limits.message = 4096;
        // Everything goes to all others, escaped. All that many members say in one turn
        // must fit into the offers of each.
        limits.in_buffer_size = 1024;
        limits.received_per_turn = 1024;
        limits.offer_policy = OfferPolicy::DropOldest;
        Self {
            room,
            security,
            limits: Rc::new(limits),
        }
    }
}

impl DispatcherHandler for Listener {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        addr: Address,
        _listener: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        log::debug!("connection from {addr}");
        let member = Member {
            room: self.room,
            nick: None,
            skipped: 0,
        };
        let channel = AsyncChat::new(self.security.accept(stream), Terminator::line(), member);
        map.insert(channel.limited(Rc::clone(&self.limits)))?;
        Ok(())
    }
}

struct Member {
    room: State<Room>,
    /// `None` until the first line.
    nick: Option<String>,
    /// The number of lines that it knows it has missed.
    skipped: u64,
}

impl MessageHandler for Member {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let me = chat.token();
        if let Some(nick) = &self.nick {
            let said = format!("{nick}: {}\n", printable(line));
            map.with_state(self.room, |room, map| room.tell(me, said, map))?;
            return Ok(());
        }
        let Some(nick) = parse_nick(line) else {
            chat.push(format!(
                "* your nick, please: 1 to {MAX_NICK} bytes, letters, digits, '-', '_' or '.'\n"
            ));
            return Ok(());
        };
        match map.with_state(self.room, |room, map| room.join(me, nick, map))? {
            true => self.nick = Some(nick.to_owned()),
            false => {
                chat.push(format!("* somebody else is {nick}\n"));
            }
        }
        Ok(())
    }

    /// The member was behind, and has caught up.
    fn handle_drained(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        let all = chat.dropped().messages;
        match all - mem::replace(&mut self.skipped, all) {
            0 => {}
            skipped => _ = chat.push(format!("* {skipped} lines skipped\n")),
        }
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, chat: &mut Chat, map: &mut ChannelMap) {
        let me = chat.token();
        let Some(nick) = self.nick.take() else {
            return;
        };
        log::debug!("{nick} left: {reason}");
        let left = map.with_state(self.room, |room, map| {
            room.members.remove(&me);
            room.tell(me, format!("* {nick} left\n"), map);
        });
        left.expect("the map keeps the room longer than its members");
    }
}

/// Of letters and digits of any script; nothing that cannot be seen.
fn parse_nick(line: &[u8]) -> Option<&str> {
    let nick = std::str::from_utf8(line).ok()?.trim();
    // The fillers of Hangul are letters, and blank.
    let is_blank = |char| matches!(char, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}');
    let is_plain = |char: char| (char.is_alphanumeric() && !is_blank(char)) || "-_.".contains(char);
    let is_nick = (1..=MAX_NICK).contains(&nick.len()) && nick.chars().all(is_plain);
    is_nick.then_some(nick)
}

fn main() -> Result {
    let options = [Opt::listen("127.0.0.1:7000"), TLS_CERT, TLS_KEY];
    let (mut map, stdout, [address, certificates, key]) = examples::start(options)?;
    let security = Security::new(&certificates, &key)?;
    let room = map.insert_state(Room::default());
    examples::listen(&address, Listener::new(room, security), stdout, &mut map)?;
    map.run()
}
