//! tokio on one thread, a task for each connection. `codec` has lines read by
//! `LinesCodec`, as most programs do. Otherwise all connections read into one
//! buffer, so that it can be large, and an idle connection has none.
//!
//! Both flush when no further line is there, not after each: so one `send`
//! answers all lines of one `recv`, as with the other contestants.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bench::start::{self, Work};
use bench::store::value_len;
use bytes::Buf;
use futures_util::{FutureExt, SinkExt, StreamExt};
use memchr::memchr;
use slab::Slab;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{self, LocalSet};
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};

/// As much is read at a time: what is best where bytes come without a pause.
const READ_BUFFER_SIZE: usize = 262_144;

const MAX_LINE: usize = 65_536;

/// Bytes that may wait for one member of a room.
const MAX_OUTPUT: usize = 8 * 1024 * 1024;

async fn echo_codec(stream: TcpStream) -> Result<(), LinesCodecError> {
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

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let (mut reader, mut writer) = stream.split();
    let mut partial = Vec::new();
    loop {
        let unsent = receive(&mut reader, |input, output| {
            lines(&mut partial, input, output)?;
            let sent = send(writer.as_ref(), output)?;
            Ok(output[sent..].to_vec())
        });
        match unsent.await? {
            Some(unsent) => writer.write_all(&unsent).await?,
            None => return Ok(()),
        }
    }
}

async fn bulk(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; READ_BUFFER_SIZE];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            len => stream.write_all(&buffer[..len]).await?,
        }
    }
}

/// One value, with its end, for all clients.
type Value = Rc<RefCell<Rc<Vec<u8>>>>;

/// A value is received straight to its place, behind what has come with its length.
async fn store(mut stream: TcpStream, value: Value) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::with_capacity(MAX_LINE, reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let left = MAX_LINE as u64;
        if (&mut reader)
            .take(left)
            .read_until(b'\n', &mut line)
            .await?
            == 0
        {
            return Ok(());
        }
        let Some(command) = line.strip_suffix(b"\n") else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        if let Some(len) = value_len(command) {
            let mut place = vec![0; len + 1];
            reader.read_exact(&mut place).await?;
            if place.last() != Some(&b'\n') {
                return Err(io::ErrorKind::InvalidData.into());
            }
            *value.borrow_mut() = Rc::new(place);
            writer.write_all(b"ok\n").await?;
        } else if command == b"get" {
            let value = Rc::clone(&*value.borrow());
            let head = format!("{}\n", value.len() - 1);
            let mut parts = Buf::chain(head.as_bytes(), &value[..]);
            writer.write_all_buf(&mut parts).await?;
        } else {
            writer.write_all(&line).await?;
        }
    }
}

/// Members are written to by one task, once for all that was said meanwhile. A
/// task and a queue (`recv_many`) for each took about 1.5 times as long.
#[derive(Default)]
struct Room {
    members: RefCell<Slab<Rc<Member>>>,
    spoken: Notify,
}

struct Member {
    writer: OwnedWriteHalf,
    unsent: RefCell<Vec<u8>>,
    /// A task waits until the socket takes more.
    is_blocked: Cell<bool>,
}

impl Room {
    async fn member(&self, stream: TcpStream) {
        let (reader, writer) = stream.into_split();
        let key = self.members.borrow_mut().insert(Rc::new(Member {
            writer,
            unsent: RefCell::default(),
            is_blocked: Cell::new(false),
        }));
        // What ends a connection is nobody else's business.
        let _ = self.listen_to(reader).await;
        self.members.borrow_mut().remove(key);
    }

    async fn listen_to(&self, mut reader: OwnedReadHalf) -> io::Result<()> {
        let mut partial = Vec::new();
        let mut tell = |input: &[u8], output: &mut Vec<u8>| {
            lines(&mut partial, input, output)?;
            for line in output.split_inclusive(|&byte| byte == b'\n') {
                self.tell(line);
            }
            Ok(())
        };
        while receive(&mut reader, &mut tell).await?.is_some() {}
        Ok(())
    }

    fn tell(&self, line: &[u8]) {
        for (_, member) in &*self.members.borrow() {
            let mut unsent = member.unsent.borrow_mut();
            if unsent.len() + line.len() <= MAX_OUTPUT {
                unsent.extend_from_slice(line);
            }
        }
        self.spoken.notify_one();
    }

    async fn write(&self) {
        loop {
            self.spoken.notified().await;
            for (_, member) in &*self.members.borrow() {
                if !member.is_blocked.get() && !member.write() {
                    member.is_blocked.set(true);
                    task::spawn_local(Rc::clone(member).wait());
                }
            }
        }
    }
}

impl Member {
    /// Whether the socket took everything.
    fn write(&self) -> bool {
        let mut unsent = self.unsent.borrow_mut();
        match send(self.writer.as_ref(), &unsent) {
            Ok(len) => drop(unsent.drain(..len)),
            // The reader sees it, too.
            Err(_) => unsent.clear(),
        }
        unsent.is_empty()
    }

    async fn wait(self: Rc<Self>) {
        while self.writer.writable().await.is_ok() && !self.write() {}
        self.is_blocked.set(false);
    }
}

/// What all connections share.
struct Shared {
    input: Box<[u8]>,
    output: Vec<u8>,
}

thread_local! {
    static SHARED: RefCell<Shared> = RefCell::new(Shared {
        input: vec![0; READ_BUFFER_SIZE].into_boxed_slice(),
        output: Vec::new(),
    });
}

/// Has `take` look at what comes; `None` at the end.
async fn receive<T>(
    reader: &mut (impl AsyncRead + Unpin),
    mut take: impl FnMut(&[u8], &mut Vec<u8>) -> io::Result<T>,
) -> io::Result<Option<T>> {
    let mut once = |context: &mut Context<'_>, Shared { input, output }: &mut Shared| {
        let mut buffer = ReadBuf::new(input);
        ready!(Pin::new(&mut *reader).poll_read(context, &mut buffer))?;
        output.clear();
        Poll::Ready(match buffer.filled() {
            [] => Ok(None),
            input => take(input, output).map(Some),
        })
    };
    poll_fn(|context| SHARED.with_borrow_mut(|shared| once(context, shared))).await
}

/// Appends the whole lines of `input` to `output`.
fn lines(partial: &mut Vec<u8>, mut input: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
    while let Some(at) = memchr(b'\n', input) {
        output.append(partial);
        output.extend_from_slice(&input[..at]);
        output.push(b'\n');
        input = &input[at + 1..];
    }
    if partial.len() + input.len() > MAX_LINE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    partial.extend_from_slice(input);
    Ok(())
}

/// Sends what the socket takes now, and returns how much that was.
fn send(stream: &TcpStream, data: &[u8]) -> io::Result<usize> {
    if data.is_empty() {
        return Ok(0);
    }
    match stream.try_write(data) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}

async fn serve(work: Work, is_codec: bool) -> io::Result<()> {
    let listener = TcpListener::from_std(start::listen()?)?;
    let room = Rc::new(Room::default());
    let value: Value = Rc::new(RefCell::new(Rc::new(b"\n".to_vec())));
    if work == Work::Room {
        let room = Rc::clone(&room);
        task::spawn_local(async move { room.write().await });
    }
    loop {
        let (stream, _) = listener.accept().await?;
        match work {
            Work::Echo if is_codec => {
                task::spawn(async { drop(echo_codec(stream).await) });
            }
            Work::Echo => {
                task::spawn(async { drop(echo(stream).await) });
            }
            Work::Bulk => {
                task::spawn(async { drop(bulk(stream).await) });
            }
            Work::Room => {
                let room = Rc::clone(&room);
                task::spawn_local(async move { room.member(stream).await });
            }
            Work::Store => {
                let value = Rc::clone(&value);
                task::spawn_local(async move { drop(store(stream, value).await) });
            }
            Work::Plaintext | Work::Secure => start::refuse(work),
        }
    }
}

fn main() -> io::Result<()> {
    let (work, variants) = start::work();
    let is_codec = variants.iter().any(|variant| variant == "codec");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    match work {
        Work::Room | Work::Store => LocalSet::new().block_on(&runtime, serve(work, is_codec)),
        _ => runtime.block_on(serve(work, is_codec)),
    }
}
