//! The clients. They count, and do not look at what comes back: that the
//! servers answer rightly is checked beforehand, in `verify.rs`.

pub mod connects;
pub mod histogram;
pub mod latency;
pub mod lines;
pub mod room;
pub mod secure;
pub mod steps;
pub mod values;
pub mod wrk;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::Result;

/// In this time a run must end; a server that has lost a line would hold it up
/// for ever.
const RUN_TIME: Duration = Duration::from_secs(60);

/// Connections are made in steps of so many, so that no backlog overflows.
const STEP: usize = 64;

const LINE: &[u8] = b"hello, server\n";

/// The deadline of a run that begins now.
fn deadline() -> Instant {
    Instant::now() + RUN_TIME
}

fn check(deadline: Instant) -> Result<()> {
    match Instant::now() > deadline {
        true => Err("the server did not answer all in time".into()),
        false => Ok(()),
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(RUN_TIME))?;
    stream.set_write_timeout(Some(RUN_TIME))?;
    Ok(stream)
}

/// Connects `count` clients to a server that has echoed on the last of each
/// step, so has accepted those before.
pub fn connect_all(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let mut clients = Vec::with_capacity(count);
    for number in 1..=count {
        let mut client = connect(address)?;
        if number % STEP == 0 || number == count {
            say_one_line(&mut client)?;
        }
        clients.push(client);
    }
    Ok(clients)
}

/// One line there and back, of all of them.
pub fn say_one_line_each(clients: &mut [TcpStream]) -> Result<()> {
    for step in clients.chunks_mut(STEP) {
        step.iter_mut()
            .try_for_each(|client| client.write_all(LINE))?;
        step.iter_mut().try_for_each(hear_one_line)?;
    }
    Ok(())
}

/// One line there and back.
pub fn say_one_line(client: &mut TcpStream) -> Result<()> {
    client.write_all(LINE)?;
    hear_one_line(client)
}

fn hear_one_line(client: &mut TcpStream) -> Result<()> {
    let mut answer = [0; LINE.len()];
    client.read_exact(&mut answer)?;
    match answer == LINE {
        true => Ok(()),
        false => Err("not the line that was sent".into()),
    }
}
