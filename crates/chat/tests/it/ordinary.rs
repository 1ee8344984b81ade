//! A channel that is connected and open at both ends, with no pause, no failure
//! and nothing held back, is asked little by a turn. Here are channels that were
//! so for a while, and then are not any more.

use std::cell::RefCell;
use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::rc::Rc;

use chat::{AsyncChat, ChannelMap, Chat, ChatHandler, Error, Handle, Limits, Result, Token};

use crate::common::sim::{self, Peer};
use crate::common::{Log, Probe, assert_rest, turn_until, unix_pair};

type Channel = Handle<AsyncChat<Probe>>;

/// A channel that has had a message, and nothing else since.
fn ordinary(map: &mut ChannelMap, probe: Probe, limits: Limits) -> (Channel, Peer) {
    let (line, peer) = sim::line();
    let channel = AsyncChat::over(line, "\n", probe).limited(limits);
    let me = map.insert(channel).unwrap();
    peer.say("hello\n");
    sim::settle(map, me, &peer);
    (me, peer)
}

/// The end of its input is readable for ever.
#[test]
fn an_ordinary_channel_whose_peer_sends_no_more_costs_no_turns() {
    for is_gone in [false, true] {
        let log = Log::default();
        let (ours, mut theirs) = unix_pair();
        let probe = Probe::new(&log).on_eof(|_, _| Ok(()));
        let mut map = ChannelMap::new().unwrap();
        map.insert(AsyncChat::new(ours, "\n", probe)).unwrap();
        theirs.write_all(b"hello\n").unwrap();
        turn_until(&mut map, |_| log.has("message hello"));
        assert_rest(&mut map);
        match is_gone {
            true => drop(theirs),
            false => theirs.shutdown(Shutdown::Write).unwrap(),
        }
        assert_rest(&mut map);
        assert_eq!(log.all(), ["connect", "message hello", "eof"]);
    }
}

/// There is room for it, for ever, and it never goes.
#[test]
fn an_ordinary_channel_whose_transport_cannot_send_any_more_waits_for_no_room() {
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = ordinary(&mut map, Probe::default(), Limits::default());
    peer.use_buffer();
    peer.set_room(0);
    map.get_mut(me).unwrap().chat.push("kept by the transport");
    sim::settle(&mut map, me, &peer);
    peer.fail_sends(ErrorKind::BrokenPipe); // of which a poller tells as of room
    sim::settle(&mut map, me, &peer); // or it never rests
    assert!(map.get(me).unwrap().chat.output_failed());
}

/// With the one that it had, it would take itself for closed.
#[test]
fn an_ordinary_channel_that_is_inserted_again_knows_its_new_token() {
    let seen: Rc<RefCell<Vec<Token>>> = Rc::default();
    let tokens = Rc::clone(&seen);
    let probe = Probe::default().on_message(move |_, chat, map| {
        tokens.borrow_mut().push(chat.token());
        assert!(map.may_continue(chat.token()));
        Ok(())
    });
    let mut here = ChannelMap::new().unwrap();
    let mut there = ChannelMap::new().unwrap();
    let (first, peer) = ordinary(&mut here, probe, Limits::default());
    assert_eq!(seen.take(), [first.token()]);

    let channel = here.remove(first).unwrap();
    let again = here.insert(channel).unwrap();
    peer.say("1\n2\n");
    sim::settle(&mut here, again, &peer);
    assert_eq!(seen.take(), [again.token(); 2]);

    let channel = here.remove(again).unwrap();
    let elsewhere = there.insert(channel).unwrap();
    peer.say("3\n4\n");
    sim::settle(&mut there, elsewhere, &peer);
    assert_eq!(seen.take(), [elsewhere.token(); 2]);
}

/// One read more would deliver one message more.
#[test]
fn a_turns_last_message_may_be_the_last_of_a_full_read() {
    let log = Log::default();
    let mut limits = Limits::default();
    (limits.in_buffer_size, limits.received_per_turn) = (4, 2 * 256);
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = ordinary(&mut map, Probe::new(&log), limits);
    log.take();
    peer.say("1\n2\n3\n4\n");
    for lines in [["message 1", "message 2"], ["message 3", "message 4"]] {
        sim::step(&mut map, me, &peer);
        assert_eq!(log.take(), lines);
    }
}

/// A message by its length is one message, too.
#[test]
fn a_turn_delivers_few_of_the_messages_that_go_by_their_length() {
    let log = Log::default();
    let mut limits = Limits::default();
    limits.received_per_turn = 2 * 256;
    let probe = Probe::new(&log).on_message(|_, chat, _| {
        chat.set_terminator(1);
        Ok(())
    });
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = ordinary(&mut map, probe, limits);
    log.take();
    peer.say("12345");
    for messages in [&["1", "2"][..], &["3", "4"], &["5"]] {
        sim::step(&mut map, me, &peer);
        let expected: Vec<_> = messages.iter().map(|m| format!("message {m}")).collect();
        assert_eq!(log.take(), expected);
    }
}

#[test]
fn a_count_of_zero_ends_a_message_at_once_where_a_read_ends() {
    let log = Log::default();
    let probe = Probe::new(&log).on_message(|message, chat, _| {
        match message {
            b"no body" => chat.set_terminator(0),
            _ => chat.set_terminator("\n"),
        }
        Ok(())
    });
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = ordinary(&mut map, probe, Limits::default());
    log.take();
    peer.say("no body\n");
    sim::step(&mut map, me, &peer);
    assert_eq!(log.take(), ["message no body", "message "]);
}

/// 16 KiB is what a buffer of 4 KiB becomes when so much is pushed.
#[test]
fn what_an_ordinary_channel_has_sent_leaves_its_buffer_to_the_others() {
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = ordinary(&mut map, Probe::default(), Limits::default());
    map.get_mut(me).unwrap().chat.push([b'x'; 9_000]);
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent().len(), 9_000);
    assert_eq!(map.buffers().take_spare().capacity(), 16_384);
}

/// Leaves the messages to a `MessageHandler`, and fails when that has got some.
struct Failing {
    log: Log,
    messages: Probe,
}

impl ChatHandler for Failing {
    fn collect_incoming_data(
        &mut self,
        data: &[u8],
        chat: &mut Chat,
        map: &mut ChannelMap,
    ) -> Result {
        self.messages.collect_incoming_data(data, chat, map)?;
        Err("no room on the disk".into())
    }

    fn found_terminator(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.messages.found_terminator(chat, map)
    }

    fn handle_overlimit(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.log.add("overlimit");
        Ok(())
    }

    fn handle_error(&mut self, error: Error, _: &mut Chat, _: &mut ChannelMap) {
        self.log.add(format!("error {error}"));
    }
}

#[test]
fn a_message_is_too_long_though_the_callback_that_collected_it_failed() {
    let log = Log::default();
    let mut limits = Limits::default();
    limits.counted_message = 3;
    let (line, peer) = sim::line();
    let failing = Failing {
        log: log.clone(),
        messages: Probe::default(),
    };
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(AsyncChat::over(line, 1_000, failing).limited(limits))
        .unwrap();
    sim::settle(&mut map, me, &peer);
    peer.say("1234");
    sim::settle(&mut map, me, &peer); // and nothing more comes
    assert_eq!(log.all(), ["error no room on the disk", "overlimit"]);
    assert!(map.get(me).map_or(true, |channel| channel.chat.closing()));
}
