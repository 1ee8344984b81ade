//! What is asked of the operating system: which processors to run on, how many
//! descriptors may be open, what another process has spent.

use std::io;
use std::mem::{self, MaybeUninit};
use std::time::Duration;

use bench::epoll::check;

use crate::Result;

/// A processor each for the server and for the load.
#[derive(Clone, Copy, Debug)]
pub struct Cpus {
    pub server: usize,
    pub load: usize,
}

impl Cpus {
    /// The first two that this process may use; if there is only one, both are
    /// it.
    pub fn choose() -> io::Result<Self> {
        // SAFETY: a cpu_set_t of zeros is the empty set.
        let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
        // SAFETY: the size is that of the set.
        check(unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) })?;
        // SAFETY: the numbers are below the set's size.
        let is_in = |&cpu: &usize| unsafe { libc::CPU_ISSET(cpu, &set) };
        let mut allowed = (0..libc::CPU_SETSIZE as usize).filter(is_in);
        let server = allowed.next().unwrap_or(0);
        Ok(Self {
            server,
            load: allowed.next().unwrap_or(server),
        })
    }

    pub fn is_shared(self) -> bool {
        self.server == self.load
    }
}

/// Keeps the calling thread, and what it starts, on one processor. It is safe
/// to call between `fork` and `exec`.
pub fn pin(cpu: usize) -> io::Result<()> {
    // SAFETY: a cpu_set_t of zeros is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the number came out of such a set.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the size is that of the set.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) })?;
    Ok(())
}

/// Has the calling process give way: when it is woken it does not take the
/// processor from another that is at work. As safe as [`pin`].
pub fn give_way() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameters live during the call.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters) })?;
    Ok(())
}

/// Has the calling process end when the thread that started it does: a run that
/// is interrupted leaves no servers behind. As safe as [`pin`].
pub fn end_with_parent() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
    Ok(())
}

/// Raises the limit of open descriptors as far as it goes, for the servers as
/// well; returns it.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the call fills it in.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()) })?;
    // SAFETY: it has.
    let mut limit = unsafe { limit.assume_init() };
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: it lives during the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(limit.rlim_cur)
}

/// The CPU time that a process has spent, user and system, all its threads.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut clock = 0;
    // SAFETY: the clock is written to.
    let error = unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &raw mut clock) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    read_clock(clock)
}

/// The CPU time that this thread spends on `work`.
pub fn own_cpu_time<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let before = read_clock(libc::CLOCK_THREAD_CPUTIME_ID)?;
    let done = work()?;
    Ok((done, read_clock(libc::CLOCK_THREAD_CPUTIME_ID)? - before))
}

fn read_clock(clock: libc::clockid_t) -> io::Result<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the time is written to.
    check(unsafe { libc::clock_gettime(clock, &raw mut time) })?;
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// Sends a signal.
pub fn kill(pid: u32, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::kill(pid as libc::pid_t, signal) })?;
    Ok(())
}
