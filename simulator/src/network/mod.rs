//! The virtual network: links that have a rate, and two ways to share them.
//!
//! Bytes go from the sender's NIC over its site's uplink and the other site's downlink to
//! the receiver's NIC; within a site, over the two NICs only. Bulk (chunks, blobs) is
//! shared between connections by [`quantum`] or [`fluid`]; control messages have a lane of
//! their own that bulk does not delay, and what they take is missing to bulk.
//!
//! Not modelled: slow start, queues that overflow, and losses of control messages.

mod fluid;
mod framing;
mod links;
mod loss;
mod quantum;

use crate::topology::{NetworkModel, Site, SiteTraffic};

use fluid::Fluid;
use links::Links;
use quantum::Quantum;

pub(crate) use links::{Rates, STOPPED_BYTES_PER_SEC};

/// What a connection carries: what it means is the world's affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cargo {
    pub(crate) tag: u32,
    pub(crate) index: u32,
    pub(crate) bytes: u32,
    /// Counts as arrived so much later.
    pub(crate) delay_us: u32,
}

/// Something of the network that is due; it comes back through [`Network::wake`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// A link may serve its next chunk.
    Link(u32),
    /// A connection may begin its next chunk, or ends its first one.
    Flow(u32),
    /// A chunk arrives.
    Arrival(u32),
}

/// A chunk that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) cargo: Cargo,
    /// When it left, or began to wait for a link.
    pub(crate) begun_us: u64,
}

impl Arrival {
    fn new(way: Way, cargo: Cargo, begun_us: u64) -> Self {
        let Way { from, to } = way;
        Self {
            from,
            to,
            cargo,
            begun_us,
        }
    }
}

/// Wakes to be put into the event queue.
pub(crate) type Wakes = Vec<(u64, Wake)>;

/// How links are shared between connections.
trait Sharing {
    /// A connection has more to carry.
    fn begin(&mut self, now_us: u64, links: &mut Links, way: Way, cargo: Cargo, wakes: &mut Wakes);
    /// Something is due.
    fn wake(
        &mut self,
        now_us: u64,
        links: &mut Links,
        wake: Wake,
        wakes: &mut Wakes,
    ) -> Option<Arrival>;
    /// A connection is gone, with what it carries; what that was, to be let go of.
    fn end(&mut self, now_us: u64, links: &mut Links, way: Way, wakes: &mut Wakes) -> Vec<Cargo>;
    /// A link has another rate than this from now on.
    fn rate_changed(
        &mut self,
        now_us: u64,
        links: &mut Links,
        link: u32,
        before: u64,
        wakes: &mut Wakes,
    );
    /// Reads what this needs, before it is due.
    fn warm(&self, links: &Links, wake: Wake) -> u32;
    /// The chunk that arrives with this, and when, if any does.
    fn arrival(&self, wake: Wake) -> Option<(u64, Arrival)>;
    /// Memory that it holds.
    fn heap_bytes(&self) -> usize;
}

/// From whom to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) from: u32,
    pub(crate) to: u32,
}

/// All links, and who shares them.
pub(crate) struct Network {
    links: Links,
    sharing: Box<dyn Sharing>,
    wakes: Wakes,
}

impl Network {
    pub(crate) fn new(model: NetworkModel) -> Self {
        Self {
            links: Links::default(),
            sharing: match model {
                NetworkModel::Quantum => Box::new(Quantum::default()),
                NetworkModel::Fluid => Box::new(Fluid::default()),
            },
            wakes: Wakes::new(),
        }
    }

    pub(crate) fn add_site(&mut self, site: &Site) {
        self.links.add_site(site);
    }

    /// Adds the next node's NIC.
    pub(crate) fn add_node(&mut self, site: usize, rates: Rates) {
        self.links.add_node(site as u32, rates);
    }

    /// Changes what a site's uplink carries, both ways.
    pub(crate) fn set_site(&mut self, now_us: u64, site: usize, rates: Rates) {
        let (up, down) = Links::site_links(site as u32);
        for (link, rate) in [
            (up, rates.up_bytes_per_sec),
            (down, rates.down_bytes_per_sec),
        ] {
            let before = self.links.set_rate(link, rate);
            let (links, wakes) = (&mut self.links, &mut self.wakes);
            self.sharing
                .rate_changed(now_us, links, link, before, wakes);
        }
    }

    /// Half the round trip between two nodes.
    pub(crate) fn latency_us(&self, way: Way) -> u64 {
        self.links.latency_us(way)
    }

    /// When a control message that is sent now arrives.
    pub(crate) fn control_us(&mut self, now_us: u64, way: Way, bytes: u64) -> u64 {
        let wire = framing::wire_bytes(bytes);
        let at_us = self.links.control_us(now_us, way, wire);
        self.links.acknowledge(way, wire);
        at_us
    }

    /// A connection has more to carry.
    pub(crate) fn begin(&mut self, now_us: u64, way: Way, cargo: Cargo) {
        let wire = framing::wire_bytes(u64::from(cargo.bytes));
        self.links.acknowledge(way, wire);
        let cargo = Cargo {
            bytes: u32::try_from(wire).unwrap_or(u32::MAX),
            ..cargo
        };
        let (links, wakes) = (&mut self.links, &mut self.wakes);
        self.sharing.begin(now_us, links, way, cargo, wakes);
    }

    /// A connection is gone, both ways, with what it carries.
    pub(crate) fn end(&mut self, now_us: u64, way: Way) -> Vec<Cargo> {
        let (links, wakes) = (&mut self.links, &mut self.wakes);
        self.sharing.end(now_us, links, way, wakes)
    }

    /// Something is due.
    pub(crate) fn wake(&mut self, now_us: u64, wake: Wake) -> Option<Arrival> {
        let (links, wakes) = (&mut self.links, &mut self.wakes);
        self.sharing.wake(now_us, links, wake, wakes)
    }

    /// The chunk that arrives with this at this time, if any does.
    pub(crate) fn arrival(&self, at_us: u64, wake: Wake) -> Option<Arrival> {
        let (due_us, arrival) = self.sharing.arrival(wake)?;
        (due_us == at_us).then_some(arrival)
    }

    /// Reads what this needs, before it is due. What it returns means nothing.
    pub(crate) fn warm(&self, wake: Wake) -> u32 {
        self.sharing.warm(&self.links, wake)
    }

    /// The same for what a node is going to send or receive.
    pub(crate) fn warm_node(&self, node: u32) -> u32 {
        self.links.warm(node)
    }

    /// What is to be put into the event queue since it was asked last.
    pub(crate) fn wakes(&mut self) -> std::vec::Drain<'_, (u64, Wake)> {
        self.wakes.drain(..)
    }

    pub(crate) fn site_traffic(&self, site: usize) -> SiteTraffic {
        self.links.site_traffic(site as u32)
    }

    /// Memory that it holds.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.links.heap_bytes() + self.sharing.heap_bytes()
    }
}
