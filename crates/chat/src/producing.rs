//! How output is made while it is sent: by producers, and by the handler.

use std::io;

use crate::chat::Chat;
use crate::endpoint::Endpoint;
use crate::flags::HIGH;
use crate::producer::{More, Producer};
use crate::unsent::Unsent;

/// # Output that is made while it is sent
impl Endpoint {
    /// Queues a producer. It is asked for data when all output pushed before is sent.
    /// When it is done, `handle_drained` is due.
    ///
    /// More than [`Limits::producers`](crate::Limits::producers) close the channel, as too
    /// much output does. Returns `false` if the producer is dropped: for the same reasons as
    /// [`push`](Self::push), and on a socket that keeps bounds.
    #[doc(alias = "producer_fifo")]
    pub fn push_with_producer(&mut self, producer: impl Producer + 'static) -> bool {
        let is_borne = self.bears_producer();
        if is_borne {
            self.output.push_producer(Box::new(producer));
        }
        is_borne
    }

    /// Queues a place for the handler, as for a [producer](Self::push_with_producer): when
    /// all output pushed before is sent, its
    /// [`produce`](crate::DispatcherHandler::produce) is asked. Returns `false` if there is
    /// no place, for the same reasons.
    pub fn push_with_handler(&mut self) -> bool {
        let is_borne = self.bears_producer();
        if is_borne {
            self.output.push_handler();
        }
        is_borne
    }

    /// Whether one more producer may be queued. If there are too many, the channel
    /// is cut off.
    fn bears_producer(&mut self) -> bool {
        if !self.takes_output() || self.wire.keeps_bounds() {
            return false;
        }
        let is_borne = self.output.producers() < self.limits.producers;
        match is_borne {
            true => self.flags |= HIGH,
            false => self.cut_off_for_output(Unsent {
                bytes: 0,
                producers: 1,
            }),
        }
        is_borne
    }
}

/// # Output that is made while it is sent
impl Chat {
    /// Queues a producer. It is asked for data when all output pushed before is sent.
    /// When it is done, [`handle_drained`](crate::ChatHandler::handle_drained) is due.
    ///
    /// More than [`Limits::producers`](crate::Limits::producers) close the channel, as too
    /// much output does. Returns `false` if the producer is dropped, for the same reasons as
    /// [`push`](Self::push).
    #[doc(alias = "producer_fifo")]
    pub fn push_with_producer(&mut self, producer: impl Producer + 'static) -> bool {
        self.endpoint.push_with_producer(producer)
    }

    /// Queues a place for the handler, as for a [producer](Self::push_with_producer): when
    /// all output pushed before is sent, its
    /// [`produce`](crate::ChatHandler::produce) is asked. Returns `false` if there is no
    /// place, for the same reasons.
    ///
    /// The handler keeps what it sends from: a cursor into a listing, a snapshot, a table of
    /// the latest values. Others reach that by [`get_mut`](crate::ChannelMap::get_mut), so it
    /// needs no `Rc<RefCell>`:
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use std::io::{self, Read, Write};
    /// use std::os::unix::net::UnixStream;
    /// use chat::{AsyncChat, ChannelMap, Chat, MessageHandler, More, Result};
    ///
    /// /// Reads the latest price of each share, however slowly.
    /// #[derive(Default)]
    /// struct Ticker {
    ///     news: BTreeMap<&'static str, u32>,
    /// }
    ///
    /// impl MessageHandler for Ticker {
    ///     fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
    ///         Ok(())
    ///     }
    ///     fn produce(&mut self, out: &mut Vec<u8>, max: usize) -> io::Result<More> {
    ///         while out.len() < max {
    ///             let Some((name, price)) = self.news.pop_first() else {
    ///                 return Ok(More::Done);
    ///             };
    ///             writeln!(out, "{name} {price}")?;
    ///         }
    ///         Ok(More::Again)
    ///     }
    /// }
    ///
    /// impl Ticker {
    ///     fn tell(channel: &mut AsyncChat<Ticker>, name: &'static str, price: u32) {
    ///         let news = &mut channel.handler.news;
    ///         if news.is_empty() {
    ///             channel.chat.push_with_handler();
    ///         }
    ///         news.insert(name, price);
    ///     }
    /// }
    ///
    /// let (ours, mut theirs) = UnixStream::pair()?;
    /// let mut map = ChannelMap::new()?;
    /// let ticker = map.insert(AsyncChat::new(ours, "\n", Ticker::default()))?;
    /// for price in [40, 41, 42] {
    ///     Ticker::tell(map.get_mut(ticker)?, "ACME", price);
    /// }
    /// map.get_mut(ticker)?.chat.close_when_done();
    /// map.turn(None)?;
    /// let mut read = String::new();
    /// theirs.read_to_string(&mut read)?;
    /// assert_eq!(read, "ACME 42\n");
    /// # Ok::<(), chat::Error>(())
    /// ```
    pub fn push_with_handler(&mut self) -> bool {
        self.endpoint.push_with_handler()
    }
}

/// Where the handler is not at hand: it is asked at the next settle.
pub(crate) fn later(_: &mut Vec<u8>, _: usize) -> io::Result<More> {
    Ok(More::Later)
}
