//! `node.toml`: what the owner of a node decides.

mod lan;
mod limit;
mod relay;
mod store;

use std::{fmt::Write as _, net::SocketAddr, path::PathBuf};

use serde::Deserialize;
use weft_core::Limits;
use weft_net::{IpNet, Relaying};
use weft_record::{MeshId, Name};

use crate::units::UnitError;

pub use store::StoreSettings;

/// Everything that `node.toml` can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The mesh that the node belongs to or joins.
    pub mesh_id: MeshId,
    /// Channels it follows.
    pub channels: Vec<Name>,
    /// Quantizations it prefers, best first; empty: the order of the release.
    pub variants: Vec<Name>,
    /// Addresses it listens on, as multiaddresses.
    pub listen: Vec<String>,
    /// Peers it dials at its start, as multiaddresses that end in `/p2p/…`.
    pub bootstrap: Vec<String>,
    /// Whether it looks for peers on the LAN.
    pub mdns: bool,
    /// What belongs to the site's LAN beside the networks that the machine is attached to.
    pub lan: Vec<IpNet>,
    /// Whether it carries what members that cannot dial each other say.
    pub relaying: Relaying,
    /// Whether it enrolls other nodes: it answers requests to join.
    pub registrar: bool,
    /// The key with which it signs enrolments; relative to the node's folder.
    pub enroll_key: Option<PathBuf>,
    /// Nothing new is activated while the newest root has run out; else it is only told.
    pub refuse_new_when_stale: bool,
    /// What transfers may take.
    pub limits: Limits,
    /// What files of models may take of the disk.
    pub store: StoreSettings,
    /// Where the HTTP API listens; always a loopback address.
    pub api_address: SocketAddr,
}

impl Settings {
    /// What a new node of this mesh begins with.
    pub fn new(mesh_id: MeshId, channels: Vec<Name>) -> Self {
        Self {
            mesh_id,
            channels,
            variants: Vec::new(),
            listen: vec![
                "/ip4/0.0.0.0/tcp/0".to_owned(),
                "/ip4/0.0.0.0/udp/0/quic-v1".to_owned(),
            ],
            bootstrap: Vec::new(),
            mdns: true,
            lan: Vec::new(),
            relaying: Relaying::default(),
            registrar: false,
            enroll_key: None,
            refuse_new_when_stale: false,
            limits: Limits::default(),
            store: StoreSettings::default(),
            api_address: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }

    /// Reads `node.toml`.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| SettingsError::Syntax(error.to_string()))?;
        refuse_unknown_keys(&table)?;
        let raw: Raw = table
            .try_into()
            .map_err(|error: toml::de::Error| SettingsError::Syntax(error.to_string()))?;
        raw.check()
    }

    /// Writes it, so that [`Settings::parse`] reads the same back.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "# A weft node. `weft up` reads this file.\n\n[node]");
        let _ = writeln!(text, "mesh = {}", quoted(&self.mesh_id.to_string()));
        let _ = writeln!(text, "channels = {}", list(&self.channels));
        let _ = writeln!(
            text,
            "# quantizations this node prefers, best first; empty: as the release lists them\nvariants = {}",
            list(&self.variants)
        );
        let _ = writeln!(
            text,
            "\n[trust]\n# whether this node enrolls others, and with which key\nregistrar = {}",
            self.registrar
        );
        match &self.enroll_key {
            Some(path) => {
                let _ = writeln!(text, "enroll_key = {}", quoted(&path.to_string_lossy()));
            }
            None => text.push_str("# enroll_key = \"enroll.key\"\n"),
        }
        let _ = writeln!(
            text,
            "# whether nothing new is activated once the newest root has run out\nrefuse_new_when_stale = {}",
            self.refuse_new_when_stale
        );
        let _ = writeln!(text, "\n[network]\nlisten = {}", list(&self.listen));
        let _ = writeln!(text, "bootstrap = {}", list(&self.bootstrap));
        let _ = writeln!(text, "mdns = {}", self.mdns);
        lan::write(&mut text, &self.lan);
        relay::write(&mut text, self.relaying);
        limit::write(&mut text, &self.limits);
        store::write(&mut text, &self.store);
        let _ = writeln!(
            text,
            "\n[api]\n# loopback only; port 0: any free port, recorded in api.json\naddress = {}",
            quoted(&self.api_address.to_string())
        );
        text
    }
}

/// Why `node.toml` was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Not TOML, or a value of the wrong type.
    #[error("{0}")]
    Syntax(String),
    /// A key that weft does not know.
    #[error("unknown key `{key}`{}", did_you_mean(.suggestion.as_deref()))]
    UnknownKey {
        /// The key with its section.
        key: String,
        /// The known key that is nearest, if one is near.
        suggestion: Option<String>,
    },
    /// A value that cannot be used.
    #[error("`{key}`: {reason}")]
    Value {
        /// The key with its section.
        key: &'static str,
        /// What is wrong with the value.
        reason: String,
    },
}

/// Every known key, by section.
const KEYS: &[(&str, &[&str])] = &[
    ("node", &["mesh", "channels", "variants"]),
    (
        "trust",
        &["registrar", "enroll_key", "refuse_new_when_stale"],
    ),
    ("network", &["listen", "bootstrap", "mdns", "lan", "relay"]),
    ("limit", limit::KEYS),
    ("store", store::KEYS),
    ("api", &["address"]),
];

#[derive(Deserialize)]
struct Raw {
    node: RawNode,
    #[serde(default)]
    trust: RawTrust,
    #[serde(default)]
    network: RawNetwork,
    #[serde(default)]
    limit: limit::RawLimit,
    #[serde(default)]
    store: store::RawStore,
    #[serde(default)]
    api: RawApi,
}

#[derive(Deserialize)]
struct RawNode {
    mesh: String,
    channels: Vec<String>,
    #[serde(default)]
    variants: Vec<String>,
}

#[derive(Deserialize, Default)]
struct RawTrust {
    #[serde(default)]
    registrar: bool,
    enroll_key: Option<PathBuf>,
    #[serde(default)]
    refuse_new_when_stale: bool,
}

#[derive(Deserialize, Default)]
struct RawNetwork {
    listen: Option<Vec<String>>,
    #[serde(default)]
    bootstrap: Vec<String>,
    mdns: Option<bool>,
    #[serde(default)]
    lan: Vec<String>,
    relay: Option<toml::Value>,
}

#[derive(Deserialize, Default)]
struct RawApi {
    address: Option<String>,
}

impl Raw {
    fn check(self) -> Result<Settings, SettingsError> {
        let mesh_id = self.node.mesh.parse().map_err(|_| SettingsError::Value {
            key: "node.mesh",
            reason: format!(
                "`{}` is not a mesh id (64 hexadecimal digits)",
                self.node.mesh
            ),
        })?;
        let mut settings = Settings::new(mesh_id, names("node.channels", self.node.channels)?);
        if settings.channels.len() > weft_core::bounds::CHANNELS {
            return Err(SettingsError::Value {
                key: "node.channels",
                reason: format!(
                    "{} channels, at most {} can be followed",
                    settings.channels.len(),
                    weft_core::bounds::CHANNELS
                ),
            });
        }
        settings.variants = names("node.variants", self.node.variants)?;
        if self.trust.registrar && self.trust.enroll_key.is_none() {
            return Err(SettingsError::Value {
                key: "trust.registrar",
                reason: "a node that enrolls others needs `trust.enroll_key`".to_owned(),
            });
        }
        settings.registrar = self.trust.registrar;
        settings.enroll_key = self.trust.enroll_key;
        settings.refuse_new_when_stale = self.trust.refuse_new_when_stale;
        if let Some(listen) = self.network.listen {
            settings.listen = listen;
        }
        settings.bootstrap = self.network.bootstrap;
        settings.mdns = self.network.mdns.unwrap_or(settings.mdns);
        settings.lan = lan::check(&self.network.lan)?;
        settings.relaying = relay::check(self.network.relay.as_ref())?;
        settings.limits = self.limit.check()?;
        settings.store = self.store.check()?;
        if let Some(address) = self.api.address {
            settings.api_address = loopback(&address)?;
        }
        Ok(settings)
    }
}

/// A value that may be left out.
fn parsed<T>(
    key: &'static str,
    text: Option<String>,
    parse: impl Fn(&str) -> Result<T, UnitError>,
) -> Result<Option<T>, SettingsError> {
    let value = text.map(|text| parse(&text)).transpose();
    value.map_err(|error| SettingsError::Value {
        key,
        reason: error.to_string(),
    })
}

fn names(key: &'static str, texts: Vec<String>) -> Result<Vec<Name>, SettingsError> {
    texts
        .into_iter()
        .map(|text| {
            text.parse().map_err(|_| SettingsError::Value {
                key,
                reason: format!("`{text}` is not a name (1 to 64 of a-z 0-9 . _ -)"),
            })
        })
        .collect()
}

fn loopback(text: &str) -> Result<SocketAddr, SettingsError> {
    let refuse = |reason| SettingsError::Value {
        key: "api.address",
        reason,
    };
    let address: SocketAddr = text
        .parse()
        .map_err(|_| refuse(format!("`{text}` is not an address such as 127.0.0.1:4680")))?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err(refuse(format!(
            "`{text}` is not a loopback address; the API answers this machine only"
        )))
    }
}

fn refuse_unknown_keys(table: &toml::Table) -> Result<(), SettingsError> {
    for (section, value) in table {
        let Some((_, known)) = KEYS.iter().find(|(name, _)| name == section) else {
            let sections: Vec<&str> = KEYS.iter().map(|(name, _)| *name).collect();
            // A key outside its section is the likelier slip than a section that does not exist.
            let suggestion = KEYS
                .iter()
                .find(|(_, keys)| keys.contains(&section.as_str()))
                .map(|(name, _)| format!("{name}.{section}"))
                .or_else(|| nearest(section, &sections));
            return Err(SettingsError::UnknownKey {
                key: section.clone(),
                suggestion,
            });
        };
        for key in value.as_table().into_iter().flat_map(toml::Table::keys) {
            if !known.contains(&key.as_str()) {
                let suggestion = nearest(key, known).map(|near| format!("{section}.{near}"));
                return Err(SettingsError::UnknownKey {
                    key: format!("{section}.{key}"),
                    suggestion,
                });
            }
        }
    }
    Ok(())
}

fn nearest(word: &str, known: &[&str]) -> Option<String> {
    known
        .iter()
        .map(|candidate| (edit_distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 3)
        .min()
        .map(|(_, candidate)| (*candidate).to_owned())
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |key| format!("; did you mean `{key}`?"))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn list<T: ToString>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(&item.to_string())).collect();
    format!("[{}]", items.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use weft_core::Caps;

    use super::*;

    fn text(extra: &str) -> String {
        format!(
            "[node]\nmesh = \"{}\"\nchannels = [\"stable\"]\n{extra}",
            "ab".repeat(32)
        )
    }

    fn refusal(extra: &str) -> String {
        Settings::parse(&text(extra)).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut settings = Settings::parse(&text("")).unwrap();
        assert_eq!(Settings::parse(&settings.to_toml()).unwrap(), settings);
        settings.limits.caps = Caps {
            fetch_bytes_per_sec: Some(2_500_000),
            serve_bytes_per_sec: Some(1),
            lan_fetch_bytes_per_sec: None,
            lan_serve_bytes_per_sec: Some(40_000_000_000),
        };
        settings.limits.metered = true;
        settings.limits.timetable = ["fri-mon 22:00-06:00 unlimited", "12:00-13:00 paused"]
            .map(|text| crate::timetable::parse_window(text).unwrap())
            .to_vec();
        settings.bootstrap = vec!["/ip4/127.0.0.1/tcp/4001/p2p/abc".to_owned()];
        settings.variants = vec!["q8_0".parse().unwrap()];
        settings.mdns = false;
        settings.lan = ["10.1.0.0/16", "fd00:1::/32"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        settings.relaying = Relaying::Off;
        settings.registrar = true;
        settings.enroll_key = Some("keys/enroll \"1\".key".into());
        settings.refuse_new_when_stale = true;
        settings.store = StoreSettings {
            room: weft_store::Room {
                quota_bytes: Some(20_000_000_000),
                keep_free_bytes: 1_000_000_000,
            },
            pinned: vec![weft_record::RecordId::ZERO],
        };
        settings.api_address = "[::1]:4680".parse().unwrap();
        assert_eq!(Settings::parse(&settings.to_toml()).unwrap(), settings);
    }

    #[test]
    fn an_unknown_key_is_refused_with_a_suggestion() {
        assert_eq!(
            refusal("[network]\nlistne = []"),
            "unknown key `network.listne`; did you mean `network.listen`?"
        );
        assert_eq!(
            refusal("[limits]\nfetch = \"1MB/s\""),
            "unknown key `limits`; did you mean `limit`?"
        );
        assert_eq!(
            refusal("[api]\nxyzzyplugh = 1"),
            "unknown key `api.xyzzyplugh`"
        );
        let error = Settings::parse(&format!("mdns = true\n{}", text(""))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown key `mdns`; did you mean `network.mdns`?"
        );
    }

    #[test]
    fn a_bad_value_is_refused_by_name() {
        assert!(
            refusal("[limit]\nfetch = \"2MB\"").starts_with("`limit.fetch`: `2MB` is not a rate")
        );
        let timetable = refusal("[limit]\ntimetable = [\"22:00-06:00\"]");
        assert!(timetable.starts_with("`limit.timetable`: `22:00-06:00` is no window"));
        assert!(refusal("[limit]\nmetered = \"yes\"").contains("metered"));
        assert!(refusal("[store]\nquota = \"much\"").starts_with("`store.quota`: `much`"));
        assert!(refusal("[store]\npinned = [\"x\"]").contains("is not the id of a release"));
        assert!(refusal("[limit]\nlan_serve = \"0B/s\"").contains("leave the limit out"));
        assert!(refusal("[api]\naddress = \"0.0.0.0:80\"").contains("not a loopback address"));
        assert!(refusal("[api]\naddress = \"localhost\"").contains("not an address"));
        assert!(refusal("[trust]\nregistrar = true").contains("needs `trust.enroll_key`"));
        assert!(refusal("variants = [\"Q8 0\"]").contains("not a name"));
        assert!(refusal("[network]\nmdns = \"yes\"").contains("mdns"));
        let relay = refusal("[network]\nrelay = \"maybe\"");
        assert!(relay.starts_with("`network.relay`: `\"maybe\"` is none of"));
        let lan = |text: &str| refusal(&format!("[network]\nlan = [\"{text}\"]"));
        assert!(lan("10.1.0.0").contains("`10.1.0.0` is not a prefix such as 10.1.0.0/16"));
        assert!(lan("ten/8").starts_with("`network.lan`: `ten/8` is not a prefix"));
        assert!(lan("10.1.2.3/16").contains("write 10.1.0.0/16"));
        assert!(lan("0.0.0.0/0").contains("at least /8"));
        assert!(refusal("[network").contains("TOML parse error"));
        let many: Vec<String> = (0..17).map(|i| format!("\"c{i}\"")).collect();
        let many = text("").replace("\"stable\"", &many.join(","));
        assert!(
            Settings::parse(&many)
                .unwrap_err()
                .to_string()
                .contains("at most 16")
        );
        let error = Settings::parse(&text("").replace("abab", "zz")).unwrap_err();
        assert!(error.to_string().contains("not a mesh id"), "{error}");
    }
}
