//! A test in a process of its own: for limits, descriptor numbers and faults
//! that are the whole process's.

use std::any::type_name;
use std::env;
use std::io::{self, Write};
use std::process::Command;

/// Set in the test's own process.
const ALONE: &str = "TEST_ALONE";

/// The shell's part of a process that may have so many descriptors.
pub(crate) fn descriptors(limit: u32) -> [String; 3] {
    let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
    ["sh".to_owned(), "-c".to_owned(), script]
}

/// Whether `strace` can be the wrapper; if not, says so.
pub(crate) fn can_trace() -> bool {
    if env::var_os(ALONE).is_some() {
        return true; // it does
    }
    let mut strace = Command::new("strace");
    let reason = match strace.args(["-o", "/dev/null", "true"]).output() {
        Err(_) => "no strace",
        Ok(traced) if !traced.status.success() => "strace may not trace here",
        Ok(_) => return true,
    };
    let _ = writeln!(io::stderr(), "skipped: {reason}");
    false
}

/// Runs `test`, which is the caller, under `wrapper`, a command and its arguments;
/// `true` inside of that process, where the test is to be done.
///
/// Panics when the test fails there, or is not found.
pub(crate) fn is_alone<Test: Fn()>(_test: Test, wrapper: &[impl AsRef<str>]) -> bool {
    if env::var_os(ALONE).is_some() {
        return true;
    }
    // The harness calls a test by its path, without the crate.
    let (_, name) = type_name::<Test>().split_once("::").expect("a path");
    let (program, args) = wrapper.split_first().expect("a command");
    let output = Command::new(program.as_ref())
        .args(args.iter().map(AsRef::as_ref))
        .arg(env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads=1"])
        .env(ALONE, "")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(stdout.contains("1 passed"), "{stdout}{stderr}");
    false
}
