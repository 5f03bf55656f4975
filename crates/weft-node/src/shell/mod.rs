//! The loop: takes whatever happens, hands it to the core, carries out what the
//! core asks.

mod couriers;
mod imports;
mod join;
mod outputs;
mod requests;
mod stock;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::mpsc, time};
use weft_core::{ChannelStatus, Config, Input, Node, OpId, Peer, Phase, SlotPlan};
use weft_keys::SecretKey;
use weft_record::{Name, RecordId};
use weft_store::Store;

use crate::{
    bundle::{FromBundle, Import, ImportError},
    clock::Clock,
    control::{Control, Request},
    disk::{Done, Workers},
    facts,
    home::Home,
    inference::{Inference, Prober},
    journal::Journal,
    meter::Meter,
    network::Network,
    pins::Pins,
    registrar::Registrar,
    run::RunError,
};

pub(crate) use stock::CollectReply;

/// How often rates are sampled and imports looked at.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(250);
/// How long a stopping node waits for its disk: a sync of a slow flash card.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages of bundles that wait for the loop.
const BUNDLE_MESSAGES: usize = 64;

/// What a node runs with, beside its folder.
#[derive(Default)]
pub(crate) struct With {
    pub(crate) network: bool,
    /// With it, the node enrolls others.
    pub(crate) enroll_key: Option<SecretKey>,
}

/// A running node without its HTTP API.
pub(crate) struct Shell {
    clock: Clock,
    node: Node<Bytes>,
    key: Peer,
    workers: Workers,
    prober: Prober,
    outcomes: mpsc::Receiver<Done>,
    done: mpsc::Sender<Done>,
    registrar: Option<Arc<Mutex<Registrar>>>,
    network: Option<Network>,
    inference: Arc<Inference>,
    requests: mpsc::Receiver<Request>,
    imports: BTreeMap<Peer, Import>,
    bundle_sender: mpsc::Sender<FromBundle>,
    bundle_messages: mpsc::Receiver<FromBundle>,
    couriers: Vec<couriers::Expected>,
    pins: Pins,
    /// How often they changed, and which change the store holds.
    pins_changed: u64,
    pins_kept: Arc<Mutex<u64>>,
    /// Who asked to have something deleted, until the store is asked to...
    collecting: Option<stock::Waiting>,
    /// ...and until it has.
    collections: BTreeMap<OpId, stock::Waiting>,
    journal: Journal,
    fetched: Meter,
    /// As the core was told last.
    local_at_zero_s: u64,
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
    pub(crate) async fn start(home: &Home, with: With) -> Result<(Self, Control), RunError> {
        let with_network = with.network;
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
        store.set_room(settings.store.room);
        let pins = Pins::of(home, &store).map_err(|error| RunError::Store {
            path: store_directory.clone(),
            source: error.into(),
        })?;
        let facts = facts::measure(&store_directory).map_err(RunError::Machine)?;
        let clock = Clock::start();
        let local_at_zero_s = clock.local_at_zero_s();
        let config = Config {
            key: home.key(),
            mesh_id: settings.mesh_id,
            channels: settings.channels.clone(),
            variant_preference: settings.variants.clone(),
            facts,
            limits: settings.limits.clone(),
            seed: seed().map_err(RunError::Machine)?,
            wall_at_zero_s: clock.wall_at_zero_s(),
            local_at_zero_s,
            invitation: home
                .invitation()
                .map(|invitation| invitation.request(home.key())),
            registrar: with.enroll_key.is_some(),
            refuse_new_when_stale: settings.refuse_new_when_stale,
            pinned: pins.all(),
        };
        let registrar = with
            .enroll_key
            .map(|key| Registrar::open(home, key))
            .transpose()
            .map_err(RunError::Invitations)?;
        // Before the threads, which hold the store open until they end.
        let network = if with_network {
            Some(Network::start(home)?)
        } else {
            None
        };
        let (control, requests) = Control::new();
        let couriers = couriers::kept(&store);
        let (workers, done, outcomes) = Workers::start(store).map_err(RunError::Machine)?;
        let prober =
            Prober::start(workers.store().clone(), done.clone()).map_err(RunError::Machine)?;
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
            done,
            registrar: registrar.map(|registrar| Arc::new(Mutex::new(registrar))),
            network,
            inference: Inference::new(control.clone()),
            requests,
            imports: BTreeMap::new(),
            bundle_sender,
            bundle_messages,
            couriers,
            pins,
            pins_changed: 0,
            pins_kept: Arc::default(),
            collecting: None,
            collections: BTreeMap::new(),
            journal: Journal::default(),
            fetched: Meter::default(),
            local_at_zero_s,
            plans: BTreeMap::new(),
            proven: BTreeSet::new(),
            slots_changed: true,
            operations: 0,
            sampler,
            stopping: false,
        };
        shell.handle(Input::Tick);
        shell.expect_again();
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
                self.collect_done(operation, &outcome);
                self.handle(Input::Done(operation, outcome));
            }
            Some(event) = next_event(self.network.as_mut()), if open => {
                let input = self.network.as_mut().and_then(|network| network.input(event));
                if let Some(input) = input {
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
