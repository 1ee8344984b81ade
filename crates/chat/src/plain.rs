//! A plain stream socket as a [`Transport`]: below another one.

use std::io::{self, IoSlice, Read};
use std::net::Shutdown;

use reactor::{Registration, Source};
use socket2::{SockRef, Socket};

use crate::transport::Transport;

#[derive(Debug)]
pub(crate) struct Plain(pub(crate) Source<Socket>);

impl Transport for Plain {
    fn registration(&self) -> Option<&Registration> {
        Some(self.0.registration())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }

    fn send_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [one] => self.0.send(one), // the shorter system call, and the usual one
            _ => self.0.send_vectored(slices),
        }
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        Some(SockRef::from(&*self.0))
    }
}
