//! A channel knows its token in whatever callback comes first.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use chat::{
    AsyncChat, ChannelMap, Chat, CloseReason, Dispatcher, DispatcherHandler, Endpoint,
    MessageHandler, Result, Timer, Token,
};

use crate::common::sim;

/// Tells the token that each first callback sees.
struct Witness(Rc<Cell<Token>>);

impl MessageHandler for Witness {
    fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        Ok(())
    }

    fn handle_timer(&mut self, _: Timer, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.set(chat.token());
        Ok(())
    }

    fn handle_close(&mut self, _: CloseReason, chat: &mut Chat, _: &mut ChannelMap) {
        self.0.set(chat.token());
    }
}

impl DispatcherHandler for Witness {
    fn handle_timer(&mut self, _: Timer, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.0.set(endpoint.token());
        Ok(())
    }

    fn handle_close(&mut self, _: CloseReason, endpoint: &mut Endpoint, _: &mut ChannelMap) {
        self.0.set(endpoint.token());
    }
}

/// Has a timer of another channel insert one with `insert`, and do with it
/// what `then` says, in the same turn.
fn in_a_turn(
    insert: impl Fn(&mut ChannelMap, Witness) -> Token + 'static,
    then: impl Fn(&mut ChannelMap, Token) + 'static,
) {
    let seen = Rc::new(Cell::new(Token::NONE));
    let inserted = Rc::new(Cell::new(Token::NONE));
    let (witness, me) = (Rc::clone(&seen), Rc::clone(&inserted));
    let probe = crate::common::Probe::default().on_message(move |_, _, map| {
        me.set(insert(map, Witness(Rc::clone(&witness))));
        then(map, me.get());
        Ok(())
    });
    let mut map = ChannelMap::new().unwrap();
    let (line, peer) = sim::line();
    let first = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    peer.say("go\n");
    for _ in 0..3 {
        map.dispatch(first, chat::Readiness::READABLE);
        map.turn_at(map.now()).unwrap();
    }
    assert_ne!(inserted.get(), Token::NONE);
    assert_eq!(seen.get(), inserted.get());
}

fn chat(map: &mut ChannelMap, witness: Witness) -> Token {
    let channel = AsyncChat::over(sim::line().0, "\n", witness);
    map.insert(channel).unwrap().token()
}

fn dispatcher(map: &mut ChannelMap, witness: Witness) -> Token {
    let channel = Dispatcher::over(sim::line().0, witness);
    map.insert(channel).unwrap().token()
}

#[test]
fn in_a_timer_that_is_due_in_the_turn_that_inserted_it() {
    let set = |map: &mut ChannelMap, me| {
        map.set_timer(me, map.now() - Duration::from_secs(1));
    };
    in_a_turn(chat, set);
    in_a_turn(dispatcher, set);
}

#[test]
fn in_handle_close_when_it_is_closed_as_soon_as_it_is_inserted() {
    let close = |map: &mut ChannelMap, me| {
        map.close(me);
    };
    in_a_turn(chat, close);
    in_a_turn(dispatcher, close);
}
