//! What operations were for, and where their outcomes go.

use weft_record::{Hash, JoinRequest, Name, RecordId};

use crate::{
    bounds,
    io::Outcome,
    message::{ChunkRef, Payload, Peer},
    node::Node,
};

/// What an operation in flight was for.
#[derive(Clone, Debug)]
pub(crate) enum Pending<P> {
    SaveRecords(Vec<Vec<u8>>),
    SaveClock,
    Enroll(JoinRequest),
    ReadBlob(Hash),
    VerifyBlob {
        hash: Hash,
        payload: P,
        from: Option<Peer>,
    },
    WriteBlob(Hash, P),
    OpenFile(Hash),
    ApplyDelta {
        file: Hash,
        base: Hash,
        delta: Hash,
    },
    VerifyChunk {
        chunk: ChunkRef,
        payload: P,
        from: Peer,
    },
    WriteChunk {
        chunk: ChunkRef,
        from: Peer,
    },
    SyncFile(Hash),
    HashFile(Hash),
    CompleteFile(Hash),
    ServeChunk {
        chunk: ChunkRef,
        to: Peer,
    },
    ServeBlob {
        hash: Hash,
        to: Peer,
    },
    Stage(Name),
    /// So many probes were asked.
    ProbeStaged(Name, usize),
    ProbeActive(Name, RecordId, usize),
    Activate(Name),
    GoBack {
        channel: Name,
        void: bool,
        both: bool,
        reason: String,
    },
    DropStaged {
        channel: Name,
    },
    Collect,
}

impl<P: Payload> Node<P> {
    /// An operation ended.
    pub(crate) fn done(&mut self, pending: Pending<P>, outcome: Outcome<P>) {
        self.asks_more = !matches!(
            pending,
            Pending::VerifyChunk { .. } | Pending::WriteChunk { .. } | Pending::ServeChunk { .. }
        );
        match (pending, outcome) {
            (Pending::SaveRecords(_), Outcome::Saved) => self.retarget_all(),
            (Pending::SaveRecords(envelopes), outcome) => {
                self.trouble(&outcome);
                self.unsaved.extend(envelopes);
                self.unsaved_retry_us = Some(self.now_us + bounds::DISK_RETRY_US);
            }
            (Pending::SaveClock, outcome) => self.clock_saved(&outcome),
            (Pending::Enroll(request), outcome) => self.enrolled(&request, outcome),
            (Pending::ReadBlob(hash), outcome) => self.blob_read(hash, outcome),
            (
                Pending::VerifyBlob {
                    hash,
                    payload,
                    from,
                },
                outcome,
            ) => {
                self.blob_hashed(hash, payload, from, outcome);
            }
            (Pending::WriteBlob(hash, payload), outcome) => {
                self.blob_written(hash, payload, outcome);
            }
            (Pending::OpenFile(file), outcome) => self.file_opened(file, outcome),
            (Pending::ApplyDelta { file, .. }, outcome) => self.delta_applied(file, outcome),
            (
                Pending::VerifyChunk {
                    chunk,
                    payload,
                    from,
                },
                outcome,
            ) => {
                self.chunk_hashed(chunk, payload, from, outcome);
            }
            (Pending::WriteChunk { chunk, from }, outcome) => {
                self.chunk_written(chunk, from, outcome);
            }
            (Pending::SyncFile(file), outcome) => self.file_synced(file, outcome),
            (Pending::HashFile(file), outcome) => self.file_hashed(file, outcome),
            (Pending::CompleteFile(file), outcome) => self.file_completed(file, outcome),
            (Pending::ServeChunk { chunk, to }, outcome) => self.serve_read(chunk, to, outcome),
            (Pending::ServeBlob { hash, to }, outcome) => self.serve_blob_read(hash, to, outcome),
            (Pending::Stage(channel), outcome) => self.staged(channel, outcome),
            (Pending::ProbeStaged(channel, asked), outcome) => {
                self.probed_staged(channel, asked, outcome);
            }
            (Pending::ProbeActive(channel, release, asked), outcome) => {
                self.probed_active(channel, release, asked, outcome);
            }
            (Pending::Activate(channel), outcome) => self.activated(channel, outcome),
            (
                Pending::GoBack {
                    channel,
                    void,
                    both,
                    reason,
                },
                outcome,
            ) => self.went_back(channel, void, both, reason, outcome),
            (Pending::DropStaged { channel }, outcome) => self.dropped_staged(channel, outcome),
            (Pending::Collect, outcome) => self.collected(&outcome),
        }
    }
}
