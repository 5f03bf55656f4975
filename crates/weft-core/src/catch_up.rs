//! Catching up: digests tell that two nodes differ, a question tells what one holds, and
//! the answer brings what it lacks of the list of what to do. The sets that grow come after
//! that (`compare`). At most one question is under way to each peer.

use weft_record::{Detail, Envelope, Exchange, Have, Kind, RevokeTarget, TrustDigest};

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
        let now_us = self.now_us;
        let due = |due_us: Option<u64>| due_us.is_some_and(|due_us| due_us <= now_us);
        let waiting = self.peers.iter().filter(|(_, state)| due(state.ask_due_us));
        for peer in waiting.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.ask(peer);
        }
        let comparisons = self.peers.iter();
        let comparisons = comparisons.filter(|(_, state)| due(state.compare_due_us()));
        for peer in comparisons.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.run_comparison_timer(peer);
        }
    }

    pub(crate) fn digest_timers_due_us(&self) -> u64 {
        let peers = self.peers.values();
        let asks = peers.filter_map(|state| {
            [state.ask_due_us, state.compare_due_us()]
                .into_iter()
                .flatten()
                .min()
        });
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
        let own = self.own_digest();
        let same = digest == own;
        if let Some(state) = self.peers.get_mut(&peer) {
            state.digest = Some(Fingerprint::of(&digest));
        }
        self.heard_digest(peer, &digest, same);
        self.want_untold(peer);
        if !digest.has_list_of(&own) {
            self.ask(peer);
        } else if !same {
            self.compare(peer);
        }
    }

    /// Tells what this node holds: the peer answers with the rest.
    pub(crate) fn ask(&mut self, peer: Peer) {
        let (now_us, is_member) = (self.now_us, self.own.is_member());
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        if state.standing == Standing::Bundle {
            return;
        }
        if state.is_asked(now_us) {
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
        // where sets are not compared, all is named
        let silent = state.comparing.as_mut();
        let silent = silent.is_some_and(|comparing| std::mem::take(&mut comparing.silent));
        let detail = match state.standing {
            Standing::Member if is_member && !silent => state.ask_detail,
            _ => Detail::All,
        };
        (state.asked_detail, state.ask_detail) = (detail, Detail::List);
        let have = self.trust.have_in(detail);
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
        let in_brief = state.asked_detail == Detail::List;
        let taken = self.take_in(Source::Peer(peer), envelopes);
        let compares = self.note_compared(peer, !taken.is_empty());
        if !answers {
            // what a comparison brings in the wrong order comes again
            if taken.waits && !compares {
                self.ask(peer);
            }
            return;
        }
        let own = Fingerprint::of(&self.own_digest());
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let told = state.digest;
        let compares = state.standing.is_member() && self.own.is_member();
        if told == Some(own) {
            return;
        }
        let has_list = compares && told.is_some_and(|told| told.has_list_of(&own));
        let deeper = taken.waits && in_brief;
        // a record that waits although everything was answered waits for someone else
        if !has_list && (deeper || !taken.is_empty() || again) {
            if deeper {
                state.ask_detail = Detail::Lines;
            }
            self.ask(peer);
        } else if compares {
            self.compare(peer);
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
