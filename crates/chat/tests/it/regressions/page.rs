//! The page `docs/lineage.md` and the tests here name each other.

use std::collections::BTreeMap;

const PAGE: &str = include_str!("../../../../../docs/lineage.md");

const SOURCES: [(&str, &str); 7] = [
    ("accepting.rs", include_str!("accepting.rs")),
    ("asynchat.rs", include_str!("asynchat.rs")),
    ("asyncore.rs", include_str!("asyncore.rs")),
    ("ending.rs", include_str!("ending.rs")),
    ("framing.rs", include_str!("framing.rs")),
    ("reaching.rs", include_str!("reaching.rs")),
    ("requests.rs", include_str!("requests.rs")),
];

/// Where some of the tests are for a row, and others are not.
const ELSEWHERE: [(&str, &str); 9] = [
    ("../accept.rs", include_str!("../accept.rs")),
    ("../closing.rs", include_str!("../closing.rs")),
    ("../connect.rs", include_str!("../connect.rs")),
    (
        "../connect_outcomes.rs",
        include_str!("../connect_outcomes.rs"),
    ),
    ("../pause.rs", include_str!("../pause.rs")),
    ("../push.rs", include_str!("../push.rs")),
    (
        "reactor map.rs",
        include_str!("../../../../reactor/tests/it/map.rs"),
    ),
    (
        "reactor nested_turn.rs",
        include_str!("../../../../reactor/tests/it/nested_turn.rs"),
    ),
    (
        "reactor timers.rs",
        include_str!("../../../../reactor/tests/it/timers.rs"),
    ),
];

/// `D3b` as its list, its number and its letter, if it has one.
type Row = (char, u32, Option<char>);

fn row(id: &str) -> Option<Row> {
    let list = id.chars().next().filter(|list| "DFR".contains(*list))?;
    let number = id[1..].trim_end_matches(|c: char| c.is_ascii_lowercase());
    let mut letters = id[1 + number.len()..].chars();
    let row = (list, number.parse().ok()?, letters.next());
    letters.next().is_none().then_some(row)
}

/// The rows of the page, each with its test.
fn rows() -> BTreeMap<Row, String> {
    let mut rows = BTreeMap::new();
    for line in PAGE.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let &["", id, what, _, here, test, ""] = &cells[..] else {
            continue;
        };
        let Some(row) = row(id) else {
            assert!(id == "#" || id.starts_with('-'), "what row is {id}?");
            continue;
        };
        assert!(!what.is_empty() && !here.is_empty(), "{id} says nothing");
        let twice = rows.insert(row, test.trim_matches('`').to_owned());
        assert_eq!(twice, None, "{id} is there twice");
    }
    rows
}

/// The tests, each by the number that its comment begins with.
fn tests() -> BTreeMap<Row, String> {
    let mut tests = BTreeMap::new();
    for (file, source) in SOURCES.into_iter().chain(ELSEWHERE) {
        let mut id = None;
        let mut is_test = false;
        for line in source.lines() {
            if let Some((start, _)) = line.split_once(": ") {
                id = start.strip_prefix("/// ").and_then(row).or(id);
            }
            is_test |= line == "#[test]";
            let Some(name) = line.strip_prefix("fn ").filter(|_| is_test) else {
                continue;
            };
            is_test = false;
            let name = format!("{file}::{}", name.trim_end_matches("() {"));
            let Some(id) = id.take() else {
                assert!(is_elsewhere(file), "{name} is for no row");
                continue;
            };
            let twice = tests.insert(id, name);
            assert_eq!(twice, None, "{id:?} has two tests");
        }
    }
    tests
}

fn is_elsewhere(file: &str) -> bool {
    ELSEWHERE.iter().any(|(elsewhere, _)| *elsewhere == file)
}

#[test]
fn every_row_has_its_test_and_every_test_its_row() {
    let (rows, tests) = (rows(), tests());
    for (row, test) in &rows {
        assert_eq!(tests.get(row), Some(test), "{row:?}");
    }
    for (row, test) in &tests {
        assert!(rows.contains_key(row), "no row {row:?} for {test}");
    }
}

/// So that a row that is lost together with its test is missed.
#[test]
fn the_rows_are_numbered_without_a_gap() {
    let rows = rows();
    for (list, end) in [('D', 11), ('F', 8), ('R', 12)] {
        let mut last = (0, None);
        for &(_, number, letter) in rows.keys().filter(|row| row.0 == list) {
            let follows = match (letter, last) {
                (None | Some('a'), (before, _)) => number == before + 1,
                (Some(letter), (before, Some(previous))) => {
                    number == before && letter as u32 == previous as u32 + 1
                }
                (Some(_), (_, None)) => false,
            };
            assert!(follows, "{list}{number}{}", letter.unwrap_or(' '));
            last = (number, letter);
        }
        assert_eq!(last.0, end, "{list}");
    }
}
