//! A window of a timetable as people write it: `mon-fri 08:00-18:00 fetch 1MB/s serve paused`.

use std::fmt::{self, Write as _};

use weft_core::Window;

use crate::units::{UnitError, format_bytes, parse_bytes_per_sec};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const EVERY_DAY: u8 = 0x7f;
const MINUTES_PER_DAY: u16 = 24 * 60;

/// Why a window could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WindowError {
    /// It has not the parts of a window.
    #[error(
        "`{0}` is no window; write it like `22:00-06:00 unlimited` or `mon-fri 08:00-18:00 fetch 1MB/s serve paused`"
    )]
    Form(String),
    /// A day that does not exist.
    #[error("`{0}` is no day; there are mon, tue, wed, thu, fri, sat and sun")]
    Day(String),
    /// No time of day.
    #[error("`{0}` are no hours; write them like `22:00-06:00`")]
    Hours(String),
    /// No cap.
    #[error("{0}; a cap is a rate, `unlimited` or `paused`")]
    Cap(UnitError),
}

/// Reads a window: days (every day without them), hours, and what counts then, in each
/// direction or in both.
pub fn parse_window(text: &str) -> Result<Window, WindowError> {
    let form = || WindowError::Form(text.to_owned());
    let words: Vec<&str> = text.split_whitespace().collect();
    let (days, words) = match words.split_first() {
        Some((first, rest)) if !first.contains(':') => (days(first)?, rest),
        _ => (EVERY_DAY, words.as_slice()),
    };
    let (span, caps) = words.split_first().ok_or_else(form)?;
    let (from_minute, until_minute) = hours(span)?;
    let (fetch, serve) = match caps {
        [both] => (cap(both)?, cap(both)?),
        ["fetch", fetch, "serve", serve] | ["serve", serve, "fetch", fetch] => {
            (cap(fetch)?, cap(serve)?)
        }
        _ => return Err(form()),
    };
    Ok(Window {
        days,
        from_minute,
        until_minute,
        fetch_bytes_per_sec: fetch,
        serve_bytes_per_sec: serve,
    })
}

/// Writes it so that [`parse_window`] reads the same back.
pub fn format_window(window: &Window) -> String {
    let mut text = String::new();
    if window.days != EVERY_DAY {
        let days = DAYS.iter().enumerate();
        let named: Vec<&str> = days
            .filter(|(day, _)| window.days >> day & 1 == 1)
            .map(|(_, name)| *name)
            .collect();
        text = named.join(",") + " ";
    }
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    let (from, until) = (clock(window.from_minute), clock(window.until_minute));
    let _ = write!(text, "{from}-{until} ");
    let (fetch, serve) = (
        Told(window.fetch_bytes_per_sec),
        Told(window.serve_bytes_per_sec),
    );
    if fetch == serve {
        text + &fetch.to_string()
    } else {
        text + &format!("fetch {fetch} serve {serve}")
    }
}

#[derive(PartialEq, Eq)]
struct Told(Option<u64>);

impl fmt::Display for Told {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => write!(out, "unlimited"),
            Some(0) => write!(out, "paused"),
            Some(rate) => write!(out, "{}/s", format_bytes(rate)),
        }
    }
}

/// `mon-fri,sun`; a span may pass the week's end.
fn days(text: &str) -> Result<u8, WindowError> {
    let day = |name: &str| {
        let found = DAYS.iter().position(|day| name.eq_ignore_ascii_case(day));
        found.ok_or_else(|| WindowError::Day(name.to_owned()))
    };
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(part)?, day(part)?),
        };
        for step in 0..=(last + 7 - first) % 7 {
            days |= 1 << ((first + step) % 7);
        }
    }
    Ok(days)
}

fn hours(text: &str) -> Result<(u16, u16), WindowError> {
    let wrong = || WindowError::Hours(text.to_owned());
    let minute = |clock: &str| {
        let (hour, minute) = clock.split_once(':')?;
        let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
        (minute < 60 && hour * 60 + minute <= MINUTES_PER_DAY && hour <= 24)
            .then(|| hour * 60 + minute)
    };
    let (from, until) = text.split_once('-').ok_or_else(wrong)?;
    match (minute(from), minute(until)) {
        (Some(from), Some(until)) if from < MINUTES_PER_DAY => Ok((from, until)),
        _ => Err(wrong()),
    }
}

fn cap(text: &str) -> Result<Option<u64>, WindowError> {
    match text {
        "unlimited" => Ok(None),
        "paused" => Ok(Some(0)),
        rate => parse_bytes_per_sec(rate)
            .map(Some)
            .map_err(WindowError::Cap),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn windows_are_read_and_written_back() {
        for (text, days, minutes, caps) in [
            ("22:00-06:00 unlimited", 0x7f, (1_320, 360), (None, None)),
            ("00:00-24:00 paused", 0x7f, (0, 1_440), (Some(0), Some(0))),
            (
                "mon,tue,sun 08:30-18:00 fetch 1MB/s serve paused",
                0b100_0011,
                (510, 1_080),
                (Some(1_000_000), Some(0)),
            ),
        ] {
            let window = parse_window(text).unwrap();
            assert_eq!(window.days, days, "{text}");
            assert_eq!((window.from_minute, window.until_minute), minutes, "{text}");
            let read = (window.fetch_bytes_per_sec, window.serve_bytes_per_sec);
            assert_eq!(read, caps, "{text}");
            assert_eq!(format_window(&window), text);
        }
        assert_eq!(
            parse_window("Sat-Tue 00:00-24:00 1B/s").unwrap().days,
            0b110_0011
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |text: &str| parse_window(text).unwrap_err();
        assert!(matches!(wrong(""), WindowError::Form(_)));
        assert!(matches!(wrong("22:00-06:00"), WindowError::Form(_)));
        assert!(matches!(
            wrong("22:00-06:00 fetch 1MB/s"),
            WindowError::Form(_)
        ));
        assert!(matches!(
            wrong("noday 22:00-06:00 paused"),
            WindowError::Day(_)
        ));
        assert!(matches!(wrong("mon-"), WindowError::Day(_)));
        for hours in [
            "22:00",
            "24:00-06:00",
            "22:60-06:00",
            "22:00-24:01",
            "1:2:3-4:00",
        ] {
            let text = format!("{hours} paused");
            assert!(matches!(wrong(&text), WindowError::Hours(_)), "{text}");
        }
        assert!(matches!(wrong("22:00-06:00 2MB"), WindowError::Cap(_)));
        assert!(matches!(wrong("22:00-06:00 0B/s"), WindowError::Cap(_)));
    }
}
