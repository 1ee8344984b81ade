//! Pipes and terminals: `file_dispatcher`.

use std::fs::{self, File, FileType, Metadata};
use std::io::{self, IoSlice, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use reactor::{Registration, Source};
use socket2::SockRef;

use crate::dispatcher::Dispatcher;
use crate::transport::Transport;

/// Devices that are always ready, which a poller refuses.
const NEVER_BUSY: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/urandom"];

/// The same numbers on every Unix; the standard library has no names for them.
const EBADF: i32 = 9;
const EIO: i32 = 5;

/// The documents' `file_dispatcher`: a [`Dispatcher`] on a pipe or a terminal,
/// made by [`Dispatcher::file`].
///
/// The type is the same; its endpoint has no addresses, and `accept`, datagrams
/// and half-closing are not for it.
///
/// ```
/// use std::process::{Command, Stdio};
/// use chat::{ChannelMap, Dispatcher, DispatcherHandler, Endpoint, FileDispatcher, Result};
///
/// #[derive(Default)]
/// struct Reader(Vec<u8>);
///
/// impl DispatcherHandler for Reader {
///     fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
///         let mut buffer = [0; 512];
///         let len = endpoint.recv(&mut buffer)?; // 0 is the end: handle_eof closes
///         self.0.extend_from_slice(&buffer[..len]);
///         Ok(())
///     }
///     fn handle_eof(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
///         assert_eq!(self.0, b"through a pipe\n");
///         endpoint.close();
///         Ok(())
///     }
/// }
///
/// let mut child = Command::new("echo").arg("through a pipe").stdout(Stdio::piped()).spawn()?;
/// let output = child.stdout.take().unwrap();
/// let channel: FileDispatcher<Reader> = Dispatcher::file(output, Reader::default())?;
/// let mut map = ChannelMap::new()?;
/// map.insert(channel)?;
/// map.run()?;
/// child.wait()?;
/// # Ok::<(), chat::Error>(())
/// ```
#[doc(alias = "file_dispatcher")]
pub type FileDispatcher<H> = Dispatcher<H>;

impl<H: crate::DispatcherHandler> Dispatcher<H> {
    /// A dispatcher on a descriptor that is no socket: a pipe, a FIFO, a
    /// terminal, a serial line. See [`FileWrapper`], which duplicates it.
    ///
    /// # Errors
    ///
    /// As [`FileWrapper::new`].
    pub fn file(descriptor: impl AsFd, handler: H) -> io::Result<Self> {
        Ok(Self::over(FileWrapper::new(descriptor)?, handler))
    }
}

/// A descriptor that is no socket, as the [`Transport`] of a channel: the
/// documents' `file_wrapper`. Standard input as a chat channel is
/// `AsyncChat::over(FileWrapper::new(io::stdin())?, "\n", handler)`.
///
/// The descriptor is duplicated, and made non-blocking until the wrapper is
/// dropped. That is a property of the open file, which whoever inherited it
/// shares (`fcntl(2)`, `O_NONBLOCK`), a second wrapper included; so a terminal, which is mostly standard
/// output as well, is left as it is. Every second read of one says
/// `WouldBlock` instead: after an event one read never blocks. Output to it
/// does, while the user has stopped it.
#[derive(Debug)]
#[doc(alias = "file_wrapper")]
pub struct FileWrapper {
    file: Source<File>,
    mode: Mode,
}

#[derive(Debug, PartialEq, Eq)]
enum Mode {
    /// It was blocking before, and shall be afterwards.
    Restored,
    NonBlocking,
    /// A terminal; whether it was read since the last `WouldBlock`.
    Blocking {
        was_read: bool,
    },
}

impl FileWrapper {
    /// Wraps a duplicate of `descriptor`.
    ///
    /// # Errors
    ///
    /// `Unsupported` for what is always ready and cannot be waited for: a
    /// regular file, a directory, a disk, `/dev/null` and its like (read it to
    /// its end with the standard library, or send it with a
    /// [`ReadProducer`](crate::ReadProducer)); what `dup(2)` and `fcntl(2)` say.
    pub fn new(descriptor: impl AsFd) -> io::Result<Self> {
        let file = File::from(descriptor.as_fd().try_clone_to_owned()?);
        refuse_what_is_always_ready(&file.metadata()?)?;
        let mode = if SockRef::from(&file).nonblocking()? {
            Mode::NonBlocking
        } else if file.is_terminal() {
            Mode::Blocking { was_read: false }
        } else {
            SockRef::from(&file).set_nonblocking(true)?;
            Mode::Restored
        };
        Ok(Self {
            file: Source::new(file),
            mode,
        })
    }
}

impl Transport for FileWrapper {
    fn registration(&self) -> Option<&Registration> {
        Some(self.file.registration())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Mode::Blocking { was_read } = &mut self.mode {
            *was_read = !*was_read;
            if !*was_read {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        match (&*self.file).read(buffer) {
            // Open for writing only: the event was that nobody reads any more.
            Err(error) if error.raw_os_error() == Some(EBADF) => {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            // The other end of a pseudo-terminal is closed.
            Err(error) if error.raw_os_error() == Some(EIO) && self.file.is_terminal() => Ok(0),
            received => received,
        }
    }

    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self.file).write_vectored(slices)
    }

    /// A pipe has one direction, and closing it loses nothing.
    fn shutdown(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Drop for FileWrapper {
    fn drop(&mut self) {
        if self.mode == Mode::Restored {
            // There is nobody to tell if that fails.
            let _ = SockRef::from(&*self.file).set_nonblocking(false);
        }
    }
}

fn refuse_what_is_always_ready(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    let is_disk = |kind: FileType| kind.is_file() || kind.is_dir() || kind.is_block_device();
    let what = if is_disk(kind) {
        "a file on a disk"
    } else if kind.is_char_device() && is_never_busy(metadata) {
        "such a device"
    } else {
        return Ok(());
    };
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        format!("{what} is always ready: it cannot be waited for, only be read"),
    ))
}

fn is_never_busy(metadata: &Metadata) -> bool {
    NEVER_BUSY
        .iter()
        .any(|path| fs::metadata(path).is_ok_and(|device| device.rdev() == metadata.rdev()))
}
