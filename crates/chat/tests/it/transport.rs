//! Transports of other kinds: one that shakes hands first, one that waits for
//! its peer, one that has read ahead.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use chat::{
    Address, AsyncChat, ChannelMap, Dispatcher, Endpoint, Limits, Readiness, Registration,
    SimpleProducer, SockRef, Socket, Source, Transport,
};

use crate::common::{
    Log, Probe, Witness, assert_rest, read_len, read_to_end, sim, tcp_pair, unix_pair,
};

/// Sends nothing before it has heard a byte of the peer's, which is not the
/// channel's; and says something itself, if it is to.
#[derive(Debug)]
struct Handshake {
    socket: Source<Socket>,
    has_heard: bool,
    to_say: &'static [u8],
    sends: Rc<Cell<usize>>,
}

impl Handshake {
    /// One that waits for the peer.
    fn over(stream: TcpStream) -> Self {
        stream.set_nonblocking(true).unwrap();
        Self {
            socket: Source::new(Socket::from(stream)),
            has_heard: false,
            to_say: b"",
            sends: Rc::default(),
        }
    }
}

impl Transport for Handshake {
    fn registration(&self) -> Option<&Registration> {
        Some(self.socket.registration())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.has_heard {
            (&*self.socket).read_exact(&mut [0])?;
            self.has_heard = true;
        }
        (&*self.socket).read(buffer)
    }

    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.sends.set(self.sends.get() + 1);
        while !self.to_say.is_empty() {
            let sent = (&*self.socket).write(self.to_say)?;
            self.to_say = &self.to_say[sent..];
        }
        match self.has_heard {
            true => (&*self.socket).write_vectored(slices),
            false if slices.is_empty() => Ok(0),
            false => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }

    fn waits_for_room(&self) -> bool {
        self.has_heard
    }

    fn queued(&self) -> usize {
        self.to_say.len()
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        Some(SockRef::from(&*self.socket))
    }
}

fn pair() -> (TcpStream, TcpStream) {
    let (ours, theirs) = tcp_pair();
    theirs.set_nonblocking(true).unwrap();
    (ours, theirs)
}

/// The socket has room all the while, and that is of no use.
#[test]
fn a_send_that_waits_for_input_costs_no_turns_and_is_tried_when_there_was_some() {
    let (ours, mut theirs) = pair();
    let transport = Handshake::over(ours);
    let sends = Rc::clone(&transport.sends);
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::over(transport, "\n", Probe::default());
    let me = map.insert(channel).unwrap();
    for word in ["one ", "two ", "three"] {
        map.get_mut(me).unwrap().chat.push(word);
        assert_rest(&mut map);
    }
    assert_eq!(sends.get(), 1, "tried in vain");
    theirs.write_all(b"?").unwrap();
    assert_eq!(read_len(&mut map, &mut theirs, 13), b"one two three");

    // From then on it waits for room, as any other.
    map.get_mut(me).unwrap().chat.push(vec![b'x'; 5_000_000]);
    assert_rest(&mut map);
    assert_eq!(read_len(&mut map, &mut theirs, 5_000_000).len(), 5_000_000);
    assert_rest(&mut map);
}

#[test]
fn what_waits_for_input_is_sent_before_the_close() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let mut channel = AsyncChat::over(Handshake::over(ours), "\n", Probe::new(&log));
    channel.chat.push("goodbye");
    channel.chat.close_when_done();
    map.insert(channel).unwrap();
    assert_rest(&mut map);
    theirs.write_all(b"?and more\n").unwrap();
    assert_eq!(read_to_end(&mut map, &mut theirs), b"goodbye");
    drop(theirs);
    crate::common::turn_until(&mut map, |map| map.is_empty());
    assert_eq!(log.all(), ["close Done"]);
}

#[test]
fn a_handshake_is_sent_with_nothing_queued() {
    let (ours, mut theirs) = pair();
    let mut transport = Handshake::over(ours);
    transport.to_say = b"CLIENT HELLO";
    let sends = Rc::clone(&transport.sends);
    let mut map = ChannelMap::new().unwrap();
    map.insert(AsyncChat::over(transport, "\n", Probe::default()))
        .unwrap();
    assert_eq!(read_len(&mut map, &mut theirs, 12), b"CLIENT HELLO");
    assert_rest(&mut map);
    assert_eq!(sends.get(), 1);
}

/// Both at once: its own words leave although the channel's have to wait.
#[test]
fn a_handshake_is_sent_before_what_is_queued() {
    let (ours, mut theirs) = pair();
    let mut transport = Handshake::over(ours);
    transport.to_say = b"HELLO ";
    let mut map = ChannelMap::new().unwrap();
    let mut channel = AsyncChat::over(transport, "\n", Probe::default());
    channel.chat.push("world");
    map.insert(channel).unwrap();
    assert_eq!(read_len(&mut map, &mut theirs, 6), b"HELLO ");
    assert_rest(&mut map);
    theirs.write_all(b"?").unwrap();
    assert_eq!(read_len(&mut map, &mut theirs, 5), b"world");
}

/// What a server does with a connection, whatever that is made of.
#[test]
fn a_constructor_of_the_programs_own_takes_a_socket_and_a_transport() {
    fn session(wire: impl Into<Endpoint>, log: &Log) -> AsyncChat<Probe> {
        AsyncChat::new(wire, "\n", Probe::new(log))
    }
    let (ours, mut theirs) = pair();
    let (line, peer) = sim::line();
    let (of_socket, of_transport) = (Log::default(), Log::default());
    let mut map = ChannelMap::new().unwrap();
    map.insert(session(ours, &of_socket)).unwrap();
    let simulated = session(Endpoint::over(line), &of_transport);
    let simulated = map.insert(simulated).unwrap();
    theirs.write_all(b"hello\n").unwrap();
    peer.say(b"hello\n");
    map.dispatch(simulated, Readiness::READABLE);
    for log in [of_socket, of_transport] {
        crate::common::turn_until(&mut map, |_| log.len() == 2);
        assert_eq!(log.all(), ["connect", "message hello"]);
    }
}

#[test]
fn the_socket_underneath_has_the_addresses() {
    let (ours, theirs) = pair();
    let channel = AsyncChat::over(Handshake::over(ours), "\n", Probe::default());
    let endpoint = channel.chat.endpoint();
    let theirs = Address::Inet(theirs.local_addr().unwrap());
    assert_eq!(endpoint.peer_addr(), Some(theirs.clone()));
    assert_eq!(endpoint.addr(), Some(theirs));
    assert!(endpoint.local_addr().is_some());
    assert!(endpoint.socket().unwrap().keepalive().is_ok());

    let without = AsyncChat::over(ReadAhead::default(), "\n", Probe::default());
    let endpoint = without.chat.endpoint();
    assert_eq!((endpoint.peer_addr(), endpoint.local_addr()), (None, None));
    assert!(endpoint.socket().is_none());
}

/// Has read several records at once; with the last of them its handshake is
/// done, and it may send.
#[derive(Debug, Default)]
struct ReadAhead {
    records: VecDeque<&'static [u8]>,
    sent: Rc<Cell<usize>>,
}

impl Transport for ReadAhead {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let record = self.records.pop_front().ok_or(ErrorKind::WouldBlock)?;
        buffer[..record.len()].copy_from_slice(record);
        Ok(record.len())
    }

    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if !self.records.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let len = slices.iter().map(|slice| slice.len()).sum();
        self.sent.set(self.sent.get() + len);
        Ok(len)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn has_input(&self) -> bool {
        !self.records.is_empty()
    }

    fn waits_for_room(&self) -> bool {
        false
    }
}

/// The input that the send waits for is there already: no event tells of it.
#[test]
fn a_send_that_waits_for_input_is_tried_after_input_that_was_read_ahead() {
    let log = Log::default();
    let transport = ReadAhead {
        records: [&b"one\n"[..], b"two\n", b"three\n"].into(),
        ..ReadAhead::default()
    };
    let sent = Rc::clone(&transport.sent);
    let mut map = ChannelMap::new().unwrap();
    let probe = Probe::new(&log).on_connect(|chat, _| {
        chat.push("hello");
        Ok(())
    });
    let me = map.insert(AsyncChat::over(transport, "\n", probe)).unwrap();
    for _ in 0..20 {
        // What a poller would say: nothing but that the socket has room.
        map.dispatch(me, Readiness::WRITABLE);
        map.turn(Some(Duration::ZERO)).unwrap();
    }
    let expected = ["connect", "message one", "message two", "message three"];
    assert_eq!(log.all(), expected);
    assert_eq!(sent.get(), 5);
}

/// For each byte that the peer sends, it takes two.
#[derive(Debug)]
struct Credit(Source<Socket>, usize);

impl Transport for Credit {
    fn registration(&self) -> Option<&Registration> {
        Some(self.0.registration())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = (&*self.0).read(buffer)?;
        self.1 += 2 * len;
        Ok(len)
    }

    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let len = slices[0].len().min(self.1);
        if len == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.1 -= len;
        (&*self.0).write(&slices[0][..len])
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    fn waits_for_room(&self) -> bool {
        false
    }
}

/// The turn ended the sending, and not the transport: it waits for nothing.
#[test]
fn output_beyond_a_turns_share_goes_on_over_a_transport_that_waits_for_input() {
    let mut map = ChannelMap::new().unwrap();
    let transport = ReadAhead::default();
    let sent = Rc::clone(&transport.sent);
    let mut limits = Limits::default();
    limits.sent_per_turn = 4;
    let mut channel = AsyncChat::over(transport, "\n", Probe::default());
    channel.chat.set_limits(limits);
    for _ in 0..3 {
        channel.chat.push_with_producer(SimpleProducer::new("four"));
    }
    let me = map.insert(channel).unwrap();
    for _ in 0..6 {
        // What a poller would say: nothing but that the socket has room.
        map.dispatch(me, Readiness::WRITABLE);
        map.turn(Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(sent.get(), 12);
}

#[test]
fn a_transport_that_waits_for_input_again_and_again_sends_after_each() {
    let (ours, mut theirs) = pair();
    ours.set_nonblocking(true).unwrap();
    let transport = Credit(Source::new(Socket::from(ours)), 0);
    let mut map = ChannelMap::new().unwrap();
    let mut channel = AsyncChat::over(transport, "\n", Probe::default());
    channel.chat.push("abcdefgh");
    channel.chat.close_when_done();
    map.insert(channel).unwrap();
    for expected in ["ab", "cd", "ef", "gh"] {
        assert_rest(&mut map);
        theirs.write_all(b"+").unwrap();
        assert_eq!(read_len(&mut map, &mut theirs, 2), expected.as_bytes());
    }
    assert!(read_to_end(&mut map, &mut theirs).is_empty());
}

#[test]
fn a_dispatcher_sends_what_its_transport_has_with_nothing_queued() {
    let (ours, mut theirs) = pair();
    let mut transport = Handshake::over(ours);
    transport.to_say = b"CLIENT HELLO";
    let sends = Rc::clone(&transport.sends);
    let mut map = ChannelMap::new().unwrap();
    map.insert(Dispatcher::over(transport, Witness::new(&Log::default())))
        .unwrap();
    assert_eq!(read_len(&mut map, &mut theirs, 12), b"CLIENT HELLO");
    assert_rest(&mut map);
    assert_eq!(sends.get(), 1);
}

/// It took what was sent, and has no room for it yet, as TLS.
#[test]
fn a_dispatcher_sends_what_its_transport_has_kept_when_there_is_room() {
    let (line, peer) = sim::line();
    peer.use_buffer();
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(Dispatcher::over(line, Witness::new(&Log::default())))
        .unwrap();
    for is_pushed in [false, true] {
        peer.set_room(4);
        let endpoint = &mut map.get_mut(me).unwrap().endpoint;
        match is_pushed {
            false => assert_eq!(endpoint.send(b"kept for later").unwrap(), 14),
            true => assert!(endpoint.push("kept for later")),
        }
        sim::settle(&mut map, me, &peer);
        assert_eq!(peer.take_sent(), b"kept");
        assert_eq!(map.get(me).unwrap().endpoint.queued(), 10, "it is told");
        peer.set_room(100);
        sim::settle(&mut map, me, &peer);
        assert_eq!(peer.take_sent(), b" for later");
        let sends = peer.sends();
        sim::settle(&mut map, me, &peer);
        assert_eq!(peer.sends(), sends, "there is nothing left");
    }
}

#[test]
fn what_a_dispatcher_pushed_waits_for_input_without_turns() {
    let (ours, mut theirs) = pair();
    let transport = Handshake::over(ours);
    let sends = Rc::clone(&transport.sends);
    let mut map = ChannelMap::new().unwrap();
    let mut channel = Dispatcher::over(transport, Witness::new(&Log::default()));
    channel.endpoint.push("one two three");
    map.insert(channel).unwrap();
    assert_rest(&mut map);
    assert!(sends.get() <= 2, "tried in vain, {} times", sends.get());
    theirs.write_all(b"?").unwrap();
    assert_eq!(read_len(&mut map, &mut theirs, 13), b"one two three");
    assert_rest(&mut map);
}

/// Has something of its own to send, and is called for it without slices.
#[derive(Debug)]
struct Greeting(Rc<RefCell<Vec<usize>>>);

impl Transport for Greeting {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn recv(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }

    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.borrow_mut().push(slices.len());
        Ok(0)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn queued(&self) -> usize {
        usize::from(self.0.borrow().is_empty())
    }
}

/// Has something to send for ever, which fails.
#[derive(Debug)]
struct Broken(Source<UnixStream>);

impl Transport for Broken {
    fn registration(&self) -> Option<&Registration> {
        Some(self.0.registration())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }

    fn send_vectored(&mut self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        Err(ErrorKind::BrokenPipe.into())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn queued(&self) -> usize {
        1
    }
}

/// While its input is open the channel stays, as any whose sending has failed.
#[test]
fn a_transport_that_cannot_send_what_it_has_does_not_keep_the_loop_awake() {
    let (ours, _theirs) = unix_pair();
    ours.set_nonblocking(true).unwrap();
    let mut map = ChannelMap::new().unwrap();
    let transport = Broken(Source::new(ours));
    let me = map.insert(AsyncChat::over(transport, "\n", Probe::default()));
    assert_rest(&mut map);
    assert!(map.get(me.unwrap()).unwrap().chat.output_failed());
}

#[test]
fn a_transport_with_something_to_send_is_called_without_slices() {
    for is_chat in [true, false] {
        let slices = Rc::default();
        let transport = Greeting(Rc::clone(&slices));
        let mut map = ChannelMap::new().unwrap();
        if is_chat {
            map.insert(AsyncChat::over(transport, "\n", Probe::default()))
                .unwrap();
        } else {
            map.insert(Dispatcher::over(transport, Witness::new(&Log::default())))
                .unwrap();
        }
        map.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(*slices.borrow(), [0]);
    }
}

/// Says that it received and sent more than it was given room and data for.
#[derive(Debug)]
struct Boaster;

impl Transport for Boaster {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(buffer.len() + 1)
    }

    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(1 + slices.iter().map(|slice| slice.len()).sum::<usize>())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_transport_that_boasts_does_not_panic_a_chat() {
    let mut map = ChannelMap::new().unwrap();
    let mut chat = AsyncChat::over(Boaster, "\n", Probe::default());
    chat.chat.push("x");
    let me = map.insert(chat).unwrap();
    map.dispatch(me, Readiness::READABLE | Readiness::WRITABLE);
    map.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(map.get(me).unwrap().chat.queued(), 0);
}

#[test]
fn a_transport_that_boasts_does_not_panic_a_dispatcher() {
    let mut map = ChannelMap::new().unwrap();
    let mut dispatcher = Dispatcher::over(Boaster, Witness::new(&Log::default()));
    dispatcher.endpoint.push("x");
    let me = map.insert(dispatcher).unwrap();
    map.dispatch(me, Readiness::READABLE | Readiness::WRITABLE);
    map.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(map.get(me).unwrap().endpoint.queued(), 0);
}

/// Cannot tell the peer that nothing more will come.
#[derive(Debug)]
struct Unending(sim::Line);

impl Transport for Unending {
    fn registration(&self) -> Option<&Registration> {
        self.0.registration()
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buffer)
    }

    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.send_vectored(slices)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn queued(&self) -> usize {
        self.0.queued()
    }
}

/// There is nothing to wait for; but what it has kept goes first.
#[test]
fn a_peer_that_cannot_be_told_of_the_end_is_not_waited_for() {
    let log = Log::default();
    let (line, peer) = sim::line();
    peer.use_buffer();
    peer.set_room(4);
    let mut map = ChannelMap::new().unwrap();
    let mut channel = AsyncChat::over(Unending(line), "\n", Probe::new(&log));
    channel.chat.push("last words");
    channel.chat.close_when_done();
    let me = map.insert(channel).unwrap();
    sim::settle(&mut map, me, &peer);
    assert!(map.is_open(me), "{:?}", log.all());
    peer.set_room(100);
    sim::settle(&mut map, me, &peer); // and no time passes
    assert_eq!(peer.take_sent(), b"last words");
    assert_eq!(log.all(), ["close Done"]);
}

#[test]
fn shutting_down_half_of_a_transport_says_what_that_says() {
    let mut endings = Dispatcher::over(Unending(sim::line().0), Witness::new(&Log::default()));
    let endpoint = &mut endings.endpoint;
    assert!(endpoint.shutdown(Shutdown::Read).is_ok());
    for how in [Shutdown::Write, Shutdown::Both] {
        let error = endpoint.shutdown(how).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    let (line, peer) = sim::line();
    let mut channel = Dispatcher::over(line, Witness::new(&Log::default()));
    channel.endpoint.shutdown(Shutdown::Write).unwrap();
    assert!(peer.is_shut());
}
