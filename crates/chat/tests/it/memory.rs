//! What a channel costs in memory; what needs an allocator that counts is
//! tested where `unsafe` is allowed.

use std::mem::size_of;

use chat::{AsyncChat, Terminator};

/// 5,000 idle connections are to cost a few megabytes, so that whoever makes
/// the channel much larger says why.
#[test]
fn an_idle_channel_is_small() {
    let channel = size_of::<AsyncChat<()>>();
    println!("AsyncChat<()>: {channel} bytes");
    assert!(channel <= 264, "{channel} bytes");
    let terminator = size_of::<Terminator>();
    println!("Terminator: {terminator} bytes");
    assert!(terminator <= 24, "{terminator} bytes");
}
