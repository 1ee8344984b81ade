//! Open files that do not block as long as a channel has them: [`Share`].
//!
//! `O_NONBLOCK` belongs to the open file, and so to all its descriptors, wherever in the
//! process they are. So the list is the process's, too.
//!
//! Only a change of the mode would tell whether two descriptors are one open file, and a
//! thread that reads at that moment would be stuck. So nobody asks. A file that blocks is
//! none of those that were changed here. One that does not block may be any of those that
//! look like it, and keeps them all.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use socket2::SockRef;

use crate::file_dispatcher::EBADF;
use crate::process::Process;

static LEASES: Mutex<Vec<Weak<Lease>>> = Mutex::new(Vec::new());

/// An open file that was blocking, and is again when nobody has a share any more: by the
/// process that changed it.
#[derive(Debug)]
struct Lease {
    file: Arc<File>,
    looks: Looks,
    process: Process,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.process.is_this() {
            // There is nobody to tell if that fails.
            let _ = SockRef::from(&self.file).set_nonblocking(false);
        }
    }
}

/// Keeps open files non-blocking: a wrapper's own, and those that may be the same.
#[derive(Debug)]
pub(crate) struct Share(Vec<Arc<Lease>>);

impl Share {
    /// Makes a file non-blocking.
    pub(crate) fn new(file: &Arc<File>) -> io::Result<Self> {
        let mut leases = leases();
        let looks = Looks::of(file)?;
        let alike = renew(&leases, &looks)?;
        let socket = SockRef::from(file);
        if socket.nonblocking()? {
            return Ok(Self(alike));
        }
        socket.set_nonblocking(true)?;
        let lease = Arc::new(Lease {
            file: Arc::clone(file),
            looks,
            process: Process::this(),
        });
        leases.push(Arc::downgrade(&lease));
        Ok(Self(vec![lease]))
    }

    /// A share in a file that does not block; `None` if it does.
    pub(crate) fn join(file: &File) -> io::Result<Option<Self>> {
        let leases = leases();
        let alike = renew(&leases, &Looks::of(file)?)?;
        Ok(match SockRef::from(file).nonblocking()? {
            true => Some(Self(alike)),
            false => None,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut leases = leases(); // nobody joins meanwhile
        self.0.clear();
        leases.retain(|lease| lease.strong_count() > 0);
    }
}

/// What all descriptors of one open file have in common; other open files may have it, too.
#[derive(Debug, PartialEq)]
struct Looks {
    device: u64,
    inode: u64,
    /// Whether a FIFO is open for reading, and for writing. The two ends of a pipe are one inode, and
    /// neither shall keep the other open.
    ends: [bool; 2],
}

impl Looks {
    fn of(mut file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let is_open_for = |nothing: io::Result<usize>| {
            !nothing.is_err_and(|error| error.raw_os_error() == Some(EBADF))
        };
        let ends = match metadata.file_type().is_fifo() {
            true => [
                is_open_for(file.read(&mut [])),
                is_open_for(file.write(&[])),
            ],
            false => [true; 2],
        };
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            ends,
        })
    }
}

/// The leases of files that look like this; somebody else may have changed their mode.
fn renew(leases: &[Weak<Lease>], looks: &Looks) -> io::Result<Vec<Arc<Lease>>> {
    let alive = leases.iter().filter_map(Weak::upgrade);
    let alike: Vec<_> = alive.filter(|lease| lease.looks == *looks).collect();
    for lease in &alike {
        SockRef::from(&lease.file).set_nonblocking(true)?;
    }
    Ok(alike)
}

fn leases() -> MutexGuard<'static, Vec<Weak<Lease>>> {
    LEASES.lock().unwrap_or_else(PoisonError::into_inner)
}
