//! What a record says, in a line for people.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};
use weft_keys::PublicKey;
use weft_record::{
    Action, Control, Enroll, Envelope, Head, Kind, MAX_RECORD_BYTES, RecordId, Release, Revoke,
    RevokeTarget, Root, Trust, codec,
};

use crate::verbs::bundle::short;

/// Names of releases, so that a head can be told by what it names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Releases(BTreeMap<RecordId, String>);

impl Releases {
    /// Of what a verifier accepted, and of further records.
    pub(crate) fn of<'a>(trust: &Trust, further: impl IntoIterator<Item = &'a Envelope>) -> Self {
        let name = |release: &Release| format!("{} {}", release.model, release.version);
        let known = trust.releases().map(|one| (one.id(), name(one)));
        let further = further.into_iter().filter_map(|envelope| {
            let release: Release = of_kind(envelope, Kind::Release)?;
            Some((envelope.record_id(), name(&release)))
        });
        Self(known.chain(further).collect())
    }

    /// Model and version, or the first digits of the id.
    pub(crate) fn name(&self, id: &RecordId) -> String {
        let name = self.0.get(id).cloned();
        name.unwrap_or_else(|| short(&id.to_string()).to_owned())
    }
}

/// A record in a few words.
pub(crate) fn record(envelope: &Envelope, releases: &Releases) -> String {
    describe(envelope, releases).unwrap_or_else(|| {
        let kind = Kind::from_number(envelope.kind).map_or("record", Kind::name);
        format!("{kind} {}", short(&envelope.record_id().to_string()))
    })
}

fn describe(envelope: &Envelope, releases: &Releases) -> Option<String> {
    Some(match Kind::from_number(envelope.kind)? {
        Kind::Root => format!("root {}", read::<Root>(envelope)?.version),
        Kind::Release => format!("release {}", releases.name(&envelope.record_id())),
        Kind::Head => {
            let head: Head = read(envelope)?;
            let release = releases.name(&head.release);
            format!("head {} of {}: {release}", head.seq, head.channel)
        }
        Kind::Control => {
            let control: Control = read(envelope)?;
            let head = short_id(&control.head);
            let action = action(control.action);
            format!("{action} of head {head} of {}", control.channel)
        }
        Kind::Enroll => {
            let enroll: Enroll = read(envelope)?;
            let node = short_key(&enroll.node);
            format!("enrolment of node {node} at {}", enroll.site)
        }
        Kind::Revoke => {
            let revoke: Revoke = read(envelope)?;
            format!("revocation of {}", target(&revoke.target, releases))
        }
        _ => return None,
    })
}

/// What a revocation takes back.
pub(crate) fn target(target: &RevokeTarget, releases: &Releases) -> String {
    match target {
        RevokeTarget::Key(key) => format!("key {}", short_key(key)),
        RevokeTarget::Release(id) => format!("release {}", releases.name(id)),
    }
}

/// A control's action.
pub(crate) fn action(action: Action) -> String {
    match action {
        Action::Abort => "abort".to_owned(),
        Action::Pause => "pause".to_owned(),
        Action::OpenThrough(wave) => format!("opening through wave {wave}"),
        Action::Resume => "resume".to_owned(),
    }
}

/// A head, if the record is one.
pub(crate) fn head(envelope: &Envelope) -> Option<Head> {
    of_kind(envelope, Kind::Head)
}

/// The record of an envelope, if it is of this kind.
pub(crate) fn of_kind<T: Serialize + DeserializeOwned>(
    envelope: &Envelope,
    kind: Kind,
) -> Option<T> {
    (envelope.kind == kind.number()).then(|| read(envelope))?
}

fn read<T: Serialize + DeserializeOwned>(envelope: &Envelope) -> Option<T> {
    codec::decode(&envelope.body, MAX_RECORD_BYTES).ok()
}

/// The first digits of a key.
pub(crate) fn short_key(key: &PublicKey) -> String {
    short(&key.to_string()).to_owned()
}

/// The first digits of a record's id.
pub(crate) fn short_id(id: &RecordId) -> String {
    short(&id.to_string()).to_owned()
}

/// Bytes as digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

/// Keys by their first digits.
pub(crate) fn short_keys<'a>(keys: impl IntoIterator<Item = &'a PublicKey>) -> String {
    let keys: Vec<String> = keys.into_iter().map(short_key).collect();
    if keys.is_empty() {
        "-".to_owned()
    } else {
        keys.join(", ")
    }
}

/// A moment as a calendar has it, in UTC.
pub(crate) fn utc(seconds: u64) -> String {
    /// From 1 March of the year 0 to 1 January 1970.
    const DAYS_BEFORE_1970: u64 = 719_468;
    const DAYS_OF_400_YEARS: u64 = 146_097;
    if seconds > 253_402_300_799 {
        return "never".to_owned();
    }
    let (days, second) = (seconds / 86_400 + DAYS_BEFORE_1970, seconds % 86_400);
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let leap_days = day / 1_460 - day / 36_524 + day / 146_096;
    let year = (day - leap_days) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    // months from March on have 153 days in every five
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!(
        "{:04}-{month:02}-{day_of_month:02} {:02}:{:02}",
        era * 400 + year + next_year,
        second / 3600,
        second % 3600 / 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_in_pairs() {
        assert_eq!(hex(&[0x00, 0xa5, 0xff]), "00a5ff");
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let cases = [
            (0, "1970-01-01 00:00"),
            (951_782_399, "2000-02-28 23:59"),
            (951_782_400, "2000-02-29 00:00"),
            (1_709_164_800, "2024-02-29 00:00"),
            (1_735_689_599, "2024-12-31 23:59"),
            (1_790_000_000, "2026-09-21 14:13"),
            (4_107_542_400, "2100-03-01 00:00"),
            (u64::MAX, "never"),
        ];
        for (seconds, text) in cases {
            assert_eq!(utc(seconds), text, "{seconds}");
        }
    }
}
