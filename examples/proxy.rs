//! Forwards TCP connections, both ways.
//!
//!     cargo run --release --example proxy -- [--listen ADDR] [--refresh SECONDS]
//!         --to ADDR[,ADDR...]
//!
//! Each connection goes to the first address that takes it within 5 s, of all that the
//! names have. Names are resolved at the start. A connection that comes a minute later
//! (`--refresh`) has them resolved again, on a thread: nobody waits for that. It goes where
//! the last answer says.
//!
//! Raw dispatchers only. Each connection is two halves, one a socket; a half reads from
//! its socket and pushes to the other's. Once the other has more than its high-water mark
//! to send, nothing more is read until that is sent: a stalled reader stops its own writer
//! only.

use std::io;
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::time::{Duration, Instant};

use chat::{
    Address, ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint, Handle, Limits,
    Result, Stream,
};
use examples::{Opt, on_thread};

/// An address that takes no connection in this time is passed over.
const CONNECT_TIME: Duration = Duration::from_secs(5);

struct Proxy {
    /// Where connections go: as given, for the log.
    name: Rc<str>,
    /// The first that takes one.
    targets: Rc<[SocketAddr]>,
    /// When the names were resolved last; `None` while they are resolved.
    resolved: Option<Instant>,
    refresh: Duration,
    limits: Rc<Limits>,
}

impl Proxy {
    /// Has the names resolved again, if the last time was long ago.
    fn resolve_again(&mut self, me: Handle<Dispatcher<Self>>, map: &ChannelMap) {
        let is_old = |at| map.now().saturating_duration_since(at) >= self.refresh;
        if !self.resolved.is_some_and(is_old) {
            return;
        }
        self.resolved = None;
        let names = self.name.to_string();
        let then = move |answer, map: &mut ChannelMap| {
            let now = map.now();
            if let Ok(proxy) = map.get_mut(me) {
                proxy.handler.has_resolved(answer, now);
            }
        };
        if let Err(error) = on_thread(map, move || resolve(&names), then) {
            self.has_resolved(Err(error), map.now());
        }
    }

    fn has_resolved(&mut self, answer: io::Result<Vec<SocketAddr>>, now: Instant) {
        self.resolved = Some(now);
        match answer {
            Ok(targets) => self.targets = targets.into(),
            Err(error) => log::warn!("cannot resolve {} again: {error}", self.name),
        }
    }
}

impl DispatcherHandler for Proxy {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        addr: Address,
        proxy: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        self.resolve_again(proxy.token().handle(), map);
        let client = map.insert(Dispatcher::new(stream, Half::client(addr)))?;
        let half = Half::target(&self.name, client);
        let target = Dispatcher::connect(&self.targets[..], half);
        match map.insert(target.limited(Rc::clone(&self.limits))) {
            Ok(target) => map.get_mut(client)?.handler.other = Some(target),
            Err(error) => {
                map.close(client);
                return Err(error.into());
            }
        }
        Ok(())
    }
}

/// One of the two sockets of a connection.
struct Half {
    /// Whose socket, for the log.
    name: Rc<str>,
    is_target: bool,
    other: Option<Handle<Dispatcher<Half>>>,
    /// The other cannot take what would be read.
    is_stalled: bool,
    /// The peer has said its last word.
    is_eof: bool,
}

impl Half {
    /// Nothing is read before the target is connected.
    fn client(addr: Address) -> Self {
        Self {
            name: addr.to_string().into(),
            is_target: false,
            other: None,
            is_stalled: true,
            is_eof: false,
        }
    }

    /// The half of a target knows its client from the start.
    fn target(name: &Rc<str>, client: Handle<Dispatcher<Half>>) -> Self {
        Self {
            name: Rc::clone(name),
            is_target: true,
            other: Some(client),
            is_stalled: true,
            is_eof: false,
        }
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
        if self.is_target {
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

    fn handle_close(&mut self, reason: CloseReason, endpoint: &mut Endpoint, map: &mut ChannelMap) {
        log::debug!("{}: {reason}", self.name);
        if endpoint.connecting() {
            log::warn!("cannot connect to {}: {reason}", self.name);
        }
        let was_cut_off = matches!(reason, CloseReason::Io(_)) && endpoint.connected();
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
    let (mut map, stdout, [address, name, refresh]) = examples::start([
        Opt::listen("127.0.0.1:7001"),
        Opt {
            name: "to",
            value: "ADDR[,ADDR...]  where connections go, HOST:PORT each",
            default: None,
        },
        Opt {
            name: "refresh",
            value: "SECONDS  after which the names are resolved again",
            default: Some("60"),
        },
    ])?;
    let refresh = refresh
        .parse()
        .map_err(|_| format!("no seconds: {refresh}"))?;
    let targets = resolve(&name).map_err(|error| format!("cannot forward to {name}: {error}"))?;
    let mut limits = Limits::default();
    limits.connect = CONNECT_TIME;
    let proxy = Proxy {
        name: name.into(),
        targets: targets.into(),
        resolved: Some(map.now()),
        refresh: Duration::from_secs(refresh),
        limits: Rc::new(limits),
    };
    examples::listen(&address, proxy, stdout, &mut map)?;
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
