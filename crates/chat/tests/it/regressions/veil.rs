//! A transport that stands for TLS: what is on the wire is not what is said,
//! and of a record that was read, some waits in the transport.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use chat::{Registration, Source, Transport};

/// How much of a record is handed out at a time.
const PIECE: usize = 8;

#[derive(Debug)]
pub(crate) struct Veil {
    socket: Source<UnixStream>,
    plain: Vec<u8>,
}

impl Veil {
    pub(crate) fn new(socket: UnixStream) -> Self {
        socket.set_nonblocking(true).unwrap();
        Self {
            socket: Source::new(socket),
            plain: Vec::new(),
        }
    }
}

/// The cipher, either way.
pub(crate) fn veil(data: &[u8]) -> Vec<u8> {
    data.iter().map(|byte| byte ^ 0x55).collect()
}

impl Transport for Veil {
    fn registration(&self) -> Option<&Registration> {
        Some(self.socket.registration())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.plain.is_empty() {
            let mut record = [0; 4_096];
            let len = (&*self.socket).read(&mut record)?;
            self.plain = veil(&record[..len]);
        }
        let len = PIECE.min(self.plain.len()).min(buffer.len());
        buffer[..len].copy_from_slice(&self.plain[..len]);
        self.plain.drain(..len);
        Ok(len)
    }

    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices.first() {
            Some(slice) => (&*self.socket).write(&veil(slice)),
            None => Ok(0),
        }
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }

    fn has_input(&self) -> bool {
        !self.plain.is_empty()
    }
}
