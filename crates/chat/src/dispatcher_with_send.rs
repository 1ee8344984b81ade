//! A raw dispatcher with queued output: asyncore's `dispatcher_with_send`.

use crate::dispatcher::Dispatcher;

/// asyncore's `dispatcher_with_send`: a [`Dispatcher`] whose handler sends by
/// [`Endpoint::push`](crate::Endpoint::push).
///
/// It is the same type, since every dispatcher can push. Pushed output leaves before the
/// loop waits next, and the rest whenever there is room.
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use std::time::Duration;
/// use chat::{ChannelMap, Dispatcher, DispatcherHandler, DispatcherWithSend, Endpoint, Result};
///
/// /// The echo handler of asyncore's documentation.
/// struct EchoHandler;
///
/// impl DispatcherHandler for EchoHandler {
///     fn handle_read(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
///         let mut buffer = map.buffers().read_buffer();
///         let len = endpoint.recv(&mut buffer)?;
///         endpoint.push(&buffer[..len]);
///         Ok(())
///     }
/// }
///
/// let (ours, mut theirs) = UnixStream::pair()?;
/// let mut map = ChannelMap::new()?;
/// let channel: DispatcherWithSend<EchoHandler> = Dispatcher::new(ours, EchoHandler);
/// map.insert(channel)?;
/// theirs.write_all(b"hello")?;
/// map.turn(Some(Duration::ZERO))?; // receives
/// map.turn(Some(Duration::ZERO))?; // sends
/// let mut echo = [0; 5];
/// theirs.read_exact(&mut echo)?;
/// assert_eq!(&echo, b"hello");
/// # Ok::<(), chat::Error>(())
/// ```
#[doc(alias = "dispatcher_with_send")]
pub type DispatcherWithSend<H> = Dispatcher<H>;
