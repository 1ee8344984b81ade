//! Who is let in, who is refused, and who goes.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use chat::{
    Channel, ChannelMap, ChatMap, Dispatcher, DispatcherHandler, Endpoint, Registration, Result,
    WhenFull,
};

use super::network::{Client, Crowd};
use super::{GOODBYE, REFUSAL, Server, Told, caps, take};
use crate::common::journal;

const ANY: usize = usize::MAX;

fn crowd(connections: usize, per_address: usize, when_full: WhenFull) -> (Crowd, Told) {
    let told = Told::default();
    let crowd = Crowd::new(
        Server::new(&told),
        caps(connections, per_address, when_full),
    );
    (crowd, told)
}

#[track_caller]
fn assert_refused(client: &Client) {
    assert_eq!(client.take_sent(), REFUSAL);
    assert!(client.is_ended() && client.is_gone());
}

#[test]
fn at_a_full_cap_newcomers_are_refused_politely_and_counted() {
    journal::open();
    let (mut crowd, told) = crowd(2, ANY, WhenFull::Refuse);
    let clients: Vec<_> = (1..=6)
        .map(|n| crowd.come(&format!("10.1.0.{n}")))
        .collect();
    crowd.pass(Duration::ZERO);
    assert_eq!(
        take(&told),
        ["0 came", "1 came"],
        "no handler hears of the others"
    );
    clients[2..].iter().for_each(assert_refused);
    assert_eq!(crowd.map.refused(), 4);
    let warnings: Vec<_> = journal::take();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].ends_with("full: a connection from 10.1.0.3:9 is refused"));
    crowd.leave(&clients[0]);
    let next = crowd.enter("10.1.0.1");
    assert_eq!(take(&told), ["0 Eof", "2 came"]);
    assert_eq!(next.take_sent(), "");
    assert_refused(&crowd.enter("10.1.0.9"));
    assert_eq!(journal::take().len(), 1, "the first of another row");
}

#[test]
fn an_address_has_its_own_cap_and_an_ipv6_network_is_one() {
    for (prefix, others) in [
        (64, "2001:db8:0:1::1"),
        (48, "2001:db8:1::1"),
        (128, "2001:db8::9"),
    ] {
        let told = Told::default();
        let mut limits = caps(ANY, 2, WhenFull::Refuse);
        limits.admission.ipv6_prefix = prefix;
        let mut crowd = Crowd::new(Server::new(&told), limits);
        let same = if prefix == 128 {
            "2001:db8::1"
        } else {
            "2001:db8::9"
        };
        let v4 = [crowd.enter("10.0.0.1"), crowd.enter("::ffff:10.0.0.1")];
        let v6 = [crowd.enter("2001:db8::1"), crowd.enter(same)];
        assert_refused(&crowd.enter("10.0.0.1"));
        assert_refused(&crowd.enter("2001:db8::1"));
        assert_refused(&crowd.enter(same));
        assert_eq!(crowd.enter("10.0.0.2").take_sent(), "");
        assert_eq!(crowd.enter(others).take_sent(), "");
        assert_eq!((crowd.map.refused(), take(&told).len()), (3, 6));
        crowd.leave(&v4[1]);
        crowd.leave(&v6[0]);
        assert_eq!(crowd.enter("10.0.0.1").take_sent(), "");
        assert_eq!(crowd.enter(same).take_sent(), "");
        assert_eq!((crowd.map.refused(), take(&told).len()), (3, 4));
    }
}

#[test]
fn all_listeners_count_the_connections_of_an_address_together() {
    let (mut crowd, told) = crowd(ANY, 2, WhenFull::Refuse);
    let (first, second) = (crowd.enter("10.0.0.1"), crowd.enter("10.0.0.2"));
    let mut limits = caps(ANY, 1, WhenFull::Refuse);
    limits.admission.refusal = chat::bytes::Bytes::new();
    let strict = Dispatcher::listen("10.0.0.1:2", Server::new(&told)).limited(limits);
    crowd.server = crowd.map.insert(strict).unwrap().token();
    let third = crowd.enter("10.0.0.1");
    assert!(
        third.is_gone() && third.take_sent().is_empty(),
        "without a word"
    );
    assert_eq!(crowd.map.refused(), 1);
    drop((first, second));
}

#[test]
fn the_one_that_lingers_longest_goes_first_for_the_reason_that_it_has() {
    for (connections, per_address) in [(4, ANY), (ANY, 4)] {
        for when_full in [WhenFull::Refuse, WhenFull::EvictIdle] {
            let (mut crowd, told) = crowd(connections, per_address, when_full);
            let guests: Vec<_> = (0..4).map(|_| crowd.enter("10.0.0.1")).collect();
            crowd.say(&guests[2], "hello\nquit\n");
            crowd.say(&guests[1], "quit\n");
            crowd.say(&guests[0], "still here\n");
            crowd.say(&guests[3], "still here\n");
            assert_eq!((crowd.map.len(), crowd.map.lingering()), (5, 2));
            take(&told);
            for (lingerer, newcomer) in [(2, 4), (1, 5)] {
                assert!(!guests[lingerer].is_gone());
                assert_eq!(crowd.enter("10.0.0.1").take_sent(), "");
                let expected = [format!("{newcomer} came"), format!("{lingerer} Done")];
                assert_eq!(take(&told), expected);
                assert!(guests[lingerer].is_gone());
            }
            assert_eq!((crowd.map.len(), crowd.map.lingering()), (5, 0));
            let last = crowd.enter("10.0.0.1");
            match when_full {
                WhenFull::Refuse => assert_refused(&last),
                _ => assert_eq!(take(&told), ["6 came", "0 Evicted"]),
            }
        }
    }
}

#[test]
fn a_lingerer_of_another_address_does_not_go_for_the_cap_of_an_address() {
    let (mut crowd, told) = crowd(ANY, 1, WhenFull::EvictIdle);
    let (one, other) = (crowd.enter("10.0.0.1"), crowd.enter("10.0.0.2"));
    crowd.say(&one, "quit\n");
    crowd.say(&other, "hello\n");
    assert_eq!(crowd.enter("10.0.0.2").take_sent(), "");
    let expected = ["0 came", "1 came", "1 hello", "2 came", "1 Evicted"];
    assert_eq!(take(&told), expected);
    assert!(!one.is_gone());
}

#[test]
fn the_one_that_was_idle_for_longest_goes_and_is_told_why() {
    for (connections, per_address) in [(3, ANY), (ANY, 3)] {
        let (mut crowd, told) = crowd(connections, per_address, WhenFull::EvictIdle);
        let guests: Vec<_> = (0..3).map(|_| crowd.enter("10.0.0.1")).collect();
        crowd.say(&guests[1], "one\n");
        crowd.say(&guests[0], "two\n"); // the oldest, but not idle
        crowd.say(&guests[2], "three\n");
        take(&told);
        for (idlest, newcomer) in [(1, 3), (0, 4)] {
            crowd.pass(Duration::from_secs(1));
            crowd.enter("10.0.0.1");
            let expected = [format!("{newcomer} came"), format!("{idlest} Evicted")];
            assert_eq!(take(&told), expected);
            assert_eq!(guests[idlest].take_sent(), GOODBYE);
            assert!(guests[idlest].is_gone());
        }
        assert_eq!(
            (crowd.map.statistics().evicted, crowd.map.refused()),
            (2, 0)
        );
        assert!(!guests[2].is_gone());
    }
}

#[test]
fn one_that_is_not_evictable_stays_and_its_listener_lets_its_own_in() {
    let told = Told::default();
    let mut server = Server::new(&told);
    Rc::get_mut(&mut server.limits).unwrap().evictable = false;
    let mut crowd = Crowd::new(server, caps(2, ANY, WhenFull::EvictIdle));
    let guests = [crowd.enter("10.0.0.1"), crowd.enter("10.0.0.2")];
    assert_refused(&crowd.enter("10.0.0.3"));
    let console = Dispatcher::listen("10.0.0.1:2", Server::new(&told));
    let console = console.limited(caps(ANY, ANY, WhenFull::Refuse));
    crowd.server = crowd.map.insert(console).unwrap().token();
    assert_eq!(crowd.enter("10.0.0.3").take_sent(), "");
    assert!(guests.iter().all(|guest| !guest.is_gone()));
}

/// An open console must not have everybody refused for whom another would go.
#[test]
fn what_listeners_have_not_let_in_or_do_not_count_takes_no_place() {
    let (mut crowd, told) = crowd(2, ANY, WhenFull::EvictIdle);
    let _timer = crowd.map.insert(Seen(Rc::default())).unwrap();
    let guests = [crowd.enter("10.0.0.1"), crowd.enter("10.0.0.2")];
    let public = crowd.server;
    let console = Dispatcher::listen("10.0.0.1:2", Server::new(&told));
    let console = console.limited(caps(ANY, ANY, WhenFull::Refuse));
    crowd.server = crowd.map.insert(console).unwrap().token();
    let consoles = [crowd.enter("10.0.0.3"), crowd.enter("10.0.0.3")];
    crowd.server = public;
    crowd.say_after(&guests[0], "not idle\n", Duration::from_millis(1));
    assert_eq!(crowd.enter("10.0.0.4").take_sent(), "");
    assert_eq!(crowd.map.refused(), 0);
    assert!(guests[1].is_gone() && !guests[0].is_gone());
    assert!(consoles.iter().all(|console| !console.is_gone()));
}

#[test]
fn the_choice_at_the_cap_of_an_address_is_its_own() {
    let told = Told::default();
    let mut limits = caps(3, 2, WhenFull::EvictIdle);
    limits.admission.when_address_full = WhenFull::Refuse;
    let mut crowd = Crowd::new(Server::new(&told), limits);
    let many = [crowd.enter("10.0.0.1"), crowd.enter("10.0.0.1")];
    assert_refused(&crowd.enter("10.0.0.1"));
    let one = crowd.enter("10.0.0.2");
    assert_eq!(crowd.enter("10.0.0.3").take_sent(), "");
    assert!(many[0].is_gone() && !many[1].is_gone() && !one.is_gone());
    assert_eq!(
        (crowd.map.refused(), crowd.map.statistics().evicted),
        (1, 1)
    );
}

#[test]
fn one_goes_for_one_that_comes_and_no_more() {
    let (mut crowd, told) = crowd(100, ANY, WhenFull::EvictIdle);
    let guests: Vec<_> = (0..8).map(|_| crowd.enter("10.0.0.1")).collect();
    let server = crowd.server.handle::<Dispatcher<Server>>();
    let server = crowd.map.get_mut(server).unwrap();
    server
        .endpoint
        .set_limits(caps(4, ANY, WhenFull::EvictIdle));
    assert_refused(&crowd.enter("10.0.0.1"));
    assert!(guests.iter().all(|guest| !guest.is_gone()));
    assert_eq!((take(&told).len(), crowd.map.statistics().evicted), (8, 0));
}

/// Counts how often somebody looks at it.
#[derive(Debug)]
struct Seen(Rc<Cell<usize>>);

impl Channel for Seen {
    fn registration(&self) -> Option<&Registration> {
        None
    }

    fn wire(&self) -> Option<&dyn std::any::Any> {
        self.0.set(self.0.get() + 1);
        None
    }
}

#[test]
fn a_flood_costs_one_look_at_all_channels_in_250_ms() {
    for (connections, per_address) in [(10, ANY), (ANY, 10)] {
        for when_full in [WhenFull::Refuse, WhenFull::EvictIdle] {
            let (mut crowd, _told) = crowd(connections, per_address, when_full);
            let seen = Rc::new(Cell::new(0));
            crowd.map.insert(Seen(Rc::clone(&seen))).unwrap();
            (0..10).for_each(|_| drop(crowd.enter("10.0.0.1")));
            assert_eq!(seen.get(), 0, "not before it is full");
            (0..64).for_each(|_| drop(crowd.come("10.0.0.1")));
            let now = crowd.map.now();
            crowd.map.turn_at(now).unwrap();
            assert_eq!(seen.get(), 1);
            let (evicted, refused) = match when_full {
                WhenFull::Refuse => (0, 64),
                _ => (10, 54), // those that came in this turn do not go in it
            };
            assert_eq!(
                (crowd.map.statistics().evicted, crowd.map.refused()),
                (evicted, refused)
            );
            // In later turns, too.
            for looks in 1..4 {
                for _ in 0..249 {
                    crowd.come("10.0.0.1");
                    crowd.pass(Duration::from_millis(1));
                    assert_eq!(seen.get(), looks);
                }
                crowd.come("10.0.0.1");
                crowd.pass(Duration::from_millis(1));
                assert_eq!(seen.get(), looks + 1);
            }
        }
    }
}

#[test]
fn one_that_is_not_idle_any_more_stays_and_one_that_lingers_by_now_goes_for_its_reason() {
    for (connections, per_address) in [(4, ANY), (ANY, 4)] {
        let (mut crowd, told) = crowd(connections, per_address, WhenFull::EvictIdle);
        let guests: Vec<_> = (0..4).map(|_| crowd.enter("10.0.0.1")).collect();
        crowd.pass(Duration::from_secs(1));
        take(&told);
        crowd.enter("10.0.0.1");
        assert_eq!(take(&told), ["4 came", "0 Evicted"]);
        // Since that look:
        crowd.say_after(&guests[1], "still here\n", Duration::from_millis(1));
        crowd.say_after(&guests[2], "quit\n", Duration::from_millis(1));
        take(&told);
        crowd.enter("10.0.0.1");
        assert_eq!(take(&told), ["5 came", "2 Done"]);
        crowd.enter("10.0.0.1");
        assert_eq!(take(&told), ["6 came", "3 Evicted"]);
        assert_refused(&crowd.enter("10.0.0.1"));
        // The next look finds who is idle by now.
        crowd.pass(Duration::from_millis(250));
        crowd.enter("10.0.0.1");
        assert_eq!(take(&told), ["7 came", "4 Evicted"]);
        assert!(!guests[1].is_gone());
    }
}

#[test]
fn who_begins_to_linger_after_a_look_goes_after_the_next() {
    let (mut crowd, told) = crowd(2, ANY, WhenFull::Refuse);
    let guests: Vec<_> = (0..2).map(|_| crowd.enter("10.0.0.1")).collect();
    assert_refused(&crowd.enter("10.0.0.1"));
    crowd.say_after(&guests[1], "quit\n", Duration::from_millis(100));
    assert_refused(&crowd.enter("10.0.0.1"));
    crowd.pass(Duration::from_millis(150));
    assert_eq!(crowd.enter("10.0.0.1").take_sent(), "");
    assert_eq!(take(&told), ["0 came", "1 came", "2 came", "1 Done"]);
}

#[test]
fn an_address_is_counted_only_where_its_cap_is_below_that_of_all() {
    let (mut crowd, told) = crowd(4, 4, WhenFull::Refuse);
    (0..3).for_each(|_| drop(crowd.enter("10.0.0.1")));
    let strict = Dispatcher::listen("10.0.0.1:2", Server::new(&told));
    let strict = strict.limited(caps(ANY, 1, WhenFull::Refuse));
    crowd.server = crowd.map.insert(strict).unwrap().token();
    assert_eq!(crowd.enter("10.0.0.1").take_sent(), "");
    assert_refused(&crowd.enter("10.0.0.1"));
}

/// Takes what it gets, or not, as often as it can.
struct Choosy {
    wants: Rc<Cell<usize>>,
    got: Rc<Cell<usize>>,
    most: Rc<Cell<usize>>,
}

impl DispatcherHandler for Choosy {
    fn readable(&self, _: &Endpoint) -> bool {
        self.wants.get() > 0
    }

    fn handle_accept(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        let mut count = 0;
        while self.wants.get() > 0 && endpoint.accept()?.is_some() {
            self.wants.set(self.wants.get() - 1);
            count += 1;
        }
        self.got.set(self.got.get() + count);
        self.most.set(self.most.get().max(count));
        Ok(())
    }
}

#[test]
fn a_connection_that_the_handler_does_not_take_waits_for_it() {
    let choosy = || Rc::new(Cell::new(0));
    let (wants, got, most) = (choosy(), choosy(), choosy());
    let server = Choosy {
        wants: Rc::clone(&wants),
        got: Rc::clone(&got),
        most: Rc::clone(&most),
    };
    let mut crowd = Crowd::new(server, caps(ANY, ANY, WhenFull::Refuse));
    for _ in 0..5 {
        crowd.come("10.0.0.1");
    }
    crowd.pass(Duration::ZERO);
    assert_eq!(got.get(), 0);
    for (more, expected) in [(2, 2), (1, 3), (9, 5)] {
        wants.set(more);
        crowd.map.touch(crowd.server);
        crowd.pass(Duration::ZERO);
        assert_eq!(got.get(), expected);
    }
    assert_eq!(most.get(), 1, "each is admitted by itself");
    wants.set(1);
    crowd.enter("10.0.0.1");
    assert_eq!(got.get(), 6);
}

/// Accepts when it is asked for the third time.
struct Reluctant(Rc<Cell<usize>>);

impl DispatcherHandler for Reluctant {
    fn handle_accept(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        self.0.set(self.0.get() + 1);
        if self.0.get() >= 3 {
            while endpoint.accept()?.is_some() {}
        }
        Ok(())
    }
}

#[test]
fn a_handler_that_declines_a_connection_is_asked_again() {
    let asked = Rc::new(Cell::new(0));
    let server = Reluctant(Rc::clone(&asked));
    let mut crowd = Crowd::new(server, caps(ANY, ANY, WhenFull::Refuse));
    let client = crowd.enter("10.0.0.1");
    assert_eq!(
        asked.get(),
        4,
        "the last time for the next, which is not there"
    );
    assert!(client.is_gone(), "the handler has dropped it");
}
