//! Messages and chunks on their way.

use weft_core::{ChunkRef, Control, Input, Message, Output, Payload, Peer};
use weft_record::Hash;

use super::{Happening, NodeSpec, World};
use crate::{
    network::{Arrival, Cargo, Wake, Way},
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
        if let Some(message) = as_said(spec, message) {
            let bytes = weight_of(&message);
            self.traffic.add(&message, bytes);
            self.carry(from, to, message, bytes, after_us);
        }
    }

    /// Carries a message of so many bytes.
    pub(super) fn carry(
        &mut self,
        from: usize,
        to: usize,
        message: Message<Virtual>,
        bytes: u64,
        after_us: u64,
    ) {
        if matches!(message, Message::Data(..) | Message::Blob(..)) {
            let way = Way {
                from: from as u32,
                to: to as u32,
            };
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
        if let Some(journal) = &mut self.journal {
            journal.asked(self.now_us, (from, to), first.file, &indexes);
        }
        for _ in &indexes {
            self.traffic.add(&Message::Get(first), CONTROL_BYTES);
        }
        self.carry_gets(from, to, (first.file, indexes), after_us);
    }

    /// Carries requests for chunks of one file.
    pub(super) fn carry_gets(
        &mut self,
        from: usize,
        to: usize,
        (file, indexes): (Hash, Vec<u32>),
        after_us: u64,
    ) {
        let bytes = CONTROL_BYTES * indexes.len() as u64;
        self.dispatch(from, to, Content::Gets(file, indexes), bytes, after_us);
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
        let life = self.seats[from].life;
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
        let is_whole = self.lives(node, life) && self.seats[from].life == parcel.life;
        if !is_whole || !self.still_linked(index, from) {
            return;
        }
        self.give_content(index, self.keys[from], parcel.content);
    }

    /// Hands a node what came for it.
    pub(super) fn give_content(&mut self, index: usize, from: Peer, content: Content) {
        match content {
            Content::One(message) => self.give(index, Input::Message(from, message)),
            Content::Gets(file, indexes) => {
                for chunk in indexes {
                    let get = Message::Get(ChunkRef { file, index: chunk });
                    self.give(index, Input::Message(from, get));
                }
            }
        }
    }

    /// A message, if it will arrive whatever else happens in this stretch.
    pub(super) fn take_message_ahead(
        &mut self,
        node: u32,
        life: u32,
        parcel: u32,
    ) -> Option<(u32, Content)> {
        let waiting = self.parcels.get(parcel)?;
        let (from, index) = (waiting.from as usize, node as usize);
        // what may bring records needs the memo that all share
        let brings_records = matches!(
            &waiting.content,
            Content::One(Message::Control(control)) if !matches!(
                control,
                Control::Digest(_)
                    | Control::Have(_)
                    | Control::Compare(_)
                    | Control::Compared(_)
                    | Control::Want(_)
                    | Control::Unwant(_)
                    | Control::Bits { .. }
                    | Control::Gained { .. }
                    | Control::Claim { .. }
            )
        );
        let is_whole = self.lives(node, life) && self.seats[from].life == waiting.life;
        if brings_records || !is_whole || !self.takes_from(index, from) {
            return None;
        }
        let parcel = self.parcels.take(parcel)?;
        Some((parcel.from, parcel.content))
    }

    /// The same for a plain chunk.
    pub(super) fn take_chunk_ahead(
        &mut self,
        at_us: u64,
        wake: Wake,
    ) -> Option<(u32, u32, Content)> {
        let arrival = self.network.arrival(at_us, wake)?;
        let (from, to) = (arrival.from as usize, arrival.to as usize);
        let is_plain = arrival.cargo.tag != PARCEL;
        if !is_plain || !self.have_stood(arrival) || !self.takes_from(to, from) {
            return None;
        }
        let message = self.unpack(arrival.cargo.tag, arrival.cargo.index)?;
        self.network.wake(at_us, wake);
        Some((arrival.to, arrival.from, Content::One(message)))
    }

    /// Whether what one node sent another comes to its core.
    fn takes_from(&self, to: usize, from: usize) -> bool {
        let is_heard = !self.is_silent(from, to) && self.still_linked(from, to);
        is_heard && !self.seats[to].is_puppet
    }

    /// Whether both ends are still those of the connection: whoever started anew meanwhile
    /// has other ones.
    fn have_stood(&self, arrival: Arrival) -> bool {
        let ends = [arrival.from, arrival.to].map(|end| self.seats[end as usize]);
        let mut ends = ends.into_iter();
        ends.all(|end| end.is_there && end.changed_us <= arrival.begun_us)
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
        if let Some(message) = message.filter(|_| self.have_stood(arrival))
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

/// What really leaves the node, if anything does.
pub(super) fn as_said(spec: &NodeSpec, message: Message<Virtual>) -> Option<Message<Virtual>> {
    match message {
        Message::Data(chunk, payload) if spec.corrupts => {
            Some(Message::Data(chunk, payload.corrupted()))
        }
        Message::Data(..) | Message::Absent(_) if spec.withholds => None,
        message => Some(message),
    }
}

/// How many bytes a message has.
pub(super) fn weight_of(message: &Message<Virtual>) -> u64 {
    match message {
        Message::Data(_, payload) | Message::Blob(_, payload) => {
            payload.length().saturating_add(CONTROL_BYTES)
        }
        Message::Control(control) => control_bytes(control),
        _ => CONTROL_BYTES,
    }
}
