//! The search for terminators, in memory: a whole chat channel against the
//! decoders of tokio-util.

use std::time::Duration;

use bench::long;
use bench::memory::Driven;
use bytes::{Bytes, BytesMut};
use chat::{ChannelMap, Chat, ChatHandler, Limits, MessageHandler, Terminator};
use tokio_util::codec::{AnyDelimiterCodec, Decoder, LinesCodec};

use super::{Bound, Chart, Row, Table, cell, step};
use crate::cpus::own_cpu_time;
use crate::stats::Samples;
use crate::{Context, Result};

const OURS: &str = "ours";
const LINES: &str = "LinesCodec";
const DELIMITER: &str = "AnyDelimiterCodec";

/// By their lengths: 1, 2, 4 and 40 bytes.
const TERMINATORS: [&str; 4] = [
    "\n",
    "\r\n",
    "\r\n\r\n",
    "\r\n--a-boundary-of-forty-bytes-in-all--\r\n",
];

const LENGTHS: [usize; 4] = [0, 8, 80, 4096];

/// Bytes of one measurement, about.
const BYTES: usize = 4 << 20;

/// What a `recv` gets, of us and of the decoders.
const READ: usize = 65_536;

pub const ROW: Row = Row {
    id: "terminators",
    title: "Terminator search, in memory",
    steps: |context| (rounds(context) * (TERMINATORS.len() * LENGTHS.len() + WORST.len())) as u64,
    run,
};

fn rounds(context: &Context) -> usize {
    if context.options.is_quick { 3 } else { 9 }
}

/// Gets each message whole, and does nothing with it.
#[derive(Debug, Default)]
struct Count {
    messages: usize,
    bytes: usize,
}

impl MessageHandler for Count {
    fn handle_message(&mut self, message: &[u8], _: &mut Chat, _: &mut ChannelMap) -> chat::Result {
        self.messages += 1;
        self.bytes += message.len();
        Ok(())
    }
}

/// Gets what is no terminator.
#[derive(Debug, Default)]
struct Collect(usize);

impl ChatHandler for Collect {
    fn collect_incoming_data(
        &mut self,
        data: &[u8],
        _: &mut Chat,
        _: &mut ChannelMap,
    ) -> chat::Result {
        self.0 += data.len();
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut Chat, _: &mut ChannelMap) -> chat::Result {
        Ok(())
    }
}

fn run(context: &Context) -> Result<Table> {
    let mut table = Table::of(&ROW);
    table.about = "Lines of 0, 8, 80 and 4,096 bytes, read 64 KiB at a time out of memory, by a \
                   whole `AsyncChat` in a map with a `MessageHandler`, and by the decoders of \
                   tokio-util, which make a `String` or a `Bytes` of each line; they have none for \
                   the longer terminators. Medians; the ratio is the faster decoder's time over ours."
        .to_owned();
    table.head = [
        "terminator, line",
        "ours, ns a line",
        "MB/s",
        LINES,
        DELIMITER,
        "decoder / ours",
    ]
    .map(str::to_owned)
    .to_vec();
    let (mut slowest, mut at_80) = (f64::INFINITY, f64::INFINITY);
    let mut chart = Vec::new();
    for terminator in TERMINATORS {
        for length in LENGTHS {
            let samples = lines(context, terminator, length)?;
            let name = format!("{} bytes, {length} bytes", terminator.len());
            let Some(ours) = samples.of(OURS) else {
                continue;
            };
            let ratios = [LINES, DELIMITER].map(|other| samples.ratio(other, OURS));
            let ratio = ratios
                .into_iter()
                .flatten()
                .map(|ratio| ratio.median)
                .reduce(f64::min);
            if let Some(ratio) = ratio {
                slowest = slowest.min(ratio);
                if length == 80 {
                    at_80 = at_80.min(ratio);
                }
            }
            let nanos = |other| cell(samples.of(other), |time| format!("{:.1}", time.median));
            let line_bytes = (terminator.len() + length) as f64;
            table.lines.push(vec![
                name.clone(),
                nanos(OURS),
                format!("{:.0}", line_bytes / ours.median * 1_000.0),
                nanos(LINES),
                nanos(DELIMITER),
                cell(ratio, |ratio| format!("{ratio:.1}")),
            ]);
            chart.push((name, ours));
        }
    }
    table.bar(
        "the faster decoder's time / ours, at worst",
        finite(slowest),
        Some(Bound::AtLeast(1.0)),
        None,
    );
    table.bar(
        "the same, of lines of 80 bytes",
        finite(at_80),
        None,
        Some(Bound::AtLeast(3.0)),
    );
    table.charts.push(Chart {
        name: "lines".to_owned(),
        axis: "ns a line, by the terminator's and the line's length".to_owned(),
        points: chart,
    });
    for worst in &WORST {
        let growth = worst_case(context, worst, &mut table)?;
        let what = format!("{}: a byte of 4 MiB / a byte of 1 MiB", worst.name);
        table.bar(what, growth, Some(Bound::AtMost(1.3)), None);
    }
    Ok(table)
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// ns a line, of all who can do it.
fn lines(context: &Context, terminator: &'static str, length: usize) -> Result<Samples> {
    let line = [&vec![b'x'; length][..], terminator.as_bytes()].concat();
    let count = (BYTES / line.len()).max(1);
    let text = line.repeat(count);
    let mut ours = Driven::new(&text[..], terminator, Count::default(), Limits::default())?;
    let mut samples = Samples::default();
    for _ in 0..rounds(context) {
        step(
            context,
            ROW.id,
            &format!("{} and {length} bytes", terminator.len()),
        );
        let each = |time: Duration| time.as_nanos() as f64 / count as f64;
        let before = messages(&ours);
        let ((), time) = own_cpu_time(|| ours.receive(text.len()))?;
        samples.add(OURS, each(time));
        expect(messages(&ours) - before, count)?;

        if terminator.len() <= 2 {
            let mut codec = LinesCodec::new_with_max_length(READ);
            let (decoded, time) = own_cpu_time(|| decode(&mut codec, &text))?;
            samples.add(LINES, each(time));
            expect(decoded, count)?;
        }
        if terminator.len() == 1 {
            let delimiters = terminator.as_bytes().to_vec();
            let mut codec = AnyDelimiterCodec::new_with_max_length(delimiters, Vec::new(), READ);
            let (decoded, time) = own_cpu_time(|| decode(&mut codec, &text))?;
            samples.add(DELIMITER, each(time));
            expect(decoded, count)?;
        }
    }
    Ok(samples)
}

fn messages(driven: &Driven<Count>) -> usize {
    driven
        .map
        .get(driven.channel)
        .map_or(0, |channel| channel.handler.messages)
}

fn expect(counted: usize, expected: usize) -> Result<()> {
    match counted == expected {
        true => Ok(()),
        false => Err(format!("{counted} lines instead of {expected}").into()),
    }
}

/// As `Framed` does it: what was read is appended, and decoded until nothing
/// comes any more.
fn decode<D: Decoder>(codec: &mut D, text: &[u8]) -> Result<usize>
where
    D::Error: std::error::Error + Send + Sync + 'static,
{
    let mut buffer = BytesMut::with_capacity(READ);
    let mut count = 0;
    for read in text.chunks(READ) {
        buffer.extend_from_slice(read);
        while let Some(line) = codec.decode(&mut buffer)? {
            std::hint::black_box(line);
            count += 1;
        }
    }
    Ok(count)
}

struct Worst {
    name: &'static str,
    terminator: &'static [u8],
    /// Repeated, it holds no terminator.
    unit: &'static [u8],
    /// Bytes of a read.
    read: usize,
}

static WORST: [Worst; 7] = [
    Worst {
        name: "`\\r\\n` in `\\r\\r\\r…`",
        terminator: b"\r\n",
        unit: b"\r",
        read: READ,
    },
    Worst {
        name: "`\\r\\n` in `\\nx\\nx…`",
        terminator: b"\r\n",
        unit: b"\nx",
        read: READ,
    },
    Worst {
        name: "`\\r\\n\\r\\n` in `\\r\\n\\r\\r\\n\\r…`",
        terminator: b"\r\n\r\n",
        unit: b"\r\n\r",
        read: READ,
    },
    Worst {
        name: "39 × `a` and `b` in `aaa…`",
        terminator: b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
        unit: b"a",
        read: READ,
    },
    Worst {
        name: "the same, read by single bytes",
        terminator: b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
        unit: b"a",
        read: 1,
    },
    Worst {
        name: "4,096 digits, all but the last of them over and over, read by single bytes",
        terminator: &long::NUMBERS,
        unit: &long::ALMOST_NUMBERS,
        read: 1,
    },
    Worst {
        name: "4,095 × `a` and `b` in `aaa…`, read by single bytes",
        terminator: &long::A_AND_B,
        unit: b"a",
        read: 1,
    },
];

/// How much dearer a byte is in four times as much data; adds a line for it.
fn worst_case(context: &Context, worst: &Worst, table: &mut Table) -> Result<Option<f64>> {
    let mut limits = Limits::default();
    limits.message = usize::MAX;
    limits.in_buffer_size = worst.read;
    let data = worst
        .unit
        .repeat(4096 / worst.unit.len() * worst.unit.len());
    let less = if worst.read == 1 { 1 << 16 } else { 1 << 20 };
    let mut samples = Samples::default();
    for _ in 0..rounds(context) {
        step(context, ROW.id, worst.name);
        for (name, bytes) in [("less", less), ("more", 4 * less)] {
            let terminator = Terminator::try_from(Bytes::from_static(worst.terminator))?;
            let mut driven =
                Driven::new(&data[..], terminator, Collect::default(), limits.clone())?;
            let ((), time) = own_cpu_time(|| driven.receive(bytes))?;
            samples.add(name, time.as_nanos() as f64 / bytes as f64);
        }
    }
    let nanos = samples.of("more").map(|time| time.median);
    let row = vec![
        worst.name.to_owned(),
        match worst.read {
            1 => cell(nanos, |nanos| format!("{nanos:.1} a byte")),
            _ => String::new(),
        },
        cell(nanos, |nanos| format!("{:.0}", 1_000.0 / nanos)),
    ];
    let blank = std::iter::repeat_n(String::new(), 3);
    table.lines.push(row.into_iter().chain(blank).collect());
    Ok(samples.ratio("more", "less").map(|ratio| ratio.median))
}
