//! A chat channel against a model of it.

#![no_main]

#[path = "../framer/mod.rs"]
mod framer;
#[path = "../../crates/chat/tests/it/common/sim.rs"]
#[allow(dead_code, reason = "the tests of the crate use all of it")]
mod sim;

libfuzzer_sys::fuzz_target!(|data: &[u8]| framer::check(data));
