//! One handler for both kinds of channel, for what must hold of both.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::rc::Rc;

use chat::{
    AsyncChat, ChannelMap, Chat, ChatHandler, CloseReason, Dispatcher, DispatcherHandler, Endpoint,
    Error, Limits, Producer, Result, Timer, Token, Unsent,
};

use super::name;
use super::sim::Line;

/// What a handler is given, whichever kind its channel is.
pub(crate) enum Side<'s> {
    Chat(&'s mut Chat),
    Raw(&'s mut Endpoint),
}

impl Side<'_> {
    pub(crate) fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Chat(chat) => chat.endpoint(),
            Self::Raw(endpoint) => endpoint,
        }
    }

    /// For what only a chat can do.
    #[track_caller]
    pub(crate) fn chat(&mut self) -> &mut Chat {
        match self {
            Self::Chat(chat) => chat,
            Self::Raw(_) => panic!("it is a dispatcher"),
        }
    }

    /// For what only a dispatcher's handler does by itself.
    #[track_caller]
    pub(crate) fn raw(&mut self) -> &mut Endpoint {
        match self {
            Self::Chat(_) => panic!("it is a chat"),
            Self::Raw(endpoint) => endpoint,
        }
    }

    pub(crate) fn push(&mut self, data: impl AsRef<[u8]>) -> bool {
        match self {
            Self::Chat(chat) => chat.push(data),
            Self::Raw(endpoint) => endpoint.push(data),
        }
    }

    pub(crate) fn push_with_producer(&mut self, producer: impl Producer + 'static) -> bool {
        match self {
            Self::Chat(chat) => chat.push_with_producer(producer),
            Self::Raw(endpoint) => endpoint.push_with_producer(producer),
        }
    }

    pub(crate) fn offer(&mut self, key: Option<u64>, data: &str) -> bool {
        let data = data.to_owned();
        match (self, key) {
            (Self::Chat(chat), None) => chat.offer(data),
            (Self::Chat(chat), Some(key)) => chat.offer_latest(key, data),
            (Self::Raw(endpoint), None) => endpoint.offer(data),
            (Self::Raw(endpoint), Some(key)) => endpoint.offer_latest(key, data),
        }
    }

    pub(crate) fn close_when_done(&mut self) {
        match self {
            Self::Chat(chat) => chat.close_when_done(),
            Self::Raw(endpoint) => endpoint.close_when_done(),
        }
    }

    pub(crate) fn close_when_done_with(&mut self, reason: CloseReason) {
        match self {
            Self::Chat(chat) => chat.close_when_done_with(reason),
            Self::Raw(endpoint) => endpoint.close_when_done_with(reason),
        }
    }

    pub(crate) fn shutdown_when_done(&mut self) {
        match self {
            Self::Chat(chat) => chat.shutdown_when_done(),
            Self::Raw(endpoint) => endpoint.shutdown(Shutdown::Write).unwrap(),
        }
    }

    pub(crate) fn close(&mut self) {
        match self {
            Self::Chat(chat) => chat.close(),
            Self::Raw(endpoint) => endpoint.close(),
        }
    }

    pub(crate) fn close_with(&mut self, reason: CloseReason) {
        match self {
            Self::Chat(chat) => chat.close_with(reason),
            Self::Raw(endpoint) => endpoint.close_with(reason),
        }
    }
}

/// What several handlers heard, in order, each under its number. A clone is the
/// same record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record(Rc<RefCell<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    /// Input that comes in several calls is one entry.
    entries: Vec<(usize, Entry)>,
    reason: Option<CloseReason>,
    unsent: Unsent,
}

#[derive(Debug)]
enum Entry {
    Input(Vec<u8>),
    Event(String),
}

impl Record {
    fn input(&self, who: usize, data: &[u8]) {
        let entries = &mut self.0.borrow_mut().entries;
        match entries.last_mut() {
            Some((last, Entry::Input(input))) if *last == who => input.extend_from_slice(data),
            _ => entries.push((who, Entry::Input(data.to_vec()))),
        }
    }

    pub(crate) fn event(&self, who: usize, event: impl Into<String>) {
        let entry = (who, Entry::Event(event.into()));
        self.0.borrow_mut().entries.push(entry);
    }

    /// All entries, as `input two\r\n` or `close Done`.
    pub(crate) fn all(&self) -> Vec<(usize, String)> {
        let heard = self.0.borrow();
        let entries = heard.entries.iter();
        let entries = entries.map(|(who, entry)| match entry {
            Entry::Input(data) => (*who, format!("input {}", data.escape_ascii())),
            Entry::Event(event) => (*who, event.clone()),
        });
        entries.collect()
    }

    /// What one of them heard.
    pub(crate) fn of(&self, who: usize) -> Vec<String> {
        let all = self.all().into_iter();
        all.filter(|(n, _)| *n == who).map(|(_, s)| s).collect()
    }

    /// All input of one of them.
    pub(crate) fn input_of(&self, who: usize) -> Vec<u8> {
        let heard = self.0.borrow();
        let entries = heard.entries.iter();
        let inputs = entries.filter_map(|entry| match entry {
            (n, Entry::Input(data)) if *n == who => Some(&data[..]),
            _ => None,
        });
        inputs.collect::<Vec<_>>().concat()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.borrow().reason.is_some()
    }

    /// What `handle_close` was told of the output, as `(bytes, producers)`.
    pub(crate) fn unsent(&self) -> (usize, usize) {
        let unsent = self.0.borrow().unsent;
        (unsent.bytes, unsent.producers)
    }

    /// The reason that `handle_close` was told.
    #[track_caller]
    pub(crate) fn take_reason(&self) -> CloseReason {
        self.0.borrow_mut().reason.take().expect("it is not closed")
    }
}

/// Called with every event: `line go`, `data go`, `end` (a dispatcher's `recv`
/// returned 0), `connect`, `eof`, `timer`, `shutdown`, and `finished`, which the record
/// has only if the hook puts it there. Returns whether it did all that is to be done;
/// otherwise what the default does is done.
type Hook = Box<dyn FnMut(&str, &mut Side<'_>, &mut ChannelMap) -> bool>;

/// A handler for either kind, with a number of its own. As a dispatcher's it
/// reads a line in each `handle_read`; lines end with CRLF.
pub(crate) struct Part<const N: usize> {
    record: Record,
    line: Vec<u8>,
    hook: Option<Hook>,
}

impl<const N: usize> Part<N> {
    pub(crate) fn new(record: &Record) -> Self {
        Self {
            record: record.clone(),
            line: Vec::new(),
            hook: None,
        }
    }

    /// Puts it into `map`, as a chat's handler or a dispatcher's.
    pub(crate) fn insert(
        self,
        is_chat: bool,
        line: Line,
        limits: Limits,
        map: &mut ChannelMap,
    ) -> Token {
        match is_chat {
            true => {
                let chat = AsyncChat::over(line, "\r\n", self).limited(limits);
                map.insert(chat).unwrap().token()
            }
            false => {
                let raw = Dispatcher::over(line, self).limited(limits);
                map.insert(raw).unwrap().token()
            }
        }
    }

    pub(crate) fn on_event(
        mut self,
        hook: impl FnMut(&str, &mut Side<'_>, &mut ChannelMap) -> bool + 'static,
    ) -> Self {
        self.hook = Some(Box::new(hook));
        self
    }

    /// Calls `f` with the wire of the channel whose handler this is.
    pub(crate) fn reach<R>(
        map: &mut ChannelMap,
        me: Token,
        f: impl FnOnce(&mut Side<'_>) -> R,
    ) -> Option<R> {
        if let Ok(channel) = map.get_mut(me.handle::<AsyncChat<Self>>()) {
            return Some(f(&mut Side::Chat(&mut channel.chat)));
        }
        let channel = map.get_mut(me.handle::<Dispatcher<Self>>()).ok()?;
        Some(f(&mut Side::Raw(&mut channel.endpoint)))
    }

    fn act(&mut self, what: &str, side: &mut Side<'_>, map: &mut ChannelMap) -> bool {
        match &mut self.hook {
            Some(hook) => hook(what, side, map),
            None => false,
        }
    }

    fn hear(&mut self, what: &str, side: &mut Side<'_>, map: &mut ChannelMap) -> bool {
        self.record.event(N, what);
        self.act(what, side, map)
    }

    fn end_line(&mut self, side: &mut Side<'_>, map: &mut ChannelMap) {
        let line = std::mem::take(&mut self.line);
        self.act(&format!("line {}", line.escape_ascii()), side, map);
    }

    fn hear_close(&mut self, reason: CloseReason, unsent: Unsent) {
        self.record.event(N, format!("close {}", name(&reason)));
        let mut heard = self.record.0.borrow_mut();
        heard.reason = Some(reason);
        heard.unsent = unsent;
    }
}

impl<const N: usize> ChatHandler for Part<N> {
    fn collect_incoming_data(
        &mut self,
        data: &[u8],
        chat: &mut Chat,
        map: &mut ChannelMap,
    ) -> Result {
        self.record.input(N, data);
        self.line.extend_from_slice(data);
        let what = format!("data {}", data.escape_ascii());
        self.act(&what, &mut Side::Chat(chat), map);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.record.input(N, b"\r\n");
        self.end_line(&mut Side::Chat(chat), map);
        Ok(())
    }

    fn handle_connect(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.hear("connect", &mut Side::Chat(chat), map);
        Ok(())
    }

    fn handle_convert(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.hear("convert", &mut Side::Chat(chat), map);
        Ok(())
    }

    fn handle_eof(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        if !self.hear("eof", &mut Side::Chat(chat), map) {
            chat.close_when_done_with(CloseReason::Eof);
        }
        Ok(())
    }

    fn handle_overlimit(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.hear("overlimit", &mut Side::Chat(chat), map);
        Ok(())
    }

    fn handle_drained(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.hear("drained", &mut Side::Chat(chat), map);
        Ok(())
    }

    fn handle_finished(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.act("finished", &mut Side::Chat(chat), map);
        Ok(())
    }

    fn handle_timer(&mut self, _: Timer, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.hear("timer", &mut Side::Chat(chat), map);
        Ok(())
    }

    fn handle_shutdown(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        if !self.hear("shutdown", &mut Side::Chat(chat), map) {
            chat.close_when_done_with(CloseReason::Shutdown);
        }
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, chat: &mut Chat, _: &mut ChannelMap) {
        self.hear_close(reason, chat.unsent());
    }

    fn handle_error(&mut self, error: Error, chat: &mut Chat, _: &mut ChannelMap) {
        self.record.event(N, format!("error {error}"));
        chat.close_with(CloseReason::HandlerError);
    }
}

impl<const N: usize> DispatcherHandler for Part<N> {
    fn handle_read(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        let mut byte = [0];
        loop {
            match endpoint.recv(&mut byte) {
                Ok(0) => {
                    self.act("end", &mut Side::Raw(endpoint), map);
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => {
                    self.record.event(N, format!("recv said: {error}"));
                    return Err(error.into());
                }
            }
            self.record.input(N, &byte);
            self.line.extend_from_slice(&byte);
            if let Some(line) = self.line.strip_suffix(b"\r\n") {
                self.line = line.to_vec();
                self.end_line(&mut Side::Raw(endpoint), map);
                return Ok(());
            }
        }
    }

    fn handle_connect(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        self.hear("connect", &mut Side::Raw(endpoint), map);
        Ok(())
    }

    fn handle_convert(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        self.hear("convert", &mut Side::Raw(endpoint), map);
        Ok(())
    }

    fn handle_eof(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        if !self.hear("eof", &mut Side::Raw(endpoint), map) {
            endpoint.close_when_done_with(CloseReason::Eof);
        }
        Ok(())
    }

    fn handle_drained(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        self.hear("drained", &mut Side::Raw(endpoint), map);
        Ok(())
    }

    fn handle_finished(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        self.act("finished", &mut Side::Raw(endpoint), map);
        Ok(())
    }

    fn handle_timer(&mut self, _: Timer, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        self.hear("timer", &mut Side::Raw(endpoint), map);
        Ok(())
    }

    fn handle_shutdown(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        if !self.hear("shutdown", &mut Side::Raw(endpoint), map) {
            endpoint.close_when_done_with(CloseReason::Shutdown);
        }
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, endpoint: &mut Endpoint, _: &mut ChannelMap) {
        self.hear_close(reason, endpoint.unsent());
    }

    fn handle_error(&mut self, error: Error, endpoint: &mut Endpoint, _: &mut ChannelMap) {
        self.record.event(N, format!("error {error}"));
        endpoint.close_with(CloseReason::HandlerError);
    }
}
