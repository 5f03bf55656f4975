//! Exact max-min fair sharing: at every moment, no connection could have more without
//! taking from one that has no more than it (Bertsekas and Gallager, "Data Networks",
//! 6.5.2: progressive filling). Chunks of one connection go one after the other.
//!
//! When a connection begins or ends, only those that it is tied to, by links that they
//! share with each other, are looked at again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    Arrival, Cargo, Sharing, Wake, Wakes, Way,
    links::{Links, Path, SECOND_US},
    loss,
};
use crate::{fast::Table, slab::Slab};

/// Rates are kept in so many parts of a byte a second: 2¹⁰.
const SCALE_BITS: u32 = 10;

#[derive(Default)]
pub(super) struct Fluid {
    flows: Slab<Flow>,
    by_way: Table<(u32, u32), u32>,
    /// Connections over each limited link, in the order in which they began.
    over: BTreeMap<u32, Vec<u32>>,
    arrivals: Slab<Arriving>,
}

/// A connection that carries something.
struct Flow {
    way: Way,
    path: Path,
    /// What it carries, the first partly carried.
    chunks: VecDeque<Cargo>,
    /// What is left of the first, in parts of a byte, times a second in microseconds.
    rest: u128,
    /// Parts of a byte a second.
    rate: u64,
    /// When the first began.
    begun_us: u64,
    /// `rest` was so much then.
    updated_us: u64,
    /// When the first is carried, if nothing changes.
    due_us: u64,
}

/// A chunk that left the last link.
struct Arriving {
    way: Way,
    cargo: Cargo,
    begun_us: u64,
    at_us: u64,
}

impl Arriving {
    fn arrival(&self) -> Arrival {
        Arrival::new(self.way, self.cargo, self.begun_us)
    }
}

impl Sharing for Fluid {
    fn begin(&mut self, now_us: u64, links: &mut Links, way: Way, cargo: Cargo, wakes: &mut Wakes) {
        let known = self.by_way.get(&(way.from, way.to));
        if let Some(flow) = known.and_then(|&place| self.flows.get_mut(place)) {
            flow.chunks.push_back(cargo);
            return;
        }
        let path = links.path(way);
        let place = self.flows.insert(Flow {
            way,
            path,
            chunks: VecDeque::from([cargo]),
            rest: 0,
            rate: 0,
            begun_us: now_us,
            updated_us: now_us,
            due_us: u64::MAX,
        });
        self.by_way.insert((way.from, way.to), place);
        self.join(links, place);
        self.load(links, place);
        self.share(now_us, links, &[place], path.limited(), wakes);
    }

    fn wake(
        &mut self,
        now_us: u64,
        links: &mut Links,
        wake: Wake,
        wakes: &mut Wakes,
    ) -> Option<Arrival> {
        match wake {
            Wake::Flow(place) => self.first_done(now_us, links, place, wakes),
            Wake::Arrival(place) => {
                let arriving = self.arrivals.get(place)?;
                if arriving.at_us == now_us {
                    return self.arrivals.take(place).map(|one| one.arrival());
                }
            }
            Wake::Link(_) => {}
        }
        None
    }

    fn end(&mut self, now_us: u64, links: &mut Links, way: Way, wakes: &mut Wakes) -> Vec<Cargo> {
        let Some(place) = self.by_way.remove(&(way.from, way.to)) else {
            return Vec::new();
        };
        self.leave(links, place);
        let Some(flow) = self.flows.take(place) else {
            return Vec::new();
        };
        self.share(now_us, links, &[], flow.path.limited(), wakes);
        flow.chunks.into()
    }

    fn rate_changed(&mut self, now_us: u64, links: &mut Links, _: u32, _: u64, wakes: &mut Wakes) {
        // a link may have got a limit, or lost it: all paths are looked at again
        let mut all: Vec<u32> = self.by_way.values().copied().collect();
        all.sort_unstable();
        for &place in &all {
            self.leave(links, place);
            if let Some(flow) = self.flows.get_mut(place) {
                flow.path = links.path(flow.way);
            }
            self.join(links, place);
        }
        let limited: Vec<u32> = self.over.keys().copied().collect();
        self.share(now_us, links, &all, &limited, wakes);
    }

    fn warm(&self, _: &Links, wake: Wake) -> u32 {
        match wake {
            Wake::Arrival(place) => self.arrivals.get(place).map_or(0, |one| one.way.to),
            Wake::Link(_) | Wake::Flow(_) => 0,
        }
    }

    fn arrival(&self, wake: Wake) -> Option<(u64, Arrival)> {
        let Wake::Arrival(place) = wake else {
            return None;
        };
        let arriving = self.arrivals.get(place)?;
        Some((arriving.at_us, arriving.arrival()))
    }

    fn heap_bytes(&self) -> usize {
        self.flows.heap_bytes()
            + self.by_way.capacity() * size_of::<(u32, u32, u32)>()
            + self.arrivals.heap_bytes()
    }
}

impl Fluid {
    /// The first chunk of a connection is carried.
    fn first_done(&mut self, now_us: u64, links: &mut Links, place: u32, wakes: &mut Wakes) {
        let Some(flow) = self.flows.get_mut(place) else {
            return;
        };
        if flow.due_us != now_us {
            return;
        }
        let (way, path) = (flow.way, flow.path);
        if let Some(cargo) = flow.chunks.pop_front() {
            let at_us = now_us + path.latency_us + u64::from(cargo.delay_us);
            let arriving = self.arrivals.insert(Arriving {
                way,
                cargo,
                begun_us: flow.begun_us,
                at_us,
            });
            wakes.push((at_us, Wake::Arrival(arriving)));
        }
        // what was carried of the next one within the last microsecond
        let carried = u128::from(flow.rate) * u128::from(now_us - flow.updated_us);
        let ahead = carried.saturating_sub(flow.rest);
        (flow.begun_us, flow.updated_us) = (now_us, now_us);
        if flow.chunks.is_empty() {
            self.by_way.remove(&(way.from, way.to));
            self.leave(links, place);
            self.flows.take(place);
            self.share(now_us, links, &[], path.limited(), wakes);
            return;
        }
        self.load(links, place);
        if let Some(flow) = self.flows.get_mut(place) {
            flow.rest = flow.rest.saturating_sub(ahead);
            flow.expect(place, wakes);
        }
    }

    /// The first chunk of a connection is to be carried, with what control messages took.
    fn load(&mut self, links: &mut Links, place: u32) {
        let Some(flow) = self.flows.get_mut(place) else {
            return;
        };
        let Some(cargo) = flow.chunks.front() else {
            return;
        };
        let sent = loss::sent_bytes(u64::from(cargo.bytes), flow.path.loss_ppm);
        links.count(flow.way, sent);
        let limited = flow.path.limited().iter();
        let owed = limited.map(|&link| links.get_mut(link).take_owed()).max();
        flow.rest = u128::from((sent + owed.unwrap_or(0)) * SECOND_US) << SCALE_BITS;
    }

    fn join(&mut self, links: &mut Links, place: u32) {
        let Some(flow) = self.flows.get(place) else {
            return;
        };
        for &link in flow.path.limited() {
            self.over.entry(link).or_default().push(place);
            links.get_mut(link).busy_until_us = u64::MAX;
        }
    }

    fn leave(&mut self, links: &mut Links, place: u32) {
        let Some(flow) = self.flows.get(place) else {
            return;
        };
        for &link in flow.path.limited() {
            if let Some(flows) = self.over.get_mut(&link) {
                flows.retain(|&other| other != place);
                if flows.is_empty() {
                    self.over.remove(&link);
                    links.get_mut(link).busy_until_us = 0;
                }
            }
        }
    }

    /// Shares anew what is tied to these connections and links.
    fn share(
        &mut self,
        now_us: u64,
        links: &Links,
        flows: &[u32],
        limited: &[u32],
        wakes: &mut Wakes,
    ) {
        let (mut open, mut touched) = (limited.to_vec(), BTreeSet::new());
        let mut waiting: BTreeSet<u32> = flows.iter().copied().collect();
        while let Some(link) = open.pop() {
            if !touched.insert(link) {
                continue;
            }
            for &place in self.over.get(&link).into_iter().flatten() {
                waiting.insert(place);
                if let Some(flow) = self.flows.get(place) {
                    open.extend(
                        flow.path
                            .limited()
                            .iter()
                            .filter(|link| !touched.contains(link)),
                    );
                }
            }
        }
        let all: Vec<u32> = waiting.iter().copied().collect();
        let rates = self.fill(links, &touched, waiting);
        for place in all {
            if let Some(flow) = self.flows.get_mut(place) {
                flow.settle(now_us);
                flow.rate = rates.get(&place).copied().unwrap_or(u64::MAX);
                flow.expect(place, wakes);
            }
        }
    }

    /// The rates at which everybody has the most that is fair: the link, or the limit of a
    /// connection, that allows least decides, and what it leaves is shared by the others.
    fn fill(
        &self,
        links: &Links,
        touched: &BTreeSet<u32>,
        mut waiting: BTreeSet<u32>,
    ) -> BTreeMap<u32, u64> {
        let scaled = |rate: u64| rate.saturating_mul(1 << SCALE_BITS);
        let mut free: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        for &link in touched {
            let count = self.over.get(&link).map_or(0, Vec::len) as u64;
            if count > 0 {
                free.insert(link, (scaled(links.get(link).rate), count));
            }
        }
        let mut limits: BTreeSet<(u64, u32)> = BTreeSet::new();
        for &place in &waiting {
            let path = self.flows.get(place).map(|flow| flow.path);
            if let Some(path) = path.filter(|path| path.limit_bytes_per_sec > 0) {
                let limit = loss::sent_bytes(path.limit_bytes_per_sec, path.loss_ppm);
                limits.insert((scaled(limit), place));
            }
        }
        let mut rates = BTreeMap::new();
        while !waiting.is_empty() {
            let tightest = free.iter().filter(|(_, (_, count))| *count > 0);
            let tightest = tightest
                .map(|(&link, &(rest, count))| (rest / count, link))
                .min();
            let slowest = limits.first().copied();
            let (rate, decided) = match (tightest, slowest) {
                (Some((share, _)), Some((limit, place))) if limit <= share => (limit, vec![place]),
                (None, Some((limit, place))) => (limit, vec![place]),
                (Some((share, link)), _) => {
                    let over = self.over.get(&link).into_iter().flatten();
                    let over = over.filter(|place| waiting.contains(place));
                    (share, over.copied().collect())
                }
                // no link and no limit: at once
                (None, None) => break,
            };
            for place in decided {
                waiting.remove(&place);
                rates.insert(place, rate);
                let Some(flow) = self.flows.get(place) else {
                    continue;
                };
                for link in flow.path.limited() {
                    if let Some((rest, count)) = free.get_mut(link) {
                        *rest = rest.saturating_sub(rate);
                        *count -= 1;
                    }
                }
                if flow.path.limit_bytes_per_sec > 0 {
                    limits.retain(|(_, other)| *other != place);
                }
            }
        }
        rates
    }
}

impl Flow {
    /// Counts what was carried up to now.
    fn settle(&mut self, now_us: u64) {
        let carried = u128::from(self.rate) * u128::from(now_us - self.updated_us);
        self.rest = self.rest.saturating_sub(carried);
        self.updated_us = now_us;
    }

    /// Says when the first chunk will be carried.
    fn expect(&mut self, place: u32, wakes: &mut Wakes) {
        let took_us = if self.rate == u64::MAX {
            0
        } else {
            self.rest.div_ceil(u128::from(self.rate.max(1)))
        };
        let due_us = self.updated_us + u64::try_from(took_us).unwrap_or(u64::MAX / 2);
        if due_us != self.due_us || took_us == 0 {
            self.due_us = due_us;
            wakes.push((due_us, Wake::Flow(place)));
        }
    }
}
