//! What a process costs, as `/proc` tells.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::{DEADLINE, Server};

/// What a process has cost so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Memory now.
    pub(crate) rss_kib: u64,
    /// Most memory ever.
    pub(crate) peak_kib: u64,
    /// CPU time, in user and system mode; 100 a second.
    pub(crate) ticks: u64,
    /// How often it went to sleep.
    pub(crate) sleeps: u64,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it is alive");
        let field = |name: &str| -> u64 {
            let mut lines = status.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let value = value.and_then(|value| value.split_whitespace().next());
            let value = value.unwrap_or_else(|| panic!("no {name} in /proc/PID/status"));
            value.parse().expect("it is a number")
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is alive");
        // The second field may have spaces in it; it ends with a bracket.
        let (_, stat) = stat.rsplit_once(") ").expect("proc(5)");
        let mut times = stat.split(' ').skip(11).map(str::parse::<u64>);
        let mut time = || times.next().and_then(Result::ok).expect("proc(5)");
        Self {
            rss_kib: field("VmRSS"),
            peak_kib: field("VmHWM"),
            ticks: time() + time(),
            sleeps: field("voluntary_ctxt_switches"),
        }
    }
}

/// Panics unless the server comes to rest, and then neither wakes up nor runs
/// for a second. A loop that spins never sleeps, but runs; one that parks badly
/// wakes up again and again.
pub(crate) fn assert_rests(server: &Server) {
    wait_for_rest(server);
    let before = server.usage();
    thread::sleep(Duration::from_secs(1));
    let after = server.usage();
    assert!(
        after.sleeps - before.sleeps <= 2 && after.ticks - before.ticks <= 1,
        "no rest: {before:?}, a second later {after:?}; log:\n{}",
        server.log()
    );
}

/// Waits until the server does nothing for a quarter of a second.
pub(crate) fn wait_for_rest(server: &Server) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let before = server.usage();
        thread::sleep(Duration::from_millis(250));
        let after = server.usage();
        if after.sleeps == before.sleeps && after.ticks == before.ticks {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "it never rests: {before:?}, then {after:?}; log:\n{}",
            server.log()
        );
    }
}
