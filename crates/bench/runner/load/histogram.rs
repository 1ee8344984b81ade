//! Latencies, in as many classes as it takes to tell each from those that differ
//! by one part in 128: below 256 ns a class for each, and 128 for each further
//! power of two.

use std::time::Duration;

/// Classes for each power of two.
const CLASSES: usize = 128;

const BITS: u32 = CLASSES.ilog2();

#[derive(Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; class(u64::MAX) + 1],
            total: 0,
        }
    }
}

impl Histogram {
    pub fn record(&mut self, latency: Duration) {
        self.counts[class(latency.as_nanos() as u64)] += 1;
        self.total += 1;
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// The latency, in ns, that this share of all does not exceed.
    pub fn quantile(&self, share: f64) -> f64 {
        let wanted = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        found.map_or(0.0, middle)
    }
}

fn class(nanos: u64) -> usize {
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(BITS + 1);
    shift as usize * CLASSES + (nanos >> shift) as usize
}

/// What stands for a class.
fn middle(class: usize) -> f64 {
    let shift = (class / CLASSES).saturating_sub(1);
    let least = (class - shift * CLASSES) as f64;
    let width = (1_u64 << shift) as f64;
    least * width + (width - 1.0) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_narrow_and_the_next_begins_where_it_ends() {
        for nanos in (0..100_000).chain([1 << 40, (1 << 40) - 1, u64::MAX]) {
            let of = middle(class(nanos));
            let error = (of - nanos as f64).abs() / (nanos as f64).max(1.0);
            assert!(error <= 1.0 / 128.0, "{nanos} is told as {of}");
        }
        assert!((0..100_000).all(|nanos| class(nanos + 1) - class(nanos) <= 1));
    }

    #[test]
    fn a_quantile_counts_from_the_smallest() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|nanos| histogram.record(Duration::from_nanos(nanos / 10)));
        assert_eq!(histogram.total(), 1000);
        assert_eq!(histogram.quantile(0.5), 50.0);
        assert_eq!(histogram.quantile(0.99), 99.0);
        assert_eq!(histogram.quantile(1.0), 100.0);
        assert_eq!(Histogram::default().quantile(0.5), 0.0);
    }
}
