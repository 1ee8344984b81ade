//! The recorded outcomes: [`Record`], and the file that has them.
//!
//! After a head come the scenarios of the seed, in order and a line each: the
//! hash of the expected outcome, the letters of the differences, and, if the
//! outcome is known in part only, how many events it has.

use std::fmt::Write;

use crate::oracle::difference::Difference;
use crate::oracle::generate;
use crate::oracle::outcome::{FNV_BASIS, Outcome, hash};
use crate::oracle::scenario::Scenario;

pub(crate) const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/oracle/recorded.txt");

const SEED: u64 = 1;
const SCENARIOS: usize = 6_000;

/// What is kept of the original's outcome of one scenario.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) hash: u32,
    pub(crate) differences: Vec<Difference>,
    /// How many events are known, if not all.
    pub(crate) events: Option<usize>,
}

impl Record {
    pub(crate) fn new(expected: &Outcome, differences: Vec<Difference>) -> Self {
        let is_whole = expected.is_whole();
        Self {
            hash: expected.hash(),
            differences,
            events: (!is_whole).then_some(expected.events.len()),
        }
    }

    pub(crate) fn is_of(&self, ours: &Outcome) -> bool {
        let hash = match self.events {
            Some(events) => ours.clone().first(events).hash(),
            None => ours.hash(),
        };
        hash == self.hash
    }
}

/// The scenarios that are recorded.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let numbers = 0..SCENARIOS;
    numbers.map(|n| generate::scenario(SEED, n)).collect()
}

pub(crate) fn to_text(version: &str, scenarios: &[Scenario], records: &[Record]) -> String {
    let mut text = head(version, scenarios);
    for record in records {
        let letters: String = record.differences.iter().map(|d| d.letter()).collect();
        let events = record.events.map_or(String::new(), |n| n.to_string());
        let line = format!("{:08x} {letters} {events}", record.hash);
        writeln!(text, "{}", line.trim_end()).unwrap();
    }
    text
}

/// The records in the file.
///
/// # Panics
///
/// If they are of other scenarios than these.
#[track_caller]
pub(crate) fn of_text(text: &str, scenarios: &[Scenario]) -> Vec<Record> {
    let version = text.lines().find_map(|line| line.strip_prefix("python "));
    let head = head(version.unwrap_or_default(), scenarios);
    let Some(lines) = text.strip_prefix(&head) else {
        panic!(
            "{FILE} is stale: the scenarios are not those it was recorded of. If the generator \
             was changed on purpose, record again: just oracle-record"
        );
    };
    let records: Vec<_> = lines.lines().map(parse).collect();
    assert_eq!(records.len(), scenarios.len(), "{FILE} is not whole");
    records
}

fn head(version: &str, scenarios: &[Scenario]) -> String {
    let texts = scenarios.iter().fold(FNV_BASIS, |basis, scenario| {
        hash(basis, &scenario.to_string())
    });
    format!("python {version}\nseed {SEED}\nscenarios {SCENARIOS}\ntexts {texts:016x}\n")
}

fn parse(line: &str) -> Record {
    let mut fields = line.split(' ');
    let hash = fields.next().unwrap();
    let letters = fields.next().unwrap_or_default();
    let differences = letters.chars().map(|letter| {
        Difference::of_letter(letter).unwrap_or_else(|| panic!("what is {letter:?} in {FILE}?"))
    });
    Record {
        hash: u32::from_str_radix(hash, 16).unwrap(),
        differences: differences.collect(),
        events: fields.next().map(|events| events.parse().unwrap()),
    }
}
