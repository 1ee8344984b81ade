//! What is sent.

use std::io::{self, Write};
use std::time::SystemTime;

use chat::Chat;
use http::StatusCode;

/// The head of a response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Response<'r> {
    pub(crate) status: StatusCode,
    pub(crate) media_type: &'r str,
    /// Of the body, in bytes; for `HEAD`, of the one that is not sent.
    pub(crate) length: u64,
    /// Methods for `Allow`, which 405 needs.
    pub(crate) allow: Option<&'static str>,
    pub(crate) keep_alive: bool,
    /// HTTP/1.0 clients are told if the connection stays.
    pub(crate) is_1_1: bool,
}

impl Response<'_> {
    /// Pushes the head.
    pub(crate) fn push(&self, chat: &mut Chat) -> io::Result<()> {
        let reason = self.status.canonical_reason().unwrap_or_default();
        write!(
            chat,
            "HTTP/1.1 {} {reason}\r\n\
             Date: {}\r\n\
             Content-Type: {}\r\n\
             Content-Length: {}\r\n",
            self.status.as_u16(),
            httpdate::HttpDate::from(SystemTime::now()),
            self.media_type,
            self.length,
        )?;
        if let Some(methods) = self.allow {
            write!(chat, "Allow: {methods}\r\n")?;
        }
        match (self.keep_alive, self.is_1_1) {
            (false, _) => chat.push("Connection: close\r\n"),
            (true, false) => chat.push("Connection: keep-alive\r\n"),
            (true, true) => {}
        }
        chat.push("\r\n");
        Ok(())
    }
}
