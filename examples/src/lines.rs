//! Lines of HTTP, and characters that have no place in one. Where two programs differ in
//! what they mean, messages are smuggled. No I/O.

use memchr::memchr2_iter;

/// Whether a CR or LF is not part of a CRLF. RFC 9112, section 2.2, lets a recipient take
/// a lone LF for a line's end, or a lone CR for a space.
pub fn has_bare_cr_or_lf(data: &[u8]) -> bool {
    memchr2_iter(b'\r', b'\n', data).any(|at| match data[at] {
        b'\r' => data.get(at + 1) != Some(&b'\n'),
        _ => at == 0 || data[at - 1] != b'\r',
    })
}

/// Whether a line, without its end, has a CR, LF, NUL or any other control character than
/// a tab.
pub fn has_control(line: &[u8]) -> bool {
    let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    line.iter().any(is_control)
}
