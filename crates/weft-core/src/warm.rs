//! For drivers of very many nodes. What a node needs for an input lies in some dozens of
//! places, which are far from the processor when a million others were driven since. A
//! driver that knows which nodes come next has all of that brought near at once, instead of
//! waiting for each place in turn.

use crate::{
    file::FileState,
    io::Path,
    members::{PeerFile, PeerState},
    message::Peer,
    node::Node,
};

/// How many pointers lie behind each other.
pub const STEPS: u32 = 5;

/// What is going to be handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// The peer asks for a chunk.
    Asked(&'a Peer),
    /// The peer tells what it holds.
    Told(&'a Peer),
    /// The peer sends a chunk.
    Sent(&'a Peer),
    /// A tick, or what concerns no single peer.
    Other,
}

impl<P> Node<P> {
    /// Reads what lies so many pointers away, from 0 up to [`STEPS`], of what this input
    /// needs. What it returns means nothing.
    pub fn warm(&self, step: u32, next: Next<'_>) -> u64 {
        match step {
            0 => self.warm_self(),
            1 => {
                let files = self.files.warm(FileState::warm);
                files ^ self.peers.warm_keys() ^ self.operations.warm()
            }
            2 => self.warm_peer(next, PeerState::warm) ^ self.warm_files(next),
            3 => self.warm_peer(next, |one| one.files.warm(PeerFile::warm)),
            _ if matches!(next, Next::Asked(_)) => 0,
            _ => self.warm_peer(next, |one| {
                let files = one.files.values().map(PeerFile::warm_behind);
                files.fold(0, |sum, one| sum ^ one)
            }),
        }
    }

    fn warm_peer(&self, next: Next<'_>, read: impl Fn(&PeerState) -> u64) -> u64 {
        match next {
            Next::Asked(peer) | Next::Told(peer) | Next::Sent(peer) => {
                self.peers.get(peer).map_or(0, read)
            }
            Next::Other => self.peers.values().fold(0, |sum, one| sum ^ read(one)),
        }
    }

    fn warm_files(&self, next: Next<'_>) -> u64 {
        let each = self.files.values().map(|file| match next {
            Next::Asked(_) => file.held.warm(),
            Next::Told(_) => file.warm_bits(),
            Next::Sent(peer) => file.warm_bits() ^ file.warm_figures(Some(peer)),
            Next::Other => file.warm_bits() ^ file.warm_figures(None),
        });
        each.fold(0, |sum, one| sum ^ one)
    }

    fn warm_self(&self) -> u64 {
        let numbers = [
            self.now_us,
            self.due_us,
            self.peers.len() as u64,
            self.files.len() as u64,
            self.blobs.len() as u64,
            self.buckets.ready_us(Path::Wan),
            self.unsaved.len() as u64,
            self.digest_due_us,
            self.clock.counted_us,
            self.counters.bytes_served,
            self.outputs.len() as u64,
            u64::from(self.own.is_member()),
        ];
        numbers.into_iter().fold(0, |sum, one| sum ^ one)
    }
}

/// Reads one number of each cache line of a list of them.
pub(crate) fn lines<T: Copy + Into<u64>>(list: &[T]) -> u64 {
    let step = (64 / size_of::<T>()).max(1);
    let each = list.iter().step_by(step).map(|one| (*one).into());
    each.fold(0, |sum, one| sum ^ one)
}
