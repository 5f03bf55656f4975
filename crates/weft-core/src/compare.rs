//! Comparing the sets that grow (revocations, controls, tasks, aggregates), once the list of
//! what to do is known: who holds fewer asks, both send what the other lacks.
//!
//! Every message stands for itself, so a comparison that breaks off has moved what it moved,
//! and the next digest begins another.

use weft_record::{Comparison, Envelope};

use crate::{
    bounds,
    members::{Fingerprint, Standing},
    message::{Control, Message, Payload, Peer},
    node::Node,
};

/// What is under way with one peer.
#[derive(Debug, Default)]
pub(crate) struct Comparing {
    /// What this node asked, and until when it may be answered.
    asked: Option<Asked>,
    /// The peer compares: until then it is left to it.
    theirs_until_us: u64,
    /// This node begins at this time if there is still a difference.
    due_us: Option<u64>,
    /// It did not answer: it is told in full what this node holds, and asked for the rest.
    pub(crate) silent: bool,
}

#[derive(Debug)]
struct Asked {
    salt: u64,
    until_us: u64,
    rounds: u32,
    /// Something new came of it.
    gained: bool,
}

impl Comparing {
    pub(crate) fn due_us(&self) -> Option<u64> {
        self.due_us
    }

    fn is_asked(&self, now_us: u64) -> bool {
        let asked = self.asked.as_ref();
        asked.is_some_and(|asked| asked.until_us > now_us)
    }

    fn is_under_way(&self, now_us: u64) -> bool {
        self.asked.is_some() || self.theirs_until_us > now_us
    }
}

impl<P: Payload> Node<P> {
    /// The sets are known to differ, and nothing else is asked of the peer.
    pub(crate) fn compare(&mut self, peer: Peer) {
        let is_member = self.own.is_member();
        let (now_us, own) = (self.now_us, Fingerprint::of(&self.own_digest()));
        let key = self.config.key;
        let asks = self.peers.values().filter_map(|one| one.comparing.as_ref());
        let asks = asks.filter(|one| one.is_asked(now_us)).count();
        let is_busy = asks >= bounds::COMPARISONS_AT_ONCE;
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        if state.standing == Standing::Bundle || state.is_asked(now_us) {
            return;
        }
        if !is_member || !state.standing.is_member() {
            self.ask(peer);
            return;
        }
        let Some(told) = state.digest.filter(|told| told.may_compare(&own)) else {
            return;
        };
        let comparing = state.comparing.get_or_insert_default();
        if let Some(asked) = &comparing.asked {
            if asked.until_us <= now_us {
                (comparing.asked, comparing.silent) = (None, true);
                self.ask(peer);
            }
            return;
        }
        let theirs = told.is_behind(&own, peer < key) || comparing.theirs_until_us > now_us;
        if theirs || is_busy {
            // should it not begin, or not end, this node does
            let due_us = comparing.theirs_until_us;
            let due_us = due_us.max(now_us + bounds::COMPARE_PATIENCE_US);
            comparing.due_us.get_or_insert(due_us);
            return;
        }
        self.begin_comparison(peer);
    }

    fn begin_comparison(&mut self, peer: Peer) {
        let comparison = self.trust.open_comparison(self.random.next());
        let asked = Asked {
            salt: comparison.salt,
            until_us: 0,
            rounds: 0,
            gained: false,
        };
        self.ask_comparison(peer, asked, comparison);
    }

    fn ask_comparison(&mut self, peer: Peer, mut asked: Asked, comparison: Comparison) {
        let now_us = self.now_us;
        let account = self.accounts.of(peer);
        let may_ask = account.questions.take(bounds::QUESTIONS, now_us);
        let ready_us = account.questions.ready_us(bounds::QUESTIONS);
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let comparing = state.comparing.get_or_insert_default();
        if !may_ask {
            comparing.due_us = Some(ready_us);
            return;
        }
        asked.rounds += 1;
        asked.until_us = now_us + bounds::ANSWER_TIMEOUT_US;
        (comparing.asked, comparing.due_us) = (Some(asked), None);
        self.send(
            peer,
            Message::Control(Control::Compare(Box::new(comparison))),
        );
    }

    /// Answers what another says of its sets, and sends what it lacks.
    pub(crate) fn compare_asked(&mut self, peer: Peer, comparison: &Comparison) {
        if !self.own.is_member()
            || !self.allows(peer, |account| &mut account.answers, bounds::ANSWERS)
        {
            return;
        }
        let until_us = self.now_us + bounds::COMPARE_PATIENCE_US;
        if let Some(state) = self.peers.get_mut(&peer) {
            let comparing = state.comparing.get_or_insert_default();
            (comparing.theirs_until_us, comparing.due_us) = (until_us, None);
        }
        let answer = self.tell_lacking(peer, comparison);
        self.send(peer, Message::Control(Control::Compared(Box::new(answer))));
    }

    /// An answer: what it says is answered again until nothing is left to say.
    pub(crate) fn compared(&mut self, peer: Peer, comparison: &Comparison) {
        let state = self.peers.get_mut(&peer);
        let Some(comparing) = state.and_then(|state| state.comparing.as_mut()) else {
            return;
        };
        // what was not asked for is not looked at
        let asked = comparing.asked.take_if(|one| one.salt == comparison.salt);
        let Some(asked) = asked else { return };
        let next = self.tell_lacking(peer, comparison);
        if next.parts.is_empty() || asked.rounds >= bounds::COMPARE_ROUNDS {
            self.end_comparison(peer, asked.gained);
        } else {
            self.ask_comparison(peer, asked, next);
        }
    }

    /// Records came while the peer was compared with; whether that is so.
    pub(crate) fn note_compared(&mut self, peer: Peer, gained: bool) -> bool {
        let now_us = self.now_us;
        let state = self.peers.get_mut(&peer);
        let Some(comparing) = state.and_then(|state| state.comparing.as_mut()) else {
            return false;
        };
        if let Some(asked) = &mut comparing.asked {
            asked.gained |= gained;
        }
        comparing.is_under_way(now_us)
    }

    /// This node waited for the peer to compare, or for leave to ask.
    pub(crate) fn run_comparison_timer(&mut self, peer: Peer) {
        let own = Fingerprint::of(&self.own_digest());
        let is_member = self.own.is_member();
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let Some(comparing) = state.comparing.as_mut() else {
            return;
        };
        comparing.due_us = None;
        let is_idle = comparing.asked.is_none();
        let may = is_member && state.standing.is_member() && !state.is_asked(self.now_us);
        if is_idle && may && state.digest.is_some_and(|told| told.may_compare(&own)) {
            self.begin_comparison(peer);
        }
    }

    fn tell_lacking(&mut self, peer: Peer, theirs: &Comparison) -> Comparison {
        let (answer, records) = self.trust.compare(theirs, bounds::RECORDS_BYTES);
        if !records.is_empty() {
            let records = records.iter().map(Envelope::encode).collect();
            self.send(peer, Message::Control(Control::Records(records)));
        }
        answer
    }

    fn end_comparison(&mut self, peer: Peer, gained: bool) {
        let own = Fingerprint::of(&self.own_digest());
        let told = self.peers.get(&peer).and_then(|state| state.digest);
        // what came may have made room for more, else the next digest tells
        if gained && told.is_some_and(|told| told.may_compare(&own)) {
            self.compare(peer);
        }
    }
}
