//! Messages and chunks on their way.

use weft_core::{ChunkRef, Input, Message, Output, Payload, Peer};
use weft_record::Hash;

use super::{Happening, World};
use crate::{
    network::{Arrival, Cargo, Way},
    payload::Virtual,
    topology::Timing,
    traffic::control_bytes,
};

/// What frames a message.
const CONTROL_BYTES: u64 = 200;
/// The tag of a cargo that is no plain chunk: its index is that of a parcel.
const PARCEL: u32 = u32::MAX;

/// A message on its way.
pub(super) struct Parcel {
    pub(super) from: u32,
    /// The life of the sender in which it was sent.
    pub(super) life: u32,
    pub(super) content: Content,
}

/// What travels as one.
pub(super) enum Content {
    One(Message<Virtual>),
    /// Chunks of one file that are asked for at once.
    Gets(Hash, Vec<u32>),
}

impl World {
    /// A puppet, or any node behind its own back, sends this.
    pub fn say(&mut self, from: usize, to: usize, message: Message<Virtual>) {
        if self.is_linked(from, to) {
            self.send(from, self.keys[to], message, 0);
            self.schedule_network();
        }
    }

    /// Sends a message, `after_us` from now.
    pub(super) fn send(
        &mut self,
        from: usize,
        peer: Peer,
        message: Message<Virtual>,
        after_us: u64,
    ) {
        let Some(to) = self.index_of(&peer) else {
            return;
        };
        if let Some(journal) = &mut self.journal {
            journal.sent(self.now_us, (from, to), &message, &self.disks[from]);
        }
        let spec = &self.hosts[from].spec;
        let message = match message {
            Message::Data(chunk, payload) if spec.corrupts => {
                Message::Data(chunk, payload.corrupted())
            }
            Message::Data(..) | Message::Absent(_) if spec.withholds => return,
            message => message,
        };
        let way = Way {
            from: from as u32,
            to: to as u32,
        };
        let is_bulk = matches!(message, Message::Data(..) | Message::Blob(..));
        let bytes = match &message {
            Message::Data(_, payload) | Message::Blob(_, payload) => {
                payload.length().saturating_add(CONTROL_BYTES)
            }
            Message::Control(control) => control_bytes(control),
            _ => CONTROL_BYTES,
        };
        self.traffic.add(&message, bytes);
        if is_bulk {
            let cargo = self.pack((from, to), message, bytes, after_us);
            self.network.begin(self.now_us, way, cargo);
            return;
        }
        self.dispatch(from, to, Content::One(message), bytes, after_us);
    }

    /// Asks for a chunk, and for those that the node asks for in the same breath: they travel
    /// as one, so that they cost one event.
    pub(super) fn send_gets(&mut self, from: usize, peer: Peer, first: ChunkRef, after_us: u64) {
        let mut indexes = vec![first.index];
        while let Some(Output::Send(to, Message::Get(chunk))) = self.lent.outputs.front() {
            if *to != peer || chunk.file != first.file {
                break;
            }
            indexes.push(chunk.index);
            self.lent.outputs.pop_front();
        }
        let Some(to) = self.index_of(&peer) else {
            return;
        };
        for _ in &indexes {
            self.traffic.add(&Message::Get(first), CONTROL_BYTES);
        }
        let bytes = CONTROL_BYTES * indexes.len() as u64;
        self.dispatch(
            from,
            to,
            Content::Gets(first.file, indexes),
            bytes,
            after_us,
        );
    }

    fn dispatch(&mut self, from: usize, to: usize, content: Content, bytes: u64, after_us: u64) {
        let way = Way {
            from: from as u32,
            to: to as u32,
        };
        let parcel = self.wrap(from, content);
        let at_us = self.network.control_us(self.now_us, way, bytes) + after_us;
        self.push_to(at_us, to, |node, life| Happening::Message {
            node,
            life,
            parcel,
        });
    }

    /// A plain chunk is its file's number and its index; anything else is kept whole.
    fn pack(
        &mut self,
        (from, to): (usize, usize),
        message: Message<Virtual>,
        bytes: u64,
        after_us: u64,
    ) -> Cargo {
        let (mut tag, mut index) = (PARCEL, 0);
        let mut delay_us = after_us;
        if let Message::Data(chunk, payload) = &message {
            if self.timing == Timing::Fused {
                delay_us += self.keeping_us(to, payload.length());
            }
            if let Some(number) = self.pool.number_of(&chunk.file)
                && self.unpack(number, chunk.index).as_ref() == Some(&message)
            {
                (tag, index) = (number, chunk.index);
            }
        }
        if tag == PARCEL {
            index = self.wrap(from, Content::One(message));
        }
        Cargo {
            tag,
            index,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            delay_us: u32::try_from(delay_us).unwrap_or(u32::MAX),
        }
    }

    /// The plain chunk of a file.
    fn unpack(&self, number: u32, index: u32) -> Option<Message<Virtual>> {
        let (file, map) = self.pool.numbered(number)?;
        let entry = map.chunks.get(index as usize)?;
        let payload = Virtual::chunk(entry.hash, u64::from(entry.length));
        Some(Message::Data(ChunkRef { file: *file, index }, payload))
    }

    fn wrap(&mut self, from: usize, content: Content) -> u32 {
        let life = self.hosts[from].life;
        self.parcels.insert(Parcel {
            from: from as u32,
            life,
            content,
        })
    }

    pub(super) fn message_arrives(&mut self, node: u32, life: u32, parcel: u32) {
        let from = self.parcels.get(parcel).map(|parcel| parcel.from as usize);
        if from.is_some_and(|from| self.is_silent(from, node as usize)) {
            self.hold(Happening::Message { node, life, parcel });
            return;
        }
        let Some(parcel) = self.parcels.take(parcel) else {
            return;
        };
        let (from, index) = (parcel.from as usize, node as usize);
        let is_whole = self.lives(node, life) && self.hosts[from].life == parcel.life;
        if !is_whole || !self.still_linked(index, from) {
            return;
        }
        match parcel.content {
            Content::One(message) => self.give(index, Input::Message(self.keys[from], message)),
            Content::Gets(file, indexes) => {
                for chunk in indexes {
                    let get = Message::Get(ChunkRef { file, index: chunk });
                    self.give(index, Input::Message(self.keys[from], get));
                }
            }
        }
    }

    /// What a chunk's cargo stands for, kept whole.
    pub(super) fn parcel_of(&mut self, arrival: Arrival) -> Option<u32> {
        let Cargo { tag, index, .. } = arrival.cargo;
        if tag == PARCEL {
            return Some(index);
        }
        let message = self.unpack(tag, index)?;
        Some(self.wrap(arrival.from as usize, Content::One(message)))
    }

    pub(super) fn chunk_arrives(&mut self, arrival: Arrival) {
        if self.is_silent(arrival.from as usize, arrival.to as usize) {
            return self.hold_chunk(arrival);
        }
        let Cargo { tag, index, .. } = arrival.cargo;
        let message = if tag == PARCEL {
            self.parcels
                .take(index)
                .and_then(|parcel| match parcel.content {
                    Content::One(message) => Some(message),
                    Content::Gets(..) => None,
                })
        } else {
            self.unpack(tag, index)
        };
        let (from, to) = (arrival.from as usize, arrival.to as usize);
        // whoever started anew meanwhile has other connections
        let same = |index: usize| {
            let host = &self.hosts[index];
            host.is_there() && host.changed_us <= arrival.begun_us
        };
        if let Some(message) = message.filter(|_| same(from) && same(to))
            && self.still_linked(from, to)
        {
            self.figures.chunks_delivered += u64::from(tag != PARCEL);
            self.give(to, Input::Message(self.keys[from], message));
        }
    }

    /// What two nodes send each other comes to nothing.
    pub(super) fn end_transfers(&mut self, a: usize, b: usize) {
        let (a, b) = (a as u32, b as u32);
        for way in [Way { from: a, to: b }, Way { from: b, to: a }] {
            for cargo in self.network.end(self.now_us, way) {
                if cargo.tag == PARCEL {
                    self.parcels.take(cargo.index);
                }
            }
        }
        self.schedule_network();
    }

    pub(super) fn latency_us(&self, a: usize, b: usize) -> u64 {
        let (from, to) = (a as u32, b as u32);
        self.network.latency_us(Way { from, to })
    }
}
