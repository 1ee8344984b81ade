//! The TCP forwarder's names: they are resolved again while it serves, and nobody waits.

#![cfg(target_os = "linux")] // for LD_PRELOAD

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

use crate::common::{Server, assert_rests, example, has_tool, wait_until};
use crate::forwarded::{expect, pair};

/// A resolver in place of the C library's. The first question has an answer at once. Any other
/// waits until the test writes a line into the FIFO `answer`, and has that for an answer; an
/// empty one is a failure. It notes that it was asked.
const RESOLVER: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int count;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **result)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        dlsym(RTLD_NEXT, "getaddrinfo");
    char path[4096], host[64] = "127.0.0.1";
    FILE *file;

    (void)node;
    if (__atomic_fetch_add(&count, 1, __ATOMIC_SEQ_CST) > 0) {
        snprintf(path, sizeof path, "%s/asked", getenv("RESOLVER"));
        if ((file = fopen(path, "a")) != NULL) {
            fputs("asked\n", file);
            fclose(file);
        }
        snprintf(path, sizeof path, "%s/answer", getenv("RESOLVER"));
        if ((file = fopen(path, "r")) == NULL || fgets(host, sizeof host, file) == NULL)
            host[0] = 0;
        if (file != NULL)
            fclose(file);
        host[strcspn(host, "\n")] = 0;
        if (host[0] == 0)
            return EAI_AGAIN;
    }
    return real(host, service, hints, result);
}
"#;

/// What the resolver and the test tell each other.
struct Resolver(PathBuf);

impl Resolver {
    /// `None`, if there is no compiler for it.
    fn build(name: &str) -> Option<Self> {
        if !has_tool("cc") || !has_tool("mkfifo") {
            return None;
        }
        let folder = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("it is writable");
        let resolver = Self(folder);
        fs::write(resolver.path("resolver.c"), RESOLVER).expect("it is writable");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]);
        compiler.arg(resolver.path("resolver.so"));
        compiler.arg(resolver.path("resolver.c")).arg("-ldl");
        let status = compiler.status().expect("it is installed");
        assert!(status.success(), "{status}");
        let status = Command::new("mkfifo").arg(resolver.path("answer")).status();
        assert!(status.is_ok_and(|status| status.success()));
        Some(resolver)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn asked(&self) -> usize {
        fs::read_to_string(self.path("asked")).map_or(0, |it| it.lines().count())
    }

    /// Waits for the question.
    fn answer(&self, host: &str) {
        fs::write(self.path("answer"), host).expect("it is a FIFO");
    }

    /// A proxy that asks this resolver again with each connection.
    fn proxy(&self, port: u16) -> Server {
        let mut proxy = example("proxy");
        proxy.env("LD_PRELOAD", self.path("resolver.so"));
        proxy.env("RESOLVER", &self.0);
        proxy.args(["--to", &format!("somewhere.test:{port}")]);
        proxy.args(["--refresh", "0"]);
        Server::spawn(proxy)
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_slow_resolver_holds_up_nobody_and_its_answer_counts_when_it_comes() {
    let Some(resolver) = Resolver::build("slow-resolver") else {
        return;
    };
    let first = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = first.local_addr().expect("it is bound").port();
    let second = SocketAddr::from(([127, 0, 0, 2], port));
    let second = TcpListener::bind(second).expect("the same port of another address");
    let proxy = resolver.proxy(port);

    // While the resolver is silent, connections go where the last answer says, and speak.
    let ends: Vec<_> = (0..10).map(|_| pair(&proxy, &first)).collect();
    wait_until("it asks again", || resolver.asked() == 1);
    for (client, server) in &ends {
        expect(client, server, b"hello");
        expect(server, client, b"hello to you");
    }
    assert_rests(&proxy);
    assert_eq!(resolver.asked(), 1); // by one thread, however many come

    // A failure changes nothing.
    resolver.answer("");
    proxy.wait_for_log("cannot resolve somewhere.test");
    let (client, server) = pair(&proxy, &first);
    expect(&client, &server, b"still there");
    wait_until("it asks again", || resolver.asked() == 2);

    resolver.answer("127.0.0.2\n");
    // The answer comes back soon after.
    wait_until("it connects to the other", || {
        let stray = std::net::TcpStream::connect(proxy.addr).expect("the proxy accepts");
        second.set_nonblocking(true).expect("it is a socket");
        first.set_nonblocking(true).expect("it is a socket");
        let mut is_second = false;
        wait_until("it connects somewhere", || {
            is_second = second.accept().is_ok();
            is_second || first.accept().is_ok()
        });
        drop(stray);
        is_second
    });
    let (client, server) = &ends[0];
    expect(client, server, b"where I was");
}

#[test]
fn a_resolver_that_never_answers_does_not_keep_the_program() {
    let Some(resolver) = Resolver::build("dead-resolver") else {
        return;
    };
    let target = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = target.local_addr().expect("it is bound").port();
    let proxy = resolver.proxy(port);
    drop(pair(&proxy, &target));
    wait_until("it asks again", || resolver.asked() == 1);
    proxy.end();
}
