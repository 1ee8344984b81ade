//! Files under a root and nothing else.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt};
use chat::{More, Producer};
use http::StatusCode;
use percent_encoding::percent_decode_str;

/// A folder that is served. Paths are resolved within it by `cap-std`: no
/// `..`, symlink or race leads out.
#[derive(Debug)]
pub(crate) struct Root(Dir);

/// A file that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) file: File,
    pub(crate) len: u64,
    /// The media type, for `Content-Type`.
    pub(crate) media_type: String,
}

impl Root {
    pub(crate) fn open(path: &str) -> io::Result<Self> {
        Ok(Self(Dir::open_ambient_dir(path, ambient_authority())?))
    }

    /// The file that a target's path names; for a folder's (`/docs/`), its
    /// `index.html`.
    ///
    /// # Errors
    ///
    /// The status to answer with: 404 for anything that is not a file within
    /// the root, whatever it is, so that nothing is told about it; 503 if it
    /// cannot be opened now.
    pub(crate) fn find(&self, target: &str) -> Result<Found, StatusCode> {
        let path = local_path(target).ok_or(StatusCode::NOT_FOUND)?;
        // Without blocking: opening a pipe would wait for its writer.
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NONBLOCK);
        let file = self.0.open_with(&path, &options).map_err(status)?;
        let metadata = file.metadata().map_err(status)?;
        if !metadata.is_file() {
            return Err(StatusCode::NOT_FOUND);
        }
        let len = metadata.len();
        let media_type = mime_guess::from_path(&path).first_or_octet_stream();
        Ok(Found {
            file,
            len,
            media_type: media_type.to_string(),
        })
    }
}

fn status(error: io::Error) -> StatusCode {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EIO) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ => StatusCode::NOT_FOUND,
    }
}

/// The path below the root. `None` if it cannot be meant as one.
fn local_path(target: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for segment in target.strip_prefix('/')?.split('/') {
        let decoded: Vec<u8> = percent_decode_str(segment).collect();
        let is_odd = decoded == b".."
            || decoded
                .iter()
                .any(|byte| matches!(byte, b'/' | b'\\' | b'\0'));
        if is_odd {
            return None;
        }
        path.push(OsStr::from_bytes(&decoded));
    }
    if target.ends_with('/') {
        path.push("index.html");
    }
    // Nothing that a segment decodes to makes a path absolute, but an empty
    // one would not be under anything.
    (path != Path::new("")).then_some(path)
}

/// Sends a file, a piece at a time: it is never in memory as a whole.
#[derive(Debug)]
pub(crate) struct FileProducer {
    file: File,
    /// Bytes that were announced and not produced yet.
    left: u64,
}

impl FileProducer {
    pub(crate) fn new(found: Found) -> Self {
        Self {
            file: found.file,
            left: found.len,
        }
    }
}

impl Producer for FileProducer {
    fn more(&mut self, out: &mut BytesMut, max: usize) -> io::Result<More> {
        let want = usize::try_from(self.left).map_or(max, |left| left.min(max));
        out.resize(want, 0);
        let read = self.file.read(out)?;
        if read == 0 && want > 0 {
            // It has shrunk. Less than announced would be taken for all of it,
            // or the next response for the rest.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out.truncate(read);
        self.left -= read as u64;
        Ok(match self.left {
            0 => More::Done,
            _ => More::Again,
        })
    }
}
