//! The web server and the clients that people use: curl, netcat, Python, wrk; and slowhttptest.

#![cfg(target_os = "linux")] // for /proc

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::common::{
    Client, Reaped, Server, assert_rests, example, has_tool, python, run, wait_until,
};
use crate::http::{Answer, Site};

const GIB: u64 = 1 << 30;

/// curl with these options, and the URL of a path.
fn curl(server: &Server, options: &[&str], path: &str) -> Command {
    let mut command = Command::new("curl");
    command.args(["-sS", "--noproxy", "*", "--max-time", "15"]);
    command.args(options);
    command.arg(format!("http://{}{path}", server.addr));
    command
}

/// What it prints.
fn fetch(server: &Server, options: &[&str], path: &str) -> String {
    let (status, stdout, stderr) = run(curl(server, options, path));
    assert!(status.success(), "{options:?} {path}: {status}: {stderr}");
    stdout
}

#[test]
fn curl_gets_a_file_its_head_and_what_is_not_there() {
    if !has_tool("curl") {
        return;
    }
    let site = Site::new("curl");
    let server = site.serve();
    assert_eq!(fetch(&server, &[], "/a.txt"), "a text\n");
    assert_eq!(fetch(&server, &[], "/a%20b.txt"), "spaced\n");
    assert_eq!(fetch(&server, &["-0"], "/plaintext"), "Hello, World!");
    let secret = fetch(&server, &["--path-as-is"], "/../secret.txt");
    assert_eq!(secret, "404 Not Found\n");
    let head = fetch(&server, &["-I"], "/docs/");
    let whole = fetch(&server, &["-i"], "/docs/");
    let body = whole
        .strip_prefix(&head)
        .expect("but for the body the same");
    assert_eq!(body, "<p>docs</p>");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: text/html\r\n"), "{head}");
    // Two by one connection, if the server lets it stay.
    let twice = format!("http://{}/a.txt", server.addr);
    let count = [
        "-w",
        "%{num_connects} ",
        "-o",
        "/dev/null",
        "-o",
        "/dev/null",
        &twice,
    ];
    assert_eq!(fetch(&server, &count, "/plaintext"), "1 0 ");
}

#[test]
fn curl_resumes_a_download_and_gets_nothing_again_that_has_not_changed() {
    if !has_tool("curl") {
        return;
    }
    let site = Site::new("resumes");
    let server = site.serve();
    let [file, etag] = ["file", "etag"].map(|name| site.root.join(name).display().to_string());
    fs::write(&file, "a ").expect("a file can be made");
    let code = ["-o", &file, "-w", "%{http_code} %{size_download}"];
    let resumed = fetch(&server, &[&["-C", "-"], &code[..]].concat(), "/a.txt");
    assert_eq!(resumed, "206 5");
    assert_eq!(fs::read(&file).expect("it is there"), b"a text\n");
    let saved = fetch(
        &server,
        &[&["--etag-save", &etag], &code[..]].concat(),
        "/a.txt",
    );
    assert_eq!(saved, "200 7");
    for option in [["--etag-compare", &etag], ["-z", &file]] {
        let again = fetch(&server, &[&option[..], &code].concat(), "/a.txt");
        assert_eq!(again, "304 0", "{option:?}");
    }
}

#[test]
fn curl_gets_back_a_body_that_it_sends_in_pieces() {
    if !has_tool("curl") {
        return;
    }
    let site = Site::new("pieces");
    let server = site.serve();
    // It waits for "100 Continue" longer than it may take.
    let expect = ["-H", "Expect: 100-continue", "--expect100-timeout", "60"];
    let options = [&["-X", "POST", "-T", "-"][..], &expect].concat();
    let child = curl(&server, &options, "/echo")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = Reaped(child.expect("curl starts"));
    let mut stdin = child.0.stdin.take().expect("it is piped");
    for piece in ["one\r\n", "two\r\n\r\n", "three"] {
        let before = server.usage().sleeps;
        stdin.write_all(piece.as_bytes()).expect("curl reads");
        wait_until("the piece is there", || server.usage().sleeps > before);
    }
    drop(stdin);
    assert!(child.wait().success());
    let mut echo = String::new();
    let mut stdout = child.0.stdout.take().expect("it is piped");
    stdout.read_to_string(&mut echo).expect("it is text");
    assert_eq!(echo, "one\r\ntwo\r\n\r\nthree");
}

#[test]
fn curl_sends_as_much_as_is_taken_and_is_told_when_it_is_more() {
    if !has_tool("curl") {
        return;
    }
    let site = Site::new("limit");
    let server = site.serve();
    let file = site.root.join("body");
    for (len, status) in [(1 << 20, "200"), ((1 << 20) + 1, "413")] {
        let body: Vec<u8> = (0..len).map(|n| b'a' + (n % 23) as u8).collect();
        fs::write(&file, &body).expect("a file can be made");
        let data = format!("@{}", file.display());
        for coding in ["A: b", "Transfer-Encoding: chunked"] {
            let options = ["-H", coding, "--data-binary", &data, "-w", "%{http_code}"];
            let answer = fetch(&server, &options, "/echo");
            let (echo, code) = answer.split_at(answer.len() - 3);
            assert_eq!(code, status, "{len} bytes, {coding}");
            assert!(status != "200" || echo.as_bytes() == body, "{coding}");
        }
    }
}

#[test]
fn a_gibibyte_goes_out_in_little_memory() {
    if !has_tool("curl") {
        return;
    }
    let site = Site::new("gibibyte");
    site.sparse("large", GIB);
    let server = site.serve();
    let count = ["-o", "/dev/null", "-w", "%{http_code} %{size_download}"];
    assert_eq!(fetch(&server, &count, "/large"), format!("200 {GIB}"));
    let head = fetch(&server, &["-I"], "/large");
    assert!(
        head.contains("\r\nContent-Length: 1073741824\r\n"),
        "{head}"
    );
    let peak = server.usage().peak_kib;
    println!("VmHWM: {peak} KiB");
    assert!(peak < 16 * 1024, "{peak} KiB");
}

#[test]
fn a_slow_download_takes_its_time_and_nobody_elses() {
    if !has_tool("curl") {
        return;
    }
    let site = Site::new("slow");
    site.sparse("large", 64 << 20);
    let server = site.serve();
    let begun = Instant::now();
    let count = [
        "--limit-rate",
        "16M",
        "-w",
        "%{size_download}",
        "-o",
        "/dev/null",
    ];
    let mut slow = curl(&server, &count, "/large");
    let slow = slow.stdout(Stdio::piped()).spawn().expect("curl starts");
    let mut slow = Reaped(slow);
    server.wait_for_log("/large");
    let mut answered = 0;
    let mut client = Client::connect(server.addr);
    let status = loop {
        client.send("GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n");
        client.expect("HTTP/1.1 200 OK\r\n");
        while client.line() != b"\r\n" {}
        client.skip("Hello, World!".len());
        answered += 1;
        if let Some(status) = slow.0.try_wait().expect("it is our child") {
            break status;
        }
    };
    assert!(status.success(), "{status}");
    let took = begun.elapsed();
    assert!((1.0..12.0).contains(&took.as_secs_f32()), "{took:?}");
    assert!(answered > 100, "{answered} other answers meanwhile");
    assert!(server.usage().peak_kib < 16 * 1024, "{:?}", server.usage());
}

#[test]
fn netcat_gets_both_answers_of_a_pipelined_pair() {
    if !has_tool("nc") {
        return;
    }
    let site = Site::new("netcat");
    let server = site.serve();
    let mut command = Command::new("sh");
    let request = |path| format!("GET {path} HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n");
    let pair = request("/a.txt") + &request("/plaintext");
    let script = format!("printf '{pair}' | nc -N \"$0\" \"$1\"");
    command.arg("-c").arg(script);
    command.arg(server.addr.ip().to_string());
    command.arg(server.addr.port().to_string());
    let (status, stdout, stderr) = run(command);
    assert!(status.success(), "{status}: {stderr}");
    let mut rest = stdout.as_bytes();
    for body in ["a text\n", "Hello, World!"] {
        let answer = Answer::take(&mut rest, false).expect("an answer");
        assert_eq!((answer.status, answer.body), (200, body.as_bytes()));
    }
    assert_eq!(rest, b"");
}

#[test]
fn forty_threads_of_python_keep_their_connections() {
    if !has_tool("python3") {
        return;
    }
    let site = Site::new("python");
    let server = site.serve();
    let (status, stdout, stderr) = run(python("http_threads.py", server.addr));
    assert!(status.success(), "{stdout}{stderr}");
    assert_eq!(stdout, "40 threads, 6000 answers\n");
    let lines = server
        .log()
        .lines()
        .filter(|line| line.contains("127.0.0.1"))
        .count();
    assert_eq!(lines, 6_000, "one line of the log for each");
}

#[test]
fn wrk_gets_nothing_but_answers() {
    if !has_tool("wrk") {
        return;
    }
    let site = Site::new("wrk");
    let mut command = example("http");
    command
        .env("RUST_LOG", "warn")
        .args(["--root", site.root()]);
    let server = Server::spawn(command);
    let time = match env::var_os("CI") {
        Some(_) => "-d5",
        None => "-d2",
    };
    for path in ["/plaintext", "/a.txt"] {
        let mut command = Command::new("wrk");
        command.args(["-t1", "-c64", time]);
        command.arg(format!("http://{}{path}", server.addr));
        let (status, stdout, stderr) = run(command);
        println!("{stdout}");
        assert!(status.success(), "{status}: {stderr}");
        assert!(stdout.contains("Requests/sec"), "{stdout}");
        assert!(!stdout.contains("Socket errors"), "{stdout}");
        assert!(!stdout.contains("Non-2xx"), "{stdout}");
    }
    assert!(server.usage().peak_kib < 16 * 1024, "{:?}", server.usage());
    assert_rests(&server);
}

/// Hundreds of clients that take minutes for a head, for a body, and to read an answer.
#[test]
fn slowhttptest_finds_the_service_available() {
    if !has_tool("slowhttptest") {
        return;
    }
    let site = Site::new("slowhttptest");
    site.sparse("large", 16 << 20);
    let server = site.serve();
    let attacks: [(&str, &[&str], &str); 3] = [
        ("-H", &["-i", "1"], "/a.txt"),
        ("-B", &["-i", "1", "-s", "65536"], "/echo"),
        (
            "-X",
            &["-w", "16", "-y", "64", "-n", "1", "-z", "16"],
            "/large",
        ),
    ];
    for (attack, options, path) in attacks {
        let mut command = Command::new("slowhttptest");
        command.args([attack, "-c", "400", "-r", "400", "-l", "4", "-p", "2"]);
        command.args(options);
        command.args(["-u", &format!("http://{}{path}", server.addr)]);
        let (status, stdout, stderr) = run(command);
        assert!(status.success(), "{attack}: {status}: {stdout}{stderr}");
        let mut said = stdout
            .lines()
            .filter(|line| line.contains("service available"))
            .peekable();
        assert!(said.peek().is_some(), "{attack}: {stdout}");
        assert!(said.all(|line| line.contains("YES")), "{attack}: {stdout}");
    }
}
