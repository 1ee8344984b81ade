//! What the tests of the mail server share: sessions and answers.

use std::net::SocketAddr;

use crate::common::Client;

/// A session that has got its greeting.
pub(crate) fn connect(addr: SocketAddr) -> Client {
    let mut client = Client::connect(addr);
    assert_eq!(status(&mut client), 220);
    client
}

/// The status of the next answer, of however many lines.
pub(crate) fn status(client: &mut Client) -> u16 {
    loop {
        let line = String::from_utf8(client.line()).expect("answers are ASCII");
        assert!(line.ends_with("\r\n") && line.len() <= 512, "{line:?}");
        let (status, text) = line.split_at(3);
        if text.starts_with('-') {
            continue;
        }
        assert!(text.starts_with(' '), "{line:?}");
        return status.parse().expect("a status is a number");
    }
}

pub(crate) fn statuses(client: &mut Client, count: usize) -> Vec<u16> {
    (0..count).map(|_| status(client)).collect()
}
