//! What is measured: a row of the report each.

mod bulk;
mod connect;
mod echo;
mod http;
mod idle;
mod latency;
mod limits;
mod pieces;
mod room;
mod store;
mod terminators;
mod timers;
mod tls;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::contestants::{Contestant, OURS};
use crate::server::Server;
use crate::stats::{Quartiles, Samples};
use crate::{Context, Result};

pub struct Row {
    pub id: &'static str,
    pub title: &'static str,
    /// How often it moves the progress bar on.
    pub steps: fn(&Context) -> u64,
    pub run: fn(&Context) -> Result<Table>,
}

pub const ALL: [Row; 22] = [
    echo::ONE,
    echo::SIXTEEN,
    echo::LONG,
    echo::PING_PONG,
    idle::ACTIVE,
    idle::MEMORY,
    limits::ROW,
    timers::ROW,
    room::ROW,
    connect::ROW,
    bulk::ROW,
    store::ROW,
    terminators::ROW,
    pieces::ROW,
    http::ROW,
    latency::ECHO,
    latency::HTTP,
    tls::ONE,
    tls::SIXTEEN,
    tls::LONG,
    tls::HANDSHAKES,
    tls::IDLE_MEMORY,
];

/// A row's result.
#[derive(Debug, Default)]
pub struct Table {
    pub id: &'static str,
    pub title: &'static str,
    /// How it was measured, in a sentence or two.
    pub about: String,
    pub head: Vec<String>,
    pub lines: Vec<Vec<String>>,
    pub rivals: Vec<Rival>,
    pub bars: Vec<Bar>,
    /// Who failed on the way.
    pub notes: Vec<String>,
    pub charts: Vec<Chart>,
    /// How long it took.
    pub time: Duration,
}

/// Who is best beside us, of those that a user would pick: raw loops are
/// references, and no rivals.
#[derive(Debug)]
pub struct Rival {
    pub what: String,
    pub name: &'static str,
    /// Our figure over the rival's.
    pub ratio: Quartiles,
}

/// A figure that must be met, or is aimed at.
#[derive(Debug)]
pub struct Bar {
    pub what: String,
    pub value: f64,
    pub must: Option<Bound>,
    pub aim: Option<Bound>,
}

#[derive(Clone, Copy, Debug)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// Points on one axis, with their quartiles.
#[derive(Debug)]
pub struct Chart {
    pub name: String,
    pub axis: String,
    pub points: Vec<(String, Quartiles)>,
}

impl Table {
    pub fn of(row: &Row) -> Self {
        Self {
            id: row.id,
            title: row.title,
            ..Self::default()
        }
    }

    pub fn is_passed(&self) -> bool {
        self.bars
            .iter()
            .all(|bar| bar.must.is_none_or(|bound| bound.holds(bar.value)))
    }

    /// Finds the best rival, whose median is the least; returns our figure over
    /// its, if there are both.
    pub fn compare(
        &mut self,
        what: &str,
        samples: &Samples,
        contestants: &[&'static Contestant],
    ) -> Option<f64> {
        let rivals = contestants
            .iter()
            .filter(|contestant| contestant.name != OURS && !contestant.is_reference());
        let (name, _) = rivals
            .filter_map(|rival| Some((rival.name, samples.of(rival.name)?.median)))
            .min_by(|a, b| a.1.total_cmp(&b.1))?;
        let ratio = samples.ratio(OURS, name)?;
        self.rivals.push(Rival {
            what: what.to_owned(),
            name,
            ratio,
        });
        Some(ratio.median)
    }

    /// Adds a bar, unless it was not measured.
    pub fn bar(
        &mut self,
        what: impl Into<String>,
        value: Option<f64>,
        must: Option<Bound>,
        aim: Option<Bound>,
    ) {
        if let Some(value) = value {
            self.bars.push(Bar {
                what: what.into(),
                value,
                must,
                aim,
            });
        }
    }
}

impl Bound {
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }
}

/// How much work makes a measurement long enough, found out once for each
/// contestant.
#[derive(Debug, Default)]
pub struct Amounts(HashMap<&'static str, u64>);

impl Amounts {
    fn of(
        &mut self,
        name: &'static str,
        target: Duration,
        probe: u64,
        run: &mut impl FnMut(u64) -> Result<u64>,
    ) -> Result<u64> {
        if let Some(&amount) = self.0.get(name) {
            return Ok(amount);
        }
        run(probe)?; // the first time is slower
        let began = Instant::now();
        run(probe)?;
        let factor = target.as_secs_f64() / began.elapsed().as_secs_f64().max(1e-6);
        let amount = ((probe as f64 * factor) as u64).max(probe);
        self.0.insert(name, amount);
        Ok(amount)
    }
}

/// The server's CPU time, in ns, for a unit of work. `run` does so many units
/// and says how many it were.
pub fn cpu_per_unit(
    server: &Server,
    amount: u64,
    mut run: impl FnMut(u64) -> Result<u64>,
) -> Result<f64> {
    run(amount / 8 + 1)?;
    let before = server.cpu_time()?;
    let done = run(amount)?;
    let spent = server.cpu_time()? - before;
    Ok(spent.as_nanos() as f64 / done as f64)
}

/// Measures all contestants in rounds: in each everybody once, and everybody is
/// first in turn. Who fails is left out from then on.
pub fn alternate<const FIGURES: usize>(
    context: &Context,
    table: &mut Table,
    contestants: &[&'static Contestant],
    rounds: usize,
    mut measure: impl FnMut(&'static Contestant) -> Result<[f64; FIGURES]>,
) -> [Samples; FIGURES] {
    let mut samples = [(); FIGURES].map(|()| Samples::default());
    let mut contestants = contestants.to_vec();
    for round in 0..rounds {
        let len = contestants.len().max(1);
        contestants.rotate_left(usize::from(round > 0) % len);
        contestants.retain(|contestant| {
            let name = contestant.name;
            step(context, table.id, name);
            match measure(contestant) {
                Ok(values) => {
                    let figures = samples.iter_mut().zip(values);
                    figures.for_each(|(samples, value)| samples.add(name, value));
                    true
                }
                Err(error) => {
                    samples.iter_mut().for_each(|samples| samples.remove(name));
                    table.notes.push(format!("{name}: {error}"));
                    false
                }
            }
        });
    }
    samples
}

/// Moves the progress bar on.
pub fn step(context: &Context, row: &str, what: &str) {
    context.progress.set_message(format!("{row}: {what}"));
    context.progress.inc(1);
}

/// A cell of a table: empty for what was not measured.
pub fn cell<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(String::new, show)
}
