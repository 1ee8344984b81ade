//! A chat room: each member reads what the others say.
//!
//!     cargo run --release --example chat -- [--listen ADDR]
//!     nc 127.0.0.1 7000
//!
//! The first line is the nick; every further line goes to the others as
//! `nick: line`. Control characters and bytes that are not UTF-8 are escaped: no member can
//! write over another's lines on a terminal. The room announces `* nick joined` and
//! `* nick left`. The listener is the room: it keeps its members.

use std::collections::HashMap;
use std::rc::Rc;

use chat::{
    Address, AsyncChat, ChannelMap, Chat, CloseReason, Dispatcher, DispatcherHandler, Endpoint,
    Handle, Limits, MessageHandler, Result, Socket,
};
use examples::{Opt, printable};

/// In bytes: it goes before every line.
const MAX_NICK: usize = 32;

struct Room {
    /// Each with its nick, without regard to case: no two have the same.
    members: HashMap<Handle<AsyncChat<Member>>, String>,
    limits: Rc<Limits>,
}

impl Room {
    fn new() -> Self {
        let mut limits = Limits::default();
        limits.message = 4096;
        // Everything goes to all others, escaped. All that many members say in one turn
        // must fit into the output of each.
        limits.in_buffer_size = 1024;
        limits.reads_per_turn = 1;
        limits.messages_per_turn = 64;
        Self {
            members: HashMap::new(),
            limits: Rc::new(limits),
        }
    }

    /// Sends a line to all members but `speaker`.
    fn tell(&self, speaker: Handle<AsyncChat<Member>>, line: &[u8], map: &mut ChannelMap) {
        for &handle in self.members.keys().filter(|&&member| member != speaker) {
            if let Some(member) = map.get_mut(handle) {
                member.chat.push(line);
            }
        }
    }

    /// Takes a member, unless somebody has that nick.
    fn join(
        &mut self,
        member: Handle<AsyncChat<Member>>,
        nick: &str,
        map: &mut ChannelMap,
    ) -> bool {
        // Both: a final sigma or a long s is another letter in lower case only, a Kelvin sign
        // in upper case only.
        let key = nick.to_lowercase().to_uppercase();
        let is_free = self.members.values().all(|taken| *taken != key);
        if is_free {
            self.tell(member, format!("* {nick} joined\n").as_bytes(), map);
            self.members.insert(member, key);
        }
        is_free
    }
}

impl DispatcherHandler for Room {
    fn handle_accepted(
        &mut self,
        socket: Socket,
        addr: Address,
        room: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        log::debug!("connection from {addr}");
        let member = Member {
            room: room.token().handle(),
            nick: None,
        };
        map.insert(AsyncChat::new(socket, "\n", member)?.limited(Rc::clone(&self.limits)))?;
        Ok(())
    }
}

struct Member {
    room: Handle<Dispatcher<Room>>,
    /// `None` until the first line.
    nick: Option<String>,
}

impl MessageHandler for Member {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let me = chat.token().handle();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(nick) = &self.nick else {
            let Some(nick) = parse_nick(line) else {
                chat.push(format!(
                    "* your nick, please: 1 to {MAX_NICK} bytes, letters, digits, '-', '_' or '.'\n"
                ));
                return Ok(());
            };
            let is_free = map.with(self.room, |room, map| room.handler.join(me, nick, map));
            match is_free {
                Some(false) => {
                    chat.push(format!("* somebody else is {nick}\n"));
                }
                _ => self.nick = Some(nick.to_owned()),
            }
            return Ok(());
        };
        let said = format!("{nick}: {}\n", printable(line));
        map.with(self.room, |room, map| {
            room.handler.tell(me, said.as_bytes(), map);
        });
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, chat: &mut Chat, map: &mut ChannelMap) {
        let me = chat.token().handle();
        let Some(nick) = self.nick.take() else {
            return;
        };
        log::debug!("{nick} left: {reason}");
        map.with(self.room, |room, map| {
            room.handler.members.remove(&me);
            room.handler
                .tell(me, format!("* {nick} left\n").as_bytes(), map);
        });
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
    let (mut map, stdout, [address]) = examples::start([Opt::listen("127.0.0.1:7000")])?;
    examples::listen(&address, Room::new(), stdout, &mut map)?;
    map.run()
}
