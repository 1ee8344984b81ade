//! Certificates of both sides: wanted, given, missing, wrong, replaced, and chosen by name.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use chat::Endpoint;
use tls::rustls::server::{ResolvesServerCertUsingSni, WebPkiClientVerifier};
use tls::rustls::sign::CertifiedKey;
use tls::rustls::{
    ClientConfig, ClientConnection, ServerConfig, StreamOwned, SupportedProtocolVersion, version,
};
use tls::{Acceptor, Connector};

use crate::certificates::{self, Identity};
use crate::tools::{args, run, serve_with, talk};

/// Asks clients for a certificate of the authority's; those that have none may be let in.
fn asks(is_optional: bool) -> Acceptor {
    let verifier = WebPkiClientVerifier::builder(Arc::new(certificates::roots()));
    let verifier = match is_optional {
        true => verifier.allow_unauthenticated(),
        false => verifier,
    };
    let own = Identity::issued("localhost");
    let config = ServerConfig::builder()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(own.chain(), own.key());
    Acceptor::new(config.unwrap())
}

fn connect(connector: &Connector, host: &str, port: u16) -> Endpoint {
    connector.over(host, Endpoint::connect(("127.0.0.1", port)))
}

#[test]
fn openssl_gives_a_certificate_or_none_or_a_strangers() {
    for is_optional in [false, true] {
        let port = serve_with(asks(is_optional), true);
        let without = if is_optional {
            "no certificate"
        } else {
            "alert"
        };
        for version in ["-tls1_2", "-tls1_3"] {
            for (option, answer) in [
                ("-cert $CLIENT -key $CLIENT", "a certificate"),
                ("", without),
                ("-cert $STRANGER -key $STRANGER", "alert"),
            ] {
                let line = "s_client -connect 127.0.0.1:$PORT -servername localhost -CAfile $CA \
                            -verify_return_error -quiet";
                let line = format!("{line} {version} {option}");
                if let Some(said) = run("openssl", &args(&line, port), "WHO\nQUIT\n") {
                    assert!(said.contains(answer), "{line}: {said}");
                }
            }
        }
    }
}

fn client_of(identity: Option<&Identity>, version: &'static SupportedProtocolVersion) -> Connector {
    let config = ClientConfig::builder_with_protocol_versions(&[version])
        .with_root_certificates(certificates::roots());
    Connector::new(match identity {
        Some(identity) => config
            .with_client_auth_cert(identity.chain(), identity.key())
            .unwrap(),
        None => config.with_no_client_auth(),
    })
}

/// By TLS 1.3 a client is done before the server has seen its certificate.
#[test]
fn our_client_gives_its_certificate_and_hears_that_it_is_missing() {
    let port = serve_with(asks(false), true);
    let own = Identity::issued("ada");
    for version in [&version::TLS12, &version::TLS13] {
        let given = client_of(Some(&own), version);
        let said = talk(connect(&given, "localhost", port), "WHO\nQUIT\n");
        assert_eq!(said, ["connected", "a certificate\r", "Eof"]);
        let missing = client_of(None, version);
        let said = talk(connect(&missing, "localhost", port), "WHO\nQUIT\n");
        let last = said.last().unwrap();
        assert!(
            last.starts_with("InvalidData: received fatal alert"),
            "{said:?}"
        );
        assert!(!said.iter().any(|line| line.contains("a certificate")));
    }
}

#[test]
fn a_certificate_that_does_not_hold_is_refused_by_name() {
    let expired = Identity::issued_with("localhost", |params| {
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let connector = Connector::new(certificates::client());
    for (identity, complaint) in [
        (expired, "certificate expired"),
        (Identity::issued("example.org"), "not valid for name"),
        (Identity::self_signed("localhost"), "UnknownIssuer"),
    ] {
        let port = serve_with(Acceptor::new(identity.server()), true);
        let said = talk(connect(&connector, "localhost", port), "hello\n");
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("InvalidData: "), "{said:?}");
        assert!(said[0].contains(complaint), "{said:?}");
    }
}

#[test]
fn a_name_chooses_the_certificate_and_one_without_has_none() {
    let mut resolver = ResolvesServerCertUsingSni::new();
    let config = ServerConfig::builder().with_no_client_auth();
    let provider = Arc::clone(config.crypto_provider());
    for name in ["one.test", "two.test"] {
        let identity = Identity::issued(name);
        let key = provider.key_provider.load_private_key(identity.key());
        let certified = CertifiedKey::new(identity.chain(), key.unwrap());
        resolver.add(name, certified).unwrap();
    }
    let acceptor = Acceptor::new(config.with_cert_resolver(Arc::new(resolver)));
    let port = serve_with(acceptor, true);
    let connector = Connector::new(certificates::client());
    for name in ["one.test", "two.test"] {
        let said = talk(connect(&connector, name, port), "hello\nQUIT\n");
        let answer = format!("TLSv1_3 {name} - false hello\r");
        assert_eq!(said, ["connected", &answer, "Eof"]);
    }
    let said = talk(connect(&connector, "three.test", port), "hello\n");
    assert!(said[0].contains("alert"), "{said:?}");
}

fn blocking(port: u16) -> StreamOwned<ClientConnection, TcpStream> {
    let name = "localhost".try_into().unwrap();
    let client = ClientConnection::new(certificates::client(), name).unwrap();
    StreamOwned::new(client, TcpStream::connect(("127.0.0.1", port)).unwrap())
}

fn ask(stream: &mut StreamOwned<ClientConnection, TcpStream>) -> String {
    stream.write_all(b"hello\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    String::from_utf8(answer).unwrap()
}

#[test]
fn a_new_certificate_is_for_new_connections() {
    let [before, after] = [(); 2].map(|()| Identity::issued("localhost"));
    let acceptor = Acceptor::new(before.server());
    let port = serve_with(acceptor.clone(), true);
    let mut old = blocking(port);
    ask(&mut old);
    acceptor.replace(after.server()); // from another thread than the server's
    let mut new = blocking(port);
    for _ in 0..2 {
        assert_eq!(ask(&mut new), "TLSv1_3 localhost - false hello\r\n");
        assert_eq!(ask(&mut old), "TLSv1_3 localhost - false hello\r\n");
    }
    assert_eq!(old.conn.peer_certificates().unwrap(), before.chain());
    assert_eq!(new.conn.peer_certificates().unwrap(), after.chain());
}
