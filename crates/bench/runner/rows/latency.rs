//! How long an answer takes, and how long the slowest do.

use std::time::Duration;

use bench::start::Work;

use super::{Bound, Chart, Row, Table, alternate, cell, step};
use crate::contestants::{Contestant, EPOLL, HYPER, NGINX, OURS, REDIS, TOKIO};
use crate::load::histogram::Histogram;
use crate::load::latency::{Clients, Protocol};
use crate::rows::echo::points;
use crate::server::Server;
use crate::{Context, Result};

struct Spec {
    protocol: Protocol,
    work: Work,
    contestants: &'static [&'static str],
}

pub const ECHO: Row = Row {
    id: "latency-echo",
    title: "Latency: a line of 32 bytes sent back",
    steps: |context| steps(context, &SPEC_ECHO),
    run: |context| run(context, &ECHO, &SPEC_ECHO),
};

const SPEC_ECHO: Spec = Spec {
    protocol: Protocol::Lines,
    work: Work::Echo,
    contestants: &[EPOLL, OURS, TOKIO],
};

pub const HTTP: Row = Row {
    id: "latency-http",
    title: "Latency: GET /plaintext",
    steps: |context| steps(context, &SPEC_HTTP),
    run: |context| run(context, &HTTP, &SPEC_HTTP),
};

const SPEC_HTTP: Spec = Spec {
    protocol: Protocol::Http,
    work: Work::Plaintext,
    contestants: &[EPOLL, OURS, NGINX, HYPER],
};

/// The clients of the open loop, too.
const FEW: usize = 64;

const MANY: usize = 1_000;

const SHARES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// Those of `SHARES`, of each load, and the share of the time that the server was
/// at work in the closed loop of few.
type Figures = [f64; 10];

/// What each three of the figures are of, and the most that p99 may be of the
/// best rival's.
const LOADS: [(&str, &str, Option<f64>); 3] = [
    ("64", "64 clients", Some(1.05)),
    ("1000", "1,000 clients", Some(1.05)),
    ("open", "open loop", None),
];

fn steps(context: &Context, spec: &Spec) -> u64 {
    (contestants(context, spec).len() * (context.rounds() + 1)) as u64
}

fn contestants(context: &Context, spec: &Spec) -> Vec<&'static Contestant> {
    let mut contestants = context.contestants(spec.work);
    contestants.retain(|contestant| spec.contestants.contains(&contestant.name));
    if spec.work == Work::Echo {
        // It has no lines of its own, but `ECHO`.
        let rooms = context.contestants(Work::Room).into_iter();
        contestants.extend(rooms.filter(|contestant| contestant.name == REDIS));
    }
    contestants
}

fn run(context: &Context, row: &Row, spec: &Spec) -> Result<Table> {
    let mut table = Table::of(row);
    let mut contestants = contestants(context, spec);
    let (slowest, capacity) = slowest(context, row, spec, &mut table, &mut contestants)?;
    let rate = capacity / 2.0;
    let samples = alternate(
        context,
        &mut table,
        &contestants,
        context.rounds(),
        |contestant| measure(context, spec, contestant, rate),
    );

    table.about = format!(
        "How long an answer takes, in µs, by a load of one thread that does nothing else; median of \
         {} rounds of {} ms each. In the closed loops each of 64 or 1,000 clients asks as soon as \
         it is answered: the server is always at work, and an answer waits for those of the other \
         clients. In the open loop {rate:.0} questions a second come at random (a Poisson process, \
         the same for all) on 64 connections, half of what {slowest}, the slowest here, answered in \
         the closed loop; a latency counts from the time that the schedule says, whether or not \
         the question could be sent then. Where the server was at work for less than the whole time \
         in the closed loop, the load or others held it up.",
        context.rounds(),
        time(context).as_millis(),
    );
    table.head = vec![String::new()];
    for (_, load, _) in LOADS {
        let heads = SHARES.map(|(share, _)| format!("{load}: {share}"));
        table.head.extend(heads);
    }
    table.head.push("64 clients: server at work".to_owned());
    for contestant in &contestants {
        let name = contestant.name;
        let micros = samples[..9]
            .iter()
            .map(|samples| cell(samples.of(name), |time| format!("{:.0}", time.median / 1e3)));
        let mut line = vec![name.to_owned()];
        line.extend(micros);
        line.push(cell(samples[9].of(name), |busy| {
            format!("{:.0} %", busy.median * 100.0)
        }));
        table.lines.push(line);
    }
    for (number, (id, load, max)) in LOADS.into_iter().enumerate() {
        let p99 = &samples[3 * number + 1];
        let what = format!("p99, {load}");
        let ratio = table.compare(&what, p99, &contestants);
        let what = format!("{what}, ours / best rival");
        let aim = max.is_none().then_some(Bound::AtMost(1.05));
        table.bar(what, ratio, max.map(Bound::AtMost), aim);
        table.charts.push(Chart {
            name: id.to_owned(),
            axis: format!("p99, ns, {load}"),
            points: points(&contestants, |name| p99.of(name)),
        });
    }
    Ok(table)
}

/// How long each load lasts.
fn time(context: &Context) -> Duration {
    Duration::from_millis(if context.options.is_quick { 100 } else { 300 })
}

/// Who answers the fewest questions a second in the closed loop, and how many.
/// Who answers none is left out.
fn slowest(
    context: &Context,
    row: &Row,
    spec: &Spec,
    table: &mut Table,
    contestants: &mut Vec<&'static Contestant>,
) -> Result<(&'static str, f64)> {
    let mut slowest: Option<(&'static str, f64)> = None;
    contestants.retain(|contestant| {
        let name = contestant.name;
        step(context, row.id, name);
        match capacity(context, spec, contestant) {
            Ok(rate) if slowest.is_none_or(|(_, least)| rate < least) => {
                slowest = Some((name, rate));
                true
            }
            Ok(_) => true,
            Err(error) => {
                table.notes.push(format!("{name}: {error}"));
                false
            }
        }
    });
    slowest.ok_or_else(|| "nobody answers".into())
}

fn capacity(context: &Context, spec: &Spec, contestant: &Contestant) -> Result<f64> {
    let server = Server::start(context, contestant, work(spec, contestant))?;
    let mut clients = Clients::connect(server.address(), protocol(spec, contestant), FEW)?;
    clients.closed(time(context) / 4)?;
    let answers = clients.closed(time(context))?.total();
    Ok(answers as f64 / time(context).as_secs_f64())
}

fn measure(context: &Context, spec: &Spec, contestant: &Contestant, rate: f64) -> Result<Figures> {
    let time = time(context);
    let server = Server::start(context, contestant, work(spec, contestant))?;
    let connect = |count| Clients::connect(server.address(), protocol(spec, contestant), count);
    let mut few = connect(FEW)?;
    few.closed(time / 4)?;
    let before = server.cpu_time()?;
    let closed = few.closed(time)?;
    let busy = (server.cpu_time()? - before).as_secs_f64() / time.as_secs_f64();
    let open = few.open(rate, time)?;
    let mut many = connect(MANY)?;
    many.closed(time / 4)?;
    let of_many = many.closed(time)?;
    let figures = [closed, of_many, open]
        .map(|histogram: Histogram| SHARES.map(|(_, share)| histogram.quantile(share)));
    Ok(std::array::from_fn(|place| match place {
        9 => busy,
        _ => figures[place / 3][place % 3],
    }))
}

fn protocol(spec: &Spec, contestant: &Contestant) -> Protocol {
    match contestant.name {
        REDIS => Protocol::Redis,
        _ => spec.protocol,
    }
}

/// The check that redis has passed.
fn work(spec: &Spec, contestant: &Contestant) -> Work {
    match contestant.name {
        REDIS => Work::Room,
        _ => spec.work,
    }
}
