//! The page on limits, `docs/limits.md`, has every limit and its default.

use std::collections::BTreeMap;

use chat::{Admission, Limits};

const PAGE: &str = include_str!("../../../../docs/limits.md");

/// The limits in the first column of the page's tables, with the second.
fn rows() -> BTreeMap<&'static str, &'static str> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let name = cells.next().unwrap().trim_matches('`');
        (name, cells.next().unwrap())
    })
    .collect()
}

/// `65536` is `65,536`, `30s` is `30 s`, a time that never ends is `never`, and a name is itself.
fn shown(value: &str) -> String {
    if value == "b\"\"" {
        return "none".to_owned();
    }
    if value.starts_with(char::is_alphabetic) {
        return value.to_owned();
    }
    if let Some(seconds) = value.strip_suffix('s') {
        return match seconds.contains('.') {
            true => "never".to_owned(),
            false => format!("{seconds} s"),
        };
    }
    if !value.chars().all(|it| it.is_ascii_digit()) {
        return value.to_owned();
    }
    let digits: Vec<char> = value.chars().rev().collect();
    let groups: Vec<String> = digits
        .chunks(3)
        .map(|group| group.iter().collect())
        .collect();
    groups.join(",").chars().rev().collect()
}

/// The fields that a struct shows, and their values.
fn fields(name: &str, prefix: &str, all: &str) -> impl Iterator<Item = (String, String)> {
    let fields = all
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix(" { "))
        .and_then(|rest| rest.strip_suffix(" }"))
        .unwrap();
    let fields = fields.split(", ").map(|field| {
        let (name, value) = field.split_once(": ").unwrap();
        (format!("{prefix}{name}"), shown(value))
    });
    fields.collect::<Vec<_>>().into_iter()
}

#[test]
fn it_has_each_limit_with_its_default() {
    let admission = format!("{:?}", Admission::default());
    let all = format!("{:?}", Limits::default());
    let others = all.replace(&format!("admission: {admission}, "), "");
    let defaults = fields("Limits", "", &others);
    let defaults: BTreeMap<String, String> = defaults
        .chain(fields("Admission", "admission.", &admission))
        .collect();
    let told: BTreeMap<String, String> = rows()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(told, defaults);
}
