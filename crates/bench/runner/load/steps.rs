//! Clients in step, for counts: all say all that they may, and when all of it has
//! come back, all speak again. With a server that runs only when the load waits
//! (see `Under` in `server.rs`), it finds everything there each time it looks: a
//! count is the same in every run.

use std::io::{Read, Write};
use std::net::SocketAddr;

use super::connect_all;
use super::lines::Shape;
use crate::Result;

/// Sends so many lines, rounded up to whole steps, with `idle` other clients
/// connected; returns how many.
pub fn run(address: SocketAddr, shape: Shape, idle: usize, lines: u64) -> Result<u64> {
    let _idle = connect_all(address, idle)?;
    let mut clients = connect_all(address, shape.clients)?;
    let line = [vec![b'x'; shape.line as usize - 1], vec![b'\n']].concat();
    let said = line.repeat(shape.in_flight as usize);
    let mut heard = vec![0; said.len()];
    let steps = lines.div_ceil(shape.clients as u64 * shape.in_flight);
    for _ in 0..steps {
        for client in &mut clients {
            client.write_all(&said)?;
        }
        for client in &mut clients {
            client.read_exact(&mut heard)?;
        }
    }
    Ok(steps * shape.clients as u64 * shape.in_flight)
}
