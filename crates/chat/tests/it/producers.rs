//! Producers: asked in turn, when there is room, and left alone otherwise.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::Duration;

use bytes::BufMut;
use chat::{
    AsyncChat, ChannelMap, ChunkedProducer, Handle, HookedProducer, IterProducer, Limits, More,
    Producer, ReadProducer, SimpleProducer,
};

use crate::common::sim::{self, Peer};
use crate::common::{
    Log, Probe, assert_rest, read_len, read_some, read_to_end, turn_to_rest, turn_until, unix_pair,
};

/// A producer by a closure.
struct By<F>(F);

impl<F: FnMut(&mut Vec<u8>, usize) -> io::Result<More>> Producer for By<F> {
    fn more(&mut self, out: &mut Vec<u8>, max: usize) -> io::Result<More> {
        (self.0)(out, max)
    }
}

/// A queue that another part of the program fills.
#[derive(Clone, Default)]
struct Pipe(Rc<RefCell<Vec<u8>>>, Rc<Cell<usize>>);

impl Producer for Pipe {
    fn more(&mut self, out: &mut Vec<u8>, _max: usize) -> io::Result<More> {
        self.1.set(self.1.get() + 1);
        out.put_slice(&self.0.take());
        Ok(More::Later)
    }
}

fn simulated(map: &mut ChannelMap, log: &Log, limits: Limits) -> (Handle<AsyncChat<Probe>>, Peer) {
    let (line, peer) = sim::line();
    let channel = AsyncChat::over(line, "\n", Probe::new(log)).limited(limits);
    let me = map.insert(channel).unwrap();
    sim::settle(map, me, &peer);
    (me, peer)
}

#[test]
fn producers_and_pushes_leave_in_the_order_they_came() {
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &Log::default(), Limits::default());
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.push("a");
    chat.push_with_producer(SimpleProducer::new("b"));
    chat.push_with_producer(SimpleProducer::new(""));
    chat.push_with_producer(SimpleProducer::new("c"));
    chat.push("d");
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent(), b"abcd");
}

#[test]
fn a_producer_is_asked_for_out_buffer_size_and_not_before_its_turn() {
    let mut limits = Limits::default();
    limits.out_buffer_size = 1_000;
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &Log::default(), limits);
    let asked = Rc::new(Cell::new(0));
    let count = Rc::clone(&asked);
    peer.set_room(10);
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.push([0; 20]);
    chat.push_with_producer(By(move |out: &mut Vec<u8>, max: usize| {
        assert_eq!(max, 1_000);
        count.set(count.get() + 1);
        out.put_bytes(1, max);
        Ok(match count.get() {
            3 => More::Done,
            _ => More::Again,
        })
    }));
    sim::settle(&mut map, me, &peer);
    assert_eq!(asked.get(), 0, "the peer has not taken what comes before");
    peer.set_room(10 + 1_500);
    sim::settle(&mut map, me, &peer);
    assert_eq!(asked.get(), 2, "what it made is not sent yet");
    peer.set_room(usize::MAX);
    sim::settle(&mut map, me, &peer);
    assert_eq!(asked.get(), 3);
    assert_eq!(peer.take_sent().len(), 20 + 3_000);
}

#[test]
fn a_file_larger_than_every_limit_passes_through_a_little_memory() {
    let mut limits = Limits::default();
    limits.output = 100_000; // bytes queued, not bytes sent
    let mut left = 5_000_000;
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let mut channel = AsyncChat::new(ours, "\n", Probe::default()).limited(limits);
    channel
        .chat
        .push_with_producer(By(move |out: &mut Vec<u8>, max: usize| {
            let len = max.min(left);
            out.put_bytes(b'f', len);
            left -= len;
            Ok(if left == 0 { More::Done } else { More::Again })
        }));
    channel.chat.close_when_done();
    map.insert(channel).unwrap();
    assert_eq!(read_to_end(&mut map, &mut theirs).len(), 5_000_000);
}

#[test]
fn a_producer_that_says_later_is_asked_again_when_its_channel_is_touched() {
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &Log::default(), Limits::default());
    let pipe = Pipe::default();
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.push_with_producer(pipe.clone());
    sim::settle(&mut map, me, &peer);
    for word in ["one", "two"] {
        pipe.0.borrow_mut().extend_from_slice(word.as_bytes());
        sim::settle(&mut map, me, &peer);
        assert_eq!(peer.take_sent(), b"", "nobody said that there is more");
        map.touch(me);
        sim::settle(&mut map, me, &peer);
        assert_eq!(peer.take_sent(), word.as_bytes());
    }
}

/// A producer that makes a little at a time, at its own pace.
#[test]
fn a_producer_that_said_later_is_not_asked_again_before_a_touch() {
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &Log::default(), Limits::default());
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.push_with_producer(By(|out: &mut Vec<u8>, _| {
        out.put_slice(b"tick ");
        Ok(More::Later)
    }));
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent(), b"tick ");
    map.touch(me);
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent(), b"tick ");
}

#[test]
fn a_producer_with_nothing_for_now_costs_no_turns() {
    let (ours, _theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let mut channel = AsyncChat::new(ours, "\n", Probe::default());
    let pipe = Pipe::default();
    channel.chat.push_with_producer(pipe.clone());
    map.insert(channel).unwrap();
    assert_rest(&mut map);
    assert!(pipe.1.get() < 20, "asked {} times", pipe.1.get());
}

/// The socket has room, but for the producer's data, which is not there.
#[test]
fn what_waits_behind_a_producer_with_nothing_for_now_costs_no_turns() {
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let mut channel = AsyncChat::new(ours, "\n", Probe::default());
    let pipe = Pipe::default();
    channel.chat.push_with_producer(pipe.clone());
    channel.chat.push(" and the rest");
    let me = map.insert(channel).unwrap();
    assert_rest(&mut map);
    pipe.0.borrow_mut().extend_from_slice(b"more");
    map.touch(me);
    assert_eq!(read_len(&mut map, &mut theirs, 4), b"more");
}

/// CPython dropped a falsy producer unasked, and one at its first empty answer.
#[test]
fn an_empty_answer_is_not_the_end() {
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &Log::default(), Limits::default());
    let mut asked = 0;
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.push_with_producer(By(move |out: &mut Vec<u8>, _| {
        asked += 1;
        if asked < 100 {
            return Ok(More::Again);
        }
        out.put_slice(b"at last");
        Ok(More::Done)
    }));
    chat.push("!");
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent(), b"at last!");
}

#[test]
fn a_producers_error_closes_its_channel_with_it() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &log, Limits::default());
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.push("promised ");
    chat.push_with_producer(By(|_: &mut Vec<u8>, _| Err(ErrorKind::InvalidData.into())));
    chat.push("never sent");
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["connect", "close Io(InvalidData)"]);
    assert_eq!(peer.take_sent(), b"promised ");
}

#[test]
fn close_when_done_waits_for_producers_to_be_done() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &log, Limits::default());
    let pipe = Pipe::default();
    let ended = Rc::new(Cell::new(false));
    let (inner, end) = (pipe.clone(), Rc::clone(&ended));
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.push_with_producer(By(move |out: &mut Vec<u8>, max: usize| {
        let more = inner.clone().more(out, max)?;
        Ok(if end.get() { More::Done } else { more })
    }));
    chat.close_when_done();
    sim::settle(&mut map, me, &peer);
    assert!(!peer.is_shut());
    pipe.0.borrow_mut().extend_from_slice(b"the end");
    ended.set(true);
    map.touch(me);
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent(), b"the end");
    assert!(peer.is_shut());
    peer.say_eof();
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["connect", "close Done"]);
}

#[test]
fn producers_are_dropped_with_their_channel() {
    let alive = Rc::new(());
    let held = Rc::clone(&alive);
    let (ours, theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let mut channel = AsyncChat::new(ours, "\n", Probe::default());
    channel
        .chat
        .push_with_producer(By(move |_: &mut Vec<u8>, _| {
            let _ = &held;
            Ok(More::Later)
        }));
    let me = map.insert(channel).unwrap();
    turn_to_rest(&mut map);
    assert_eq!(Rc::strong_count(&alive), 2);
    map.close(me);
    turn_to_rest(&mut map);
    assert_eq!(Rc::strong_count(&alive), 1);
    drop(theirs);
}

/// A channel that is to end when `pipe` does, which is never.
fn finishing(map: &mut ChannelMap, log: &Log, pipe: &Pipe) -> (Handle<AsyncChat<Probe>>, Peer) {
    let mut limits = Limits::default();
    limits.stall = STALL;
    let (me, peer) = simulated(map, log, limits);
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.push_with_producer(pipe.clone());
    chat.close_when_done();
    sim::settle(map, me, &peer);
    log.take();
    (me, peer)
}

const STALL: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn a_channel_whose_producer_has_nothing_is_not_ended_by_stall() {
    let (log, pipe) = (Log::default(), Pipe::default());
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = finishing(&mut map, &log, &pipe);
    for _ in 0..5 {
        sim::step_after(&mut map, me, &peer, STALL);
        sim::settle(&mut map, me, &peer);
    }
    pipe.0.borrow_mut().extend_from_slice(b"better late");
    map.touch(me);
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent(), b"better late");
    assert!(log.all().is_empty());
}

#[test]
fn a_peer_that_does_not_take_what_a_producer_made_at_last_times_out() {
    let (log, pipe) = (Log::default(), Pipe::default());
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = finishing(&mut map, &log, &pipe);
    for _ in 0..5 {
        sim::step_after(&mut map, me, &peer, STALL);
        sim::settle(&mut map, me, &peer);
    }
    peer.set_room(0);
    pipe.0.borrow_mut().extend_from_slice(b"not wanted");
    map.touch(me);
    sim::settle(&mut map, me, &peer);
    sim::step_after(&mut map, me, &peer, STALL - MOMENT);
    assert!(map.is_open(me));
    sim::step_after(&mut map, me, &peer, MOMENT);
    assert_eq!(log.all(), ["close Missed(Stall)"]);
}

/// The peer has had no time yet to take anything.
#[test]
fn the_time_that_a_producer_had_nothing_does_not_count_as_the_peers() {
    let (log, pipe) = (Log::default(), Pipe::default());
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = finishing(&mut map, &log, &pipe);
    sim::step_after(&mut map, me, &peer, STALL - MOMENT);
    peer.set_room(0);
    pipe.0.borrow_mut().extend_from_slice(b"in a moment");
    map.touch(me);
    sim::settle(&mut map, me, &peer);
    sim::step_after(&mut map, me, &peer, STALL - MOMENT);
    assert!(map.is_open(me), "{:?}", log.all());
    sim::step_after(&mut map, me, &peer, STALL);
    assert_eq!(log.all(), ["close Missed(Stall)"]);
}

/// A reader that has as much as the test has given it; at its end it waits for
/// more.
#[derive(Clone, Default)]
struct Feed(Rc<RefCell<Vec<u8>>>, Rc<Cell<bool>>);

impl Read for Feed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut waiting = self.0.borrow_mut();
        let len = waiting.len().min(buffer.len());
        if len == 0 && !self.1.get() {
            return Err(ErrorKind::WouldBlock.into());
        }
        buffer[..len].copy_from_slice(&waiting[..len]);
        waiting.drain(..len);
        Ok(len)
    }
}

#[test]
fn a_reader_that_would_block_is_read_again_when_its_channel_is_touched() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &log, Limits::default());
    let feed = Feed::default();
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.push_with_producer(ChunkedProducer::new(ReadProducer::new(feed.clone())));
    chat.push("next");
    chat.close_when_done();
    sim::settle(&mut map, me, &peer);
    for (word, chunk) in [("one", "3\r\none\r\n"), ("three", "5\r\nthree\r\n")] {
        feed.0.borrow_mut().extend_from_slice(word.as_bytes());
        map.touch(me);
        sim::settle(&mut map, me, &peer);
        assert_eq!(peer.take_sent(), chunk.as_bytes());
    }
    feed.1.set(true);
    map.touch(me);
    sim::settle(&mut map, me, &peer);
    assert_eq!(peer.take_sent(), b"0\r\n\r\nnext");
    assert!(peer.is_shut());
}

/// The file's length was announced, and then somebody cut it.
fn send_a_file_that_has_shrunk(log: &Log, closes_when_done: bool) -> Peer {
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, log, Limits::default());
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.push("Content-Length: 100\r\n\r\n");
    chat.push_with_producer(ReadProducer::exact(Cursor::new(vec![b'f'; 60]), 100));
    chat.push("the next answer");
    if closes_when_done {
        chat.close_when_done();
    }
    sim::settle(&mut map, me, &peer);
    peer
}

#[test]
fn a_file_that_has_shrunk_closes_the_channel_after_what_is_left_of_it() {
    let log = Log::default();
    let peer = send_a_file_that_has_shrunk(&log, false);
    assert_eq!(log.all(), ["connect", "close Io(UnexpectedEof)"]);
    let sent = peer.take_sent();
    assert!(sent.ends_with(&[b'f'; 60]), "{}", sent.escape_ascii());
    assert_eq!(sent.len(), 23 + 60);
    assert!(!peer.is_shut(), "it is no regular end");
}

/// Whoever closes when done is told that it was not done.
#[test]
fn a_file_that_has_shrunk_is_the_reason_of_a_channel_that_was_to_close_when_done() {
    let log = Log::default();
    let peer = send_a_file_that_has_shrunk(&log, true);
    assert_eq!(log.all(), ["connect", "close Io(UnexpectedEof)"]);
    assert!(!peer.is_shut(), "it is no regular end");
}

#[test]
fn ranges_beyond_the_end_and_empty_ones_are_told_apart() {
    for (range, is_there) in [
        (5..5, true),
        (20..20, true),
        (9..12, false),
        (20..21, false),
    ] {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let (me, peer) = simulated(&mut map, &log, Limits::default());
        let chat = &mut map.get_mut(me).unwrap().chat;
        let file = Cursor::new("0123456789");
        chat.push_with_producer(ReadProducer::range(file, range).unwrap());
        chat.push("next");
        sim::settle(&mut map, me, &peer);
        assert_eq!(peer.take_sent().ends_with(b"next"), is_there);
        assert_eq!(log.has("close Io(UnexpectedEof)"), !is_there);
    }
}

/// The hook is for what was made; what was not, it is not told of.
#[test]
fn a_hook_is_called_when_the_last_byte_was_made_and_not_when_the_channel_closes() {
    for closes in [false, true] {
        let told = Rc::new(Cell::new(None));
        let tell = Rc::clone(&told);
        let mut map = ChannelMap::new().unwrap();
        let (me, peer) = simulated(&mut map, &Log::default(), Limits::default());
        let producer = SimpleProducer::new(vec![b'x'; 100_000]);
        let chat = &mut map.get_mut(me).unwrap().chat;
        chat.push_with_producer(HookedProducer::new(producer, move |len| {
            tell.set(Some(len))
        }));
        peer.set_room(10);
        sim::settle(&mut map, me, &peer);
        assert_eq!(told.get(), None, "there is more to make");
        if closes {
            map.close(me);
        }
        peer.set_room(usize::MAX);
        sim::settle(&mut map, me, &peer);
        assert_eq!(told.get(), (!closes).then_some(100_000));
        assert_eq!(Rc::strong_count(&told), 1, "and it is gone");
    }
}

/// Nothing comes of it, for ever; the others get their turns all the same.
#[test]
fn endless_empty_items_do_not_hold_a_turn() {
    let log = Log::default();
    let (ours, _theirs) = unix_pair();
    let (other, mut to_other) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let mut empty = AsyncChat::new(ours, "\n", Probe::default());
    let asked = Rc::new(Cell::new(0));
    let count = Rc::clone(&asked);
    let items = std::iter::repeat_with(move || {
        count.set(count.get() + 1);
        ""
    });
    empty.chat.push_with_producer(IterProducer::new(items));
    let me = map.insert(empty).unwrap();
    map.insert(AsyncChat::new(other, "\n", Probe::new(&log)))
        .unwrap();
    to_other.write_all(b"hello\n").unwrap();
    turn_until(&mut map, |_| log.has("message hello"));
    let before = asked.get();
    map.turn(Some(Duration::ZERO)).unwrap();
    assert!(asked.get() - before <= 100_000, "{}", asked.get() - before);
    assert_eq!(map.get(me).unwrap().chat.queued(), 0);
}

#[test]
fn an_endless_iterator_ends_with_its_channel() {
    let log = Log::default();
    let (ours, theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let mut channel = AsyncChat::new(ours, "\n", Probe::new(&log));
    let items = std::iter::repeat("again and again\n");
    channel.chat.push_with_producer(IterProducer::new(items));
    map.insert(channel).unwrap();
    assert_rest(&mut map); // the peer does not read
    drop(theirs);
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(log.count("close"), 1);
}

/// From the disk to the peer, a buffer at a time.
#[test]
fn a_file_of_fifty_megabytes_is_never_in_memory_as_a_whole() {
    const LEN: u64 = 50_000_000;
    let path = std::env::temp_dir().join(format!("chat-{}-large", std::process::id()));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(&path).unwrap(); // it goes with its descriptor
    file.set_len(LEN).unwrap();
    file.write_all_at(b"the end", LEN - 7).unwrap();
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let mut channel = AsyncChat::new(ours, "\n", Probe::default());
    let producer = ReadProducer::exact(file, LEN);
    channel.chat.push_with_producer(producer);
    channel.chat.close_when_done();
    let me = map.insert(channel).unwrap();
    let (mut received, mut most) = (0, 0);
    let mut part = Vec::new();
    turn_until(&mut map, |map| {
        part.clear();
        let is_end = read_some(&mut theirs, &mut part);
        received += part.len() as u64;
        let queued = map.get(me).map_or(0, |channel| channel.chat.queued());
        most = most.max(queued);
        is_end || received == LEN
    });
    assert_eq!(received, LEN);
    assert!(part.ends_with(b"the end"));
    assert!(most <= Limits::default().out_buffer_size, "{most} queued");
}

#[test]
fn a_peer_that_does_not_read_cannot_have_producers_queued_without_end() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (me, peer) = simulated(&mut map, &log, Limits::default());
    peer.set_room(0);
    for _ in 0..Limits::default().producers {
        let chat = &mut map.get_mut(me).unwrap().chat;
        chat.push_with_producer(SimpleProducer::new("x"));
    }
    sim::settle(&mut map, me, &peer);
    assert!(map.is_open(me));
    // The first one was asked, and is done.
    let chat = &mut map.get_mut(me).unwrap().chat;
    chat.push_with_producer(SimpleProducer::new("x"));
    chat.push_with_producer(SimpleProducer::new("x"));
    sim::settle(&mut map, me, &peer);
    assert_eq!(log.all(), ["connect", "close SlowReader"]);
}
