//! The head of an answer, which says where the answer ends (RFC 9112, section 6.3).

use chat::Result;
use examples::lines::has_bare_cr_or_lf;

/// The end of a head.
pub(crate) const END: &str = "\r\n\r\n";

const MAX_HEADERS: usize = 100;

/// The part that follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// Another head: this one is a 1xx.
    Head,
    Length(usize),
    Chunks,
    /// Whatever comes until the connection ends.
    ToEnd,
}

impl Body {
    /// Parses a head, without the empty line that ended it.
    ///
    /// # Errors
    ///
    /// If it is none, or the end of its body cannot be told for sure.
    pub(crate) fn after(head: &[u8]) -> Result<Self> {
        if !head.starts_with(b"HTTP/1.") {
            return Err("the answer is none of HTTP/1.0 or 1.1".into());
        }
        if has_bare_cr_or_lf(head) {
            return Err("a lone CR or LF is in the head".into());
        }
        let head = [head, END.as_bytes()].concat();
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(&head);
        if parsed
            .map_err(|error| format!("invalid head: {error}"))?
            .is_partial()
        {
            return Err("invalid head".into());
        }
        match response.code {
            Some(101) => Err("the server changes to a protocol that it was not asked for".into()),
            Some(100..=199) => Ok(Self::Head),
            Some(204 | 304) => Ok(Self::Length(0)),
            Some(200..=999) => Self::by_fields(response.headers, response.version == Some(1)),
            _ => Err("invalid status".into()),
        }
    }

    fn by_fields(headers: &[httparse::Header<'_>], is_1_1: bool) -> Result<Self> {
        let lengths = elements(headers, "content-length");
        let Some(codings) = elements(headers, "transfer-encoding") else {
            return lengths.map_or(Ok(Self::ToEnd), |lengths| length(&lengths));
        };
        // Section 6.1: where two programs differ in what such a head means, answers
        // are smuggled.
        if lengths.is_some() || !is_1_1 {
            return Err("Transfer-Encoding with Content-Length or in HTTP/1.0".into());
        }
        let is_odd = |coding: &String| coding.is_empty() || coding.contains("chunked");
        match codings.as_slice() {
            [before @ .., last] if last == "chunked" && !before.iter().any(is_odd) => {
                Ok(Self::Chunks)
            }
            _ if !codings.iter().any(is_odd) => Ok(Self::ToEnd),
            _ => Err("invalid Transfer-Encoding".into()),
        }
    }
}

/// The same length twice leaves no doubt: some proxies add theirs to the server's.
fn length(lengths: &[String]) -> Result<Body> {
    let is_number = |text: &String| {
        let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        is_digits && !text.is_empty()
    };
    match lengths {
        _ if !lengths.iter().all(is_number) => Err("invalid Content-Length".into()),
        [first, others @ ..] if others.iter().all(|other| other == first) => {
            let length = first
                .parse()
                .map_err(|_| "the Content-Length is too large")?;
            Ok(Body::Length(length))
        }
        _ => Err("several Content-Lengths that differ".into()),
    }
}

/// The elements of the comma-separated lists of all fields of this name, in lower
/// case, the empty ones too. `None` if there is no such field.
fn elements(headers: &[httparse::Header<'_>], name: &str) -> Option<Vec<String>> {
    let mut elements = None;
    for header in headers {
        if header.name.eq_ignore_ascii_case(name) {
            let value = String::from_utf8_lossy(header.value).to_ascii_lowercase();
            let parts = value.split(',').map(|part| part.trim_matches([' ', '\t']));
            let elements: &mut Vec<String> = elements.get_or_insert_default();
            elements.extend(parts.map(str::to_owned));
        }
    }
    elements
}
