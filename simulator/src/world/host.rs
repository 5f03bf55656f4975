//! What the world knows of one node.

use std::{cell::OnceCell, sync::Arc};

use weft_core::{Config, Facts, Node};
use weft_keys::SecretKey;
use weft_record::MeshId;

use super::{NodeSpec, Outage, World};
use crate::{journal::Change, log::Entry, payload::Virtual, trace};

/// What every message looks up of its sender and receiver.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seat {
    /// When the node started or went down last.
    pub(super) changed_us: u64,
    /// Counts starts: what was under way when the node went down comes to nothing.
    pub(super) life: u32,
    /// Whether there is somebody to talk to.
    pub(super) is_there: bool,
    /// It says only what a test makes it say.
    pub(super) is_puppet: bool,
}

/// One node, up or down.
pub(super) struct Host {
    pub(super) node: Option<Box<Node<Virtual>>>,
    /// Nodes that are alike share it.
    pub(super) spec: Arc<NodeSpec>,
    pub(super) ticks: Ticks,
    /// Its processor is busy until then.
    pub(super) busy_until_us: u64,
    /// When it last activated something; `u64::MAX`: never.
    pub(super) activated_us: u64,
    /// Made when it is asked for.
    pub(super) secret: OnceCell<Box<SecretKey>>,
}

/// The ticks that are in the queue for a node, at most two: the next, and one after it.
/// Deadlines go to and fro between soon and late; without the second, each turn would
/// leave a tick behind that no longer counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticks {
    next_us: u64,
    later_us: u64,
}

impl Default for Ticks {
    fn default() -> Self {
        Self {
            next_us: u64::MAX,
            later_us: u64::MAX,
        }
    }
}

impl Ticks {
    /// A deadline; true if a tick has to be put into the queue for it. Whichever comes
    /// earlier looks at the deadline again.
    pub(super) fn need(&mut self, due_us: u64) -> bool {
        if due_us >= self.next_us {
            return false;
        }
        self.later_us = self.next_us;
        self.next_us = due_us;
        true
    }

    /// A tick came; false if it no longer counts.
    pub(super) fn come(&mut self, now_us: u64) -> bool {
        if self.next_us != now_us {
            return false;
        }
        self.next_us = self.later_us;
        self.later_us = u64::MAX;
        true
    }
}

impl Host {
    pub(super) fn new(spec: Arc<NodeSpec>) -> Self {
        Self {
            node: None,
            spec,
            ticks: Ticks::default(),
            busy_until_us: 0,
            activated_us: u64::MAX,
            secret: OnceCell::new(),
        }
    }
}

impl World {
    /// Takes a node down.
    pub fn stop(&mut self, index: usize, outage: Outage) {
        let entry = Entry {
            now_us: self.now_us,
            node: index as u32,
            kind: trace::OUTAGE,
            about: outage as u64,
            detail: 0,
        };
        self.log.add(entry, || format!("{outage:?}"));
        if let Some(journal) = &mut self.journal {
            journal.add(self.now_us, index, Change::Stopped(outage));
        }
        let host = &mut self.hosts[index];
        host.node = None;
        host.ticks = Ticks::default();
        host.busy_until_us = 0;
        let seat = &mut self.seats[index];
        seat.life += 1;
        seat.is_there = host.spec.puppet;
        seat.changed_us = self.now_us;
        if outage == Outage::PowerCut {
            self.disks[index].lose_unsynced();
        }
        for other in self.neighbours_there(index) {
            self.end_transfers(index, other);
            self.tell_down(index, other, true);
        }
    }

    /// Starts a node from its disk.
    pub fn start(&mut self, index: usize) {
        let (mesh_id, shares) = (self.mesh_id, self.shares_memo());
        let choices = self.choices_of(index);
        let host = &mut self.hosts[index];
        let seat = &mut self.seats[index];
        seat.changed_us = self.now_us;
        (seat.is_there, seat.is_puppet) = (true, host.spec.puppet);
        if host.spec.puppet {
            return;
        }
        let (spec, key) = (&host.spec, self.keys[index]);
        let invitation = spec.invitation.as_ref();
        let config = Config {
            key,
            mesh_id: if spec.stranger {
                MeshId([0x55; 32])
            } else {
                mesh_id
            },
            channels: vec!["stable".parse().expect("a valid name")],
            variant_preference: Vec::new(),
            facts: Facts {
                architecture: "x86_64".to_owned(),
                ram_bytes: spec.ram_bytes,
                disk_bytes: spec.disk_bytes,
                isa: Vec::new(),
            },
            limits: spec.limits.clone(),
            seed: choices,
            wall_at_zero_s: spec.wall_s,
            local_at_zero_s: spec.local_s,
            invitation: invitation.map(|invitation| invitation.request(key)),
            registrar: spec.registrar,
            refuse_new_when_stale: spec.refuse_new_when_stale,
            pinned: self.pins.get(&index).cloned().unwrap_or_default(),
        };
        let restored = self.disks[index].restore();
        if let Some(journal) = &mut self.journal {
            let change = Change::Started(restored.records.clone());
            journal.add(self.now_us, index, change);
        }
        let now_us = self.now_us;
        let mut node = if shares {
            Node::new_with(config, restored, now_us, &mut self.lent)
        } else {
            Node::with_memo(config, restored, now_us, self.lent.memo.clone())
        };
        while let Some(output) = node.poll() {
            self.lent.outputs.push_back(output);
        }
        host.node = Some(Box::new(node));
        self.redial_dropped(index);
        for other in self.neighbours_there(index) {
            self.raise((index.min(other), index.max(other)));
        }
        self.drain(index);
    }
}
