//! Defects of our own, found by attack.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::common::{Log, Probe, Witness, name, turn_until};
use chat::{
    AsyncChat, ChannelMap, Chat, ChatHandler, CloseReason, Dispatcher, Handle, Limits, Result,
    Socket, Timer,
};

/// The error of the reset was taken before the dispatcher was made: nothing
/// but the state of the socket tells of it.
#[test]
fn a_connection_that_was_reset_before_it_became_a_dispatcher_is_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    let client = Socket::from(client);
    client.set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    while accepted.write_all(b"?").is_ok() {}

    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    map.insert(Dispatcher::new(accepted, Witness::new(&log)))
        .unwrap();
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(log.count("close Io"), 1, "{:?}", log.all());
    assert!(map.turns() < 10);
}

/// Sets another terminator, or becomes a dispatcher, at the first data.
struct Changing {
    log: Log,
    converts: bool,
}

impl ChatHandler for Changing {
    fn collect_incoming_data(
        &mut self,
        data: &[u8],
        chat: &mut Chat,
        map: &mut ChannelMap,
    ) -> Result {
        // Pieces are joined: how they are cut means nothing.
        let before = self.log.take().join("");
        self.log.add(before + &data.escape_ascii().to_string());
        if self.converts {
            let (me, log) = (chat.token().handle::<AsyncChat<Self>>(), self.log.clone());
            map.convert(me, move |channel| {
                Dispatcher::new(channel.chat.into_endpoint(), Witness::new(&log))
            })
            .unwrap();
        } else {
            chat.set_terminator("z");
        }
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        let before = self.log.take().join("");
        self.log.add(before + " END ");
        Ok(())
    }
}

fn events(converts: bool, pieces: &[&[u8]]) -> String {
    let log = Log::default();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut map = ChannelMap::new().unwrap();
    let handler = Changing {
        log: log.clone(),
        converts,
    };
    map.insert(AsyncChat::new(ours, "\r\n", handler)).unwrap();
    for piece in pieces {
        theirs.write_all(piece).unwrap();
        for _ in 0..4 {
            map.turn(Some(Duration::from_millis(1))).unwrap();
        }
    }
    log.all()
        .join("")
        .replace("convert", "")
        .replace("read ", "")
}

#[test]
fn what_is_done_at_the_last_data_of_a_message_does_not_depend_on_how_it_was_cut() {
    for converts in [false, true] {
        let expected = match converts {
            false => "abc\\r\\nxy END ",
            true => "abc\\r\\nxyz",
        };
        let stream = b"abc\r\nxyz";
        for cut in 1..stream.len() {
            // A cut before the end of "abc" changes the terminator earlier,
            // which is the handler's doing; all others must agree.
            let (head, tail) = stream.split_at(cut);
            assert_eq!(events(converts, &[head, tail]), expected, "cut at {cut}");
        }
        assert_eq!(events(converts, &[stream]), expected);
    }
}

#[test]
fn an_output_limit_below_the_high_water_mark_holds() {
    struct Silent;
    impl chat::MessageHandler for Silent {
        fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
            Ok(())
        }
    }
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut limits = Limits::default();
    (limits.output, limits.high_water) = (4_096, usize::MAX);
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::new(ours, "\n", Silent);
    let me = map.insert(channel.limited(limits)).unwrap();
    for _ in 0..10_000 {
        let Ok(channel) = map.get_mut(me) else {
            break;
        };
        channel.chat.push([b'x'; 1_000]);
        assert!(channel.chat.queued() <= 4_096);
        if channel.chat.closing() {
            break;
        }
    }
    map.turn(Some(Duration::ZERO)).unwrap();
    assert!(!map.is_open(me), "it is a slow reader");
    drop(theirs);
}

/// Closed by another through its own endpoint or chat, a channel is not called
/// any more but for its end.
#[test]
fn a_channel_that_another_closed_through_its_chat_hears_of_no_timer() {
    struct Timed(Log);
    impl chat::MessageHandler for Timed {
        fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
            Ok(())
        }
        fn handle_timer(&mut self, _: Timer, _: &mut Chat, _: &mut ChannelMap) -> Result {
            self.0.add("timer");
            Ok(())
        }
        fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
            self.0.add(format!("close {}", name(&reason)));
        }
    }
    struct Closer(Handle<AsyncChat<Timed>>);
    impl chat::MessageHandler for Closer {
        fn handle_message(&mut self, _: &[u8], _: &mut Chat, map: &mut ChannelMap) -> Result {
            map.set_timer(self.0, map.now()); // due in this very turn
            if let Ok(victim) = map.get_mut(self.0) {
                victim.chat.close();
            }
            Ok(())
        }
    }
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let timed = AsyncChat::new(ours, "\n", Timed(log.clone()));
    let timed = map.insert(timed).unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    map.insert(AsyncChat::new(ours, "\n", Closer(timed)))
        .unwrap();
    theirs.write_all(b"now\n").unwrap();
    turn_until(&mut map, |_| log.len() > 0);
    assert_eq!(log.all(), ["close Requested"]);
}

/// As in asynchat: also what came in the same read as the message that made the
/// handler discard.
#[test]
fn discarding_in_a_callback_drops_the_rest_of_the_read() {
    struct Discarding(Log);
    impl chat::MessageHandler for Discarding {
        fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
            self.0.add(line.escape_ascii().to_string());
            if line == b"discard" {
                chat.discard_buffers();
            }
            Ok(())
        }
    }
    let log = Log::default();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut map = ChannelMap::new().unwrap();
    map.insert(AsyncChat::new(ours, "\n", Discarding(log.clone())))
        .unwrap();
    theirs.write_all(b"one\ndiscard\ntwo\nthr").unwrap();
    turn_until(&mut map, |_| log.len() >= 2);
    theirs.write_all(b"four\n").unwrap();
    turn_until(&mut map, |_| log.len() >= 3);
    assert_eq!(log.all(), ["one", "discard", "four"]);
}

/// The same for what was read before and held.
#[test]
fn discarding_after_a_pause_drops_what_was_held() {
    struct Pausing(Log);
    impl chat::MessageHandler for Pausing {
        fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
            self.0.add(line.escape_ascii().to_string());
            chat.pause();
            Ok(())
        }
    }
    let log = Log::default();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(AsyncChat::new(ours, "\n", Pausing(log.clone())))
        .unwrap();
    theirs.write_all(b"one\ntwo\n").unwrap();
    turn_until(&mut map, |_| log.len() >= 1);
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.discard_buffers();
    chat.resume();
    theirs.write_all(b"three\n").unwrap();
    turn_until(&mut map, |_| log.len() >= 2);
    assert_eq!(log.all(), ["one", "three"]);
}

/// Outside a callback nothing is left of a read: the next one is delivered in one turn.
#[test]
fn discarding_outside_a_callback_does_not_cut_the_next_read() {
    let log = Log::default();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(AsyncChat::new(ours, "\n", Probe::new(&log)))
        .unwrap();
    turn_until(&mut map, |_| log.len() > 0);
    map.get_mut(me).unwrap().chat.discard_buffers();
    theirs.write_all(b"one\ntwo\n").unwrap();
    map.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(log.all(), ["connect", "message one", "message two"]);
}
