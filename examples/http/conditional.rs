//! Requests that depend on which version the client has (RFC 9110, sections 8.8
//! and 13). No I/O.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;

/// The fields that this takes, and `Range`.
const NAMES: [&str; 6] = [
    "If-Match",
    "If-None-Match",
    "If-Modified-Since",
    "If-Unmodified-Since",
    "If-Range",
    "Range",
];

/// Those of the fields that a request has. In most it has none.
#[derive(Debug, Default)]
pub(crate) struct Conditions(Vec<(&'static str, Vec<u8>)>);

impl Conditions {
    /// Adds a field, if it is one of them. The values of several of one name are
    /// a list.
    pub(crate) fn add(&mut self, name: &str, value: &[u8]) {
        let Some(name) = NAMES.iter().find(|known| known.eq_ignore_ascii_case(name)) else {
            return;
        };
        match self.0.iter_mut().find(|field| field.0 == *name) {
            Some((_, values)) => values.extend([b", ", value].concat()),
            None => self.0.push((name, value.to_vec())),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        let field = self.0.iter().find(|field| field.0 == name);
        field.map(|(_, value)| &value[..])
    }

    /// The status to answer with in place of a file: 304 if the client has it,
    /// 412 if it wants another version. The order is that of section 13.2.2.
    pub(crate) fn refusal(&self, version: &Version) -> Option<StatusCode> {
        let is_wanted = match self.get("If-Match") {
            Some(list) => matches(list, |tag| tag == version.etag),
            None => self
                .date("If-Unmodified-Since")
                .is_none_or(|date| version.modified.is_none_or(|modified| modified <= date)),
        };
        if !is_wanted {
            return Some(StatusCode::PRECONDITION_FAILED);
        }
        let is_there = match self.get("If-None-Match") {
            Some(list) => matches(list, |tag| {
                tag.strip_prefix("W/").unwrap_or(tag) == version.etag
            }),
            None => self
                .date("If-Modified-Since")
                .is_some_and(|date| version.modified.is_some_and(|modified| modified <= date)),
        };
        is_there.then_some(StatusCode::NOT_MODIFIED)
    }

    /// The field `Range`, if it is meant for this version.
    pub(crate) fn range(&self, version: &Version) -> Option<&[u8]> {
        let is_meant = match self.get("If-Range") {
            Some(tag) if tag == version.etag.as_bytes() => true,
            // Neither a weak tag nor another date is a date that is equal.
            Some(_) => self
                .date("If-Range")
                .is_some_and(|date| version.modified == Some(date)),
            None => true,
        };
        self.get("Range").filter(|_| is_meant)
    }

    /// `None` if it is no date: then there is no condition.
    fn date(&self, name: &str) -> Option<SystemTime> {
        let value = std::str::from_utf8(self.get(name)?).ok()?;
        httpdate::parse_http_date(value).ok()
    }
}

/// Which version of a file it is.
#[derive(Debug)]
pub(crate) struct Version {
    etag: String,
    /// In whole seconds, as HTTP tells it.
    modified: Option<SystemTime>,
}

impl Version {
    /// The version of a file of `len` bytes, changed at this time after 1970. Two versions
    /// are taken for one if they have the same length and were written within
    /// one tick of the file system's clock.
    pub(crate) fn new(seconds: i64, nanoseconds: i64, len: u64, now: SystemTime) -> Self {
        let modified = u64::try_from(seconds).ok();
        let modified = modified.and_then(|it| UNIX_EPOCH.checked_add(Duration::from_secs(it)));
        Self {
            etag: format!("\"{seconds:x}.{nanoseconds:x}-{len:x}\""),
            // Section 8.8.2.2: none whose second is not over. Another change in it would
            // have the same date, and a part be put behind one of another version.
            modified: modified.filter(|modified| {
                let age = now.duration_since(*modified);
                age.is_ok_and(|age| age >= Duration::from_secs(1))
            }),
        }
    }

    /// The fields that tell it.
    pub(crate) fn fields(&self) -> String {
        let mut fields = format!("ETag: {}\r\n", self.etag);
        if let Some(modified) = self.modified {
            let date = httpdate::HttpDate::from(modified);
            // Writing to a string does not fail.
            let _ = write!(fields, "Last-Modified: {date}\r\n");
        }
        fields
    }
}

/// Whether a tag in the list `is_it`, or the list is `*`: any. The list ends
/// at something that is no tag.
fn matches(list: &[u8], is_it: impl Fn(&str) -> bool) -> bool {
    let list = String::from_utf8_lossy(list);
    list == "*" || tags(&list).any(is_it)
}

/// The tags of a list, each with its quotes. Within them may be commas.
fn tags(mut list: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        list = list.trim_start_matches([' ', '\t', ',']);
        let begin = if list.starts_with("W/\"") { 3 } else { 1 };
        list.strip_prefix("W/").unwrap_or(list).strip_prefix('"')?;
        let end = begin + list[begin..].find('"')? + 1;
        let tag = &list[..end];
        list = &list[end..];
        Some(tag)
    })
}
