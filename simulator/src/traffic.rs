//! What messages weigh, by kind.

use weft_core::{Control, Message};
use weft_record::{COMPARED_FAN, Comparison, Have, HaveHead, Says};

use crate::payload::Virtual;

/// Kinds of messages.
const KINDS: [&str; 12] = [
    "hello",
    "digest",
    "have",
    "records",
    "want",
    "bits",
    "join",
    "remembered",
    "get",
    "data",
    "absent",
    "compare",
];

/// Messages and bytes sent, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    by_kind: [(u64, u64); KINDS.len()],
}

impl Traffic {
    /// Messages of a kind: `hello`, `digest`, `have`, `records`, `get`, `data`, …
    pub fn messages(&self, kind: &str) -> u64 {
        self.of(kind).0
    }

    /// Messages and bytes of all kinds.
    pub(crate) fn total(&self) -> (u64, u64) {
        let sum = |all: (u64, u64), one: &(u64, u64)| (all.0 + one.0, all.1 + one.1);
        self.by_kind.iter().fold((0, 0), sum)
    }

    /// Bytes of a kind.
    pub fn bytes(&self, kind: &str) -> u64 {
        self.of(kind).1
    }

    /// Every kind with its messages and bytes.
    pub fn kinds(&self) -> impl Iterator<Item = (&'static str, u64, u64)> + '_ {
        let sent = KINDS.iter().zip(&self.by_kind);
        sent.map(|(kind, (messages, bytes))| (*kind, *messages, *bytes))
    }

    /// What was sent since an earlier moment.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut since = self.clone();
        for (sent, earlier) in since.by_kind.iter_mut().zip(&before.by_kind) {
            *sent = (sent.0 - earlier.0, sent.1 - earlier.1);
        }
        since
    }

    pub(crate) fn add(&mut self, message: &Message<Virtual>, bytes: u64) {
        let sent = &mut self.by_kind[kind_of(message)];
        sent.0 += 1;
        sent.1 += bytes;
    }

    /// Adds what was counted elsewhere, and begins that anew.
    pub(crate) fn take_in(&mut self, other: &mut Self) {
        for (sent, further) in self.by_kind.iter_mut().zip(&mut other.by_kind) {
            let (messages, bytes) = std::mem::take(further);
            *sent = (sent.0 + messages, sent.1 + bytes);
        }
    }

    fn of(&self, kind: &str) -> (u64, u64) {
        let place = KINDS.iter().position(|known| *known == kind);
        place.map_or((0, 0), |place| self.by_kind[place])
    }
}

/// Its place in [`KINDS`].
fn kind_of(message: &Message<Virtual>) -> usize {
    match message {
        Message::Control(control) => match control {
            Control::Hello { .. } => 0,
            Control::Digest(_) => 1,
            Control::Have(_) => 2,
            Control::Records(_) => 3,
            Control::Want(_) | Control::Unwant(_) => 4,
            Control::Bits { .. } | Control::Gained { .. } | Control::Claim { .. } => 5,
            Control::Join { .. } | Control::JoinRefused { .. } => 6,
            Control::Remembered { .. } => 7,
            Control::Compare(_) | Control::Compared(_) => 11,
        },
        Message::Get(_) | Message::GetBlob(_) => 8,
        Message::Data(..) | Message::Blob(..) => 9,
        Message::Absent(_) | Message::NoBlob(_) => 10,
    }
}

/// Length of the encoding: numbers have a fixed width, lengths have eight bytes.
pub(crate) fn control_bytes(control: &Control) -> u64 {
    let lists = |lists: &[Vec<u8>]| -> usize { lists.iter().map(|one| 8 + one.len()).sum() };
    let heads = |heads: &[HaveHead]| -> usize {
        let each = |head: &HaveHead| 8 + head.channel.as_str().len() + 16 + 32;
        heads.iter().map(each).sum()
    };
    let have = |have: &Have| {
        let whole: usize = have.whole.iter().map(|name| 8 + name.as_str().len()).sum();
        40 + 4 * 8 + 2 + heads(&have.heads) + 32 * have.wants.len() + 8 * have.others.len() + whole
    };
    let said = |says: &Says| match says {
        Says::Prints(_) => 4 * COMPARED_FAN,
        Says::Keys(keys) | Says::Wants(keys) => 8 + 4 * keys.len(),
        Says::Again => 0,
    };
    let comparison = |sets: &Comparison| -> usize {
        let parts = sets.parts.iter().map(|part| 20 + said(&part.says));
        48 + parts.sum::<usize>()
    };
    let body = match control {
        Control::Hello { enrolment, .. } => {
            73 + enrolment.as_ref().map_or(0, |bytes| 8 + bytes.len())
        }
        Control::Digest(_) => 96,
        Control::Have(held) => have(held),
        Control::Records(envelopes) => 8 + lists(envelopes),
        Control::Want(_) | Control::Unwant(_) => 32,
        Control::Bits { bits, .. } => 40 + bits.len(),
        Control::Gained { indexes, .. } => 40 + 4 * indexes.len(),
        Control::Claim { chunks, .. } => 41 + 4 * chunks.len(),
        Control::Join { .. } => 81,
        Control::JoinRefused { reason, .. } => 56 + reason.len(),
        Control::Remembered { heads: held, .. } => 16 + heads(held),
        Control::Compare(sets) | Control::Compared(sets) => comparison(sets),
    };
    4 + body as u64
}

#[cfg(test)]
mod tests {
    use weft_record::{ComparedPart, Hash, RecordId, TrustDigest, codec};

    use super::*;

    #[test]
    fn weights_are_the_lengths_of_the_encodings() {
        let key = weft_keys::SecretKey::from_seed([1; 32]).public();
        let name: weft_record::Name = "stable".parse().expect("a valid name");
        let head = HaveHead {
            channel: name.clone(),
            epoch: 0,
            seq: 1,
            id: RecordId::ZERO,
        };
        let have = Have {
            heads: vec![head.clone(); 3],
            wants: vec![RecordId::ZERO; 2],
            others: vec![1, 2, 3],
            whole: vec![name],
            ..Have::default()
        };
        let request = weft_record::JoinRequest {
            node: key,
            invitation: [0; 16],
            code: [0; 32],
        };
        let file = Hash::of(b"file");
        let part = |says| ComparedPart {
            from: 1,
            to: 2,
            says,
        };
        let sets = Comparison {
            parts: vec![
                part(Says::Prints([3; COMPARED_FAN])),
                part(Says::Keys(vec![4, 5])),
                part(Says::Wants(vec![6])),
                part(Says::Again),
            ],
            ..Comparison::default()
        };
        let all = [
            Control::Hello {
                mesh_id: weft_record::MeshId::ZERO,
                root_version: 1,
                root: RecordId::ZERO,
                enrolment: Some(vec![1; 77]),
            },
            Control::Digest(TrustDigest::default()),
            Control::Have(Box::new(have)),
            Control::Records(vec![vec![1; 5], vec![2; 6]]),
            Control::Want(file),
            Control::Bits {
                file,
                bits: vec![1; 9],
            },
            Control::Gained {
                file,
                indexes: vec![1, 2],
            },
            Control::Join { request, hops: 1 },
            Control::JoinRefused {
                node: key,
                invitation: [0; 16],
                reason: "no".to_owned(),
            },
            Control::Remembered {
                root_version: 1,
                heads: vec![head],
            },
            Control::Compare(Box::new(sets.clone())),
            Control::Compared(Box::new(sets)),
        ];
        for control in all {
            let encoded = codec::encode(&control).len() as u64;
            assert_eq!(control_bytes(&control), encoded, "{control:?}");
        }
    }
}
