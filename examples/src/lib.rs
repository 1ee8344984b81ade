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

/// An option of a program's command line, `--NAME VALUE`.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// Without the dashes.
    pub name: &'static str,
    /// What the usage calls the value, and what it is.
    pub value: &'static str,
    /// `None`: the option must be given.
    pub default: Option<&'static str>,
}

/// Installs the logger (`RUST_LOG`, by default `info`) and reads the command
/// line: the value of each option.
///
/// Prints the usage and exits when asked for help (status 0) or given
/// something else (status 2).
pub fn options<const N: usize>(known: [Opt; N]) -> [String; N] {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    match parse(lexopt::Parser::from_env(), &known) {
        Ok(Some(values)) => values,
        Ok(None) => match write!(io::stdout(), "options:\n{}", usage(&known)) {
            Ok(()) => process::exit(0),
            Err(_) => process::exit(1),
        },
        Err(error) => {
            // Nobody is left to tell if that fails.
            let _ = write!(io::stderr(), "{error}\noptions:\n{}", usage(&known));
            process::exit(2);
        }
    }
}

/// The command line of a program with no option but `--listen ADDR`.
pub fn listen_option(default: &'static str) -> String {
    let [address] = options([Opt {
        name: "listen",
        value: "ADDR  IP:PORT; port 0 asks for a free one",
        default: Some(default),
    }]);
    address
}

fn parse<const N: usize>(
    mut arguments: lexopt::Parser,
    known: &[Opt; N],
) -> Result<Option<[String; N]>, lexopt::Error> {
    use lexopt::prelude::{Long, Short};

    let mut values = known.map(|option| option.default.map(str::to_owned));
    while let Some(argument) = arguments.next()? {
        let name = match argument {
            Long("help") | Short('h') => return Ok(None),
            Long(name) => name,
            other => return Err(other.unexpected()),
        };
        let Some(index) = known.iter().position(|option| option.name == name) else {
            return Err(argument.unexpected());
        };
        values[index] = Some(arguments.value()?.into_string()?);
    }
    if let Some(index) = values.iter().position(Option::is_none) {
        return Err(format!("missing option '--{}'", known[index].name).into());
    }
    Ok(Some(values.map(Option::unwrap_or_default)))
}

fn usage(known: &[Opt]) -> String {
    let line = |option: &Opt| match option.default {
        Some(default) => format!("  --{} {} (default {default})\n", option.name, option.value),
        None => format!("  --{} {}\n", option.name, option.value),
    };
    known.iter().map(line).collect()
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

/// Inserts a channel that shuts_down the map on SIGINT and SIGTERM: every channel
/// sends what is queued and closes, within 5 s, and then `run` returns. To be
/// called before [`listen`], so that whoever read that line can end the program.
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

/// What a signal does: every channel is told to finish, within 5 s.
pub fn shut_down(map: &mut ChannelMap) {
    log::info!("ending; {} channels are open", map.len());
    map.shut_down(map.now() + DRAIN_TIME);
}

struct Signals;

impl DispatcherHandler for Signals {
    fn handle_read(&mut self, pipe: &mut Endpoint, map: &mut ChannelMap) -> Result {
        let mut signals = [0; 16];
        pipe.recv(&mut signals)?;
        shut_down(map);
        Ok(())
    }
}
