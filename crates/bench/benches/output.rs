//! What is queued and sent, to a peer in memory: copied, shared, produced.

use std::io;

use bench::memory::Driven;
use chat::bytes::Bytes;
use chat::{ChannelMap, Chat, Limits, MessageHandler, More, Producer, Result};
use divan::Bencher;
use divan::counter::ItemsCount;

/// Messages of one iteration, each of which is answered.
const MESSAGES: usize = 1_000;

/// Calls a function for each message.
struct Answer<F>(F);

impl<F: FnMut(&mut Chat) + 'static> MessageHandler for Answer<F> {
    fn handle_message(&mut self, _: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        (self.0)(chat);
        Ok(())
    }
}

fn answer(bencher: Bencher, answer: impl FnMut(&mut Chat) + 'static) {
    let text = b"12345678\n".repeat(MESSAGES);
    let limits = Limits::default();
    let mut channel = Driven::new(&text[..], "\n", Answer(answer), limits).expect("a poller");
    bencher
        .counter(ItemsCount::new(MESSAGES))
        .bench_local(|| channel.receive(text.len()));
}

#[divan::bench]
fn nothing(bencher: Bencher) {
    answer(bencher, |_| {});
}

#[divan::bench(args = [8, 80, 4096])]
fn push(bencher: Bencher, length: usize) {
    let data = vec![b'x'; length];
    answer(bencher, move |chat| _ = chat.push(&data));
}

#[divan::bench(args = [8, 80, 4096])]
fn push_bytes(bencher: Bencher, length: usize) {
    let data = Bytes::from(vec![b'x'; length]);
    answer(bencher, move |chat| _ = chat.push_bytes(data.clone()));
}

struct Lines(u32);

impl Producer for Lines {
    fn more(&mut self, out: &mut Vec<u8>, _max: usize) -> io::Result<More> {
        out.extend_from_slice(b"produced\n");
        self.0 -= 1;
        Ok(if self.0 == 0 { More::Done } else { More::Again })
    }
}

#[divan::bench(args = [1, 8])]
fn push_with_producer(bencher: Bencher, pieces: u32) {
    answer(bencher, move |chat| {
        _ = chat.push_with_producer(Lines(pieces))
    });
}

fn main() {
    divan::main();
}
