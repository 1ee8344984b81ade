//! Open files that do not block as long as a channel has them: [`Share`].
//!
//! `O_NONBLOCK` belongs to the open file, and so to all its descriptors, wherever in the
//! process they are. So the list is the process's, too.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use socket2::SockRef;

use crate::process::Process;

static LEASES: Mutex<Vec<Lease>> = Mutex::new(Vec::new());

/// An open file that was blocking, and shall be when nobody has a share any more.
#[derive(Debug)]
struct Lease {
    /// The first one's descriptor, which stays open for the others.
    file: Arc<File>,
    /// Device and inode.
    inode: (u64, u64),
    shares: usize,
    process: Process,
}

/// Keeps an open file non-blocking; the last one to go makes it blocking again, in the
/// process that changed it.
#[derive(Debug)]
pub(crate) struct Share {
    /// The lease's: no other one has the number meanwhile.
    descriptor: RawFd,
}

impl Share {
    /// Makes a file non-blocking; `None` if it has been so, and nobody has a share.
    pub(crate) fn new(file: &Arc<File>) -> io::Result<Option<Self>> {
        let mut leases = leases();
        if let Some(share) = join(&mut leases, file)? {
            return Ok(Some(share));
        }
        let socket = SockRef::from(file);
        if socket.nonblocking()? {
            return Ok(None);
        }
        let inode = inode(file)?;
        socket.set_nonblocking(true)?;
        leases.push(Lease {
            file: Arc::clone(file),
            inode,
            shares: 1,
            process: Process::this(),
        });
        Ok(Some(Self {
            descriptor: file.as_raw_fd(),
        }))
    }

    /// A share in a file that others have made non-blocking.
    pub(crate) fn join(file: &File) -> io::Result<Option<Self>> {
        join(&mut leases(), file)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut leases = leases();
        let is_it = |lease: &Lease| lease.file.as_raw_fd() == self.descriptor;
        let Some(index) = leases.iter().position(is_it) else {
            return;
        };
        leases[index].shares -= 1;
        if leases[index].shares == 0 {
            let lease = leases.swap_remove(index);
            if lease.process.is_this() {
                // There is nobody to tell if that fails.
                let _ = SockRef::from(&lease.file).set_nonblocking(false);
            }
        }
    }
}

fn leases() -> MutexGuard<'static, Vec<Lease>> {
    LEASES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn join(leases: &mut [Lease], file: &File) -> io::Result<Option<Share>> {
    let inode = inode(file)?;
    for lease in leases.iter_mut().filter(|lease| lease.inode == inode) {
        if is_same_open_file(&lease.file, file)? {
            SockRef::from(file).set_nonblocking(true)?; // others may have changed it
            lease.shares += 1;
            let descriptor = lease.file.as_raw_fd();
            return Ok(Some(Share { descriptor }));
        }
    }
    Ok(None)
}

fn inode(file: &File) -> io::Result<(u64, u64)> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Whether two files of one inode share their mode. A FIFO that is opened twice does not,
/// nor do the two ends of a pipe. To see it, the mode is changed for a moment.
fn is_same_open_file(one: &File, other: &File) -> io::Result<bool> {
    let (one, other) = (SockRef::from(one), SockRef::from(other));
    let mode = one.nonblocking()?;
    if other.nonblocking()? != mode {
        return Ok(false);
    }
    one.set_nonblocking(!mode)?;
    let changed = other.nonblocking();
    one.set_nonblocking(mode)?;
    Ok(changed? != mode)
}
