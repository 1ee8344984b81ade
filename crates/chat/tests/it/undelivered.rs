//! The number of input bytes that wait: a program checks it before it changes the protocol.

use std::cell::RefCell;
use std::rc::Rc;

use crate::common::{Probe, sim};
use chat::{AsyncChat, ChannelMap};

/// What each message of `input` finds undelivered, and what is when all is delivered.
/// At each message, `put_back` becomes input again.
fn undelivered(input: &[&str], put_back: &'static str) -> (Vec<usize>, usize) {
    let found = Rc::new(RefCell::new(Vec::new()));
    let inner = Rc::clone(&found);
    let probe = Probe::default().on_message(move |message, chat, _| {
        if message == b"again" {
            chat.unread(put_back);
        }
        inner.borrow_mut().push(chat.undelivered());
        Ok(())
    });
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, "\r\n", probe)).unwrap();
    for piece in input {
        peer.say(piece);
        sim::settle(&mut map, me, &peer);
    }
    let left = map.get(me).unwrap().chat.undelivered();
    (found.take(), left)
}

#[test]
fn the_rest_of_the_read_is_undelivered_and_afterwards_nothing() {
    assert_eq!(undelivered(&["one\r\n"], ""), (vec![0], 0));
    assert_eq!(undelivered(&["one\r\ntwo\r\n"], ""), (vec![5, 0], 0));
    assert_eq!(undelivered(&["one\r\ntw", "o\r\n"], ""), (vec![2, 0], 0));
}

#[test]
fn the_beginning_of_a_terminator_is_undelivered() {
    assert_eq!(undelivered(&["one\r"], ""), (vec![], 1));
    assert_eq!(undelivered(&["one\r\ntwo\r"], ""), (vec![4], 1));
}

#[test]
fn input_that_was_put_back_is_undelivered_with_the_rest_of_the_read() {
    let (found, left) = undelivered(&["again\r\ntwo\r\n"], "one\r\n");
    assert_eq!((found, left), (vec![10, 5, 0], 0));
}

#[test]
fn the_collected_part_of_a_message_is_delivered() {
    assert_eq!(undelivered(&["half of a line"], ""), (vec![], 0));
}

/// It delivers nothing more.
#[test]
fn a_channel_that_closes_when_done_keeps_nothing_of_the_read() {
    let probe = Probe::default().on_message(|_, chat, _| {
        chat.push("goodbye\n");
        chat.close_when_done();
        Ok(())
    });
    let (line, peer) = sim::line();
    peer.set_room(0);
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, "\r\n", probe)).unwrap();
    peer.say("one\r\ntwo\r\n");
    sim::settle(&mut map, me, &peer);
    assert_eq!(map.get(me).unwrap().chat.undelivered(), 0);
}
