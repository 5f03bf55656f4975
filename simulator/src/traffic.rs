//! What messages weigh, and one line about each input for the log.

use std::collections::BTreeMap;

use weft_core::{Control, Input, Message};
use weft_record::{Hash, Have, HaveHead};

use crate::payload::Virtual;

/// Messages and bytes sent, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    by_kind: BTreeMap<&'static str, (u64, u64)>,
}

impl Traffic {
    /// Messages of a kind: `hello`, `digest`, `have`, `records`, `get`, `data`, …
    pub fn messages(&self, kind: &str) -> u64 {
        self.by_kind.get(kind).map_or(0, |(messages, _)| *messages)
    }

    /// Bytes of a kind.
    pub fn bytes(&self, kind: &str) -> u64 {
        self.by_kind.get(kind).map_or(0, |(_, bytes)| *bytes)
    }

    /// What was sent since an earlier moment.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let by_kind = self.by_kind.iter().map(|(kind, (messages, bytes))| {
            let sent = (messages - before.messages(kind), bytes - before.bytes(kind));
            (*kind, sent)
        });
        Self {
            by_kind: by_kind.collect(),
        }
    }

    pub(crate) fn add(&mut self, kind: &'static str, bytes: u64) {
        let sent = self.by_kind.entry(kind).or_default();
        sent.0 += 1;
        sent.1 += bytes;
    }
}

pub(crate) fn kind_of(message: &Message<Virtual>) -> &'static str {
    match message {
        Message::Control(control) => match control {
            Control::Hello { .. } => "hello",
            Control::Digest(_) => "digest",
            Control::Have(_) => "have",
            Control::Records(_) => "records",
            Control::Want(_) | Control::Unwant(_) => "want",
            Control::Bits { .. } | Control::Gained { .. } => "bits",
            Control::Join { .. } | Control::JoinRefused { .. } => "join",
            Control::Remembered { .. } => "remembered",
        },
        Message::Get(_) | Message::GetBlob(_) => "get",
        Message::Data(..) | Message::Blob(..) => "data",
        Message::Absent(_) | Message::NoBlob(_) => "absent",
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
        40 + 4 * 8 + heads(&have.heads) + 32 * have.wants.len() + 8 * have.others.len() + whole
    };
    let body = match control {
        Control::Hello { enrolment, .. } => {
            73 + enrolment.as_ref().map_or(0, |bytes| 8 + bytes.len())
        }
        Control::Digest(_) => 72,
        Control::Have(held) => have(held),
        Control::Records(envelopes) => 8 + lists(envelopes),
        Control::Want(_) | Control::Unwant(_) => 32,
        Control::Bits { bits, .. } => 40 + bits.len(),
        Control::Gained { indexes, .. } => 40 + 4 * indexes.len(),
        Control::Join { .. } => 81,
        Control::JoinRefused { reason, .. } => 56 + reason.len(),
        Control::Remembered { heads: held, .. } => 16 + heads(held),
    };
    4 + body as u64
}

/// One line for the log: what kind of input, about what.
pub(crate) fn summary(input: &Input<Virtual>) -> String {
    match input {
        Input::Command(_) => "command".to_owned(),
        Input::PeerUp(peer) => format!("up {peer}"),
        Input::BundleUp(peer) => format!("bundle {peer}"),
        Input::PeerDown(peer) => format!("down {peer}"),
        Input::Message(peer, Message::Control(control)) => {
            format!("from {peer} {}", told(control))
        }
        Input::Message(peer, Message::Get(chunk)) => format!("from {peer} get {chunk:?}"),
        Input::Message(peer, Message::Data(chunk, _)) => format!("from {peer} data {chunk:?}"),
        Input::Message(peer, Message::Absent(chunk)) => format!("from {peer} absent {chunk:?}"),
        Input::Message(peer, _) => format!("from {peer} blob"),
        Input::Gossip(envelope) => format!("gossip {}", Hash::of(envelope)),
        Input::Done(operation, _) => format!("done {}", operation.0),
        Input::Tick => "tick".to_owned(),
    }
}

/// What holds many bytes by their hash.
fn told(control: &Control) -> String {
    match control {
        Control::Records(envelopes) => {
            let all = Hash::of(&envelopes.concat());
            format!("records {} {all}", envelopes.len())
        }
        Control::Hello {
            root_version,
            root,
            enrolment,
            ..
        } => {
            let shown = enrolment.as_ref().map(|bytes| Hash::of(bytes));
            format!("hello {root_version} {root} {shown:?}")
        }
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use weft_record::{RecordId, TrustDigest, codec};

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
        let all = [
            Control::Hello {
                mesh_id: weft_record::MeshId::ZERO,
                root_version: 1,
                root: RecordId::ZERO,
                enrolment: Some(vec![1; 77]),
            },
            Control::Digest(TrustDigest::default()),
            Control::Have(have),
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
        ];
        for control in all {
            let encoded = codec::encode(&control).len() as u64;
            assert_eq!(control_bytes(&control), encoded, "{control:?}");
        }
    }
}
