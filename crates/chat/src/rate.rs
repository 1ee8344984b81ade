//! How fast a channel receives and sends: [`Rate`].
//!
//! A bucket has no clock of its own. Whoever takes from it may have none either: a push does
//! not know the time. So what is taken is only counted, and the channel's timers, which are
//! looked at in the same turn, fill the bucket up (`waiting.rs`).

use std::fmt;
use std::mem;
use std::time::{Duration, Instant};

use crate::endpoint::Endpoint;
use crate::flags::{Flags, RATED, REST_IN, REST_OUT, RETIMED};

/// Bytes a second in one direction of one stream: a token bucket, which is full at first.
/// See [`Limits::receive_rate`](crate::Limits::receive_rate) and
/// [`Limits::send_rate`](crate::Limits::send_rate).
///
/// ```
/// use chat::{Limits, Rate};
///
/// let mut limits = Limits::default();
/// assert_eq!(limits.send_rate, Rate::UNLIMITED);
/// limits.send_rate = Rate { bytes_per_second: 1_000_000, burst: 65_536 };
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// On average. 0 counts as 1, and `u64::MAX` is no limit.
    pub bytes_per_second: u64,
    /// Bytes that pass at once after a pause. Less than a thirty-second part of
    /// `bytes_per_second`, such as 0, counts as that, and less than 32 as 32: a channel that
    /// has used up its bytes rests until there are half as many, at most 64 times a second.
    pub burst: u64,
}

/// How many times a second a channel may wait for its next bytes.
const PORTIONS: u64 = 64;

/// Bytes that are worth a call.
const LEAST_PORTION: u64 = 16;

/// No bucket takes longer to fill up: what is later than any clock tells is never.
const FOREVER: Duration = Duration::from_secs(1 << 32);

impl Rate {
    /// No limit: the default.
    pub const UNLIMITED: Self = Self {
        bytes_per_second: u64::MAX,
        burst: u64::MAX,
    };

    fn is_limited(self) -> bool {
        self.bytes_per_second != u64::MAX
    }

    /// What an empty bucket waits for.
    fn portion(self) -> u64 {
        (self.bytes_per_second / PORTIONS).max(LEAST_PORTION)
    }

    /// What a full one has.
    fn capacity(self) -> u64 {
        self.burst.max(self.portion().saturating_mul(2))
    }

    /// How long so many bytes take.
    fn time(self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second.max(1));
        u64::try_from(nanos).map_or(FOREVER, Duration::from_nanos)
    }

    /// How many bytes take so long.
    fn bytes(self, time: Duration) -> u64 {
        let bytes = time.as_nanos() * u128::from(self.bytes_per_second.max(1));
        u64::try_from(bytes.div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_limited() {
            true => write!(f, "{} B/s + {} B", self.bytes_per_second, self.burst),
            false => f.write_str("unlimited"),
        }
    }
}

/// A direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    In,
    Out,
}

impl Way {
    pub(crate) const BOTH: [Self; 2] = [Self::In, Self::Out];

    /// The flag of a channel that rests in this direction.
    pub(crate) fn rest(self) -> Flags {
        match self {
            Self::In => REST_IN,
            Self::Out => REST_OUT,
        }
    }
}

/// The buckets of a channel, one for each direction that has a rate. Most channels have none.
#[derive(Debug, Default)]
pub(crate) struct Buckets([Option<Bucket>; 2]);

#[derive(Debug)]
struct Bucket {
    rate: Rate,
    /// Bytes that may pass now.
    level: u64,
    /// Bytes that have passed since the bucket was last filled up.
    spent: u64,
    /// When it is full again if no more passes. `None`: the rate is new, and the time too.
    full_at: Option<Instant>,
    /// It had hardly anything left. Nothing passes until it has a portion.
    is_dry: bool,
}

impl Bucket {
    /// A full bucket.
    fn new(rate: Rate) -> Self {
        Self {
            rate,
            level: rate.capacity(),
            spent: 0,
            full_at: None,
            is_dry: false,
        }
    }

    /// The rate is another: what there is stays, if there is room for it.
    fn change(&mut self, rate: Rate) {
        if self.rate != rate {
            self.rate = rate;
            self.level = self.level.min(rate.capacity());
            self.full_at = None;
            self.is_dry |= self.level < LEAST_PORTION;
        }
    }

    fn spend(&mut self, bytes: u64) {
        self.level = self.level.saturating_sub(bytes);
        self.spent += bytes;
        self.is_dry |= self.level < LEAST_PORTION;
    }

    /// What was spent counts as if it was now.
    fn fill_up(&mut self, now: Instant) {
        let capacity = self.rate.capacity();
        let spent = mem::take(&mut self.spent);
        let (from, missing) = match self.full_at {
            Some(at) => (at.max(now), spent),
            None => (now, capacity - self.level),
        };
        let full_at = from.checked_add(self.rate.time(missing)).unwrap_or(from);
        self.full_at = Some(full_at);
        self.level = capacity.saturating_sub(self.rate.bytes(full_at - now));
    }

    /// When it has a portion.
    fn ready_at(&self, now: Instant) -> Instant {
        let missing = self.rate.capacity() - self.rate.portion();
        let before = self.rate.time(missing);
        self.full_at
            .and_then(|at| at.checked_sub(before))
            .unwrap_or(now)
    }
}

impl Buckets {
    /// Has buckets for these rates. Those of before stay as full as they are.
    fn use_rates(&mut self, rates: [Rate; 2]) {
        for (bucket, rate) in self.0.iter_mut().zip(rates) {
            match rate.is_limited() {
                true => bucket.get_or_insert_with(|| Bucket::new(rate)).change(rate),
                false => *bucket = None,
            }
        }
    }
}

impl Endpoint {
    /// Takes the rates of the limits. Records have none.
    pub(crate) fn use_rates(&mut self) {
        for way in Way::BOTH {
            self.flags &= !(self.dry(way) | RATED);
        }
        let mut rates = [self.limits.receive_rate, self.limits.send_rate];
        if self.closing() || self.output_failed() {
            rates[Way::In as usize] = Rate::UNLIMITED;
        }
        if self.wire.keeps_bounds() || !rates.into_iter().any(Rate::is_limited) {
            return self.end_rates();
        }
        self.extras.get_or_insert_default().buckets.use_rates(rates);
        self.flags |= RATED | RETIMED | self.dry(Way::In) | self.dry(Way::Out);
    }

    /// Lets everything pass.
    pub(crate) fn end_rates(&mut self) {
        if let Some(extras) = &mut self.extras {
            extras.buckets = Buckets::default();
        }
    }

    /// The channel ends. Input that is left too long would reset the connection.
    pub(crate) fn end_receive_rate(&mut self) {
        self.flags &= !self.dry(Way::In);
        if let Some(extras) = &mut self.extras {
            extras.buckets.0[Way::In as usize] = None;
        }
    }

    fn bucket(&mut self, way: Way) -> Option<&mut Bucket> {
        self.extras.as_mut()?.buckets.0[way as usize].as_mut()
    }

    fn buckets(&mut self) -> impl Iterator<Item = &mut Bucket> {
        let extras = self.extras.iter_mut();
        extras.flat_map(|extras| extras.buckets.0.iter_mut().flatten())
    }

    /// The flag of a direction that rests since its bucket is dry.
    fn dry(&self, way: Way) -> Flags {
        match self.left(way) {
            Some(0) => way.rest(),
            _ => 0,
        }
    }

    /// The clock is another.
    pub(crate) fn forget_fillings(&mut self) {
        self.buckets().for_each(|bucket| bucket.full_at = None);
    }

    /// Whether the bytes received have a rate.
    pub(crate) fn has_receive_rate(&self) -> bool {
        self.left(Way::In).is_some()
    }

    /// The bytes that may pass now; `None` without a rate.
    pub(crate) fn left(&self, way: Way) -> Option<usize> {
        let bucket = self.extras.as_ref()?.buckets.0[way as usize].as_ref()?;
        match bucket.is_dry {
            true => Some(0),
            false => Some(usize::try_from(bucket.level).unwrap_or(usize::MAX)),
        }
    }

    /// So much has passed.
    pub(crate) fn spend(&mut self, way: Way, bytes: usize) {
        if let Some(bucket) = self.bucket(way).filter(|_| bytes > 0) {
            bucket.spend(bytes as u64);
            let rest = if bucket.is_dry { way.rest() } else { 0 };
            self.flags |= RETIMED | rest;
        }
    }

    /// Fills the buckets up.
    pub(crate) fn fill_up(&mut self, now: Instant) {
        self.buckets().for_each(|bucket| bucket.fill_up(now));
    }

    /// Ends the rest of a direction if its bucket has enough. Otherwise returns when it has;
    /// `None` if the bucket is not the reason.
    pub(crate) fn dry_until(&mut self, way: Way, now: Instant) -> Option<Instant> {
        let bucket = self.bucket(way).filter(|bucket| bucket.is_dry)?;
        let at = bucket.ready_at(now);
        if at > now {
            self.flags |= way.rest();
            return Some(at);
        }
        bucket.is_dry = false;
        self.flags &= !way.rest();
        None
    }
}
