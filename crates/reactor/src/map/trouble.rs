//! Shortages of the operating system, which pass. The map waits by a clock of its own,
//! and tries again.

use std::io;
use std::mem;
use std::thread;
use std::time::{Duration, Instant};

use super::ChannelMap;
use crate::close_reason::CloseReason;
use crate::token::Token;

/// How long a channel waits if the poller could not watch it.
const WATCH_PAUSE: Duration = Duration::from_millis(250);

/// How long the loop pauses when its wait fails. All channels wait meanwhile.
const WAIT_PAUSE: Duration = Duration::from_millis(10);

/// How long the loop pauses when the poller reports only files that no channel has.
const STRANGER_PAUSE: Duration = Duration::from_millis(1);

/// The troubles of the moment.
#[derive(Default)]
pub(super) struct Trouble {
    /// When the map tries again to watch the channels that the poller refused.
    retry_at: Option<Instant>,
    /// The last turn whose wait failed; `None` once a wait has succeeded.
    wait_failed_in: Option<u64>,
    /// The poller has reported a file that no channel has; the log has the warning.
    has_strangers: bool,
}

impl ChannelMap {
    /// Handles a poller that does not watch a channel as it wants. If the error may
    /// pass, the channel stays, and is asked again after a while.
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

    /// Handles a failed wait. If the error may pass, the turn goes on, after a pause
    /// unless there is work to do.
    ///
    /// Events that such a wait has reported all the same are dispatched. Until a wait
    /// succeeds, the poller may not hear [`Remote::wake`](crate::Remote::wake). So the
    /// next waits do not sleep.
    #[cold]
    pub(super) fn bear_failed_wait(&mut self, error: io::Error) -> io::Result<()> {
        if !is_shortage(&error) {
            return Err(error);
        }
        if self
            .trouble
            .wait_failed_in
            .replace(self.counts.turns)
            .is_none()
        {
            log::warn!("cannot wait for events for now: {error}");
        }
        self.pause(WAIT_PAUSE);
        self.set_alarm();
        Ok(())
    }

    /// Handles a wait that reported only files that no channel has. Their entries cannot
    /// be deleted, since their descriptors are other files' by now. Without a pause the
    /// loop would spin.
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

    /// Sleeps for `at_most`, without the poller, or less if there is work to do.
    fn pause(&mut self, at_most: Duration) {
        self.alarm = None; // it may only be there to keep the next wait from sleeping
        if let Some(pause) = self.patience(Some(at_most)) {
            thread::sleep(pause);
        }
    }

    /// Sets the time at which the map itself has work to do, apart from channels' timers.
    pub(super) fn set_alarm(&mut self) {
        self.alarm = match self.trouble.wait_failed_in {
            Some(_) => Some(self.now), // at once
            None => [self.shutdown_deadline, self.trouble.retry_at]
                .into_iter()
                .flatten()
                .min(),
        };
    }

    /// Does the work that is due by the map's own clock.
    #[cold]
    pub(super) fn ring(&mut self) {
        if let Some(deadline) = self.shutdown_deadline {
            if deadline <= self.now {
                self.close_all_with(|| CloseReason::Shutdown);
                self.run_closes();
            }
            if self.slots.is_empty() {
                self.shutdown_deadline = None;
            }
        }
        if self.trouble.retry_at.is_some_and(|at| at <= self.now) {
            self.trouble.retry_at = None;
            for (_, slot) in &mut self.slots {
                if slot.is_unwatched {
                    slot.must_ask = true;
                    slot.touch(self.touched.get_mut());
                }
            }
        }
        if self.trouble.wait_failed_in != Some(self.counts.turns) {
            self.trouble.wait_failed_in = None;
        }
        self.set_alarm();
    }
}

/// Whether the system is short of memory, descriptors, watches or buffers, which may
/// pass. Any other error (`EBADF`, `EINVAL`, `EFAULT`, `EPERM`, `ENOENT`) is permanent,
/// or a bug that another attempt would hide.
fn is_shortage(error: &io::Error) -> bool {
    use io::ErrorKind::{
        Interrupted, OutOfMemory, QuotaExceeded, ResourceBusy, StorageFull, WouldBlock,
    };
    // ENOSPC (`StorageFull`) is the error of `epoll_ctl` at the limit of watches.
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
