//! What the head of a request says, by RFC 9112.

use http::uri::Authority;
use http::{Method, StatusCode, Uri};

/// The longest head that is read, in bytes.
pub(crate) const MAX_HEAD: usize = 16_384;

const MAX_HEADERS: usize = 100;

#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) target: Uri,
    pub(crate) body: Body,
    /// HTTP/1.1, and not 1.0.
    pub(crate) is_1_1: bool,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
}

/// How the body of a request is framed (section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    Length(u64),
    Chunked,
}

impl Head {
    /// Parses a head, without the empty line that ended it.
    ///
    /// # Errors
    ///
    /// The status to refuse the request with. Where its end is, is not known
    /// then: the connection must be closed.
    pub(crate) fn parse(head: &[u8]) -> Result<Self, StatusCode> {
        if has_bare_cr_or_lf(head) {
            return Err(StatusCode::BAD_REQUEST);
        }
        let mut head = [head, b"\r\n\r\n"].concat();
        if let Some(minor) = later_minor(&mut head) {
            *minor = b'1';
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&head) {
            Ok(httparse::Status::Complete(len)) if len == head.len() => {}
            Ok(_) => return Err(StatusCode::BAD_REQUEST),
            Err(httparse::Error::Version) => return Err(wrong_version(&head)),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
            }
            Err(_) => return Err(StatusCode::BAD_REQUEST),
        }
        let method = request.method.unwrap_or_default();
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| StatusCode::BAD_REQUEST)?;
        let is_1_1 = request.version == Some(1);
        let fields = Fields::read(request.headers)?;
        if fields.hosts > 1 || (is_1_1 && fields.hosts == 0) {
            return Err(StatusCode::BAD_REQUEST);
        }
        let has = |option| fields.connection.iter().any(|given| given == option);
        Ok(Self {
            target: target(request.path.unwrap_or_default(), &method)?,
            method,
            body: fields.body(is_1_1)?,
            is_1_1,
            keep_alive: !has("close") && (is_1_1 || has("keep-alive")),
            expects_continue: fields.expects_continue && is_1_1,
        })
    }
}

/// The fields that decide about the connection.
#[derive(Default)]
struct Fields {
    hosts: usize,
    expects_continue: bool,
    /// Options in lower case.
    connection: Vec<String>,
    content_length: Option<u64>,
    /// Codings in lower case, if there is such a field.
    transfer_encoding: Option<Vec<String>>,
}

impl Fields {
    fn read(headers: &[httparse::Header<'_>]) -> Result<Self, StatusCode> {
        let mut fields = Self::default();
        for header in headers {
            let (name, value) = (header.name, header.value);
            if name.eq_ignore_ascii_case("host") {
                fields.hosts += 1;
                // Section 3.2: an invalid one is refused; an empty one is not.
                if !value.is_empty() && !is_host(value) {
                    return Err(StatusCode::BAD_REQUEST);
                }
            } else if name.eq_ignore_ascii_case("content-length") {
                // Section 6.3: of several, even equal ones may be refused.
                if fields.content_length.replace(length(value)?).is_some() {
                    return Err(StatusCode::BAD_REQUEST);
                }
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                let codings = fields.transfer_encoding.get_or_insert_default();
                codings.extend(list(value));
            } else if name.eq_ignore_ascii_case("connection") {
                fields.connection.extend(list(value));
            } else if name.eq_ignore_ascii_case("expect") {
                if list(value).iter().any(|element| element != "100-continue") {
                    return Err(StatusCode::EXPECTATION_FAILED);
                }
                fields.expects_continue = true;
            }
        }
        Ok(fields)
    }

    fn body(&self, is_1_1: bool) -> Result<Body, StatusCode> {
        let Some(codings) = &self.transfer_encoding else {
            return Ok(self.content_length.map_or(Body::None, Body::Length));
        };
        // Section 6.1: both together, or in HTTP/1.0, is how requests are
        // smuggled.
        if self.content_length.is_some() || !is_1_1 {
            return Err(StatusCode::BAD_REQUEST);
        }
        match codings.as_slice() {
            [only] if only == "chunked" => Ok(Body::Chunked),
            // Section 6.3: the end of the body cannot be told.
            [.., last] if last != "chunked" => Err(StatusCode::BAD_REQUEST),
            [before @ .., _] if !before.iter().any(|coding| coding == "chunked") => {
                Err(StatusCode::NOT_IMPLEMENTED)
            }
            _ => Err(StatusCode::BAD_REQUEST),
        }
    }
}

/// Section 2.2 lets a recipient take a lone LF for a line's end, or a lone CR
/// for a space. Where two programs differ in that, requests are smuggled.
pub(crate) fn has_bare_cr_or_lf(data: &[u8]) -> bool {
    let lf_without_cr =
        |(at, byte): (usize, &u8)| *byte == b'\n' && (at == 0 || data[at - 1] != b'\r');
    let cr_without_lf =
        |(at, byte): (usize, &u8)| *byte == b'\r' && data.get(at + 1) != Some(&b'\n');
    data.iter().enumerate().any(lf_without_cr) || data.iter().enumerate().any(cr_without_lf)
}

/// `host[:port]`, without a user.
fn is_host(value: &[u8]) -> bool {
    Authority::try_from(value).is_ok_and(|authority| {
        let port = authority.as_str().strip_prefix(authority.host());
        port.is_some_and(|port| {
            let digits = port.strip_prefix(':').unwrap_or(port);
            digits.bytes().all(|byte| byte.is_ascii_digit())
        })
    })
}

/// The forms of a target, section 3.2: of a path, absolute, of an authority
/// for `CONNECT` alone, and `*` for `OPTIONS` alone.
fn target(target: &str, method: &Method) -> Result<Uri, StatusCode> {
    let uri: Uri = target.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    let is_valid = match target {
        "*" => method == Method::OPTIONS,
        path if path.starts_with('/') => true,
        _ if method == Method::CONNECT => uri.scheme().is_none() && uri.authority().is_some(),
        _ => uri.scheme().is_some() && uri.authority().is_some(),
    };
    match is_valid && !target.contains('#') {
        true => Ok(uri),
        false => Err(StatusCode::BAD_REQUEST),
    }
}

/// The digit of a minor version after 1.1, which is to be taken for that
/// (RFC 9110, section 2.5).
fn later_minor(head: &mut [u8]) -> Option<&mut u8> {
    let line = head.iter().position(|&byte| byte == b'\r')?;
    match &mut head[..line] {
        [
            ..,
            b' ',
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            minor @ b'2'..=b'9',
        ] => Some(minor),
        _ => None,
    }
}

/// A version that is well-formed is one that is not supported.
fn wrong_version(head: &[u8]) -> StatusCode {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    match words[..] {
        [_, _, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            StatusCode::HTTP_VERSION_NOT_SUPPORTED
        }
        _ => StatusCode::BAD_REQUEST,
    }
}

/// Digits and nothing else. More of them than a number holds are a number that
/// is too large for anybody.
fn length(value: &[u8]) -> Result<u64, StatusCode> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let digits = value.iter().map(|digit| u64::from(digit - b'0'));
    Ok(digits.fold(0, |length: u64, digit| {
        length.saturating_mul(10).saturating_add(digit)
    }))
}

/// The elements of a comma-separated list, in lower case. Around them, space
/// is SP and HTAB and nothing else.
fn list(value: &[u8]) -> Vec<String> {
    let value = String::from_utf8_lossy(value).to_ascii_lowercase();
    let elements = value
        .split(',')
        .map(|element| element.trim_matches([' ', '\t']));
    elements
        .filter(|element| !element.is_empty())
        .map(str::to_owned)
        .collect()
}
