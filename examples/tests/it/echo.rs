//! The echo server and its clients: what is sent comes back.

#![cfg(target_os = "linux")] // for /proc

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use crate::common::{Client, Reaped, Server, example, has_tool, python, run, wait_until};

#[test]
fn every_line_comes_back_byte_for_byte() {
    let server = Server::start("echo");
    let mut client = Client::connect(server.addr);
    let binary: Vec<u8> = (0..=255).filter(|&byte| byte != b'\n').collect();
    let long = vec![b'x'; 60_000];
    let lines: [&[u8]; 8] = [
        b"",
        b"a",
        b"\r",
        b"with CRLF\r",
        b"\0",
        b"  ",
        &binary,
        &long,
    ];
    for line in lines {
        let line = [line, b"\n"].concat();
        client.send(&line);
        assert!(client.line() == line, "{}", line.escape_ascii());
    }
    // All at once.
    let all = [&lines.join(&b'\n')[..], b"\n"].concat();
    client.send(&all);
    client.finish();
    assert!(client.rest() == all);
}

#[test]
fn a_line_may_come_in_pieces() {
    let server = Server::start("echo");
    let mut client = Client::connect(server.addr);
    for _ in 0..20 {
        for byte in "byte by byte\r\n".bytes() {
            client.send([byte]);
        }
        client.expect("byte by byte\r\n");
    }
}

#[test]
fn sixteen_lines_may_be_in_flight() {
    let server = Server::start("echo");
    let mut clients: Vec<Client> = (0..4).map(|_| Client::connect(server.addr)).collect();
    for number in 0..2_000 {
        for client in &mut clients {
            client.send(format!("line {number}\n"));
            if number >= 16 {
                client.expect(&format!("line {}\n", number - 16));
            }
        }
    }
    for mut client in clients {
        client.finish();
        let last: String = (1_984..2_000).map(|n| format!("line {n}\n")).collect();
        assert_eq!(String::from_utf8_lossy(&client.rest()), last);
    }
}

#[test]
fn a_line_without_its_end_does_not_come_back() {
    let server = Server::start("echo");
    let mut client = Client::connect(server.addr);
    client.send("whole\nhalf");
    client.finish();
    assert_eq!(client.rest(), b"whole\n");
}

#[test]
fn megabytes_come_back_to_a_client_that_reads_last() {
    let server = Server::start("echo");
    let mut client = Client::connect(server.addr);
    let data: String = (0..20_000).map(|n| format!("{n:0999}\n")).collect();
    let data = data.into_bytes();
    let mut writer = client.stream().try_clone().expect("a descriptor is left");
    let sent = data.clone();
    let writing = std::thread::spawn(move || writer.write_all(&sent));
    // The server pauses: what it holds back are the client's own writes.
    wait_until("the server is held back", || client.is_held_back(&server));
    for line in data.split_inclusive(|&byte| byte == b'\n') {
        assert!(client.line() == line);
    }
    writing.join().expect("no panic").expect("all is written");
    client.finish();
    assert_eq!(client.rest(), b"");
    assert!(server.usage().peak_kib < 16 * 1024, "{:?}", server.usage());
}

#[test]
fn netcat_gets_its_lines_after_it_has_closed_its_half() {
    if !has_tool("nc") {
        return;
    }
    let server = Server::start("echo");
    let mut command = Command::new("sh");
    let script = "printf 'a\\nb\\n' | nc -N \"$0\" \"$1\"";
    command.arg("-c").arg(script);
    command.arg(server.addr.ip().to_string());
    command.arg(server.addr.port().to_string());
    let (status, stdout, stderr) = run(command);
    assert_eq!((stdout.as_str(), stderr.as_str()), ("a\nb\n", ""));
    assert!(status.success(), "{status}");
}

#[test]
fn python_sockets_get_what_they_send_however_it_is_cut() {
    if !has_tool("python3") {
        return;
    }
    let server = Server::start("echo");
    let (status, stdout, stderr) = run(python("echo.py", server.addr));
    assert!(status.success(), "{stdout}{stderr}");
    assert_eq!(stdout, "1000 lines\n");
}

#[test]
fn sigterm_and_sigint_end_it_with_status_0() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start("echo");
        let mut client = Client::connect(server.addr);
        client.expect_echo("hello\n");
        server.signal(signal);
        assert_eq!(client.rest(), b"");
        drop(client);
        let status = server.wait();
        assert!(status.success(), "SIG{signal}: {status}");
        assert!(server.log().contains("ending"), "{}", server.log());
        let refused = TcpStream::connect(server.addr).map_err(|error| error.kind());
        assert_eq!(refused.err(), Some(ErrorKind::ConnectionRefused));
    }
}

#[test]
fn what_is_queued_at_sigterm_reaches_a_client_that_reads_late() {
    let mut server = Server::start("echo");
    let mut client = Client::connect(server.addr);
    // A prime, so that hardly any buffer ends where a line does.
    let line = [&[b'.'; 996][..], b"\n"].concat();
    let step = line.repeat(64);
    let mut is_held_back = false;
    for _ in 0..1_000 {
        client.send(&step);
        wait_until("the server has done what it can", || {
            is_held_back = client.is_held_back(&server);
            is_held_back || client.queues(&server).1 == 0
        });
        if is_held_back {
            break;
        }
    }
    assert!(is_held_back);
    server.signal("TERM");
    server.wait_for_log("ending");
    let rest = client.rest();
    assert!(rest.len() > step.len(), "{} bytes", rest.len());
    assert!(
        rest.len() % line.len() == 0 && rest.chunks(line.len()).all(|got| got == line),
        "{} bytes end within a line: what was queued is lost",
        rest.len()
    );
    drop(client);
    assert!(server.wait().success());
}

#[test]
fn what_is_queued_at_sigterm_reaches_a_client_that_has_megabytes_in_flight() {
    let mut server = Server::start("echo");
    let mut client = Client::connect(server.addr);
    client.fill(&server, &[&[b'.'; 996][..], b"\n"].concat());
    server.signal("TERM");
    server.wait_for_log("ending");
    let rest = client.rest();
    assert_eq!(
        rest.len() % 997,
        0,
        "{} bytes end within a line",
        rest.len()
    );
    drop(client);
    assert!(server.wait().success());
}

#[test]
fn a_client_that_never_reads_does_not_keep_it_from_ending() {
    let mut server = Server::start("echo");
    let mut client = Client::connect(server.addr);
    client.fill(&server, b"0123456789abcde\n");
    server.signal("TERM");
    let status = server.wait();
    assert!(status.success(), "{status}");
}

#[test]
fn wrong_arguments_end_it_with_status_2_and_say_which_there_are() {
    for (arguments, complaint) in [
        (&["--bogus"][..], "--bogus"),
        (&["--listen"], "--listen"),
        (&["7000"], "7000"),
        (&["--listen", "127.0.0.1:0", "-x"], "-x"),
    ] {
        for name in ["echo", "chat"] {
            let mut command = example(name);
            command.args(arguments);
            let (status, stdout, stderr) = run(command);
            assert_eq!(status.code(), Some(2), "{arguments:?}: {stderr}");
            assert_eq!(stdout, "");
            assert!(stderr.contains(complaint), "{stderr}");
            assert!(stderr.contains("--listen ADDR"), "{stderr}");
        }
    }
}

#[test]
fn an_address_that_is_taken_or_none_ends_it_with_status_1_and_says_so() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let taken = taken.local_addr().map(|addr| (taken, addr.to_string()));
    let (_listener, taken) = taken.expect("it is bound");
    for address in [&taken[..], "nonsense", "127.0.0.1:99999", ""] {
        let mut command = example("echo");
        command.arg("--listen").arg(address);
        let (status, stdout, stderr) = run(command);
        assert_eq!(status.code(), Some(1), "{address:?}: {stderr}");
        assert_eq!(stdout, "");
        let complaint = format!("cannot listen on {address}");
        assert!(stderr.contains(&complaint), "{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}

#[test]
fn a_usage_that_nobody_reads_is_a_failure_and_no_panic() {
    let (stdout, reader) = UnixStream::pair().expect("descriptors are left");
    drop(reader);
    let child = example("echo")
        .arg("--help")
        .stdout(Stdio::from(OwnedFd::from(stdout)))
        .stderr(Stdio::null())
        .spawn();
    assert_eq!(Reaped(child.expect("it starts")).wait().code(), Some(1));
}

#[test]
fn rust_log_says_what_is_logged() {
    for (filter, is_logged) in [("debug", true), ("off", false)] {
        let server = Server::start_logging("echo", filter);
        Client::connect(server.addr).expect_echo("hello\n");
        if is_logged {
            server.wait_for_log("connection from 127.0.0.1:");
        } else {
            assert_eq!(server.log(), "");
        }
        server.end();
    }
}
