//! Makes scenarios of a seed.

use crate::oracle::scenario::{Action, Scenario, Term};

/// Numbers that depend on the seed and nothing else: no variable of the
/// environment may change what was recorded. (SplitMix64.)
pub(crate) struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `below` - 1.
    fn below(&mut self, below: usize) -> usize {
        ((self.next() >> 16) % below as u64) as usize
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn bytes(&mut self, alphabet: &[u8], len: usize) -> Vec<u8> {
        (0..len)
            .map(|_| alphabet[self.below(alphabet.len())])
            .collect()
    }
}

/// What a scenario is about. What is not in it never happens, so that most
/// scenarios can be compared from the first byte to the last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Theme {
    /// Terminators, output, `close_when_done`.
    Plain,
    /// What drops output as well: `close`, `discard_buffers`, errors.
    Abrupt,
    /// `collect_incoming_data` acts, too.
    Collecting,
    /// Errors that are forgiven.
    Forgiving,
    /// The peer is gone, which only sending tells.
    Broken,
}

/// The scenario of this number: the same for ever.
pub(crate) fn scenario(seed: u64, number: usize) -> Scenario {
    let mut dice = Dice(seed);
    dice.0 = dice.next() ^ number as u64;
    let theme = match dice.below(100) {
        0..60 => Theme::Plain,
        60..77 => Theme::Abrupt,
        77..90 => Theme::Collecting,
        90..97 => Theme::Forgiving,
        _ => Theme::Broken,
    };
    let alphabets: [&[u8]; 4] = [b"ab", b"abc", b"\r\n.", b"a\r\n"];
    let alphabet = alphabets[dice.below(4)];
    let first = loop {
        match term(&mut dice, alphabet) {
            Term::Count(0) => {} // ours would end a message before the first byte
            term => break term,
        }
    };
    let steps = steps(&mut dice, alphabet, theme);
    let collects = match theme {
        Theme::Collecting => collects(&mut dice, alphabet),
        Theme::Forgiving => (0..dice.below(6))
            .map(|_| Vec::from_iter(dice.percent(20).then_some(Action::Fail)))
            .collect(),
        _ => Vec::new(),
    };
    let stream = stream(&mut dice, alphabet, &first, &steps);
    let segments = segments(&mut dice, &stream);
    Scenario {
        // What a close drops depends on what was sent before; eagerly, the
        // original has sent one piece a turn, and ours all.
        is_eager: theme == Theme::Plain && dice.percent(50),
        chunk: [1, 2, 5, 4_096][dice.below(4)],
        width: [Some(1), Some(3), None, None][dice.below(4)],
        breaks_at: (theme == Theme::Broken).then(|| dice.below(segments.len().max(1))),
        is_forgiving: theme == Theme::Forgiving,
        first,
        steps,
        collects,
        segments,
        is_eof: dice.percent(60),
    }
}

fn term(dice: &mut Dice, alphabet: &[u8]) -> Term {
    match dice.below(20) {
        0..4 => Term::Count(1 + dice.below(12)),
        4 if dice.percent(30) => Term::Count(0),
        4 | 5 if dice.percent(30) => Term::None,
        _ => Term::Text(text(dice, alphabet)),
    }
}

fn text(dice: &mut Dice, alphabet: &[u8]) -> Vec<u8> {
    match dice.below(6) {
        0 => vec![alphabet[dice.below(alphabet.len())]],
        1 | 2 => {
            let len = 2 + dice.below(3);
            dice.bytes(alphabet, len)
        }
        3 => {
            let len = 5 + dice.below(16);
            dice.bytes(alphabet, len)
        }
        // What repeats itself has the most prefixes that are also its ends.
        4 => {
            let period = 1 + dice.below(3);
            let unit = dice.bytes(alphabet, period);
            let len = 1 + dice.below(20);
            unit.iter().copied().cycle().take(len).collect()
        }
        _ => match alphabet.contains(&b'\r') {
            true if alphabet.contains(&b'.') && dice.percent(50) => b"\r\n.\r\n".to_vec(),
            true => b"\r\n".to_vec(),
            false => dice.bytes(alphabet, 2),
        },
    }
}

fn steps(dice: &mut Dice, alphabet: &[u8], theme: Theme) -> Vec<Vec<Action>> {
    let count = dice.below(12);
    let mut steps = Vec::new();
    for _ in 0..count {
        let mut actions = Vec::new();
        if dice.percent(65) {
            actions.push(Action::Set(term(dice, alphabet)));
        }
        let outputs = [0, 0, 1, 1, 2, 3][dice.below(6)];
        for _ in 0..outputs {
            actions.push(output(dice));
        }
        if theme == Theme::Abrupt && dice.percent(15) {
            actions.push(Action::Discard);
        }
        shuffle(dice, &mut actions);
        if theme == Theme::Forgiving && dice.percent(20) {
            actions.push(Action::Fail);
        }
        steps.push(actions);
    }
    if count > 0 && dice.percent(35) {
        let last = dice.below(count);
        let actions = &mut steps[last];
        ends(dice, theme, actions);
    }
    steps
}

/// Makes a step the one that ends the channel.
fn ends(dice: &mut Dice, theme: Theme, actions: &mut Vec<Action>) {
    let mut fails = actions.last() == Some(&Action::Fail);
    actions.retain(|action| *action != Action::Fail);
    match (theme, dice.below(4)) {
        (Theme::Abrupt, 0) | (Theme::Broken, 0) => actions.push(Action::Close),
        (Theme::Abrupt, 1) => fails = true,
        _ => actions.push(Action::CloseWhenDone),
    }
    if dice.percent(50) {
        actions.push(output(dice));
    }
    if theme == Theme::Abrupt && dice.percent(15) {
        actions.push(Action::Discard);
    }
    shuffle(dice, actions);
    if fails || (theme == Theme::Abrupt && dice.percent(20)) {
        actions.push(Action::Fail);
    }
}

fn collects(dice: &mut Dice, alphabet: &[u8]) -> Vec<Vec<Action>> {
    let count = dice.below(14);
    let collects = (0..count).map(|_| match dice.below(20) {
        0..6 => Vec::new(),
        6..14 => vec![output(dice)],
        14..17 => vec![Action::Set(term(dice, alphabet))],
        17 => vec![Action::Discard],
        18 => vec![Action::Close],
        _ => [Action::CloseWhenDone, Action::Fail][dice.below(2)..].to_vec(),
    });
    collects.collect()
}

fn output(dice: &mut Dice) -> Action {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let len = dice.below(8);
    match dice.below(10) {
        0..5 => Action::Push(dice.bytes(letters, len)),
        5 | 6 => Action::Simple(dice.bytes(letters, 2 * len)),
        7 | 8 => {
            let count = 1 + dice.below(4);
            let pieces = (0..count).map(|_| {
                let len = 1 + dice.below(5);
                dice.bytes(letters, len)
            });
            Action::Pieces(pieces.collect())
        }
        _ if dice.percent(40) => {
            let len = if dice.percent(5) { 0 } else { 1 + len };
            Action::Falsy(dice.bytes(letters, len))
        }
        _ => Action::Push(Vec::new()),
    }
}

/// What is sent: mostly what the script waits for, in its order, between runs
/// of noise and beginnings of terminators.
fn stream(dice: &mut Dice, alphabet: &[u8], first: &Term, steps: &[Vec<Action>]) -> Vec<u8> {
    let mut expected = vec![first];
    for actions in steps {
        let set = actions.iter().find_map(|action| match action {
            Action::Set(term) => Some(term),
            _ => None,
        });
        expected.extend(set.or(expected.last().copied()));
    }
    let texts: Vec<&Vec<u8>> = expected
        .iter()
        .filter_map(|term| match term {
            Term::Text(text) => Some(text),
            _ => None,
        })
        .collect();
    let mut stream = Vec::new();
    let mut number = 0;
    for _ in 0..2 + dice.below(expected.len() * 2 + 4) {
        let noise = dice.below(6);
        stream.extend(dice.bytes(alphabet, noise));
        if dice.percent(60) {
            match expected[number.min(expected.len() - 1)] {
                Term::Text(text) => stream.extend_from_slice(text),
                Term::Count(count) => stream.extend(dice.bytes(alphabet, *count)),
                Term::None => {}
            }
            number += 1;
        } else if !texts.is_empty() {
            let text = texts[dice.below(texts.len())];
            stream.extend_from_slice(&text[..dice.below(text.len() + 1)]);
        }
    }
    stream
}

fn segments(dice: &mut Dice, stream: &[u8]) -> Vec<Vec<u8>> {
    let longest = [1, 2, 4, 12, 40, usize::MAX][dice.below(6)];
    let mut segments = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let len = match longest {
            usize::MAX => rest.len(),
            longest => (1 + dice.below(longest)).min(rest.len()),
        };
        let (segment, later) = rest.split_at(len);
        segments.push(segment.to_vec());
        rest = later;
    }
    segments
}

fn shuffle(dice: &mut Dice, actions: &mut [Action]) {
    for last in (1..actions.len()).rev() {
        actions.swap(last, dice.below(last + 1));
    }
}
