//! One connection: the documents' `http_request_handler`.

use std::mem;
use std::rc::Rc;
use std::time::Duration;

use chat::{Address, ChannelMap, Chat, ChatHandler, CloseReason, ReadProducer, Result, Timer};
use http::{Method, StatusCode};

use crate::body::{self, Progress};
use crate::dates::Dates;
use crate::deadline::Deadline;
use crate::files::Root;
use crate::request::{Body, Head};
use crate::response::Response;

const HEAD_END: &str = "\r\n\r\n";

/// From its first byte, or from the connection's start, a head must be there
/// in this time.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// So long a connection may wait for its next request, a body may take, and a
/// peer not take any of its response.
const IDLE_TIME: Duration = Duration::from_secs(60);

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) root: Root,
    pub(crate) dates: Dates,
}

pub(crate) struct HttpRequestHandler {
    addr: Address,
    site: Rc<Site>,
    /// What is collected, but for bodies.
    ibuffer: Vec<u8>,
    state: State,
    /// The request is a `HEAD`: no body is sent.
    is_head: bool,
    deadline: Deadline,
    /// Bytes sent when the deadline was set.
    sent: u64,
}

enum State {
    /// Nothing of the next request is there.
    Idle,
    Head,
    Body(Head, body::Reader),
    /// A response is on its way that is too large to read on meanwhile.
    Sending,
}

impl HttpRequestHandler {
    pub(crate) fn new(addr: Address, site: Rc<Site>) -> Self {
        Self {
            addr,
            site,
            ibuffer: Vec::new(),
            state: State::Idle,
            is_head: false,
            deadline: Deadline::default(),
            sent: 0,
        }
    }

    fn found_head(&mut self, head: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let head = without_empty_lines(head);
        if head.is_empty() {
            return Ok(());
        }
        self.is_head = is_head(head);
        match Head::parse(head) {
            Ok(head) => self.handle_head(head, chat, map),
            Err(status) => self.refuse(status, chat, map),
        }
    }

    /// Answers at once, or has the body collected first.
    fn handle_head(&mut self, mut head: Head, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let takes_body = head.method == Method::POST && head.target.path() == "/echo";
        if !takes_body {
            // A body that nobody asked for is not read, and must not be taken
            // for the next request.
            head.keep_alive &= matches!(head.body, Body::None | Body::Length(0));
            return self.handle_request(&head, &[], chat, map);
        }
        let begun = match head.body {
            Body::None => Err(StatusCode::LENGTH_REQUIRED),
            Body::Length(length) => body::Reader::with_length(length),
            Body::Chunked => Ok(body::Reader::chunked()),
        };
        match begun {
            Ok((reader, terminator)) => {
                if head.expects_continue {
                    chat.push("HTTP/1.1 100 Continue\r\n\r\n");
                }
                chat.set_terminator(terminator);
                self.state = State::Body(head, reader);
                self.expect_within(IDLE_TIME, chat, map);
                Ok(())
            }
            Err(status) => self.refuse(status, chat, map),
        }
    }

    fn handle_request(
        &mut self,
        head: &Head,
        body: &[u8],
        chat: &mut Chat,
        map: &mut ChannelMap,
    ) -> Result {
        let is_get = head.method == Method::GET || head.method == Method::HEAD;
        match (head.target.path(), is_get) {
            _ if !is_known(&head.method) => {
                self.fail(head, StatusCode::NOT_IMPLEMENTED, chat, map)?;
            }
            ("/plaintext", true) => self.send(head, "text/plain", b"Hello, World!", chat, map)?,
            ("/echo", _) if head.method == Method::POST => {
                self.send(head, "application/octet-stream", body, chat, map)?;
            }
            (path, true) if path != "/echo" => match self.site.root.find(path) {
                Ok(found) => {
                    let response = Response {
                        media_type: &found.media_type,
                        length: found.len,
                        ..respond(head, StatusCode::OK)
                    };
                    self.push_head(head, &response, chat, map)?;
                    if head.method != Method::HEAD && found.len > 0 {
                        // Less than announced would be taken for all of it, or
                        // the next response for the rest: then the channel closes.
                        chat.push_with_producer(ReadProducer::exact(found.file, found.len));
                    }
                }
                Err(status) => self.fail(head, status, chat, map)?,
            },
            _ => self.fail(head, StatusCode::METHOD_NOT_ALLOWED, chat, map)?,
        }
        self.await_next(head.keep_alive, chat, map);
        Ok(())
    }

    fn send(
        &self,
        head: &Head,
        media_type: &str,
        body: &[u8],
        chat: &mut Chat,
        map: &ChannelMap,
    ) -> Result {
        let response = Response {
            media_type,
            length: body.len() as u64,
            ..respond(head, StatusCode::OK)
        };
        self.push_head(head, &response, chat, map)?;
        if head.method != Method::HEAD {
            chat.push(body);
        }
        Ok(())
    }

    /// Answers that there is nothing to be had.
    fn fail(&self, head: &Head, status: StatusCode, chat: &mut Chat, map: &ChannelMap) -> Result {
        let text = format!("{status}\n");
        let response = Response {
            length: text.len() as u64,
            allow: (status == StatusCode::METHOD_NOT_ALLOWED).then(|| allowed(head.target.path())),
            ..respond(head, status)
        };
        self.push_head(head, &response, chat, map)?;
        if head.method != Method::HEAD {
            chat.push(text);
        }
        Ok(())
    }

    fn push_head(
        &self,
        head: &Head,
        response: &Response<'_>,
        chat: &mut Chat,
        map: &ChannelMap,
    ) -> Result {
        response.push(&self.site.dates.at(map.now()), chat)?;
        let (addr, status) = (&self.addr, response.status.as_u16());
        log::info!(
            "{addr} \"{} {}\" {status} {}",
            head.method,
            head.target,
            response.length
        );
        Ok(())
    }

    /// Refuses what cannot be read on: nobody knows where the next request
    /// begins.
    fn refuse(&mut self, status: StatusCode, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let text = format!("{status}\n");
        let response = Response {
            status,
            media_type: "text/plain",
            length: text.len() as u64,
            allow: None,
            keep_alive: false,
            is_1_1: true,
        };
        response.push(&self.site.dates.at(map.now()), chat)?;
        if let State::Head = self.state {
            self.is_head = is_head(&self.ibuffer); // as far as it goes
        }
        if !self.is_head {
            chat.push(text);
        }
        log::info!("{} refused: {}", self.addr, status.as_u16());
        self.finish(chat, map);
        Ok(())
    }

    fn await_next(&mut self, keep_alive: bool, chat: &mut Chat, map: &mut ChannelMap) {
        if !keep_alive {
            return self.finish(chat, map);
        }
        chat.set_terminator(HEAD_END);
        self.state = State::Idle;
        self.is_head = false;
        if chat.needs_drain() {
            // A client that asks on without reading waits.
            chat.pause();
            self.state = State::Sending;
        }
        self.expect_within(IDLE_TIME, chat, map);
    }

    /// The response was the last; from here on the channel's own limits count.
    fn finish(&mut self, chat: &mut Chat, map: &mut ChannelMap) {
        self.deadline.clear(map);
        chat.close_when_done();
    }

    fn expect_within(&mut self, time: Duration, chat: &Chat, map: &mut ChannelMap) {
        self.sent = chat.sent();
        self.deadline.set(map.now() + time, chat.token(), map);
    }
}

impl ChatHandler for HttpRequestHandler {
    fn handle_connect(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        self.expect_within(HEAD_TIME, chat, map);
        Ok(())
    }

    fn collect_incoming_data(
        &mut self,
        data: &[u8],
        chat: &mut Chat,
        map: &mut ChannelMap,
    ) -> Result {
        match &mut self.state {
            State::Body(_, reader) if reader.takes_data() => reader.extend(data),
            State::Idle => {
                self.state = State::Head;
                self.expect_within(HEAD_TIME, chat, map);
                self.ibuffer.extend_from_slice(data);
            }
            _ => self.ibuffer.extend_from_slice(data),
        }
        Ok(())
    }

    fn found_terminator(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let received = mem::take(&mut self.ibuffer);
        let State::Body(_, reader) = &mut self.state else {
            return self.found_head(&received, chat, map);
        };
        match reader.advance(&received) {
            Ok(Progress::Next(terminator)) => chat.set_terminator(terminator),
            Ok(Progress::Done(body)) => {
                if let State::Body(head, _) = mem::replace(&mut self.state, State::Idle) {
                    self.handle_request(&head, &body, chat, map)?;
                }
            }
            Err(status) => self.refuse(status, chat, map)?,
        }
        Ok(())
    }

    /// A head that came in one piece is not collected first.
    fn collect_and_find(&mut self, data: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
        if let State::Idle = self.state {
            return self.found_head(data, chat, map);
        }
        if !data.is_empty() {
            self.collect_incoming_data(data, chat, map)?;
        }
        self.found_terminator(chat, map)
    }

    fn handle_overlimit(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let status = match &self.state {
            State::Body(_, reader) => reader.too_long(),
            _ if !without_empty_lines(&self.ibuffer).contains(&b'\n') => StatusCode::URI_TOO_LONG,
            _ => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        };
        self.refuse(status, chat, map)
    }

    fn handle_drained(&mut self, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        if let State::Sending = self.state {
            self.state = State::Idle;
            self.expect_within(IDLE_TIME, chat, map);
            chat.resume();
        }
        Ok(())
    }

    fn handle_timer(&mut self, _timer: Timer, chat: &mut Chat, map: &mut ChannelMap) -> Result {
        if !self.deadline.has_passed(chat.token(), map) {
            return Ok(());
        }
        match self.state {
            State::Sending if chat.sent() > self.sent => self.expect_within(IDLE_TIME, chat, map),
            State::Idle | State::Sending => chat.close_with(CloseReason::TimedOut),
            State::Head | State::Body(..) => self.refuse(StatusCode::REQUEST_TIMEOUT, chat, map)?,
        }
        Ok(())
    }
}

fn is_head(head: &[u8]) -> bool {
    without_empty_lines(head).starts_with(b"HEAD ")
}

/// RFC 9112, section 2.2: empty lines before a request are ignored.
fn without_empty_lines(mut head: &[u8]) -> &[u8] {
    while let Some(rest) = head.strip_prefix(b"\r\n") {
        head = rest;
    }
    head
}

fn respond(head: &Head, status: StatusCode) -> Response<'static> {
    Response {
        status,
        media_type: "text/plain",
        length: 0,
        allow: None,
        keep_alive: head.keep_alive,
        is_1_1: head.is_1_1,
    }
}

/// The methods that RFC 9110 and RFC 5789 define: not allowed is not the same
/// as not known.
fn is_known(method: &Method) -> bool {
    [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ]
    .contains(method)
}

fn allowed(path: &str) -> &'static str {
    match path {
        "/echo" => "POST",
        _ => "GET, HEAD",
    }
}
