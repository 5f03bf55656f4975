//! Other nodes that want to belong: invitations made, requests answered, enrolments told.

use std::sync::PoisonError;

use tokio::sync::oneshot;
use weft_core::{NodeStanding, OpId, Outcome, Peer};
use weft_record::{Enroll, JoinRequest, Standing};

use super::Shell;
use crate::{
    network::Network,
    registrar::{Guest, Held, InviteError},
    report::{EnrolmentReport, EnrolmentsReport, InviteReport, InviteRequest, SCHEMA},
};

/// Where an invitation goes.
type InviteReply = oneshot::Sender<Result<InviteReport, InviteError>>;

impl Shell {
    /// Has the registrar look at a request, off the loop: it writes to its list first.
    pub(super) fn enroll(&self, operation: OpId, request: JoinRequest) {
        let held = Held::of(self.node.trust(), &request.node);
        let (now_s, done) = (self.now_s(), self.done.clone());
        let registrar = self.registrar.clone();
        tokio::task::spawn_blocking(move || {
            let answer = match registrar {
                Some(registrar) => registrar
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .enroll(&request, held, now_s),
                None => Err("this node does not enroll others".to_owned()),
            };
            // the loop is gone only when the node has stopped
            let _ = done.blocking_send((operation, Outcome::Enrolled(answer)));
        });
    }

    /// Makes an invitation, off the loop.
    pub(super) fn invite(&self, request: InviteRequest, reply: InviteReply) {
        let guest = Guest::new(request, || self.own_addresses());
        let (now_s, registrar) = (self.now_s(), self.registrar.clone());
        tokio::task::spawn_blocking(move || {
            let registrar = registrar.ok_or(InviteError::NoRegistrar);
            let report = registrar.and_then(|registrar| {
                let mut registrar = registrar.lock().unwrap_or_else(PoisonError::into_inner);
                registrar.invite(guest, now_s)
            });
            let _ = reply.send(report);
        });
    }

    pub(super) fn enrolments(&self) -> EnrolmentsReport {
        let enrolments = self.node.trust().enrolments();
        EnrolmentsReport {
            schema: SCHEMA,
            enrolments: enrolments.map(|enroll| self.enrolment(enroll)).collect(),
        }
    }

    /// What is known of this node itself.
    pub(super) fn own_enrolment(&self) -> Option<EnrolmentReport> {
        let enroll = self.node.trust().enrolment(&self.key)?;
        Some(self.enrolment(enroll))
    }

    fn enrolment(&self, enroll: &Enroll) -> EnrolmentReport {
        EnrolmentReport {
            node: enroll.node,
            peer_id: weft_net::peer_name(&enroll.node),
            site: enroll.site.clone(),
            owner: enroll.owner.clone(),
            labels: enroll.labels.clone(),
            class: enroll.class.clone(),
            number: enroll.number,
            expires_s: enroll.expires_s,
            standing: self.standing(&enroll.node),
        }
    }

    fn standing(&self, node: &Peer) -> NodeStanding {
        match self.node.trust().standing(node, self.now_s()) {
            Standing::Member(_) => NodeStanding::Member,
            Standing::Lapsed(_) => NodeStanding::Lapsed,
            Standing::Stranger => NodeStanding::Stranger,
        }
    }

    /// Where others reach this node: not by loopback, unless there is nothing else.
    fn own_addresses(&self) -> Vec<String> {
        let network = self.network.as_ref();
        let all = network.map(Network::listeners).unwrap_or_default();
        let loopback =
            |address: &String| address.starts_with("/ip4/127.") || address.starts_with("/ip6/::1/");
        let (near, far): (Vec<String>, Vec<String>) = all.into_iter().partition(loopback);
        if far.is_empty() { near } else { far }
    }

    /// Seconds since 1970, as the core sees them.
    fn now_s(&self) -> u64 {
        self.node.status().time.now_s
    }
}
