//! What is wrong with the places that this node dials, for people.

use std::collections::BTreeMap;

use bytes::Bytes;
use weft_core::{Control, Message, Peer};
use weft_net::{Multiaddr, NetEvent, peer_name};
use weft_record::MeshId;

use crate::report::{PlaceProblem, PlaceReport};

/// Places told of; a node is given a handful of addresses.
const PLACES: usize = 32;

/// Follows the network's events.
pub(crate) struct Places {
    mesh_id: MeshId,
    /// As the settings name them, without `/p2p`.
    bootstrap: Vec<Multiaddr>,
    /// Where peers that are up were reached.
    dialled: BTreeMap<Peer, Multiaddr>,
    wrong: BTreeMap<Multiaddr, (PlaceProblem, String)>,
}

impl Places {
    pub(crate) fn new(mesh_id: MeshId, bootstrap: &[Multiaddr]) -> Self {
        Self {
            mesh_id,
            bootstrap: bootstrap.iter().map(without_peer).collect(),
            dialled: BTreeMap::new(),
            wrong: BTreeMap::new(),
        }
    }

    pub(crate) fn see(&mut self, event: &NetEvent) {
        match event {
            NetEvent::PeerUp {
                peer,
                address,
                outbound: true,
                ..
            } => {
                self.wrong.remove(address);
                self.dialled.insert(*peer, address.clone());
            }
            NetEvent::PeerDown { peer, .. } => {
                self.dialled.remove(peer);
            }
            NetEvent::Message(peer, message) => self.hear(peer, message),
            NetEvent::OtherPeer {
                address,
                expected,
                found,
            } => {
                let text = format!(
                    "at {address} another node answers: {}, expected {}",
                    peer_name(found),
                    peer_name(expected)
                );
                self.note(address, PlaceProblem::OtherNode, text);
            }
            NetEvent::DialFailed { address, reason } if self.bootstrap.contains(address) => {
                let text = format!("nobody answers at {address}: {reason}");
                self.note(address, PlaceProblem::Unreachable, text);
            }
            _ => {}
        }
    }

    pub(crate) fn report(&self) -> Vec<PlaceReport> {
        let wrong = self.wrong.iter();
        wrong
            .map(|(address, (problem, text))| PlaceReport {
                address: address.to_string(),
                problem: *problem,
                text: text.clone(),
            })
            .collect()
    }

    fn hear(&mut self, peer: &Peer, message: &Message<Bytes>) {
        let Message::Control(Control::Hello { mesh_id, .. }) = message else {
            return;
        };
        if let (true, Some(address)) = (*mesh_id != self.mesh_id, self.dialled.get(peer)) {
            let text = format!("the node at {address} belongs to mesh {mesh_id}");
            self.note(&address.clone(), PlaceProblem::OtherMesh, text);
        }
    }

    fn note(&mut self, address: &Multiaddr, problem: PlaceProblem, text: String) {
        if self.wrong.len() < PLACES || self.wrong.contains_key(address) {
            let known = self.wrong.get(address);
            if known.is_none_or(|(_, known)| *known != text) {
                tracing::warn!("{text}");
            }
            self.wrong.insert(address.clone(), (problem, text));
        }
    }
}

fn without_peer(address: &Multiaddr) -> Multiaddr {
    let named = address.to_string();
    let bare = named.split("/p2p/").next().unwrap_or(&named);
    bare.parse().unwrap_or_else(|_| address.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use weft_keys::SecretKey;
    use weft_record::RecordId;

    use super::*;

    fn peer(number: u8) -> Peer {
        SecretKey::from_seed([number; 32]).public()
    }

    #[test]
    fn what_is_wrong_with_a_place_is_told_until_the_right_peer_is_there() {
        let ours = "ab".repeat(32).parse().unwrap();
        let other: MeshId = "cd".repeat(32).parse().unwrap();
        let address: Multiaddr = "/ip4/192.0.2.7/tcp/4001".parse().unwrap();
        let named = format!("{address}/p2p/{}", peer_name(&peer(1)));
        let mut places = Places::new(ours, &[named.parse().unwrap()]);
        let reason = "connection refused".to_owned();
        places.see(&NetEvent::DialFailed {
            address: address.clone(),
            reason: reason.clone(),
        });
        assert_eq!(places.report()[0].problem, PlaceProblem::Unreachable);
        // of places that nobody gave it, it does not complain
        let elsewhere = "/ip4/192.0.2.8/tcp/1".parse().unwrap();
        places.see(&NetEvent::DialFailed {
            address: elsewhere,
            reason,
        });
        places.see(&NetEvent::OtherPeer {
            address: address.clone(),
            expected: peer(1),
            found: peer(2),
        });
        let report = places.report();
        assert_eq!(report.len(), 1, "{report:?}");
        assert_eq!(report[0].problem, PlaceProblem::OtherNode);
        for word in [
            peer_name(&peer(1)),
            peer_name(&peer(2)),
            address.to_string(),
        ] {
            assert!(report[0].text.contains(&word), "{report:?}");
        }
        places.see(&NetEvent::PeerUp {
            peer: peer(1),
            address,
            outbound: true,
            path: weft_core::Path::Lan,
        });
        assert_eq!(places.report(), []);
        let hello = Control::Hello {
            mesh_id: other,
            root_version: 1,
            root: RecordId([0; 32]),
            enrolment: None,
        };
        places.see(&NetEvent::Message(peer(1), Message::Control(hello)));
        let report = places.report();
        assert_eq!(report[0].problem, PlaceProblem::OtherMesh);
        assert!(report[0].text.contains(&other.to_string()), "{report:?}");
    }
}
