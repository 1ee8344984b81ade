//! What a channel costs in memory, by an allocator that counts. It is here
//! because the `chat` crate forbids the `unsafe` that an allocator needs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use chat::{AsyncChat, ChannelMap, Chat, Handle, MessageHandler, Result};

/// Counts the allocations, and the bytes alive, of each thread: tests run in
/// one each.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static ALIVE: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is the system allocator's; the counters are constants of
// `const` initializers and without destructors, so that they do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        ALIVE.set(ALIVE.get().wrapping_add(layout.size()));
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALIVE.set(ALIVE.get().wrapping_sub(layout.size()));
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

struct Echo;

impl MessageHandler for Echo {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        chat.push(line);
        chat.push(b"\r\n");
        Ok(())
    }
}

type Echoing = Handle<AsyncChat<Echo>>;

fn connected(map: &mut ChannelMap) -> (Echoing, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let channel = AsyncChat::new(ours, "\r\n", Echo);
    (map.insert(channel).unwrap(), theirs)
}

/// Sends lines and turns until their echo is there; nothing of the test's own
/// allocates.
fn echo(map: &mut ChannelMap, peer: &mut UnixStream, lines: &[u8]) {
    peer.write_all(lines).unwrap();
    let mut buffer = [0; 4_096];
    let mut echoed = 0;
    for _ in 0..1_000 {
        map.turn(Some(Duration::from_millis(1))).unwrap();
        match peer.read(&mut buffer) {
            Ok(len) => echoed += len,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        if echoed == lines.len() {
            return;
        }
    }
    panic!("{echoed} bytes of {} were echoed", lines.len());
}

fn rest(map: &mut ChannelMap) {
    for _ in 0..5 {
        map.turn(Some(Duration::ZERO)).unwrap();
    }
}

#[test]
fn an_echo_in_its_steady_state_allocates_nothing() {
    let mut map = ChannelMap::new().unwrap();
    let (_echo, mut peer) = connected(&mut map);
    let lines = b"some line\r\n".repeat(50);
    for _ in 0..10 {
        echo(&mut map, &mut peer, &lines);
    }
    let before = ALLOCATIONS.get();
    for _ in 0..100 {
        echo(&mut map, &mut peer, &lines);
    }
    assert_eq!(ALLOCATIONS.get() - before, 0, "for 5,000 lines");
}

#[test]
fn an_idle_channel_holds_no_buffer() {
    let mut map = ChannelMap::new().unwrap();
    let (mut channels, mut peers) = (Vec::new(), Vec::new());
    let mut alive = Vec::with_capacity(300);
    for _ in 0..300 {
        let (channel, peer) = connected(&mut map);
        channels.push(channel);
        peers.push(peer);
        let newest = peers.last_mut().unwrap();
        echo(&mut map, newest, b"hello\r\n"); // it has had buffers
        echo(&mut map, newest, &b"hello again\r\n".repeat(100));
        newest.write_all(b"begun").unwrap();
        rest(&mut map);
        newest.write_all(b"\r\n").unwrap();
        rest(&mut map);
        alive.push(ALIVE.get());
    }
    let each = (alive[299] - alive[99]) / 200;
    println!("{each} bytes a channel");
    assert!(each < 2_048, "{each} bytes a channel");
}

#[test]
fn a_paused_channel_holds_a_read_at_most() {
    let mut map = ChannelMap::new().unwrap();
    let (channel, mut peer) = connected(&mut map);
    let lines = b"line\r\n".repeat(500);
    echo(&mut map, &mut peer, &lines);
    rest(&mut map);
    let before = ALIVE.get();
    map.get_mut(channel).unwrap().chat.pause();
    while peer.write(&lines).is_ok() {
        rest(&mut map);
    }
    let held = ALIVE.get() - before;
    assert!(held <= 65_536 + 40, "{held} bytes"); // and where that is
}

#[test]
fn a_length_that_a_peer_declares_allocates_nothing() {
    struct Declared(bool);
    impl MessageHandler for Declared {
        fn handle_message(&mut self, _: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
            self.0 = true;
            chat.set_terminator(1_000_000_000);
            Ok(())
        }
    }
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::new(ours, "\r\n", Declared(false));
    let channel = map.insert(channel).unwrap();
    rest(&mut map);
    drop(map.buffers().read_buffer());
    let before = ALIVE.get();
    theirs.write_all(b"1000000000\r\nbody").unwrap();
    rest(&mut map);
    assert!(map.get(channel).unwrap().handler.0);
    assert!(ALIVE.get() - before < 4_096, "{}", ALIVE.get() - before);
}

#[test]
fn setting_a_short_terminator_allocates_nothing() {
    struct Alternating(usize);
    impl MessageHandler for Alternating {
        fn handle_message(&mut self, _: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
            self.0 += 1;
            match self.0 % 2 {
                0 => chat.set_terminator("\r\n"),
                _ => chat.set_terminator(b"\r\n\r\n"),
            }
            Ok(())
        }
    }
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::new(ours, "\r\n", Alternating(0));
    let channel = map.insert(channel).unwrap();
    let input = b"line\r\nhead\r\n\r\n".repeat(100);
    theirs.write_all(&input).unwrap();
    rest(&mut map);
    let before = ALLOCATIONS.get();
    theirs.write_all(&input).unwrap();
    rest(&mut map);
    assert_eq!(map.get(channel).unwrap().handler.0, 400);
    assert_eq!(ALLOCATIONS.get() - before, 0);
}

/// A queue of shared data, a word each and a count; when it was sent, the
/// words are free again, too.
#[test]
fn a_backlog_that_was_sent_leaves_no_memory_behind() {
    const PIECE: &[u8] = &[b'x'; 1_025]; // one byte more than is copied
    const PIECES: usize = 20_000;
    let mut map = ChannelMap::new().unwrap();
    let (channel, mut peer) = connected(&mut map);
    echo(&mut map, &mut peer, b"hello\r\n");
    let mut limits = chat::Limits::default();
    limits.output = usize::MAX;
    map.get_mut(channel).unwrap().chat.set_limits(limits);
    for is_discarded in [false, true] {
        rest(&mut map);
        let before = ALIVE.get();
        let chat = &mut map.get_mut(channel).unwrap().chat;
        for _ in 0..PIECES {
            chat.push_bytes(chat::bytes::Bytes::from_static(PIECE));
        }
        let queued = ALIVE.get() - before;
        assert!(queued > PIECES * 16, "{queued} bytes for the queue");
        if is_discarded {
            chat.discard_buffers();
        }
        let mut buffer = [0; 65_536];
        for _ in 0..100_000 {
            map.turn(Some(Duration::ZERO)).unwrap();
            let is_dry = peer.read(&mut buffer).is_err();
            if is_dry && map.get(channel).unwrap().chat.queued() == 0 {
                break;
            }
        }
        rest(&mut map);
        assert_eq!(map.get(channel).unwrap().chat.queued(), 0);
        let left = ALIVE.get().saturating_sub(before);
        assert!(left < 2_048, "{left} bytes are left of {queued}");
    }
}

/// Both ends are here: each takes half. rustls' buffers grow with a long line's records.
#[cfg(feature = "tls")]
#[test]
fn an_idle_channel_over_tls_takes_9_kilobytes_even_after_long_lines() {
    use ::tls::{Acceptor, Connector};
    use chat::{Address, Dispatcher, DispatcherHandler, Endpoint, Stream};

    struct Server(Acceptor);
    impl DispatcherHandler for Server {
        fn handle_accepted(
            &mut self,
            stream: Stream,
            _: Address,
            _: &mut Endpoint,
            map: &mut ChannelMap,
        ) -> Result {
            map.insert(AsyncChat::new(self.0.accept(stream), "\r\n", Echo))?;
            Ok(())
        }
    }
    struct Client(usize);
    impl MessageHandler for Client {
        fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
            self.0 += 1;
            Ok(())
        }
    }

    let Some(place) = crate::tls::certificates() else {
        return;
    };
    let [cert, key, ca] = ["cert.pem", "key.pem", "ca.pem"].map(|name| place.join(name));
    let acceptor = Acceptor::from_pem_files(cert, key).unwrap();
    let connector = Connector::from_pem_file(ca).unwrap();
    let mut map = ChannelMap::new().unwrap();
    let server = Dispatcher::listen("127.0.0.1:0", Server(acceptor));
    let server = map.insert(server).unwrap();
    let port = map.get(server).unwrap().endpoint.local_addr().unwrap();
    let port = port.as_inet().unwrap().port();
    let line = [&[b'x'; 40_000][..], b"\r\n"].concat();
    let mut alive = Vec::with_capacity(40);
    for _ in 0..40 {
        let client = AsyncChat::new(connector.connect("localhost", port), "\r\n", Client(0));
        let client = map.insert(client).unwrap();
        for answers in [1, 2] {
            map.get_mut(client).unwrap().chat.push(&line);
            while map.get(client).unwrap().handler.0 < answers {
                map.turn(Some(Duration::from_secs(10))).unwrap();
            }
        }
        rest(&mut map);
        alive.push(ALIVE.get());
    }
    let each = (alive[39] - alive[9]) / 60;
    println!("{each} bytes a channel");
    assert!(each < 9_000, "{each} bytes a channel");
}
