//! What happens when.

use weft_core::Input;

use super::World;
use crate::{log::Entry, network::Wake, payload::Virtual, trace};

/// A signature check, on a small computer.
const CHECK_US: u64 = 60;

/// One thing that is due. What is large waits elsewhere under a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happening {
    /// A connection stands.
    Up { node: u32, life: u32, other: u32 },
    /// A connection is gone.
    Down { node: u32, life: u32, other: u32 },
    /// A message arrives.
    Message { node: u32, life: u32, parcel: u32 },
    /// An announcement arrives.
    Gossip { node: u32, life: u32, topic: u32 },
    /// Somebody who was let go is dialled again.
    Redial { node: u32, life: u32, other: u32 },
    /// An operation is done.
    Done { node: u32, life: u32, outcome: u32 },
    /// A deadline of the core.
    Tick { node: u32, life: u32 },
    /// A bundle says something, or goes.
    Bundle { node: u32, life: u32, said: u32 },
    /// A silent site is heard again.
    Heard { site: u32 },
    /// Something of the network.
    Network(Wake),
}

impl World {
    /// Runs until `done` holds or `limit_us` of virtual time have passed; true if it held.
    pub fn run(&mut self, limit_us: u64, mut done: impl FnMut(&World) -> bool) -> bool {
        let end_us = self.now_us.saturating_add(limit_us);
        while !done(self) {
            let Some((at_us, happening)) = self.queue.pop_until(end_us) else {
                self.now_us = end_us;
                return done(self);
            };
            self.now_us = at_us;
            self.work_ahead((at_us, happening), end_us);
            if !self.was_done_ahead(happening) {
                self.happen(happening);
            }
        }
        true
    }

    pub(super) fn push(&mut self, at_us: u64, happening: Happening) {
        self.figures.events += 1;
        self.queue.push(at_us, happening);
    }

    /// Something is due for a node, if it is still in the same life then.
    pub(super) fn push_to(
        &mut self,
        at_us: u64,
        node: usize,
        happening: impl FnOnce(u32, u32) -> Happening,
    ) {
        let life = self.seats[node].life;
        self.push(at_us, happening(node as u32, life));
    }

    /// Puts what the network waits for into the queue.
    pub(super) fn schedule_network(&mut self) {
        for (at_us, wake) in self.network.wakes() {
            self.figures.events += 1;
            self.queue.push(at_us, Happening::Network(wake));
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Network(wake) => {
                let arrival = self.network.wake(self.now_us, wake);
                self.schedule_network();
                if let Some(arrival) = arrival {
                    self.chunk_arrives(arrival);
                }
            }
            Happening::Message { node, life, parcel } => self.message_arrives(node, life, parcel),
            Happening::Bundle { node, life, said } => self.bundle_said(node, life, said),
            Happening::Heard { site } => self.heard_again(site as usize),
            Happening::Tick { node, life } => {
                if self.lives(node, life) {
                    self.tick(node as usize);
                }
            }
            Happening::Done {
                node,
                life,
                outcome,
            } => {
                let outcome = self.outcomes.take(outcome);
                if let Some((operation, outcome)) = outcome.filter(|_| self.lives(node, life)) {
                    self.give(node as usize, Input::Done(operation, outcome));
                }
            }
            Happening::Gossip { node, life, topic } => self.gossip_arrives(node, life, topic),
            Happening::Up { node, life, other } => {
                let (index, other) = (node as usize, other as usize);
                if self.lives(node, life)
                    && self.is_linked(index, other)
                    && self.seats[other].is_there
                {
                    let path = self.path(index, other);
                    self.give(index, Input::PeerUp(self.keys[other], path));
                }
            }
            Happening::Down { node, life, other } => {
                let (index, other) = (node as usize, other as usize);
                if self.lives(node, life) {
                    if let Some(neighbour) = self.neighbour_mut(index, other) {
                        neighbour.admitted = false;
                    }
                    self.give(index, Input::PeerDown(self.keys[other]));
                }
            }
            Happening::Redial { node, life, other } => {
                if self.lives(node, life) {
                    self.redial(node as usize, other as usize);
                }
            }
        }
    }

    /// Whether a node is there, in the life in which something was begun.
    pub(super) fn lives(&self, node: u32, life: u32) -> bool {
        let seat = &self.seats[node as usize];
        seat.life == life && seat.is_there
    }

    pub(super) fn tick(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        if !host.ticks.come(self.now_us) {
            return;
        }
        let deadline_us = host.node.as_ref().and_then(|node| node.deadline());
        if deadline_us.is_some_and(|due_us| due_us <= self.now_us) {
            self.give(index, Input::Tick);
        } else {
            self.schedule_tick(index);
        }
    }

    /// Makes sure that a tick comes by the deadline; one that comes too early is put off.
    pub(super) fn schedule_tick(&mut self, index: usize) {
        let node = self.hosts[index].node.as_ref();
        let Some(due_us) = node.and_then(|node| node.deadline()) else {
            return;
        };
        let due_us = due_us.max(self.now_us);
        if self.hosts[index].ticks.need(due_us) {
            self.push_to(due_us, index, |node, life| Happening::Tick { node, life });
        }
    }

    /// Hands an input to a node, and carries out what it asks for.
    pub(super) fn give(&mut self, index: usize, input: Input<Virtual>) {
        if self.hosts[index].spec.puppet {
            if let Input::Message(from, message) = input
                && let Some(from) = self.index_of(&from)
            {
                self.heard.push((index, from, message));
            }
            return;
        }
        if let Some(mut journal) = self.journal.take() {
            journal.given(self.now_us, index, &input, |peer| self.index_of(peer));
            self.journal = Some(journal);
        }
        let (kind, about, detail) = trace::of_input(&input);
        let entry = Entry {
            now_us: self.now_us,
            node: index as u32,
            kind,
            about,
            detail,
        };
        self.log.add(entry, || trace::line(&input));
        let has_records = matches!(
            input,
            Input::Command(_)
                | Input::Gossip(_)
                | Input::Message(_, weft_core::Message::Control(_))
        );
        if has_records {
            let before = self.signature_checks(index);
            self.handle(index, input);
            self.charge(index, self.signature_checks(index) - before);
            self.note_reset(index);
        } else {
            self.handle(index, input);
        }
        self.drain(index);
    }

    /// Lets the core work.
    pub(super) fn handle(&mut self, index: usize, input: Input<Virtual>) {
        self.figures.handle_calls += 1;
        let shares = self.shares_memo();
        let Some(node) = self.hosts[index].node.as_mut() else {
            return;
        };
        if shares {
            node.handle_with(self.now_us, input, &mut self.lent);
            return;
        }
        // each with a memo of its own, as in the daemon
        node.handle(self.now_us, input);
        while let Some(output) = node.poll() {
            self.lent.outputs.push_back(output);
        }
    }

    fn signature_checks(&self, index: usize) -> u64 {
        let node = self.hosts[index].node.as_ref();
        node.map_or(0, |node| node.signature_checks())
    }

    /// Keeps the node's processor busy with signatures: what it asks for comes later.
    fn charge(&mut self, index: usize, checks: u64) {
        if checks > 0 {
            let host = &mut self.hosts[index];
            host.busy_until_us = host.busy_until_us.max(self.now_us) + checks * CHECK_US;
        }
    }

    /// How long the node's processor is busy yet.
    pub(super) fn busy_us(&self, index: usize) -> u64 {
        self.hosts[index].busy_until_us.saturating_sub(self.now_us)
    }

    /// Carries out what a node asks for.
    pub(super) fn drain(&mut self, index: usize) {
        while let Some(output) = self.lent.outputs.pop_front() {
            self.carry_out(index, output);
        }
        self.schedule_network();
        self.schedule_tick(index);
    }
}
