//! A site whose uplink carries nothing, and nobody is told: connections stand and wait.
//!
//! This is what a cable that is pulled out, or a modem that starts anew, looks like to the
//! nodes. They give their links up only after half a minute without a byte; a site that is
//! away for longer is cut with [`World::partition`].

use super::{Happening, World};
use crate::network::{Arrival, Rates, STOPPED_BYTES_PER_SEC};

/// TCP sends again after the round trip and this, if nothing comes back: Linux's least
/// allowance for delays (200 ms) and a queue before the uplink...
const RETRY_US: u64 = 300_000;
/// ...and then after twice as long, up to this.
const RETRY_MOST_US: u64 = 120_000_000;

/// What waits for silent sites.
#[derive(Default)]
pub(super) struct Silence {
    sites: Vec<Silent>,
    held: Vec<Happening>,
}

struct Silent {
    site: usize,
    since_us: u64,
    /// When it is heard again, if its uplink works by now.
    heard_us: Option<u64>,
}

impl World {
    /// From now on nothing passes the site's uplink.
    pub fn silence(&mut self, site: usize) {
        if let Some(silent) = self.silence.of(site) {
            // it was not heard yet: the silence goes on
            silent.heard_us = None;
            return;
        }
        self.silence.sites.push(Silent {
            site,
            since_us: self.now_us,
            heard_us: None,
        });
        let rates = Rates {
            up_bytes_per_sec: STOPPED_BYTES_PER_SEC,
            down_bytes_per_sec: STOPPED_BYTES_PER_SEC,
        };
        self.network.set_site(self.now_us, site, rates);
        self.schedule_network();
    }

    /// The uplink works again; it is found out when TCP tries once more.
    pub fn end_silence(&mut self, site: usize) {
        let (now_us, round_trip_us) = (self.now_us, self.sites[site].wan_round_trip_us);
        if let Some(silent) = self.silence.of(site)
            && silent.heard_us.is_none()
        {
            let wait_us = until_retry_us(now_us - silent.since_us, round_trip_us);
            silent.heard_us = Some(now_us + wait_us);
            let site = site as u32;
            self.push(now_us + wait_us, Happening::Heard { site });
        }
    }

    /// TCP tries again, and what waited passes.
    pub(super) fn heard_again(&mut self, site: usize) {
        let now_us = self.now_us;
        let is_heard = |silent: &Silent| silent.site == site && silent.heard_us == Some(now_us);
        if !self.silence.sites.iter().any(is_heard) {
            return;
        }
        self.silence.sites.retain(|silent| silent.site != site);
        let known = &self.sites[site];
        let rates = Rates {
            up_bytes_per_sec: known.uplink_bytes_per_sec,
            down_bytes_per_sec: known.downlink_bytes_per_sec,
        };
        self.network.set_site(self.now_us, site, rates);
        self.schedule_network();
        // what another silence holds comes back to it
        for happening in std::mem::take(&mut self.silence.held) {
            self.push(self.now_us, happening);
        }
    }

    /// Whether the site is silent.
    pub(super) fn is_silenced(&self, site: usize) -> bool {
        self.silence.sites.iter().any(|silent| silent.site == site)
    }

    /// Whether what one node sends cannot reach the other now.
    pub(super) fn is_silent(&self, from: usize, to: usize) -> bool {
        if self.silence.sites.is_empty() {
            return false;
        }
        let sites = [from, to].map(|index| self.hosts[index].spec.site);
        sites[0] != sites[1] && sites.into_iter().any(|site| self.is_silenced(site))
    }

    /// Keeps something until a silence ends.
    pub(super) fn hold(&mut self, happening: Happening) {
        self.silence.held.push(happening);
    }

    /// The same for a chunk that was under way.
    pub(super) fn hold_chunk(&mut self, arrival: Arrival) {
        let (node, life) = (arrival.to, self.seats[arrival.to as usize].life);
        if let Some(parcel) = self.parcel_of(arrival) {
            self.hold(Happening::Message { node, life, parcel });
        }
    }
}

impl Silence {
    fn of(&mut self, site: usize) -> Option<&mut Silent> {
        self.sites.iter_mut().find(|silent| silent.site == site)
    }
}

/// How long after a silence of this length TCP tries again.
fn until_retry_us(silence_us: u64, round_trip_us: u64) -> u64 {
    let mut wait_us = round_trip_us + RETRY_US;
    let mut tried_us = wait_us;
    while tried_us < silence_us {
        wait_us = (2 * wait_us).min(RETRY_MOST_US);
        tried_us += wait_us;
    }
    tried_us - silence_us
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcp_tries_after_twice_as_long_each_time() {
        // after 0.34 s, 1.02 s, 2.38 s, 5.1 s, 10.54 s
        assert_eq!(until_retry_us(100_000, 40_000), 240_000);
        assert_eq!(until_retry_us(340_000, 40_000), 0);
        assert_eq!(until_retry_us(10_000_000, 40_000), 540_000);
    }
}
