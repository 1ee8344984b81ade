//! What few channels have, in one box: [`Rare`].

use crate::crowd::Crowd;
use crate::offers::Offers;
use crate::rate::Flow;

#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// What may pass now, of bytes that have a rate.
    pub(crate) flow: Flow,
    /// Those that wait for the peer.
    pub(crate) offers: Offers,
    /// Who waits for whom.
    pub(crate) crowd: Crowd,
}
