//! The web server and requests that choose: a part of a file (RFC 9110, section
//! 14), or only if it has changed (section 13).

#![cfg(target_os = "linux")] // for /proc

use std::fs::{self, File};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::common::{Client, Server, wait_until};
use crate::http::{Answer, Site};

/// When the file of these tests was changed.
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

/// A server of a file of ten digits, and what this file's `ETag` is.
fn serve(test: &str) -> (Site, Server, String) {
    let site = Site::new(test);
    let path = site.root.join("digits");
    fs::write(&path, "0123456789").expect("a file can be made");
    set_modified(&site, "digits", UNIX_EPOCH + Duration::new(784_111_777, 5));
    let server = site.serve();
    let etag = field(&server, "digits", "ETag").expect("a file has one");
    (site, server, etag)
}

fn set_modified(site: &Site, name: &str, time: SystemTime) {
    let file = File::options().write(true).open(site.root.join(name));
    let set = file.and_then(|file| file.set_modified(time));
    set.expect("the system takes such a time");
}

/// All that is answered to one request with these fields.
fn ask(server: &Server, line: &str, fields: &str) -> Vec<u8> {
    let mut client = Client::connect(server.addr);
    client.send(format!(
        "{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n"
    ));
    client.rest()
}

/// A field of the answer to a `HEAD` of a file.
fn field(server: &Server, name: &str, field: &str) -> Option<String> {
    let answer = ask(server, &format!("HEAD /{name}"), "");
    let answer = Answer::take(&mut &answer[..], true).expect("an answer");
    answer.field(field).map(str::to_owned)
}

/// `STATUS BODY`, and `(Content-Range)` if there is such a field.
fn summary(answer: &[u8], is_head: bool) -> String {
    let mut rest = answer;
    let answer = Answer::take(&mut rest, is_head).expect("an answer");
    assert_eq!(rest, b"", "something after it");
    let body = String::from_utf8_lossy(answer.body);
    let range = answer.field("Content-Range");
    let range = range.map_or(String::new(), |range| format!(" ({range})"));
    match answer.status {
        200 | 206 => format!("{} {body}{range}", answer.status),
        status => format!("{status}{range}"),
    }
}

/// Asks for the digits with each row's fields.
fn check(server: &Server, rows: &[(&str, &str)]) {
    let wrong = rows.iter().filter_map(|(fields, expected)| {
        let lines = format!("{}\r\n", fields.replace(" / ", "\r\n"));
        let got = summary(&ask(server, "GET /digits", &lines), false);
        (got != *expected).then(|| format!("{fields}: {got}, not {expected}"))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_range_is_answered_with_that_part_and_what_is_no_range_with_the_whole() {
    const WHOLE: &str = "200 0123456789";
    let (_site, server, _) = serve("ranges");
    check(
        &server,
        &[
            ("Range: bytes=0-0", "206 0 (bytes 0-0/10)"),
            ("Range: bytes=2-5", "206 2345 (bytes 2-5/10)"),
            ("range:BYTES=2-5", "206 2345 (bytes 2-5/10)"),
            ("Range: bytes=002-005", "206 2345 (bytes 2-5/10)"),
            ("Range: bytes=, 2-5 ,", "206 2345 (bytes 2-5/10)"),
            ("Range: bytes=8-", "206 89 (bytes 8-9/10)"),
            ("Range: bytes=8-9", "206 89 (bytes 8-9/10)"),
            ("Range: bytes=8-10", "206 89 (bytes 8-9/10)"),
            (
                "Range: bytes=8-99999999999999999999",
                "206 89 (bytes 8-9/10)",
            ),
            ("Range: bytes=-1", "206 9 (bytes 9-9/10)"),
            ("Range: bytes=-10", "206 0123456789 (bytes 0-9/10)"),
            ("Range: bytes=-11", "206 0123456789 (bytes 0-9/10)"),
            ("Range: bytes=0-", "206 0123456789 (bytes 0-9/10)"),
            // Nothing is there.
            ("Range: bytes=10-", "416 (bytes */10)"),
            ("Range: bytes=10-20", "416 (bytes */10)"),
            ("Range: bytes=99999999999999999999-", "416 (bytes */10)"),
            ("Range: bytes=-0", "416 (bytes */10)"),
            // Several.
            ("Range: bytes=0-1,3-4", WHOLE),
            ("Range: bytes=0-1, 20-", WHOLE),
            ("Range: bytes=0-1 / Range: bytes=3-4", WHOLE),
            // None.
            ("Range: bytes=5-2", WHOLE),
            ("Range: bytes=-", WHOLE),
            ("Range: bytes=", WHOLE),
            ("Range: bytes", WHOLE),
            ("Range:", WHOLE),
            ("Range: 0-1", WHOLE),
            ("Range: digits=0-1", WHOLE),
            ("Range: bytes=a-b", WHOLE),
            ("Range: bytes=0x1-2", WHOLE),
            ("Range: bytes=+1-2", WHOLE),
            ("Range: bytes=1--2", WHOLE),
            ("Range: bytes=1-2-3", WHOLE),
            ("Range: bytes=1 - 2", WHOLE),
            ("Range: bytes 1-2", WHOLE),
        ],
    );
    // Of an empty file there is no part.
    for range in ["0-", "0-0", "-5"] {
        let range = format!("Range: bytes={range}\r\n");
        let answer = ask(&server, "GET /empty.txt", &range);
        assert_eq!(summary(&answer, false), "200 ", "{range}");
    }
    // And none but `GET` asks for one.
    let answer = ask(&server, "HEAD /digits", "Range: bytes=2-5\r\n");
    let answer = Answer::take(&mut &answer[..], true).expect("an answer");
    assert_eq!(answer.status, 200);
    for (name, value) in [
        ("Accept-Ranges", Some("bytes")),
        ("Content-Length", Some("10")),
        ("Content-Range", None),
    ] {
        assert_eq!(answer.field(name), value, "{name}");
    }
}

#[test]
fn a_part_is_sent_only_of_the_version_that_the_client_has() {
    let (_site, server, etag) = serve("if_range");
    let part = "206 2345 (bytes 2-5/10)";
    let whole = "200 0123456789";
    let rows = [
        (etag.clone(), part),
        (DATE.to_owned(), part),
        (format!("W/{etag}"), whole),
        ("\"other\"".to_owned(), whole),
        (format!("{etag}, \"other\""), whole),
        ("*".to_owned(), whole),
        (BEFORE.to_owned(), whole),
        (AFTER.to_owned(), whole),
        ("yesterday".to_owned(), whole),
        (String::new(), whole),
    ];
    for (validator, expected) in &rows {
        let row = format!("Range: bytes=2-5 / If-Range: {validator}");
        check(&server, &[(&row, expected)]);
    }
    let without_range = format!("If-Range: {etag}");
    let nothing_there = "Range: bytes=10- / If-Range: \"other\"";
    check(&server, &[(&without_range, whole), (nothing_there, whole)]);
}

#[test]
fn a_condition_is_kept_by_the_entity_tag_before_the_date() {
    let (_site, server, etag) = serve("conditions");
    const OK: &str = "200 0123456789";
    let rows: &[(&str, &str)] = &[
        ("If-None-Match: ETAG", "304"),
        ("If-None-Match: W/ETAG", "304"),
        ("If-None-Match: *", "304"),
        ("If-None-Match: \"a,b\", W/\"c\" ,,ETAG", "304"),
        ("If-None-Match: \"a\" / If-None-Match: ETAG", "304"),
        ("If-None-Match: \"a\"", OK),
        ("If-None-Match: \"a, ETAG", OK),
        ("If-None-Match: w/ETAG", OK),
        ("If-None-Match: xETAG", OK),
        ("If-None-Match:", OK),
        ("If-Match: ETAG", OK),
        ("If-Match: \"a\", ETAG", OK),
        ("If-Match: *", OK),
        ("If-Match: W/ETAG", "412"),
        ("If-Match: \"a\"", "412"),
        ("If-Match:", "412"),
        ("If-Modified-Since: DATE", "304"),
        ("If-Modified-Since: AFTER", "304"),
        ("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT", "304"),
        ("If-Modified-Since: Sun Nov  6 08:49:37 1994", "304"),
        ("If-Modified-Since: BEFORE", OK),
        ("If-Modified-Since: yesterday", OK),
        ("If-Modified-Since: DATE / If-Modified-Since: DATE", OK),
        ("If-Unmodified-Since: DATE", OK),
        ("If-Unmodified-Since: AFTER", OK),
        ("If-Unmodified-Since: yesterday", OK),
        ("If-Unmodified-Since: BEFORE", "412"),
        // Several: RFC 9110, section 13.2.2.
        ("If-Match: ETAG / If-Unmodified-Since: BEFORE", OK),
        ("If-Match: \"a\" / If-Unmodified-Since: DATE", "412"),
        ("If-None-Match: \"a\" / If-Modified-Since: DATE", OK),
        ("If-None-Match: ETAG / If-Modified-Since: BEFORE", "304"),
        ("If-None-Match: ETAG / If-Match: ETAG", "304"),
        ("If-None-Match: ETAG / If-Match: \"a\"", "412"),
        ("If-None-Match: ETAG / If-Unmodified-Since: BEFORE", "412"),
        ("If-None-Match: ETAG / Range: bytes=0-1", "304"),
        ("If-Match: \"a\" / Range: bytes=20-", "412"),
        ("If-Match: ETAG / Range: bytes=0-1", "206 01 (bytes 0-1/10)"),
    ];
    for (fields, expected) in rows {
        let fields = fields.replace("ETAG", &etag);
        let fields = fields.replace("DATE", DATE).replace("BEFORE", BEFORE);
        check(&server, &[(&fields.replace("AFTER", AFTER), expected)]);
    }
    for (line, expected) in [("HEAD /digits", "304"), ("GET /no", "404")] {
        let answer = ask(&server, line, "If-None-Match: *\r\n");
        assert_eq!(summary(&answer, line.starts_with("HEAD")), expected);
    }
}

#[test]
fn the_validators_are_of_this_version_and_the_connection_goes_on_behind_every_answer() {
    let (site, server, etag) = serve("validators");
    let date = |name| field(&server, name, "Last-Modified");
    assert_eq!(date("digits").as_deref(), Some(DATE));
    let mut client = Client::connect(server.addr);
    for fields in [
        "If-None-Match: *\r\n",
        "Range: bytes=20-\r\n",
        "Range: bytes=0-1\r\n",
        "If-Match: \"a\"\r\n",
        "Connection: close\r\n",
    ] {
        client.send(format!("GET /digits HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    }
    let answers = client.rest();
    let mut rest = &answers[..];
    for status in [304, 416, 206, 412, 200] {
        let answer = Answer::take(&mut rest, false).expect("an answer");
        assert_eq!(answer.status, status);
        let is_version = [200, 206, 304].contains(&status);
        for (name, value) in [("ETag", &etag[..]), ("Last-Modified", DATE)] {
            assert_eq!(answer.field(name), is_version.then_some(value), "{status}");
        }
        assert_eq!(answer.field("Content-Length").is_none(), status == 304);
    }
    assert_eq!(rest, b"");
    // A nanosecond, or a byte, is another version.
    set_modified(&site, "digits", UNIX_EPOCH + Duration::new(784_111_777, 6));
    let later = field(&server, "digits", "ETag");
    fs::write(site.root.join("digits"), "01234").expect("it is there");
    set_modified(&site, "digits", UNIX_EPOCH + Duration::new(784_111_777, 6));
    let shorter = field(&server, "digits", "ETag");
    assert!(later.is_some() && later.as_ref() != Some(&etag));
    assert!(shorter.is_some() && shorter != later && shorter.as_ref() != Some(&etag));
    // A date that is none in HTTP, or not yet one, is not told.
    let now = SystemTime::now();
    let day = Duration::from_secs(86_400);
    for time in [UNIX_EPOCH - day, now + day, UNIX_EPOCH + 3_000_000 * day] {
        set_modified(&site, "digits", time);
        assert_eq!(date("digits"), None, "{time:?}");
        let since = format!("If-Modified-Since: {AFTER}\r\n");
        let answer = ask(&server, "GET /digits", &since);
        assert_eq!(summary(&answer, false), "200 01234");
    }
}

/// RFC 9110, section 8.8.2.2, and varnish-cache's #3852: of two versions that were written
/// in one second, both would have the same date. A download that is resumed with it would
/// begin with one and end with the other.
#[test]
fn a_date_is_not_told_before_its_second_is_over() {
    let (site, server, _) = serve("same_second");
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).expect("later").as_secs();
    loop {
        let now = SystemTime::now();
        set_modified(&site, "digits", now);
        let date = httpdate::fmt_http_date(now);
        let row = format!("Range: bytes=2-5\r\nIf-Range: {date}\r\n");
        let part = ask(&server, "GET /digits", &row);
        let answer = ask(
            &server,
            "GET /digits",
            &format!("If-Modified-Since: {date}\r\n"),
        );
        let told = field(&server, "digits", "Last-Modified");
        if seconds(SystemTime::now()) == seconds(now) {
            assert_eq!(told, None);
            assert_eq!(summary(&part, false), "200 0123456789");
            assert_eq!(summary(&answer, false), "200 0123456789");
            break; // all of that was in one second
        }
    }
    let told = || field(&server, "digits", "Last-Modified").is_some();
    wait_until("the second is over", told);
}
