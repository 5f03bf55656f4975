//! Bundles that somebody brings to a node: each is a peer that is a file, and goes again.

use std::{collections::BTreeMap, sync::Arc};

use weft_core::{ChunkRef, Control, Input, Message, Payload as _, Peer};
use weft_keys::SecretKey;
use weft_record::{ChunkMap, Hash};

use super::{Happening, World};
use crate::{mesh::VirtualRelease, payload::Virtual, slab::Slab};

/// What a stick gives a second.
const STICK_BYTES_PER_SEC: u64 = 30_000_000;
/// It is pulled out after what reading it takes and this.
const STAYS_US: u64 = 30_000_000;
/// Records in one message, at most so many bytes.
const BATCH_BYTES: usize = weft_core::bounds::RECORDS_BYTES;

/// All that are attached, and what they say.
#[derive(Default)]
pub(super) struct Bundles {
    attached: BTreeMap<Peer, Attached>,
    said: Slab<Said>,
    count: u64,
}

struct Attached {
    files: BTreeMap<Hash, Arc<ChunkMap>>,
    blobs: BTreeMap<Hash, Virtual>,
    /// It is read until then.
    busy_until_us: u64,
}

/// On its way to the node.
struct Said {
    bundle: Peer,
    /// None: it is pulled out.
    message: Option<Message<Virtual>>,
}

impl Bundles {
    pub(super) fn is_any(&self) -> bool {
        !self.attached.is_empty()
    }
}

impl World {
    /// Brings a node these records, and all chunks of these releases; false if it is down.
    pub fn bring(
        &mut self,
        index: usize,
        records: &[Vec<u8>],
        releases: &[&VirtualRelease],
    ) -> bool {
        if !self.is_up(index) {
            return false;
        }
        self.bundles.count += 1;
        let name = format!("bundle {} of {}", self.bundles.count, self.seed);
        let bundle = SecretKey::from_seed(Hash::of(name.as_bytes()).0).public();
        let mut attached = Attached {
            files: BTreeMap::new(),
            blobs: BTreeMap::new(),
            busy_until_us: self.now_us,
        };
        let mut bytes = 0;
        for release in releases {
            attached
                .files
                .insert(release.file, Arc::clone(&release.map));
            let map = Virtual::blob(release.map.encode());
            attached.blobs.insert(release.chunk_map_hash(), map);
            bytes += release.length;
        }
        self.bundles.attached.insert(bundle, attached);
        self.give(index, Input::BundleUp(bundle));
        let mut batch = Vec::new();
        for record in records {
            let length: usize = batch.iter().map(Vec::len).sum();
            if length + record.len() > BATCH_BYTES {
                let records = Control::Records(std::mem::take(&mut batch));
                self.bundle_says(index, bundle, self.now_us, Message::Control(records));
            }
            batch.push(record.clone());
        }
        let records = Control::Records(batch);
        self.bundle_says(index, bundle, self.now_us, Message::Control(records));
        let read_us = bytes * 1_000_000 / STICK_BYTES_PER_SEC;
        let message = None;
        let said = self.bundles.said.insert(Said { bundle, message });
        let at_us = self.now_us + read_us + STAYS_US;
        self.push_to(at_us, index, |node, life| Happening::Bundle {
            node,
            life,
            said,
        });
        true
    }

    /// A node asks a bundle; false if this peer is none.
    pub(super) fn ask_bundle(
        &mut self,
        index: usize,
        peer: &Peer,
        message: &Message<Virtual>,
    ) -> bool {
        let now_us = self.now_us;
        let Some(attached) = self.bundles.attached.get_mut(peer) else {
            return false;
        };
        let (at_us, answer) = match message {
            Message::Get(chunk) => attached.read(*chunk, now_us),
            Message::GetBlob(hash) => {
                let blob = attached.blobs.get(hash).cloned();
                let answer = blob.map_or(Message::NoBlob(*hash), |blob| Message::Blob(*hash, blob));
                (now_us, answer)
            }
            Message::Control(Control::Want(file)) => {
                let chunks = attached.files.get(file).map_or(0, |map| map.chunks.len());
                let indexes = (0..chunks as u32).collect();
                let gained = Control::Gained {
                    file: *file,
                    indexes,
                };
                (now_us, Message::Control(gained))
            }
            // a file learns nothing and wants nothing
            _ => return true,
        };
        self.bundle_says(index, *peer, at_us, answer);
        true
    }

    fn bundle_says(&mut self, index: usize, bundle: Peer, at_us: u64, message: Message<Virtual>) {
        let message = Some(message);
        let said = self.bundles.said.insert(Said { bundle, message });
        self.push_to(at_us, index, |node, life| Happening::Bundle {
            node,
            life,
            said,
        });
    }

    pub(super) fn bundle_said(&mut self, node: u32, life: u32, said: u32) {
        let Some(Said { bundle, message }) = self.bundles.said.take(said) else {
            return;
        };
        let index = node as usize;
        let lives = self.lives(node, life);
        match message {
            Some(message) if lives && self.bundles.attached.contains_key(&bundle) => {
                self.give(index, Input::Message(bundle, message));
            }
            Some(_) => {}
            None => {
                self.bundles.attached.remove(&bundle);
                if lives {
                    self.give(index, Input::PeerDown(bundle));
                }
            }
        }
    }
}

impl Attached {
    fn read(&mut self, chunk: ChunkRef, now_us: u64) -> (u64, Message<Virtual>) {
        let map = self.files.get(&chunk.file);
        let Some(entry) = map.and_then(|map| map.chunks.get(chunk.index as usize)) else {
            return (now_us, Message::Absent(chunk));
        };
        let data = Virtual::chunk(entry.hash, u64::from(entry.length));
        let took_us = data.length() * 1_000_000 / STICK_BYTES_PER_SEC;
        self.busy_until_us = self.busy_until_us.max(now_us) + took_us;
        (self.busy_until_us, Message::Data(chunk, data))
    }
}
