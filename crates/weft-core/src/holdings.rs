//! What neighbours said that they hold: a node that comes back and says less was put back
//! to an older state of its disk, and is told so; and what a node does that is told.

use std::sync::Arc;

use weft_record::{Decoded, Have, HaveHead, Name, RecordId, TrustDigest};

use crate::{
    bounds,
    io::Event,
    message::{Control, Message, Payload, Peer},
    node::Node,
    table::Table,
};

/// Epoch and place of a head.
type Place = (u64, u64);

/// How far someone's records go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Reach {
    root_version: u64,
    heads: Table<Name, (Place, RecordId)>,
}

/// What one peer said, and what it was told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holding {
    said: Option<Arc<Reach>>,
    told: Option<Arc<Reach>>,
}

/// How far this node's records go, and went at its start, and what others said of that.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    /// How far this node's own records go, until that changes.
    own: Option<Arc<Reach>>,
    at_start: Reach,
    /// What neighbours remember and the disk did not hold.
    claims: Vec<Claim>,
}

/// A neighbour remembers that this node held something.
#[derive(Clone, Debug)]
struct Claim {
    peer: Peer,
    /// The head, and its channel; none for a root.
    head: Option<(Name, RecordId)>,
    /// Its place, or the root's version.
    seq: u64,
}

impl Reach {
    fn add(&mut self, channel: &Name, place: Place, id: RecordId) {
        if let Some(held) = self.heads.get_mut(channel) {
            if held.0 < place {
                *held = (place, id);
            }
        } else if self.heads.len() < bounds::HOLDINGS_CHANNELS {
            self.heads.insert(channel.clone(), (place, id));
        }
    }

    fn of(&self, channel: &Name) -> Option<Place> {
        self.heads.get(channel).map(|(place, _)| *place)
    }

    /// Whether it goes at least as far as the other everywhere.
    fn covers(&self, other: &Self) -> bool {
        let mut heads = other.heads.iter();
        self.root_version >= other.root_version
            && heads.all(|(channel, (place, _))| self.of(channel) >= Some(*place))
    }

    fn include(&mut self, other: &Self) {
        self.root_version = self.root_version.max(other.root_version);
        for (channel, (place, id)) in other.heads.iter() {
            self.add(channel, *place, *id);
        }
    }
}

impl Holdings {
    /// What the disk held when the node started, whether it still counts or not.
    pub(crate) fn remember_start(&mut self, decoded: &Decoded) {
        if let Some(head) = decoded.head() {
            let place = (head.epoch, head.seq);
            self.at_start.add(&head.channel, place, decoded.id());
        }
    }

    pub(crate) fn remember_start_root(&mut self, version: u64) {
        self.at_start.root_version = version;
    }
}

impl<P: Payload> Node<P> {
    /// This peer knows from now on that this node holds all that it does.
    pub(crate) fn note_told(&mut self, peer: Peer) {
        let own = self.own_reach();
        let told = &mut self.accounts.of(peer).holding.told;
        // nearly always: then all peers share one
        match told {
            Some(told) if !own.covers(told) => Arc::make_mut(told).include(&own),
            told => *told = Some(own),
        }
    }

    pub(crate) fn heard_digest(&mut self, peer: Peer, digest: &TrustDigest, same: bool) {
        if !self.is_member(&peer) {
            return;
        }
        let held = self.accounts.of(peer).holding.said.clone();
        if let Some(held) = held
            .as_ref()
            .filter(|held| digest.root_version < held.root_version)
        {
            self.remind(peer, held);
        }
        let said = if same {
            self.own_reach()
        } else {
            let root_version = digest.root_version;
            Arc::new(Reach {
                root_version,
                heads: held.map(|held| held.heads.clone()).unwrap_or_default(),
            })
        };
        self.accounts.of(peer).holding.said = Some(said);
    }

    pub(crate) fn heard_have(&mut self, peer: Peer, have: &Have) {
        if !self.is_member(&peer) {
            return;
        }
        let mut now = Reach {
            root_version: have.root_version,
            ..Reach::default()
        };
        for head in &have.heads {
            now.add(&head.channel, (head.epoch, head.seq), head.id);
        }
        let before = self
            .accounts
            .of(peer)
            .holding
            .said
            .clone()
            .unwrap_or_default();
        let less = before.heads.iter().any(|(channel, (place, _))| {
            // what a reset ended is gone for good reason
            let counts = place.0 >= self.trust.epoch(channel);
            counts && now.of(channel).is_none_or(|now| now < *place)
        });
        if less || now.root_version < before.root_version {
            self.remind(peer, &before);
        }
        self.accounts.of(peer).holding.said = Some(Arc::new(now));
    }

    /// A neighbour remembers what this node held. What it told that neighbour since it
    /// started, and what its disk held, is no news; all else it has forgotten.
    pub(crate) fn reminded(&mut self, peer: Peer, root_version: u64, heads: &[HaveHead]) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        if std::mem::replace(&mut state.reminds, true) {
            self.fault(peer, bounds::FLOOD_POINTS, "it reminds too often");
            return;
        }
        let told = self
            .accounts
            .of(peer)
            .holding
            .told
            .clone()
            .unwrap_or_default();
        let known = |channel: &Name| {
            let places = [&*told, &self.holdings.at_start].map(|reach| reach.of(channel));
            places.into_iter().max().flatten()
        };
        let mut claims = Vec::new();
        for head in heads.iter().take(bounds::HOLDINGS_CHANNELS) {
            let place = (head.epoch, head.seq);
            let forgotten = known(&head.channel).is_none_or(|known| known < place);
            let concerns = self.channels.contains_key(&head.channel)
                || self.trust.envelope(&head.id).is_some();
            if forgotten && concerns {
                claims.push(Claim {
                    peer,
                    head: Some((head.channel.clone(), head.id)),
                    seq: head.seq,
                });
            }
        }
        if root_version > told.root_version.max(self.holdings.at_start.root_version) {
            claims.push(Claim {
                peer,
                head: None,
                seq: root_version,
            });
        }
        for claim in claims {
            let channel = claim.head.as_ref().map(|(channel, _)| channel.clone());
            let seq = claim.seq;
            self.event(Event::MemoryOlder { peer, channel, seq });
            if self.holdings.claims.len() < bounds::CLAIMS {
                self.holdings.claims.push(claim);
            }
        }
    }

    /// For people: what a neighbour remembers that the disk did not hold at the start. One
    /// that names what this node has seen since is believed before others.
    pub(crate) fn older_image(&self) -> Option<String> {
        let is_here = |claim: &&Claim| match &claim.head {
            Some((_, id)) => self.trust.envelope(id).is_some(),
            None => self.root_version() >= claim.seq,
        };
        let claims = &self.holdings.claims;
        let shown = claims.iter().find(is_here);
        let claim = shown.or(claims.first())?;
        let (peer, seq) = (claim.peer, claim.seq);
        let what = claim.head.as_ref().map_or_else(
            || format!("root {seq}"),
            |(channel, _)| format!("head {seq} of channel {channel}"),
        );
        let doubt = if shown.is_some() {
            ""
        } else {
            "; nobody has shown it since, so that peer may be wrong"
        };
        Some(format!(
            "peer {peer} remembers that this node held {what}, which its disk did not at the start{doubt}"
        ))
    }

    fn remind(&mut self, peer: Peer, held: &Reach) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        if std::mem::replace(&mut state.reminded, true) {
            return;
        }
        let heads = held
            .heads
            .iter()
            .map(|(channel, ((epoch, seq), id))| HaveHead {
                channel: channel.clone(),
                epoch: *epoch,
                seq: *seq,
                id: *id,
            });
        let remembered = Control::Remembered {
            root_version: held.root_version,
            heads: heads.collect(),
        };
        self.send(peer, Message::Control(remembered));
    }

    /// What is known here has changed.
    pub(crate) fn forget_own_reach(&mut self) {
        self.holdings.own = None;
    }

    fn own_reach(&mut self) -> Arc<Reach> {
        if let Some(own) = &self.holdings.own {
            return Arc::clone(own);
        }
        let mut reach = Reach {
            root_version: self.root_version(),
            ..Reach::default()
        };
        for channel in self.trust.channels() {
            if let Some(newest) = self.trust.heads(channel).last() {
                reach.add(channel, (newest.epoch, newest.seq), newest.id());
            }
        }
        let own = Arc::new(reach);
        self.holdings.own = Some(Arc::clone(&own));
        own
    }
}
