//! What a program does for each message, in memory: time and allocations.

use std::time::Duration;

use bench::memory::Driven;
use chat::{ChannelMap, Chat, Limits, MessageHandler, Timer};

use super::{Bound, Row, Table, step};
use crate::cpus::own_cpu_time;
use crate::memory::allocations;
use crate::stats::Samples;
use crate::{Context, Result};

/// Messages, or repetitions, of one measurement.
const COUNT: usize = 100_000;

/// Timers of others that are there all the while.
const TIMERS: u64 = 10_000;

pub const ROW: Row = Row {
    id: "pieces",
    title: "A message, a terminator, a push, a timer",
    steps: |_| 4 * ROUNDS as u64,
    run,
};

const ROUNDS: usize = 9;

#[derive(Debug)]
struct Ignore;

impl MessageHandler for Ignore {
    fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> chat::Result {
        Ok(())
    }
}

/// A line, then eight bytes, in turn.
#[derive(Debug)]
struct Change {
    is_line: bool,
}

impl MessageHandler for Change {
    fn handle_message(&mut self, _: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> chat::Result {
        self.is_line = !self.is_line;
        match self.is_line {
            true => chat.set_terminator("\r\n"),
            false => chat.set_terminator(8),
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Push;

impl MessageHandler for Push {
    fn handle_message(&mut self, _: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> chat::Result {
        chat.push(b"250 2.0.0 Ok\r\n");
        Ok(())
    }
}

/// Restarts its timer with every message.
#[derive(Debug)]
struct Restart {
    timer: Option<Timer>,
}

impl MessageHandler for Restart {
    fn handle_message(&mut self, _: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> chat::Result {
        if let Some(timer) = self.timer.take() {
            map.cancel(timer);
        }
        self.timer = Some(map.set_timer(chat.token(), map.now() + Duration::from_secs(60)));
        Ok(())
    }
}

fn run(context: &Context) -> Result<Table> {
    let mut table = Table::of(&ROW);
    table.about = format!(
        "A handler that gets lines of 8 bytes out of memory, in a whole channel, and does one thing \
         with each; {COUNT} of them in each of {ROUNDS} rounds. Medians. Timers are among {TIMERS} \
         others'."
    );
    table.head = ["each message", "ns", "allocations"]
        .map(str::to_owned)
        .to_vec();

    let line: &[u8] = b"12345678\r\n";
    let limits = Limits::default;
    let mut ignore = Driven::new(line.repeat(64), "\r\n", Ignore, limits())?;
    measure(context, &mut table, "nothing", || {
        ignore.receive(COUNT * line.len())
    })?;

    let change = Change { is_line: true };
    let mut change = Driven::new(b"8\r\n12345678".repeat(64), "\r\n", change, limits())?;
    let half = COUNT / 2 * b"8\r\n12345678".len();
    measure(context, &mut table, "`set_terminator`", || {
        change.receive(half)
    })?;

    let mut push = Driven::new(line.repeat(64), "\r\n", Push, limits())?;
    measure(context, &mut table, "`push` of a static slice", || {
        push.receive(COUNT * line.len())
    })?;

    let mut restart = Driven::new(line.repeat(64), "\r\n", Restart { timer: None }, limits())?;
    for number in 0..TIMERS {
        let deadline = restart.map.now() + Duration::from_millis(100_000 + 37 * number);
        restart.map.set_timer(restart.channel, deadline);
    }
    measure(context, &mut table, "a timer cancelled and set", || {
        restart.receive(COUNT * line.len())
    })?;
    Ok(table)
}

fn measure(
    context: &Context,
    table: &mut Table,
    name: &'static str,
    mut run: impl FnMut() -> chat::Result,
) -> Result<()> {
    run()?; // what is allocated once
    let before = allocations();
    let mut samples = Samples::default();
    for _ in 0..ROUNDS {
        step(context, ROW.id, name);
        let ((), time) = own_cpu_time(&mut run)?;
        samples.add(name, time.as_nanos() as f64 / COUNT as f64);
    }
    // The progress bar allocates, too: not a hundredth of a message's worth.
    let each = (allocations() - before) as f64 / (ROUNDS * COUNT) as f64;
    let nanos = samples.of(name).map_or(0.0, |time| time.median);
    table.lines.push(vec![
        name.to_owned(),
        format!("{nanos:.1}"),
        format!("{each:.2}"),
    ]);
    table.bar(
        format!("allocations a message: {name}"),
        Some((each * 100.0).floor() / 100.0),
        Some(Bound::AtMost(0.0)),
        None,
    );
    Ok(())
}
