//! What few channels have: those to which others offer messages.

use crate::offers::Offers;

/// What few channels have.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    pub(crate) offers: Offers,
}
