//! What a socket keeps in its error queue (`MSG_ERRQUEUE`) costs no turns, and no input.

#![cfg(target_os = "linux")]

use std::io::{self, ErrorKind, Write};
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use chat::{AsyncChat, ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint, Result};

use crate::common::{Log, Probe, assert_rest, name, tcp_pair, turn_to_rest, turn_until, unix_pair};

/// `IP_RECVERR` of ip(7): each ICMP error is queued.
const RECVERR: (i32, i32, i32) = (0, 11, 1);

/// `SO_TIMESTAMPING` of socket(7): the time of each packet that is sent is queued.
const TIMESTAMPING: (i32, i32, i32) = (1, 37, 2 | 16);

/// Sets an option that no crate here knows; `false` if there is no python3.
fn set(socket: &impl AsFd, (level, option, value): (i32, i32, i32)) -> bool {
    let socket: OwnedFd = socket.as_fd().try_clone_to_owned().unwrap();
    let script =
        format!("import socket; socket.socket(fileno=0).setsockopt({level}, {option}, {value})");
    let python = Command::new("python3")
        .args(["-c", &script])
        .stdin(Stdio::from(socket))
        .status();
    match python {
        Ok(status) => assert!(status.success(), "{status}"),
        Err(_) => {
            let _ = writeln!(io::stderr(), "skipped: no python3");
            return false;
        }
    }
    true
}

/// Records what `recv` says.
struct Reader(Log);

impl DispatcherHandler for Reader {
    fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        match endpoint.recv(&mut [0; 100]) {
            Ok(len) => self.0.add(format!("{len} bytes")),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => self.0.add(format!("{:?}", error.kind())),
        }
        Ok(())
    }
}

/// Nobody is at the port: each datagram comes back as an ICMP error.
#[test]
fn errors_of_datagrams_are_told_once_each_and_the_loop_rests() {
    let nobody = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
    ours.connect(nobody).unwrap();
    if !set(&ours, RECVERR) {
        return;
    }
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let channel = map
        .insert(Dispatcher::new(ours, Reader(log.clone())))
        .unwrap();
    for _ in 0..100 {
        map.get_mut(channel).unwrap().endpoint.push("anybody?");
        turn_to_rest(&mut map);
    }
    assert_rest(&mut map);
    assert_eq!(log.all(), ["ConnectionRefused"; 100]);
}

/// A channel that only writes has no read event that could notice.
#[test]
fn times_of_sent_packets_cost_no_turns() {
    let (ours, mut theirs) = tcp_pair();
    if !set(&ours, TIMESTAMPING) {
        return;
    }
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let channel = map
        .insert(AsyncChat::new(ours, "\n", Probe::new(&log)))
        .unwrap();
    turn_to_rest(&mut map);
    for is_paused in [false, true] {
        let chat = &mut map.get_mut(channel).unwrap().chat;
        if is_paused {
            chat.pause();
            chat.push(vec![0; 8_000_000]); // waits for room
        }
        chat.push("an answer\n");
        assert_rest(&mut map);
    }
    map.get_mut(channel).unwrap().chat.resume();
    theirs.write_all(b"still here\n").unwrap();
    assert_rest(&mut map);
    assert_eq!(log.all(), ["connect", "message still here"]);
}

/// Leaves its first read event alone.
struct Late(Log, usize);

impl DispatcherHandler for Late {
    fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.1 += 1;
        if self.1 > 1 {
            endpoint.recv(&mut [0; 100])?;
        }
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.0.add(format!("close {}", name(&reason)));
    }
}

/// An error of a connection is no entry of a queue: it stays for `recv`.
#[test]
fn a_reset_that_is_read_later_is_still_a_reset() {
    for is_tcp in [true, false] {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let late = Late(log.clone(), 0);
        let channel = match is_tcp {
            true => {
                let (mut ours, theirs) = tcp_pair();
                ours.write_all(b"unread").unwrap();
                theirs.peek(&mut [0; 6]).unwrap(); // which a close now answers by a reset
                Dispatcher::new(ours, late)
            }
            false => {
                let (mut ours, _theirs) = unix_pair();
                ours.write_all(b"unread").unwrap();
                Dispatcher::new(ours, late)
            }
        };
        map.insert(channel).unwrap();
        turn_until(&mut map, |map| map.is_empty());
        assert_eq!(log.all(), ["close Io(ConnectionReset)"]);
    }
}
