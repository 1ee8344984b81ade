//! Channels that reach each other while one of them is in its own callback: by a post, or
//! a push by token. Found before to be lost, silently, in every program that was written.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use chat::{
    Absent, AsyncChat, ChannelMap, Chat, ChatMap, Dispatcher, DispatcherHandler, Handle,
    MessageHandler, Result, Terminator, TimerChannel, Token,
};

use crate::common::{turn_to_rest, turn_until, unix_pair};

/// Ends of a socket; the peer's waits, but not for ever.
fn pair() -> (UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    (ours, theirs)
}

/// A room that knows its members by their tokens, of whatever protocol.
#[derive(Default)]
struct Room(Vec<Token>);

impl DispatcherHandler for Room {}

impl Room {
    fn tell(&self, news: &str, map: &mut ChannelMap) {
        for &member in &self.0 {
            assert_eq!(map.push(member, news.to_owned()), Ok(true));
        }
    }
}

/// A member whose lines end with `END`.
struct Member<const END: char> {
    room: Handle<Dispatcher<Room>>,
}

impl<const END: char> MessageHandler for Member<END> {
    fn handle_message(&mut self, nick: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let news = format!("{} joined\n", String::from_utf8_lossy(nick));
        let me = chat.token();
        map.with(self.room, |room, map| {
            room.handler.0.push(me);
            room.handler.tell(&news, map);
        })?;
        Ok(())
    }
}

#[test]
fn who_joins_hears_it_like_all_others_whatever_their_protocols_are() {
    let mut map = ChannelMap::new().unwrap();
    let (room, _peer) = unix_pair();
    let room = map.insert(Dispatcher::new(room, Room::default())).unwrap();
    let (ours, mut ada) = pair();
    let channel = AsyncChat::new(ours, "\n", Member::<'\n'> { room });
    map.insert(channel).unwrap();
    let (ours, mut bob) = pair();
    let channel = AsyncChat::new(ours, ";", Member::<';'> { room });
    map.insert(channel).unwrap();

    ada.write_all(b"ada\n").unwrap();
    turn_to_rest(&mut map);
    bob.write_all(b"bob;").unwrap();
    turn_to_rest(&mut map);
    let mut heard = [0; 22];
    ada.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"ada joined\nbob joined\n");
    bob.read_exact(&mut heard[..11]).unwrap();
    assert_eq!(&heard[..11], b"bob joined\n");
}

/// FTP: the data channel tells the control channel that it is there, and that tells it
/// what to do.
struct Control {
    job: Option<&'static str>,
}

struct Data {
    control: Handle<AsyncChat<Control>>,
}

impl MessageHandler for Control {
    fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        Ok(())
    }
}

impl Control {
    fn begin(&mut self, data: Handle<AsyncChat<Data>>, map: &mut ChannelMap) {
        let job = self.job.take().expect("there is one");
        assert_eq!(map.get_mut(data).err(), Some(Absent::InCallback));
        map.post(data, move |data, _| {
            let chat = &mut data.expect("it is still there").chat;
            chat.push(job);
            chat.close_when_done();
        });
    }
}

impl MessageHandler for Data {
    fn handle_connect(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let me = chat.token().handle();
        map.with(self.control, |control, map| control.handler.begin(me, map))?;
        Ok(())
    }

    fn handle_message(&mut self, _: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        Ok(())
    }
}

#[test]
fn a_job_that_comes_back_to_the_channel_that_asked_for_it_is_done() {
    let mut map = ChannelMap::new().unwrap();
    let (ours, _theirs) = unix_pair();
    let job = Some("the file");
    let control = AsyncChat::new(ours, "\n", Control { job });
    let control = map.insert(control).unwrap();
    let (ours, mut theirs) = pair();
    let data = AsyncChat::new(ours, Terminator::none(), Data { control });
    map.insert(data).unwrap();
    turn_to_rest(&mut map);
    drop(theirs.shutdown(std::net::Shutdown::Write));
    turn_until(&mut map, |map| map.len() == 1);
    let mut file = String::new();
    theirs.read_to_string(&mut file).unwrap();
    assert_eq!(file, "the file");
}

/// A client whose replies go to whoever asked.
#[derive(Default)]
struct Client {
    waiting: VecDeque<Completion>,
}

type Completion = Box<dyn FnOnce(&[u8], &mut ChannelMap)>;

type ClientHandle = Handle<AsyncChat<Client>>;

fn ask(
    client: ClientHandle,
    request: String,
    map: &mut ChannelMap,
    completion: impl FnOnce(&[u8], &mut ChannelMap) + 'static,
) {
    map.post(client, move |client, _| {
        let client = client.expect("it is connected");
        client.chat.push(request);
        client.handler.waiting.push_back(Box::new(completion));
    });
}

impl MessageHandler for Client {
    fn handle_message(&mut self, reply: &[u8], _: &mut Chat, map: &mut ChannelMap) -> Result {
        let completion = self.waiting.pop_front().ok_or("nobody has asked")?;
        completion(reply, map);
        Ok(())
    }
}

#[test]
fn a_completion_asks_the_same_client_again() {
    let mut map = ChannelMap::new().unwrap();
    let (ours, theirs) = pair();
    let client = AsyncChat::new(ours, "\n", Client::default());
    let client = map.insert(client).unwrap();
    let remote = map.remote();
    ask(client, "GET a\n".to_owned(), &mut map, move |reply, map| {
        let next = format!("GET {}\n", String::from_utf8_lossy(reply));
        ask(client, next, map, move |reply, map| {
            assert_eq!(reply, b"c");
            map.close(client);
        });
    });
    let server = std::thread::spawn(move || {
        let mut theirs = BufReader::new(theirs);
        for (expected, reply) in [("GET a\n", "b\n"), ("GET b\n", "c\n")] {
            let mut line = String::new();
            theirs.read_line(&mut line).unwrap();
            assert_eq!(line, expected);
            theirs.get_mut().write_all(reply.as_bytes()).unwrap();
        }
        drop(remote);
    });
    turn_until(&mut map, |map| map.is_empty());
    server.join().unwrap();
}

/// A channel of another kind is told from one that is gone.
#[test]
fn a_push_says_why_it_reaches_nobody() {
    let mut map = ChannelMap::new().unwrap();
    let timer = map.insert(TimerChannel::new(|_, _, _| Ok(()))).unwrap();
    assert_eq!(map.push(timer, "x"), Err(Absent::OtherType));
    let (ours, _theirs) = unix_pair();
    let chat = map.insert(AsyncChat::new(ours, "\n", ()));
    let chat = chat.unwrap();
    assert_eq!(map.push(chat, "x"), Ok(true));
    map.chat_mut(chat).unwrap().close_when_done();
    assert_eq!(map.push(chat, "x"), Ok(false));
    map.close(chat);
    assert_eq!(map.push(chat, "x"), Err(Absent::Closed));
}

#[test]
fn a_token_reaches_the_chat_of_a_chat_channel_and_the_endpoint_of_a_dispatcher() {
    let mut map = ChannelMap::new().unwrap();
    let ((a, _a), (b, _b)) = (pair(), pair());
    let chat = map.insert(AsyncChat::new(a, "\n", ())).unwrap().token();
    let raw = map.insert(Dispatcher::new(b, ())).unwrap().token();
    let timer = map.insert(TimerChannel::new(|_, _, _| Ok(()))).unwrap();
    assert_eq!(map.chat_mut(chat).unwrap().token(), chat);
    assert_eq!(map.endpoint_mut(raw).unwrap().token(), raw);
    let absent = |map: &mut ChannelMap, channel: Token| {
        (map.chat_mut(channel).err(), map.endpoint_mut(channel).err())
    };
    let other = Some(Absent::OtherType);
    assert_eq!(absent(&mut map, chat), (None, other));
    assert_eq!(absent(&mut map, raw), (other, None));
    assert_eq!(absent(&mut map, timer.token()), (other, other));
    let inside = map.with(raw.handle::<Dispatcher<()>>(), |_, map| absent(map, raw));
    let in_callback = Some(Absent::InCallback);
    assert_eq!(inside, Ok((in_callback, in_callback)));
    map.close(raw);
    let closed = Some(Absent::Closed);
    assert_eq!(absent(&mut map, raw), (closed, closed));
}
