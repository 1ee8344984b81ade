//! Tests of the examples, each a process of its own, by clients over loopback: one
//! program, a module for each example or thing that is promised.

// Elsewhere most tests are left out, and their helpers are not used.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]

mod chunks;
mod common;
mod echo;
mod faults;
mod fetched;
mod fork;
mod forwarded;
mod fuzzed;
mod http;
mod http_cases;
mod http_client;
mod http_client_ends;
mod http_client_urls;
mod http_clients;
mod http_folders;
mod http_limits;
mod http_parts;
mod http_requests;
mod limits;
mod many;
mod memory;
mod mixed;
mod names;
mod printing;
mod proxy;
mod proxy_ends;
mod rest;
mod room;
mod signals;
mod smtp;
mod smtpd;
mod smtpd_messages;
mod stuck;
mod syscalls;
mod syslog;
mod tls;
