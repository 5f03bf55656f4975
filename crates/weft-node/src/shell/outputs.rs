//! Carries out what the core asks for.

use bytes::Bytes;
use weft_core::{DisconnectReason, Disk, Event, Input, Message, Output, Peer};
use weft_record::{Name, RecordId};

use super::Shell;
use crate::{
    answer::ModelEntry,
    bundle::{FromBundle, ImportError},
};

impl Shell {
    pub(super) fn handle(&mut self, input: Input<Bytes>) {
        self.node.handle(self.clock.now_us(), input);
        while let Some(output) = self.node.poll() {
            self.carry_out(output);
        }
        if std::mem::take(&mut self.slots_changed) {
            self.follow_slots();
        }
    }

    fn carry_out(&mut self, output: Output<Bytes>) {
        match output {
            Output::Send(peer, message) => self.send(peer, message),
            Output::Broadcast(announcement) => {
                if let Some(network) = &self.network {
                    network.broadcast(announcement);
                }
            }
            Output::Admitted(peer, member) => {
                if let Some(network) = &self.network {
                    network.admit(&peer, member);
                }
            }
            Output::Disconnect(peer, reason) => self.disconnect(peer, reason),
            Output::Disk(operation, work) => {
                self.operations += 1;
                if matches!(work, Disk::Collect { .. }) {
                    self.collect_begun(operation);
                }
                self.workers.disk(operation, work);
            }
            Output::Hash(operation, payload) => {
                self.operations += 1;
                self.workers.hash(operation, payload);
            }
            Output::Probe(operation, request) => {
                self.operations += 1;
                let plan = &request.plan;
                self.plans
                    .insert((plan.channel.clone(), plan.release), plan.clone());
                self.prober.probe(operation, request);
            }
            Output::Enroll(operation, request) => {
                self.operations += 1;
                self.enroll(operation, request);
            }
            Output::Limit { caps, background } => {
                if let Some(network) = &self.network {
                    network.limit(&caps, background);
                }
            }
            Output::Event(event) => self.event(event),
        }
    }

    fn send(&mut self, peer: Peer, message: Message<Bytes>) {
        if let Some(import) = self.imports.get_mut(&peer) {
            import.send(message);
        } else if let Some(network) = &self.network {
            network.send(&peer, message);
        }
    }

    fn disconnect(&mut self, peer: Peer, reason: DisconnectReason) {
        if self.imports.contains_key(&peer) {
            self.end_import(peer, Err(ImportError::LetGo(reason)));
        } else if let Some(network) = &self.network {
            network.disconnect(&peer, reason);
        }
    }

    fn event(&mut self, event: Event) {
        log(&event);
        match &event {
            Event::Probed {
                channel,
                release,
                passed,
                ..
            } => {
                let key = (channel.clone(), *release);
                if *passed {
                    self.proven.insert(key);
                } else {
                    self.proven.remove(&key);
                }
                self.slots_changed = true;
            }
            Event::Activated { .. } | Event::WentBack { .. } | Event::Withdrawn { .. } => {
                self.slots_changed = true;
            }
            Event::ChunkStored { from, length, .. } => {
                if let Some(import) = self.imports.get_mut(from) {
                    import.chunk_taken(*length);
                }
            }
            Event::DiskTrouble { text, .. } => {
                for import in self.imports.values_mut() {
                    import.disk_trouble(text);
                }
            }
            Event::RecordRefused {
                from: Some(from),
                reason,
                ..
            } => {
                if let Some(import) = self.imports.get_mut(from) {
                    import.record_refused(reason);
                }
            }
            _ => {}
        }
        self.journal.push(self.clock.now_ms(), event);
    }

    /// Lets each channel answer with what is active and proven, and nothing else.
    fn follow_slots(&mut self) {
        for status in self.node.status().channels {
            let channel = status.channel;
            let wanted = status
                .active
                .map(|release| (channel.clone(), release))
                .filter(|key| self.proven.contains(key));
            let plan = wanted.as_ref().and_then(|key| self.plans.get(key));
            let Some((plan, (_, release))) = plan.zip(wanted.as_ref()) else {
                self.inference.retire(&channel);
                continue;
            };
            let Some(names) = self.release_names(release) else {
                self.inference.retire(&channel);
                continue;
            };
            let entry = ModelEntry {
                model: names.model,
                version: names.version,
                channel: channel.clone(),
                release: *release,
                loaded_at_s: self.clock.wall_at_zero_s() + self.clock.now_us() / 1_000_000,
            };
            self.inference
                .serve(entry, self.workers.store().slot_dir(plan));
        }
        // Plans of releases that are neither active nor to be probed again are not needed.
        let known = self.node.status().channels;
        let needed = |name: &Name, release: &RecordId| {
            known.iter().any(|channel| {
                channel.channel == *name
                    && [channel.active, channel.previous, channel.target].contains(&Some(*release))
            })
        };
        self.plans
            .retain(|(name, release), _| needed(name, release));
        self.proven.retain(|(name, release)| needed(name, release));
    }

    pub(super) fn bundle_message(&mut self, message: FromBundle) {
        match message {
            FromBundle::Message(peer, message) => {
                if self.imports.contains_key(&peer) {
                    self.handle(Input::Message(peer, message));
                }
            }
            FromBundle::RecordsSent(peer) => {
                if let Some(import) = self.imports.get_mut(&peer) {
                    import.records_sent();
                }
                self.settle_imports();
            }
            FromBundle::Failed(peer, error) => self.end_import(peer, Err(error)),
            FromBundle::Look(chunks, reply) => {
                let needs = chunks.iter().map(|chunk| self.node.may_need(chunk));
                let _ = reply.send(needs.collect());
            }
            FromBundle::Ended(peer, broke_off) => {
                if let Some(import) = self.imports.get_mut(&peer) {
                    import.ended(broke_off);
                }
                self.settle_imports();
            }
            FromBundle::Drained(peer) => {
                if let Some(import) = self.imports.get_mut(&peer) {
                    import.drained();
                }
            }
        }
    }
}

fn log(event: &Event) {
    match event {
        Event::ChunkStored { .. } => tracing::trace!(?event, "chunk stored"),
        Event::RecordRefused { .. }
        | Event::ChunkCorrupt { .. }
        | Event::CourierMissed { .. }
        | Event::Forked { .. }
        | Event::WentBack { .. }
        | Event::NoVariant { .. }
        | Event::DiskTrouble { .. }
        | Event::JoinRefused { .. }
        | Event::MemoryOlder { .. }
        | Event::PeerLetGo { .. }
        | Event::Revoked { .. }
        | Event::Withdrawn { .. }
        | Event::Probed { passed: false, .. } => tracing::warn!(?event),
        event => tracing::info!(?event),
    }
}
