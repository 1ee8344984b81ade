//! What a client sends, and how it is cut, read from arbitrary bytes.

/// The most that is sent: more than any limit of the server.
const MOST: usize = 1_200_000;

pub(super) struct Input {
    pub(super) stream: Vec<u8>,
    /// Lengths, again and again.
    cuts: Vec<usize>,
    /// Bytes that the client takes in one turn.
    pub(super) room: usize,
}

/// What requests are made of, each in one byte.
const WORDS: [&[u8]; 18] = [
    b"\r\n",
    b"\r\n\r\n",
    b"GET /plaintext HTTP/1.1\r\nHost: a\r\n",
    b"HEAD /a.txt HTTP/1.1\r\nHost: a\r\n",
    b"POST /echo HTTP/1.1\r\nHost: a\r\n",
    b"GET /long.txt HTTP/1.0\r\nConnection: keep-alive\r\n",
    b" HTTP/1.1\r\n",
    b"Content-Length: ",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: ",
    b"Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b"0\r\n\r\n",
    b"4\r\nbody\r\n",
    b"Host: ",
    b"http://a/",
    b"gzip, chunked",
    b"%2e%2e/",
];

/// And how they choose.
const CHOICES: [&[u8]; 6] = [
    b"GET /list",
    b"Range: bytes=",
    b"If-Range: ",
    b"If-Match: ",
    b"If-None-Match: ",
    b"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
];

impl Input {
    pub(super) fn read(data: &[u8]) -> Self {
        let mut data = data.iter().copied();
        let mut next = || data.next().unwrap_or_default();
        let head = next();
        let cuts = (0..head >> 2 & 7).map(|_| match next() {
            short @ 0..128 => usize::from(short) + 1,
            long => usize::from(long - 127) * 64,
        });
        let cuts = cuts.collect();
        let room = [usize::MAX, 100_000, 5_000, 300][usize::from(head & 3)];
        Self {
            stream: expand(data),
            cuts,
            room,
        }
    }

    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        // Some hundred pieces are enough of a long stream.
        let least = 1 + self.stream.len() / 256;
        let mut lens = self.cuts.iter().cycle();
        let mut rest = &self.stream[..];
        std::iter::from_fn(move || {
            let len = lens.next().map_or(least, |&len| len.max(least));
            let (piece, later) = rest.split_at(len.min(rest.len()));
            rest = later;
            (!piece.is_empty()).then_some(piece)
        })
    }
}

/// So that few bytes reach every limit, some stand for more.
fn expand(mut data: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut stream: Vec<u8> = Vec::new();
    while let Some(byte) = data.next() {
        match byte {
            0 => stream.extend(data.next()),
            // The last byte again.
            1 | 2 => {
                let unit = if byte == 1 { 64 } else { 8_192 };
                let last = stream.last().copied().unwrap_or(b'a');
                let len = unit * data.next().map_or(1, usize::from);
                stream.resize((stream.len() + len).min(MOST), last);
            }
            3..9 => stream.extend_from_slice(CHOICES[usize::from(byte - 3)]),
            14..32 => stream.extend_from_slice(WORDS[usize::from(byte - 14)]),
            _ => stream.push(byte),
        }
    }
    stream.truncate(MOST);
    stream
}
