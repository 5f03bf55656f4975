//! Links: their rates, what they carried, and the lane for control messages.

use super::{Way, framing, loss};
use crate::topology::{Site, SiteTraffic};

/// No link, no queue, nobody.
pub(super) const NONE: u32 = u32::MAX;
/// Set in the number of a site's link.
const OF_SITE: u32 = 1 << 31;
/// Longest path: two NICs, an uplink and a downlink.
pub(super) const HOPS: usize = 4;
/// The rate of a link that carries nothing: what it serves takes days.
pub(crate) const STOPPED_BYTES_PER_SEC: u64 = 1;
/// A second, in microseconds.
pub(super) const SECOND_US: u64 = 1_000_000;

/// What goes out and what comes in; 0: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rates {
    pub(crate) up_bytes_per_sec: u64,
    pub(crate) down_bytes_per_sec: u64,
}

/// One direction of a NIC or of a site's uplink.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// Bytes a second; 0: no limit.
    pub(super) rate: u64,
    /// It serves a chunk until then.
    pub(super) busy_until_us: u64,
    /// Its lane for control messages is busy until then.
    control_until_us: u64,
    /// What the last services took less than the whole microseconds they were given,
    /// in byte-microseconds a second.
    remainder: u64,
    /// Control bytes that passed while it was busy, to be made good by bulk.
    owed_bytes: u32,
    /// Whose chunks wait for it.
    pub(super) queue: u32,
    /// The chunk that it serves.
    pub(super) serving: u32,
}

impl Link {
    fn new(rate: u64) -> Self {
        Self {
            rate,
            busy_until_us: 0,
            control_until_us: 0,
            remainder: 0,
            owed_bytes: 0,
            queue: NONE,
            serving: NONE,
        }
    }

    /// How long it takes to carry so many bytes of bulk and what control messages took.
    pub(super) fn service_us(&mut self, bytes: u64) -> u64 {
        let bytes = bytes + u64::from(std::mem::take(&mut self.owed_bytes));
        let work = bytes * SECOND_US + self.remainder;
        self.remainder = work % self.rate;
        work / self.rate
    }

    /// Control bytes that bulk must make good.
    pub(super) fn take_owed(&mut self) -> u64 {
        u64::from(std::mem::take(&mut self.owed_bytes))
    }
}

/// The limited links between two nodes, in order, and what else slows them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub(super) links: [u32; HOPS],
    pub(super) hops: u8,
    pub(super) latency_us: u64,
    /// Of packets, over the sites' links.
    pub(super) loss_ppm: u32,
    /// The most that one connection carries; 0: no limit.
    pub(super) limit_bytes_per_sec: u64,
}

impl Path {
    pub(super) fn limited(&self) -> &[u32] {
        &self.links[..self.hops as usize]
    }
}

#[derive(Debug, Default)]
pub(super) struct Links {
    /// Two a node: up, down.
    nics: Vec<Link>,
    /// Two a site: up, down.
    uplinks: Vec<Link>,
    /// The site of each node.
    site_of: Vec<u32>,
    sites: Vec<Distance>,
    traffic: Vec<SiteTraffic>,
}

#[derive(Clone, Copy, Debug)]
struct Distance {
    lan_round_trip_us: u64,
    wan_round_trip_us: u64,
    loss_ppm: u32,
}

impl Links {
    pub(super) fn add_site(&mut self, site: &Site) {
        self.uplinks.push(Link::new(site.uplink_bytes_per_sec));
        self.uplinks.push(Link::new(site.downlink_bytes_per_sec));
        self.sites.push(Distance {
            lan_round_trip_us: site.lan_round_trip_us,
            wan_round_trip_us: site.wan_round_trip_us,
            loss_ppm: site.loss_ppm,
        });
        self.traffic.push(SiteTraffic::default());
    }

    pub(super) fn add_node(&mut self, site: u32, rates: Rates) {
        self.nics.push(Link::new(rates.up_bytes_per_sec));
        self.nics.push(Link::new(rates.down_bytes_per_sec));
        self.site_of.push(site);
    }

    /// The numbers of a site's uplink and downlink.
    pub(super) fn site_links(site: u32) -> (u32, u32) {
        (OF_SITE | (2 * site), OF_SITE | (2 * site + 1))
    }

    pub(super) fn warm(&self, node: u32) -> u32 {
        let (up, down) = (2 * node as usize, 2 * node as usize + 1);
        self.nics[up].queue ^ self.nics[down].queue ^ self.site_of[node as usize]
    }

    pub(super) fn get(&self, link: u32) -> &Link {
        if link & OF_SITE == 0 {
            &self.nics[link as usize]
        } else {
            &self.uplinks[(link & !OF_SITE) as usize]
        }
    }

    pub(super) fn get_mut(&mut self, link: u32) -> &mut Link {
        if link & OF_SITE == 0 {
            &mut self.nics[link as usize]
        } else {
            &mut self.uplinks[(link & !OF_SITE) as usize]
        }
    }

    /// The rate that it had before.
    pub(super) fn set_rate(&mut self, link: u32, rate: u64) -> u64 {
        let link = self.get_mut(link);
        link.remainder = 0;
        std::mem::replace(&mut link.rate, rate)
    }

    /// The sites of the two ends, if there are two.
    fn sites_of(&self, way: Way) -> (u32, Option<u32>) {
        let (from, to) = (
            self.site_of[way.from as usize],
            self.site_of[way.to as usize],
        );
        (from, (from != to).then_some(to))
    }

    fn round_trip_us(&self, way: Way) -> u64 {
        let (from, to) = self.sites_of(way);
        let near = &self.sites[from as usize];
        match to {
            None => near.lan_round_trip_us,
            Some(to) => near.wan_round_trip_us + self.sites[to as usize].wan_round_trip_us,
        }
    }

    pub(super) fn latency_us(&self, way: Way) -> u64 {
        self.round_trip_us(way) / 2
    }

    /// All links of the way, limited or not.
    fn links_of(&self, way: Way) -> ([u32; HOPS], usize) {
        let (up, down) = (2 * way.from, 2 * way.to + 1);
        match self.sites_of(way) {
            (_, None) => ([up, down, NONE, NONE], 2),
            (from, Some(to)) => {
                let (out, _) = Self::site_links(from);
                let (_, into) = Self::site_links(to);
                ([up, out, into, down], HOPS)
            }
        }
    }

    /// The links of the way that have a limit now.
    pub(super) fn path(&self, way: Way) -> Path {
        let (all, count) = self.links_of(way);
        let (mut links, mut hops) = ([NONE; HOPS], 0);
        for &link in &all[..count] {
            if self.get(link).rate > 0 {
                links[hops] = link;
                hops += 1;
            }
        }
        let round_trip_us = self.round_trip_us(way);
        let loss_ppm = match self.sites_of(way) {
            (_, None) => 0,
            (from, Some(to)) => {
                let [from, to] = [from, to].map(|site| self.sites[site as usize].loss_ppm);
                loss::joint_ppm(from, to)
            }
        };
        Path {
            links,
            hops: hops as u8,
            latency_us: round_trip_us / 2,
            loss_ppm,
            limit_bytes_per_sec: loss::limit_bytes_per_sec(round_trip_us, loss_ppm),
        }
    }

    /// When a control message arrives: it waits for others of its kind, never for bulk.
    pub(super) fn control_us(&mut self, now_us: u64, way: Way, bytes: u64) -> u64 {
        self.count(way, bytes);
        let (all, count) = self.links_of(way);
        let mut at_us = now_us;
        for &link in &all[..count] {
            let link = self.get_mut(link);
            // on one that is stopped it is not the link that holds them back
            if link.rate <= STOPPED_BYTES_PER_SEC {
                continue;
            }
            at_us = at_us.max(link.control_until_us) + bytes * SECOND_US / link.rate;
            link.control_until_us = at_us;
            if link.busy_until_us > now_us {
                link.owed_bytes = link.owed_bytes.saturating_add(bytes as u32);
            }
        }
        at_us + self.latency_us(way)
    }

    /// What comes back for so many bytes is counted. That it takes less than two hundredths
    /// of a busy way back is left out: `fluid` would charge it to the whole path of whoever
    /// sends there next.
    pub(super) fn acknowledge(&mut self, way: Way, wire: u64) {
        let back = Way {
            from: way.to,
            to: way.from,
        };
        self.count(back, framing::acknowledgement_bytes(wire));
    }

    /// Counts bytes where they cross an uplink.
    pub(super) fn count(&mut self, way: Way, bytes: u64) {
        if let (from, Some(to)) = self.sites_of(way) {
            self.traffic[from as usize].up_bytes += bytes;
            self.traffic[to as usize].down_bytes += bytes;
        }
    }

    pub(super) fn site_traffic(&self, site: u32) -> SiteTraffic {
        self.traffic[site as usize]
    }

    pub(super) fn heap_bytes(&self) -> usize {
        (self.nics.capacity() + self.uplinks.capacity()) * size_of::<Link>()
            + self.site_of.capacity() * size_of::<u32>()
            + self.sites.capacity() * size_of::<Distance>()
            + self.traffic.capacity() * size_of::<SiteTraffic>()
    }
}
