//! Over TLS a handler gets what it gets in the clear, whatever the pieces and the records.

use std::cell::RefCell;
use std::io::{ErrorKind, IoSlice};
use std::rc::Rc;

use chat::{
    AsyncChat, ChannelMap, Chat, CloseReason, Endpoint, Limits, MessageHandler, Readiness, Result,
    Transport,
};
use tls::rustls::ClientConnection;
use tls::{Acceptor, Tls};

use crate::certificates;
use crate::pipe::Pipe;

/// xorshift64*: a seed gives the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

/// Notes the messages. One that is a number is the length of the next.
#[derive(Default)]
struct Reader(Rc<RefCell<Vec<String>>>);

impl Reader {
    fn note(&self, what: impl Into<String>) -> Result {
        self.0.borrow_mut().push(what.into());
        Ok(())
    }
}

impl MessageHandler for Reader {
    fn handle_connect(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        self.note("connect")
    }
    fn handle_message(&mut self, message: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        let message = String::from_utf8_lossy(message);
        match message.parse::<u32>() {
            Ok(len) => chat.set_terminator(len as usize),
            Err(_) => chat.set_terminator("\r\n"),
        }
        chat.push(format!("{}\n", message.len()));
        self.note(message)
    }
    fn handle_eof(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
        chat.close_when_done();
        self.note("eof")
    }
    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        let _ = self.note(format!("{reason:?}"));
    }
}

/// What a peer says.
fn script(random: &mut Random) -> Vec<u8> {
    let mut script = Vec::new();
    for _ in 0..random.below(20) {
        let len = match random.below(10) {
            0 => random.below(60_000),
            _ => random.below(50),
        };
        match random.below(2) {
            0 => script.extend(std::iter::repeat_n(b'x', len)),
            _ => {
                script.extend(format!("{}\r\n", len + 1).bytes());
                script.extend(std::iter::repeat_n(b'\r', len));
                script.push(b'y');
                continue;
            }
        }
        script.extend(b"\r\n");
    }
    script
}

/// Has a channel read the script, in the clear or not, and returns what its handler noted and
/// what the peer heard.
fn play(script: &[u8], seed: u64, is_tls: bool) -> (Vec<String>, Vec<u8>) {
    let mut random = Random(seed | 1);
    let longest = [10, 3_000, 100_000][random.below(3)];
    let piece = 1 + random.below(longest);
    let (pipe, far) = Pipe::pair(piece, 1 << 20);
    let mut far: Box<dyn Transport> = Box::new(far);
    let mut endpoint = Endpoint::over(pipe);
    if is_tls {
        endpoint = Acceptor::new(certificates::server()).accept(endpoint);
        let name = "localhost".try_into().unwrap();
        let client = ClientConnection::new(certificates::client(), name).unwrap();
        far = Box::new(Tls::new(far, client));
    }
    let reader = Reader::default();
    let log = Rc::clone(&reader.0);
    let mut limits = Limits::default();
    limits.in_buffer_size = 1 + random.below(100_000);
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::new(endpoint, "\r\n", reader).limited(limits);
    let me = map.insert(channel).unwrap();
    let (mut said, mut heard, mut is_shut) = (0, Vec::new(), false);
    let mut buffer = vec![0; 70_000];
    for _ in 0..1_000_000 {
        let end = script.len().min(said + 1 + random.below(2 * piece));
        match far.send_vectored(&[IoSlice::new(&script[said..end])]) {
            Ok(len) => said += len,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        if said == script.len() && far.queued() == 0 && !is_shut && !far.is_handshaking() {
            is_shut = true;
            far.shutdown().unwrap();
        }
        map.dispatch(me, Readiness::READABLE | Readiness::WRITABLE);
        map.turn_at(map.now()).unwrap();
        match far.recv(&mut buffer) {
            Ok(0) if map.is_empty() => {
                let log = log.borrow().clone();
                return (log, heard);
            }
            Ok(len) => heard.extend_from_slice(&buffer[..len]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    panic!("no end: seed {seed}, {:?}", log.borrow().last());
}

#[test]
fn a_handler_does_not_know() {
    let campaign = std::env::var("TLS_SEEDS").ok().and_then(|n| n.parse().ok());
    for seed in 1..=campaign.unwrap_or(40) {
        let script = script(&mut Random(seed * 7_919));
        let clear = play(&script, seed, false);
        let secret = play(&script, seed, true);
        assert!(clear == secret, "seed {seed}:\n{clear:?}\n{secret:?}");
        assert_eq!(clear.0.first().unwrap(), "connect");
        assert_eq!(clear.0.last().unwrap(), "Done");
    }
}
