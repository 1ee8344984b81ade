//! Two ends of TLS over a pipe in memory, whatever pieces it passes.

use std::io::{ErrorKind, IoSlice};
use std::rc::Rc;

use chat::Transport;
use tls::Tls;
use tls::rustls::{ClientConnection, ServerConnection};

use crate::certificates;
use crate::pipe::Pipe;

fn pair(piece: usize, room: usize) -> (Tls, Tls) {
    over(Pipe::pair(piece, room))
}

fn over((ours, theirs): (Pipe, Pipe)) -> (Tls, Tls) {
    let server = ServerConnection::new(certificates::server()).unwrap();
    let name = "localhost".try_into().unwrap();
    let client = ClientConnection::new(certificates::client(), name).unwrap();
    (
        Tls::new(Box::new(ours), server),
        Tls::new(Box::new(theirs), client),
    )
}

/// Sends all of `data` from one side and receives it at the other, then the end.
fn pass(from: &mut Tls, to: &mut Tls, data: &[u8], buffer: usize) -> Vec<u8> {
    let mut buffer = vec![0; buffer];
    let (mut received, mut sent) = (Vec::new(), 0);
    let mut is_shut = false;
    for _ in 0..1_000_000 {
        match from.send_vectored(&[IoSlice::new(&data[sent..])]) {
            Ok(len) => sent += len,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        if sent == data.len() && from.queued() == 0 && !is_shut {
            from.shutdown().unwrap();
            is_shut = true;
        }
        match to.recv(&mut buffer) {
            Ok(0) => return received,
            Ok(len) => received.extend_from_slice(&buffer[..len]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        match from.recv(&mut [0; 10]) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            Ok(len) => panic!("{len} bytes from nowhere"),
        }
    }
    panic!("no end: {sent} sent, {} received", received.len());
}

#[test]
fn data_passes_whatever_the_pieces_and_the_buffers() {
    let data: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    for piece in [1, 100, 5_000, usize::MAX] {
        for buffer in [1, 1_000, 40_000, 65_536, 262_144] {
            if piece.min(buffer) == 1 && piece.max(buffer) > 5_000 && piece < usize::MAX {
                continue; // long, and nothing new
            }
            let len = if piece.min(buffer) < 1_000 {
                20_000
            } else {
                data.len()
            };
            let (mut server, mut client) = pair(piece, 100_000);
            let received = pass(&mut server, &mut client, &data[..len], buffer);
            assert!(
                received == data[..len],
                "pieces of {piece}, buffer of {buffer}"
            );
            assert_eq!(server.version(), client.version());
        }
    }
}

#[test]
fn an_end_without_a_word_is_an_error_unless_that_is_allowed() {
    for is_lenient in [false, true] {
        let pipes = Pipe::pair(usize::MAX, 1_000_000);
        let flow = Rc::clone(&pipes.0.outbound);
        let (mut server, mut client) = over(pipes);
        client.set_lenient(is_lenient);
        let mut buffer = [0; 100];
        while client.is_handshaking() || server.is_handshaking() {
            for side in [&mut client, &mut server] {
                let _ = side.finish_connect();
            }
        }
        assert_eq!(server.send_vectored(&[IoSlice::new(b"hello")]).unwrap(), 5);
        flow.borrow_mut().is_shut = true;
        assert_eq!(client.recv(&mut buffer).unwrap(), 5);
        let end = client.recv(&mut buffer);
        match is_lenient {
            true => assert_eq!(end.unwrap(), 0),
            false => assert_eq!(end.unwrap_err().kind(), ErrorKind::UnexpectedEof),
        }
    }
}
