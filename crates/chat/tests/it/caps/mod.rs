//! How many a listener lets in, in all and of one address, and who goes for a newcomer.

mod limits;
mod network;
mod places;
mod sockets;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use chat::bytes::Bytes;
use chat::{
    Address, AsyncChat, ChannelMap, Chat, CloseReason, DispatcherHandler, Endpoint, Limits,
    MessageHandler, Result, Stream, WhenFull,
};

use crate::common::name;

const REFUSAL: &str = "421 too many\r\n";
const GOODBYE: &str = "420 make room\r\n";

/// What the guests of a server tell, each by its number: `0 came`, `0 hello`, `0 Evicted`.
pub(crate) type Told = Rc<RefCell<Vec<String>>>;

/// Takes each connection that it gets, and numbers them.
struct Server {
    told: Told,
    guests: usize,
    limits: Rc<Limits>,
}

/// Says nothing; closes when done at the word `quit`.
struct Guest {
    told: Told,
    number: usize,
}

impl Server {
    fn new(told: &Told) -> Self {
        let mut limits = Limits::default();
        limits.goodbye = GOODBYE.into();
        limits.linger = Duration::from_secs(60);
        Self {
            told: Rc::clone(told),
            guests: 0,
            limits: Rc::new(limits),
        }
    }
}

impl DispatcherHandler for Server {
    fn handle_accepted(
        &mut self,
        stream: Stream,
        _: Address,
        _: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        let guest = Guest {
            told: Rc::clone(&self.told),
            number: self.guests,
        };
        guest.tell("came");
        self.guests += 1;
        map.insert(AsyncChat::new(stream, "\n", guest).limited(Rc::clone(&self.limits)))?;
        Ok(())
    }
}

impl Guest {
    fn tell(&self, what: &str) {
        self.told
            .borrow_mut()
            .push(format!("{} {what}", self.number));
    }
}

impl MessageHandler for Guest {
    fn handle_message(&mut self, line: &[u8], chat: &mut Chat, _: &mut ChannelMap) -> Result {
        match line {
            b"quit" => chat.close_when_done(),
            line => self.tell(std::str::from_utf8(line)?),
        }
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        self.tell(&name(&reason));
    }
}

fn take(told: &Told) -> Vec<String> {
    told.take()
}

/// A listener's limits: so many channels in all and of one address, and a refusal.
fn caps(connections: usize, connections_per_address: usize, when_full: WhenFull) -> Limits {
    let mut limits = Limits::default();
    limits.admission.connections = connections;
    limits.admission.connections_per_address = connections_per_address;
    limits.admission.when_full = when_full;
    limits.admission.when_address_full = when_full;
    limits.admission.refusal = Bytes::from_static(REFUSAL.as_bytes());
    limits
}
