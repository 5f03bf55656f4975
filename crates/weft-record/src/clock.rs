use serde::{Deserialize, Serialize};

use crate::{Beacon, Root};

/// The least time that a node believes in, so that a clock that was set back, or none at
/// all, does not make old things fresh. It rises with what admins sign and with the
/// node's own uptime, and is kept over restarts.
///
/// Roots may raise it freely: it takes a threshold to sign one. Beacons, which one key
/// signs, may run ahead of the node's own uptime by a week a day and no further than the
/// root is valid: a stolen beacon key cannot age the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeFloor {
    /// The uptime at which the figures below stand, over all restarts.
    uptime_s: u64,
    /// By roots alone.
    root_s: u64,
    /// By roots and beacons.
    floor_s: u64,
    /// How far beacons may still run ahead.
    credit_s: u64,
    /// The newest root that was looked at.
    root_version: u64,
}

/// What beacons may run ahead by in a day of uptime, and at most at once.
const CREDIT_S: u64 = 7 * 24 * 3600;
/// Credit that one second of uptime gives.
const CREDIT_PER_S: u64 = 7;

impl TimeFloor {
    /// Lets this much uptime pass.
    pub fn advance(&mut self, elapsed_s: u64) {
        self.uptime_s = self.uptime_s.saturating_add(elapsed_s);
        self.root_s = self.root_s.saturating_add(elapsed_s);
        self.floor_s = self.floor_s.saturating_add(elapsed_s);
        let credit_s = self
            .credit_s
            .saturating_add(elapsed_s.saturating_mul(CREDIT_PER_S));
        self.credit_s = credit_s.min(CREDIT_S);
    }

    /// Takes in an accepted root; returns whether anything changed.
    pub fn root(&mut self, root: &Root) -> bool {
        if root.version <= self.root_version {
            return false;
        }
        self.root_version = root.version;
        if let Some(time_s) = root.time_reset_s {
            (self.root_s, self.floor_s) = (time_s, time_s);
        } else {
            self.root_s = self.root_s.max(root.validity.from_s);
            self.floor_s = self.floor_s.max(self.root_s);
        }
        true
    }

    /// Takes in an accepted beacon; returns whether the floor rose.
    pub fn beacon(&mut self, beacon: &Beacon, root: &Root) -> bool {
        let most_s = self.floor_s.saturating_add(self.credit_s);
        let raised_s = beacon.issued_at_s.min(most_s).min(root.validity.until_s);
        if raised_s <= self.floor_s {
            return false;
        }
        self.credit_s -= raised_s - self.floor_s;
        self.floor_s = raised_s;
        true
    }

    /// Seconds since 1970 by a clock that says `system_s`.
    pub fn now_s(&self, system_s: u64) -> u64 {
        system_s.max(self.floor_s)
    }

    /// The same without what beacons say: what alone may make an enrolment expire.
    pub fn rooted_now_s(&self, system_s: u64) -> u64 {
        system_s.max(self.root_s)
    }

    /// Uptime over all restarts.
    pub fn uptime_s(&self) -> u64 {
        self.uptime_s
    }

    /// The floor itself.
    pub fn floor_s(&self) -> u64 {
        self.floor_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PrivacyFloors, Validity};

    const DAY_S: u64 = 24 * 3600;
    const SIGNED_S: u64 = 1_790_000_000;

    fn root(version: u64, from_s: u64, time_reset_s: Option<u64>) -> Root {
        let key = weft_keys::SecretKey::from_seed([1; 32]).public();
        let validity = Validity {
            from_s,
            until_s: from_s + 365 * DAY_S,
        };
        let privacy = PrivacyFloors {
            k: 20,
            k_site_bp: 1000,
            epsilon_milli: 1000,
        };
        let genesis = Root::genesis(vec![key], 1, Vec::new(), validity, privacy);
        let genesis = genesis.expect("a root");
        Root {
            version,
            time_reset_s,
            ..genesis
        }
    }

    fn beacon(issued_at_s: u64) -> Beacon {
        Beacon {
            issued_at_s,
            heads: Vec::new(),
        }
    }

    #[test]
    fn a_clock_set_back_is_overruled_by_what_was_signed() {
        let mut floor = TimeFloor::default();
        assert!(floor.root(&root(1, SIGNED_S, None)));
        assert_eq!(floor.now_s(0), SIGNED_S);
        floor.advance(60);
        assert_eq!(floor.now_s(0), SIGNED_S + 60);
        assert_eq!(floor.now_s(SIGNED_S + DAY_S), SIGNED_S + DAY_S);
        assert!(!floor.root(&root(1, SIGNED_S + DAY_S, None)), "seen before");
    }

    #[test]
    fn a_stolen_beacon_key_cannot_age_the_mesh() {
        let (mut floor, root) = (TimeFloor::default(), root(1, SIGNED_S, None));
        floor.root(&root);
        assert!(
            !floor.beacon(&beacon(u64::MAX), &root),
            "no uptime, no credit"
        );
        for day in 1..=100 {
            for _ in 0..24 {
                floor.advance(3600);
                for _ in 0..3 {
                    floor.beacon(&beacon(u64::MAX), &root);
                }
            }
            let most_s = SIGNED_S + 8 * DAY_S * day;
            assert!(floor.floor_s() <= most_s.min(root.validity.until_s + 60 * DAY_S));
        }
        assert!(
            floor.rooted_now_s(0) == SIGNED_S + 100 * DAY_S,
            "what roots say does not move with beacons"
        );
    }

    #[test]
    fn beacons_stop_at_the_end_of_the_root() {
        let (mut floor, root) = (TimeFloor::default(), root(1, SIGNED_S, None));
        floor.root(&root);
        for _ in 0..100 {
            floor.advance(DAY_S);
            floor.beacon(&beacon(u64::MAX), &root);
            let uptime_end_s = SIGNED_S + floor.uptime_s();
            // a day passes by itself between two beacons
            let limit_s = root.validity.until_s.max(uptime_end_s) + 100 * DAY_S;
            assert!(floor.floor_s() <= limit_s);
        }
        assert!(!floor.beacon(&beacon(u64::MAX), &root));
    }

    #[test]
    fn only_a_root_takes_it_back() {
        let mut floor = TimeFloor::default();
        floor.root(&root(1, SIGNED_S + 1000 * DAY_S, None));
        floor.root(&root(2, SIGNED_S, None));
        assert_eq!(floor.now_s(0), SIGNED_S + 1000 * DAY_S);
        floor.root(&root(3, SIGNED_S, Some(SIGNED_S)));
        assert_eq!(floor.now_s(0), SIGNED_S);
    }
}
