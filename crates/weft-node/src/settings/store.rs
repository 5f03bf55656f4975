//! `[store]`: what files of models may take of the disk.

use std::fmt::Write as _;

use serde::Deserialize;
use weft_record::RecordId;
use weft_store::Room;

use super::{SettingsError, list, parsed, quoted};
use crate::units::{format_bytes, parse_bytes};

pub(super) const KEYS: &[&str] = &["quota", "keep_free", "pinned"];

/// What files of models may take of the disk, and which stay whatever the channels say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreSettings {
    /// Quota, and what stays free for others.
    pub room: Room,
    /// Releases whose files are never deleted.
    pub pinned: Vec<RecordId>,
}

#[derive(Deserialize, Default)]
pub(super) struct RawStore {
    quota: Option<String>,
    keep_free: Option<String>,
    #[serde(default)]
    pinned: Vec<String>,
}

impl RawStore {
    pub(super) fn check(self) -> Result<StoreSettings, SettingsError> {
        let pinned = self.pinned.into_iter().map(|text| {
            text.parse().map_err(|_| SettingsError::Value {
                key: "store.pinned",
                reason: format!("`{text}` is not the id of a release (64 hexadecimal digits)"),
            })
        });
        Ok(StoreSettings {
            room: Room {
                quota_bytes: parsed("store.quota", self.quota, parse_bytes)?,
                keep_free_bytes: parsed("store.keep_free", self.keep_free, parse_bytes)?
                    .unwrap_or(0),
            },
            pinned: pinned.collect::<Result<_, _>>()?,
        })
    }
}

/// The section, so that it reads back.
pub(super) fn write(text: &mut String, store: &StoreSettings) {
    text.push_str("\n[store]\n# most that files of models take, and what stays free for others\n");
    let keep_free = Some(store.room.keep_free_bytes).filter(|bytes| *bytes > 0);
    for (key, bytes, example) in [
        ("quota", store.room.quota_bytes, "20GB"),
        ("keep_free", keep_free, "1GB"),
    ] {
        let _ = match bytes {
            Some(bytes) => writeln!(text, "{key} = {}", quoted(&format_bytes(bytes))),
            None => writeln!(text, "# {key} = \"{example}\""),
        };
    }
    let _ = writeln!(
        text,
        "# releases whose files stay when room is made\npinned = {}",
        list(&store.pinned)
    );
}
