//! Sizes and rates as people write them: `2MB/s`, `40 GiB`, `800kB`.

/// Reads a size in bytes: a number, optionally with a fraction, and a unit.
/// `k`, `M`, `G`, `T` are powers of 1000; with an `i` they are powers of 1024.
pub fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    let text = text.trim();
    let split = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number
        .replace('_', "")
        .parse()
        .map_err(|_| UnitError::Number(text.to_owned()))?;
    let factor = factor_of(unit.trim()).ok_or_else(|| UnitError::Unit {
        unit: unit.trim().to_owned(),
        text: text.to_owned(),
    })?;
    let bytes = number * factor as f64;
    // 2^53: above it the number would no longer be exact, and no disk is that large.
    if bytes.is_finite() && bytes < 9_007_199_254_740_992.0 {
        Ok(bytes.round() as u64)
    } else {
        Err(UnitError::Number(text.to_owned()))
    }
}

/// Reads a rate: a size and `/s`. Zero is refused, because a node that may
/// move nothing would wait for ever without saying why.
pub fn parse_bytes_per_sec(text: &str) -> Result<u64, UnitError> {
    let size = text
        .trim()
        .strip_suffix("/s")
        .ok_or_else(|| UnitError::Rate(text.to_owned()))?;
    match parse_bytes(size)? {
        0 => Err(UnitError::Zero(text.to_owned())),
        bytes => Ok(bytes),
    }
}

/// Writes a size so that [`parse_bytes`] reads the same number back.
pub fn format_bytes(bytes: u64) -> String {
    for (factor, unit) in [
        (1_000_000_000_000, "TB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
        (1_000, "kB"),
    ] {
        if bytes >= factor && bytes.is_multiple_of(factor / 1_000) {
            let whole = bytes / factor;
            let rest = bytes % factor / (factor / 1_000);
            return if rest == 0 {
                format!("{whole}{unit}")
            } else {
                format!("{whole}.{rest:03}")
                    .trim_end_matches('0')
                    .to_owned()
                    + unit
            };
        }
    }
    format!("{bytes}B")
}

/// Why a size or rate could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// No number in front.
    #[error("`{0}` does not begin with a number that weft can hold")]
    Number(String),
    /// An unknown unit behind it.
    #[error("`{text}`: unknown unit `{unit}`; use B, kB, MB, GB, TB or KiB, MiB, GiB, TiB")]
    Unit {
        /// What stood behind the number.
        unit: String,
        /// The whole value.
        text: String,
    },
    /// A size where a rate is wanted.
    #[error("`{0}` is not a rate; write it like `2MB/s`")]
    Rate(String),
    /// A rate of nothing.
    #[error("`{0}` would never move anything; leave the limit out to have none")]
    Zero(String),
}

fn factor_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "" | "B" => 1,
        "k" | "kB" | "KB" => 1_000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        "T" | "TB" => 1_000_000_000_000,
        "Ki" | "KiB" => 1 << 10,
        "Mi" | "MiB" => 1 << 20,
        "Gi" | "GiB" => 1 << 30,
        "Ti" | "TiB" => 1 << 40,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_units_of_both_kinds() {
        for (text, bytes) in [
            ("0", 0),
            ("512B", 512),
            ("2MB", 2_000_000),
            ("1.5 GiB", 1_610_612_736),
            ("40GB", 40_000_000_000),
            ("10_000", 10_000),
        ] {
            assert_eq!(parse_bytes(text).unwrap(), bytes, "{text}");
        }
        assert_eq!(parse_bytes_per_sec("2MB/s").unwrap(), 2_000_000);
    }

    #[test]
    fn names_what_is_wrong() {
        assert!(matches!(parse_bytes("fast"), Err(UnitError::Number(_))));
        assert!(matches!(parse_bytes("1e99"), Err(UnitError::Unit { .. })));
        assert!(matches!(
            parse_bytes(&"9".repeat(40)),
            Err(UnitError::Number(_))
        ));
        assert!(matches!(
            parse_bytes("3 furlong"),
            Err(UnitError::Unit { .. })
        ));
        assert!(matches!(
            parse_bytes_per_sec("2MB"),
            Err(UnitError::Rate(_))
        ));
        assert!(matches!(
            parse_bytes_per_sec("0B/s"),
            Err(UnitError::Zero(_))
        ));
    }

    #[test]
    fn what_is_written_reads_back() {
        for bytes in [
            0,
            1,
            999,
            1_000,
            1_500,
            1_234_567,
            2_000_000,
            2_500_000,
            1_000_000_001,
            40_000_000_000,
        ] {
            assert_eq!(
                parse_bytes(&format_bytes(bytes)).unwrap(),
                bytes,
                "{}",
                format_bytes(bytes)
            );
        }
    }
}
