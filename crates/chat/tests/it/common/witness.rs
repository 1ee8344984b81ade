//! What [`Probe`](super::Probe) is for chats, for dispatchers: every callback is
//! told, and so what is not expected is seen as well.

use chat::{
    Address, ChannelMap, CloseReason, DispatcherHandler, Endpoint, Error, Result, Socket, Stream,
};

use super::{Log, name};

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

    fn handle_convert(&mut self, endpoint: &mut Endpoint, map: &mut ChannelMap) -> Result {
        self.tell("convert", endpoint, map)
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
        _: Stream,
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
    F: FnMut(Stream, Address, &mut ChannelMap) -> Result + 'static,
{
    fn handle_accepted(
        &mut self,
        stream: Stream,
        addr: Address,
        _: &mut Endpoint,
        map: &mut ChannelMap,
    ) -> Result {
        self.0(stream, addr, map)
    }
}
