//! The packed inputs of a fuzz target.

/// Calls `check` with each input of `packed`, whose lines are hexadecimal.
pub(crate) fn each(packed: &str, check: impl Fn(&[u8])) {
    assert!(!packed.is_empty(), "there are no inputs");
    for (nth, line) in packed.lines().enumerate() {
        println!("line {}", nth + 1); // the last is the one that fails
        let digits = line.as_bytes().chunks(2);
        let bytes = digits.map(|digits| {
            let digits = std::str::from_utf8(digits).expect("it is ASCII");
            u8::from_str_radix(digits, 16).expect("it is hexadecimal")
        });
        check(&bytes.collect::<Vec<u8>>());
    }
}
