//! Sections of fields: those of a head, and the trailers behind a body. One
//! syntax (RFC 9112, section 5), as strict in both. No I/O.

use examples::lines::has_bare_cr_or_lf;
use http::StatusCode;
use httparse::{EMPTY_HEADER, Error, Status};

/// The longest head that is read, in bytes.
pub(crate) const MAX_HEAD: usize = 16_384;

const MAX_FIELDS: usize = 100;

/// Most sections have no more; room for all of them takes as long to make as half a head
/// takes to parse.
const FEW_FIELDS: usize = 16;

/// The fields that a request may still have. Its trailers get the rest that its head has
/// left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    bytes: usize,
    fields: usize,
}

impl Room {
    pub(crate) fn whole() -> Self {
        Self {
            bytes: MAX_HEAD,
            fields: MAX_FIELDS,
        }
    }

    /// Parses a section, up to and with its empty line, and calls `each` with the
    /// name and the value of each field.
    ///
    /// # Errors
    ///
    /// The status to refuse the request with.
    pub(crate) fn parse(
        &mut self,
        section: &[u8],
        mut each: impl FnMut(&str, &[u8]) -> Result<(), StatusCode>,
    ) -> Result<(), StatusCode> {
        if has_bare_cr_or_lf(section) {
            return Err(StatusCode::BAD_REQUEST);
        }
        match self.parse_up_to::<FEW_FIELDS>(section, &mut each) {
            Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE) => {
                self.parse_up_to::<MAX_FIELDS>(section, &mut each)
            }
            parsed => parsed,
        }
    }

    fn parse_up_to<const N: usize>(
        &mut self,
        section: &[u8],
        mut each: impl FnMut(&str, &[u8]) -> Result<(), StatusCode>,
    ) -> Result<(), StatusCode> {
        let mut fields = [EMPTY_HEADER; N];
        match httparse::parse_headers(section, &mut fields[..self.fields.min(N)]) {
            Ok(Status::Complete((len, fields))) if len == section.len() => {
                self.bytes = self.bytes.saturating_sub(len);
                self.fields -= fields.len();
                fields.iter().try_for_each(|it| each(it.name, it.value))
            }
            Err(Error::TooManyHeaders) => Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
            _ => Err(StatusCode::BAD_REQUEST),
        }
    }

    /// Whether a section of `len` bytes fits.
    pub(crate) fn holds(&self, len: usize) -> bool {
        len <= self.bytes
    }
}

/// Digits only. More of them than a number holds are a number that
/// is too large for anybody.
pub(crate) fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = value.iter().map(|digit| u64::from(digit - b'0'));
    Some(digits.fold(0, |number: u64, digit| {
        number.saturating_mul(10).saturating_add(digit)
    }))
}
