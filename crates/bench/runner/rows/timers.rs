//! A hundred thousand timers, in memory: ours, tokio's `DelayQueue`, and a `BinaryHeap` as one
//! would first write it.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::{Duration, Instant};

use chat::{ChannelMap, Handle, Timer, TimerChannel, Token};
use tokio::runtime;
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue::Key;

use super::{Bound, Row, Table, cell, step};
use crate::cpus::own_cpu_time;
use crate::stats::Samples;
use crate::{Context, Result};

const TIMERS: usize = 100_000;

/// As of a server: some timers each.
const CHANNELS: usize = 10_000;

/// How often each timer is put off, as a timeout is that each message sets again.
const RESETS: usize = 5;

/// The first deadlines are so far apart, in all; each time they are put off by as much.
const SPAN: Duration = Duration::from_millis(100);

const OURS: &str = "ours";
const DELAY_QUEUE: &str = "tokio-util DelayQueue";
const NAIVE: &str = "BinaryHeap, corpses left";

const NAMES: [&str; 3] = [OURS, DELAY_QUEUE, NAIVE];

const OPERATIONS: [&str; 4] = ["set", "reset", "cancel", "fire"];

pub const ROW: Row = Row {
    id: "timers",
    title: "100,000 timers: set, reset, cancelled, and fired",
    steps: |context| (context.few_rounds() * NAMES.len()) as u64,
    run,
};

/// Something that has timers, by their numbers.
trait Timers: Sized {
    fn new() -> Result<Self>;
    fn set(&mut self, number: usize, after: Duration);
    fn reset(&mut self, number: usize, after: Duration);
    fn cancel(&mut self, number: usize);
    /// Calls all that are due by now; returns how many.
    fn fire(&mut self) -> Result<usize>;
}

fn run(context: &Context) -> Result<Table> {
    let mut table = Table::of(&ROW);
    let mut samples = OPERATIONS.map(|_| Samples::default());
    for _ in 0..context.few_rounds() {
        for name in NAMES {
            step(context, ROW.id, name);
            let times = match name {
                OURS => measure::<Ours>()?,
                DELAY_QUEUE => measure::<Delays>()?,
                _ => measure::<Naive>()?,
            };
            for (samples, time) in samples.iter_mut().zip(times) {
                samples.add(name, time);
            }
        }
    }
    table.about = format!(
        "{TIMERS} timers of {CHANNELS} channels are set, each is put off {RESETS} times in a \
         scattered order, every second is cancelled, and the others fire when all are due. The \
         thread's CPU time for each, in ns; medians of {} rounds. The heap leaves what is \
         cancelled or put off in its place, and drops it when its time comes.",
        context.few_rounds()
    );
    table.head = [""]
        .into_iter()
        .chain(OPERATIONS)
        .map(str::to_owned)
        .collect();
    for name in NAMES {
        let figures = samples.each_ref().map(|samples| samples.of(name));
        let figures = figures.map(|it| cell(it, |it| format!("{:.0}", it.median)));
        let line = [name.to_owned()].into_iter().chain(figures);
        table.lines.push(line.collect());
    }
    for (operation, samples) in OPERATIONS.into_iter().zip(&samples) {
        let ratio = samples.ratio(OURS, DELAY_QUEUE).map(|ratio| ratio.median);
        table.bar(
            format!("{operation} a timer, ours / DelayQueue"),
            ratio,
            None,
            Some(Bound::AtMost(1.0)),
        );
    }
    Ok(table)
}

/// CPU time for each operation on a timer, in ns.
fn measure<T: Timers>() -> Result<[f64; OPERATIONS.len()]> {
    let mut timers = T::new()?;
    let began = Instant::now();
    let after = |number: usize, times: usize| {
        let within = SPAN.mul_f64(scattered(number) as f64 / TIMERS as f64);
        // Of the wall clock, so that all ask for the same instant.
        within + SPAN * times as u32 + Duration::from_millis(1)
    };
    let each = |time: Duration, count: usize| time.as_nanos() as f64 / count as f64;
    let ((), set) = own_cpu_time(|| {
        (0..TIMERS).for_each(|number| timers.set(number, after(number, 0)));
        Ok(())
    })?;
    let ((), reset) = own_cpu_time(|| {
        for times in 1..=RESETS {
            for number in 0..TIMERS {
                timers.reset(scattered(number), after(number, 5 * times));
            }
        }
        Ok(())
    })?;
    let ((), cancel) = own_cpu_time(|| {
        (0..TIMERS)
            .step_by(2)
            .for_each(|number| timers.cancel(number));
        Ok(())
    })?;
    let due = began + SPAN * (5 * RESETS as u32 + 2) + began.elapsed();
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
    let (fired, fire) = own_cpu_time(|| timers.fire())?;
    match fired == TIMERS / 2 {
        true => Ok([
            each(set, TIMERS),
            each(reset, RESETS * TIMERS),
            each(cancel, TIMERS / 2),
            each(fire, TIMERS / 2),
        ]),
        false => Err(format!("{fired} timers fired").into()),
    }
}

/// Another number for each.
fn scattered(number: usize) -> usize {
    number * 7_919 % TIMERS // a prime, which does not divide the count
}

struct Ours {
    map: ChannelMap,
    channels: Vec<Token>,
    timers: Vec<Timer>,
    fired: Rc<Cell<usize>>,
}

impl Timers for Ours {
    fn new() -> Result<Self> {
        let mut map = ChannelMap::new()?;
        let fired = Rc::<Cell<usize>>::default();
        let mut channels = Vec::with_capacity(CHANNELS);
        for _ in 0..CHANNELS {
            let fired = Rc::clone(&fired);
            let channel: Handle<_> = map.insert(TimerChannel::new(move |_, _, _| {
                fired.set(fired.get() + 1);
                Ok(())
            }))?;
            channels.push(channel.token());
        }
        map.turn(Some(Duration::ZERO))?;
        Ok(Self {
            map,
            channels,
            timers: Vec::with_capacity(TIMERS),
            fired,
        })
    }

    fn set(&mut self, number: usize, after: Duration) {
        let channel = self.channels[number % CHANNELS];
        let deadline = self.map.after(after);
        self.timers.push(self.map.set_timer(channel, deadline));
    }

    fn reset(&mut self, number: usize, after: Duration) {
        let deadline = self.map.after(after);
        self.map.reset_timer(&mut self.timers[number], deadline);
    }

    fn cancel(&mut self, number: usize) {
        self.map.cancel(self.timers[number]);
    }

    fn fire(&mut self) -> Result<usize> {
        self.map.turn(Some(Duration::ZERO))?;
        Ok(self.fired.get())
    }
}

struct Delays {
    runtime: runtime::Runtime,
    queue: DelayQueue<usize>,
    keys: Vec<Key>,
}

impl Timers for Delays {
    fn new() -> Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let queue = {
            let _within = runtime.enter();
            DelayQueue::with_capacity(TIMERS)
        };
        Ok(Self {
            runtime,
            queue,
            keys: Vec::with_capacity(TIMERS),
        })
    }

    fn set(&mut self, number: usize, after: Duration) {
        let _within = self.runtime.enter();
        self.keys.push(self.queue.insert(number, after));
    }

    fn reset(&mut self, number: usize, after: Duration) {
        let _within = self.runtime.enter();
        self.queue.reset(&self.keys[number], after);
    }

    fn cancel(&mut self, number: usize) {
        self.queue.remove(&self.keys[number]);
    }

    fn fire(&mut self) -> Result<usize> {
        let queue = &mut self.queue;
        let fired = self.runtime.block_on(async move {
            let mut fired = 0;
            while poll_fn(|context| queue.poll_expired(context))
                .await
                .is_some()
            {
                fired += 1;
            }
            fired
        });
        Ok(fired)
    }
}

/// What is cancelled or put off stays in the heap, under an old version.
#[derive(Default)]
struct Naive {
    heap: BinaryHeap<Reverse<(Instant, usize, u32)>>,
    /// Of each timer.
    versions: Vec<u32>,
}

impl Timers for Naive {
    fn new() -> Result<Self> {
        Ok(Self::default())
    }

    fn set(&mut self, number: usize, after: Duration) {
        self.versions.push(0);
        self.heap.push(Reverse((Instant::now() + after, number, 0)));
    }

    fn reset(&mut self, number: usize, after: Duration) {
        self.versions[number] += 1;
        let version = self.versions[number];
        self.heap
            .push(Reverse((Instant::now() + after, number, version)));
    }

    fn cancel(&mut self, number: usize) {
        self.versions[number] += 1;
    }

    fn fire(&mut self) -> Result<usize> {
        let now = Instant::now();
        let mut fired = 0;
        while let Some(&Reverse((deadline, number, version))) = self.heap.peek() {
            if deadline > now {
                break;
            }
            self.heap.pop();
            fired += usize::from(version == self.versions[number]);
        }
        Ok(fired)
    }
}
