//! Chunks that give way to whatever else needs the uplink.
//!
//! A queue on the way shows in the round trip before anything is lost: while it is longer
//! than the shortest that was seen by more than [`bounds::QUEUE_MOST`], the sender slows down,
//! and while it is not it goes faster. Other traffic, which only slows down when it loses
//! packets, takes the room. (The idea is LEDBAT's, RFC 6817, with rates instead of windows,
//! and the round trip that the kernel keeps of the connection instead of one-way delays.)

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Mutex as Turns, MutexGuard},
    time::sleep_until,
};

use crate::{bounds, handle::lock};

/// The pace of one connection.
pub(crate) struct Lane {
    pace: Mutex<Pace>,
    turns: Turns<()>,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            pace: Mutex::new(Pace::new(Instant::now())),
            turns: Turns::default(),
        }
    }
}

impl Lane {
    /// One payload at a time, so that the first is through soon also where there is hardly
    /// any room.
    pub(crate) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turns.lock().await
    }

    /// How much is sent at once: little, where there is little room.
    pub(crate) fn piece_bytes(&self) -> usize {
        let bytes_per_sec = lock(&self.pace).bytes_per_sec;
        let piece = bytes_per_sec * bounds::BACKGROUND_PIECE.as_millis() as u64 / 1_000;
        (piece as usize).clamp(bounds::BACKGROUND_PIECE_BYTES_LEAST, bounds::PIECE_BYTES)
    }

    /// Waits until these bytes may go. Without a round trip nothing is known, and nothing
    /// waits.
    pub(crate) async fn pay(&self, bytes: usize, round_trip: impl Fn() -> Option<Duration>) {
        let Some(measured) = round_trip() else {
            return;
        };
        let due = lock(&self.pace).take(bytes, measured, Instant::now());
        sleep_until(due.into()).await;
    }
}

/// How fast a connection sends while it gives way.
#[derive(Debug)]
struct Pace {
    bytes_per_sec: u64,
    /// Nothing was in the way yet: the room is looked for in large steps.
    is_seeking: bool,
    /// The shortest round trips of the present and of the last period.
    shortest: [Duration; 2],
    period_began: Instant,
    changed: Instant,
    /// Bytes taken since then.
    taken: u64,
    /// What was taken is sent by then.
    due: Instant,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self {
            bytes_per_sec: bounds::BACKGROUND_BYTES_PER_SEC_FIRST,
            is_seeking: true,
            shortest: [Duration::MAX; 2],
            period_began: now,
            changed: now,
            taken: 0,
            due: now,
        }
    }

    /// When these bytes may go.
    fn take(&mut self, bytes: usize, round_trip: Duration, now: Instant) -> Instant {
        self.look(round_trip, now);
        // what was not used is not saved up
        let from = self.due.max(now);
        let takes_us = bytes as u64 * 1_000_000 / self.bytes_per_sec;
        self.due = from + Duration::from_micros(takes_us);
        self.taken += bytes as u64;
        from
    }

    fn look(&mut self, round_trip: Duration, now: Instant) {
        if now.saturating_duration_since(self.period_began) >= bounds::SHORTEST_KEPT {
            self.period_began = now;
            self.shortest = [Duration::MAX, self.shortest[0]];
        }
        self.shortest[0] = self.shortest[0].min(round_trip);
        let shortest = self.shortest[0].min(self.shortest[1]);
        let queue = round_trip.saturating_sub(shortest);
        let since = now.saturating_duration_since(self.changed);
        if since < round_trip.max(bounds::BACKGROUND_STEP) {
            return;
        }
        let sent_bytes_per_sec = self.taken as u128 * 1_000_000 / since.as_micros();
        (self.changed, self.taken) = (now, 0);
        let most = bounds::QUEUE_MOST;
        if queue > most {
            let over = queue.saturating_sub(most).as_micros().min(most.as_micros());
            let less = u128::from(self.bytes_per_sec) * over / (2 * most.as_micros());
            self.bytes_per_sec -= less as u64;
            self.is_seeking = false;
        } else if sent_bytes_per_sec * 4 >= u128::from(self.bytes_per_sec) * 3 {
            let room = most.saturating_sub(queue).as_micros();
            let share = if self.is_seeking { 1 } else { 8 };
            let more = u128::from(self.bytes_per_sec) * room / (share * most.as_micros());
            self.bytes_per_sec += more as u64;
        }
        if self.bytes_per_sec <= bounds::BACKGROUND_BYTES_PER_SEC_LEAST {
            self.bytes_per_sec = bounds::BACKGROUND_BYTES_PER_SEC_LEAST;
            self.is_seeking = true;
        }
        self.bytes_per_sec = self
            .bytes_per_sec
            .min(bounds::BACKGROUND_BYTES_PER_SEC_MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    /// A line of 10 Mbit/s and 40 ms, with a queue of at most 100 ms.
    const LINE_BYTES_PER_SEC: u64 = 1_250_000;
    const WAY: Duration = Duration::from_millis(40);

    /// Sends for so long beside others that take a share of the line and leave a queue, and
    /// tells the bytes a second of the last half.
    fn sent(
        pace: &mut Pace,
        now: &mut Instant,
        time: Duration,
        others: u64,
        queue: Duration,
    ) -> u64 {
        let (half, end) = (*now + time / 2, *now + time);
        let (mut own_queue_us, mut bytes, mut last) = (0_u64, 0, *now);
        while *now < end {
            let room = LINE_BYTES_PER_SEC - others;
            own_queue_us = own_queue_us.saturating_sub((*now - last).as_micros() as u64);
            last = *now;
            let round_trip = WAY + queue + Duration::from_micros(own_queue_us);
            *now = pace
                .take(bounds::PIECE_BYTES, round_trip, *now)
                .max(*now + MS);
            own_queue_us += bounds::PIECE_BYTES as u64 * 1_000_000 / room.max(1);
            own_queue_us = own_queue_us.min(100_000);
            if *now > half {
                bytes += bounds::PIECE_BYTES as u64;
            }
        }
        bytes * 1_000_000 / (time / 2).as_micros() as u64
    }

    #[test]
    fn an_empty_line_is_filled_and_a_full_one_is_left() {
        let start = Instant::now();
        let (mut pace, mut now) = (Pace::new(start), start);
        let alone = sent(&mut pace, &mut now, 20_000 * MS, 0, Duration::ZERO);
        assert!(
            alone > LINE_BYTES_PER_SEC * 8 / 10,
            "{alone} bytes a second alone"
        );
        let beside = sent(&mut pace, &mut now, 20_000 * MS, 0, 80 * MS);
        assert!(
            beside <= LINE_BYTES_PER_SEC / 50,
            "{beside} beside a full queue"
        );
        let again = sent(&mut pace, &mut now, 20_000 * MS, 0, Duration::ZERO);
        assert!(
            again > LINE_BYTES_PER_SEC * 8 / 10,
            "{again} bytes a second again"
        );
    }

    #[test]
    fn it_never_stops_and_never_runs_away() {
        let start = Instant::now();
        let (mut pace, mut now) = (Pace::new(start), start);
        pace.look(MS, now);
        for _ in 0..1_000 {
            now += 200 * MS;
            pace.taken = u64::MAX / 2;
            pace.look(150 * MS, now);
        }
        assert_eq!(pace.bytes_per_sec, bounds::BACKGROUND_BYTES_PER_SEC_LEAST);
        for _ in 0..1_000 {
            now += 200 * MS;
            pace.taken = 1 << 40;
            pace.look(MS, now);
        }
        assert_eq!(pace.bytes_per_sec, bounds::BACKGROUND_BYTES_PER_SEC_MOST);
    }

    #[test]
    fn a_way_that_became_longer_counts_as_such_after_a_while() {
        let start = Instant::now();
        let (mut pace, mut now) = (Pace::new(start), start);
        pace.look(20 * MS, now);
        let longer = sent(&mut pace, &mut now, 10_000 * MS, 0, Duration::ZERO);
        assert!(longer < LINE_BYTES_PER_SEC, "{longer}");
        now += bounds::SHORTEST_KEPT;
        pace.look(140 * MS, now);
        now += bounds::SHORTEST_KEPT;
        pace.look(140 * MS, now);
        assert_eq!(pace.shortest[0].min(pace.shortest[1]), 140 * MS);
    }
}
