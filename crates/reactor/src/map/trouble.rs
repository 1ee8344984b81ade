//! What the operating system cannot do for now, and what the map does by its own
//! clock: it tries again.

use std::io;
use std::mem;
use std::thread;
use std::time::{Duration, Instant};

use super::ChannelMap;
use crate::close_reason::CloseReason;
use crate::token::Token;

/// How long a channel waits that the poller could not watch.
const WATCH_PAUSE: Duration = Duration::from_millis(250);

/// How long the loop pauses when its wait fails. All channels wait meanwhile.
const WAIT_PAUSE: Duration = Duration::from_millis(10);

/// How long it pauses when nothing is reported but what nobody can silence.
const STRANGER_PAUSE: Duration = Duration::from_millis(1);

/// What is wrong at present.
#[derive(Default)]
pub(super) struct Trouble {
    /// When the channels that the poller could not watch are tried again.
    retry_at: Option<Instant>,
    /// The last turn whose wait failed, until one succeeds.
    wait_failed_in: Option<u64>,
    /// The poller reports what no channel has; it is in the log.
    has_strangers: bool,
}

impl ChannelMap {
    /// The poller does not watch a channel as it wants. If that may pass, the
    /// channel stays, and is asked again after a while.
    #[cold]
    pub(super) fn bear_unwatched(
        &mut self,
        token: Token,
        error: io::Error,
    ) -> Result<(), CloseReason> {
        if !is_shortage(&error) {
            return Err(CloseReason::Io(error));
        }
        if let Some(slot) = self.slots.get_mut(token.slot) {
            if !mem::replace(&mut slot.is_unwatched, true) {
                log::warn!("channel {token}: cannot be watched for now: {error}");
            }
        }
        let retry_at = self.now + WATCH_PAUSE;
        self.trouble.retry_at.get_or_insert(retry_at);
        self.set_alarm();
        Ok(())
    }

    /// The wait failed. If that may pass, the turn goes on, after a pause unless there
    /// is something to do.
    ///
    /// What such a wait has reported all the same is among the events. It may have
    /// left the poller deaf to [`Remote::wake`](crate::Remote::wake), until one
    /// succeeds: so the next ones do not sleep.
    #[cold]
    pub(super) fn bear_failed_wait(&mut self, error: io::Error) -> io::Result<()> {
        if !is_shortage(&error) {
            return Err(error);
        }
        if self.trouble.wait_failed_in.replace(self.turns).is_none() {
            log::warn!("cannot wait for events for now: {error}");
        }
        self.pause(WAIT_PAUSE);
        self.set_alarm();
        Ok(())
    }

    /// Nothing that the poller reported is anybody's. Its entry cannot be deleted, for
    /// its descriptor is another file's by now, and would be reported without a pause.
    #[cold]
    pub(super) fn bear_strangers(&mut self) {
        if !mem::replace(&mut self.trouble.has_strangers, true) {
            log::warn!(
                "the poller reports a file that no channel has any more: its descriptor \
                 was replaced (by dup2(2), for example) while it was watched"
            );
        }
        self.pause(STRANGER_PAUSE);
        self.set_alarm();
    }

    /// Sleeps so long, without the poller, unless there is something to do.
    fn pause(&mut self, at_most: Duration) {
        self.alarm = None; // which may be there for the next wait only
        if let Some(pause) = self.patience(Some(at_most)) {
            thread::sleep(pause);
        }
    }

    /// Finds out when the map has something to do that is no channel's timer.
    pub(super) fn set_alarm(&mut self) {
        self.alarm = match self.trouble.wait_failed_in {
            Some(_) => Some(self.now), // at once
            None => [self.shutdown_deadline, self.trouble.retry_at]
                .into_iter()
                .flatten()
                .min(),
        };
    }

    /// Does what is due by the map's own clock.
    #[cold]
    pub(super) fn ring(&mut self) {
        if let Some(deadline) = self.shutdown_deadline {
            if deadline <= self.now {
                self.close_all_with(|| CloseReason::Shutdown);
                self.run_closes();
            }
            if self.is_done() {
                self.shutdown_deadline = None;
            }
        }
        if self.trouble.retry_at.is_some_and(|at| at <= self.now) {
            self.trouble.retry_at = None;
            for (_, slot) in &mut self.slots {
                if slot.is_unwatched {
                    slot.is_new = true;
                    slot.touch(self.touched.get_mut());
                }
            }
        }
        if self.trouble.wait_failed_in != Some(self.turns) {
            self.trouble.wait_failed_in = None;
        }
        self.set_alarm();
    }
}

/// Whether the system is short of something that it may have again: memory,
/// descriptors, watches, buffers. Anything else (`EBADF`, `EINVAL`, `EFAULT`,
/// `EPERM`, `ENOENT`) is so for good, or is a bug: to try again would hide it.
fn is_shortage(error: &io::Error) -> bool {
    use io::ErrorKind::{
        Interrupted, OutOfMemory, QuotaExceeded, ResourceBusy, StorageFull, WouldBlock,
    };
    // ENOSPC is what `epoll_ctl` says at the limit of watches.
    matches!(
        error.kind(),
        Interrupted | OutOfMemory | QuotaExceeded | ResourceBusy | StorageFull | WouldBlock
    ) || error
        .raw_os_error()
        .is_some_and(|code| NAMELESS.contains(&code))
}

/// ENFILE, EMFILE and ENOBUFS, for which [`io::ErrorKind`] has no name.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NAMELESS: [i32; 3] = [23, 24, 105];
#[cfg(any(target_os = "solaris", target_os = "illumos"))]
const NAMELESS: [i32; 3] = [23, 24, 132];
#[cfg(all(
    unix,
    not(any(
        target_os = "linux",
        target_os = "android",
        target_os = "solaris",
        target_os = "illumos"
    ))
))]
const NAMELESS: [i32; 3] = [23, 24, 55];
/// `WSAEMFILE` and `WSAENOBUFS`.
#[cfg(windows)]
const NAMELESS: [i32; 2] = [10_024, 10_055];
