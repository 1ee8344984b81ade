//! Signals as channels: [`on_signal`]. This file needs `chat` and `signal-hook` only.

use std::io;
use std::os::unix::net::UnixStream;

use chat::{ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint, Result, Token};
use signal_hook::consts::FORBIDDEN;
use signal_hook::low_level::pipe;

/// Calls `f` from the loop after the process has got `signal`, such as `SIGHUP` or
/// `SIGCHLD`. Signals that come before the loop gets to it are one call, so `f` must look
/// for all that may have happened: `SIGCHLD` may be several children.
///
/// The signal's own action, which may be to end the process, is over for good. The channel
/// is in the [background](ChannelMap::set_background): it does not keep the loop running.
///
/// # Errors
///
/// The operating system's, if it has no descriptor. `InvalidInput` for a signal that
/// cannot be handled (`SIGKILL`, `SIGSTOP`) or cannot be put off (`SIGSEGV`, `SIGFPE`,
/// `SIGILL`).
pub fn on_signal(
    signal: i32,
    map: &mut ChannelMap,
    f: impl FnMut(&mut ChannelMap) -> Result + 'static,
) -> Result<Token> {
    if FORBIDDEN.contains(&signal) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
    }
    let (read_end, write_end) = UnixStream::pair()?;
    let channel = map.insert(Dispatcher::new(read_end, Signal(f)))?;
    map.set_background(channel);
    pipe::register(signal, write_end).inspect_err(|_| {
        map.close(channel);
    })?;
    Ok(channel.token())
}

struct Signal<F>(F);

impl<F: FnMut(&mut ChannelMap) -> Result + 'static> DispatcherHandler for Signal<F> {
    fn handle_read(&mut self, pipe: &mut Endpoint, map: &mut ChannelMap) -> Result {
        pipe.recv(&mut [0; 64])?;
        (self.0)(map)
    }

    /// The other end is in this program and stays open: to wait for its end is in vain.
    fn handle_shutdown(&mut self, pipe: &mut Endpoint, _map: &mut ChannelMap) -> Result {
        pipe.close_with(CloseReason::Shutdown);
        Ok(())
    }
}
