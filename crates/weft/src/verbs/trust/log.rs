//! `weft trust log`

use serde::Serialize;
use weft_keys::PublicKey;
use weft_record::{Envelope, Kind, Name, RecordId, Trust};

use crate::{
    context::Context,
    failure::Failure,
    output::table,
    signing::{
        From, Ground,
        words::{self, Releases},
    },
};

/// Tell who signed, halted, enrolled or revoked what, and when.
///
/// The times are those that the signers wrote. What a reset has ended is not told any more.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  weft trust log\n  weft --json trust log --from stable.weft")]
pub(crate) struct Log {
    #[command(flatten)]
    from: From,
}

#[derive(Serialize)]
struct Report {
    entries: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    /// Null for a release, which says no time.
    at_s: Option<u64>,
    kind: &'static str,
    id: RecordId,
    what: String,
    #[serde(skip)]
    order: u8,
    /// For controls and revocations.
    reason: String,
    by: Vec<By>,
}

#[derive(Serialize)]
struct By {
    key: PublicKey,
    /// Roles that it has by the newest root.
    roles: Vec<String>,
}

impl Log {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let ground = Ground::open(context, &self.from)?;
        let releases = ground.releases();
        let records = ground.believed().records();
        let mut entries: Vec<Entry> = records
            .map(|envelope| Entry::of(ground.believed(), envelope, &releases))
            .collect();
        // a release stands with the first head that names it
        let mut first = std::collections::BTreeMap::new();
        for envelope in ground.believed().records() {
            if let Some(head) = words::head(envelope) {
                let at_s = first.entry(head.release).or_insert(head.issued_at_s);
                *at_s = (*at_s).min(head.issued_at_s);
            }
        }
        let place = |entry: &Entry| entry.at_s.or_else(|| first.get(&entry.id).copied());
        // of one second: roots, then releases, then what names them
        entries.sort_by_key(|entry| (place(entry).unwrap_or(u64::MAX), entry.order));
        let report = Report { entries };
        context.output.result(&report, |style| {
            let rows: Vec<Vec<String>> = report.entries.iter().map(Entry::row).collect();
            table(style, &["when", "what", "by", "reason"], &rows)
        })
    }
}

impl Entry {
    fn of(trust: &Trust, envelope: &Envelope, releases: &Releases) -> Self {
        let kind = Kind::from_number(envelope.kind);
        let by = envelope.sigs.iter().map(|(key, _)| By {
            key: *key,
            roles: roles(trust, key),
        });
        let (at_s, reason) = said(envelope);
        Self {
            at_s,
            kind: kind.map_or("unknown", Kind::name),
            order: envelope.kind,
            id: envelope.record_id(),
            what: words::record(envelope, releases),
            reason,
            by: by.collect(),
        }
    }

    fn row(&self) -> Vec<String> {
        let by: Vec<String> = self.by.iter().map(By::text).collect();
        vec![
            self.at_s.map_or_else(|| "-".to_owned(), words::utc),
            self.what.clone(),
            if by.is_empty() {
                "-".to_owned()
            } else {
                by.join(", ")
            },
            self.reason.clone(),
        ]
    }
}

impl By {
    fn text(&self) -> String {
        let key = words::short_key(&self.key);
        if self.roles.is_empty() {
            format!("{key} (no role now)")
        } else {
            format!("{key} ({})", self.roles.join(", "))
        }
    }
}

/// When it says it was signed, and why.
fn said(envelope: &Envelope) -> (Option<u64>, String) {
    use weft_record::{Beacon, Control, Enroll, EnrollRoot, Head, Revoke, Root};
    let none = String::new;
    match Kind::from_number(envelope.kind) {
        Some(Kind::Root) => (
            words::of_kind(envelope, Kind::Root).map(|root: Root| root.validity.from_s),
            none(),
        ),
        Some(Kind::Head) => (
            words::head(envelope).map(|head: Head| head.issued_at_s),
            none(),
        ),
        Some(Kind::Control) => words::of_kind(envelope, Kind::Control)
            .map_or((None, none()), |one: Control| {
                (Some(one.issued_at_s), one.reason)
            }),
        Some(Kind::Revoke) => words::of_kind(envelope, Kind::Revoke)
            .map_or((None, none()), |one: Revoke| {
                (Some(one.issued_at_s), one.reason)
            }),
        Some(Kind::Enroll) => (
            words::of_kind(envelope, Kind::Enroll).map(|one: Enroll| one.issued_at_s),
            none(),
        ),
        Some(Kind::EnrollRoot) => (
            words::of_kind(envelope, Kind::EnrollRoot).map(|one: EnrollRoot| one.issued_at_s),
            none(),
        ),
        Some(Kind::Beacon) => (
            words::of_kind(envelope, Kind::Beacon).map(|one: Beacon| one.issued_at_s),
            none(),
        ),
        _ => (None, none()),
    }
}

fn roles(trust: &Trust, key: &PublicKey) -> Vec<String> {
    let Some(root) = trust.root() else {
        return Vec::new();
    };
    let own = root.keys.contains(key).then(|| "root".to_owned());
    let roles = root.roles.iter().filter(|role| role.keys.contains(key));
    let names = roles.map(|role| Name::to_string(&role.name));
    own.into_iter().chain(names).collect()
}
