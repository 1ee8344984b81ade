//! At rest the loop does not turn: nothing that a peer does and nobody reads
//! keeps it awake.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use chat::{
    AsyncChat, ChannelMap, Dispatcher, DispatcherHandler, Endpoint, Limits, More, Producer,
    Registration, Result, Socket, Source, Terminator, Transport,
};

use crate::common::{Log, Probe, assert_rest, tcp_pair, turn_to_rest, unix_pair};

fn send_urgent(peer: &TcpStream) {
    let sent = socket2_of(peer).send_out_of_band(b"!").unwrap();
    assert_eq!(sent, 1);
}

fn socket2_of(peer: &TcpStream) -> Socket {
    Socket::from(peer.try_clone().unwrap())
}

#[test]
fn an_idle_channel_costs_no_turns() {
    let (ours, _theirs) = tcp_pair();
    let mut map = ChannelMap::new().unwrap();
    map.insert(AsyncChat::new(ours, "\n", Probe::default()))
        .unwrap();
    assert_rest(&mut map);
}

#[test]
fn out_of_band_data_on_a_chat_channel_is_discarded() {
    let log = Log::default();
    let (ours, mut theirs) = tcp_pair();
    let mut map = ChannelMap::new().unwrap();
    map.insert(AsyncChat::new(ours, "\n", Probe::new(&log)))
        .unwrap();
    theirs.write_all(b"be").unwrap();
    send_urgent(&theirs);
    assert_rest(&mut map);
    theirs.write_all(b"fore\n").unwrap();
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["connect", "message before"]);
}

/// A dispatcher is told of it; one that does not care is not told for ever.
#[test]
fn out_of_band_data_that_a_dispatcher_does_not_read_costs_no_turns() {
    struct Told(Log);
    impl DispatcherHandler for Told {
        fn handle_expt(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
            self.0.add("expt");
            Ok(())
        }

        // An ordinary `recv` would skip the byte, and with it the problem.
        fn handle_read(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
            Ok(())
        }
    }
    let log = Log::default();
    let (ours, theirs) = tcp_pair();
    let mut map = ChannelMap::new().unwrap();
    map.insert(Dispatcher::new(ours, Told(log.clone())))
        .unwrap();
    send_urgent(&theirs);
    assert_rest(&mut map);
    assert_eq!(log.all(), ["expt"]);
}

/// A transport over a socket, as TLS is. It knows nothing of urgent data.
#[derive(Debug)]
struct Wrapped(Source<Socket>);

impl Transport for Wrapped {
    fn registration(&self) -> Option<&Registration> {
        Some(self.0.registration())
    }
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self.0).write_vectored(slices)
    }
    fn shutdown(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }
}

fn wrapped(stream: TcpStream) -> Wrapped {
    stream.set_nonblocking(true).unwrap();
    Wrapped(Source::new(Socket::from(stream)))
}

#[test]
fn out_of_band_data_under_another_transport_costs_no_turns() {
    let log = Log::default();
    let (ours, mut theirs) = tcp_pair();
    let mut map = ChannelMap::new().unwrap();
    map.insert(AsyncChat::over(wrapped(ours), "\n", Probe::new(&log)))
        .unwrap();
    theirs.write_all(b"line\n").unwrap();
    send_urgent(&theirs);
    assert_rest(&mut map);
    assert_eq!(log.all(), ["connect", "message line"]);
}

#[test]
fn out_of_band_data_for_a_paused_channel_costs_no_turns() {
    let (ours, theirs) = tcp_pair();
    let mut map = ChannelMap::new().unwrap();
    let mut channel = AsyncChat::new(ours, "\n", Probe::default());
    channel.chat.pause();
    map.insert(channel).unwrap();
    send_urgent(&theirs);
    assert_rest(&mut map);
}

#[test]
fn a_half_closed_channel_costs_no_turns() {
    for is_gone in [false, true] {
        let log = Log::default();
        let (ours, theirs) = unix_pair();
        let probe = Probe::new(&log).on_eof(|_, _| Ok(()));
        let mut map = ChannelMap::new().unwrap();
        map.insert(AsyncChat::new(ours, "\n", probe)).unwrap();
        match is_gone {
            true => drop(theirs), // which is HUP, and cannot be masked
            false => theirs.shutdown(Shutdown::Write).unwrap(),
        }
        assert_rest(&mut map);
        assert_eq!(log.all(), ["connect", "eof"]);
    }
}

#[test]
fn a_paused_channel_whose_peer_is_gone_costs_no_turns() {
    let (ours, theirs) = tcp_pair();
    let mut map = ChannelMap::new().unwrap();
    let mut channel = AsyncChat::new(ours, "\n", Probe::default());
    channel.chat.pause();
    map.insert(channel).unwrap();
    turn_to_rest(&mut map);
    let theirs = socket2_of(&theirs);
    theirs.set_linger(Some(Duration::ZERO)).unwrap();
    drop(theirs); // ERR and HUP
    assert_rest(&mut map);
}

#[test]
fn output_that_nobody_reads_costs_no_turns() {
    let (ours, _theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let mut channel = AsyncChat::new(ours, "\n", Probe::default());
    channel.chat.push(vec![0; 5_000_000]);
    map.insert(channel).unwrap();
    assert_rest(&mut map);
}

#[test]
fn a_channel_that_lingers_costs_no_turns() {
    let (ours, theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let mut channel = AsyncChat::new(ours, "\n", Probe::default());
    channel.chat.push("goodbye");
    channel.chat.close_when_done();
    map.insert(channel).unwrap();
    assert_rest(&mut map);
    assert_eq!(map.len(), 1);
    drop(theirs);
}

#[test]
fn a_count_that_waits_and_a_terminator_that_never_comes_cost_no_turns() {
    for terminator in [5.into(), Terminator::none(), "\n".into()] {
        let (ours, mut theirs) = unix_pair();
        let mut map = ChannelMap::new().unwrap();
        map.insert(AsyncChat::new(ours, terminator, Probe::default()))
            .unwrap();
        theirs.write_all(b"abc").unwrap();
        assert_rest(&mut map);
    }
}

/// A producer that has nothing is not timed at all, however short the time.
#[test]
fn a_finishing_channel_whose_producer_has_nothing_costs_no_turns() {
    struct Nothing;
    impl Producer for Nothing {
        fn more(&mut self, _: &mut Vec<u8>, _: usize) -> io::Result<More> {
            Ok(More::Later)
        }
    }
    for stall in [Duration::from_secs(30), Duration::ZERO] {
        let mut limits = Limits::default();
        limits.stall = stall;
        let (ours, _theirs) = unix_pair();
        let mut map = ChannelMap::new().unwrap();
        let channel = AsyncChat::new(ours, "\n", Probe::default());
        let mut channel = channel.limited(limits);
        channel.chat.push_with_producer(Nothing);
        channel.chat.close_when_done();
        map.insert(channel).unwrap();
        assert_rest(&mut map);
        assert_eq!(map.len(), 1);
    }
}
