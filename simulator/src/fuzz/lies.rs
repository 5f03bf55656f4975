//! What puppets and thieves say that no node would.

use weft_core::{ChunkRef, Command, Control, Message, Payload};
use weft_record::{Envelope, Hash, Kind, RecordId};

use super::{
    play::Play,
    script::{Lie, Part},
};
use crate::payload::Virtual;

/// Chunks that a puppet asks for at once.
const ASKED: u32 = 4;

impl Play<'_> {
    /// A puppet says something to a node; first, as everybody, who it is.
    pub(super) fn lie(&mut self, from: usize, to: usize, says: Lie) {
        if !self.world.is_linked(from, to) {
            return;
        }
        let root = self.admin.trust().root();
        let is_member = self.script.nodes[from].role == Part::Hostile;
        let hello = Control::Hello {
            mesh_id: self.admin.mesh_id(),
            root_version: root.map_or(0, |root| root.version),
            root: root.map_or(RecordId::ZERO, weft_record::Verified::id),
            enrolment: self.enrolments.get(&from).cloned().filter(|_| is_member),
        };
        self.world.say(from, to, Message::Control(hello));
        for message in self.messages(says) {
            self.world.say(from, to, message);
        }
    }

    fn messages(&self, says: Lie) -> Vec<Message<Virtual>> {
        let newest = self.published.len().saturating_sub(1);
        let release = &self.releases[newest.min(self.releases.len() - 1)];
        let file = release.file;
        let records = |all: Vec<Vec<u8>>| vec![Message::Control(Control::Records(all))];
        match says {
            Lie::HoldsAll => {
                let bytes = release.map.chunks.len().div_ceil(8);
                let mut bits = vec![0xff; bytes];
                // no bit beyond the last chunk
                if let (Some(last), rest @ 1..) = (bits.last_mut(), release.map.chunks.len() % 8) {
                    *last = (1 << rest) - 1;
                }
                vec![Message::Control(Control::Bits { file, bits })]
            }
            Lie::StaleHeads => {
                let is_head = |bytes: &&Vec<u8>| is_a(bytes, Kind::Head);
                records(
                    self.archive
                        .iter()
                        .filter(is_head)
                        .take(2)
                        .cloned()
                        .collect(),
                )
            }
            Lie::Replay => records(self.archive.iter().rev().cloned().collect()),
            Lie::ForgedHead => {
                let mut heads = self.archive.iter().rev();
                let newest = heads.find(|bytes| is_a(bytes, Kind::Head));
                let envelope = newest.and_then(|bytes| Envelope::decode(bytes).ok());
                let forged = envelope.map(|mut envelope| {
                    // the last byte of a body is of its time, which no rule looks at
                    if let Some(last) = envelope.body.last_mut() {
                        *last ^= 1;
                    }
                    envelope.encode()
                });
                records(forged.into_iter().collect())
            }
            Lie::UnaskedChunk => {
                let chunk = ChunkRef { file, index: 0 };
                let length = u64::from(self.script.chunk_bytes);
                let wrong = Virtual::chunk(Hash::of(b"unasked"), length);
                debug_assert_eq!(wrong.length(), length);
                vec![Message::Data(chunk, wrong)]
            }
            Lie::AsksForAll => {
                let asks = (0..ASKED).map(|index| Message::Get(ChunkRef { file, index }));
                let mut all = vec![
                    Message::Control(Control::Have(Box::default())),
                    Message::Control(Control::Want(file)),
                    Message::GetBlob(release.chunk_map_hash()),
                ];
                all.extend(asks);
                all
            }
        }
    }
}

fn is_a(bytes: &[u8], kind: Kind) -> bool {
    Envelope::decode(bytes).is_ok_and(|envelope| envelope.kind == kind.number())
}

/// One key's signature in place of two keys'.
pub(super) fn with_each_signature_twice(command: Command) -> Command {
    let Command::Import(envelopes) = command else {
        return command;
    };
    let twice = envelopes.into_iter().map(|bytes| {
        let Ok(mut envelope) = Envelope::decode(&bytes) else {
            return bytes;
        };
        let once = std::mem::take(&mut envelope.sigs);
        envelope.sigs = once.into_iter().flat_map(|one| [one, one]).collect();
        envelope.encode()
    });
    Command::Import(twice.collect())
}
