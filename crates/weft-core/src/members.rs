//! Who belongs: the handshake that drops strangers, and the head digests that
//! make every pair of members converge.

use std::collections::{BTreeMap, BTreeSet};

use weft_record::{Admission, Envelope, Hash, Kind, MeshId, TrustDigest};

use crate::{
    bits::Bits,
    bounds,
    io::{DisconnectReason, Event, Output},
    message::{ChunkRef, Control, Message, Payload, Peer},
    node::Node,
};

/// What is known of one connected peer.
#[derive(Debug, Default)]
pub(crate) struct PeerState {
    /// It proved a record of this mesh's root chain.
    pub(crate) member: bool,
    /// Until when it must have proved it.
    pub(crate) hello_due_us: u64,
    /// Records of it that were refused.
    pub(crate) refusals: u32,
    /// Chunk requests that wait for its answer, with their deadlines.
    pub(crate) requests: BTreeMap<ChunkRef, u64>,
    /// Chunk reads under way for it.
    pub(crate) serving: usize,
    /// Files of which it wants news.
    pub(crate) wants: BTreeSet<Hash>,
    /// Which chunks it holds of the files that this node fetches.
    pub(crate) holds: BTreeMap<Hash, Bits>,
}

impl<P: Payload> Node<P> {
    pub(crate) fn members(&self) -> impl Iterator<Item = Peer> + '_ {
        self.peers
            .iter()
            .filter(|(_, state)| state.member)
            .map(|(peer, _)| *peer)
    }

    pub(crate) fn is_member(&self, peer: &Peer) -> bool {
        self.peers.get(peer).is_some_and(|state| state.member)
    }

    pub(crate) fn peer_up(&mut self, peer: Peer) {
        if self.peers.len() >= bounds::PEERS && !self.peers.contains_key(&peer) {
            self.emit(Output::Disconnect(peer, DisconnectReason::Full));
            return;
        }
        let hello_due_us = self.now_us + bounds::DOOR_TIMEOUT_US;
        self.peers.insert(
            peer,
            PeerState {
                hello_due_us,
                ..PeerState::default()
            },
        );
        self.send_hello(peer);
    }

    pub(crate) fn peer_down(&mut self, peer: Peer) {
        if let Some(state) = self.peers.remove(&peer) {
            self.forget_requests(&peer, &state);
            if state.member {
                self.event(Event::PeerLeft { peer });
            }
        }
    }

    /// Lets a peer go; its requests go to others at once.
    pub(crate) fn disconnect(&mut self, peer: Peer, reason: DisconnectReason) {
        self.peer_down(peer);
        self.emit(Output::Disconnect(peer, reason));
    }

    pub(crate) fn control(&mut self, peer: Peer, control: Control) {
        if !self.peers.contains_key(&peer) {
            return;
        }
        match control {
            Control::Hello { mesh_id, .. } => self.hello(peer, mesh_id, &[]),
            _ if !self.is_member(&peer) => {}
            Control::Join { .. } | Control::JoinRefused { .. } | Control::Remembered { .. } => {}
            Control::Digest(digest) => self.digest(peer, digest),
            Control::Have(have) => self.have(peer, &have),
            Control::Records(envelopes) => self.records(Some(peer), &envelopes),
            Control::Want(file) => self.wanted(peer, file),
            Control::Unwant(file) => {
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.wants.remove(&file);
                }
            }
            Control::Bits { file, bits } => self.bits_arrived(peer, file, &bits),
            Control::Gained { file, indexes } => self.gained_arrived(peer, file, &indexes),
        }
    }

    /// Speaks to those that have not yet proved themselves: a root chain was learned.
    pub(crate) fn greet_again(&mut self) {
        let waiting: Vec<Peer> = self
            .peers
            .iter_mut()
            .filter(|(_, state)| !state.member)
            .map(|(peer, state)| {
                state.hello_due_us = self.now_us + bounds::DOOR_TIMEOUT_US;
                *peer
            })
            .collect();
        for peer in waiting {
            self.send_hello(peer);
        }
        for peer in self.members().collect::<Vec<_>>() {
            self.send_hello(peer);
        }
    }

    pub(crate) fn send_digests(&mut self) {
        for peer in self.members().collect::<Vec<_>>() {
            self.send_digest(peer);
        }
    }

    pub(crate) fn members_due_us(&self) -> u64 {
        // without a root chain of its own a node cannot tell strangers apart
        if self.trust.root().is_none() {
            return u64::MAX;
        }
        let waiting = self.peers.values().filter(|state| !state.member);
        waiting
            .map(|state| state.hello_due_us)
            .min()
            .unwrap_or(u64::MAX)
    }

    pub(crate) fn run_member_timers(&mut self) {
        if self.members_due_us() > self.now_us {
            return;
        }
        let late: Vec<Peer> = self
            .peers
            .iter()
            .filter(|(_, state)| !state.member && state.hello_due_us <= self.now_us)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in late {
            self.drop_stranger(peer);
        }
    }

    fn send_hello(&mut self, peer: Peer) {
        let root = self.trust.root();
        let hello = Control::Hello {
            mesh_id: self.config.mesh_id,
            root_version: root.map_or(0, |root| root.version),
            root: root.map_or(weft_record::RecordId::ZERO, weft_record::Verified::id),
            enrolment: None,
        };
        self.send(peer, Message::Control(hello));
    }

    fn hello(&mut self, peer: Peer, mesh_id: MeshId, roots: &[Vec<u8>]) {
        if mesh_id != self.config.mesh_id {
            self.drop_stranger(peer);
            return;
        }
        if roots.is_empty() {
            // it is joining: our own Hello carries the chain, and it will greet again
            return;
        }
        let knew_root = self.trust.root().is_some();
        let (wall_s, mut learned) = (self.wall_s(), Vec::new());
        for bytes in roots {
            let admitted = Envelope::decode(bytes).and_then(|envelope| {
                if envelope.kind != Kind::Root as u8 {
                    return Ok(Admission::Waiting(weft_record::Missing::Root));
                }
                self.trust.admit(envelope, wall_s, &mut self.memo)
            });
            match admitted {
                Ok(Admission::New(..) | Admission::Merged | Admission::Floor(_)) => {
                    learned.push(bytes.clone())
                }
                Ok(Admission::Known | Admission::Superseded) => {}
                Ok(Admission::Waiting(_)) | Err(_) => {
                    self.counters.records_refused += 1;
                    self.save_learned(learned, knew_root);
                    self.drop_stranger(peer);
                    return;
                }
            }
        }
        self.save_learned(learned, knew_root);
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        if !std::mem::replace(&mut state.member, true) {
            self.event(Event::PeerJoined { peer });
            self.send_digest(peer);
            self.want_from(peer);
        }
    }

    fn save_learned(&mut self, learned: Vec<Vec<u8>>, knew_root: bool) {
        if learned.is_empty() {
            return;
        }
        self.save(learned);
        if !knew_root && self.trust.root().is_some() {
            self.greet_again();
        }
    }

    fn drop_stranger(&mut self, peer: Peer) {
        self.disconnect(peer, DisconnectReason::Stranger);
        self.event(Event::StrangerDropped { peer });
    }

    fn send_digest(&mut self, peer: Peer) {
        let digest = self.trust.digest();
        self.send(peer, Message::Control(Control::Digest(digest)));
    }

    /// Tells in full what this node holds: the peer answers with the rest.
    pub(crate) fn send_have(&mut self, peer: Peer) {
        let have = self.trust.have();
        self.send(peer, Message::Control(Control::Have(have)));
    }

    fn digest(&mut self, peer: Peer, digest: TrustDigest) {
        if digest != self.trust.digest() {
            self.send_have(peer);
        }
    }
}
