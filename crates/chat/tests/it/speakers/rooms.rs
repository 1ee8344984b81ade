//! A room of 200, of whom one reads slowly: it gets everything, or misses some, or is cut
//! off, as chosen. The others get every line.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use chat::bytes::Bytes;
use chat::socket2::SockRef;
use chat::{
    AsyncChat, ChannelMap, ChatMap, Dispatcher, Dropped, Limits, OfferPolicy, State, Token,
};

use crate::common::part::{Part, Record, Side};
use crate::common::{name, read_some, turn_until, unix_pair};

const MEMBERS: usize = 200;
const SPEAKERS: usize = 2;
/// Of each speaker.
const LINES: usize = 300;
/// In bytes, with the speaker's number, the line's, and its end.
const LINE: usize = 400;
/// Bytes that the slow member reads in a turn.
const PACE: usize = 350;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Choice {
    Everything,
    Skipped(OfferPolicy),
    Cut,
}

fn line(speaker: usize, nth: usize) -> Vec<u8> {
    format!("{speaker} {nth:04} {}\r\n", "#".repeat(LINE - 9)).into_bytes()
}

/// The lines of `heard` by their speakers; they are whole.
#[track_caller]
fn spoken(heard: &[u8]) -> [Vec<usize>; SPEAKERS] {
    let mut by = [Vec::new(), Vec::new()];
    for said in heard.chunks(LINE) {
        let speaker = usize::from(said[0] - b'0');
        let nth = std::str::from_utf8(&said[2..6]).unwrap().parse().unwrap();
        assert_eq!(said, line(speaker, nth));
        by[speaker].push(nth);
    }
    by
}

fn tell(
    choice: Choice,
    members: State<Vec<Token>>,
    said: Bytes,
    side: &mut Side<'_>,
    map: &mut ChannelMap,
) {
    let everyone = map.state(members).unwrap().clone();
    for member in everyone {
        // One may have been cut off.
        let _ = match choice {
            Choice::Everything => map.push_from(side.chat(), member, said.clone()),
            Choice::Skipped(_) => map.offer(member, said.clone()),
            Choice::Cut => map.push(member, said.clone()),
        };
    }
}

struct Room {
    map: ChannelMap,
    slow: Token,
    record: Record,
    peers: Vec<UnixStream>,
    heard: Vec<Vec<u8>>,
    /// What the speakers have still to say.
    to_say: [Vec<u8>; SPEAKERS],
}

impl Room {
    /// The members but for the speakers are chats and dispatchers; the last one is slow.
    fn new(choice: Choice, is_chat: bool) -> Self {
        let mut map = ChannelMap::new().unwrap();
        let members = map.insert_state(Vec::new());
        let record = Record::default();
        let mut limits = Limits::default();
        (limits.high_water, limits.low_water) = (8 * LINE, 2 * LINE);
        limits.offers = 50 * LINE;
        limits.output = 100 * LINE;
        if let Choice::Skipped(policy) = choice {
            limits.offer_policy = policy;
        }
        limits.goodbye = "* cut off\r\n".into();
        let mut room = Self {
            slow: Token::NONE,
            record: record.clone(),
            peers: Vec::new(),
            heard: vec![Vec::new(); MEMBERS],
            to_say: [0, 1].map(|speaker| (0..LINES).flat_map(|nth| line(speaker, nth)).collect()),
            map,
        };
        for nth in 0..MEMBERS {
            let (ours, theirs) = unix_pair();
            let part = Part::<0>::new(&Record::default());
            let part = part.on_event(move |what, side, map| {
                if let Some(said) = what.strip_prefix("line ") {
                    let said = Bytes::from(format!("{said}\r\n"));
                    tell(choice, members, said, side, map);
                }
                false
            });
            let is_slow = nth == MEMBERS - 1;
            let chat = if is_slow {
                is_chat
            } else {
                nth < SPEAKERS || nth % 2 == 0
            };
            if is_slow {
                SockRef::from(&ours).set_send_buffer_size(1).unwrap();
            }
            let part = if is_slow { Part::new(&record) } else { part };
            let map = &mut room.map;
            let token = match chat {
                true => {
                    let chat = AsyncChat::new(ours, "\r\n", part).limited(limits.clone());
                    map.insert(chat).unwrap().token()
                }
                false => {
                    let raw = Dispatcher::new(ours, part).limited(limits.clone());
                    map.insert(raw).unwrap().token()
                }
            };
            map.state_mut(members).unwrap().push(token);
            room.slow = token;
            room.peers.push(theirs);
        }
        room
    }

    /// A turn, in which the slow one reads a little and the others all there is.
    fn turn(&mut self) {
        for (peer, to_say) in self.peers.iter_mut().zip(&mut self.to_say) {
            // So much that the others keep up with it.
            match peer.write(&to_say[..to_say.len().min(2 * LINE)]) {
                Ok(said) => drop(to_say.drain(..said)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        self.map.turn(Some(Duration::ZERO)).unwrap();
        let (slow, others) = self.peers.split_last_mut().unwrap();
        for (peer, heard) in others.iter_mut().zip(&mut self.heard) {
            assert!(!read_some(peer, heard), "the end came too soon");
        }
        let mut buffer = [0; PACE];
        match slow.read(&mut buffer) {
            Ok(len) => self.heard[MEMBERS - 1].extend(&buffer[..len]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }

    /// Turns until the others have heard everything; returns the bytes queued at most for
    /// the slow one.
    fn talk(&mut self) -> usize {
        let mut most = 0;
        for _ in 0..100_000 {
            self.turn();
            let reach = Part::<0>::reach(&mut self.map, self.slow, |it| it.endpoint().queued());
            most = most.max(reach.unwrap_or(0));
            if self.heard[..MEMBERS - 1]
                .iter()
                .all(|it| it.len() == SPEAKERS * LINES * LINE)
            {
                return most;
            }
        }
        panic!("it never ends");
    }

    fn check_the_others(&self) {
        for heard in &self.heard[..MEMBERS - 1] {
            assert!(
                spoken(heard)
                    .iter()
                    .all(|it| it.iter().copied().eq(0..LINES))
            );
            assert!(*heard == self.heard[0], "one order for all");
        }
    }

    /// The slow one reads on, to the end or until nothing comes.
    fn read_on(&mut self) -> Vec<u8> {
        let mut heard = std::mem::take(&mut self.heard[MEMBERS - 1]);
        let peer = self.peers.last_mut().unwrap();
        let slow = self.slow;
        turn_until(&mut self.map, |map| {
            let is_end = read_some(peer, &mut heard);
            let queued = Part::<0>::reach(map, slow, |it| it.endpoint().queued());
            is_end || queued == Some(0)
        });
        read_some(peer, &mut heard);
        heard
    }
}

/// The speakers go at its pace.
#[test]
fn by_backpressure_the_slow_one_gets_everything() {
    for is_chat in [true, false] {
        let mut room = Room::new(Choice::Everything, is_chat);
        let most = room.talk();
        // The mark, and what each speaker said in one callback.
        assert!(most <= (8 + SPEAKERS + 1) * LINE, "{most}");
        room.check_the_others();
        let heard = room.read_on();
        assert!(
            heard == room.heard[0],
            "all lines, in the order of the others"
        );
        assert!(room.record.of(0).iter().all(|it| !it.starts_with("close")));
    }
}

#[test]
fn skipped_the_slow_one_gets_whole_lines_in_order_and_the_rest_is_counted() {
    for is_chat in [true, false] {
        for policy in [OfferPolicy::DropNewest, OfferPolicy::DropOldest] {
            let mut room = Room::new(Choice::Skipped(policy), is_chat);
            let most = room.talk();
            assert!(most <= (50 + 9) * LINE, "{most}");
            room.check_the_others();
            let count = |side: &mut Side<'_>| side.endpoint().dropped();
            let dropped = Part::<0>::reach(&mut room.map, room.slow, count).unwrap();
            let heard = room.read_on();
            let by = spoken(&heard);
            assert!(by.iter().all(|it| it.is_sorted_by(|a, b| a < b)));
            let missed = SPEAKERS * LINES - by[0].len() - by[1].len();
            assert!(missed > 100, "it missed {missed}");
            let Dropped {
                messages, bytes, ..
            } = dropped;
            assert_eq!((messages, bytes), (missed as u64, (missed * LINE) as u64));
            // Which of them: the last lines are there, or those that came while there was room.
            let last = by.iter().any(|it| it.last() == Some(&(LINES - 1)));
            assert_eq!(last, policy == OfferPolicy::DropOldest);
        }
    }
}

#[test]
fn cut_off_the_slow_one_is_told_and_the_others_never_notice() {
    for is_chat in [true, false] {
        let mut room = Room::new(Choice::Cut, is_chat);
        let most = room.talk();
        assert!(most <= 101 * LINE, "{most}"); // with the goodbye
        room.check_the_others();
        let heard = room.read_on();
        let lines = heard.strip_suffix(b"* cut off\r\n").expect("it is told");
        let by = spoken(lines);
        assert!(by.iter().all(|it| it.iter().copied().eq(0..it.len())));
        assert!(by[0].len() + by[1].len() < SPEAKERS * LINES);
        drop(room.peers.pop());
        turn_until(&mut room.map, |_| room.record.is_closed());
        assert_eq!(name(&room.record.take_reason()), "SlowReader");
    }
}
