//! tokio on one thread, a task for each connection; `codec` (the default) or
//! `bufreader` says how lines are read.
//!
//! Both flush when no further line is there, not after each: so one `send`
//! answers all lines of one `recv`, as with the other contestants.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use bench::start::{self, Work};
use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use slab::Slab;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::{self, LocalSet};
use tokio_util::codec::{Framed, LinesCodec};

const MAX_LINE: usize = 65_536;

/// As many lines are taken from a member's queue at a time.
const LINES_AT_ONCE: usize = 64;

async fn echo_codec(stream: TcpStream) -> Result<(), tokio_util::codec::LinesCodecError> {
    let mut framed = Framed::new(stream, LinesCodec::new_with_max_length(MAX_LINE));
    while let Some(line) = framed.next().await {
        framed.feed(line?).await?;
        while let Some(Some(line)) = framed.next().now_or_never() {
            framed.feed(line?).await?;
        }
        SinkExt::<String>::flush(&mut framed).await?;
    }
    Ok(())
}

async fn echo_bufreader(mut stream: TcpStream) -> io::Result<()> {
    let (reader, writer) = stream.split();
    let mut reader = BufReader::new(reader);
    let mut writer = BufWriter::new(writer);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = (&mut reader).take(MAX_LINE as u64 + 1);
        limited.read_until(b'\n', &mut line).await?;
        if line.pop() != Some(b'\n') {
            return writer.flush().await;
        }
        writer.write_all(&line).await?;
        writer.write_all(b"\n").await?;
        if !reader.buffer().contains(&b'\n') {
            writer.flush().await?;
        }
    }
}

async fn bulk(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 65_536];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            len => stream.write_all(&buffer[..len]).await?,
        }
    }
}

#[derive(Clone, Default)]
struct Room(Rc<RefCell<Slab<UnboundedSender<Bytes>>>>);

impl Room {
    async fn member(self, stream: TcpStream) -> io::Result<()> {
        let (queue, lines) = mpsc::unbounded_channel();
        let key = self.0.borrow_mut().insert(queue);
        let result = self.speak_and_listen(stream, lines).await;
        self.0.borrow_mut().remove(key);
        result
    }

    async fn speak_and_listen(
        &self,
        mut stream: TcpStream,
        mut lines: UnboundedReceiver<Bytes>,
    ) -> io::Result<()> {
        let (reader, mut writer) = stream.split();
        let mut reader = BufReader::new(reader);
        // `read_until` may be cancelled: what it has read stays in here.
        let mut line = Vec::new();
        let mut said = Vec::with_capacity(LINES_AT_ONCE);
        let mut output = Vec::new();
        loop {
            tokio::select! {
                read = reader.read_until(b'\n', &mut line) => {
                    read?;
                    if line.last() != Some(&b'\n') || line.len() > MAX_LINE {
                        return Ok(());
                    }
                    let line = Bytes::from(std::mem::take(&mut line));
                    for (_, member) in &*self.0.borrow() {
                        // Who has just left does not hear it.
                        let _ = member.send(line.clone());
                    }
                }
                _ = lines.recv_many(&mut said, LINES_AT_ONCE) => {
                    output.clear();
                    said.drain(..).for_each(|line| output.extend_from_slice(&line));
                    writer.write_all(&output).await?;
                }
            }
        }
    }
}

async fn serve(work: Work, variant: &str) -> io::Result<()> {
    let listener = TcpListener::from_std(start::listen()?)?;
    let room = Room::default();
    loop {
        let (stream, _) = listener.accept().await?;
        // What ends a connection is nobody else's business.
        match (work, variant) {
            (Work::Echo, "bufreader") => {
                task::spawn(async { drop(echo_bufreader(stream).await) });
            }
            (Work::Echo, _) => {
                task::spawn(async { drop(echo_codec(stream).await) });
            }
            (Work::Bulk, _) => {
                task::spawn(async { drop(bulk(stream).await) });
            }
            (Work::Room, _) => {
                let room = room.clone();
                task::spawn_local(async { drop(room.member(stream).await) });
            }
            (Work::Plaintext, _) => start::refuse(work),
        }
    }
}

fn main() -> io::Result<()> {
    let (work, variants) = start::work();
    let variant = variants.first().map_or("codec", String::as_str);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    match work {
        Work::Room => LocalSet::new().block_on(&runtime, serve(work, variant)),
        _ => runtime.block_on(serve(work, variant)),
    }
}
