use crate::{Hash, RecordId};

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
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[LEAF]);
        for id in ids {
            hasher.update(id.as_bytes());
        }
        let mut node = Hash(*hasher.finalize().as_bytes());
        let mut size = self.size;
        while size & 1 == 1 {
            let left = self
                .peaks
                .pop()
                .expect("each set bit of the size has a peak");
            node = parent(&left, &node);
            size >>= 1;
        }
        self.peaks.push(node);
        self.size += 1;
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
}
