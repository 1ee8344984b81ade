//! Backpressure: a channel whose answers outrun its peer is held until they have drained.

mod answers;
mod ends;
mod others;

use chat::{AsyncChat, ChannelMap, Chat, Handle};

use crate::common::sim::{self, Peer};
use crate::common::{Log, Probe};

/// The default of `Limits::high_water`.
const HIGH: usize = 65_536;

/// And of `Limits::low_water`.
const LOW: usize = 16_384;

/// A channel over the simulated line that answers each message with `len` bytes.
fn answering(len: usize, map: &mut ChannelMap, log: &Log) -> (Handle<AsyncChat<Probe>>, Peer) {
    let probe = Probe::new(log).on_message(move |_, chat, _| {
        chat.push(vec![b'a'; len]);
        Ok(())
    });
    let (line, peer) = sim::line();
    let me = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    sim::settle(map, me, &peer);
    log.take();
    (me, peer)
}

fn chat(map: &mut ChannelMap, me: Handle<AsyncChat<Probe>>) -> &mut Chat {
    &mut map.get_mut(me).unwrap().chat
}

/// A channel over the simulated line that does `what` with the map at each message.
fn other(
    map: &mut ChannelMap,
    what: impl Fn(&mut ChannelMap) + 'static,
) -> (Handle<AsyncChat<Probe>>, Peer) {
    let probe = Probe::default().on_message(move |_, _, map| {
        what(map);
        Ok(())
    });
    let (line, peer) = sim::line();
    let it = map.insert(AsyncChat::over(line, "\n", probe)).unwrap();
    sim::settle(map, it, &peer);
    (it, peer)
}
