//! Standard output and standard error as channels: a reader that is slow, or gone, does
//! not stop the loop.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::AsFd;

use chat::{
    AsyncChat, ChannelMap, Chat, CloseReason, FileWrapper, Handle, Limits, MessageHandler,
    Registration, Result, Terminator, Transport,
};

/// A record is taken as long as fewer bytes wait than this.
const BOUND: usize = 1 << 20;

/// Prints whole records to a pipe, a terminal, a socket or a file.
///
/// What nobody reads waits, up to 1 MiB and one record. Then records are lost, and
/// counted: a warning in the log says how many, as soon as somebody reads again.
#[derive(Clone, Copy, Debug)]
pub struct Output(Handle<AsyncChat<Sink>>);

impl Output {
    /// Inserts a channel in the background: it is the last to be closed. `name` is for
    /// the log.
    ///
    /// # Errors
    ///
    /// The operating system's, if the descriptor cannot be duplicated or watched.
    pub fn insert(
        descriptor: impl AsFd,
        name: &'static str,
        map: &mut ChannelMap,
    ) -> io::Result<Self> {
        let mut limits = Limits::default();
        limits.output = usize::MAX; // `print` has a bound of its own, in whole records
        let sink = Sink { name, lost: 0 };
        let channel = match FileWrapper::new(&descriptor) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                let file = File::from(descriptor.as_fd().try_clone_to_owned()?);
                AsyncChat::over(Disk(file), Terminator::none(), sink)
            }
            wrapper => AsyncChat::over(wrapper?, Terminator::none(), sink),
        };
        let output = map.insert(channel.limited(limits))?;
        map.set_background(output);
        Ok(Self(output))
    }

    /// Prints a record, whole or not at all. `false`: it is lost, and counted.
    pub fn print(self, record: impl AsRef<[u8]>, map: &mut ChannelMap) -> bool {
        let Some(AsyncChat { chat, handler, .. }) = map.get_mut(self.0) else {
            return false;
        };
        let is_taken = chat.queued() < BOUND && chat.push(record);
        handler.lost += u64::from(!is_taken);
        is_taken
    }

    /// Whether anything can still be printed: its reader has not gone.
    pub fn is_open(self, map: &ChannelMap) -> bool {
        map.is_open(self.0)
    }
}

#[derive(Debug)]
struct Sink {
    name: &'static str,
    /// Records, since that was last said.
    lost: u64,
}

impl Sink {
    fn report_loss(&mut self) {
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            log::warn!("{}: {lost} records were lost: nobody read them", self.name);
        }
    }
}

impl MessageHandler for Sink {
    /// A terminal could be read as well; but what is typed there is not for us.
    fn handle_connect(&mut self, chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        chat.pause();
        Ok(())
    }

    fn handle_message(&mut self, _: &[u8], _chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        Ok(())
    }

    fn handle_drained(&mut self, _chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        self.report_loss();
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _chat: &mut Chat, _map: &mut ChannelMap) {
        self.report_loss();
        if let CloseReason::Io(error) = reason {
            log::warn!("{}: nothing more can be printed: {error}", self.name);
        }
    }
}

/// A file is always ready, which no poller can say; writing to it takes the disk's time.
#[derive(Debug)]
struct Disk(File);

impl Transport for Disk {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn recv(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(slices)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
