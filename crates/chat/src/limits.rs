//! How much one peer may cost: [`Limits`].

use std::rc::Rc;
use std::time::Duration;

/// The limits of one channel. Every default is finite. `in_buffer_size`, `message` and
/// `messages_per_turn` are for chat channels only; a dispatcher's `reads_per_turn`
/// counts only while it discards.
///
/// Change the fields of a `default()`. None of them is "unlimited" at 0: where 0
/// would mean that nothing ever happens, it is taken as 1.
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
    /// Bytes asked of the socket by one `recv`, and so the most that a paused channel
    /// holds of its input. Default 65,536: CPython's `ac_in_buffer_size`. At most
    /// 262,144.
    ///
    /// Nothing is held of a message that goes by its length, or has no terminator. There
    /// all [`reads_per_turn`](Self::reads_per_turn) are one `recv`.
    #[doc(alias = "ac_in_buffer_size")]
    pub in_buffer_size: usize,
    /// Bytes asked of a producer at a time. Default 65,536: CPython's
    /// `ac_out_buffer_size`.
    #[doc(alias = "ac_out_buffer_size")]
    pub out_buffer_size: usize,
    /// Bytes that a message with a string terminator may have, without the
    /// terminator; and bytes that are accumulated for a
    /// [`MessageHandler`](crate::MessageHandler), whatever the terminator.
    /// Beyond it comes [`handle_overlimit`](crate::ChatHandler::handle_overlimit),
    /// and the end. Default 65,536.
    pub message: usize,
    /// Bytes that may be queued. Beyond it, and after one more attempt to send
    /// (which cannot get past a producer), the channel is closed as a
    /// [`SlowReader`](crate::CloseReason::SlowReader). Default 8 MiB.
    pub output: usize,
    /// Producers that may be queued. With one more, the channel is closed as a
    /// [`SlowReader`](crate::CloseReason::SlowReader). Default 1,024.
    pub producers: usize,
    /// Bytes queued above which `push` tries to send at once, and after which
    /// [`handle_drained`](crate::ChatHandler::handle_drained) is due. Default
    /// 65,536.
    pub high_water: usize,
    /// Bytes queued at or below which `handle_drained` is called. Default
    /// 16,384.
    pub low_water: usize,
    /// Full reads in one turn, so that the others get theirs. Default 4.
    pub reads_per_turn: usize,
    /// Messages delivered in one turn, of those that were held and then of those
    /// that are read; the rest is held for the next. Default 4,096.
    pub messages_per_turn: usize,
    /// Bytes sent in one turn, about. Default 1 MiB.
    pub sent_per_turn: usize,
    /// How long a channel that has sent its last byte waits for the peer to
    /// close, too, reading and discarding: a socket closed with unread input
    /// makes the kernel reset the connection, and the peer may lose the end of
    /// what was sent (RFC 1122, section 4.2.2.13). Default 2 s.
    pub linger: Duration,
    /// Bytes discarded in that time; with the first byte more the channel is
    /// closed. While the rest of the output is being sent, as many again are
    /// discarded, and anything beyond that stays unread. Default 64 MiB: more than the
    /// buffers of both ends hold of what a peer has sent before it could know.
    pub linger_bytes: usize,
    /// How long a channel that only has to send its rest, or whose peer has ended its
    /// input, waits for the peer to take any output; then it is closed as
    /// [`TimedOut`](crate::CloseReason::TimedOut). While the peer may still send, the
    /// time does not run for a producer that has nothing
    /// ([`More::Later`](crate::More::Later)). What counts is what the kernel
    /// takes from us, and that reports room only when a third of the socket's
    /// send buffer is free, which may be 1 MB: for peers that are slower than
    /// that, raise the time or lower `SO_SNDBUF`. Default 120 s.
    pub stall: Duration,
}

impl Limits {
    /// The defaults, in a constant.
    pub const DEFAULT: Self = Self {
        in_buffer_size: 65_536,
        out_buffer_size: 65_536,
        message: 65_536,
        output: 8 * 1024 * 1024,
        producers: 1_024,
        high_water: 65_536,
        low_water: 16_384,
        reads_per_turn: 4,
        messages_per_turn: 4_096,
        sent_per_turn: 1024 * 1024,
        linger: Duration::from_secs(2),
        linger_bytes: 64 * 1024 * 1024,
        stall: Duration::from_secs(120),
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
