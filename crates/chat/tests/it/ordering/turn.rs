//! The order inside a turn.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use chat::{
    AsyncChat, Channel, ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint,
    Readiness, Registration, Result, Token,
};

use crate::common::{Log, sim};
use crate::ordering::stage::{Actor, Stage, note};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn queued_output_is_sent_before_any_event() {
    let mut stage = Stage::new();
    let log = stage.log.clone();
    let a = stage.enter("a", move |_, chat, _| {
        log.add(format!("{} sent, {} queued", chat.sent(), chat.queued()));
        chat.push("then");
        log.add(format!("{} queued", chat.queued()));
        Ok(())
    });
    a.peer.take_sent();
    stage.say(&a, "hello\n");
    stage.map.get_mut(a.me).unwrap().chat.push("now");
    assert_eq!(
        stage.turn(),
        ["a.message hello", "7 sent, 0 queued", "4 queued"],
        "pushing does not send"
    );
    assert_eq!(a.peer.take_sent(), b"nowthen");
}

#[test]
fn events_come_before_timers_and_timers_before_remote_work() {
    let mut stage = Stage::new();
    let a = stage.extra("a");
    let b = stage.extra("b");
    let me = a.me;
    let work = move |map: &mut ChannelMap| note(map, me, "work");
    assert!(stage.map.remote().run(work).is_ok());
    stage.map.set_timer(b.me, stage.map.now());
    stage.map.set_timer(a.me, stage.map.now() - SECOND);
    stage.say(&b, "hi\n");
    stage.say(&a, "hi\n");
    let mut record = stage.turn();
    record[..2].sort(); // one batch
    assert_eq!(
        record,
        ["a.message hi", "b.message hi", "a.timer", "b.timer", "work"]
    );
}

/// What a timeout is for: a peer that answered in time is not cut off because
/// the loop was late.
#[test]
fn an_event_cancels_a_timer_that_is_due_in_the_same_turn() {
    let mut stage = Stage::new();
    let timeout = Rc::new(Cell::new(None));
    let set = Rc::clone(&timeout);
    let a = stage.enter("a", move |callback, _, map| {
        if callback.starts_with("message") {
            assert!(map.cancel(set.take().unwrap()));
        }
        Ok(())
    });
    timeout.set(Some(stage.map.set_timer(a.me, stage.map.now() + SECOND)));
    stage.say(&a, "in time\n");
    assert_eq!(stage.turn_after(2 * SECOND), ["a.message in time"]);
}

#[test]
fn stop_lets_the_turn_finish() {
    let mut stage = Stage::new();
    let victims = ["x", "y"].map(|name| stage.extra(name).me);
    let roles = [("a", victims[0]), ("b", victims[1])].map(|(name, victim)| {
        stage.enter(name, move |callback, _, map| {
            if callback.starts_with("message") {
                map.stop();
                map.close(victim);
            }
            Ok(())
        })
    });
    let me = roles[0].me;
    let work = move |map: &mut ChannelMap| note(map, me, "work");
    assert!(stage.map.remote().run(work).is_ok());
    for role in &roles {
        stage.say(role, "stop\n");
        stage.map.set_timer(role.me, stage.map.now());
    }
    stage.map.run().unwrap();
    let mut record = stage.log.take();
    assert_eq!(record.pop().as_deref(), Some("work"));
    assert_eq!(record.split_off(4), ["a.timer", "b.timer"]);
    record.sort();
    assert_eq!(
        record,
        [
            "a.message stop",
            "b.message stop",
            "x.close Requested",
            "y.close Requested"
        ]
    );
    assert_eq!(stage.map.len(), 2, "who was not closed stays");
}

/// Wants to hear of everything, and writes it down.
#[derive(Debug)]
struct Raw(Vec<&'static str>);

impl Raw {
    fn hear(&mut self, event: &'static str) -> Result {
        self.0.push(event);
        Ok(())
    }
}

impl Channel for Raw {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn writable(&self, _: Token) -> bool {
        true
    }

    fn watches_hang_up(&self, _: Token) -> bool {
        true
    }

    fn pending(&self, _: Token) -> bool {
        true
    }

    fn handle_read_event(&mut self, _: Token, _: &mut ChannelMap) -> Result {
        self.hear("read")
    }

    fn handle_write_event(&mut self, _: Token, _: &mut ChannelMap) -> Result {
        self.hear("write")
    }

    fn handle_expt_event(&mut self, _: Token, _: &mut ChannelMap) -> Result {
        self.hear("priority")
    }

    fn handle_hang_up(&mut self, _: Token, _: &mut ChannelMap) -> Result {
        self.hear("hang-up")
    }

    fn handle_pending(&mut self, _: Token, _: &mut ChannelMap) -> Result {
        self.hear("pending")
    }

    fn handle_shutdown(&mut self, _: Token, _: &mut ChannelMap) -> Result {
        self.hear("shutdown")
    }
}

#[test]
fn one_channels_events_come_as_shutdown_pending_priority_read_write_hang_up() {
    let mut map = ChannelMap::new().unwrap();
    let raw = map.insert(Raw(Vec::new())).unwrap();
    // Reported in any order.
    for event in [
        Readiness::HANG_UP,
        Readiness::WRITABLE,
        Readiness::READABLE,
        Readiness::PRIORITY,
    ] {
        map.dispatch(raw, event);
    }
    map.shut_down(map.now() + SECOND);
    map.turn_at(map.now()).unwrap();
    assert_eq!(
        map.get(raw).unwrap().0,
        [
            "shutdown", "pending", "priority", "read", "write", "hang-up"
        ]
    );
}

/// A dispatcher's view of the same.
struct Ears(Log);

impl DispatcherHandler for Ears {
    fn writable(&self, _: &Endpoint) -> bool {
        true
    }

    fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        let mut buffer = [0; 16];
        loop {
            let len = endpoint.recv(&mut buffer)?;
            self.0.add(format!("read {len}"));
            if len == 0 {
                return Ok(());
            }
        }
    }

    fn handle_write(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.0.add("write");
        Ok(())
    }

    fn handle_expt(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.0.add("expt");
        Ok(())
    }

    fn handle_eof(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.0.add("eof");
        endpoint.close_with(CloseReason::Eof);
        Ok(())
    }

    fn handle_shutdown(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.0.add("shutdown");
        Ok(())
    }

    fn handle_close(&mut self, _: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.0.add("close");
    }
}

#[test]
fn a_dispatcher_hears_shutdown_expt_read_write_and_eof_after_the_data() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (line, peer) = sim::line();
    let ears = map
        .insert(Dispatcher::over(line, Ears(log.clone())))
        .unwrap();
    let all = Readiness::WRITABLE | Readiness::READABLE | Readiness::PRIORITY;
    peer.say("some");
    map.dispatch(ears, all);
    map.shut_down(map.now() + SECOND);
    map.turn_at(map.now()).unwrap();
    assert_eq!(log.take(), ["shutdown", "expt", "read 4", "write"]);
    peer.say("rest");
    peer.say_eof();
    map.dispatch(ears, all);
    map.turn_at(map.now()).unwrap();
    assert_eq!(log.take(), ["expt", "read 4", "read 0", "eof", "close"]);
}

/// Inserts a channel that has input, and says so to the map.
fn insert_with_input(log: &Log, map: &mut ChannelMap) -> io::Result<()> {
    let (line, peer) = sim::line();
    peer.say("hello\n");
    let heir = AsyncChat::over(line, "\n", Actor::new("new", log, |_, _, _| Ok(())));
    let heir = map.insert(heir)?;
    map.dispatch(heir, Readiness::READABLE);
    Ok(())
}

#[test]
fn what_a_callback_inserts_has_its_first_event_in_the_next_turn() {
    for on in ["a.message x", "a.timer", "a.close Requested"] {
        let mut stage = Stage::new();
        let log = stage.log.clone();
        let a = stage.enter("a", move |callback, chat, map| {
            if on.ends_with(callback) {
                insert_with_input(&log, map)?;
            }
            if callback == "timer" {
                chat.close();
            }
            Ok(())
        });
        stage.map.set_timer(a.me, stage.map.now());
        stage.say(&a, "x\n");
        let all = ["a.message x", "a.timer", "a.close Requested"];
        assert_eq!(stage.turn(), all, "inserted in {on}");
        assert_eq!(stage.turn(), ["new.connect", "new.message hello"]);
    }
}

/// Whatever the callback asks for; the map and the wire only make notes.
#[test]
fn nothing_is_called_inside_a_callback() {
    let mut stage = Stage::new();
    let b = stage.extra("b").me;
    let c = stage.extra("c").me;
    let log = stage.log.clone();
    let a = stage.enter("a", move |callback, chat, map| {
        if callback != "message go" {
            return Ok(());
        }
        let me = chat.token();
        insert_with_input(&log, map)?;
        map.set_timer(me, map.now() - SECOND);
        map.dispatch(me, Readiness::WRITABLE);
        map.remote()
            .run(move |map| note(map, c, "work"))
            .map_err(|refused| refused.to_string())?;
        map.get_mut(c).unwrap().chat.push(vec![b'#'; 100_000]);
        map.shut_down(map.now() + SECOND);
        map.close(b);
        chat.push(vec![b'#'; 100_000]);
        log.add("a returns");
        Ok(())
    });
    stage.say(&a, "go\n");
    let record = stage.turn();
    assert_eq!(record[..2], ["a.message go", "a returns"]);
    assert_eq!(record[2..4], ["b.close Requested", "a.timer"]);
}
