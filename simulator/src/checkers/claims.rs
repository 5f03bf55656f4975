//! One copy a site: nobody asks over the uplink for a chunk that a neighbour of its LAN says
//! it fetches there.

use std::collections::{BTreeMap, BTreeSet};

use weft_core::ChunkRef;
use weft_record::Hash;

use super::{Checker, View};
use crate::journal::{Change, Entry};

/// A claim that is older than this may have run out.
const COUNTS_FOR_US: u64 = 11_000_000;

/// What one neighbour fetches of a file, and when it said so.
type Claim = (u64, BTreeSet<u32>);

/// What each node heard last of each neighbour and file.
#[derive(Default)]
pub(super) struct Claims {
    heard: BTreeMap<(usize, Hash), BTreeMap<usize, Claim>>,
    /// Neighbours that belong, as each node sees it.
    admitted: BTreeSet<(usize, usize)>,
}

impl Claims {
    /// Everything a node heard of one neighbour, or of all.
    fn forget(&mut self, node: usize, neighbour: Option<usize>) {
        for ((hearer, _), claims) in &mut self.heard {
            if *hearer == node {
                claims.retain(|from, _| neighbour.is_some_and(|gone| gone != *from));
            }
        }
    }

    fn claimer(&self, entry: &Entry, chunk: ChunkRef, view: &View<'_>) -> Option<usize> {
        let claims = self.heard.get(&(entry.node, chunk.file))?;
        let mut claims = claims.iter();
        let claim = claims.find(|(from, (at_us, chunks))| {
            chunks.contains(&chunk.index)
                && entry.at_us < at_us + COUNTS_FOR_US
                && view.subject.honest.contains(*from)
        });
        claim.map(|(from, _)| *from)
    }
}

impl Checker for Claims {
    fn name(&self) -> &'static str {
        "claims"
    }

    fn changed(&mut self, entry: &Entry, view: &View<'_>) -> Result<(), String> {
        let node = entry.node;
        let is_near = |other: usize| view.world.shares_lan(node, other);
        match &entry.change {
            Change::Admitted(neighbour) => {
                self.admitted.insert((node, *neighbour));
            }
            Change::Claimed { from, file, chunks }
                if is_near(*from) && self.admitted.contains(&(node, *from)) =>
            {
                let chunks = chunks.iter().copied().collect();
                let claims = self.heard.entry((node, *file)).or_default();
                claims.insert(*from, (entry.at_us, chunks));
            }
            Change::Left(neighbour) => {
                self.admitted.remove(&(node, *neighbour));
                self.forget(node, Some(*neighbour));
            }
            Change::Started(_) | Change::Stopped(_) => {
                self.forget(node, None);
                self.admitted.retain(|(one, _)| *one != node);
            }
            Change::Unwanted(file) => {
                self.heard.remove(&(node, *file));
            }
            Change::Asked { to, chunk } if !is_near(*to) => {
                if view.subject.honest.contains(&node)
                    && let Some(claimer) = self.claimer(entry, *chunk, view)
                {
                    return Err(format!(
                        "asks node {to} over the uplink for chunk {} of {}, which node {claimer} \
                         of its LAN fetches",
                        chunk.index, chunk.file
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
