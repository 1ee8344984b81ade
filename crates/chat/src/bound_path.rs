//! The paths of Unix sockets, which outlive them: our own is removed, and one that a dead
//! socket left.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixDatagram;
use std::path::{self, Path, PathBuf};
use std::process;

use crate::process::Process;

/// The path of a bound socket; removed when this is dropped, by the process that made it.
///
/// To be dropped before the socket. While that is open its inode's number belongs to no
/// other file, even if the path is gone.
#[derive(Debug)]
pub(crate) struct BoundPath {
    path: PathBuf,
    metadata: Metadata,
    process: Process,
}

impl BoundPath {
    /// A socket was bound to `path` right before.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path::absolute(path)?, // the working directory may change
            metadata: fs::symlink_metadata(path)?,
            process: Process::this(),
        })
    }
}

impl Drop for BoundPath {
    fn drop(&mut self) {
        if !self.process.is_this() {
            return;
        }
        let is_ours = |found: Metadata| is_same_file(&found, &self.metadata);
        if fs::symlink_metadata(&self.path).is_ok_and(is_ours) {
            if let Err(error) = fs::remove_file(&self.path) {
                log::warn!("cannot remove {}: {error}", self.path.display());
            }
        }
    }
}

/// Removes the socket at `path` if nobody is bound to it; returns whether the path is free.
///
/// POSIX can neither compare and remove in one step nor make a path and bind a socket to it
/// in one: for a moment inside of `bind(2)` a new path looks as a dead one does.
pub(crate) fn remove_stale(path: &Path) -> io::Result<bool> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(true); // or `bind` says why it is not
    };
    if !found.file_type().is_socket() || !is_dead(path)? {
        return Ok(false);
    }
    // A successor may have come since. So it is moved first, then looked at again.
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}.stale", process::id()));
    match fs::rename(path, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        moved => moved?,
    }
    let moved = fs::symlink_metadata(&aside)?;
    // The number of an inode is used again; but not with the old time.
    if is_same_file(&moved, &found) && moved.modified()? == found.modified()? {
        fs::remove_file(&aside)?;
        return Ok(true);
    }
    fs::rename(&aside, path)?;
    Ok(false)
}

/// Whether no socket is bound there. A datagram socket finds out without disturbing a
/// listener, which does not accept it, even one that does not listen yet.
fn is_dead(path: &Path) -> io::Result<bool> {
    let connected = UnixDatagram::unbound()?.connect(path);
    Ok(connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused))
}

fn is_same_file(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}
