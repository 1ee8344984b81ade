//! Values of 2 MB, kept and given back.

use bench::start::Work;

use super::{Bound, Row, Table, alternate, cell, cpu_per_unit};
use crate::contestants::{EPOLL, OURS};
use crate::load::values::Values;
use crate::server::Server;
use crate::{Context, Result};

/// Bytes of a value.
const LEN: usize = 2_000_000;

pub const ROW: Row = Row {
    id: "store",
    title: "Bodies: values of 2 MB",
    steps: |context| (context.contestants(Work::Store).len() * rounds(context)) as u64,
    run,
};

/// As many as of bulk, for the same reason.
fn rounds(context: &Context) -> usize {
    if context.options.is_quick { 2 } else { 31 }
}

fn run(context: &Context) -> Result<Table> {
    let mut table = Table::of(&ROW);
    let contestants = context.contestants(Work::Store);
    let values = if context.options.is_quick { 32 } else { 128 };
    let [sets, gets] = alternate(
        context,
        &mut table,
        &contestants,
        rounds(context),
        |contestant| {
            let server = Server::start(context, contestant, Work::Store)?;
            let mut load = Values::connect(server.address(), LEN)?;
            Ok([
                cpu_per_unit(&server, values, |values| load.set(values))?,
                cpu_per_unit(&server, values, |values| load.get(values))?,
            ])
        },
    );

    table.about = format!(
        "CPU time of the server for a value of {LEN} bytes: received by its number of bytes, \
         which its end must follow, into memory that keeps it; and sent from there. One client, \
         {values} values of each in each of {} rounds. The raw loop receives straight into that \
         memory, which is not cleared before.",
        rounds(context)
    );
    table.head = ["", "set, µs", "× raw epoll", "get, µs", "× raw epoll"]
        .map(str::to_owned)
        .to_vec();
    for contestant in &contestants {
        let name = contestant.name;
        let mut line = vec![name.to_owned()];
        for samples in [&sets, &gets] {
            line.push(cell(samples.of(name), |cpu| {
                format!("{:.0}", cpu.median / 1e3)
            }));
            line.push(cell(samples.ratio(name, EPOLL), |ratio| ratio.to_string()));
        }
        table.lines.push(line);
    }
    for (what, samples) in [("set", &sets), ("get", &gets)] {
        let ratio = table.compare(&format!("CPU a {what}"), samples, &contestants);
        table.bar(
            format!("CPU a {what}, ours / best rival"),
            ratio,
            None,
            Some(Bound::AtMost(1.05)),
        );
        table.bar(
            format!("CPU a {what}, ours / raw epoll"),
            samples.ratio(OURS, EPOLL).map(|ratio| ratio.median),
            None,
            Some(Bound::AtMost(1.1)),
        );
    }
    Ok(table)
}
