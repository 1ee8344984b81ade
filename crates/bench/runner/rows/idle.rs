//! What connections cost that say nothing: the others, and memory.

use std::mem::size_of;
use std::net::TcpStream;

use bench::start::Work;
use chat::AsyncChat;

use super::{Amounts, Bound, Chart, Row, Table, alternate, cell, cpu_per_unit, step};
use crate::contestants::{Contestant, EPOLL, OURS};
use crate::count;
use crate::load::lines::{Lines, Shape};
use crate::load::{connect_all, say_one_line_each, steps};
use crate::rows::echo::points;
use crate::server::{Server, Under};
use crate::stats::Samples;
use crate::tools::Profile;
use crate::{Context, Result};

pub const IDLE: usize = 5_000;

/// Both ends of the connections, and something for everything else.
const DESCRIPTORS: u64 = IDLE as u64 + 500;

const SHAPE: Shape = Shape {
    clients: 8,
    in_flight: 1,
    line: 32,
};

/// Far more than 5,000 connections cost, which are never accepted twice in the
/// same batches.
const LINES_COUNTED: u64 = 64_000;

/// How often memory is measured: what a line leaves behind depends on how many
/// others were read in the same turn.
const MEMORY_ROUNDS: usize = 3;

/// Whose instructions are counted.
const COUNTED: [&str; 2] = [EPOLL, OURS];

pub const ACTIVE: Row = Row {
    id: "idle-active",
    title: "8 active clients among 5,000 idle ones, against 8 among none",
    steps: |context| {
        let timed = context.contestants(Work::Echo).len() * context.few_rounds();
        (timed + 2 * COUNTED.len()) as u64
    },
    run: active,
};

pub const MEMORY: Row = Row {
    id: "idle-memory",
    title: "Resident memory of an idle connection",
    steps: |context| (2 * MEMORY_ROUNDS * context.contestants(Work::Echo).len()) as u64,
    run: memory,
};

fn active(context: &Context) -> Result<Table> {
    check_descriptors(context)?;
    let mut table = Table::of(&ACTIVE);
    let contestants = context.contestants(Work::Echo);
    let (mut alone, mut among) = (Samples::default(), Samples::default());
    for contestant in &contestants {
        // Both servers are there all the while, and are measured in turn.
        let result = (|| -> Result<()> {
            let mut pair = [
                Among::start(context, contestant, 0)?,
                Among::start(context, contestant, IDLE)?,
            ];
            for _ in 0..context.few_rounds() {
                step(context, ACTIVE.id, contestant.name);
                let [none, many] = &mut pair;
                alone.add(contestant.name, none.measure()?);
                among.add(contestant.name, many.measure()?);
            }
            Ok(())
        })();
        if let Err(error) = result {
            table.notes.push(format!("{}: {error}", contestant.name));
        }
    }
    let mut instructions = Vec::new();
    if Under::Valgrind.find().is_ok() {
        for contestant in contestants.iter().filter(|one| COUNTED.contains(&one.name)) {
            let none = instructions_per_line(context, contestant, 0)?;
            let many = instructions_per_line(context, contestant, IDLE)?;
            instructions.push((contestant.name, none, many));
        }
    }

    table.about = "CPU time of the server for a line, and the ratio within a round; user-space \
                   instructions by valgrind."
        .to_owned();
    table.head = [
        "",
        "CPU, ns a line, alone",
        "among 5,000",
        "ratio",
        "instructions, alone",
        "among 5,000",
        "ratio",
    ]
    .map(str::to_owned)
    .to_vec();
    let ratio = |name: &'static str| {
        let mut both = Samples::default();
        let (among, alone) = (among.values(name)?, alone.values(name)?);
        for (among, alone) in among.iter().zip(alone) {
            both.add("ratio", among / alone);
        }
        both.of("ratio")
    };
    for contestant in &contestants {
        let name = contestant.name;
        let (Some(alone), Some(among)) = (alone.of(name), among.of(name)) else {
            continue;
        };
        let counted = instructions.iter().find(|(counted, ..)| *counted == name);
        table.lines.push(vec![
            name.to_owned(),
            format!("{:.0}", alone.median),
            format!("{:.0}", among.median),
            cell(ratio(name), |ratio| ratio.to_string()),
            cell(counted, |(_, none, _)| format!("{none:.0}")),
            cell(counted, |(_, _, many)| format!("{many:.0}")),
            cell(counted, |(_, none, many)| format!("{:.3}", many / none)),
        ]);
    }
    let counted = instructions.iter().find(|(name, ..)| *name == OURS);
    let counted = counted.map(|(_, none, many)| many / none);
    table.bar(
        "instructions a line, ours, among 5,000 / alone",
        counted,
        Some(Bound::AtMost(1.02)),
        None,
    );
    let timed = ratio(OURS).map(|ratio| ratio.median);
    table.bar(
        "CPU a line, ours, among 5,000 / alone",
        timed,
        Some(Bound::AtMost(1.15)),
        None,
    );
    table.charts.push(Chart {
        name: "cpu".to_owned(),
        axis: "CPU a line among 5,000 idle connections, × alone".to_owned(),
        points: points(&contestants, ratio),
    });
    Ok(table)
}

/// A server with idle clients and active ones.
struct Among {
    server: Server,
    _idle: Vec<TcpStream>,
    active: Lines,
    amount: u64,
}

impl Among {
    fn start(context: &Context, contestant: &Contestant, idle: usize) -> Result<Self> {
        let server = Server::start(context, contestant, Work::Echo)?;
        let idle = connect_all(server.address(), idle)?;
        let mut active = Lines::connect(server.address(), SHAPE)?;
        let mut run = |lines| active.run(lines);
        let amount = Amounts::default().of(contestant.name, context.target(), 64, &mut run)?;
        Ok(Self {
            server,
            _idle: idle,
            active,
            amount,
        })
    }

    fn measure(&mut self) -> Result<f64> {
        cpu_per_unit(&self.server, self.amount, |lines| self.active.run(lines))
    }
}

fn instructions_per_line(context: &Context, contestant: &Contestant, idle: usize) -> Result<f64> {
    step(
        context,
        ACTIVE.id,
        &format!("{}, Valgrind", contestant.name),
    );
    let run = |address, lines| steps::run(address, SHAPE, idle, lines);
    let (work, profile) = (Work::Echo, Profile::Release);
    count::per_unit(
        context,
        Under::Valgrind,
        contestant,
        work,
        profile,
        LINES_COUNTED,
        run,
    )
}

fn memory(context: &Context) -> Result<Table> {
    check_descriptors(context)?;
    let mut table = Table::of(&MEMORY);
    let contestants = context.contestants(Work::Echo);
    let rounds = MEMORY_ROUNDS;
    let [silent, spoken] = alternate(context, &mut table, &contestants, rounds, |contestant| {
        let server = Server::start(context, contestant, Work::Echo)?;
        let mut first = connect_all(server.address(), 100)?;
        say_one_line_each(&mut first)?;
        let before = server.resident()?;
        let mut idle = connect_all(server.address(), IDLE)?;
        let connected = server.resident()?;
        step(context, MEMORY.id, contestant.name);
        say_one_line_each(&mut idle)?;
        let after = server.resident()?;
        let each = |now: u64| now.saturating_sub(before) as f64 / IDLE as f64;
        Ok([each(connected), each(after)])
    });

    table.about = format!(
        "What 5,000 connections add to the server's resident memory, for each, in bytes: before \
         they have said anything (but for one in 64), and after a line each; the median of \
         {rounds} servers. The kernel's part is not in it. `size_of::<AsyncChat<()>>()` is {} bytes.",
        size_of::<AsyncChat<()>>()
    );
    table.head = ["", "silent", "after a line"].map(str::to_owned).to_vec();
    for contestant in &contestants {
        let name = contestant.name;
        let (Some(silent), Some(spoken)) = (silent.of(name), spoken.of(name)) else {
            continue;
        };
        table.lines.push(vec![
            name.to_owned(),
            format!("{:.0}", silent.median),
            format!("{:.0}", spoken.median),
        ]);
    }
    table.compare("bytes after a line", &spoken, &contestants);
    // Memory is counted in pages: more than whole bytes they do not tell.
    let ours = spoken.of(OURS).map(|bytes| bytes.median.round());
    table.bar(
        "bytes of an idle connection, ours, after a line",
        ours,
        Some(Bound::AtMost(418.0)),
        Some(Bound::AtMost(400.0)),
    );
    let size = size_of::<AsyncChat<()>>() as f64;
    table.bar(
        "size_of::<AsyncChat<()>>()",
        Some(size),
        Some(Bound::AtMost(248.0)), // 8 of them are `received`, for the deadlines
        None,
    );
    table.charts.push(Chart {
        name: "bytes".to_owned(),
        axis: "resident bytes of an idle connection, after a line".to_owned(),
        points: points(&contestants, |name| spoken.of(name)),
    });
    Ok(table)
}

pub fn check_descriptors(context: &Context) -> Result<()> {
    match context.descriptors < DESCRIPTORS {
        true => Err(format!("needs {DESCRIPTORS} descriptors, `ulimit -Hn` is less").into()),
        false => Ok(()),
    }
}
