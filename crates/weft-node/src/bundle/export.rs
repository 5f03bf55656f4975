//! Writes a release as a bundle: the records, then the chunk maps and chunks
//! that the store holds of it.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    sync::Arc,
};

use bytes::Bytes;
use tokio::sync::mpsc;
use weft_core::{ChunkRef, Config, Disk, Node, Outcome};
use weft_record::{
    ChunkMap, Envelope, FileEntry, Hash, MeshId, Name, Release, Trust, bundle::Encoder,
};
use weft_store::Store;

use super::ExportError;
use crate::{clock::Clock, control::ExportStream, facts, home::Home, pins::Pins, run::RunError};

/// Pieces of a bundle that wait for the one who reads it.
const PIECES: usize = 4;
/// Bytes gathered into one piece: one large chunk.
const PIECE_BYTES: usize = 1024 * 1024;

/// What a bundle will hold.
pub(crate) struct ExportPlan {
    mesh_id: MeshId,
    records: Vec<Vec<u8>>,
    files: Vec<FileEntry>,
}

/// Every admitted record, encoded, in an order that admits cleanly.
pub(crate) fn all_records(trust: &Trust) -> Vec<Vec<u8>> {
    trust.records().map(Envelope::encode).collect()
}

/// Chooses what to export of a channel: the release that is active, or else the
/// one that its newest head names.
pub(crate) fn plan_export(node: &Node<Bytes>, channel: &Name) -> Result<ExportPlan, ExportError> {
    let nothing = |reason: &str| ExportError::NothingToExport {
        channel: channel.clone(),
        reason: reason.to_owned(),
    };
    let trust = node.trust();
    let status = node.status();
    let active = status
        .channels
        .iter()
        .find(|status| status.channel == *channel)
        .and_then(|status| status.active);
    let release = active
        .or_else(|| trust.head(channel).map(|head| head.release))
        .ok_or_else(|| nothing("no head of it is known"))?;
    let release = trust
        .release(&release)
        .ok_or_else(|| nothing("the record of its release has not arrived"))?;
    Ok(ExportPlan {
        mesh_id: trust.mesh_id(),
        records: all_records(trust),
        files: all_files(release),
    })
}

/// Writes the bundle from a thread; what comes out is the stream of its bytes.
pub(crate) fn stream(plan: ExportPlan, store: Arc<Store>) -> ExportStream {
    let (sender, receiver) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let mut pieces = Pieces {
            sender,
            gathered: Vec::new(),
        };
        let written = write(&plan, &store, &mut pieces).and_then(|()| pieces.flush());
        if let Err(error) = written {
            // the reader sees a stream that breaks off instead of a short bundle
            let _ = pieces.sender.blocking_send(Err(error));
        }
    });
    receiver
}

/// The store of a node that does not run, and the core with what it accepted.
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) node: Node<Bytes>,
    pub(crate) pins: Pins,
}

impl Opened {
    pub(crate) fn of(home: &Home) -> Result<Self, RunError> {
        let path = home.store_directory();
        let open_error = |source| RunError::Store {
            path: path.clone(),
            source,
        };
        let store = Store::open(&path).map_err(open_error)?;
        let restored = store.restore().map_err(open_error)?;
        let pins = Pins::of(home, &store).map_err(|error| open_error(error.into()))?;
        let clock = Clock::start();
        let config = Config {
            key: home.key(),
            mesh_id: home.settings().mesh_id,
            channels: home.settings().channels.clone(),
            variant_preference: home.settings().variants.clone(),
            facts: facts::measure(&path).map_err(RunError::Machine)?,
            limits: weft_core::Limits::default(),
            seed: 0,
            wall_at_zero_s: clock.wall_at_zero_s(),
            local_at_zero_s: clock.wall_at_zero_s(),
            invitation: None,
            registrar: false,
            refuse_new_when_stale: false,
            pinned: pins.all(),
        };
        // The core is only asked what it accepted; what it wants done stays undone.
        let node = Node::new(config, restored, clock.now_us());
        Ok(Self { store, node, pins })
    }
}

/// Writes the bundle of a node that does not run; returns its length.
pub(crate) fn export_from_store(
    home: &Home,
    channel: &Name,
    output: &mut dyn Write,
) -> Result<u64, ExportError> {
    let opened = Opened::of(home).map_err(|error| ExportError::Node(Box::new(error)))?;
    let Opened { store, node, .. } = opened;
    let plan = plan_export(&node, channel)?;
    let mut counted = Counted { output, bytes: 0 };
    write(&plan, &store, &mut counted)?;
    counted.flush()?;
    Ok(counted.bytes)
}

/// The deltas and the files of all variants, each once. Deltas come first: what they make
/// need not be read further on.
pub(super) fn all_files(release: &Release) -> Vec<FileEntry> {
    let deltas = release.deltas.iter().map(|delta| FileEntry {
        path: String::new(),
        length: delta.length,
        blake3: delta.blake3,
        chunk_map: delta.chunk_map,
    });
    let mut seen = BTreeSet::new();
    let files = deltas.chain(release.files().cloned());
    files.filter(|file| seen.insert(file.blake3)).collect()
}

fn write(plan: &ExportPlan, store: &Store, output: &mut dyn Write) -> io::Result<()> {
    let (mut encoder, header) = Encoder::new(plan.mesh_id);
    output.write_all(&header)?;
    for record in &plan.records {
        output.write_all(&encoder.record(record).map_err(io::Error::other)?)?;
    }
    // All maps first: who gets only a part can tell what it is a part of.
    let mut held = Vec::new();
    for file in &plan.files {
        // Variants that this node does not hold are left out.
        let Some(blob) = blob(store, file.chunk_map)? else {
            continue;
        };
        let map = ChunkMap::decode(&blob, file.length).map_err(io::Error::other)?;
        output.write_all(&encoder.blob(&blob).map_err(io::Error::other)?)?;
        held.push((file.blake3, map.chunks.len() as u32));
    }
    for (file, chunks) in held {
        for index in 0..chunks {
            let chunk = ChunkRef { file, index };
            if let Some(bytes) = read_chunk(store, chunk)? {
                output.write_all(&encoder.chunk(&bytes).map_err(io::Error::other)?)?;
            }
        }
    }
    output.write_all(&encoder.finish())
}

fn blob(store: &Store, hash: Hash) -> io::Result<Option<Bytes>> {
    match store.execute(Disk::ReadBlob(hash)) {
        Outcome::Blob(bytes) => Ok(bytes),
        outcome => Err(unexpected(outcome)),
    }
}

fn read_chunk(store: &Store, chunk: ChunkRef) -> io::Result<Option<Bytes>> {
    match store.execute(Disk::ReadChunk(chunk)) {
        Outcome::Chunk(bytes) => Ok(bytes),
        outcome => Err(unexpected(outcome)),
    }
}

fn unexpected(outcome: Outcome<Bytes>) -> io::Error {
    match outcome {
        Outcome::Failed(failure) => io::Error::other(failure.text),
        _ => io::Error::other("the store answered something else"),
    }
}

/// Hands what is written to a channel, in pieces.
struct Pieces {
    sender: mpsc::Sender<Result<Bytes, io::Error>>,
    gathered: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = Bytes::from(std::mem::take(&mut self.gathered));
        if piece.is_empty() {
            return Ok(());
        }
        self.sender
            .blocking_send(Ok(piece))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Counts what passes.
struct Counted<'a> {
    output: &'a mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
