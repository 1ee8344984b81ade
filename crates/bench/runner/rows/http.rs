//! `GET /plaintext`.

use std::time::Duration;

use bench::start::Work;

use super::{Bound, Chart, Row, Table, alternate, cell};
use crate::contestants::{HYPER, NGINX, OURS};
use crate::load::wrk;
use crate::rows::echo::points;
use crate::server::Server;
use crate::stats::Samples;
use crate::tools::find;
use crate::{Context, Result};

const PIPELINED: usize = 16;

pub const ROW: Row = Row {
    id: "http",
    title: "HTTP: GET /plaintext, 64 clients, one request at a time and 16",
    steps: |context| 2 * (context.contestants(Work::Plaintext).len() * rounds(context)) as u64,
    run,
};

/// wrk runs for whole seconds.
fn rounds(context: &Context) -> usize {
    if context.options.is_quick { 1 } else { 5 }
}

fn run(context: &Context) -> Result<Table> {
    let mut table = Table::of(&ROW);
    if let Err(error) = find("wrk") {
        table.notes.push(error);
        return Ok(table);
    }
    let contestants = context.contestants(Work::Plaintext);
    let time = Duration::from_secs(if context.options.is_quick { 1 } else { 2 });
    let mut measure = |pipelined| {
        alternate(
            context,
            &mut table,
            &contestants,
            rounds(context),
            |contestant| {
                let server = Server::start(context, contestant, Work::Plaintext)?;
                let before = server.cpu_time()?;
                let requests = wrk::run(context, server.address(), pipelined, time)?;
                let spent = server.cpu_time()? - before;
                Ok([spent.as_nanos() as f64 / requests as f64])
            },
        )
    };
    let ([single], [pipelined]) = (measure(1), measure(PIPELINED));

    table.about = format!(
        "wrk on one thread, {} s in each of {} rounds. Ours is `examples/http`; hyper's is its hello \
         server on one thread; nginx has one process and `return 200`; the raw loop looks for the path and the end of a request. All answer with a `Date`.",
        time.as_secs(),
        rounds(context)
    );
    table.head = [
        "",
        "CPU, µs a request",
        "requests a CPU second",
        "16 at a time: µs",
        "requests a CPU second",
    ]
    .map(str::to_owned)
    .to_vec();
    let micros = |samples: &Samples, name: &str| {
        cell(samples.of(name), |cpu| {
            format!("{:.2}", cpu.median / 1_000.0)
        })
    };
    let a_second = |samples: &Samples, name: &str| {
        cell(samples.of(name), |cpu| format!("{:.0}", 1e9 / cpu.median))
    };
    for contestant in &contestants {
        let name = contestant.name;
        table.lines.push(vec![
            name.to_owned(),
            micros(&single, name),
            a_second(&single, name),
            micros(&pipelined, name),
            a_second(&pipelined, name),
        ]);
    }
    for (samples, how) in [(&single, "one at a time"), (&pipelined, "16 at a time")] {
        table.compare(&format!("CPU a request, {how}"), samples, &contestants);
        for other in [NGINX, HYPER] {
            // The other's time over ours: how many more requests we answer.
            let ratio = samples.ratio(other, OURS).map(|ratio| ratio.median);
            let what = format!("requests a CPU second, ours / {other}, {how}");
            table.bar(what, ratio, Some(Bound::AtLeast(1.0)), None);
        }
        table.charts.push(Chart {
            name: how.replace(' ', "-"),
            axis: format!("CPU a request, ns, {how}"),
            points: points(&contestants, |name| samples.of(name)),
        });
    }
    Ok(table)
}
