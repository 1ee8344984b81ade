//! A client that sets and gets values, one at a time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::connect_all;
use crate::Result;

/// Bytes that are read at once.
const CHUNK: usize = 262_144;

pub struct Values {
    stream: TcpStream,
    /// As it is sent and as it comes back: with its end.
    value: Vec<u8>,
    buffer: Vec<u8>,
}

impl Values {
    /// Connects to a store, for values of this length.
    pub fn connect(address: SocketAddr, len: usize) -> Result<Self> {
        let stream = connect_all(address, 1)?.remove(0);
        let mut value = vec![b'x'; len + 1];
        value[len] = b'\n';
        Ok(Self {
            stream,
            value,
            buffer: vec![0; CHUNK],
        })
    }

    /// Sets so many values, each when the one before is confirmed.
    pub fn set(&mut self, count: u64) -> Result<u64> {
        let command = format!("set {}\n", self.value.len() - 1);
        for _ in 0..count {
            self.stream.write_all(command.as_bytes())?;
            self.stream.write_all(&self.value)?;
            self.expect(b"ok\n")?;
        }
        Ok(count)
    }

    /// Gets the value so often, each time when the last byte has come.
    pub fn get(&mut self, count: u64) -> Result<u64> {
        let head = format!("{}\n", self.value.len() - 1);
        for _ in 0..count {
            self.stream.write_all(b"get\n")?;
            self.expect(head.as_bytes())?;
            let mut left = self.value.len();
            while left > 0 {
                let len = left.min(CHUNK);
                match self.stream.read(&mut self.buffer[..len])? {
                    0 => return Err("the server has closed the connection".into()),
                    len => left -= len,
                }
            }
        }
        Ok(count)
    }

    fn expect(&mut self, answer: &[u8]) -> Result<()> {
        let got = &mut self.buffer[..answer.len()];
        self.stream.read_exact(got)?;
        match got == answer {
            true => Ok(()),
            false => Err(format!("expected {:?}", answer.escape_ascii().to_string()).into()),
        }
    }
}
