//! Bodies in chunks: where they end, and which are refused.

use chat::Terminator;
use examples::{ChunkError, Chunks};

const INVALID_SIZE: ChunkError = ChunkError::Invalid("invalid chunk size");
const FRAMING: ChunkError = ChunkError::Invalid("its framing is too long for its body");

/// The body in `input`, and the bytes after it, as a channel would collect them.
fn read(mut input: &[u8], max_len: usize) -> Result<(Vec<u8>, &[u8]), ChunkError> {
    let mut chunks = Chunks::new(max_len);
    let mut terminator = Terminator::from("\r\n");
    let mut body = Vec::new();
    loop {
        let message = match terminator.as_bytes() {
            Some(end) => {
                let len = input.windows(end.len()).position(|window| window == end);
                let message = &input[..len.expect("the input has a line")];
                input = &input[message.len() + end.len()..];
                message
            }
            None => {
                let len = terminator.count().expect("it is a length");
                let (message, rest) = input.split_at(len);
                input = rest;
                message
            }
        };
        if chunks.is_at_data() {
            body.extend_from_slice(message);
        }
        match chunks.advance(message)? {
            Some(next) => terminator = next,
            None => return Ok((body, input)),
        }
    }
}

#[test]
fn a_body_ends_after_the_line_of_its_last_chunk() {
    for (input, body, rest) in [
        ("0\r\n", "", ""),
        ("000;a=b\r\nA: b\r\n\r\n", "", "A: b\r\n\r\n"),
        ("5\r\nhello\r\n0\r\n\r\n", "hello", "\r\n"),
        ("1\r\n0\r\n009\r\n\r\n1234567\r\n0\r\n", "0\r\n1234567", ""),
        ("a\r\n0123456789\r\n0\r\n", "0123456789", ""),
        ("5 \t; a=\"b;\u{e4}\"\r\nhello\r\n0\r\n", "hello", ""),
    ] {
        let expected = (body.as_bytes().to_vec(), rest.as_bytes());
        assert_eq!(read(input.as_bytes(), 10), Ok(expected), "{input:?}");
    }
    // An extension may be in any encoding.
    let expected = (b"hello".to_vec(), &b""[..]);
    assert_eq!(read(b"5;a=\xe4\r\nhello\r\n0\r\n", 10), Ok(expected));
}

#[test]
fn a_size_is_hexadecimal_digits_and_nothing_but_an_extension_follows_it() {
    for size in [
        "", ";a", "g", "0x5", "-5", "+5", " 5", "5 ", "5 5", "0_5", "5\0", "5\n", "5\r", "5;a\n",
        "5\x0c;a", "5\x7f", "\u{e4}",
    ] {
        let input = format!("{size}\r\n");
        assert_eq!(read(input.as_bytes(), 10), Err(INVALID_SIZE), "{size:?}");
    }
}

#[test]
fn a_chunk_is_followed_by_a_crlf() {
    for end in ["!\r\n", "\n0\r\n", "!!", "0\r\n"] {
        let input = format!("5\r\nhello{end}");
        let expected = ChunkError::Invalid("a chunk is longer than it says");
        assert_eq!(read(input.as_bytes(), 10), Err(expected), "{end:?}");
    }
}

#[test]
fn a_body_is_no_longer_than_it_may_be() {
    let full = b"4\r\nfull\r\n6\r\nlength\r\n0\r\n";
    assert!(read(full, 10).is_ok());
    assert_eq!(read(full, 9), Err(ChunkError::TooLarge));
    for size in ["b", "ffffffffffffffff", "10000000000000000"] {
        let input = format!("{size}\r\n");
        assert_eq!(
            read(input.as_bytes(), 10),
            Err(ChunkError::TooLarge),
            "{size}"
        );
    }
}

#[test]
fn framing_has_16_kib_and_8_bytes_for_each_of_the_body() {
    let small = "0001\r\n!\r\n".repeat(50_000) + "0\r\n";
    let (body, _) = read(small.as_bytes(), 50_000).expect("it is valid");
    assert_eq!(body.len(), 50_000);
    let longest = "x".repeat(16_384 - "1;".len() - "\r\n\r\n".len());
    // The 8 bytes of the first chunk are just enough for the last.
    for (last, is_taken) in [("0000", true), ("00000", false)] {
        let input = format!("1;{longest}\r\n!\r\n{last}\r\n");
        let expected = match is_taken {
            true => Ok((b"!".to_vec(), &b""[..])),
            false => Err(FRAMING),
        };
        assert_eq!(read(input.as_bytes(), 10), expected, "{last}");
    }
}
