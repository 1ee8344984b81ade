//! Code that the examples share. A copy of an example depends on this crate, or copies the
//! files that it uses.
//!
//! - [`start`] and [`begin`]: a map, the log, the end on a signal, the command line.
//! - [`listen`]: a listener that prints its address.
//! - [`Output`]: standard output as a channel.
//! - [`on_signal`]: a signal as a channel.
//! - [`on_thread`]: a call that blocks, on a thread of its own.
//! - [`Security`]: TLS, if the command line asks for it.
//! - [`printable`]: a peer's text in a form that is safe to print.
//! - [`Chunks`]: the end of an HTTP body in chunks.
//! - [`lines`]: characters that no line of HTTP may have.
//! - [`find_unquoted`]: a character outside quotes.

mod blocking;
mod chunks;
mod ending;
pub mod lines;
mod logger;
mod options;
mod output;
mod printable;
mod quoted;
mod security;
mod signals;

use std::io;

use chat::{ChannelMap, Dispatcher, DispatcherHandler, Handle, Result};

pub use blocking::on_thread;
pub use chunks::{ChunkError, Chunks};
pub use ending::shut_down;
pub use options::Opt;
pub use output::Output;
pub use printable::printable;
pub use quoted::find_unquoted;
pub use security::{Security, TLS_CERT, TLS_KEY};
pub use signals::on_signal;

/// Begins a server, as [`begin`] does. The map ends on SIGINT and SIGTERM. Returns the values
/// of the command line's options, too.
///
/// Prints the usage and exits when asked for help (status 0) or given something else
/// (status 2).
///
/// # Errors
///
/// The operating system's, if there is no poller, no signal or no descriptor to be had.
pub fn start<const N: usize>(known: [Opt; N]) -> Result<(ChannelMap, Output, [String; N])> {
    let values = options::options(known);
    let (mut map, stdout) = begin()?;
    ending::end_on_signals(&mut map)?;
    Ok((map, stdout, values))
}

/// Begins a program: installs the log, and returns a map and standard output. When all
/// other channels are gone, these are flushed, and `run` returns.
///
/// # Errors
///
/// The operating system's, if there is no poller or no descriptor to be had.
pub fn begin() -> Result<(ChannelMap, Output)> {
    let mut map = ChannelMap::new()?;
    logger::init(&mut map)?;
    let stdout = Output::insert(io::stdout(), "standard output", &mut map)?;
    Ok((map, stdout))
}

/// Listens on `address`, and says so: `listening on IP:PORT`, the first line on
/// standard output.
///
/// # Errors
///
/// If the address is no address, or taken.
pub fn listen<H: DispatcherHandler>(
    address: &str,
    handler: H,
    stdout: Output,
    map: &mut ChannelMap,
) -> Result<Handle<Dispatcher<H>>> {
    let listener = map
        .insert(Dispatcher::listen(address, handler))
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let bound = map.get(listener)?.endpoint.local_addr();
    let bound = bound.ok_or("no address")?;
    stdout.print(format!("listening on {bound}\n"), map);
    Ok(listener)
}
