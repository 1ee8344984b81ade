//! Terminators of the greatest length, and streams that come near to them again
//! and again: what single bytes of such a stream cost.

/// Bytes of the longest terminator.
const LEN: usize = 4_096;

/// A terminator in which hardly anything is repeated: 0000, 0001, 0002 and so on.
pub static NUMBERS: [u8; LEN] = numbers();

/// Repeated, the stream that is the terminator each time, but for the last byte.
pub static ALMOST_NUMBERS: [u8; LEN] = with_last(numbers(), b'x');

/// A terminator that is one byte over and over, and `b`. Its stream is the first
/// byte without end.
pub static A_AND_B: [u8; LEN] = with_last([b'a'; LEN], b'b');

const fn numbers() -> [u8; LEN] {
    let mut digits = [0; LEN];
    let mut at = 0;
    while at < LEN {
        let (number, place) = (at / 4, at % 4);
        digits[at] = b'0' + (number / 10_usize.pow(3 - place as u32) % 10) as u8;
        at += 1;
    }
    digits
}

const fn with_last(mut bytes: [u8; LEN], last: u8) -> [u8; LEN] {
    bytes[LEN - 1] = last;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        assert!(NUMBERS.starts_with(b"0000000100020003"));
        assert!(NUMBERS.ends_with(b"10221023"));
        assert!(ALMOST_NUMBERS.ends_with(b"1022102x"));
    }
}
