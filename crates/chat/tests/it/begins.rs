//! `handle_connect` and `handle_convert` are callbacks of their own before a timer and a
//! shutdown, which come once: none is lost, whatever those two do.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use chat::{
    AsyncChat, ChannelMap, Chat, ChatMap, Dispatcher, Limits, MessageHandler, Result, Timer, Token,
};

use crate::common::part::{Part, Record};
use crate::common::{Log, sim};

type Deed = fn(Token, &mut ChannelMap);

const DEEDS: [Deed; 3] = [
    |me, map| {
        assert!(
            map.post(me.handle::<Dispatcher<Part<0>>>(), |channel, _| assert!(
                channel.is_ok()
            ))
        )
    },
    |me, map| assert!(map.push(me, "to myself").unwrap()),
    |me, map| assert!(map.amend(me, |_| {}).unwrap()),
];

fn part(record: &Record, at: &'static str, deed: Deed) -> Part<0> {
    Part::new(record).on_event(move |what, side, map| {
        if what == at {
            deed(side.endpoint().token(), map);
        }
        false
    })
}

/// The new handler, after a conversion to a channel of the same kind.
fn convert(me: Token, is_chat: bool, new: Part<0>, map: &mut ChannelMap) {
    match is_chat {
        true => drop(map.convert(me.handle::<AsyncChat<Part<0>>>(), |old| {
            old.with_handler(|_| new)
        })),
        false => drop(map.convert(me.handle::<Dispatcher<Part<0>>>(), |old| {
            Dispatcher::new(old.endpoint, new)
        })),
    }
}

#[test]
fn a_timer_comes_though_handle_connect_disturbs_its_channel() {
    for deed in DEEDS {
        let record = Record::default();
        let mut map = ChannelMap::new().unwrap();
        let (line, peer) = sim::line();
        let me = Rc::new(Cell::new(Token::NONE));
        let (part, to) = (part(&record, "connect", deed), Rc::clone(&me));
        // From a post: so the timer comes before any event.
        map.post(
            Token::NONE.handle::<Dispatcher<Part<0>>>(),
            move |_, map| {
                to.set(part.insert(false, line, Limits::default(), map));
                map.set_timer(to.get(), map.now());
            },
        );
        map.turn_at(Instant::now()).unwrap();
        assert_eq!(record.of(0), ["connect", "timer"]);
        sim::settle(&mut map, me.get(), &peer);
        assert_eq!(record.of(0), ["connect", "timer"]);
    }
}

#[test]
fn a_shutdown_comes_though_handle_connect_disturbs_its_channel() {
    for deed in DEEDS {
        let record = Record::default();
        let mut map = ChannelMap::new().unwrap();
        let (line, peer) = sim::line();
        let part = part(&record, "connect", deed);
        let me = part.insert(false, line, Limits::default(), &mut map);
        map.shut_down(map.now() + Duration::from_secs(60));
        sim::settle(&mut map, me, &peer);
        assert_eq!(record.of(0), ["connect", "shutdown"]);
    }
}

#[test]
fn a_timer_comes_though_posts_wait() {
    for is_chat in [false, true] {
        let record = Record::default();
        let mut map = ChannelMap::new().unwrap();
        let first = part(&record, "timer", |me, map| {
            map.post(me.handle::<Dispatcher<Part<0>>>(), move |_, map| {
                map.post(me.handle::<Dispatcher<Part<0>>>(), |_, _| {});
            });
        });
        let second = Part::<1>::new(&record);
        let ((line, peer), (other, other_peer)) = (sim::line(), sim::line());
        let first = first.insert(is_chat, line, Limits::default(), &mut map);
        let second = second.insert(is_chat, other, Limits::default(), &mut map);
        sim::settle(&mut map, first, &peer);
        sim::settle(&mut map, second, &other_peer);
        for channel in [first, second] {
            map.set_timer(channel, map.now());
        }
        map.turn_at(map.now()).unwrap();
        assert_eq!(record.of(1), ["connect", "timer"], "chat: {is_chat}");
    }
}

#[test]
fn handle_convert_comes_before_a_timer_and_may_cancel_it() {
    for (is_chat, cancels) in [(false, false), (false, true), (true, false), (true, true)] {
        let record = Record::default();
        let mut map = ChannelMap::new().unwrap();
        let (line, peer) = sim::line();
        let part = Part::<0>::new(&record);
        let me = part.insert(is_chat, line, Limits::default(), &mut map);
        sim::settle(&mut map, me, &peer);
        let timer = map.set_timer(me, map.now());
        let new = Part::new(&record).on_event(move |what, _, map| {
            if what == "convert" && cancels {
                assert!(map.cancel(timer));
            }
            false
        });
        map.post(
            Token::NONE.handle::<Dispatcher<Part<0>>>(),
            move |_, map| convert(me, is_chat, new, map),
        );
        map.turn_at(map.now()).unwrap();
        let expected: &[&str] = match cancels {
            true => &["connect", "convert"],
            false => &["connect", "convert", "timer"],
        };
        assert_eq!(record.of(0), expected, "chat: {is_chat}");
    }
}

#[test]
fn handle_convert_comes_before_a_shutdown() {
    for is_chat in [false, true] {
        let record = Record::default();
        let mut map = ChannelMap::new().unwrap();
        let (line, peer) = sim::line();
        let part = Part::<0>::new(&record);
        let me = part.insert(is_chat, line, Limits::default(), &mut map);
        sim::settle(&mut map, me, &peer);
        convert(me, is_chat, Part::new(&record), &mut map);
        map.shut_down(map.now() + Duration::from_secs(60));
        sim::settle(&mut map, me, &peer);
        assert_eq!(record.of(0), ["connect", "convert", "shutdown"]);
    }
}

/// Becomes another again and again.
struct Restless(Log);

impl Restless {
    fn change(chat: &Chat, map: &mut ChannelMap) -> Result {
        let me = chat.token().handle::<AsyncChat<Self>>();
        map.convert(me, |channel| channel.with_handler(|handler| handler))?;
        Ok(())
    }
}

impl MessageHandler for Restless {
    fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        Ok(())
    }

    fn handle_connect(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Self::change(chat, map)
    }

    fn handle_convert(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Self::change(chat, map)
    }

    fn handle_timer(&mut self, _: Timer, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add("timer");
        Ok(())
    }
}

#[test]
fn a_channel_that_is_converted_for_ever_does_not_keep_a_turn_from_its_end() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (line, _peer) = sim::line();
    let restless = AsyncChat::over(line, "\n", Restless(log.clone()));
    let restless = map.insert(restless).unwrap();
    map.turn_at(map.now()).unwrap();
    map.set_timer(restless, map.now());
    map.turn_at(map.now()).unwrap();
    assert_eq!(log.all(), ["timer"]);
}

/// A conversion in `handle_convert` begins again, and the timer waits for that, too.
#[test]
fn a_timer_comes_after_the_last_of_several_conversions_and_is_not_lost() {
    struct Chained {
        log: crate::common::Log,
        left: u32,
    }

    impl chat::MessageHandler for Chained {
        fn handle_message(
            &mut self,
            _: &[u8],
            _: &mut chat::Chat,
            _: &mut chat::ChannelMap,
        ) -> chat::Result {
            Ok(())
        }
        fn handle_convert(
            &mut self,
            chat: &mut chat::Chat,
            map: &mut chat::ChannelMap,
        ) -> chat::Result {
            self.log.add("convert");
            if self.left > 0 {
                let me = chat.token().handle::<chat::AsyncChat<Chained>>();
                map.convert(me, |channel| {
                    channel.with_handler(|mut handler| {
                        handler.left -= 1;
                        handler
                    })
                })?;
            }
            Ok(())
        }
        fn handle_timer(
            &mut self,
            _: chat::Timer,
            _: &mut chat::Chat,
            _: &mut chat::ChannelMap,
        ) -> chat::Result {
            self.log.add("timer");
            Ok(())
        }
    }

    let log = crate::common::Log::default();
    let (ours, _theirs) = crate::common::unix_pair();
    let mut map = chat::ChannelMap::new().unwrap();
    let me = map.insert(chat::AsyncChat::new(ours, "\n", ())).unwrap();
    crate::common::turn_to_rest(&mut map);
    map.set_timer(me, map.now());
    let handler = Chained {
        log: log.clone(),
        left: 3,
    };
    map.convert(me, move |channel| channel.with_handler(|()| handler))
        .unwrap();
    map.turn_at(map.now()).unwrap();
    map.turn_at(map.now()).unwrap();
    let mut expected = vec!["convert"; 4];
    expected.push("timer");
    assert_eq!(log.all(), expected);
}
