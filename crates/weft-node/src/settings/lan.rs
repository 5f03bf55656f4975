//! `network.lan`: prefixes that belong to the site's LAN.

use std::fmt::Write as _;

use weft_net::IpNet;

use super::{SettingsError, list};

/// A shorter prefix is no site's, and would let the caps of the uplink count nothing.
const PREFIX_LEAST: u8 = 8;
/// A site has a few networks; each is looked at once a connection.
const PREFIXES: usize = 64;

pub(super) fn check(texts: &[String]) -> Result<Vec<IpNet>, SettingsError> {
    let refuse = |reason| SettingsError::Value {
        key: "network.lan",
        reason,
    };
    if texts.len() > PREFIXES {
        let count = texts.len();
        return Err(refuse(format!(
            "{count} prefixes, at most {PREFIXES} can be named"
        )));
    }
    let prefixes = texts.iter().map(|text| parse(text));
    prefixes.collect::<Result<_, _>>().map_err(refuse)
}

fn parse(text: &str) -> Result<IpNet, String> {
    let prefix: IpNet = text
        .parse()
        .map_err(|_| format!("`{text}` is not a prefix such as 10.1.0.0/16"))?;
    let whole = prefix.trunc();
    if whole != prefix {
        return Err(format!(
            "`{text}` says more than its prefix holds; write {whole}"
        ));
    }
    if prefix.prefix_len() < PREFIX_LEAST {
        return Err(format!(
            "`{text}` is too much for a LAN; a prefix has at least /{PREFIX_LEAST}"
        ));
    }
    Ok(prefix)
}

/// The line, so that it reads back.
pub(super) fn write(text: &mut String, lan: &[IpNet]) {
    text.push_str(
        "# networks of this site beside those that the machine is attached to: what comes from\n# there is not counted as the uplink\n",
    );
    let _ = if lan.is_empty() {
        writeln!(text, "# lan = {}", list(&["10.1.0.0/16"]))
    } else {
        writeln!(text, "lan = {}", list(lan))
    };
}
