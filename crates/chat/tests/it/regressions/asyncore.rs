//! What asyncore's loop got wrong, and what it never had.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use chat::{
    AsyncChat, Channel, ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint, Handle,
    Registration, Result, Token,
};

use crate::common::alone::{descriptors, is_alone};
use crate::common::veil::{Far, Role, Veil};
use crate::common::{
    Log, Probe, assert_rest, name, read_len, sim, turn_to_rest, turn_until, unix_pair,
};
use crate::regressions::session::Session;

/// An echo, which also counts.
fn echo(log: &Log) -> Probe {
    Probe::new(log).on_message(|line, chat, _| {
        chat.push(line);
        chat.push("\n");
        Ok(())
    })
}

/// D3a: whichever of two ready channels comes first takes the other one out and
/// opens a third, which gets the other's descriptor.
#[test]
fn an_event_of_a_closed_channel_never_reaches_who_has_its_descriptor_now() {
    // Only this test shall open descriptors meanwhile.
    if !is_alone(
        an_event_of_a_closed_channel_never_reaches_who_has_its_descriptor_now,
        &["env"],
    ) {
        return;
    }
    struct Third(Log);
    impl DispatcherHandler for Third {
        fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
            let mut buffer = [0; 100];
            let received = endpoint.recv(&mut buffer);
            self.0.add(format!("third {:?}", received.ok()));
            Ok(())
        }
    }
    struct Either {
        log: Log,
        other: Rc<Cell<Option<Handle<Dispatcher<Either>>>>>,
        theirs: Rc<RefCell<Option<UnixStream>>>,
    }
    impl DispatcherHandler for Either {
        fn handle_read(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
            let _ = endpoint.recv(&mut [0; 100])?;
            self.log.add("first");
            let other = map.remove(self.other.get().unwrap()).unwrap();
            let descriptor = other.endpoint.socket().unwrap().as_raw_fd();
            drop(other);
            let (ours, theirs) = UnixStream::pair()?;
            assert_eq!(ours.as_raw_fd(), descriptor);
            *self.theirs.borrow_mut() = Some(theirs);
            map.insert(Dispatcher::new(ours, Third(self.log.clone())))?;
            Ok(())
        }
    }
    let log = Log::default();
    let theirs = Rc::<RefCell<Option<UnixStream>>>::default();
    let mut map = ChannelMap::new().unwrap();
    let others = [Rc::default(), Rc::default()];
    let mut pairs = Vec::new();
    let mut handles = Vec::new();
    for other in &others {
        let (ours, peer) = UnixStream::pair().unwrap();
        let either = Either {
            log: log.clone(),
            other: Rc::clone(other),
            theirs: Rc::clone(&theirs),
        };
        let either = Dispatcher::new(ours, either);
        handles.push(map.insert(either).unwrap());
        pairs.push(peer);
    }
    others[0].set(Some(handles[1]));
    others[1].set(Some(handles[0]));
    turn_to_rest(&mut map);
    for mut peer in &pairs {
        peer.write_all(b"x").unwrap();
    }
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["first"], "the third has no event yet");
    let theirs = theirs.borrow_mut().take();
    theirs.unwrap().write_all(b"hello").unwrap();
    turn_until(&mut map, |_| log.len() > 1);
    assert_eq!(log.all()[1], "third Some(5)");
}

/// D3b: readable and writable at once, and both ends in a close.
#[test]
fn a_channel_that_is_closed_twice_in_one_pass_is_told_once() {
    struct Twice(Log);
    impl Twice {
        fn close(&self, from: &str, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
            self.0.add(from);
            endpoint.close();
            map.close(endpoint.token());
            map.close(endpoint.token());
            Ok(())
        }
    }
    impl DispatcherHandler for Twice {
        fn writable(&self, _: &Endpoint) -> bool {
            true
        }
        fn handle_read(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
            self.close("read", endpoint, map)
        }
        fn handle_write(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
            self.close("write", endpoint, map)
        }
        fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
            self.0.add(format!("close {}", name(&reason)));
        }
    }
    let log = Log::default();
    let (ours, mut theirs) = unix_pair();
    theirs.write_all(b"x").unwrap();
    let mut map = ChannelMap::new().unwrap();
    map.insert(Dispatcher::new(ours, Twice(log.clone())))
        .unwrap();
    turn_until(&mut map, |map| map.is_empty());
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["read", "close Requested"]);
}

/// D5b: counted are the questions that the loop asks of 5,000 idle channels.
#[test]
fn idle_channels_are_not_asked_on_the_turns_of_an_active_one() {
    #[derive(Debug)]
    struct Idle(Rc<Cell<usize>>);
    impl Idle {
        fn count(&self) {
            self.0.set(self.0.get() + 1);
        }
    }
    impl Channel for Idle {
        fn registration(&self) -> Option<&Registration> {
            None
        }
        fn readable(&self, _: Token) -> bool {
            self.count();
            true
        }
        fn writable(&self, _: Token) -> bool {
            self.count();
            false
        }
        fn pending(&self, _: Token) -> bool {
            self.count();
            false
        }
        fn settle(&mut self, _: Token) -> Result<(), CloseReason> {
            self.count();
            Ok(())
        }
    }
    let asked = Rc::<Cell<usize>>::default();
    let mut map = ChannelMap::new().unwrap();
    for _ in 0..5_000 {
        map.insert(Idle(Rc::clone(&asked))).unwrap();
    }
    let (ours, mut theirs) = unix_pair();
    map.insert(AsyncChat::new(ours, "\n", echo(&Log::default())))
        .unwrap();
    turn_to_rest(&mut map);
    assert!(asked.take() >= 5_000, "once each, when they came");
    for _ in 0..100 {
        theirs.write_all(b"line\n").unwrap();
        read_len(&mut map, &mut theirs, 5);
    }
    assert_eq!(asked.get(), 0);
}

/// D11a: a channel is called when it is time, and not before.
#[test]
fn the_loop_has_timers() {
    let log = Log::default();
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, "\n", Probe::new(&log)));
    let me = me.unwrap();
    sim::settle(&mut map, me, &peer);
    let start = map.now();
    map.set_timer(me, start + Duration::from_secs(5));
    for passed in [4_999, 5_000, 5_001, 10_000] {
        map.turn_at(start + Duration::from_millis(passed)).unwrap();
        log.add(passed.to_string());
    }
    let expected = ["connect", "4999", "timer", "5000", "5001", "10000"];
    assert_eq!(log.all(), expected);
}

/// D11b: a peer that says nothing for a minute.
#[test]
fn an_idle_timeout_is_a_timer_that_each_message_sets_again() {
    let (line, peer) = sim::line();
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(AsyncChat::over(line, "\n", Session::default()));
    let me = me.unwrap();
    sim::settle(&mut map, me, &peer);
    for _ in 0..10 {
        peer.say("still here\n");
        sim::step_after(&mut map, me, &peer, Duration::from_secs(59));
    }
    assert!(map.is_open(me));
    sim::step_after(&mut map, me, &peer, Duration::from_secs(60));
    assert!(!map.is_open(me));
}

/// D11c: TLS is a transport; its handler does not know.
#[test]
fn a_chat_channel_talks_through_a_cipher() {
    let log = Log::default();
    let (ours, theirs) = unix_pair();
    let mut far = Far::of_pair(theirs, Role::Server);
    let mut map = ChannelMap::new().unwrap();
    let veil = Veil::new(ours, Role::Server);
    map.insert(AsyncChat::over(veil, "\n", echo(&log))).unwrap();
    far.send(); // its hello
    turn_until(&mut map, |_| {
        far.read();
        far.is_ready()
    });
    far.say("a secret\nanother one\n");
    turn_until(&mut map, |_| {
        far.read();
        far.received.len() >= 21
    });
    assert_eq!(far.received, b"a secret\nanother one\n");
    let expected = ["connect", "message a secret", "message another one"];
    assert_eq!(log.all(), expected);
}

/// D11d: the wait ends when another thread says so.
#[test]
fn another_thread_wakes_the_loop() {
    let mut map = ChannelMap::new().unwrap();
    let (ours, _theirs) = unix_pair();
    map.insert(AsyncChat::new(ours, "\n", Probe::default()))
        .unwrap();
    assert_rest(&mut map);
    let patience = Duration::from_secs(10);
    let remote = map.remote();
    let thread = thread::spawn(move || remote.run(ChannelMap::stop));
    let start = Instant::now();
    map.run_turns(Some(patience), usize::MAX).unwrap();
    assert!(start.elapsed() < patience, "it slept on");
    assert!(thread.join().unwrap().is_ok());
}

/// D11e: `select` ends at descriptor 1,023.
#[test]
fn a_descriptor_above_1023_is_served() {
    if !is_alone(a_descriptor_above_1023_is_served, &descriptors(1_200)) {
        return;
    }
    let mut files = Vec::new();
    while files.len() < 1_100 {
        files.push(File::open("/dev/null").unwrap());
    }
    let (ours, mut theirs) = unix_pair();
    assert!(ours.as_raw_fd() > 1_023);
    let mut map = ChannelMap::new().unwrap();
    map.insert(AsyncChat::new(ours, "\n", echo(&Log::default())))
        .unwrap();
    theirs.write_all(b"hello\n").unwrap();
    assert_eq!(read_len(&mut map, &mut theirs, 6), b"hello\n");
    assert!(theirs.read(&mut [0]).is_err(), "and no more");
}
