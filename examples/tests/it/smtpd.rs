//! The mail server that prints: its commands, and their answers.

#![cfg(target_os = "linux")] // for /proc

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Server, assert_rests, example, run};
use crate::smtp::{connect, status, statuses};

/// The longest command, with its CRLF.
const MAX_COMMAND: usize = 512;

/// In sessions of their own, for no session may say too much that is wrong.
#[test]
fn every_command_has_its_answer() {
    let server = Server::start("smtpd");
    let long_mail = format!("MAIL FROM:<{}@b> BODY=8BITMIME", "a".repeat(500));
    let sessions: [&[(&str, u16)]; 9] = [
        &[
            ("", 500),
            (" ", 500),
            ("WHAT", 500),
            ("NOOP\nNOOP", 500),
            ("NO\x01OP", 500),
        ],
        &[
            ("HELP", 214),
            ("HELP MAIL", 214),
            ("NOOP", 250),
            ("noop whatever", 250),
            ("VRFY", 501),
            ("VRFY <", 252),
            ("EXPN all", 502),
            ("MAIL FROM:<a@b>", 503),
            ("RCPT TO:<a@b>", 503),
            ("DATA", 503),
        ],
        &[
            ("HELO", 501),
            ("EHLO", 501),
            ("HELO me", 250),
            ("MAIL FROM:<a@b> SIZE=1", 501),
            ("eHlO me", 250),
            ("RCPT TO:<a@b>", 503),
            ("DATA", 503),
        ],
        &[
            ("EHLO me", 250),
            ("MAIL", 501),
            ("MAIL FROM", 501),
            ("MAIL FROM:", 501),
            ("MAIL TO:<a@b>", 501),
            ("MAIL FROM:<a@b", 501),
        ],
        &[
            ("EHLO me", 250),
            ("MAIL FROM:<a@b>SIZE=1", 501),
            ("MAIL FROM:<a@b> SIZE=", 501),
            ("MAIL FROM:<a@b> SIZE=+1", 501),
            ("MAIL FROM:<a@b> SIZE=33554433", 552),
            ("MAIL FROM:<a@b> SIZE=99999999999999999999999", 552),
        ],
        &[
            ("EHLO me", 250),
            ("MAIL FROM:<a@b> BODY=BINARYMIME", 501),
            ("MAIL FROM:<a@b> SMTPUTF8=1", 501),
            ("MAIL FROM:<a@b> SMTPUTF8=", 501),
            ("MAIL FROM:<a@b> RET=FULL", 555),
            ("MAIL FROM:<gr\u{fc}\u{df}e@b>", 553),
        ],
        &[
            ("EHLO me", 250),
            ("MAIL FROM:<a@b> size=33554432 Body=8bitmime smtputf8", 250),
            ("MAIL FROM:<a@b>", 503),
            ("DATA", 503),
            ("RCPT TO:", 501),
            ("RCPT TO:<>", 501),
            ("RCPT TO:<c@d> NOTIFY=NEVER", 555),
            ("RCPT TO:<gr\u{fc}\u{df}e@b>", 250),
            ("rcpt to: c@d", 250),
            ("RCPT TO:<\"a > b\\\"\"@d>", 250),
        ],
        &[
            ("EHLO me", 250),
            ("MAIL FROM:<a@b>", 250),
            ("RCPT TO:<c@d>", 250),
            ("DATA x", 501),
            ("RSET x", 501),
            ("RSET", 250),
            ("DATA", 503),
            ("MAIL FROM:<>", 250),
            ("RCPT TO:<gr\u{fc}\u{df}e@b>", 553),
            ("EHLO me", 250),
            ("RCPT TO:<c@d>", 503),
        ],
        &[("EHLO me", 250), (&long_mail, 250), ("RCPT TO:<c@d>", 250)],
    ];
    for session in sessions {
        let mut client = connect(server.addr);
        for &(command, expected) in session.iter().chain([&("QUIT now", 221)]) {
            client.send(format!("{command}\r\n"));
            assert_eq!(status(&mut client), expected, "{command:?}");
        }
        assert_eq!(client.rest(), b"");
    }
}

/// However many come at once: each is waited after for longer than the last.
#[test]
fn of_bad_commands_five_are_answered_at_once_then_slowly_and_ten_are_too_many() {
    let server = Server::start("smtpd");
    let mut client = connect(server.addr);
    client.send("WHAT\r\n".repeat(5_000));
    let begun = Instant::now();
    assert_eq!(statuses(&mut client, 6), [500; 6]);
    let mut before = begun.elapsed();
    let mut waits = Vec::new();
    for expected in [500, 500, 500, 500, 421] {
        assert_eq!(status(&mut client), expected);
        waits.push(begun.elapsed() - before);
        before = begun.elapsed();
    }
    assert_eq!(client.rest(), b"");
    for (number, wait) in (1..).zip(&waits[..4]) {
        let least = Duration::from_millis(500) * number;
        assert!(*wait > least - Duration::from_millis(100), "{waits:?}");
    }
    server.wait_for_log("too much that is no mail");
}

#[test]
fn commands_without_an_end_that_bring_no_message_nearer_are_bad_ones() {
    let server = Server::start("smtpd");
    // All at once, since each is kept waiting.
    let mut clients = ["RSET", "NOOP", "HELO me", "EHLO me"].map(|command| {
        let mut client = connect(server.addr);
        client.send(format!("{command}\r\n").repeat(5_000));
        (command, client)
    });
    for (command, client) in &mut clients {
        assert_eq!(statuses(client, 110), [250; 110], "{command}");
        assert_eq!(status(client), 421, "{command}");
        assert_eq!(client.rest(), b"", "{command}");
    }
}

#[test]
fn a_message_that_is_taken_forgives_what_was_bad() {
    let server = Server::start("smtpd");
    let mut client = connect(server.addr);
    let begun = Instant::now();
    for _ in 0..10 {
        client.send("WHAT\r\n".repeat(5));
        assert_eq!(statuses(&mut client, 5), [500; 5]);
        client.send("HELO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n");
        assert_eq!(statuses(&mut client, 5), [250, 250, 250, 354, 250]);
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// A page in a browser can POST to any port (CVE-2016-10517).
#[test]
fn the_body_of_a_browsers_request_is_no_mail() {
    let server = Server::start("smtpd");
    for first in [
        "POST / HTTP/1.1",
        "get / HTTP/1.0",
        "Host: localhost:25",
        "OPTIONS * HTTP/1.1",
    ] {
        let mut client = connect(server.addr);
        client.send(format!(
            "{first}\r\nContent-Length: 99\r\n\r\nHELO me\r\nMAIL FROM:<a@b>\r\n\
             RCPT TO:<c@d>\r\nDATA\r\n.\r\n"
        ));
        assert_eq!(status(&mut client), 421, "{first}");
        assert_eq!(client.rest(), b"", "{first}");
        server.wait_for_log("speaks HTTP");
    }
}

#[test]
fn ehlo_tells_line_by_line_what_there_is() {
    let server = Server::start_with("smtpd", &["--size", "12345"]);
    let mut client = connect(server.addr);
    client.send("EHLO me\r\n");
    client.expect("250-localhost\r\n");
    client.expect("250-SIZE 12345\r\n");
    client.expect("250-8BITMIME\r\n");
    client.expect("250-SMTPUTF8\r\n");
    client.expect("250-PIPELINING\r\n");
    client.expect("250 HELP\r\n");
}

#[test]
fn a_line_too_long_is_refused_and_the_next_one_is_read() {
    let server = Server::start("smtpd");
    let mut client = connect(server.addr);
    for (len, expected) in [
        (MAX_COMMAND, 250),
        (MAX_COMMAND + 1, 500),
        (100_000, 500),
        (20_000_000, 500),
    ] {
        let command = format!("NOOP {}\r\n", "x".repeat(len - "NOOP \r\n".len()));
        client.send(command);
        assert_eq!(status(&mut client), expected, "{len} bytes");
    }
    client.send("NOOP\r\n");
    assert_eq!(status(&mut client), 250);
    let usage = server.usage();
    assert!(usage.peak_kib < 16 * 1024, "{usage:?}");
}

#[test]
fn what_is_no_text_is_refused_and_the_next_line_is_read() {
    let server = Server::start("smtpd");
    let mut client = connect(server.addr);
    client.send(b"NOOP \xff\xfe\r\nNOOP\r\n");
    assert_eq!(statuses(&mut client, 2), [500, 250]);
}

#[test]
fn commands_may_come_all_at_once_or_byte_by_byte() {
    let server = Server::start("smtpd");
    let session = "EHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<>\r\nDATA\r\n\
                   one\r\n.\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\nRSET\r\nQUIT\r\n\
                   NOOP\r\n";
    let expected = [250, 250, 250, 501, 354, 250, 250, 250, 354, 250, 250, 221];
    for piece in [session.len(), 1, 2, 3] {
        let mut client = connect(server.addr);
        for piece in session.as_bytes().chunks(piece) {
            // It may be gone: nothing is read after QUIT.
            let _ = client.stream().write_all(piece);
        }
        assert_eq!(statuses(&mut client, expected.len()), expected);
        assert_eq!(client.rest(), b"");
    }
}

#[test]
fn a_client_that_asks_on_without_reading_is_not_read_and_gets_every_answer() {
    let server = Server::start("smtpd");
    let mut client = connect(server.addr);
    client.send("HELO me\r\nMAIL FROM:<a@b>\r\n");
    assert_eq!(statuses(&mut client, 2), [250, 250]);
    // About as long as its answer, once there are too many.
    let command = format!("RCPT TO:<{}>\r\n", "x".repeat(37));
    let sent = client.fill(&server, command.as_bytes());
    client.finish();
    for number in 0..sent / command.len() {
        let expected = if number < 1_000 { 250 } else { 452 };
        assert_eq!(status(&mut client), expected, "{number}");
    }
    assert_eq!(client.rest(), b"");
    let usage = server.usage();
    assert!(usage.peak_kib < 16 * 1024, "{usage:?}");
    assert_rests(&server);
}

#[test]
fn a_thousand_recipients_are_taken_and_no_more() {
    let server = Server::start("smtpd");
    let mut client = connect(server.addr);
    client.send("HELO me\r\nMAIL FROM:<a@b>\r\n");
    assert_eq!(statuses(&mut client, 2), [250, 250]);
    for number in 0..1_001 {
        client.send(format!("RCPT TO:<{number}@d>\r\n"));
    }
    assert_eq!(statuses(&mut client, 1_000), [250; 1_000]);
    assert_eq!(status(&mut client), 452);
}

#[test]
fn sigterm_is_announced_to_every_session() {
    let mut server = Server::start("smtpd");
    let mut clients = [connect(server.addr), connect(server.addr)];
    clients[0].send("HELO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhalf a");
    assert_eq!(statuses(&mut clients[0], 4), [250, 250, 250, 354]);
    server.signal("TERM");
    for client in &mut clients {
        assert_eq!(status(client), 421);
        assert_eq!(client.rest(), b"");
        client.finish();
    }
    drop(clients);
    assert!(server.wait().success());
}

#[test]
fn a_bound_that_is_no_number_or_beyond_all_time_ends_it_with_status_1() {
    for (option, value, complaint) in [
        ("--size", "much", "no size: much"),
        ("--timeout", "long", "no number of seconds: long"),
        (
            "--timeout",
            "18446744073709551615",
            "no number of seconds: 18446744073709551615",
        ),
    ] {
        let mut command = example("smtpd");
        command.args(["--listen", "127.0.0.1:0", option, value]);
        let (status, stdout, stderr) = run(command);
        assert_eq!(status.code(), Some(1), "{stderr}");
        assert_eq!(stdout, "");
        assert!(stderr.contains(complaint), "{stderr}");
    }
}

/// aiosmtpd's #145: whoever connects and says nothing holds a descriptor for ever. Nor
/// does a byte now and then put the time off.
#[test]
fn who_says_no_command_or_no_end_of_a_message_in_time_is_hung_up_on() {
    let server = Server::start_with("smtpd", &["--timeout", "1"]);
    let mut silent = connect(server.addr);
    let mut in_data = connect(server.addr);
    in_data.send("HELO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nto be ");
    assert_eq!(statuses(&mut in_data, 4), [250, 250, 250, 354]);
    let mut dripping = connect(server.addr);
    let begun = Instant::now();
    dripping.stream().set_nodelay(true).expect("it is TCP");
    let mut drip = dripping.stream().try_clone().expect("descriptors are left");
    let dripper = thread::spawn(move || {
        // Until it is hung up on.
        while drip.write_all(b"N").is_ok() && begun.elapsed() < Duration::from_secs(30) {
            thread::sleep(Duration::from_millis(50));
        }
    });
    for client in [&mut silent, &mut in_data, &mut dripping] {
        assert_eq!(status(client), 421);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    drop(dripping);
    dripper.join().expect("no panic");
}

#[test]
fn a_command_in_time_begins_the_time_anew() {
    let server = Server::start_with("smtpd", &["--timeout", "2"]);
    let mut client = connect(server.addr);
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(500)); // which are the client's own
        client.send("NOOP\r\n");
        assert_eq!(status(&mut client), 250);
    }
}
