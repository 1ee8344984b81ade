//! TLS that begins in the middle, whatever else goes on in the channel.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use chat::{
    ChannelMap, Dispatcher, DispatcherHandler, Endpoint, Hold, Limits, More, Producer, Rate,
    Readiness, Result,
};
use tls::Tls;

use crate::rig::{Probe, Rig, SECOND, SIDES, Side, acceptor, start_tls};

const LATE: [Side; 2] = [Side::LateServer, Side::LateClient];

fn in_the_clear(side: Side) -> Rig {
    Rig::in_the_clear(side, Limits::default())
}

/// A peer ends its words, and leaves the connection open until it has ours.
#[test]
fn an_end_that_comes_with_the_last_words_is_told() {
    for side in SIDES {
        let mut rig = Rig::new(side);
        rig.talk();
        rig.log.borrow_mut().clear();
        rig.peer.send_close_notify();
        rig.whisper("");
        assert_eq!(rig.log(), ["eof", "Done"]);
        let mut rig = Rig::new(side);
        rig.talk();
        rig.log.borrow_mut().clear();
        rig.peer.writer().write_all(b"hello\n").unwrap();
        rig.peer.send_close_notify();
        rig.talk();
        assert_eq!(rig.log(), ["hello", "eof", "Done"]);
    }
}

#[test]
fn a_handshake_that_fails_closes_at_once_though_output_waits_for_it() {
    for side in LATE {
        let mut rig = Rig::new(side);
        rig.chat(|chat| chat.push("secret\n"));
        rig.turn(Duration::ZERO);
        rig.say(&[0x55; 20_000]);
        assert_eq!(rig.log(), ["Io(InvalidData)"]);
        assert_eq!((rig.map.len(), rig.map.timers()), (0, 0));
        assert!(!rig.from.borrow().bytes.is_empty(), "an alert");
    }
}

#[test]
fn a_handshake_that_ends_early_closes_at_once_though_output_waits_for_it() {
    for side in LATE {
        let mut rig = Rig::new(side);
        rig.chat(|chat| chat.push("secret\n"));
        rig.turn(Duration::ZERO);
        rig.to.borrow_mut().is_shut = true;
        rig.turn(Duration::ZERO);
        assert_eq!(rig.log(), ["Io(UnexpectedEof)"]);
        assert_eq!((rig.map.len(), rig.map.timers()), (0, 0));
    }
}

#[test]
fn a_held_channel_shakes_hands() {
    const HOLD: Hold = Hold::new(0);
    for side in LATE {
        for is_before in [true, false] {
            let mut rig = in_the_clear(side);
            if is_before {
                rig.chat(|chat| chat.hold(HOLD));
            }
            rig.start_tls();
            rig.turn(Duration::ZERO);
            if !is_before {
                rig.chat(|chat| chat.hold(HOLD));
            }
            rig.talk();
            assert!(!rig.peer.is_handshaking());
            rig.whisper("hello\n");
            assert_eq!(rig.log(), [""; 0]);
            rig.chat(|chat| chat.release(HOLD));
            rig.turn(Duration::ZERO);
            assert_eq!(rig.log(), ["hello"]);
        }
    }
}

/// Makes its text when it is told to.
struct Late(Rc<RefCell<Option<&'static str>>>);

impl Producer for Late {
    fn more(&mut self, data: &mut Vec<u8>, _: usize) -> std::io::Result<More> {
        match self.0.take() {
            Some(text) => {
                data.extend_from_slice(text.as_bytes());
                Ok(More::Done)
            }
            None => Ok(More::Later),
        }
    }
}

#[test]
fn producers_before_leave_in_the_clear_and_those_behind_by_tls() {
    for side in LATE {
        let mut rig = in_the_clear(side);
        let [before, behind] = [Rc::default(), Rc::default()];
        rig.chat(|chat| {
            chat.push_with_producer(Late(Rc::clone(&before)));
            chat.push("go ahead\n");
            start_tls(side, chat);
            chat.push_with_producer(Late(Rc::clone(&behind)));
            chat.push("secret\n");
        });
        rig.turn(20 * SECOND); // no handshake yet
        assert_eq!((rig.clear(), rig.log()), (String::new(), vec![]));
        *before.borrow_mut() = Some("made\n");
        rig.chat(|_| ());
        rig.turn(Duration::ZERO);
        let go_ahead: Vec<u8> = rig.from.borrow_mut().bytes.drain(..14).collect();
        assert_eq!(go_ahead, b"made\ngo ahead\n");
        rig.talk();
        assert_eq!(rig.heard(), "");
        *behind.borrow_mut() = Some("made, too\n");
        rig.chat(|_| ());
        rig.talk();
        rig.turn(Duration::ZERO);
        rig.talk();
        assert_eq!(rig.heard(), "made, too\nsecret\n");
    }
}
