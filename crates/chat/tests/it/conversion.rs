//! Every conversion, in every state, from every place.
//!
//! Each test is a state that a channel is in when it is converted, and runs a
//! cell for each way, place and wire. `N` numbers the handlers: 0 is converted, and
//! the last one has the channel afterwards. Where a cell makes no sense, the test
//! says so in [`Sense`].

use std::cell::{Cell as StdCell, RefCell};
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::time::Duration;

use chat::{AsyncChat, ChannelMap, Dispatcher, Handle, Limits, Readiness, Token};

use crate::common::part::{Part, Record, Side};
use crate::common::{Probe, read_to_end, sim, turn_until, unix_pair};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    ChatToDispatcher,
    DispatcherToChat,
    ChatToChat,
    ChatSwapped,
    DispatcherSwapped,
}

use Way::{ChatSwapped, ChatToChat, ChatToDispatcher, DispatcherSwapped, DispatcherToChat};

const WAYS: [Way; 5] = [
    ChatToDispatcher,
    DispatcherToChat,
    ChatToChat,
    ChatSwapped,
    DispatcherSwapped,
];

impl Way {
    fn is_from_chat(self) -> bool {
        matches!(self, ChatToDispatcher | ChatToChat | ChatSwapped)
    }

    fn is_to_chat(self) -> bool {
        matches!(self, DispatcherToChat | ChatToChat | ChatSwapped)
    }

    fn is_swap(self) -> bool {
        matches!(self, ChatSwapped | DispatcherSwapped)
    }

    /// Converts the channel of `Part<A>` into one of `Part<B>`.
    #[track_caller]
    fn go<const A: usize, const B: usize>(self, map: &mut ChannelMap, me: Token, to: Part<B>) {
        let chat: Handle<AsyncChat<Part<A>>> = me.handle();
        let raw: Handle<Dispatcher<Part<A>>> = me.handle();
        let is_done = match self {
            ChatToDispatcher => map
                .convert(chat, |c| Dispatcher::new(c.chat.into_endpoint(), to))
                .is_ok(),
            DispatcherToChat => map
                .convert(raw, |d| AsyncChat::new(d.endpoint, "\r\n", to))
                .is_ok(),
            ChatToChat => map
                .convert(chat, |c| AsyncChat::new(c.chat.into_endpoint(), "\r\n", to))
                .is_ok(),
            ChatSwapped => map.convert(chat, |c| c.with_handler(|_| to)).is_ok(),
            DispatcherSwapped => map.convert(raw, |d| d.with_handler(|_| to)).is_ok(),
        };
        assert!(is_done, "there was nothing to convert");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In one of the channel's own callbacks.
    Inside,
    BetweenTurns,
    /// In a callback of another channel.
    FromAnother,
    /// In one of the channel's own callbacks, and then this way as well.
    Twice(Way),
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    way: Way,
    place: Place,
    /// Over a socket pair, or else over the simulated line.
    is_real: bool,
}

impl Cell {
    fn is_inside(self) -> bool {
        matches!(self.place, Place::Inside | Place::Twice(_))
    }

    fn second(self) -> Option<Way> {
        match self.place {
            Place::Twice(second) => Some(second),
            _ => None,
        }
    }

    /// The number of the handler that has the channel in the end.
    fn last(self) -> usize {
        1 + usize::from(self.second().is_some())
    }

    /// Whether only handlers are swapped: the channel stays what it was.
    fn only_swaps(self) -> bool {
        self.way.is_swap() && self.second().is_none_or(Way::is_swap)
    }

    fn all() -> Vec<Self> {
        let mut cells = Vec::new();
        for way in WAYS {
            let seconds = WAYS
                .into_iter()
                .filter(|w| w.is_from_chat() == way.is_to_chat());
            let places = [Place::Inside, Place::BetweenTurns, Place::FromAnother];
            for place in places.into_iter().chain(seconds.map(Place::Twice)) {
                for is_real in [true, false] {
                    cells.push(Self {
                        way,
                        place,
                        is_real,
                    });
                }
            }
        }
        cells
    }
}

/// `ChatToDispatcher, Twice(DispatcherToChat), over a socket pair`
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wire = match self.is_real {
            true => "a socket pair",
            false => "the simulated line",
        };
        write!(f, "{:?}, {:?}, over {wire}", self.way, self.place)
    }
}

type Outcome = Result<(), String>;

macro_rules! ensure {
    ($condition:expr, $($why:tt)+) => {
        if !$condition {
            return Err(format!($($why)+));
        }
    };
}

/// Whether a cell makes sense; if not, why.
type Sense = fn(Cell) -> Result<(), &'static str>;

const ALWAYS: Sense = |_| Ok(());

const CHATS_ONLY: Sense = |cell| match cell.way.is_from_chat() {
    true => Ok(()),
    false => Err("a dispatcher does not pause, count messages or have a limit for them"),
};

const CHATS_INSIDE: Sense = |cell| match cell.is_inside() {
    true => CHATS_ONLY(cell),
    false => Err("between callbacks the channel is closing by then"),
};

/// Runs every cell of a state, and reports all that failed.
#[track_caller]
fn matrix(sense: Sense, state: fn(Cell) -> Outcome) {
    let mut failures = Vec::new();
    for cell in Cell::all() {
        if sense(cell).is_err() {
            continue;
        }
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| state(cell)));
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(why)) => failures.push(format!("{cell}: {why}")),
            Err(_) => failures.push(format!("{cell}: it panicked, see above")),
        }
    }
    assert!(
        failures.is_empty(),
        "{} cells failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// What the converted handler does at an event.
#[derive(PartialEq, Eq)]
enum Then {
    /// What the default does.
    Default,
    /// It converts its channel, if this is the place for it, and no more.
    Convert,
}

/// The peer's end.
enum Net {
    Line(sim::Peer),
    /// `None` once it has hung up.
    Pair(Option<UnixStream>),
}

type Job = Rc<RefCell<Option<Box<dyn FnOnce(&mut ChannelMap)>>>>;

/// A channel in a map, its peer, and another channel.
struct World {
    cell: Cell,
    map: ChannelMap,
    me: Token,
    net: Net,
    record: Record,
    /// What the peer got, and whether it got the end.
    received: Vec<u8>,
    has_end: bool,
    /// The line `go` was heard.
    went: Rc<StdCell<bool>>,
    /// What the other channel does in its next callback.
    job: Job,
    other: Token,
    other_peer: sim::Peer,
}

impl World {
    /// A channel of the cell's kind, with `Part<0>`.
    fn new(
        cell: Cell,
        limits: Limits,
        hook: impl FnMut(&str, &mut Side<'_>, &mut ChannelMap) -> Then + 'static,
    ) -> Self {
        let (ours, theirs) = unix_pair();
        let (line, peer) = sim::line();
        let mut world = Self::without_channel(cell, theirs, peer);
        let part = world.part(hook);
        let map = &mut world.map;
        world.me = match (cell.way.is_from_chat(), cell.is_real) {
            (true, true) => {
                let chat = AsyncChat::new(ours, "\r\n", part);
                map.insert(chat.limited(limits)).unwrap().token()
            }
            (true, false) => {
                let chat = AsyncChat::over(line, "\r\n", part);
                map.insert(chat.limited(limits)).unwrap().token()
            }
            (false, true) => {
                let raw = Dispatcher::new(ours, part);
                map.insert(raw.limited(limits)).unwrap().token()
            }
            (false, false) => {
                let raw = Dispatcher::over(line, part);
                map.insert(raw.limited(limits)).unwrap().token()
            }
        };
        world
    }

    /// A dispatcher with `Part<0>` that was a chat a moment ago, and has `held`
    /// from it.
    fn new_holding(
        cell: Cell,
        held: &str,
        hook: impl FnMut(&str, &mut Side<'_>, &mut ChannelMap) -> Then + 'static,
    ) -> Result<Self, String> {
        let (ours, theirs) = unix_pair();
        let (line, peer) = sim::line();
        let mut world = Self::without_channel(cell, theirs, peer);
        let before = Part::<9>::new(&world.record).on_event(|what, side, _| {
            if what == "line zero" {
                side.chat().pause();
            }
            false
        });
        let before = match cell.is_real {
            true => AsyncChat::new(ours, "\r\n", before),
            false => AsyncChat::over(line, "\r\n", before),
        };
        world.me = world.map.insert(before).unwrap().token();
        world.say(&format!("zero\r\n{held}"));
        world.rest()?;
        let part = world.part(hook);
        ChatToDispatcher.go::<9, 0>(&mut world.map, world.me, part);
        Ok(world)
    }

    fn without_channel(cell: Cell, theirs: UnixStream, peer: sim::Peer) -> Self {
        let job = Job::default();
        let other_job = Rc::clone(&job);
        let probe = Probe::default()
            .on_message(move |_, _, map| {
                if let Some(job) = other_job.take() {
                    job(map);
                }
                Ok(())
            })
            .on_shutdown(|_, _| Ok(()));
        let (other_line, other_peer) = sim::line();
        let mut map = ChannelMap::new().unwrap();
        let other = map
            .insert(AsyncChat::over(other_line, "\n", probe))
            .unwrap();
        Self {
            cell,
            map,
            me: Token::NONE,
            net: match cell.is_real {
                true => Net::Pair(Some(theirs)),
                false => Net::Line(peer),
            },
            record: Record::default(),
            received: Vec::new(),
            has_end: false,
            went: Rc::default(),
            job,
            other: other.token(),
            other_peer,
        }
    }

    fn part(
        &self,
        mut hook: impl FnMut(&str, &mut Side<'_>, &mut ChannelMap) -> Then + 'static,
    ) -> Part<0> {
        let (cell, record, went) = (self.cell, self.record.clone(), Rc::clone(&self.went));
        Part::<0>::new(&record.clone()).on_event(move |what, side, map| {
            if what == "line go" {
                went.set(true);
            }
            let then = hook(what, side, map);
            if then == Then::Convert && cell.is_inside() {
                convert(cell, map, side.endpoint().token(), &record);
            }
            then != Then::Default
        })
    }

    fn say(&mut self, text: &str) {
        match &mut self.net {
            Net::Line(peer) => peer.say(text),
            Net::Pair(Some(stream)) => stream.write_all(text.as_bytes()).unwrap(),
            Net::Pair(None) => panic!("it has hung up"),
        }
    }

    /// The peer will say no more.
    fn say_end(&mut self) {
        match &mut self.net {
            Net::Line(peer) => peer.say_eof(),
            Net::Pair(Some(stream)) => stream.shutdown(Shutdown::Write).unwrap(),
            Net::Pair(None) => panic!("it has hung up"),
        }
    }

    /// The peer is gone; what it said is still to be read.
    fn hang_up(&mut self) {
        match &mut self.net {
            Net::Line(peer) => {
                peer.say_eof();
                peer.fail_sends(ErrorKind::BrokenPipe);
            }
            Net::Pair(stream) => *stream = None,
        }
    }

    /// The peer takes nothing until it [reads](Self::read) again. (That of a
    /// socket pair does so anyway.)
    fn take_nothing(&self) {
        if let Net::Line(peer) = &self.net {
            peer.set_room(0);
        }
    }

    fn step(&mut self) -> usize {
        match &self.net {
            Net::Line(peer) => sim::step(&mut self.map, self.me, peer),
            Net::Pair(_) => self.map.turn(Some(Duration::ZERO)).unwrap(),
        }
    }

    /// A turn, so much later.
    fn pass(&mut self, time: Duration) {
        let then = self.map.now() + time;
        self.map.turn_at(then).unwrap();
    }

    fn rest(&mut self) -> Outcome {
        let mut quiet = 0;
        for _ in 0..10_000 {
            quiet = match self.step() {
                0 => quiet + 1,
                _ => 0,
            };
            if quiet == 3 {
                return Ok(());
            }
        }
        Err("it never rests".to_owned())
    }

    /// Turns until the line `go` was heard, and no further.
    fn step_until_gone(&mut self) -> Outcome {
        for _ in 0..100 {
            if self.went.get() {
                return Ok(());
            }
            self.step();
        }
        Err("\"go\" was never heard".to_owned())
    }

    /// The peer reads all there is.
    fn read(&mut self) -> Outcome {
        let mut quiet = 0;
        while quiet < 3 {
            let before = self.received.len();
            match &mut self.net {
                Net::Line(peer) => {
                    let sent = peer.take_sent();
                    peer.set_room(300_000);
                    self.received.extend(sent);
                    self.has_end = peer.is_shut();
                }
                Net::Pair(Some(stream)) => {
                    let mut buffer = vec![0; 300_000];
                    match stream.read(&mut buffer) {
                        Ok(0) => self.has_end = true,
                        Ok(len) => self.received.extend_from_slice(&buffer[..len]),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(error) => return Err(format!("the peer lost all: {error}")),
                    }
                }
                Net::Pair(None) => {}
            }
            let dispatched = self.step();
            quiet = match dispatched == 0 && self.received.len() == before {
                true => quiet + 1,
                false => 0,
            };
        }
        Ok(())
    }

    /// Converts the channel, unless that was done inside.
    fn convert_outside(&mut self) -> Outcome {
        self.convert_outside_after(|_, _| ())
    }

    /// Does something with the channel there, before.
    fn convert_outside_after(
        &mut self,
        prepare: impl FnOnce(&mut ChannelMap, Token) + 'static,
    ) -> Outcome {
        let (cell, me, record) = (self.cell, self.me, self.record.clone());
        match cell.place {
            Place::Inside | Place::Twice(_) => {
                let all = record.all();
                let is_done = all.iter().any(|(_, event)| event == CONVERTED);
                ensure!(is_done, "the callback to convert it in never came: {all:?}");
                return Ok(());
            }
            Place::BetweenTurns => {
                prepare(&mut self.map, me);
                convert(cell, &mut self.map, me, &record);
            }
            Place::FromAnother => {
                *self.job.borrow_mut() = Some(Box::new(move |map| {
                    prepare(map, me);
                    convert(cell, map, me, &record);
                }));
                self.other_peer.say("now\n");
                self.map.dispatch(self.other, Readiness::READABLE);
                self.step();
                let is_done = self.job.borrow().is_none();
                ensure!(is_done, "the other channel was not called");
            }
        }
        Ok(())
    }

    /// The wire of the channel as it is now.
    fn now(&mut self, f: impl FnOnce(&mut Side<'_>)) -> Outcome {
        let (map, me) = (&mut self.map, self.me);
        let reached = match self.cell.last() {
            1 => Part::<1>::reach(map, me, f),
            _ => Part::<2>::reach(map, me, f),
        };
        reached.ok_or_else(|| format!("the channel is gone: {:?}", self.record.all()))
    }

    /// What the last handler heard after its first word, if that is `convert`.
    fn heard(&self) -> Result<Vec<String>, String> {
        let all = self.record.all();
        let mark = all.iter().position(|(_, event)| event == CONVERTED);
        let mark = mark.ok_or_else(|| format!("it was never converted: {all:?}"))?;
        let last = self.cell.last();
        if let Some((who, event)) = all[mark + 1..].iter().find(|(who, _)| *who != last) {
            return Err(format!("handler {who} heard {event:?} afterwards: {all:?}"));
        }
        let mut heard = self.record.of(last);
        if heard.first().is_some_and(|event| event == "convert") {
            heard.remove(0);
        }
        Ok(heard)
    }

    /// In the end: what the old handler got, and what the last one heard.
    fn verify(&self, old: &str, expected: &[&str]) -> Outcome {
        let heard = self.heard()?;
        ensure!(heard == expected, "heard {heard:?}, expected {expected:?}");
        let got = self.record.input_of(0).escape_ascii().to_string();
        let old = old.as_bytes().escape_ascii().to_string();
        ensure!(got == old, "the old handler got {got:?}, expected {old:?}");
        Ok(())
    }

    /// As [`verify`](Self::verify), of a channel that lives on: its new handler hears that
    /// it was converted, and then of input.
    fn verify_live(&self, old: &str, expected: &[&str]) -> Outcome {
        let heard = self.record.of(self.cell.last());
        let count = |word| heard.iter().filter(|event| *event == word).count();
        let words = (count("convert"), count("connect"));
        ensure!(words == (1, 0), "began {words:?} times: {heard:?}");
        self.verify(old, expected)
    }

    fn verify_received(&self, expected: &[u8]) -> Outcome {
        let len = self.received.len();
        let is_right = self.received == expected;
        ensure!(
            is_right,
            "the peer got {len} bytes, not the {} sent",
            expected.len()
        );
        Ok(())
    }
}

/// Where the record has it that the channel was converted.
const CONVERTED: &str = "(converted)";

fn convert(cell: Cell, map: &mut ChannelMap, me: Token, record: &Record) {
    record.event(usize::MAX, CONVERTED);
    cell.way.go::<0, 1>(map, me, Part::new(record));
    if let Some(second) = cell.second() {
        second.go::<1, 2>(map, me, Part::new(record));
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

/// A chat pushes 4,000,000 bytes, calls `close_when_done`, and is converted to a
/// dispatcher, all in one callback.
#[test]
fn a_chat_that_closes_when_done_and_is_converted_sends_all_of_its_output() {
    let data = pattern(4_000_000);
    let record = Record::default();
    let (ours, mut theirs) = unix_pair();
    let mut map = ChannelMap::new().unwrap();
    let part = Part::<0>::new(&record).on_event({
        let (data, record) = (data.clone(), record.clone());
        move |what, side, map| {
            if what == "line go" {
                let me = side.endpoint().token();
                side.push(&data);
                side.close_when_done();
                ChatToDispatcher.go::<0, 1>(map, me, Part::new(&record));
            }
            false
        }
    });
    map.insert(AsyncChat::new(ours, "\r\n", part)).unwrap();
    theirs.write_all(b"go\r\n").unwrap();
    assert!(read_to_end(&mut map, &mut theirs) == data);
    drop(theirs);
    turn_until(&mut map, |map| map.is_empty());
    assert_eq!(record.of(0), ["connect", "input go\\r\\n"]);
    assert_eq!(record.of(1), ["close Done"]);
}

#[test]
fn open() {
    matrix(ALWAYS, |cell| {
        let mut world = World::new(cell, Limits::default(), |what, side, _| {
            if what != "line go" {
                return Then::Default;
            }
            side.push("<a>");
            Then::Convert
        });
        let old = match (cell.is_inside(), cell.way.is_from_chat()) {
            (true, _) => {
                world.say("one\r\ngo\r\ntwo\r\nthr");
                "one\r\ngo\r\n"
            }
            // A terminator that has begun: a chat holds it back.
            (false, true) => {
                world.say("one\r\ngo\r\n\r");
                "one\r\ngo\r\n"
            }
            (false, false) => {
                world.say("one\r\ngo\r\n\r");
                "one\r\ngo\r\n\r"
            }
        };
        world.rest()?;
        world.convert_outside()?;
        if !cell.is_inside() {
            world.say("two\r\nthr");
        }
        world.rest()?;
        let input = world.record.input_of(cell.last());
        let came = input.ends_with(b"two\r\nthr");
        ensure!(came, "it waits for more input: {}", input.escape_ascii());
        world.now(|side| _ = side.push("<b>"))?;
        world.say("ee\r\n");
        world.rest()?;
        world.read()?;
        world.verify_received(b"<a><b>")?;
        world.say_end();
        world.rest()?;
        let input = match old.len() {
            _ if cell.is_inside() => r"input two\r\nthree\r\n",
            9 => r"input \rtwo\r\nthree\r\n",
            _ => r"input two\r\nthree\r\n",
        };
        world.verify_live(old, &[input, "eof", "close Eof"])
    });
}

/// Before its first turn: the new handler hears that it is connected. Or in the
/// `handle_connect` of that turn: the new one hears that it was converted.
#[test]
fn not_connected_for_long() {
    matrix(ALWAYS, |cell| {
        let mut world = World::new(cell, Limits::default(), |what, _, _| match what {
            "connect" => Then::Convert,
            _ => Then::Default,
        });
        world.say("two\r\n");
        if cell.is_inside() {
            world.rest()?;
        }
        world.convert_outside()?;
        world.say_end();
        world.rest()?;
        let before = world.record.of(0);
        let told_before = usize::from(cell.is_inside());
        ensure!(before.len() == told_before, "the old one heard {before:?}");
        let first = match cell.is_inside() {
            true => "convert",
            false => "connect",
        };
        let expected = [first, r"input two\r\n", "eof", "close Eof"];
        world.heard()?; // and nobody else did
        let heard = world.record.of(cell.last());
        ensure!(heard == expected, "heard {heard:?}, expected {expected:?}");
        Ok(())
    });
}

/// A pause ends when the chat becomes another channel, and stays when its handler
/// is swapped.
#[test]
fn paused() {
    matrix(CHATS_ONLY, |cell| {
        let mut world = World::new(cell, Limits::default(), |what, side, _| {
            if what != "line go" {
                return Then::Default;
            }
            side.chat().pause();
            Then::Convert
        });
        world.say("one\r\ngo\r\n");
        world.rest()?;
        world.convert_outside()?;
        world.say("two\r\n");
        world.say_end();
        world.rest()?;
        resume_if_swapped(&mut world)?;
        world.verify_live("one\r\ngo\r\n", &[r"input two\r\n", "eof", "close Eof"])
    });
}

/// Asserts that a swapped handler heard nothing, and resumes its channel.
fn resume_if_swapped(world: &mut World) -> Outcome {
    if !world.cell.only_swaps() {
        return Ok(());
    }
    let heard = world.heard()?;
    ensure!(heard.is_empty(), "it is not paused any more: {heard:?}");
    world.now(|side| side.chat().resume())?;
    world.rest()
}

/// A dispatcher does not pause, but has what a chat held before it.
#[test]
fn input_held_by_a_pause() {
    matrix(ALWAYS, |cell| {
        let is_chat = cell.way.is_from_chat();
        let hook = move |what: &str, side: &mut Side<'_>, _: &mut ChannelMap| {
            if what != "line go" {
                return Then::Default;
            }
            if is_chat {
                side.chat().pause();
            }
            Then::Convert
        };
        let mut world = if is_chat {
            let mut world = World::new(cell, Limits::default(), hook);
            world.say("go\r\ntwo\r\nthr");
            world
        } else {
            World::new_holding(cell, "go\r\ntwo\r\nthr", hook)?
        };
        world.step_until_gone()?;
        world.convert_outside()?;
        world.say("ee\r\n");
        world.say_end();
        world.rest()?;
        resume_if_swapped_chat(&mut world)?;
        let expected = [r"input two\r\nthree\r\n", "eof", "close Eof"];
        world.verify_live("go\r\n", &expected)
    });
}

fn resume_if_swapped_chat(world: &mut World) -> Outcome {
    match world.cell.way.is_from_chat() {
        true => resume_if_swapped(world),
        false => Ok(()),
    }
}

#[test]
fn input_held_by_received_per_turn() {
    matrix(CHATS_ONLY, |cell| {
        let mut limits = Limits::default();
        limits.received_per_turn = 1;
        let mut world = World::new(cell, limits, |what, _, _| match what {
            "line go" => Then::Convert,
            _ => Then::Default,
        });
        world.say("one\r\ngo\r\ntwo\r\nthr");
        world.step_until_gone()?;
        world.convert_outside()?;
        world.say("ee\r\n");
        world.say_end();
        world.rest()?;
        let expected = [r"input two\r\nthree\r\n", "eof", "close Eof"];
        world.verify_live("one\r\ngo\r\n", &expected)
    });
}

/// A swapped handler is told of the limit; to another channel, the rest of the
/// message is input as any.
#[test]
fn over_limit() {
    matrix(CHATS_ONLY, |cell| {
        let mut limits = Limits::default();
        limits.message = 4;
        let mut world = World::new(cell, limits, move |what, side, _| {
            if what != "data abcd" {
                return Then::Default;
            }
            if !cell.is_inside() {
                side.chat().pause(); // or it is told, and no more due
            }
            Then::Convert
        });
        world.say("abcdefgh\r\nnext\r\n");
        world.rest()?;
        world.convert_outside()?;
        world.rest()?;
        if !cell.is_inside() {
            resume_if_swapped(&mut world)?;
        }
        world.say_end();
        world.rest()?;
        match cell.only_swaps() {
            true => world.verify_live("abcd", &["overlimit", "close OverLimit"]),
            false => {
                let expected = [r"input efgh\r\nnext\r\n", "eof", "close Eof"];
                world.verify_live("abcd", &expected)
            }
        }
    });
}

/// A handler that is told of the limit and does not skip the message closes the
/// channel, whatever becomes of it there. (From elsewhere it is finishing then.)
#[test]
fn told_of_the_limit() {
    matrix(CHATS_INSIDE, |cell| {
        let mut limits = Limits::default();
        limits.message = 4;
        let mut world = World::new(cell, limits, |what, side, _| {
            if what != "overlimit" {
                return Then::Default;
            }
            side.push("too long");
            Then::Convert
        });
        world.say("abcdefgh\r\nnext\r\n");
        world.rest()?;
        world.convert_outside()?;
        world.read()?;
        world.verify_received(b"too long")?;
        world.say_end();
        world.rest()?;
        world.verify("abcd", &["close OverLimit"])
    });
}

#[test]
fn finishing() {
    matrix(ALWAYS, |cell| {
        let data = pattern(4_000_000);
        let pushed = data.clone();
        let mut world = World::new(cell, Limits::default(), move |what, side, _| {
            if what != "line go" {
                return Then::Default;
            }
            side.push(&pushed);
            side.close_when_done();
            Then::Convert
        });
        world.take_nothing();
        world.say("one\r\ngo\r\nlate\r\n");
        world.rest()?;
        world.convert_outside()?;
        world.say("later\r\n");
        world.rest()?;
        let heard = world.heard()?;
        ensure!(heard.is_empty(), "before all was sent: {heard:?}");
        world.read()?;
        world.verify_received(&data)?;
        ensure!(world.has_end, "the peer was not told of the end");
        world.say_end();
        world.rest()?;
        world.verify("one\r\ngo\r\n", &["close Done"])
    });
}

/// A channel that has sent all, and waits for the peer to close. The callback that
/// it is converted in is a timer's.
fn lingering(cell: Cell) -> Result<World, String> {
    let mut limits = Limits::default();
    limits.linger = Duration::from_secs(7);
    let mut world = World::new(cell, limits, move |what, side, map| {
        match what {
            "line go" => {
                side.push("<a>");
                side.close_when_done();
                if cell.is_inside() {
                    map.set_timer(side.endpoint().token(), map.now() + Duration::from_secs(1));
                }
            }
            "timer" => return Then::Convert,
            _ => {}
        }
        Then::Default
    });
    world.say("go\r\n");
    world.rest()?;
    world.pass(Duration::from_secs(1));
    world.convert_outside()?;
    world.say("late\r\n");
    world.read()?;
    world.verify_received(b"<a>")?;
    ensure!(world.has_end, "the peer was not told of the end");
    let heard = world.heard()?;
    ensure!(heard.is_empty(), "before the peer closed: {heard:?}");
    Ok(world)
}

#[test]
fn lingering_until_the_peer_closes() {
    matrix(ALWAYS, |cell| {
        let mut world = lingering(cell)?;
        world.say_end();
        world.rest()?;
        world.verify("go\r\n", &["close Done"])
    });
}

#[test]
fn lingering_until_its_time_is_over() {
    matrix(ALWAYS, |cell| {
        let mut world = lingering(cell)?;
        // Of 7 s, 1 s has passed; but a real clock has not moved by that, and not
        // stood still either.
        let (patience, rest) = match cell.is_real {
            true => (Duration::from_secs(2), Duration::from_secs(8)),
            false => (Duration::from_millis(5_999), Duration::from_millis(1)),
        };
        world.pass(patience);
        let heard = world.heard()?;
        ensure!(heard.is_empty(), "too early: {heard:?}");
        world.pass(rest);
        world.verify("go\r\n", &["close Done"])
    });
}

/// What was queued leaves before what the new handler pushes.
#[test]
fn output_blocked() {
    matrix(ALWAYS, |cell| {
        let data = pattern(1_000_000);
        let pushed = data.clone();
        let mut world = World::new(cell, Limits::default(), move |what, side, _| {
            match what {
                "connect" => _ = side.push(&pushed),
                "line go" => {
                    side.push("<a>");
                    return Then::Convert;
                }
                _ => {}
            }
            Then::Default
        });
        world.take_nothing();
        world.rest()?;
        world.say("go\r\n");
        world.rest()?;
        world.convert_outside()?;
        world.rest()?;
        world.now(|side| _ = side.push("<b>"))?;
        world.rest()?;
        world.read()?;
        world.verify_received(&[&data[..], b"<a><b>"].concat())?;
        world.say_end();
        world.rest()?;
        world.verify_live("go\r\n", &["drained", "eof", "close Eof"])
    });
}

/// The peer has written and hung up.
#[test]
fn output_failed() {
    matrix(ALWAYS, |cell| {
        let mut limits = Limits::default();
        limits.received_per_turn = 1;
        let mut world = World::new(cell, limits, |what, side, _| match what {
            "line one" => {
                side.push([b'x'; 100_000]); // so much is tried at once
                assert!(side.endpoint().output_failed());
                Then::Default
            }
            "line go" => Then::Convert,
            _ => Then::Default,
        });
        world.say("one\r\ngo\r\ntwo\r\n");
        world.hang_up();
        world.step_until_gone()?;
        world.convert_outside()?;
        world.rest()?;
        let heard = world.heard()?;
        let expected = [r"input two\r\n", "eof", "close Io(BrokenPipe)"];
        ensure!(heard == expected, "heard {heard:?}, expected {expected:?}");
        let old = world.record.input_of(0);
        ensure!(
            old == b"one\r\ngo\r\n",
            "the old handler got {}",
            old.escape_ascii()
        );
        Ok(())
    });
}

#[test]
fn the_map_shutting_down() {
    matrix(ALWAYS, |cell| {
        let mut world = World::new(cell, Limits::default(), |what, _, _| match what {
            "shutdown" => Then::Convert,
            _ => Then::Default,
        });
        world.say("one\r\n");
        world.rest()?;
        let deadline = world.map.now() + Duration::from_secs(60);
        world.map.shut_down(deadline);
        world.rest()?;
        let told = world
            .record
            .of(0)
            .iter()
            .filter(|e| *e == "shutdown")
            .count();
        ensure!(told == 1, "the old handler was told {told} times");
        world.convert_outside()?;
        world.rest()?;
        world.read()?;
        ensure!(world.has_end, "it does not close: {:?}", world.heard());
        world.say_end();
        world.rest()?;
        world.verify("one\r\n", &["shutdown", "close Shutdown"])
    });
}

/// The old handler was told, and stays: the new one is not told again.
#[test]
fn eof_told() {
    matrix(ALWAYS, |cell| {
        let mut world = World::new(cell, Limits::default(), |what, side, _| {
            if what != "eof" {
                return Then::Default;
            }
            side.push("<a>");
            Then::Convert
        });
        world.say("one\r\n");
        world.say_end();
        world.rest()?;
        world.convert_outside()?;
        world.rest()?;
        world.now(|side| _ = side.push("<b>"))?;
        world.rest()?;
        world.read()?;
        world.verify_received(b"<a><b>")?;
        let heard = world.heard()?;
        ensure!(heard.is_empty(), "told again: {heard:?}");
        world.now(|side| side.close_when_done())?;
        world.rest()?;
        world.verify_live("one\r\n", &["close Done"])
    });
}

/// The end has been received and nobody was told: a chat still has input before it,
/// a dispatcher's handler has just seen it.
#[test]
fn eof_untold() {
    matrix(ALWAYS, |cell| match cell.way.is_from_chat() {
        true => eof_untold_by_a_chat(cell),
        false => eof_untold_by_a_dispatcher(cell),
    });
}

fn eof_untold_by_a_chat(cell: Cell) -> Outcome {
    let mut world = World::new(cell, Limits::default(), move |what, side, _| {
        if what != r"data \r" {
            return Then::Default;
        }
        side.chat().unread("held\r\n");
        if !cell.is_inside() {
            side.chat().pause();
        }
        Then::Convert
    });
    world.say("go\r"); // which is data, for the end comes next
    world.say_end();
    world.rest()?;
    world.convert_outside()?;
    world.rest()?;
    if !cell.is_inside() {
        resume_if_swapped(&mut world)?;
    }
    world.verify_live("go\r", &[r"input held\r\n", "eof", "close Eof"])
}

fn eof_untold_by_a_dispatcher(cell: Cell) -> Outcome {
    let mut world = World::new(cell, Limits::default(), |what, _, _| match what {
        "end" => Then::Convert,
        _ => Then::Default,
    });
    world.say("go\r\n");
    world.rest()?;
    world.say_end();
    if cell.is_inside() {
        world.rest()?;
    }
    world.convert_outside_after(|map, me| {
        let read = Part::<0>::reach(map, me, |side| side.raw().recv(&mut [0; 8]));
        assert!(matches!(read, Some(Ok(0))), "{read:?}");
    })?;
    world.rest()?;
    world.verify_live("go\r\n", &["eof", "close Eof"])
}

/// The peer's end is there, and not received yet: it is told once, by whoever has
/// the channel then.
#[test]
fn eof_not_received() {
    matrix(ALWAYS, |cell| {
        let mut world = World::new(cell, Limits::default(), |what, _, _| match what {
            "line go" => Then::Convert,
            _ => Then::Default,
        });
        world.say("go\r\n");
        if cell.is_inside() {
            world.say_end();
        }
        world.step_until_gone()?;
        if !cell.is_inside() {
            world.say_end();
        }
        world.convert_outside()?;
        world.rest()?;
        world.verify_live("go\r\n", &["eof", "close Eof"])
    });
}

/// How many cells there are, for whoever reads the file.
#[test]
fn the_matrix_has_its_cells() {
    let cells = Cell::all();
    assert_eq!(cells.len(), 2 * (5 * 3 + 2 + 3 + 3 + 3 + 2));
    let from_chats = cells.iter().filter(|cell| CHATS_ONLY(**cell).is_ok());
    assert_eq!(from_chats.count(), 2 * (3 * 3 + 2 + 3 + 3));
}
