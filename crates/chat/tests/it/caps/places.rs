//! How long a connection counts among those of its address.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use chat::{
    Address, AsyncChat, ChannelMap, Chat, ChatMap, Dispatcher, DispatcherHandler, Endpoint, Handle,
    MessageHandler, Result, Stream, WhenFull,
};

use super::caps;
use super::network::Crowd;

/// Keeps what it accepts.
#[derive(Clone, Default)]
struct Keeper(Rc<RefCell<Vec<Stream>>>);

impl DispatcherHandler for Keeper {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        _: Address,
        _: &mut Endpoint,
        _: &mut ChannelMap,
    ) -> Result {
        self.0.borrow_mut().push(stream);
        Ok(())
    }
}

struct Silent;

impl MessageHandler for Silent {
    fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        Ok(())
    }
}

impl DispatcherHandler for Silent {}

/// One connection of an address may be there at a time.
struct Only {
    crowd: Crowd,
    kept: Keeper,
}

impl Only {
    fn new() -> Self {
        let kept = Keeper::default();
        let crowd = Crowd::new(kept.clone(), caps(usize::MAX, 1, WhenFull::Refuse));
        Self { crowd, kept }
    }

    fn come(&mut self) -> Option<Stream> {
        self.crowd.enter("10.0.0.1");
        self.kept.0.borrow_mut().pop()
    }

    #[track_caller]
    fn assert_full(&mut self) {
        assert!(self.come().is_none());
    }

    #[track_caller]
    fn assert_free(&mut self) {
        drop(self.come().expect("the place is free"));
    }
}

#[test]
fn a_stream_that_is_dropped_gives_its_place_back() {
    let mut only = Only::new();
    let stream = only.come().unwrap();
    only.assert_full();
    drop(stream);
    only.assert_free();
    let streams: Vec<_> = (0..50).filter_map(|_| only.come()).collect();
    assert_eq!((streams.len(), only.crowd.map.refused()), (1, 50));
}

#[test]
fn a_stream_counts_on_another_thread_and_in_another_map() {
    let mut only = Only::new();
    let stream = only.come().unwrap();
    let stream = thread::spawn(move || stream).join().unwrap();
    only.assert_full();
    let (end, ended) = mpsc::channel();
    let other = thread::spawn(move || {
        let mut map = ChannelMap::new().unwrap();
        map.insert(AsyncChat::new(stream, "\n", Silent)).unwrap();
        ended.recv().unwrap();
    });
    only.assert_full();
    end.send(()).unwrap();
    other.join().unwrap();
    only.assert_free();
}

#[test]
fn it_counts_through_conversions_and_until_the_channel_is_dropped() {
    let mut only = Only::new();
    let stream = only.come().unwrap();
    let map = &mut only.crowd.map;
    let chat = map.insert(AsyncChat::new(stream, "\n", Silent)).unwrap();
    let raw: Handle<Dispatcher<Silent>> = map
        .convert(chat, |it| Dispatcher::new(it.chat.into_endpoint(), Silent))
        .unwrap();
    only.assert_full();
    let map = &mut only.crowd.map;
    let chat = map
        .convert(raw, |it| AsyncChat::new(it.endpoint, "\n", Silent))
        .unwrap();
    only.assert_full();
    let channel = only.crowd.map.remove(chat).unwrap();
    only.assert_full();
    let chat = only.crowd.map.insert(channel).unwrap();
    only.assert_full();
    only.crowd.map.close(chat);
    only.crowd.pass(Duration::ZERO);
    only.assert_free();
}

#[test]
fn a_map_that_is_dropped_leaves_its_places_free() {
    let mut only = Only::new();
    let stream = only.come().unwrap();
    let mut other = ChannelMap::new().unwrap();
    other.insert(AsyncChat::new(stream, "\n", Silent)).unwrap();
    only.assert_full();
    drop(other);
    only.assert_free();
}
