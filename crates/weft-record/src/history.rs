use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Hash, RecordId};

/// Shows that a head far ahead continues the line of an earlier one: the subtrees that
/// cover every leaf after the earlier head's, each as large as fits. With the peaks that
/// the verifier holds already they must give the history that the later head signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryProof {
    /// The earlier head; none for a verifier that holds no head of the epoch.
    pub from: Option<RecordId>,
    /// The subtrees, from the first leaf after it on.
    pub subtrees: Vec<Hash>,
}

/// Hashes of subtrees by their first leaf and their level.
pub(crate) type Subtrees = BTreeMap<(u64, u32), Hash>;

/// A growing Merkle tree as in RFC 6962, over BLAKE3: only its peaks are kept.
///
/// Leaf `i` names all heads at place `i` of a line; a signed root of it lets a head
/// far ahead be held against any earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    size: u64,
    peaks: Vec<Hash>,
}

impl History {
    /// Adds the next leaf: the heads at that place, which must be sorted.
    pub(crate) fn push<'a>(&mut self, ids: impl Iterator<Item = &'a RecordId>) {
        self.push_subtree(0, leaf(ids));
    }

    /// How many leaves there are.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Adds the leaves that a proof covers, up to `size` of them in all; the subtrees are
    /// returned by their place. Nothing if their number is not the one it must be.
    pub(crate) fn extend(&mut self, size: u64, subtrees: &[Hash]) -> Option<Subtrees> {
        let mut known = Subtrees::new();
        let mut rest = subtrees.iter();
        for (start, level) in cover(self.size, size) {
            let hash = rest.next()?;
            self.push_subtree(level, *hash);
            known.insert((start, level), *hash);
        }
        rest.next().is_none().then_some(known)
    }

    /// Adds a whole subtree, which must fit where the tree ends.
    fn push_subtree(&mut self, level: u32, hash: Hash) {
        let mut node = hash;
        let mut size = self.size >> level;
        while size & 1 == 1 {
            let left = self
                .peaks
                .pop()
                .expect("each set bit of the size has a peak");
            node = parent(&left, &node);
            size >>= 1;
        }
        self.peaks.push(node);
        self.size += 1 << level;
    }

    /// The root over all leaves so far.
    pub(crate) fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else {
            return Hash::of(b"");
        };
        peaks.fold(*last, |right, left| parent(left, &right))
    }
}

/// The hash of a leaf: the heads at one place, which must be sorted.
pub(crate) fn leaf<'a>(ids: impl Iterator<Item = &'a RecordId>) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[LEAF]);
    for id in ids {
        hasher.update(id.as_bytes());
    }
    Hash(*hasher.finalize().as_bytes())
}

/// The subtrees that a proof from `from` leaves to `size` needs, out of the leaves and
/// subtrees that are known; nothing if they do not reach.
pub(crate) fn prove(from: u64, size: u64, known: &Subtrees) -> Option<Vec<Hash>> {
    let needed = cover(from, size).into_iter();
    needed
        .map(|(start, level)| find(start, level, known))
        .collect()
}

fn find(start: u64, level: u32, known: &Subtrees) -> Option<Hash> {
    if let Some(hash) = known.get(&(start, level)) {
        return Some(*hash);
    }
    let half = level.checked_sub(1)?;
    let left = find(start, half, known)?;
    let right = find(start + (1 << half), half, known)?;
    Some(parent(&left, &right))
}

/// The largest subtrees that fill the places from `from` to `size`, by first leaf and level.
fn cover(from: u64, size: u64) -> Vec<(u64, u32)> {
    let (mut start, mut subtrees) = (from, Vec::new());
    while start < size {
        let room = (size - start).ilog2();
        let level = start.trailing_zeros().min(room);
        subtrees.push((start, level));
        start += 1 << level;
    }
    subtrees
}

const LEAF: u8 = 0;
const NODE: u8 = 1;

fn parent(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(&[NODE])
        .update(left.as_bytes())
        .update(right.as_bytes());
    Hash(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6962, section 2.1, word for word.
    fn tree_hash(leaves: &[RecordId]) -> Hash {
        match leaves {
            [] => Hash::of(b""),
            [leaf] => Hash::of(&[&[LEAF], leaf.as_bytes().as_slice()].concat()),
            _ => {
                let split = (leaves.len().next_power_of_two()) / 2;
                let (left, right) = leaves.split_at(split);
                parent(&tree_hash(left), &tree_hash(right))
            }
        }
    }

    #[test]
    fn is_the_tree_of_rfc_6962() {
        let leaves: Vec<RecordId> = (0..70_u8).map(|number| RecordId([number; 32])).collect();
        let mut history = History::default();
        for count in 0..=leaves.len() {
            assert_eq!(
                history.root(),
                tree_hash(&leaves[..count]),
                "{count} leaves"
            );
            if let Some(leaf) = leaves.get(count) {
                history.push(std::iter::once(leaf));
            }
        }
    }

    #[test]
    fn a_proof_extends_any_tree_to_any_later_one_and_is_short() {
        let leaves: Vec<RecordId> = (0..200_u8).map(|number| RecordId([number; 32])).collect();
        let known: Subtrees = leaves
            .iter()
            .enumerate()
            .map(|(place, id)| ((place as u64, 0), leaf(std::iter::once(id))))
            .collect();
        for from in (0..200_u64).step_by(7) {
            let mut earlier = History::default();
            for leaf in &leaves[..from as usize] {
                earlier.push(std::iter::once(leaf));
            }
            for size in from..200 {
                let subtrees = prove(from, size, &known).expect("all leaves are known");
                assert!(subtrees.len() <= 2 * 8, "{from} to {size}");
                let mut later = earlier.clone();
                let proven = later.extend(size, &subtrees).expect("its length fits");
                assert_eq!(later.root(), tree_hash(&leaves[..size as usize]));
                // what was proven serves to prove it on, from any earlier place
                let part = known.iter().filter(|((place, _), _)| *place < from);
                let part: Subtrees = part
                    .map(|(key, hash)| (*key, *hash))
                    .chain(proven)
                    .collect();
                for before in [0, from / 2, from] {
                    assert_eq!(prove(before, size, &part), prove(before, size, &known));
                }
            }
        }
    }

    #[test]
    fn a_proof_of_another_length_is_none() {
        let mut history = History::default();
        assert!(history.clone().extend(4, &[]).is_none());
        assert!(history.extend(4, &[Hash::ZERO; 2]).is_none());
    }
}
