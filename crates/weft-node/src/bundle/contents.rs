//! What a bundle says: its records, and the newest head of each channel.

use bytes::Bytes;
use weft_core::{Control, Message, bounds};
use weft_record::{
    Envelope, FileEntry, Head, Kind, MAX_RECORD_BYTES, MeshId, Name, RecordId, Release, codec,
};

/// Records kept in memory: far more than a mesh makes in years.
const RECORDS: usize = 65_536;

/// What is said about it in full.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    pub(super) mesh_id: MeshId,
    /// Encoded Root envelopes, as they came.
    pub(super) roots: Vec<Vec<u8>>,
    /// All other envelopes, as they came.
    pub(super) records: Vec<Vec<u8>>,
    /// The newest head of each channel. Not verified: what it says is held against
    /// what the core accepts.
    pub(super) heads: Vec<BundledHead>,
}

/// A head as the bundle has it.
#[derive(Clone, Debug)]
pub(super) struct BundledHead {
    pub(super) channel: Name,
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) head: RecordId,
    pub(super) release: RecordId,
}

impl Contents {
    /// Takes a record in, and notes the files that it names; the error is for people.
    pub(super) fn note_record(
        &mut self,
        bytes: Vec<u8>,
        files: &mut Vec<FileEntry>,
    ) -> Result<(), String> {
        if self.records.len() + self.roots.len() >= RECORDS {
            return Err(format!("more than {RECORDS} records"));
        }
        // What cannot be read here is left to the core, which names the reason.
        let Ok(envelope) = Envelope::decode(&bytes) else {
            self.records.push(bytes);
            return Ok(());
        };
        match Kind::from_number(envelope.kind) {
            Some(Kind::Root) => {
                self.roots.push(bytes);
                return Ok(());
            }
            Some(Kind::Release) => {
                if let Ok(release) = codec::decode::<Release>(&envelope.body, MAX_RECORD_BYTES) {
                    files.extend(super::all_files(&release));
                }
            }
            Some(Kind::Head) => {
                if let Ok(head) = codec::decode::<Head>(&envelope.body, MAX_RECORD_BYTES) {
                    self.note_head(head, envelope.record_id());
                }
            }
            _ => {}
        }
        self.records.push(bytes);
        Ok(())
    }

    fn note_head(&mut self, head: Head, id: RecordId) {
        let bundled = BundledHead {
            channel: head.channel,
            epoch: head.epoch,
            seq: head.seq,
            head: id,
            release: head.release,
        };
        let heads = &mut self.heads;
        match heads
            .iter_mut()
            .find(|known| known.channel == bundled.channel)
        {
            Some(known) if (known.epoch, known.seq) > (bundled.epoch, bundled.seq) => {}
            Some(known) => *known = bundled,
            None => heads.push(bundled),
        }
    }

    /// How many records there are.
    pub(super) fn count(&self) -> u64 {
        (self.roots.len() + self.records.len()) as u64
    }

    /// Every record as messages to the core, roots first.
    pub(super) fn messages(&self) -> Vec<Message<Bytes>> {
        let mut messages = Vec::new();
        let mut batch = Vec::new();
        let mut bytes = 0;
        for record in self.roots.iter().chain(&self.records) {
            if bytes + record.len() > bounds::RECORDS_BYTES && !batch.is_empty() {
                let records = Control::Records(std::mem::take(&mut batch));
                messages.push(Message::Control(records));
                bytes = 0;
            }
            bytes += record.len();
            batch.push(record.clone());
        }
        if !batch.is_empty() {
            messages.push(Message::Control(Control::Records(batch)));
        }
        messages
    }
}
