use serde::{Deserialize, Serialize};

use crate::{Invalid, Name, RecordId, bounds::MAX_CHANNELS, check};

/// A sign of life: how late it is, and which heads there are. It can install nothing;
/// a node that lacks one of the heads knows that something is kept from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beacon {
    /// When it was signed, in seconds since 1970.
    pub issued_at_s: u64,
    /// The newest head of every channel, sorted by channel.
    pub heads: Vec<BeaconHead>,
}

/// The newest head of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeaconHead {
    /// The channel.
    pub channel: Name,
    /// Its epoch.
    pub epoch: u64,
    /// The head's place.
    pub seq: u64,
    /// The head.
    pub head: RecordId,
}

impl Beacon {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        check::length("a beacon's heads", self.heads.len(), 0, MAX_CHANNELS)?;
        check::sorted(
            "a beacon's heads",
            self.heads.iter().map(|head| &head.channel),
        )
    }
}
