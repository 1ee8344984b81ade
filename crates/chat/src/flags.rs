//! Why a channel may not go straight on: one word, each bit a reason.
//!
//! A connected channel at work has no bit set. Then an event is a read, a
//! settle is a send, and nothing else has to be asked. Each bit is set and
//! cleared by the function that knows its reason.

/// A set of the bits below.
pub(crate) type Flags = u64;

/// The life of the channel is not `Live`: it connects, listens, has datagrams,
/// or ends. Kept by `life.rs`.
pub(crate) const NOT_LIVE: Flags = 1;
/// `handle_connect` is due, once the channel is connected.
pub(crate) const NEW: Flags = 1 << 1;
/// The socket is to be opened, or a transport to be told of the map that it is in.
pub(crate) const UNOPENED: Flags = 1 << 2;
/// Something waits to be delivered: input that was received before, or the end
/// of a message that needs no further input.
pub(crate) const UNDELIVERED: Flags = 1 << 3;
/// `handle_overlimit` is due.
pub(crate) const OVER_LIMIT: Flags = 1 << 4;
/// The peer will send nothing more.
pub(crate) const EOF: Flags = 1 << 5;
/// `handle_eof` was called, or will never be.
pub(crate) const EOF_TOLD: Flags = 1 << 6;
/// More than the high-water mark was queued, or a producer; `handle_drained`
/// has not been called since.
pub(crate) const HIGH: Flags = 1 << 7;
/// The wire took less than it was offered: until it is writable again, or a
/// transport has received something, sending is in vain.
pub(crate) const BLOCKED: Flags = 1 << 8;
/// Until a timer is due, nothing is received: the system is short of something, or the
/// channel has received as much as its rate allows.
pub(crate) const REST_IN: Flags = 1 << 9;
/// The sending half is to be shut when all is sent. No more is queued.
pub(crate) const SHUT_DUE: Flags = 1 << 10;
/// `discard_buffers` was called while a read is delivered: the rest of it goes, too.
pub(crate) const DISCARDED: Flags = 1 << 11;
/// All is sent, the end included.
pub(crate) const FINISHED: Flags = 1 << 12;
/// `handle_finished` was called.
pub(crate) const FINISHED_TOLD: Flags = 1 << 13;
/// `handle_convert` is due.
pub(crate) const CONVERTED: Flags = 1 << 14;
/// The poller has reported a hang-up, and is not to report it again.
pub(crate) const HUNG_UP: Flags = 1 << 15;
/// `handle_peer_finished` was called.
pub(crate) const PEER_TOLD: Flags = 1 << 16;
/// A message has begun, and has a terminator.
pub(crate) const PARTIAL: Flags = 1 << 17;
/// It is a number.
pub(crate) const BY_COUNT: Flags = 1 << 18;
/// The timers are to be looked at: a limit was changed, or, as due work, time has begun.
pub(crate) const RETIMED: Flags = 1 << 19;
/// The channel's answers outrun its peer, or what it says outruns another's: it is held until
/// that has drained.
pub(crate) const OUTRUN: Flags = 1 << 28;
/// Input is kept until there is enough of it for a message that is delivered whole.
pub(crate) const GATHERS: Flags = 1 << 29;
/// As `REST_IN`, of sending.
pub(crate) const REST_OUT: Flags = 1 << 30;
/// The bytes received or sent have a rate.
pub(crate) const RATED: Flags = 1 << 31;
/// A layer is to be put over the connection, or shakes hands.
pub(crate) const SECURING: Flags = 1 << 32;
/// A layer waits in the queue, or was lost with that: no input is received, since it belongs
/// to the layer.
pub(crate) const AWAITS_LAYER: Flags = 1 << 33;
/// A transport has input that no event will announce. Never set: a bit of the work that is due
/// (`due` of a chat channel), which the transport is asked for.
pub(crate) const HIDDEN_INPUT: Flags = 1 << 63;
/// Something is due that comes before anything else.
pub(crate) const BEGIN: Flags = NEW | CONVERTED;
/// The channel is held: nothing is delivered. A bit for each [`Hold`](crate::Hold), 20 to 27,
/// and `OUTRUN`.
pub(crate) const HELD: Flags = 0xff << 20 | OUTRUN;
