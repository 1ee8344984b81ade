//! The cost that one peer may cause: [`Limits`].

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use crate::admission::Admission;
use crate::offers::OfferPolicy;
use crate::rate::Rate;

/// The limits of one channel. Every default is finite except `idle`, `receive_rate` and
/// `send_rate`.
///
/// Change the fields of a `default()`. Unless a field says otherwise, 0 does not mean
/// unlimited. Where 0 would stop the channel for ever, it counts as 1.
///
/// A message is bounded by the way it ends. If by a string, a line's end, a framing or
/// silence: `message` and `message_time`. If by a number, or not at all: `counted_message`,
/// `min_message_rate` and `message_grace`.
///
/// Only chat channels use these five, `in_buffer_size` and `held`. Only listeners use
/// `admission`.
///
/// ```
/// use chat::Limits;
///
/// let mut limits = Limits::default();
/// assert_eq!(limits.message, 65_536);
/// limits.message = 510; // RFC 2812, section 2.3: 512 with the CRLF
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes that one `recv` asks for. Default 65,536, as CPython's `ac_in_buffer_size`;
    /// at most 262,144.
    ///
    /// A message with a numeric terminator, or none, is not searched. So one `recv` asks for
    /// up to 256 KiB, within what [`received_per_turn`](Self::received_per_turn) has left.
    #[doc(alias = "ac_in_buffer_size")]
    pub in_buffer_size: usize,
    /// Undelivered bytes up to which a [held](crate::Chat::hold) channel goes on
    /// receiving. 0: it receives nothing. Default 65,536.
    ///
    /// A held channel may take that much memory, or `in_buffer_size` after a read that was
    /// under way when the hold began. The channel notices the end of its input only while
    /// there is room. So leave room for the requests that a client may send behind the one
    /// that holds its channel.
    pub held: usize,
    /// Bytes that a producer is asked for at a time. Default 65,536, as CPython's
    /// `ac_out_buffer_size`.
    #[doc(alias = "ac_out_buffer_size")]
    pub out_buffer_size: usize,
    /// Bytes of a message with a string terminator or a line's end, without that; and of one
    /// that a [framing](crate::Framing) cuts, or that silence ends. A longer message goes to
    /// [`handle_overlimit`](crate::ChatHandler::handle_overlimit), and the channel
    /// closes unless that skips the message. Default 65,536.
    pub message: usize,
    /// How long a message that `message` bounds may take, from its first bytes to its end.
    /// Then [`handle_deadline`](crate::ChatHandler::handle_deadline) is called. Default 60 s.
    ///
    /// The time of a [held](crate::Chat::hold) channel does not count. One that silence ends,
    /// and one of a pipe or a terminal, where somebody types, has all the time.
    pub message_time: Duration,
    /// Bytes of a message with a number for a terminator, where something bounds it: for a
    /// [`MessageHandler`](crate::MessageHandler), a handler that
    /// [asks for it](crate::ChatHandler::bounds_counts), or a message
    /// [delivered whole](crate::Terminator::whole). A larger number goes to
    /// `handle_overlimit` at once, before any of the message is received. Also the bytes that
    /// are accumulated for a `MessageHandler` without a terminator. Default 65,536.
    ///
    /// So a server whose values may have 1 MB need not accept such command lines:
    ///
    /// ```
    /// let mut limits = chat::Limits::default();
    /// limits.message = 2_048;
    /// limits.counted_message = 1 << 20;
    /// ```
    pub counted_message: usize,
    /// The least bytes a second at which a message with a number for a terminator must come,
    /// on average since its beginning. If it is slower, but not before `message_grace`, or if
    /// nothing of it comes for `message_time`, `handle_deadline` is called. Default 240. 0: any.
    /// A message without a terminator has all the time. Otherwise as `message_time`.
    pub min_message_rate: u64,
    /// How long a message with a number for a terminator may come at any rate. Default 5 s.
    pub message_grace: Duration,
    /// Bytes that may be queued. A push beyond that makes one more attempt to send,
    /// which cannot get past a producer. If it is still too much, the channel is closed, at
    /// once or after the `goodbye`: as [`SlowReader`](crate::CloseReason::SlowReader) if, when
    /// the loop last went to wait, the peer had not taken all that it was offered; otherwise as
    /// [`OutputOverLimit`](crate::CloseReason::OutputOverLimit): the program has queued more
    /// than `output` by itself, or more than `send_rate` lets out. Default 8 MiB.
    pub output: usize,
    /// Bytes of [offers](crate::Chat::offer) that may wait for a peer that is behind; each
    /// counts 64 bytes more, for its place in the line. Beyond that, `offer_policy` decides.
    /// Default 1 MiB.
    pub offers: usize,
    /// What happens to an offer that does not fit into `offers`, or to those before it.
    /// Default [`OfferPolicy::Close`].
    pub offer_policy: OfferPolicy,
    /// Producers that may be queued. One more closes the channel, as too much `output` does.
    /// Default 1,024.
    pub producers: usize,
    /// Queued bytes above which `push` sends at once, an
    /// [offer](crate::Chat::offer) waits, and
    /// [`handle_drained`](crate::ChatHandler::handle_drained) will follow. A chat channel
    /// that has queued so much by its answers is held:
    /// [`set_backpressure`](crate::Chat::set_backpressure). Default 65,536.
    pub high_water: usize,
    /// Queued bytes down to which `handle_drained` waits, and so do offers and the release of
    /// a channel that its answers hold. Default 16,384.
    pub low_water: usize,
    /// Bytes received in one turn, approximately. Each message delivered counts as 256 more:
    /// the default is at most 4,096 messages, however short. Then other channels get their
    /// turn, and the rest is held for the next one, which delivers as many messages from held
    /// input, and again as many from new input. Default 1 MiB.
    ///
    /// The last read may be of `in_buffer_size`, whatever is left. A dispatcher's
    /// [`recv`](crate::Endpoint::recv) returns `WouldBlock` when the turn's bytes are used up;
    /// each call counts as a message.
    pub received_per_turn: usize,
    /// Bytes sent in one turn, approximately. Default 1 MiB.
    pub sent_per_turn: usize,
    /// The most bytes a second that the channel receives. When they are used up it stops
    /// reading, and the peer's own socket fills. Default [`Rate::UNLIMITED`].
    ///
    /// Time in which the channel rests is no fault of the peer's: it does not count for
    /// `message_time`, `min_message_rate` and `idle`. A channel that ends, since it closes
    /// when done or sending has failed, has no such rate any more: input that it leaves unread
    /// would reset the connection. Neither a conversion nor `set_limits` grants a new burst.
    /// Over a [`Transport`](crate::Transport) its bytes count, not those on the network. A
    /// socket that keeps bounds (datagrams, `SOCK_SEQPACKET`) has no rate.
    ///
    /// A dispatcher's [`recv`](crate::Endpoint::recv) gets as much as there is, and
    /// `WouldBlock` while the channel rests.
    pub receive_rate: Rate,
    /// The most bytes a second that the channel sends. When they are used up it stops sending,
    /// and further output is queued, within `output`: producers do not run ahead. Default
    /// [`Rate::UNLIMITED`].
    ///
    /// Time in which the channel rests does not count for `stall` and `idle`. A goodbye that
    /// leaves when the map closes the channel does not wait for the rate. Otherwise as
    /// `receive_rate`.
    pub send_rate: Rate,
    /// How long a channel that has sent its last byte waits for the peer to close. It
    /// reads and discards meanwhile: the kernel would reset a connection closed with
    /// unread input, and the peer might lose the end of the output (RFC 1122, section
    /// 4.2.2.13). A channel whose sending has failed delivers the rest of its input for
    /// as long. Default 2 s.
    pub linger: Duration,
    /// Bytes received in that time; one more closes the channel. While a closing
    /// channel still sends, it discards as many again, and leaves the rest unread.
    /// Default 64 MiB: more than the buffers of both ends hold of input that a peer sent
    /// before it could know.
    pub linger_bytes: usize,
    /// How long one attempt to connect may take. Each address of a name has this time; the
    /// next one is tried after 250 ms. When the last is given up, the channel is closed, as
    /// [`Missed`](crate::CloseReason::Missed)`(Connect)`. Default 30 s.
    pub connect: Duration,
    /// How long the handshake of a [`Transport`](crate::Transport) may take, such as that of
    /// TLS, from the connection to its end. Then the channel is closed, as
    /// [`Missed`](crate::CloseReason::Missed)`(Handshake)`. Default 10 s.
    pub handshake: Duration,
    /// How long nothing may be received and no output taken. Then `handle_deadline` is
    /// called. Default `Duration::MAX`: for ever, since a member of a room may just listen.
    /// The time counts from the [last activity](crate::Endpoint::last_activity), or from the
    /// deadline before.
    pub idle: Duration,
    /// How long output waits for the peer to take any of it. Then `handle_deadline` is
    /// called, and a channel that is closing is closed, as
    /// [`Missed`](crate::CloseReason::Missed)`(Stall)`. Default 120 s.
    ///
    /// While the peer may still send, the time does not run for a producer that has
    /// nothing ([`More::Later`](crate::More::Later)), except after a handler's error.
    ///
    /// The channel sees only what its own kernel takes. That reports room when a third of the
    /// socket's send buffer is free, which may be 1 MB. So when the time is over the
    /// channel tries to send once more: any byte that is taken begins the time anew. A peer
    /// that takes nothing any more is noticed late, since its kernel and ours have room at
    /// first.
    pub stall: Duration,
    /// Whom a listener lets in: how many channels in all, and how many of one address.
    pub admission: Admission,
    /// Whether the channel may be closed as [`Evicted`](crate::CloseReason::Evicted), to make
    /// room: when the map holds [too much memory](crate::ChannelMap::set_memory_cap) and this
    /// channel most of it, or for a newcomer. Default `true`. Say `false` for a console, or a
    /// link to a cluster.
    pub evictable: bool,
    /// The last output of a channel whose peer is cut off, such as a WebSocket close frame,
    /// or `421 closing`. Default none: the output just ends. A peer is cut off
    ///
    /// - as a [`SlowReader`](crate::CloseReason::SlowReader) or for
    ///   [`OutputOverLimit`](crate::CloseReason::OutputOverLimit): more than `output`,
    ///   `producers` or `offers`. The channel then
    ///   [closes when done](crate::Chat::close_when_done): `handle_close` comes when the peer
    ///   has read the goodbye and closed, or after `stall` or `linger`. The reason stays,
    ///   unless the map closes the channel before. So a room announces that a member leaves
    ///   when [`ChatMap::push`](crate::ChatMap::push) returns `Ok(false)`: `handle_close` is
    ///   late.
    /// - when the map closes its channel with the reason
    ///   [`Shutdown`](crate::CloseReason::Shutdown) or
    ///   [`Evicted`](crate::CloseReason::Evicted), or with either reason above, as
    ///   [`ChannelMap::shut_down`](reactor::ChannelMap::shut_down) does at its deadline. The
    ///   channel makes one attempt to send, directly before `handle_close`.
    ///
    /// ```
    /// let mut limits = chat::Limits::default();
    /// limits.goodbye = "421 4.3.2 closing\r\n".into();
    /// ```
    ///
    /// A goodbye comes between two pushes. So push each message by one call; a `write!` is
    /// one. The piece of the queue that is being sent comes before the goodbye: one push, or
    /// as many as were gathered into 64 KiB, or into `high_water` if that is more. The rest
    /// of the queue is dropped at once, and counts as [unsent](crate::Unsent).
    ///
    /// There is none where it would come inside something: a producer's output, or a push
    /// that was sent in part when it proved too long. There is none for a peer that is
    /// given up after `stall`, which would not take it, and none when the program closes the
    /// channel for another reason: it can push before. A connection under way, and a
    /// channel whose sending half is shut, have none.
    ///
    /// A [`Transport`](crate::Transport) is shut after it: TLS adds its `close_notify`. On a
    /// `SOCK_SEQPACKET` socket, a goodbye is a record; a datagram socket has none. A channel
    /// that is converted keeps it, with the other limits.
    pub goodbye: Bytes,
}

impl Limits {
    /// The defaults, in a constant.
    pub const DEFAULT: Self = Self {
        in_buffer_size: 65_536,
        held: 65_536,
        out_buffer_size: 65_536,
        message: 65_536,
        message_time: Duration::from_secs(60),
        counted_message: 65_536,
        min_message_rate: 240,
        message_grace: Duration::from_secs(5),
        output: 8 * 1024 * 1024,
        offers: 1024 * 1024,
        offer_policy: OfferPolicy::Close,
        producers: 1_024,
        high_water: 65_536,
        low_water: 16_384,
        received_per_turn: 1024 * 1024,
        sent_per_turn: 1024 * 1024,
        receive_rate: Rate::UNLIMITED,
        send_rate: Rate::UNLIMITED,
        linger: Duration::from_secs(2),
        linger_bytes: 64 * 1024 * 1024,
        connect: Duration::from_secs(30),
        handshake: Duration::from_secs(10),
        idle: Duration::MAX,
        stall: Duration::from_secs(120),
        admission: Admission::DEFAULT,
        evictable: true,
        goodbye: Bytes::new(),
    };

    /// The defaults, shared by the channels of a thread.
    pub(crate) fn shared() -> Rc<Self> {
        thread_local! {
            static SHARED: Rc<Limits> = Rc::default();
        }
        SHARED.with(Rc::clone)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
