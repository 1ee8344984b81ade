//! Ending on SIGINT and SIGTERM: the first one drains, the second one kills.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chat::{ChannelMap, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::signals::on_signal;

/// How long a server that was told to end goes on sending what is queued.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Shuts the map down on SIGINT and SIGTERM. A second signal ends the program at once,
/// whatever it does then.
///
/// # Errors
///
/// The operating system's, if the signals cannot be had.
pub(crate) fn end_on_signals(map: &mut ChannelMap) -> Result {
    let is_second = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds `false`, and sets it.
        flag::register_conditional_default(signal, Arc::clone(&is_second))?;
        flag::register(signal, Arc::clone(&is_second))?;
        let unheard = Unheard(Arc::clone(&is_second));
        on_signal(signal, map, move |map| {
            let _ = &unheard; // for as long as the channel lives
            shut_down(map);
            Ok(())
        })?;
    }
    Ok(())
}

/// Does the same as a signal: tells every channel to finish within 5 s.
pub fn shut_down(map: &mut ChannelMap) {
    log::info!("ending; {} channels are open", map.len());
    map.shut_down(map.after(DRAIN_TIME));
}

/// Goes with the channel of a signal. Only the output is left to drain then, and nobody
/// would hear the next signal: it ends the program.
struct Unheard(Arc<AtomicBool>);

impl Drop for Unheard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
