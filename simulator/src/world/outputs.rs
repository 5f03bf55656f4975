//! What the core asks for, carried out.

use weft_core::{
    DisconnectReason, Disk, Event, Input, Message, OpId, Outcome, Output, Payload,
    ProbeMeasurement, ProbeRequest, SlotKind,
};
use weft_record::{JoinRequest, Name, Verdict};

use super::{Happening, World};
use crate::{journal::Change, log::Entry, payload::Virtual, topology::Timing, trace};

/// A disk operation.
pub(super) const DISK_US: u64 = 300;
/// A sync.
const SYNC_US: u64 = 4_000;
/// Whoever was turned away, but for harm, is dialled again after this.
const REDIAL_US: u64 = 30_000_000;
/// A probe run.
const PROBE_US: u64 = 200_000;

impl World {
    pub(super) fn carry_out(&mut self, index: usize, output: Output<Virtual>) {
        if let Output::Send(peer, message) = &output
            && self.bundles.is_any()
            && self.ask_bundle(index, peer, message)
        {
            return;
        }
        match output {
            Output::Send(peer, Message::Get(chunk)) => {
                let after_us = self.busy_us(index);
                self.send_gets(index, peer, chunk, after_us);
            }
            Output::Send(peer, message) => {
                let after_us = self.busy_us(index);
                self.send(index, peer, message, after_us);
            }
            Output::Broadcast(envelope) => self.broadcast(index, envelope),
            Output::Disconnect(peer, reason) => {
                let Some(other) = self.index_of(&peer) else {
                    return;
                };
                if let Some(journal) = &mut self.journal {
                    journal.add(self.now_us, index, Change::Left(other));
                }
                if matches!(reason, DisconnectReason::Stranger | DisconnectReason::Full) {
                    let at_us = self.now_us + REDIAL_US;
                    self.push_to(at_us, index, |node, life| Happening::Redial {
                        node,
                        life,
                        other: other as u32,
                    });
                }
                self.let_go(index, other);
            }
            Output::Disk(operation, disk) => self.work_disk(index, operation, disk),
            Output::Hash(operation, payload) => {
                let outcome = Outcome::Digest(payload.digest);
                if self.timing == Timing::Fused && !payload.is_blob() {
                    self.handle(index, Input::Done(operation, outcome));
                } else {
                    self.finish(
                        index,
                        operation,
                        self.hashing_us(index, payload.length()),
                        outcome,
                    );
                }
            }
            Output::Probe(operation, request) => {
                let outcome = self.probe(&request);
                self.finish(index, operation, PROBE_US, outcome);
            }
            Output::Admitted(peer, admitted) => {
                let Some(other) = self.index_of(&peer) else {
                    return;
                };
                if let Some(neighbour) = self.neighbour_mut(index, other) {
                    neighbour.admitted = admitted;
                }
                if let Some(journal) = &mut self.journal {
                    let change = if admitted {
                        Change::Admitted(other)
                    } else {
                        Change::Left(other)
                    };
                    journal.add(self.now_us, index, change);
                }
                let entry = Entry {
                    now_us: self.now_us,
                    node: index as u32,
                    kind: trace::ADMITTED,
                    about: other as u64,
                    detail: u64::from(admitted),
                };
                self.log
                    .add(entry, || format!("admitted {peer} {admitted}"));
            }
            Output::Enroll(operation, request) => self.enroll(index, operation, &request),
            // virtual transfers are as fast as their links; the core asks for no more
            Output::Limit { .. } => {}
            Output::Event(event) => self.tell(index, event),
        }
    }

    /// How long a chunk takes from its arrival until it is hashed and written.
    pub(super) fn keeping_us(&self, index: usize, bytes: u64) -> u64 {
        self.hashing_us(index, bytes) + DISK_US
    }

    fn hashing_us(&self, index: usize, bytes: u64) -> u64 {
        let rate = self.hosts[index].spec.hash_bytes_per_sec.max(1);
        1 + bytes * 1_000_000 / rate
    }

    fn work_disk(&mut self, index: usize, operation: OpId, disk: Disk<Virtual>) {
        let is_sync = matches!(
            disk,
            Disk::SyncFile(_)
                | Disk::CompleteFile(_)
                | Disk::SaveRecords(_)
                | Disk::SaveClock(_)
                | Disk::Activate(_)
        );
        if let Disk::Activate(channel) = &disk {
            self.check_activation(index, channel);
        }
        let is_records = matches!(disk, Disk::SaveRecords(_));
        let is_chunk = matches!(disk, Disk::WriteChunk { .. } | Disk::ReadChunk(_));
        let (now_us, held) = (self.now_us, &mut self.disks[index]);
        let journal = self.journal.as_mut();
        let announced = journal.and_then(|one| one.before(now_us, index, &disk, held));
        let outcome = held.execute_sharing(disk, &mut self.pool);
        if let Some(journal) = &mut self.journal {
            journal.after(now_us, index, announced, &outcome);
        }
        if is_records && matches!(outcome, Outcome::Failed(_)) {
            self.forgetful.insert(index);
        }
        if is_chunk && self.timing == Timing::Fused {
            self.handle(index, Input::Done(operation, outcome));
            return;
        }
        let took_us = if is_sync { SYNC_US } else { DISK_US };
        self.finish(index, operation, took_us, outcome);
    }

    /// An operation will be done so much later.
    fn finish(&mut self, index: usize, operation: OpId, took_us: u64, outcome: Outcome<Virtual>) {
        let outcome = self.outcomes.insert((operation, outcome));
        let at_us = self.now_us + self.busy_us(index) + took_us;
        self.push_to(at_us, index, |node, life| Happening::Done {
            node,
            life,
            outcome,
        });
    }

    fn enroll(&mut self, index: usize, operation: OpId, request: &JoinRequest) {
        let now_s = self.hosts[index].spec.wall_s + self.now_us / 1_000_000;
        let registrar = self.registrar.as_mut();
        let answer = registrar.map_or_else(
            || Err("nobody enrolls here".to_owned()),
            |registrar| registrar.answer(request, now_s),
        );
        self.finish(index, operation, SYNC_US, Outcome::Enrolled(answer));
    }

    fn tell(&mut self, index: usize, event: Event) {
        let (kind, about, detail) = trace::of_event(&event);
        let entry = Entry {
            now_us: self.now_us,
            node: index as u32,
            kind,
            about,
            detail,
        };
        self.log.add(entry, || format!("{event:?}"));
        self.watch(index, event);
    }

    /// Only what a node's own records ask for now may become active.
    fn check_activation(&mut self, index: usize, channel: &Name) {
        let staged = self.disks[index].staged(channel);
        let (Some(node), Some(staged)) = (&self.hosts[index].node, staged) else {
            return;
        };
        let trust = node.trust();
        let wanted = match trust.verdict(channel) {
            Verdict::Go(head) => head.id() == staged.head && head.release == staged.release,
            _ => false,
        };
        let void = trust.is_void(channel, staged.epoch, &staged.release);
        if !wanted || void {
            let (now_us, release) = (self.now_us, staged.release);
            let text = format!("node {index} at {now_us}: activates {release} unasked");
            self.unasked.push(text);
        }
    }

    fn probe(&self, request: &ProbeRequest) -> Outcome<Virtual> {
        let release = request.plan.release;
        let active = request.slot == SlotKind::Active;
        let wrong = self.bad_models.contains(&release)
            || (active && self.failing_models.contains(&release));
        let variant = request.plan.variant as usize;
        let answers = request.probes.iter().map(|probe| {
            if wrong {
                vec![0xbad]
            } else {
                probe.expected[variant].clone()
            }
        });
        Outcome::Probed(ProbeMeasurement {
            answers: answers.collect(),
            tokens_per_sec_milli: 10_000_000,
            peak_memory_bytes: 1 << 20,
        })
    }
}
