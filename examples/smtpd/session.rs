//! One connection: the original's `SMTPChannel`.

use std::io::{self, Write};
use std::mem;
use std::rc::Rc;

use chat::{Address, ChannelMap, Chat, Limits, MessageHandler, Result};

use crate::envelope::Envelope;
use crate::message;

pub(crate) const LINE_END: &str = "\r\n";

/// Nothing else ends a message. To take `\n.\n` for the same would let a sender
/// smuggle a second one in (CVE-2023-51764).
const DATA_END: &str = "\r\n.\r\n";

/// Bytes of a command without its CRLF (RFC 5321, section 4.5.3.1.4).
const MAX_LINE: usize = 510;

/// With SIZE, BODY and SMTPUTF8 (RFC 1870, RFC 6152 and RFC 6531).
const MAX_MAIL_LINE: usize = MAX_LINE + 26 + 17 + 10;

const COMMANDS: &str = "HELO EHLO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT";

/// How long what comes may be: a command, a message.
pub(crate) struct Sizes {
    pub(crate) command: Rc<Limits>,
    pub(crate) message: Rc<Limits>,
}

impl Sizes {
    pub(crate) fn new(max_size: usize) -> Self {
        let limits = |message| {
            let mut limits = Limits::default();
            limits.message = message;
            Rc::new(limits)
        };
        Self {
            command: limits(MAX_MAIL_LINE),
            // With the CRLF before it.
            message: limits(max_size.saturating_add(LINE_END.len())),
        }
    }
}

pub(crate) struct Session {
    peer: Address,
    max_size: usize,
    sizes: Rc<Sizes>,
    greeting: Greeting,
    /// Begun by MAIL.
    envelope: Option<Envelope>,
    /// What comes is a message, and no command.
    in_data: bool,
    /// What comes is the end of something that was not taken.
    is_too_long: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Greeting {
    None,
    Helo,
    Ehlo,
}

impl Session {
    pub(crate) fn new(peer: Address, max_size: usize, sizes: Rc<Sizes>) -> Self {
        Self {
            peer,
            max_size,
            sizes,
            greeting: Greeting::None,
            envelope: None,
            in_data: false,
            is_too_long: false,
        }
    }

    fn handle_line(&mut self, line: &[u8], is_too_long: bool, chat: &mut Chat) {
        let len = line.len();
        if is_too_long {
            return reply(chat, "500 line too long");
        }
        let Ok(line) = std::str::from_utf8(line) else {
            return reply(chat, "500 that is no UTF-8");
        };
        if line.contains(char::is_control) {
            return reply(chat, "500 a command has no control characters");
        }
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        let verb = verb.to_ascii_uppercase();
        if len > MAX_LINE && verb != "MAIL" {
            return reply(chat, "500 line too long");
        }
        self.handle_command(&verb, argument.trim(), chat);
    }

    fn handle_command(&mut self, verb: &str, argument: &str, chat: &mut Chat) {
        let is_greeted = self.greeting != Greeting::None;
        let has_recipient = matches!(&self.envelope, Some(envelope) if !envelope.to.is_empty());
        match (verb, argument) {
            ("HELO", "") => reply(chat, "501 syntax: HELO name"),
            ("HELO", _) => {
                self.greeting = Greeting::Helo;
                self.envelope = None;
                reply(chat, "250 localhost");
            }
            ("EHLO", "") => reply(chat, "501 syntax: EHLO name"),
            ("EHLO", _) => {
                self.greeting = Greeting::Ehlo;
                self.envelope = None;
                reply(chat, "250-localhost");
                reply(chat, &format!("250-SIZE {}", self.max_size));
                reply(
                    chat,
                    "250-8BITMIME\r\n250-SMTPUTF8\r\n250-PIPELINING\r\n250 HELP",
                );
            }
            ("MAIL" | "RCPT" | "DATA", _) if !is_greeted => reply(chat, "503 HELO or EHLO first"),
            ("MAIL", _) if self.envelope.is_some() => reply(chat, "503 one message at a time"),
            ("MAIL", _) => {
                let is_extended = self.greeting == Greeting::Ehlo;
                match Envelope::parse(argument, is_extended, self.max_size) {
                    Ok(envelope) => {
                        self.envelope = Some(envelope);
                        reply(chat, "250 OK");
                    }
                    Err(refusal) => reply(chat, refusal),
                }
            }
            ("RCPT", _) => match &mut self.envelope {
                Some(envelope) => reply(chat, envelope.add(argument).err().unwrap_or("250 OK")),
                None => reply(chat, "503 MAIL first"),
            },
            ("DATA", "") if has_recipient => self.begin_data(chat),
            ("DATA", "") => reply(chat, "503 RCPT first"),
            ("RSET", "") => {
                self.envelope = None;
                reply(chat, "250 OK");
            }
            ("DATA" | "RSET", _) => reply(chat, "501 this command has no argument"),
            ("NOOP", _) => reply(chat, "250 OK"),
            ("VRFY", "") => reply(chat, "501 syntax: VRFY address"),
            ("VRFY", _) => reply(chat, "252 who knows; a message would be taken"),
            ("EXPN", _) => reply(chat, "502 there are no lists here"),
            ("HELP", _) => {
                reply(chat, "214-messages are printed, and delivered nowhere");
                reply(chat, &format!("214 {COMMANDS}"));
            }
            ("QUIT", _) => {
                reply(chat, "221 bye");
                chat.close_when_done();
            }
            _ => reply(chat, "500 no command of this server's"),
        }
    }

    fn begin_data(&mut self, chat: &mut Chat) {
        self.in_data = true;
        chat.set_limits(Rc::clone(&self.sizes.message));
        chat.set_terminator(DATA_END);
        chat.unread(LINE_END); // the command's own comes before an empty message's dot
        reply(chat, "354 a line with nothing but a dot is the end");
    }

    fn handle_data(&mut self, data: &[u8], is_too_long: bool, chat: &mut Chat) {
        self.in_data = false;
        chat.set_limits(Rc::clone(&self.sizes.command));
        chat.set_terminator(LINE_END);
        let Some(envelope) = self.envelope.take() else {
            return;
        };
        if is_too_long {
            return reply(chat, "552 that is more than SIZE says");
        }
        let text = message::print(&self.peer, &envelope, data);
        match io::stdout().write_all(text.as_bytes()) {
            Ok(()) => reply(chat, "250 OK"),
            Err(error) => {
                log::error!("a message cannot be printed: {error}");
                reply(chat, "451 it cannot be printed");
            }
        }
    }
}

impl MessageHandler for Session {
    fn handle_connect(&mut self, chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        reply(chat, "220 localhost ESMTP");
        Ok(())
    }

    fn handle_message(&mut self, message: &[u8], chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        let is_too_long = mem::take(&mut self.is_too_long);
        match self.in_data {
            true => self.handle_data(message, is_too_long, chat),
            false => self.handle_line(message, is_too_long, chat),
        }
        // Who does not read the answers is not asked for more commands.
        if chat.needs_drain() {
            chat.pause();
        }
        Ok(())
    }

    fn handle_overlimit(&mut self, chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        self.is_too_long = true;
        chat.skip_message();
        Ok(())
    }

    fn handle_drained(&mut self, chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        chat.resume();
        Ok(())
    }

    fn handle_shutdown(&mut self, chat: &mut Chat, _map: &mut ChannelMap) -> Result {
        reply(chat, "421 this server ends");
        chat.close_when_done();
        Ok(())
    }
}

fn reply(chat: &mut Chat, reply: &str) {
    chat.push(reply);
    chat.push(LINE_END);
}
