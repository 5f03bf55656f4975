//! Joining: asking to be enrolled, passing the request on to whoever enrolls, and the
//! answer back the way it came.

use std::collections::BTreeMap;

use weft_record::{Envelope, JoinRequest, Kind, RecordId};

use crate::{
    bounds,
    config::JoiningStatus,
    io::{Event, Outcome, Output},
    members::Standing,
    message::{Control, Message, Payload, Peer},
    node::Node,
    pending::Pending,
    score::{Meter, Source},
};

/// Node and invitation.
type Place = (Peer, [u8; 16]);

/// This node's own request, and those of others that are under way.
#[derive(Debug, Default)]
pub(crate) struct Joins {
    asked: BTreeMap<Peer, u64>,
    next_us: u64,
    interval_us: u64,
    refused: Option<String>,
    others: BTreeMap<Place, Passed>,
    forwards: Meter,
}

/// Somebody else's request.
#[derive(Debug, Default)]
struct Passed {
    /// Who sent it here, and wants to know how it ends.
    askers: Vec<Peer>,
    since_us: u64,
    sent_us: Option<u64>,
    refused_us: Option<u64>,
    /// The driver looks at it.
    enrolling: bool,
}

impl<P: Payload> Node<P> {
    /// Whether this node asks to be enrolled.
    pub(crate) fn is_joining(&self) -> bool {
        self.config.invitation.is_some()
            && !self.own.is_member()
            && !self.trust.is_key_revoked(&self.config.key)
    }

    pub(crate) fn joining_status(&self) -> Option<JoiningStatus> {
        self.is_joining().then(|| JoiningStatus {
            asked_peers: self.joins.asked.len() as u64,
            refused: self.joins.refused.clone(),
        })
    }

    /// Asks a peer that may know who enrolls: any, until there is a root to judge by.
    pub(crate) fn ask_to_join(&mut self, peer: Peer) {
        if !self.is_joining() {
            return;
        }
        let rootless = self.trust.root().is_none();
        let standing = self.standing_of(&peer);
        let may_know = standing.is_member() || rootless && standing == Standing::Door;
        let asked_us = self.joins.asked.get(&peer).copied();
        let early = asked_us.is_some_and(|asked_us| {
            self.now_us < asked_us.saturating_add(bounds::JOIN_INTERVAL_US)
        });
        let Some(request) = self.config.invitation.clone() else {
            return;
        };
        if !may_know || early {
            return;
        }
        if self.joins.asked.len() < bounds::ACCOUNTS || asked_us.is_some() {
            self.joins.asked.insert(peer, self.now_us);
        }
        if self.joins.interval_us == 0 {
            self.joins.interval_us = bounds::JOIN_INTERVAL_US;
            self.joins.next_us = self.now_us + bounds::JOIN_INTERVAL_US;
        }
        let join = Control::Join { request, hops: 0 };
        self.send(peer, Message::Control(join));
    }

    pub(crate) fn join_due_us(&self) -> u64 {
        if self.joins.interval_us > 0 && self.is_joining() {
            self.joins.next_us
        } else {
            u64::MAX
        }
    }

    pub(crate) fn run_join_timers(&mut self) {
        if self.join_due_us() > self.now_us {
            return;
        }
        let doubled_us = 2 * self.joins.interval_us;
        self.joins.interval_us = doubled_us.min(bounds::JOIN_INTERVAL_MOST_US);
        self.joins.next_us = self.now_us + self.joins.interval_us;
        for peer in self.unbundled() {
            self.ask_to_join(peer);
        }
    }

    /// This node belongs from now on.
    pub(crate) fn joined(&mut self) {
        (self.joins.interval_us, self.joins.refused) = (0, None);
        self.joins.asked.clear();
        let node = self.config.key;
        if let Some(site) = self.trust.enrolment(&node).map(|own| own.site.clone()) {
            self.event(Event::Enrolled { node, site });
        }
    }

    /// A node asks, itself or by way of members.
    pub(crate) fn join_asked(&mut self, peer: Peer, request: JoinRequest, hops: u8) {
        let standing = self.standing_of(&peer);
        let rate = match standing {
            Standing::Bundle => return,
            Standing::Member => bounds::JOINS,
            Standing::Door | Standing::Lapsed => bounds::JOINS_AT_DOOR,
        };
        if !self.allows(peer, |account| &mut account.joins, rate) {
            return;
        }
        let node = request.node;
        // who does not belong speaks for itself alone
        let own = node == peer;
        if node == self.config.key || !(own || standing.is_member()) || !self.own.is_member() {
            return;
        }
        if self.trust.is_key_revoked(&node) {
            self.refuse_join(&[peer], &request, "the node's key was revoked");
            return;
        }
        let held = self.trust.standing(&node, self.rooted_now_s());
        if let weft_record::Standing::Member(enroll) = held {
            let bytes = enroll.envelope().encode();
            self.send(peer, Message::Control(Control::Records(vec![bytes])));
            return;
        }
        let place = (node, request.invitation);
        let full = self.joins.others.len() >= bounds::JOINS_REMEMBERED;
        if full && !self.joins.others.contains_key(&place) {
            return;
        }
        let now_us = self.now_us;
        let passed = self.joins.others.entry(place).or_default();
        let asked_before = passed.askers.contains(&peer);
        if !asked_before && passed.askers.len() < bounds::ASKERS_PER_JOIN {
            passed.askers.push(peer);
        }
        if passed.since_us == 0 {
            passed.since_us = now_us;
        }
        if !asked_before {
            self.event(Event::JoinAsked { peer, node });
        }
        if self.config.registrar {
            self.ask_driver(request);
        } else if hops < bounds::JOIN_HOPS {
            self.pass_on(peer, request, hops);
        }
    }

    /// Somebody said no. Nobody signed that, so this node keeps asking, if it is its own
    /// request.
    pub(crate) fn join_refused(
        &mut self,
        peer: Peer,
        node: Peer,
        invitation: [u8; 16],
        reason: &str,
    ) {
        if !self.allows(peer, |account| &mut account.joins, bounds::JOINS) {
            return;
        }
        if reason.len() > bounds::REASON_BYTES {
            self.fault(peer, bounds::FAULT_POINTS, "its reason is too long");
            return;
        }
        if node == self.config.key {
            let own = self.config.invitation.as_ref();
            let asked = own.is_some_and(|own| own.invitation == invitation)
                && self.joins.asked.contains_key(&peer);
            if asked && self.is_joining() && self.joins.refused.as_deref() != Some(reason) {
                self.joins.refused = Some(reason.to_owned());
                self.event(Event::JoinRefused {
                    reason: reason.to_owned(),
                });
            }
            return;
        }
        if !self.is_member(&peer) {
            return;
        }
        let now_us = self.now_us;
        let Some(passed) = self.joins.others.get_mut(&(node, invitation)) else {
            return;
        };
        let pause_us = bounds::FORWARD_PAUSE_US;
        if passed
            .refused_us
            .is_some_and(|at_us| now_us < at_us + pause_us)
        {
            return;
        }
        passed.refused_us = Some(now_us);
        let askers = passed.askers.clone();
        let askers: Vec<Peer> = askers.into_iter().filter(|asker| *asker != peer).collect();
        let refused = Control::JoinRefused {
            node,
            invitation,
            reason: reason.to_owned(),
        };
        self.tell_askers(&askers, &refused);
    }

    /// The driver looked at a request.
    pub(crate) fn enrolled(&mut self, request: &JoinRequest, outcome: Outcome<P>) {
        let place = (request.node, request.invitation);
        let passed = self.joins.others.get_mut(&place);
        let askers = passed.map(|passed| {
            passed.enrolling = false;
            passed.askers.clone()
        });
        let reason = match outcome {
            Outcome::Enrolled(Ok(bytes)) => {
                // whoever asked gets it as soon as it is accepted here
                self.take_in(Source::Owner, &[bytes]);
                let held = self.trust.standing(&request.node, self.rooted_now_s());
                if let weft_record::Standing::Member(enroll) = held {
                    let (node, site) = (request.node, enroll.site.clone());
                    // it was enrolled before, so that nothing new came
                    if let Some(passed) = self.joins.others.remove(&place) {
                        let bytes = enroll.envelope().encode();
                        self.tell_askers(&passed.askers, &Control::Records(vec![bytes]));
                    }
                    self.event(Event::Enrolled { node, site });
                    return;
                }
                "what was signed does not enroll the node".to_owned()
            }
            Outcome::Enrolled(Err(reason)) => reason,
            Outcome::Failed(failure) => failure.text,
            _ => "whoever enrolls did not answer".to_owned(),
        };
        self.refuse_join(&askers.unwrap_or_default(), request, &reason);
    }

    /// Enrolments that came: those who asked for them get them.
    pub(crate) fn pass_back(&mut self, accepted: &[(Kind, RecordId)]) {
        let enrolments = accepted.iter().filter(|(kind, _)| *kind == Kind::Enroll);
        for (_, id) in enrolments {
            let places = self.joins.others.keys().map(|(node, _)| *node);
            let found = places.into_iter().find(|node| {
                let held = self.trust.enrolment(node);
                held.is_some_and(|held| held.id() == *id)
            });
            let Some(node) = found else { continue };
            let bytes = self.trust.envelope(id).map(Envelope::encode);
            let mut askers = Vec::new();
            self.joins.others.retain(|(other, _), passed| {
                if *other == node {
                    askers.append(&mut passed.askers);
                }
                *other != node
            });
            let Some(bytes) = bytes else { continue };
            self.tell_askers(&askers, &Control::Records(vec![bytes]));
        }
    }

    /// Forgets requests whose answer is no longer waited for.
    pub(crate) fn forget_joins(&mut self) {
        let now_us = self.now_us;
        self.joins.others.retain(|_, passed| {
            passed.enrolling || now_us < passed.since_us + bounds::JOIN_MEMORY_US
        });
    }

    fn ask_driver(&mut self, request: JoinRequest) {
        let others = self.joins.others.values();
        if others.filter(|passed| passed.enrolling).count() >= bounds::ENROLS_AT_ONCE {
            return;
        }
        let place = (request.node, request.invitation);
        let Some(passed) = self.joins.others.get_mut(&place) else {
            return;
        };
        if std::mem::replace(&mut passed.enrolling, true) {
            return;
        }
        let operation = self.begin(Pending::Enroll(request.clone()));
        self.emit(Output::Enroll(operation, request));
    }

    fn pass_on(&mut self, from: Peer, request: JoinRequest, hops: u8) {
        let now_us = self.now_us;
        let place = (request.node, request.invitation);
        let Some(passed) = self.joins.others.get_mut(&place) else {
            return;
        };
        let pause_us = bounds::FORWARD_PAUSE_US;
        let early = passed
            .sent_us
            .is_some_and(|at_us| now_us < at_us + pause_us);
        if early || !self.joins.forwards.take(bounds::FORWARDS, now_us) {
            return;
        }
        passed.sent_us = Some(now_us);
        let join = Control::Join {
            request,
            hops: hops + 1,
        };
        let members = self.members().filter(|member| *member != from);
        for member in members.collect::<Vec<_>>() {
            if member != place.0 {
                self.send(member, Message::Control(join.clone()));
            }
        }
    }

    fn refuse_join(&mut self, askers: &[Peer], request: &JoinRequest, reason: &str) {
        let mut end = reason.len().min(bounds::REASON_BYTES);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let refused = Control::JoinRefused {
            node: request.node,
            invitation: request.invitation,
            reason: reason[..end].to_owned(),
        };
        self.tell_askers(askers, &refused);
    }

    /// Those of them that are still connected.
    fn tell_askers(&mut self, askers: &[Peer], answer: &Control) {
        for asker in askers {
            if self.peers.contains_key(asker) {
                self.send(*asker, Message::Control(answer.clone()));
            }
        }
    }
}
