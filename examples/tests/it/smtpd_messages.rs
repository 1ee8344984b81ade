//! The mail server that prints: where a message ends, and what is printed.

#![cfg(target_os = "linux")] // for /proc

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use crate::common::{Client, Reaped, example, has_tool, python, run};
use crate::printing::Printing;
use crate::smtp::{connect, status, statuses};

const BEGIN: &str = "HELO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n";

/// A session that is to send a message.
fn begin(server: &Printing) -> Client {
    let mut client = connect(server.addr);
    client.send(BEGIN);
    assert_eq!(statuses(&mut client, 4), [250, 250, 250, 354]);
    client
}

/// The lines of the next message that is printed, without their bars, and
/// nothing of the envelope.
fn printed(server: &Printing) -> Vec<String> {
    let first = server.line();
    assert!(first.starts_with("==== message from 127.0.0.1:"), "{first}");
    let mut lines = Vec::new();
    loop {
        let line = server.line();
        if line == "==== end of message" {
            return lines;
        }
        lines.extend(line.strip_prefix("| ").map(str::to_owned));
    }
}

/// Returns when the server has received what was sent before, by any client:
/// its loop greets after it has read what was there.
fn sync(server: &Printing) {
    drop(connect(server.addr));
}

/// What is sent after DATA, up to the end, and the lines of it.
const MESSAGES: [(&str, &[&str]); 14] = [
    (".\r\n", &[]),
    ("\r\n.\r\n", &[""]),
    ("\r\n\r\n.\r\n", &["", ""]),
    ("hello\r\n.\r\n", &["hello"]),
    ("h\r\n.\r\n", &["h"]),
    ("..\r\n.\r\n", &["."]),
    ("...\r\n.\r\n", &[".."]),
    ("..leading\r\n..\r\n.\r\n", &[".leading", "."]),
    (".leading\r\n.\r\n", &["leading"]),
    ("\r\n..\r\n.\r\n", &["", "."]),
    ("a\r\n\r\n..b\r\n.c.\r\n.\r\n", &["a", "", ".b", "c."]),
    ("\r\r\n.\r\n", &["\\r"]),
    ("\n.\n\r\n.\r\n", &["\\n.\\n"]),
    (
        "caf\u{e9} \"x\"\t\r\n.\r\n",
        &["caf\\xc3\\xa9 \\\"x\\\"\\t"],
    ),
];

#[test]
fn a_message_ends_with_a_dot_alone_however_it_is_cut() {
    let server = Printing::start("smtpd", &[]);
    for (sent, lines) in MESSAGES {
        for cut in 0..sent.len() {
            let mut client = begin(&server);
            client.send(&sent.as_bytes()[..cut]);
            sync(&server);
            client.send(&sent.as_bytes()[cut..]);
            client.send("NOOP\r\n");
            assert_eq!(
                statuses(&mut client, 2),
                [250, 250],
                "{sent:?} cut at {cut}"
            );
            assert_eq!(printed(&server), lines, "{sent:?} cut at {cut}");
        }
    }
}

#[test]
fn a_message_that_comes_with_its_commands_or_byte_by_byte_is_the_same() {
    let server = Printing::start("smtpd", &[]);
    for (sent, lines) in MESSAGES {
        let session = format!("{BEGIN}{sent}QUIT\r\n");
        for is_cut in [false, true] {
            let mut client = connect(server.addr);
            for piece in session
                .as_bytes()
                .chunks(if is_cut { 1 } else { session.len() })
            {
                client.send(piece);
                if is_cut {
                    sync(&server);
                }
            }
            assert_eq!(
                statuses(&mut client, 6),
                [250, 250, 250, 354, 250, 221],
                "{sent:?}"
            );
            assert_eq!(printed(&server), lines, "{sent:?}");
        }
    }
}

/// With a bare CR or LF in it, none of these is the end: the rest, which looks
/// like another message, is of this one.
#[test]
fn nothing_is_smuggled_in_behind_what_only_looks_like_the_end() {
    let server = Printing::start("smtpd", &[]);
    for end in [
        "\n.\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r",
        "\r\n.\r",
        "\r.\r\n",
        "\r\n\0.\r\n",
        "\n\n.\r\n",
    ] {
        let smuggled = "MAIL FROM:<root@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nforged";
        for start in ["", "Subject: x", "\r\n"] {
            let mut client = begin(&server);
            client.send(format!("{start}{end}{smuggled}\r\n.\r\nNOOP\r\n"));
            assert_eq!(statuses(&mut client, 2), [250, 250], "{end:?}");
            let lines = printed(&server);
            assert_eq!(
                lines[lines.len() - 3..],
                ["RCPT TO:<c@d>", "DATA", "forged"],
                "{end:?}"
            );
            client.send("QUIT\r\n");
            assert_eq!(status(&mut client), 221);
            assert_eq!(client.rest(), b"");
        }
    }
    assert_eq!(server.end(), [""; 0]);
}

#[test]
fn the_envelope_is_printed_and_nothing_in_it_looks_like_a_marker() {
    let server = Printing::start("smtpd", &[]);
    let mut client = connect(server.addr);
    client.send("EHLO me\r\nMAIL FROM:<a@b> SIZE=20 SMTPUTF8\r\n");
    client.send("RCPT TO:<\"c > d\"@e>\r\nRCPT TO:<gr\u{fc}\u{df}e@f>\r\nDATA\r\n");
    client.send("==== end of message\r\n.\r\n");
    assert_eq!(statuses(&mut client, 6), [250, 250, 250, 250, 354, 250]);
    let from = client.stream().local_addr().expect("it is connected");
    // Neither what turns text around, nor a line end of Unicode's.
    client.send("MAIL FROM:<a\u{202e}b@c> SMTPUTF8\r\nRCPT TO:<d\u{2028}@e>\r\nDATA\r\n.\r\n");
    assert_eq!(statuses(&mut client, 4), [250, 250, 354, 250]);
    for expected in [
        &format!("==== message from {from}"),
        "sender a@b",
        "options SIZE=20 SMTPUTF8",
        "recipient \"c > d\"@e",
        "recipient gr\u{fc}\u{df}e@f",
        "| ==== end of message",
        "==== end of message",
        &format!("==== message from {from}"),
        "sender a\\u{202e}b@c",
        "options SMTPUTF8",
        "recipient d\\u{2028}@e",
        "==== end of message",
    ] {
        assert_eq!(server.line(), expected);
    }
}

#[test]
fn a_message_over_the_limit_is_refused_and_the_session_goes_on() {
    let server = Printing::start("smtpd", &["--size", "100000"]);
    for (line, count) in [
        ("0123456789abcde\r\n", 1_200_000),
        ("\r\n", 200_000),
        ("..\r\n", 100_000),
        ("\r", 400_000),
    ] {
        let mut client = begin(&server);
        client.send(line.repeat(count));
        sync(&server);
        // The end of what is too long is seen wherever it is cut.
        for byte in "\r\n.\r\n".bytes() {
            client.send([byte]);
            sync(&server);
        }
        assert_eq!(status(&mut client), 552, "{line:?}");
        client.send("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nthe next\r\n.\r\n");
        assert_eq!(statuses(&mut client, 4), [250, 250, 354, 250]);
        assert_eq!(printed(&server), ["the next"]);
    }
    let usage = server.usage();
    assert!(usage.peak_kib < 16 * 1024, "{usage:?}");
    assert_eq!(server.end(), [""; 0]);
}

#[test]
fn a_message_at_the_limit_is_taken() {
    let server = Printing::start("smtpd", &["--size", "100000"]);
    for (len, expected) in [(100_000, 250), (100_001, 552)] {
        let mut client = begin(&server);
        client.send("x".repeat(len));
        client.send("\r\n.\r\n");
        assert_eq!(status(&mut client), expected, "{len} bytes");
    }
    assert_eq!(printed(&server), ["x".repeat(100_000)]);
}

#[test]
fn a_message_that_is_cut_off_is_not_printed() {
    let server = Printing::start("smtpd", &[]);
    let mut client = begin(&server);
    client.send("half a message\r\n.\r");
    client.finish();
    assert_eq!(client.rest(), b"");
    assert_eq!(server.end(), [""; 0]);
}

#[test]
fn a_message_that_cannot_be_printed_is_not_taken() {
    let child = example("smtpd")
        .args(["--listen", "127.0.0.1:0"])
        .env("RUST_LOG", "off")
        .stdout(Stdio::piped())
        .spawn();
    let mut process = Reaped(child.expect("it starts"));
    let mut stdout = BufReader::new(process.0.stdout.take().expect("it is piped"));
    let mut first = String::new();
    stdout.read_line(&mut first).expect("a first line");
    drop(stdout);
    let addr = first
        .trim_end()
        .strip_prefix("listening on ")
        .expect("where");
    let mut client = connect(addr.parse().expect("an address"));
    client.send(format!("{BEGIN}hello\r\n.\r\nNOOP\r\n"));
    assert_eq!(statuses(&mut client, 6), [250, 250, 250, 354, 451, 250]);
}

#[test]
fn smtplib_sends_all_kinds_of_messages() {
    if !has_tool("python3") {
        return;
    }
    let server = Printing::start("smtpd", &["--size", "100000"]);
    let (status, stdout, stderr) = run(python("smtp.py", server.addr));
    assert!(status.success(), "{stdout}{stderr}");
    let heard: Vec<&str> = stdout.lines().collect();
    assert_eq!(
        heard,
        [
            "features 8bitmime help pipelining size smtputf8 100000",
            "verify 252 b'who knows; a message would be taken'",
            "noop 250 b'OK'",
            "message 0 {}",
            "message 1 {}",
            "message 2 {}",
            "message 3 {}",
            "message 4 {}",
            "message 5 {}",
            "too long 552",
            "null 250 250",
            "undeclared 552",
            "again {}",
            "quit 221 b'bye'",
        ]
    );
    assert_eq!(printed(&server), ["Subject: plain", "", "hello"]);
    assert_eq!(printed(&server), [""]);
    assert_eq!(printed(&server), [".", "..", ".hidden", "", "."]);
    assert_eq!(printed(&server), ["no end of line"]);
    let text = printed(&server);
    assert_eq!(
        text,
        ["Subject: gr\\xc3\\xbc\\xc3\\x9fe", "", "\\xe2\\x9c\\x93"]
    );
    assert_eq!(printed(&server), vec!["0123456789abcd"; 5_000]);
    assert_eq!(printed(&server), ["the last"]);
    assert_eq!(server.end(), [""; 0]);
}

#[test]
fn swaks_sends_a_message_line_by_line_and_pipelined() {
    if !has_tool("swaks") {
        return;
    }
    let server = Printing::start("smtpd", &[]);
    for option in [&[][..], &["--pipeline"]] {
        let mut command = Command::new("swaks");
        command.args(["--server", &server.addr.to_string(), "--helo", "me"]);
        command.args(["--from", "a@b", "--to", "c@d,e@f"]);
        command.args(["--data", "Subject: swaks\\n\\n.dot\\n..dots\\n"]);
        command.args(option);
        let (status, stdout, stderr) = run(command);
        assert!(status.success(), "{stdout}{stderr}");
        assert_eq!(
            printed(&server),
            ["Subject: swaks", "", ".dot", "..dots", ""]
        );
    }
}

/// In what both do as RFC 5321 says. Python has the original up to 3.11.
#[test]
fn the_original_gives_the_same_answers_and_prints_the_same_lines() {
    if !has_tool("python3") {
        return;
    }
    let server = Printing::start("smtpd", &["--size", "100000"]);
    let child = python("original_smtpd.py", server.addr)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut original = Reaped(child.expect("it starts"));
    let stdout = original.0.stdout.take().expect("it is piped");
    let mut stdout = BufReader::new(stdout).lines().map_while(Result::ok);
    let port = stdout.next().expect("a first line");
    let Ok(port) = port.parse() else {
        let _ = writeln!(io::stderr(), "skipped: no smtpd in this Python");
        return;
    };
    let long = format!("NOOP {}", "x".repeat(100_000));
    // A message that is taken makes ours forget what was bad.
    let steps = [
        "",
        "WHAT",
        "HELO",
        "MAIL FROM:<a@b>",
        "RCPT TO:<a@b>",
        "DATA",
        "EHLO",
        "ehlo me",
        "MAIL FROM:<a@b>",
        "RCPT TO:<a@b>",
        "DATA",
        "one\r\n.",
        "VRFY",
        "VRFY a@b",
        "EXPN a",
        "NOOP",
        "RSET x",
        "RSET",
        "RCPT TO:<c@d>",
        "MAIL",
        "MAIL FROM:",
        "MAIL FROM:<>",
        "RCPT TO:<c@d>",
        "DATA",
        "two\r\n.",
        "MAIL FROM: <a@b>",
        "RSET",
        "MAIL FROM:a@b",
        "RSET",
        "MAIL FROM:<a@b> SIZE=100001",
        "MAIL FROM:<a@b> SIZE=x",
        "MAIL FROM:<a@b>",
        "RCPT TO:<c@d>",
        "DATA",
        "three\r\n.",
        "MAIL FROM:<a@b> WHAT=1",
        "MAIL FROM:<a@b> BODY=BINARYMIME",
        "MAIL FROM:<a@b> SMTPUTF8=1",
        "MAIL FROM:<a@b> BODY=8BITMIME SIZE=100000 SMTPUTF8",
        "MAIL FROM:<a@b>",
        "DATA",
        "RCPT TO:",
        "RCPT TO:<c@d> WHAT=1",
        "RCPT TO:<c@d>",
        "DATA x",
        "DATA",
        "first\r\n..\r\n\r\n...dots.\r\n.not\r\n.",
        "NOOP",
        &long,
        "NOOP",
        "MAIL FROM:<a@b>",
        "RCPT TO:<c@d>",
        "DATA",
        "second\r\n.",
        "QUIT",
    ];
    let mut clients = [connect(server.addr), connect(([127, 0, 0, 1], port).into())];
    for step in steps {
        let answers = clients.each_mut().map(|client| {
            client.send(format!("{step}\r\n"));
            status(client)
        });
        assert_eq!(answers[0], answers[1], "{step:.60}");
    }
    drop(original.0.stdin.take());
    assert!(original.wait().success());
    // It prints them as bytes of Python, and adds a field of the peer.
    let lines: Vec<String> = stdout
        .filter_map(|line| Some(line.strip_prefix("b'")?.strip_suffix('\'')?.to_owned()))
        .filter(|line| !line.starts_with("X-Peer"))
        .collect();
    let ours: Vec<Vec<String>> = (0..5).map(|_| printed(&server)).collect();
    assert_eq!(ours.concat(), lines);
}
