//! What protection costs: everything that can be switched on, against everything off.

use bench::start::Work;

use super::idle::{IDLE, check_descriptors};
use super::{Bound, Row, Table, cell, step};
use crate::contestants::{BARE, Contestant, GUARDED, OURS_AS_IT_IS};
use crate::count;
use crate::load::lines::Shape;
use crate::load::{connect_all, say_one_line_each, steps};
use crate::server::{Server, Under};
use crate::stats::Samples;
use crate::tools::Profile;
use crate::{Context, Result};

/// As it is, with all on, with all off.
const SERVERS: [Contestant; 3] = [OURS_AS_IT_IS, GUARDED, BARE];

/// Lines in flight, and by how much they may cost more.
const DEPTHS: [(u64, f64); 2] = [(16, 1.02), (1, 1.04)];

/// Bytes that the defaults may take more of an idle connection than nothing does.
const MAX_BYTES: f64 = 16.0;

const LINES_COUNTED: u64 = 64_000;

const MEMORY_ROUNDS: usize = 3;

pub const ROW: Row = Row {
    id: "limits",
    title: "Limits: everything on against everything off",
    steps: |_| (SERVERS.len() * (DEPTHS.len() + MEMORY_ROUNDS)) as u64,
    run,
};

fn run(context: &Context) -> Result<Table> {
    check_descriptors(context)?;
    let mut table = Table::of(&ROW);
    let mut counts = Vec::new();
    let mut memory = Samples::default();
    for server in &SERVERS {
        let mut counted = [None; DEPTHS.len()];
        if Under::Valgrind.find().is_ok() {
            for ((depth, _), counted) in DEPTHS.into_iter().zip(&mut counted) {
                *counted = Some(instructions(context, server, depth)?);
            }
        }
        counts.push(counted);
        for _ in 0..MEMORY_ROUNDS {
            memory.add(server.name, bytes(context, server)?);
        }
    }

    table.about = "An echo with the defaults, with every limit on (the defaults, and a deadline \
                   for silence), and with every limit off that can be: no deadlines. Instructions \
                   in user space by valgrind, resident memory as in the row idle-memory. A \
                   deadline for silence is a timer for each connection, which is most of what it \
                   takes; the defaults set none for a connection that rests."
        .to_owned();
    table.head = [
        "",
        "instructions a line, 16 in flight",
        "1 in flight",
        "bytes of an idle connection",
    ]
    .map(str::to_owned)
    .to_vec();
    for (server, counted) in SERVERS.iter().zip(&counts) {
        let mut line = vec![server.name.to_owned()];
        line.extend(counted.map(|count| cell(count, |count| format!("{count:.1}"))));
        let bytes = memory.of(server.name);
        line.push(cell(bytes, |bytes| format!("{:.0}", bytes.median)));
        table.lines.push(line);
    }
    bars(&mut table, &counts, &memory);
    Ok(table)
}

fn bars(table: &mut Table, counts: &[[Option<f64>; DEPTHS.len()]], memory: &Samples) {
    for (nth, (depth, max)) in DEPTHS.into_iter().enumerate() {
        let ratio = counts[1][nth].zip(counts[2][nth]).map(|(on, off)| on / off);
        table.bar(
            format!("instructions a line, {depth} in flight, all on / all off"),
            ratio,
            Some(Bound::AtMost(max)),
            None,
        );
    }
    let median = |server: &Contestant| memory.of(server.name).map(|bytes| bytes.median);
    let more = |server| Some((median(server)? - median(&BARE)?).round());
    table.bar(
        "bytes of an idle connection, the defaults - all off",
        more(&OURS_AS_IT_IS),
        Some(Bound::AtMost(MAX_BYTES)),
        None,
    );
    table.bar(
        "bytes of an idle connection, all on - all off",
        more(&GUARDED),
        None,
        Some(Bound::AtMost(MAX_BYTES)),
    );
}

fn instructions(context: &Context, server: &Contestant, depth: u64) -> Result<f64> {
    step(context, ROW.id, &format!("{}, Valgrind", server.name));
    let shape = Shape {
        clients: 64,
        in_flight: depth,
        line: 32,
    };
    let run = |address, lines| steps::run(address, shape, 0, lines);
    let (under, work, profile) = (Under::Valgrind, Work::Echo, Profile::Release);
    count::per_unit(context, under, server, work, profile, LINES_COUNTED, run)
}

fn bytes(context: &Context, server: &Contestant) -> Result<f64> {
    step(context, ROW.id, server.name);
    let server = Server::start(context, server, Work::Echo)?;
    let mut first = connect_all(server.address(), 100)?;
    say_one_line_each(&mut first)?;
    let before = server.resident()?;
    let mut idle = connect_all(server.address(), IDLE)?;
    say_one_line_each(&mut idle)?;
    Ok(server.resident()?.saturating_sub(before) as f64 / IDLE as f64)
}
