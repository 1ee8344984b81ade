//! Runs a scenario through `AsyncChat`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use chat::{
    AsyncChat, ChannelMap, Chat, ChatHandler, CloseReason, Error, Handle, Limits, More, Producer,
    Result, SimpleProducer,
};

use crate::common::sim::{self, Peer};
use crate::oracle::outcome::{Event, Outcome};
use crate::oracle::scenario::{Action, Scenario, Term};

/// Does what the script says, as `Subject` in `original.py` does.
struct Subject {
    scenario: Rc<Scenario>,
    outcome: Rc<RefCell<Outcome>>,
    is_closing: bool,
    found: usize,
    has_collected: bool,
}

impl Subject {
    fn add(&self, event: Event) {
        self.outcome.borrow_mut().add(event);
    }

    fn act(&mut self, actions: &[Action], chat: &mut Chat) -> Result {
        if self.is_closing {
            return Ok(());
        }
        for action in actions {
            match action {
                Action::Set(term) => chat.set_terminator(term),
                Action::Push(data) => _ = chat.push(data),
                Action::Simple(data) => {
                    chat.push_with_producer(SimpleProducer::new(data.clone()));
                }
                Action::Pieces(pieces) => {
                    chat.push_with_producer(Pieces(pieces.iter().cloned().collect()));
                }
                Action::Falsy(data) => {
                    chat.push_with_producer(Pieces(data.iter().map(|&byte| vec![byte]).collect()));
                }
                Action::Close => {
                    self.is_closing = true;
                    chat.close();
                }
                Action::CloseWhenDone => {
                    self.is_closing = true;
                    chat.close_when_done();
                }
                Action::Discard => chat.discard_buffers(),
                Action::Fail => return Err("as the script says".into()),
            }
        }
        Ok(())
    }
}

impl ChatHandler for Subject {
    fn collect_incoming_data(
        &mut self,
        data: &[u8],
        chat: &mut Chat,
        _: &mut ChannelMap,
    ) -> Result {
        self.add(Event::Data(data.to_vec()));
        if std::mem::replace(&mut self.has_collected, true) {
            return Ok(());
        }
        let scenario = Rc::clone(&self.scenario);
        match scenario.collects.get(self.found) {
            Some(actions) => self.act(actions, chat),
            None => Ok(()),
        }
    }

    fn found_terminator(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        self.add(Event::Found(chat.terminator().into()));
        self.has_collected = false;
        self.found += 1;
        let scenario = Rc::clone(&self.scenario);
        match scenario.steps.get(self.found - 1) {
            Some(actions) => self.act(actions, chat),
            None => Ok(()),
        }
    }

    fn handle_eof(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.add(Event::Eof(chat.terminator().into()));
        Defaults.handle_eof(chat, map)
    }

    fn handle_error(&mut self, error: Error, chat: &mut Chat, map: &mut ChannelMap) {
        self.add(Event::Error);
        if !self.scenario.is_forgiving {
            Defaults.handle_error(error, chat, map);
        }
    }

    fn handle_close(&mut self, _: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        self.add(Event::Close);
    }
}

/// What a handler does that overrides nothing.
struct Defaults;

impl ChatHandler for Defaults {
    fn collect_incoming_data(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        Ok(())
    }
}

struct Pieces(VecDeque<Vec<u8>>);

impl Producer for Pieces {
    fn more(&mut self, out: &mut Vec<u8>, _: usize) -> io::Result<More> {
        if let Some(piece) = self.0.pop_front() {
            out.extend_from_slice(&piece);
        }
        Ok(if self.0.is_empty() {
            More::Done
        } else {
            More::Again
        })
    }
}

pub(crate) fn outcome(scenario: &Scenario) -> Outcome {
    let outcome = Rc::new(RefCell::new(Outcome::default()));
    let subject = Subject {
        scenario: Rc::new(scenario.clone()),
        outcome: Rc::clone(&outcome),
        is_closing: false,
        found: 0,
        has_collected: false,
    };
    let mut limits = Limits::default();
    limits.out_buffer_size = scenario.chunk;
    let (line, peer) = sim::line();
    let channel = AsyncChat::over(line, &scenario.first, subject).limited(limits);
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(channel).unwrap();

    for (number, segment) in scenario.segments.iter().enumerate() {
        if scenario.breaks_at == Some(number) {
            peer.fail_sends(ErrorKind::BrokenPipe);
        }
        peer.say(segment);
        match scenario.is_eager {
            true => _ = turn(&mut map, me, &peer, scenario),
            false => rest(&mut map, me, &peer, scenario),
        }
    }
    if scenario.is_eof {
        peer.say_eof();
    }
    rest(&mut map, me, &peer, scenario);
    if peer.is_shut() {
        sim::step_after(&mut map, me, &peer, Limits::default().linger);
    }
    if let Ok(channel) = map.get_mut(me) {
        let term = Term::from(channel.chat.terminator());
        outcome.borrow_mut().add(Event::Open(term));
    }
    drop(map);
    let mut outcome = outcome.take();
    outcome.sent = Some(peer.take_sent());
    outcome
}

/// One turn, in which at most one segment is read and the peer takes its width.
fn turn(
    map: &mut ChannelMap,
    me: Handle<AsyncChat<Subject>>,
    peer: &Peer,
    scenario: &Scenario,
) -> usize {
    peer.set_room(scenario.width.unwrap_or(usize::MAX));
    sim::step(map, me, peer)
}

/// Turns until there is nothing to do.
fn rest(map: &mut ChannelMap, me: Handle<AsyncChat<Subject>>, peer: &Peer, scenario: &Scenario) {
    let mut quiet = 0;
    for _ in 0..10_000 {
        quiet = match turn(map, me, peer, scenario) {
            0 => quiet + 1,
            _ => 0,
        };
        if quiet == 2 {
            return;
        }
    }
    panic!("it never rests: {scenario}");
}
