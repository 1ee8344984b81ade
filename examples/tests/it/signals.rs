//! Signals as channels.

use std::cell::RefCell;
use std::process::Command;
use std::rc::Rc;

use chat::{ChannelMap, TimerChannel};
use examples::on_signal;
use libc::{SIGCHLD, SIGHUP, SIGKILL, SIGUSR1, SIGUSR2};

/// A map with a channel that keeps the loop running.
fn busy_map() -> ChannelMap {
    let mut map = ChannelMap::new().expect("a poller");
    map.insert(TimerChannel::new(|_, _, _| Ok(())))
        .expect("no shutdown");
    map
}

#[test]
fn each_signal_calls_its_own_function_from_the_loop() {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let mut map = busy_map();
    for signal in [SIGHUP, SIGUSR1] {
        let heard = Rc::clone(&heard);
        on_signal(signal, &mut map, move |_| {
            heard.borrow_mut().push(signal);
            Ok(())
        })
        .expect("the signal can be had");
    }
    for signal in [SIGUSR1, SIGHUP, SIGUSR1] {
        signal_hook::low_level::raise(signal).expect("it is delivered");
        assert!(heard.borrow().is_empty(), "not before the loop");
        while heard.borrow().is_empty() {
            map.turn(None).expect("it turns");
        }
        assert_eq!(heard.take(), [signal]);
    }
}

#[test]
fn a_child_that_ends_is_heard() {
    let mut map = busy_map();
    on_signal(SIGCHLD, &mut map, |map| {
        map.stop();
        Ok(())
    })
    .expect("the signal can be had");
    let mut child = Command::new("true").spawn().expect("it starts");
    map.run().expect("it stops");
    assert!(child.wait().expect("it is our child").success());
}

#[test]
fn it_keeps_no_loop_running_and_some_signals_cannot_be_had() {
    let mut map = ChannelMap::new().expect("a poller");
    on_signal(SIGUSR2, &mut map, |_| Ok(())).expect("the signal can be had");
    assert!(on_signal(SIGKILL, &mut map, |_| Ok(())).is_err());
    map.run().expect("it ends");
    assert!(map.is_empty());
}
