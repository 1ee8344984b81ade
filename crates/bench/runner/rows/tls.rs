//! Lines, handshakes and idle connections over TLS.

use std::sync::Arc;

use bench::start::Work;
use rustls::{ClientConfig, HandshakeKind};

use super::{Amounts, Bound, Chart, Row, Table, alternate, cell, cpu_per_unit, step};
use crate::contestants::{Contestant, OURS, TOKIO_RUSTLS};
use crate::count;
use crate::load::lines::Shape;
use crate::load::secure::{self, Clients};
use crate::rows::echo::points;
use crate::server::{Server, Under};
use crate::stats::Samples;
use crate::tools::Profile;
use crate::{Context, Result};

/// How many connections are idle.
const IDLE: usize = 2_000;

/// How often memory is measured.
const MEMORY_ROUNDS: usize = 3;

/// Handshakes of one measurement, at most: the ports of the load's side wait for a minute.
const MAX_HANDSHAKES: u64 = 1_000;

/// What is counted, if the tool is there.
const ALL_COUNTS: &[Under] = &[Under::Valgrind, Under::Strace];

/// Valgrind takes each byte of a long copy for an instruction (`rep movsb`).
const CALLS: &[Under] = &[Under::Strace];

pub const ONE: Row = Row {
    id: "tls-one",
    title: "TLS: 64 clients, one line of 32 bytes in flight each",
    steps: |context| steps(context, ALL_COUNTS),
    run: |context| lines(context, &ONE, shape(64, 1, 32), ALL_COUNTS),
};

pub const SIXTEEN: Row = Row {
    id: "tls-sixteen",
    title: "TLS: 64 clients, 16 lines of 32 bytes in flight each",
    steps: |context| steps(context, ALL_COUNTS),
    run: |context| lines(context, &SIXTEEN, shape(64, 16, 32), ALL_COUNTS),
};

pub const LONG: Row = Row {
    id: "tls-long",
    title: "TLS: 16 clients, 4 lines of 16 KiB in flight each",
    steps: |context| steps(context, CALLS),
    run: |context| lines(context, &LONG, shape(16, 4, 16_384), CALLS),
};

pub const HANDSHAKES: Row = Row {
    id: "tls-handshakes",
    title: "TLS: connect, handshake, one line, close",
    steps: |context| (context.contestants(Work::Secure).len() * context.rounds()) as u64,
    run: handshakes,
};

pub const IDLE_MEMORY: Row = Row {
    id: "tls-idle",
    title: "TLS: resident memory of an idle connection",
    steps: |context| (context.contestants(Work::Secure).len() * MEMORY_ROUNDS) as u64,
    run: memory,
};

const fn shape(clients: usize, in_flight: u64, line: u64) -> Shape {
    Shape {
        clients,
        in_flight,
        line,
    }
}

fn steps(context: &Context, counted: &[Under]) -> u64 {
    let counted = counted.iter().filter(|under| under.find().is_ok()).count();
    (context.contestants(Work::Secure).len() * (context.rounds() + counted)) as u64
}

fn lines(context: &Context, row: &Row, shape: Shape, counted: &[Under]) -> Result<Table> {
    let mut table = Table::of(row);
    let mut amounts = Amounts::default();
    let contestants = context.contestants(Work::Secure);
    let trust = context.tools.certificate().trust();
    let probe = shape.clients as u64 * shape.in_flight * 4;
    let rounds = context.rounds();
    let [samples] = alternate(context, &mut table, &contestants, rounds, |contestant| {
        let server = Server::start(context, contestant, Work::Secure)?;
        let mut load = Clients::connect(server.address(), &trust, shape)?;
        let mut run = |lines| load.run(lines);
        let amount = amounts.of(contestant.name, context.target(), probe, &mut run)?;
        Ok([cpu_per_unit(&server, amount, run)?])
    });
    let [instructions, calls] = [Under::Valgrind, Under::Strace].map(|under| {
        let mut counts = Samples::default();
        if counted.contains(&under) && under.find().is_ok() {
            for contestant in &contestants {
                step(context, row.id, &format!("{}, {under:?}", contestant.name));
                match count(context, under, contestant, &trust, shape) {
                    Ok(count) => counts.add(contestant.name, count),
                    Err(error) => table
                        .notes
                        .push(format!("{}, {under:?}: {error}", contestant.name)),
                }
            }
        }
        counts
    });

    table.about = format!(
        "TLS 1.3. The server's CPU time for a line, in {rounds} rounds, and its ratio to \
         tokio-rustls' in the same round: median and quartiles. The clients are in step: what \
         all of them say is encrypted before the first of it is sent. Counts are made as in the \
         rows of lines without TLS; most instructions are those of the cryptography."
    );
    table.head = [
        "",
        "CPU, ns a line",
        "× tokio-rustls",
        "instructions a line",
        "system calls a line",
    ]
    .map(str::to_owned)
    .to_vec();
    for contestant in &contestants {
        let name = contestant.name;
        let Some(cpu) = samples.of(name) else {
            continue;
        };
        table.lines.push(vec![
            name.to_owned(),
            format!("{:.0}", cpu.median),
            cell(samples.ratio(name, TOKIO_RUSTLS), |ratio| ratio.to_string()),
            cell(instructions.of(name), |count| {
                format!("{:.0}", count.median)
            }),
            cell(calls.of(name), |count| format!("{:.2}", count.median)),
        ]);
    }
    table.compare("CPU a line", &samples, &contestants);
    bar(&mut table, "CPU a line", &samples);
    bar(&mut table, "instructions a line", &instructions);
    table.charts.push(Chart {
        name: "cpu".to_owned(),
        axis: "CPU a line, × tokio-rustls".to_owned(),
        points: points(&contestants, |name| samples.ratio(name, TOKIO_RUSTLS)),
    });
    Ok(table)
}

/// Ours is to be at or below the other server on the same cryptography.
fn bar(table: &mut Table, what: &str, samples: &Samples) {
    let ratio = samples.ratio(OURS, TOKIO_RUSTLS).map(|ratio| ratio.median);
    let what = format!("{what}, ours / tokio-rustls");
    table.bar(what, ratio, None, Some(Bound::AtMost(1.0)));
}

fn count(
    context: &Context,
    under: Under,
    contestant: &Contestant,
    trust: &Arc<ClientConfig>,
    shape: Shape,
) -> Result<f64> {
    let units =
        shape.clients as u64 * shape.in_flight * if context.options.is_quick { 5 } else { 25 };
    let run = |address, lines| Clients::connect(address, trust, shape)?.run(lines);
    let (work, profile) = (Work::Secure, Profile::Release);
    count::per_unit(context, under, contestant, work, profile, units, run)
}

fn handshakes(context: &Context) -> Result<Table> {
    let mut table = Table::of(&HANDSHAKES);
    let contestants = context.contestants(Work::Secure);
    let certificate = context.tools.certificate();
    let rounds = context.rounds();
    let [full, resumed] = alternate(context, &mut table, &contestants, rounds, |contestant| {
        let server = Server::start(context, contestant, Work::Secure)?;
        let friends = certificate.trust_of_friends();
        secure::come_and_go(server.address(), &friends, None, 1)?; // the first of them
        let kinds = [
            (HandshakeKind::Full, certificate.trust_of_strangers()),
            (HandshakeKind::Resumed, friends),
        ];
        let mut cpu = [0.0; 2];
        for ((kind, trust), cpu) in kinds.iter().zip(&mut cpu) {
            let run = |count| secure::come_and_go(server.address(), trust, Some(*kind), count);
            let count = if context.options.is_quick {
                100
            } else {
                MAX_HANDSHAKES
            };
            *cpu = cpu_per_unit(&server, count, run)?;
        }
        Ok(cpu)
    });

    table.about = format!(
        "TLS 1.3, a certificate of ECDSA with P-256, 8 clients at a time, in step. The server's CPU \
         time for a connection, from accepting it to closing it, with a whole handshake and with \
         one that resumes a session; {rounds} rounds. A second of CPU time makes as many \
         handshakes."
    );
    table.head = [
        "",
        "full, µs",
        "a second",
        "× tokio-rustls",
        "resumed, µs",
        "a second",
        "× tokio-rustls",
    ]
    .map(str::to_owned)
    .to_vec();
    for contestant in &contestants {
        let name = contestant.name;
        let mut line = vec![name.to_owned()];
        for samples in [&full, &resumed] {
            let cpu = samples.of(name).map(|cpu| cpu.median);
            line.push(cell(cpu, |cpu| format!("{:.0}", cpu / 1e3)));
            line.push(cell(cpu, |cpu| format!("{:.0}", 1e9 / cpu)));
            line.push(cell(samples.ratio(name, TOKIO_RUSTLS), |ratio| {
                ratio.to_string()
            }));
        }
        table.lines.push(line);
    }
    for (what, samples) in [
        ("CPU a full handshake", &full),
        ("CPU a resumed one", &resumed),
    ] {
        table.compare(what, samples, &contestants);
        bar(&mut table, what, samples);
    }
    Ok(table)
}

fn memory(context: &Context) -> Result<Table> {
    let mut table = Table::of(&IDLE_MEMORY);
    let contestants = context.contestants(Work::Secure);
    let trust = context.tools.certificate().trust_of_strangers();
    let rounds = MEMORY_ROUNDS;
    let long = [vec![b'x'; 16_383], vec![b'\n']].concat();
    let [short, long] = alternate(context, &mut table, &contestants, rounds, |contestant| {
        let server = Server::start(context, contestant, Work::Secure)?;
        let mut first = secure::connect_all(server.address(), &trust, 100)?;
        first
            .iter_mut()
            .try_for_each(|client| client.exchange(&long))?;
        let before = server.resident()?;
        let mut idle = secure::connect_all(server.address(), &trust, IDLE)?;
        let connected = server.resident()?;
        idle.iter_mut()
            .try_for_each(|client| client.exchange(&long))?;
        let after = server.resident()?;
        let each = |now: u64| now.saturating_sub(before) as f64 / IDLE as f64;
        Ok([each(connected), each(after)])
    });

    table.about = format!(
        "What {IDLE} connections add to the server's resident memory, for each, in bytes: after a \
         handshake and a short line, and after a line of 16 KiB; the median of {rounds} servers. \
         The kernel's part is not in it. After the long line, ours has the same memory in use as \
         before: the rest is holes where buffers were, which the next connections get."
    );
    table.head = ["", "after a short line", "after a long one"]
        .map(str::to_owned)
        .to_vec();
    for contestant in &contestants {
        let name = contestant.name;
        let (Some(short), Some(long)) = (short.of(name), long.of(name)) else {
            continue;
        };
        table.lines.push(vec![
            name.to_owned(),
            format!("{:.0}", short.median),
            format!("{:.0}", long.median),
        ]);
    }
    for (when, samples) in [("a short line", &short), ("a long line", &long)] {
        let what = format!("bytes of an idle connection after {when}");
        table.compare(&what, samples, &contestants);
        bar(&mut table, &what, samples);
    }
    table.bar(
        "bytes of an idle connection after a short line, ours",
        short.of(OURS).map(|bytes| bytes.median.round()),
        None,
        Some(Bound::AtMost(9_000.0)),
    );
    table.charts.push(Chart {
        name: "bytes".to_owned(),
        axis: "resident bytes of an idle connection, after a short line".to_owned(),
        points: points(&contestants, |name| short.of(name)),
    });
    Ok(table)
}
