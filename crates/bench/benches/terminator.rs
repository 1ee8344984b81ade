//! A message found and delivered, by the terminator's and the message's length.

use bench::long;
use bench::memory::Driven;
use chat::{ChannelMap, Chat, ChatHandler, Limits, MessageHandler, Result};
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

/// Gets what is no terminator.
#[derive(Debug)]
struct Collect;

impl ChatHandler for Collect {
    fn collect_incoming_data(&mut self, data: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        divan::black_box(data);
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        Ok(())
    }
}

/// A million single bytes: milliseconds of an iteration are nanoseconds of a byte.
fn receive_by_bytes(bencher: Bencher, terminator: &'static [u8; 4096], stream: &[u8]) {
    const COUNT: usize = 1_000_000;
    let mut limits = Limits::default();
    limits.message = usize::MAX;
    limits.in_buffer_size = 1;
    let mut channel = Driven::new(stream, terminator, Collect, limits).expect("a poller");
    bencher
        .counter(BytesCount::new(COUNT))
        .bench_local(|| channel.receive(COUNT));
}

/// All but the last byte of the terminator, over and over.
#[divan::bench(sample_count = 20)]
fn almost_4096_by_bytes(bencher: Bencher) {
    receive_by_bytes(bencher, &long::NUMBERS, &long::ALMOST_NUMBERS);
}

/// Each byte is the terminator's last but one, again.
#[divan::bench(sample_count = 20)]
fn repeated_4096_by_bytes(bencher: Bencher) {
    receive_by_bytes(bencher, &long::A_AND_B, b"a");
}

fn main() {
    divan::main();
}
