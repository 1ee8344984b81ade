//! The web server, `examples/http`.

#![no_main]

#[path = "../http/mod.rs"]
mod server;
#[path = "../../crates/chat/tests/it/common/sim.rs"]
#[allow(dead_code, reason = "the tests of the crate use all of it")]
mod sim;

libfuzzer_sys::fuzz_target!(|data: &[u8]| server::check(data));
