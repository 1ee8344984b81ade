//! A message found and delivered, by the terminator's and the message's length.

use bench::long;
use bench::memory::Driven;
use bytes::BytesMut;
use chat::{ChannelMap, Chat, ChatHandler, Limits, MessageHandler, Result, Terminator};
use divan::Bencher;
use divan::counter::BytesCount;
use tokio_util::codec::{AnyDelimiterCodec, Decoder, LengthDelimitedCodec};

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
    receive_messages(bencher, terminator, Ignore, &line);
}

/// Receives the message over and over.
fn receive_messages<H: ChatHandler>(
    bencher: Bencher,
    terminator: impl Into<Terminator>,
    handler: H,
    message: &[u8],
) {
    let text = message.repeat(BYTES.div_ceil(message.len()));
    let mut channel =
        Driven::new(&text[..], terminator, handler, Limits::default()).expect("a poller");
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

#[divan::bench(args = [0, 8, 80, 4096])]
fn lf_or_crlf(bencher: Bencher, length: usize) {
    let line = [&vec![b'x'; length][..], b"\r\n"].concat();
    receive_messages(bencher, Terminator::line(), Ignore, &line);
}

#[divan::bench(args = [0, 8, 80, 4096])]
fn crlf_included(bencher: Bencher, length: usize) {
    let line = [&vec![b'x'; length][..], b"\r\n"].concat();
    receive_messages(bencher, Terminator::from("\r\n").included(), Ignore, &line);
}

/// `$80`, and then so many bytes with a CRLF: two messages.
#[divan::bench(args = [0, 8, 80, 4096])]
fn count_then_crlf(bencher: Bencher, length: usize) {
    let value = [
        format!("${length}\r\n").as_bytes(),
        &vec![b'x'; length],
        b"\r\n",
    ]
    .concat();
    receive_messages(bencher, "\r\n", Bulk::default(), &value);
}

#[derive(Debug, Default)]
struct Bulk {
    has_length: bool,
}

impl MessageHandler for Bulk {
    fn handle_message(&mut self, message: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        self.has_length = !self.has_length;
        match self.has_length {
            true => {
                let digits = std::str::from_utf8(&message[1..])?;
                chat.set_terminator(Terminator::count_then(digits.parse()?, b"\r\n"));
            }
            false => {
                divan::black_box(message);
                chat.set_terminator("\r\n");
            }
        }
        Ok(())
    }
}

/// A message behind its length in four bytes.
fn prefixed(length: usize) -> Vec<u8> {
    let head = u32::try_from(length).expect("a length").to_be_bytes();
    [&head[..], &vec![b'x'; length]].concat()
}

#[divan::bench(args = [0, 8, 80, 4096])]
fn length_prefix(bencher: Bencher, length: usize) {
    let framing = Terminator::framed(|data: &[u8]| {
        Ok(data
            .first_chunk()
            .map(|len| 4 + u32::from_be_bytes(*len) as usize))
    });
    receive_messages(bencher, framing, Ignore, &prefixed(length));
}

/// What tokio-util spends on the same bytes, read 64 KiB at a time as well.
fn decode<D: Decoder<Error: std::fmt::Debug>>(bencher: Bencher, mut decoder: D, message: &[u8]) {
    let text = message.repeat(BYTES.div_ceil(message.len()));
    let mut buffer = BytesMut::with_capacity(65_536);
    bencher
        .counter(BytesCount::new(text.len()))
        .bench_local(|| {
            for read in text.chunks(65_536) {
                buffer.extend_from_slice(read);
                while let Some(message) = decoder.decode(&mut buffer).expect("messages") {
                    divan::black_box(message);
                }
            }
        });
}

#[divan::bench(args = [0, 8, 80, 4096])]
fn tokio_util_length_delimited(bencher: Bencher, length: usize) {
    decode(bencher, LengthDelimitedCodec::new(), &prefixed(length));
}

#[divan::bench(args = [0, 8, 80, 4096])]
fn tokio_util_any_delimiter(bencher: Bencher, length: usize) {
    let line = [&vec![b'x'; length][..], b"\n"].concat();
    decode(
        bencher,
        AnyDelimiterCodec::new(b"\n".into(), b"\n".into()),
        &line,
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
