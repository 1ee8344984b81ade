//! epoll(7), as thin as it can be: the contestant that is the limit, and the
//! load's own loop.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

/// Events taken by one `epoll_wait`; `polling` and mio take as many.
const EVENTS: usize = 1024;

#[derive(Debug)]
pub struct Epoll(OwnedFd);

pub struct Events(Vec<libc::epoll_event>);

/// What is to be heard of, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    pub readable: bool,
    pub writable: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub key: usize,
    pub readable: bool,
    pub writable: bool,
}

impl Interest {
    pub const READ: Self = Self::new(true, false);
    pub const WRITE: Self = Self::new(false, true);
    pub const BOTH: Self = Self::new(true, true);

    pub const fn new(readable: bool, writable: bool) -> Self {
        Self { readable, writable }
    }

    fn bits(self) -> u32 {
        let read = if self.readable { libc::EPOLLIN } else { 0 };
        let write = if self.writable { libc::EPOLLOUT } else { 0 };
        (read | write | libc::EPOLLRDHUP) as u32
    }
}

impl Epoll {
    /// # Errors
    ///
    /// What `epoll_create1` says.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is a descriptor that nobody else has.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: as above.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// # Errors
    ///
    /// What `epoll_ctl` says.
    pub fn add(&self, source: &impl AsRawFd, key: usize, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, source, key, interest)
    }

    /// # Errors
    ///
    /// What `epoll_ctl` says.
    pub fn modify(&self, source: &impl AsRawFd, key: usize, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, source, key, interest)
    }

    fn control(
        &self,
        operation: libc::c_int,
        source: &impl AsRawFd,
        key: usize,
        interest: Interest,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: interest.bits(),
            u64: key as u64,
        };
        // SAFETY: the event lives during the call; a descriptor that is none
        // is an error like any other.
        check(unsafe {
            libc::epoll_ctl(
                self.0.as_raw_fd(),
                operation,
                source.as_raw_fd(),
                &raw mut event,
            )
        })?;
        Ok(())
    }

    /// Waits for events; without a timeout for ever.
    ///
    /// # Errors
    ///
    /// What `epoll_wait` says; a signal is no error.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.0.clear();
        let timeout = timeout.map_or(-1, |time| time.as_millis().try_into().unwrap_or(i32::MAX));
        // SAFETY: the vector has room for as many events as are asked for.
        let count = unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                events.0.as_mut_ptr(),
                events.0.capacity() as libc::c_int,
                timeout,
            )
        };
        let count = match check(count) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            count => count? as usize,
        };
        // SAFETY: the kernel has written so many.
        unsafe { events.0.set_len(count) };
        Ok(())
    }
}

impl Default for Events {
    fn default() -> Self {
        Self(Vec::with_capacity(EVENTS))
    }
}

impl Events {
    pub fn iter(&self) -> impl Iterator<Item = Event> {
        const ENDS: u32 = (libc::EPOLLERR | libc::EPOLLHUP | libc::EPOLLRDHUP) as u32;
        self.0.iter().map(|event| Event {
            key: event.u64 as usize,
            readable: event.events & (libc::EPOLLIN as u32 | ENDS) != 0,
            writable: event.events & libc::EPOLLOUT as u32 != 0,
        })
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Accepts a connection, non-blocking, with one system call; `None` if there is
/// none now.
///
/// # Errors
///
/// What `accept4` says.
pub fn accept(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the null pointers say that the address is not wanted.
    let fd = unsafe {
        libc::accept4(
            listener.as_raw_fd(),
            ptr::null_mut(),
            ptr::null_mut(),
            flags,
        )
    };
    match check(fd) {
        // SAFETY: a fresh descriptor that nobody else has.
        Ok(fd) => Ok(Some(unsafe { TcpStream::from_raw_fd(fd) })),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Receives up to `max` bytes behind what `buffer` has, without clearing the place first.
///
/// # Errors
///
/// What `recv` says.
pub fn recv_into(stream: &TcpStream, buffer: &mut Vec<u8>, max: usize) -> io::Result<usize> {
    buffer.reserve(max);
    let place = &mut buffer.spare_capacity_mut()[..max];
    // SAFETY: the place is as long as is said, and lives during the call.
    let len = unsafe { libc::recv(stream.as_raw_fd(), place.as_mut_ptr().cast(), max, 0) };
    if len == -1 {
        return Err(io::Error::last_os_error());
    }
    let len = len as usize;
    // SAFETY: the kernel has written so many bytes there.
    unsafe { buffer.set_len(buffer.len() + len) };
    Ok(len)
}

/// The result of a system call, with `errno` for -1.
///
/// # Errors
///
/// `errno`.
pub fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}
