//! Runs scenarios through CPython's `asynchat`, if there is one.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use crate::oracle::scenario::Scenario;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/oracle/original.py");

/// A Python that still has `asynchat`: it is gone since 3.12.
pub(crate) fn python() -> Option<&'static str> {
    static PYTHON: OnceLock<Option<&str>> = OnceLock::new();
    *PYTHON.get_or_init(|| {
        ["python3", "python3.11"].into_iter().find(|python| {
            let has_asynchat = Command::new(python)
                .args(["-W", "ignore", "-c", "import asynchat"])
                .stderr(Stdio::null())
                .status();
            has_asynchat.is_ok_and(|status| status.success())
        })
    })
}

/// The version of Python, and what it recorded of each scenario, as text.
pub(crate) fn records(python: &str, scenarios: &[Scenario]) -> (String, Vec<String>) {
    let mut child = Command::new(python)
        .args(["-W", "ignore::DeprecationWarning", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let input: String = scenarios.iter().map(|s| format!("{s}\n")).collect();
    let mut output = String::new();
    thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input.as_bytes()).unwrap());
        stdout.read_to_string(&mut output).unwrap();
    });
    assert!(child.wait().unwrap().success(), "{SCRIPT} failed");
    let mut lines = output.lines().map(str::to_owned);
    let version = lines.next().unwrap();
    let records: Vec<_> = lines.collect();
    assert_eq!(records.len(), scenarios.len());
    (version, records)
}
