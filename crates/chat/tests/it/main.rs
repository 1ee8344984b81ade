//! Tests of the chat channels, through their public API: one program, a module
//! for each thing that is promised.

mod accept;
mod closing;
mod common;
mod connect;
mod connect_outcomes;
mod conversion;
mod convert;
mod datagrams;
mod dispatcher;
mod dispatcher_with_send;
mod errors;
mod file_dispatcher;
mod framing;
mod fuzzed;
mod limits;
mod linger;
mod memory;
mod oracle;
mod ordering;
mod ordinary;
mod original;
mod out_of_band;
mod pause;
mod porting;
mod producers;
mod push;
mod reasons;
mod regressions;
mod rest;
mod seam;
mod shutdown;
mod skip;
mod token;
mod transport;
