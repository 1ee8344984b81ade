//! What a chat channel calls: [`ChatHandler`], and [`MessageHandler`] over it.

use std::mem;

use reactor::{ChannelMap, CloseReason, Error, Result, Timer};

use crate::chat::Chat;

/// What an [`AsyncChat`](crate::AsyncChat) calls: the methods that a subclass
/// of the documents' `async_chat` writes.
///
/// `chat` is the channel's wire, `map` everyone else. An `Err` goes to
/// [`handle_error`](Self::handle_error). When all that is needed is whole
/// messages, implement [`MessageHandler`] instead.
///
/// ```
/// use chat::{Chat, ChatHandler, ChannelMap, Result};
///
/// /// A line that says how many bytes follow it: `5\r\nhello`.
/// #[derive(Default)]
/// struct Counted {
///     ibuffer: Vec<u8>,
///     in_body: bool,
/// }
///
/// impl ChatHandler for Counted {
///     fn collect_incoming_data(
///         &mut self,
///         data: &[u8],
///         _chat: &mut Chat,
///         _map: &mut ChannelMap,
///     ) -> Result {
///         self.ibuffer.extend_from_slice(data);
///         Ok(())
///     }
///
///     fn found_terminator(&mut self, chat: &mut Chat, _map: &mut ChannelMap) -> Result {
///         let data = std::mem::take(&mut self.ibuffer);
///         if self.in_body {
///             chat.push(data);
///             chat.set_terminator("\r\n");
///         } else {
///             let len: usize = std::str::from_utf8(&data)?.parse()?;
///             chat.set_terminator(len.min(4096));
///         }
///         self.in_body = !self.in_body;
///         Ok(())
///     }
/// }
/// ```
#[expect(unused_variables, reason = "the defaults name what they ignore")]
pub trait ChatHandler: 'static {
    /// Some data of a message, in the order it came; how it is cut means
    /// nothing. It is never empty. If it is the last of its message,
    /// `found_terminator` follows at once, even after a
    /// [`pause`](Chat::pause) in here.
    fn collect_incoming_data(
        &mut self,
        data: &[u8],
        chat: &mut Chat,
        map: &mut ChannelMap,
    ) -> Result;

    /// The terminator was found: the message that was collected is complete.
    fn found_terminator(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result;

    /// A whole message, of which nothing was collected, lies in one piece. It may be
    /// empty. Called before the two above, for a handler that can use a message where
    /// it lies: that returns `Some` with the outcome, and the channel goes on behind
    /// the message.
    ///
    /// `None`, the default, has the message come by `collect_incoming_data` and
    /// `found_terminator`, as one does that arrived in several reads or goes beyond
    /// [`Limits::message`](crate::Limits::message). A handler that returns it must not
    /// have changed the channel.
    fn found_message(
        &mut self,
        message: &[u8],
        chat: &mut Chat,
        map: &mut ChannelMap,
    ) -> Option<Result> {
        None
    }

    /// The channel is connected: called once, by the loop and before any
    /// input, for an accepted socket as well. A server whose protocol lets it
    /// speak first does so here.
    fn handle_connect(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// The peer will send nothing more; it may still read. What came without a
    /// terminator has been collected. Called once. The default sends what is
    /// queued and closes.
    ///
    /// A channel that stays open with nothing to send gets no further events, not even
    /// for a reset: set a timer.
    fn handle_eof(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        chat.close_when_done_with(CloseReason::Eof);
        Ok(())
    }

    /// A message has more than [`Limits::message`](crate::Limits::message)
    /// bytes; as many were collected. The channel is closed when what is queued,
    /// an answer pushed here included, is sent; unless it is to go on after the
    /// message: see [`Chat::skip_message`].
    fn handle_overlimit(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// The queue, which was above
    /// [`Limits::high_water`](crate::Limits::high_water) or had a producer, is
    /// down to [`Limits::low_water`](crate::Limits::low_water) and has none:
    /// time for more.
    fn handle_drained(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// A timer of this channel is due. It comes to a channel that is
    /// [closing](Chat::closing) when done, too.
    fn handle_timer(&mut self, timer: Timer, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// The map is being [shut down](ChannelMap::shut_down). Called once, unless the
    /// channel is closing already, or still connecting: then it is closed. The default
    /// sends what is queued and closes. Requests that have been received and not
    /// delivered are dropped.
    fn handle_shutdown(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        chat.close_when_done_with(CloseReason::Shutdown);
        Ok(())
    }

    /// The channel is closed. Called exactly once; nothing is called after it,
    /// and what is pushed goes nowhere.
    fn handle_close(&mut self, reason: CloseReason, chat: &mut Chat, map: &mut ChannelMap) {}

    /// A callback returned an error: the handler's verdict on its channel, which a peer
    /// may have earned. The default logs it, at the level `warn`, delivers no more input,
    /// sends what was pushed before, and closes with
    /// [`HandlerError`](CloseReason::HandlerError), as
    /// [`close_when_done_with`](Chat::close_when_done_with) does. A producer that has
    /// nothing is waited for no longer than [`Limits::stall`](crate::Limits::stall); a
    /// channel that is still connecting closes at once.
    ///
    /// To drop what is queued, [`close`](Chat::close). An override that does not close
    /// goes on with the data that follows.
    fn handle_error(&mut self, error: Error, chat: &mut Chat, map: &mut ChannelMap) {
        chat.endpoint.end_by_error(&error);
    }
}

/// A chat handler that gets each message whole.
///
/// One method in place of the two documented ones; everything else is as in
/// [`ChatHandler`], which every `MessageHandler` is. A message that came in
/// one piece is borrowed from the read buffer, one that came in several is
/// accumulated in the channel, up to
/// [`Limits::message`](crate::Limits::message).
///
/// ```
/// use chat::{Chat, ChannelMap, MessageHandler, Result};
///
/// struct Echo;
///
/// impl MessageHandler for Echo {
///     fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
///         chat.push(line);
///         chat.push(b"\n");
///         Ok(())
///     }
/// }
/// ```
#[expect(unused_variables, reason = "the defaults name what they ignore")]
pub trait MessageHandler: 'static {
    /// One message, without its terminator.
    fn handle_message(&mut self, message: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result;

    /// See [`ChatHandler::handle_connect`].
    fn handle_connect(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// See [`ChatHandler::handle_eof`]; what came without a terminator is
    /// [`Chat::partial_message`].
    fn handle_eof(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        chat.close_when_done_with(CloseReason::Eof);
        Ok(())
    }

    /// See [`ChatHandler::handle_overlimit`].
    fn handle_overlimit(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// See [`ChatHandler::handle_drained`].
    fn handle_drained(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// See [`ChatHandler::handle_timer`].
    fn handle_timer(&mut self, timer: Timer, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        Ok(())
    }

    /// See [`ChatHandler::handle_shutdown`].
    fn handle_shutdown(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        chat.close_when_done_with(CloseReason::Shutdown);
        Ok(())
    }

    /// See [`ChatHandler::handle_close`].
    fn handle_close(&mut self, reason: CloseReason, chat: &mut Chat, map: &mut ChannelMap) {}

    /// See [`ChatHandler::handle_error`].
    fn handle_error(&mut self, error: Error, chat: &mut Chat, map: &mut ChannelMap) {
        chat.endpoint.end_by_error(&error);
    }
}

impl<M: MessageHandler> ChatHandler for M {
    fn collect_incoming_data(
        &mut self,
        data: &[u8],
        chat: &mut Chat,
        _map: &mut ChannelMap,
    ) -> Result {
        chat.collect(data);
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let message = mem::take(&mut chat.message);
        self.handle_message(&message, chat, map)
    }

    #[inline]
    fn found_message(
        &mut self,
        message: &[u8],
        chat: &mut Chat,
        map: &mut ChannelMap,
    ) -> Option<Result> {
        Some(self.handle_message(message, chat, map))
    }

    fn handle_connect(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        MessageHandler::handle_connect(self, chat, map)
    }

    fn handle_eof(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        MessageHandler::handle_eof(self, chat, map)
    }

    fn handle_overlimit(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        MessageHandler::handle_overlimit(self, chat, map)
    }

    fn handle_drained(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        MessageHandler::handle_drained(self, chat, map)
    }

    fn handle_timer(&mut self, timer: Timer, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        MessageHandler::handle_timer(self, timer, chat, map)
    }

    fn handle_shutdown(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        MessageHandler::handle_shutdown(self, chat, map)
    }

    fn handle_close(&mut self, reason: CloseReason, chat: &mut Chat, map: &mut ChannelMap) {
        MessageHandler::handle_close(self, reason, chat, map);
    }

    fn handle_error(&mut self, error: Error, chat: &mut Chat, map: &mut ChannelMap) {
        MessageHandler::handle_error(self, error, chat, map);
    }
}
