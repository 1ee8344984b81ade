//! One turn does a bounded amount of work for a channel: of its input, here.

use chat::{
    AsyncChat, ChannelMap, Chat, ChatHandler, Dispatcher, DispatcherHandler, Endpoint, Limits,
    Result, Terminator,
};

use crate::common::sim::{self, Peer};
use crate::common::{Log, Probe, turn_until};

/// A channel over the simulated network, and one turn for `handle_connect`.
fn simulated<H: ChatHandler>(
    map: &mut ChannelMap,
    terminator: impl Into<Terminator>,
    handler: H,
    limits: Limits,
) -> (chat::Handle<AsyncChat<H>>, Peer) {
    let (line, peer) = sim::line();
    let channel = AsyncChat::over(line, terminator, handler).limited(limits);
    let me = map.insert(channel).unwrap();
    sim::settle(map, me, &peer);
    (me, peer)
}

/// Counts the bytes it gets.
struct Counting(usize);

impl ChatHandler for Counting {
    fn collect_incoming_data(&mut self, data: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0 += data.len();
        Ok(())
    }
}

#[test]
fn a_turn_delivers_its_messages_and_the_rest_without_further_input() {
    let log = Log::default();
    let mut limits = Limits::default();
    limits.received_per_turn = 3 * 256;
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, "\n", Probe::new(&log), limits);
    log.take();
    peer.say("1\n2\n3\n4\n5\n6\n7\n");
    for expected in [3, 6, 7, 7] {
        sim::step(&mut map, me, &peer);
        assert_eq!(log.len(), expected);
    }
}

#[test]
fn a_turn_reads_received_per_turn() {
    let mut limits = Limits::default();
    limits.in_buffer_size = 10;
    limits.received_per_turn = 30;
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, Terminator::none(), Counting(0), limits);
    peer.say([0; 1_000]);
    for expected in [30, 60, 90] {
        sim::step(&mut map, me, &peer);
        assert_eq!(map.get(me).unwrap().handler.0, expected);
    }
}

/// What goes by its length is never held, so that four of a turn's reads may be one.
#[test]
fn a_turns_reads_of_a_long_message_are_long_ones() {
    for (terminator, recvs) in [
        (Terminator::none(), 4),
        (Terminator::from(2_000_000), 4),
        (Terminator::from("\n"), 16),
    ] {
        let mut limits = Limits::default();
        limits.message = 2_000_000;
        let mut map = ChannelMap::new().unwrap();
        let counting = Counting(0);
        let (me, peer) = simulated(&mut map, terminator, counting, limits);
        peer.say(vec![0; 2_000_000]);
        sim::step(&mut map, me, &peer);
        assert_eq!(peer.recvs(), recvs);
        assert_eq!(map.get(me).unwrap().handler.0, 1 << 20);
    }
}

/// A busy channel and a quiet one: the quiet one's line is not made to wait
/// for all of the other's.
#[test]
fn a_flood_on_one_channel_leaves_turns_for_the_others() {
    let (busy_log, quiet_log) = (Log::default(), Log::default());
    let mut limits = Limits::default();
    limits.received_per_turn = 10 * 256;
    let mut map = ChannelMap::new().unwrap();
    let (busy, flood) = simulated(&mut map, "\n", Probe::new(&busy_log), limits);
    let (quiet, peer) = simulated(&mut map, "\n", Probe::new(&quiet_log), Limits::default());
    flood.say("x\n".repeat(10_000));
    sim::step(&mut map, busy, &flood);
    peer.say("hello\n");
    map.dispatch(quiet, chat::Readiness::READABLE);
    sim::step(&mut map, busy, &flood);
    assert!(quiet_log.has("message hello"));
    assert!(busy_log.count("message") <= 20);
    sim::settle(&mut map, busy, &flood);
    assert_eq!(busy_log.count("message"), 10_000);
}

/// 256 bytes and its own: by default, so many messages are a mebibyte.
#[test]
fn a_turn_delivers_4096_of_the_shortest_messages() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, "\n", Probe::new(&log), Limits::default());
    log.take();
    peer.say("\n".repeat(10_000));
    for expected in [4_096, 8_192, 10_000, 10_000] {
        sim::step(&mut map, me, &peer);
        assert_eq!(log.len(), expected);
    }
}

/// A dispatcher's handler that receives until it would block does so, too.
#[test]
fn a_turn_hands_out_received_per_turn_and_no_more() {
    struct Greedy(usize);
    impl DispatcherHandler for Greedy {
        fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
            loop {
                self.0 += endpoint.recv(&mut [0; 1_000])?;
            }
        }
    }
    let mut limits = Limits::default();
    limits.received_per_turn = 2 * (1_000 + 256);
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let channel = Dispatcher::over(line, Greedy(0)).limited(limits);
    let me = map.insert(channel).unwrap();
    peer.say([0; 5_000]);
    for expected in [2_000, 4_000, 5_000, 5_000] {
        sim::step(&mut map, me, &peer);
        assert_eq!(map.get(me).unwrap().handler.0, expected);
    }
}

/// Datagrams are handed out in the same way.
#[test]
fn a_turn_hands_out_some_datagrams_and_the_next_one_the_others() {
    struct Greedy(usize);
    impl DispatcherHandler for Greedy {
        fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
            loop {
                endpoint.recv_from(&mut [0; 100])?;
                self.0 += 1;
            }
        }
    }
    let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
    for _ in 0..5 {
        theirs.send(b"hello").unwrap();
    }
    let mut limits = Limits::default();
    limits.received_per_turn = 3 * 256;
    let mut map = ChannelMap::new().unwrap();
    let channel = Dispatcher::new(ours, Greedy(0)).limited(limits);
    let me = map.insert(channel).unwrap();
    let mut counts = vec![0];
    turn_until(&mut map, |map| {
        let count = map.get(me).unwrap().handler.0;
        if counts.last() != Some(&count) {
            counts.push(count);
        }
        count == 5
    });
    assert_eq!(counts, [0, 3, 5]);
}

/// A closing channel discards no more in a turn, either.
#[test]
fn a_turn_discards_received_per_turn() {
    let mut limits = Limits::default();
    limits.received_per_turn = 100;
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, "\n", Probe::default(), limits);
    map.get_mut(me).unwrap().chat.close_when_done();
    for _ in 0..5 {
        peer.say([0; 60]);
    }
    for expected in [120, 240, 300] {
        sim::step(&mut map, me, &peer);
        assert_eq!(map.get(me).unwrap().chat.received(), expected);
    }
}

/// Nor do the values of one client keep the lines of another waiting for more than a mebibyte.
#[test]
fn a_long_message_by_count_leaves_turns_for_the_others() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (busy, flood) = simulated(&mut map, 10_000_000, Counting(0), Limits::default());
    let (quiet, peer) = simulated(&mut map, "\n", Probe::new(&log), Limits::default());
    flood.say(vec![0; 10_000_000]);
    for turn in 1..=9 {
        peer.say("hello\n");
        map.dispatch(quiet, chat::Readiness::READABLE);
        sim::step(&mut map, busy, &flood);
        assert_eq!(log.count("message hello"), turn);
        assert_eq!(map.get(busy).unwrap().handler.0, turn << 20);
    }
}
