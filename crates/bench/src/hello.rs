//! The raw loop's answer to `GET /plaintext`.

use std::mem;
use std::ptr;

/// The answer with its `Date`, which is written anew each second.
#[derive(Debug, Default)]
pub struct Hello {
    answer: Vec<u8>,
    second: libc::time_t,
}

impl Hello {
    /// The answer, now; `is_found` says whether it was asked for.
    pub fn answer(&mut self, is_found: bool) -> &[u8] {
        // SAFETY: the null pointer says that the time is not wanted in memory.
        let now = unsafe { libc::time(ptr::null_mut()) };
        if mem::replace(&mut self.second, now) != now {
            self.answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nDate: {}\r\n\r\n\
                 Hello, World!",
                date(now)
            )
            .into_bytes();
        }
        match is_found {
            true => &self.answer,
            false => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        }
    }
}

/// `Tue, 24 Nov 2026 06:38:44 GMT`
fn date(time: libc::time_t) -> String {
    let mut text = [0_u8; 32];
    // SAFETY: a `tm` of zeros is one; both calls write into what they are given,
    // the second no more than its length.
    let len = unsafe {
        let mut parts: libc::tm = mem::zeroed();
        libc::gmtime_r(&raw const time, &raw mut parts);
        let format = c"%a, %d %b %Y %H:%M:%S GMT".as_ptr();
        libc::strftime(
            text.as_mut_ptr().cast(),
            text.len(),
            format,
            &raw const parts,
        )
    };
    String::from_utf8_lossy(&text[..len]).into_owned()
}
