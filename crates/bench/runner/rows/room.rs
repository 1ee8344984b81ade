//! A line to everybody.

use bench::start::Work;

use super::{Amounts, Bound, Chart, Row, Table, alternate, cell, cpu_per_unit};
use crate::contestants::{OURS, REDIS, TOKIO};
use crate::load::room::Room;
use crate::rows::echo::points;
use crate::server::Server;
use crate::verify::protocol;
use crate::{Context, Result};

const MEMBERS: usize = 200;

const IN_FLIGHT: u64 = 50;

const LINE: usize = 64;

pub const ROW: Row = Row {
    id: "room",
    title: "Room: 200 members, lines of 64 bytes, 50 in flight",
    steps: |context| (context.contestants(Work::Room).len() * context.rounds()) as u64,
    run,
};

fn run(context: &Context) -> Result<Table> {
    let mut table = Table::of(&ROW);
    let contestants = context.contestants(Work::Room);
    let mut amounts = Amounts::default();
    let [samples] = alternate(
        context,
        &mut table,
        &contestants,
        context.rounds(),
        |contestant| {
            let server = Server::start(context, contestant, Work::Room)?;
            let mut room = Room::join(
                server.address(),
                protocol(contestant),
                MEMBERS,
                IN_FLIGHT,
                LINE,
            )?;
            let mut run = |lines| room.run(lines);
            let amount = amounts.of(contestant.name, context.target(), IN_FLIGHT, &mut run)?;
            Ok([cpu_per_unit(&server, amount, run)?])
        },
    );

    table.about = "The members speak in turn, and a further line is spoken when one has reached \
                   all 200, the speaker included. CPU time of the server for a delivery, and its \
                   ratio to tokio's, which is the fastest of the ways that were tried: one task \
                   writes for all members, once for all that was said meanwhile."
        .to_owned();
    table.head = ["", "CPU, ns a delivery", "× tokio"]
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
            cell(samples.ratio(name, TOKIO), |ratio| ratio.to_string()),
        ]);
    }
    table.compare("CPU a delivery", &samples, &contestants);
    let against = |other| samples.ratio(OURS, other).map(|ratio| ratio.median);
    table.bar(
        "CPU a delivery, ours / tokio",
        against(TOKIO),
        Some(Bound::AtMost(1.0)),
        Some(Bound::AtMost(0.9)),
    );
    table.bar(
        "CPU a delivery, ours / redis",
        against(REDIS),
        None,
        Some(Bound::AtMost(0.65)),
    );
    table.charts.push(Chart {
        name: "cpu".to_owned(),
        axis: "CPU a delivery, × tokio".to_owned(),
        points: points(&contestants, |name| samples.ratio(name, TOKIO)),
    });
    Ok(table)
}
