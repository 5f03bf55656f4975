//! `weft trust show`

use std::fmt::Write as _;

use serde::Serialize;
use weft_keys::PublicKey;
use weft_record::{
    Head, Kind, MeshId, Name, RecordId, RevokeTarget, Scope, TimeState, Trust, Verified,
};

use crate::{
    context::Context,
    failure::Failure,
    output::{fields, table},
    signing::{
        self, From, Ground, Judged, now_s,
        words::{self, Releases},
    },
    style::Style,
};

/// Show who may sign what, what was taken back, and what waits for signatures.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  weft trust show\n  weft trust show --from rotation.weft")]
pub(crate) struct Show {
    #[command(flatten)]
    from: From,
}

#[derive(Serialize)]
struct Report {
    mesh_id: MeshId,
    /// `fresh`, `stale` or `unknown`, by this machine's clock.
    time: &'static str,
    valid_from_s: u64,
    valid_until_s: u64,
    roots: Vec<RootRow>,
    root_keys: Vec<PublicKey>,
    root_threshold: u16,
    roles: Vec<RoleRow>,
    channels: Vec<ChannelRow>,
    revocations: Vec<RevokeRow>,
    /// Records that came here or were signed here, and that the node has not taken in: they
    /// lack signatures, or something that they build on, or the file is still to be imported.
    waiting: Vec<Judged>,
}

#[derive(Serialize)]
struct RootRow {
    version: u64,
    id: RecordId,
    signed_at_s: u64,
    signers: Vec<PublicKey>,
}

#[derive(Serialize)]
struct RoleRow {
    name: Name,
    threshold: u16,
    keys: Vec<PublicKey>,
    revoked: Vec<PublicKey>,
    kinds: Vec<&'static str>,
    channels: Option<Vec<Name>>,
    sites: Option<Vec<Name>>,
}

#[derive(Serialize)]
struct ChannelRow {
    channel: Name,
    /// How often it was reset.
    epoch: u64,
    /// The head that the last reset began with.
    base: Option<RecordId>,
    floor: u64,
    head: Option<HeadRow>,
    /// The newest head of every branch, where there are several.
    fork: Vec<HeadRow>,
}

#[derive(Serialize)]
struct HeadRow {
    seq: u64,
    id: RecordId,
    release: RecordId,
    release_name: String,
    signers: Vec<PublicKey>,
}

#[derive(Serialize)]
struct RevokeRow {
    id: RecordId,
    target: RevokeTarget,
    what: String,
    reason: String,
    issued_at_s: u64,
    signers: Vec<PublicKey>,
}

impl Show {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let ground = Ground::open(context, &self.from)?;
        let report = Report::of(&ground);
        context.output.result(&report, |style| report.text(style))
    }
}

impl Report {
    fn of(ground: &Ground) -> Self {
        let (trust, releases) = (ground.believed(), ground.releases());
        let newest = trust.root();
        let waiting = if ground.home.is_some() {
            ground.shelf.clone()
        } else {
            ground.open_records()
        };
        let roles = newest.map_or(&[][..], |root| &root.roles);
        let roles = roles.iter().map(|role| RoleRow {
            name: role.name.clone(),
            threshold: role.threshold,
            keys: role.keys.clone(),
            revoked: {
                let keys = role.keys.iter();
                keys.filter(|key| trust.is_key_revoked(key))
                    .copied()
                    .collect()
            },
            kinds: {
                let kinds = role.kinds.iter().copied();
                kinds
                    .filter_map(Kind::from_number)
                    .map(Kind::name)
                    .collect()
            },
            channels: only(&role.channels),
            sites: only(&role.sites),
        });
        let roots = trust.root_chain().iter().map(|root| RootRow {
            version: root.version,
            id: root.id(),
            signed_at_s: root.validity.from_s,
            signers: signers(root),
        });
        let revocations = trust.revokes().map(|revoke| RevokeRow {
            id: revoke.id(),
            target: revoke.target,
            what: words::target(&revoke.target, &releases),
            reason: revoke.reason.clone(),
            issued_at_s: revoke.issued_at_s,
            signers: signers(revoke),
        });
        Self {
            mesh_id: trust.mesh_id(),
            time: match trust.time_state(now_s()) {
                TimeState::Fresh => "fresh",
                TimeState::Stale => "stale",
                TimeState::Unknown => "unknown",
            },
            valid_from_s: newest.map_or(0, |root| root.validity.from_s),
            valid_until_s: newest.map_or(0, |root| root.validity.until_s),
            roots: roots.collect(),
            root_keys: newest.map_or_else(Vec::new, |root| root.keys.clone()),
            root_threshold: newest.map_or(0, |root| root.threshold),
            roles: roles.collect(),
            channels: channels(trust, &releases),
            revocations: revocations.collect(),
            waiting: ground.judge(&waiting),
        }
    }

    fn text(&self, style: Style) -> String {
        let root = match self.roots.last() {
            Some(root) => format!(
                "{} ({}), signed by {}",
                root.version,
                words::short_id(&root.id),
                words::short_keys(&root.signers)
            ),
            None => "none yet: this node has not met a member".to_owned(),
        };
        let mut rows = vec![("mesh", self.mesh_id.to_string()), ("root", root)];
        if !self.roots.is_empty() {
            let until = words::utc(self.valid_until_s);
            rows.push((
                "time",
                format!("{}, the root is good until {until}", self.time),
            ));
        }
        let mut text = fields(style, &rows);
        let own = vec![
            "root".to_owned(),
            format!("{} of {}", self.root_threshold, self.root_keys.len()),
            words::short_keys(&self.root_keys),
            "root".to_owned(),
        ];
        let roles = self.roles.iter().map(RoleRow::row);
        let rows: Vec<Vec<String>> = std::iter::once(own).chain(roles).collect();
        if !self.roots.is_empty() {
            text.push('\n');
            text.push_str(&table(style, &["role", "needs", "keys", "signs"], &rows));
        }
        if !self.channels.is_empty() {
            let rows: Vec<Vec<String>> = self.channels.iter().flat_map(ChannelRow::rows).collect();
            let head = ["channel", "head", "release", "resets", "floor", "signed by"];
            text.push('\n');
            text.push_str(&table(style, &head, &rows));
        }
        for channel in self.channels.iter().filter(|one| !one.fork.is_empty()) {
            let _ = writeln!(
                text,
                "{} channel {} is forked: weft trust join-fork {} --release RELEASE --key KEY",
                style.bad("!"),
                channel.channel,
                channel.channel
            );
        }
        if !self.revocations.is_empty() {
            let rows: Vec<Vec<String>> = self.revocations.iter().map(RevokeRow::row).collect();
            text.push('\n');
            text.push_str(&table(
                style,
                &["revoked", "when", "reason", "signed by"],
                &rows,
            ));
        }
        if !self.waiting.is_empty() {
            text.push('\n');
            text.push_str(&signing::lines(style, &self.waiting));
        }
        text
    }
}

impl RoleRow {
    fn row(&self) -> Vec<String> {
        let mut keys = words::short_keys(&self.keys);
        if !self.revoked.is_empty() {
            let _ = write!(keys, " (revoked: {})", words::short_keys(&self.revoked));
        }
        let mut signs = self.kinds.join(", ");
        for (what, names) in [("channels", &self.channels), ("sites", &self.sites)] {
            if let Some(names) = names {
                let names: Vec<&str> = names.iter().map(Name::as_str).collect();
                let _ = write!(signs, "; {what} {}", names.join(", "));
            }
        }
        let needs = format!("{} of {}", self.threshold, self.keys.len());
        vec![self.name.to_string(), needs, keys, signs]
    }
}

impl ChannelRow {
    fn rows(&self) -> Vec<Vec<String>> {
        let heads: Vec<&HeadRow> = if self.fork.is_empty() {
            self.head.iter().collect()
        } else {
            self.fork.iter().collect()
        };
        let rows = heads.into_iter().map(|head| {
            vec![
                self.channel.to_string(),
                head.seq.to_string(),
                head.release_name.clone(),
                self.epoch.to_string(),
                self.floor.to_string(),
                words::short_keys(&head.signers),
            ]
        });
        rows.collect()
    }
}

impl RevokeRow {
    fn row(&self) -> Vec<String> {
        vec![
            self.what.clone(),
            words::utc(self.issued_at_s),
            self.reason.clone(),
            words::short_keys(&self.signers),
        ]
    }
}

fn channels(trust: &Trust, releases: &Releases) -> Vec<ChannelRow> {
    let row = |head: &Verified<Head>| HeadRow {
        seq: head.seq,
        id: head.id(),
        release: head.release,
        release_name: releases.name(&head.release),
        signers: signers(head),
    };
    let channels = trust.channels().map(|channel| {
        let tips = trust.fork(channel).map_or(&[][..], |fork| &fork.tips);
        let heads = trust.heads(channel);
        let epoch = trust.epoch(channel);
        ChannelRow {
            channel: channel.clone(),
            epoch,
            base: {
                let mut base = heads.iter().filter(|head| head.epoch < epoch);
                base.next().map(Verified::id)
            },
            floor: trust.floor(channel),
            head: trust.head(channel).map(row),
            fork: {
                let tips = heads.iter().filter(|head| tips.contains(&head.id()));
                tips.map(row).collect()
            },
        }
    });
    channels.collect()
}

fn signers<T>(record: &Verified<T>) -> Vec<PublicKey> {
    let sigs = record.envelope().sigs.iter();
    sigs.map(|(key, _)| *key).collect()
}

fn only(scope: &Scope) -> Option<Vec<Name>> {
    match scope {
        Scope::All => None,
        Scope::Only(names) => Some(names.clone()),
    }
}
