//! What a channel waits for, and how long: its deadlines.
//!
//! A channel has one timer for all of them, which is late by choice. It is set for the
//! earliest. Nothing is cancelled when a wait is over. When the timer is due, it finds out
//! what is still waited for, and is set again for the earliest of that.

use std::io;
use std::time::{Duration, Instant};

use reactor::{ChannelMap, CloseReason, Deadline, Opening, Timer};

use crate::endpoint::Endpoint;
use crate::flags::{BLOCKED, BY_COUNT, EOF, Flags, HELD, PARTIAL, REST_IN, REST_OUT, RETIMED};
use crate::life::Stage;
use crate::producing::later;
use crate::rate::Way;

/// How long a channel rests when the system is short of something, memory or
/// descriptors. Nothing but time helps then, and the poller reports that the channel is
/// ready all the while.
const REST: Duration = Duration::from_millis(250);

/// The number of a channel's own timers: one that is left of an endpoint that was replaced
/// is told from the program's.
pub(crate) const OWN: u32 = u32::MAX;

/// What is to happen in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The connection, or the next attempt: [`Limits::connect`](crate::Limits::connect).
    Connect,
    /// The end of a transport's handshake: [`Limits::handshake`](crate::Limits::handshake).
    Handshake,
    /// The end of a message that has begun:
    /// [`Limits::message_time`](crate::Limits::message_time) or `min_message_rate`.
    Message,
    /// That the peer takes some output: [`Limits::stall`](crate::Limits::stall).
    Room,
    /// Anything at all, since the last activity: [`Limits::idle`](crate::Limits::idle).
    Activity,
    /// That the peer closes: [`Limits::linger`](crate::Limits::linger).
    Close,
}

const WAITS: [Wait; 6] = [
    Wait::Connect,
    Wait::Handshake,
    Wait::Message,
    Wait::Room,
    Wait::Activity,
    Wait::Close,
];

/// Since when something is waited for, and how many bytes had passed by then.
#[derive(Clone, Copy, Debug)]
struct Since {
    at: Instant,
    bytes: u64,
}

/// The deadlines of a channel that waits; most have none.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// By `Wait`. One that is over may stay until the timer is due.
    since: [Option<Since>; WAITS.len()],
    /// When the earliest is over; `None`, too, if that is later than any clock tells.
    timer: Option<(Instant, Timer)>,
    /// The timer is early enough for all of them.
    is_timed: bool,
    /// When the channel has rested, by `Way`.
    rests: [Option<(Instant, Timer)>; Way::BOTH.len()],
    /// When the message ends, unless more of it comes before:
    /// [`Terminator::silence`](crate::Terminator::silence). Each part puts it off, and the
    /// timer stays.
    silent: Option<Instant>,
    /// At the last settle the peer had not taken all.
    pub(crate) was_blocked: bool,
}

/// What a timer that is due means.
pub(crate) enum Due {
    /// It is the program's.
    Program,
    /// It was the channel's own, and all is done.
    Done,
    /// The handler is to hear of it.
    Missed(Deadline),
    /// Silence has ended the message.
    Silent,
}

impl Endpoint {
    /// Whether a timer is to be set.
    pub(crate) fn has_wrong_timers(&self) -> bool {
        if self.is_closed() {
            return false;
        }
        let is_resting = |way: Way| self.flags & way.rest() != 0;
        let Some(waiting) = &self.waiting else {
            let is_waiting = WAITS.iter().any(|&wait| self.waits_for(wait));
            return Way::BOTH.into_iter().any(is_resting)
                || is_waiting
                || self.flags & RETIMED != 0;
        };
        let is_untimed = |wait| {
            let is_timed = waiting.since[wait as usize].is_some();
            // The time of a channel that is held does not count.
            is_timed != self.waits_for(wait) && (!is_timed || wait == Wait::Message)
        };
        !waiting.is_timed
            || Way::BOTH
                .into_iter()
                .any(|way| is_resting(way) != waiting.rests[way as usize].is_some())
            || self.flags & RETIMED != 0
            || WAITS.into_iter().any(is_untimed)
    }

    /// Sets the timers that the channel needs.
    pub(crate) fn set_timers(&mut self, map: &mut ChannelMap) {
        let (me, now) = (self.me, map.now());
        self.use_buffers(map.buffers()); // if it came by other ways than insertion
        let mut waiting = self.waiting.take().unwrap_or_default();
        self.set_rests(&mut waiting, map);
        for wait in WAITS {
            let rested = waiting.rested(wait, now);
            let since = &mut waiting.since[wait as usize];
            *since = match (self.waits_for(wait), *since) {
                (false, Some(since)) if self.stalls_still(wait, since) => Some(since),
                (false, _) => None,
                (true, Some(since)) => Some(since),
                (true, None) => Some(self.begin(wait, rested)),
            };
        }
        self.flags &= !RETIMED;
        let earliest = self.earliest(&waiting);
        let is_early = |(at, _): (Instant, _)| earliest.is_none_or(|earliest| at <= earliest);
        if !waiting.timer.is_some_and(is_early) {
            if let Some((_, late)) = waiting.timer.take() {
                map.cancel(late);
            }
            waiting.timer = earliest.map(|at| (at, map.set_numbered_timer(me, OWN, at)));
        }
        waiting.is_timed = true;
        let is_resting = waiting.rests.iter().any(Option::is_some);
        if waiting.timer.is_some() || is_resting || waiting.is_under_way() {
            self.waiting = Some(waiting);
        }
    }

    /// Sets a timer for each direction that rests. That time is no fault of the peer's:
    /// what is waited for in that direction has so much longer.
    fn set_rests(&mut self, waiting: &mut Waiting, map: &mut ChannelMap) {
        let now = map.now();
        self.fill_up(now);
        for way in Way::BOTH {
            let dry_until = self.dry_until(way, now);
            let set = waiting.rests[way as usize];
            let until = match set {
                _ if self.flags & way.rest() == 0 => None,
                Some((at, _)) => Some(dry_until.unwrap_or(at)),
                None => Some(dry_until.unwrap_or(now + REST)), // a shortage has just begun
            };
            if until == set.map(|(at, _)| at) {
                continue;
            }
            if let Some((_, timer)) = set {
                map.cancel(timer);
            }
            waiting.rests[way as usize] =
                until.map(|at| (at, map.set_numbered_timer(self.me, OWN, at)));
            let began = set.map_or(now, |(at, _)| at);
            let longer = until.map_or(Duration::ZERO, |at| at.saturating_duration_since(began));
            waiting.put_off(way, longer);
        }
    }

    /// Handles a timer that is due: goes on after a rest, or finds out what was missed.
    pub(crate) fn handle_own_timer(&mut self, timer: Timer, map: &mut ChannelMap) -> Due {
        let is_ours = |it: &mut Box<Waiting>| {
            let timers = it.rests.iter().chain([&it.timer]);
            timers.flatten().any(|(_, set)| *set == timer)
        };
        let Some(mut waiting) = self.waiting.take_if(is_ours) else {
            return match timer.number() {
                OWN => Due::Done,
                _ => Due::Program,
            };
        };
        let mut missed = None;
        let mut is_silent = false;
        if let Some(way) = waiting.end_rest(timer) {
            self.flags &= !way.rest(); // and the settle sends
        } else {
            waiting.timer = None;
            is_silent = waiting.silent.take_if(|at| *at <= map.now()).is_some();
            if !is_silent {
                missed = self.look(&mut waiting, map.now());
            }
        }
        self.waiting = Some(waiting);
        let due = match missed {
            None if is_silent => Due::Silent,
            None => Due::Done,
            Some(wait) => self.miss(wait, map),
        };
        self.set_timers(map);
        due
    }

    /// Whether something is missed. Forgets what is not waited for any more.
    fn look(&mut self, waiting: &mut Waiting, now: Instant) -> Option<Wait> {
        let mut missed = None;
        for wait in WAITS {
            let Some(since) = waiting.since[wait as usize] else {
                continue;
            };
            let is_over = self.deadline(wait, since).is_some_and(|at| at <= now);
            if wait == Wait::Room && is_over {
                self.try_to_send();
            }
            let goes_on = wait == Wait::Room && self.bytes_passed(wait) != since.bytes;
            if !self.waits_for(wait) && !self.stalls_still(wait, since) {
                waiting.since[wait as usize] = None;
            } else if goes_on {
                let rested = waiting.rested(wait, now);
                waiting.since[wait as usize] = Some(self.begin(wait, rested));
            } else if is_over && missed.is_none() {
                waiting.since[wait as usize] = None; // if the channel goes on, it begins again
                missed = Some(wait);
            }
        }
        missed
    }

    /// The system reports room only when a third of the send buffer is free, which may take a
    /// slow peer minutes; but it takes output as soon as there is any.
    fn try_to_send(&mut self) {
        self.flags &= !BLOCKED;
        if self.connected() {
            self.send_queued(&mut later);
        }
    }

    fn miss(&mut self, wait: Wait, map: &mut ChannelMap) -> Due {
        let deadline = match wait {
            Wait::Connect => {
                self.look_at_attempts(&mut Opening::of(self.me, map));
                return Due::Done;
            }
            Wait::Close => {
                self.close_as_ended();
                return Due::Done;
            }
            Wait::Room if self.closing() || self.output_failed() => {
                self.end_by_deadline(Deadline::Stall);
                return Due::Done;
            }
            Wait::Handshake => {
                self.end_by_deadline(Deadline::Handshake);
                return Due::Done;
            }
            Wait::Room => Deadline::Stall,
            Wait::Message => Deadline::Message,
            Wait::Activity => Deadline::Idle,
        };
        Due::Missed(deadline)
    }

    /// The default of `handle_deadline`: closes the channel. A peer that takes nothing cannot
    /// be told anything either.
    pub(crate) fn end_by_deadline(&mut self, deadline: Deadline) {
        let reason = CloseReason::Missed(deadline);
        let limit = match deadline {
            Deadline::Connect => self.limits.connect,
            Deadline::Handshake => self.limits.handshake,
            Deadline::Stall => self.limits.stall,
            Deadline::Idle => self.limits.idle,
            _ => self.limits.message_time,
        };
        log::warn!("channel {}: given up: {reason}: {limit:?}", self.me);
        match deadline {
            Deadline::Stall | Deadline::Connect | Deadline::Handshake => self.close_with(reason),
            _ => self.close_when_done_with(reason),
        }
    }

    /// A message has begun with so many bytes, and its end has not come yet.
    pub(crate) fn begin_message(&mut self, by: Flags, len: usize, now: Instant) {
        if self.flags & PARTIAL != 0 {
            return;
        }
        self.flags |= by;
        if !self.waits_for(Wait::Message) {
            return;
        }
        let waiting = self.waiting.as_ref();
        let since = Since {
            at: waiting.map_or(now, |it| it.rested(Wait::Message, now)),
            bytes: self.received.saturating_sub(len as u64),
        };
        let deadline = self.deadline(Wait::Message, since);
        let waiting = self.waiting.get_or_insert_default();
        waiting.since[Wait::Message as usize] = Some(since);
        let is_early = |(at, _): (Instant, _)| deadline.is_none_or(|deadline| at <= deadline);
        waiting.is_timed &= waiting.timer.is_some_and(is_early);
    }

    /// The end of the message has come.
    pub(crate) fn end_message(&mut self) {
        if self.flags & PARTIAL != 0 {
            self.flags &= !(PARTIAL | BY_COUNT);
            self.forget(Wait::Message);
        }
    }

    /// The message ends at that time, unless more of it comes before.
    pub(crate) fn await_silence(&mut self, time: Duration, now: Instant) {
        let waiting = self.waiting.get_or_insert_default();
        let from = waiting.rests[Way::In as usize].map_or(now, |(at, _)| at.max(now));
        let Some(at) = from.checked_add(time) else {
            return;
        };
        waiting.silent = Some(at);
        waiting.is_timed &= waiting.timer.is_some_and(|(set, _)| set <= at);
        if !waiting.is_timed {
            self.flags |= RETIMED; // it has no flag of its own
        }
    }

    /// The input has ended: nothing more ends by silence.
    pub(crate) fn forget_silence(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.silent = None;
        }
    }

    /// When the channel began to wait for the peer to close, once it has its timer.
    pub(crate) fn lingers_since(&self) -> Option<Instant> {
        let since = self.waiting.as_ref()?.since[Wait::Close as usize];
        since.map(|since| since.at)
    }

    /// Another address is tried, with its own time.
    pub(crate) fn begin_connect_anew(&mut self) {
        self.forget(Wait::Connect);
    }

    fn forget(&mut self, wait: Wait) {
        if let Some(waiting) = &mut self.waiting {
            waiting.since[wait as usize] = None;
        }
    }

    /// The timers are gone, with the map that the channel was in.
    pub(crate) fn forget_timers(&mut self) {
        self.waiting = None;
        self.forget_fillings();
        self.retime();
    }

    /// The limits are others, or the timers are gone.
    pub(crate) fn retime(&mut self) {
        if self.waiting.is_some() || self.limits.idle != Duration::MAX {
            self.flags |= RETIMED;
        }
    }

    /// Has the channel rest if the error is one that time helps against: nothing is
    /// lost then, and nothing ended. Returns whether it is.
    pub(crate) fn rests_after(&mut self, error: &io::Error) -> bool {
        let is_shortage = is_shortage(error);
        if is_shortage {
            log::debug!("channel {}: rests: {error}", self.me);
            self.flags |= REST_IN | REST_OUT;
        }
        is_shortage
    }

    /// What is waited for. A producer that has nothing is the program's, unless nobody
    /// would see the peer go meanwhile.
    fn waits_for(&self, wait: Wait) -> bool {
        let is_open = matches!(self.life.stage(), Stage::Live | Stage::Shut);
        match wait {
            Wait::Connect => {
                self.connecting() && !self.is_unopened() && !self.wire.is_handshaking()
            }
            Wait::Handshake => !self.is_closed() && self.wire.is_handshaking(),
            Wait::Message => {
                is_open && self.flags & (PARTIAL | HELD | EOF) == PARTIAL && self.wire.is_network()
            }
            Wait::Activity => is_open && self.limits.idle != Duration::MAX,
            Wait::Close => matches!(self.life.stage(), Stage::Failing(_) | Stage::Lingering(_)),
            Wait::Room => match self.life.stage() {
                Stage::Live | Stage::Shut => {
                    (self.flags & BLOCKED != 0 && self.has_ready_output())
                        || (self.flags & EOF != 0 && self.has_output())
                }
                // Whoever was to feed a producer may be the handler that has failed.
                Stage::Finishing(ending) => {
                    matches!(ending.reason, CloseReason::HandlerError)
                        || self.has_ready_output()
                        || (self.has_output() && !self.discards_input())
                }
                _ => false,
            },
        }
    }

    /// Input has had a transport try again, which shows nothing of the output.
    fn stalls_still(&self, wait: Wait, since: Since) -> bool {
        wait == Wait::Room
            && matches!(self.life.stage(), Stage::Live | Stage::Shut)
            && self.has_ready_output()
            && self.bytes_passed(wait) == since.bytes
    }

    fn begin(&self, wait: Wait, at: Instant) -> Since {
        let bytes = self.bytes_passed(wait);
        Since { at, bytes }
    }

    /// The bytes that show progress.
    fn bytes_passed(&self, wait: Wait) -> u64 {
        match wait {
            Wait::Message => self.received,
            Wait::Room => self.sent(),
            Wait::Connect | Wait::Handshake | Wait::Activity | Wait::Close => 0,
        }
    }

    /// When it is missed, if no more bytes pass.
    fn deadline(&self, wait: Wait, since: Since) -> Option<Instant> {
        let limits = &self.limits;
        let mut at = since.at;
        let patience = match wait {
            Wait::Connect => return self.next_look_at_attempts(since.at),
            Wait::Handshake => limits.handshake,
            Wait::Message if self.flags & BY_COUNT != 0 => {
                let bytes = self.received.saturating_sub(since.bytes);
                let paid = bytes.checked_div(limits.min_message_rate);
                let paid = paid.map(|paid| limits.message_grace.max(Duration::from_secs(paid)));
                let silent = self.last_activity().map_or(at, |last| last.max(at));
                let deadlines = [
                    paid.and_then(|paid| at.checked_add(paid)),
                    silent.checked_add(limits.message_time),
                ];
                return deadlines.into_iter().flatten().min();
            }
            Wait::Message => limits.message_time,
            Wait::Room => limits.stall,
            Wait::Activity => {
                at = self.last_activity().map_or(at, |last| last.max(at));
                limits.idle
            }
            Wait::Close => limits.linger,
        };
        at.checked_add(patience) // later than any clock tells is never
    }

    fn earliest(&self, waiting: &Waiting) -> Option<Instant> {
        let under_way = WAITS.into_iter().zip(waiting.since);
        under_way
            .filter_map(|(wait, since)| self.deadline(wait, since?))
            .chain(waiting.silent)
            .min()
    }
}

impl Wait {
    /// Whether the peer cannot be blamed while this direction rests.
    fn is_of(self, way: Way) -> bool {
        match self {
            Self::Message => way == Way::In,
            Self::Room => way == Way::Out,
            Self::Activity | Self::Handshake => true,
            Self::Connect | Self::Close => false,
        }
    }
}

impl Waiting {
    /// Ends the rest whose timer this is.
    fn end_rest(&mut self, timer: Timer) -> Option<Way> {
        let is_due = |way: &Way| {
            let rest = &mut self.rests[*way as usize];
            rest.take_if(|(_, set)| *set == timer).is_some()
        };
        Way::BOTH.into_iter().find(is_due)
    }

    /// The peer has so much longer for what it does in this direction.
    fn put_off(&mut self, way: Way, time: Duration) {
        for (wait, since) in WAITS.into_iter().zip(&mut self.since) {
            if let Some(since) = since.as_mut().filter(|_| wait.is_of(way)) {
                since.at = since.at.checked_add(time).unwrap_or(since.at);
            }
        }
        if way == Way::In {
            self.silent = self.silent.map(|at| at.checked_add(time).unwrap_or(at));
        }
    }

    /// From when on the peer can be waited for: now, or when the channel has rested.
    fn rested(&self, wait: Wait, now: Instant) -> Instant {
        let rests = Way::BOTH.into_iter().filter(|&way| wait.is_of(way));
        let ends = rests.filter_map(|way| self.rests[way as usize]);
        ends.map(|(at, _)| at).fold(now, Instant::max)
    }

    fn is_under_way(&self) -> bool {
        self.silent.is_some() || self.since.iter().any(Option::is_some)
    }
}

/// Whether the system had no memory for a call, or no buffer: the next one may have.
/// Any other error that is not `WouldBlock` or `Interrupted` says that the connection
/// has failed.
fn is_shortage(error: &io::Error) -> bool {
    const ENOBUFS: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
        105
    } else if cfg!(any(target_os = "solaris", target_os = "illumos")) {
        132
    } else if cfg!(windows) {
        10_055
    } else {
        55 // the BSDs and macOS
    };
    error.kind() == io::ErrorKind::OutOfMemory || error.raw_os_error() == Some(ENOBUFS)
}
