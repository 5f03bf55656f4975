//! One import under way: watches the core until it has converged on what the
//! bundle says, or until it is clear that it will not.

use std::{io, thread};

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};
use weft_core::{ChannelStatus, Message, Peer, Phase, Status};
use weft_keys::SecretKey;
use weft_record::{MeshId, Name, RecordId, Trust};

use super::{
    ImportError, OpenBundle, PipeBundle,
    contents::{BundledHead, Contents},
    peer::{BundlePeer, FromBundle},
    pipe::{PipePeer, Window},
};
use crate::report::{ImportOutcome, ImportReport, ImportedChannel, SCHEMA};

/// Where the result goes.
pub(crate) type Reply = oneshot::Sender<Result<ImportReport, ImportError>>;

/// Messages of the core that wait for the bundle: the requests that it keeps
/// outstanding to one peer, twice, and room for the small ones.
const INBOX: usize = 2 * weft_core::bounds::REQUESTS_PER_PEER + 64;
/// A fetch that has not moved for this long will not be finished by the bundle.
/// Without a network nothing else can move it...
const STALL_ALONE_US: u64 = 8_000_000;
/// ...with one, other peers may, and a thin link takes its time for a chunk.
const STALL_US: u64 = 60_000_000;
/// ...and what was taken from a pipe that has ended is all that it brings.
const STALL_DRAINED_US: u64 = 2_000_000;
/// Refusals told in the report.
const REFUSALS: usize = 64;

/// One import.
pub(crate) struct Import {
    heads: Vec<BundledHead>,
    records: u64,
    active_before: Vec<(Name, Option<RecordId>)>,
    inbox: mpsc::Sender<Message<Bytes>>,
    reply: Reply,
    records_sent: bool,
    /// Nothing more comes through the pipe, and why if it broke off.
    broke_off: Option<String>,
    /// What came through the pipe was taken.
    drained: bool,
    refused: Vec<String>,
    chunks_taken: u64,
    bytes_taken: u64,
    moved: Option<(Progress, u64)>,
    /// What the disk said last.
    disk_trouble: Option<String>,
}

/// What is taken in: a file, which can be read here and there, or what comes through a pipe.
pub(crate) enum Source {
    File(OpenBundle),
    Pipe(Box<PipeBundle>),
}

impl Source {
    pub(crate) fn mesh_id(&self) -> MeshId {
        self.contents().mesh_id
    }

    fn contents(&self) -> &Contents {
        match self {
            Self::File(bundle) => bundle.contents(),
            Self::Pipe(bundle) => bundle.contents(),
        }
    }

    /// Has a thread answer the core out of it.
    fn spawn(
        self,
        key: Peer,
        inbox: mpsc::Receiver<Message<Bytes>>,
        outbox: mpsc::Sender<FromBundle>,
    ) -> io::Result<()> {
        let thread = thread::Builder::new().name("weft-bundle".to_owned());
        match self {
            Self::File(bundle) => {
                let peer = BundlePeer {
                    key,
                    bundle,
                    inbox,
                    outbox,
                };
                thread.spawn(move || peer.run())?;
            }
            Self::Pipe(bundle) => {
                let peer = PipePeer {
                    key,
                    bundle: *bundle,
                    inbox,
                    outbox,
                    held: Window::default(),
                };
                let runtime = Handle::current();
                thread.spawn(move || runtime.block_on(peer.run()))?;
            }
        }
        Ok(())
    }
}

/// What changes while anything moves.
type Progress = Vec<(Phase, u64)>;

/// What else matters to whether an import can still move.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings {
    pub(crate) now_us: u64,
    /// There is no network.
    pub(crate) alone: bool,
    /// No disk, hash or probe operation is under way.
    pub(crate) idle: bool,
}

impl Import {
    /// Starts the bundle's thread under a key of its own. The bundle becomes a peer
    /// when the caller tells the core so.
    pub(crate) fn attach(
        bundle: Source,
        active: &[ChannelStatus],
        outbox: mpsc::Sender<FromBundle>,
        reply: Reply,
    ) -> Result<(Peer, Self), (ImportError, Reply)> {
        let key = match SecretKey::generate() {
            Ok(secret) => secret.public(),
            Err(error) => return Err((ImportError::Machine(std::io::Error::other(error)), reply)),
        };
        let heads = bundle.contents().heads.clone();
        let records = bundle.contents().count();
        let (inbox, messages) = mpsc::channel(INBOX);
        let spawned = bundle.spawn(key, messages, outbox);
        if let Err(error) = spawned {
            return Err((ImportError::Machine(error), reply));
        }
        let import = Self {
            heads,
            records,
            active_before: active
                .iter()
                .map(|channel| (channel.channel.clone(), channel.active))
                .collect(),
            inbox,
            reply,
            records_sent: false,
            broke_off: None,
            drained: false,
            refused: Vec::new(),
            chunks_taken: 0,
            bytes_taken: 0,
            moved: None,
            disk_trouble: None,
        };
        Ok((key, import))
    }

    /// Hands a message of the core to the bundle. One that does not fit is lost,
    /// as on a network: the core asks again.
    pub(crate) fn send(&self, message: Message<Bytes>) {
        if self.inbox.try_send(message).is_err() {
            tracing::debug!("a message to a bundle was lost");
        }
    }

    pub(crate) fn records_sent(&mut self) {
        self.records_sent = true;
    }

    /// Nothing more comes through the pipe.
    pub(crate) fn ended(&mut self, broke_off: Option<String>) {
        self.records_sent = true;
        self.broke_off = broke_off;
    }

    pub(crate) fn drained(&mut self) {
        self.drained = true;
    }

    pub(crate) fn record_refused(&mut self, reason: &str) {
        if self.refused.len() < REFUSALS {
            self.refused.push(reason.to_owned());
        }
    }

    pub(crate) fn disk_trouble(&mut self, text: &str) {
        self.disk_trouble = Some(text.to_owned());
    }

    pub(crate) fn chunk_taken(&mut self, length: u32) {
        self.chunks_taken += 1;
        self.bytes_taken += u64::from(length);
    }

    /// The result, once there is one.
    pub(crate) fn settle(
        &mut self,
        status: &Status,
        trust: &Trust,
        around: Surroundings,
    ) -> Option<ImportReport> {
        if !self.records_sent {
            return None;
        }
        let stalled = self.stalled(status, around);
        let mut channels = Vec::new();
        for bundled in &self.heads {
            let channel = status
                .channels
                .iter()
                .find(|channel| channel.channel == bundled.channel);
            let (outcome, reason) = match channel {
                None => (ImportOutcome::NotFollowed, String::new()),
                Some(channel) => self.verdict(bundled, channel, trust, stalled)?,
            };
            channels.push(ImportedChannel {
                channel: bundled.channel.clone(),
                seq: bundled.seq,
                release: bundled.release,
                outcome,
                reason,
            });
        }
        Some(ImportReport {
            schema: SCHEMA,
            records: self.records,
            refused: self.refused.clone(),
            chunks_taken: self.chunks_taken,
            bytes_taken: self.bytes_taken,
            channels,
        })
    }

    /// Tells the one who asked.
    pub(crate) fn end(self, result: Result<ImportReport, ImportError>) {
        // whoever asked may have hung up; the import has happened all the same
        let _ = self.reply.send(result);
    }

    /// What has become of one head; `None` while it moves.
    fn verdict(
        &self,
        bundled: &BundledHead,
        channel: &ChannelStatus,
        trust: &Trust,
        stalled: bool,
    ) -> Option<(ImportOutcome, String)> {
        if channel.phase == Phase::Forked {
            return Some((ImportOutcome::Forked, channel.reason.clone()));
        }
        match trust.head(&bundled.channel) {
            Some(head) if head.id() == bundled.head => {}
            Some(head) if head.seq > bundled.seq => {
                let reason = format!("the node already follows head {}", head.seq);
                return Some((ImportOutcome::Superseded, reason));
            }
            _ => {
                let reason = self.refused.first().cloned();
                let reason = reason.unwrap_or_else(|| {
                    "records that the head builds on are missing in the bundle".to_owned()
                });
                return Some((ImportOutcome::HeadRefused, reason));
            }
        }
        let active = channel.active == Some(bundled.release);
        let fetch = channel.fetch.as_ref();
        if active && !stalled && fetch.is_some_and(|fetch| fetch.deltas_open > 0) {
            // others get them from nobody else
            return None;
        }
        match channel.phase {
            Phase::Active | Phase::Soaking if active => {
                let before = self.active_before.iter().any(|(name, release)| {
                    *name == bundled.channel && *release == Some(bundled.release)
                });
                let outcome = if before {
                    ImportOutcome::AlreadyActive
                } else {
                    ImportOutcome::Activated
                };
                Some((outcome, String::new()))
            }
            Phase::Refused | Phase::Withdrawn => {
                Some((ImportOutcome::ReleaseRefused, channel.reason.clone()))
            }
            _ if stalled => {
                let reason = match (&channel.fetch, channel.reason.as_str()) {
                    _ if self.disk_trouble.is_some() => {
                        self.disk_trouble.clone().unwrap_or_default()
                    }
                    (_, reason) if !reason.is_empty() => reason.to_owned(),
                    (Some(fetch), _) if self.broke_off.is_some() => format!(
                        "{}; {} of {} bytes are here and stay",
                        self.broke_off.as_deref().unwrap_or_default(),
                        fetch.bytes_held,
                        fetch.bytes_total
                    ),
                    (Some(fetch), _) => format!(
                        "{} of {} bytes are here, and the bundle holds no more of them",
                        fetch.bytes_held, fetch.bytes_total
                    ),
                    (None, _) => "the bundle lacks what the release needs".to_owned(),
                };
                Some((ImportOutcome::Incomplete, reason))
            }
            _ => None,
        }
    }

    fn stalled(&mut self, status: &Status, around: Surroundings) -> bool {
        let progress: Progress = status
            .channels
            .iter()
            .map(|channel| {
                let fetch = channel.fetch.as_ref();
                let moved = fetch.map_or(0, |fetch| fetch.bytes_held + fetch.bytes_fetched);
                (channel.phase, moved)
            })
            .collect();
        match &self.moved {
            Some((last, since_us)) if *last == progress && around.idle => {
                let limit_us = if self.drained {
                    STALL_DRAINED_US
                } else if around.alone {
                    STALL_ALONE_US
                } else {
                    STALL_US
                };
                around.now_us.saturating_sub(*since_us) >= limit_us
            }
            _ => {
                self.moved = Some((progress, around.now_us));
                false
            }
        }
    }
}
