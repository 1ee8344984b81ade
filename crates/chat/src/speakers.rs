//! A channel as one of many: those that speak wait for those that listen.
//!
//! A speaker that pushes to a slow member by [`push_from`](crate::ChatMap::push_from) is held
//! until that has drained. Each member that it waits for has a share of it, and drops that
//! when it has drained, ends, or leaves the map. When the last share is dropped, wherever
//! that happens, the speaker goes on. So no side keeps a list of the other that could be out
//! of date.

use std::rc::{Rc, Weak};

use reactor::{Remote, Token};

use crate::endpoint::Endpoint;
use crate::flags::OUTRUN;

/// Who waits for whom.
#[derive(Debug, Default)]
pub(crate) struct Speakers {
    /// Of a member: the speakers that wait for it.
    waiting: Vec<Rc<Speaker>>,
    /// Of a speaker: itself, as long as it waits for anybody.
    own: Weak<Speaker>,
}

/// A speaker that waits.
#[derive(Debug)]
pub(crate) struct Speaker {
    me: Token,
    /// Reaches its map from a member that is dropped somewhere else.
    remote: Remote,
}

impl Drop for Speaker {
    fn drop(&mut self) {
        let me = self.me;
        // Settled, it finds that it waits for nobody.
        if let Err(error) = self.remote.run(move |map| map.touch(me)) {
            log::debug!("channel {me}: not told that it need not wait: {error}");
        }
    }
}

impl Endpoint {
    /// Whether a speaker is to wait for this member.
    pub(crate) fn has_speakers_wait(&self) -> bool {
        self.needs_drain() && self.takes_output()
    }

    /// Has this speaker wait, as long as any member has a share of it.
    pub(crate) fn wait_for_members(&mut self, remote: Remote) -> Rc<Speaker> {
        self.flags |= OUTRUN;
        let me = self.me;
        let speakers = &mut self.extras.get_or_insert_default().speakers;
        speakers.own.upgrade().unwrap_or_else(|| {
            let speaker = Rc::new(Speaker { me, remote });
            speakers.own = Rc::downgrade(&speaker);
            speaker
        })
    }

    /// Whether this speaker waits for a member.
    pub(crate) fn waits_for_members(&self) -> bool {
        let extras = self.extras.as_ref();
        extras.is_some_and(|extras| extras.speakers.own.strong_count() > 0)
    }

    /// Has a speaker wait for this member.
    pub(crate) fn keep_speaker(&mut self, speaker: Rc<Speaker>) {
        let speakers = &mut self.extras.get_or_insert_default().speakers.waiting;
        // What one callback pushes comes in a row.
        if speakers
            .last()
            .is_some_and(|last| Rc::ptr_eq(last, &speaker))
        {
            return;
        }
        if speakers.len() == speakers.capacity() {
            speakers.retain(|speaker| Rc::weak_count(speaker) > 0); // some may be gone
        }
        speakers.push(speaker);
    }

    /// When output has left, or ends: lets the speakers go on, if none is to wait.
    pub(crate) fn release_speakers_if_drained(&mut self) {
        if !self.has_speakers_wait() {
            self.release_speakers();
        }
    }

    pub(crate) fn release_speakers(&mut self) {
        if let Some(extras) = &mut self.extras {
            extras.speakers.waiting = Vec::new();
        }
    }

    /// The channel is in another map, where nobody waits for it, nor it for anybody.
    pub(crate) fn forget_speakers(&mut self) {
        if let Some(extras) = &mut self.extras {
            extras.speakers = Speakers::default();
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::net::UnixStream;

    use reactor::ChannelMap;

    use super::*;

    #[test]
    fn speakers_that_are_gone_make_room() {
        let map = ChannelMap::new().unwrap();
        let endpoint = || Endpoint::from(UnixStream::pair().unwrap().0);
        let (mut member, mut stays) = (endpoint(), endpoint());
        member.keep_speaker(stays.wait_for_members(map.remote()));
        for _ in 0..1_000 {
            let mut goes = endpoint();
            member.keep_speaker(goes.wait_for_members(map.remote()));
            member.keep_speaker(goes.wait_for_members(map.remote()));
        }
        let kept = member
            .extras
            .as_ref()
            .map_or(0, |extras| extras.speakers.waiting.len());
        assert!(kept <= 8, "{kept}");
        assert!(stays.waits_for_members());
        member.release_speakers();
        assert!(!stays.waits_for_members());
    }
}
