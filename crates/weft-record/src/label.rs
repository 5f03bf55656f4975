use serde::{Deserialize, Serialize};

use crate::{Invalid, Name, check};

/// What an admin says of a node: a name and a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Label {
    /// Such as `ward`.
    pub name: Name,
    /// Such as `icu`.
    pub value: Name,
}

/// Sorted, each name once.
pub(crate) fn check(field: &'static str, labels: &[Label], most: usize) -> Result<(), Invalid> {
    check::length(field, labels.len(), 0, most)?;
    check::sorted(field, labels.iter().map(|label| &label.name))
}
