//! The page and the tests name each other.

use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../../../docs/ordering.md");

const SOURCES: [&str; 8] = [
    include_str!("closes.rs"),
    include_str!("currently.rs"),
    include_str!("input.rs"),
    include_str!("output.rs"),
    include_str!("posts.rs"),
    include_str!("remote.rs"),
    include_str!("timers.rs"),
    include_str!("turn.rs"),
];

/// The last cell of each row of the page's tables.
fn named() -> BTreeSet<&'static str> {
    let rows = PAGE.lines().filter_map(|line| line.strip_suffix("` |"));
    rows.map(|row| row.rsplit('`').next().unwrap()).collect()
}

fn tests() -> BTreeSet<&'static str> {
    let tests = SOURCES
        .iter()
        .flat_map(|source| source.split("#[test]\nfn ").skip(1));
    tests.map(|test| test.split('(').next().unwrap()).collect()
}

#[test]
fn every_test_that_the_page_names_is_there_and_every_test_is_on_the_page() {
    assert!(tests().len() > 20, "they were found");
    let nowhere: Vec<_> = named().difference(&tests()).copied().collect();
    let unnamed: Vec<_> = tests().difference(&named()).copied().collect();
    assert!(nowhere.is_empty(), "no such test: {nowhere:?}");
    assert!(unnamed.is_empty(), "not on the page: {unnamed:?}");
}

/// Each file of tests is one that the above looks at.
#[test]
fn every_file_of_tests_is_looked_at() {
    let files = include_str!("mod.rs").matches("\nmod ").count();
    let helpers = ["page", "stage"].len();
    assert_eq!(files, SOURCES.len() + helpers);
}
