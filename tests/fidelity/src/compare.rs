//! How far the two sides are apart.

use crate::outcome::Summary;

/// What a simulated run may be off by, in hundredths.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For times until nodes have everything.
    pub time_percent: f64,
    /// For bytes over an uplink.
    pub bytes_percent: f64,
}

impl Limits {
    /// What the simulator promises.
    pub const PROMISED: Self = Self {
        time_percent: 10.0,
        bytes_percent: 5.0,
    };
}

/// A site that sends or receives less than this share of what the busiest one does has
/// nothing to say about weft: its bytes are acknowledgements.
const BYTES_SHARE_LEAST: f64 = 0.05;

/// Simulated against real, each difference in hundredths of the real value.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Until half of the nodes had everything.
    pub half_percent: f64,
    /// Until the last had.
    pub last_percent: f64,
    /// The site and direction that differ most.
    pub bytes_percent: f64,
}

impl Comparison {
    /// Compares what both sides say of one case.
    pub fn of(simulated: &Summary, real: &Summary) -> Self {
        let time = |one: std::time::Duration, other: std::time::Duration| {
            percent(one.as_secs_f64(), other.as_secs_f64())
        };
        let both = simulated.bytes.iter().zip(&real.bytes);
        let pairs: Vec<(f64, f64)> = both
            .flat_map(|(one, other)| [(one.up, other.up), (one.down, other.down)])
            .map(|(one, other)| (one as f64, other as f64))
            .collect();
        let most = pairs.iter().map(|(_, real)| *real).fold(0.0, f64::max);
        let bytes_percent = pairs
            .iter()
            .filter(|(_, real)| *real >= most * BYTES_SHARE_LEAST && *real > 0.0)
            .map(|(one, other)| percent(*one, *other))
            .max_by(|one, other| one.abs().total_cmp(&other.abs()))
            .unwrap_or(0.0);
        Self {
            half_percent: time(simulated.half, real.half),
            last_percent: time(simulated.last, real.last),
            bytes_percent,
        }
    }

    /// Whether nothing is further off than allowed.
    pub fn within(&self, limits: Limits) -> bool {
        self.half_percent.abs() <= limits.time_percent
            && self.last_percent.abs() <= limits.time_percent
            && self.bytes_percent.abs() <= limits.bytes_percent
    }
}

fn percent(simulated: f64, real: f64) -> f64 {
    if real == 0.0 {
        return if simulated == 0.0 { 0.0 } else { f64::INFINITY };
    }
    (simulated / real - 1.0) * 100.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outcome::{Outcome, SiteBytes};

    fn summary(seconds: &[u64], up: u64, down: u64) -> Summary {
        Summary::of(&[Outcome {
            completed: seconds.iter().copied().map(Duration::from_secs).collect(),
            bytes: vec![SiteBytes { up, down }],
            ..Outcome::default()
        }])
    }

    #[test]
    fn the_worst_difference_counts_and_acknowledgements_do_not() {
        let real = summary(&[10, 20, 40], 1_000, 10);
        let same = Comparison::of(&real, &real);
        assert!(same.within(Limits::PROMISED));
        let other = Comparison::of(&summary(&[10, 21, 44], 960, 100), &real);
        assert!((other.half_percent - 5.0).abs() < 1e-9, "{other:?}");
        assert!((other.last_percent - 10.0).abs() < 1e-9, "{other:?}");
        assert!((other.bytes_percent + 4.0).abs() < 1e-9, "{other:?}");
        let off = Comparison::of(&summary(&[10, 20, 40], 900, 10), &real);
        assert!(!off.within(Limits::PROMISED));
    }
}
