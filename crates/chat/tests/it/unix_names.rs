//! The names of Unix sockets: which there are, and what becomes of a path.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use chat::{
    Address, AsyncChat, ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint, Result,
    Socket, Stream, UnixBind, UnixName,
};
use socket2::{Domain, SockAddr, Type};

use crate::common::{Log, Place, Probe, opened, turn_to_rest, turn_until};

/// Says whom it accepts, and answers datagrams.
#[derive(Default)]
struct Server(Log);

impl DispatcherHandler for Server {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        addr: Address,
        _: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        self.0.add(format!("accepted {addr}"));
        map.insert(AsyncChat::new(stream, "\n", Probe::new(&self.0)))?;
        Ok(())
    }

    fn handle_read(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
        let mut buffer = [0; 100];
        let (len, from) = endpoint.recv_from(&mut buffer)?;
        self.0.add(format!("received from {from}"));
        endpoint.send_to(&buffer[..len], &from)?;
        Ok(())
    }

    fn handle_close(&mut self, _: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.0.add("close");
    }
}

type Bind = fn(UnixBind) -> std::io::Result<Dispatcher<Server>>;

/// For connections, and for datagrams.
const BINDS: [Bind; 2] = [
    |bind| opened(Dispatcher::listen_unix(bind, Server::default())),
    |bind| opened(Dispatcher::bind_unix(bind, Server::default())),
];

/// What a server of either kind leaves behind when it crashes.
fn leave_behind(path: &Path) -> [fn(&Path); 2] {
    assert!(!path.exists());
    [
        |path| drop(UnixListener::bind(path).unwrap()),
        |path| drop(UnixDatagram::bind(path).unwrap()),
    ]
}

fn is_reachable(path: &Path) -> bool {
    UnixStream::connect(path).is_ok() || UnixDatagram::unbound().unwrap().connect(path).is_ok()
}

/// A name that no other test has.
#[cfg(target_os = "linux")]
fn abstract_name(what: &str) -> Vec<u8> {
    format!("chat-{what}-{}\0", std::process::id()).into_bytes()
}

#[cfg(target_os = "linux")]
#[test]
fn a_listener_and_its_client_have_abstract_names() {
    let name = abstract_name("listener");
    let shown = format!("unix:@{}", name.escape_ascii());
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let server = opened(Dispatcher::listen_unix(
        UnixName::Abstract(name.clone()),
        Server(log.clone()),
    ))
    .unwrap();
    assert_eq!(server.endpoint.addr().unwrap().to_string(), shown);
    map.insert(server).unwrap();

    let client = AsyncChat::connect_unix(UnixName::Abstract(name.clone()), "\n", Probe::default());
    let client = map.insert(client).unwrap();
    turn_until(&mut map, |_| log.has("connect"));
    assert!(log.has("accepted unix:(unnamed)"), "{:?}", log.all());
    let endpoint = map.get(client).unwrap().chat.endpoint();
    assert_eq!(
        endpoint.peer_addr(),
        Some(UnixName::Abstract(name.clone()).into())
    );
    assert_eq!(endpoint.local_addr(), Some(Address::Unix(None)));

    // A client with a name is called by it.
    let own = abstract_name("client");
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let bytes = [b"\0", &own[..]].concat();
    let address = SockAddr::unix(String::from_utf8(bytes).unwrap()).unwrap();
    socket.bind(&address).unwrap();
    let to = map.get(client).unwrap().chat.endpoint().socket().unwrap();
    socket.connect(&to.peer_addr().unwrap()).unwrap();
    let expected = format!("accepted unix:@{}", own.escape_ascii());
    turn_until(&mut map, |_| log.has(&expected));
}

/// Also one to which the system gave its name.
#[cfg(target_os = "linux")]
#[test]
fn a_datagram_from_an_abstract_name_is_answered() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    let name = abstract_name("datagrams");
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let server = opened(Dispatcher::bind_unix(
        UnixName::Abstract(name.clone()),
        Server(log.clone()),
    ))
    .unwrap();
    assert_eq!(
        server.endpoint.local_addr(),
        Some(UnixName::Abstract(name.clone()).into())
    );
    map.insert(server).unwrap();
    let to = SocketAddr::from_abstract_name(&name).unwrap();
    let named = SocketAddr::from_abstract_name(abstract_name("sender")).unwrap();
    let named = UnixDatagram::bind_addr(&named).unwrap();
    let by_the_system = UnixDatagram::bind("").unwrap();
    for socket in [named, by_the_system] {
        let own = socket.local_addr().unwrap();
        let own = own.as_abstract_name().unwrap().escape_ascii();
        socket.send_to_addr(b"hello", &to).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 10];
        turn_until(&mut map, |_| socket.recv(&mut buffer).is_ok());
        assert_eq!(&buffer[..5], b"hello");
        assert!(log.has(&format!("received from unix:@{own}")));
    }
}

/// The name in an address is the one that is connected to, bound and answered.
#[test]
fn the_name_in_an_address_is_all_that_others_need() {
    let place = Place::new("address");
    let paths = ["listener", "datagrams"].map(|name| UnixName::from(place.0.join(name)));
    assert_eq!(paths[0], place.0.join("listener").into());
    #[cfg(target_os = "linux")]
    let abstracts =
        ["in-address", "of-datagrams"].map(|name| UnixName::Abstract(abstract_name(name)));
    #[cfg(not(target_os = "linux"))]
    let abstracts = paths.clone();
    for names in [paths, abstracts] {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let [listener, datagrams] = names;
        let server = opened(Dispatcher::listen_unix(
            listener.clone(),
            Server(log.clone()),
        ))
        .unwrap();
        let Some(Address::Unix(Some(name))) = server.endpoint.local_addr() else {
            panic!("{server:?}");
        };
        assert_eq!(name, listener);
        assert_eq!(format!("unix:{name}"), Address::from(listener).to_string());
        map.insert(server).unwrap();
        let taken = opened(Dispatcher::listen_unix(name.clone(), Server::default())).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        let client = AsyncChat::connect_unix(name, "\n", Probe::default());
        map.insert(client).unwrap();
        turn_until(&mut map, |_| log.has("accepted unix:(unnamed)"));

        let receiver = Dispatcher::bind_unix(datagrams.clone(), Server(log.clone()));
        map.insert(receiver).unwrap();
        let unbound = UnixDatagram::unbound().unwrap();
        let mut sender = Dispatcher::new(unbound, Server::default());
        let sent = sender.endpoint.send_to(b"hello", &datagrams.into());
        assert_eq!(sent.unwrap(), 5);
        turn_until(&mut map, |_| log.has("received from unix:(unnamed)"));
    }
}

/// `bind(2)` of no name takes any, and a zero byte in front makes an abstract one: not by
/// mistake.
#[test]
fn a_name_that_is_none_is_refused() {
    let too_long = "x".repeat(200);
    for path in ["", "\0", "\0abstract", "a\0b", "a\0", &too_long] {
        let refused = [
            opened(Dispatcher::listen_unix(path, Server::default())).unwrap_err(),
            opened(Dispatcher::bind_unix(path, Server::default())).unwrap_err(),
            opened(Dispatcher::connect_unix(path, Server::default())).unwrap_err(),
            opened(AsyncChat::connect_unix(path, "\n", Probe::default())).unwrap_err(),
        ];
        for error in refused {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path:?}");
        }
    }
    #[cfg(target_os = "linux")]
    for name in [&b""[..], &[b'x'; 200]] {
        let refused = Dispatcher::listen_unix(UnixName::Abstract(name.to_vec()), Server::default());
        assert_eq!(opened(refused).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn a_path_that_a_dead_socket_left_is_replaced_if_that_is_asked_for() {
    let place = Place::new("stale");
    let path = place.0.join("socket");
    for bind in BINDS {
        for leave in leave_behind(&path) {
            leave(&path);
            assert!(!is_reachable(&path));
            let kept = bind(UnixBind::path(&path)).unwrap_err();
            assert_eq!(kept.kind(), ErrorKind::AddrInUse);
            let server = bind(UnixBind::path(&path).replacing_dead()).unwrap();
            assert!(is_reachable(&path));
            let address = Address::Unix(Some(path.clone().into()));
            assert_eq!(server.endpoint.local_addr(), Some(address));
            drop(server);
            let left: Vec<_> = fs::read_dir(&place.0).unwrap().collect();
            assert_eq!(left.len(), 1, "nothing but the path: {left:?}");
            fs::remove_file(&path).unwrap();
        }
    }
    // There is nothing to replace, mostly.
    for bind in BINDS {
        drop(bind(UnixBind::path(&path).replacing_dead().removed_on_close()).unwrap());
    }
}

#[test]
fn what_is_in_use_or_no_socket_is_never_replaced() {
    let place = Place::new("kept");
    let at = |name: &str| place.0.join(name);
    fs::write(at("file"), "precious").unwrap();
    fs::create_dir(at("dir")).unwrap();
    drop(UnixListener::bind(at("dead")).unwrap());
    symlink(at("dead"), at("link")).unwrap();
    let listener = UnixListener::bind(at("listener")).unwrap();
    let _datagrams = UnixDatagram::bind(at("datagrams")).unwrap();
    let bound = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    bound.bind(&SockAddr::unix(at("bound")).unwrap()).unwrap();
    let busy = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    busy.bind(&SockAddr::unix(at("busy")).unwrap()).unwrap();
    busy.listen(0).unwrap();
    let _first = UnixStream::connect(at("busy")).unwrap(); // and the queue is full
    let names = [
        "file",
        "dir",
        "link",
        "listener",
        "datagrams",
        "bound",
        "busy",
    ];
    for name in names {
        let before = fs::symlink_metadata(at(name)).unwrap().ino();
        for bind in BINDS {
            let refused =
                bind(UnixBind::path(at(name)).replacing_dead().removed_on_close()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::AddrInUse, "{name}");
        }
        let after = fs::symlink_metadata(at(name)).unwrap().ino();
        assert_eq!(before, after, "{name}");
    }
    assert_eq!(fs::read_to_string(at("file")).unwrap(), "precious");
    listener.set_nonblocking(true).unwrap();
    let knocked = listener.accept().unwrap_err();
    assert_eq!(knocked.kind(), ErrorKind::WouldBlock, "nobody has knocked");
    bound.listen(1).unwrap();
    assert!(is_reachable(&at("bound")));
}

/// Both find the dead socket; then one is there already.
#[test]
fn of_two_servers_that_start_at_once_one_has_the_path() {
    let place = Place::new("race");
    let path = place.0.join("socket");
    for _ in 0..200 {
        drop(UnixListener::bind(&path).unwrap());
        // The file system's clock ticks slowly, and a crash is not a moment ago.
        let tick = |path: &Path| fs::symlink_metadata(path).unwrap().modified().unwrap();
        let probe = place.0.join("probe");
        while fs::write(&probe, "").is_ok() && tick(&probe) == tick(&path) {}
        let start = Barrier::new(2);
        let bind = || {
            start.wait();
            // A socket of the standard library can be handed to another thread.
            let server = BINDS[0](UnixBind::path(&path).replacing_dead()).ok()?;
            let socket = server.endpoint.socket().unwrap().try_clone().unwrap();
            Some(socket)
        };
        let servers: Vec<Socket> = thread::scope(|scope| {
            let threads = [scope.spawn(bind), scope.spawn(bind)];
            threads
                .into_iter()
                .filter_map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(servers.len(), 1);
        let _client = UnixStream::connect(&path).unwrap();
        assert!(servers[0].accept().is_ok());
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_path_is_removed_with_its_channel_if_that_is_asked_for() {
    let place = Place::new("removed");
    let path = place.0.join("socket");
    for bind in BINDS {
        let mut map = ChannelMap::new().unwrap();
        let server = map.insert(bind(UnixBind::path(&path).removed_on_close()).unwrap());
        turn_to_rest(&mut map);
        assert!(path.exists());
        map.close(server.unwrap());
        turn_to_rest(&mut map);
        assert!(!path.exists());

        drop(bind(UnixBind::path(&path).removed_on_close()).unwrap());
        assert!(!path.exists());
        drop(bind(UnixBind::path(&path)).unwrap());
        assert!(path.exists(), "nobody has asked for it");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_successors_path_is_not_removed() {
    let place = Place::new("successor");
    let path = place.0.join("socket");
    for bind in BINDS {
        let first = bind(UnixBind::path(&path).removed_on_close()).unwrap();
        fs::remove_file(&path).unwrap();
        let second = bind(UnixBind::path(&path).removed_on_close()).unwrap();
        drop(first);
        assert!(is_reachable(&path));

        fs::remove_file(&path).unwrap();
        write!(fs::File::create(&path).unwrap(), "precious").unwrap();
        drop(second);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
    }
}

/// A conversion takes the path along.
#[test]
fn another_handler_keeps_the_path() {
    let place = Place::new("converted");
    let path = place.0.join("socket");
    for bind in BINDS {
        let first = bind(UnixBind::path(&path).removed_on_close()).unwrap();
        let second = first.with_handler(|_| Server::default());
        assert!(is_reachable(&path));
        let third = Dispatcher::new(second.endpoint, Server::default());
        assert!(is_reachable(&path));
        drop(third);
        assert!(!path.exists());
    }
}

/// A peer binds to the name it likes, and the name is in many a log.
#[test]
fn a_name_is_shown_on_one_line_without_power_over_a_terminal() {
    for (name, shown) in [
        ("/run/room.sock", "/run/room.sock"),
        ("/run/gr\u{fc}n", "/run/gr\u{fc}n"),
        ("/tmp/a\nroot: b", r"/tmp/a\nroot: b"),
        (
            "/tmp/\u{1b}[2J\u{9b}\u{202e}\u{2028}",
            r"/tmp/\u{1b}[2J\u{9b}\u{202e}\u{2028}",
        ),
    ] {
        assert_eq!(UnixName::from(name).to_string(), shown);
        let address = Address::from(UnixName::from(name));
        assert_eq!(address.to_string(), format!("unix:{shown}"));
    }
}
