//! What a node tells about its channels.

use std::collections::BTreeMap;

use weft_record::{Hash, Name};

use crate::{
    config::{ChannelStatus, FetchStatus, Phase},
    file::FilePhase,
    io::Event,
    message::{Payload, Peer},
    node::Node,
    target::{Channel, Target},
};

impl<P: Payload> Node<P> {
    pub(crate) fn target_mut(&mut self, name: &Name) -> Option<&mut Target> {
        self.channels.get_mut(name)?.target.as_mut()
    }

    pub(crate) fn set_phase(&mut self, name: &Name, phase: Phase, reason: &str) {
        if let Some(channel) = self.channels.get_mut(name) {
            channel.phase = phase;
            reason.clone_into(&mut channel.reason);
        }
    }

    /// Tells once a target when all its files have been opened.
    pub(crate) fn fetch_started(&mut self, file: &Hash) {
        let names: Vec<Name> = self.channels.keys().cloned().collect();
        for name in names {
            let files = &self.files;
            let Some(target) = self
                .channels
                .get_mut(&name)
                .and_then(|ch| ch.target.as_mut())
            else {
                continue;
            };
            let concerns = target.files.iter().any(|entry| entry.blake3 == *file);
            let opened = target.files.iter().all(|entry| {
                files.get(&entry.blake3).is_some_and(|state| {
                    !matches!(state.phase, FilePhase::Opening | FilePhase::Dormant)
                })
            });
            if !concerns || !opened || std::mem::replace(&mut target.told, true) {
                continue;
            }
            let release = target.plan.release;
            let fetch = self.fetch_status(&name).unwrap_or_default();
            self.event(Event::FetchStarted {
                channel: name,
                release,
                bytes_total: fetch.bytes_total,
                bytes_resumed: fetch.bytes_resumed,
                bytes_reused: fetch.bytes_reused,
            });
        }
    }

    pub(crate) fn channel_status(&self, name: &Name, channel: &Channel) -> ChannelStatus {
        let head = match self.trust.verdict(name) {
            weft_record::Verdict::Go(head) => Some(head),
            _ => self.trust.head(name),
        };
        // until a busy step ends, the fetch may still be that of the head before
        let wanted = channel.target.as_ref().map(|target| target.plan.head);
        let current = wanted == head.map(weft_record::Verified::id);
        ChannelStatus {
            channel: name.clone(),
            seq: head.map(|head| head.seq),
            target: head.map(|head| head.release),
            active: channel.slots.active.as_ref().map(|slot| slot.release),
            previous: channel.slots.previous.as_ref().map(|slot| slot.release),
            phase: channel.phase,
            courier: self.courier_status(channel),
            fetch: current.then(|| self.fetch_status(name)).flatten(),
            reason: channel.reason.clone(),
        }
    }

    pub(crate) fn fetch_status(&self, name: &Name) -> Option<FetchStatus> {
        let target = self.channels.get(name)?.target.as_ref()?;
        let mut status = FetchStatus::default();
        let mut by_peer: BTreeMap<Peer, u64> = BTreeMap::new();
        for entry in &target.files {
            status.bytes_total += entry.length;
            let Some(file) = self.files.get(&entry.blake3) else {
                continue;
            };
            let figures = &file.figures;
            status.bytes_held += figures.bytes_held;
            status.bytes_resumed += figures.bytes_resumed;
            status.bytes_reused += figures.bytes_reused;
            status.bytes_made += figures.bytes_made;
            status.bytes_fetched += figures.bytes_fetched;
            status.bytes_duplicate += figures.bytes_duplicate;
            status.chunks_total += file.map.chunks.len() as u64;
            status.chunks_held += file.chunks_held();
            for (peer, chunks) in figures.by_peer.iter() {
                *by_peer.entry(*peer).or_default() += chunks;
            }
        }
        // a delta is no part of the whole, but what was fetched of it was fetched
        let deltas = target
            .deltas
            .iter()
            .filter_map(|delta| self.files.get(&delta.blake3));
        for delta in deltas {
            status.deltas_open += u64::from(delta.phase.is_open());
            let figures = &delta.figures;
            status.bytes_fetched += figures.bytes_fetched;
            status.bytes_duplicate += figures.bytes_duplicate;
            for (peer, chunks) in figures.by_peer.iter() {
                *by_peer.entry(*peer).or_default() += chunks;
            }
        }
        status.chunks_by_peer = by_peer.into_iter().collect();
        Some(status)
    }
}
