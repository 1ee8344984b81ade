//! Whether every server does the work, before anything is measured: a line that
//! comes in two pieces, two lines in one packet, and more than the socket takes
//! while the client does not read.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use bench::start::Work;

use crate::contestants::{Contestant, NATS, OUR_HTTP, REDIS};
use crate::load::room::Protocol;
use crate::load::secure;
use crate::server::Server;
use crate::{Context, Error, Result};

const PATIENCE: Duration = Duration::from_secs(10);

/// More than both sockets' buffers hold, at their largest.
const FLOOD: usize = 24 * 1024 * 1024;

/// Starts the server and asks it everything.
pub fn verify(context: &Context, contestant: &Contestant, work: Work) -> Result<()> {
    let server = Server::start(context, contestant, work)?;
    let address = server.address();
    match work {
        Work::Echo => {
            split_line(address)?;
            two_lines(address)?;
            last_line(address)?;
            let line = |number: usize| format!("{number:063}\n").into_bytes();
            short_sends(
                address,
                &(0..FLOOD / 64).flat_map(line).collect::<Vec<_>>(),
                64,
            )
        }
        Work::Bulk => short_sends(address, &noise(FLOOD), 1),
        Work::Room => room(address, protocol(contestant)),
        Work::Plaintext => plaintext(address),
        Work::Store => store(address),
        Work::Secure => secure(context, address),
    }
}

/// How one talks to this room.
pub fn protocol(contestant: &Contestant) -> Protocol {
    match contestant.name {
        REDIS => Protocol::Redis,
        NATS => Protocol::Nats,
        _ => Protocol::Lines,
    }
}

pub fn web_servers() -> impl Iterator<Item = &'static Contestant> {
    let others = crate::contestants::ALL.iter();
    std::iter::once(&OUR_HTTP).chain(others.filter(|other| other.works.contains(&Work::Plaintext)))
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn expect(stream: &mut TcpStream, expected: &[u8]) -> Result<()> {
    let mut received = vec![0; expected.len()];
    stream.read_exact(&mut received).map_err(|error| {
        format!(
            "waiting for {:?}: {error}",
            expected.escape_ascii().to_string()
        )
    })?;
    match received == expected {
        true => Ok(()),
        false => Err(format!(
            "expected \"{}\", got \"{}\"",
            expected.escape_ascii(),
            received.escape_ascii()
        )
        .into()),
    }
}

/// The first piece is read before the second is sent: an answer to another
/// client, sent later, is the proof.
fn split_line(address: SocketAddr) -> Result<()> {
    let mut client = connect(address)?;
    let mut other = connect(address)?;
    client.write_all(b"in two ")?;
    for _ in 0..3 {
        other.write_all(b"and\n")?;
        expect(&mut other, b"and\n")?;
    }
    client.write_all(b"pieces\n")?;
    expect(&mut client, b"in two pieces\n")
}

fn two_lines(address: SocketAddr) -> Result<()> {
    let mut client = connect(address)?;
    client.write_all(b"one\n\nthree\nand no ")?;
    expect(&mut client, b"one\n\nthree\n")?;
    client.write_all(b"more\n")?;
    expect(&mut client, b"and no more\n")
}

/// A line with the end of the input behind it is answered.
fn last_line(address: SocketAddr) -> Result<()> {
    let mut client = connect(address)?;
    client.write_all(b"the last\n")?;
    client.shutdown(Shutdown::Write)?;
    expect(&mut client, b"the last\n")?;
    match client.read(&mut [0])? {
        0 => Ok(()),
        _ => Err("more than the last line came".into()),
    }
}

/// Writes until nothing more goes, and only then reads; meanwhile the server
/// must answer others. What comes back is what was sent, in whole units.
fn short_sends(address: SocketAddr, data: &[u8], unit: usize) -> Result<()> {
    let mut client = connect(address)?;
    client.set_nonblocking(true)?;
    let mut sent = 0;
    let mut idle = 0;
    // Full for a while means that the server has stopped reading, too.
    while sent < data.len() && idle < 50 {
        match client.write(&data[sent..]) {
            Ok(len) => (sent, idle) = (sent + len, 0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                idle += 1;
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let mut other = connect(address)?;
    other.write_all(b"me, too\n")?;
    expect(&mut other, b"me, too\n")?;

    // What the server has got comes back whole, with nothing more to wake it up.
    client.set_nonblocking(false)?;
    let mut received = vec![0; data.len()];
    let (back, rest) = received.split_at_mut(sent - sent % unit);
    client.read_exact(back)?;
    let mut writer = client.try_clone()?;
    std::thread::scope(|scope| {
        let written = scope.spawn(move || writer.write_all(&data[sent..]));
        let read = client.read_exact(rest);
        written.join().map_err(|_| "the writer panicked")??;
        Ok::<_, Error>(read?)
    })?;
    match received == data {
        true => Ok(()),
        false => Err("the bytes came back changed".into()),
    }
}

fn room(address: SocketAddr, protocol: Protocol) -> Result<()> {
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(protocol.join(address)?);
    }
    if protocol == Protocol::Lines {
        // Those who were accepted before the last hear what it says.
        members[2].write_all(b"hello\n")?;
        for member in &mut members {
            expect(member, b"hello\n")?;
        }
    }
    let (one, two) = (b"one\n", b"and another\n");
    let said = protocol.said(one);
    members[0].write_all(&said[..3])?;
    members[1].write_all(&protocol.said(two))?;
    for member in &mut members {
        expect(member, &protocol.heard(two))?;
    }
    members[0].write_all(&[&said[3..], &protocol.said(two)].concat())?;
    for member in &mut members {
        expect(member, &[protocol.heard(one), protocol.heard(two)].concat())?;
    }
    Ok(())
}

/// A value that is received while another client is served, and one that is larger than the
/// sockets' buffers, to a client that does not read.
fn store(address: SocketAddr) -> Result<()> {
    let value = noise(8_000_000);
    let head = format!("{}\n", value.len());
    let mut client = connect(address)?;
    let mut other = connect(address)?;
    client.write_all(format!("set {head}").as_bytes())?;
    client.write_all(&value[..1_000_000])?;
    other.write_all(b"me, too\n")?;
    expect(&mut other, b"me, too\n")?;
    client.write_all(&value[1_000_000..])?;
    client.write_all(b"\n")?;
    expect(&mut client, b"ok\n")?;
    client.write_all(b"get\n")?;
    other.write_all(b"get\n")?;
    for reader in [&mut other, &mut client] {
        expect(reader, head.as_bytes())?;
        let mut received = vec![0; value.len()];
        reader.read_exact(&mut received)?;
        if received != value {
            return Err("the value came back changed".into());
        }
        expect(reader, b"\n")?;
    }
    Ok(())
}

/// Lines in pieces and in one record, both ends of which are said, and more than a record.
fn secure(context: &Context, address: SocketAddr) -> Result<()> {
    let trust = context.tools.certificate().trust();
    let mut client = secure::Client::connect(address, &trust)?;
    for (said, heard) in [
        ("in two ", ""),
        ("pieces\n", "in two pieces\n"),
        ("one\n\nthree\n", "one\n\nthree\n"),
    ] {
        client.say(said.as_bytes())?;
        client.hear(&mut vec![0; heard.len()])?;
    }
    let long = [vec![b'x'; 60_000], b"\n".to_vec()].concat();
    client.exchange(&long)?;
    client.finish()
}

fn plaintext(address: SocketAddr) -> Result<()> {
    const REQUEST: &str = "GET /plaintext HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut client = connect(address)?;
    let (first, second) = REQUEST.split_at(20);
    client.write_all(first.as_bytes())?;
    client.write_all(format!("{second}{REQUEST}").as_bytes())?;
    for _ in 0..2 {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte)?;
            head.push(byte[0].to_ascii_lowercase());
        }
        let head = String::from_utf8(head)?;
        for needed in [
            "http/1.1 200",
            "content-length: 13\r\n",
            "date: ",
            "text/plain",
        ] {
            if !head.contains(needed) {
                return Err(format!("no {needed:?} in {head:?}").into());
            }
        }
        expect(&mut client, b"Hello, World!")?;
    }
    Ok(())
}

/// Bytes that do not repeat.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}
