//! How far figures can be trusted: resampling, with integers and a stream of its own.

use crate::draw::Draw;

/// Times that the differences are drawn anew.
pub const RESAMPLES: u64 = 4_000;

/// A mean, and where it lies with 95 of a hundred resamples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Interval {
    /// The mean.
    pub mean: i64,
    /// 2.5 of a hundred resampled means lie below.
    pub low: i64,
    /// As many above.
    pub high: i64,
}

impl Interval {
    /// Of paired differences, by the percentile bootstrap.
    pub fn of(differences: &[i64], seed: u64) -> Option<Self> {
        if differences.is_empty() {
            return None;
        }
        let mut draw = Draw::new(seed, "bootstrap", differences.len() as u64);
        let mut means: Vec<i64> = (0..RESAMPLES)
            .map(|_| {
                let drawn = differences
                    .iter()
                    .map(|_| differences[draw.index(differences.len())]);
                mean(drawn, differences.len())
            })
            .collect();
        means.sort_unstable();
        let at = |per_mille: usize| means[(means.len() - 1) * per_mille / 1_000];
        Some(Self {
            mean: mean(differences.iter().copied(), differences.len()),
            low: at(25),
            high: at(975),
        })
    }

    /// Whether it leaves no doubt about the sign.
    pub fn is_clear(self) -> bool {
        self.low > 0 || self.high < 0
    }
}

fn mean(values: impl Iterator<Item = i64>, count: usize) -> i64 {
    let sum: i128 = values.map(i128::from).sum();
    (sum / count as i128) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_always_more_is_clear_and_what_is_noise_is_not() {
        let more: Vec<i64> = (0..20).map(|number| 100 + number % 7).collect();
        let found = Interval::of(&more, 1).expect("some");
        assert!(found.is_clear() && found.low >= 100 && found.high <= 106);
        let noise: Vec<i64> = (0..20).map(|number| (number % 2) * 200 - 100).collect();
        assert!(!Interval::of(&noise, 1).expect("some").is_clear());
        assert_eq!(Interval::of(&[], 1), None);
        assert_eq!(Interval::of(&more, 1), Interval::of(&more, 1));
    }
}
