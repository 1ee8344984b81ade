//! Who is in the map, and how to reach them.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::Instant;

use crate::common::{Log, On, Probe, pair, slot, turn};
use reactor::{Absent, Channel, ChannelMap, Readiness, Registration, Result, Source, Token};

#[derive(Debug)]
struct Other(u32);

impl Channel for Other {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn handle_read_event(&mut self, _me: Token, _map: &mut ChannelMap) -> Result {
        Ok(())
    }
}

/// A regular file, which epoll cannot watch.
#[derive(Debug)]
struct OnDisk {
    file: Source<File>,
    readable: bool,
}

impl Channel for OnDisk {
    fn registration(&self) -> Option<&Registration> {
        Some(self.file.registration())
    }

    fn readable(&self, _me: Token) -> bool {
        self.readable
    }

    fn handle_read_event(&mut self, _me: Token, _map: &mut ChannelMap) -> Result {
        Ok(())
    }
}

fn on_disk(readable: bool) -> OnDisk {
    let file = File::open(std::env::current_exe().unwrap()).unwrap();
    OnDisk {
        file: Source::new(file),
        readable,
    }
}

#[test]
fn a_channel_is_found_by_its_handle() {
    let mut map = ChannelMap::new().unwrap();
    assert!(map.is_empty());
    let first = map.insert(Other(1)).unwrap();
    let second = map.insert(Other(2)).unwrap();
    assert_eq!(map.len(), 2);
    map.get_mut(first).unwrap().0 += 10;
    assert_eq!(map.get(first).unwrap().0, 11);
    assert_eq!(map.get(second).unwrap().0, 2);
    assert!(map.is_open(second));
}

#[test]
fn a_removed_channel_comes_back_and_its_handle_finds_nothing() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log)).unwrap();
    map.dispatch(probe, Readiness::READABLE);
    assert_eq!(map.remove(probe).unwrap().name, "a");
    assert!(map.remove(probe).is_err());
    assert!(map.get(probe).is_err());
    assert!(!map.is_open(probe));
    assert!(map.is_empty());
    turn(&mut map);
    assert!(log.take().is_empty());
}

#[test]
fn the_next_tenant_of_a_slot_has_another_token() {
    let mut map = ChannelMap::new().unwrap();
    let first = map.insert(Other(1)).unwrap();
    map.remove(first).unwrap();
    let second = map.insert(Other(2)).unwrap();
    assert_eq!(slot(first), slot(second));
    assert_ne!(first, second);
    assert!(map.get(first).is_err());
    assert!(map.remove(first).is_err());
    assert!(!map.close(first));
    assert_eq!(map.get(second).unwrap().0, 2);
}

#[test]
fn a_handle_of_another_map_is_a_stranger() {
    let mut here = ChannelMap::new().unwrap();
    let mut there = ChannelMap::new().unwrap();
    let mine = here.insert(Other(1)).unwrap();
    let theirs = there.insert(Other(2)).unwrap();
    assert_eq!(slot(mine), slot(theirs));
    assert_eq!(here.get(theirs).unwrap_err(), Absent::Closed);
    assert_eq!(here.get_mut(theirs).unwrap_err(), Absent::Closed);
    assert_eq!(here.get_any_mut(theirs).unwrap_err(), Absent::Closed);
    assert_eq!(here.remove(theirs).unwrap_err(), Absent::Closed);
    assert_eq!(here.with(theirs, |_, _| ()), Err(Absent::Closed));
    assert_eq!(here.convert(theirs, |other| other), Err(Absent::Closed));
    assert!(!here.close(theirs));
    assert!(!here.dispatch(theirs, Readiness::READABLE));
    here.set_timer(theirs, Instant::now());
    assert_eq!(here.timers(), 0);
    assert_eq!(here.len(), 1);
    assert!(here.is_open(mine));
}

#[test]
fn a_handle_of_another_type_finds_nothing() {
    let mut map = ChannelMap::new().unwrap();
    let wrong = map.insert(Other(1)).unwrap().token().handle::<Probe>();
    assert_eq!(map.get(wrong).unwrap_err(), Absent::OtherType);
    assert_eq!(map.get_mut(wrong).unwrap_err(), Absent::OtherType);
    assert_eq!(map.remove(wrong).unwrap_err(), Absent::OtherType);
    assert_eq!(map.with(wrong, |_, _| ()), Err(Absent::OtherType));
    assert_eq!(map.convert(wrong, |_| Other(2)), Err(Absent::OtherType));
    assert_eq!(map.len(), 1);
}

#[test]
fn no_channel_has_the_token_none() {
    let mut map = ChannelMap::new().unwrap();
    map.insert(Other(1)).unwrap();
    assert!(!map.is_open(Token::NONE));
    assert!(!map.close(Token::NONE));
}

#[test]
fn with_lends_a_channel_and_the_map() {
    let mut map = ChannelMap::new().unwrap();
    let room = map.insert(Other(5)).unwrap();
    let member = map.insert(Other(0)).unwrap();
    let told = map.with(room, |lent, map| {
        // The room itself is out of its slot meanwhile.
        assert_eq!(map.get(room).unwrap_err(), Absent::InCallback);
        assert_eq!(map.get_mut(room).unwrap_err(), Absent::InCallback);
        assert_eq!(map.get_any_mut(room).unwrap_err(), Absent::InCallback);
        assert_eq!(map.remove(room).unwrap_err(), Absent::InCallback);
        assert_eq!(map.with(room, |_, _| ()), Err(Absent::InCallback));
        map.get_mut(member).unwrap().0 = lent.0;
        map.iter().count()
    });
    assert_eq!(told, Ok(1));
    assert_eq!(map.get(member).unwrap().0, 5);
    assert_eq!(map.get(room).unwrap().0, 5);
}

#[test]
fn a_channel_in_its_own_callback_is_open_but_out_of_reach() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = Probe::new("a", &log).on(On::Read, |_, me, map| {
        let handle = me.handle::<Probe>();
        assert!(map.is_open(me));
        assert_eq!(map.len(), 2);
        assert!(map.get(handle).is_err());
        assert!(map.get_mut(handle).is_err());
        assert!(map.remove(handle).is_err());
        assert!(map.with(handle, |_, _| ()).is_err());
        assert!(map.iter().all(|(token, _)| token != me));
        assert_eq!(map.iter_mut::<Probe>().count(), 0);
        assert_eq!(map.iter_mut::<Other>().count(), 1);
        Ok(())
    });
    let probe = map.insert(probe).unwrap();
    map.insert(Other(1)).unwrap();
    map.dispatch(probe, Readiness::READABLE);
    turn(&mut map);
    assert_eq!(log.take(), ["a.read"]);
    assert!(map.get(probe).is_ok());
}

#[test]
fn iter_mut_finds_one_type_and_names_it() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let first = map.insert(Other(1)).unwrap();
    map.insert(Probe::new("a", &log)).unwrap();
    let closed = map.insert(Other(2)).unwrap();
    map.close(closed);
    let mut found = Vec::new();
    for mut other in map.iter_mut::<Other>() {
        other.0 += 1;
        found.push(other.handle());
    }
    assert_eq!(found, [first]);
    assert_eq!(map.get(first).unwrap().0, 2);
    assert_eq!(map.iter().count(), 2);
}

#[test]
fn a_channel_is_settled_when_it_was_changed_and_not_when_it_was_read() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log)).unwrap();
    turn(&mut map);
    let settles = map.get(probe).unwrap().settles;

    assert_eq!(map.iter().count(), 1);
    assert!(map.iter_mut::<Probe>().all(|probe| probe.name == "a"));
    turn(&mut map);
    assert_eq!(map.get(probe).unwrap().settles, settles);

    for mut probe in map.iter_mut::<Probe>() {
        probe.received.clear();
        probe.received.clear();
    }
    turn(&mut map);
    assert_eq!(map.get(probe).unwrap().settles, settles + 1);
    map.get_mut(probe).unwrap();
    turn(&mut map);
    map.with(probe, |_, _| ()).unwrap();
    turn(&mut map);
    map.touch(probe);
    map.touch(probe);
    turn(&mut map);
    assert_eq!(map.get(probe).unwrap().settles, settles + 4);
}

/// R3: a file cannot be watched; who opened it has it back.
#[test]
fn a_regular_file_is_handed_back() {
    for readable in [true, false] {
        let mut map = ChannelMap::new().unwrap();
        let refused = map.try_insert(on_disk(readable)).unwrap_err();
        assert_eq!(refused.error.kind(), ErrorKind::PermissionDenied);
        assert!(map.is_empty());
        assert_eq!(map.iter().count(), 0);
        map.run().unwrap(); // nobody is left behind to wait for
        let mut magic = [0; 4];
        let mut file = refused.channel.file.into_inner();
        file.read_exact(&mut magic).unwrap();
    }
}

#[test]
fn a_descriptor_is_in_a_map_once() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let first = map.insert(Probe::new("a", &log).over(&ours)).unwrap();
    let luggage = Rc::new(());
    let mut second = Probe::new("b", &log).over(&ours);
    second.luggage = Some(Rc::clone(&luggage));

    let refused = map.try_insert(second).unwrap_err();
    assert_eq!(refused.error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(refused.channel.name, "b");
    drop(refused);
    assert_eq!(Rc::strong_count(&luggage), 1);

    assert_eq!(map.len(), 1);
    theirs.write_all(b"still watched").unwrap();
    turn(&mut map);
    assert_eq!(map.get(first).unwrap().received, b"still watched");
    assert_eq!(log.take(), ["a.read"]);
}
