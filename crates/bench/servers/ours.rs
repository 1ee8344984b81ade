//! This project's crates, as `examples/echo.rs` and `examples/chat.rs` use them.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use bench::start::{self, Work};
use bench::store;
use bytes::Bytes;
use chat::{Address, AsyncChat, ChannelMap, Chat, ChatHandler, CloseReason, Dispatcher};
use chat::{
    DispatcherHandler, Endpoint, Handle, Limits, MessageHandler, Result, Stream, Terminator,
};
use tls::Acceptor;

struct EchoServer {
    limits: Rc<Limits>,
}

impl DispatcherHandler for EchoServer {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        _addr: Address,
        _server: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        let channel = AsyncChat::new(stream, "\n", Echo);
        map.insert(channel.limited(Rc::clone(&self.limits)))?;
        Ok(())
    }
}

struct Echo;

impl MessageHandler for Echo {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        chat.push(line);
        chat.push(b"\n");
        Ok(())
    }
}

struct BulkServer;

impl DispatcherHandler for BulkServer {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        _addr: Address,
        _server: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        map.insert(AsyncChat::new(stream, Terminator::none(), Bulk))?;
        Ok(())
    }
}

struct Bulk;

impl ChatHandler for Bulk {
    fn collect_incoming_data(
        &mut self,
        data: &[u8],
        chat: &mut Chat,
        _map: &mut ChannelMap,
    ) -> Result {
        chat.push(data);
        Ok(())
    }
}

struct Room {
    members: HashSet<Handle<AsyncChat<Member>>>,
    limits: Rc<Limits>,
}

impl Room {
    fn new() -> Self {
        let mut limits = Limits::default();
        limits.message = 4096;
        // The example's: what many members say in one turn must not be more
        // than one of them can be sent.
        limits.in_buffer_size = 4096;
        limits.received_per_turn = 64 * 256;
        Self {
            members: HashSet::new(),
            limits: Rc::new(limits),
        }
    }

    /// Sends a line to all members but `speaker`.
    fn tell(&self, speaker: Handle<AsyncChat<Member>>, line: &[u8], map: &mut ChannelMap) {
        for &handle in self.members.iter().filter(|&&member| member != speaker) {
            if let Ok(member) = map.get_mut(handle) {
                member.chat.push(line);
            }
        }
    }
}

impl DispatcherHandler for Room {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        _addr: Address,
        room: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        let member = Member {
            room: room.token().handle(),
        };
        let channel = AsyncChat::new(stream, "\n", member).limited(Rc::clone(&self.limits));
        self.members.insert(map.insert(channel)?);
        Ok(())
    }
}

struct Member {
    room: Handle<Dispatcher<Room>>,
}

impl MessageHandler for Member {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let me = chat.token().handle();
        let said = [line, b"\n"].concat();
        map.with(self.room, |room, map| room.handler.tell(me, &said, map))?;
        chat.push(said); // here the speaker hears itself
        Ok(())
    }

    fn handle_close(&mut self, _: CloseReason, chat: &mut Chat, map: &mut ChannelMap) {
        let me = chat.token().handle();
        // The room may have closed before.
        let _ = map.with(self.room, |room, _| room.handler.members.remove(&me));
    }
}

/// The defaults; with `guarded` every limit, each at a number that a server would have; with
/// `bare` none that can be switched off. A new limit belongs in both.
fn limits(variant: Option<&str>) -> Rc<Limits> {
    let mut limits = Limits::default();
    match variant {
        Some("guarded") => limits.idle = Duration::from_secs(300),
        Some("bare") => {
            limits.connect = Duration::MAX;
            limits.message_time = Duration::MAX;
            limits.min_message_rate = 0;
            limits.stall = Duration::MAX;
            limits.idle = Duration::MAX;
        }
        _ => {}
    }
    Rc::new(limits)
}

/// One value, with its end, for all clients.
struct Value(Rc<RefCell<Bytes>>);

impl DispatcherHandler for Value {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        _addr: Address,
        _server: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        let store = Store {
            value: Rc::clone(&self.0),
            coming: None,
            line: Vec::new(),
        };
        map.insert(AsyncChat::new(stream, "\n", store))?;
        Ok(())
    }
}

struct Store {
    value: Rc<RefCell<Bytes>>,
    /// A value, and not a line.
    coming: Option<Vec<u8>>,
    line: Vec<u8>,
}

impl ChatHandler for Store {
    fn collect_incoming_data(&mut self, data: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        match &mut self.coming {
            Some(value) => value.extend_from_slice(data),
            None => self.line.extend_from_slice(data),
        }
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        if let Some(mut value) = self.coming.take() {
            value.push(b'\n');
            *self.value.borrow_mut() = value.into();
            chat.push("ok\n");
            chat.set_terminator("\n");
            return Ok(());
        }
        let line = std::mem::take(&mut self.line);
        if let Some(len) = store::value_len(&line) {
            self.coming = Some(Vec::with_capacity(len + 1));
            chat.set_terminator(Terminator::count_then(len, b"\n"));
        } else if line == b"get" {
            let value = self.value.borrow().clone();
            write!(chat, "{}\n", value.len() - 1)?;
            chat.push_bytes(value);
        } else {
            chat.push([&line[..], b"\n"].concat());
        }
        Ok(())
    }
}

struct SecureServer(Acceptor);

impl DispatcherHandler for SecureServer {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        _addr: Address,
        _server: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        map.insert(AsyncChat::new(self.0.accept(stream), "\n", Echo))?;
        Ok(())
    }
}

fn main() -> Result {
    let (work, variants) = start::work();
    let mut map = ChannelMap::new()?;
    match work {
        Work::Echo => {
            let limits = limits(variants.first().map(String::as_str));
            map.insert(Dispatcher::new(start::listen()?, EchoServer { limits }))?;
        }
        Work::Bulk => {
            map.insert(Dispatcher::new(start::listen()?, BulkServer))?;
        }
        Work::Room => {
            map.insert(Dispatcher::new(start::listen()?, Room::new()))?;
        }
        Work::Store => {
            let value = Value(Rc::new(RefCell::new(Bytes::from_static(b"\n"))));
            map.insert(Dispatcher::new(start::listen()?, value))?;
        }
        Work::Secure => {
            let [certificate, key] = start::certificate(&variants);
            let acceptor = Acceptor::from_pem_files(certificate, key)?;
            map.insert(Dispatcher::new(start::listen()?, SecureServer(acceptor)))?;
        }
        Work::Plaintext => start::refuse(work),
    }
    map.run()
}
