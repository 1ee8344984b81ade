use super::*;

#[path = "../../tests/common/rng.rs"]
#[allow(clippy::duplicate_mod, reason = "ten lines that several tests need")]
mod rng;

use rng::Rng;

const POLICIES: [OfferPolicy; 3] = [
    OfferPolicy::Close,
    OfferPolicy::DropNewest,
    OfferPolicy::DropOldest,
];

/// The same by a list that is searched, and sums that are made anew.
#[derive(Default)]
struct Model {
    line: Vec<(Option<u64>, Vec<u8>)>,
    dropped: Vec<Vec<u8>>,
}

impl Model {
    fn add(&mut self, key: Option<u64>, data: &[u8], limit: usize, policy: OfferPolicy) -> Fate {
        let weight = |line: &[(Option<u64>, Vec<u8>)]| -> usize {
            line.iter().map(|(_, data)| data.len() + PLACE).sum()
        };
        let mut line = self.line.clone();
        let mut oldest = Vec::new();
        loop {
            let mut with = line.clone();
            let same = with.iter_mut().find(|it| key.is_some() && it.0 == key);
            let replaced = match same {
                Some((_, before)) => Some(mem::replace(before, data.to_vec())),
                None => {
                    with.push((key, data.to_vec()));
                    None
                }
            };
            if weight(&with) <= limit {
                self.line = with;
                self.dropped.append(&mut oldest);
                self.dropped.extend(replaced);
                return Fate::Waits;
            }
            if policy == OfferPolicy::Close {
                return Fate::TooMuch;
            }
            if policy == OfferPolicy::DropNewest || line.is_empty() || data.len() + PLACE > limit {
                self.dropped.push(data.to_vec());
                return Fate::Dropped;
            }
            oldest.push(line.remove(0).1);
        }
    }
}

#[test]
fn the_line_is_that_of_a_naive_model() {
    let mut rng = Rng::new(7);
    for round in 0..600 {
        let policy = POLICIES[round % 3];
        let limit = [0, 64, 65, 100, 300, 1_000, 5_000][rng.below(7)];
        let (mut offers, mut model) = (Offers::default(), Model::default());
        let mut count = 0_u64;
        for _ in 0..rng.below(300) {
            if rng.below(4) == 0 {
                let next = (!model.line.is_empty()).then(|| model.line.remove(0).1);
                assert_eq!(offers.next_len(), next.as_ref().map(Vec::len));
                assert_eq!(offers.next().map(|data| data.to_vec()), next);
            } else {
                count += 1;
                let key = (rng.below(2) == 0).then(|| rng.below(6) as u64);
                let mut data = count.to_string().into_bytes();
                data.resize(data.len() + rng.below(60) * rng.below(3), b'.');
                let fate = model.add(key, &data, limit, policy);
                let data = Bytes::from(data);
                assert_eq!(offers.add(key, data, limit, policy), fate);
            }
            let len = model.line.iter().map(|(_, data)| data.len()).sum();
            assert_eq!(offers.len(), len);
            assert!(len + model.line.len() * PLACE <= limit);
            let dropped = Dropped {
                messages: model.dropped.len() as u64,
                bytes: model.dropped.iter().map(|data| data.len() as u64).sum(),
            };
            assert_eq!(offers.dropped, dropped);
        }
        let rest = std::iter::from_fn(|| offers.next().map(|data| data.to_vec()));
        assert!(rest.eq(model.line.into_iter().map(|(_, data)| data)));
        assert_eq!((offers.line.capacity(), offers.keys.capacity()), (0, 0));
    }
}
