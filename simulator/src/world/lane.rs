//! One lane's share of a stretch: its nodes take what is due for them, in order.

use std::{collections::VecDeque, hint::black_box, sync::Arc};

use weft_core::{
    ChunkRef, Disk, Event, Input, Lent, Message, Next, OpId, Outcome, Output, Path, Peer,
    WARM_STEPS,
};
use weft_record::Hash;

use super::{
    Happening, NodeSpec,
    host::Host,
    lanes::LANES,
    send::{Content, as_said, weight_of},
};
use crate::{
    disk::VirtualDisk,
    fast::{Table, prefix},
    log::Entry,
    payload::Virtual,
    trace,
    traffic::Traffic,
};

/// Nodes that are brought near at once: what they need has to fit into the near cache.
const GROUP: usize = 24;

/// Something that is due for a node in this stretch.
pub(super) struct Due {
    pub(super) at_us: u64,
    pub(super) happening: Happening,
    pub(super) node: u32,
    /// The life of the node in which it is due.
    pub(super) life: u32,
    pub(super) from: Peer,
    pub(super) what: What,
    /// What came of it, once a lane had it.
    pub(super) done: Option<Done>,
}

/// What it is.
pub(super) enum What {
    /// Something arrives.
    Content(Content),
    /// An operation is done.
    Done(OpId, Outcome<Virtual>),
    /// A connection stands.
    Up(Path),
    Tick,
}

impl Due {
    fn next(&self) -> Next<'_> {
        match &self.what {
            What::Content(Content::Gets(..) | Content::One(Message::Get(_))) => {
                Next::Asked(&self.from)
            }
            What::Content(Content::One(Message::Data(..))) => Next::Sent(&self.from),
            What::Content(Content::One(_)) => Next::Told(&self.from),
            What::Done(..) | What::Up(_) | What::Tick => Next::Other,
        }
    }
}

/// What came of it: so many of the lane's next outputs and entries.
#[derive(Clone, Copy, Default)]
pub(super) struct Done {
    pub(super) outputs: u32,
    pub(super) entries: u32,
    /// The node's processor is busy until then.
    pub(super) busy_until_us: u64,
    /// A tick has to be put into the queue for this time.
    pub(super) tick_us: Option<u64>,
}

/// What a node asks for, made ready to be carried out.
pub(super) enum Asked {
    /// A message of so many bytes.
    Send {
        to: u32,
        bytes: u64,
        message: Message<Virtual>,
    },
    /// Chunks of one file, asked for in one breath.
    Gets {
        to: u32,
        file: Hash,
        indexes: Vec<u32>,
    },
    /// It stored a chunk.
    Stored(Event),
    Other(Output<Virtual>),
}

/// What a lane works with.
#[derive(Default)]
pub(super) struct Lane {
    pub(super) due: VecDeque<Due>,
    pub(super) asked: VecDeque<Asked>,
    pub(super) traffic: Traffic,
    /// A node's index by the beginning of its key, while it works.
    pub(super) by_key: Option<Arc<Table<u64, u32>>>,
    pub(super) entries: VecDeque<Entry>,
    pub(super) handle_calls: u64,
    /// The stretch ends before this.
    pub(super) end_us: u64,
    lent: Lent<Virtual>,
    /// How much was asked for before what is taken now.
    asked_before: usize,
    /// Nodes with a deadline in this stretch: what comes after it waits for it.
    waiting: Vec<u32>,
}

impl Lane {
    /// Lets the nodes take what is due for them. `hosts` and `disks` are those of the lane.
    pub(super) fn work(&mut self, hosts: &mut [Host], disks: &mut [VirtualDisk]) {
        self.waiting.clear();
        let mut due = std::mem::take(&mut self.due);
        let list = due.make_contiguous();
        for group in list.chunks_mut(GROUP) {
            warm(group, hosts, disks);
            for due in group {
                let place = due.node as usize / LANES;
                self.take(due, &mut hosts[place], &mut disks[place]);
            }
        }
        self.due = due;
    }

    fn take(&mut self, due: &mut Due, host: &mut Host, disk: &mut VirtualDisk) {
        let Some(node) = &host.node else { return };
        if self.waiting.contains(&due.node) {
            return;
        }
        // that may bring records
        if node.is_due_beside_files(due.at_us) {
            self.waiting.push(due.node);
            return;
        }
        self.asked_before = self.asked.len();
        let entries_before = self.entries.len();
        let now = (due.at_us, due.node);
        match &mut due.what {
            What::Tick => {
                if !host.ticks.come(due.at_us) {
                    due.done = Some(Done::default());
                    return;
                }
                let deadline_us = host.node.as_ref().and_then(|node| node.deadline());
                if deadline_us.is_some_and(|due_us| due_us <= due.at_us) {
                    self.give(now, Input::Tick, host, disk);
                }
            }
            What::Up(path) => self.give(now, Input::PeerUp(due.from, *path), host, disk),
            What::Done(operation, outcome) => {
                let outcome = std::mem::replace(outcome, Outcome::Synced);
                self.give(now, Input::Done(*operation, outcome), host, disk);
            }
            What::Content(Content::One(message)) => {
                let message = std::mem::replace(message, Message::NoBlob(Hash::ZERO));
                self.give(now, Input::Message(due.from, message), host, disk);
            }
            What::Content(Content::Gets(file, indexes)) => {
                for &index in indexes.iter() {
                    let get = Message::Get(ChunkRef { file: *file, index });
                    self.give(now, Input::Message(due.from, get), host, disk);
                }
            }
        }
        let deadline_us = host.node.as_ref().and_then(|node| node.deadline());
        let deadline_us = deadline_us.map(|due_us| due_us.max(due.at_us));
        if deadline_us.is_some_and(|due_us| due_us < self.end_us) {
            self.waiting.push(due.node);
        }
        due.done = Some(Done {
            outputs: (self.asked.len() - self.asked_before) as u32,
            entries: (self.entries.len() - entries_before) as u32,
            busy_until_us: host.busy_until_us,
            tick_us: deadline_us.filter(|due_us| host.ticks.need(*due_us)),
        });
    }

    fn give(
        &mut self,
        now: (u64, u32),
        input: Input<Virtual>,
        host: &mut Host,
        disk: &mut VirtualDisk,
    ) {
        let Some(node) = &mut host.node else { return };
        self.note(now, trace::of_input(&input));
        self.handle_calls += 1;
        node.handle_with(now.0, input, &mut self.lent);
        while let Some(output) = self.lent.outputs.pop_front() {
            let (operation, outcome) = match output {
                Output::Hash(operation, payload) if !payload.is_blob() => {
                    (operation, Outcome::Digest(payload.digest))
                }
                Output::Disk(operation, work @ (Disk::WriteChunk { .. } | Disk::ReadChunk(_))) => {
                    (operation, disk.execute(work))
                }
                Output::Send(to, message) => {
                    self.send(&host.spec, &to, message);
                    continue;
                }
                Output::Event(event @ Event::ChunkStored { .. }) => {
                    self.note(now, trace::of_event(&event));
                    self.asked.push_back(Asked::Stored(event));
                    continue;
                }
                output => {
                    self.asked.push_back(Asked::Other(output));
                    continue;
                }
            };
            self.handle_calls += 1;
            node.handle_with(now.0, Input::Done(operation, outcome), &mut self.lent);
        }
    }

    /// Makes ready what a node sends; what it asks for in one breath travels as one.
    fn send(&mut self, spec: &NodeSpec, to: &Peer, message: Message<Virtual>) {
        let by_key = self.by_key.as_ref();
        let Some(&to) = by_key.and_then(|by_key| by_key.get(&prefix(to.as_bytes()))) else {
            return;
        };
        let Some(message) = as_said(spec, message) else {
            return;
        };
        let bytes = weight_of(&message);
        self.traffic.add(&message, bytes);
        let is_first = self.asked.len() == self.asked_before;
        let last = self.asked.back_mut().filter(|_| !is_first);
        match (message, last) {
            (
                Message::Get(chunk),
                Some(Asked::Gets {
                    to: before,
                    file,
                    indexes,
                }),
            ) if *before == to && *file == chunk.file => indexes.push(chunk.index),
            (Message::Get(chunk), _) => self.asked.push_back(Asked::Gets {
                to,
                file: chunk.file,
                indexes: vec![chunk.index],
            }),
            (message, _) => self.asked.push_back(Asked::Send { to, bytes, message }),
        }
    }

    fn note(&mut self, (now_us, node): (u64, u32), (kind, about, detail): trace::Trace) {
        self.entries.push_back(Entry {
            now_us,
            node,
            kind,
            about,
            detail,
        });
    }
}

/// Reads what these nodes need, all of them one pointer further in each round: far memory
/// answers many questions in little more time than one.
fn warm(group: &[Due], hosts: &[Host], disks: &[VirtualDisk]) {
    let mut sum = 0;
    for due in group {
        sum ^= hosts[due.node as usize / LANES].busy_until_us;
    }
    for step in 0..WARM_STEPS {
        for due in group {
            let place = due.node as usize / LANES;
            let next = due.next();
            let node = hosts[place].node.as_ref();
            sum ^= node.map_or(0, |node| node.warm(step, next));
            if !matches!(next, Next::Told(_)) {
                sum ^= disks[place].warm(step);
            }
        }
    }
    black_box(sum);
}
