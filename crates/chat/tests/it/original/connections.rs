//! Where connections stand, and those that are over before they have begun.

use std::cell::Cell;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use chat::{ChannelMap, Dispatcher};

use crate::common::{Log, Server, Witness, turn_to_rest, turn_until};
use crate::original::family::{Family, Place};

/// How many clients come and go.
const MANY: usize = 60;

#[test]
fn connected_and_accepting_say_where_a_connection_stands() {
    for family in Family::all() {
        let log = Log::default();
        let mut kept = Vec::new();
        let (place, server) = Place::listen(
            family,
            Server(move |socket, _, _: &mut ChannelMap| {
                kept.push(socket);
                Ok(())
            }),
        );
        let client = place.connect(Witness::new(&log));
        assert!(!server.endpoint.connected() && server.endpoint.accepting());
        assert!(!client.endpoint.connected() && !client.endpoint.accepting());
        assert!(client.endpoint.connecting());

        let mut map = ChannelMap::new().unwrap();
        let server = map.insert(server).unwrap();
        let client = map.insert(client).unwrap();
        turn_until(&mut map, |_| log.has("connect"));
        let endpoint = &map.get(client).unwrap().endpoint;
        assert!(endpoint.connected() && !endpoint.accepting() && !endpoint.connecting());
        let endpoint = &map.get(server).unwrap().endpoint;
        assert!(!endpoint.connected() && endpoint.accepting());

        map.close(client);
        assert!(map.get(client).is_err() && !map.is_open(client));
        turn_to_rest(&mut map);
        let endpoint = &map.get(server).unwrap().endpoint;
        assert!(!endpoint.connected() && endpoint.accepting());

        map.get_mut(server).unwrap().endpoint.close();
        assert!(map.get(server).unwrap().endpoint.closing());
        turn_until(&mut map, |map| map.is_empty());
        assert!(map.get(server).is_err(), "{family:?}");
    }
}

/// Some are reset while they wait to be accepted, others afterwards.
#[test]
fn clients_that_reset_at_once_cost_a_listener_nothing() {
    for family in Family::all() {
        let log = Log::default();
        let accepted = Rc::new(Cell::new(0));
        let (count, inner) = (Rc::clone(&accepted), log.clone());
        let (place, server) = Place::listen(
            family,
            Server(move |socket, _, map: &mut ChannelMap| {
                map.insert(Dispatcher::new(socket, Witness::new(&inner)))?;
                count.set(count.get() + 1);
                Ok(())
            }),
        );
        let mut map = ChannelMap::new().unwrap();
        let me = map.insert(server).unwrap();
        for number in 0..MANY {
            let client = place.dial();
            client.set_linger(Some(Duration::ZERO)).unwrap();
            if number % 2 == 0 {
                let before = accepted.get();
                turn_until(&mut map, |_| accepted.get() > before);
            }
            drop(client);
            if number % 3 == 0 {
                turn_to_rest(&mut map);
            }
        }
        turn_to_rest(&mut map);
        assert!(map.is_open(me) && map.len() == 1, "{family:?}: {map:?}");
        assert_eq!(log.count("close"), accepted.get(), "{family:?}");
        assert_eq!(log.count("error"), 0, "{family:?}");

        let mut good = place.dial();
        good.write_all(b"hello").unwrap();
        turn_until(&mut map, |_| log.has("read hello"));
        assert_eq!(map.len(), 2, "{family:?}");
    }
}

/// Over with a reset, an orderly close, or never accepted at all.
#[test]
fn a_client_whose_server_goes_at_once_is_told_once() {
    for family in Family::all() {
        for number in 0..MANY {
            let log = Log::default();
            let (place, listener) = Place::plain(family);
            let mut map = ChannelMap::new().unwrap();
            let mut client = place.connect(Witness::new(&log));
            client.endpoint.push("hello?");
            map.insert(client).unwrap();
            if number % 2 == 0 {
                map.turn(Some(Duration::ZERO)).unwrap();
            }
            if number % 3 > 0 {
                let (peer, _) = listener.accept().unwrap();
                if number % 3 == 1 {
                    peer.set_linger(Some(Duration::ZERO)).unwrap();
                }
            }
            drop(listener);
            turn_until(&mut map, |map| map.is_empty());
            turn_to_rest(&mut map);
            assert_eq!(
                log.count("close"),
                1,
                "{family:?} {number}: {:?}",
                log.all()
            );
            assert_eq!(
                log.count("error"),
                0,
                "{family:?} {number}: {:?}",
                log.all()
            );
        }
    }
}
