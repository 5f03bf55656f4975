//! Every stored chunk matches the hash that was signed for it, and a node says that it holds
//! a chunk, or sends it, only once it lies on its disk.

use weft_core::ChunkRef;
use weft_record::Hash;

use super::{Checker, Subject, View};
use crate::journal::{Change, Entry};

pub(super) struct Chunks;

impl Checker for Chunks {
    fn name(&self) -> &'static str {
        "chunks"
    }

    fn changed(&mut self, entry: &Entry, view: &View<'_>) -> Result<(), String> {
        let subject = view.subject;
        match &entry.change {
            Change::Chunk { chunk, digest } if !is_signed(subject, *chunk, digest) => Err(format!(
                "stores chunk {} of {} with another hash than was signed",
                chunk.index, chunk.file
            )),
            Change::Sent { to, chunk, digest }
                if subject.honest.contains(&entry.node) && !is_signed(subject, *chunk, digest) =>
            {
                Err(format!(
                    "sends node {to} chunk {} of {} with another hash than was signed",
                    chunk.index, chunk.file
                ))
            }
            Change::FalseClaim { to, file, index } if !subject.puppets.contains(&entry.node) => {
                Err(format!(
                    "tells node {to} that it holds chunk {index} of {file}, which it does not"
                ))
            }
            _ => Ok(()),
        }
    }
}

fn is_signed(subject: &Subject, chunk: ChunkRef, digest: &Hash) -> bool {
    let map = subject.maps.get(&chunk.file);
    let entry = map.and_then(|map| map.chunks.get(chunk.index as usize));
    entry.is_some_and(|entry| entry.hash == *digest)
}
