//! What the `main` of every example does: the command line, the logger, the
//! first line on stdout, and ending on a signal.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::process;
use std::time::Duration;

use chat::{ChannelMap, Dispatcher, DispatcherHandler, Endpoint, Result};
use signal_hook::consts::{SIGINT, SIGTERM};

/// How long a server that was told to end goes on sending what is queued.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Installs the logger (`RUST_LOG`, by default `info`) and reads the command
/// line: returns the value of `--listen ADDR`, or `default`.
///
/// Prints the usage and exits when asked for help (status 0) or given
/// something else (status 2).
pub fn listen_address(default: &str) -> String {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    match parse(lexopt::Parser::from_env(), default) {
        Ok(Some(address)) => address,
        Ok(None) => {
            println!("usage: [--listen ADDR]\n\n  --listen ADDR  IP:PORT (default {default})");
            process::exit(0);
        }
        Err(error) => {
            eprintln!("{error}\nusage: [--listen ADDR]");
            process::exit(2);
        }
    }
}

fn parse(mut arguments: lexopt::Parser, default: &str) -> Result<Option<String>, lexopt::Error> {
    use lexopt::prelude::{Long, Short};

    let mut address = default.to_owned();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("listen") => address = arguments.value()?.into_string()?,
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(address))
}

/// Listens on `address`, and says so: `listening on IP:PORT`, the first line on
/// stdout.
///
/// # Errors
///
/// If the address is no address, or taken.
pub fn listen<H: DispatcherHandler>(address: &str, handler: H) -> Result<Dispatcher<H>> {
    let listener = Dispatcher::listen(address, handler)
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    if let Some(bound) = listener.endpoint.local_addr() {
        let mut stdout = io::stdout();
        writeln!(stdout, "listening on {bound}")?;
        stdout.flush()?;
    }
    Ok(listener)
}

/// Inserts a channel that drains the map on SIGINT and SIGTERM: every channel
/// sends what is queued and closes, within 5 s, and then `run` returns.
///
/// # Errors
///
/// If the signals cannot be had.
pub fn end_on_signals(map: &mut ChannelMap) -> Result {
    let (read_end, write_end) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM] {
        signal_hook::low_level::pipe::register(signal, write_end.try_clone()?)?;
    }
    map.insert(Dispatcher::new(read_end, Signals)?)?;
    Ok(())
}

struct Signals;

impl DispatcherHandler for Signals {
    fn handle_read(&mut self, pipe: &mut Endpoint, map: &mut ChannelMap) -> Result {
        let mut signals = [0; 16];
        pipe.recv(&mut signals)?;
        log::info!("ending; {} channels are open", map.len());
        map.drain(map.now() + DRAIN_TIME);
        Ok(())
    }
}
