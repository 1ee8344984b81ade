//! Bytes sent back, without lines.

use bench::start::Work;

use super::{Bound, Chart, Row, Table, alternate, cell, cpu_per_unit};
use crate::contestants::EPOLL;
use crate::load::lines::{Lines, Shape};
use crate::rows::echo::points;
use crate::server::Server;
use crate::{Context, Result};

const SHAPE: Shape = Shape {
    clients: 1,
    in_flight: u64::MAX - 1,
    line: 1,
};

pub const ROW: Row = Row {
    id: "bulk",
    title: "Bulk: one client, no terminator",
    steps: |context| (context.contestants(Work::Bulk).len() * rounds(context)) as u64,
    run,
};

/// Many, and short: what TCP makes of a connection differs from one to the next by more
/// than one server does from another.
fn rounds(context: &Context) -> usize {
    if context.options.is_quick { 2 } else { 31 }
}

fn run(context: &Context) -> Result<Table> {
    let mut table = Table::of(&ROW);
    let contestants = context.contestants(Work::Bulk);
    let bytes = if context.options.is_quick {
        1 << 27
    } else {
        1 << 28
    };
    let [samples] = alternate(
        context,
        &mut table,
        &contestants,
        rounds(context),
        |contestant| {
            let server = Server::start(context, contestant, Work::Bulk)?;
            let mut load = Lines::connect(server.address(), SHAPE)?;
            Ok([cpu_per_unit(&server, bytes, |bytes| load.run(bytes))?])
        },
    );

    table.about = format!(
        "CPU time of the server for a byte that comes and goes back; {} MiB in each of {} rounds.",
        bytes >> 20,
        rounds(context)
    );
    table.head = ["", "CPU, ms a MiB", "× raw epoll"]
        .map(str::to_owned)
        .to_vec();
    for contestant in &contestants {
        let name = contestant.name;
        let Some(cpu) = samples.of(name) else {
            continue;
        };
        table.lines.push(vec![
            name.to_owned(),
            format!("{:.3}", cpu.median * f64::from(1 << 20) / 1e6),
            cell(samples.ratio(name, EPOLL), |ratio| ratio.to_string()),
        ]);
    }
    let ratio = table.compare("CPU a byte", &samples, &contestants);
    table.bar(
        "CPU a byte, ours / best rival",
        ratio,
        Some(Bound::AtMost(1.05)),
        None,
    );
    table.charts.push(Chart {
        name: "cpu".to_owned(),
        axis: "CPU a byte, × raw epoll".to_owned(),
        points: points(&contestants, |name| samples.ratio(name, EPOLL)),
    });
    Ok(table)
}
