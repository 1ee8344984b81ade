//! The web server under stress: slow clients, large files, files that shrink, signals;
//! and what its log says.

#![cfg(target_os = "linux")] // for /proc

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Client, Server, example, run, wait_until};
use crate::http::{Answer, Site};
use crate::syscalls::{TraceFile, can_trace, result};

#[test]
fn a_file_that_shrinks_while_it_is_sent_ends_the_connection() {
    let site = Site::new("shrinks");
    let server = site.serve();
    for (fields, line) in [
        ("", "HTTP/1.1 200 OK\r\n"),
        ("Range: bytes=10-\r\n", "HTTP/1.1 206 Partial Content\r\n"),
    ] {
        site.sparse("large", 64 << 20);
        let mut client = Client::connect(server.addr);
        let request = format!("GET /large HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        client.send(request.repeat(2));
        client.expect(line);
        site.sparse("large", 1);
        let rest = client.rest();
        assert!(rest.len() < 64 << 20, "{} bytes", rest.len());
        assert!(!rest.windows(9).any(|window| window == b"HTTP/1.1 "));
    }
}

#[test]
fn a_client_that_asks_without_reading_is_held_back() {
    let site = Site::new("held_back");
    fs::write(site.root.join("some"), "x".repeat(20_000)).expect("a file can be made");
    let server = site.serve();
    let mut client = Client::connect(server.addr);
    let padding = "y".repeat(10_000);
    let request = format!("GET /some HTTP/1.1\r\nHost: a\r\nA: {padding}\r\n\r\n");
    let sent = client.fill(&server, request.as_bytes());
    let mut other = Client::connect(server.addr);
    other.send(&request);
    other.expect("HTTP/1.1 200 OK\r\n");
    assert!(server.usage().peak_kib < 16 * 1024, "{:?}", server.usage());
    // And then gets all answers.
    client.finish();
    let answers = client.rest();
    let mut rest = &answers[..];
    let mut count = 0;
    while let Some(answer) = Answer::take(&mut rest, false) {
        assert_eq!((answer.status, answer.body.len()), (200, 20_000));
        count += 1;
    }
    assert_eq!((count, rest.len()), (sent / request.len(), 0));
}

/// Hundreds of slow readers that begin at once delay a new client by no more than that each.
#[test]
fn a_turn_sends_a_reader_128_kib_of_a_large_file_and_one_piece() {
    const LEN: usize = 8 << 20;
    const MOST: usize = 128 * 1024 + 65_536;
    if !can_trace() {
        return;
    }
    let site = Site::new("turn");
    site.sparse("large", LEN as u64);
    let file = TraceFile::new("turn");
    let what = "trace=sendto,sendmsg,epoll_wait,epoll_pwait,epoll_pwait2";
    let server = Server::start_traced("http", &["--root", site.root()], what, &file.0);
    let mut client = Client::connect(server.addr);
    client.send("GET /large HTTP/1.0\r\n\r\n");
    assert!(client.rest().len() > LEN);
    let turns = || {
        let text = file.text();
        let turns = text.split("epoll_").map(|turn| {
            let sends = turn.lines().filter(|line| line.starts_with("send"));
            sends
                .filter_map(|line| result(line).trim().parse::<usize>().ok())
                .sum()
        });
        turns.collect::<Vec<usize>>()
    };
    wait_until("the trace is written", || {
        turns().iter().sum::<usize>() > LEN
    });
    let most = turns().into_iter().max();
    assert!(most.is_some_and(|most| most <= MOST), "{most:?}");
}

#[test]
fn the_answer_to_a_head_that_is_too_long_has_no_body_if_that_asks_for_none() {
    let site = Site::new("too_long");
    let server = site.serve();
    for (before, method, is_head) in [
        ("HEAD /no HTTP/1.1\r\nHost: a\r\n\r\n", "GET", false),
        ("GET /no HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD", true),
    ] {
        let mut client = Client::connect(server.addr);
        client.send(before);
        client.send(format!("{method} /{} HTTP/1.1\r\n", "a".repeat(20_000)));
        let answers = client.rest();
        let mut rest = &answers[..];
        Answer::take(&mut rest, !is_head).expect("the first one");
        let refusal = Answer::take(&mut rest, is_head).expect("the second one");
        assert_eq!((refusal.status, rest), (414, &b""[..]), "{method}");
    }
}

#[test]
fn small_chunks_are_taken_and_chunks_of_little_else_than_extensions_are_not() {
    let site = Site::new("extensions");
    let server = site.serve();
    let post = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let small = "0001\r\na\r\n".repeat(50_000);
    let mut client = Client::connect(server.addr);
    client.send(format!("{post}{small}0\r\n\r\n"));
    client.finish();
    let answer = client.rest();
    let answer = Answer::take(&mut &answer[..], false).expect("an answer");
    assert_eq!((answer.status, answer.body.len()), (200, 50_000));
    // 4,000 bytes: 16 KiB and 8 times as many are 48 KB.
    for (extension, status) in [(1_000, 200), (1_300, 400), (16_000, 400)] {
        let chunk = format!("64;{}\r\n{}\r\n", "x".repeat(extension), "a".repeat(100));
        let mut client = Client::connect(server.addr);
        client.send(format!("{post}{}0\r\n\r\n", chunk.repeat(40)));
        client.finish();
        let answer = client.rest();
        let answer = Answer::take(&mut &answer[..], false).expect("an answer");
        assert_eq!(answer.status, status, "{extension}");
    }
}

#[test]
fn each_request_has_its_line_in_the_log() {
    let site = Site::new("log");
    let server = site.serve();
    let mut client = Client::connect(server.addr);
    let peer = client.stream().local_addr().expect("it is connected");
    client.send("GET /a.txt?b HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send("HEAD /no HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    client.send("GET / HTTP/1.1\r\n\r\n");
    client.rest();
    server.wait_for_log("400");
    let log = server.log();
    let lines: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once(&format!("{peer} ")))
        .map(|(_, line)| line)
        .collect();
    assert_eq!(
        lines,
        [
            "\"GET /a.txt?b\" 200 7",
            "\"HEAD /no\" 404 14",
            "\"POST /echo\" 200 5",
            "refused: 400"
        ]
    );
}

/// As CVE-2009-4487 and its like were reported of many web servers. `\u{9b}` begins an
/// escape sequence, as `ESC [` does; the other one turns text around.
#[test]
fn no_request_has_power_over_the_terminal_that_shows_the_log() {
    let site = Site::new("log_escapes");
    let server = site.serve();
    let mut client = Client::connect(server.addr);
    for target in [
        "/\u{9b}2Jr\u{e9}",
        "/a.txt?\u{202e}",
        "http://a/\u{9b}",
        "/\" 200 7",
    ] {
        let target = target.replace(' ', "%20");
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    client.send("GET /\u{1b}[2J HTTP/1.1\r\nHost: a\r\n\r\n");
    client.rest();
    server.wait_for_log("400");
    let log = server.log();
    for line in [
        "\"GET /%C2%9B2Jr%C3%A9\" 404",
        "\"GET /a.txt?%E2%80%AE\" 200",
        "\"GET http://a/%C2%9B\" 404",
        "\"GET /%22%20200%207\" 404",
    ] {
        assert!(log.contains(line), "{line} is not in {log}");
    }
    assert!(
        log.chars()
            .all(|char| char == '\n' || (' '..='~').contains(&char))
    );
}

/// That an idle connection is closed after 60 s is not tested: it takes too long.
#[test]
fn a_head_that_drips_is_cut_off_after_ten_seconds_and_a_download_is_not() {
    let site = Site::new("timeouts");
    site.sparse("large", 64 << 20);
    let server = site.serve();
    let begun = Instant::now();
    let mut dripping = Client::connect(server.addr);
    let mut stuck = Client::connect(server.addr);
    // A second request, behind one that was answered.
    stuck.send("GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\nGET /");
    // Between two requests there are sixty.
    let mut patient = Client::connect(server.addr);
    patient.send("GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut downloading = Client::connect(server.addr);
    downloading.send("GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let downloader = downloading.stream().local_addr().expect("it is connected");
    // Downloads so slowly that it takes longer than a head may.
    downloading.skip(1 << 20);
    dripping.send("GET /");
    let dripper = dripping.stream().local_addr().expect("it is connected");
    let cut = format!("{dripper} refused: 408");
    wait_until("the dripping head is cut off", || {
        dripping.send("x");
        thread::sleep(Duration::from_millis(100));
        server.log().contains(&cut)
    });
    let took = begun.elapsed();
    assert!((9.9..13.0).contains(&took.as_secs_f32()), "{took:?}");
    let answer = dripping.rest();
    let answer = Answer::take(&mut &answer[..], false).map(|answer| answer.status);
    assert_eq!(answer, Some(408));
    let answers = stuck.rest();
    let mut rest = &answers[..];
    for status in [200, 408] {
        let answer = Answer::take(&mut rest, false).map(|answer| answer.status);
        assert_eq!(answer, Some(status));
    }
    patient.send("GET /plaintext HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answers = patient.rest();
    let mut rest = &answers[..];
    let date = |rest: &mut &[u8]| {
        let answer = Answer::take(rest, false).filter(|answer| answer.status == 200);
        Some(answer?.field("Date")?.to_owned())
    };
    let dates = [date(&mut rest), date(&mut rest)];
    assert!(dates[1].is_some() && dates[0] != dates[1], "{dates:?}");
    assert!(begun.elapsed() < Duration::from_secs(15));
    // The one that is slow, but not with its head, is not bothered.
    let rest = downloading.rest();
    assert!(rest.len() > 62 << 20, "{} bytes", rest.len());
    let complaint = format!("{downloader} refused");
    assert!(!server.log().contains(&complaint), "{}", server.log());
}

#[test]
fn a_root_that_is_none_ends_it_with_status_1_and_says_so() {
    let site = Site::new("no_root");
    for root in ["no/such/folder", &format!("{}/a.txt", site.root()), ""] {
        let mut command = example("http");
        command.args(["--listen", "127.0.0.1:0", "--root", root]);
        let (status, stdout, stderr) = run(command);
        assert_eq!(status.code(), Some(1), "{root:?}: {stderr}");
        assert_eq!(stdout, "");
        assert!(stderr.contains(&format!("cannot serve {root}")), "{stderr}");
    }
}

#[test]
fn a_download_that_has_begun_is_completed_after_sigterm() {
    let site = Site::new("sigterm");
    site.sparse("large", 64 << 20);
    let mut server = site.serve();
    let mut client = Client::connect(server.addr);
    client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    client.expect("HTTP/1.1 200 OK\r\n");
    server.signal("TERM");
    server.wait_for_log("ending");
    while client.line() != b"\r\n" {}
    assert_eq!(client.rest().len(), 64 << 20);
    drop(client);
    assert!(server.wait().success());
}
