//! Nodes work ahead, side by side.
//!
//! A message takes at least the latency of a LAN from one node to another. So within a
//! stretch shorter than that nodes cannot touch each other: what is due for them in it is
//! known when it begins, and each can take its own at once. Their threads do just that;
//! what they ask for is carried out one by one, in the order of the events, as if each node
//! had waited for its turn. How many threads there are changes nothing. (One thing differs:
//! what arrives over a connection in the stretch in which its other end lets go of it still
//! counts.)

use std::{hint::black_box, sync::Arc, thread::available_parallelism};

use weft_core::{Input, Outcome};

use super::{
    Happening, World,
    lane::{Asked, Done, Due, Lane, What},
    lanes::LANES,
    outputs::DISK_US,
    worker::{Work, Worker},
};
use crate::topology::Timing;

/// With fewer nodes there is too little to do in a stretch.
const FEW_NODES: usize = 600;
/// With less to do in a stretch than this, one thread does it.
const FEW_DUE: usize = 16;
/// Longest stretch, as a power of two: shorter than the quickest disk operation.
const LONGEST_BITS: u32 = 8;
const _: () = assert!(1 << LONGEST_BITS <= DISK_US);

/// What nodes did ahead.
pub(super) struct Ahead {
    lanes: [Lane; LANES],
    /// One for each lane but the first, as far as there are processors; begun when they are
    /// first needed.
    workers: Option<Vec<Worker>>,
    /// The stretch that was worked on ends before this.
    end_us: u64,
    bits: u32,
    /// What is due, while a stretch is laid out.
    laid_out: Vec<(u64, Happening)>,
    /// The stretch in which a node's turn must be waited for, by node.
    waits: Vec<u64>,
}

impl Default for Ahead {
    fn default() -> Self {
        Self {
            lanes: Default::default(),
            workers: None,
            end_us: 0,
            bits: LONGEST_BITS,
            laid_out: Vec::new(),
            waits: Vec::new(),
        }
    }
}

impl World {
    /// Other processors have work of their own: whatever nodes do ahead they do here.
    pub fn keep_to_one_thread(&mut self) {
        self.ahead.workers = Some(Vec::new());
    }

    /// Stretches stay shorter than the quickest message.
    pub(super) fn shorten_stretches(&mut self, latency_us: u64) {
        self.ahead.bits = self.ahead.bits.min(latency_us.max(1).ilog2());
    }

    /// Before something happens: is it the first of a new stretch?
    pub(super) fn work_ahead(&mut self, next: (u64, Happening), limit_us: u64) {
        let is_large = self.hosts.len() >= FEW_NODES && self.ahead.bits > 0;
        if next.0 < self.ahead.end_us || !is_large {
            return;
        }
        // what is asked of a bundle is not asked of a node
        if self.bundles.is_any() {
            return;
        }
        if self.timing != Timing::Fused || self.journal.is_some() || self.log.has_tail() {
            return;
        }
        let stretch = next.0 >> self.ahead.bits;
        let end_us = ((stretch + 1) << self.ahead.bits).min(limit_us.saturating_add(1));
        self.ahead.end_us = end_us;
        self.lay_out(next, end_us);
        self.work();
    }

    fn lay_out(&mut self, next: (u64, Happening), end_us: u64) {
        self.ahead.waits.resize(self.hosts.len(), 0);
        let mut laid_out = std::mem::take(&mut self.ahead.laid_out);
        laid_out.clear();
        laid_out.push(next);
        let near = self.queue.near(self.ahead.bits as usize);
        laid_out.extend(near.filter(|(at_us, _)| *at_us < end_us));
        // equal times stand in the order in which they came
        laid_out.sort_by_key(|(at_us, _)| *at_us);
        self.warm_laid_out(&laid_out);
        for &(at_us, happening) in &laid_out {
            let Some(node) = self.due_for(at_us, happening) else {
                if matches!(happening, Happening::Heard { .. }) {
                    break;
                }
                continue;
            };
            if self.ahead.waits[node as usize] == end_us {
                continue;
            }
            match self.prepare(at_us, happening) {
                Some(due) => self.ahead.lanes[node as usize % LANES].due.push_back(due),
                None => self.ahead.waits[node as usize] = end_us,
            }
        }
        self.ahead.laid_out = laid_out;
    }

    /// Reads what laying out needs, before it is needed: far memory answers many questions in
    /// little more time than one.
    fn warm_laid_out(&self, laid_out: &[(u64, Happening)]) {
        let mut sum = 0;
        for (_, happening) in laid_out {
            sum ^= match happening {
                Happening::Message { node, parcel, .. } => {
                    let parcel = self.parcels.get(*parcel);
                    let from = parcel.map_or(0, |parcel| parcel.from);
                    from ^ self.seats[*node as usize].life
                }
                Happening::Tick { node, .. } => self.seats[*node as usize].life,
                Happening::Network(wake) => self.network.warm(*wake),
                _ => 0,
            };
        }
        for (_, happening) in laid_out {
            if let Happening::Message { parcel, .. } = happening
                && let Some(parcel) = self.parcels.get(*parcel)
            {
                let from = parcel.from as usize;
                sum ^= self.seats[from].life ^ u32::from(self.keys[from].as_bytes()[0]);
            }
        }
        black_box(sum);
    }

    /// The same for what nodes asked for.
    fn warm_asked(&self) {
        let mut sum = 0;
        for lane in &self.ahead.lanes {
            for asked in &lane.asked {
                if let Asked::Send { to, .. } | Asked::Gets { to, .. } = asked {
                    sum ^= self.seats[*to as usize].life ^ self.network.warm_node(*to);
                }
            }
            for due in &lane.due {
                sum ^= self.seats[due.node as usize].life ^ self.network.warm_node(due.node);
            }
        }
        black_box(sum);
    }

    /// The node that it is due for.
    fn due_for(&self, at_us: u64, happening: Happening) -> Option<u32> {
        match happening {
            Happening::Up { node, .. }
            | Happening::Down { node, .. }
            | Happening::Message { node, .. }
            | Happening::Gossip { node, .. }
            | Happening::Redial { node, .. }
            | Happening::Done { node, .. }
            | Happening::Bundle { node, .. }
            | Happening::Tick { node, .. } => Some(node),
            Happening::Heard { .. } => None,
            Happening::Network(wake) => {
                let arrival = self.network.arrival(at_us, wake);
                arrival.map(|arrival| arrival.to)
            }
        }
    }

    /// What a node can take ahead: all that brings no records.
    fn prepare(&mut self, at_us: u64, happening: Happening) -> Option<Due> {
        let (node, from, what) = match happening {
            Happening::Tick { node, life } if self.lives(node, life) => (node, node, What::Tick),
            Happening::Message { node, life, parcel } => {
                let (from, content) = self.take_message_ahead(node, life, parcel)?;
                (node, from, What::Content(content))
            }
            Happening::Network(wake) => {
                let (node, from, content) = self.take_chunk_ahead(at_us, wake)?;
                (node, from, What::Content(content))
            }
            Happening::Done {
                node,
                life,
                outcome,
            } if self.lives(node, life) => {
                let (_, kind) = self.outcomes.get(outcome)?;
                // records, and a map whose digest is there within the stretch
                if matches!(
                    kind,
                    Outcome::Saved | Outcome::Enrolled(_) | Outcome::Blob(_)
                ) {
                    return None;
                }
                let (operation, outcome) = self.outcomes.take(outcome)?;
                (node, node, What::Done(operation, outcome))
            }
            Happening::Up { node, life, other } if self.lives(node, life) => {
                let (index, other) = (node as usize, other as usize);
                let stands = self.is_linked(index, other) && self.seats[other].is_there;
                let is_node = !self.seats[index].is_puppet;
                let path = self.path(index, other);
                (stands && is_node).then_some((node, other as u32, What::Up(path)))?
            }
            _ => return None,
        };
        Some(Due {
            at_us,
            happening,
            node,
            life: self.seats[node as usize].life,
            from: self.keys[from as usize],
            what,
            done: None,
        })
    }

    /// Lets the nodes take it, those of one lane here and the others elsewhere.
    fn work(&mut self) {
        let due = self.ahead.lanes.iter().map(|lane| lane.due.len());
        let is_little = due.sum::<usize>() < FEW_DUE;
        let mut elsewhere = [false; LANES];
        for (lane, is_elsewhere) in elsewhere.iter_mut().enumerate().skip(1) {
            let work = self.take_work(lane);
            let worker = self.ahead.worker(lane).filter(|_| !is_little);
            let refused = match worker {
                Some(worker) => worker.give(work),
                None => Some(work),
            };
            *is_elsewhere = refused.is_none();
            if let Some(mut work) = refused {
                work.go();
                self.put_back(lane, work);
            }
        }
        let mut work = self.take_work(0);
        work.go();
        self.put_back(0, work);
        for lane in (1..LANES).filter(|lane| elsewhere[*lane]) {
            if let Some(worker) = self.ahead.worker(lane) {
                let work = worker.wait();
                self.put_back(lane, work);
            }
        }
        self.warm_asked();
    }

    fn take_work(&mut self, lane: usize) -> Work {
        let mut work = Work {
            lane: std::mem::take(&mut self.ahead.lanes[lane]),
            hosts: self.hosts.take(lane),
            disks: self.disks.take(lane),
        };
        work.lane.end_us = self.ahead.end_us;
        work.lane.by_key = Some(Arc::clone(&self.by_key));
        work
    }

    fn put_back(&mut self, lane: usize, work: Work) {
        let Work {
            lane: done,
            hosts,
            disks,
        } = work;
        self.hosts.put(lane, hosts);
        self.disks.put(lane, disks);
        self.ahead.lanes[lane] = done;
        let done = &mut self.ahead.lanes[lane];
        done.by_key = None;
        let calls = std::mem::take(&mut done.handle_calls);
        self.figures.handle_calls += calls;
        self.figures.calls_ahead += calls;
        self.traffic.take_in(&mut done.traffic);
    }

    /// It is the turn of something: carries out what the node asked for, if it took it ahead.
    pub(super) fn was_done_ahead(&mut self, happening: Happening) -> bool {
        let now_us = self.now_us;
        let is_next = |due: &mut Due| due.at_us == now_us && due.happening == happening;
        let mut lanes = self.ahead.lanes.iter_mut().enumerate();
        let found = lanes.find_map(|(lane, one)| Some((lane, one.due.pop_front_if(is_next)?)));
        let Some((lane, due)) = found else {
            return false;
        };
        let is_chunk = matches!(happening, Happening::Network(_));
        self.figures.chunks_delivered += u64::from(is_chunk);
        // it can have been stopped, and started, between two runs
        let is_there = self.lives(due.node, due.life);
        match due.done {
            Some(done) => self.carry_out_done(lane, due.node as usize, done, is_there),
            None if is_there => self.take_turn(due),
            None => {}
        }
        true
    }

    fn carry_out_done(&mut self, lane: usize, index: usize, done: Done, is_there: bool) {
        for _ in 0..done.entries {
            if let Some(entry) = self.ahead.lanes[lane].entries.pop_front() {
                self.log.add(entry, String::new);
            }
        }
        let after_us = done.busy_until_us.saturating_sub(self.now_us);
        for _ in 0..done.outputs {
            match self.ahead.lanes[lane].asked.pop_front() {
                _ if !is_there => {}
                Some(Asked::Send { to, bytes, message }) => {
                    self.carry(index, to as usize, message, bytes, after_us);
                }
                Some(Asked::Gets { to, file, indexes }) => {
                    self.carry_gets(index, to as usize, (file, indexes), after_us);
                }
                Some(Asked::Stored(event)) => self.watch(index, event),
                Some(Asked::Other(output)) => self.carry_out(index, output),
                None => {}
            }
        }
        self.schedule_network();
        if let Some(due_us) = done.tick_us.filter(|_| is_there) {
            self.push_to(due_us, index, |node, life| Happening::Tick { node, life });
        }
    }

    /// It had to wait for its turn.
    fn take_turn(&mut self, due: Due) {
        let index = due.node as usize;
        match due.what {
            What::Tick => self.tick(index),
            What::Up(path) => self.give(index, Input::PeerUp(due.from, path)),
            What::Done(operation, outcome) => self.give(index, Input::Done(operation, outcome)),
            What::Content(content) => self.give_content(index, due.from, content),
        }
    }
}

impl Ahead {
    /// The thread of a lane, if this machine has a processor for it.
    fn worker(&mut self, lane: usize) -> Option<&mut Worker> {
        let workers = self.workers.get_or_insert_with(|| {
            let threads = available_parallelism().map_or(1, usize::from);
            let wanted = threads.min(LANES) - 1;
            (0..wanted).map_while(|_| Worker::start()).collect()
        });
        workers.get_mut(lane - 1)
    }
}
