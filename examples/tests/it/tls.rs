//! The servers over TLS, with clients that others have written.
#![cfg(feature = "tls")]

use std::fs;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::common::{Server, example, has_tool, python, run};

/// An authority, and a certificate for `localhost`; `None` without `openssl`.
static CERTIFICATES: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    if !has_tool("openssl") {
        return None;
    }
    let place = std::env::temp_dir().join(format!("chat-tls-{}", std::process::id()));
    fs::create_dir_all(&place).expect("the folder can be made");
    let script = "
        set -e
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 \
            -keyout ca.key -out ca.pem -subj '/CN=an authority'
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
            -keyout key.pem -out request.pem -subj '/CN=a server'
        printf 'subjectAltName=DNS:localhost\\nbasicConstraints=CA:FALSE\\n' >extensions
        openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 9 \
            -extfile extensions -out cert.pem";
    let mut sh = Command::new("sh");
    sh.args(["-c", script]).current_dir(&place);
    let (status, _, errors) = run(sh);
    assert!(status.success(), "{errors}");
    Some(place)
});

/// The folder with the authority's certificate, the server's and its key: `ca.pem`, `cert.pem`
/// and `key.pem`.
pub(crate) fn certificates() -> Option<&'static Path> {
    CERTIFICATES.as_deref()
}

fn file(place: &Path, name: &str) -> String {
    place.join(name).display().to_string()
}

fn start(name: &str, options: &[&str]) -> Option<(Server, &'static Path)> {
    let place = certificates()?;
    let (cert, key) = (file(place, "cert.pem"), file(place, "key.pem"));
    let mut all = vec!["--tls-cert", &cert, "--tls-key", &key];
    all.extend(options);
    Some((Server::start_with(name, &all), place))
}

#[test]
fn mail_comes_by_starttls_and_nothing_slips_in_before() {
    let Some((server, place)) = start("smtpd", &[]) else {
        return;
    };
    if has_tool("python3") {
        let mut client = python("starttls.py", server.addr);
        client.arg(file(place, "ca.pem"));
        let (status, said, errors) = run(client);
        assert!(status.success(), "{said}{errors}");
    }
    if has_tool("swaks") {
        let mut swaks = Command::new("swaks");
        swaks.args(["--tls", "--to", "ada@example.org", "--server"]);
        swaks.arg(server.addr.to_string());
        let (status, said, errors) = run(swaks);
        assert!(status.success(), "{said}{errors}");
        assert!(said.contains("TLS started with cipher TLSv1.3"), "{said}");
    }
    server.end();
}

#[test]
fn curl_gets_pages_by_both_versions_and_posts_a_megabyte() {
    let Some((server, place)) = start("http", &["--root", "tests/clients"]) else {
        return;
    };
    if !has_tool("curl") {
        return;
    }
    let port = server.addr.port();
    let curl = |options: &[&str], path: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "15", "--cacert"]);
        curl.arg(place.join("ca.pem"));
        curl.args(["--resolve", &format!("localhost:{port}:127.0.0.1")]);
        curl.args(options)
            .arg(format!("https://localhost:{port}{path}"));
        run(curl)
    };
    for version in ["--tlsv1.3", "--tls-max=1.2"] {
        let (status, said, errors) = curl(&version.split('=').collect::<Vec<_>>(), "/plaintext");
        assert!(status.success(), "{version}: {errors}");
        assert_eq!(said, "Hello, World!");
    }
    let body = place.join("body");
    fs::write(&body, vec![b'x'; 1 << 20]).expect("there is room");
    let data = format!("@{}", body.display());
    let (status, said, errors) = curl(&["--data-binary", &data], "/echo");
    assert!(status.success() && said.len() == 1 << 20, "{errors}");
    // One connection, and a page that has more than one record.
    let again = format!("https://localhost:{port}/starttls.py");
    let (status, said, errors) = curl(&["-v", &again], "/starttls.py");
    assert!(status.success(), "{errors}");
    assert_eq!(said.matches("all is well").count(), 2);
    assert!(errors.contains("Re-using existing connection"), "{errors}");
    let (status, ..) = curl(&["--cacert", "/dev/null"], "/plaintext");
    assert!(!status.success(), "an authority that nobody trusts");
    server.end();
}

#[test]
fn our_own_client_wants_a_certificate_that_it_trusts() {
    let Some((server, place)) = start("http", &[]) else {
        return;
    };
    let url = format!("https://localhost:{}/plaintext", server.addr.port());
    let by_address = format!("https://{}/plaintext", server.addr);
    let get = |url: &str, authority: &str| {
        let mut client = example("http_client");
        client.args(["--cafile", authority, url]);
        run(client)
    };
    let authority = file(place, "ca.pem");
    let (status, said, errors) = get(&url, &authority);
    assert!(
        status.success() && said.ends_with("Hello, World!"),
        "{errors}"
    );
    for (url, authority, complaint) in [
        (&*by_address, &*authority, "not valid for name"),
        (&*url, &*file(place, "cert.pem"), "UnknownIssuer"),
        (&*url, "/dev/null", "no certificate in /dev/null"),
    ] {
        let (status, _, errors) = get(url, authority);
        assert_eq!(status.code(), Some(1));
        assert!(errors.contains(complaint), "{errors}");
    }
    server.end();
}

#[test]
fn openssl_reads_what_the_others_of_the_room_say_and_echo_sends_back() {
    let Some((server, place)) = start("echo", &[]) else {
        return;
    };
    let script = format!(
        "(printf 'hello\\n'; head -c 60000 /dev/zero | tr '\\0' x; printf '\\nbye\\n'; sleep 1) | \
         timeout 10 openssl s_client -quiet -verify_return_error -CAfile {} -servername localhost \
         -connect {}",
        file(place, "ca.pem"),
        server.addr,
    );
    let mut sh = Command::new("sh");
    sh.args(["-c", &script]);
    let (_, said, errors) = run(sh);
    assert!(
        said.starts_with("hello\nxxx") && said.ends_with("x\nbye\n"),
        "{errors}"
    );
    server.end();
}

#[test]
fn a_file_that_is_missing_is_named() {
    let mut command = example("echo");
    command.args([
        "--tls-cert",
        "/nowhere/cert.pem",
        "--tls-key",
        "/nowhere/key.pem",
    ]);
    let (status, _, errors) = run(command);
    assert!(!status.success());
    assert!(
        errors.contains("no certificate in /nowhere/cert.pem"),
        "{errors}"
    );
}
