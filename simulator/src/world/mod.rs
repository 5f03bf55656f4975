//! The event loop: time, links, faults.
//!
//! One file a concern: `spec` (what a node is), `host` (what the world knows of it),
//! `links` (who is connected), `bundles` (who
//! is a file), `run` (what happens when), `outputs` (what the core asks
//! for), `send` (messages and chunks), `silence` (of a site), `gossip`, `watch` (what is
//! kept for those who look).

mod ahead;
mod bundles;
mod gossip;
mod host;
mod lane;
mod lanes;
mod links;
mod outputs;
mod run;
mod send;
mod silence;
mod spec;
mod watch;
mod worker;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_core::{Command, Event, Input, Lent, Message, Node, Peer, Slots};
use weft_keys::SecretKey;
use weft_record::{Hash, Invitation, Memo, MeshId, Name, RecordId};

use crate::{
    disk::VirtualDisk,
    fast::{Table, prefix},
    journal::Journal,
    log::EventLog,
    mesh::Admin,
    network::{Network, Rates},
    payload::Virtual,
    pool::Pool,
    queue::Queue,
    registrar::Registrar,
    slab::Slab,
    topology::{NetworkModel, Site, SiteTraffic, Timing},
    traffic::Traffic,
};

use ahead::Ahead;
use bundles::Bundles;
use gossip::Gossip;
use host::{Host, Seat};
use lanes::Lanes;
use links::Neighbour;
use send::Parcel;
use silence::Silence;

pub(crate) use run::Happening;
pub use spec::{NodeSpec, Outage};
pub use watch::{Figures, Keep};

/// A mesh of virtual nodes.
pub struct World {
    now_us: u64,
    seed: u64,
    mesh_id: MeshId,
    seats: Vec<Seat>,
    hosts: Lanes<Host>,
    keys: Vec<Peer>,
    /// A node's index by the beginning of its key.
    by_key: Arc<Table<u64, u32>>,
    disks: Lanes<VirtualDisk>,
    /// Whom each node is linked with, in order.
    neighbours: Vec<Vec<Neighbour>>,
    /// A link was cut at some time: until then, whoever was linked still is.
    was_cut: bool,
    /// Links wanted but cut by a partition.
    cut: BTreeSet<(usize, usize)>,
    /// Links that a node let go of.
    dropped: BTreeSet<(usize, usize)>,
    sites: Vec<Site>,
    model: NetworkModel,
    network: Network,
    timing: Timing,
    shares_memo: bool,
    queue: Queue<Happening>,
    ahead: Ahead,
    /// Messages on their way.
    parcels: Slab<Parcel>,
    /// Outcomes of operations under way.
    outcomes: Slab<(weft_core::OpId, weft_core::Outcome<Virtual>)>,
    bundles: Bundles,
    gossip: Gossip,
    silence: Silence,
    pool: Pool,
    /// What a node asks for, while it is carried out; and signatures that were checked:
    /// before the run or, in a large fleet, by any node.
    lent: Lent<Virtual>,
    log: EventLog,
    figures: Figures,
    keep: Keep,
    /// Announcements spread; without them only head digests do.
    pub gossip_works: bool,
    /// Releases whose models answer wrongly, before or only after activation.
    pub bad_models: BTreeSet<RecordId>,
    /// Releases whose models begin to fail once active.
    pub failing_models: BTreeSet<RecordId>,
    /// What nodes told, with time and node, as far as [`World::keep`] says.
    pub events: Vec<(u64, usize, Event)>,
    /// Whoever enrolls by invitation, at the nodes whose driver asks for it.
    pub registrar: Option<Registrar>,
    /// Messages and bytes sent, by kind.
    pub traffic: Traffic,
    /// What checkers look at, if anybody checks.
    pub journal: Option<Journal>,
    /// Activations that the node's own records do not ask for.
    pub unasked: Vec<String>,
    /// Releases that owners pinned; see [`World::pin`].
    pub pins: BTreeMap<usize, BTreeSet<RecordId>>,
    /// Nodes whose disk refused records: they may have said more than they kept.
    pub forgetful: BTreeSet<usize>,
    /// Epoch and floor of each node's channels, as they were looked at last.
    floors: BTreeMap<(usize, Name), (u64, u64)>,
    /// When nodes first had a root that resets a channel.
    resets: BTreeMap<usize, u64>,
    /// What puppets were told.
    pub heard: Vec<(usize, usize, Message<Virtual>)>,
}

impl World {
    /// An empty world around a mesh, whose links serve whole chunks in turn.
    pub fn new(seed: u64, mesh_id: MeshId) -> Self {
        Self::with_network(seed, mesh_id, NetworkModel::default())
    }

    /// An empty world around a mesh.
    pub fn with_network(seed: u64, mesh_id: MeshId, model: NetworkModel) -> Self {
        let mut world = Self {
            now_us: 0,
            seed,
            mesh_id,
            seats: Vec::new(),
            hosts: Lanes::default(),
            keys: Vec::new(),
            by_key: Arc::default(),
            disks: Lanes::default(),
            neighbours: Vec::new(),
            was_cut: false,
            cut: BTreeSet::new(),
            dropped: BTreeSet::new(),
            sites: Vec::new(),
            model,
            network: Network::new(model),
            timing: Timing::default(),
            shares_memo: false,
            queue: Queue::new(),
            ahead: Ahead::default(),
            parcels: Slab::default(),
            outcomes: Slab::default(),
            bundles: Bundles::default(),
            gossip: Gossip::default(),
            silence: Silence::default(),
            pool: Pool::default(),
            lent: Lent::default(),
            log: EventLog::default(),
            figures: Figures::default(),
            keep: Keep::default(),
            gossip_works: true,
            bad_models: BTreeSet::new(),
            failing_models: BTreeSet::new(),
            events: Vec::new(),
            registrar: None,
            traffic: Traffic::default(),
            journal: None,
            unasked: Vec::new(),
            pins: BTreeMap::new(),
            forgetful: BTreeSet::new(),
            floors: BTreeMap::new(),
            resets: BTreeMap::new(),
            heard: Vec::new(),
        };
        world.add_site(Site::default());
        world
    }

    /// Adds a site; returns its index. Site 0 is there from the beginning: a LAN of
    /// 4 ms round trip whose uplink limits nothing.
    pub fn add_site(&mut self, site: Site) -> usize {
        self.network.add_site(&site);
        let latency_us = (site.lan_round_trip_us / 2).min(site.wan_round_trip_us);
        self.shorten_stretches(latency_us);
        self.sites.push(site);
        self.sites.len() - 1
    }

    /// Changes what a site's uplink carries, both ways (0: no limit), from now on.
    pub fn set_site(
        &mut self,
        site: usize,
        uplink_bytes_per_sec: u64,
        downlink_bytes_per_sec: u64,
    ) {
        self.sites[site].uplink_bytes_per_sec = uplink_bytes_per_sec;
        self.sites[site].downlink_bytes_per_sec = downlink_bytes_per_sec;
        // its new rates come with the end of a silence
        if self.is_silenced(site) {
            return;
        }
        let rates = Rates {
            up_bytes_per_sec: uplink_bytes_per_sec,
            down_bytes_per_sec: downlink_bytes_per_sec,
        };
        self.network.set_site(self.now_us, site, rates);
        self.schedule_network();
    }

    /// Adds a node that belongs to the mesh: it holds the roots and its enrolment.
    pub fn add_member(
        &mut self,
        admin: &mut Admin,
        spec: NodeSpec,
        mut disk: VirtualDisk,
    ) -> usize {
        let key = self.secret_of(self.hosts.len()).public();
        let mut records = admin.roots();
        records.push(admin.enroll(key));
        disk.save(records);
        // one that all nodes share learns what they check by itself
        if !self.shares_memo() || self.hosts.is_empty() {
            self.lent.memo = admin.memo().clone();
        }
        self.add_node_of(key, spec, disk)
    }

    /// The same for one of very many nodes: the admin keeps no copy of the enrolment.
    pub fn add_member_apart(
        &mut self,
        admin: &Admin,
        spec: NodeSpec,
        mut disk: VirtualDisk,
    ) -> usize {
        let key = self.secret_of(self.hosts.len()).public();
        let mut records = admin.roots();
        records.push(admin.enroll_apart(key));
        disk.save(records);
        self.add_node_of(key, spec, disk)
    }

    /// All nodes use one memo from now on, and begin with this one: each signature is
    /// checked once a run. Only what a flood costs its sender is counted otherwise.
    pub fn share_memo(&mut self, memo: &Memo) {
        self.lent.memo = memo.clone();
        self.shares_memo = true;
    }

    /// The key that the node of this index has, or will have.
    pub fn secret_of(&self, index: usize) -> SecretKey {
        // from (seed, index) alone, so that a further node moves no other
        let place = [self.seed, index as u64].map(u64::to_le_bytes).concat();
        SecretKey::from_seed(blake3::derive_key("weft-sim node key", &place))
    }

    /// The seed of the choices of the node of this index. Two nodes' streams must have
    /// nothing in common: seeds that differ by a multiple of the stream's own step would
    /// only shift them.
    fn choices_of(&self, index: usize) -> u64 {
        let place = [self.seed, index as u64].map(u64::to_le_bytes).concat();
        let key = blake3::derive_key("weft-sim node choices", &place);
        let mut first = [0; 8];
        first.copy_from_slice(&key[..8]);
        u64::from_le_bytes(first)
    }

    /// Adds a node with this disk and starts it; returns its index.
    pub fn add_node(&mut self, spec: NodeSpec, disk: VirtualDisk) -> usize {
        let key = self.secret_of(self.hosts.len()).public();
        self.add_node_of(key, spec, disk)
    }

    fn add_node_of(&mut self, key: Peer, spec: NodeSpec, mut disk: VirtualDisk) -> usize {
        let index = self.hosts.len();
        let place = Arc::make_mut(&mut self.by_key).insert(prefix(key.as_bytes()), index as u32);
        assert!(place.is_none(), "two keys begin with the same 64 bits");
        self.keys.push(key);
        let rates = Rates {
            up_bytes_per_sec: spec.uplink_bytes_per_sec,
            down_bytes_per_sec: spec.downlink_bytes_per_sec,
        };
        self.network.add_node(spec.site, rates);
        disk.share(&mut self.pool);
        self.disks.push(disk);
        self.neighbours.push(Vec::new());
        // nodes that are alike share what they are
        let last = self.hosts.last().map(|last| Arc::clone(&last.spec));
        let same = last.filter(|last| **last == spec);
        let spec = same.unwrap_or_else(|| Arc::new(spec));
        self.seats.push(Seat::default());
        self.hosts.push(Host::new(spec));
        self.start(index);
        index
    }

    /// Hands a command to a node.
    pub fn command(&mut self, index: usize, command: Command) {
        self.give(index, Input::Command(command));
    }

    /// The owner of a node pins these releases, and no others any more; kept over restarts.
    pub fn pin(&mut self, index: usize, releases: BTreeSet<RecordId>) {
        self.pins.insert(index, releases.clone());
        self.command(index, Command::Pin(releases));
    }

    /// The node's invitation from its next start on.
    pub fn invite(&mut self, index: usize, invitation: Option<Invitation>) {
        Arc::make_mut(&mut self.hosts[index].spec).invitation = invitation;
    }

    /// How finely the steps of a chunk are told apart from now on.
    pub fn set_timing(&mut self, timing: Timing) {
        self.timing = timing;
    }

    fn shares_memo(&self) -> bool {
        self.shares_memo || self.timing == Timing::Fused
    }

    /// Virtual microseconds since the beginning.
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    /// Nodes, up or down.
    pub fn node_count(&self) -> usize {
        self.hosts.len()
    }

    /// Whether the node is up.
    pub fn is_up(&self, index: usize) -> bool {
        self.hosts[index].node.is_some()
    }

    /// A node that is up.
    pub fn node(&self, index: usize) -> Option<&Node<Virtual>> {
        self.hosts[index].node.as_deref()
    }

    /// What a node is.
    pub fn spec(&self, index: usize) -> &NodeSpec {
        &self.hosts[index].spec
    }

    /// A node's disk, to look at.
    pub fn peek(&self, index: usize) -> &VirtualDisk {
        &self.disks[index]
    }

    /// A node's disk.
    pub fn disk(&mut self, index: usize) -> &mut VirtualDisk {
        &mut self.disks[index]
    }

    /// A node's key.
    pub fn key(&self, index: usize) -> Peer {
        self.keys[index]
    }

    /// A node's index by its key.
    pub fn index_of(&self, key: &Peer) -> Option<usize> {
        // no two keys of a world begin alike, and nobody makes one that begins like another
        let index = self.by_key.get(&prefix(key.as_bytes()))?;
        Some(*index as usize)
    }

    /// A node's secret key.
    pub fn secret(&self, index: usize) -> &SecretKey {
        let secret = &self.hosts[index].secret;
        secret.get_or_init(|| Box::new(self.secret_of(index)))
    }

    /// What the node's active slot of the channel holds.
    pub fn active(&self, index: usize, channel: &Name) -> Option<RecordId> {
        self.disks[index].active(channel)
    }

    /// The node's slots of the channel.
    pub fn slots(&self, index: usize, channel: &Name) -> Slots {
        self.disks[index].slots(channel)
    }

    /// How many sites there are.
    pub fn site_count(&self) -> usize {
        self.sites.len()
    }

    /// A site as it is now.
    pub fn site(&self, site: usize) -> &Site {
        &self.sites[site]
    }

    /// Bytes over a site's uplink so far, data and control.
    pub fn site_traffic(&self, site: usize) -> SiteTraffic {
        self.network.site_traffic(site)
    }

    /// How links are shared.
    pub fn network_model(&self) -> NetworkModel {
        self.model
    }

    /// The hash over all that happened.
    pub fn log_hash(&self) -> Hash {
        self.log.hash()
    }

    /// The log itself.
    pub fn log(&self) -> &EventLog {
        &self.log
    }

    /// Keeps the newest so many lines of the log for people, from now on.
    pub fn keep_tail(&mut self, lines: usize) {
        self.log.keep_tail(lines);
    }
}
