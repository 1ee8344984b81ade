//! The page and the tests name each other, and the page names all the
//! original's.

use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../../../docs/original-tests.md");

const SOURCES: [&str; 9] = [
    include_str!("asynchat.rs"),
    include_str!("connections.rs"),
    include_str!("errors.rs"),
    include_str!("events.rs"),
    include_str!("files.rs"),
    include_str!("framing.rs"),
    include_str!("sockets.rs"),
    include_str!("turning.rs"),
    include_str!("with_send.rs"),
];

/// The methods of CPython 3.11's tests, by class.
const ORIGINAL: [(&str, &[&str]); 9] = [
    (
        "HelperFunctionTests",
        &[
            "readwriteexc",
            "readwrite",
            "closeall",
            "closeall_default",
            "compact_traceback",
        ],
    ),
    (
        "DispatcherTests",
        &["basic", "repr", "log", "log_info", "unhandled", "strerror"],
    ),
    ("DispatcherWithSendTests", &["send"]),
    (
        "FileWrapperTest",
        &[
            "recv",
            "send",
            "dispatcher",
            "resource_warning",
            "close_twice",
        ],
    ),
    (
        "BaseTestAPI",
        &[
            "handle_connect",
            "handle_accept",
            "handle_accepted",
            "handle_read",
            "handle_write",
            "handle_close",
            "handle_close_after_conn_broken",
            "handle_expt",
            "handle_error",
            "connection_attributes",
            "create_socket",
            "bind",
            "set_reuse_addr",
            "quick_connect",
        ],
    ),
    (
        "TestAsynchat",
        &[
            "line_terminator1",
            "line_terminator2",
            "line_terminator3",
            "numeric_terminator1",
            "numeric_terminator2",
            "none_terminator",
            "simple_producer",
            "string_producer",
            "empty_line",
            "close_when_done",
            "push",
        ],
    ),
    ("TestAsynchatMocked", &["blockingioerror"]),
    ("TestHelperFunctions", &["find_prefix_at_end"]),
    ("TestNotConnected", &["disallow_negative_terminator"]),
];

/// The cells of the tables' rows: the original's methods, the fact, ours.
fn rows() -> impl Iterator<Item = [&'static str; 3]> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    rows.filter_map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [methods, fact, ours] = cells[..] else {
            panic!("not three cells: {row}");
        };
        (ours != "here").then_some([methods, fact, ours])
    })
}

/// What stands between backticks.
fn quoted(cell: &'static str) -> impl Iterator<Item = &'static str> {
    cell.split('`').skip(1).step_by(2)
}

/// Every test of ours is alone in its cell, or with others; a reason begins
/// otherwise.
fn named() -> BTreeSet<&'static str> {
    let tests = rows().filter(|[_, _, ours]| ours.starts_with('`'));
    tests.flat_map(|[_, _, ours]| quoted(ours)).collect()
}

fn tests() -> BTreeSet<&'static str> {
    let tests = SOURCES
        .iter()
        .flat_map(|source| source.split("#[test]\nfn ").skip(1));
    tests.map(|test| test.split('(').next().unwrap()).collect()
}

#[test]
fn every_test_that_the_page_names_is_there_and_every_test_is_on_the_page() {
    assert!(tests().len() > 40, "they were found");
    let nowhere: Vec<_> = named().difference(&tests()).copied().collect();
    let unnamed: Vec<_> = tests().difference(&named()).copied().collect();
    assert!(nowhere.is_empty(), "no such test: {nowhere:?}");
    assert!(unnamed.is_empty(), "not on the page: {unnamed:?}");
}

#[test]
fn every_test_of_the_original_is_on_the_page() {
    let listed: BTreeSet<_> = rows().flat_map(|[methods, ..]| quoted(methods)).collect();
    let mut count = 0;
    for (class, methods) in ORIGINAL {
        for method in methods {
            let name = format!("{class}.test_{method}");
            assert!(listed.contains(&*name), "not on the page: {name}");
            count += 1;
        }
    }
    // And no other, but for two helpers that check something.
    assert_eq!(listed.len(), count + 2, "{listed:?}");
}

/// Each file of tests is one that the above looks at.
#[test]
fn every_file_of_tests_is_looked_at() {
    let files = include_str!("mod.rs").matches("\nmod ").count();
    let helpers = ["collector", "echo", "family", "page"].len();
    assert_eq!(files, SOURCES.len() + helpers);
}
