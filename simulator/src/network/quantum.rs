//! Links serve whole chunks in turn: deficit round robin (Shreedhar and Varghese, 1995)
//! over the connections that wait for a link, in constant time a chunk and link.
//!
//! Three things make whole chunks behave like a stream of packets:
//! - Cut-through: a chunk queues for its next link as soon as the one before begins to
//!   serve it, and it arrives when the slowest of its links is done with it.
//! - Back pressure: a connection has one chunk on its way at a time that no last link
//!   serves yet. So what queues before a slow link is one chunk a connection, and a sender's
//!   other connections find its NIC free, as with TCP's windows.
//! - Interleaving: packets of chunks that wait for a link together pass it in turn, so all
//!   of these chunks end late in the round. Here they end one by one, from the first of the
//!   round to the last; each is delivered a part of the round later.
//!
//! A link that is idle costs no event; a connection that carries nothing has no state.

use std::collections::VecDeque;

use super::{
    Arrival, Cargo, Sharing, Wake, Wakes, Way,
    links::{Link, Links, NONE, Path, SECOND_US},
    loss,
};
use crate::{fast::Table, slab::Slab};

/// What a connection may send in its turn: a chunk of 256 KiB with what frames it.
const QUANTUM_BYTES: u32 = 268 * 1_024;
/// The part of a round by which a chunk is delivered later. Half makes the mean that of
/// interleaved packets; some more makes up for the spread, since a swarm goes by the chunks
/// that come first. Held against `fluid` over the networks of `tests/networks.rs`.
const ROUND_PART: (u64, u64) = (5, 8);

#[derive(Default)]
pub(super) struct Quantum {
    flows: Slab<Flow>,
    by_way: Table<(u32, u32), u32>,
    backlog: Slab<Waiting>,
    launches: Slab<Launch>,
    queues: Queues,
}

/// A connection that carries something.
struct Flow {
    way: Way,
    path: Path,
    /// What waits, first and last.
    first: u32,
    last: u32,
    /// The chunk on its way, if any.
    launch: u32,
    /// Where that is: links of the path that serve it, or served it, already.
    hop: u8,
    /// It passed the limit of the connection itself.
    passed_limit: bool,
    /// The connection ended while it waited for a link.
    dead: bool,
    /// The limit of the connection itself is used up until then.
    busy_until_us: u64,
    /// Bytes that it may still send in its turn.
    credit: u32,
}

/// A chunk that waits for its connection.
struct Waiting {
    cargo: Cargo,
    next: u32,
}

/// A chunk on its way.
struct Launch {
    way: Way,
    cargo: Cargo,
    begun_us: u64,
    /// It cannot end before this, whatever the links do.
    least_us: u64,
    /// When the links known so far are done with it.
    ends_us: u64,
    /// When it arrives; 0 while a link is still to serve it.
    arrives_us: u64,
}

impl Launch {
    fn arrival(&self) -> Arrival {
        Arrival::new(self.way, self.cargo, self.begun_us)
    }
}

impl Sharing for Quantum {
    fn begin(&mut self, now_us: u64, links: &mut Links, way: Way, cargo: Cargo, wakes: &mut Wakes) {
        let waiting = self.backlog.insert(Waiting { cargo, next: NONE });
        let place = *self.by_way.entry((way.from, way.to)).or_insert_with(|| {
            self.flows.insert(Flow {
                way,
                path: links.path(way),
                first: NONE,
                last: NONE,
                launch: NONE,
                hop: 0,
                passed_limit: false,
                dead: false,
                busy_until_us: 0,
                credit: 0,
            })
        });
        let Some(flow) = self.flows.get_mut(place) else {
            return;
        };
        let before = std::mem::replace(&mut flow.last, waiting);
        if before == NONE {
            flow.first = waiting;
        } else if let Some(before) = self.backlog.get_mut(before) {
            before.next = waiting;
        }
        if flow.launch == NONE {
            self.carry_on(now_us, links, place, wakes);
        }
    }

    fn wake(
        &mut self,
        now_us: u64,
        links: &mut Links,
        wake: Wake,
        wakes: &mut Wakes,
    ) -> Option<Arrival> {
        match wake {
            Wake::Link(link) => self.serve_next(now_us, links, link, wakes),
            Wake::Flow(place) => {
                let flow = self.flows.get(place)?;
                if !flow.dead && flow.busy_until_us == now_us && !flow.passed_limit {
                    self.carry_on(now_us, links, place, wakes);
                }
            }
            Wake::Arrival(place) => {
                let launch = self.launches.get(place)?;
                if launch.arrives_us == now_us {
                    let launch = self.launches.take(place)?;
                    return Some(launch.arrival());
                }
            }
        }
        None
    }

    fn end(&mut self, now_us: u64, links: &mut Links, way: Way, wakes: &mut Wakes) -> Vec<Cargo> {
        let mut ended = Vec::new();
        // what links serve of it at this moment
        for &link in links.path(way).limited() {
            let serving = *links.get(link);
            if serving.busy_until_us <= now_us {
                continue;
            }
            let launch = self.launches.get(serving.serving);
            if launch.is_some_and(|launch| launch.way == way) {
                free(now_us, links.get_mut(link));
                if serving.queue != NONE {
                    wakes.push((now_us, Wake::Link(link)));
                }
                // one that is still to be served by a last link is the connection's
                if launch.is_some_and(|launch| launch.arrives_us > 0) {
                    let launch = self.launches.take(serving.serving);
                    ended.extend(launch.map(|launch| launch.cargo));
                }
            }
        }
        let Some(place) = self.by_way.remove(&(way.from, way.to)) else {
            return ended;
        };
        let Some(flow) = self.flows.get_mut(place) else {
            return ended;
        };
        let mut next = flow.first;
        while let Some(waiting) = self.backlog.take(next) {
            ended.push(waiting.cargo);
            next = waiting.next;
        }
        let launch = self.launches.take(flow.launch);
        ended.extend(launch.map(|launch| launch.cargo));
        let in_queue = flow.launch != NONE && flow.passed_limit;
        flow.dead = true;
        if !in_queue {
            self.flows.take(place);
        }
        ended
    }

    fn rate_changed(
        &mut self,
        now_us: u64,
        links: &mut Links,
        link: u32,
        before: u64,
        wakes: &mut Wakes,
    ) {
        let Link {
            rate,
            busy_until_us,
            serving,
            queue,
            ..
        } = *links.get(link);
        if busy_until_us <= now_us || rate == before {
            return;
        }
        let rest = u128::from(busy_until_us - now_us) * u128::from(before);
        let rest_us = rest.checked_div(u128::from(rate)).unwrap_or(0);
        let rest_us = u64::try_from(rest_us).unwrap_or(u64::MAX);
        let busy_until_us = now_us.saturating_add(rest_us);
        links.get_mut(link).busy_until_us = busy_until_us;
        if queue != NONE {
            wakes.push((busy_until_us, Wake::Link(link)));
        }
        let Some(launch) = self.launches.get_mut(serving) else {
            return;
        };
        launch.ends_us = launch.least_us.max(busy_until_us);
        for &other in links.path(launch.way).limited() {
            let other = links.get(other);
            if other.serving == serving {
                launch.ends_us = launch.ends_us.max(other.busy_until_us);
            }
        }
        if launch.arrives_us > 0 {
            let delay_us = links.latency_us(launch.way) + u64::from(launch.cargo.delay_us);
            launch.arrives_us = launch.ends_us + delay_us;
            wakes.push((launch.arrives_us, Wake::Arrival(serving)));
        }
    }

    fn warm(&self, links: &Links, wake: Wake) -> u32 {
        match wake {
            Wake::Link(link) => links.get(link).queue,
            Wake::Flow(flow) => self.flows.get(flow).map_or(0, |flow| flow.first),
            Wake::Arrival(launch) => self.launches.get(launch).map_or(0, |one| one.way.to),
        }
    }

    fn arrival(&self, wake: Wake) -> Option<(u64, Arrival)> {
        let Wake::Arrival(place) = wake else {
            return None;
        };
        let launch = self.launches.get(place)?;
        Some((launch.arrives_us, launch.arrival()))
    }

    fn heap_bytes(&self) -> usize {
        self.flows.heap_bytes()
            + self.by_way.capacity() * size_of::<(u32, u32, u32)>()
            + self.backlog.heap_bytes()
            + self.launches.heap_bytes()
            + self.queues.heap_bytes()
    }
}

impl Quantum {
    /// Takes a connection's chunks as far as links are free.
    fn carry_on(&mut self, now_us: u64, links: &mut Links, place: u32, wakes: &mut Wakes) {
        loop {
            let Some(flow) = self.flows.get_mut(place) else {
                return;
            };
            if flow.launch == NONE {
                let Some(waiting) = self.backlog.take(flow.first) else {
                    self.rest(now_us, place, wakes);
                    return;
                };
                flow.first = waiting.next;
                if flow.first == NONE {
                    flow.last = NONE;
                }
                flow.path = links.path(flow.way);
                (flow.hop, flow.passed_limit) = (0, false);
                links.count(flow.way, sent(&flow.path, waiting.cargo));
                flow.launch = self.launches.insert(Launch {
                    way: flow.way,
                    cargo: waiting.cargo,
                    begun_us: now_us,
                    least_us: now_us,
                    ends_us: now_us,
                    arrives_us: 0,
                });
            }
            let Some(launch) = self.launches.get_mut(flow.launch) else {
                return;
            };
            if !flow.passed_limit {
                let work = u64::from(launch.cargo.bytes) * SECOND_US;
                if let Some(took_us) = work.checked_div(flow.path.limit_bytes_per_sec) {
                    if flow.busy_until_us > now_us {
                        wakes.push((flow.busy_until_us, Wake::Flow(place)));
                        return;
                    }
                    flow.busy_until_us = now_us + took_us;
                    launch.least_us = flow.busy_until_us;
                    launch.ends_us = flow.busy_until_us;
                }
                flow.passed_limit = true;
            }
            while let Some(&number) = flow.path.limited().get(flow.hop as usize) {
                let link = links.get_mut(number);
                if link.queue != NONE || link.busy_until_us > now_us {
                    if self
                        .queues
                        .add(link, place, flow.credit >= launch.cargo.bytes)
                    {
                        wakes.push((link.busy_until_us, Wake::Link(number)));
                    }
                    return;
                }
                serve(now_us, link, flow, launch, 0);
            }
            let delay_us = flow.path.latency_us + u64::from(launch.cargo.delay_us);
            launch.arrives_us = launch.ends_us + delay_us;
            wakes.push((launch.arrives_us, Wake::Arrival(flow.launch)));
            flow.launch = NONE;
        }
    }

    /// A link is free: whose turn is it?
    fn serve_next(&mut self, now_us: u64, links: &mut Links, number: u32, wakes: &mut Wakes) {
        let link = links.get_mut(number);
        if link.busy_until_us > now_us {
            return;
        }
        while let Some((place, is_last)) = self.queues.take(link) {
            let Some(flow) = self.flows.get_mut(place) else {
                continue;
            };
            if flow.dead {
                self.flows.take(place);
                continue;
            }
            let Some(launch) = self.launches.get_mut(flow.launch) else {
                continue;
            };
            let bytes = launch.cargo.bytes;
            if is_last {
                flow.credit = flow.credit.max(bytes);
            } else if flow.credit < bytes {
                flow.credit += QUANTUM_BYTES;
            }
            if flow.credit < bytes {
                self.queues.add(link, place, false);
                continue;
            }
            flow.credit -= bytes;
            let others = self.queues.length(link);
            serve(now_us, link, flow, launch, others);
            if link.queue != NONE {
                wakes.push((link.busy_until_us, Wake::Link(number)));
            }
            self.carry_on(now_us, links, place, wakes);
            return;
        }
    }

    /// A connection has nothing more to carry. While its own limit is used up it is kept,
    /// so that what comes next has to wait.
    fn rest(&mut self, now_us: u64, place: u32, wakes: &mut Wakes) {
        let Some(flow) = self.flows.get_mut(place) else {
            return;
        };
        if flow.busy_until_us > now_us {
            flow.passed_limit = false;
            wakes.push((flow.busy_until_us, Wake::Flow(place)));
            return;
        }
        let way = flow.way;
        self.by_way.remove(&(way.from, way.to));
        self.flows.take(place);
    }
}

/// The link serves the connection's chunk from now on, while so many others wait.
fn serve(now_us: u64, link: &mut Link, flow: &mut Flow, launch: &mut Launch, others: u64) {
    if link.rate > 0 {
        let took_us = link.service_us(sent(&flow.path, launch.cargo));
        link.busy_until_us = now_us + took_us;
        link.serving = flow.launch;
        let ends_us = link.busy_until_us + took_us * others * ROUND_PART.0 / ROUND_PART.1;
        launch.ends_us = launch.ends_us.max(ends_us);
    }
    // a chunk whose links before were slower may be done with them by now
    launch.ends_us = launch.ends_us.max(now_us);
    flow.hop += 1;
}

fn free(now_us: u64, link: &mut Link) {
    link.busy_until_us = now_us;
    link.serving = NONE;
}

/// What the chunk weighs on the way.
fn sent(path: &Path, cargo: Cargo) -> u64 {
    loss::sent_bytes(u64::from(cargo.bytes), path.loss_ppm)
}

/// The rings of connections that wait for a link.
#[derive(Default)]
struct Queues {
    rings: Vec<VecDeque<u32>>,
    /// Rings that no link uses.
    free: Vec<u32>,
}

impl Queues {
    /// The connection waits for the link; true if it is the first.
    fn add(&mut self, link: &mut Link, flow: u32, at_the_front: bool) -> bool {
        let is_first = link.queue == NONE;
        if is_first {
            link.queue = self.free.pop().unwrap_or_else(|| {
                self.rings.push(VecDeque::new());
                (self.rings.len() - 1) as u32
            });
        }
        let ring = &mut self.rings[link.queue as usize];
        if at_the_front {
            ring.push_front(flow);
        } else {
            ring.push_back(flow);
        }
        is_first
    }

    /// The next in turn, and whether it is the last that waits.
    fn take(&mut self, link: &mut Link) -> Option<(u32, bool)> {
        let ring = self.rings.get_mut(link.queue as usize)?;
        let flow = ring.pop_front();
        let is_last = ring.is_empty();
        if is_last {
            self.free.push(std::mem::replace(&mut link.queue, NONE));
        }
        Some((flow?, is_last))
    }

    /// How many wait for the link.
    fn length(&self, link: &Link) -> u64 {
        let ring = self.rings.get(link.queue as usize);
        ring.map_or(0, |ring| ring.len() as u64)
    }

    fn heap_bytes(&self) -> usize {
        let rings = self
            .rings
            .iter()
            .map(|ring| size_of_val(ring) + 4 * ring.capacity());
        rings.sum::<usize>() + 4 * self.free.capacity()
    }
}
