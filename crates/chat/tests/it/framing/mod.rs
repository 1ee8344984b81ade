//! What a handler sees does not depend on how the network cut the bytes.

mod case;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::mem;
use std::rc::Rc;
use std::time::Duration;

use chat::{
    AsyncChat, ChannelMap, Chat, ChatHandler, CloseReason, Error, Handle, Limits, MessageHandler,
    Rate, Result, Socket, Token,
};

use crate::common::rng::Rng;
use crate::common::{sim, tcp_pair, turn_until, unix_pair};
use case::{Case, Event, Step, model, random_case, random_segments};

/// What both kinds of handler keep, and take along when they convert.
#[derive(Default)]
struct Record {
    events: Rc<RefCell<Vec<Event>>>,
    steps: VecDeque<Step>,
    collected: Vec<u8>,
}

impl Record {
    fn add(&self, event: Event) {
        self.events.borrow_mut().push(event);
    }

    /// Whether to convert.
    fn after(&mut self, message: Vec<u8>, chat: &mut Chat) -> bool {
        self.add(Event::Message(message));
        let Some(step) = self.steps.pop_front() else {
            return false;
        };
        if let Some(term) = step.terminator {
            chat.set_terminator(term);
        }
        if step.pauses {
            chat.pause();
        }
        step.converts
    }
}

/// A `ChatHandler`; one of `N` becomes one of `1 - N`, which is another type.
struct Parts<const N: usize>(Record);

impl<const N: usize> Parts<N> {
    fn convert<const M: usize>(chat: &Chat, map: &mut ChannelMap) {
        let me = chat.token().handle::<AsyncChat<Self>>();
        map.convert(me, |from| {
            from.with_handler(|handler| Parts::<M>(handler.0))
        })
        .unwrap();
    }
}

impl<const N: usize> ChatHandler for Parts<N> {
    fn handle_connect(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add(Event::Connect);
        Ok(())
    }

    fn collect_incoming_data(&mut self, data: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        assert!(!data.is_empty());
        self.0.collected.extend_from_slice(data);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let message = mem::take(&mut self.0.collected);
        if self.0.after(message, chat) {
            match N {
                0 => Self::convert::<1>(chat, map),
                _ => Self::convert::<0>(chat, map),
            }
        }
        Ok(())
    }

    fn handle_overlimit(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        let collected = mem::take(&mut self.0.collected);
        self.0.add(Event::OverLimit(collected));
        Ok(())
    }

    fn handle_eof(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        let collected = mem::take(&mut self.0.collected);
        self.0.add(Event::Eof(collected));
        chat.close_when_done_with(CloseReason::Eof);
        Ok(())
    }

    fn handle_error(&mut self, _: Error, _: &mut Chat, _: &mut ChannelMap) {
        let collected = mem::take(&mut self.0.collected);
        self.0.add(Event::Error(collected));
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        self.0.add(Event::Close(crate::common::name(&reason)));
    }
}

/// The same as a `MessageHandler`.
struct Whole<const N: usize>(Record);

impl<const N: usize> Whole<N> {
    fn convert<const M: usize>(chat: &Chat, map: &mut ChannelMap) {
        let me = chat.token().handle::<AsyncChat<Self>>();
        map.convert(me, |from| {
            from.with_handler(|handler| Whole::<M>(handler.0))
        })
        .unwrap();
    }
}

impl<const N: usize> MessageHandler for Whole<N> {
    fn handle_connect(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add(Event::Connect);
        Ok(())
    }

    fn handle_message(&mut self, message: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
        if self.0.after(message.to_vec(), chat) {
            match N {
                0 => Self::convert::<1>(chat, map),
                _ => Self::convert::<0>(chat, map),
            }
        }
        Ok(())
    }

    fn handle_overlimit(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add(Event::OverLimit(Vec::new()));
        Ok(())
    }

    fn handle_eof(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add(Event::Eof(chat.partial_message().to_vec()));
        chat.close_when_done_with(CloseReason::Eof);
        Ok(())
    }

    fn handle_error(&mut self, _: Error, chat: &mut Chat, _: &mut ChannelMap) {
        self.0.add(Event::Error(chat.partial_message().to_vec()));
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        self.0.add(Event::Close(crate::common::name(&reason)));
    }
}

fn limits(case: &Case) -> Limits {
    let mut limits = Limits::default();
    limits.message = case.message_limit;
    limits.counted_message = case.message_limit;
    limits.received_per_turn = case.received_per_turn;
    if case.is_rated {
        limits.receive_rate = Rate {
            bytes_per_second: u64::MAX - 1,
            burst: u64::MAX,
        };
    }
    limits
}

fn record(case: &Case) -> (Record, Rc<RefCell<Vec<Event>>>) {
    let record = Record {
        steps: case.steps.clone(),
        ..Record::default()
    };
    let events = Rc::clone(&record.events);
    (record, events)
}

/// The chat of a channel that is one of two types.
fn set_paused<A: ChatHandler, B: ChatHandler>(map: &mut ChannelMap, me: Token, paused: bool) {
    let first: Handle<AsyncChat<A>> = me.handle();
    let second: Handle<AsyncChat<B>> = me.handle();
    let chat = match map.get_mut(first) {
        Ok(channel) => &mut channel.chat,
        Err(_) => match map.get_mut(second) {
            Ok(channel) => &mut channel.chat,
            Err(_) => return,
        },
    };
    match paused {
        true => chat.pause(),
        false => chat.resume(),
    }
}

/// Over the simulated network, with pauses and turns at random.
fn simulated<A: ChatHandler, B: ChatHandler>(rng: &mut Rng, case: &Case, handler: A) {
    let mut map = ChannelMap::new().unwrap();
    let (line, peer) = sim::line();
    let channel = AsyncChat::over(line, case.first.clone(), handler).limited(limits(case));
    let me = map.insert(channel).unwrap().token();
    for segment in random_segments(rng, &case.stream) {
        peer.say(segment);
        for _ in 0..rng.below(3) {
            if rng.below(4) == 0 {
                set_paused::<A, B>(&mut map, me, rng.below(2) == 0);
            }
            sim::step(&mut map, me, &peer);
        }
    }
    peer.say_eof();
    for _ in 0..10_000 {
        if map.is_empty() {
            return;
        }
        set_paused::<A, B>(&mut map, me, false);
        sim::step(&mut map, me, &peer);
        if peer.is_shut() {
            // The limit was exceeded; what lingers would wait for the clock.
            sim::step_after(&mut map, me, &peer, Limits::default().linger);
        }
    }
    panic!("it never ended: {map:?}");
}

/// Over a real socket.
fn through<A: ChatHandler, B: ChatHandler>(
    rng: &mut Rng,
    case: &Case,
    handler: A,
    ours: impl Into<Socket>,
    mut theirs: impl Write,
) {
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::new(ours, case.first.clone(), handler);
    let me = map.insert(channel.limited(limits(case))).unwrap().token();
    'all: for segment in random_segments(rng, &case.stream) {
        while let Err(error) = theirs.write_all(&segment) {
            if error.kind() != ErrorKind::WouldBlock {
                break 'all; // over the limit, and closed
            }
            set_paused::<A, B>(&mut map, me, false);
            map.turn(Some(Duration::ZERO)).unwrap();
        }
        if rng.below(3) == 0 {
            map.turn(Some(Duration::ZERO)).unwrap();
        }
    }
    drop(theirs);
    turn_until(&mut map, |map| {
        set_paused::<A, B>(map, me, false);
        map.is_empty()
    });
}

#[test]
fn a_chat_handler_sees_the_same_however_a_simulated_network_cuts() {
    let mut rng = Rng::new(31);
    for _ in 0..4_000 {
        let case = random_case(&mut rng);
        let (record, events) = record(&case);
        simulated::<_, Parts<1>>(&mut rng, &case, Parts::<0>(record));
        assert_eq!(*events.borrow(), model(&case, false), "{case:?}");
    }
}

#[test]
fn a_message_handler_sees_the_same_however_a_simulated_network_cuts() {
    let mut rng = Rng::new(32);
    for _ in 0..4_000 {
        let case = random_case(&mut rng);
        let (record, events) = record(&case);
        simulated::<_, Whole<1>>(&mut rng, &case, Whole::<0>(record));
        assert_eq!(*events.borrow(), model(&case, true), "{case:?}");
    }
}

#[test]
fn real_sockets_cut_as_they_like_and_the_events_are_the_same() {
    let mut rng = Rng::new(33);
    for round in 0..200 {
        let case = random_case(&mut rng);
        let (parts, seen_by_parts) = record(&case);
        let (whole, seen_by_whole) = record(&case);
        if round % 2 == 0 {
            let (ours, theirs) = unix_pair();
            through::<_, Parts<1>>(&mut rng, &case, Parts::<0>(parts), ours, theirs);
            let (ours, theirs) = unix_pair();
            through::<_, Whole<1>>(&mut rng, &case, Whole::<0>(whole), ours, theirs);
        } else {
            let (ours, theirs) = tcp_pair();
            through::<_, Parts<1>>(&mut rng, &case, Parts::<0>(parts), ours, theirs);
            let (ours, theirs) = tcp_pair();
            through::<_, Whole<1>>(&mut rng, &case, Whole::<0>(whole), ours, theirs);
        }
        assert_eq!(*seen_by_parts.borrow(), model(&case, false), "{case:?}");
        assert_eq!(*seen_by_whole.borrow(), model(&case, true), "{case:?}");
    }
}
