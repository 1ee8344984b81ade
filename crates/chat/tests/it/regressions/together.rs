//! Limits that act together: what was found wrong where rates, offers, the account of memory
//! and several attempts to connect meet.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use chat::bytes::Bytes;
use chat::socket2::{Domain, Socket, Type};
use chat::*;

use crate::common::sim;

const MS: Duration = Duration::from_millis(1);

fn rate(bytes_per_second: u64) -> Rate {
    Rate {
        bytes_per_second,
        burst: 0,
    }
}

struct Waits;
impl Producer for Waits {
    fn more(&mut self, _: &mut Vec<u8>, _: usize) -> io::Result<More> {
        Ok(More::Later)
    }
}

struct Told(Rc<RefCell<Vec<usize>>>);
impl MessageHandler for Told {
    fn handle_message(&mut self, message: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.borrow_mut().push(message.len());
        Ok(())
    }
    fn produce(&mut self, _: &mut Vec<u8>, _: usize) -> io::Result<More> {
        Ok(More::Later)
    }
}

// A send rate, and a producer (or the handler's place) that waits: 100 % CPU.
#[test]
fn a_loop_rests_while_a_producer_waits_under_a_rate() {
    for by_handler in [false, true] {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut map = ChannelMap::new().unwrap();
        let mut limits = Limits::default();
        limits.send_rate = rate(1_000_000);
        let told = Told(Rc::default());
        let channel = map
            .insert(AsyncChat::new(ours, "\n", told).limited(limits))
            .unwrap();
        let chat = &mut map.get_mut(channel).unwrap().chat;
        match by_handler {
            true => chat.push_with_handler(),
            false => chat.push_with_producer(Waits),
        };
        for _ in 0..10 {
            map.turn(Some(Duration::ZERO)).unwrap();
        }
        let (began, turns) = (Instant::now(), map.turns());
        while began.elapsed() < 50 * MS {
            map.turn(Some(50 * MS)).unwrap();
        }
        assert!(map.turns() - turns < 10, "{} turns", map.turns() - turns);
    }
}

// The same with a transport that keeps output for a slow peer.
#[test]
fn a_loop_rests_while_a_transport_keeps_output_under_a_rate() {
    let mut map = ChannelMap::new().unwrap();
    let (line, peer) = sim::line();
    peer.use_buffer();
    peer.set_room(0);
    let mut limits = Limits::default();
    limits.send_rate = rate(20_000);
    let channel = map
        .insert(AsyncChat::over(line, "\n", ()).limited(limits))
        .unwrap();
    map.push(channel, "hello").unwrap();
    let now = map.now();
    let dispatched: usize = (0..100).map(|_| map.turn_at(now).unwrap()).sum();
    assert!(dispatched < 5, "{dispatched}");
}

// close_when_done under a receive rate: the unread input resets the connection.
#[test]
fn a_peer_that_reads_gets_all_of_the_output_whatever_the_rate_of_input() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    theirs.set_recv_buffer_size(16_384).unwrap();
    theirs
        .connect(&listener.local_addr().unwrap().into())
        .unwrap();
    let mut theirs: TcpStream = theirs.into();
    let (ours, _) = listener.accept().unwrap();
    let mut map = ChannelMap::new().unwrap();
    let mut limits = Limits::default();
    limits.receive_rate = rate(1_000);
    limits.linger = 200 * MS;
    let mut channel = AsyncChat::new(ours, "\n", ()).limited(limits);
    theirs.write_all(&[b'q'; 100_000]).unwrap();
    channel.chat.push(vec![b'x'; 500_000]);
    channel.chat.close_when_done();
    map.insert(channel).unwrap();
    let deadline = Instant::now() + Duration::from_secs(3);
    let mut read = vec![];
    let mut buffer = [0; 8_192];
    while !map.is_empty() && Instant::now() < deadline {
        map.turn(Some(10 * MS)).unwrap();
        if map.lingering() == 0 {
            let len = theirs.read(&mut buffer).unwrap();
            read.extend_from_slice(&buffer[..len]);
        }
    }
    let rest = theirs.read_to_end(&mut read);
    assert!(
        rest.is_ok() && read.len() == 500_000,
        "{rest:?} {}",
        read.len()
    );
}

/// Pauses after its first message.
struct Once(bool);
impl MessageHandler for Once {
    fn handle_message(&mut self, _: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        if !std::mem::replace(&mut self.0, true) {
            chat.pause();
        }
        Ok(())
    }
}

// What is left of kept input keeps all of its buffer, and counts so; a small rest is copied.
#[test]
fn what_is_left_of_kept_input_counts_by_its_buffer() {
    let framed = Terminator::framed(|data: &[u8]| Ok(data.first().map(|&len| usize::from(len))));
    let mut map = ChannelMap::new().unwrap();
    let (line, peer) = sim::line();
    let channel = map
        .insert(AsyncChat::over(line, framed, Once(false)))
        .unwrap();
    map.get_mut(channel).unwrap().chat.pause();
    let mut said = [&[200][..], &[b'x'; 199]].concat().repeat(327); // 65,400 bytes
    said.extend([100; 5]); // the beginning of a message
    peer.say(said);
    sim::settle(&mut map, channel, &peer);
    for (left, memory) in [(65_405, 65_405), (65_205, 65_405), (5, 5)] {
        assert_eq!(map.get(channel).unwrap().chat.undelivered(), left);
        assert_eq!(map.memory(), memory);
        map.get_mut(channel).unwrap().chat.resume();
        sim::settle(&mut map, channel, &peer);
    }
}

// Silence that the rate makes.
#[test]
fn a_message_is_not_cut_where_the_channel_itself_rests() {
    let mut map = ChannelMap::new().unwrap();
    let (line, peer) = sim::line();
    let told = Rc::default();
    let mut limits = Limits::default();
    limits.receive_rate = rate(1_000);
    let channel = AsyncChat::over(line, Terminator::silence(5 * MS), Told(Rc::clone(&told)));
    let channel = map.insert(channel.limited(limits)).unwrap();
    peer.say([b'a'; 200]); // one frame, at once
    for _ in 0..500 {
        sim::step_after(&mut map, channel, &peer, MS);
    }
    assert_eq!(*told.borrow(), [200]);
}

// The cap is set in a callback of the channel that holds most.
struct Cap;
impl MessageHandler for Cap {
    fn handle_message(&mut self, _: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
        chat.push(vec![b'x'; 100_000]);
        map.set_memory_cap(50_000);
        Ok(())
    }
}

#[test]
fn a_cap_that_is_set_in_a_callback_evicts_the_biggest_after_it() {
    let mut map = ChannelMap::new().unwrap();
    let ((big_line, big_peer), (small_line, small_peer)) = (sim::line(), sim::line());
    big_peer.set_room(0);
    small_peer.set_room(0);
    let big = map.insert(AsyncChat::over(big_line, "\n", Cap)).unwrap();
    let small = map.insert(AsyncChat::over(small_line, "\n", Cap)).unwrap();
    map.push(small, "hi").unwrap();
    map.turn_at(map.now()).unwrap();
    big_peer.say("\n");
    sim::settle(&mut map, big, &big_peer);
    assert_eq!((map.is_open(small), map.is_open(big)), (true, false));
}

// The buffers of evicted channels become spare ones, and nothing is under the cap.
#[test]
fn an_eviction_brings_the_memory_below_the_cap() {
    let mut map = ChannelMap::new().unwrap();
    map.set_memory_cap(1 << 20);
    let mut peers = vec![];
    for _ in 0..17 {
        let (line, peer) = sim::line();
        peer.set_room(0);
        let mut channel = AsyncChat::over(line, "\n", ());
        channel.chat.push([b'x'; 60_000]); // one buffer
        channel.chat.push([b'x'; 60_000]); // another
        map.insert(channel).unwrap();
        peers.push(peer);
    }
    for _ in 0..5 {
        map.turn_at(map.now()).unwrap();
    }
    assert!(map.statistics().evicted > 0);
    assert!(map.memory() <= 1 << 20, "{}", map.memory());
}

// Offers that wait count by their bytes alone; each takes 48 more.
#[test]
fn offers_count_with_their_places() {
    let mut map = ChannelMap::new().unwrap();
    let (line, peer) = sim::line();
    peer.set_room(0);
    let mut limits = Limits::default();
    (limits.high_water, limits.low_water, limits.offers) = (1, 0, 64 << 20);
    let channel = map
        .insert(AsyncChat::over(line, "\n", ()).limited(limits))
        .unwrap();
    map.push(channel, "hello").unwrap();
    map.turn_at(map.now()).unwrap();
    let before = map.memory();
    for _ in 0..100_000 {
        map.offer(channel, Bytes::from_static(b"x")).unwrap();
    }
    assert!(
        map.memory() - before >= 100_000 * 48,
        "{}",
        map.memory() - before
    );
}

// An earlier attempt that has connected is not looked at while later ones fail.
type Outcome = (u64, bool); // ms after its begin, and whether it connects
struct Hosts(Vec<Outcome>, RefCell<u64>);
struct Net(Rc<Hosts>);
impl Network for Net {
    fn resolve(&mut self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        let port = |host: usize| SocketAddr::from(([10, 0, 0, 1], host as u16));
        Ok((0..self.0.0.len()).map(port).collect())
    }
    fn listen(&mut self, _: &Address) -> io::Result<Box<dyn Listener>> {
        Err(ErrorKind::Unsupported.into())
    }
    fn connect(&mut self, to: &Address) -> io::Result<Box<dyn Transport>> {
        let host = usize::from(to.as_inet().unwrap().port());
        let began = *self.0.1.borrow();
        Ok(Box::new(Attempt(Rc::clone(&self.0), host, began)))
    }
    fn bind(&mut self, _: &Address) -> io::Result<Box<dyn DatagramSocket>> {
        Err(ErrorKind::Unsupported.into())
    }
}
struct Attempt(Rc<Hosts>, usize, u64);
impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.1)
    }
}
impl Transport for Attempt {
    fn registration(&self) -> Option<&Registration> {
        None
    }
    fn recv(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }
    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn finish_connect(&mut self) -> io::Result<()> {
        let (after, connects) = self.0.0[self.1];
        match (*self.0.1.borrow() >= self.2 + after, connects) {
            (false, _) => Err(ErrorKind::WouldBlock.into()),
            (true, true) => Ok(()),
            (true, false) => Err(ErrorKind::ConnectionRefused.into()),
        }
    }
}

#[test]
fn an_attempt_that_has_connected_is_found_while_later_ones_fail() {
    // The first connects after 300 ms; each of the others is refused after 200.
    let hosts = [&[(300, true)][..], &[(200, false); 10]].concat();
    let hosts = Rc::new(Hosts(hosts, RefCell::new(0)));
    let mut map = ChannelMap::new().unwrap();
    map.set_network(Net(Rc::clone(&hosts)));
    let start = map.now();
    map.turn_at(start).unwrap();
    let channel = map.insert(AsyncChat::connect("host:1", "\n", ())).unwrap();
    let mut at = 0;
    while !map.get(channel).unwrap().chat.endpoint().connected() {
        *hosts.1.borrow_mut() = at;
        for _ in 0..3 {
            map.dispatch(channel, Readiness::WRITABLE); // whatever is watched
            map.turn_at(start + MS * at as u32).unwrap();
        }
        at += 10;
        assert!(at < 10_000);
    }
    assert!(
        at <= 300 + 250 + 20,
        "connected after 300 ms, found after {at}"
    );
}

// What a panic leaves charged.
struct Panics;
impl Producer for Panics {
    fn more(&mut self, _: &mut Vec<u8>, _: usize) -> io::Result<More> {
        panic!("planned")
    }
}
impl std::fmt::Display for Panics {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("planned")
    }
}

#[test]
fn a_panic_in_a_producer_or_a_display_leaves_nothing_charged() {
    for by_producer in [true, false] {
        let mut map = ChannelMap::new().unwrap();
        let (line, _peer) = sim::line();
        let channel = map.insert(AsyncChat::over(line, "\n", ())).unwrap();
        map.turn_at(map.now()).unwrap();
        let now = map.now();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let chat = &mut map.get_mut(channel).unwrap().chat;
            match by_producer {
                true => _ = chat.push_with_producer(Panics),
                false => _ = write!(chat, "{Panics}"),
            }
            map.turn_at(now).unwrap();
        }));
        panicked.unwrap_err();
        map.close(channel);
        map.turn_at(now).unwrap();
        map.set_memory_cap(0); // frees the spare buffers
        assert_eq!(map.memory(), 0, "by producer: {by_producer}");
    }
}

// silence ends a message after handle_eof.
struct End(Rc<RefCell<Vec<&'static str>>>);
impl MessageHandler for End {
    fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.borrow_mut().push("message");
        Ok(())
    }
    fn handle_eof(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.0.borrow_mut().push("eof");
        Ok(())
    }
}

#[test]
fn no_message_comes_after_the_end() {
    let mut map = ChannelMap::new().unwrap();
    let (line, peer) = sim::line();
    let told = Rc::default();
    let channel = AsyncChat::over(line, Terminator::silence(5 * MS), End(Rc::clone(&told)));
    let channel = map.insert(channel).unwrap();
    peer.say("abc");
    sim::step(&mut map, channel, &peer);
    sim::step(&mut map, channel, &peer);
    peer.say_eof();
    for _ in 0..20 {
        sim::step_after(&mut map, channel, &peer, MS);
    }
    assert_eq!(*told.borrow(), ["eof"]);
}
