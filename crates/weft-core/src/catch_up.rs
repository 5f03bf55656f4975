//! Catching up: digests tell that two nodes differ, a question tells what one holds, and
//! the answer brings what it lacks. At most one question is under way to each peer.

use weft_record::{Envelope, Exchange, Have, Kind, RevokeTarget, TrustDigest};

use crate::{
    bounds,
    members::{Fingerprint, Standing},
    message::{Control, Message, Payload, Peer},
    node::Node,
    score::Source,
};

/// Members asked at once when a record arrives before what it builds on.
const ASKED_AT_ONCE: usize = 3;

impl<P: Payload> Node<P> {
    /// Tells all that share records what this node holds by now, in a moment.
    pub(crate) fn send_digests_soon(&mut self) {
        let soonest_us = self
            .digests_sent_us
            .map_or(0, |sent_us| sent_us + bounds::DIGEST_PAUSE_US);
        if soonest_us <= self.now_us {
            self.send_digests();
        } else {
            self.digest_due_us = self.digest_due_us.min(soonest_us);
        }
    }

    pub(crate) fn run_digest_timers(&mut self) {
        if self.digest_due_us <= self.now_us {
            // a little jitter keeps a site's nodes from speaking all at once
            let jitter_us = self.random.below(bounds::DIGEST_INTERVAL_US / 4);
            self.digest_due_us = self.now_us + bounds::DIGEST_INTERVAL_US - jitter_us;
            self.send_digests();
            self.look_at_time();
            self.judge_all();
            self.forget_joins();
        }
        let due = |due_us: Option<u64>| due_us.is_some_and(|due_us| due_us <= self.now_us);
        let waiting = self.peers.iter().filter(|(_, state)| due(state.ask_due_us));
        for peer in waiting.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.ask(peer);
        }
    }

    pub(crate) fn digest_timers_due_us(&self) -> u64 {
        let asks = self.peers.values().filter_map(|state| state.ask_due_us);
        asks.min().unwrap_or(u64::MAX).min(self.digest_due_us)
    }

    /// To a member, or one that lapsed and is to be mended.
    pub(crate) fn send_digest(&mut self, peer: Peer) {
        // who does not belong is not heard
        if self.own.standing == Standing::Door {
            return;
        }
        let digest = self.own_digest();
        self.send(peer, Message::Control(Control::Digest(digest)));
        self.note_told(peer);
    }

    pub(crate) fn digest_told(&mut self, peer: Peer, digest: TrustDigest) {
        if self.is_bundle(&peer)
            || !self.allows(peer, |account| &mut account.digests, bounds::DIGESTS)
        {
            return;
        }
        let same = digest == self.own_digest();
        if let Some(state) = self.peers.get_mut(&peer) {
            state.digest = Some(Fingerprint::of(&digest));
        }
        self.heard_digest(peer, &digest, same);
        self.want_untold(peer);
        if !same {
            self.ask(peer);
        }
    }

    /// Tells in full what this node holds: the peer answers with the rest.
    pub(crate) fn ask(&mut self, peer: Peer) {
        let now_us = self.now_us;
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        if state.standing == Standing::Bundle {
            return;
        }
        if state
            .asked_until_us
            .is_some_and(|until_us| until_us > now_us)
        {
            state.ask_again = true;
            return;
        }
        let account = self.accounts.of(peer);
        if !account.questions.take(bounds::QUESTIONS, now_us) {
            state.ask_due_us = Some(account.questions.ready_us(bounds::QUESTIONS));
            return;
        }
        state.asked_until_us = Some(now_us + bounds::ANSWER_TIMEOUT_US);
        (state.ask_again, state.ask_due_us) = (false, None);
        let have = self.trust.have();
        self.send(peer, Message::Control(Control::Have(Box::new(have))));
        self.note_told(peer);
    }

    /// Asks a few members for whatever this node lacks.
    pub(crate) fn ask_members(&mut self) {
        let mut members: Vec<Peer> = self.members().collect();
        for _ in 0..ASKED_AT_ONCE.min(members.len()) {
            let index = self.random.below(members.len() as u64) as usize;
            let peer = members.swap_remove(index);
            self.ask(peer);
        }
    }

    /// Answers with what the peer lacks, as far as it may have it. The answer is bounded:
    /// with what it then holds the peer asks again.
    pub(crate) fn have(&mut self, peer: Peer, have: &Have) {
        if !self.allows(peer, |account| &mut account.answers, bounds::ANSWERS) {
            return;
        }
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let exchange = match state.standing {
            Standing::Bundle => return,
            Standing::Member => Exchange::All,
            Standing::Lapsed => Exchange::Trust,
            Standing::Door if state.door_answers >= bounds::DOOR_ANSWERS => return,
            Standing::Door => {
                state.door_answers += 1;
                Exchange::Trust
            }
        };
        self.heard_have(peer, have);
        let missing = self
            .trust
            .missing_for(have, exchange, bounds::RECORDS_BYTES);
        let mut envelopes = Vec::new();
        for envelope in &missing {
            envelopes.extend(self.enrolment_for(envelope));
            envelopes.push(envelope.encode());
        }
        self.send(peer, Message::Control(Control::Records(envelopes)));
    }

    /// Records that a peer sent: an answer, or of its own accord.
    pub(crate) fn records(&mut self, peer: Peer, envelopes: &[Vec<u8>]) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let answers = state.asked_until_us.take().is_some();
        let again = std::mem::take(&mut state.ask_again);
        let taken = self.take_in(Source::Peer(peer), envelopes);
        let own = self.own_digest();
        let told = self.peers.get(&peer).and_then(|state| state.digest);
        let differs = told != Some(Fingerprint::of(&own));
        let ask = if answers {
            // a record that waits although everything was answered waits for someone else
            differs && (!taken.is_empty() || again)
        } else {
            taken.waits
        };
        if ask {
            self.ask(peer);
        }
    }

    fn send_digests(&mut self) {
        self.digests_sent_us = Some(self.now_us);
        let peers = self
            .peers
            .iter()
            .filter(|(_, state)| matches!(state.standing, Standing::Member | Standing::Lapsed));
        for peer in peers.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.send_digest(peer);
        }
    }

    pub(crate) fn own_digest(&mut self) -> TrustDigest {
        *self.digest.get_or_insert_with(|| self.trust.digest())
    }

    /// A node that revoked itself is known only to who saw its enrolment.
    fn enrolment_for(&self, envelope: &Envelope) -> Option<Vec<u8>> {
        if envelope.kind != Kind::Revoke.number() {
            return None;
        }
        let id = envelope.record_id();
        let revoke = self.trust.revokes().find(|revoke| revoke.id() == id)?;
        let RevokeTarget::Key(key) = revoke.target else {
            return None;
        };
        let enrolment = self.trust.enrolment(&key)?;
        Some(enrolment.envelope().encode())
    }
}
