//! A child of the process has a copy of the map and of its channels: dropping that takes
//! nothing from the parent. It is tested here because the `chat` crate forbids the
//! `unsafe` that `fork(2)` needs.

#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "the reactor's tests use all of it")]
#[path = "../../../crates/reactor/tests/it/common/alone.rs"]
mod alone;
#[allow(dead_code, reason = "the reactor's tests use all of it")]
#[path = "../../../crates/reactor/tests/it/common/libc.rs"]
mod libc;

use std::os::unix::net::{UnixDatagram, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use chat::{ChannelMap, Dispatcher, DispatcherHandler, SockRef, UnixBind};
use libc::in_a_child;

struct Nothing;
impl DispatcherHandler for Nothing {}

/// For the helper of the reactor's tests.
fn panics(f: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

fn path(what: &str) -> PathBuf {
    std::env::temp_dir().join(format!("fork-{what}-{}", std::process::id()))
}

fn is_nonblocking(file: &UnixStream) -> bool {
    SockRef::from(file).nonblocking().unwrap()
}

/// A map with channels that give something back to the system when they are dropped.
fn map_of(listener: &Path, datagrams: &Path, file: &UnixStream) -> ChannelMap {
    let mut map = ChannelMap::new().unwrap();
    let bind = UnixBind::path(listener).removed_on_close();
    map.insert(Dispatcher::listen_unix(bind, Nothing)).unwrap();
    let bind = UnixBind::path(datagrams).removed_on_close();
    map.insert(Dispatcher::bind_unix(bind, Nothing)).unwrap();
    map.insert(Dispatcher::file(file, Nothing).unwrap())
        .unwrap();
    map
}

#[test]
fn a_child_that_drops_the_map_takes_neither_paths_nor_modes_from_its_parent() {
    if !alone::is_alone(
        a_child_that_drops_the_map_takes_neither_paths_nor_modes_from_its_parent,
        &["env"],
    ) {
        return;
    }
    let (listener, datagrams) = (path("listener"), path("datagrams"));
    let (file, _other) = UnixStream::pair().unwrap();
    let mut map = Some(map_of(&listener, &datagrams, &file));
    let is_whole = || {
        assert!(UnixStream::connect(&listener).is_ok());
        let knock = UnixDatagram::unbound().unwrap();
        assert!(knock.connect(&datagrams).is_ok());
        assert!(is_nonblocking(&file));
    };
    is_whole();
    assert!(in_a_child(|| drop(map.take())));
    is_whole();

    // Nor if the child has channels of its own, over the same file as well. Its own
    // paths and modes are given back.
    assert!(in_a_child(|| {
        let (own_listener, own_datagrams) = (path("own-listener"), path("own-datagrams"));
        let (own_file, _other) = UnixStream::pair().unwrap();
        let mut own = map_of(&own_listener, &own_datagrams, &own_file);
        own.insert(Dispatcher::file(&file, Nothing).unwrap())
            .unwrap();
        drop(map.take());
        assert!(own_listener.exists() && own_datagrams.exists());
        assert!(is_nonblocking(&own_file));
        drop(own);
        assert!(!own_listener.exists() && !own_datagrams.exists());
        assert!(!is_nonblocking(&own_file));
    }));
    is_whole();

    drop(map);
    assert!(!listener.exists() && !datagrams.exists());
    assert!(!is_nonblocking(&file));
}
