//! What few channels have, in one box: [`Extras`].

use crate::offers::Offers;
use crate::rate::Buckets;
use crate::speakers::Speakers;

#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// What may pass now, of bytes that have a rate.
    pub(crate) buckets: Buckets,
    /// Those that wait for the peer.
    pub(crate) offers: Offers,
    /// Who waits for whom.
    pub(crate) speakers: Speakers,
}
