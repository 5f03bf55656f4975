//! What checkers look at: every change of a disk and every chunk that was sent, in order.
//! Kept only where somebody asks for it, since a large fleet would fill memory with it.

use weft_core::{ChunkRef, Control, Disk, Input, Message, Outcome, Peer, SlotPlan};
use weft_record::Hash;

use crate::{disk::VirtualDisk, payload::Virtual, world::Outage};

/// Everything of a run that checkers need and no node tells.
#[derive(Debug, Default)]
pub struct Journal {
    entries: Vec<Entry>,
}

/// One change.
#[derive(Debug)]
pub struct Entry {
    /// When.
    pub at_us: u64,
    /// At which node.
    pub node: usize,
    /// What.
    pub change: Change,
}

/// What changed at a node.
#[derive(Debug)]
pub enum Change {
    /// It started with these records.
    Started(Vec<Vec<u8>>),
    /// It went down.
    Stopped(Outage),
    /// It accepted these records, and its disk took them or not.
    Records {
        /// Encoded envelopes.
        envelopes: Vec<Vec<u8>>,
        /// Whether they are durable.
        kept: bool,
    },
    /// A chunk was written.
    Chunk {
        /// Which.
        chunk: ChunkRef,
        /// Of what is written.
        digest: Hash,
    },
    /// A slot was built.
    Staged(SlotPlan),
    /// The staged slot failed its probe and was given up.
    Refused(SlotPlan),
    /// The staged slot became active.
    Activated {
        /// The slot.
        slot: SlotPlan,
        /// What was active before.
        before: Option<SlotPlan>,
        /// Every chunk of its files is there and right, but for what rotted on purpose.
        whole: bool,
        /// All of them would outlast a power cut.
        durable: bool,
    },
    /// The active slot was given up.
    Dropped {
        /// The slot.
        slot: SlotPlan,
        /// What is active from now on.
        after: Option<SlotPlan>,
        /// Because it failed; else because it may no longer answer.
        failed: bool,
    },
    /// The node had these files deleted.
    Collected(Vec<Hash>),
    /// A chunk was sent.
    Sent {
        /// To whom.
        to: usize,
        /// Which.
        chunk: ChunkRef,
        /// Of what was sent.
        digest: Hash,
    },
    /// The node asked for a chunk.
    Asked {
        /// Whom.
        to: usize,
        /// Which.
        chunk: ChunkRef,
    },
    /// The node no longer wants news of a file.
    Unwanted(Hash),
    /// The node heard what a neighbour fetches over the uplink.
    Claimed {
        /// Of whom.
        from: usize,
        /// Of which file.
        file: Hash,
        /// Which chunks; none if it fetches nothing any more.
        chunks: Vec<u32>,
    },
    /// The node counts a neighbour among those that belong.
    Admitted(usize),
    /// The node knows that a neighbour is gone or belongs no more, or let go of it.
    Left(usize),
    /// The node told a neighbour that it holds chunks that its disk does not hold.
    FalseClaim {
        /// To whom.
        to: usize,
        /// Of which file.
        file: Hash,
        /// The first of them.
        index: u32,
    },
}

impl Journal {
    /// All changes so far.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn add(&mut self, at_us: u64, node: usize, change: Change) {
        self.entries.push(Entry {
            at_us,
            node,
            change,
        });
    }

    /// A disk is about to carry this out.
    pub(crate) fn before(
        &mut self,
        at_us: u64,
        node: usize,
        operation: &Disk<Virtual>,
        disk: &VirtualDisk,
    ) -> Option<Change> {
        match operation {
            Disk::SaveRecords(envelopes) => Some(Change::Records {
                envelopes: envelopes.clone(),
                kept: false,
            }),
            Disk::Collect { keep } => {
                let files = disk.files_beside(keep);
                self.add(at_us, node, Change::Collected(files));
                None
            }
            _ if disk.full => None,
            Disk::WriteChunk { chunk, payload } => {
                let (chunk, digest) = (*chunk, payload.digest);
                self.add(at_us, node, Change::Chunk { chunk, digest });
                None
            }
            Disk::Stage(plan) => {
                self.add(at_us, node, Change::Staged(plan.clone()));
                None
            }
            Disk::DropStaged(channel) => {
                let staged = disk.slots(channel).staged?;
                self.add(at_us, node, Change::Refused(staged));
                None
            }
            Disk::Activate(channel) => {
                let slots = disk.slots(channel);
                let slot = slots.staged?;
                let mut files = slot.files.iter().map(|(_, file)| file);
                let whole = files.clone().all(|file| disk.was_whole(file));
                let durable = files.all(|file| disk.is_durable(file));
                let before = slots.active;
                let change = Change::Activated {
                    slot,
                    before,
                    whole,
                    durable,
                };
                self.add(at_us, node, change);
                None
            }
            Disk::GoBack(channel) => {
                let slots = disk.slots(channel);
                let (slot, after) = (slots.active?, slots.previous);
                let failed = true;
                let change = Change::Dropped {
                    slot,
                    after,
                    failed,
                };
                self.add(at_us, node, change);
                None
            }
            Disk::Withdraw {
                channel,
                both,
                failed,
            } => {
                let failed = *failed;
                let slots = disk.slots(channel);
                let slot = slots.active?;
                let after = slots.previous.filter(|_| !both);
                let change = Change::Dropped {
                    slot,
                    after,
                    failed,
                };
                self.add(at_us, node, change);
                None
            }
            _ => None,
        }
    }

    /// A disk carried out what was announced.
    pub(crate) fn after(
        &mut self,
        at_us: u64,
        node: usize,
        announced: Option<Change>,
        outcome: &Outcome<Virtual>,
    ) {
        if let Some(Change::Records { envelopes, .. }) = announced {
            let kept = matches!(outcome, Outcome::Saved);
            self.add(at_us, node, Change::Records { envelopes, kept });
        }
    }

    /// An input is about to be handed to a node; a peer of it has this number.
    pub(crate) fn given(
        &mut self,
        at_us: u64,
        node: usize,
        input: &Input<Virtual>,
        number_of: impl Fn(&Peer) -> Option<usize>,
    ) {
        let change = match input {
            Input::PeerDown(peer) => number_of(peer).map(Change::Left),
            Input::Message(peer, Message::Control(Control::Claim { file, chunks, .. })) => {
                let (file, chunks) = (*file, chunks.clone());
                number_of(peer).map(|from| Change::Claimed { from, file, chunks })
            }
            // whoever has it all fetches nothing of it any more
            Input::Message(peer, Message::Control(Control::Unwant(file))) => {
                let (file, chunks) = (*file, Vec::new());
                number_of(peer).map(|from| Change::Claimed { from, file, chunks })
            }
            _ => None,
        };
        if let Some(change) = change {
            self.add(at_us, node, change);
        }
    }

    /// A node asks for chunks of one file.
    pub(crate) fn asked(
        &mut self,
        at_us: u64,
        (node, to): (usize, usize),
        file: Hash,
        indexes: &[u32],
    ) {
        for &index in indexes {
            let chunk = ChunkRef { file, index };
            self.add(at_us, node, Change::Asked { to, chunk });
        }
    }

    /// A node hands a message to the network.
    pub(crate) fn sent(
        &mut self,
        at_us: u64,
        (node, to): (usize, usize),
        message: &Message<Virtual>,
        disk: &VirtualDisk,
    ) {
        let lacks = |file: &Hash, index: &u32| !disk.holds(file, *index);
        let (file, lacking) = match message {
            Message::Data(chunk, payload) => {
                let (chunk, digest) = (*chunk, payload.digest);
                self.add(at_us, node, Change::Sent { to, chunk, digest });
                return;
            }
            Message::Control(Control::Unwant(file)) => {
                self.add(at_us, node, Change::Unwanted(*file));
                return;
            }
            Message::Control(Control::Gained { file, indexes }) => (
                *file,
                indexes.iter().copied().find(|index| lacks(file, index)),
            ),
            Message::Control(Control::Bits { file, bits }) => {
                let set = |index: &u32| bits[*index as usize / 8] >> (index % 8) & 1 == 1;
                let mut indexes = (0..bits.len() as u32 * 8).filter(set);
                (*file, indexes.find(|index| lacks(file, index)))
            }
            _ => return,
        };
        if let Some(index) = lacking {
            self.add(at_us, node, Change::FalseClaim { to, file, index });
        }
    }
}
