//! The state machine itself: what it holds, and where each input goes.
//!
//! One file a concern: `members` (connected peers), `door` (who belongs), `join`, `score`
//! (what a peer may cost), `records` (what comes in), `catch_up` (asking and answering),
//! `compare` (sets that grow), `clock`, `holdings` (who once held what), `target` (what a head
//! asks for), `courier`, `maps`, `fetch` and `transfer` (chunk maps, files, chunks), `serve`,
//! `install` (stage, probe, activate), `active` (soak), `withdraw` (go back), `told` (status).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weft_record::{Hash, Memo, Name, RecordId, Trust, TrustDigest, Verified};

use crate::{
    bounds,
    clock::Clock,
    config::{Config, Restored, Status},
    door::Own,
    file::FileState,
    holdings::Holdings,
    io::{Command, Disk, Event, FailureKind, Input, OpId, Outcome, Output},
    join::Joins,
    limit::{Buckets, InForce},
    maps::BlobState,
    members::PeerState,
    message::{Control, Message, Payload, Peer},
    operations::Operations,
    pace::Moment,
    pending::Pending,
    random::Random,
    score::Accounts,
    table::Table,
    target::Channel,
};

/// One node. See the crate's documentation for how a driver runs it.
pub struct Node<P> {
    // what every chunk needs lies close together, the rest beside it
    pub(crate) config: Box<Config>,
    pub(crate) now_us: u64,
    pub(crate) trust: Box<Trust>,
    pub(crate) memo: Memo,
    pub(crate) random: Random,
    pub(crate) peers: Table<Peer, PeerState>,
    pub(crate) channels: Table<Name, Channel>,
    pub(crate) files: Table<Hash, FileState>,
    pub(crate) blobs: Table<Hash, BlobState>,
    pub(crate) buckets: Buckets,
    pub(crate) in_force: InForce,
    /// Encoded envelopes that the disk refused, to be saved again.
    pub(crate) unsaved: Vec<Vec<u8>>,
    /// Records from the owner that wait for what they build on.
    pub(crate) unplaced: Vec<Vec<u8>>,
    /// Chunk maps that the disk refused: others cannot get them from here until it takes them.
    pub(crate) unwritten: BTreeMap<Hash, P>,
    pub(crate) unsaved_retry_us: Option<u64>,
    pub(crate) digest_due_us: u64,
    pub(crate) digests_sent_us: Option<u64>,
    /// What this node holds, until that changes.
    pub(crate) digest: Option<TrustDigest>,
    pub(crate) own: Own,
    pub(crate) joins: Box<Joins>,
    pub(crate) accounts: Accounts,
    pub(crate) holdings: Holdings,
    pub(crate) clock: Clock,
    pub(crate) counters: Counters,
    /// Room on the disk is not made again before this.
    pub(crate) collect_after_us: u64,
    /// Files of releases that the owner pinned, as far as these have come.
    pub(crate) pinned: BTreeMap<RecordId, BTreeSet<Hash>>,
    /// Files in slots of channels that it no longer follows.
    pub(crate) unfollowed: BTreeSet<Hash>,
    /// Chunk bytes sent to each peer.
    pub(crate) served: Table<Peer, u64>,
    /// The disk refused something and no write has succeeded since.
    troubled: bool,
    pub(crate) operations: Operations<Pending<P>>,
    pub(crate) outputs: VecDeque<Output<P>>,
    /// No timer is due before this.
    pub(crate) due_us: u64,
    /// When it started.
    pub(crate) started_us: u64,
    /// For how long the peer beyond the LAN that delivered last had delivered nothing: the
    /// uplink may be so thin that each of them is slow.
    pub(crate) pause_afar: Moment,
    /// Requests for chunks may be due.
    pub(crate) asks_more: bool,
}

/// What a driver of many nodes lends to whichever of them it drives, so that not each has
/// a queue and a memo of its own.
#[derive(Debug)]
pub struct Lent<P> {
    /// What is to be done, to be drained after each input.
    pub outputs: VecDeque<Output<P>>,
    /// Checked signatures and decoded records of all of them.
    pub memo: Memo,
}

impl<P> Default for Lent<P> {
    fn default() -> Self {
        Self {
            outputs: VecDeque::new(),
            memo: Memo::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) signature_checks: u64,
    pub(crate) records_refused: u64,
    pub(crate) chunks_corrupt: u64,
    pub(crate) bytes_served: u64,
}

impl<P: Payload> Node<P> {
    /// A node that holds what `restored` says. Records are admitted again from
    /// their bytes, so a store that was tampered with gains nothing.
    pub fn new(config: Config, restored: Restored, now_us: u64) -> Self {
        Self::with_memo(config, restored, now_us, Memo::default())
    }

    /// The same for a driver of many nodes, which lends its memo.
    pub fn new_with(config: Config, restored: Restored, now_us: u64, lent: &mut Lent<P>) -> Self {
        let memo = std::mem::take(&mut lent.memo);
        let mut node = Self::with_memo(config, restored, now_us, memo);
        std::mem::swap(&mut node.memo, &mut lent.memo);
        node
    }

    /// The same with signatures that were checked before.
    pub fn with_memo(config: Config, restored: Restored, now_us: u64, memo: Memo) -> Self {
        let mut node = Self {
            now_us,
            trust: Box::new(Trust::new(config.mesh_id)),
            memo,
            random: Random::new(config.seed),
            peers: Table::default(),
            channels: Table::default(),
            files: Table::default(),
            blobs: Table::default(),
            buckets: Buckets::new(now_us),
            in_force: InForce::default(),
            unsaved: Vec::new(),
            unplaced: Vec::new(),
            unwritten: BTreeMap::new(),
            unsaved_retry_us: None,
            digest_due_us: now_us + bounds::DIGEST_INTERVAL_US,
            digests_sent_us: None,
            digest: None,
            own: Own::default(),
            joins: Box::default(),
            accounts: Accounts::default(),
            holdings: Holdings::default(),
            clock: Clock::new(restored.clock, now_us),
            counters: Counters::default(),
            collect_after_us: 0,
            pinned: BTreeMap::new(),
            unfollowed: BTreeSet::new(),
            served: Table::default(),
            troubled: false,
            operations: Operations::default(),
            outputs: VecDeque::new(),
            due_us: 0,
            started_us: now_us,
            pause_afar: Moment::default(),
            asks_more: true,
            config: Box::new(config),
        };
        node.keep_limits();
        node.restore(restored);
        node
    }

    /// Takes one input. Outputs are then to be drained with [`Node::poll`].
    pub fn handle(&mut self, now_us: u64, input: Input<P>) {
        // a driver's clock that stands or steps back must not undo a deadline
        self.now_us = self.now_us.max(now_us);
        self.count_uptime();
        self.asks_more = true;
        // chunks come by the million: what they change of the timers, they say themselves
        let sets_timers = !is_of_chunks(&input);
        match input {
            Input::Command(command) => self.command(command),
            Input::PeerUp(peer, path) => self.peer_up(peer, path),
            Input::BundleUp(peer) => self.bundle_up(peer),
            Input::PeerDown(peer) => self.peer_down(peer),
            Input::Message(peer, message) => self.message(peer, message),
            Input::Gossip(envelope) => self.gossip(envelope),
            Input::Done(operation, outcome) => {
                if let Some(pending) = self.operations.end(operation) {
                    self.done(pending, outcome);
                }
            }
            Input::Tick => {}
        }
        let is_due = self.due_us <= self.now_us;
        if sets_timers || is_due {
            self.run_timers();
            self.asks_more = true;
        }
        if self.asks_more {
            self.schedule();
        }
        if sets_timers || is_due {
            self.due_us = self.next_due_us();
        }
        debug_assert!(self.due_us <= self.next_due_us(), "a timer was forgotten");
        let mut files = self.files.values();
        debug_assert!(files.all(|file| file.offers.peers() <= self.peers.len()));
    }

    /// The same for a driver of many nodes: what is to be done is put into its queue.
    pub fn handle_with(&mut self, now_us: u64, input: Input<P>, lent: &mut Lent<P>) {
        // what was there before, as from the start, comes first
        lent.outputs.extend(std::mem::take(&mut self.outputs));
        self.swap(lent);
        self.handle(now_us, input);
        self.swap(lent);
    }

    fn swap(&mut self, lent: &mut Lent<P>) {
        std::mem::swap(&mut self.outputs, &mut lent.outputs);
        std::mem::swap(&mut self.memo, &mut lent.memo);
    }

    /// The next thing to do, if any.
    pub fn poll(&mut self) -> Option<Output<P>> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due, on the clock of `handle`. It may come a little early:
    /// what was waited for can have come meanwhile.
    pub fn deadline(&self) -> Option<u64> {
        Some(self.due_us.max(self.now_us))
    }

    /// Whether more than what concerns files is due at this time: it may need the memo.
    pub fn is_due_beside_files(&self, now_us: u64) -> bool {
        self.due_us <= now_us && self.due_beside_files_us() <= now_us
    }

    fn next_due_us(&self) -> u64 {
        self.due_beside_files_us().min(self.fetch_due_us())
    }

    fn due_beside_files_us(&self) -> u64 {
        let mut due_us = self.digest_timers_due_us();
        due_us = due_us.min(self.door_due_us());
        due_us = due_us.min(self.join_due_us());
        due_us = due_us.min(self.clock.due_us());
        due_us = due_us.min(self.limits_due_us());
        due_us = due_us.min(self.courier_due_us());
        due_us = due_us.min(self.install_due_us());
        due_us.min(self.unsaved_retry_us.unwrap_or(u64::MAX))
    }

    /// The verifier's state: what records this node accepted.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Signatures checked so far: what others have cost.
    pub fn signature_checks(&self) -> u64 {
        self.counters.signature_checks
    }

    /// What this node tells about itself.
    pub fn status(&self) -> Status {
        Status {
            root_version: self.trust.root().map(|root| root.version),
            root: self.trust.root().map(Verified::id),
            standing: self.node_standing(),
            joining: self.joining_status(),
            time: self.time_status(),
            restored_from_older_image: self.older_image(),
            withheld: self
                .trust
                .withheld()
                .into_iter()
                .map(|(channel, seq)| (channel.clone(), seq))
                .collect(),
            members: self.members().collect(),
            channels: self
                .channels
                .iter()
                .map(|(name, channel)| self.channel_status(name, channel))
                .collect(),
            limits: self.config.limits.clone(),
            caps: self.in_force.caps,
            limited_by: self.in_force.by,
            records_refused: self.counters.records_refused,
            chunks_corrupt: self.counters.chunks_corrupt,
            bytes_served: self.counters.bytes_served,
            bytes_served_by_peer: self
                .served
                .iter()
                .map(|(peer, bytes)| (*peer, *bytes))
                .collect(),
            peers_let_go: self.accounts.let_go,
        }
    }

    pub(crate) fn send(&mut self, peer: Peer, message: Message<P>) {
        self.outputs.push_back(Output::Send(peer, message));
    }

    pub(crate) fn emit(&mut self, output: Output<P>) {
        self.outputs.push_back(output);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(crate) fn begin(&mut self, pending: Pending<P>) -> OpId {
        self.operations.begin(pending)
    }

    pub(crate) fn disk(&mut self, pending: Pending<P>, disk: Disk<P>) {
        let operation = self.begin(pending);
        self.emit(Output::Disk(operation, disk));
    }

    pub(crate) fn hash(&mut self, pending: Pending<P>, payload: P) {
        let operation = self.begin(pending);
        self.emit(Output::Hash(operation, payload));
    }

    fn restore(&mut self, restored: Restored) {
        let (wall_s, mut refused) = (self.wall_s(), 0);
        let checks = self.memo.checks();
        for bytes in &restored.records {
            let Ok(decoded) = self.memo.decode(bytes) else {
                refused += 1;
                continue;
            };
            self.holdings.remember_start(&decoded);
            let admitted = self.trust.admit_decoded(&decoded, wall_s, &mut self.memo);
            refused += u64::from(admitted.is_err());
            if self.config.pinned.contains(&decoded.id()) {
                self.learn_pinned();
            }
        }
        self.counters.records_refused += refused;
        self.counters.signature_checks += self.memo.checks() - checks;
        self.holdings.remember_start_root(self.root_version());
        self.learn_time();
        self.judge_own();
        for file in restored.files {
            self.files.insert(file.file, FileState::restored(&file));
        }
        let follows: BTreeSet<Name> = self
            .config
            .channels
            .iter()
            .take(bounds::CHANNELS)
            .cloned()
            .collect();
        for channel in follows {
            let slots = restored.slots.iter().find(|(name, _)| *name == channel);
            let slots = slots.map(|(_, slots)| slots.clone()).unwrap_or_default();
            self.channels.insert(channel, Channel::new(slots));
        }
        let others = restored.slots.iter();
        let others = others.filter(|(name, _)| !self.channels.contains_key(name));
        let plans = others.flat_map(|(_, slots)| slots.plans());
        let files = plans.flat_map(|plan| plan.files.iter().map(|(_, file)| *file));
        self.unfollowed = files.collect();
        // what no longer counts must not answer; what does is proven again
        self.leave_void_all();
        self.probe_active_slots();
        self.retarget_all();
        self.schedule();
        self.due_us = self.next_due_us();
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Import(envelopes) => self.import(envelopes),
            Command::Limit(limits) => self.limit(limits),
            Command::Expect(channel, until_us) => self.expect(&channel, until_us),
            Command::LocalTime(at_zero_s) => self.set_local_time(at_zero_s),
            Command::Suspect(channel) => self.suspect(&channel),
            Command::Pin(releases) => self.pin(releases),
            Command::Collect(wish) => self.collect(&wish),
        }
    }

    fn message(&mut self, peer: Peer, message: Message<P>) {
        // these say themselves whether they make room for further requests
        self.asks_more = !matches!(
            message,
            Message::Get(_)
                | Message::Data(..)
                | Message::Control(Control::Gained { .. } | Control::Claim { .. })
        );
        match message {
            Message::Control(control) => self.control(peer, control),
            Message::Get(chunk) if self.is_member(&peer) => self.serve_chunk(peer, chunk),
            Message::GetBlob(hash) if self.is_member(&peer) => self.serve_blob(peer, hash),
            // whoever does not belong gets and gives no bytes
            _ if !self.is_source(&peer) => {}
            Message::Get(_) | Message::GetBlob(_) => {}
            Message::Data(chunk, payload) => self.chunk_arrived(peer, chunk, payload),
            Message::Absent(chunk) => self.chunk_absent(peer, chunk),
            Message::Blob(hash, payload) => self.blob_arrived(peer, hash, payload),
            Message::NoBlob(hash) => self.blob_absent(peer, hash),
        }
    }

    /// Tells of a disk that refuses; what failed is tried again by its owner.
    pub(crate) fn trouble(&mut self, outcome: &Outcome<P>) {
        self.free_disk(outcome);
        let text = match outcome {
            Outcome::Failed(failure) => match failure.kind {
                FailureKind::DiskFull => format!("no space left: {}", failure.text),
                FailureKind::Disk | FailureKind::Model => failure.text.clone(),
            },
            _ => "the driver answered with the wrong kind of outcome".to_owned(),
        };
        // shown until a write succeeds again
        let channels = self.channels.values_mut();
        for channel in channels.filter(|channel| channel.waits_for_bytes()) {
            channel.reason.clone_from(&text);
            self.troubled = true;
        }
        self.event(Event::DiskTrouble {
            text,
            retry_in_us: bounds::DISK_RETRY_US,
        });
    }

    /// The disk works again.
    pub(crate) fn trouble_over(&mut self) {
        if std::mem::take(&mut self.troubled) {
            let channels = self.channels.values_mut();
            for channel in channels.filter(|channel| channel.waits_for_bytes()) {
                channel.reason.clear();
            }
        }
    }

    fn run_timers(&mut self) {
        self.run_digest_timers();
        if self
            .unsaved_retry_us
            .is_some_and(|due_us| due_us <= self.now_us)
        {
            self.unsaved_retry_us = None;
            let envelopes = std::mem::take(&mut self.unsaved);
            if !envelopes.is_empty() {
                self.save(envelopes);
            }
            for (hash, payload) in std::mem::take(&mut self.unwritten) {
                self.write_blob(hash, payload);
            }
        }
        self.run_door_timers();
        self.run_join_timers();
        self.run_clock_timers();
        self.run_limit_timers();
        self.run_courier_timers();
        self.run_fetch_timers();
        self.run_install_timers();
    }
}

/// Whether an input is about chunks alone: it sets no timer but those of transfers.
fn is_of_chunks<P>(input: &Input<P>) -> bool {
    match input {
        Input::Message(_, message) => matches!(
            message,
            Message::Get(_)
                | Message::Data(..)
                | Message::Absent(_)
                | Message::Control(
                    Control::Gained { .. } | Control::Bits { .. } | Control::Claim { .. }
                )
        ),
        // a digest, a written chunk, a chunk to serve
        Input::Done(_, outcome) => matches!(
            outcome,
            Outcome::Written | Outcome::Digest(_) | Outcome::Chunk(_)
        ),
        _ => false,
    }
}
