//! The event loop: time, links, faults.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use weft_core::{
    Command, Config, DisconnectReason, Disk, Event, Facts, Input, Message, Node, OpId, Outcome,
    Output, Payload, Peer, ProbeMeasurement, ProbeRequest, Slots,
};
use weft_keys::SecretKey;
use weft_record::{Hash, Invitation, Memo, MeshId, Name, RecordId, Verdict};

use crate::{
    disk::VirtualDisk,
    log::EventLog,
    mesh::{Admin, NOW_S},
    payload::Virtual,
    registrar::Registrar,
    topology::{NetworkModel, Site, SiteTraffic, Timing},
    traffic::{Traffic, control_bytes, kind_of, summary},
};

/// What one virtual node is.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // each is a fault of its own
pub struct NodeSpec {
    /// Where it is: an index that [`World::add_site`] gave, or 0.
    pub site: usize,
    /// Bytes a second that it can send.
    pub uplink_bytes_per_sec: u64,
    /// Bytes a second that it can receive; 0: no limit.
    pub downlink_bytes_per_sec: u64,
    /// Its fetch cap, if any.
    pub cap_fetch_bytes_per_sec: Option<u64>,
    /// It answers every request with other bytes than asked for.
    pub corrupts: bool,
    /// It answers no request for bytes.
    pub withholds: bool,
    /// It is in another mesh.
    pub stranger: bool,
    /// It is no node: it says only what a test makes it say.
    pub puppet: bool,
    /// With this it asks to be enrolled.
    pub invitation: Option<Invitation>,
    /// Requests to join are answered here, by [`World::registrar`].
    pub registrar: bool,
    /// It activates nothing new while the root has run out.
    pub refuse_new_when_stale: bool,
    /// What its system clock says when the world begins, seconds since 1970.
    pub wall_s: u64,
}

impl Default for NodeSpec {
    fn default() -> Self {
        Self {
            site: 0,
            uplink_bytes_per_sec: 12_500_000,
            downlink_bytes_per_sec: 0,
            cap_fetch_bytes_per_sec: None,
            corrupts: false,
            withholds: false,
            stranger: false,
            puppet: false,
            invitation: None,
            registrar: false,
            refuse_new_when_stale: false,
            wall_s: NOW_S,
        }
    }
}

/// How a node goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// The process is killed: what was written stays.
    Kill,
    /// The power fails: what was not synced is gone.
    PowerCut,
}

/// A mesh of virtual nodes.
pub struct World {
    now_us: u64,
    seed: u64,
    mesh_id: MeshId,
    nodes: Vec<Host>,
    by_key: BTreeMap<Peer, usize>,
    links: BTreeSet<(usize, usize)>,
    /// Links wanted but cut by a partition.
    cut: BTreeSet<(usize, usize)>,
    /// Links that a node let go of.
    dropped: BTreeSet<(usize, usize)>,
    queue: BinaryHeap<Reverse<Queued>>,
    sequence: u64,
    log: EventLog,
    /// Announcements spread; without them only head digests do.
    pub gossip_works: bool,
    /// Releases whose models answer wrongly, before or only after activation.
    pub bad_models: BTreeSet<RecordId>,
    /// Releases whose models begin to fail once active.
    pub failing_models: BTreeSet<RecordId>,
    /// What nodes told, with time and node.
    pub events: Vec<(u64, usize, Event)>,
    /// Whoever enrolls by invitation, at the nodes whose driver asks for it.
    pub registrar: Option<Registrar>,
    /// Messages and bytes sent, by kind.
    pub traffic: Traffic,
    /// Activations that the node's own records do not ask for.
    pub unasked: Vec<String>,
    /// Nodes whose disk refused records: they may have said more than they kept.
    pub forgetful: BTreeSet<usize>,
    /// Epoch and floor of each node's channels, as they were looked at last.
    floors: BTreeMap<(usize, Name), (u64, u64)>,
    /// When nodes first had a root that resets a channel.
    resets: BTreeMap<usize, u64>,
    /// What puppets were told.
    pub heard: Vec<(usize, usize, Message<Virtual>)>,
    /// Signatures checked before the run.
    memo: Memo,
    sites: Vec<Site>,
    site_traffic: Vec<SiteTraffic>,
    network: NetworkModel,
    timing: Timing,
}

struct Host {
    key: Peer,
    secret: SecretKey,
    spec: NodeSpec,
    disk: VirtualDisk,
    node: Option<Node<Virtual>>,
    /// Counts starts: what was under way when the node went down comes to nothing.
    life: u32,
    uplink_free_us: u64,
    tick_us: u64,
}

/// Half a round trip.
const LATENCY_US: u64 = 2_000;
/// A disk operation.
const DISK_US: u64 = 300;
/// A sync.
const SYNC_US: u64 = 4_000;
/// Whoever was turned away, but for harm, is dialled again after this.
const REDIAL_US: u64 = 30_000_000;
/// A probe run.
const PROBE_US: u64 = 200_000;
/// Bytes hashed a microsecond.
const HASH_BYTES_PER_US: u64 = 1_000;
/// A control message costs this many bytes of a link.
const CONTROL_BYTES: u64 = 200;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Queued {
    at_us: u64,
    sequence: u64,
    node: usize,
    life: u32,
    what: What,
}

/// Ordered only so that the queue can hold it; (time, sequence) decides.
struct What(Happening);

impl PartialEq for What {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for What {}
impl PartialOrd for What {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for What {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

enum Happening {
    Up(usize),
    Down(Peer),
    Message {
        from: usize,
        life: u32,
        message: Message<Virtual>,
    },
    Gossip(Vec<u8>),
    Redial(usize),
    Done(OpId, Outcome<Virtual>),
    Tick,
}

impl World {
    /// An empty world around a mesh, whose links serve whole chunks in turn.
    pub fn new(seed: u64, mesh_id: MeshId) -> Self {
        Self::with_network(seed, mesh_id, NetworkModel::default())
    }

    /// An empty world around a mesh.
    pub fn with_network(seed: u64, mesh_id: MeshId, network: NetworkModel) -> Self {
        Self {
            now_us: 0,
            seed,
            mesh_id,
            nodes: Vec::new(),
            by_key: BTreeMap::new(),
            links: BTreeSet::new(),
            cut: BTreeSet::new(),
            dropped: BTreeSet::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            log: EventLog::default(),
            gossip_works: true,
            bad_models: BTreeSet::new(),
            failing_models: BTreeSet::new(),
            events: Vec::new(),
            registrar: None,
            traffic: Traffic::default(),
            unasked: Vec::new(),
            forgetful: BTreeSet::new(),
            floors: BTreeMap::new(),
            resets: BTreeMap::new(),
            heard: Vec::new(),
            memo: Memo::default(),
            sites: vec![Site::default()],
            site_traffic: vec![SiteTraffic::default()],
            network,
            timing: Timing::default(),
        }
    }

    /// Adds a site; returns its index. Site 0 is there from the beginning: a LAN of
    /// 4 ms round trip whose uplink limits nothing.
    pub fn add_site(&mut self, site: Site) -> usize {
        self.sites.push(site);
        self.site_traffic.push(SiteTraffic::default());
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
    }

    /// A site as it is now.
    pub fn site(&self, site: usize) -> &Site {
        &self.sites[site]
    }

    /// Bytes over a site's uplink so far.
    pub fn site_traffic(&self, site: usize) -> SiteTraffic {
        self.site_traffic[site]
    }

    /// How links are shared.
    pub fn network_model(&self) -> NetworkModel {
        self.network
    }

    /// How finely the steps of a chunk are told apart from now on.
    pub fn set_timing(&mut self, timing: Timing) {
        self.timing = timing;
    }

    /// Adds a node that belongs to the mesh: it holds the roots and its enrolment.
    pub fn add_member(
        &mut self,
        admin: &mut Admin,
        spec: NodeSpec,
        mut disk: VirtualDisk,
    ) -> usize {
        let key = self.secret_of(self.nodes.len()).public();
        let mut records = admin.roots();
        records.push(admin.enroll(key));
        disk.save(records);
        self.memo = admin.memo().clone();
        self.add_node(spec, disk)
    }

    /// The key that the node of this index has, or will have.
    pub fn secret_of(&self, index: usize) -> SecretKey {
        // from (seed, index) alone, so that a further node moves no other
        let place = [self.seed, index as u64].map(u64::to_le_bytes).concat();
        SecretKey::from_seed(blake3::derive_key("weft-sim node key", &place))
    }

    /// Adds a node with this disk and starts it; returns its index.
    pub fn add_node(&mut self, spec: NodeSpec, disk: VirtualDisk) -> usize {
        let index = self.nodes.len();
        let secret = self.secret_of(index);
        let key = secret.public();
        self.by_key.insert(key, index);
        self.nodes.push(Host {
            key,
            secret,
            spec,
            disk,
            node: None,
            life: 0,
            uplink_free_us: 0,
            tick_us: u64::MAX,
        });
        self.start(index);
        index
    }

    /// Links two nodes.
    pub fn connect(&mut self, a: usize, b: usize) {
        let link = (a.min(b), a.max(b));
        if self.links.insert(link) {
            self.raise(link);
        }
    }

    /// Cuts every link between the two sides, until [`World::heal`].
    pub fn partition(&mut self, side: &[usize]) {
        let crossing: Vec<(usize, usize)> = self
            .links
            .iter()
            .filter(|(a, b)| side.contains(a) != side.contains(b))
            .copied()
            .collect();
        for link in crossing {
            self.links.remove(&link);
            self.cut.insert(link);
            self.lower(link);
        }
    }

    /// Restores what partitions cut.
    pub fn heal(&mut self) {
        for link in std::mem::take(&mut self.cut) {
            self.links.insert(link);
            self.raise(link);
        }
    }

    /// Links again what nodes themselves let go of, as a redialling network would.
    pub fn relink(&mut self) {
        for link in std::mem::take(&mut self.dropped) {
            if self.links.insert(link) {
                self.raise(link);
            }
        }
    }

    /// Takes a node down.
    pub fn stop(&mut self, index: usize, outage: Outage) {
        self.log.add(self.now_us, index, &format!("{outage:?}"));
        let host = &mut self.nodes[index];
        host.node = None;
        host.life += 1;
        host.tick_us = u64::MAX;
        if outage == Outage::PowerCut {
            host.disk.lose_unsynced();
        }
        let key = host.key;
        for other in self.neighbours(index) {
            self.push(self.now_us + LATENCY_US, other, Happening::Down(key));
        }
    }

    /// Starts a node from its disk.
    pub fn start(&mut self, index: usize) {
        let mesh_id = self.mesh_id;
        let host = &mut self.nodes[index];
        if host.spec.puppet {
            return;
        }
        let invitation = host.spec.invitation.as_ref();
        let config = Config {
            key: host.key,
            mesh_id: if host.spec.stranger {
                MeshId([0x55; 32])
            } else {
                mesh_id
            },
            channels: vec!["stable".parse().expect("a valid name")],
            variant_preference: Vec::new(),
            facts: Facts {
                architecture: "x86_64".to_owned(),
                ram_bytes: 8 << 30,
                disk_bytes: 64 << 30,
                isa: Vec::new(),
            },
            cap_fetch_bytes_per_sec: host.spec.cap_fetch_bytes_per_sec,
            seed: self.seed ^ (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            wall_at_zero_s: host.spec.wall_s,
            invitation: invitation.map(|invitation| invitation.request(host.key)),
            registrar: host.spec.registrar,
            refuse_new_when_stale: host.spec.refuse_new_when_stale,
        };
        let (restored, memo) = (host.disk.restore(), self.memo.clone());
        host.node = Some(Node::with_memo(config, restored, self.now_us, memo));
        let redialled = self
            .dropped
            .iter()
            .filter(|(a, b)| *a == index || *b == index);
        for link in redialled.copied().collect::<Vec<_>>() {
            self.dropped.remove(&link);
            self.links.insert(link);
        }
        for other in self.neighbours(index) {
            self.raise((index.min(other), index.max(other)));
        }
        self.drain(index);
    }

    /// Hands a command to a node.
    pub fn command(&mut self, index: usize, command: Command) {
        self.give(index, Input::Command(command));
    }

    /// A puppet, or any node behind its own back, sends this.
    pub fn say(&mut self, from: usize, to: usize, message: Message<Virtual>) {
        self.send(from, self.nodes[to].key, message);
    }

    /// Whether two nodes are linked.
    pub fn is_linked(&self, a: usize, b: usize) -> bool {
        self.links.contains(&(a.min(b), a.max(b)))
    }

    /// Cuts one link for good.
    pub fn disconnect(&mut self, a: usize, b: usize) {
        let link = (a.min(b), a.max(b));
        if self.links.remove(&link) {
            self.lower(link);
        }
    }

    /// The node's invitation from its next start on.
    pub fn invite(&mut self, index: usize, invitation: Option<Invitation>) {
        self.nodes[index].spec.invitation = invitation;
    }

    /// Runs until `done` holds or `limit_us` of virtual time have passed; true if it held.
    pub fn run(&mut self, limit_us: u64, mut done: impl FnMut(&World) -> bool) -> bool {
        let end_us = self.now_us + limit_us;
        while !done(self) {
            match self.queue.pop() {
                Some(Reverse(next)) if next.at_us <= end_us => {
                    self.now_us = next.at_us;
                    self.happen(next);
                }
                later => {
                    self.queue.extend(later);
                    self.now_us = end_us;
                    return done(self);
                }
            }
        }
        true
    }

    /// Virtual microseconds since the beginning.
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    /// Nodes, up or down.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Whether the node is up.
    pub fn is_up(&self, index: usize) -> bool {
        self.nodes[index].node.is_some()
    }

    /// A node that is up.
    pub fn node(&self, index: usize) -> Option<&Node<Virtual>> {
        self.nodes[index].node.as_ref()
    }

    /// A node's disk.
    pub fn disk(&mut self, index: usize) -> &mut VirtualDisk {
        &mut self.nodes[index].disk
    }

    /// A node's key.
    pub fn key(&self, index: usize) -> Peer {
        self.nodes[index].key
    }

    /// A node's secret key.
    pub fn secret(&self, index: usize) -> &SecretKey {
        &self.nodes[index].secret
    }

    /// What the node's active slot of the channel holds.
    pub fn active(&self, index: usize, channel: &Name) -> Option<RecordId> {
        self.nodes[index]
            .disk
            .slots(channel)
            .active
            .map(|slot| slot.release)
    }

    /// The node's slots of the channel.
    pub fn slots(&self, index: usize, channel: &Name) -> Slots {
        self.nodes[index].disk.slots(channel)
    }

    /// Nodes whose floor fell since it was looked at last, though no reset took it back.
    pub fn fallen_floors(&mut self, channel: &Name) -> Vec<String> {
        let mut fallen = Vec::new();
        for (index, host) in self.nodes.iter().enumerate() {
            let Some(node) = &host.node else { continue };
            let trust = node.trust();
            let now = (trust.epoch(channel), trust.floor(channel));
            let before = self.floors.insert((index, channel.clone()), now);
            let kept = !self.forgetful.contains(&index);
            if let Some(before) = before.filter(|before| kept && *before > now) {
                fallen.push(format!("node {index}: floor {now:?} after {before:?}"));
            }
        }
        fallen
    }

    /// When the node first had a root that resets a channel.
    pub fn epoch_begun_us(&self, index: usize) -> Option<u64> {
        self.resets.get(&index).copied()
    }

    /// The hash over all that happened.
    pub fn log_hash(&self) -> Hash {
        self.log.hash()
    }

    /// The log itself.
    pub fn log(&self) -> &EventLog {
        &self.log
    }

    fn neighbours(&self, index: usize) -> Vec<usize> {
        let links = self.links.iter();
        links
            .filter_map(|&(a, b)| match (a == index, b == index) {
                (true, _) => Some(b),
                (_, true) => Some(a),
                _ => None,
            })
            .filter(|&other| self.is_there(other))
            .collect()
    }

    fn is_there(&self, index: usize) -> bool {
        self.nodes[index].node.is_some() || self.nodes[index].spec.puppet
    }

    fn raise(&mut self, (a, b): (usize, usize)) {
        self.push(self.now_us + LATENCY_US, a, Happening::Up(b));
        self.push(self.now_us + LATENCY_US, b, Happening::Up(a));
    }

    fn lower(&mut self, (a, b): (usize, usize)) {
        let (key_a, key_b) = (self.nodes[a].key, self.nodes[b].key);
        self.push(self.now_us, a, Happening::Down(key_b));
        self.push(self.now_us, b, Happening::Down(key_a));
    }

    fn push(&mut self, at_us: u64, node: usize, what: Happening) {
        self.sequence += 1;
        let life = self.nodes[node].life;
        let (sequence, what) = (self.sequence, What(what));
        self.queue.push(Reverse(Queued {
            at_us,
            sequence,
            node,
            life,
            what,
        }));
    }

    fn happen(&mut self, next: Queued) {
        let Queued {
            node: index,
            life,
            what: What(happening),
            ..
        } = next;
        if self.nodes[index].life != life || !self.is_there(index) {
            return;
        }
        let input = match happening {
            Happening::Up(other) => {
                let link = (index.min(other), index.max(other));
                if !self.links.contains(&link) || !self.is_there(other) {
                    return;
                }
                Input::PeerUp(self.nodes[other].key)
            }
            Happening::Down(key) => Input::PeerDown(key),
            Happening::Message {
                from,
                life,
                message,
            } => {
                let link = (index.min(from), index.max(from));
                if !self.links.contains(&link) || self.nodes[from].life != life {
                    return;
                }
                Input::Message(self.nodes[from].key, message)
            }
            Happening::Redial(other) => {
                let link = (index.min(other), index.max(other));
                if self.dropped.remove(&link) && self.links.insert(link) {
                    self.raise(link);
                }
                return;
            }
            Happening::Gossip(envelope) => Input::Gossip(envelope),
            Happening::Done(operation, outcome) => Input::Done(operation, outcome),
            Happening::Tick => {
                self.nodes[index].tick_us = u64::MAX;
                Input::Tick
            }
        };
        self.give(index, input);
    }

    fn give(&mut self, index: usize, input: Input<Virtual>) {
        if self.nodes[index].spec.puppet {
            if let Input::Message(from, message) = input {
                let from = self.by_key[&from];
                self.heard.push((index, from, message));
            }
            return;
        }
        self.log.add(self.now_us, index, &summary(&input));
        let now_us = self.now_us;
        if let Some(node) = self.nodes[index].node.as_mut() {
            node.handle(now_us, input);
            let root = node.trust().root();
            if root.is_some_and(|root| !root.resets.is_empty()) {
                self.resets.entry(index).or_insert(now_us);
            }
        }
        self.drain(index);
    }

    fn drain(&mut self, index: usize) {
        while let Some(output) = self.nodes[index].node.as_mut().and_then(Node::poll) {
            self.carry_out(index, output);
        }
        let deadline_us = self.nodes[index].node.as_ref().and_then(Node::deadline);
        if let Some(due_us) = deadline_us.filter(|due_us| *due_us < self.nodes[index].tick_us) {
            self.nodes[index].tick_us = due_us;
            self.push(due_us, index, Happening::Tick);
        }
    }

    fn carry_out(&mut self, index: usize, output: Output<Virtual>) {
        match output {
            Output::Send(peer, message) => self.send(index, peer, message),
            Output::Broadcast(_) if !self.gossip_works => {}
            Output::Broadcast(envelope) => {
                // gossip reaches whoever a path of links leads to
                for other in self.reachable(index) {
                    self.push(
                        self.now_us + 3 * LATENCY_US,
                        other,
                        Happening::Gossip(envelope.clone()),
                    );
                }
            }
            Output::Disconnect(peer, reason) => {
                if let Some(&other) = self.by_key.get(&peer) {
                    let link = (index.min(other), index.max(other));
                    if self.links.remove(&link) {
                        self.dropped.insert(link);
                    }
                    if matches!(reason, DisconnectReason::Stranger | DisconnectReason::Full) {
                        self.push(self.now_us + REDIAL_US, index, Happening::Redial(other));
                    }
                    let key = self.nodes[index].key;
                    self.push(self.now_us + LATENCY_US, other, Happening::Down(key));
                }
            }
            Output::Disk(operation, disk) => {
                let syncs = matches!(
                    disk,
                    Disk::SyncFile(_)
                        | Disk::CompleteFile(_)
                        | Disk::SaveRecords(_)
                        | Disk::SaveClock(_)
                        | Disk::Activate(_)
                );
                if let Disk::Activate(channel) = &disk {
                    self.check_activation(index, channel);
                }
                let records = matches!(disk, Disk::SaveRecords(_));
                let outcome = self.nodes[index].disk.execute(disk);
                if records && matches!(outcome, Outcome::Failed(_)) {
                    self.forgetful.insert(index);
                }
                let took_us = if syncs { SYNC_US } else { DISK_US };
                self.push(
                    self.now_us + took_us,
                    index,
                    Happening::Done(operation, outcome),
                );
            }
            Output::Hash(operation, payload) => {
                let took_us = 1 + payload.length / HASH_BYTES_PER_US;
                let outcome = Outcome::Digest(payload.digest);
                self.push(
                    self.now_us + took_us,
                    index,
                    Happening::Done(operation, outcome),
                );
            }
            Output::Probe(operation, request) => {
                let outcome = self.probe(&request);
                self.push(
                    self.now_us + PROBE_US,
                    index,
                    Happening::Done(operation, outcome),
                );
            }
            Output::Admitted(peer, admitted) => {
                let text = format!("admitted {peer} {admitted}");
                self.log.add(self.now_us, index, &text);
            }
            Output::Enroll(operation, request) => {
                let now_s = self.nodes[index].spec.wall_s + self.now_us / 1_000_000;
                let registrar = self.registrar.as_mut();
                let answer = registrar.map_or_else(
                    || Err("nobody enrolls here".to_owned()),
                    |registrar| registrar.answer(&request, now_s),
                );
                self.push(
                    self.now_us + SYNC_US,
                    index,
                    Happening::Done(operation, Outcome::Enrolled(answer)),
                );
            }
            Output::Event(event) => {
                self.log.add(self.now_us, index, &format!("{event:?}"));
                self.events.push((self.now_us, index, event));
            }
        }
    }

    fn send(&mut self, from: usize, peer: Peer, message: Message<Virtual>) {
        let Some(&to) = self.by_key.get(&peer) else {
            return;
        };
        let message = match message {
            Message::Data(chunk, payload) if self.nodes[from].spec.corrupts => {
                Message::Data(chunk, payload.corrupted())
            }
            Message::Data(..) | Message::Absent(_) if self.nodes[from].spec.withholds => return,
            message => message,
        };
        let bytes = match &message {
            Message::Data(_, payload) | Message::Blob(_, payload) => {
                payload.length() + CONTROL_BYTES
            }
            Message::Control(control) => control_bytes(control),
            _ => CONTROL_BYTES,
        };
        self.traffic.add(kind_of(&message), bytes);
        let sites = (self.nodes[from].spec.site, self.nodes[to].spec.site);
        if sites.0 != sites.1 {
            self.site_traffic[sites.0].up_bytes += bytes;
            self.site_traffic[sites.1].down_bytes += bytes;
        }
        let host = &mut self.nodes[from];
        let start_us = host.uplink_free_us.max(self.now_us);
        host.uplink_free_us = start_us + bytes * 1_000_000 / host.spec.uplink_bytes_per_sec;
        let (at_us, life) = (host.uplink_free_us + LATENCY_US, host.life);
        self.push(
            at_us,
            to,
            Happening::Message {
                from,
                life,
                message,
            },
        );
    }

    /// Only what a node's own records ask for now may become active.
    fn check_activation(&mut self, index: usize, channel: &Name) {
        let host = &self.nodes[index];
        let (Some(node), Some(staged)) = (&host.node, host.disk.slots(channel).staged) else {
            return;
        };
        let trust = node.trust();
        let wanted = match trust.verdict(channel) {
            Verdict::Go(head) => head.id() == staged.head && head.release == staged.release,
            _ => false,
        };
        let void = trust.is_void(channel, staged.epoch, &staged.release);
        if !wanted || void {
            let (now_us, release) = (self.now_us, staged.release);
            let text = format!("node {index} at {now_us}: activates {release} unasked");
            self.unasked.push(text);
        }
    }

    fn probe(&self, request: &ProbeRequest) -> Outcome<Virtual> {
        let release = request.plan.release;
        let active = request.slot == weft_core::SlotKind::Active;
        let wrong = self.bad_models.contains(&release)
            || (active && self.failing_models.contains(&release));
        let variant = request.plan.variant as usize;
        let answers = request.probes.iter().map(|probe| {
            if wrong {
                vec![0xbad]
            } else {
                probe.expected[variant].clone()
            }
        });
        Outcome::Probed(ProbeMeasurement {
            answers: answers.collect(),
            tokens_per_sec_milli: 10_000_000,
            peak_memory_bytes: 1 << 20,
        })
    }

    fn reachable(&self, from: usize) -> Vec<usize> {
        let (mut seen, mut open) = (BTreeSet::from([from]), vec![from]);
        while let Some(index) = open.pop() {
            for other in self.neighbours(index) {
                if seen.insert(other) {
                    open.push(other);
                }
            }
        }
        seen.remove(&from);
        seen.into_iter().collect()
    }
}
