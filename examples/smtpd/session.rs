//! One connection: the original's `SMTPChannel`.

use std::borrow::Cow;
use std::mem;
use std::rc::Rc;
use std::time::Duration;

use chat::{Address, ChannelMap, Chat, Deadline, Hold, Limits, MessageHandler, Result, Timer};
use examples::{Output, Security};

use crate::envelope::Envelope;
use crate::message;
use crate::patience::{Patience, Then};

pub(crate) const LINE_END: &str = "\r\n";

/// Nothing else ends a message. To take `\n.\n` for the same would let a sender
/// smuggle a second one in (CVE-2023-51764).
const DATA_END: &str = "\r\n.\r\n";

/// Bytes of a command without its CRLF (RFC 5321, section 4.5.3.1.4).
const MAX_LINE: usize = 510;

/// With SIZE, BODY and SMTPUTF8 (RFC 1870, RFC 6152 and RFC 6531).
const MAX_MAIL_LINE: usize = MAX_LINE + 26 + 17 + 10;

/// Of a client that says too much that is no mail, until its timer is due.
const DELAYED: Hold = Hold::new(0);

/// RFC 3207: only where TLS can begin.
const STARTTLS: &str = "250-STARTTLS\r\n";

const EXTENSIONS: &str = "250-8BITMIME\r\n250-SMTPUTF8\r\n250-PIPELINING\r\n250 HELP";

const HELP: &str = "214-messages are printed, and delivered nowhere\r\n\
                    214 HELO EHLO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT";

/// How long a message may be, and how long a client may take.
pub(crate) struct Bounds {
    max_size: usize,
    pub(crate) command: Rc<Limits>,
    message: Rc<Limits>,
}

impl Bounds {
    /// RFC 5321, section 4.5.3.2.7 asks for 5 minutes at least between commands.
    pub(crate) fn new(max_size: usize, timeout: Duration) -> Self {
        let limits = |message| {
            let mut limits = Limits::default();
            limits.message = message;
            limits.message_time = timeout;
            limits.idle = timeout;
            Rc::new(limits)
        };
        Self {
            max_size,
            command: limits(MAX_MAIL_LINE),
            // With the CRLF before it.
            message: limits(max_size.saturating_add(LINE_END.len())),
        }
    }
}

pub(crate) struct Session {
    peer: Address,
    stdout: Output,
    patience: Patience,
    bounds: Rc<Bounds>,
    security: Security,
    /// The session goes over TLS from now on.
    is_secure: bool,
    greeting: Greeting,
    /// Begun by MAIL.
    envelope: Option<Envelope>,
    /// A message comes now, and no command.
    in_data: bool,
    /// The end of something too long comes now.
    is_too_long: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Greeting {
    None,
    Helo,
    Ehlo,
}

impl Session {
    pub(crate) fn new(
        peer: Address,
        bounds: Rc<Bounds>,
        security: Security,
        stdout: Output,
    ) -> Self {
        Self {
            peer,
            stdout,
            patience: Patience::default(),
            bounds,
            security,
            is_secure: false,
            greeting: Greeting::None,
            envelope: None,
            in_data: false,
            is_too_long: false,
        }
    }

    /// A command, its answer, and what that has cost.
    fn handle_line(
        &mut self,
        line: &[u8],
        is_too_long: bool,
        chat: &mut Chat,
        map: &mut ChannelMap,
    ) {
        let line = match std::str::from_utf8(line) {
            Ok(line) if Patience::is_http(line) => {
                log::warn!("{} speaks HTTP", self.peer);
                return hang_up(chat, "421 this is no web server");
            }
            line => line,
        };
        let (verb, answer) = match line {
            _ if is_too_long => (String::new(), "500 line too long".into()),
            Err(_) => (String::new(), "500 that is no UTF-8".into()),
            Ok(line) => self.answer(line, chat),
        };
        reply(chat, &answer);
        match (&verb[..], &answer[..3]) {
            ("QUIT", _) | ("STARTTLS", "554") => return chat.close_when_done(),
            ("STARTTLS", "220") => return self.start_tls(chat),
            _ => {}
        }
        match self.patience.judge(&verb, &answer) {
            Then::GoOn => {}
            Then::Wait(delay) => {
                chat.hold(DELAYED);
                map.set_timer(chat.token(), map.now() + delay);
            }
            Then::HangUp => {
                log::warn!("{} says too much that is no mail", self.peer);
                hang_up(chat, "421 too many bad commands");
            }
        }
    }

    /// The verb of a command, and its answer.
    fn answer(&mut self, line: &str, chat: &mut Chat) -> (String, Cow<'static, str>) {
        if line.contains(char::is_control) {
            let answer = "500 a command has no control characters";
            return (String::new(), answer.into());
        }
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        let verb = verb.to_ascii_uppercase();
        let answer = match line.len() > MAX_LINE && verb != "MAIL" {
            true => "500 line too long".into(),
            false => self.handle_command(&verb, argument.trim(), chat),
        };
        (verb, answer)
    }

    fn handle_command(&mut self, verb: &str, argument: &str, chat: &mut Chat) -> Cow<'static, str> {
        let is_greeted = self.greeting != Greeting::None;
        let has_recipient = matches!(&self.envelope, Some(envelope) if !envelope.to.is_empty());
        let answer = match (verb, argument) {
            ("HELO", "") => "501 syntax: HELO name",
            ("HELO", _) => {
                self.greeting = Greeting::Helo;
                self.envelope = None;
                "250 localhost"
            }
            ("EHLO", "") => "501 syntax: EHLO name",
            ("EHLO", _) => {
                self.greeting = Greeting::Ehlo;
                self.envelope = None;
                let size = format!("250-localhost\r\n250-SIZE {}\r\n", self.bounds.max_size);
                let starttls = if self.may_start_tls() { STARTTLS } else { "" };
                return (size + starttls + EXTENSIONS).into();
            }
            ("STARTTLS", "") if self.may_start_tls() => match chat.undelivered() {
                0 => "220 go ahead",
                // Whoever is between us could have put it there (CVE-2011-0411).
                _ => "554 nothing may follow STARTTLS",
            },
            ("STARTTLS", "") if self.is_secure => "503 this is TLS already",
            ("MAIL" | "RCPT" | "DATA", _) if !is_greeted => "503 HELO or EHLO first",
            ("MAIL", _) if self.envelope.is_some() => "503 one message at a time",
            ("MAIL", _) => {
                let is_extended = self.greeting == Greeting::Ehlo;
                match Envelope::parse(argument, is_extended, self.bounds.max_size) {
                    Ok(envelope) => {
                        self.envelope = Some(envelope);
                        "250 OK"
                    }
                    Err(refusal) => refusal,
                }
            }
            ("RCPT", _) => match &mut self.envelope {
                Some(envelope) => envelope.add(argument).err().unwrap_or("250 OK"),
                None => "503 MAIL first",
            },
            ("DATA", "") if has_recipient => self.begin_data(chat),
            ("DATA", "") => "503 RCPT first",
            ("RSET", "") => {
                self.envelope = None;
                "250 OK"
            }
            ("DATA" | "RSET" | "STARTTLS", _) => "501 this command has no argument",
            ("NOOP", _) => "250 OK",
            ("VRFY", "") => "501 syntax: VRFY address",
            ("VRFY", _) => "252 who knows; a message would be taken",
            ("EXPN", _) => "502 there are no lists here",
            ("HELP", _) => HELP,
            ("QUIT", _) => "221 bye",
            _ => "500 no command of this server's",
        };
        answer.into()
    }

    fn may_start_tls(&self) -> bool {
        self.security.is_there() && !self.is_secure
    }

    /// All that was said in the clear is forgotten (RFC 3207, section 4.2).
    fn start_tls(&mut self, chat: &mut Chat) {
        if let Err(pending) = self.security.start(chat) {
            log::warn!("{}: {pending}", self.peer);
            return chat.close();
        }
        self.is_secure = true;
        self.greeting = Greeting::None;
        self.envelope = None;
    }

    fn begin_data(&mut self, chat: &mut Chat) -> &'static str {
        self.in_data = true;
        chat.set_limits(Rc::clone(&self.bounds.message));
        chat.set_terminator(DATA_END);
        chat.unread(LINE_END); // the command's own comes before an empty message's dot
        "354 a line with nothing but a dot is the end"
    }

    fn handle_data(
        &mut self,
        data: &[u8],
        is_too_long: bool,
        chat: &mut Chat,
        map: &mut ChannelMap,
    ) {
        self.in_data = false;
        chat.set_limits(Rc::clone(&self.bounds.command));
        chat.set_terminator(LINE_END);
        let Some(envelope) = self.envelope.take() else {
            return;
        };
        if is_too_long {
            return reply(chat, "552 that is more than SIZE says");
        }
        let text = message::print(&self.peer, &envelope, data);
        match self.stdout.print(text, map) {
            true => {
                self.patience.renew();
                reply(chat, "250 OK");
            }
            false => reply(chat, "451 it cannot be printed"),
        }
    }
}

impl MessageHandler for Session {
    fn handle_connect(&mut self, chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        reply(chat, "220 localhost ESMTP");
        Ok(())
    }

    fn handle_message(&mut self, message: &[u8], chat: &mut Chat, map: &mut ChannelMap) -> Result {
        let is_too_long = mem::take(&mut self.is_too_long);
        match self.in_data {
            true => self.handle_data(message, is_too_long, chat, map),
            false => self.handle_line(message, is_too_long, chat, map),
        }
        Ok(())
    }

    fn handle_overlimit(&mut self, chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        self.is_too_long = true;
        chat.skip_message();
        Ok(())
    }

    fn handle_deadline(&mut self, _: Deadline, chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        log::info!("{} takes too long", self.peer);
        hang_up(chat, "421 that takes too long");
        Ok(())
    }

    fn handle_timer(&mut self, _: Timer, chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        chat.release(DELAYED);
        Ok(())
    }

    fn handle_shutdown(&mut self, chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        hang_up(chat, "421 this server ends");
        Ok(())
    }
}

fn hang_up(chat: &mut Chat, last_word: &str) {
    reply(chat, last_word);
    chat.close_when_done();
}

fn reply(chat: &mut Chat, reply: &str) {
    chat.push(reply);
    chat.push(LINE_END);
}
