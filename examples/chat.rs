//! A room: what one member says, all others read.
//!
//!     cargo run --release --example chat -- [--listen ADDR]
//!     nc 127.0.0.1 7000
//!
//! The first line is the nick; every further line goes to the others as
//! `nick: line`. Who comes and goes is announced as `* nick joined` and
//! `* nick left`. The listener is the room: it keeps its members' handles.

use std::collections::HashSet;
use std::rc::Rc;

use chat::{Address, AsyncChat, ChannelMap, Chat, CloseReason, Dispatcher, DispatcherHandler};
use chat::{Endpoint, Handle, Limits, MessageHandler, Result, Socket};

/// In bytes: it goes before every line.
const MAX_NICK: usize = 32;

struct Room {
    members: HashSet<Handle<AsyncChat<Member>>>,
    limits: Rc<Limits>,
}

impl Room {
    fn new() -> Self {
        let mut limits = Limits::default();
        limits.message = 4096;
        // Everything goes to all others. What many members say in one turn
        // must not be more than one of them can be sent.
        limits.in_buffer_size = 4096;
        limits.reads_per_turn = 1;
        limits.messages_per_turn = 64;
        Self {
            members: HashSet::new(),
            limits: Rc::new(limits),
        }
    }

    /// Sends a line to all members but `speaker`.
    fn tell(&self, speaker: Handle<AsyncChat<Member>>, line: &[u8], map: &mut ChannelMap) {
        for &handle in self.members.iter().filter(|&&member| member != speaker) {
            if let Some(member) = map.get_mut(handle) {
                member.chat.push(line);
            }
        }
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
            let nick = String::from_utf8_lossy(line).trim().to_owned();
            if nick.is_empty() || nick.len() > MAX_NICK {
                chat.push(format!("* your nick, please, of 1 to {MAX_NICK} bytes\n"));
                return Ok(());
            }
            map.with(self.room, |room, map| {
                let news = format!("* {nick} joined\n");
                room.handler.tell(me, news.as_bytes(), map);
                room.handler.members.insert(me);
            });
            self.nick = Some(nick);
            return Ok(());
        };
        let said = [nick.as_bytes(), b": ", line, b"\n"].concat();
        map.with(self.room, |room, map| room.handler.tell(me, &said, map));
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

fn main() -> Result {
    let address = examples::listen_option("127.0.0.1:7000");
    let mut map = ChannelMap::new()?;
    examples::end_on_signals(&mut map)?;
    map.insert(examples::listen(&address, Room::new())?)?;
    map.run()
}
