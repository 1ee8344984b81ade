//! Ending on SIGINT and SIGTERM: the first one drains, the second one kills.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chat::{ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// How long a server that was told to end goes on sending what is queued.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Inserts a channel that shuts the map down on SIGINT and SIGTERM. A second signal ends
/// the program at once, whatever it does then.
///
/// # Errors
///
/// The operating system's, if the signals cannot be had.
pub(crate) fn end_on_signals(map: &mut ChannelMap) -> Result {
    let (read_end, write_end) = UnixStream::pair()?;
    let is_second = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds `false`, and sets it.
        flag::register_conditional_default(signal, Arc::clone(&is_second))?;
        flag::register(signal, Arc::clone(&is_second))?;
        low_level::pipe::register(signal, write_end.try_clone()?)?;
    }
    let signals = Signals { is_second };
    let signals = map.insert(Dispatcher::new(read_end, signals)?)?;
    map.set_background(signals);
    Ok(())
}

/// Does the same as a signal: tells every channel to finish within 5 s.
pub fn shut_down(map: &mut ChannelMap) {
    log::info!("ending; {} channels are open", map.len());
    map.shut_down(map.now() + DRAIN_TIME);
}

struct Signals {
    /// Whether the next signal ends the program at once.
    is_second: Arc<AtomicBool>,
}

impl DispatcherHandler for Signals {
    fn handle_read(&mut self, pipe: &mut Endpoint, map: &mut ChannelMap) -> Result {
        pipe.recv(&mut [0; 16])?;
        shut_down(map);
        Ok(())
    }

    /// The other end is in this program and stays open: to wait for its end is in vain.
    fn handle_shutdown(&mut self, pipe: &mut Endpoint, _map: &mut ChannelMap) -> Result {
        pipe.close_with(CloseReason::Shutdown);
        Ok(())
    }

    /// Only the output is left to drain: the next signal ends the program.
    fn handle_close(&mut self, _: CloseReason, _pipe: &mut Endpoint, _map: &mut ChannelMap) {
        self.is_second.store(true, Ordering::SeqCst);
    }
}
