//! Which event calls what, over real connections.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use chat::{
    Address, ChannelMap, Dispatcher, DispatcherHandler, Endpoint, Readiness, Result, Stream,
};
use rustix::net::RecvFlags;

use crate::common::{
    Log, Server, Witness, assert_rest, read_len, read_to_end, sim, turn_to_rest, turn_until,
};
use crate::original::family::{Family, Place};

#[test]
fn each_event_calls_its_own_method_and_no_other() {
    let cases = [
        (Readiness::READABLE, "read x"),
        (Readiness::PRIORITY, "expt"),
        (Readiness::WRITABLE, "write"),
    ];
    for (event, called) in cases {
        let log = Log::default();
        let (line, peer) = sim::line();
        peer.say("x");
        let mut map = ChannelMap::new().unwrap();
        let me = map
            .insert(Dispatcher::over(line, Witness::new(&log).writes(9)))
            .unwrap();
        assert!(map.dispatch(me, event));
        map.turn_at(map.now()).unwrap();
        assert_eq!(log.after_connect(), [called]);
    }
}

#[test]
fn handle_connect_is_called_once_when_the_connection_is_there() {
    for family in Family::all() {
        let log = Log::default();
        let (place, listener) = Place::plain(family);
        let mut map = ChannelMap::new().unwrap();
        map.insert(place.connect(Witness::new(&log))).unwrap();
        turn_until(&mut map, |_| log.len() > 0);
        let (_peer, _) = listener.accept().unwrap();
        assert_rest(&mut map);
        assert_eq!(log.all(), ["connect"], "{family:?}");
    }
}

/// Accepts by itself, and only when it is told to.
struct ByHand {
    log: Log,
    may_accept: Rc<Cell<bool>>,
}

impl DispatcherHandler for ByHand {
    fn handle_accept(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        assert!(endpoint.accepting() && !endpoint.connected());
        if !self.may_accept.get() {
            self.log.add("called");
            return Ok(());
        }
        if let Some((stream, _)) = endpoint.accept()? {
            assert!(stream.into_socket()?.nonblocking()?);
            self.log.add("accepted");
        }
        Ok(())
    }
}

#[test]
fn handle_accept_is_called_until_it_has_accepted() {
    for family in Family::all() {
        let log = Log::default();
        let may_accept = Rc::new(Cell::new(false));
        let handler = ByHand {
            log: log.clone(),
            may_accept: Rc::clone(&may_accept),
        };
        let (place, server) = Place::listen(family, handler);
        let mut map = ChannelMap::new().unwrap();
        map.insert(server).unwrap();
        let mut client = place.dial();
        turn_until(&mut map, |_| log.count("called") >= 2);
        assert_eq!(log.count("accepted"), 0, "{family:?}");
        may_accept.set(true);
        turn_until(&mut map, |_| log.has("accepted"));
        assert!(read_to_end(&mut map, &mut client).is_empty()); // it was dropped
        assert_rest(&mut map);
        assert_eq!(log.count("accepted"), 1, "{family:?}");
    }
}

#[test]
fn handle_accepted_gets_the_socket_and_the_peers_address() {
    for family in Family::all() {
        let accepted = Rc::new(RefCell::new(Vec::new()));
        let keep = Rc::clone(&accepted);
        let (place, server) = Place::listen(
            family,
            Server(move |stream: Stream, addr, _: &mut ChannelMap| {
                keep.borrow_mut().push((stream.into_socket()?, addr));
                Ok(())
            }),
        );
        let mut map = ChannelMap::new().unwrap();
        map.insert(server).unwrap();
        let mut client = place.dial();
        turn_until(&mut map, |_| !accepted.borrow().is_empty());
        let (mut socket, addr) = accepted.borrow_mut().pop().unwrap();
        assert_eq!(addr, Address::from(client.local_addr().unwrap()));
        assert_eq!(family == Family::Unix, addr == Address::Unix(None));
        socket.write_all(b"hello").unwrap();
        assert_eq!(read_len(&mut map, &mut client, 5), b"hello", "{family:?}");
    }
}

#[test]
fn a_socket_dropped_in_handle_accepted_is_closed_for_the_client() {
    for family in Family::all() {
        let log = Log::default();
        let (place, server) = Place::listen(family, Witness::new(&log));
        let mut map = ChannelMap::new().unwrap();
        map.insert(server).unwrap();
        let client = Log::default();
        map.insert(place.connect(Witness::new(&client))).unwrap();
        turn_until(&mut map, |_| client.count("close") > 0);
        assert_eq!(client.all(), ["connect", "eof", "close Eof"], "{family:?}");
        assert_eq!(log.all(), ["accepted"], "{family:?}");
    }
}

#[test]
fn handle_read_is_called_when_there_is_data_and_nothing_else_is() {
    for family in Family::all() {
        let log = Log::default();
        let (ours, mut theirs) = family.pair();
        let mut map = ChannelMap::new().unwrap();
        map.insert(Dispatcher::new(ours, Witness::new(&log)))
            .unwrap();
        assert_rest(&mut map);
        assert!(log.after_connect().is_empty(), "{family:?}");
        theirs.write_all(b"some data").unwrap();
        assert_rest(&mut map);
        assert_eq!(log.after_connect(), ["read some data"], "{family:?}");
    }
}

#[test]
fn handle_write_is_called_when_it_is_wanted_and_there_is_room() {
    for family in Family::all() {
        let log = Log::default();
        let (ours, mut theirs) = family.pair();
        let mut map = ChannelMap::new().unwrap();
        let witness = Witness::new(&log).writes(3).on_event(|event, endpoint, _| {
            if event == "write" {
                endpoint.send(b"x")?;
            }
            Ok(())
        });
        map.insert(Dispatcher::new(ours, witness)).unwrap();
        assert_eq!(read_len(&mut map, &mut theirs, 3), b"xxx");
        assert_rest(&mut map);
        assert_eq!(
            log.after_connect(),
            ["write", "write", "write"],
            "{family:?}"
        );
    }
}

#[test]
fn handle_close_is_called_once_when_the_peer_has_closed() {
    for family in Family::all() {
        let log = Log::default();
        let (ours, mut theirs) = family.pair();
        let mut map = ChannelMap::new().unwrap();
        let channel = Dispatcher::new(ours, Witness::new(&log));
        let me = map.insert(channel).unwrap();
        theirs.write_all(b"last words").unwrap();
        drop(theirs);
        turn_until(&mut map, |map| !map.is_open(me));
        turn_to_rest(&mut map);
        let expected = ["read last words", "eof", "close Eof"];
        assert_eq!(log.after_connect(), expected, "{family:?}");
    }
}

/// `POLLHUP` by itself is not an event of its own here: what is left to read
/// comes first.
#[test]
fn a_hang_up_is_the_end_of_the_input() {
    for family in Family::all() {
        let log = Log::default();
        let (ours, mut theirs) = family.pair();
        let mut map = ChannelMap::new().unwrap();
        let mut channel = Dispatcher::new(ours, Witness::new(&log));
        channel.endpoint.shutdown(Shutdown::Write).unwrap();
        map.insert(channel).unwrap();
        theirs.write_all(&[b'x'; 3_000]).unwrap();
        drop(theirs); // the second half: that is a hang-up
        turn_until(&mut map, |_| log.has("close Eof"));
        let read: usize = log.all().iter().map(|line| line.matches('x').count()).sum();
        assert_eq!(read, 3_000, "{family:?}");
        assert_eq!(
            log.count("read") + 2,
            log.after_connect().len(),
            "{family:?}"
        );
        assert_rest(&mut map);
    }
}

/// Both for a channel that reads and for one that only writes.
#[test]
fn handle_close_is_called_once_when_the_connection_is_broken() {
    for family in Family::all() {
        for reads in [true, false] {
            let log = Log::default();
            let (place, server) = Place::listen(
                family,
                Server(|socket, _, map: &mut ChannelMap| {
                    let once = Witness::new(&Log::default()).on_event(|event, endpoint, _| {
                        if event.starts_with("read") {
                            endpoint.close();
                        }
                        Ok(())
                    });
                    map.insert(Dispatcher::new(socket, once))?;
                    Ok(())
                }),
            );
            let mut map = ChannelMap::new().unwrap();
            map.insert(server).unwrap();
            let mut client =
                Witness::new(&log)
                    .writes(usize::MAX)
                    .on_event(|event, endpoint, _| {
                        if event == "write" {
                            endpoint.send(&[0; 128])?;
                        }
                        Ok(())
                    });
            if !reads {
                client = client.not_readable();
            }
            let me = map.insert(place.connect(client)).unwrap();
            turn_until(&mut map, |map| !map.is_open(me));
            turn_to_rest(&mut map);
            let ends = [
                "close Io(ConnectionReset)",
                "close Io(BrokenPipe)",
                "close Eof", // seen before the next write failed
            ];
            let last = log.all().pop().unwrap();
            let ends = if reads { &ends[..] } else { &ends[..2] };
            assert!(ends.contains(&&last[..]), "{family:?}: {last}");
            assert_eq!(log.count("close") + log.count("error"), 1, "{family:?}");
        }
    }
}

/// Unix sockets have no out-of-band data that is of use, as the original says.
#[test]
fn handle_expt_can_read_the_out_of_band_byte() {
    for family in Family::inet() {
        let log = Log::default();
        let byte = Rc::new(Cell::new(0));
        let (place, server) = Place::listen(
            family,
            Server(|stream: Stream, _, map: &mut ChannelMap| {
                let socket = stream.socket().ok_or("no socket")?;
                assert_eq!(socket.send_out_of_band(&[244])?, 1);
                map.insert(Dispatcher::new(stream, Witness::new(&Log::default())))?;
                Ok(())
            }),
        );
        let mut map = ChannelMap::new().unwrap();
        map.insert(server).unwrap();
        let received = Rc::clone(&byte);
        let client = Witness::new(&log).on_event(move |event, endpoint, _| {
            if event == "expt" {
                let mut buffer = [0; 1024];
                let socket = endpoint.socket().ok_or("no socket")?;
                let (_, len) = rustix::net::recv(&*socket, &mut buffer[..], RecvFlags::OOB)?;
                assert_eq!(len, 1);
                received.set(buffer[0]);
            }
            Ok(())
        });
        map.insert(place.connect(client)).unwrap();
        turn_until(&mut map, |_| log.has("expt"));
        assert_eq!(byte.get(), 244, "{family:?}");
        assert_rest(&mut map);
        assert_eq!(log.all(), ["connect", "expt"], "{family:?}");
    }
}

#[test]
fn a_dispatcher_with_nothing_to_receive_has_no_error() {
    for family in Family::all() {
        let log = Log::default();
        let (ours, _theirs) = family.pair();
        let mut map = ChannelMap::new().unwrap();
        let channel = Dispatcher::new(ours, Witness::new(&log));
        let me = map.insert(channel).unwrap();
        map.dispatch(me, Readiness::READABLE);
        map.turn(Some(Duration::ZERO)).unwrap();
        assert!(
            log.after_connect().is_empty() && map.is_open(me),
            "{family:?}"
        );
    }
}
