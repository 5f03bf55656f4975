use serde::{Deserialize, Serialize};

use crate::{
    Invalid, Name, RecordId,
    bounds::{MAX_CONTROL_NUMBER, MAX_REASON_BYTES},
    check,
};

/// What an admin says about a rollout that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// The channel of the head.
    pub channel: Name,
    /// The head whose rollout it is about.
    pub head: RecordId,
    /// Its place among the controls of this head: the highest counts.
    pub number: u32,
    /// What is to happen.
    pub action: Action,
    /// For people.
    pub reason: String,
    /// When it was signed, in seconds since 1970; for people.
    pub issued_at_s: u64,
}

/// What is to happen with a rollout, the most cautious first: of two with the same
/// number the more cautious counts, and an abort counts whatever its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Action {
    /// End it for good.
    Abort,
    /// Activate nowhere new until further notice.
    Pause,
    /// Open the waves up to this one without waiting for their evidence.
    OpenThrough(u16),
    /// Go on.
    Resume,
}

impl Control {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let most = u64::from(MAX_CONTROL_NUMBER);
        check::number("a control's number", u64::from(self.number), 0, most)?;
        check::text("reason", &self.reason, MAX_REASON_BYTES)
    }
}
