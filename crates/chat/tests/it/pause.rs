//! Pausing: nothing is delivered, nothing is lost, and little is held.

use std::io::{ErrorKind, Write};

use chat::{AsyncChat, ChannelMap, Chat, ChatHandler, CloseReason, Handle, Limits, Result};

use crate::common::sim::{self, Peer};
use crate::common::{self, Log, Probe, assert_rest, turn_to_rest, turn_until, unix_pair};

fn simulated(map: &mut ChannelMap, probe: Probe) -> (Handle<AsyncChat<Probe>>, Peer) {
    let (line, peer) = sim::line();
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    sim::settle(map, me, &peer);
    (me, peer)
}

fn pausing_at_every_line(log: &Log) -> Probe {
    Probe::new(log).on_message(|_, chat, _| {
        chat.pause();
        assert!(chat.is_paused());
        Ok(())
    })
}

#[test]
fn lines_already_read_wait_for_resume_which_needs_no_new_input() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, pausing_at_every_line(&log));
    log.take();
    peer.say("1\n2\n3\n");
    for line in 1..=3 {
        sim::settle(&mut map, me, &peer);
        assert_eq!(log.take(), [format!("message {line}")]);
        map.get_mut(me).unwrap().chat.resume();
    }
}

/// If so told: by default some input is received.
#[test]
fn nothing_is_received_while_paused_if_nothing_is_to_be_held() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, pausing_at_every_line(&log));
    let mut limits = Limits::default();
    limits.held = 0;
    map.get_mut(me).unwrap().chat.set_limits(limits);
    peer.say("1\n");
    peer.say("2\n");
    sim::settle(&mut map, me, &peer);
    assert_eq!((log.count("message"), peer.waiting()), (1, 1));
    map.get_mut(me).unwrap().chat.resume();
    sim::settle(&mut map, me, &peer);
    assert_eq!((log.count("message"), peer.waiting()), (2, 0));
}

#[test]
fn the_end_of_the_input_waits_for_resume_too() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, pausing_at_every_line(&log));
    log.take();
    peer.say("1\n2");
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.take(), ["message 1", "peer finished"]);
    map.get_mut(me).unwrap().chat.resume();
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.take(), ["eof 2", "close Eof"]);
}

#[test]
fn a_paused_channel_sends_and_can_be_closed() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Probe::new(&log));
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.pause();
    chat.push("sent");
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent(), b"sent");
    map.get_mut(me).unwrap().chat.close_when_done();
    peer.say("discarded\n");
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["connect", "close Done"]);
}

#[test]
fn a_paused_channel_whose_peer_is_gone_is_closed_when_sending_fails() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Probe::new(&log));
    peer.fail_sends(ErrorKind::BrokenPipe);
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.pause();
    chat.push("into the void");
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["connect", "close Io(BrokenPipe)"]);
}

/// D6a: the peer's own socket fills up.
///
/// Over a real socket, where the peer is held back by it; and neither the
/// unread input nor the peer's going away makes the loop turn.
#[test]
fn a_paused_channel_holds_the_peer_back_and_costs_no_turns() {
    let log = Log::default();
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(AsyncChat::new(ours, "\n", pausing_at_every_line(&log)))
        .unwrap();
    let mut written = 0;
    while let Ok(len) = theirs.write(&b"x\n".repeat(1_000)) {
        written += len;
        map.turn(Some(std::time::Duration::ZERO)).unwrap();
    }
    assert!(written < 5_000_000, "{written}");
    drop(theirs);
    assert_rest(&mut map);
    assert_eq!(log.count("message"), 1);

    turn_until(&mut map, |map| match map.get_mut(me) {
        Ok(channel) => {
            channel.chat.resume();
            false
        }
        Err(_) => true,
    });
    assert_eq!(log.count("message"), written / 2, "and nothing was lost");
}

/// A handler that resumes another channel: a proxy's flow control.
#[test]
fn a_channel_can_be_paused_and_resumed_by_another() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (held, held_peer) = simulated(&mut map, Probe::new(&log));
    let gate = Probe::default().on_message(move |line, _, map| {
        let held = &mut map.get_mut(held)?.chat;
        match line {
            b"open" => held.resume(),
            _ => held.pause(),
        }
        Ok(())
    });
    let (gate, gate_peer) = simulated(&mut map, gate);
    log.take();
    gate_peer.say("shut\n");
    sim::settle(&mut map, gate, &gate_peer);
    held_peer.say("waiting\n");
    sim::settle(&mut map, held, &held_peer);
    assert_eq!(log.len(), 0);
    gate_peer.say("open\n");
    sim::settle(&mut map, gate, &gate_peer);
    sim::settle(&mut map, held, &held_peer);
    assert_eq!(log.all(), ["message waiting"]);
}

#[test]
fn a_pause_within_a_handful_of_pieces_keeps_their_order() {
    let log = Log::default();
    let mut limits = Limits::default();
    limits.in_buffer_size = 4;
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::over(line, "\r\n", pausing_at_every_line(&log)).limited(limits);
    let me = map.insert(channel).unwrap();
    peer.say("a\r\nb\r\n\r\ncdefgh\r\ni\r\n");
    for _ in 0..20 {
        sim::settle(&mut map, me, &peer);
        map.get_mut(me).unwrap().chat.resume();
    }
    let expected = ["a", "b", "", "cdefgh", "i"].map(|line| format!("message {line}"));
    assert_eq!(log.all()[1..], expected);
}

#[test]
fn pausing_in_handle_connect_delivers_nothing() {
    let log = Log::default();
    let (ours, mut theirs) = unix_pair();
    theirs.write_all(b"early\n").unwrap();
    let probe = Probe::new(&log).on_connect(|chat, _| {
        chat.pause();
        Ok(())
    });
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::new(ours, "\n", probe)).unwrap();
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["connect"]);
    map.get_mut(me).unwrap().chat.resume();
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["connect", "message early"]);
}

/// Pauses at what may have been a terminator, which comes with the end of the input.
struct Late(Log);

impl ChatHandler for Late {
    fn collect_incoming_data(
        &mut self,
        data: &[u8],
        chat: &mut Chat,
        _: &mut ChannelMap,
    ) -> Result {
        self.0.add(data.escape_ascii().to_string());
        if data == b"\r" {
            chat.pause();
        }
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        Ok(())
    }

    fn handle_eof(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add("eof");
        chat.close();
        Ok(())
    }
}

#[test]
fn an_end_that_was_received_is_told_when_the_pause_is_over() {
    let log = Log::default();
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(AsyncChat::over(line, "\r\n", Late(log.clone())))
        .unwrap();
    peer.say("abc\r");
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["abc", r"\r"]);
    map.get_mut(me).unwrap().chat.resume();
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["abc", r"\r", "eof"]);
}

/// Puts lines back at the end of the input, and answers over a line that fails.
struct Answering(Log);

impl ChatHandler for Answering {
    fn collect_incoming_data(
        &mut self,
        data: &[u8],
        chat: &mut Chat,
        _: &mut ChannelMap,
    ) -> Result {
        self.0.add(data.escape_ascii().to_string());
        if data == b"\n." {
            chat.unread("x\ny\nz\n");
            chat.set_terminator("\n");
            chat.push("answer");
        }
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        self.0.add(common::name(&reason));
    }
}

#[test]
fn held_input_is_delivered_though_sending_failed_after_the_end() {
    let log = Log::default();
    let (line, peer) = sim::line();
    let mut limits = Limits::default();
    limits.received_per_turn = 1;
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::over(line, "\n.\n", Answering(log.clone())).limited(limits);
    let me = map.insert(channel).unwrap();
    peer.fail_sends(ErrorKind::BrokenPipe);
    peer.say("abc\n.");
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["abc", r"\n.", "x", "y", "z", "Io(BrokenPipe)"]);
}
