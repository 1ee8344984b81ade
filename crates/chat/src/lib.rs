//! Single-threaded network servers and clients: CPython's `asyncore` and
//! `asynchat`, redesigned in Rust.
//!
//! One thread, one explicit [`ChannelMap`], plain `&mut self` handlers. Raw
//! [`Dispatcher`]s and [`AsyncChat`] channels mix freely in one map. Typically a
//! listening dispatcher makes a chat channel of each connection.
//!
//! Depend on this crate alone. It re-exports `bytes`, `socket2` and the parts of
//! `reactor` that a program needs. Python's own pages on
//! [`asyncore`](https://docs.python.org/3.11/library/asyncore.html) and
//! [`asynchat`](https://docs.python.org/3.11/library/asynchat.html) describe the
//! originals.
//!
//! | you have | you write | the channel is |
//! |---|---|---|
//! | messages with a terminator, a length or a [`Framing`] of their own | a [`MessageHandler`] | [`AsyncChat`] |
//! | messages too long to keep whole | a [`ChatHandler`] | [`AsyncChat`] |
//! | a port to listen on | a [`DispatcherHandler`] with `handle_accepted` | [`Dispatcher::listen`] |
//! | bytes in, bytes and [producers](Producer) out | a [`ChatHandler`], without `found_terminator` | [`AsyncChat`] with [`Terminator::none`] |
//! | a socket to call `recv` and `send` on | a [`DispatcherHandler`] | [`Dispatcher`] |
//! | timers only | a function | [`TimerChannel`] |
//! | no socket at all | a [`Channel`] | yours |
//!
//! [`ChatMap::channels`] shows every channel, and [`ChannelMap::statistics`] what the loop has
//! done: `docs/looking.md`.
//!
//! [`ChannelMap::insert_state`] keeps state that several channels share.
//! [`ChatMap::push`] sends to any channel by its token. The page
//! `docs/several-channels.md` shows how channels that belong together reach each other, and
//! `docs/clients.md` a client that keeps its connection.
//!
//! # Example
//!
//! A server that answers one line, and its client, in one map:
//!
//! ```
//! use chat::{Address, AsyncChat, Chat, ChannelMap, Dispatcher, DispatcherHandler};
//! use chat::{Endpoint, MessageHandler, Result, Socket, Stream};
//!
//! struct Server;
//!
//! impl DispatcherHandler for Server {
//!     fn handle_accepted(
//!         &mut self,
//!         stream: Stream,
//!         _addr: Address,
//!         server: &mut Endpoint,
//!         map: &mut ChannelMap,
//!     ) -> Result {
//!         map.insert(AsyncChat::new(stream, "\r\n", Session))?;
//!         server.close(); // one client is enough here
//!         Ok(())
//!     }
//! }
//!
//! struct Session;
//!
//! impl MessageHandler for Session {
//!     fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
//!         chat.push("you said: ");
//!         chat.push(line);
//!         chat.push("\r\n");
//!         chat.close_when_done();
//!         Ok(())
//!     }
//! }
//!
//! struct Client;
//!
//! impl MessageHandler for Client {
//!     fn handle_connect(&mut self, chat: &mut Chat, _: &mut ChannelMap) -> Result {
//!         chat.push("hello\r\n");
//!         Ok(())
//!     }
//!     fn handle_message(&mut self, line: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
//!         assert_eq!(line, b"you said: hello");
//!         Ok(())
//!     }
//! }
//!
//! let mut map = ChannelMap::new()?;
//! let server = map.insert(Dispatcher::listen("127.0.0.1:0", Server))?;
//! let address = map.get(server)?.endpoint.local_addr().and_then(|a| a.as_inet()).unwrap();
//! map.insert(AsyncChat::connect(address, "\r\n", Client))?;
//! map.run()?; // until all channels are closed
//! # Ok::<(), chat::Error>(())
//! ```
//!
//! # Testing
//!
//! A test inserts a channel on one end of a socket pair and turns the loop itself.
//! Nothing sleeps. A channel's answer may wait for the next turn, so turn until a turn has
//! nothing to do. [`turn_at`](ChannelMap::turn_at) makes a turn at any time you choose.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::os::unix::net::UnixStream;
//! use std::time::Duration;
//! use chat::{AsyncChat, Chat, ChannelMap, CloseReason, MessageHandler, Result, Timer};
//!
//! /// Sends lines back; closes a connection that is silent for 5 s.
//! #[derive(Default)]
//! struct Echo {
//!     idle: Option<Timer>,
//! }
//!
//! impl Echo {
//!     const PATIENCE: Duration = Duration::from_secs(5);
//! }
//!
//! impl MessageHandler for Echo {
//!     fn handle_connect(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
//!         self.idle = Some(map.set_timer(chat.token(), map.after(Self::PATIENCE)));
//!         Ok(())
//!     }
//!     fn handle_message(&mut self, line: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
//!         if let Some(timer) = &mut self.idle {
//!             map.reset_timer(timer, map.after(Self::PATIENCE));
//!         }
//!         chat.push(line);
//!         chat.push("\r\n");
//!         Ok(())
//!     }
//!     fn handle_timer(&mut self, _: Timer, chat: &mut Chat, _: &mut ChannelMap) -> Result {
//!         chat.close_with(CloseReason::TimedOut);
//!         Ok(())
//!     }
//! }
//!
//! let (ours, mut theirs) = UnixStream::pair()?;
//! let mut map = ChannelMap::new()?;
//! let echo = map.insert(AsyncChat::new(ours, "\r\n", Echo::default()))?;
//!
//! theirs.write_all(b"hello\r\n")?;
//! while map.turn(Some(Duration::ZERO))? > 0 {} // receives, and sends
//! let mut line = [0; 7];
//! theirs.read_exact(&mut line)?;
//! assert_eq!(&line, b"hello\r\n");
//!
//! map.turn_at(map.now() + Duration::from_secs(4))?;
//! assert!(map.is_open(echo));
//! map.turn_at(map.now() + Duration::from_secs(1))?;
//! assert!(!map.is_open(echo));
//! # Ok::<(), chat::Error>(())
//! ```
//!
//! Without sockets, a channel stands on a [`Transport`] of the test's. [`AsyncChat::over`]
//! and [`Dispatcher::over`] make one; a constructor of your own that takes an
//! `impl Into<Endpoint>` gets [`Endpoint::over`]. [`ChatMap::set_network`] gives all channels
//! that enter a map a [`Network`] of the test's, with listeners and connections.
//!
//! # What it costs
//!
//! An idle channel holds no buffer: a connection that has sent a line and rests
//! takes 401 bytes of resident memory. A busy channel reads into the map's shared
//! buffer and sends a turn's output with one system call. One echoed line of 32 bytes
//! costs 608 instructions in user space, and about the CPU time of a raw epoll loop.
//! These figures come from one machine and from `docs/performance.md`, which `just
//! bench` writes. [`Limits`] bounds every buffer that a peer can make grow.
//!
//! # When not to use it
//!
//! Use an async runtime such as tokio for async libraries (database drivers, HTTP/2,
//! gRPC), for many cores in one process, or for logic that reads best as a sequence of
//! awaited steps. A handler must not block: every channel of the map would wait.
//!
//! # Requirements
//!
//! Rust 1.86 or later. Linux is tested; other systems are untried.

mod address;
mod admission;
mod async_chat;
mod attempts;
mod backpressure;
#[cfg(unix)]
mod bound_path;
mod channel_view;
mod chat;
mod chat_map;
mod connecting;
mod datagram;
mod dispatcher;
mod dispatcher_handler;
mod dispatcher_with_send;
mod ending;
mod endpoint;
mod error_queue;
mod extras;
#[cfg(unix)]
mod file_dispatcher;
mod flags;
mod framer;
mod framing;
mod goodbye;
mod handler;
mod hold;
mod holding;
mod inet_name;
mod layer;
mod leavers;
mod ledger;
mod life;
mod limits;
mod listening;
mod network;
#[cfg(unix)]
mod nonblocking;
mod offering;
mod offers;
mod opening;
mod output;
#[cfg(unix)]
mod pattern;
mod plain;
mod process;
mod producer;
mod producing;
mod rate;
mod receiving;
mod sending;
mod speakers;
mod stream;
mod terminator;
mod transport;
#[cfg(unix)]
mod unix_bind;
mod unix_name;
mod unread;
mod unsent;
mod waiting;
mod wire;

pub use address::Address;
pub use admission::{Admission, WhenFull};
pub use async_chat::AsyncChat;
pub use channel_view::{ChannelState, ChannelView};
pub use chat::Chat;
pub use chat_map::ChatMap;
pub use dispatcher::Dispatcher;
pub use dispatcher_handler::DispatcherHandler;
pub use dispatcher_with_send::DispatcherWithSend;
pub use endpoint::Endpoint;
#[cfg(unix)]
pub use file_dispatcher::{FileDispatcher, FileWrapper};
pub use framing::{Framing, FramingError};
pub use handler::{ChatHandler, MessageHandler};
pub use hold::Hold;
pub use inet_name::InetName;
pub use layer::InputPending;
pub use limits::Limits;
pub use network::{DatagramSocket, Listener, Network};
pub use offers::{Dropped, OfferPolicy};
pub use producer::{
    ChunkedProducer, HookedProducer, IterProducer, More, Producer, ReadProducer, SimpleProducer,
};
pub use rate::Rate;
pub use stream::Stream;
pub use terminator::{InvalidTerminator, Terminator};
pub use transport::Transport;
#[cfg(unix)]
pub use unix_bind::UnixBind;
pub use unix_name::UnixName;
pub use unsent::Unsent;

pub use bytes;
pub use reactor::{
    Absent, Buffers, Call, Channel, ChannelEntry, ChannelMap, ChannelMut, CloseReason, Deadline,
    Error, Handle, InsertError, InvalidToken, Measured, Moment, NestedTurn, Opening, ReadBuffer,
    Readiness, Registration, Remote, RemoteError, Result, Source, State, Statistics, Timer,
    TimerChannel, Token,
};
pub use socket2;
pub use socket2::{SockRef, Socket};

/// The README's program compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The program of the page on several channels runs.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/several-channels.md")]
struct SeveralChannels;

/// The program of the page on clients runs.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/clients.md")]
struct Clients;

/// The example of the page on looking at a loop runs.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/looking.md")]
struct Looking;

/// The example of the page on limits runs.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/limits.md")]
struct LimitsPage;

/// The program of the page on porting runs.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/porting-from-asyncore.md")]
struct Porting;
