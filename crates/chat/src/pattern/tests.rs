use super::*;

#[path = "../../tests/common/rng.rs"]
#[allow(clippy::duplicate_mod, reason = "ten lines that several tests need")]
mod rng;

use rng::Rng;

/// Two letters make many borders and near misses.
const LETTERS: &[u8] = b"ab";

fn pattern_of(bytes: &[u8]) -> Pattern {
    Pattern::new(bytes).unwrap()
}

fn naive_find(pattern: &[u8], data: &[u8]) -> Option<usize> {
    (0..data.len()).find(|&at| data[at..].starts_with(pattern))
}

fn naive_prefix_at_end(pattern: &[u8], data: &[u8]) -> usize {
    (0..pattern.len())
        .rev()
        .find(|&len| data.ends_with(&pattern[..len]))
        .unwrap_or(0)
}

/// Pattern lengths on both sides of the border between the two searches, with
/// some long ones.
fn random_pattern(rng: &mut Rng) -> Vec<u8> {
    let len = match rng.below(100) {
        0 => 1 + rng.below(MAX_LEN),
        _ => 1 + rng.below(40),
    };
    // A repeated unit has the long borders that a random string lacks.
    let unit_len = 1 + rng.below(len.min(5));
    let unit = rng.bytes(LETTERS, unit_len);
    let mut pattern: Vec<u8> = unit.into_iter().cycle().take(len).collect();
    if rng.below(2) == 0 {
        let at = rng.below(len);
        pattern[at] = b'b';
    }
    pattern
}

/// Data that is likely to contain the pattern, or almost.
fn random_data(rng: &mut Rng, pattern: &[u8]) -> Vec<u8> {
    let len = rng.below(30);
    let mut data = rng.bytes(LETTERS, len);
    for _ in 0..rng.below(4) {
        let len = 1 + rng.below(pattern.len());
        data.extend_from_slice(&pattern[..len]);
    }
    data
}

fn naive(pattern: &[u8], data: &[u8]) -> Result<usize, usize> {
    naive_find(pattern, data).ok_or_else(|| naive_prefix_at_end(pattern, data))
}

#[test]
fn a_pattern_or_its_beginning_at_the_end_is_found_as_a_naive_search_finds_it() {
    let mut rng = Rng::new(1);
    let mut found = 0;
    for _ in 0..30_000 {
        let bytes = random_pattern(&mut rng);
        let data = random_data(&mut rng, &bytes);
        let at = pattern_of(&bytes).find(&data, 0);
        assert_eq!(at, naive(&bytes, &data), "{bytes:?} in {data:?}");
        found += usize::from(at.is_ok());
    }
    assert!((3_000..27_000).contains(&found), "a test of both outcomes");
}

#[test]
fn a_search_that_knows_how_the_data_begins_finds_the_same() {
    let mut rng = Rng::new(3);
    let (mut at_front, mut behind, mut held) = (0, 0, 0);
    for _ in 0..15_000 {
        let bytes = random_pattern(&mut rng);
        let known = rng.below(bytes.len());
        let mut rest = match rng.below(2) {
            0 => bytes[known..].to_vec(),
            _ => Vec::new(),
        };
        rest.truncate(rng.below(bytes.len() + 1));
        rest.extend(random_data(&mut rng, &bytes));
        rest.truncate(rng.below(2 * bytes.len()));
        let data = [&bytes[..known], &rest].concat();
        let at = pattern_of(&bytes).find(&data, known);
        assert_eq!(at, naive(&bytes, &data), "{known} of {bytes:?} in {data:?}");
        match at {
            Ok(at) if at < known => at_front += 1,
            Ok(_) => behind += 1,
            Err(_) => held += 1,
        }
    }
    assert!(at_front > 500 && behind > 500 && held > 500);
}

#[test]
fn a_line_s_end_is_found_as_a_naive_search_finds_it() {
    let mut rng = Rng::new(6);
    for _ in 0..10_000 {
        let len = rng.below(12);
        let data = rng.bytes(b"a\r\n", len);
        let line = data.split(|&byte| byte == b'\n').next().unwrap();
        let message = line.strip_suffix(b"\r").unwrap_or(line);
        let expected = (line.len() < data.len()).then_some((message.len(), line.len() + 1));
        assert_eq!(find_line(&data), expected, "{data:?}");
    }
}
