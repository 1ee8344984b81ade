//! Where a program is: where Cargo has just built it, so that no test starts one
//! that is older than its source.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// The path of an example, built as this test was: the same profile, the same
/// folder. Panics with what the compiler says if it cannot be built.
///
/// Cargo is asked once for each example, for one at a time: more would only wait
/// for its lock. `cargo test` itself does not hold that while tests run.
pub(super) fn path(name: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, Result<PathBuf, String>>> = Mutex::new(BTreeMap::new());
    let program = {
        let mut built = BUILT.lock().expect("a failure is a value");
        let program = built.entry(name.to_owned());
        program.or_insert_with(|| build(name)).clone()
    };
    program.unwrap_or_else(|failure| panic!("{failure}"))
}

fn build(name: &str) -> Result<PathBuf, String> {
    let test = env::current_exe().expect("a test knows where it is");
    let profile = test.parent().and_then(Path::parent);
    let profile = profile.expect("target/profile/deps/test");
    let target = profile.parent().expect("target/profile");
    let profile = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // Of the workspace: its dependencies have the features that they have in
    // `cargo test --workspace`, which has built it already.
    command
        .args(["build", "--workspace", "--example", name])
        .args(["--profile", profile])
        .arg("--message-format=json-render-diagnostics")
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if cfg!(feature = "tls") {
        command.args(["--features", "examples/tls"]);
    }
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let path = stdout.lines().rev().find_map(executable);
    path.filter(|_| output.status.success())
        .map(PathBuf::from)
        .ok_or_else(|| {
            let stderr = String::from_utf8_lossy(&output.stderr);
            format!("cannot build the example {name}: {command:?}\n{stderr}")
        })
}

/// What Cargo has made, by one line of its messages.
fn executable(message: &str) -> Option<String> {
    let (_, path) = message.split_once(r#""executable":""#)?;
    let mut name = String::new();
    let mut characters = path.chars();
    loop {
        match characters.next()? {
            '"' => return Some(name),
            '\\' => name.push(characters.next()?), // a quote, or a backslash
            character => name.push(character),
        }
    }
}
