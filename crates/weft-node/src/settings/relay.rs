//! `network.relay`: whether a node carries what others say to each other.

use std::fmt::Write as _;

use toml::Value;
use weft_net::Relaying;

use super::SettingsError;

pub(super) fn check(value: Option<&Value>) -> Result<Relaying, SettingsError> {
    match value {
        None => Ok(Relaying::default()),
        Some(Value::Boolean(true)) => Ok(Relaying::On),
        Some(Value::Boolean(false)) => Ok(Relaying::Off),
        Some(Value::String(text)) if text == "auto" => Ok(Relaying::Auto),
        Some(other) => Err(SettingsError::Value {
            key: "network.relay",
            reason: format!("`{other}` is none of true, false and \"auto\""),
        }),
    }
}

/// The line, so that it reads back.
pub(super) fn write(text: &mut String, relaying: Relaying) {
    let value = match relaying {
        Relaying::Auto => "\"auto\"",
        Relaying::On => "true",
        Relaying::Off => "false",
    };
    let _ = writeln!(
        text,
        "# whether it carries what members say that cannot dial each other: auto, if it can be\n# dialled itself\nrelay = {value}"
    );
}
