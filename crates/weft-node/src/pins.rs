//! Releases that the owner pinned: in node.toml, which is read at the start, and by a command,
//! which is kept in the store. Their files stay when room is made.

use std::collections::BTreeSet;

use weft_core::{Node, Payload};
use weft_record::RecordId;
use weft_store::{Store, StoreError};

use crate::{
    home::Home,
    report::{PinReport, PinRequest, PinnedBy, ReleaseReport},
};

/// Under this name they are kept.
const SETTING: &str = "pins";
/// Releases pinned by a command: more than anybody keeps on purpose on one machine, and a note
/// of a few pages.
pub(crate) const PINS: usize = 256;

/// What is pinned, and where that stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pins {
    settings: BTreeSet<RecordId>,
    command: BTreeSet<RecordId>,
}

/// Why a release is not pinned or unpinned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// No record of it has come here.
    #[error("no release {0} is known to this node")]
    Unknown(RecordId),
    /// It is not pinned.
    #[error("release {0} is not pinned")]
    NotPinned(RecordId),
    /// Only the owner's own file can unpin it.
    #[error("release {0} is pinned in `store.pinned` of node.toml, which only its owner changes")]
    InSettings(RecordId),
    /// There are as many as a node keeps.
    #[error("{PINS} releases are pinned already")]
    TooMany,
    /// It counts, and a restart would forget it.
    #[error("it counts until the node ends, and could not be kept: {0}")]
    Kept(#[from] StoreError),
    /// The folder cannot be used, or its node runs.
    #[error(transparent)]
    Node(Box<crate::run::RunError>),
}

impl Pins {
    /// What is pinned for the node of this folder. Where the store cannot tell, nothing may be
    /// collected.
    pub(crate) fn of(home: &Home, store: &Store) -> Result<Self, StoreError> {
        let note = store.setting(SETTING)?;
        let command = note.map(|note| serde_json::from_slice(&note));
        let command = command.transpose().unwrap_or_else(|error| {
            // nobody but this file writes it, and the store keeps values whole
            tracing::error!(%error, "what was pinned cannot be read; pin it again");
            None
        });
        Ok(Self {
            settings: home.settings().store.pinned.iter().copied().collect(),
            command: command.unwrap_or_default(),
        })
    }

    /// All of them.
    pub(crate) fn all(&self) -> BTreeSet<RecordId> {
        self.settings.union(&self.command).copied().collect()
    }

    /// Does what is asked; only a release that the node knows can be pinned.
    pub(crate) fn apply<P: Payload>(
        &mut self,
        node: &Node<P>,
        request: &PinRequest,
    ) -> Result<(), PinError> {
        let PinRequest { release, pinned } = *request;
        if pinned && node.trust().release_known(&release).is_none() {
            return Err(PinError::Unknown(release));
        }
        self.change(release, pinned)
    }

    fn change(&mut self, release: RecordId, pinned: bool) -> Result<(), PinError> {
        if pinned {
            if self.command.len() >= PINS && !self.command.contains(&release) {
                return Err(PinError::TooMany);
            }
            self.command.insert(release);
            return Ok(());
        }
        if self.settings.contains(&release) {
            return Err(PinError::InSettings(release));
        }
        if self.command.remove(&release) {
            Ok(())
        } else {
            Err(PinError::NotPinned(release))
        }
    }

    /// Keeps what was pinned by a command. Blocks.
    pub(crate) fn keep(&self, store: &Store) -> Result<(), StoreError> {
        let note = serde_json::to_vec(&self.command).unwrap_or_default();
        store.set_setting(SETTING, &note)
    }

    /// As it is told.
    pub(crate) fn report<P: Payload>(&self, node: &Node<P>) -> Vec<PinReport> {
        let by = |release: &RecordId| {
            if self.settings.contains(release) {
                PinnedBy::Settings
            } else {
                PinnedBy::Command
            }
        };
        let all = self.all();
        let pins = all.iter().map(|release| PinReport {
            release: *release,
            named: named(node, release),
            by: by(release),
        });
        pins.collect()
    }
}

/// A release by its names, if it is known.
pub(crate) fn named<P: Payload>(node: &Node<P>, release: &RecordId) -> Option<ReleaseReport> {
    let record = node.trust().release_known(release)?;
    Some(ReleaseReport {
        release: *release,
        model: record.model.to_string(),
        version: record.version.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u16) -> RecordId {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&number.to_le_bytes());
        RecordId(id)
    }

    #[test]
    fn what_the_settings_pin_no_command_unpins() {
        let mut pins = Pins {
            settings: BTreeSet::from([id(1)]),
            command: BTreeSet::new(),
        };
        assert!(pins.change(id(1), true).is_ok() && pins.change(id(2), true).is_ok());
        assert_eq!(pins.all(), BTreeSet::from([id(1), id(2)]));
        let in_settings = pins.change(id(1), false);
        assert!(matches!(in_settings, Err(PinError::InSettings(_))));
        assert!(pins.change(id(2), false).is_ok());
        let again = pins.change(id(2), false);
        assert!(matches!(again, Err(PinError::NotPinned(_))));
        assert_eq!(pins.all(), BTreeSet::from([id(1)]));
    }

    #[test]
    fn there_is_a_bound() {
        let mut pins = Pins::default();
        for number in 0..PINS as u16 {
            assert!(pins.change(id(number), true).is_ok());
        }
        assert!(pins.change(id(0), true).is_ok(), "it is one of them");
        let more = pins.change(id(PINS as u16), true);
        assert!(matches!(more, Err(PinError::TooMany)));
    }
}
