//! Starts servers of the same behaviour on several libraries, and measures what
//! each of them spends. See the package's README.md.

mod certificate;
mod chart;
mod contestants;
mod count;
mod cpus;
mod load;
mod memory;
mod options;
mod report;
mod rows;
mod server;
mod stats;
mod tools;
mod verify;

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bench::start::Work;
use indicatif::{ProgressBar, ProgressStyle};

use crate::contestants::{Contestant, EPOLL, OURS};
use crate::cpus::Cpus;
use crate::options::Options;
use crate::tools::Tools;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T = (), E = Error> = std::result::Result<T, E>;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// What every row needs.
struct Context {
    options: Options,
    tools: Tools,
    cpus: Cpus,
    descriptors: u64,
    progress: ProgressBar,
    /// Who was seen to do which work.
    verified: HashSet<(&'static str, Work)>,
}

impl Context {
    /// Who takes part in this work, in the order of the tables.
    fn contestants(&self, work: Work) -> Vec<&'static Contestant> {
        let able = |contestant: &&Contestant| self.verified.contains(&(contestant.name, work));
        match work {
            Work::Plaintext => verify::web_servers().filter(able).collect(),
            _ => contestants::ALL
                .iter()
                .filter(|contestant| contestant.works.contains(&work))
                .filter(able)
                .collect(),
        }
    }

    fn rounds(&self) -> usize {
        if self.options.is_quick { 3 } else { 9 }
    }

    /// Where the bar does not hang on it, or a round takes long.
    fn few_rounds(&self) -> usize {
        if self.options.is_quick { 2 } else { 5 }
    }

    /// How long one measurement shall take.
    fn target(&self) -> Duration {
        Duration::from_millis(if self.options.is_quick { 50 } else { 200 })
    }
}

fn main() -> ExitCode {
    let options = Options::from_env();
    if options.list {
        rows::ALL
            .iter()
            .for_each(|row| println!("{:<12} {}", row.id, row.title));
        contestants::ALL
            .iter()
            .for_each(|contestant| println!("{}", contestant.name));
        return ExitCode::SUCCESS;
    }
    match run(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether all that must be true was.
fn run(options: Options) -> Result<bool> {
    let wants_lto = !options.no_lto && !options.is_quick && !options.verify_only;
    let tools = Tools::prepare(wants_lto)?;
    let began = Instant::now();
    let cpus = Cpus::choose()?;
    cpus::pin(cpus.load)?;
    let mut context = Context {
        tools,
        cpus,
        descriptors: cpus::raise_descriptor_limit()?,
        progress: ProgressBar::new(0),
        verified: HashSet::new(),
        options,
    };
    let style = ProgressStyle::with_template("[{elapsed_precise}] {wide_bar} {pos}/{len} {msg}")?;
    context.progress.set_style(style);
    if cpus.is_shared() {
        println!("only one processor: the load's work delays the server's");
    }

    let left_out = verify_all(&mut context)?;
    for line in &left_out {
        context.progress.suspend(|| println!("left out: {line}"));
    }
    if context.options.verify_only {
        context.progress.finish_and_clear();
        let mut verified: Vec<_> = context
            .verified
            .iter()
            .map(|(name, work)| (work.name(), *name))
            .collect();
        verified.sort_unstable();
        verified
            .iter()
            .for_each(|(work, name)| println!("{work:<10} {name}"));
        return Ok(true);
    }
    let wanted: Vec<_> = rows::ALL
        .iter()
        .filter(|row| context.options.wants_row(row.id))
        .collect();
    if wanted.is_empty() {
        return Err("no such row; see --list".into());
    }
    context
        .progress
        .inc_length(wanted.iter().map(|row| (row.steps)(&context)).sum());
    let mut measured = Vec::new();
    for row in wanted {
        let at_end = context.progress.position() + (row.steps)(&context);
        let row_began = Instant::now();
        let mut table = (row.run)(&context).map_err(|error| format!("{}: {error}", row.id))?;
        table.time = row_began.elapsed();
        context.progress.set_position(at_end);
        context
            .progress
            .suspend(|| println!("{}", report::to_terminal(&table)));
        measured.push(table);
    }
    context.progress.finish_and_clear();
    println!(
        "built in {:.0?}, measured in {:.0?}",
        context.tools.build_time,
        began.elapsed()
    );
    if let Some(folder) = &context.options.write_to {
        report::write(&context, folder, &measured, &left_out, began.elapsed())?;
    }
    Ok(measured.iter().all(rows::Table::is_passed))
}

/// Asks every server for its work; returns who was left out, and why.
fn verify_all(context: &mut Context) -> Result<Vec<String>> {
    let works = [
        Work::Echo,
        Work::Bulk,
        Work::Room,
        Work::Store,
        Work::Secure,
    ];
    let lines = contestants::ALL.iter().flat_map(|contestant| {
        let able = works
            .into_iter()
            .filter(|work| contestant.works.contains(work));
        able.map(move |work| (contestant, work))
    });
    let web = verify::web_servers().map(|contestant| (contestant, Work::Plaintext));
    let all: Vec<_> = lines
        .chain(web)
        .filter(|(contestant, _)| {
            [EPOLL, contestants::TOKIO, contestants::TOKIO_RUSTLS].contains(&contestant.name)
                || context.options.wants_contestant(contestant.name)
        })
        .collect();
    context.progress.inc_length(all.len() as u64);
    let mut left_out = Vec::new();
    for (contestant, work) in all {
        let name = contestant.name;
        context
            .progress
            .set_message(format!("{} of {name}", work.name()));
        match verify::verify(context, contestant, work) {
            Ok(()) => {
                context.verified.insert((name, work));
            }
            Err(error) if [OURS, EPOLL].contains(&name) => {
                return Err(format!("{} of {name}: {error}", work.name()).into());
            }
            Err(error) => left_out.push(format!("{} of {name}: {error}", work.name())),
        }
        context.progress.inc(1);
    }
    Ok(left_out)
}
