//! A handshake that comes to nothing ends in time, for its reason; meanwhile the loop rests.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use chat::AsyncChat;

use crate::rig::{Probe, Rig, SECOND, SIDES, Side};

#[test]
fn a_peer_that_falls_silent_is_given_up_after_ten_seconds() {
    for side in SIDES {
        for part in 0..4 {
            let mut rig = Rig::new(side);
            let words = rig.words();
            // A server's words are all that a client needs.
            let is_last = matches!(side, Side::Client | Side::LateClient);
            let said = [0, 1, words.len() / 2, words.len() - usize::from(is_last)][part];
            rig.say(&words[..said]);
            assert!(rig.turn(9 * SECOND) <= 3, "it rests");
            assert_eq!(rig.log(), [""; 0]);
            rig.turn(SECOND);
            assert_eq!(rig.log(), ["Missed(Handshake)"]);
            assert_eq!((rig.map.len(), rig.map.timers()), (0, 0));
        }
    }
}

#[test]
fn a_handshake_byte_by_byte_is_one() {
    for side in SIDES {
        let mut rig = Rig::new(side);
        while rig.peer.is_handshaking() {
            for byte in rig.words() {
                rig.say(&[byte]);
            }
        }
        rig.peer.writer().write_all(b"hello\n").unwrap();
        for byte in rig.words() {
            rig.say(&[byte]);
        }
        let expected = match side {
            Side::Server | Side::Client => &["connect", "hello"][..],
            Side::LateServer | Side::LateClient => &["hello"],
        };
        assert_eq!(rig.log(), expected);
        rig.turn(20 * SECOND);
        assert_eq!(rig.log(), expected);
        assert_eq!(rig.map.timers(), 0);
    }
}

#[test]
fn garbage_and_an_early_end_and_a_reset_close_the_channel_at_once() {
    for side in SIDES {
        for (what, reason) in [
            ("garbage", "Io(InvalidData)"),
            ("end", "Io(UnexpectedEof)"),
            ("reset", "Io(ConnectionReset)"),
        ] {
            let mut rig = Rig::new(side);
            let words = rig.words();
            rig.say(&words[..words.len() / 2]);
            match what {
                "garbage" => rig.say(&[0x55; 20_000]),
                "end" => rig.to.borrow_mut().is_shut = true,
                _ => rig.to.borrow_mut().error = Some(ErrorKind::ConnectionReset),
            }
            rig.turn(Duration::ZERO);
            assert_eq!(rig.log(), [reason], "{what}");
            assert_eq!((rig.map.len(), rig.map.timers()), (0, 0));
            if what == "garbage" {
                assert!(!rig.from.borrow().bytes.is_empty(), "an alert");
            }
        }
    }
}

#[test]
fn a_drain_or_a_close_in_the_middle_ends_it() {
    for side in SIDES {
        let mut rig = Rig::new(side);
        rig.map.shut_down(rig.map.after(5 * SECOND));
        rig.turn(6 * SECOND);
        assert_eq!(rig.log(), ["Shutdown"]);
        let mut rig = Rig::new(side);
        rig.map.close(rig.me);
        rig.turn(Duration::ZERO);
        assert_eq!(rig.log(), ["Requested"]);
        assert_eq!((rig.map.len(), rig.map.timers()), (0, 0));
    }
}

#[test]
fn what_is_pushed_in_the_clear_leaves_before_and_what_follows_goes_through_tls() {
    for side in [Side::LateServer, Side::LateClient] {
        let mut rig = Rig::new(side);
        let me = rig.me.handle::<AsyncChat<Probe>>();
        rig.map.get_mut(me).unwrap().chat.push("secret\n");
        rig.turn(Duration::ZERO);
        while rig.peer.is_handshaking() {
            let words = rig.words();
            rig.say(&words);
        }
        rig.words();
        let mut heard = [0; 100];
        assert_eq!(rig.peer.reader().read(&mut heard).unwrap(), 7);
        assert_eq!(&heard[..7], b"secret\n");
    }
}
