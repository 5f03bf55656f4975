use serde::{Deserialize, Serialize};

use crate::{Hash, Invalid, Name, RecordId, bounds::MAX_PREVS, check};

/// Which release a channel is at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The channel.
    pub channel: Name,
    /// How often the channel was reset.
    pub epoch: u64,
    /// Its place in the epoch: one more than the last head that it follows.
    pub seq: u64,
    /// The heads that it follows, sorted: one, or all branches that it joins; for the
    /// first of an epoch the reset's base, if there is one.
    pub prevs: Vec<RecordId>,
    /// Merkle root over the heads before it in this epoch, as they lie on its line.
    pub history: Hash,
    /// What the channel is at.
    pub release: RecordId,
    /// The least security counter that this channel allows from now on.
    pub counter_floor: u64,
    /// The rollout policy, a blob; zero for the empty policy.
    pub policy: Hash,
    /// When it was signed, in seconds since 1970; for people.
    pub issued_at_s: u64,
}

impl Head {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let least = usize::from(self.seq > 0);
        // the first of an epoch follows the base of its reset, or nothing
        let most = if self.seq == 0 { 1 } else { MAX_PREVS };
        check::length("prevs", self.prevs.len(), least, most)?;
        check::sorted("prevs", self.prevs.iter())
    }
}
