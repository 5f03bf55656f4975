//! Giving chunks and blobs to members.

use weft_record::Hash;

use crate::{
    bounds,
    io::{Disk, Outcome},
    message::{ChunkRef, Control, Message, Payload, Peer},
    node::Node,
    pending::Pending,
};

impl<P: Payload> Node<P> {
    pub(crate) fn serve_chunk(&mut self, peer: Peer, chunk: ChunkRef) {
        let held = self
            .files
            .get(&chunk.file)
            .is_some_and(|file| file.holds(chunk.index));
        let is_paused = self.gives_nothing_to(&peer);
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        if !held || is_paused || usize::from(state.serving) >= bounds::SERVES_PER_PEER {
            self.send(peer, Message::Absent(chunk));
            return;
        }
        state.serving += 1;
        self.disk(
            Pending::ServeChunk { chunk, to: peer },
            Disk::ReadChunk(chunk),
        );
    }

    pub(crate) fn serve_read(&mut self, chunk: ChunkRef, to: Peer, outcome: Outcome<P>) {
        let Some(state) = self.peers.get_mut(&to) else {
            return;
        };
        state.serving = state.serving.saturating_sub(1);
        match outcome {
            Outcome::Chunk(Some(payload)) => {
                self.counters.bytes_served += payload.length();
                if self.served.len() < bounds::ACCOUNTS || self.served.get(&to).is_some() {
                    *self.served.entry(&to) += payload.length();
                }
                self.send(to, Message::Data(chunk, payload));
            }
            _ => self.send(to, Message::Absent(chunk)),
        }
    }

    pub(crate) fn serve_blob(&mut self, peer: Peer, hash: Hash) {
        let is_paused = self.gives_nothing_to(&peer);
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        if is_paused || usize::from(state.serving) >= bounds::SERVES_PER_PEER {
            self.send(peer, Message::NoBlob(hash));
            return;
        }
        state.serving += 1;
        self.disk(Pending::ServeBlob { hash, to: peer }, Disk::ReadBlob(hash));
    }

    pub(crate) fn serve_blob_read(&mut self, hash: Hash, to: Peer, outcome: Outcome<P>) {
        let Some(state) = self.peers.get_mut(&to) else {
            return;
        };
        state.serving = state.serving.saturating_sub(1);
        match outcome {
            Outcome::Blob(Some(payload)) => self.send(to, Message::Blob(hash, payload)),
            _ => self.send(to, Message::NoBlob(hash)),
        }
    }

    /// A member wants to know which chunks of a file this node holds, from now on.
    pub(crate) fn wanted(&mut self, peer: Peer, file: Hash) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let wanted = state.files.values().filter(|file| file.wanted).count();
        let known = state.files.get(&file).is_some_and(|file| file.wanted);
        if wanted >= bounds::FILES_WANTED_PER_PEER && !known {
            return;
        }
        state.file(file).wanted = true;
        self.has_map(&peer, &file);
        self.tell_bits(peer, file);
        self.tell_claim_to(peer, file);
    }

    /// Whether serving is paused by the way that leads to this peer.
    fn gives_nothing_to(&self, peer: &Peer) -> bool {
        let path = self.path_of(peer);
        path.is_some_and(|path| self.serves_nothing_by(path))
    }

    /// Not while there is nothing to be had: it is told when there is.
    pub(crate) fn tell_bits(&mut self, peer: Peer, file: Hash) {
        if self.gives_nothing_to(&peer) {
            return;
        }
        if let Some(bits) = self
            .files
            .get(&file)
            .and_then(crate::file::FileState::shared_bits)
        {
            self.send(peer, Message::Control(Control::Bits { file, bits }));
        }
    }

    /// Peers that want news of this file.
    pub(crate) fn wanting(&self, file: &Hash) -> Vec<Peer> {
        let members = self.peers.iter();
        let members = members.filter(|(_, state)| state.standing.is_member());
        members
            .filter(|(_, state)| state.files.get(file).is_some_and(|file| file.wanted))
            .map(|(peer, _)| *peer)
            .collect()
    }
}
