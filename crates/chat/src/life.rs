//! The life of a channel, from its first attempt to connect to its close. All
//! changes of its stage are in the one table of [`Life::apply`].

use std::io;
use std::mem;

use reactor::{ChannelMap, CloseReason, Error, Token};

use crate::admission::Entrance;
use crate::attempts::Attempts;
use crate::ending::Ending;
use crate::endpoint::Endpoint;
use crate::flags::{EOF, FINISHED, FINISHED_TOLD, HIGH, NOT_LIVE, SHUT_DUE};

/// Where a channel's life stands. Others read it; only this file changes it.
#[derive(Debug)]
pub(crate) struct Life(Stage);

#[derive(Debug)]
pub(crate) enum Stage {
    /// A connection is under way.
    Connecting(Box<Attempts>),
    Listening(Box<Entrance>),
    /// No stream of bytes, and no end of it.
    Datagrams(#[expect(dead_code, reason = "dropping it is its work")] Bound),
    /// Connected.
    Live,
    /// Connected, and no more is queued: the sending half is shut, or will be when all
    /// is sent. Input is delivered.
    Shut,
    /// Nothing can be sent any more: the input that is left is delivered.
    Failing(Box<Ending>),
    /// What is queued is sent, input is discarded.
    Finishing(Box<Ending>),
    /// All is sent and the peer told so; it has some time to close, too.
    Lingering(Box<Ending>),
    /// From this stage; with the reason until the map has it, in a box: so that all the
    /// other stages are small.
    Closed(Origin, Option<Box<CloseReason>>),
}

/// The path of a Unix socket that is removed with its channel: when that closes, or is
/// dropped.
#[cfg(unix)]
pub(crate) type Bound = Option<Box<crate::bound_path::BoundPath>>;
#[cfg(not(unix))]
pub(crate) type Bound = ();

/// What a channel was before it closed: `handle_close` can ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Connecting,
    Listening,
    Datagrams,
    Connected,
    /// The same, and sending has failed.
    Failed,
}

/// What changes a life.
enum Event {
    /// The socket was bound to a path.
    Bound(Bound),
    /// A layer over the connection has a handshake to make.
    Layered,
    /// The connection is there.
    Connected,
    /// The sending half to be shut when all is sent.
    Shut,
    /// Sending has failed for good.
    Fail(io::Error),
    /// To be closed when all is sent; `true` if some output was lost already.
    Finish(CloseReason, bool),
    /// All is sent; `true` if the peer has closed its end, or is gone.
    Sent(bool),
    /// Closed; `true` if some output never reached the kernel.
    Close(CloseReason, bool),
    /// The map has the reason.
    Told,
}

impl Life {
    pub(crate) fn new(stage: Stage) -> Self {
        Self(stage)
    }

    #[inline]
    pub(crate) fn stage(&self) -> &Stage {
        &self.0
    }

    /// What the channel is, or was before it closed.
    pub(crate) fn origin(&self) -> Origin {
        match &self.0 {
            Stage::Connecting(_) => Origin::Connecting,
            Stage::Listening(_) => Origin::Listening,
            Stage::Datagrams(_) => Origin::Datagrams,
            Stage::Live | Stage::Shut | Stage::Finishing(_) | Stage::Lingering(_) => {
                Origin::Connected
            }
            Stage::Failing(_) => Origin::Failed,
            Stage::Closed(origin, _) => *origin,
        }
    }

    /// The attempts, if a connection is under way.
    pub(crate) fn attempts(&mut self) -> Option<&mut Attempts> {
        match &mut self.0 {
            Stage::Connecting(attempts) => Some(attempts),
            _ => None,
        }
    }

    /// What a channel that ends keeps account of.
    pub(crate) fn ending(&mut self) -> Option<&mut Ending> {
        match &mut self.0 {
            Stage::Failing(ending) | Stage::Finishing(ending) | Stage::Lingering(ending) => {
                Some(ending)
            }
            _ => None,
        }
    }

    /// What a listener keeps.
    pub(crate) fn entrance(&mut self) -> Option<&mut Entrance> {
        match &mut self.0 {
            Stage::Listening(entrance) => Some(entrance),
            _ => None,
        }
    }

    pub(crate) fn entrance_ref(&self) -> Option<&Entrance> {
        match &self.0 {
            Stage::Listening(entrance) => Some(entrance),
            _ => None,
        }
    }

    /// Whether the channel is closing, now or when all is sent.
    fn is_closing(&self) -> bool {
        match &self.0 {
            Stage::Connecting(attempts) => attempts.then.is_some(),
            Stage::Listening(_) | Stage::Datagrams(_) => false,
            Stage::Live | Stage::Shut | Stage::Failing(_) => false,
            Stage::Finishing(_) | Stage::Lingering(_) | Stage::Closed(..) => true,
        }
    }

    fn apply(&mut self, event: Event) {
        use Event::{Close, Connected, Fail, Finish, Sent, Told};
        use Stage::{Closed, Connecting, Failing, Finishing, Lingering, Live};

        let origin = self.origin();
        let closed = |reason| Closed(origin, Some(Box::new(reason)));
        let before = mem::replace(&mut self.0, Closed(origin, None));
        self.0 = match (before, event) {
            (Stage::Listening(mut entrance), Event::Bound(path)) => {
                entrance.path = path;
                Stage::Listening(entrance)
            }
            (Stage::Datagrams(_), Event::Bound(path)) => Stage::Datagrams(path),
            (Live, Event::Layered) => Connecting(Box::default()),
            (Connecting(mut attempts), Connected) => match attempts.then.take() {
                Some(reason) => Finishing(Ending::new(reason)),
                None => Live,
            },
            (Connecting(mut attempts), Finish(reason, _)) => {
                attempts.then.get_or_insert(reason);
                Connecting(attempts)
            }
            (Live, Event::Shut) => Stage::Shut,
            (Live | Stage::Shut, Finish(reason, _)) => Finishing(Ending::new(reason)),
            (Finishing(mut ending), Finish(reason, is_lost)) => {
                ending.reason = first(Some(ending.reason), reason, is_lost);
                Finishing(ending)
            }
            (Live | Stage::Shut, Fail(error)) => Failing(Ending::new(CloseReason::Io(error))),
            (Failing(ending), Finish(reason, _) | Close(reason, _)) => {
                closed(after_failure(ending.reason, reason))
            }
            (Finishing(ending), Fail(error)) => {
                let reason = first(Some(ending.reason), CloseReason::Io(error), true);
                Closed(Origin::Failed, Some(Box::new(reason)))
            }
            // Nothing is ever queued there.
            (Stage::Listening(_) | Stage::Datagrams(_), Finish(reason, _)) => closed(reason),
            (Finishing(ending), Sent(true)) => closed(ending.reason),
            (Finishing(ending), Sent(false)) => Lingering(ending.lingering()),
            (Connecting(attempts), Close(reason, is_lost)) => {
                closed(first(attempts.then, reason, is_lost))
            }
            (Finishing(ending), Close(reason, is_lost)) => {
                closed(first(Some(ending.reason), reason, is_lost))
            }
            (Lingering(ending), Close(..) | Fail(_)) => closed(ending.reason),
            (Live | Stage::Shut | Stage::Listening(_) | Stage::Datagrams(_), Close(reason, _)) => {
                closed(reason)
            }
            (_, Told) => Closed(origin, None),
            (unchanged, _) => unchanged,
        };
    }
}

/// The first reason stands; but one that speaks for the output gives way when
/// output is lost.
fn first(first: Option<CloseReason>, reason: CloseReason, is_lost: bool) -> CloseReason {
    match first {
        Some(first) if !(is_lost && speaks_for_output(&first)) => first,
        _ => reason,
    }
}

/// The failure stands; but not against a reason of the caller's. The next failure may
/// be a consequence of it.
fn after_failure(failure: CloseReason, reason: CloseReason) -> CloseReason {
    match speaks_for_output(&reason) || matches!(reason, CloseReason::Io(_)) {
        true => failure,
        false => reason,
    }
}

/// Whether the reason says that all was sent.
fn speaks_for_output(reason: &CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::Done | CloseReason::Eof | CloseReason::Shutdown
    )
}

/// What happens to a channel.
impl Endpoint {
    /// The socket was bound, to a path that is to be removed if there is one.
    pub(crate) fn has_bound(&mut self, path: Bound) {
        self.change(Event::Bound(path));
    }

    /// A layer is over the connection: its handshake comes first.
    pub(crate) fn is_to_connect(&mut self) {
        self.change(Event::Layered);
    }

    pub(crate) fn has_connected(&mut self) {
        self.change(Event::Connected);
        if self.flags & SHUT_DUE != 0 {
            self.change(Event::Shut);
        }
    }

    /// Nothing can be sent any more: what is queued is dropped.
    pub(crate) fn has_failed(&mut self, error: io::Error) {
        self.lose_output();
        self.flags &= !HIGH; // nobody waits for room that never comes
        self.end_receive_rate();
        self.change(Event::Fail(error));
    }

    /// All is sent, and the peer told so: `handle_finished` is due, unless something was
    /// lost. A peer that `has_ended`, too, is not waited for.
    pub(crate) fn has_finished(&mut self, has_ended: bool) {
        let is_all = self.output.lost().is_empty();
        if is_all && matches!(self.life.0, Stage::Finishing(_) | Stage::Shut) {
            self.flags |= FINISHED;
        }
        self.change(Event::Sent(has_ended));
    }

    /// All is sent, but the peer cannot be told: it is gone.
    pub(crate) fn has_lost_peer(&mut self) {
        self.change(Event::Sent(true));
    }

    /// Whether `handle_finished` is due.
    pub(crate) fn is_finished(&self) -> bool {
        self.flags & (FINISHED | FINISHED_TOLD) == FINISHED && self.output.lost().is_empty()
    }

    /// The reason of a closed channel, for the map; once.
    #[inline]
    pub(crate) fn take_reason(&mut self) -> Option<CloseReason> {
        match &mut self.life.0 {
            Stage::Closed(_, reason) => reason.take().map(|reason| *reason),
            _ => None,
        }
    }

    /// Has the map close the channel, if it is closed. A callback may have put another map
    /// in the place of the channel's own: that one hears of it at the next settle.
    #[inline]
    pub(crate) fn close_in(&mut self, map: &mut ChannelMap, me: Token) {
        if self.is_closed() && map.is_open(me) {
            if let Some(reason) = self.take_reason() {
                map.close_with(me, reason);
            }
        }
    }

    /// The map has closed the channel: nothing but a goodbye is sent or told any more.
    /// Cutting a peer off for its input or output is logged as a warning, and so is the
    /// end of a listener that nobody asked for: the program may go on without it for days.
    pub(crate) fn has_closed(&mut self, reason: &CloseReason, map: &ChannelMap) {
        use CloseReason::{Evicted, OutputOverLimit, OverLimit, Shutdown, SlowReader};
        if let Shutdown | SlowReader | OutputOverLimit | Evicted = reason {
            self.say_goodbye_now(map);
        }
        let me = self.me;
        match reason {
            OverLimit | SlowReader | OutputOverLimit | Evicted => {
                log::warn!("channel {me}: closed: {reason}");
            }
            CloseReason::Io(error) if self.accepting() => {
                log::warn!("channel {me}: closed, no longer listening: {error}");
            }
            _ => log::debug!("channel {me}: closed: {reason}"),
        }
        self.lose_output();
        self.change(Event::Told);
    }

    /// Closes the channel when all [pushed](Self::push) output is sent. A listener or a
    /// datagram socket closes at once. From now on no input is delivered.
    ///
    /// A peer that reads gets all of the output. To that end input is read and
    /// discarded meanwhile, and afterwards until the peer closes, for at most
    /// [`Limits::linger`](crate::Limits::linger). A peer that takes nothing for
    /// [`Limits::stall`](crate::Limits::stall) is given up.
    pub fn close_when_done(&mut self) {
        self.close_when_done_with(CloseReason::Done);
    }

    /// Like [`close_when_done`](Self::close_when_done), with the caller's reason. The
    /// first reason stands.
    pub fn close_when_done_with(&mut self, reason: CloseReason) {
        self.finish(reason, false);
    }

    /// The same. If output `is_lost`, a first reason that says that all was sent gives way.
    pub(crate) fn finish(&mut self, reason: CloseReason, is_lost: bool) {
        self.unread.clear();
        self.end_receive_rate();
        self.shut_when_done();
        self.change(Event::Finish(reason, is_lost));
    }

    /// After a callback: ends a channel for which nothing is left to do, on either side.
    pub(crate) fn finish_early(&mut self) {
        let is_over = self.flags & EOF != 0 && self.wire.transport().is_none();
        if is_over && matches!(self.life.0, Stage::Finishing(_)) && !self.has_output() {
            self.has_finished(true);
        }
    }

    /// Takes no more output, and shuts the sending half when all that is queued is sent.
    pub(crate) fn shut_when_done(&mut self) {
        if self.flags & FINISHED == 0 {
            self.flags |= SHUT_DUE;
        }
        self.change(Event::Shut);
    }

    /// Closes the channel now, and drops the queued output.
    /// [`handle_close`](crate::DispatcherHandler::handle_close) follows when the current
    /// callback has returned.
    ///
    /// To close another channel, use
    /// [`ChannelMap::close`](reactor::ChannelMap::close), which hides it at once. A
    /// channel closed by its endpoint can still be found until it is next settled.
    pub fn close(&mut self) {
        self.close_with(CloseReason::Requested);
    }

    /// Like [`close`](Self::close), with the caller's reason.
    ///
    /// The first reason stands, with one exception. [`Done`](CloseReason::Done),
    /// [`Eof`](CloseReason::Eof) and [`Shutdown`](CloseReason::Shutdown) of a
    /// [`close_when_done_with`](Self::close_when_done_with) say that all was sent. They
    /// give way if it was not.
    pub fn close_with(&mut self, reason: CloseReason) {
        let is_lost = self.has_output() || !self.output.lost().is_empty();
        self.lose_output();
        self.change(Event::Close(reason, is_lost));
    }

    /// A handler has failed: closes the channel when what was pushed before is sent. A
    /// listener goes on, and a connection that is not there yet, for which nothing
    /// limits the wait, is given up.
    pub(crate) fn end_by_error(&mut self, error: &Error) {
        log::warn!("channel {}: its handler failed: {error}", self.me);
        match self.life.0 {
            Stage::Listening(_) => {}
            Stage::Connecting(_) => self.close_with(CloseReason::HandlerError),
            _ => self.close_when_done_with(CloseReason::HandlerError),
        }
    }

    /// Closes a channel that has waited for the end of its input: the reason that it
    /// has stands.
    pub(crate) fn close_as_ended(&mut self) {
        self.close_with(CloseReason::Eof);
    }

    /// Whether the channel is closed: no callback follows but a due `handle_finished`, and
    /// `handle_close`.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.life.0, Stage::Closed(..))
    }

    /// Whether the channel is closed, or will be when all is sent: asyncore's `closing`.
    pub fn closing(&self) -> bool {
        self.life.is_closing()
    }

    fn change(&mut self, event: Event) {
        self.life.apply(event);
        match self.life.0 {
            Stage::Live => self.flags &= !NOT_LIVE,
            _ => {
                self.flags |= NOT_LIVE;
                self.output.shut();
            }
        }
    }
}
