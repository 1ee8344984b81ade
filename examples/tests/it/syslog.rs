//! The syslog receiver: what it prints of what it gets.

#![cfg(target_os = "linux")] // for /proc

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::{Reaped, Server, assert_rests, example, forge_own, has_tool, python, run};
use crate::printing::Printing;

/// A path that nobody has yet.
fn path(test: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    // Of the last time.
    let _ = fs::remove_file(&path);
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Starts it with a Unix socket as well.
fn start(path: &Path) -> Printing {
    let server = Printing::start("syslog", &["--socket", text(path)]);
    assert_eq!(server.line(), format!("listening on {}", text(path)));
    server
}

fn udp(to: SocketAddr) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    socket.connect(to).expect("it is on loopback");
    let from = socket.local_addr().expect("it is bound");
    (socket, from)
}

/// A line without the sender, whose port is anybody's guess.
fn without_sender(line: &str) -> String {
    let (priority, rest) = line.split_once(' ').expect("a sender");
    let (sender, message) = rest.split_once(": ").expect("a message");
    assert!(
        sender.starts_with("127.0.0.1:") || sender == "unix:(unnamed)",
        "{line}"
    );
    format!("{priority} {message}")
}

#[test]
fn priorities_and_the_headers_of_both_rfcs_are_read() {
    let server = Printing::start("syslog", &[]);
    let (socket, from) = udp(server.addr);
    let cases: [(&[u8], &str); 34] = [
        (b"<0>a", "kern.emerg|a"),
        (b"<13>a", "user.notice|a"),
        (b"<34>a", "auth.crit|a"),
        (b"<86>a", "authpriv.info|a"),
        (b"<165>a", "local4.notice|a"),
        (b"<191>a", "local7.debug|a"),
        (b"<013>a", "user.notice|a"),
        // Not a priority.
        (b"a", "user.notice|a"),
        (b"", "user.notice|"),
        (b"<192>a", "user.notice|<192>a"),
        (b"<999>a", "user.notice|<999>a"),
        (b"<0013>a", "user.notice|<0013>a"),
        (b"<>a", "user.notice|<>a"),
        (b"<+1>a", "user.notice|<+1>a"),
        (b"<1", "user.notice|<1"),
        (b"13>a", "user.notice|13>a"),
        // RFC 3164.
        (b"<13>Oct  1 22:14:15 host su: a", "user.notice|host su: a"),
        (b"<13>Oct 11 22:14:15 su[7]: a", "user.notice|su[7]: a"),
        (b"<13>Oct 11 22:14:15", "user.notice|Oct 11 22:14:15"),
        (b"<13>Oct 11 22:14 su: a", "user.notice|Oct 11 22:14 su: a"),
        // RFC 5424.
        (b"<13>1 - - - - - - a b", "user.notice|a b"),
        (b"<13>1 T H su 7 ID - a", "user.notice|su[7]: a"),
        (b"<13>1 T H su - - - \xef\xbb\xbfa", "user.notice|su: a"),
        (
            b"<13>1 T H su - - [x y=\"] \\\"] \"][z] a",
            "user.notice|su: a",
        ),
        (b"<13>1 T H su - - [x]", "user.notice|su: "),
        (b"<13>1 T H su - - -", "user.notice|su: "),
        // Not quite.
        (
            b"<13>1 T H su - - [x y=\"",
            "user.notice|1 T H su - - [x y=\"",
        ),
        (b"<13>1 T H su", "user.notice|1 T H su"),
        (b"<13>2 T H su - - - a", "user.notice|2 T H su - - - a"),
        // One line it is, whatever the sender wants.
        (b"<13>a\n\0", "user.notice|a"),
        (b"<13>a\r\n<0>b\x1b[0m", "user.notice|a\\r\\n<0>b\\u{1b}[0m"),
        (
            b"<13>\xff\xfe gr\xc3\xbc\xc3\x9fe",
            "user.notice|\\xff\\xfe gr\u{fc}\u{df}e",
        ),
        (b"<13>\xe2\x80", "user.notice|\\xe2\\x80"),
        (b"\0", "user.notice|"),
    ];
    for (datagram, expected) in cases {
        socket.send(datagram).expect("it is sent");
        let (priority, message) = expected.split_once('|').expect("both");
        let name = datagram.escape_ascii();
        assert_eq!(
            server.line(),
            format!("{priority} {from}: {message}"),
            "{name}"
        );
    }
    assert_eq!(server.end(), [""; 0]);
}

/// It answers nothing, and so cannot answer itself.
#[test]
fn a_datagram_from_its_own_address_is_printed_once_as_any_other() {
    let server = Printing::start("syslog", &[]);
    if !forge_own(server.addr, "<13>as itself") {
        return;
    }
    let addr = server.addr;
    assert_eq!(server.line(), format!("user.notice {addr}: as itself"));
    let (socket, from) = udp(addr);
    socket.send(b"<13>another").expect("it is sent");
    assert_eq!(server.line(), format!("user.notice {from}: another"));
    assert_eq!(server.end(), [""; 0]);
}

#[test]
fn the_longest_datagram_is_printed_whole() {
    let server = Printing::start("syslog", &[]);
    let (socket, from) = udp(server.addr);
    let message = "x".repeat(65_507 - "<13>".len());
    socket
        .send(format!("<13>{message}").as_bytes())
        .expect("it is sent");
    assert_eq!(server.line(), format!("user.notice {from}: {message}"));
}

#[test]
fn datagrams_that_wait_are_all_printed_in_their_order() {
    let server = Printing::start("syslog", &[]);
    let (socket, from) = udp(server.addr);
    server.signal("STOP");
    for number in 0..150 {
        socket
            .send(format!("<13>{number}").as_bytes())
            .expect("it is sent");
    }
    server.signal("CONT");
    for number in 0..150 {
        assert_eq!(server.line(), format!("user.notice {from}: {number}"));
    }
}

#[test]
fn a_unix_socket_is_made_and_removed_again() {
    let path = path("syslog_unix");
    // One that was killed has left its own.
    drop(UnixDatagram::bind(&path).expect("the path is free"));
    let server = start(&path);
    let mode = fs::metadata(&path)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o666); // all users log, whatever the umask is
    let unnamed = UnixDatagram::unbound().expect("descriptors are left");
    unnamed.send_to(b"<14>one", &path).expect("it is sent");
    assert_eq!(server.line(), "user.info unix:(unnamed): one");
    let own = path.with_extension("client");
    let _ = fs::remove_file(&own);
    let named = UnixDatagram::bind(&own).expect("the path is free");
    named.send_to(b"<14>two", &path).expect("it is sent");
    assert_eq!(server.line(), format!("user.info unix:{}: two", text(&own)));
    // A name that a peer makes up stays one line, and has no power over a terminal.
    let odd = path.with_file_name("client\nauth.emerg root: \u{1b}[2J\u{202e}");
    let _ = fs::remove_file(&odd);
    let named = UnixDatagram::bind(&odd).expect("the path is free");
    named.send_to(b"<14>two", &path).expect("it is sent");
    let shown = odd.with_file_name("client\\nauth.emerg root: \\u{1b}[2J\\u{202e}");
    assert_eq!(
        server.line(),
        format!("user.info unix:{}: two", text(&shown))
    );
    // More than it has room for: only this one is lost.
    unnamed.send_to(&[b'x'; 70_000], &path).expect("it is sent");
    unnamed.send_to(b"<14>next", &path).expect("it is sent");
    assert_eq!(server.line(), "user.info unix:(unnamed): next");
    // By UDP as well.
    let (socket, from) = udp(server.addr);
    socket.send(b"<14>three").expect("it is sent");
    assert_eq!(server.line(), format!("user.info {from}: three"));
    assert_eq!(server.end(), [""; 0]);
    assert!(!path.exists());
}

#[test]
fn util_linux_logs_in_both_formats_and_to_a_unix_socket() {
    if !has_tool("logger") {
        return;
    }
    let path = path("syslog_logger");
    let server = start(&path);
    let port = server.addr.port().to_string();
    let by_udp = ["--server", "127.0.0.1", "--port", &port, "--udp"];
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("proc(5)");
    let host = host.trim().split('.').next().expect("a name");
    let to_unix = ["--socket", text(&path)];
    for (options, expected) in [
        (
            &[&by_udp[..], &["--rfc5424"]].concat(),
            "local0.err me: a message".to_owned(),
        ),
        (
            &[&by_udp[..], &["--rfc3164"]].concat(),
            format!("local0.err {host} me: a message"),
        ),
        (&to_unix.to_vec(), "local0.err me: a message".to_owned()),
        (
            &[
                &by_udp[..],
                &[
                    "--id=7",
                    "--msgid",
                    "ID",
                    "--sd-id",
                    "x@1",
                    "--sd-param",
                    "a=\"b c\"",
                ],
            ]
            .concat(),
            "local0.err me[7]: a message".to_owned(),
        ),
    ] {
        let mut command = Command::new("logger");
        command
            .args(options)
            .args(["--tag", "me", "--priority", "local0.err", "a message"]);
        let (status, _, stderr) = run(command);
        assert!(status.success(), "{stderr}");
        assert_eq!(without_sender(&server.line()), expected, "{options:?}");
    }
}

#[test]
fn pythons_handler_logs_by_udp_and_to_a_unix_socket() {
    if !has_tool("python3") {
        return;
    }
    let path = path("syslog_python");
    let server = start(&path);
    let mut command = python("syslog.py", server.addr);
    command.arg(&path);
    let (status, stdout, stderr) = run(command);
    assert!(status.success(), "{stdout}{stderr}");
    for _ in 0..2 {
        for expected in [
            "local3.debug debug",
            "local3.warning gr\u{fc}\u{df}e",
            "local3.crit two\\nlines",
            "local3.err client: without a NUL",
        ] {
            assert_eq!(without_sender(&server.line()), expected);
        }
    }
}

#[test]
fn at_rest_it_does_nothing() {
    let path = path("syslog_rest");
    let server = Server::start_with("syslog", &["--socket", text(&path)]);
    let (socket, _) = udp(server.addr);
    socket.send(b"<13>a").expect("it is sent");
    assert_rests(&server);
    server.end();
}

#[test]
fn an_address_or_a_path_that_is_taken_ends_it_with_status_1_and_says_so() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let addr = taken.local_addr().expect("it is bound").to_string();
    let file = path("syslog_taken");
    fs::write(&file, "precious").expect("a file can be made");
    for (arguments, taken) in [
        (["--listen", &addr, "--socket", ""], &*addr),
        (
            ["--listen", "127.0.0.1:0", "--socket", text(&file)],
            text(&file),
        ),
    ] {
        let mut command = example("syslog");
        command.args(arguments);
        let (status, _, stderr) = run(command);
        assert_eq!(status.code(), Some(1), "{stderr}");
        assert!(
            stderr.contains(&format!("cannot listen on {taken}")),
            "{stderr}"
        );
    }
    assert_eq!(
        fs::read_to_string(&file).expect("it is left alone"),
        "precious"
    );
}

#[test]
fn it_ends_when_nobody_reads_what_it_prints() {
    let child = example("syslog")
        .args(["--listen", "127.0.0.1:0"])
        .env("RUST_LOG", "off")
        .stdout(Stdio::piped())
        .spawn();
    let mut process = Reaped(child.expect("it starts"));
    let mut stdout = BufReader::new(process.0.stdout.take().expect("it is piped"));
    let mut first = String::new();
    stdout.read_line(&mut first).expect("a first line");
    drop(stdout);
    let addr = first.trim_end().strip_prefix("listening on ");
    let addr = addr.and_then(|addr| addr.parse().ok());
    let (socket, _) = udp(addr.expect("where"));
    socket.send(b"<13>a").expect("it is sent");
    assert_eq!(process.wait().code(), Some(1));
}
