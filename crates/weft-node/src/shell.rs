//! The loop: takes whatever happens, hands it to the core, carries out what the
//! core asks.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::mpsc, time};
use weft_core::{
    ChannelStatus, Command, Config, DisconnectReason, Event, Input, Message, Node, Output, Peer,
    Phase, SlotPlan,
};
use weft_record::{Name, RecordId};
use weft_store::Store;

use crate::{
    answer::ModelEntry,
    bundle::{self, FromBundle, Import, ImportError, OpenBundle},
    clock::Clock,
    control::{Control, Request},
    disk::{Done, Workers},
    facts,
    home::Home,
    inference::{Inference, Prober},
    journal::Journal,
    meter::Meter,
    network::Network,
    report::{
        ImportReport, ModelReport, PeerReport, PeersReport, RecordsReport, ReleaseReport, SCHEMA,
        StatusReport,
    },
    run::RunError,
};

/// Events in one answer.
const EVENTS_PER_ANSWER: usize = 512;
/// How often rates are sampled and imports looked at.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(250);
/// How long a stopping node waits for its disk: a sync of a slow flash card.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Bundles read at once; each has a thread and an open file.
const IMPORTS: usize = 4;
/// Messages of bundles that wait for the loop.
const BUNDLE_MESSAGES: usize = 64;

/// A running node without its HTTP API.
pub(crate) struct Shell {
    clock: Clock,
    node: Node<Bytes>,
    key: Peer,
    workers: Workers,
    prober: Prober,
    outcomes: mpsc::Receiver<Done>,
    network: Option<Network>,
    inference: Arc<Inference>,
    requests: mpsc::Receiver<Request>,
    imports: BTreeMap<Peer, Import>,
    bundle_sender: mpsc::Sender<FromBundle>,
    bundle_messages: mpsc::Receiver<FromBundle>,
    journal: Journal,
    fetched: Meter,
    /// Where the files of a release are, as the core named them for its probe.
    plans: BTreeMap<(Name, RecordId), SlotPlan>,
    /// Releases that passed their probe since the start: only these answer.
    proven: BTreeSet<(Name, RecordId)>,
    slots_changed: bool,
    operations: usize,
    sampler: time::Interval,
    stopping: bool,
}

impl Shell {
    /// Opens the store and starts the threads; with a network, joins the mesh.
    pub(crate) async fn start(
        home: &Home,
        with_network: bool,
    ) -> Result<(Self, Control), RunError> {
        let settings = home.settings();
        let store_directory = home.store_directory();
        let store = {
            let directory = store_directory.clone();
            blocking(move || Store::open(&directory)).await?
        }
        .map_err(|source| RunError::Store {
            path: store_directory.clone(),
            source,
        })?;
        let store = Arc::new(store);
        let restored = {
            let store = store.clone();
            blocking(move || store.restore()).await?
        }
        .map_err(|source| RunError::Store {
            path: store_directory.clone(),
            source,
        })?;
        let facts = facts::measure(&store_directory).map_err(RunError::Machine)?;
        let clock = Clock::start();
        let config = Config {
            key: home.key(),
            mesh_id: settings.mesh_id,
            channels: settings.channels.clone(),
            variant_preference: settings.variants.clone(),
            facts,
            // without a network nothing crosses a link that could be spared
            cap_fetch_bytes_per_sec: settings.cap_fetch_bytes_per_sec.filter(|_| with_network),
            seed: seed().map_err(RunError::Machine)?,
            wall_at_zero_s: clock.wall_at_zero_s(),
        };
        // Before the threads, which hold the store open until they end.
        let network = if with_network {
            Some(Network::start(home)?)
        } else {
            None
        };
        let (control, requests) = Control::new();
        let (workers, done, outcomes) = Workers::start(store).map_err(RunError::Machine)?;
        let prober = Prober::start(workers.store().clone(), done).map_err(RunError::Machine)?;
        let (bundle_sender, bundle_messages) = mpsc::channel(BUNDLE_MESSAGES);
        let mut sampler = time::interval(SAMPLE_INTERVAL);
        sampler.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let mut shell = Self {
            clock,
            node: Node::new(config, restored, clock.now_us()),
            key: home.key(),
            workers,
            prober,
            outcomes,
            network,
            inference: Inference::new(control.clone()),
            requests,
            imports: BTreeMap::new(),
            bundle_sender,
            bundle_messages,
            journal: Journal::default(),
            fetched: Meter::default(),
            plans: BTreeMap::new(),
            proven: BTreeSet::new(),
            slots_changed: true,
            operations: 0,
            sampler,
            stopping: false,
        };
        shell.handle(Input::Tick);
        Ok((shell, control))
    }

    /// What answers prompts.
    pub(crate) fn inference(&self) -> Arc<Inference> {
        self.inference.clone()
    }

    /// Whether the owner asked the node to end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Waits for the next thing and deals with it. May be dropped while it waits.
    pub(crate) async fn turn(&mut self) {
        // While the disk is behind, peers and bundles wait; what is under way goes on.
        let open = !self.workers.is_behind();
        let deadline = self.node.deadline().map_or_else(
            || self.clock.instant(u64::MAX),
            |at_us| self.clock.instant(at_us),
        );
        tokio::select! {
            Some((operation, outcome)) = self.outcomes.recv() => {
                self.operations = self.operations.saturating_sub(1);
                self.workers.pump();
                self.handle(Input::Done(operation, outcome));
            }
            Some(event) = next_event(self.network.as_mut()), if open => {
                if let Some(input) = Network::input(event) {
                    self.handle(input);
                }
            }
            Some(message) = self.bundle_messages.recv(), if open => self.bundle_message(message),
            Some(request) = self.requests.recv() => self.request(request),
            () = time::sleep_until(deadline) => self.handle(Input::Tick),
            _ = self.sampler.tick() => self.sample(),
        }
    }

    /// Ends in order: lets go of the peers, finishes what the disk has begun.
    pub(crate) async fn stop(mut self) {
        if let Some(network) = self.network.take() {
            network.shutdown().await;
        }
        self.inference.retire_all();
        for peer in self.imports.keys().copied().collect::<Vec<_>>() {
            self.end_import(peer, Err(ImportError::Stopping));
        }
        let end = time::Instant::now() + STOP_TIMEOUT;
        // What was written and not yet synced is synced when its timer fires.
        let fetching = |channel: &ChannelStatus| channel.phase == Phase::Fetching;
        let unsynced = self.node.status().channels.iter().any(fetching);
        let sync_us = if unsynced {
            weft_core::bounds::SYNC_INTERVAL_US
        } else {
            0
        };
        let settled = time::Instant::now() + Duration::from_micros(sync_us);
        while self.operations > 0 || time::Instant::now() < settled {
            if time::Instant::now() >= end {
                tracing::warn!(
                    operations = self.operations,
                    "stopping while the disk is at work"
                );
                break;
            }
            // returns at least at every sample
            self.turn().await;
        }
        let Self {
            workers, prober, ..
        } = self;
        let joined = blocking(move || {
            workers.finish();
            prober.finish();
        });
        if time::timeout(STOP_TIMEOUT, joined).await.is_err() {
            tracing::warn!("a worker thread did not end in time");
        }
    }

    /// Begins to take a bundle in.
    pub(crate) fn import(&mut self, bundle: OpenBundle, reply: bundle::Reply) {
        if self.imports.len() >= IMPORTS {
            let _ = reply.send(Err(ImportError::TooMany(IMPORTS)));
            return;
        }
        let (found, expected) = (bundle.mesh_id(), self.node.trust().mesh_id());
        if found != expected {
            let _ = reply.send(Err(ImportError::OtherMesh { found, expected }));
            return;
        }
        let active = self.node.status().channels;
        match Import::attach(bundle, &active, self.bundle_sender.clone(), reply) {
            Ok((peer, import)) => {
                self.imports.insert(peer, import);
                self.handle(Input::PeerUp(peer));
            }
            Err((error, reply)) => {
                let _ = reply.send(Err(error));
            }
        }
    }
}

// ---- inputs and outputs -----------------------------------------------------

impl Shell {
    fn handle(&mut self, input: Input<Bytes>) {
        self.node.handle(self.clock.now_us(), input);
        while let Some(output) = self.node.poll() {
            self.carry_out(output);
        }
        if std::mem::take(&mut self.slots_changed) {
            self.follow_slots();
        }
    }

    fn carry_out(&mut self, output: Output<Bytes>) {
        match output {
            Output::Send(peer, message) => self.send(peer, message),
            Output::Broadcast(announcement) => {
                if let Some(network) = &self.network {
                    network.broadcast(announcement);
                }
            }
            Output::Disconnect(peer, reason) => self.disconnect(peer, reason),
            Output::Disk(operation, work) => {
                self.operations += 1;
                self.workers.disk(operation, work);
            }
            Output::Hash(operation, payload) => {
                self.operations += 1;
                self.workers.hash(operation, payload);
            }
            Output::Probe(operation, request) => {
                self.operations += 1;
                let plan = &request.plan;
                self.plans
                    .insert((plan.channel.clone(), plan.release), plan.clone());
                self.prober.probe(operation, request);
            }
            Output::Event(event) => self.event(event),
        }
    }

    fn send(&mut self, peer: Peer, message: Message<Bytes>) {
        if let Some(import) = self.imports.get_mut(&peer) {
            import.send(message);
        } else if let Some(network) = &self.network {
            network.send(&peer, message);
        }
    }

    fn disconnect(&mut self, peer: Peer, reason: DisconnectReason) {
        if self.imports.contains_key(&peer) {
            self.end_import(peer, Err(ImportError::LetGo(reason)));
        } else if let Some(network) = &self.network {
            network.disconnect(&peer, reason);
        }
    }

    fn event(&mut self, event: Event) {
        log(&event);
        match &event {
            Event::Probed {
                channel,
                release,
                passed,
                ..
            } => {
                let key = (channel.clone(), *release);
                if *passed {
                    self.proven.insert(key);
                } else {
                    self.proven.remove(&key);
                }
                self.slots_changed = true;
            }
            Event::Activated { .. } | Event::WentBack { .. } => self.slots_changed = true,
            Event::ChunkStored { from, length, .. } => {
                if let Some(import) = self.imports.get_mut(from) {
                    import.chunk_taken(*length);
                }
            }
            Event::DiskTrouble { text, .. } => {
                for import in self.imports.values_mut() {
                    import.disk_trouble(text);
                }
            }
            Event::RecordRefused {
                from: Some(from),
                reason,
                ..
            } => {
                if let Some(import) = self.imports.get_mut(from) {
                    import.record_refused(reason);
                }
            }
            _ => {}
        }
        self.journal.push(self.clock.now_ms(), event);
    }

    /// Lets each channel answer with what is active and proven, and nothing else.
    fn follow_slots(&mut self) {
        for status in self.node.status().channels {
            let channel = status.channel;
            let wanted = status
                .active
                .map(|release| (channel.clone(), release))
                .filter(|key| self.proven.contains(key));
            let plan = wanted.as_ref().and_then(|key| self.plans.get(key));
            let Some((plan, (_, release))) = plan.zip(wanted.as_ref()) else {
                self.inference.retire(&channel);
                continue;
            };
            let Some(names) = self.release_names(release) else {
                self.inference.retire(&channel);
                continue;
            };
            let entry = ModelEntry {
                model: names.model,
                version: names.version,
                channel: channel.clone(),
                release: *release,
                loaded_at_s: self.clock.wall_at_zero_s() + self.clock.now_us() / 1_000_000,
            };
            self.inference
                .serve(entry, self.workers.store().slot_dir(plan));
        }
        // Plans of releases that are neither active nor to be probed again are not needed.
        let known = self.node.status().channels;
        let needed = |name: &Name, release: &RecordId| {
            known.iter().any(|channel| {
                channel.channel == *name
                    && [channel.active, channel.previous, channel.target].contains(&Some(*release))
            })
        };
        self.plans
            .retain(|(name, release), _| needed(name, release));
        self.proven.retain(|(name, release)| needed(name, release));
    }

    fn bundle_message(&mut self, message: FromBundle) {
        match message {
            FromBundle::Message(peer, message) => {
                if self.imports.contains_key(&peer) {
                    self.handle(Input::Message(peer, message));
                }
            }
            FromBundle::RecordsSent(peer) => {
                if let Some(import) = self.imports.get_mut(&peer) {
                    import.records_sent();
                }
                self.settle_imports();
            }
            FromBundle::Failed(peer, error) => self.end_import(peer, Err(error)),
        }
    }
}

// ---- what the API asks --------------------------------------------------------

impl Shell {
    fn request(&mut self, request: Request) {
        match request {
            Request::Status(reply) => {
                let _ = reply.send(self.status());
            }
            Request::Peers(reply) => {
                let _ = reply.send(self.peers());
            }
            Request::Records(reply) => {
                let records = bundle::all_records(self.node.trust())
                    .iter()
                    .map(|envelope| crate::hex::encode(envelope))
                    .collect();
                let _ = reply.send(RecordsReport {
                    schema: SCHEMA,
                    records,
                });
            }
            Request::Events { after, reply } => {
                let _ = reply.send(self.journal.after(after, EVENTS_PER_ANSWER));
            }
            Request::Cap {
                bytes_per_sec,
                reply,
            } => {
                self.handle(Input::Command(Command::CapFetch(bytes_per_sec)));
                let _ = reply.send(());
            }
            Request::Import { bundle, reply } => self.import(bundle, reply),
            Request::Export { channel, reply } => {
                let plan = bundle::plan_export(&self.node, &channel);
                let stream = plan.map(|plan| bundle::stream(plan, self.workers.store().clone()));
                let _ = reply.send(stream);
            }
            Request::Suspect(channel) => self.handle(Input::Command(Command::Suspect(channel))),
            Request::Stop(reply) => {
                self.stopping = true;
                let _ = reply.send(());
            }
        }
    }

    fn status(&self) -> StatusReport {
        let node = self.node.status();
        let models = node
            .channels
            .iter()
            .map(|channel| self.model(channel))
            .collect();
        let now_ms = self.clock.now_ms();
        StatusReport {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_ms: now_ms,
            mesh_id: self.node.trust().mesh_id(),
            key: self.key,
            peer_id: weft_net::peer_name(&self.key),
            listen: self
                .network
                .as_ref()
                .map(Network::listeners)
                .unwrap_or_default(),
            fetch_bytes_per_sec: self.fetched.per_sec(now_ms, fetched(&node.channels)),
            models,
            node,
        }
    }

    fn model(&self, channel: &ChannelStatus) -> ModelReport {
        let (answering, reason) = self.inference.state(&channel.channel);
        ModelReport {
            channel: channel.channel.clone(),
            active: channel
                .active
                .and_then(|release| self.release_names(&release)),
            target: channel
                .target
                .and_then(|release| self.release_names(&release)),
            answering,
            reason,
        }
    }

    fn release_names(&self, release: &RecordId) -> Option<ReleaseReport> {
        let record = self.node.trust().release(release)?;
        Some(ReleaseReport {
            release: *release,
            model: record.model.to_string(),
            version: record.version.clone(),
        })
    }

    fn peers(&self) -> PeersReport {
        let status = self.node.status();
        let mut connected: BTreeSet<Peer> = self
            .network
            .as_ref()
            .map(Network::peers)
            .unwrap_or_default()
            .into_iter()
            .collect();
        connected.extend(self.imports.keys().copied());
        let chunks = |peer: &Peer| {
            let fetches = status
                .channels
                .iter()
                .filter_map(|channel| channel.fetch.as_ref());
            fetches
                .flat_map(|fetch| &fetch.chunks_by_peer)
                .filter(|(from, _)| from == peer)
                .map(|(_, chunks)| chunks)
                .sum()
        };
        let peers = connected
            .iter()
            .map(|peer| PeerReport {
                key: *peer,
                member: status.members.contains(peer),
                chunks: chunks(peer),
            })
            .collect();
        PeersReport {
            schema: SCHEMA,
            peers,
        }
    }

    fn sample(&mut self) {
        let status = self.node.status();
        self.fetched
            .observe(self.clock.now_ms(), fetched(&status.channels));
        self.settle_imports();
    }
}

// ---- imports --------------------------------------------------------------------

impl Shell {
    /// Ends each import that has come to something.
    fn settle_imports(&mut self) {
        if self.imports.is_empty() {
            return;
        }
        let status = self.node.status();
        let now_us = self.clock.now_us();
        let alone = self.network.is_none();
        let idle = self.operations == 0;
        let settled: Vec<(Peer, ImportReport)> = self
            .imports
            .iter_mut()
            .filter_map(|(peer, import)| {
                let report = import.settle(
                    &status,
                    self.node.trust(),
                    bundle::Surroundings {
                        now_us,
                        alone,
                        idle,
                    },
                )?;
                Some((*peer, report))
            })
            .collect();
        for (peer, report) in settled {
            self.end_import(peer, Ok(report));
        }
    }

    fn end_import(&mut self, peer: Peer, result: Result<ImportReport, ImportError>) {
        if let Some(import) = self.imports.remove(&peer) {
            self.handle(Input::PeerDown(peer));
            import.end(result);
        }
    }
}

/// Runs something that blocks; it can only fail to come back by panicking.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RunError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| RunError::Machine(io::Error::other(error)))
}

async fn next_event(network: Option<&mut Network>) -> Option<weft_net::NetEvent> {
    match network {
        Some(network) => network.next().await,
        None => std::future::pending().await,
    }
}

fn seed() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u64::from_le_bytes(bytes))
}

fn fetched(channels: &[ChannelStatus]) -> u64 {
    let fetches = channels.iter().filter_map(|channel| channel.fetch.as_ref());
    fetches.map(|fetch| fetch.bytes_fetched).sum()
}

fn log(event: &Event) {
    match event {
        Event::ChunkStored { .. } => tracing::trace!(?event, "chunk stored"),
        Event::RecordRefused { .. }
        | Event::ChunkCorrupt { .. }
        | Event::Forked { .. }
        | Event::WentBack { .. }
        | Event::NoVariant { .. }
        | Event::DiskTrouble { .. }
        | Event::Probed { passed: false, .. } => tracing::warn!(?event),
        event => tracing::info!(?event),
    }
}
