//! TLS for the channels of the `chat` crate, by rustls.
//!
//! - [`Acceptor`]: the server's side. It takes a listener's [`Stream`](chat::Stream).
//! - [`Connector`]: the client's side. It connects, or takes a connection.
//! - [`Tls`]: the transport that both make. A handler reaches it by
//!   [`Chat::transport`](chat::Chat::transport).
//!
//! Both start TLS on a channel that is at work, too, as STARTTLS does. The page `docs/tls.md`
//! has a server, a client, STARTTLS, and what a handler sees when it goes wrong.
//!
//! ```no_run
//! use chat::{Address, AsyncChat, ChannelMap, Dispatcher, DispatcherHandler, Endpoint, Result, Stream};
//! use tls::Acceptor;
//!
//! struct Server(Acceptor);
//!
//! impl DispatcherHandler for Server {
//!     fn handle_accepted(&mut self, stream: Stream, _: Address, _: &mut Endpoint, map: &mut ChannelMap) -> Result {
//!         map.insert(AsyncChat::new(self.0.accept(stream), "\n", ()))?;
//!         Ok(())
//!     }
//! }
//!
//! let mut map = ChannelMap::new()?;
//! let acceptor = Acceptor::from_pem_files("cert.pem", "key.pem")?;
//! map.insert(Dispatcher::listen("127.0.0.1:7443", Server(acceptor)))?;
//! map.run()?;
//! # Ok::<(), chat::Error>(())
//! ```
//!
//! The feature `ring`, which is on by default, has the cryptography of
//! [`Acceptor::from_pem_files`] and [`Connector::from_pem_file`]. Without it, bring a
//! configuration with cryptography of your own.

mod acceptor;
mod connector;
#[cfg(feature = "ring")]
mod pem;
mod tls;

pub use acceptor::Acceptor;
pub use connector::Connector;
pub use rustls;
pub use tls::Tls;

/// The examples of the page on TLS compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/tls.md")]
struct Page;
