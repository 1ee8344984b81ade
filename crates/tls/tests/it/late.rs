//! TLS that begins in the middle, whatever else goes on in the channel.

use std::cell::RefCell;
use std::io::{ErrorKind, Write};
use std::rc::Rc;
use std::time::Duration;

use chat::{AsyncChat, ChannelMap, Hold, Limits, More, Producer, Rate};

use crate::rig::{Probe, Rig, SECOND, SIDES, Side, connector, start_tls};

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
    for side in SIDES {
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
            assert!(!rig.log().contains(&"hello".into()));
            rig.chat(|chat| chat.release(HOLD));
            rig.turn(Duration::ZERO);
            assert_eq!(rig.log().last().unwrap(), "hello");
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

/// The answer is queued when the rest of the peer's words lies in the kernel still: a read
/// that was full is followed by another.
#[test]
fn what_comes_after_a_full_read_is_no_cleartext() {
    let mut limits = Limits::default();
    limits.in_buffer_size = "STARTTLS\n".len();
    for side in LATE {
        let mut rig = Rig::in_the_clear(side, limits.clone());
        rig.say(b"STARTTLS\nINJECTED\n");
        assert_eq!(rig.log(), ["STARTTLS", "Io(InvalidData)"]);
    }
}

#[test]
fn a_channel_that_cannot_say_so_reads_nothing_more_in_the_clear() {
    let mut limits = Limits::default();
    limits.in_buffer_size = "STARTTLS\n".len();
    for side in LATE {
        let mut rig = Rig::in_the_clear(side, limits.clone());
        rig.from.borrow_mut().error = Some(ErrorKind::BrokenPipe);
        rig.say(b"STARTTLS\nINJECTED\n");
        assert_eq!(rig.log(), ["STARTTLS", "Io(BrokenPipe)"]);
        assert_eq!((rig.map.len(), rig.map.timers()), (0, 0));
    }
}

/// They are no part of the queue: pushes overtake them.
#[test]
fn offers_that_wait_go_through_tls() {
    for side in LATE {
        let mut rig = in_the_clear(side);
        let made = Rc::new(RefCell::new(None));
        rig.chat(|chat| {
            chat.push_with_producer(Late(Rc::clone(&made)));
            assert!(chat.offer("first\n") && chat.offer("second\n"));
            start_tls(side, chat);
            chat.push("third\n");
        });
        rig.turn(Duration::ZERO);
        *made.borrow_mut() = Some("clear\n");
        rig.chat(|_| ());
        rig.turn(Duration::ZERO);
        let clear: Vec<u8> = rig.from.borrow_mut().bytes.drain(..6).collect();
        assert_eq!(clear, b"clear\n");
        rig.talk();
        assert_eq!(rig.heard(), "third\nfirst\nsecond\n");
    }
}

#[test]
fn a_rate_delays_both_parts_and_loses_none() {
    let mut limits = Limits::default();
    let rate = Rate {
        bytes_per_second: 1_000,
        burst: 100,
    };
    (limits.send_rate, limits.receive_rate) = (rate, rate);
    for side in LATE {
        let mut rig = Rig::in_the_clear(side, limits.clone());
        rig.chat(|chat| {
            chat.push("c".repeat(1_000));
            start_tls(side, chat);
            chat.push("s".repeat(1_000));
        });
        rig.turn(Duration::ZERO);
        assert!(rig.from.borrow().bytes.len() < 200);
        while rig.from.borrow().bytes.len() < 1_000 {
            rig.turn(SECOND / 10);
        }
        let clear: Vec<u8> = rig.from.borrow_mut().bytes.drain(..1_000).collect();
        assert_eq!(clear, "c".repeat(1_000).as_bytes());
        let mut heard = String::new();
        for _ in 0..40 {
            rig.talk();
            heard += &rig.heard();
            rig.turn(SECOND / 10);
        }
        assert_eq!(heard, "s".repeat(1_000));
        rig.whisper(&("x".repeat(500) + "\n"));
        for _ in 0..20 {
            rig.turn(SECOND / 10);
        }
        assert_eq!(rig.log(), ["x".repeat(500)]);
    }
}

#[test]
fn a_close_after_it_sends_what_was_pushed_behind_it_by_tls() {
    for side in LATE {
        let mut rig = in_the_clear(side);
        rig.chat(|chat| {
            start_tls(side, chat);
            chat.push("secret\n");
            chat.close_when_done();
        });
        rig.turn(Duration::ZERO);
        rig.talk();
        assert_eq!(rig.heard(), "secret\n");
        rig.peer.send_close_notify();
        rig.talk();
        assert_eq!(rig.log(), ["Done"]);
    }
}

#[test]
fn a_channel_that_is_to_close_starts_nothing() {
    for side in LATE {
        let mut rig = in_the_clear(side);
        rig.chat(|chat| {
            chat.push("bye\n");
            chat.close_when_done();
            start_tls(side, chat);
        });
        rig.turn(Duration::ZERO);
        assert_eq!(rig.clear(), "bye\n");
        rig.to.borrow_mut().is_shut = true;
        rig.turn(Duration::ZERO);
        assert_eq!(rig.log(), ["Done"]);
    }
}

/// Its input would go on in the clear.
#[test]
fn a_channel_that_takes_no_output_or_has_a_layer_under_way_closes() {
    for side in LATE {
        let mut rig = in_the_clear(side);
        rig.chat(|chat| {
            chat.shutdown_when_done();
            start_tls(side, chat);
        });
        rig.say(b"hello\n");
        assert_eq!(rig.log(), ["Io(InvalidInput)"]);
        for is_queued in [false, true] {
            let mut rig = in_the_clear(side);
            rig.chat(|chat| {
                if is_queued {
                    chat.push("go ahead\n");
                }
                start_tls(side, chat);
                chat.push("secret\n");
                start_tls(side, chat);
            });
            rig.say(b"hello\n");
            assert_eq!(rig.log(), ["Io(InvalidInput)"]);
        }
    }
    for side in [Side::Server, Side::Client] {
        let mut rig = Rig::new(side);
        rig.chat(|chat| start_tls(Side::LateServer, chat));
        rig.turn(Duration::ZERO);
        assert_eq!(rig.log(), ["Io(InvalidInput)"]);
    }
}

#[test]
fn another_map_goes_on_with_the_handshake_and_its_time() {
    for side in SIDES {
        for part in [0, 100] {
            let mut rig = Rig::new(side);
            let words = rig.words();
            rig.say(&words[..part.min(words.len())]);
            let me = rig.me.handle::<AsyncChat<Probe>>();
            let channel = rig.map.remove(me).unwrap();
            rig.turn(20 * SECOND);
            rig.map = ChannelMap::new().unwrap();
            rig.me = rig.map.insert(channel).unwrap().into();
            rig.turn(9 * SECOND);
            rig.say(&words[part.min(words.len())..]);
            rig.talk();
            rig.whisper("hello\n");
            assert_eq!(rig.log().last().unwrap(), "hello");
            let mut rig = Rig::new(side);
            let channel = rig.map.remove(rig.me.handle::<AsyncChat<Probe>>()).unwrap();
            rig.map = ChannelMap::new().unwrap();
            rig.me = rig.map.insert(channel).unwrap().into();
            rig.turn(Duration::ZERO);
            rig.turn(10 * SECOND);
            assert_eq!(rig.log(), ["Missed(Handshake)"]);
        }
    }
}

#[test]
fn a_conversion_in_the_middle_goes_on_with_the_handshake() {
    for side in SIDES {
        let mut rig = Rig::new(side);
        let words = rig.words();
        rig.say(&words[..words.len() / 2]);
        let me = rig.me.handle::<AsyncChat<Probe>>();
        let log = Rc::clone(&rig.log);
        rig.map
            .convert(me, |channel| {
                let endpoint = channel.chat.into_endpoint();
                AsyncChat::new(endpoint, "\n", Probe(log, Side::Server))
            })
            .unwrap();
        rig.turn(Duration::ZERO);
        rig.say(&words[words.len() / 2..]);
        rig.talk();
        rig.chat(|chat| chat.push("secret\n"));
        rig.whisper("hello\n");
        assert_eq!(rig.log().last().unwrap(), "hello");
        assert_eq!(rig.heard(), "secret\n");
    }
}

#[test]
fn a_host_that_is_no_name_closes_the_channel() {
    let mut rig = in_the_clear(Side::LateClient);
    rig.chat(|chat| connector().start_tls("no name", chat).unwrap());
    rig.turn(Duration::ZERO);
    assert_eq!(rig.log(), ["Io(InvalidInput)"]);
}

/// All has left, and there is nobody to be told of the end.
#[test]
fn a_peer_that_has_gone_after_its_end_is_no_failure() {
    for side in SIDES {
        let mut rig = Rig::new(side);
        rig.talk();
        rig.log.borrow_mut().clear();
        rig.from.borrow_mut().is_gone = true;
        rig.peer.send_close_notify();
        rig.talk();
        assert_eq!(rig.log(), ["eof", "Done"]);
    }
}

/// It reads on, to be able to close without a reset.
#[test]
fn garbage_behind_our_own_end_closes_the_channel() {
    for side in SIDES {
        let mut rig = Rig::new(side);
        rig.talk();
        rig.whisper("hello\n");
        rig.chat(|chat| chat.close_when_done());
        rig.turn(Duration::ZERO);
        rig.say(&[0x55; 20_000]);
        assert_eq!(rig.log().last().unwrap(), "Done");
    }
}
