//! Which answer is to which request: found by walking through both, with the answers'
//! word for what is not the walk's to judge.

use memchr::memmem;

use super::answer::Answer;

/// Panics unless `sent` is a well-formed answer to each request, in order, and no more:
/// up to the one that says `Connection: close`, or that is not complete.
pub(super) fn check(stream: &[u8], sent: &[u8]) {
    let (mut stream, mut sent) = (stream, sent);
    loop {
        let request = Request::take(&mut stream);
        if sent.is_empty() {
            assert!(!request.is_complete(stream), "{request:?} has no answer");
            return;
        }
        let Some(answer) = take_answer(&request, &mut sent) else {
            assert!(!request.is_complete(stream), "{request:?} goes on");
            return;
        };
        let is_echo = request.is_post() && answer.status == 200;
        if is_echo {
            let body = request.body().and_then(|body| body.take(&mut stream));
            assert_eq!(
                body.as_deref(),
                Some(answer.body),
                "the body of {request:?}"
            );
        }
        match answer.field("Connection") {
            Some("close") => {
                assert!(sent.is_empty(), "something after the end");
                return;
            }
            _ => assert!(
                request.is_whole && (is_echo || request.body() == Some(Body::Length(0))),
                "{request:?} is not the last"
            ),
        }
    }
}

/// The answer, which 100 may precede; `None` if it is not there, for the body never
/// came.
fn take_answer<'d>(request: &Request<'_>, sent: &mut &'d [u8]) -> Option<Answer<'d>> {
    assert!(!request.head.is_empty(), "an answer to nothing");
    let is_to_head = request.head.starts_with(b"HEAD ");
    let first = Answer::take(sent, is_to_head);
    if first.status >= 200 {
        return Some(first);
    }
    assert_eq!(first.status, 100);
    let expected = request.list("expect");
    assert!(!expected.is_empty());
    assert!(expected.iter().all(|element| element == "100-continue"));
    if sent.is_empty() {
        return None;
    }
    let answer = Answer::take(sent, is_to_head);
    assert!(answer.status >= 200);
    Some(answer)
}

struct Request<'d> {
    /// Without the empty line behind it; what there is, if that is missing.
    head: &'d [u8],
    is_whole: bool,
}

impl<'d> Request<'d> {
    fn take(stream: &mut &'d [u8]) -> Self {
        while let Some(rest) = stream.strip_prefix(b"\r\n") {
            *stream = rest;
        }
        let end = memmem::find(stream, b"\r\n\r\n");
        let (head, rest) = stream.split_at(end.unwrap_or(stream.len()));
        *stream = rest.strip_prefix(b"\r\n\r\n").unwrap_or(rest);
        Self {
            head,
            is_whole: end.is_some(),
        }
    }

    fn is_post(&self) -> bool {
        self.head.starts_with(b"POST ")
    }

    /// Whether it must have an answer, with `stream` behind its head.
    fn is_complete(&self, mut stream: &[u8]) -> bool {
        let is_there = match self.body() {
            Some(body) => !self.is_post() || body.take(&mut stream).is_some(),
            None => true, // to be refused
        };
        self.is_whole && is_there
    }

    /// In lower case, without the space around them.
    fn fields(&self, name: &str) -> Vec<String> {
        let head = String::from_utf8_lossy(self.head).to_ascii_lowercase();
        let fields = head.split("\r\n").filter_map(|line| line.split_once(':'));
        let values = fields.filter(|field| field.0 == name).map(|field| field.1);
        let values = values.map(|value| value.trim_matches([' ', '\t']).to_owned());
        values.collect()
    }

    /// The elements of all fields of that name.
    fn list(&self, name: &str) -> Vec<String> {
        let values = self.fields(name).join(",");
        let elements = values.split(',').map(|it| it.trim_matches([' ', '\t']));
        let elements = elements.filter(|element| !element.is_empty());
        elements.map(str::to_owned).collect()
    }

    /// How the body is framed; `None` if that is not clear.
    fn body(&self) -> Option<Body> {
        let codings = self.list("transfer-encoding");
        match (&codings[..], &self.fields("content-length")[..]) {
            ([], []) => Some(Body::Length(0)),
            ([], [length]) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(Body::Length(length.parse().ok()?))
            }
            ([coding], []) if coding == "chunked" => Some(Body::Chunked),
            _ => None,
        }
    }
}

#[derive(PartialEq, Eq)]
enum Body {
    Length(usize),
    Chunked,
}

impl Body {
    /// `None` if it is not complete.
    fn take(&self, stream: &mut &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Length(length) => Some(take(stream, *length)?.to_vec()),
            Self::Chunked => take_chunks(stream),
        }
    }
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.head.escape_ascii().to_string())
    }
}

/// `None` if they are not complete, or none.
fn take_chunks(stream: &mut &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = take_line(stream)?;
        let digits = line.split(|&byte| byte == b';').next()?.trim_ascii_end();
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            while !take_line(stream)?.is_empty() {}
            return Some(body);
        }
        body.extend_from_slice(take(stream, size)?);
        if !take_line(stream)?.is_empty() {
            return None;
        }
    }
}

fn take_line<'d>(stream: &mut &'d [u8]) -> Option<&'d [u8]> {
    let end = memmem::find(stream, b"\r\n")?;
    let line = take(stream, end);
    take(stream, 2)?;
    line
}

fn take<'d>(stream: &mut &'d [u8], len: usize) -> Option<&'d [u8]> {
    let (front, rest) = stream.split_at_checked(len)?;
    *stream = rest;
    Some(front)
}
