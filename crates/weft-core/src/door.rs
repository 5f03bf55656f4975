//! Who belongs: what peers show of themselves, how it is judged, and whether this node
//! itself belongs.

use weft_record::{Decoded, Kind, MeshId, RecordId, Verified, bounds::MAX_RECORD_BYTES};

use crate::{
    bounds,
    config::NodeStanding,
    io::{DisconnectReason, Event, Output},
    members::Standing,
    message::{Control, Message, Payload, Peer},
    node::Node,
    score::Source,
};

/// What a peer's last Hello showed; judged again whenever what is known here changes.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) root_version: u64,
    pub(crate) enrolment: Option<Decoded>,
}

/// Whether this node belongs, as it was judged last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) standing: Standing,
    /// By which enrolment.
    enrolment: Option<RecordId>,
}

impl Own {
    pub(crate) fn is_member(self) -> bool {
        self.standing.is_member()
    }
}

impl<P: Payload> Node<P> {
    pub(crate) fn hello(
        &mut self,
        peer: Peer,
        mesh_id: MeshId,
        root_version: u64,
        enrolment: Option<&[u8]>,
    ) {
        if self.is_bundle(&peer) {
            return;
        }
        if !self.allows(peer, |account| &mut account.hellos, bounds::HELLOS) {
            return;
        }
        if mesh_id != self.config.mesh_id {
            self.drop_stranger(peer);
            return;
        }
        if enrolment.is_some_and(|bytes| bytes.len() > MAX_RECORD_BYTES) {
            self.fault(peer, bounds::FAULT_POINTS, "its enrolment is too long");
            return;
        }
        let ahead = root_version > self.root_version();
        // what is no enrolment shows nothing
        let decoded = enrolment.and_then(|bytes| self.memo.decode(bytes).ok());
        let shown = Shown {
            root_version,
            enrolment: decoded.filter(|decoded| decoded.kind() == Kind::Enroll),
        };
        if let Some(state) = self.peers.get_mut(&peer) {
            state.shown = Some(shown);
        }
        self.look_at(peer);
        if ahead || !self.own.is_member() {
            self.ask(peer);
        }
        self.ask_to_join(peer);
    }

    /// Judges all peers and this node itself again: roots, revocations or enrolments came,
    /// or time passed.
    pub(crate) fn judge_all(&mut self) {
        self.judge_own();
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            self.look_at(peer);
        }
    }

    /// Judges whether this node belongs, and tells its peers if that has changed.
    pub(crate) fn judge_own(&mut self) {
        let key = self.config.key;
        let standing = self.judged(&key);
        let enrolment = self.trust.enrolment(&key).map(Verified::id);
        let own = Own {
            standing,
            enrolment,
        };
        let before = std::mem::replace(&mut self.own, own);
        if before == own {
            return;
        }
        if standing.is_member() && !before.is_member() {
            self.joined();
        }
        if before.enrolment != enrolment || before.standing != standing {
            for peer in self.unbundled() {
                self.send_hello(peer);
            }
        }
        if self.is_joining() {
            // it lapsed, or has just learned whom to ask
            for peer in self.unbundled() {
                self.ask_to_join(peer);
            }
        }
        if standing.is_member() && !before.is_member() {
            for peer in self.members().collect::<Vec<_>>() {
                self.send_digest(peer);
                self.want_from(peer);
            }
        }
    }

    pub(crate) fn node_standing(&self) -> NodeStanding {
        match self.own.standing {
            Standing::Member | Standing::Bundle => NodeStanding::Member,
            _ if self.is_joining() => NodeStanding::Joining,
            Standing::Lapsed => NodeStanding::Lapsed,
            Standing::Door => NodeStanding::Stranger,
        }
    }

    pub(crate) fn root_version(&self) -> u64 {
        self.trust.root().map_or(0, |root| root.version)
    }

    /// All peers but bundles.
    pub(crate) fn unbundled(&self) -> Vec<Peer> {
        let peers = self.peers.iter();
        peers
            .filter(|(_, state)| state.standing != Standing::Bundle)
            .map(|(peer, _)| *peer)
            .collect()
    }

    pub(crate) fn door_due_us(&self) -> u64 {
        // without a root of its own a node cannot tell who belongs
        if self.trust.root().is_none() {
            return u64::MAX;
        }
        let waiting = self.at_door();
        waiting.map(|(_, due_us)| due_us).min().unwrap_or(u64::MAX)
    }

    pub(crate) fn run_door_timers(&mut self) {
        if self.door_due_us() > self.now_us {
            return;
        }
        let late = self.at_door().filter(|(_, due_us)| *due_us <= self.now_us);
        for (peer, _) in late.collect::<Vec<_>>() {
            self.drop_stranger(peer);
        }
    }

    /// The first root came: only now can be judged who belongs.
    pub(crate) fn restart_door(&mut self) {
        let door_due_us = self.now_us + bounds::DOOR_TIMEOUT_US;
        for state in self.peers.values_mut() {
            state.door_due_us = door_due_us;
        }
    }

    /// Room for one more peer, if need be that of whoever stands at the door longest.
    pub(crate) fn make_room(&mut self) -> bool {
        let at_door = self.at_door().count();
        if self.peers.len() < bounds::PEERS && at_door < bounds::DOOR_PEERS {
            return true;
        }
        // one that came just now may be about to show that it belongs
        let greeted = self.at_door().filter(|(peer, _)| {
            let state = self.peers.get(peer);
            state.is_some_and(|state| state.shown.is_some())
        });
        let longest = greeted.min_by_key(|(peer, due_us)| (*due_us, *peer));
        if let Some((peer, _)) = longest {
            self.drop_stranger(peer);
        }
        longest.is_some()
    }

    /// Who was revoked learns why it is turned away.
    pub(crate) fn tell_revoked(&mut self, peer: Peer) {
        let target = weft_record::RevokeTarget::Key(peer);
        let revoke = self.trust.revokes().find(|revoke| revoke.target == target);
        if let Some(bytes) = revoke.map(|revoke| revoke.envelope().encode()) {
            self.send(peer, Message::Control(Control::Records(vec![bytes])));
        }
    }

    fn at_door(&self) -> impl Iterator<Item = (Peer, u64)> + '_ {
        let door = self.peers.iter();
        door.filter(|(_, state)| state.standing == Standing::Door)
            .map(|(peer, state)| (*peer, state.door_due_us))
    }

    /// Holds what a peer showed against what is known here.
    fn look_at(&mut self, peer: Peer) {
        let Some(state) = self.peers.get(&peer) else {
            return;
        };
        let Some(shown) = state.shown.as_ref() else {
            // its mesh is not known yet, or it is a bundle
            return;
        };
        // by roots that are not here yet it may be in order
        let ahead = shown.root_version > self.root_version();
        let enrolment = shown.enrolment.clone();
        if let Some(enrolment) = enrolment.filter(|_| !ahead && !self.judged(&peer).is_member()) {
            self.take_shown(Source::Peer(peer), enrolment.envelope().encode());
        }
        self.judge(peer);
    }

    fn judge(&mut self, peer: Peer) {
        if self.trust.is_key_revoked(&peer) {
            self.tell_revoked(peer);
            self.drop_stranger(peer);
            return;
        }
        let standing = self.judged(&peer);
        let door_due_us = self.now_us + bounds::DOOR_TIMEOUT_US;
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let before = std::mem::replace(&mut state.standing, standing);
        if before == standing {
            return;
        }
        if before.is_member() {
            self.part_from(peer);
            self.emit(Output::Admitted(peer, false));
            self.event(Event::PeerLeft { peer });
        }
        match standing {
            Standing::Member => {
                self.emit(Output::Admitted(peer, true));
                self.event(Event::PeerJoined { peer });
                self.send_digest(peer);
                self.want_from(peer);
                self.ask_to_join(peer);
            }
            Standing::Lapsed => self.send_digest(peer),
            Standing::Door | Standing::Bundle => {
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.door_due_us = door_due_us;
                }
            }
        }
    }

    fn judged(&self, node: &Peer) -> Standing {
        if self.trust.root().is_none() {
            return Standing::Door;
        }
        match self.trust.standing(node, self.rooted_now_s()) {
            weft_record::Standing::Member(_) => Standing::Member,
            weft_record::Standing::Lapsed(_) => Standing::Lapsed,
            weft_record::Standing::Stranger => Standing::Door,
        }
    }

    fn drop_stranger(&mut self, peer: Peer) {
        self.disconnect(peer, DisconnectReason::Stranger);
        self.event(Event::StrangerDropped { peer });
    }
}
