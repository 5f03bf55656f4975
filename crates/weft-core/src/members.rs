//! Connected peers: who they are to this node, and where their messages go.

use weft_record::{Detail, Hash, RecordId, TrustDigest, Verified};

use crate::{
    bounds,
    claims::Claim,
    compare::Comparing,
    door::Shown,
    io::{DisconnectReason, Event, Output, Path},
    message::{Control, Message, Payload, Peer},
    node::Node,
    pace::{Moment, Window},
    score::Source,
    table::Table,
};

/// What a connected peer may take part in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing but the door: it has not shown, or not yet, that it belongs.
    #[default]
    Door,
    /// It belonged once: it may exchange roots, revocations and enrolments.
    Lapsed,
    /// All of it.
    Member,
    /// A file that the owner attached: it gives everything and is given nothing.
    Bundle,
}

impl Standing {
    pub(crate) fn is_member(self) -> bool {
        self == Self::Member
    }
}

/// What is known of one connected peer.
#[derive(Debug, Default)]
pub(crate) struct PeerState {
    pub(crate) standing: Standing,
    /// How its bytes get here; a bundle's lie here already.
    pub(crate) path: Path,
    /// Until when it may stand at the door.
    pub(crate) door_due_us: u64,
    /// What its last Hello showed.
    pub(crate) shown: Option<Shown>,
    /// Answers that it got at the door.
    pub(crate) door_answers: u32,
    /// Until when it may answer what was asked.
    pub(crate) asked_until_us: Option<u64>,
    /// It told something new while it was asked.
    pub(crate) ask_again: bool,
    /// It was asked too often: it is asked again at this time.
    pub(crate) ask_due_us: Option<u64>,
    /// How much of what is held here it is told with the next question...
    pub(crate) ask_detail: Detail,
    /// ...and was with the last.
    pub(crate) asked_detail: Detail,
    /// What is under way between its sets and those here.
    pub(crate) comparing: Option<Box<Comparing>>,
    /// The digest that it told last.
    pub(crate) digest: Option<Fingerprint>,
    /// It was told, and it told, what is remembered of the other.
    pub(crate) reminded: bool,
    pub(crate) reminds: bool,
    /// Chunk reads under way for it.
    pub(crate) serving: u16,
    /// Chunk requests that wait for its answer, over all files.
    pub(crate) requests: u16,
    /// How many there may be.
    pub(crate) window: Window,
    /// How often it was given up on since it delivered last.
    pub(crate) strikes: u8,
    /// When it delivered last, or was asked after it had delivered everything.
    pub(crate) progress: Moment,
    /// For how long it had delivered nothing when it delivered last.
    pub(crate) pause: Moment,
    /// Not before this is it asked again for files of which it told nothing.
    pub(crate) untold_due_us: u64,
    /// What is under way with it of each file.
    pub(crate) files: Table<Hash, PeerFile>,
}

/// Enough of a digest to see that it is not another one: whoever makes two that look the
/// same deceives itself alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    list: u64,
    set: u64,
    set_records: u32,
    root: u32,
}

impl Fingerprint {
    pub(crate) fn of(digest: &TrustDigest) -> Self {
        let first = |bytes: &[u8]| {
            let bytes = bytes.first_chunk().copied();
            u64::from_le_bytes(bytes.unwrap_or_default())
        };
        let root = digest.root_version ^ first(digest.root.as_bytes());
        Self {
            list: first(digest.list.as_bytes()),
            set: first(&digest.set_print),
            set_records: u32::try_from(digest.set_records).unwrap_or(u32::MAX),
            root: (root ^ root >> 32) as u32,
        }
    }

    pub(crate) fn has_list_of(&self, other: &Self) -> bool {
        (self.root, self.list) == (other.root, other.list)
    }

    /// Whether the sets differ, and both sides judge them by the same root.
    pub(crate) fn may_compare(&self, other: &Self) -> bool {
        self.root == other.root && (self.set, self.set_records) != (other.set, other.set_records)
    }

    /// Whether its sets hold fewer records; of two that hold as many the first does.
    pub(crate) fn is_behind(&self, other: &Self, is_first: bool) -> bool {
        let (held, others) = (self.set_records, other.set_records);
        held < others || held == others && is_first
    }
}

/// One file between this node and a peer.
#[derive(Debug, Default)]
pub(crate) struct PeerFile {
    /// The peer wants news of it.
    pub(crate) wanted: bool,
    /// It did not deliver a chunk: it is asked again at this time what it holds.
    pub(crate) want_due_us: Option<u64>,
    /// What it fetches over the uplink that this node shares with it.
    pub(crate) claim: Option<Box<Claim>>,
    /// Chunks asked of it, and when.
    pub(crate) requests: Vec<(u32, Moment)>,
    /// The same of those that are late: others may be asked for these, and what comes yet is
    /// taken if it is still lacking.
    pub(crate) overdue: Vec<(u32, Moment)>,
}

/// A request that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) at: Moment,
    /// It was late.
    pub(crate) was_overdue: bool,
}

impl PeerFile {
    pub(crate) fn warm(&self) -> u64 {
        u64::from(self.wanted) ^ self.requests.len() as u64
    }

    pub(crate) fn warm_behind(&self) -> u64 {
        self.requests.first().map_or(0, |one| u64::from(one.0))
    }

    fn is_idle(&self) -> bool {
        !self.wanted
            && self.want_due_us.is_none()
            && self.claim.is_none()
            && self.requests.is_empty()
            && self.overdue.is_empty()
    }
}

impl PeerState {
    /// Whether a question is under way.
    pub(crate) fn is_asked(&self, now_us: u64) -> bool {
        self.asked_until_us
            .is_some_and(|until_us| until_us > now_us)
    }

    /// When its sets are to be compared.
    pub(crate) fn compare_due_us(&self) -> Option<u64> {
        self.comparing.as_ref()?.due_us()
    }

    /// How many further chunks may be asked of it.
    pub(crate) fn room(&self) -> usize {
        usize::from(self.window.0).saturating_sub(usize::from(self.requests))
    }

    pub(crate) fn warm(&self) -> u64 {
        let first = u64::from(self.requests) ^ u64::from(self.standing.is_member());
        first ^ self.untold_due_us ^ self.files.len() as u64 ^ self.door_due_us
    }

    pub(crate) fn file(&mut self, file: Hash) -> &mut PeerFile {
        self.files.entry(&file)
    }

    /// Ends a request, and tells when it was made.
    pub(crate) fn answered(&mut self, file: &Hash, index: u32) -> Option<Asked> {
        let state = self.files.get_mut(file)?;
        // answers come in turn: the first one is to what was asked first
        let late = take(&mut state.overdue, index).map(|at| (at, true));
        let taken = || take(&mut state.requests, index).map(|at| (at, false));
        let (at, was_overdue) = late.or_else(taken)?;
        self.requests -= u16::from(!was_overdue);
        Some(Asked { at, was_overdue })
    }

    /// A request is late: there is one less to wait for, and the next one stays alone until
    /// it is answered. Tells for how long nothing came.
    pub(crate) fn overdue(&mut self, file: &Hash, index: u32, now: Moment) -> Moment {
        let requests = self.files.get_mut(file);
        let taken = requests.and_then(|state| Some((take(&mut state.requests, index)?, state)));
        let Some((at, state)) = taken else {
            return Moment::default();
        };
        state.overdue.push((index, at));
        self.requests -= 1;
        self.window = Window::LEAST;
        now.since(at.max(self.progress))
    }

    /// Nothing comes any more of what was asked for before this.
    pub(crate) fn forget_overdue(&mut self, before_us: u64) {
        for state in self.files.values_mut() {
            state.overdue.retain(|(_, asked)| asked.us() >= before_us);
        }
    }

    /// What was asked for of a file matters no more.
    pub(crate) fn forget_asked(&mut self, file: &Hash) {
        if let Some(state) = self.files.get_mut(file) {
            self.requests -= state.requests.len() as u16;
            (state.requests, state.overdue) = (Vec::new(), Vec::new());
        }
    }

    pub(crate) fn drop_idle_files(&mut self) {
        self.files.retain(|_, state| !state.is_idle());
    }
}

fn take(requests: &mut Vec<(u32, Moment)>, index: u32) -> Option<Moment> {
    let place = requests.iter().position(|(asked, _)| *asked == index)?;
    Some(requests.swap_remove(place).1)
}

impl<P: Payload> Node<P> {
    pub(crate) fn members(&self) -> impl Iterator<Item = Peer> + '_ {
        let members = self.peers.iter();
        members
            .filter(|(_, state)| state.standing.is_member())
            .map(|(peer, _)| *peer)
    }

    pub(crate) fn standing_of(&self, peer: &Peer) -> Standing {
        let state = self.peers.get(peer);
        state.map(|state| state.standing).unwrap_or_default()
    }

    pub(crate) fn is_member(&self, peer: &Peer) -> bool {
        self.standing_of(peer).is_member()
    }

    pub(crate) fn is_bundle(&self, peer: &Peer) -> bool {
        self.standing_of(peer) == Standing::Bundle
    }

    /// Peers that may be asked for bytes: who does not belong is answered by nobody but
    /// the owner's bundles.
    pub(crate) fn sources(&self) -> impl Iterator<Item = Peer> + '_ {
        let peers = self.peers.keys().copied();
        peers.filter(|peer| self.is_source(peer))
    }

    pub(crate) fn is_source(&self, peer: &Peer) -> bool {
        self.gives(self.standing_of(peer))
    }

    /// Whether a peer of such a standing may be asked for bytes.
    pub(crate) fn gives(&self, standing: Standing) -> bool {
        match standing {
            Standing::Bundle => true,
            Standing::Member => self.own.is_member(),
            Standing::Door | Standing::Lapsed => false,
        }
    }

    pub(crate) fn peer_up(&mut self, peer: Peer, path: Path) {
        if self.is_banned(peer) {
            self.turn_away(peer, DisconnectReason::Misbehaved);
            return;
        }
        if self.trust.is_key_revoked(&peer) {
            self.tell_revoked(peer);
            self.turn_away(peer, DisconnectReason::Stranger);
            return;
        }
        if !self.peers.contains_key(&peer) && !self.make_room() {
            self.turn_away(peer, DisconnectReason::Full);
            return;
        }
        self.peer_down(peer);
        let state = PeerState {
            path,
            door_due_us: self.now_us + bounds::DOOR_TIMEOUT_US,
            ..PeerState::default()
        };
        self.add_peer(peer, state);
        self.send_hello(peer);
    }

    /// How what a connected peer sends gets here.
    pub fn path_of(&self, peer: &Peer) -> Option<Path> {
        self.peers.get(peer).map(|state| state.path)
    }

    pub(crate) fn bundle_up(&mut self, peer: Peer) {
        let state = PeerState {
            standing: Standing::Bundle,
            ..PeerState::default()
        };
        self.peer_down(peer);
        self.add_peer(peer, state);
        self.send_hello(peer);
        self.want_from(peer);
        self.keep_deltas();
    }

    fn add_peer(&mut self, peer: Peer, state: PeerState) {
        let place = self.peers.insert(peer, state);
        for file in self.files.values_mut() {
            file.offers.peer_came(place);
        }
    }

    pub(crate) fn peer_down(&mut self, peer: Peer) {
        let place = self.peers.place_of(&peer);
        if let Some((place, state)) = place.zip(self.peers.remove(&peer)) {
            self.asks_more = true;
            for file in self.files.values_mut() {
                file.offers.peer_gone(place);
            }
            self.forget_requests(&peer, &state);
            match state.standing {
                Standing::Member => self.event(Event::PeerLeft { peer }),
                Standing::Bundle => {
                    self.leave_kept_deltas();
                    self.courier_came(&peer);
                }
                Standing::Door | Standing::Lapsed => {}
            }
        }
    }

    /// Closes a connection; its requests go to others at once.
    pub(crate) fn disconnect(&mut self, peer: Peer, reason: DisconnectReason) {
        self.peer_down(peer);
        self.emit(Output::Disconnect(peer, reason));
    }

    pub(crate) fn control(&mut self, peer: Peer, control: Control) {
        let Some(state) = self.peers.get(&peer) else {
            return;
        };
        let standing = state.standing;
        match control {
            Control::Hello {
                mesh_id,
                root_version,
                enrolment,
                root: _,
            } => self.hello(peer, mesh_id, root_version, enrolment.as_deref()),
            Control::Have(have) => self.have(peer, &have),
            Control::Records(envelopes) => self.records(peer, &envelopes),
            Control::Join { request, hops } => self.join_asked(peer, request, hops),
            Control::JoinRefused {
                node,
                invitation,
                reason,
            } => self.join_refused(peer, node, invitation, &reason),
            Control::Digest(digest) if standing != Standing::Door => self.digest_told(peer, digest),
            Control::Compare(sets) if standing.is_member() => self.compare_asked(peer, &sets),
            Control::Compared(sets) if standing.is_member() => self.compared(peer, &sets),
            Control::Remembered {
                root_version,
                heads,
            } if standing.is_member() => self.reminded(peer, root_version, &heads),
            Control::Want(file) if standing.is_member() => {
                if self.allows(peer, |account| &mut account.wants, bounds::WANTS) {
                    self.wanted(peer, file);
                }
            }
            Control::Unwant(file) if standing.is_member() => {
                if self.allows(peer, |account| &mut account.wants, bounds::WANTS)
                    && let Some(state) = self.peers.get_mut(&peer)
                {
                    let state = state.file(file);
                    (state.wanted, state.claim) = (false, None);
                }
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.drop_idle_files();
                }
            }
            Control::Bits { file, bits } if self.gives(standing) => {
                self.bits_arrived(peer, file, &bits);
            }
            Control::Gained { file, indexes } if self.gives(standing) => {
                self.gained_arrived(peer, file, &indexes);
            }
            Control::Claim {
                file,
                reaches,
                chunks,
            } if standing.is_member() => self.claim_told(peer, file, reaches, chunks),
            // whoever does not belong may not know it yet
            Control::Digest(_)
            | Control::Compare(_)
            | Control::Compared(_)
            | Control::Remembered { .. }
            | Control::Want(_)
            | Control::Unwant(_)
            | Control::Bits { .. }
            | Control::Gained { .. }
            | Control::Claim { .. } => {}
        }
    }

    pub(crate) fn send_hello(&mut self, peer: Peer) {
        let root = self.trust.root();
        let own = self.trust.enrolment(&self.config.key);
        let hello = Control::Hello {
            mesh_id: self.config.mesh_id,
            root_version: root.map_or(0, |root| root.version),
            root: root.map_or(RecordId::ZERO, Verified::id),
            enrolment: own.map(|own| own.envelope().encode()),
        };
        self.send(peer, Message::Control(hello));
    }

    /// A member is one no longer: what is under way with it ends.
    pub(crate) fn part_from(&mut self, peer: Peer) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        state.requests = 0;
        state.comparing = None;
        let parted = PeerState {
            files: std::mem::take(&mut state.files),
            ..PeerState::default()
        };
        self.forget_requests(&peer, &parted);
        if let Some(place) = self.peers.place_of(&peer) {
            for file in self.files.values_mut() {
                file.offers.forget(place);
            }
        }
    }

    pub(crate) fn refuse_source(&self, source: Source) -> bool {
        source
            .peer()
            .is_some_and(|peer| !self.peers.contains_key(&peer))
    }
}
