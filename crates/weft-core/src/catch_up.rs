//! Records: admitted, saved, passed on.

use weft_record::{Admission, Envelope, Have, Kind, Refusal};

use crate::{
    bounds,
    io::{DisconnectReason, Disk, Event, Output},
    message::{Control, Message, Payload, Peer},
    node::{Node, Pending},
};

/// Members asked at once when a record arrives before what it builds on.
const ASKED_AT_ONCE: usize = 3;

impl<P: Payload> Node<P> {
    /// Envelopes from the owner or an admin at this node: admitted like a peer's.
    pub(crate) fn import(&mut self, envelopes: Vec<Vec<u8>>) {
        self.records(None, &envelopes);
    }

    /// One announcement. What it builds on may be missing: then members are asked.
    pub(crate) fn gossip(&mut self, envelope: Vec<u8>) {
        // gossip passes it on by itself
        self.admit_all(None, &[envelope]);
    }

    pub(crate) fn records(&mut self, from: Option<Peer>, envelopes: &[Vec<u8>]) {
        for bytes in self.admit_all(from, envelopes) {
            if Envelope::decode(&bytes).is_ok_and(|envelope| envelope.kind == Kind::Head as u8) {
                self.emit(Output::Broadcast(bytes));
            }
        }
    }

    /// Admits, saves and spreads; returns what was new.
    fn admit_all(&mut self, from: Option<Peer>, envelopes: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let knew_root = self.trust.root().is_some();
        let (mut admitted, mut incomplete) = (Vec::new(), false);
        for bytes in envelopes {
            match self.admit(bytes) {
                Ok(Admission::New(..) | Admission::Merged | Admission::Floor(_)) => {
                    admitted.push(bytes.clone())
                }
                Ok(Admission::Known | Admission::Superseded) => {}
                Ok(Admission::Waiting(_)) => incomplete = true,
                Err(refusal) => {
                    if !self.refused(from, &refusal) {
                        break;
                    }
                }
            }
        }
        if !admitted.is_empty() {
            self.save(admitted.clone());
            if !knew_root && self.trust.root().is_some() {
                self.greet_again();
            }
            // neighbours that lack what is new see another digest and ask
            self.send_digests();
            // a batch is bounded: ask its sender for the next one until nothing comes
            if let Some(peer) = from.filter(|peer| self.is_member(peer)) {
                self.send_have(peer);
            }
        }
        if incomplete {
            self.ask_for_records(from);
        }
        admitted
    }

    pub(crate) fn save(&mut self, envelopes: Vec<Vec<u8>>) {
        self.disk(
            Pending::SaveRecords(envelopes.clone()),
            Disk::SaveRecords(envelopes),
        );
    }

    /// Answers with what the peer lacks, in as many messages as that takes.
    pub(crate) fn have(&mut self, peer: Peer, have: &Have) {
        let missing =
            self.trust
                .missing_for(have, weft_record::Exchange::All, bounds::RECORDS_BYTES);
        if missing.is_empty() {
            return;
        }
        let envelopes = missing.iter().map(Envelope::encode).collect();
        self.send(peer, Message::Control(Control::Records(envelopes)));
    }

    /// Asks a few members for whatever this node lacks.
    pub(crate) fn ask_for_records(&mut self, first: Option<Peer>) {
        let mut members: Vec<Peer> = self.members().collect();
        if let Some(first) = first {
            members.retain(|peer| *peer == first);
        }
        for _ in 0..ASKED_AT_ONCE.min(members.len()) {
            let index = self.random.below(members.len() as u64) as usize;
            let peer = members.swap_remove(index);
            self.send_have(peer);
        }
    }

    fn admit(&mut self, bytes: &[u8]) -> Result<Admission, Refusal> {
        let envelope = Envelope::decode(bytes)?;
        let (wall_s, before) = (self.wall_s(), self.forked_channels());
        let admission = self.trust.admit(envelope, wall_s, &mut self.memo)?;
        for channel in self.forked_channels() {
            if !before.contains(&channel) {
                self.event(Event::Forked { channel });
            }
        }
        Ok(admission)
    }

    fn forked_channels(&self) -> Vec<weft_record::Name> {
        let followed = self.channels.keys();
        followed
            .filter(|channel| self.trust.fork(channel).is_some())
            .cloned()
            .collect()
    }

    /// Counts a refusal; false if the sender was let go for it.
    fn refused(&mut self, from: Option<Peer>, refusal: &Refusal) -> bool {
        self.counters.records_refused += 1;
        self.event(Event::RecordRefused {
            from,
            reason: refusal.to_string(),
            attack: refusal.attack().to_owned(),
        });
        let Some(peer) = from else { return true };
        let Some(state) = self.peers.get_mut(&peer) else {
            return false;
        };
        state.refusals += 1;
        if state.refusals > 32 {
            self.disconnect(peer, DisconnectReason::Misbehaved);
            return false;
        }
        true
    }
}
