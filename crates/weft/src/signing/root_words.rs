//! What a root changes, in words: so that whoever signs it, or signs it on, knows.

use weft_keys::PublicKey;
use weft_record::{Kind, Name, Reset, Role, Root, Standing, Trust};

use super::words::{self, Releases};

/// What the newer root changes of the older one; the verifier stands before it.
pub(crate) fn root_words(
    trust: &Trust,
    releases: &Releases,
    older: &Root,
    newer: &Root,
) -> Vec<String> {
    let mut does = Vec::new();
    let (before, after) = (quorums(older), quorums(newer));
    for (name, threshold, keys) in &after {
        let old = before.iter().find(|(old, ..)| old == name);
        let (_, old_threshold, old_keys) = old.copied().unwrap_or((*name, 0, &[]));
        for key in keys.iter().filter(|key| !old_keys.contains(key)) {
            does.push(format!("key {} joins role {name}", words::short_key(key)));
        }
        if old_threshold != *threshold {
            let was = match old_threshold {
                0 => String::new(),
                old => format!(" instead of {old}"),
            };
            let signatures = crate::output::count(usize::from(*threshold), "signature");
            let fewer = if old_threshold > 0 && old_threshold < *threshold && *name != "root" {
                ": what has fewer counts no more, but for what is kept"
            } else {
                ""
            };
            does.push(format!("role {name} needs {signatures}{was}{fewer}"));
        }
    }
    for (name, _, keys) in &before {
        let left = after.iter().find(|(new, ..)| new == name);
        let left = left.map_or(&[][..], |(_, _, keys)| keys);
        for key in keys.iter().filter(|key| !left.contains(key)) {
            does.push(format!(
                "key {} leaves role {name}: what it signed in it counts no more, but for what is kept",
                words::short_key(key)
            ));
        }
    }
    does.extend(
        newer
            .resets
            .iter()
            .map(|reset| reset_words(trust, releases, reset)),
    );
    does.extend(enrolment_words(trust, newer));
    if let Some(time_s) = newer.time_reset_s {
        does.push(format!(
            "nodes set the least time that they believe in to {}",
            words::utc(time_s)
        ));
    }
    does.push(format!(
        "the root is good until {}",
        words::utc(newer.validity.until_s)
    ));
    does
}

fn quorums(root: &Root) -> Vec<(&str, u16, &[PublicKey])> {
    let own = ("root", root.threshold, root.keys.as_slice());
    let roles = root.roles.iter();
    let roles = roles.map(|role| {
        (
            Name::as_str(&role.name),
            role.threshold,
            role.keys.as_slice(),
        )
    });
    std::iter::once(own).chain(roles).collect()
}

fn reset_words(trust: &Trust, releases: &Releases, reset: &Reset) -> String {
    let channel = &reset.channel;
    let heads = trust.heads(channel);
    let base = heads.iter().find(|head| Some(head.id()) == reset.base);
    let Some(base) = base else {
        return format!("channel {channel} begins anew with nothing: no head of it counts");
    };
    let after = heads
        .iter()
        .filter(|head| (head.epoch, head.seq) >= (base.epoch, base.seq) && head.id() != base.id());
    let after: Vec<u64> = after.map(|head| head.seq).collect();
    let tail = match (after.iter().min(), after.iter().max()) {
        (Some(first), Some(last)) if first == last => format!("; head {first} no longer counts"),
        (Some(first), Some(last)) => format!("; heads {first}-{last} no longer count"),
        _ => String::new(),
    };
    let verb = if after.is_empty() {
        "begins anew at its newest head"
    } else {
        "goes back to head"
    };
    format!(
        "channel {channel} {verb} {}, release {}{tail}",
        base.seq,
        releases.name(&base.release)
    )
}

/// Enrolments that lapse: too few of their signers are left, for as many as are asked for.
fn enrolment_words(trust: &Trust, newer: &Root) -> Option<String> {
    let roles = newer.roles.iter();
    let roles: Vec<&Role> = roles
        .filter(|role| role.kinds.contains(&Kind::Enroll.number()))
        .collect();
    let lapses = trust.enrolments().filter(|enroll| {
        let signers = &enroll.envelope().sigs;
        let counts = roles.iter().any(|role| {
            let signed = signers.iter().filter(|(key, _)| role.keys.contains(key));
            signed.count() >= usize::from(role.threshold) && role.sites.contains(&enroll.site)
        });
        let kept = newer.kept.iter().any(|kept| kept.id == enroll.id());
        let now_s = newer.validity.from_s;
        let is_member = matches!(trust.standing(&enroll.node, now_s), Standing::Member(_));
        is_member && !kept && !counts
    });
    let count = lapses.count();
    (count > 0).then(|| {
        format!(
            "{} known here will lapse: enroll these nodes again, or keep their enrolments with --keep",
            crate::output::count(count, "enrolment")
        )
    })
}
