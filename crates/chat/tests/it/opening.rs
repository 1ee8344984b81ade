//! Sockets are opened when their channel enters a map: by insertion, by a conversion, or in
//! another one's place.

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::mem;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use chat::{
    Address, AsyncChat, ChannelMap, CloseReason, Dispatcher, DispatcherHandler, Endpoint, InetName,
    Registration, Result, Socket, Stream, Timer, TimerChannel, Token, Transport,
};
use socket2::{Domain, Type};

use crate::common::alone::{can_trace, is_alone};
use crate::common::{Log, Place, Probe, name, turn_to_rest, turn_until, unix_pair};

/// Takes whatever comes.
struct Server(Log);

impl DispatcherHandler for Server {
    fn handle_accepted(
        &mut self,
        _: Stream,
        _: Address,
        _: &mut Endpoint,
        _: &mut ChannelMap,
    ) -> Result {
        self.0.add("accepted");
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.0.add(format!("close {}", name(&reason)));
    }
}

fn server() -> Server {
    Server(Log::default())
}

/// A dispatcher that is to be bound somewhere, what has that place, and its path.
struct Taken {
    channel: Dispatcher<Server>,
    holder: Box<dyn std::any::Any>,
    path: PathBuf,
}

fn taken(place: &Place) -> [Taken; 4] {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let [unix, datagrams] = ["listener", "datagrams"].map(|name| place.0.join(name));
    let no_path = || place.0.join("none");
    [
        Taken {
            channel: Dispatcher::listen(tcp.local_addr().unwrap(), server()),
            holder: Box::new(tcp),
            path: no_path(),
        },
        Taken {
            channel: Dispatcher::bind(udp.local_addr().unwrap(), server()),
            holder: Box::new(udp),
            path: no_path(),
        },
        Taken {
            channel: Dispatcher::listen_unix(&unix, server()),
            holder: Box::new(UnixListener::bind(&unix).unwrap()),
            path: unix,
        },
        Taken {
            channel: Dispatcher::bind_unix(&datagrams, server()),
            holder: Box::new(UnixDatagram::bind(&datagrams).unwrap()),
            path: datagrams,
        },
    ]
}

#[test]
fn nothing_is_opened_before_the_channel_is_in_a_map() {
    let place = Place::new("unopened");
    for Taken { channel, .. } in taken(&place) {
        assert!(channel.endpoint.socket().is_none());
        assert_eq!(channel.endpoint.addr(), None);
    }
    let nobody = AsyncChat::connect("127.0.0.1:1", "\n", Probe::default());
    assert!(nobody.chat.endpoint().connecting());
    assert!(nobody.chat.endpoint().socket().is_none());
}

/// `EADDRINUSE` is no reason to make the channel anew.
#[test]
fn a_channel_whose_place_is_taken_is_handed_back_and_opens_when_that_is_free() {
    let place = Place::new("taken");
    for taken in taken(&place) {
        let mut map = ChannelMap::new().unwrap();
        let refused = map.try_insert(taken.channel).unwrap_err();
        assert_eq!(refused.error.kind(), ErrorKind::AddrInUse, "{refused:?}");
        assert!(map.is_empty());
        drop(taken.holder);
        let _ = std::fs::remove_file(taken.path); // of those that have one
        let me = map.insert(refused.channel).unwrap();
        let endpoint = &map.get(me).unwrap().endpoint;
        assert!(endpoint.local_addr().is_some());
        assert_eq!(endpoint.token(), me.token(), "known from the start");
    }
}

#[test]
fn a_name_that_is_none_fails_the_insertion() {
    let names: [(InetName, ErrorKind); 4] = [
        ("nowhere".into(), ErrorKind::InvalidInput),
        ("127.0.0.1".into(), ErrorKind::InvalidInput),
        ("127.0.0.1:65536".into(), ErrorKind::InvalidInput),
        (Vec::new().into(), ErrorKind::InvalidInput),
    ];
    for (name, expected) in names {
        let mut map = ChannelMap::new().unwrap();
        let refused = [
            map.insert(Dispatcher::listen(name.clone(), server())).err(),
            map.insert(Dispatcher::bind(name.clone(), server())).err(),
            map.insert(Dispatcher::connect(name.clone(), server()))
                .err(),
            map.insert(AsyncChat::connect(name.clone(), "\n", ())).err(),
        ];
        for error in refused {
            assert_eq!(error.map(|error| error.kind()), Some(expected), "{name}");
        }
    }
}

#[test]
fn whatever_has_addresses_is_a_name() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let port = address.port();
    let text = address.to_string();
    let several: &[_] = &[address, address];
    let names: [InetName; 8] = [
        address.into(),
        text.as_str().into(),
        (&text).into(),
        text.clone().into(),
        ("127.0.0.1", port).into(),
        (address.ip(), port).into(),
        several.into(),
        format!("localhost:{port}").into(),
    ];
    for name in names {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        map.insert(AsyncChat::connect(name, "\n", Probe::new(&log)))
            .unwrap();
        turn_until(&mut map, |_| log.has("connect"));
    }
}

#[test]
fn a_channel_that_is_closed_before_it_is_inserted_is_never_opened() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let taken = listener.local_addr().unwrap();
    let mut channel = Dispatcher::listen(taken, Server(log.clone()));
    channel.endpoint.close();
    map.insert(channel).unwrap();
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["close Requested"]);
}

/// A descriptor that is no socket.
#[test]
fn a_socket_that_is_none_fails_the_insertion_again_and_again() {
    let file = std::fs::File::open("/dev/null").unwrap();
    let none = Socket::from(std::os::fd::OwnedFd::from(file));
    let mut map = ChannelMap::new().unwrap();
    let refused = map.try_insert(Dispatcher::new(none, server())).unwrap_err();
    let first = refused.error.raw_os_error();
    assert!(first.is_some());
    assert_eq!(refused.channel.endpoint.token(), Token::NONE);
    let again = refused.channel.with_handler(|_| server());
    let refused = map.try_insert(again).unwrap_err();
    assert_eq!(refused.error.raw_os_error(), first);
}

#[test]
fn a_channel_that_the_program_closed_before_it_is_inserted_hears_its_reason() {
    let (ours, _theirs) = unix_pair();
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let mut channel = Dispatcher::new(ours, Server(log.clone()));
    let reason = CloseReason::Io(ErrorKind::NotFound.into());
    channel.endpoint.close_with(reason);
    map.insert(channel).unwrap();
    turn_to_rest(&mut map);
    assert_eq!(log.all(), ["close Io(NotFound)"]);
}

/// What a refused channel was asked before holds: it was in no map.
#[test]
fn a_refused_channel_begins_like_a_new_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let channel = AsyncChat::connect("nowhere", "\n", Probe::default());
    let mut channel = map.try_insert(channel).unwrap_err().channel;
    let address = listener.local_addr().unwrap();
    let mut other = AsyncChat::connect(address, "\n", ());
    mem::swap(&mut channel.chat, &mut other.chat);
    map.insert(channel.with_handler(|_| Probe::new(&log)))
        .unwrap();
    turn_until(&mut map, |_| log.len() > 0);
    assert_eq!(log.all(), ["connect"]);
}

#[test]
fn a_conversion_opens_the_new_channels_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    for (to, expected) in [
        (InetName::from(address), "connect"),
        ("nowhere".into(), "close Io(InvalidInput)"),
    ] {
        let log = Log::default();
        let mut map = ChannelMap::new().unwrap();
        let timer = map.insert(TimerChannel::new(|_, _, _| Ok(()))).unwrap();
        let probe = Probe::new(&log);
        map.convert(timer, move |_| AsyncChat::connect(to, "\n", probe))
            .unwrap();
        turn_until(&mut map, |_| log.len() > 0);
        assert_eq!(log.all(), [expected]);
    }
}

/// A client that reconnects in its slot.
#[test]
fn what_takes_an_endpoints_place_is_opened_there() {
    struct Client {
        to: InetName,
        log: Log,
    }

    impl DispatcherHandler for Client {
        fn handle_connect(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
            self.log.add("connect");
            Ok(())
        }

        fn handle_eof(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
            *endpoint = Dispatcher::connect(self.to.clone(), ()).endpoint;
            Ok(())
        }
    }

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = InetName::from(listener.local_addr().unwrap());
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let client = Client {
        to: to.clone(),
        log: log.clone(),
    };
    let me = map.insert(Dispatcher::connect(to, client)).unwrap();
    for times in 1..=3 {
        turn_until(&mut map, |_| log.count("connect") == times);
        drop(listener.accept().unwrap());
    }
    assert!(map.is_open(me));

    // A chat channel by its wire.
    let log = Log::default();
    let (ours, _theirs) = unix_pair();
    let me = map
        .insert(AsyncChat::new(ours, "\n", Probe::new(&log)))
        .unwrap();
    let address = listener.local_addr().unwrap();
    let mut fresh = AsyncChat::connect(address, "\n", Probe::default());
    mem::swap(&mut map.get_mut(me).unwrap().chat, &mut fresh.chat);
    drop(fresh);
    turn_until(&mut map, |map| {
        map.get(me).unwrap().chat.endpoint().connected()
    });
}

/// Between the two, it may be sent to another thread.
#[test]
fn a_stream_is_what_a_listener_hands_over_and_what_a_socket_converts_to() {
    fn is_send(_: &impl Send) {}

    struct Keeper(Rc<RefCell<Vec<Stream>>>);

    impl DispatcherHandler for Keeper {
        fn handle_accepted(
            &mut self,
            stream: Stream,
            _: Address,
            _: &mut Endpoint,
            _: &mut ChannelMap,
        ) -> Result {
            is_send(&stream);
            self.0.borrow_mut().push(stream);
            Ok(())
        }
    }

    let kept = Rc::default();
    let mut map = ChannelMap::new().unwrap();
    let keeper = Keeper(Rc::clone(&kept));
    let me = map
        .insert(Dispatcher::listen("127.0.0.1:0", keeper))
        .unwrap();
    let address = map.get(me).unwrap().endpoint.local_addr().unwrap();
    let address = address.as_inet().unwrap();
    let mut clients = [(); 3].map(|()| std::net::TcpStream::connect(address).unwrap());
    turn_until(&mut map, |_| kept.borrow().len() == 3);
    let mut streams = kept.borrow_mut();

    let socket = streams.pop().unwrap().into_socket().unwrap();
    assert!(socket.nonblocking().unwrap());
    let raw = Dispatcher::new(streams.pop().unwrap(), server());
    assert!(raw.endpoint.connected());
    let option = streams[0].socket().unwrap();
    option.set_keepalive(false).unwrap();
    let log = Log::default();
    let chat = AsyncChat::new(streams.pop().unwrap(), "\n", Probe::new(&log));
    drop(streams);
    map.insert(chat).unwrap();
    clients[0].write_all(b"hello\n").unwrap();
    turn_until(&mut map, |_| log.has("message hello"));
    drop(socket);
    assert_eq!(clients[2].read(&mut [0]).unwrap(), 0);
}

/// A stream of our own listener is known to be one, and not to block.
#[cfg(target_os = "linux")]
#[test]
fn a_channel_of_an_accepted_stream_asks_the_system_nothing() {
    struct Greeter;

    impl DispatcherHandler for Greeter {
        fn handle_accepted(
            &mut self,
            stream: Stream,
            _: Address,
            _: &mut Endpoint,
            map: &mut ChannelMap,
        ) -> Result {
            map.insert(AsyncChat::new(stream, "\n", ()))?;
            Ok(())
        }
    }

    if !can_trace() {
        return;
    }
    let place = Place::new("traced");
    let trace = place.0.join("calls");
    let trace = trace.to_str().unwrap();
    let calls = "trace=accept4,getsockopt,getpeername,ioctl,fcntl,epoll_ctl";
    let strace = ["strace", "-f", "-o", trace, "-e", calls];
    let test = a_channel_of_an_accepted_stream_asks_the_system_nothing;
    if is_alone(test, &strace) {
        let mut map = ChannelMap::new().unwrap();
        let listener = Dispatcher::listen("127.0.0.1:0", Greeter);
        let listener = map.insert(listener).unwrap();
        let to = map.get(listener).unwrap().endpoint.local_addr().unwrap();
        let _client = std::net::TcpStream::connect(to.as_inet().unwrap()).unwrap();
        turn_until(&mut map, |map| map.len() == 2);
        return;
    }
    let calls = std::fs::read_to_string(trace).unwrap();
    let mut calls = calls
        .lines()
        .skip_while(|call| !call.contains("accept4(") || call.contains(" = -1"))
        .skip(1);
    let next = calls.next().unwrap();
    assert!(next.contains("EPOLL_CTL_ADD"), "{next}");
    let rest: Vec<&str> = calls.collect();
    let asks = ["getsockopt(", "getpeername(", "ioctl("];
    let is_asked = |call: &&str| asks.iter().any(|ask| call.contains(ask));
    assert!(!rest.iter().any(is_asked), "{rest:#?}");
}

/// `SOCK_SEQPACKET` listens and connects, and keeps bounds.
#[test]
fn records_are_accepted_too() {
    let place = Place::new("records");
    let path = socket2::SockAddr::unix(place.0.join("socket")).unwrap();
    let listener = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    listener.bind(&path).unwrap();
    listener.listen(1).unwrap();

    struct Accepts(Log);
    impl DispatcherHandler for Accepts {
        fn handle_accepted(
            &mut self,
            stream: Stream,
            _: Address,
            _: &mut Endpoint,
            map: &mut ChannelMap,
        ) -> Result {
            let refused = map.insert(AsyncChat::new(stream, "\n", ())).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
            self.0.add("refused");
            Ok(())
        }
    }

    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    map.insert(Dispatcher::new(listener, Accepts(log.clone())))
        .unwrap();
    let client = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    let endpoint = Endpoint::connect_from(client, path);
    map.insert(Dispatcher::new(endpoint, server())).unwrap();
    turn_until(&mut map, |_| log.has("refused"));
}

/// Before the insertion there is nobody to send a record to.
#[test]
fn each_push_is_a_record_of_a_connection_of_ones_own() {
    struct Client;

    impl DispatcherHandler for Client {
        fn handle_connect(&mut self, endpoint: &mut Endpoint, _: &mut ChannelMap) -> Result {
            assert!(endpoint.push("one") && endpoint.push("two"));
            Ok(())
        }
    }

    let place = Place::new("records_out");
    let path = socket2::SockAddr::unix(place.0.join("socket")).unwrap();
    let listener = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    listener.bind(&path).unwrap();
    listener.listen(1).unwrap();
    let client = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    let mut endpoint = Endpoint::connect_from(client, path);
    assert!(!endpoint.push("too early"));
    let mut map = ChannelMap::new().unwrap();
    map.insert(Dispatcher::new(endpoint, Client)).unwrap();
    let (mut theirs, _) = listener.accept().unwrap();
    turn_to_rest(&mut map);
    let mut buffer = [0; 100];
    for record in ["one", "two"] {
        let len = theirs.read(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], record.as_bytes());
    }
}

/// It is to have the token when the first byte leaves.
#[test]
fn a_transport_enters_the_map_before_any_other_call() {
    #[derive(Debug)]
    struct Logging(Log);

    impl Transport for Logging {
        fn enter(&mut self, me: Token) {
            assert_ne!(me, Token::NONE);
            self.0.add("enter");
        }
        fn registration(&self) -> Option<&Registration> {
            None
        }
        fn recv(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            self.0.add("recv");
            Err(ErrorKind::WouldBlock.into())
        }
        fn send_vectored(&mut self, slices: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
            self.0.add("send");
            Ok(slices.iter().map(|slice| slice.len()).sum())
        }
        fn shutdown(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let long = vec![b'x'; 200_000];
    let log = Log::default();
    let mut channel = AsyncChat::over(Logging(log.clone()), "\n", ());
    assert!(channel.chat.push(&long));
    let mut map = ChannelMap::new().unwrap();
    let me = map.insert(channel).unwrap();
    turn_to_rest(&mut map);
    assert_eq!(log.all()[..2], ["enter", "send"]);
    // Another map.
    let channel = map.remove(me).unwrap();
    let mut map = ChannelMap::new().unwrap();
    map.insert(channel).unwrap();
    assert_eq!(log.count("enter"), 2);

    let log = Log::default();
    let timer = map.insert(TimerChannel::new(|_, _, _| Ok(()))).unwrap();
    let transport = Logging(log.clone());
    map.convert(timer, move |_| {
        let mut channel = Dispatcher::over(transport, ());
        channel.endpoint.push(&long);
        channel
    })
    .unwrap();
    turn_to_rest(&mut map);
    assert_eq!(log.all()[..2], ["enter", "send"]);
}

/// The old one waited for its peer to close: its timer is nobody's.
#[test]
fn a_timer_of_an_endpoint_that_was_replaced_reaches_no_handler() {
    struct Client(Log);

    impl DispatcherHandler for Client {
        fn handle_timer(&mut self, timer: Timer, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
            self.0.add(format!("timer {}", timer.number()));
            Ok(())
        }
    }

    let (ours, _theirs) = unix_pair();
    let (next, _peer) = unix_pair();
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(Dispatcher::new(ours, Client(log.clone())))
        .unwrap();
    map.set_timer(me, map.now() + Duration::from_secs(3));
    map.get_mut(me).unwrap().endpoint.close_when_done();
    turn_to_rest(&mut map);
    assert_eq!(map.timers(), 2, "one to linger");
    map.get_mut(me).unwrap().endpoint = next.into();
    for _ in 0..4 {
        map.turn_at(map.now() + Duration::from_secs(1)).unwrap();
    }
    assert_eq!(log.all(), ["timer 0"]);
    assert!(map.is_open(me));
}

/// A timer of the old channel is due in the turn of the conversion.
#[test]
fn a_transport_enters_and_its_channel_begins_before_a_timer() {
    #[derive(Debug)]
    struct Entering(Log);

    impl Transport for Entering {
        fn enter(&mut self, _: Token) {
            self.0.add("enter");
        }
        fn registration(&self) -> Option<&Registration> {
            None
        }
        fn recv(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(ErrorKind::WouldBlock.into())
        }
        fn send_vectored(&mut self, _: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
            Err(ErrorKind::WouldBlock.into())
        }
        fn shutdown(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    struct Begins(Log);

    impl DispatcherHandler for Begins {
        fn handle_connect(&mut self, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
            self.0.add("connect");
            Ok(())
        }
        fn handle_timer(&mut self, _: Timer, _: &mut Endpoint, _: &mut ChannelMap) -> Result {
            self.0.add("timer");
            Ok(())
        }
    }

    struct Converts(Log);

    impl DispatcherHandler for Converts {
        fn handle_timer(
            &mut self,
            _: Timer,
            endpoint: &mut Endpoint,
            map: &mut ChannelMap,
        ) -> Result {
            let (transport, begins) = (Entering(self.0.clone()), Begins(self.0.clone()));
            let me = endpoint.token().handle::<Dispatcher<Converts>>();
            map.convert(me, move |_| Dispatcher::over(transport, begins))?;
            Ok(())
        }
    }

    let (ours, _theirs) = unix_pair();
    let log = Log::default();
    let mut map = ChannelMap::new().unwrap();
    let me = map
        .insert(Dispatcher::new(ours, Converts(log.clone())))
        .unwrap();
    turn_to_rest(&mut map);
    for _ in 0..2 {
        map.set_timer(me, map.now());
    }
    map.turn_at(map.now()).unwrap();
    map.turn_at(map.now()).unwrap();
    assert_eq!(log.all(), ["enter", "connect", "timer"]);
}
