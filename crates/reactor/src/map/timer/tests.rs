use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

fn named(key: u32, sequence: u64) -> Timer {
    Timer {
        key,
        sequence,
        number: 7,
    }
}

/// The heap against a sorted map, over a long random history.
#[test]
fn the_heap_agrees_with_a_sorted_map() {
    let epoch = Instant::now();
    let tokens: Vec<Token> = (0..4).map(Token::new).collect();
    let mut timers = Timers::default();
    let mut model: BTreeMap<(Instant, u64), (Timer, usize)> = BTreeMap::new();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for sequence in 0..20_000 {
        let at = epoch + Duration::from_millis(random(50));
        match random(10) {
            0..5 => {
                let owner = random(4) as usize;
                let key = timers.insert(at, sequence, tokens[owner], 7);
                model.insert((at, sequence), (named(key, sequence), owner));
            }
            5 => {
                let nth = random(model.len().max(1) as u64) as usize;
                if let Some((&due, &(timer, owner))) = model.iter().nth(nth) {
                    assert!(timers.is_set(timer));
                    timers.move_to(timer.key, at, sequence);
                    assert!(!timers.is_set(timer), "its name is another one now");
                    model.remove(&due);
                    model.insert((at, sequence), (named(timer.key, sequence), owner));
                }
            }
            6 => {
                let nth = random(model.len().max(1) as u64) as usize;
                if let Some((&due, &(timer, _))) = model.iter().nth(nth) {
                    assert!(timers.remove(timer));
                    assert!(!timers.remove(timer), "removed twice");
                    model.remove(&due);
                }
            }
            7..9 => {
                if let Some((_, (timer, owner))) = model.pop_first() {
                    let Due(_, sequence, key) = timers.heap[0];
                    assert_eq!(named(key, sequence), timer);
                    assert_eq!(timers.take(key).token, tokens[owner]);
                }
            }
            _ => {
                let owner = random(40) as usize;
                if owner < 4 {
                    timers.remove_all_of(tokens[owner]);
                    model.retain(|_, entry| entry.1 != owner);
                }
            }
        }
        assert_eq!(timers.heap.len(), model.len());
        let first = model.first_key_value().map(|(due, _)| due.0);
        assert_eq!(timers.heap.first().map(|due| due.0), first);
    }
}
