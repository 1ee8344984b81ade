//! The mode of an open file that several wrappers have: which of them restores it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use chat::{FileWrapper, SockRef, Transport};

use crate::common::Place;
use crate::file_dispatcher::{is_nonblocking, pipe};

type Wrap = fn(&File) -> io::Result<FileWrapper>;

const WRAPS: [Wrap; 3] = [
    |file| FileWrapper::new(file),
    |file| FileWrapper::nonblocking(file),
    |file| FileWrapper::as_it_is(file),
];

#[test]
fn the_last_wrapper_of_an_open_file_restores_its_mode() {
    for wrap in WRAPS {
        let (ours, _theirs) = pipe();
        let first = FileWrapper::new(&ours).unwrap();
        let second = wrap(&ours).unwrap();
        let third = wrap(&ours.try_clone().unwrap()).unwrap();
        for wrapper in [first, third] {
            drop(wrapper);
            assert!(is_nonblocking(&ours));
        }
        drop(second);
        assert!(!is_nonblocking(&ours));
    }
    // One that has shares is kept by them, whoever has changed it.
    let (ours, _theirs) = pipe();
    let first = FileWrapper::new(&ours).unwrap();
    SockRef::from(&ours).set_nonblocking(false).unwrap();
    let second = FileWrapper::new(&ours).unwrap();
    drop(first);
    assert!(is_nonblocking(&ours));
    drop(second);
    assert!(!is_nonblocking(&ours));
}

/// Opens a FIFO in both directions.
fn open(path: &PathBuf) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).open(path).unwrap()
}

/// One inode is not one open file.
#[test]
fn the_ends_of_a_pipe_and_two_openings_of_a_fifo_are_counted_apart() {
    let place = Place::new("apart");
    let fifo = place.fifo().map(|path| (open(&path), open(&path)));
    for (one, other) in [Some(pipe()), fifo].into_iter().flatten() {
        let wrapper = FileWrapper::new(&one).unwrap();
        assert!(!is_nonblocking(&other));
        let of_other = FileWrapper::new(&other).unwrap();
        drop(wrapper);
        assert!(!is_nonblocking(&one) && is_nonblocking(&other));
        let wrapper = FileWrapper::new(&one).unwrap();
        drop(of_other);
        assert!(is_nonblocking(&one) && !is_nonblocking(&other));
        drop(wrapper);
        assert!(!is_nonblocking(&one));
    }
}

/// A wrapper does not change back what a program has made non-blocking by itself.
#[test]
fn a_file_that_did_not_block_is_left_so_and_keeps_those_that_it_may_be() {
    let place = Place::new("kept");
    let fifo = place.fifo().map(|path| (open(&path), open(&path)));
    // The ends of a pipe are never one open file. Two openings of a FIFO may be.
    for (files, may_be_one) in [(Some(pipe()), false), (fifo, true)] {
        let Some((one, other)) = files else {
            continue;
        };
        SockRef::from(&other).set_nonblocking(true).unwrap();
        let wrapper = FileWrapper::new(&one).unwrap();
        let of_other = FileWrapper::new(&other).unwrap();
        drop(wrapper);
        assert_eq!(is_nonblocking(&one), may_be_one);
        drop(of_other);
        assert!(!is_nonblocking(&one) && is_nonblocking(&other));
    }
}

/// The reader hears of the end, though its wrapper may have the same inode's mode to keep.
#[test]
fn an_end_of_a_pipe_does_not_keep_the_other_end_open() {
    let (ours, theirs) = pipe();
    SockRef::from(&ours).set_nonblocking(true).unwrap();
    let writer = FileWrapper::new(&theirs).unwrap();
    let mut reader = FileWrapper::new(&ours).unwrap();
    drop(theirs);
    let nothing = reader.recv(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    drop(writer);
    assert_eq!(reader.recv(&mut [0]).unwrap(), 0);
}

/// Nobody looks at a file by changing it.
#[test]
fn a_thread_that_wraps_a_file_does_not_block_another_that_reads_it() {
    let (ours, mut theirs) = pipe();
    let is_over = AtomicBool::new(false);
    let (begins, has_begun) = mpsc::channel();
    let (ends, has_ended) = mpsc::channel();
    let patience = Duration::from_secs(10);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut wrapper = FileWrapper::new(&ours).unwrap();
            begins.send(()).unwrap();
            while !is_over.load(Ordering::Relaxed) {
                let nothing = wrapper.recv(&mut [0]).map_err(|error| error.kind());
                assert_eq!(nothing, Err(ErrorKind::WouldBlock));
            }
            ends.send(()).unwrap();
        });
        has_begun.recv_timeout(patience).unwrap();
        for wrap in [WRAPS; 300].into_iter().flatten() {
            drop(wrap(&ours).unwrap());
        }
        is_over.store(true, Ordering::Relaxed);
        let has_ended = has_ended.recv_timeout(patience);
        theirs.write_all(b"x").unwrap(); // or the reader would not end
        assert!(has_ended.is_ok(), "it blocks");
    });
    assert!(!is_nonblocking(&ours));
}
