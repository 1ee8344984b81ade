//! A channel as one of many: those that speak wait for those that listen.
//!
//! A speaker that pushes to a slow member by [`push_from`](crate::ChatMap::push_from) is held
//! until that has drained. Each member that it waits for has a share of it, and drops that
//! when it has drained, ends, or leaves the map. When the last share is dropped, wherever
//! that happens, the speaker goes on. So no side keeps a list of the other that could be out
//! of date.

use std::collections::HashSet;
use std::rc::{Rc, Weak};

use reactor::{Buffers, Token};

use crate::endpoint::Endpoint;
use crate::flags::OUTRUN;

/// Who waits for whom.
#[derive(Debug, Default)]
pub(crate) struct Speakers {
    /// Of a member: the speakers that wait for it, some of them more than once.
    waiting: Vec<Rc<Speaker>>,
    /// Of a speaker: itself, as long as it waits for anybody.
    own: Weak<Speaker>,
}

/// A speaker that waits.
#[derive(Debug)]
pub(crate) struct Speaker {
    me: Token,
    /// Those of its map, which a member may be dropped without.
    buffers: Buffers,
}

/// Settled, the speaker finds that it waits for nobody.
impl Drop for Speaker {
    fn drop(&mut self) {
        self.buffers.touch(self.me);
    }
}

impl Endpoint {
    /// Whether a speaker is to wait for this member.
    pub(crate) fn is_behind(&self) -> bool {
        self.needs_drain() && self.takes_output()
    }

    /// Has this speaker wait, as long as any member has a share of it.
    pub(crate) fn wait_for_members(&mut self, buffers: &Buffers) -> Rc<Speaker> {
        self.flags |= OUTRUN;
        let me = self.me;
        let speakers = &mut self.extras.get_or_insert_default().speakers;
        speakers.own.upgrade().unwrap_or_else(|| {
            let speaker = Rc::new(Speaker {
                me,
                buffers: buffers.clone(),
            });
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
        let waiting = &mut self.extras.get_or_insert_default().speakers.waiting;
        if waiting.len() == waiting.capacity() {
            // Some may be gone, and most push more than once.
            let mut seen = HashSet::new();
            waiting.retain(|it| Rc::weak_count(it) > 0 && seen.insert(Rc::as_ptr(it)));
            waiting.reserve(waiting.len()); // so that the next time is not soon
        }
        waiting.push(speaker);
    }

    /// When output has left, or ends: lets the speakers go on, if none is to wait.
    pub(crate) fn release_speakers_if_drained(&mut self) {
        if !self.is_behind() {
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

    fn endpoint() -> Endpoint {
        Endpoint::from(UnixStream::pair().unwrap().0)
    }

    fn kept(member: &Endpoint) -> usize {
        let extras = member.extras.as_ref();
        extras.map_or(0, |extras| extras.speakers.waiting.len())
    }

    #[test]
    fn speakers_that_are_gone_make_room() {
        let map = ChannelMap::new().unwrap();
        let (mut member, mut stays) = (endpoint(), endpoint());
        member.keep_speaker(stays.wait_for_members(map.buffers()));
        for _ in 0..1_000 {
            let mut goes = endpoint();
            member.keep_speaker(goes.wait_for_members(map.buffers()));
            member.keep_speaker(goes.wait_for_members(map.buffers()));
        }
        assert!(kept(&member) <= 8, "{}", kept(&member));
        assert!(stays.waits_for_members());
        member.release_speakers();
        assert!(!stays.waits_for_members());
    }

    #[test]
    fn speakers_that_push_in_turn_are_kept_once_or_a_few_times() {
        let map = ChannelMap::new().unwrap();
        let mut member = endpoint();
        let mut speakers = [endpoint(), endpoint(), endpoint()];
        for _ in 0..1_000 {
            for speaker in &mut speakers {
                member.keep_speaker(speaker.wait_for_members(map.buffers()));
            }
        }
        assert!(kept(&member) <= 12, "{}", kept(&member));
        assert!(speakers.iter().all(Endpoint::waits_for_members));
        member.release_speakers();
        assert!(!speakers.iter().any(Endpoint::waits_for_members));
    }
}
