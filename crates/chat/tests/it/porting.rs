//! The page on porting, `docs/porting-from-asyncore.md`: it leaves nothing out,
//! and what it says is there.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

const PAGE: &str = include_str!("../../../../docs/porting-from-asyncore.md");

/// The public names of both modules: those of the module, and of its classes.
const PUBLIC_NAMES: &str = "\
    asyncore: socket_map ExitNow read write readwrite poll poll2 poll3 loop dispatcher \
    dispatcher_with_send compact_traceback close_all file_wrapper file_dispatcher \
    dispatcher: debug connected accepting connecting closing addr ignore_log_types \
    add_channel del_channel create_socket set_socket set_reuse_addr readable writable listen bind \
    connect accept send recv close log log_info handle_read_event handle_connect_event \
    handle_write_event handle_expt_event handle_error handle_expt handle_read handle_write \
    handle_connect handle_accept handle_accepted handle_close \
    dispatcher_with_send: initiate_send handle_write writable send \
    file_wrapper: recv send getsockopt read write close fileno \
    file_dispatcher: set_file \
    asynchat: async_chat simple_producer find_prefix_at_end \
    async_chat: ac_in_buffer_size ac_out_buffer_size use_encoding encoding \
    collect_incoming_data found_terminator set_terminator get_terminator handle_read handle_write \
    handle_close push push_with_producer readable writable close_when_done initiate_send \
    discard_buffers \
    simple_producer: more";

/// Prints the names of the modules that are there in the same form, a line for
/// each module and class.
const PRINT_PUBLIC_NAMES: &str = "
import inspect, asyncore, asynchat
for module in asyncore, asynchat:
    classes = [c for c in vars(module).values()
               if inspect.isclass(c) and c.__module__ == module.__name__
               and not issubclass(c, Exception)]
    own = [n for n, v in vars(module).items()
           if not n.startswith('_') and (n == 'socket_map' or
               getattr(v, '__module__', None) == module.__name__)]
    print(module.__name__ + ':', *own)
    for c in classes:
        print(c.__name__ + ':', *[n for n in vars(c) if not n.startswith('_')])
";

/// The cells of every row of the page's tables, without headings.
fn rows() -> Vec<Vec<&'static str>> {
    let lines = PAGE.lines().filter(|line| line.starts_with("| "));
    let cells = lines.map(|line| line.trim_matches('|').split(" | ").map(str::trim));
    cells
        .map(Iterator::collect)
        .filter(|cells: &Vec<&str>| cells[1] != "here")
        .collect()
}

/// What stands between backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Identifiers in a piece of code: `loop(timeout)` has two.
fn identifiers(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

/// `class name` for each of the names in the form of [`PUBLIC_NAMES`].
fn qualified(names: &str) -> BTreeSet<(String, String)> {
    let mut class = "";
    let mut all = BTreeSet::new();
    for word in names.split_whitespace() {
        match word.strip_suffix(':') {
            Some(name) => class = name,
            None => {
                all.insert((class.to_owned(), word.to_owned()));
            }
        }
    }
    all
}

/// Runs Python with the two modules; `None`, with a message, without them.
fn python(program: &str) -> Option<String> {
    let has_modules = Command::new("python3")
        .args(["-W", "ignore", "-c", "import asyncore, asynchat"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !has_modules {
        let _ = writeln!(io::stderr(), "skipped: no python3 with asyncore");
        return None;
    }
    let output = Command::new("python3")
        .args(["-W", "ignore", "-c", program])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(String::from_utf8(output.stdout).unwrap())
}

/// `reactor` and `chat` are folders of tests under `crates`.
fn tests_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(name)
        .join("tests/it")
}

/// The text of a test file, or of all files of a test folder.
fn sources(path: &Path) -> String {
    if path.is_file() {
        return fs::read_to_string(path).unwrap();
    }
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

#[test]
fn every_public_name_has_a_row() {
    let named: BTreeSet<&str> = rows()
        .iter()
        .flat_map(|cells| code(cells[0]))
        .flat_map(identifiers)
        .collect();
    for (class, name) in qualified(PUBLIC_NAMES) {
        // A producer's `more` is in the row of `simple_producer`'s counterpart.
        let is_there = named.contains(name.as_str()) || name == "more";
        assert!(is_there, "{class}.{name} has no row");
    }
}

#[test]
fn the_names_are_those_of_pythons_modules() {
    let Some(names) = python(PRINT_PUBLIC_NAMES) else {
        return;
    };
    // The exception is no class with methods, but a name.
    assert_eq!(qualified(&names), qualified(PUBLIC_NAMES));
}

#[test]
fn no_cell_is_empty_and_every_row_names_a_test_that_exists() {
    let rows = rows();
    assert!(rows.len() > 60, "{} rows", rows.len());
    for cells in rows {
        assert_eq!(cells.len(), 4, "{cells:?}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{cells:?}");
        let (folder, _) = cells[3].split_once(' ').expect("a crate's name");
        let mut names = code(cells[3]);
        let (file, test) = (names.next().unwrap(), names.next().unwrap());
        let sources = sources(&tests_of(folder).join(file));
        assert!(
            sources.contains(&format!("fn {test}()")),
            "{folder} has no test {file}: {test}"
        );
    }
}

#[test]
fn every_link_leads_to_a_file() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut targets = BTreeSet::new();
    for line in PAGE.lines().filter_map(|line| line.strip_prefix('[')) {
        let (label, target) = line.split_once("]: ").unwrap();
        assert!(docs.join(target).is_file(), "{target}");
        targets.insert(label);
    }
    for cells in rows() {
        for link in cells[1].split("][").skip(1) {
            let label = link.split(']').next().unwrap();
            assert!(targets.contains(label), "{label}");
        }
    }
}

#[test]
fn the_python_of_the_page_prints_what_its_rust_asserts() {
    let program = PAGE.split("```python\n").nth(1).unwrap();
    let program = program.split("```").next().unwrap();
    if let Some(printed) = python(program) {
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(lines, ["stored", "5", "hello"]);
        assert!(PAGE.contains(r#"assert_eq!(self.seen, ["stored", "5", "hello"]);"#));
    }
}
