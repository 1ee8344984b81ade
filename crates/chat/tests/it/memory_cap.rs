//! The memory of all channels together: what counts, and who goes when it is too much.

use std::cell::{Cell, RefCell};
use std::fs;
use std::rc::Rc;

use chat::bytes::Bytes;
use chat::{
    AsyncChat, ChannelMap, Chat, ChatMap, CloseReason, Hold, Limits, MessageHandler, OfferPolicy,
    Readiness, Result, Token,
};

use crate::common::alone::is_alone;
use crate::common::slow::{GOODBYE, Slow, message};
use crate::common::{Log, Probe, name, sim};

const MIB: usize = 1024 * 1024;

/// What an offer counts as, besides its bytes.
const PLACE: usize = 64;

/// A chat channel with a peer that takes nothing yet.
fn silent<H: chat::ChatHandler>(handler: H, map: &mut ChannelMap) -> (Token, sim::Peer) {
    let (line, peer) = sim::line();
    let me = map.insert(AsyncChat::over(line, "\n", handler)).unwrap();
    sim::settle(map, me, &peer);
    peer.set_room(0);
    (me.token(), peer)
}

/// Bytes that closing all channels would free.
pub(crate) fn reclaimable(map: &ChannelMap) -> usize {
    map.iter().map(|(_, channel)| channel.reclaimable()).sum()
}

/// Bytes that this process has in memory.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}

/// Answers a number with so many bytes, and anything else with itself.
struct Pages {
    size: usize,
    seen: Rc<Seen>,
}

#[derive(Default)]
struct Seen {
    most_held: Cell<usize>,
    most_resident: Cell<usize>,
    evicted: Cell<usize>,
    messages: Cell<usize>,
}

impl Seen {
    fn look(&self, map: &ChannelMap) {
        self.most_held.set(self.most_held.get().max(map.memory()));
        let messages = self.messages.get();
        self.messages.set(messages + 1);
        if messages % 20 == 0 {
            self.most_resident
                .set(self.most_resident.get().max(resident()));
        }
    }
}

impl MessageHandler for Pages {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
        match std::str::from_utf8(line)?.parse::<usize>() {
            Ok(len) => {
                self.size += len;
                chat.push_bytes(vec![b'p'; len]);
            }
            Err(_) => {
                chat.push(line);
            }
        }
        self.seen.look(map);
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, chat: &mut Chat, map: &mut ChannelMap) {
        assert_eq!(name(&reason), "Evicted");
        assert_eq!(chat.unsent().bytes, self.size);
        // No channel is bigger that is left, but for the page of the one that was called.
        for (_, channel) in map.iter() {
            assert!(channel.reclaimable() <= self.size);
        }
        self.seen.evicted.set(self.seen.evicted.get() + 1);
    }
}

#[test]
fn two_thousand_clients_that_fill_their_queues_stay_under_the_cap() {
    let is_here = || {
        is_alone(
            two_thousand_clients_that_fill_their_queues_stay_under_the_cap,
            &["env"],
        )
    };
    if !cfg!(target_os = "linux") || !is_here() {
        return;
    }
    const CAP: usize = 64 * MIB;
    const LONGEST: usize = 61_440;
    let seen = Rc::new(Seen::default());
    let mut map = ChannelMap::new().unwrap();
    map.set_memory_cap(CAP);
    let pages = |_| Pages {
        size: 0,
        seen: Rc::clone(&seen),
    };
    let small = silent(pages(0), &mut map);
    let clients: Vec<_> = (0..2_000).map(|n| silent(pages(n), &mut map)).collect();
    small.1.set_room(usize::MAX);
    let before = resident();
    for round in 0..5 {
        for (number, (token, peer)) in clients.iter().enumerate() {
            // In an order that is not that of their sizes.
            let len = LONGEST - number * 7_919 % 8 * 4_096;
            peer.say(format!("{len}\n"));
            map.dispatch(*token, Readiness::READABLE);
        }
        for turn in 0..3 {
            small.1.say("hello\n");
            map.dispatch(small.0, Readiness::READABLE | Readiness::WRITABLE);
            let now = map.now();
            map.turn_at(now).unwrap();
            assert_eq!(small.1.take_sent(), b"hello", "round {round}, turn {turn}");
        }
    }
    let evicted = seen.evicted.get();
    assert!((1_000..2_000).contains(&evicted), "{evicted} were evicted");
    assert_eq!(map.statistics().evicted, evicted as u64);
    assert_eq!(map.len(), 2_001 - evicted);
    assert!(map.memory() > CAP / 16 * 14, "no more went than had to");
    assert!(seen.most_held.get() <= CAP + LONGEST);
    // Beyond what the process takes with so many idle clients.
    let grown = seen.most_resident.get().max(resident()) - before;
    assert!(grown <= CAP + 16 * MIB, "{grown} bytes more are resident");
}

#[test]
fn the_biggest_gets_its_goodbye_and_is_told_why_and_the_others_stay() {
    for is_chat in [true, false] {
        let mut slow = Slow::new(is_chat, |_| {});
        let exempt = {
            let mut limits = Limits::default();
            limits.evictable = false;
            let (line, peer) = sim::line();
            peer.set_room(0);
            let channel = AsyncChat::over(line, "\n", ()).limited(limits);
            slow.map.insert(channel).unwrap().token()
        };
        let (small, peer) = silent((), &mut slow.map);
        slow.peer.set_room(0);
        let messages: Vec<_> = (0..3).map(|number| message(80_000, number)).collect();
        for message in &messages {
            assert!(slow.push(message));
        }
        slow.map
            .push(exempt, Bytes::from(vec![b'e'; 400_000]))
            .unwrap();
        slow.map.push(small, "small").unwrap();
        slow.settle();
        slow.peer.set_room(usize::MAX);
        slow.map.set_memory_cap(500_000);
        assert!(!slow.map.is_open(slow.me));
        slow.map.turn_at(slow.map.now()).unwrap();
        assert_eq!(
            slow.peer.take_sent(),
            [&messages[0], GOODBYE.as_bytes()].concat()
        );
        assert_eq!(
            slow.end(),
            ("Evicted".to_owned(), (2 * messages[0].len(), 0))
        );
        assert!(slow.map.is_open(exempt) && slow.map.is_open(small));
        peer.set_room(usize::MAX);
        sim::settle(&mut slow.map, small, &peer);
        assert_eq!(peer.take_sent(), b"small");
    }
}

#[test]
fn a_callback_that_passes_the_cap_delivers_nothing_more_before_the_biggest_are_gone() {
    const LEN: usize = 40_000;
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let members: Vec<Token> = (0..50)
        .map(|_| silent(Probe::new(&Log::default()), &mut map).0)
        .collect();
    let most = Rc::new(Cell::new(0));
    let (inner, room) = (Rc::clone(&most), members.clone());
    let closes = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&closes);
    let speaker = Probe::new(&log).on_message(move |line, _, map| {
        for &member in &room {
            let _ = map.push(member, vec![line[0]; LEN]); // it may be gone
        }
        inner.set(inner.get().max(map.memory()));
        told.borrow_mut().push(map.statistics().evicted);
        Ok(())
    });
    let (speaker, peer) = silent(speaker, &mut map);
    let cap = 5 * 50 * LEN / 2; // two lines and a half
    map.set_memory_cap(cap);
    peer.say("1\n2\n3\n4\n5\n6\n7\n8\n");
    sim::settle(&mut map, speaker, &peer);
    let lines: Vec<String> = (1..=8).map(|line| format!("message {line}")).collect();
    assert_eq!(log.after_connect(), lines, "nothing is lost");
    assert!(
        most.get() <= cap + 50 * LEN,
        "one callback may pass the cap"
    );
    let closes = closes.borrow();
    assert_eq!(closes[..3], [0, 0, 0]);
    assert!(closes[3] > 0, "they are gone before the next line");
    assert!(map.is_open(speaker));
    assert!(map.memory() <= cap);
}

#[test]
fn input_that_is_kept_counts_until_it_is_delivered() {
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = silent((), &mut map);
    map.chat_mut(me).unwrap().hold(Hold::PAUSE);
    for _ in 0..3 {
        peer.say(format!("{}\n", "h".repeat(9_999)));
    }
    sim::settle(&mut map, me, &peer);
    assert_eq!((map.memory(), reclaimable(&map)), (40_000, 40_000)); // of a buffer that grows
    map.chat_mut(me).unwrap().release(Hold::PAUSE);
    sim::settle(&mut map, me, &peer);
    assert_eq!((map.memory(), reclaimable(&map)), (0, 0));

    // A message that is accumulated takes what its buffer takes.
    peer.say(vec![b'p'; 9_000]);
    sim::settle(&mut map, me, &peer);
    assert!((9_000..=20_000).contains(&map.memory()), "{}", map.memory());
    assert_eq!(map.memory(), reclaimable(&map));
    peer.say("\n");
    sim::settle(&mut map, me, &peer);
    assert_eq!((map.memory(), reclaimable(&map)), (0, 0));

    // What a transport keeps counts, too.
    peer.use_buffer();
    map.push(me, vec![b't'; 5_000]).unwrap();
    sim::settle(&mut map, me, &peer);
    assert_eq!((map.memory(), reclaimable(&map)), (5_000, 5_000));

    map.close(me);
    sim::settle(&mut map, me, &peer);
    assert_eq!(map.memory(), 0);
}

/// As they come, since a room may offer to all its members in one callback.
#[test]
fn offers_that_wait_count_until_they_leave() {
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = silent((), &mut map);
    peer.set_room(0);
    map.push(me, vec![b'p'; 100_000]).unwrap();
    sim::settle(&mut map, me, &peer);
    let queued = map.memory();
    for part in 1..=3 {
        assert!(map.offer(me, vec![b'o'; 10_000]).unwrap());
        assert_eq!(map.memory(), queued + part * (10_000 + PLACE));
    }
    sim::settle(&mut map, me, &peer);
    assert_eq!(map.memory(), queued + 3 * (10_000 + PLACE));
    assert_eq!(reclaimable(&map), map.memory());
    peer.set_room(usize::MAX);
    sim::settle(&mut map, me, &peer);
    assert_eq!((map.memory(), reclaimable(&map)), (0, 0));
}

/// Otherwise a thousand members with a million places each would take a hundred times the cap.
#[test]
fn the_places_of_short_offers_count_until_they_leave_or_are_dropped() {
    const OFFERS: usize = 10_000;
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = silent((), &mut map);
    let mut limits = Limits::default();
    limits.offers = OFFERS * (1 + PLACE);
    limits.offer_policy = OfferPolicy::DropOldest;
    map.chat_mut(me).unwrap().set_limits(limits);
    map.push(me, vec![b'p'; 100_000]).unwrap();
    sim::settle(&mut map, me, &peer);
    let queued = map.memory();
    let offered = |map: &mut ChannelMap| {
        let offered = map.memory() - queued;
        assert_eq!(reclaimable(map), map.memory());
        assert_eq!(
            map.chat_mut(me).unwrap().queued(),
            100_000 + offered / (1 + PLACE)
        );
        offered
    };
    for count in 1..=OFFERS {
        assert!(map.offer(me, "o").unwrap());
        assert_eq!(offered(&mut map), count * (1 + PLACE));
    }
    for _ in 0..10 {
        assert!(map.offer(me, "n").unwrap(), "in the place of the oldest");
        assert!(map.offer_latest(me, 7, "k").unwrap());
        assert_eq!(offered(&mut map), OFFERS * (1 + PLACE));
    }
    sim::settle(&mut map, me, &peer);
    assert_eq!(offered(&mut map), OFFERS * (1 + PLACE));

    // Members with short offers pass the cap as those with long ones do.
    map.set_memory_cap(queued + OFFERS * PLACE);
    assert!(!map.is_open(me));
    sim::settle(&mut map, me, &peer);
    assert_eq!(map.memory(), 0);
}

#[test]
fn many_that_hold_a_little_input_are_too_much_together() {
    let mut map = ChannelMap::new().unwrap();
    map.set_memory_cap(MIB);
    let all: Vec<_> = (0..40).map(|_| silent((), &mut map)).collect();
    for (number, (me, peer)) in all.iter().enumerate() {
        map.chat_mut(*me).unwrap().pause();
        peer.say(vec![b'h'; 20_000 + 500 * number]);
        map.dispatch(*me, Readiness::READABLE);
    }
    let now = map.now();
    map.turn_at(now).unwrap();
    assert!(map.statistics().evicted > 0 && map.memory() <= MIB);
    let is_open: Vec<bool> = all.iter().map(|(me, _)| map.is_open(*me)).collect();
    let (stay, go) = is_open.split_at(34);
    assert!(stay.iter().all(|it| *it) && go.iter().all(|it| !it));
}
