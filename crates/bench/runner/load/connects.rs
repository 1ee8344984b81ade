//! Clients that come, say one line and go.

use std::net::SocketAddr;

use super::{connect, say_one_line};
use crate::Result;

/// So many are there at a time.
const AT_A_TIME: usize = 32;

/// Makes so many connections, rounded up to whole groups; returns how many.
pub fn run(address: SocketAddr, connections: u64) -> Result<u64> {
    let groups = connections.div_ceil(AT_A_TIME as u64);
    for _ in 0..groups {
        let mut clients = Vec::with_capacity(AT_A_TIME);
        for _ in 0..AT_A_TIME {
            clients.push(connect(address)?);
        }
        for client in &mut clients {
            say_one_line(client)?;
        }
    }
    Ok(groups * AT_A_TIME as u64)
}
