//! TCP's urgent byte: read by who wants it, discarded for who does not, and the
//! stream around it stays in order.

use std::io::Write;
use std::net::TcpStream;

use chat::{
    AsyncChat, ChannelMap, Dispatcher, DispatcherHandler, Endpoint, Handle, Result, SockRef,
};
use rustix::net::RecvFlags;

use crate::common::{
    Log, Probe, assert_rest, journal, read_len, tcp_pair, turn_to_rest, turn_until,
};

const DISCARDED: &str = "a byte that the peer sent out of band was discarded";

/// Logs what it reads; reads the urgent byte as well, if it is to.
struct Reader {
    log: Log,
    reads_urgent: bool,
}

impl DispatcherHandler for Reader {
    fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        let mut buffer = [0; 100];
        let len = endpoint.recv(&mut buffer)?;
        self.log
            .add(format!("read {}", buffer[..len].escape_ascii()));
        Ok(())
    }

    fn handle_expt(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        if self.reads_urgent {
            let socket = endpoint.socket().ok_or("no socket")?;
            let mut byte = [0];
            let (len, _) = rustix::net::recv(&*socket, &mut byte, RecvFlags::OOB)?;
            self.log
                .add(format!("urgent {}", byte[..len].escape_ascii()));
        } else {
            self.log.add("expt");
        }
        Ok(())
    }

    fn handle_error(&mut self, error: chat::Error, _: &mut Endpoint, _: &mut ChannelMap) {
        self.log.add(format!("error {error}"));
    }
}

fn insert(
    map: &mut ChannelMap,
    socket: TcpStream,
    log: &Log,
    reads_urgent: bool,
) -> Handle<Dispatcher<Reader>> {
    let log = log.clone();
    let channel = Dispatcher::new(socket, Reader { log, reads_urgent });
    map.insert(channel).unwrap()
}

fn send_urgent(peer: &TcpStream, byte: &[u8; 1]) {
    assert_eq!(SockRef::from(peer).send_out_of_band(byte).unwrap(), 1);
}

/// What was read, however it was cut.
fn stream(log: &Log) -> String {
    let read = log.all().into_iter();
    read.filter_map(|line| line.strip_prefix("read ").map(str::to_owned))
        .collect()
}

#[test]
fn a_dispatcher_gets_the_urgent_byte_and_the_rest_in_order() {
    journal::open();
    let log = Log::default();
    let (ours, mut theirs) = tcp_pair();
    let mut map = ChannelMap::new().unwrap();
    let me = insert(&mut map, ours, &log, true);
    theirs.write_all(b"before ").unwrap();
    send_urgent(&theirs, b"!");
    theirs.write_all(b"after").unwrap();
    turn_until(&mut map, |_| stream(&log).len() == 12);
    assert_rest(&mut map);
    assert_eq!(stream(&log), "before after");
    assert_eq!(log.count("urgent"), 1);
    assert!(log.has("urgent !"), "{:?}", log.all());

    // And another, on a connection that is at rest.
    send_urgent(&theirs, b"?");
    turn_until(&mut map, |_| log.has("urgent ?"));
    assert_rest(&mut map);
    assert_eq!((log.count("urgent"), log.count("error")), (2, 0));
    assert_eq!(journal::count(DISCARDED), 0);
    assert!(map.is_open(me));
}

/// Every one is told, though nobody reads them; none is told twice.
#[test]
fn an_urgent_byte_that_nobody_reads_costs_no_turns_and_no_data() {
    journal::open();
    let log = Log::default();
    let (ours, mut theirs) = tcp_pair();
    let mut map = ChannelMap::new().unwrap();
    let me = insert(&mut map, ours, &log, false).token();
    for round in 1..=3 {
        theirs.write_all(b"<").unwrap();
        send_urgent(&theirs, b"!");
        theirs.write_all(b">").unwrap();
        turn_until(&mut map, |_| stream(&log).len() == 2 * round);
        assert_rest(&mut map);
        assert_eq!(log.count("expt"), round);
    }
    assert_eq!(stream(&log), "<><><>");
    assert_eq!(
        journal::count(&format!("WARN channel {me}: {DISCARDED}")),
        3
    );
}

#[test]
fn inline_it_is_a_byte_of_the_stream() {
    let log = Log::default();
    let (ours, mut theirs) = tcp_pair();
    SockRef::from(&ours).set_out_of_band_inline(true).unwrap();
    let mut map = ChannelMap::new().unwrap();
    insert(&mut map, ours, &log, false);
    for _ in 0..2 {
        theirs.write_all(b"before").unwrap();
        send_urgent(&theirs, b"!");
        theirs.write_all(b"after ").unwrap();
    }
    turn_until(&mut map, |_| stream(&log).len() == 26);
    assert_rest(&mut map);
    assert_eq!(stream(&log), "before!after before!after ");

    // Alone, it is there to be read as well.
    send_urgent(&theirs, b"?");
    turn_until(&mut map, |_| stream(&log).ends_with('?'));
    assert_rest(&mut map);
}

/// Who does not read at all is not kept awake by it.
#[test]
fn a_dispatcher_that_is_not_readable_hears_of_it_when_it_is() {
    struct Gate(Log, bool);
    impl DispatcherHandler for Gate {
        fn readable(&self, _: &Endpoint) -> bool {
            self.1
        }
        fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
            let mut buffer = [0; 100];
            let len = endpoint.recv(&mut buffer)?;
            self.0.add(format!("read {}", buffer[..len].escape_ascii()));
            Ok(())
        }
        fn handle_expt(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
            self.0.add("expt");
            Ok(())
        }
    }
    let log = Log::default();
    let (ours, mut theirs) = tcp_pair();
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(Dispatcher::new(ours, Gate(log.clone(), false)))
        .unwrap();
    theirs.write_all(b"line").unwrap();
    send_urgent(&theirs, b"!");
    assert_rest(&mut map);
    assert_eq!(log.len(), 0);
    map.get_mut(me).unwrap().handler.1 = true;
    turn_until(&mut map, |_| log.len() == 2);
    assert_rest(&mut map);
    assert_eq!(log.all(), ["expt", "read line"]);
}

#[test]
fn a_chat_channel_discards_it_with_a_warning_and_keeps_its_messages() {
    journal::open();
    let log = Log::default();
    let (ours, mut theirs) = tcp_pair();
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(AsyncChat::new(ours, "\r\n", Probe::new(&log)))
        .unwrap();
    let urgent = [b"!", b"\r", b"\n"]; // two of them look like a terminator, and are none
    for (n, byte) in urgent.into_iter().enumerate() {
        theirs.write_all(b"one\r\ntwo\r").unwrap();
        send_urgent(&theirs, byte);
        theirs.write_all(b"\nthree\r\n").unwrap();
        turn_until(&mut map, |_| log.count("message") == 3 * (n + 1));
        assert_rest(&mut map);
    }
    let expected = ["message one", "message two", "message three"].repeat(3);
    assert_eq!(log.all()[1..], expected);
    assert!(map.is_open(me));
    let line = format!("WARN channel {}: {DISCARDED}", me.token());
    assert_eq!(journal::count(&line), 3);
}

/// `ftplib` sends the last byte of its `ABOR` so.
#[test]
fn a_chat_channel_that_sets_it_inline_gets_the_command_whole() {
    journal::open();
    let log = Log::default();
    let (ours, mut theirs) = tcp_pair();
    let probe = Probe::new(&log).on_connect(|chat, _| {
        let socket = chat.endpoint().socket().ok_or("no socket")?;
        Ok(socket.set_out_of_band_inline(true)?)
    });
    let mut map = ChannelMap::new().unwrap();
    map.insert(AsyncChat::new(ours, "\r\n", probe)).unwrap();
    turn_until(&mut map, |_| log.has("connect"));
    theirs.write_all(b"ABOR\r").unwrap();
    send_urgent(&theirs, b"\n");
    theirs.write_all(b"NOOP\r\n").unwrap();
    turn_until(&mut map, |_| log.count("message") == 2);
    assert_rest(&mut map);
    assert_eq!(log.all()[1..], ["message ABOR", "message NOOP"]);
    assert_eq!(journal::count(DISCARDED), 0);
}

/// The peer is urgent about something while the channel ends.
#[test]
fn a_channel_that_closes_when_done_discards_it_too_without_a_warning() {
    journal::open();
    let log = Log::default();
    let (ours, theirs) = tcp_pair();
    theirs.set_nonblocking(true).unwrap();
    let mut map = ChannelMap::new().unwrap();
    let mut channel = AsyncChat::new(ours, "\n", Probe::new(&log));
    channel.chat.push(vec![b'x'; 7_000_000]);
    channel.chat.close_when_done();
    map.insert(channel).unwrap();
    turn_to_rest(&mut map);
    send_urgent(&theirs, b"!");
    assert_rest(&mut map); // finishing
    let mut reader = &theirs;
    assert_eq!(read_len(&mut map, &mut reader, 7_000_000).len(), 7_000_000);
    send_urgent(&theirs, b"!");
    assert_rest(&mut map); // lingering
    drop(theirs);
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(log.all(), ["close Done"]);
    assert_eq!(journal::count(DISCARDED), 0);
}
