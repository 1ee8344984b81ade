//! Connections that come and go.

use bench::start::Work;

use super::{Amounts, Bound, Chart, Row, Table, alternate, cell, cpu_per_unit};
use crate::contestants::{EPOLL, OURS};
use crate::load::connects;
use crate::rows::echo::points;
use crate::server::Server;
use crate::{Context, Result};

/// So many are made at most: the ports of the load's side wait for a minute.
const MAX: u64 = 4_000;

pub const ROW: Row = Row {
    id: "connect",
    title: "Connect, one line, close",
    steps: |context| (context.contestants(Work::Echo).len() * context.rounds()) as u64,
    run,
};

fn run(context: &Context) -> Result<Table> {
    let mut table = Table::of(&ROW);
    let contestants = context.contestants(Work::Echo);
    let mut amounts = Amounts::default();
    let [samples] = alternate(
        context,
        &mut table,
        &contestants,
        context.rounds(),
        |contestant| {
            let server = Server::start(context, contestant, Work::Echo)?;
            let mut run = |connections| connects::run(server.address(), connections);
            let amount = amounts.of(contestant.name, context.target(), 64, &mut run)?;
            Ok([cpu_per_unit(&server, amount.min(MAX), run)?])
        },
    );

    table.about = "CPU time of the server for a connection, from accepting it to closing it after \
                   the client has; 32 at a time."
        .to_owned();
    table.head = ["", "CPU, µs a connection", "× raw epoll"]
        .map(str::to_owned)
        .to_vec();
    for contestant in &contestants {
        let name = contestant.name;
        let Some(cpu) = samples.of(name) else {
            continue;
        };
        table.lines.push(vec![
            name.to_owned(),
            format!("{:.2}", cpu.median / 1_000.0),
            cell(samples.ratio(name, EPOLL), |ratio| ratio.to_string()),
        ]);
    }
    table.compare("CPU a connection", &samples, &contestants);
    let ratio = samples.ratio(OURS, EPOLL).map(|ratio| ratio.median);
    table.bar(
        "CPU a connection, ours / raw epoll",
        ratio,
        Some(Bound::AtMost(1.15)),
        None,
    );
    table.charts.push(Chart {
        name: "cpu".to_owned(),
        axis: "CPU a connection, × raw epoll".to_owned(),
        points: points(&contestants, |name| samples.ratio(name, EPOLL)),
    });
    Ok(table)
}
