//! A courier that is known to come: what would come later over the uplink is left to it.
//!
//! A release answers only as a whole. So what counts is when its last byte comes: where the
//! uplink would be done before the courier, the courier changes nothing; where it would not,
//! nothing that crosses it makes the release come sooner, and it is left alone. How much it
//! carries is measured, again and again. Records and chunk maps pass all the time.
//!
//! Only the owner says that a courier comes: a peer that could say so could keep others
//! waiting.

use serde::{Deserialize, Serialize};
use weft_record::{Hash, Name};

use crate::{
    bounds,
    file::FilePhase,
    io::{Event, Path},
    limit::Direction,
    message::{Payload, Peer},
    node::Node,
    target::{Channel, Target},
};

/// A courier that is to bring what a channel's newest release lacks here.
#[derive(Clone, Debug)]
pub(crate) struct Courier {
    /// It is waited for until then.
    due_us: u64,
    /// The uplink is being tried since then...
    tried_from_us: Option<u64>,
    /// ...and this has come over it.
    tried_bytes: u64,
    /// What it carried when it was tried last, and when that was.
    measured: Option<Measured>,
}

#[derive(Clone, Copy, Debug)]
struct Measured {
    bytes_per_sec: u64,
    at_us: u64,
}

/// A courier, as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CourierStatus {
    /// In so many seconds it is no longer waited for.
    pub in_s: u64,
    /// What is lacking is left to it.
    pub waits: bool,
}

impl Courier {
    pub(crate) fn new(due_us: u64) -> Self {
        Self {
            due_us,
            tried_from_us: None,
            tried_bytes: 0,
            measured: None,
        }
    }

    /// Whether the uplink is being tried.
    fn is_trying(&self, now_us: u64) -> bool {
        let is_old = |one: Measured| now_us >= one.at_us + bounds::UPLINK_TRIAL_EVERY_US;
        self.measured.is_none_or(is_old)
    }

    /// Whether so much would come later over the uplink than with the courier, at this cap.
    fn is_sooner(&self, lacking_bytes: u64, cap: Option<u64>, now_us: u64) -> bool {
        let left_us = self.due_us.saturating_sub(now_us);
        let too_slow = |bytes_per_sec: u64| {
            u128::from(lacking_bytes) * 1_000_000 > u128::from(bytes_per_sec) * u128::from(left_us)
        };
        if cap.is_some_and(too_slow) {
            return true;
        }
        !self.is_trying(now_us) && self.measured.is_some_and(|one| too_slow(one.bytes_per_sec))
    }

    /// Bytes came over the uplink.
    fn note(&mut self, bytes: u64, now_us: u64) {
        let Some(from_us) = self.tried_from_us else {
            return;
        };
        self.tried_bytes += bytes;
        if now_us >= from_us + bounds::UPLINK_TRIAL_US {
            self.end_trial(now_us);
        }
    }

    fn end_trial(&mut self, now_us: u64) {
        let took_us = now_us - self.tried_from_us.take().unwrap_or(now_us);
        let bytes_per_sec = self.tried_bytes * 1_000_000 / took_us.max(1);
        self.tried_bytes = 0;
        self.measured = Some(Measured {
            bytes_per_sec,
            at_us: now_us,
        });
    }

    fn trial_due_us(&self) -> Option<u64> {
        let end_us = self
            .tried_from_us
            .map(|from_us| from_us + bounds::UPLINK_TRIAL_MOST_US);
        let again_us = self
            .measured
            .map(|one| one.at_us + bounds::UPLINK_TRIAL_EVERY_US);
        end_us.or(again_us)
    }
}

impl<P: Payload> Node<P> {
    /// The owner expects a courier until then, or none any more.
    pub(crate) fn expect(&mut self, name: &Name, until_us: Option<u64>) {
        let now_us = self.now_us;
        let Some(channel) = self.channels.get_mut(name) else {
            return;
        };
        channel.courier = until_us
            .filter(|due_us| *due_us > now_us)
            .map(|due_us| Box::new(Courier::new(due_us)));
    }

    /// Whether nothing of this file is asked for over the uplink: a courier brings it sooner.
    pub(crate) fn is_left_to_courier(&mut self, file: &Hash) -> bool {
        if !self.expects_any() {
            return false;
        }
        let now_us = self.now_us;
        let cap = self.in_force.caps.of(Direction::Fetch, Path::Wan);
        let (mut is_wanted, mut is_left) = (false, true);
        let wanting: Vec<(Name, u64)> = self
            .channels
            .iter()
            .filter_map(|(name, channel)| {
                let target = channel.target.as_ref().filter(|one| one.needs(file))?;
                Some((name.clone(), self.lacking_bytes(target)))
            })
            .collect();
        for (name, lacking_bytes) in wanting {
            is_wanted = true;
            let courier = self.channels.get_mut(&name);
            let Some(courier) = courier.and_then(|channel| channel.courier.as_mut()) else {
                return false;
            };
            if courier.due_us <= now_us {
                return false;
            }
            let is_sooner = courier.is_sooner(lacking_bytes, cap, now_us);
            if !is_sooner && courier.is_trying(now_us) && courier.tried_from_us.is_none() {
                courier.tried_from_us = Some(now_us);
                let due_us = courier.trial_due_us();
                self.due_us = self.due_us.min(due_us.unwrap_or(u64::MAX));
            }
            is_left &= is_sooner;
        }
        is_wanted && is_left
    }

    /// A chunk of this file came over the uplink.
    pub(crate) fn note_uplink(&mut self, file: &Hash, bytes: u64) {
        if !self.expects_any() {
            return;
        }
        let now_us = self.now_us;
        for channel in self.channels.values_mut() {
            let needs = |target: &Target| target.needs(file);
            let is_of = channel.target.as_ref().is_some_and(needs);
            if let Some(courier) = channel.courier.as_mut().filter(|_| is_of) {
                courier.note(bytes, now_us);
            }
        }
    }

    fn expects_any(&self) -> bool {
        self.channels
            .values()
            .any(|channel| channel.courier.is_some())
    }

    pub(crate) fn courier_due_us(&self) -> u64 {
        let couriers = self
            .channels
            .values()
            .filter_map(|channel| channel.courier.as_ref());
        let due = couriers.flat_map(|courier| {
            let trial_us = courier.trial_due_us();
            [Some(courier.due_us), trial_us].into_iter().flatten()
        });
        due.min().unwrap_or(u64::MAX)
    }

    /// Ends trials of which nothing came, and waits no longer for couriers that did not come.
    pub(crate) fn run_courier_timers(&mut self) {
        let now_us = self.now_us;
        let mut missed = Vec::new();
        for (name, channel) in self.channels.iter_mut() {
            let is_done = channel.has_all();
            let Some(courier) = channel.courier.as_mut() else {
                continue;
            };
            if courier.due_us <= now_us {
                channel.courier = None;
                // with nothing to bring it was not missed
                if !is_done {
                    missed.push(name.clone());
                }
                continue;
            }
            if courier
                .trial_due_us()
                .is_some_and(|due_us| due_us <= now_us)
            {
                if courier.tried_from_us.is_some() {
                    courier.end_trial(now_us);
                } else {
                    // what it carried is too long ago: it is tried again
                    courier.measured = None;
                }
            }
        }
        for channel in missed {
            self.event(Event::CourierMissed { channel });
        }
    }

    /// A bundle went. Where it brought something, the courier has come, and what it did not
    /// bring is fetched.
    pub(crate) fn courier_came(&mut self, bundle: &Peer) {
        let files = &self.files;
        for channel in self.channels.values_mut() {
            let target = channel.target.as_ref();
            let brought = target.is_some_and(|target| {
                let mut files = target
                    .files
                    .iter()
                    .filter_map(|file| files.get(&file.blake3));
                files.any(|file| file.figures.by_peer.get(bundle).is_some())
            });
            if brought {
                channel.courier = None;
            }
        }
    }

    pub(crate) fn courier_status(&self, channel: &Channel) -> Option<CourierStatus> {
        let courier = channel.courier.as_ref()?;
        let cap = self.in_force.caps.of(Direction::Fetch, Path::Wan);
        let lacking = channel.target.as_ref().filter(|target| !target.done);
        let lacking_bytes = lacking.map_or(0, |target| self.lacking_bytes(target));
        Some(CourierStatus {
            in_s: courier
                .due_us
                .saturating_sub(self.now_us)
                .div_ceil(1_000_000),
            waits: lacking_bytes > 0 && courier.is_sooner(lacking_bytes, cap, self.now_us),
        })
    }

    /// What is lacking of a target; of a file that comes as a delta, what is lacking of that.
    fn lacking_bytes(&self, target: &Target) -> u64 {
        let lacking = |file: &Hash, length: u64| {
            let held = self.files.get(file);
            let held_bytes = held.map_or(0, |state| state.figures.bytes_held);
            length.saturating_sub(held_bytes)
        };
        let files = target.files.iter().map(|file| {
            let state = self.files.get(&file.blake3);
            let is_deferred = state.is_some_and(|state| state.phase == FilePhase::Deferred);
            let delta = state.and_then(|state| state.delta.awaited());
            let delta = delta.filter(|_| is_deferred).and_then(|delta| {
                let mut deltas = target.deltas.iter();
                deltas.find(|one| one.blake3 == delta)
            });
            match delta {
                Some(delta) => lacking(&delta.blake3, delta.length),
                None => lacking(&file.blake3, file.length),
            }
        });
        files.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_would_come_later_is_left() {
        let mut courier = Courier::new(100_000_000);
        assert!(!courier.is_sooner(MIB, None, 0), "the uplink was not tried");
        // a cap says enough
        assert!(courier.is_sooner(101, Some(1), 0));
        assert!(!courier.is_sooner(100, Some(1), 0));
        courier.tried_from_us = Some(0);
        courier.note(MIB, bounds::UPLINK_TRIAL_US / 2);
        assert!(courier.tried_from_us.is_some());
        courier.note(MIB, bounds::UPLINK_TRIAL_US);
        let rate = 2 * MIB * 1_000_000 / bounds::UPLINK_TRIAL_US;
        assert_eq!(courier.measured.map(|one| one.bytes_per_sec), Some(rate));
        let now_us = bounds::UPLINK_TRIAL_US;
        let in_time = rate * (100_000_000 - now_us) / 1_000_000;
        assert!(!courier.is_sooner(in_time, None, now_us));
        assert!(courier.is_sooner(in_time + MIB, None, now_us));
    }

    #[test]
    fn an_uplink_is_tried_again() {
        let mut courier = Courier::new(u64::MAX);
        courier.tried_from_us = Some(0);
        assert_eq!(courier.trial_due_us(), Some(bounds::UPLINK_TRIAL_MOST_US));
        courier.end_trial(bounds::UPLINK_TRIAL_MOST_US);
        let again_us = bounds::UPLINK_TRIAL_MOST_US + bounds::UPLINK_TRIAL_EVERY_US;
        assert!(!courier.is_trying(again_us - 1));
        assert!(courier.is_trying(again_us));
    }
}
