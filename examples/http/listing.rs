//! A page that lists a folder. No I/O.

use std::fmt::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// The most names that are read of a folder, hidden ones too.
pub(crate) const MAX_NAMES: usize = 1_000;

/// All but what RFC 3986, section 2.3, calls unreserved: not even a colon, which
/// would end a scheme.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A name in a folder.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) is_folder: bool,
}

/// The page of a folder, whose path ends with a slash. Hidden are names that begin
/// with a dot. It says so if there are more than [`MAX_NAMES`].
pub(crate) fn page(path: &str, mut entries: Vec<Entry>) -> String {
    let is_cut = entries.len() > MAX_NAMES;
    entries.truncate(MAX_NAMES);
    entries.retain(|entry| !entry.name.starts_with(b"."));
    entries.sort();
    let path = html(path);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <title>{path}</title>\n<h1>{path}</h1>\n<ul>\n"
    );
    if !path.trim_matches('/').is_empty() {
        page.push_str("<li><a href=\"../\">../</a>\n");
    }
    for Entry { name, is_folder } in &entries {
        let slash = if *is_folder { "/" } else { "" };
        let (url, text) = (segment(name), html(&String::from_utf8_lossy(name)));
        // Writing to a string does not fail.
        let _ = writeln!(page, "<li><a href=\"{url}{slash}\">{text}{slash}</a>");
    }
    page.push_str("</ul>\n");
    if is_cut {
        page.push_str("<p>These are not all.\n");
    }
    page
}

/// A name as a segment of a URL.
pub(crate) fn segment(name: &[u8]) -> String {
    percent_encode(name, RESERVED).to_string()
}

fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
