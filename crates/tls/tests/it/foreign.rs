//! Clients of others: OpenSSL's, GnuTLS' and Python's.

use crate::certificates;
use crate::tools::{args, run, serve};

#[test]
fn openssl_talks_by_both_versions() {
    let port = serve(true);
    for (option, version) in [("-tls1_2", "TLSv1_2"), ("-tls1_3", "TLSv1_3")] {
        let line = "s_client -connect 127.0.0.1:$PORT -servername localhost -CAfile $CA \
                    -verify_return_error -quiet";
        let mut args = args(line, port);
        args.push(option.into());
        let Some(said) = run("openssl", &args, "hello\nBIG\nagain\nQUIT\n") else {
            return;
        };
        let answer = format!("{version} localhost - false hello");
        assert!(said.contains(&answer), "{said}");
        assert!(said.contains("false again") && said.len() > 1_000_000);
    }
}

#[test]
fn openssl_takes_new_keys() {
    let port = serve(true);
    let line = "s_client -connect 127.0.0.1:$PORT -servername localhost -CAfile $CA -quiet";
    if let Some(said) = run("openssl", &args(line, port), "KEYS\nhello\nQUIT\n") {
        assert!(
            said.contains("new keys") && said.contains("false hello"),
            "{said}"
        );
    }
}

#[test]
fn gnutls_talks_and_says_goodbye() {
    let port = serve(true);
    let line = "--x509cafile=$CA --port=$PORT --sni-hostname=localhost \
                --verify-hostname=localhost 127.0.0.1";
    if let Some(said) = run("gnutls-cli", &args(line, port), "hello\nQUIT\n") {
        assert!(said.contains("TLSv1_3 localhost - false hello"), "{said}");
        assert!(!said.to_lowercase().contains("error"), "{said}");
    }
}

#[test]
fn openssl_starts_tls_in_the_middle() {
    let port = serve(false);
    let line = "s_client -connect 127.0.0.1:$PORT -servername localhost -CAfile $CA \
                -verify_return_error -starttls smtp -quiet -crlf";
    if let Some(said) = run("openssl", &args(line, port), "hello\nQUIT\n") {
        assert!(said.contains("TLSv1_3 localhost - false hello"), "{said}");
    }
}

/// A session is resumed, and the end of one direction leaves the other open.
#[test]
fn python_resumes_and_unwraps() {
    let [ca, ..] = certificates::files();
    let script = format!(
        r#"
import socket, ssl, sys
context = ssl.create_default_context(cafile={ca:?})
context.maximum_version = getattr(ssl.TLSVersion, sys.argv[2])
session = None
for turn in range(2):
    plain = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    tls = context.wrap_socket(plain, server_hostname="localhost", session=session)
    tls.sendall(b"hello\n")
    print(tls.makefile("rb").readline().decode(), end="")
    session = tls.session
    tls.sendall(b"QUIT\n")
    tls.unwrap()
    print("unwrapped")
"#
    );
    let port = serve(true);
    for (version, name) in [("TLSv1_2", "TLSv1_2"), ("TLSv1_3", "TLSv1_3")] {
        let args = ["-c".into(), script.clone(), port.to_string(), name.into()];
        if let Some(said) = run("python3", &args, "") {
            let expected = format!(
                "{version} localhost - false hello\nunwrapped\n{version} localhost - true hello\nunwrapped\n"
            );
            assert_eq!(said.replace('\r', ""), expected);
        }
    }
}

/// Six connections: the first session is resumed, or, without tickets, by the server's store.
#[test]
fn openssl_reconnects_with_its_session_and_does_without_tickets() {
    let port = serve(true);
    let line = "s_client -connect 127.0.0.1:$PORT -servername localhost -CAfile $CA \
                -verify_return_error -reconnect -tls1_2";
    if let Some(said) = run("openssl", &args(line, port), "Q\n") {
        assert_eq!(said.matches("Reused, TLSv1.2").count(), 5, "{said}");
    }
    for version in ["-tls1_2", "-tls1_3"] {
        let line = "s_client -connect 127.0.0.1:$PORT -servername localhost -CAfile $CA \
                    -verify_return_error -no_ticket -quiet";
        let mut args = args(line, port);
        args.push(version.into());
        if let Some(said) = run("openssl", &args, "hello\nQUIT\n") {
            assert!(said.contains("localhost - false hello"), "{said}");
        }
    }
}

/// `k` sends new keys; `K` asks for ours, too.
#[test]
fn openssl_asks_for_new_keys() {
    let port = serve(true);
    let script = format!(
        r#"
import socket, subprocess, sys
client = subprocess.Popen(["openssl", "s_client", "-connect", "127.0.0.1:" + sys.argv[1],
    "-servername", "localhost", "-CAfile", {:?}, "-tls1_3"], stdin=subprocess.PIPE,
    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
def until(text):
    line = b""
    while text not in line:
        line = client.stdout.readline()
        assert line
until(b"Verify return code: 0")
for turn, command in enumerate((b"K\n", b"k\n", b"K\n")):
    client.stdin.write(command)
    until(b"KEYUPDATE")
    client.stdin.write(b"hello %d\n" % turn)
    until(b"false hello %d" % turn)
client.stdin.write(b"QUIT\n")
client.wait(10)
print("all is well")
"#,
        certificates::files()[0]
    );
    let args = ["-c".into(), script, port.to_string()];
    if let Some(said) = run("python3", &args, "") {
        assert_eq!(said, "all is well\n");
    }
}
