//! The same scenarios through CPython's `asynchat` and through `AsyncChat`:
//! see `docs/oracle.md`.

mod difference;
mod generate;
mod mark;
mod original;
mod ours;
mod outcome;
mod record;
mod rules;
mod scenario;

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use difference::{Tally, expected};
use mark::Mark;
use outcome::Outcome;
use record::Record;
use scenario::Scenario;

/// Scenarios that are made afresh when nothing is said (`ORACLE` says it).
const FRESH: usize = 400;

/// Scenarios for one run of Python.
const BATCH: usize = 1_000;

/// How many failures are shown.
const SHOWN: usize = 5;

/// In how many scenarios every difference occurs, whatever the seed.
const MANY: usize = 100_000;

/// Says it also where the output of tests that pass is not shown.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}

/// What ours did in a scenario, and what was expected.
fn shown(scenario: &Scenario, ours: &Outcome) -> String {
    let mut text = format!("\n{scenario}\n      ours: {ours}\n");
    if let Some(python) = original::python() {
        let (_, records) = original::records(python, std::slice::from_ref(scenario));
        let marks = Mark::parse_all(&records[0]);
        let (expected, differences) = expected(&marks);
        writeln!(text, "  expected: {expected}").unwrap();
        writeln!(text, "     so by: {differences:?}").unwrap();
        writeln!(text, "  original: {}", mark::outcome(&marks)).unwrap();
        writeln!(text, "its record: {}", records[0]).unwrap();
    }
    text
}

/// Shows the shortest of the scenarios that differ, if any do.
#[track_caller]
fn assert_none(mut unexpected: Vec<(Scenario, Outcome)>, of: usize) {
    let count = unexpected.len();
    unexpected.sort_by_key(|(scenario, _)| scenario.to_string().len());
    let shortest = unexpected.iter().take(SHOWN);
    let shown: String = shortest
        .map(|(scenario, ours)| shown(scenario, ours))
        .collect();
    assert!(
        unexpected.is_empty(),
        "{count} of {of} scenarios differ, and no difference that has a name says so\n{shown}"
    );
}

/// Writes the file of records anew.
fn record() {
    let python = original::python().expect("a Python with asynchat");
    let scenarios = record::scenarios();
    let (version, records) = original::records(python, &scenarios);
    let records = records.iter().map(|record| {
        let (expected, differences) = expected(&Mark::parse_all(record));
        Record::new(&expected, differences)
    });
    let text = record::to_text(&version, &scenarios, &records.collect::<Vec<_>>());
    fs::write(record::FILE, text).unwrap();
    say(&format!("recorded: {}", record::FILE));
}

#[test]
fn the_outcomes_that_were_recorded_of_the_original_are_ours() {
    if variable("ORACLE_RECORD").is_some() {
        record();
    }
    let scenarios = record::scenarios();
    let records = record::of_text(&fs::read_to_string(record::FILE).unwrap(), &scenarios);
    let mut tally = Tally::default();
    let mut unexpected = Vec::new();
    for (scenario, record) in scenarios.iter().zip(&records) {
        tally.add(&record.differences, record.events.is_none());
        let ours = ours::outcome(scenario);
        if !record.is_of(&ours) {
            unexpected.push((scenario.clone(), ours));
        }
    }
    say(&format!("oracle: {tally}"));
    assert_none(unexpected, scenarios.len());
    tally.assert_all_occur();
}

#[test]
fn what_is_recorded_is_what_the_original_does() {
    let Some(python) = original::python() else {
        return say("skipped: no python3 with asynchat");
    };
    let scenarios = record::scenarios();
    let records = record::of_text(&fs::read_to_string(record::FILE).unwrap(), &scenarios);
    let (_, originals) = original::records(python, &scenarios);
    for ((scenario, record), original) in scenarios.iter().zip(&records).zip(&originals) {
        let (expected, differences) = expected(&Mark::parse_all(original));
        let now = Record::new(&expected, differences);
        assert_eq!(*record, now, "{scenario}\n{expected}");
    }
}

#[test]
fn fresh_scenarios_end_as_in_the_original() {
    let asked = variable("ORACLE");
    let Some(python) = original::python() else {
        assert!(asked.is_none(), "there is no python3 with asynchat");
        return say("skipped: no python3 with asynchat");
    };
    let count = asked.map_or(FRESH, |count| count as usize);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = variable("CHAT_SEED").unwrap_or(now.as_nanos() as u64);
    say(&format!("oracle, fresh: CHAT_SEED={seed}"));

    let next = AtomicUsize::new(0);
    let work = || {
        let mut tally = Tally::default();
        let mut unexpected = Vec::new();
        loop {
            let begin = next.fetch_add(BATCH, Ordering::Relaxed);
            if begin >= count {
                return (tally, unexpected);
            }
            let numbers = begin..count.min(begin + BATCH);
            let scenarios: Vec<_> = numbers.map(|n| generate::scenario(seed, n)).collect();
            let (_, originals) = original::records(python, &scenarios);
            for (scenario, original) in scenarios.iter().zip(&originals) {
                let (expected, differences) = expected(&Mark::parse_all(original));
                tally.add(&differences, expected.is_whole());
                let ours = ours::outcome(scenario);
                if !Record::new(&expected, Vec::new()).is_of(&ours) {
                    unexpected.push((scenario.clone(), ours));
                }
            }
        }
    };
    let (mut tally, mut unexpected) = (Tally::default(), Vec::new());
    thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let (part, differing) = worker.join().unwrap();
            tally.merge(part);
            unexpected.extend(differing);
        }
    });
    say(&format!("oracle, fresh: {tally}"));
    assert_none(unexpected, count);
    if count >= MANY {
        tally.assert_all_occur();
    }
}
