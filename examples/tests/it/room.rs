//! The room and its members: who hears what.

#![cfg(target_os = "linux")] // for /proc

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::thread;

use crate::common::{Client, Reaped, Server, has_tool, python, run};

#[test]
fn what_one_says_all_others_hear_and_he_does_not() {
    let server = Server::start("chat");
    let mut ann = Client::join(server.addr, "ann", &mut []);
    let mut bob = Client::join(server.addr, "bob", &mut [&mut ann]);
    let mut cec = Client::join(server.addr, "cec", &mut [&mut ann, &mut bob]);
    ann.send("hello\n");
    bob.expect("ann: hello\n");
    cec.expect("ann: hello\n");
    bob.send("hi\n\nann\n");
    for line in ["bob: hi\n", "bob: \n", "bob: ann\n"] {
        ann.expect(line);
        cec.expect(line);
    }
    drop(bob);
    ann.expect("* bob left\n");
    cec.expect("* bob left\n");
    cec.finish();
    ann.expect("* cec left\n");
    assert_eq!(cec.rest(), b"");
    ann.finish();
    assert_eq!(ann.rest(), b"");
}

#[test]
fn lines_are_passed_on_as_they_are_but_for_what_moves_a_terminals_cursor() {
    let server = Server::start("chat");
    let mut ann = Client::join(server.addr, "ann", &mut []);
    let mut bob = Client::connect(server.addr);
    bob.send("bob\r\nwith CRLF\r\n");
    ann.expect("* bob joined\n");
    ann.expect("bob: with CRLF\n");
    let longest = "x".repeat(4096);
    for (line, heard) in [
        (longest.as_bytes(), &*longest),
        (
            "gr\u{fc}\u{df}e, \u{4f60}\u{597d} \u{1f600}".as_bytes(),
            "gr\u{fc}\u{df}e, \u{4f60}\u{597d} \u{1f600}",
        ),
        (b"a\rann: I am a fool", "a\\rann: I am a fool"),
        (
            b"\x1b[A\x1b[2Kann: no\x07\x08\t\x7f",
            "\\u{1b}[A\\u{1b}[2Kann: no\\u{7}\\u{8}\\t\\u{7f}",
        ),
        (
            "\u{9b}2K \u{202e}txt \u{2028}".as_bytes(),
            "\\u{9b}2K \\u{202e}txt \\u{2028}",
        ),
        (b"\xff\xc3", "\\xff\\xc3"),
    ] {
        bob.send([line, &b"\n"[..]].concat());
        ann.expect(&format!("bob: {heard}\n"));
    }
}

#[test]
fn who_has_not_said_his_nick_is_no_member() {
    let server = Server::start("chat");
    let mut ann = Client::join(server.addr, "ann", &mut []);
    let mut bob = Client::join(server.addr, "bob", &mut [&mut ann]);
    let mut nobody = Client::connect(server.addr);
    nobody.send("half-a-ni");
    drop(Client::connect(server.addr));
    ann.send("before\n");
    bob.expect("ann: before\n");
    nobody.send("ck\n");
    ann.expect("* half-a-nick joined\n");
    bob.expect("* half-a-nick joined\n");
    ann.send("after\n");
    bob.expect("ann: after\n");
    nobody.expect("ann: after\n");
}

#[test]
fn nobody_has_anothers_nick_or_one_that_looks_like_it() {
    let server = Server::start("chat");
    let mut ann = Client::join(server.addr, "ann", &mut []);
    let mut other = Client::connect(server.addr);
    for nick in ["ann", " ann \t", "ANN\r"] {
        other.send(format!("{nick}\n"));
        let refusal = format!("* somebody else is {}\n", nick.trim());
        other.expect(&refusal);
    }
    // Letters that another case tells apart: a final sigma, a long s.
    let mut greek = Client::join(server.addr, "\u{3bf}\u{3c3}", &mut [&mut ann]);
    let mut long = Client::join(server.addr, "sam", &mut [&mut ann, &mut greek]);
    for nick in ["\u{39f}\u{3a3}", "\u{3bf}\u{3c2}", "\u{17f}am"] {
        other.send(format!("{nick}\n"));
        other.expect(&format!("* somebody else is {nick}\n"));
    }
    let none = [
        "",
        "a b",
        "ann\u{200b}",
        "\u{3164}",
        "ann\u{115f}\u{1160}",
        "ann\u{ffa0}",
        "ann\u{7}",
        "a\rb",
        "*",
        "ann:",
        &"n".repeat(33),
    ];
    for nick in none {
        other.send(format!("{nick}\n"));
        let refusal = String::from_utf8(other.line()).expect("it is text");
        assert!(
            refusal.starts_with("* your nick, please"),
            "{nick:?}: {refusal}"
        );
    }
    other.send("gr\u{fc}n-2\n");
    for member in [&mut ann, &mut greek, &mut long] {
        member.expect("* gr\u{fc}n-2 joined\n");
    }
    // Who has left has left his nick.
    drop(ann);
    other.expect("* ann left\n");
    drop(Client::join(server.addr, "ANN", &mut [&mut other]));
}

#[test]
fn two_hundred_members_hear_each_other_once_and_in_order() {
    if !has_tool("python3") {
        return;
    }
    let server = Server::start("chat");
    let (status, stdout, stderr) = run(python("members.py", server.addr));
    assert!(status.success(), "{stdout}{stderr}");
    assert_eq!(stdout, "200 members heard 199000 lines\n");
    assert!(!server.log().contains("closed:"), "{}", server.log());
    println!("{:?}", server.usage());
}

#[test]
fn netcat_is_a_member() {
    if !has_tool("nc") {
        return;
    }
    let server = Server::start("chat");
    let mut ann = Client::join(server.addr, "ann", &mut []);
    let mut command = Command::new("nc");
    command.arg(server.addr.ip().to_string());
    command.arg(server.addr.port().to_string());
    let mut netcat = talk(command);
    let mut stdin = netcat.0.stdin.take().expect("it is piped");
    let mut stdout = BufReader::new(netcat.0.stdout.take().expect("it is piped"));
    stdin.write_all(b"cat\nmeow\n").expect("nc reads");
    ann.expect("* cat joined\n");
    ann.expect("cat: meow\n");
    ann.send("hush\n");
    let mut heard = String::new();
    stdout.read_line(&mut heard).expect("nc writes");
    assert_eq!(heard, "ann: hush\n");
    drop(netcat);
    ann.expect("* cat left\n");
}

#[test]
fn a_member_killed_in_mid_line_leaves_and_his_half_line_is_not_heard() {
    if !has_tool("python3") {
        return;
    }
    let server = Server::start("chat");
    let mut ann = Client::join(server.addr, "ann", &mut []);
    // Killed with nothing to read, he closes; with something, he resets.
    for has_unread in [false, true] {
        let mut mal = talk(python("half_line.py", server.addr));
        let mut stdout = BufReader::new(mal.0.stdout.take().expect("it is piped"));
        let mut said = String::new();
        stdout.read_line(&mut said).expect("he writes");
        assert_eq!(said, "half a line is sent\n");
        ann.expect("* mal joined\n");
        if has_unread {
            ann.send("hello\n");
        }
        drop(mal); // kills him
        ann.expect("* mal left\n");
    }
    let mut bob = Client::join(server.addr, "bob", &mut [&mut ann]);
    bob.send("still here\n");
    ann.expect("bob: still here\n");
}

#[test]
fn one_who_does_not_read_misses_lines_and_the_others_hear_100_megabytes() {
    const LINE: usize = 4_000;
    const LINES: usize = 12_500; // of each of two speakers
    const WINDOW: usize = 125; // of both, what may wait for one who is just late

    let server = Server::start("chat");
    let mut ann = Client::join(server.addr, "ann", &mut []);
    let mut lazy = Client::join(server.addr, "lazy", &mut [&mut ann]);
    let mut bob = Client::join(server.addr, "bob", &mut [&mut ann]);
    let mut all = Client::join(server.addr, "all", &mut [&mut ann, &mut bob]);
    let before = server.usage();
    let speech = |number: usize| {
        let mut line = format!("{number:06}").into_bytes();
        line.resize(LINE - 1, b'.');
        line.push(b'\n');
        line
    };
    // The speakers wait for the hearer: what is tested is the one who does not
    // read, and none who reads slowly.
    let mut heard = [0; 2];
    for first in (0..LINES).step_by(WINDOW) {
        let window: Vec<u8> = (first..first + WINDOW).flat_map(speech).collect();
        thread::scope(|scope| {
            for speaker in [&mut ann, &mut bob] {
                let window = &window;
                scope.spawn(move || speaker.send(window));
            }
            while heard != [first + WINDOW; 2] {
                let line = all.line();
                let speaker = usize::from(line.starts_with(b"bob: "));
                let name = [&b"ann: "[..], b"bob: "][speaker];
                assert!(line == [name, &speech(heard[speaker])].concat());
                heard[speaker] += 1;
            }
        });
        // What the speakers hear of each other.
        for (speaker, name) in [(&mut ann, "bob"), (&mut bob, "ann")] {
            let mut count = 0;
            while count < WINDOW {
                count += usize::from(speaker.line().starts_with(name.as_bytes()));
            }
        }
    }
    let after = server.usage();
    println!("before {before:?}, after {after:?}");
    // Whole lines in order, and all that he missed is counted.
    lazy.expect("* bob joined\n");
    lazy.expect("* all joined\n");
    let mut next = [0; 2];
    let mut missed = 0;
    let skipped = loop {
        let line = lazy.line();
        if let Some(skipped) = line.strip_suffix(b" lines skipped\n") {
            break String::from_utf8(skipped.to_vec()).expect("it is a number");
        }
        let speaker = usize::from(line.starts_with(b"bob: "));
        assert_eq!(line.len(), LINE + 5);
        let number = std::str::from_utf8(&line[5..11]).expect("it is a number");
        let number: usize = number.parse().expect("it is a number");
        missed += number - next[speaker];
        next[speaker] = number + 1;
    };
    assert_eq!(skipped, format!("* {missed}"));
    assert_eq!(next, [LINES; 2], "the newest are there");
    assert!(missed > LINES, "{missed}");
    lazy.finish();
    for other in [&mut ann, &mut bob, &mut all] {
        other.expect("* lazy left\n");
    }
    assert!(!server.log().contains("closed: "), "{}", server.log());
    // What may wait for one is 1 MiB.
    assert!(
        after.peak_kib < before.peak_kib + 5 * 1024,
        "{before:?} {after:?}"
    );
}

#[test]
fn five_hundred_resets_in_a_row_leave_the_room_working_and_its_memory_flat() {
    if !has_tool("python3") {
        return;
    }
    let server = Server::start("chat");
    let mut ann = Client::join(server.addr, "ann", &mut []);
    drop(Client::join(server.addr, "bob", &mut [&mut ann]));
    ann.expect("* bob left\n");
    let descriptors = server.descriptors();
    let mut reset = |count: usize| {
        let mut command = python("resets.py", server.addr);
        command.arg(count.to_string());
        let (status, stdout, stderr) = run(command);
        assert!(status.success(), "{stdout}{stderr}");
        server.wait_for_descriptors(descriptors);
        let mut bob = Client::connect(server.addr);
        bob.send("bob\n");
        // Who joined has left.
        let mut news = Vec::new();
        while news.last().is_none_or(|line| line != "* bob joined\n") {
            news.push(String::from_utf8(ann.line()).expect("it is ASCII"));
        }
        let told = |what: &str| news.iter().filter(|line| line.ends_with(what)).count();
        assert_eq!(told(" joined\n"), told(" left\n") + 1);
        assert_eq!(told(" joined\n") + told(" left\n"), news.len());
        bob.send("hello\n");
        ann.expect("bob: hello\n");
        drop(bob);
        ann.expect("* bob left\n");
        told(" joined\n")
    };
    reset(100);
    let before = server.usage();
    let joined = reset(500);
    let after = server.usage();
    println!("{joined} joined; before {before:?}, after {after:?}");
    assert!(
        after.peak_kib < before.peak_kib + 512,
        "{before:?} {after:?}"
    );
}

#[test]
fn what_is_queued_for_a_member_at_sigterm_reaches_him() {
    let mut server = Server::start("chat");
    let mut ann = Client::join(server.addr, "ann", &mut []);
    let mut bob = Client::join(server.addr, "bob", &mut [&mut ann]);
    let mut late = Client::join(server.addr, "late", &mut [&mut ann, &mut bob]);
    // More than the kernel takes for him, as far as it can be told: the server
    // has grown by it.
    let before = server.usage();
    let lines = |count| (count..count + 16).map(|n| format!("{n:03999}\n"));
    let mut count = 0;
    while server.usage().rss_kib < before.rss_kib + 512 {
        ann.send(lines(count).collect::<String>());
        bob.skip(16 * ("ann: ".len() + 4_000));
        count += 16;
        assert!(
            count < 10_000,
            "nothing is ever queued: {:?}",
            server.usage()
        );
    }
    server.signal("TERM");
    server.wait_for_log("ending");
    for line in (0..count).step_by(16).flat_map(lines) {
        late.expect(&format!("ann: {line}"));
    }
    assert_eq!(late.rest(), b"");
    drop((ann, bob, late));
    assert!(server.wait().success());
}

#[test]
fn a_line_over_the_limit_costs_its_speaker_the_room() {
    let server = Server::start("chat");
    let mut ann = Client::join(server.addr, "ann", &mut []);
    let mut bob = Client::join(server.addr, "bob", &mut [&mut ann]);
    bob.send("short\n");
    bob.send([b'x'; 4097]);
    ann.expect("bob: short\n");
    assert_eq!(bob.rest(), b"");
    drop(bob);
    ann.expect("* bob left\n");
    server.wait_for_log("closed: too much input");
}

/// Starts a program whose stdin and stdout are the test's.
fn talk(mut command: Command) -> Reaped {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    Reaped(child.expect("it is installed"))
}
