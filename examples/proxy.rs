//! Forwards TCP connections, both ways.
//!
//!     cargo run --release --example proxy -- [--listen ADDR] --to ADDR[,ADDR...]
//!
//! Each connection goes to the first address that takes it within 5 s, of all that the
//! names have; names are resolved once, at the start.
//!
//! Raw dispatchers only. Each connection is two halves, one a socket; a half reads from
//! its socket and pushes to the other's. Once the other has more than its high-water mark
//! to send, nothing more is read until that is sent: a stalled reader stops its own writer
//! only.

use std::io;
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::time::Duration;

use chat::{
    Address, ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint, Handle, Result,
    Stream, Timer,
};
use examples::Opt;

/// An address that takes no connection in this time is passed over. The system would wait
/// for two minutes.
const CONNECT_TIME: Duration = Duration::from_secs(5);

struct Proxy {
    target: Target,
}

/// Where a connection goes.
#[derive(Clone)]
struct Target {
    /// As given, for the log.
    name: Rc<str>,
    addrs: Rc<[SocketAddr]>,
    /// Of `addrs`, those that were tried.
    tried: usize,
}

impl Target {
    /// Begins to connect to the next address, for a client. Of an error that comes at
    /// once it goes on to the one after.
    fn dial(mut self, client: Handle<Dispatcher<Half>>, map: &mut ChannelMap) -> io::Result<()> {
        let mut last = io::ErrorKind::AddrNotAvailable.into();
        while let Some(addr) = self.addrs.get(self.tried).copied() {
            self.tried += 1;
            let half = Half::new(addr.to_string(), Some((client, self.clone())));
            match map.insert(Dispatcher::connect(addr, half)) {
                Ok(target) => {
                    map.set_timer(target.token(), map.now() + CONNECT_TIME);
                    if let Ok(client) = map.get_mut(client) {
                        client.handler.other = Some(target);
                    }
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl DispatcherHandler for Proxy {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        addr: Address,
        _proxy: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        let client = map.insert(Dispatcher::new(stream, Half::new(addr.to_string(), None)))?;
        if let Err(error) = self.target.clone().dial(client, map) {
            map.close(client);
            return Err(error.into());
        }
        Ok(())
    }
}

/// One of the two sockets of a connection.
struct Half {
    /// Whose socket, for the log.
    name: String,
    /// Of the half of a target: what else there is.
    target: Option<Target>,
    other: Option<Handle<Dispatcher<Half>>>,
    /// The other cannot take what would be read.
    is_stalled: bool,
    /// The peer has said its last word.
    is_eof: bool,
}

impl Half {
    /// The half of a target knows its client from the start. Nothing is read
    /// before the target is connected.
    fn new(name: String, client: Option<(Handle<Dispatcher<Half>>, Target)>) -> Self {
        let (other, target) = client.unzip();
        Self {
            name,
            target,
            other,
            is_stalled: true,
            is_eof: false,
        }
    }

    /// Whether there is another address for the client.
    fn dial_next(&mut self, reason: &CloseReason, map: &mut ChannelMap) -> bool {
        let (Some(target), Some(client)) = (self.target.take(), self.other) else {
            return false;
        };
        if !map.is_open(client) {
            return false;
        }
        let name = Rc::clone(&target.name);
        let is_last = target.tried == target.addrs.len();
        match target.dial(client, map) {
            Ok(()) => return true,
            Err(_) if is_last => log::warn!("cannot connect to {name}: {reason}"),
            Err(error) => log::warn!("cannot connect to {name}: {error}"),
        }
        false
    }

    /// Does something with the other half, unless that is gone.
    fn with_other<R>(
        &self,
        map: &mut ChannelMap,
        f: impl FnOnce(&mut Self, &mut Endpoint) -> R,
    ) -> Option<R> {
        let done = map.with(self.other?, |other, _| {
            f(&mut other.handler, &mut other.endpoint)
        });
        done.ok()
    }
}

impl DispatcherHandler for Half {
    fn readable(&self, _endpoint: &Endpoint) -> bool {
        !self.is_stalled && !self.is_eof
    }

    fn handle_connect(&mut self, _endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        if self.target.is_some() {
            self.is_stalled = false;
            self.with_other(map, |client, _| client.is_stalled = false);
        }
        Ok(())
    }

    fn handle_read(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        let mut buffer = map.buffers().read_buffer();
        let len = endpoint.recv(&mut buffer)?;
        let is_full = self.with_other(map, |_, wire| {
            wire.push(&buffer[..len]);
            wire.needs_drain()
        });
        self.is_stalled = is_full == Some(true);
        Ok(())
    }

    fn handle_drained(&mut self, _endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        self.with_other(map, |other, _| other.is_stalled = false);
        Ok(())
    }

    /// The other's peer hears the end, too. After both ends nothing is left but to send.
    fn handle_eof(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        self.is_eof = true;
        let was_last = self.with_other(map, |other, wire| {
            match other.is_eof {
                true => wire.close_when_done(),
                // It fails if the peer is gone, which reading will tell.
                false => drop(wire.shutdown(Shutdown::Write)),
            }
            other.is_eof
        });
        if was_last != Some(false) {
            endpoint.close_when_done();
        }
        Ok(())
    }

    /// The time to connect is over.
    fn handle_timer(&mut self, _: Timer, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        if endpoint.connecting() {
            endpoint.close_with(CloseReason::TimedOut);
        }
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, endpoint: &mut Endpoint, map: &mut ChannelMap) {
        log::debug!("{}: {reason}", self.name);
        let was_cut_off = matches!(reason, CloseReason::Io(_)) && endpoint.connected();
        let was_tried = matches!(reason, CloseReason::Io(_) | CloseReason::TimedOut);
        if was_tried && endpoint.connecting() && self.dial_next(&reason, map) {
            return;
        }
        self.with_other(map, |_, wire| {
            if was_cut_off {
                // It must not look complete to the other: a reset (SO_LINGER of
                // 0, socket(7)) is passed on as one.
                if let Some(socket) = wire.socket() {
                    let _ = socket.set_linger(Some(Duration::ZERO));
                }
                wire.close();
            } else {
                wire.close_when_done();
            }
        });
    }
}

fn main() -> Result {
    let (mut map, stdout, [address, name]) = examples::start([
        Opt::listen("127.0.0.1:7001"),
        Opt {
            name: "to",
            value: "ADDR[,ADDR...]  where connections go, HOST:PORT each",
            default: None,
        },
    ])?;
    let targets = resolve(&name).map_err(|error| format!("cannot forward to {name}: {error}"))?;
    let target = Target {
        name: name.into(),
        addrs: targets.into(),
        tried: 0,
    };
    examples::listen(&address, Proxy { target }, stdout, &mut map)?;
    map.run()
}

/// All addresses of all names, in this order.
fn resolve(names: &str) -> io::Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for name in names.split(',') {
        addresses.extend(name.to_socket_addrs()?);
    }
    Ok(addresses)
}
