use super::*;

#[test]
fn every_length_up_to_the_limit_keeps_its_bytes() {
    let bytes: Vec<u8> = (0..MAX_LEN).map(|at| b'a' + (at % 7) as u8).collect();
    for len in 1..=MAX_LEN {
        let terminator = Terminator::try_from(Bytes::copy_from_slice(&bytes[..len])).unwrap();
        assert_eq!(terminator.as_bytes(), Some(&bytes[..len]));
        assert_eq!(terminator.clone().as_bytes(), Some(&bytes[..len]));
    }
}

#[test]
fn an_empty_or_too_long_terminator_is_an_error() {
    let empty = Terminator::try_from(Bytes::new()).unwrap_err();
    assert!(empty.to_string().contains("empty"));
    let long = Terminator::try_from(Bytes::from(vec![b'a'; 4_097])).unwrap_err();
    assert!(long.to_string().contains("4097"), "{long}");
}

#[test]
#[should_panic(expected = "Terminator::none()")]
fn an_empty_string_in_the_program_is_a_panic_and_not_no_terminator() {
    let _ = Terminator::from("");
}

#[test]
fn the_three_kinds_are_told_apart() {
    let string = Terminator::from(b"\r\n");
    assert_eq!(
        (string.as_bytes(), string.count(), string.is_none()),
        (Some(&b"\r\n"[..]), None, false)
    );
    assert_eq!(format!("{string:?}"), r#"b"\r\n""#);
    // Zero is a number of bytes, and not "for ever" as it was in CPython.
    let zero = Terminator::from(0);
    assert_eq!(
        (zero.as_bytes(), zero.count(), zero.is_none()),
        (None, Some(0), false)
    );
    let none = Terminator::none();
    assert_eq!(
        (none.as_bytes(), none.count(), none.is_none()),
        (None, None, true)
    );
}
