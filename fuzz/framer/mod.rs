//! A chat channel against a model: whatever is said, however it is cut, whatever the
//! handler and others ask for meanwhile, the handler is called as the model says.

mod handlers;
mod model;
mod script;

use std::cell::RefCell;
use std::rc::Rc;

use chat::{AsyncChat, ChannelMap, Chat, ChatHandler, Handle};

use super::sim;
use handlers::{Parts, Record, Whole};
use model::{Event, Model};
use script::{Change, Kind, Op, Script};

/// Panics if a channel does not do with these bytes what the model does.
pub(crate) fn check(data: &[u8]) {
    let script = Rc::new(Script::read(data));
    let (record, events) = Record::new(Rc::clone(&script));
    match script.kind {
        Kind::Whole => Run::new(&script, events, Whole(record)).run(),
        _ => Run::new(&script, events, Parts(record)).run(),
    }
}

impl Change {
    fn apply(&self, chat: &mut Chat) {
        match self {
            Self::Terminator(term) => chat.set_terminator(term.terminator()),
            Self::Unread(data) => chat.unread(data),
            Self::Skip => chat.skip_message(),
            Self::Limit(limit) => {
                let mut limits = chat.limits().clone();
                limits.message = *limit;
                limits.counted_message = *limit;
                chat.set_limits(limits);
            }
        }
    }
}

/// A channel over a simulated line, and the model beside it.
struct Run<'s, H: ChatHandler> {
    script: &'s Script,
    map: ChannelMap,
    me: Handle<AsyncChat<H>>,
    peer: sim::Peer,
    events: Rc<RefCell<Vec<Event>>>,
    model: Model<'s>,
}

impl<'s, H: ChatHandler + AsMut<Record>> Run<'s, H> {
    fn new(script: &'s Script, events: Rc<RefCell<Vec<Event>>>, handler: H) -> Self {
        let mut map = ChannelMap::new().expect("a map can be made");
        let (line, peer) = sim::line();
        let channel = AsyncChat::over(line, script.first.terminator(), handler);
        let me = map.insert(channel.limited(script.limits.clone()));
        Self {
            script,
            map,
            me: me.expect("there is nothing to register"),
            peer,
            events,
            model: Model::new(script),
        }
    }

    fn run(mut self) {
        // A count of 0 is due without data.
        self.model.say(&[]);
        for op in &self.script.ops {
            self.perform(op);
            if self.model.is_over {
                break;
            }
        }
        self.model.end();
        self.peer.say_eof();
        for _ in 0..10_000 {
            if self.map.is_empty() {
                assert_eq!(*self.events.borrow(), self.model.events);
                return;
            }
            self.chat(Chat::resume);
            self.turn();
        }
        panic!("it never ended: {:?}", self.map);
    }

    fn perform(&mut self, op: &Op) {
        match op {
            Op::Say(data) => {
                self.peer.say(data);
                self.model.say(data);
            }
            Op::Turn => self.turn(),
            Op::Pause => self.chat(Chat::pause),
            Op::Resume => self.chat(Chat::resume),
            Op::AtRest(change) => {
                self.rest();
                if let Ok(channel) = self.map.get_mut(self.me) {
                    if let Change::Skip = change {
                        channel.handler.as_mut().forget();
                    }
                    change.apply(&mut channel.chat);
                }
                self.model.change(change);
            }
        }
    }

    fn chat(&mut self, f: impl FnOnce(&mut Chat)) {
        if let Ok(channel) = self.map.get_mut(self.me) {
            f(&mut channel.chat);
        }
    }

    fn turn(&mut self) {
        sim::step(&mut self.map, self.me, &self.peer);
    }

    /// Turns until all is delivered, which the model has done already.
    fn rest(&mut self) {
        for _ in 0..10_000 {
            self.chat(Chat::resume);
            sim::settle(&mut self.map, self.me, &self.peer);
            let chat = self.map.get_mut(self.me).map(|channel| &channel.chat);
            let Some(chat) = chat.ok().filter(|chat| !chat.closing()) else {
                return;
            };
            if !chat.is_paused() {
                assert_eq!(*self.events.borrow(), self.model.events);
                assert_eq!(chat.undelivered(), self.model.held());
                let terminator = chat.terminator();
                let (text, count) = (terminator.as_bytes(), terminator.count());
                assert_eq!(text, self.model.term.text());
                assert_eq!(count, self.model.term.count());
                assert_eq!(self.peer.waiting(), 0);
                return;
            }
        }
        panic!("it pauses for ever: {:?}", self.map);
    }
}
