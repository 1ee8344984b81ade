//! A channel opens what it needs when it enters a map.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use reactor::{Channel, ChannelMap, Opening, Registration, Result, Timer, TimerChannel, Token};

/// What a channel is to do when it enters a map.
type Open = Box<dyn FnMut(&mut Opening<'_>) -> io::Result<()>>;

struct Opener {
    open: Open,
    fired: Rc<Cell<u32>>,
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opener")
    }
}

impl Channel for Opener {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn open(&mut self, opening: &mut Opening<'_>) -> io::Result<()> {
        (self.open)(opening)
    }

    fn handle_timer(&mut self, _: Timer, _: Token, _: &mut ChannelMap) -> Result {
        self.fired.set(self.fired.get() + 1);
        Ok(())
    }
}

fn opener(open: impl FnMut(&mut Opening<'_>) -> io::Result<()> + 'static) -> Opener {
    Opener {
        open: Box::new(open),
        fired: Rc::default(),
    }
}

#[test]
fn it_knows_its_token_and_the_time_and_sets_timers_of_its_own() {
    let mut map = ChannelMap::new().unwrap();
    let seen = Rc::new(Cell::new(None));
    let report = Rc::clone(&seen);
    let channel = opener(move |opening| {
        opening.set_timer(opening.now() + Duration::from_secs(1));
        opening.set_timer(opening.now() - Duration::from_secs(1)); // counts as now
        report.set(Some((opening.me(), opening.now())));
        Ok(())
    });
    let fired = Rc::clone(&channel.fired);
    let now = map.now();
    map.turn_at(now).unwrap(); // its clock is the test's
    let me = map.insert(channel).unwrap();
    assert_eq!(seen.get(), Some((me.token(), now)));
    assert_eq!(map.timers(), 2);
    map.turn_at(now).unwrap();
    assert_eq!(fired.get(), 1);
    map.turn_at(now + Duration::from_secs(1)).unwrap();
    assert_eq!(fired.get(), 2);
}

/// The program has been busy since it made the map.
#[test]
fn between_turns_its_time_is_that_of_the_clock() {
    let mut map = ChannelMap::new().unwrap();
    while Instant::now() == map.now() {}
    let real = Instant::now();
    let channel = opener(move |opening| {
        assert!(opening.now() >= real);
        Ok(())
    });
    map.insert(channel).unwrap();
}

#[test]
fn its_error_hands_the_channel_back_and_leaves_nothing() {
    let mut map = ChannelMap::new().unwrap();
    let mut attempts = 0;
    let channel = opener(move |opening| {
        opening.set_timer(opening.now());
        attempts += 1;
        match attempts {
            1 => Err(ErrorKind::AddrInUse.into()),
            _ => Ok(()),
        }
    });
    let fired = Rc::clone(&channel.fired);
    let refused = map.try_insert(channel).unwrap_err();
    assert_eq!(refused.error.kind(), ErrorKind::AddrInUse);
    assert_eq!(
        refused.to_string(),
        "cannot insert the channel: address in use"
    );
    assert_eq!((map.len(), map.timers()), (0, 0));

    // The next tenant of the slot has none of its timers.
    let other = map.insert(TimerChannel::new(|_, _, _| unreachable!()));
    map.turn_at(map.now()).unwrap();
    map.insert(refused.channel).unwrap();
    assert_eq!((map.len(), map.timers()), (2, 1));
    map.turn_at(map.now()).unwrap();
    assert_eq!(fired.get(), 1);
    assert!(map.is_open(other.unwrap()));
}

#[test]
fn a_panic_leaves_nothing_of_the_channel() {
    let mut map = ChannelMap::new().unwrap();
    let channel = opener(|opening| {
        opening.set_timer(opening.now());
        panic!("while it opens");
    });
    let panicked = catch_unwind(AssertUnwindSafe(|| map.insert(channel)));
    assert!(panicked.is_err());
    assert_eq!((map.len(), map.timers()), (0, 0));
    map.run().unwrap(); // there is nothing to wait for
}

/// A channel that the poller refuses was opened: its timers go as well.
#[test]
fn a_channel_that_cannot_be_watched_loses_the_timers_that_it_set() {
    #[derive(Debug)]
    struct Regular(reactor::Source<std::fs::File>);
    impl Channel for Regular {
        fn registration(&self) -> Option<&Registration> {
            Some(self.0.registration())
        }
        fn open(&mut self, opening: &mut Opening<'_>) -> io::Result<()> {
            opening.set_timer(opening.now());
            Ok(())
        }
    }

    let file = std::fs::File::open("/proc/self/exe").unwrap();
    let mut map = ChannelMap::new().unwrap();
    map.try_insert(Regular(reactor::Source::new(file)))
        .unwrap_err();
    assert_eq!((map.len(), map.timers()), (0, 0));
}

#[test]
fn it_finds_the_maps_provider_by_its_type() {
    let mut map = ChannelMap::new().unwrap();
    let expect = |number: Option<u32>| {
        opener(move |opening| {
            assert_eq!(opening.provider::<u32>().copied(), number);
            assert!(opening.provider::<String>().is_none());
            if let Some(number) = opening.provider::<u32>() {
                *number += 1;
            }
            Ok(())
        })
    };
    map.insert(expect(None)).unwrap();
    map.set_provider(7_u32);
    map.insert(expect(Some(7))).unwrap();
    map.insert(expect(Some(8))).unwrap();
    assert_eq!(map.provider_mut::<u32>(), Some(&mut 9));
    assert!(map.provider_mut::<String>().is_none());
}

#[test]
fn a_channel_that_is_not_open_has_no_timers() {
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(opener(|_| Ok(()))).unwrap();
    map.remove(me).unwrap();
    let timer = Opening::of(me.token(), &mut map).set_timer(std::time::Instant::now());
    assert!(!map.cancel(timer));
    assert_eq!(map.timers(), 0);
}
