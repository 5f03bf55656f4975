//! What became of the records of a signed file, and whose signatures they still need.

use serde::Serialize;
use weft_keys::PublicKey;
use weft_record::{Envelope, Kind, Missing, Name, RecordId, Trust};

use super::{
    file::Left,
    words::{self, Releases},
};
use crate::{output::table, style::Style};

/// One record.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Judged {
    pub(crate) id: RecordId,
    pub(crate) kind: &'static str,
    /// What it says.
    pub(crate) what: String,
    pub(crate) state: State,
    /// Why it is refused, or what it waits for.
    pub(crate) reason: String,
    /// How many signatures are lacking, at the least.
    pub(crate) lacking: usize,
    /// Whether every quorum must be reached; else one is enough.
    pub(crate) all_quorums: bool,
    pub(crate) quorums: Vec<QuorumReport>,
}

/// Keys of which some must sign.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct QuorumReport {
    /// The role; null for root keys, or a key that revokes itself.
    role: Option<Name>,
    needed: u16,
    signed: Vec<PublicKey>,
    missing: Vec<PublicKey>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Enough keys have signed, and it fits.
    Accepted,
    /// It needs more signatures.
    Lacking,
    /// Enough keys have signed, and something that it builds on is not here.
    Waiting,
    /// It never will count.
    Refused,
}

/// Tells of each record what it is; the verifier has been handed all of them.
pub(crate) fn judge(
    trust: &Trust,
    accepted: &[Envelope],
    left: &[(Envelope, Left)],
) -> Vec<Judged> {
    let all = accepted.iter().chain(left.iter().map(|(one, _)| one));
    let releases = Releases::of(trust, all);
    let accepted = accepted.iter().map(|envelope| {
        // as the verifier holds it, with all signatures that count
        let held = trust.envelope(&envelope.record_id()).unwrap_or(envelope);
        judge_one(trust, held, None, &releases)
    });
    let left = left
        .iter()
        .map(|(envelope, why)| judge_one(trust, envelope, Some(why), &releases));
    accepted.chain(left).collect()
}

fn judge_one(
    trust: &Trust,
    envelope: &Envelope,
    left: Option<&Left>,
    releases: &Releases,
) -> Judged {
    let found = weft_record::signatures(trust, envelope).unwrap_or_default();
    let (state, reason) = match left {
        None => (State::Accepted, String::new()),
        Some(Left::Lacking) => (State::Lacking, String::new()),
        Some(Left::Waiting(_)) if found.lacks() > 0 => (State::Lacking, String::new()),
        Some(Left::Waiting(missing)) => (State::Waiting, waits_for(missing, releases)),
        Some(Left::Refused(refusal)) => (State::Refused, refusal.to_string()),
    };
    let lacking = match state {
        State::Accepted => 0,
        _ => found.lacks(),
    };
    let quorums = found.quorums.iter().map(|quorum| QuorumReport {
        role: quorum.role.clone(),
        needed: quorum.threshold,
        signed: quorum.signed.clone(),
        missing: {
            let open = quorum.keys.iter();
            open.filter(|key| !quorum.signed.contains(key))
                .copied()
                .collect()
        },
    });
    Judged {
        id: envelope.record_id(),
        kind: Kind::from_number(envelope.kind).map_or("unknown", Kind::name),
        what: words::record(envelope, releases),
        state,
        reason,
        lacking,
        all_quorums: found.all,
        quorums: quorums.collect(),
    }
}

/// What a record waits for.
pub(crate) fn waits_for(missing: &Missing, releases: &Releases) -> String {
    match missing {
        Missing::Root => "an earlier root".to_owned(),
        Missing::Head(id) => format!("head {}", words::short_id(id)),
        Missing::Release(id) => format!("release {}", releases.name(id)),
        Missing::Key => "anything that names the key".to_owned(),
        Missing::Task(id) => format!("task {}", words::short_id(id)),
        Missing::Enrolment(key) => format!("the enrolment of {}", words::short_key(key)),
        _ => "another record".to_owned(),
    }
}

/// A table of them, one line a quorum that matters.
pub(crate) fn lines(style: Style, records: &[Judged]) -> String {
    let rows: Vec<Vec<String>> = records.iter().flat_map(rows).collect();
    let head = [
        "record",
        "state",
        "signatures",
        "signed by",
        "may still sign",
    ];
    table(style, &head, &rows)
}

fn rows(record: &Judged) -> Vec<Vec<String>> {
    let state = match record.state {
        State::Accepted => "accepted".to_owned(),
        State::Lacking => match record.lacking {
            0 => "needs another role's".to_owned(),
            lacking => format!("needs {lacking} more"),
        },
        State::Waiting => format!("waits for {}", record.reason),
        State::Refused => format!("refused: {}", record.reason),
    };
    let best = record.quorums.iter().filter(|quorum| {
        record.all_quorums || quorum.lacks() == least(record) && !quorum.keys_are_empty()
    });
    let mut best: Vec<&QuorumReport> = best.collect();
    if !record.all_quorums {
        best.sort_by_key(|quorum| std::cmp::Reverse(quorum.signed.len()));
        best.truncate(1);
    }
    let first = [record.what.clone(), state];
    if best.is_empty() {
        let nobody = ["-".to_owned(), "-".to_owned(), "-".to_owned()];
        return vec![first.into_iter().chain(nobody).collect()];
    }
    let rows = best.into_iter().enumerate().map(|(index, quorum)| {
        let first = if index == 0 {
            first.clone()
        } else {
            [String::new(), String::new()]
        };
        let role = quorum.role.as_ref().map_or("root", Name::as_str);
        let signatures = format!("{} of {} ({role})", quorum.signed.len(), quorum.needed);
        let missing = match record.state {
            State::Lacking => words::short_keys(&quorum.missing),
            _ => "-".to_owned(),
        };
        let rest = [signatures, words::short_keys(&quorum.signed), missing];
        first.into_iter().chain(rest).collect()
    });
    rows.collect()
}

fn least(record: &Judged) -> usize {
    let lacking = record.quorums.iter().map(QuorumReport::lacks);
    lacking.min().unwrap_or(0)
}

impl QuorumReport {
    fn lacks(&self) -> usize {
        usize::from(self.needed).saturating_sub(self.signed.len())
    }

    fn keys_are_empty(&self) -> bool {
        self.signed.is_empty() && self.missing.is_empty()
    }
}
