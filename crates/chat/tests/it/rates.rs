//! Rates: how much a channel receives and sends in a time. The clock is the test's.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::{Duration, Instant};

use chat::{
    AsyncChat, ChannelMap, Chat, ChatHandler, CloseReason, Deadline, Dispatcher, DispatcherHandler,
    Endpoint, Limits, More, Producer, Rate, Readiness, Registration, Result, Terminator, Token,
    Transport,
};

use crate::common::{Log, name, turn_until};

const MILLISECOND: Duration = Duration::from_millis(1);

/// A peer that has sent so much, and takes everything.
#[derive(Clone, Debug, Default)]
struct Pipe(Rc<Ends>);

#[derive(Debug, Default)]
struct Ends {
    /// Bytes that were not received yet.
    coming: Cell<usize>,
    received: Cell<usize>,
    sent: Cell<usize>,
}

impl Pipe {
    fn say(&self, len: usize) {
        self.0.coming.set(self.0.coming.get() + len);
    }

    fn received(&self) -> usize {
        self.0.received.get()
    }

    fn sent(&self) -> usize {
        self.0.sent.get()
    }
}

impl Transport for Pipe {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(self.0.coming.get());
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.coming.set(self.0.coming.get() - len);
        self.0.received.set(self.0.received.get() + len);
        Ok(len)
    }

    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let len: usize = slices.iter().map(|slice| slice.len()).sum();
        self.0.sent.set(self.0.sent.get() + len);
        Ok(len)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Output without end.
struct Zeros;

impl Producer for Zeros {
    fn more(&mut self, out: &mut Vec<u8>, max: usize) -> io::Result<More> {
        out.resize(out.len() + max, 0);
        Ok(More::Again)
    }
}

/// Logs deadlines and the end.
struct Taking(Log);

impl ChatHandler for Taking {
    fn collect_incoming_data(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        Ok(())
    }

    fn handle_deadline(&mut self, deadline: Deadline, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add(format!("{deadline:?}"));
        Ok(())
    }

    fn handle_finished(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.add("finished");
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        self.0.add(format!("close {}", name(&reason)));
    }
}

/// A dispatcher that takes what there is, and sends as much as it can.
struct Raw {
    sends: bool,
}

impl DispatcherHandler for Raw {
    fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        loop {
            endpoint.recv(&mut [0; 65_536])?;
        }
    }

    fn writable(&self, _: &Endpoint) -> bool {
        self.sends
    }

    fn handle_write(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        loop {
            endpoint.send(&[0; 65_536])?;
        }
    }
}

fn rate(bytes_per_second: u64, burst: u64) -> Rate {
    Rate {
        bytes_per_second,
        burst,
    }
}

/// The same in both directions.
fn rated(rate: Rate) -> Limits {
    let mut limits = Limits::default();
    (limits.receive_rate, limits.send_rate) = (rate, rate);
    limits
}

struct World {
    map: ChannelMap,
    log: Log,
    pipes: Vec<(Token, Pipe)>,
    /// Turns that had something to do.
    turns: usize,
}

impl World {
    fn new() -> Self {
        Self {
            map: ChannelMap::new().unwrap(),
            log: Log::default(),
            pipes: Vec::new(),
            turns: 0,
        }
    }

    fn enter(
        &mut self,
        terminator: impl Into<Terminator>,
        limits: Limits,
    ) -> (chat::Handle<AsyncChat<Taking>>, Pipe) {
        let pipe = Pipe::default();
        let taking = Taking(self.log.clone());
        let channel = AsyncChat::over(pipe.clone(), terminator, taking).limited(limits);
        let me = self.map.insert(channel).unwrap();
        self.pipes.push((me.token(), pipe.clone()));
        self.pass(Duration::ZERO);
        (me, pipe)
    }

    fn chat(&mut self, me: chat::Handle<AsyncChat<Taking>>) -> &mut Chat {
        &mut self.map.get_mut(me).unwrap().chat
    }

    /// One turn, with the events that a poller would report.
    fn turn(&mut self, now: Instant) -> usize {
        for (me, pipe) in &self.pipes {
            if pipe.0.coming.get() > 0 {
                self.map.dispatch(*me, Readiness::READABLE);
            }
        }
        self.map.turn_at(now).unwrap()
    }

    /// Lets the time pass, by the millisecond.
    fn pass(&mut self, time: Duration) {
        let mut now = self.map.now();
        let end = now + time;
        loop {
            while self.turn(now) > 0 {
                self.turns += 1;
            }
            if now >= end {
                return;
            }
            now = (now + MILLISECOND).min(end);
        }
    }

    fn pass_seconds(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }
}

fn assert_near(what: &str, got: usize, expected: u64) {
    let ratio = got as f64 / expected as f64;
    assert!((0.95..=1.05).contains(&ratio), "{what}: {got}, {expected}");
}

/// 64 rests a second, each of two or three turns, and as many more as the bytes take.
#[test]
fn ten_seconds_bring_ten_times_the_rate_in_and_out_and_the_loop_rests_between() {
    for bytes in [1_000, 1_000_000, 100_000_000] {
        let mut world = World::new();
        let (_, pipe) = world.enter(Terminator::none(), rated(rate(bytes, 0)));
        pipe.say(usize::MAX / 2);
        world.pass_seconds(10);
        assert_near("in", pipe.received(), 10 * bytes);
        let reads = pipe.received() / 262_144;
        assert!(world.turns <= 640 * 2 + reads, "{} turns", world.turns);

        let mut world = World::new();
        let (me, pipe) = world.enter(Terminator::none(), rated(rate(bytes, 0)));
        world.chat(me).push_with_producer(Zeros);
        world.pass_seconds(10);
        assert_near("out", pipe.sent(), 10 * bytes);
        let sends = pipe.sent() / (1 << 20);
        assert!(world.turns <= 640 * 3 + 2 * sends, "{} turns", world.turns);
    }
}

#[test]
fn a_dispatchers_own_calls_have_the_rate_too() {
    for bytes in [1_000, 1_000_000, 100_000_000] {
        for sends in [false, true] {
            let pipe = Pipe::default();
            let mut world = World::new();
            let channel = Dispatcher::over(pipe.clone(), Raw { sends });
            let me = world.map.insert(channel.limited(rated(rate(bytes, 0))));
            let me: Token = me.unwrap().token();
            world.pipes.push((me, pipe.clone()));
            if !sends {
                pipe.say(usize::MAX / 2);
            }
            let end = world.map.now() + Duration::from_secs(10);
            while world.map.now() < end {
                if sends {
                    world.map.dispatch(me, Readiness::WRITABLE);
                }
                world.pass(MILLISECOND);
            }
            match sends {
                true => assert_near("out", pipe.sent(), 10 * bytes),
                false => assert_near("in", pipe.received(), 10 * bytes),
            }
        }
    }
}

#[test]
fn a_burst_passes_at_once_and_again_after_a_pause_but_never_twice() {
    let mut world = World::new();
    let (me, pipe) = world.enter(Terminator::none(), rated(rate(1_000, 5_000)));
    pipe.say(100_000);
    world.chat(me).push([0; 100_000]);
    world.pass(Duration::ZERO);
    assert_eq!((pipe.received(), pipe.sent()), (5_000, 5_000));
    world.pass_seconds(95);
    assert_near("received", pipe.received(), 100_000);
    assert_near("sent", pipe.sent(), 100_000);

    for (pause, burst) in [(3, 3_000), (1_000, 5_000)] {
        world.pass_seconds(5); // for what is left, and then until nothing is
        let (received, sent) = (pipe.received(), pipe.sent());
        pipe.say(100_000);
        world.chat(me).push([0; 100_000]);
        world.pass(Duration::ZERO);
        assert_eq!(
            (pipe.received(), pipe.sent()),
            (received + 5_000, sent + 5_000)
        );
        pipe.0.coming.set(0);
        world.chat(me).discard_buffers();
        world.pass_seconds(pause);
        let (received, sent) = (pipe.received(), pipe.sent());
        pipe.say(100_000);
        world.chat(me).push([0; 100_000]);
        world.pass(Duration::ZERO);
        assert_near("received", pipe.received() - received, burst);
        assert_near("sent", pipe.sent() - sent, burst);
        pipe.0.coming.set(0);
        world.chat(me).discard_buffers();
    }
}

/// What was spent long before the bucket is looked at does not fill it twice.
#[test]
fn a_little_now_and_then_never_waits() {
    let mut world = World::new();
    let (me, pipe) = world.enter(Terminator::none(), rated(rate(1_000, 1_000)));
    for nth in 1..=100 {
        pipe.say(900);
        world.chat(me).push([0; 900]);
        world.pass(Duration::ZERO);
        assert_eq!((pipe.received(), pipe.sent()), (900 * nth, 900 * nth));
        world.pass(Duration::from_millis(900));
    }
}

#[test]
fn each_channel_has_a_rate_of_its_own() {
    let mut world = World::new();
    let (_, slow) = world.enter(Terminator::none(), rated(rate(1_000, 0)));
    let (_, fast) = world.enter(Terminator::none(), rated(rate(1_000_000, 0)));
    let (_, free) = world.enter(Terminator::none(), Limits::default());
    for pipe in [&slow, &fast, &free] {
        pipe.say(100_000_000);
    }
    world.pass(Duration::ZERO);
    assert_eq!(free.received(), 100_000_000);
    world.pass_seconds(10);
    assert_near("slow", slow.received(), 10_000);
    assert_near("fast", fast.received(), 10_000_000);
}

#[test]
fn other_limits_have_another_rate_at_once_and_no_burst_of_their_own() {
    let mut world = World::new();
    let (me, pipe) = world.enter(Terminator::none(), rated(rate(10, 1_000)));
    pipe.say(100_000);
    world.chat(me).push([0; 100_000]);
    world.pass_seconds(10);
    assert_near("received", pipe.received(), 1_100);
    world.chat(me).set_limits(rated(rate(1_000, 1_000)));
    world.pass_seconds(10);
    assert_near("received", pipe.received(), 11_100);
    assert_near("sent", pipe.sent(), 11_100);
    world.chat(me).set_limits(Limits::default());
    world.pass(Duration::ZERO);
    assert_eq!((pipe.received(), pipe.sent()), (100_000, 100_000));
}

#[test]
fn a_conversion_brings_no_new_burst() {
    for is_swapped in [true, false] {
        let mut world = World::new();
        let (me, pipe) = world.enter(Terminator::none(), rated(rate(1_000, 5_000)));
        pipe.say(100_000);
        world.chat(me).push([0; 100_000]);
        world.pass(Duration::ZERO);
        if is_swapped {
            let converted = world.map.convert(me, |it| it.with_handler(|taking| taking));
            converted.unwrap();
        } else {
            let raw = Raw { sends: false };
            let to_raw = |it: AsyncChat<Taking>| Dispatcher::new(it.chat.into_endpoint(), raw);
            world.map.convert(me, to_raw).unwrap();
        }
        world.pass_seconds(10);
        assert_near("received", pipe.received(), 15_000);
        assert_near("sent", pipe.sent(), 15_000);
    }
}

/// A push above the high-water mark, and one that is too much.
#[test]
fn a_large_push_does_not_get_past_the_rate() {
    let mut world = World::new();
    let mut limits = rated(rate(1_000, 2_000));
    limits.output = 300_000;
    let (me, pipe) = world.enter(Terminator::none(), limits);
    assert!(world.chat(me).push([0; 200_000]));
    assert!(world.chat(me).push([0; 100_000]));
    assert_eq!(pipe.sent(), 2_000);
    assert!(!world.chat(me).push([0; 100_000]));
    assert_eq!(pipe.sent(), 2_000);
    world.pass(Duration::ZERO);
    assert_eq!(world.log.all(), ["close OutputOverLimit"]);
}

#[test]
fn a_channel_that_closes_when_done_keeps_its_send_rate_and_close_does_not_wait() {
    let mut world = World::new();
    let (me, pipe) = world.enter(Terminator::none(), rated(rate(1_000, 0)));
    world.chat(me).push([0; 10_000]);
    world.chat(me).close_when_done();
    pipe.say(100_000);
    world.pass_seconds(5);
    assert_near("sent", pipe.sent(), 5_000);
    assert_eq!(pipe.received(), 100_000, "what it discards has no rate");
    assert_eq!(world.log.len(), 0);
    world.pass_seconds(6);
    assert_eq!(
        (pipe.sent(), world.log.take()),
        (10_000, vec!["finished".to_owned()])
    );
    world.pass_seconds(2);
    assert_eq!(world.log.take(), ["close Done"]);

    let (me, pipe) = world.enter(Terminator::none(), rated(rate(1_000, 0)));
    world.chat(me).push([0; 10_000]);
    world.pass_seconds(1);
    world.chat(me).close();
    world.pass(Duration::ZERO);
    assert_near("sent", pipe.sent(), 1_000);
    assert_eq!(world.log.take(), ["close Requested"]);
}

/// It comes behind the push that has begun.
#[test]
fn a_goodbye_that_leaves_at_once_does_not_wait_for_the_rate() {
    let mut limits = rated(rate(1_000, 0));
    limits.goodbye = "bye\n".into();
    let mut world = World::new();
    let (me, pipe) = world.enter(Terminator::none(), limits);
    world.chat(me).push([0; 10_000]);
    world.pass(Duration::ZERO);
    assert_eq!(pipe.sent(), 32);
    world.map.close_with(me, CloseReason::Shutdown);
    world.pass(Duration::ZERO);
    assert_eq!(pipe.sent(), 10_004);
    assert_eq!(world.log.all(), ["finished", "close Shutdown"]);
}

#[test]
fn datagrams_have_no_rate() {
    let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let mut map = ChannelMap::new().unwrap();
    let raw = Dispatcher::new(ours, Raw { sends: false });
    let me = map.insert(raw.limited(rated(rate(1, 0)))).unwrap();
    for _ in 0..5 {
        theirs.send(&[0; 1_000]).unwrap();
    }
    turn_until(&mut map, |map| {
        map.get(me).unwrap().endpoint.received() == 5_000
    });
}

/// A line that takes us 65 s has 60 s beside those.
#[test]
fn the_time_of_a_message_does_not_run_while_its_channel_rests() {
    let mut world = World::new();
    let (_, pipe) = world.enter("\n", rated(rate(1_000, 0)));
    pipe.say(65_000);
    world.pass_seconds(120);
    assert_eq!((pipe.received(), world.log.len()), (65_000, 0));
    world.pass_seconds(10);
    assert_eq!(world.log.take(), ["Message"]);
}

/// Sixteen bytes a second would be no rest, at this rate, but for a hundredth of the time.
#[test]
fn a_peer_that_dribbles_is_given_up_as_soon_as_without_a_rate() {
    for limits in [Limits::default(), rated(rate(1_600, 0))] {
        let mut world = World::new();
        let (_, pipe) = world.enter("\n", limits);
        for _ in 0..59 {
            pipe.say(16);
            world.pass_seconds(1);
        }
        assert_eq!(world.log.len(), 0);
        for _ in 0..3 {
            pipe.say(16);
            world.pass_seconds(1);
        }
        assert_eq!(world.log.take(), ["Message"]);
    }
}

/// Less than the 240 bytes a second that are asked of the peer.
#[test]
fn a_message_by_count_may_come_as_slowly_as_it_is_received() {
    let mut world = World::new();
    let (_, pipe) = world.enter(10_000, rated(rate(100, 0)));
    pipe.say(9_999);
    world.pass_seconds(130);
    assert_eq!((pipe.received(), world.log.len()), (9_999, 0));
    world.pass_seconds(11);
    assert_eq!(world.log.take(), ["Message"]);
}

/// One byte a second: the channel waits 16 s for its next bytes.
#[test]
fn a_peer_is_neither_idle_nor_stalled_while_the_channel_rests() {
    let mut limits = rated(rate(1, 0));
    (limits.idle, limits.stall) = (Duration::from_secs(5), Duration::from_secs(5));
    let mut world = World::new();
    let (me, pipe) = world.enter(Terminator::none(), limits.clone());
    pipe.say(65);
    world.pass_seconds(47);
    assert_eq!((pipe.received(), world.log.len()), (64, 0));
    world.pass_seconds(20);
    assert_eq!(pipe.received(), 65);
    assert!(world.log.has("Idle"), "nothing more has come for so long");
    world.log.take();
    world.chat(me).close();

    let (me, pipe) = world.enter(Terminator::none(), limits);
    world.chat(me).push([0; 65]);
    world.chat(me).close_when_done();
    world.pass_seconds(47);
    assert_eq!(
        (pipe.sent(), world.log.take()),
        (64, vec!["close Requested".to_owned()])
    );
    world.pass_seconds(1);
    assert_eq!(
        (pipe.sent(), world.log.take()),
        (65, vec!["finished".to_owned()])
    );
}
