//! A timetable of caps over the week, in local time.

use serde::{Deserialize, Serialize};

const MINUTES_PER_DAY: u64 = 24 * 60;
const MINUTES_PER_WEEK: u64 = 7 * MINUTES_PER_DAY;
/// 1970 began on a Thursday, three days into the week.
const FIRST_MINUTE: u64 = 3 * MINUTES_PER_DAY;

/// A part of the week with caps of its own, over the uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// On which days it begins; bit 0 is Monday.
    pub days: u8,
    /// First minute of the day.
    pub from_minute: u16,
    /// The minute after the last; not later than the first: of the next day.
    pub until_minute: u16,
    /// Most bytes fetched a second; `None`: no cap; 0: none at all.
    pub fetch_bytes_per_sec: Option<u64>,
    /// Most bytes served a second.
    pub serve_bytes_per_sec: Option<u64>,
}

impl Window {
    /// Whether its numbers can be meant so.
    pub(crate) fn is_valid(&self) -> bool {
        let day = 0..=MINUTES_PER_DAY;
        (1..=0x7f).contains(&self.days)
            && u64::from(self.from_minute) < MINUTES_PER_DAY
            && day.contains(&u64::from(self.until_minute))
    }

    /// Minutes from its beginning to its end.
    fn minutes(&self) -> u64 {
        let (from, until) = (u64::from(self.from_minute), u64::from(self.until_minute));
        if until > from {
            until - from
        } else {
            until + MINUTES_PER_DAY - from
        }
    }

    /// Minutes of the week at which it begins.
    fn beginnings(&self) -> impl Iterator<Item = u64> + '_ {
        let days = (0..7_u64).filter(|day| self.days >> day & 1 == 1);
        days.map(|day| day * MINUTES_PER_DAY + u64::from(self.from_minute))
    }

    fn contains(&self, minute: u64) -> bool {
        let minutes = self.minutes();
        let since = |begins: u64| (minute + MINUTES_PER_WEEK - begins) % MINUTES_PER_WEEK;
        self.beginnings().any(|begins| since(begins) < minutes)
    }

    /// Minutes until it begins or ends next.
    fn changes_in(&self, minute: u64) -> u64 {
        let minutes = self.minutes();
        let edges = self
            .beginnings()
            .flat_map(|begins| [begins, begins + minutes]);
        let waits = edges.map(|edge| {
            let wait = (edge + MINUTES_PER_WEEK - minute) % MINUTES_PER_WEEK;
            if wait == 0 { MINUTES_PER_WEEK } else { wait }
        });
        waits.min().unwrap_or(MINUTES_PER_WEEK)
    }
}

/// The window that counts at this local time (seconds since 1970 began here), the first of
/// the list that contains it, and when it has to be looked again.
pub(crate) fn at(windows: &[Window], local_s: u64) -> (Option<&Window>, u64) {
    let minute = (local_s / 60 + FIRST_MINUTE) % MINUTES_PER_WEEK;
    let found = windows.iter().find(|window| window.contains(minute));
    let changes = windows.iter().map(|window| window.changes_in(minute));
    let next_s = match changes.min() {
        Some(minutes) => (local_s / 60 + minutes) * 60,
        None => u64::MAX,
    };
    (found, next_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONDAY_S: u64 = 4 * 86_400;

    fn window(days: u8, from: u16, until: u16, fetch: u64) -> Window {
        Window {
            days,
            from_minute: from,
            until_minute: until,
            fetch_bytes_per_sec: Some(fetch),
            serve_bytes_per_sec: None,
        }
    }

    /// Day of the week, hour, minute.
    fn time(day: u64, hour: u64, minute: u64) -> u64 {
        MONDAY_S + (day * 24 + hour) * 3_600 + minute * 60
    }

    fn fetch(windows: &[Window], local_s: u64) -> Option<u64> {
        at(windows, local_s).0?.fetch_bytes_per_sec
    }

    #[test]
    fn the_first_window_that_holds_the_time_counts() {
        // weekdays from eight to six, and each night
        let windows = [
            window(0b001_1111, 480, 1_080, 1),
            window(0x7f, 1_320, 360, 2),
        ];
        assert_eq!(fetch(&windows, time(0, 7, 59)), None);
        assert_eq!(fetch(&windows, time(0, 8, 0)), Some(1));
        assert_eq!(fetch(&windows, time(4, 17, 59)), Some(1));
        assert_eq!(fetch(&windows, time(4, 18, 0)), None);
        assert_eq!(fetch(&windows, time(5, 12, 0)), None);
        assert_eq!(fetch(&windows, time(6, 23, 30)), Some(2));
        // Sunday's night ends on Monday, also across the week's end
        assert_eq!(fetch(&windows, time(0, 5, 59)), Some(2));
        assert_eq!(fetch(&windows, time(0, 6, 0)), None);
        let both = [window(0x7f, 0, 1_440, 7), window(0x7f, 0, 1_440, 8)];
        assert_eq!(fetch(&both, time(3, 3, 3)), Some(7));
    }

    #[test]
    fn the_next_change_is_known() {
        let windows = [window(0b000_0001, 480, 1_080, 1)];
        assert_eq!(at(&windows, time(0, 7, 0) + 30).1, time(0, 8, 0));
        assert_eq!(at(&windows, time(0, 8, 0)).1, time(0, 18, 0));
        assert_eq!(at(&windows, time(0, 18, 0)).1, time(7, 8, 0));
        assert_eq!(at(&[], time(0, 8, 0)), (None, u64::MAX));
        // from one midnight to the next
        let always = [window(0x7f, 0, 1_440, 1)];
        assert_eq!(at(&always, time(2, 12, 0)).1, time(3, 0, 0));
        // as long as a day
        assert_eq!(fetch(&[window(0b1, 600, 600, 1)], time(1, 9, 59)), Some(1));
        assert_eq!(fetch(&[window(0b1, 600, 600, 1)], time(1, 10, 0)), None);
    }
}
