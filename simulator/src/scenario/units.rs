//! Amounts as people write them, with their units. Integers inside; each has a bound.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// Parts of an error message: why, and what to write instead.
pub(crate) const PART: char = '\u{1f}';
/// Most bytes of anything: a pebibyte.
pub(crate) const MOST_BYTES: u64 = 1 << 50;
/// Fastest rate: a terabit a second.
pub(crate) const MOST_BYTES_PER_SEC: u64 = 125_000_000_000;
/// Longest time: a year.
pub(crate) const MOST_US: u64 = 365 * 24 * 3_600 * 1_000_000;

/// An amount of data: `"256 MiB"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// A rate: `"10 Mbit/s"`; 0 stands for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    /// Bytes a second.
    pub bytes_per_sec: u64,
}

/// A time: `"90 s"`, `"2 h 30 min"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Microseconds.
    pub us: u64,
}

/// A part of a whole: `"5 %"`, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    /// Millionths.
    pub ppm: u32,
}

/// A time of day: `"22:30"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clock {
    /// Seconds after midnight.
    pub second: u32,
}

/// Hours of each day: `"22:00-06:00"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// When they begin.
    pub from: Clock,
    /// When they end; before `from`, on the next day.
    pub until: Clock,
}

/// A multiple of a release: `"2 x"`, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Times {
    /// Thousandths.
    pub milli: u64,
}

/// A difference of clocks: `"-5 min"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skew {
    /// Seconds that the clock is ahead.
    pub ahead_s: i64,
}

const BYTE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

/// Bits a second, but for those with a B.
const RATE_UNITS: &[(&str, u64)] = &[
    ("bit/s", 1),
    ("kbit/s", 1_000),
    ("Mbit/s", 1_000_000),
    ("Gbit/s", 1_000_000_000),
    ("kB/s", 8_000),
    ("MB/s", 8_000_000),
    ("GB/s", 8_000_000_000),
];

const TIME_UNITS: &[(&str, u64)] = &[
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("min", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

impl Bytes {
    fn parse(text: &str) -> Result<Self, String> {
        let bytes = amount(text, BYTE_UNITS, "an amount of data", "256 MiB")?;
        bounded(bytes, MOST_BYTES, "1 PiB").map(Self)
    }
}

impl Rate {
    fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == "unlimited" {
            return Ok(Self { bytes_per_sec: 0 });
        }
        let bits = amount(text, RATE_UNITS, "a rate", "10 Mbit/s")?;
        let bytes_per_sec = bounded(bits / 8, MOST_BYTES_PER_SEC, "1,000 Gbit/s")?;
        if bytes_per_sec == 0 {
            return Err(format!(
                "a rate must be above zero{PART}for no limit write \"unlimited\"; a link that is down is an [[outage]]"
            ));
        }
        Ok(Self { bytes_per_sec })
    }
}

impl Time {
    fn parse(text: &str) -> Result<Self, String> {
        const KIND: &str = "a time";
        const EXAMPLE: &str = "90 s";
        let mut us = 0_u64;
        let words: Vec<&str> = text.split_whitespace().collect();
        // "2 h 30 min" is pairs; "90s" and "2h" are one word each
        let mut rest = words.as_slice();
        while let Some((first, more)) = rest.split_first() {
            let bare = first.chars().all(|c| c.is_ascii_digit() || c == '.');
            let (piece, more) = match more.split_first() {
                Some((unit, more)) if bare => (format!("{first} {unit}"), more),
                _ => ((*first).to_owned(), more),
            };
            us = us.saturating_add(amount(&piece, TIME_UNITS, KIND, EXAMPLE)?);
            rest = more;
        }
        if words.is_empty() {
            return Err(not_one("", KIND, EXAMPLE));
        }
        bounded(us, MOST_US, "365 d").map(|us| Self { us })
    }
}

impl Share {
    /// All of it.
    pub const ALL: Self = Self { ppm: 1_000_000 };

    /// So much of a number, rounded to the nearest.
    pub fn of(self, count: usize) -> usize {
        let part = count as u128 * u128::from(self.ppm) + 500_000;
        (part / 1_000_000) as usize
    }

    fn parse(text: &str) -> Result<Self, String> {
        let ppm = amount(text, &[("%", 10_000)], "a share", "5 %")?;
        if ppm > 1_000_000 {
            return Err(format!(
                "no more than all of something can be meant{PART}write 100 % or less"
            ));
        }
        Ok(Self { ppm: ppm as u32 })
    }
}

impl Clock {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is no time of day{PART}write hours and minutes, such as \"22:30\"")
        };
        let (hour, minute) = text.trim().split_once(':').ok_or_else(wrong)?;
        let number = |part: &str| part.parse::<u32>().map_err(|_| wrong());
        let (hour, minute) = (number(hour)?, number(minute)?);
        if hour > 24 || minute > 59 || (hour == 24 && minute > 0) {
            return Err(wrong());
        }
        Ok(Self {
            second: (hour * 60 + minute) * 60 % DAY_S,
        })
    }
}

/// Seconds of a day.
pub const DAY_S: u32 = 86_400;

impl Hours {
    /// Whether a second of the day lies within.
    pub fn contains(self, second: u32) -> bool {
        let (from, until) = (self.from.second, self.until.second);
        if from < until {
            (from..until).contains(&second)
        } else {
            second >= from || second < until
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (from, until) = text.split_once('-').ok_or_else(|| {
            format!("{text:?} are no hours{PART}write from and until, such as \"22:00-06:00\"")
        })?;
        let (from, until) = (Clock::parse(from)?, Clock::parse(until)?);
        Ok(Self { from, until })
    }
}

impl Times {
    fn parse(text: &str) -> Result<Self, String> {
        let milli = amount(text, &[("x", 1_000)], "a multiple", "1.5 x")?;
        bounded(milli, 1_000_000_000, "1,000,000 x").map(|milli| Self { milli })
    }
}

impl Skew {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (sign, rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let time = Time::parse(rest)?;
        Ok(Self {
            ahead_s: sign * (time.us / 1_000_000) as i64,
        })
    }
}

/// A decimal number and a unit, in the smallest unit.
fn amount(text: &str, units: &[(&str, u64)], kind: &str, example: &str) -> Result<u64, String> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err(format!(
            "{kind} cannot be negative{PART}write it without the minus, such as {example:?}"
        ));
    }
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')
        .unwrap_or(text.len());
    let (number, unit) = (text[..digits].replace('_', ""), text[digits..].trim());
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    let is_number = !whole.is_empty() && whole.len() <= 15 && fraction.len() <= 9;
    if !is_number || fraction.contains('.') {
        return Err(not_one(text, kind, example));
    }
    let Some((_, size)) = units.iter().find(|(name, _)| *name == unit) else {
        let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
        let given = if unit.is_empty() {
            format!("{kind} needs its unit")
        } else {
            format!("{unit:?} is no unit of {kind}")
        };
        let near = super::mistake::nearest(unit, names.iter().copied());
        let next = match near {
            Some(near) => format!("did you mean {:?}?", format!("{number} {near}")),
            None => format!("units are {}", names.join(", ")),
        };
        return Err(format!("{given}{PART}{next}"));
    };
    let scale = 10_u128.pow(fraction.len() as u32);
    let digits: u128 = format!("{whole}{fraction}").parse().unwrap_or(u128::MAX);
    let exact = digits.saturating_mul(u128::from(*size)) / scale;
    Ok(u64::try_from(exact).unwrap_or(u64::MAX))
}

fn not_one(text: &str, kind: &str, example: &str) -> String {
    format!("{text:?} is not {kind}{PART}write a number and a unit, such as {example:?}")
}

fn bounded(value: u64, most: u64, told: &str) -> Result<u64, String> {
    if value > most {
        return Err(format!("it is more than {told}{PART}write {told} or less"));
    }
    Ok(value)
}

macro_rules! from_text {
    ($($unit:ident),*) => {$(
        impl<'de> Deserialize<'de> for $unit {
            fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                let text = String::deserialize(input)?;
                $unit::parse(&text).map_err(de::Error::custom)
            }
        }

        impl std::str::FromStr for $unit {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                $unit::parse(text)
            }
        }
    )*};
}

from_text!(Bytes, Rate, Time, Share, Clock, Hours, Times, Skew);

impl fmt::Display for Bytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BINARY: [(&str, u64); 4] = [
            ("TiB", 1 << 40),
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("KiB", 1 << 10),
        ];
        let unit = BINARY.iter().find(|(_, size)| self.0 >= *size);
        match unit {
            Some((name, size)) => write!(out, "{} {name}", decimal(self.0, *size)),
            None => write!(out, "{} B", self.0),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.bytes_per_sec.saturating_mul(8);
        match bits {
            0 => write!(out, "unlimited"),
            1_000_000_000.. => write!(out, "{} Gbit/s", decimal(bits, 1_000_000_000)),
            1_000_000.. => write!(out, "{} Mbit/s", decimal(bits, 1_000_000)),
            _ => write!(out, "{} kbit/s", decimal(bits, 1_000)),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.us / 1_000;
        let s = ms / 1_000;
        match s {
            0 if ms == 0 => write!(out, "0 s"),
            0 => write!(out, "{ms} ms"),
            1..=9 => write!(out, "{} s", decimal(ms, 1_000)),
            10..=119 => write!(out, "{s} s"),
            120..=3_599 => pair(out, s, 60, "min", "s"),
            3_600..=172_799 => pair(out, s / 60, 60, "h", "min"),
            _ => pair(out, s / 3_600, 24, "d", "h"),
        }
    }
}

fn pair(
    out: &mut fmt::Formatter<'_>,
    small: u64,
    size: u64,
    large_name: &str,
    small_name: &str,
) -> fmt::Result {
    write!(out, "{} {large_name}", small / size)?;
    if !small.is_multiple_of(size) {
        write!(out, " {} {small_name}", small % size)?;
    }
    Ok(())
}

impl fmt::Display for Share {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // never rounded up to all
        let tenths = self.ppm / 1_000;
        if tenths.is_multiple_of(10) {
            write!(out, "{} %", tenths / 10)
        } else {
            write!(out, "{}.{} %", tenths / 10, tenths % 10)
        }
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.second / 60;
        write!(out, "{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

impl fmt::Display for Times {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} x", decimal(self.milli, 1_000))
    }
}

/// Up to two digits after the point, rounded to the nearest; none above a hundred.
fn decimal(value: u64, size: u64) -> String {
    let digits = if value >= 100 * size { 1 } else { 100 };
    let scaled = (u128::from(value) * digits + u128::from(size) / 2) / u128::from(size);
    let (whole, part) = (scaled / digits, scaled % digits);
    match (part, part % 10) {
        (0, _) => whole.to_string(),
        (_, 0) => format!("{whole}.{}", part / 10),
        _ => format!("{whole}.{part:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_told() {
        let rate = |text: &str| Rate::parse(text).map(|rate| rate.bytes_per_sec);
        assert_eq!(rate("10 Mbit/s"), Ok(1_250_000));
        assert_eq!(rate("1.5 MB/s"), Ok(1_500_000));
        assert_eq!(rate("unlimited"), Ok(0));
        let time = |text: &str| Time::parse(text).map(|time| time.us);
        assert_eq!(time("2 h 30 min"), Ok(9_000_000_000));
        assert_eq!(time("90s"), Ok(90_000_000));
        assert_eq!(Share::parse("0.1 %").map(|share| share.ppm), Ok(1_000));
        assert_eq!(Bytes::parse("256 MiB"), Ok(Bytes(1 << 28)));
        assert_eq!(Skew::parse("-5 min").map(|skew| skew.ahead_s), Ok(-300));
        for text in ["1.5 GiB", "256 MiB", "700 B"] {
            assert_eq!(Bytes::parse(text).unwrap_or_default().to_string(), text);
        }
        for text in ["2 min 30 s", "45 s", "3 d 4 h", "20 ms", "1.5 s"] {
            assert_eq!(Time::parse(text).unwrap_or_default().to_string(), text);
        }
        assert_eq!(Share { ppm: 999_999 }.to_string(), "99.9 %");
    }

    #[test]
    fn hours_may_pass_midnight() {
        let night = Hours::parse("22:00-06:00").expect("hours");
        let inside = |hour: u32| night.contains(hour * 3_600);
        assert_eq!(
            [21, 22, 0, 5, 6].map(inside),
            [false, true, true, true, false]
        );
    }

    #[test]
    fn a_share_of_a_few_is_rounded() {
        let five = Share::parse("5 %").expect("a share");
        assert_eq!([five.of(9), five.of(10), five.of(2_000)], [0, 1, 100]);
    }
}
