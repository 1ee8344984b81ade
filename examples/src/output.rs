//! Standard output and standard error as channels: a reader that is slow, or gone, does
//! not stop the loop.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::mem;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::time::Duration;

use chat::{
    AsyncChat, ChannelMap, Chat, CloseReason, FileWrapper, Handle, Limits, MessageHandler,
    Registration, Result, Terminator, Transport,
};

use crate::ending::shut_down;

/// A record is taken as long as fewer bytes wait than this.
const BOUND: usize = 1 << 20;

/// Prints whole records to a pipe, a terminal, a socket or a file.
///
/// Unread output waits, up to 1 MiB and one record. Further records are lost. A warning in
/// the log says how many, as soon as the reader goes on.
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
        limits.stall = Duration::MAX; // a reader may take its time
        limits.held = 0; // whatever comes while it is held is somebody else's
        let file = File::from(descriptor.as_fd().try_clone_to_owned()?);
        let sink = Sink {
            name,
            is_pipe: file.metadata()?.file_type().is_fifo(),
            ends_program: false,
            lost: 0,
            waiting: Vec::new(),
        };
        let channel = match FileWrapper::new(&descriptor) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                limits.high_water = 0; // each record is sent at once: it may not fit
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
        self.print_within(BOUND, record, map)
    }

    /// Prints a record, however much waits. For whoever waits after each, by
    /// [`when_drained`](Self::when_drained). `false`: the reader is gone.
    pub fn print_always(self, record: impl AsRef<[u8]>, map: &mut ChannelMap) -> bool {
        self.print_within(usize::MAX, record, map)
    }

    fn print_within(self, bound: usize, record: impl AsRef<[u8]>, map: &mut ChannelMap) -> bool {
        let Ok(AsyncChat { chat, handler, .. }) = map.get_mut(self.0) else {
            return false;
        };
        let is_taken = chat.queued() < bound && chat.push(record);
        handler.lost += u64::from(!is_taken);
        is_taken
    }

    /// Calls `resume` when so much was read that there is room again, or there never will
    /// be; at once, if there is room now. For whoever can wait, so that nothing is lost.
    pub fn when_drained(
        self,
        map: &mut ChannelMap,
        resume: impl FnOnce(&mut ChannelMap) + 'static,
    ) {
        match map.get_mut(self.0) {
            Ok(sink) if sink.chat.needs_drain() => sink.handler.waiting.push(Box::new(resume)),
            _ => resume(map),
        }
    }

    /// Whether a reader is behind: whoever can wait does so, by
    /// [`when_drained`](Self::when_drained).
    pub fn needs_drain(self, map: &ChannelMap) -> bool {
        map.get(self.0).is_ok_and(|sink| sink.chat.needs_drain())
    }

    /// Has the program end when its reader is gone: it has nothing else to do.
    pub fn end_without_reader(self, map: &mut ChannelMap) {
        if let Ok(sink) = map.get_mut(self.0) {
            sink.handler.ends_program = true;
        }
    }

    /// Whether anything can still be printed: its reader has not gone.
    pub fn is_open(self, map: &ChannelMap) -> bool {
        map.is_open(self.0)
    }
}

type Resume = Box<dyn FnOnce(&mut ChannelMap)>;

struct Sink {
    name: &'static str,
    is_pipe: bool,
    ends_program: bool,
    /// Records, since that was last said.
    lost: u64,
    /// Called when there is room.
    waiting: Vec<Resume>,
}

impl Sink {
    fn go_on(&mut self, map: &mut ChannelMap) {
        self.report_loss();
        for resume in mem::take(&mut self.waiting) {
            resume(map);
        }
    }

    fn report_loss(&mut self) {
        let lost = mem::take(&mut self.lost);
        if lost > 0 {
            log::warn!("{}: {lost} records were lost: nobody read them", self.name);
        }
    }
}

impl MessageHandler for Sink {
    /// From a pipe nothing comes but that its reader is gone. A terminal or a socket
    /// could be read as well, and what comes there is not for us.
    fn handle_connect(&mut self, chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        if !self.is_pipe {
            chat.pause();
        }
        Ok(())
    }

    fn handle_message(&mut self, _: &[u8], _chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        Ok(())
    }

    fn handle_drained(&mut self, _chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.go_on(map);
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _chat: &mut Chat, map: &mut ChannelMap) {
        self.go_on(map);
        if let CloseReason::Io(error) = reason {
            log::warn!("{}: nothing more can be printed: {error}", self.name);
            if self.ends_program {
                shut_down(map);
            }
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

    /// Writes all or fails. After a part the channel would wait for the file to become
    /// ready, which no poller reports.
    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        for slice in slices {
            self.0.write_all(slice)?;
        }
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
