//! Medians and quartiles, of one contestant and of ratios between two.

use std::fmt;

#[derive(Clone, Copy, Debug)]
pub struct Quartiles {
    pub q1: f64,
    pub median: f64,
    pub q3: f64,
}

impl Quartiles {
    /// `None` of nothing.
    pub fn of(mut samples: Vec<f64>) -> Option<Self> {
        if samples.is_empty() {
            return None;
        }
        samples.sort_by(f64::total_cmp);
        let at = |quarter: f64| {
            let place = (samples.len() - 1) as f64 * quarter;
            let (low, high) = (
                samples[place.floor() as usize],
                samples[place.ceil() as usize],
            );
            low + (high - low) * place.fract()
        };
        Some(Self {
            q1: at(0.25),
            median: at(0.5),
            q3: at(0.75),
        })
    }
}

impl fmt::Display for Quartiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { q1, median, q3 } = self;
        write!(f, "{median:.2} ({q1:.2}–{q3:.2})")
    }
}

/// What was measured in rounds, each contestant once in each.
#[derive(Debug, Default)]
pub struct Samples(Vec<(&'static str, Vec<f64>)>);

impl Samples {
    pub fn add(&mut self, name: &'static str, value: f64) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => self.0.push((name, vec![value])),
        }
    }

    /// What failed once is no contestant.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| *known != name);
    }

    pub fn of(&self, name: &str) -> Option<Quartiles> {
        Quartiles::of(self.values(name)?.to_vec())
    }

    /// Of the ratios within one round.
    pub fn ratio(&self, name: &str, base: &str) -> Option<Quartiles> {
        let ratios = self.values(name)?.iter().zip(self.values(base)?);
        Quartiles::of(ratios.map(|(value, base)| value / base).collect())
    }

    pub fn values(&self, name: &str) -> Option<&[f64]> {
        let (_, values) = self.0.iter().find(|(known, _)| *known == name)?;
        Some(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_the_samples_when_they_must() {
        let four = Quartiles::of(vec![4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((four.q1, four.median, four.q3), (1.75, 2.5, 3.25));
        let one = Quartiles::of(vec![7.0]).unwrap();
        assert_eq!((one.q1, one.median, one.q3), (7.0, 7.0, 7.0));
        assert!(Quartiles::of(Vec::new()).is_none());
    }

    #[test]
    fn a_ratio_is_taken_within_its_round() {
        let mut samples = Samples::default();
        for round in [1.0, 10.0, 100.0] {
            samples.add("a", 3.0 * round);
            samples.add("b", 2.0 * round);
        }
        let ratio = samples.ratio("a", "b").unwrap();
        assert_eq!((ratio.q1, ratio.q3), (1.5, 1.5));
    }
}
