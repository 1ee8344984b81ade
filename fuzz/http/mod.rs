//! The web server's whole handler, over a simulated line: whatever is sent, it answers
//! with well-formed HTTP, the same however that was cut.

mod answer;
#[path = "../../examples/http/body.rs"]
mod body;
#[path = "../../examples/http/conditional.rs"]
mod conditional;
#[path = "../../examples/http/dates.rs"]
mod dates;
mod exchange;
#[path = "../../examples/http/fields.rs"]
mod fields;
#[path = "../../examples/http/files.rs"]
mod files;
#[path = "../../examples/http/handler.rs"]
mod handler;
mod input;
#[path = "../../examples/http/listing.rs"]
mod listing;
#[path = "../../examples/http/ranges.rs"]
mod ranges;
#[path = "../../examples/http/request.rs"]
mod request;
#[path = "../../examples/http/response.rs"]
mod response;
#[path = "../../examples/http/site.rs"]
mod site;

use std::rc::Rc;

use chat::{Address, AsyncChat, ChannelMap};

use super::sim;
use handler::{HEAD_END, HttpRequestHandler};
use input::Input;
use site::Site;

/// One answer, the longest of which sends a body back; what is queued before no more
/// is read; and one read.
const MOST_KEPT: usize = body::MAX_BODY + 1_024 + 2 * 65_536;

/// Panics if the server does not do with these bytes what it should.
pub(crate) fn check(data: &[u8]) {
    let input = Input::read(data);
    let sent = serve([&input.stream[..]], usize::MAX);
    exchange::check(&input.stream, &sent);
    let cut = without_dates(&serve(input.pieces(), input.room));
    let sent = without_dates(&sent);
    assert!(
        cut == sent,
        "cut: {}\nin one: {}",
        cut.escape_ascii(),
        sent.escape_ascii()
    );
}

/// Returns all that the server sends to a client that says `pieces`, takes `room`
/// bytes a turn, and ends.
fn serve<'d>(pieces: impl IntoIterator<Item = &'d [u8]>, room: usize) -> Vec<u8> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/site");
    let site = Site::new(root, true).expect("it is beside this file");
    let handler = HttpRequestHandler::new(Address::Other, Rc::new(site));

    let mut map = ChannelMap::new().expect("a map can be made");
    let (line, peer) = sim::line();
    let channel = AsyncChat::over(line, HEAD_END, handler).limited(handler::limits());
    let me = map.insert(channel).expect("there is nothing to register");
    let turn = |map: &mut ChannelMap| {
        peer.set_room(room);
        sim::step(map, me, &peer);
        if let Ok(channel) = map.get_mut(me) {
            let kept = channel.chat.queued() + channel.chat.undelivered();
            assert!(kept <= MOST_KEPT, "{kept} bytes");
        }
    };
    for piece in pieces {
        peer.say(piece);
        turn(&mut map);
    }
    peer.say_eof();
    for _ in 0..1_000_000 {
        if map.is_empty() {
            return peer.take_sent();
        }
        turn(&mut map);
    }
    panic!("it never ended: {map:?}");
}

fn without_dates(sent: &[u8]) -> Vec<u8> {
    let lines = sent.split_inclusive(|&byte| byte == b'\n');
    let lines = lines.filter(|line| !line.starts_with(b"Date: "));
    lines.collect::<Vec<_>>().concat()
}
