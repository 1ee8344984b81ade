//! Pipes and terminals: `file_dispatcher`.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, IoSlice, IsTerminal, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::sync::Arc;

use reactor::{Registration, Source};

use crate::dispatcher::Dispatcher;
use crate::nonblocking::Share;
use crate::transport::Transport;

/// Devices that are always ready, which a poller refuses.
const NEVER_BUSY: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/urandom"];

/// The same numbers on every Unix; the standard library has no names for them.
pub(crate) const EBADF: i32 = 9;
const EIO: i32 = 5;

/// asyncore's `file_dispatcher`: a [`Dispatcher`] on a pipe or a terminal,
/// made by [`Dispatcher::file`].
///
/// The type is the same. Its endpoint has no addresses, and cannot accept, half-close or
/// use datagrams.
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
    /// Makes a dispatcher of a descriptor that is no socket: a pipe, a FIFO, a terminal,
    /// a serial line. It is duplicated: see [`FileWrapper`].
    ///
    /// # Errors
    ///
    /// As [`FileWrapper::new`].
    pub fn file(descriptor: impl AsFd, handler: H) -> io::Result<Self> {
        Ok(Self::over(FileWrapper::new(descriptor)?, handler))
    }
}

/// A descriptor that is no socket, as the [`Transport`] of a channel: asyncore's
/// `file_wrapper`. Standard input as a chat channel is
/// `AsyncChat::over(FileWrapper::new(io::stdin())?, "\n", handler)`.
///
/// The descriptor is duplicated. A channel must not block. But blocking (`O_NONBLOCK`,
/// `fcntl(2)`) is a property of the open file, which other processes, such as a shell,
/// may share. The constructors differ in that:
///
/// | constructor | the open file |
/// |---|---|
/// | [`new`](Self::new) | is made non-blocking; the terminal of the program's standard input, output or error is left as it is, and opened once more for the channel |
/// | [`nonblocking`](Self::nonblocking) | is made non-blocking |
/// | [`as_it_is`](Self::as_it_is) | is left as it is |
///
/// When the last wrapper that needs a file non-blocking is dropped, the file is blocking
/// again, as before. A child process that drops its copies changes nothing.
///
/// No system call tells whether two descriptors are one open file. So a file that is
/// non-blocking when it is wrapped counts as every file that wrappers have made
/// non-blocking, if device, inode and direction are the same. Those stay open and
/// non-blocking until its wrapper is dropped, too. An example is a FIFO that the program
/// has opened twice, once non-blocking.
///
/// A file that is left blocking can be read all the same: one read after an event never
/// blocks, and every second one returns `WouldBlock` instead. Output to it blocks the loop
/// while nobody takes it, such as on a terminal that the user has stopped. So does a
/// standard terminal that cannot be opened once more: on systems other than Linux, or if it
/// belongs to another user.
#[derive(Debug)]
#[doc(alias = "file_wrapper")]
pub struct FileWrapper {
    file: Source<Arc<File>>,
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    NonBlocking {
        _share: Share,
    },
    /// Whether it was read since the last `WouldBlock`.
    Blocking {
        was_read: bool,
    },
}

impl FileWrapper {
    /// Wraps a duplicate of `descriptor`, and makes the open file non-blocking. The
    /// terminal of standard input, output or error (the same device and inode) keeps its
    /// mode, since the shell shares it; the channel gets an opening of its own.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a file that is always ready, so that no poller can wait for it:
    /// a regular file, a directory, a disk, `/dev/null` and the like. Read it with the
    /// standard library, or send it with a [`ReadProducer`](crate::ReadProducer).
    /// Otherwise the errors of `dup(2)` and `fcntl(2)`.
    pub fn new(descriptor: impl AsFd) -> io::Result<Self> {
        let file = duplicate(descriptor)?;
        if !file.is_terminal() || !is_standard(&file.metadata()?) {
            return Self::made_nonblocking(file);
        }
        match open_once_more(&file) {
            Ok(own) => Self::made_nonblocking(own),
            Err(_) => Self::with_its_mode(file),
        }
    }

    /// Wraps a duplicate of `descriptor`, and makes the open file non-blocking, even a
    /// standard terminal. Other programs that share it, such as a shell, may fail on it.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn nonblocking(descriptor: impl AsFd) -> io::Result<Self> {
        Self::made_nonblocking(duplicate(descriptor)?)
    }

    /// Wraps a duplicate of `descriptor`, and leaves the open file's mode as it is. Use it
    /// for a file that is shared with other programs.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn as_it_is(descriptor: impl AsFd) -> io::Result<Self> {
        Self::with_its_mode(duplicate(descriptor)?)
    }

    fn made_nonblocking(file: File) -> io::Result<Self> {
        let file = Arc::new(file);
        let share = Share::new(&file)?;
        Ok(Self {
            file: Source::new(file),
            mode: Mode::NonBlocking { _share: share },
        })
    }

    fn with_its_mode(file: File) -> io::Result<Self> {
        let mode = match Share::join(&file)? {
            Some(share) => Mode::NonBlocking { _share: share },
            None => Mode::Blocking { was_read: false },
        };
        Ok(Self {
            file: Source::new(Arc::new(file)),
            mode,
        })
    }
}

impl Transport for FileWrapper {
    fn is_network(&self) -> bool {
        false
    }

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
        match (&**self.file).read(buffer) {
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
        (&**self.file).write_vectored(slices)
    }

    /// A pipe has one direction, and closing it loses nothing.
    fn shutdown(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn duplicate(descriptor: impl AsFd) -> io::Result<File> {
    let file = File::from(descriptor.as_fd().try_clone_to_owned()?);
    refuse_what_is_always_ready(&file.metadata()?)?;
    Ok(file)
}

/// Opens a terminal again: the mode of that opening is not the one's that others have.
fn open_once_more(file: &File) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd()); // proc(5), of Linux
    OpenOptions::new().read(true).write(true).open(path)
}

/// Whether it is what standard input, output or error is: then others have it as well.
fn is_standard(file: &Metadata) -> bool {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]
        .into_iter()
        .filter_map(|standard| {
            File::from(standard.try_clone_to_owned().ok()?)
                .metadata()
                .ok()
        })
        .any(|standard| (standard.dev(), standard.ino()) == (file.dev(), file.ino()))
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
