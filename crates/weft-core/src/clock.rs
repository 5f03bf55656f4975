//! Time: the floor that signed records and uptime give, over restarts.

use weft_record::{TimeFloor, TimeState};

use crate::{
    bounds,
    config::{Freshness, TimeStatus},
    io::{Disk, Outcome},
    message::Payload,
    node::Node,
    pending::Pending,
};

/// The floor, and how much of this run is counted in it.
#[derive(Debug)]
pub(crate) struct Clock {
    floor: TimeFloor,
    pub(crate) counted_us: u64,
    /// The newest root that was taken in, by its place in the chain.
    roots: usize,
    save_due_us: u64,
    saving: bool,
    /// What was told last, to notice a change.
    state: Option<Freshness>,
}

impl Clock {
    pub(crate) fn new(floor: Option<TimeFloor>, now_us: u64) -> Self {
        Self {
            floor: floor.unwrap_or_default(),
            counted_us: now_us,
            roots: 0,
            save_due_us: now_us + bounds::CLOCK_SAVE_US,
            saving: false,
            state: None,
        }
    }

    pub(crate) fn due_us(&self) -> u64 {
        if self.saving {
            u64::MAX
        } else {
            self.save_due_us
        }
    }
}

impl<P: Payload> Node<P> {
    /// Seconds since 1970 by the system's clock.
    pub(crate) fn wall_s(&self) -> u64 {
        self.config
            .wall_at_zero_s
            .saturating_add(self.now_us / 1_000_000)
    }

    /// Seconds since 1970 that make an enrolment expire: beacons alone do not.
    pub(crate) fn rooted_now_s(&self) -> u64 {
        self.clock.floor.rooted_now_s(self.wall_s())
    }

    /// Counts the uptime since it was counted last.
    pub(crate) fn count_uptime(&mut self) {
        let elapsed_s = self.now_us.saturating_sub(self.clock.counted_us) / 1_000_000;
        self.clock.counted_us += elapsed_s * 1_000_000;
        self.clock.floor.advance(elapsed_s);
    }

    /// Takes in what accepted roots and beacons say of time.
    pub(crate) fn learn_time(&mut self) {
        let (clock, trust) = (&mut self.clock, &self.trust);
        let mut changed = false;
        for root in trust.root_chain().iter().skip(clock.roots) {
            changed |= clock.floor.root(root);
        }
        clock.roots = trust.root_chain().len();
        if let Some(root) = trust.root() {
            for beacon in trust.beacons() {
                changed |= clock.floor.beacon(beacon, root);
            }
        }
        if changed {
            self.save_clock();
        }
    }

    pub(crate) fn run_clock_timers(&mut self) {
        if self.clock.due_us() <= self.now_us {
            self.save_clock();
        }
    }

    /// Looks whether time alone changed anything: what may be activated, who lapsed.
    pub(crate) fn look_at_time(&mut self) {
        self.learn_time();
        let state = self.time_status().state;
        if self.clock.state.replace(state) != Some(state) {
            self.retarget_all();
        }
    }

    pub(crate) fn clock_saved(&mut self, outcome: &Outcome<P>) {
        self.clock.saving = false;
        if !matches!(outcome, Outcome::Saved) {
            self.clock.save_due_us = self.now_us + bounds::DISK_RETRY_US;
        }
    }

    pub(crate) fn time_status(&self) -> TimeStatus {
        let (floor, wall_s) = (&self.clock.floor, self.wall_s());
        let now_s = floor.now_s(wall_s);
        let state = match self.trust.time_state(now_s) {
            TimeState::Stale => Freshness::Stale,
            TimeState::Unknown => Freshness::Unknown,
            // signed after what the clock says: only the floor is certain
            TimeState::Fresh if self.trust.time_state(wall_s) == TimeState::Unknown => {
                Freshness::Unknown
            }
            TimeState::Fresh if self.has_expired(now_s) => Freshness::Stale,
            TimeState::Fresh => Freshness::Fresh,
        };
        TimeStatus {
            state,
            floor_s: floor.floor_s(),
            now_s,
        }
    }

    /// Whether nothing new may be activated now.
    pub(crate) fn is_held_by_time(&self) -> bool {
        self.config.refuse_new_when_stale && self.time_status().state == Freshness::Stale
    }

    /// Whether this node's own enrolment has run out by this time.
    fn has_expired(&self, now_s: u64) -> bool {
        let own = self.trust.enrolment(&self.config.key);
        own.is_some_and(|own| own.expires_s < now_s)
    }

    fn save_clock(&mut self) {
        self.clock.save_due_us = self.now_us + bounds::CLOCK_SAVE_US;
        if std::mem::replace(&mut self.clock.saving, true) {
            // once more when the one under way is done
            self.clock.save_due_us = self.now_us;
            return;
        }
        let floor = self.clock.floor;
        self.disk(Pending::SaveClock, Disk::SaveClock(floor));
    }
}
