//! Lines sent back.

use std::collections::HashMap;

use bench::start::Work;

use super::{Amounts, Bound, Chart, Row, Table, alternate, cell, cpu_per_unit, step};
use crate::contestants::{Contestant, EPOLL, MIO, OURS, POLLING};
use crate::count;
use crate::load::lines::{Lines, Shape};
use crate::load::steps;
use crate::server::{Server, Under};
use crate::stats::{Quartiles, Samples};
use crate::tools::Profile;
use crate::{Context, Result};

struct Spec {
    shape: Shape,
    /// What is counted, if the tools are there.
    counted: &'static [Under],
    max_cpu: Option<f64>,
    /// Instructions a line.
    max_instructions: Option<f64>,
    /// The same, times those of the raw loop on `polling`.
    max_of_polling: Option<f64>,
    /// What is to be said of the bars.
    remark: &'static str,
}

pub const ONE: Row = Row {
    id: "echo-1",
    title: "Echo: 64 clients, one line of 32 bytes in flight each",
    steps: |context| steps(context, &SPEC_ONE),
    run: |context| run(context, &ONE, &SPEC_ONE),
};

const SPEC_ONE: Spec = Spec {
    shape: shape(64, 1, 32),
    counted: &[Under::Valgrind, Under::Strace],
    max_cpu: Some(1.10),
    max_instructions: Some(620.0),
    max_of_polling: None,
    remark: " The instructions are held to a number, and not to a raw loop's. A raw loop has \
             no handlers, no timers and nobody else to push, close or convert a connection, and \
             does the less between two system calls. They are a few per cent of the time: what \
             a server costs is CPU time, which is that of the raw loop, and held to it.",
};

pub const SIXTEEN: Row = Row {
    id: "echo-16",
    title: "Echo: 64 clients, 16 lines of 32 bytes in flight each",
    steps: |context| steps(context, &SPEC_SIXTEEN),
    run: |context| run(context, &SIXTEEN, &SPEC_SIXTEEN),
};

const SPEC_SIXTEEN: Spec = Spec {
    shape: shape(64, 16, 32),
    counted: &[Under::Valgrind, Under::Strace],
    max_cpu: Some(1.10),
    max_instructions: Some(160.0),
    max_of_polling: Some(1.5),
    remark: "",
};

pub const LONG: Row = Row {
    id: "echo-4k",
    title: "Echo: 16 clients, 8 lines of 4 KiB in flight each",
    steps: |context| steps(context, &SPEC_LONG),
    run: |context| run(context, &LONG, &SPEC_LONG),
};

const SPEC_LONG: Spec = Spec {
    shape: shape(16, 8, 4096),
    counted: &[],
    max_cpu: Some(1.10),
    max_instructions: None,
    max_of_polling: None,
    remark: "",
};

pub const PING_PONG: Row = Row {
    id: "ping-pong",
    title: "Echo: one client, one line of 32 bytes in flight",
    steps: |context| steps(context, &SPEC_PING_PONG),
    run: |context| run(context, &PING_PONG, &SPEC_PING_PONG),
};

const SPEC_PING_PONG: Spec = Spec {
    shape: shape(1, 1, 32),
    counted: &[Under::Strace],
    max_cpu: None,
    max_instructions: None,
    max_of_polling: None,
    remark: " Here every line is a wait of its own, and `polling` makes five system calls of a \
             wait where epoll makes one: it sets its timer (`timerfd_settime`), asks for its event \
             and its notifier's again (`epoll_ctl`, twice), and reads the notifier (`read`), \
             besides `epoll_wait`. Ours stands on `polling`, and pays for them; with 64 clients a \
             wait brings many lines, which share the cost.",
};

const fn shape(clients: usize, in_flight: u64, line: u64) -> Shape {
    Shape {
        clients,
        in_flight,
        line,
    }
}

impl Spec {
    /// What has no bar is a figure to state.
    fn rounds(&self, context: &Context) -> usize {
        match self.max_cpu {
            Some(_) => context.rounds(),
            None => context.few_rounds(),
        }
    }
}

type Counts = HashMap<&'static str, f64>;

fn steps(context: &Context, spec: &Spec) -> u64 {
    let contestants = context.contestants(Work::Echo);
    let timed = contestants.len() * spec.rounds(context);
    let counted: usize = counts_of(context, spec)
        .iter()
        .map(|&(under, profile)| countable(context, under, profile).len())
        .sum();
    (timed + counted) as u64
}

/// Which counts are made.
fn counts_of(context: &Context, spec: &Spec) -> Vec<(Under, Profile)> {
    let mut counts = Vec::new();
    let is_counted = |under: Under| spec.counted.contains(&under) && under.find().is_ok();
    if is_counted(Under::Valgrind) {
        counts.push((Under::Valgrind, Profile::Release));
        if context.tools.has_lto() {
            counts.push((Under::Valgrind, Profile::Lto));
        }
    }
    if is_counted(Under::Strace) {
        counts.push((Under::Strace, Profile::Release));
    }
    counts
}

/// System calls are worth counting of everybody.
fn countable(context: &Context, under: Under, profile: Profile) -> Vec<&'static Contestant> {
    let mut contestants = context.contestants(Work::Echo);
    contestants.retain(|contestant| contestant.is_counted || under == Under::Strace);
    contestants.retain(|contestant| contestant.is_rust() || profile == Profile::Release);
    contestants
}

fn run(context: &Context, row: &Row, spec: &Spec) -> Result<Table> {
    let mut table = Table::of(row);
    let mut amounts = Amounts::default();
    let contestants = context.contestants(Work::Echo);
    let probe = spec.shape.clients as u64 * spec.shape.in_flight * 4;
    let [samples] = alternate(
        context,
        &mut table,
        &contestants,
        spec.rounds(context),
        |contestant| {
            let server = Server::start(context, contestant, Work::Echo)?;
            let mut load = Lines::connect(server.address(), spec.shape)?;
            let mut run = |lines| load.run(lines);
            let amount = amounts.of(contestant.name, context.target(), probe, &mut run)?;
            Ok([cpu_per_unit(&server, amount, run)?])
        },
    );
    let counts: Vec<(Under, Profile, Counts)> = counts_of(context, spec)
        .into_iter()
        .map(|(under, profile)| {
            (
                under,
                profile,
                counts(context, &mut table, spec, under, profile),
            )
        })
        .collect();

    table.about = format!(
        "The server's CPU time for a line, in {} rounds, and its ratio to the raw epoll loop's in \
         the same round: median and quartiles.{}{}",
        spec.rounds(context),
        match spec.counted {
            [] => "",
            [Under::Strace] => " System calls are counted by strace.",
            _ =>
                " Instructions in user \
                     space are counted by valgrind, system calls by strace, with everything in \
                     flight there whenever the server looks.",
        },
        spec.remark
    );
    if spec.shape.clients == 1 {
        table.about += &price_of_polling(&samples);
    }
    table.head = ["", "CPU, ns a line", "× raw epoll"]
        .map(str::to_owned)
        .to_vec();
    for (under, profile, _) in &counts {
        table.head.push(match (under, profile) {
            (Under::Valgrind, Profile::Release) => "instructions a line".to_owned(),
            (Under::Valgrind, Profile::Lto) => "the same, fat LTO".to_owned(),
            _ => "system calls a line".to_owned(),
        });
    }
    for contestant in &contestants {
        let name = contestant.name;
        let Some(cpu) = samples.of(name) else {
            continue;
        };
        let mut line = vec![
            name.to_owned(),
            format!("{:.0}", cpu.median),
            cell(samples.ratio(name, EPOLL), |ratio| ratio.to_string()),
        ];
        for (under, _, counts) in &counts {
            line.push(cell(counts.get(name), |count| match under {
                Under::Strace => format!("{count:.2}"),
                _ => format!("{count:.0}"),
            }));
        }
        table.lines.push(line);
    }

    table.compare("CPU a line", &samples, &contestants);
    let instructions = |profile| {
        let counted = (Under::Valgrind, profile);
        let found = counts
            .iter()
            .find(|(under, profile, _)| (*under, *profile) == counted);
        found.map(|(_, _, counts)| counts)
    };
    if let Some(counts) = instructions(Profile::Release) {
        let ours = counts.get(OURS).copied();
        if let Some(max) = spec.max_of_polling {
            table.bar(
                "instructions a line, ours / raw polling",
                quotient(ours, counts.get(POLLING)),
                Some(Bound::AtMost(max)),
                None,
            );
        }
        let max = spec.max_instructions.map(Bound::AtMost);
        table.bar("instructions a line, ours", ours, max, None);
        let with_lto = instructions(Profile::Lto).and_then(|counts| counts.get(OURS));
        table.bar(
            "instructions a line, ours, fat LTO / without",
            quotient(with_lto.copied(), counts.get(OURS)),
            Some(Bound::AtMost(1.0)),
            None,
        );
        table.charts.push(Chart {
            name: "instructions".to_owned(),
            axis: "user-space instructions a line".to_owned(),
            points: points(&contestants, |name| {
                counts.get(name).map(|&count| exact(count))
            }),
        });
    }
    if let Some(max) = spec.max_cpu {
        let aim = match spec.shape.line {
            4096 => samples
                .ratio(MIO, EPOLL)
                .map(|mio| Bound::AtMost(mio.median)),
            _ => Some(Bound::AtMost(1.05)),
        };
        let ratio = samples.ratio(OURS, EPOLL).map(|ratio| ratio.median);
        table.bar(
            "CPU a line, ours / raw epoll",
            ratio,
            Some(Bound::AtMost(max)),
            aim,
        );
    }
    table.charts.push(Chart {
        name: "cpu".to_owned(),
        axis: "CPU a line, × raw epoll".to_owned(),
        points: points(&contestants, |name| samples.ratio(name, EPOLL)),
    });
    Ok(table)
}

/// Two raw loops differ in nothing but the poller.
fn price_of_polling(samples: &Samples) -> String {
    let cpu = |name| samples.of(name).map(|cpu| cpu.median);
    let (Some(epoll), Some(polling)) = (cpu(EPOLL), cpu(POLLING)) else {
        return String::new();
    };
    let ratio = cell(samples.ratio(POLLING, EPOLL), |ratio| ratio.to_string());
    format!(
        " The raw loops on epoll and on `polling` differ in nothing else: {epoll:.0} and \
         {polling:.0} ns a line, {ratio} times as much."
    )
}

pub(super) fn points(
    contestants: &[&'static Contestant],
    value: impl Fn(&'static str) -> Option<Quartiles>,
) -> Vec<(String, Quartiles)> {
    contestants
        .iter()
        .filter_map(|contestant| Some((contestant.name.to_owned(), value(contestant.name)?)))
        .collect()
}

fn quotient(count: Option<f64>, base: Option<&f64>) -> Option<f64> {
    Some(count? / base?)
}

/// A count has no spread.
fn exact(count: f64) -> Quartiles {
    Quartiles {
        q1: count,
        median: count,
        q3: count,
    }
}

fn counts(
    context: &Context,
    table: &mut Table,
    spec: &Spec,
    under: Under,
    profile: Profile,
) -> Counts {
    let batch = spec.shape.clients as u64 * spec.shape.in_flight;
    let units = batch * if context.options.is_quick { 20 } else { 100 };
    let mut counts = Counts::new();
    for contestant in countable(context, under, profile) {
        let name = contestant.name;
        step(context, table.id, &format!("{name}, {under:?}"));
        let run = |address, lines| steps::run(address, spec.shape, 0, lines);
        let result = count::per_unit(context, under, contestant, Work::Echo, profile, units, run);
        match result {
            Ok(count) => {
                counts.insert(name, count);
            }
            Err(error) => table.notes.push(format!("{name}, {under:?}: {error}")),
        }
    }
    counts
}
