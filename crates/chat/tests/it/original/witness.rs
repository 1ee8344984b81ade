//! Handlers that tell of every callback: what is not expected is seen as well.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;

use chat::{
    Address, ChannelMap, Chat, ChatHandler, CloseReason, DispatcherHandler, Endpoint, Error,
    Result, Socket,
};

use crate::common::{Log, name};

type Hook = Box<dyn FnMut(&str, &mut Endpoint, &mut ChannelMap) -> Result>;

/// A dispatcher's handler that records every callback, and has a hook called
/// with each that can fail.
pub(crate) struct Witness {
    log: Log,
    hook: Option<Hook>,
    is_readable: bool,
    /// How often `handle_write` is wanted.
    writes: usize,
}

impl Witness {
    pub(crate) fn new(log: &Log) -> Self {
        Self {
            log: log.clone(),
            hook: None,
            is_readable: true,
            writes: 0,
        }
    }

    pub(crate) fn on_event(
        mut self,
        hook: impl FnMut(&str, &mut Endpoint, &mut ChannelMap) -> Result + 'static,
    ) -> Self {
        self.hook = Some(Box::new(hook));
        self
    }

    pub(crate) fn not_readable(mut self) -> Self {
        self.is_readable = false;
        self
    }

    pub(crate) fn writes(mut self, times: usize) -> Self {
        self.writes = times;
        self
    }

    fn tell(&mut self, event: &str, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        self.log.add(event);
        match &mut self.hook {
            Some(hook) => hook(event, endpoint, map),
            None => Ok(()),
        }
    }
}

impl DispatcherHandler for Witness {
    fn readable(&self, _: &Endpoint) -> bool {
        self.is_readable
    }

    fn writable(&self, _: &Endpoint) -> bool {
        self.writes > 0
    }

    fn handle_connect(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        self.tell("connect", endpoint, map)
    }

    fn handle_read(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        let mut buffer = [0; 1024];
        let len = endpoint.recv(&mut buffer)?;
        if len == 0 {
            return Ok(()); // handle_eof comes next
        }
        let data = buffer[..len].escape_ascii();
        self.tell(&format!("read {data}"), endpoint, map)
    }

    fn handle_write(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        self.writes -= 1;
        self.tell("write", endpoint, map)
    }

    fn handle_expt(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        self.tell("expt", endpoint, map)
    }

    fn handle_accepted(
        &mut self,
        _: Socket,
        _: Address,
        endpoint: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        self.tell("accepted", endpoint, map)
    }

    fn handle_eof(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        endpoint.close_with(CloseReason::Eof);
        self.tell("eof", endpoint, map)
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Endpoint, _: &mut ChannelMap) {
        self.log.add(format!("close {}", name(&reason)));
    }

    fn handle_error(&mut self, error: Error, endpoint: &mut Endpoint, _: &mut ChannelMap) {
        self.log.add(format!("error {error}"));
        endpoint.close_with(CloseReason::HandlerError);
    }
}

/// Calls a function with each accepted connection.
pub(crate) struct Server<F>(pub(crate) F);

impl<F> DispatcherHandler for Server<F>
where
    F: FnMut(Socket, Address, &mut ChannelMap) -> Result + 'static,
{
    fn handle_accepted(
        &mut self,
        socket: Socket,
        addr: Address,
        _: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        self.0(socket, addr, map)
    }
}

/// The documents' two methods and the record of them. A clone is the same record.
#[derive(Clone, Default)]
pub(crate) struct Collector(Rc<RefCell<Collected>>);

#[derive(Default)]
pub(crate) struct Collected {
    /// What was collected before each terminator.
    pub(crate) contents: Vec<String>,
    /// What was collected after the last.
    pub(crate) rest: String,
    /// How many times data was collected.
    pub(crate) parts: usize,
    /// Errors, and the end.
    pub(crate) events: Vec<String>,
}

impl Collector {
    pub(crate) fn take(&self) -> Collected {
        self.0.take()
    }

    pub(crate) fn rest(&self) -> String {
        self.0.borrow().rest.clone()
    }

    pub(crate) fn contents(&self) -> Vec<String> {
        self.0.borrow().contents.clone()
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.0.borrow().events.clone()
    }
}

impl ChatHandler for Collector {
    fn collect_incoming_data(&mut self, data: &[u8], _: &mut Chat, _: &mut ChannelMap) -> Result {
        let mut record = self.0.borrow_mut();
        record.rest.push_str(std::str::from_utf8(data)?);
        record.parts += 1;
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut Chat, _: &mut ChannelMap) -> Result {
        let mut record = self.0.borrow_mut();
        let message = mem::take(&mut record.rest);
        record.contents.push(message);
        Ok(())
    }

    fn handle_close(&mut self, reason: CloseReason, _: &mut Chat, _: &mut ChannelMap) {
        let event = format!("close {}", name(&reason));
        self.0.borrow_mut().events.push(event);
    }

    fn handle_error(&mut self, error: Error, chat: &mut Chat, _: &mut ChannelMap) {
        let event = format!("error {error}");
        self.0.borrow_mut().events.push(event);
        chat.close();
    }
}
