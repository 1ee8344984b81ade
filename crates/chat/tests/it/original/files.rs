//! Descriptors that are no sockets: `file_wrapper`, `file_dispatcher`.

use std::fs::File;
use std::io::{ErrorKind, IoSlice, Read, Write};

use chat::{
    AsyncChat, ChannelMap, Dispatcher, FileDispatcher, FileWrapper, ReadProducer, Transport,
};

use crate::common::{Log, Witness, read_to_end, turn_until};
use crate::original::collector::Collector;
use crate::original::family::Family;

/// A file on a disk.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/original/files.rs");

/// Both ends of a pipe: what is written to the second comes out of the first.
fn pipe() -> (File, File) {
    let (output, input) = rustix::pipe::pipe().unwrap();
    (output.into(), input.into())
}

/// Receives once, at most `len` bytes.
fn recv(wrapper: &mut FileWrapper, len: usize) -> String {
    let mut buffer = vec![0; len];
    let len = wrapper.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..len].to_vec()).unwrap()
}

#[test]
fn a_wrapper_reads_on_after_the_descriptor_it_was_made_from_is_closed() {
    let (output, mut input) = pipe();
    let mut wrapper = FileWrapper::new(&output).unwrap();
    drop(output);
    input.write_all(b"in two pieces").unwrap();
    assert_eq!(recv(&mut wrapper, 6), "in two");
    assert_eq!(recv(&mut wrapper, 10), " pieces");
    let nothing = wrapper.recv(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    drop(input);
    assert_eq!(recv(&mut wrapper, 1), "", "the end");
}

/// What a forgotten one would not do: the other end sees the descriptor
/// closed.
#[test]
fn a_wrapper_writes_in_order_and_closes_when_it_is_dropped() {
    let (mut output, input) = pipe();
    let mut wrapper = FileWrapper::new(&input).unwrap();
    drop(input);
    assert_eq!(wrapper.send_vectored(&[IoSlice::new(b"one")]).unwrap(), 3);
    let pieces = [IoSlice::new(b", two"), IoSlice::new(b", three")];
    assert_eq!(wrapper.send_vectored(&pieces).unwrap(), 12);
    let mut written = [0; 15];
    output.read_exact(&mut written).unwrap();
    assert_eq!(&written, b"one, two, three");

    let mut end = FileWrapper::new(&output).unwrap();
    let open = end.recv(&mut [0]).unwrap_err();
    assert_eq!(open.kind(), ErrorKind::WouldBlock);
    drop(wrapper);
    assert_eq!(recv(&mut end, 1), "", "the end");
}

#[test]
fn a_dispatcher_reads_a_pipe_in_the_loop() {
    let (output, mut input) = pipe();
    let log = Log::default();
    let channel: FileDispatcher<Witness> = Dispatcher::file(&output, Witness::new(&log)).unwrap();
    drop(output);
    assert!(channel.endpoint.connected());
    let mut map = ChannelMap::new().unwrap();
    map.insert(channel).unwrap();
    input.write_all(b"through the loop").unwrap();
    turn_until(&mut map, |_| log.count("read") > 0);
    drop(input);
    turn_until(&mut map, |map| map.is_empty());
    let expected = ["read through the loop", "eof", "close Eof"];
    assert_eq!(log.after_connect(), expected);
}

/// The original lets `poll(2)` say that it is always ready; epoll does not take
/// it at all.
#[test]
fn a_file_on_a_disk_is_refused_and_sent_by_a_producer() {
    let refused = Dispatcher::file(File::open(FILE).unwrap(), Witness::new(&Log::default()));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);

    for family in Family::all() {
        let (ours, mut theirs) = family.pair();
        let mut map = ChannelMap::new().unwrap();
        let mut channel = AsyncChat::new(ours, "\n", Collector::default());
        let producer = ReadProducer::new(File::open(FILE).unwrap());
        channel.chat.push_with_producer(producer);
        channel.chat.close_when_done();
        map.insert(channel).unwrap();
        let received = read_to_end(&mut map, &mut theirs);
        assert_eq!(received, include_bytes!("files.rs"), "{family:?}");
    }
}
