//! What belongs to a dead channel, or to a source that left, reaches nobody.

use std::io::{self, Stdin, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::common::alone::is_alone;
use crate::common::{Log, On, Probe, Stream, both_ready, change, pair, slot, turn};
use crate::common::{journal, libc};
use reactor::{Channel, ChannelMap, Handle, Readiness, Registration, Result, Source, Token};

/// Has the first of the two that is called do `act` to the other one.
fn first_acts_on_the_other(
    map: &mut ChannelMap,
    probes: [Handle<Probe>; 2],
    act: impl Fn(Handle<Probe>, &mut ChannelMap) + Clone + 'static,
) {
    for (me, other) in [(0, 1), (1, 0)] {
        let act = act.clone();
        let other = probes[other];
        map.convert(probes[me], move |probe: Probe| {
            probe.on(On::Read, move |probe, me, map| {
                act(other, map);
                probe.receive(me, map)
            })
        })
        .unwrap();
    }
}

#[test]
fn the_next_tenant_of_slot_and_descriptor_gets_no_event_of_a_removed_channel() {
    // Only this test shall open descriptors meanwhile.
    if !is_alone(
        the_next_tenant_of_slot_and_descriptor_gets_no_event_of_a_removed_channel,
        &["env"],
    ) {
        return;
    }
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (probes, _peers) = both_ready(&log, &mut map);
    let inner = log.clone();
    first_acts_on_the_other(&mut map, probes, move |other, map| {
        let Ok(removed) = map.remove(other) else {
            return;
        };
        let number = removed.stream.as_ref().unwrap().as_raw_fd();
        drop(removed);
        let (ours, theirs) = pair();
        assert_eq!(ours.as_raw_fd(), number);
        let mut tenant = Probe::new("tenant", &inner).over(&ours);
        tenant.writable = true;
        let tenant = map.insert(tenant).unwrap();
        assert_eq!(slot(tenant), slot(other));
        std::mem::forget(theirs); // a hang-up would be an event of the tenant's own
    });
    turn(&mut map);
    let lines = log.take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0] == "a.read" || lines[0] == "b.read");
    turn(&mut map);
    assert_eq!(log.take(), ["tenant.write"], "its own event does reach it");
}

/// Both were dispatched, the one that left and its heir.
#[test]
fn the_next_tenant_of_the_slot_is_called_by_its_own_token_once() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let first = map.insert(Probe::new("first", &log)).unwrap();
    map.dispatch(first, Readiness::READABLE);
    map.remove(first).unwrap();
    let inner = log.clone();
    let tenant = Probe::new("tenant", &log).on(On::Read, move |_, me, _| {
        inner.add(format!("{me}"));
        Ok(())
    });
    let tenant = map.insert(tenant).unwrap();
    assert_eq!(slot(tenant), slot(first));
    map.dispatch(tenant, Readiness::READABLE);
    assert_eq!(turn(&mut map), 1);
    assert_eq!(
        log.take(),
        ["tenant.read".into(), Token::from(tenant).to_string()]
    );
}

#[test]
fn the_next_tenant_of_the_slot_gets_no_event_of_a_closed_channel() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (probes, _peers) = both_ready(&log, &mut map);
    for probe in probes {
        let inner = log.clone();
        map.convert(probe, move |probe: Probe| {
            probe.on(On::Close, move |_, me, map| {
                let tenant = map.insert(Probe::new("tenant", &inner))?;
                assert_eq!(slot(tenant), slot(me));
                Ok(())
            })
        })
        .unwrap();
    }
    first_acts_on_the_other(&mut map, probes, |other, map| {
        map.close(other);
    });
    turn(&mut map);
    turn(&mut map);
    let lines = log.take();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].ends_with(".close Requested"), "{lines:?}");
    assert_eq!(map.len(), 2);
}

#[test]
fn events_and_timers_brought_before_the_end_of_a_channel_reach_nobody() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let mut dead = Vec::new();
    for end in [
        |map: &mut ChannelMap, probe: Handle<Probe>| assert!(map.remove(probe).is_ok()),
        |map: &mut ChannelMap, probe: Handle<Probe>| {
            map.close(probe);
            turn(map);
        },
    ] {
        let mut probe = Probe::new("dead", &log);
        probe.pending = true;
        let probe = map.insert(probe).unwrap();
        turn(&mut map);
        map.dispatch(probe, Readiness::READABLE);
        let timer = map.set_timer(probe, map.now());
        log.take();
        end(&mut map, probe);
        assert_eq!(map.timers(), 0);
        let tenant = map.insert(Probe::new("tenant", &log)).unwrap();
        assert_eq!(slot(tenant), slot(probe));
        let own = map.set_timer(tenant, map.now() + Duration::from_secs(3600));
        dead.push((probe, timer));

        log.take();
        for &(probe, timer) in &dead {
            assert!(!map.cancel(timer));
            assert!(!map.dispatch(probe, Readiness::READABLE));
            assert!(!map.close(probe));
            map.set_timer(probe, map.now());
        }
        turn(&mut map);
        assert!(log.take().is_empty());
        assert!(map.is_open(tenant));
        assert!(map.cancel(own), "no stale timer took its place");
        map.remove(tenant).unwrap();
    }
}

/// A fresh socket in the place of the one that the probe has.
fn reconnect(probe: &mut Probe, old: &mut Option<Source<Stream>>) -> UnixStream {
    let (ours, theirs) = pair();
    *old = probe.stream.replace(Source::new(ours));
    theirs
}

#[test]
fn a_channel_that_replaces_its_source_hears_of_the_new_one_only() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    let mut map = ChannelMap::new().unwrap();
    let probe = map.insert(Probe::new("a", &log).over(&ours)).unwrap();
    turn(&mut map);
    let mut old = None;
    let mut new_peer = reconnect(map.get_mut(probe).unwrap(), &mut old);
    theirs.write_all(b"late").unwrap();
    turn(&mut map);
    assert!(log.take().is_empty());
    new_peer.write_all(b"new").unwrap();
    turn(&mut map);
    assert_eq!(map.get(probe).unwrap().received, b"new");
}

/// A write event means "connected" to one who connects: the old socket's must
/// not be taken for the new one's.
#[test]
fn an_event_of_the_old_source_does_not_reach_its_successor() {
    let log = Log::default();
    let (ours, mut theirs) = pair();
    theirs.write_all(b"reconnect").unwrap();
    let mut map = ChannelMap::new().unwrap();
    let mut probe = Probe::new("a", &log)
        .over(&ours)
        .on(On::Read, |probe, _, _| {
            let mut old = None;
            std::mem::forget(reconnect(probe, &mut old));
            Ok(())
        });
    probe.writable = true;
    map.insert(probe).unwrap();
    turn(&mut map);
    assert_eq!(log.take(), ["a.read"]);
    turn(&mut map);
    assert_eq!(log.take(), ["a.write"], "the new socket's own event");
}

#[test]
fn an_event_of_a_source_that_another_callback_replaced_is_dropped() {
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let (probes, _peers) = both_ready(&log, &mut map);
    first_acts_on_the_other(&mut map, probes, |other, map| {
        change(map, other, |other| {
            let mut old = None;
            std::mem::forget(reconnect(other, &mut old));
        });
    });
    turn(&mut map);
    assert_eq!(
        log.take().len(),
        1,
        "the other one's socket is new and silent"
    );
}

/// Standard input, which is whatever has its number.
#[derive(Debug)]
struct Input(Source<Stdin>);

impl Channel for Input {
    fn registration(&self) -> Option<&Registration> {
        Some(self.0.registration())
    }

    fn handle_read_event(&mut self, me: Token, map: &mut ChannelMap) -> Result {
        map.close(me);
        Ok(())
    }
}

/// Where a key of the poller has room for a generation. The old file stays open under
/// another number, and stays in the poller, where nobody can delete it any more.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[test]
fn the_next_tenant_gets_no_event_of_an_input_that_was_replaced() {
    if !is_alone(
        the_next_tenant_gets_no_event_of_an_input_that_was_replaced,
        &["env"],
    ) {
        return;
    }
    journal::open();
    let log = Log::default();
    let (old, mut old_peer) = pair();
    let (new, _new_peer) = pair();
    libc::replace_stdin(&*old);
    let mut map = ChannelMap::new().unwrap();
    let input = map.insert(Input(Source::new(io::stdin()))).unwrap();
    turn(&mut map);
    libc::replace_stdin(&*new);
    drop(map.remove(input));
    let (ours, mut theirs) = pair();
    let mut tenant = Probe::new("tenant", &log).over(&ours);
    tenant.writable = true;
    let tenant = map.insert(tenant).unwrap();
    assert_eq!(slot(tenant), slot(input));
    turn(&mut map);
    assert_eq!(log.take(), ["tenant.write"]);
    change(&mut map, tenant, |tenant| tenant.writable = false);

    old_peer.write_all(b"for nobody").unwrap();
    map.set_timer(tenant, map.now() + Duration::from_millis(200));
    let before = map.turns();
    while log.len() == 0 {
        map.turn(None).unwrap();
    }
    assert_eq!(log.take(), ["tenant.timer"], "and no event");
    let turns = map.turns() - before;
    assert!(turns < 400, "it spins: {turns} turns in 200 ms");
    assert_eq!(journal::count("WARN the poller reports a file"), 1);

    theirs.write_all(b"x").unwrap();
    turn(&mut map);
    assert_eq!(log.take(), ["tenant.read"], "its own event does reach it");
    drop(old);
    assert_eq!(turn(&mut map), 0);
}
