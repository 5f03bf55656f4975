//! Getting chunk maps: blobs of at most a few MiB, whole from one member.

use std::collections::BTreeSet;

use weft_record::Hash;

use crate::{
    bounds,
    file::{FilePhase, FileState},
    io::{DisconnectReason, Disk, Outcome},
    members::{Fingerprint, Standing},
    message::{Message, Payload, Peer},
    node::Node,
    pending::Pending,
};

/// A blob (chunk map) on its way.
#[derive(Debug)]
pub(crate) struct BlobState {
    /// Length of the file whose chunk map it is.
    pub(crate) file_length: u64,
    /// The file whose chunk map it is.
    pub(crate) file: Hash,
    /// The member asked and its deadline; `None` while the disk is at work or nobody is asked.
    pub(crate) asked: Option<(Peer, u64)>,
    /// Bytes are being read, hashed or written.
    pub(crate) busy: bool,
    /// Members that do not have it, until the next round or until they seem to.
    pub(crate) refused: BTreeSet<Peer>,
    /// Members that seemed to have it after all: once a round is believed.
    pub(crate) hinted: BTreeSet<Peer>,
    /// When the next round begins, if everybody was asked.
    pub(crate) retry_us: Option<u64>,
}

impl<P: Payload> Node<P> {
    /// Makes sure that this file is on its way. The release that names it is verified.
    pub(crate) fn require_file(&mut self, file: Hash, length: u64, chunk_map: Hash) {
        if let Some(state) = self.files.get_mut(&file) {
            if state.phase == FilePhase::Dormant {
                state.phase = FilePhase::Opening;
                self.open_file(file);
            }
            return;
        }
        if !self.blobs.contains_key(&chunk_map) {
            let state = BlobState {
                file_length: length,
                file,
                asked: None,
                busy: true,
                refused: BTreeSet::new(),
                hinted: BTreeSet::new(),
                retry_us: None,
            };
            self.blobs.insert(chunk_map, state);
            self.disk(Pending::ReadBlob(chunk_map), Disk::ReadBlob(chunk_map));
        }
    }

    pub(crate) fn blob_read(&mut self, hash: Hash, outcome: Outcome<P>) {
        if let Outcome::Blob(Some(payload)) = outcome {
            let pending = Pending::VerifyBlob {
                hash,
                payload: payload.clone(),
                from: None,
            };
            self.hash(pending, payload);
        } else if let Some(blob) = self.blobs.get_mut(&hash) {
            blob.busy = false;
        }
    }

    pub(crate) fn blob_arrived(&mut self, peer: Peer, hash: Hash, payload: P) {
        let Some(blob) = self.blobs.get_mut(&hash) else {
            return;
        };
        if blob.asked.is_none_or(|(asked, _)| asked != peer) {
            return;
        }
        blob.asked = None;
        if payload.length() > bounds::BLOB_BYTES as u64 {
            self.let_go(peer, DisconnectReason::Misbehaved, "its blob is too long");
            return;
        }
        blob.busy = true;
        let pending = Pending::VerifyBlob {
            hash,
            payload: payload.clone(),
            from: Some(peer),
        };
        self.hash(pending, payload);
    }

    pub(crate) fn blob_absent(&mut self, peer: Peer, hash: Hash) {
        if let Some(blob) = self.blobs.get_mut(&hash)
            && blob.asked.is_some_and(|(asked, _)| asked == peer)
        {
            blob.asked = None;
            blob.refused.insert(peer);
        }
    }

    pub(crate) fn blob_hashed(
        &mut self,
        hash: Hash,
        payload: P,
        from: Option<Peer>,
        outcome: Outcome<P>,
    ) {
        let Some(blob) = self.blobs.get_mut(&hash) else {
            return;
        };
        blob.busy = false;
        let matches = matches!(outcome, Outcome::Digest(digest) if digest == hash);
        if !matches {
            // from disk: it rotted, fetch it again; from a peer: it lies
            if let Some(peer) = from {
                self.counters.chunks_corrupt += 1;
                let text = "it sent another blob than the one asked for";
                self.let_go(peer, DisconnectReason::CorruptData, text);
            }
            return;
        }
        let (file, length) = (blob.file, blob.file_length);
        let Ok(map) = payload.chunk_map(length) else {
            // signed by the release and yet no map of that file: the release is at fault
            self.blobs.remove(&hash);
            self.contradictory(file);
            return;
        };
        self.blobs.remove(&hash);
        if from.is_some() {
            self.write_blob(hash, payload);
        }
        self.files
            .insert(file, FileState::new(length, map, FilePhase::Opening));
        self.open_file(file);
    }

    pub(crate) fn write_blob(&mut self, hash: Hash, payload: P) {
        let pending = Pending::WriteBlob(hash, payload.clone());
        self.disk(pending, Disk::WriteBlob(hash, payload));
    }

    /// A map that could not be kept is tried again: neighbours may have it from nobody else.
    pub(crate) fn blob_written(&mut self, hash: Hash, payload: P, outcome: Outcome<P>) {
        if matches!(outcome, Outcome::Written) {
            return;
        }
        self.trouble(&outcome);
        if self.unwritten.len() < bounds::BLOBS_UNWRITTEN {
            self.unwritten.insert(hash, payload);
            self.unsaved_retry_us = Some(self.now_us + bounds::DISK_RETRY_US);
        }
    }

    /// Whoever asks for chunks of a file, or has some, has its map by now.
    pub(crate) fn has_map(&mut self, peer: &Peer, file: &Hash) {
        for blob in self.blobs.values_mut() {
            if blob.file == *file && blob.refused.contains(peer) && blob.hinted.insert(*peer) {
                blob.refused.remove(peer);
            }
        }
    }

    pub(crate) fn schedule_blobs(&mut self) {
        // whoever knows as much as this node is more likely to have what that names; a
        // bundle tells no digest
        let own = Some(Fingerprint::of(&self.own_digest()));
        let knows = |peer: &Peer| {
            let state = self.peers.get(peer);
            state.is_some_and(|state| state.standing == Standing::Bundle || state.digest == own)
        };
        let is_open = |peer: &Peer| {
            let path = self.path_of(peer);
            path.is_none_or(|path| !self.fetches_nothing_by(path))
        };
        let sources = self.sources().filter(is_open);
        let (knowing, others): (Vec<Peer>, Vec<Peer>) = sources.partition(knows);
        let now_us = self.now_us;
        let mut asks = Vec::new();
        for (hash, blob) in self.blobs.iter_mut() {
            if blob.asked.is_some() || blob.busy {
                continue;
            }
            if blob.retry_us.is_some_and(|due_us| due_us <= now_us) {
                blob.retry_us = None;
                blob.refused.clear();
                blob.hinted.clear();
            }
            let open = |peers: &[Peer]| -> Vec<Peer> {
                let peers = peers.iter();
                peers
                    .filter(|peer| !blob.refused.contains(peer))
                    .copied()
                    .collect()
            };
            let mut candidates = open(&knowing);
            if candidates.is_empty() {
                candidates = open(&others);
            }
            if candidates.is_empty() {
                // everybody was asked: a new round a little later
                if !blob.refused.is_empty() {
                    let retry_us = blob.retry_us.get_or_insert(now_us + bounds::BLOB_RETRY_US);
                    self.due_us = self.due_us.min(*retry_us);
                }
                continue;
            }
            let index = self.random.below(candidates.len() as u64) as usize;
            let peer = candidates[index];
            let due_us = now_us + bounds::REQUEST_TIMEOUT_US;
            blob.asked = Some((peer, due_us));
            self.due_us = self.due_us.min(due_us);
            asks.push((peer, *hash));
        }
        for (peer, hash) in asks {
            self.send(peer, Message::GetBlob(hash));
        }
    }
}
