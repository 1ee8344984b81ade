//! A message found and delivered, by the terminator's and the message's length.

use bench::memory::Driven;
use chat::{ChannelMap, Chat, Limits, MessageHandler, Result};
use divan::Bencher;
use divan::counter::BytesCount;

/// Bytes that one iteration receives, about.
const BYTES: usize = 1 << 18;

#[derive(Debug)]
struct Ignore;

impl MessageHandler for Ignore {
    fn handle_message(&mut self, message: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        divan::black_box(message);
        Ok(())
    }
}

fn receive(bencher: Bencher, terminator: &'static str, length: usize) {
    let line = [&vec![b'x'; length][..], terminator.as_bytes()].concat();
    let text = line.repeat(BYTES.div_ceil(line.len()));
    let mut channel =
        Driven::new(&text[..], terminator, Ignore, Limits::default()).expect("a poller");
    bencher
        .counter(BytesCount::new(text.len()))
        .bench_local(|| channel.receive(text.len()));
}

#[divan::bench(args = [0, 8, 80, 4096])]
fn lf(bencher: Bencher, length: usize) {
    receive(bencher, "\n", length);
}

#[divan::bench(args = [0, 8, 80, 4096])]
fn crlf(bencher: Bencher, length: usize) {
    receive(bencher, "\r\n", length);
}

#[divan::bench(args = [0, 8, 80, 4096])]
fn four_bytes(bencher: Bencher, length: usize) {
    receive(bencher, "\r\n\r\n", length);
}

#[divan::bench(args = [0, 8, 80, 4096])]
fn forty_bytes(bencher: Bencher, length: usize) {
    receive(
        bencher,
        "\r\n--a-boundary-of-forty-bytes-in-all--\r\n",
        length,
    );
}

/// Each `\r` may begin the terminator, and none does.
#[divan::bench]
fn crlf_in_cr(bencher: Bencher) {
    let mut limits = Limits::default();
    limits.message = BYTES;
    let text = [&[b'\r'; BYTES - 2], &b"\r\n"[..]].concat();
    let mut channel = Driven::new(&text[..], "\r\n", Ignore, limits).expect("a poller");
    bencher
        .counter(BytesCount::new(text.len()))
        .bench_local(|| channel.receive(text.len()));
}

fn main() {
    divan::main();
}
