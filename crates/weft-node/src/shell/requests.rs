//! Answers the API.

use std::collections::BTreeSet;

use weft_core::{ChannelStatus, Command, Input, Peer};
use weft_record::RecordId;

use super::{Shell, fetched};
use crate::{
    bundle,
    control::Request,
    network::Network,
    pins,
    report::{
        ModelReport, PeerReport, PeersReport, RecordsReport, ReleaseReport, SCHEMA, StatusReport,
    },
};

/// Events in one answer.
const EVENTS_PER_ANSWER: usize = 512;

impl Shell {
    pub(super) fn request(&mut self, request: Request) {
        match request {
            Request::Status(reply) => {
                let _ = reply.send(self.status());
            }
            Request::Peers(reply) => {
                let _ = reply.send(self.peers());
            }
            Request::Records(reply) => {
                let records = bundle::all_records(self.node.trust())
                    .iter()
                    .map(|envelope| crate::hex::encode(envelope))
                    .collect();
                let _ = reply.send(RecordsReport {
                    schema: SCHEMA,
                    records,
                });
            }
            Request::Enrolments(reply) => {
                let _ = reply.send(self.enrolments());
            }
            Request::Invite { request, reply } => self.invite(request, reply),
            Request::Events { after, reply } => {
                let _ = reply.send(self.journal.after(after, EVENTS_PER_ANSWER));
            }
            Request::Limit { limits, reply } => {
                tracing::info!(?limits, "other limits from now on");
                self.handle(Input::Command(Command::Limit(limits)));
                let _ = reply.send(());
            }
            Request::Import { bundle, reply } => self.import(bundle, reply),
            Request::Expect {
                channel,
                in_s,
                reply,
            } => self.expect(&channel, in_s, reply),
            Request::Wants { version, reply } => {
                let plan = bundle::plan_wants(self.node.trust(), version.as_deref());
                let store = self.workers.store().clone();
                // chunk maps are read
                tokio::task::spawn_blocking(move || {
                    let _ = reply.send(plan.map(|plan| bundle::wants(plan, &store)));
                });
            }
            Request::Export { channel, reply } => {
                let plan = bundle::plan_export(&self.node, &channel);
                let stream = plan.map(|plan| bundle::stream(plan, self.workers.store().clone()));
                let _ = reply.send(stream);
            }
            Request::Collect { request, reply } => self.collect(&request, reply),
            Request::Pin { request, reply } => self.pin(&request, reply),
            Request::Suspect(channel) => self.handle(Input::Command(Command::Suspect(channel))),
            Request::Stop(reply) => {
                self.stopping = true;
                let _ = reply.send(());
            }
        }
    }

    fn status(&self) -> StatusReport {
        let node = self.node.status();
        let models = node
            .channels
            .iter()
            .map(|channel| self.model(channel))
            .collect();
        let now_ms = self.clock.now_ms();
        StatusReport {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_ms: now_ms,
            mesh_id: self.node.trust().mesh_id(),
            key: self.key,
            peer_id: weft_net::peer_name(&self.key),
            listen: self
                .network
                .as_ref()
                .map(Network::listeners)
                .unwrap_or_default(),
            reachability: self
                .network
                .as_ref()
                .map(Network::reachability)
                .unwrap_or_default(),
            places: self
                .network
                .as_ref()
                .map(Network::places)
                .unwrap_or_default(),
            enrolment: self.own_enrolment(),
            registrar: self.registrar.is_some(),
            fetch_bytes_per_sec: self.fetched.per_sec(now_ms, fetched(&node.channels)),
            traffic: self
                .network
                .as_ref()
                .map(Network::traffic)
                .unwrap_or_default(),
            models,
            pins: self.pins.report(&self.node),
            node,
        }
    }

    fn model(&self, channel: &ChannelStatus) -> ModelReport {
        let (answering, reason) = self.inference.state(&channel.channel);
        ModelReport {
            channel: channel.channel.clone(),
            active: channel
                .active
                .and_then(|release| self.release_names(&release)),
            target: channel
                .target
                .and_then(|release| self.release_names(&release)),
            answering,
            reason,
        }
    }

    pub(super) fn release_names(&self, release: &RecordId) -> Option<ReleaseReport> {
        pins::named(&self.node, release)
    }

    fn peers(&self) -> PeersReport {
        let status = self.node.status();
        let mut connected: BTreeSet<Peer> = self
            .network
            .as_ref()
            .map(Network::peers)
            .unwrap_or_default()
            .into_iter()
            .collect();
        connected.extend(self.imports.keys().copied());
        let chunks = |peer: &Peer| {
            let fetches = status
                .channels
                .iter()
                .filter_map(|channel| channel.fetch.as_ref());
            fetches
                .flat_map(|fetch| &fetch.chunks_by_peer)
                .filter(|(from, _)| from == peer)
                .map(|(_, chunks)| chunks)
                .sum()
        };
        let peers = connected
            .iter()
            .map(|peer| PeerReport {
                key: *peer,
                member: status.members.contains(peer),
                chunks: chunks(peer),
            })
            .collect();
        PeersReport {
            schema: SCHEMA,
            peers,
        }
    }

    pub(super) fn sample(&mut self) {
        let status = self.node.status();
        self.fetched
            .observe(self.clock.now_ms(), fetched(&status.channels));
        self.settle_imports();
        self.follow_couriers();
        self.follow_the_wall();
    }

    /// Tells the core when the hour changes for the summer, or when somebody sets the clock.
    fn follow_the_wall(&mut self) {
        let local_at_zero_s = self.clock.local_at_zero_s();
        // both are cut to whole seconds
        if local_at_zero_s.abs_diff(self.local_at_zero_s) > 1 {
            self.local_at_zero_s = local_at_zero_s;
            self.handle(Input::Command(Command::LocalTime(local_at_zero_s)));
        }
    }
}
