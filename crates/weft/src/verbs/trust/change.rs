//! The next root: what is to change, and what that does, in words.

use weft_keys::PublicKey;
use weft_record::{
    Head, Kept, Kind, Name, Reset, Role, Root, Trust, Validity, Verified, bounds::MAX_KEPT,
    keep_what_stands, next_root,
};

use super::{
    place::{Base, ResetTo},
    public::{RoleKey, RoleNumber},
};
use crate::{
    failure::{Exit, Failure},
    signing::{
        self,
        words::{self, Releases},
    },
};

/// The name by which the root's own keys are meant.
pub(crate) const ROOT: &str = "root";

/// What is to change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    pub(crate) remove: Vec<PublicKey>,
    pub(crate) add: Vec<RoleKey>,
    pub(crate) thresholds: Vec<RoleNumber>,
    pub(crate) resets: Vec<ResetTo>,
    pub(crate) no_reset: Vec<Name>,
    /// Further records to keep although their signers go, by the first digits of their ids.
    pub(crate) keep: Vec<String>,
    /// Set the least time that nodes believe in to this machine's clock.
    pub(crate) time_reset: bool,
    pub(crate) now_s: u64,
}

/// The next root, and what it does.
pub(crate) fn draft(
    trust: &Trust,
    releases: &Releases,
    change: &Change,
) -> Result<(Root, Vec<String>), Failure> {
    let mut root = next_root(trust).map_err(|error| refused(error.to_string()))?;
    let newest = trust.root().map(|root| Root::clone(root));
    let newest = newest.ok_or_else(|| refused("no root is known here".to_owned()))?;
    add(&mut root, change)?;
    remove(&mut root, change)?;
    set_thresholds(&mut root, change)?;
    check_thresholds(&root)?;
    root.resets = resets(trust, &newest, &root, change)?;
    root.validity = Validity {
        from_s: change.now_s,
        until_s: change.now_s.saturating_add(signing::ROOT_VALIDITY_S),
    };
    root.time_reset_s = change.time_reset.then_some(change.now_s);
    let dropped = keep(trust, &newest, &mut root, change)?;
    let mut does = signing::root_words(trust, releases, &newest, &root);
    if dropped > 0 {
        does.push(format!(
            "{dropped} older records no longer count: a root keeps {MAX_KEPT} at most"
        ));
    }
    Ok((root, does))
}

fn add(root: &mut Root, change: &Change) -> Result<(), Failure> {
    for RoleKey { role: name, key } in &change.add {
        let keys = if name.as_str() == ROOT {
            &mut root.keys
        } else {
            if !root.roles.iter().any(|role| role.name == *name) {
                root.roles.push(signing::new_role(name.clone())?);
                root.roles.sort_by(|a, b| a.name.cmp(&b.name));
            }
            let role = root.roles.iter_mut().find(|role| role.name == *name);
            &mut role
                .ok_or_else(|| refused(format!("there is no role {name}")))?
                .keys
        };
        let Err(index) = keys.binary_search(key) else {
            return Err(refused(format!(
                "key {} is in role {name} already",
                words::short_key(key)
            )));
        };
        keys.insert(index, *key);
    }
    Ok(())
}

fn remove(root: &mut Root, change: &Change) -> Result<(), Failure> {
    for key in &change.remove {
        let mut found = false;
        let lists = root.roles.iter_mut().map(|role| &mut role.keys);
        for keys in lists.chain([&mut root.keys]) {
            if let Ok(index) = keys.binary_search(key) {
                keys.remove(index);
                found = true;
            }
        }
        if !found {
            return Err(refused(format!(
                "key {} has no role that it could lose",
                words::short_key(key)
            )));
        }
    }
    Ok(())
}

fn set_thresholds(root: &mut Root, change: &Change) -> Result<(), Failure> {
    for RoleNumber { role: name, number } in &change.thresholds {
        if name.as_str() == ROOT {
            root.threshold = *number;
            continue;
        }
        let role = root.roles.iter_mut().find(|role| role.name == *name);
        let Some(role) = role else {
            return Err(refused(format!("the newest root has no role {name}")));
        };
        role.threshold = *number;
    }
    Ok(())
}

fn check_thresholds(root: &Root) -> Result<(), Failure> {
    let roles = root.roles.iter();
    let roles = roles.map(|role| (role.name.as_str(), role.threshold, role.keys.len()));
    for (name, threshold, keys) in roles.chain([(ROOT, root.threshold, root.keys.len())]) {
        if threshold == 0 || usize::from(threshold) > keys {
            return Err(Failure::new(
                Exit::Refused,
                "no such root is signed",
                format!("role {name} would have {keys} keys and need {threshold} signatures"),
                format!("add a key with --add {name}=PUBLIC_KEY, or see weft trust threshold"),
            ));
        }
    }
    Ok(())
}

/// Channels begin anew where the user says so, and where their heads or releases may lose
/// what they count by.
fn resets(
    trust: &Trust,
    newest: &Root,
    root: &Root,
    change: &Change,
) -> Result<Vec<Reset>, Failure> {
    for channel in &change.no_reset {
        if !trust.channels().any(|known| known == channel) {
            return Err(not_found(channel));
        }
    }
    let mut resets = Vec::new();
    for to in &change.resets {
        let base = to.base.find(trust, &to.channel)?;
        if base.is_none() && trust.heads(&to.channel).is_empty() && to.base != Base::None {
            return Err(not_found(&to.channel));
        }
        resets.push(reset(trust, &to.channel, base.as_ref()));
    }
    for channel in trust.channels() {
        let named = change.resets.iter().any(|to| to.channel == *channel);
        let left = change.no_reset.contains(channel);
        if !named && !left && loses_signer(newest, root, channel) {
            resets.push(reset(trust, channel, trust.head(channel)));
        }
    }
    resets.sort_by(|a, b| a.channel.cmp(&b.channel));
    if let Some(twice) = resets
        .windows(2)
        .find(|two| two[0].channel == two[1].channel)
    {
        return Err(refused(format!(
            "channel {} is reset twice",
            twice[0].channel
        )));
    }
    Ok(resets)
}

fn reset(trust: &Trust, channel: &Name, base: Option<&Verified<Head>>) -> Reset {
    Reset {
        channel: channel.clone(),
        epoch: trust.epoch(channel) + 1,
        base: base.map(Verified::id),
    }
}

/// Whether heads or releases of a channel may count no more: a key goes that may have
/// signed them, or more keys are asked for.
fn loses_signer(newest: &Root, root: &Root, channel: &Name) -> bool {
    let signs = |role: &&Role| {
        let kinds = [Kind::Head, Kind::Release].map(Kind::number);
        kinds.iter().any(|kind| role.kinds.contains(kind)) && role.channels.contains(channel)
    };
    let mut roles = newest.roles.iter().filter(signs);
    roles.any(|old| {
        let new = root.roles.iter().find(|new| new.name == old.name);
        new.is_none_or(|new| {
            let goes = |key: &PublicKey| !new.keys.contains(key);
            new.threshold > old.threshold || old.keys.iter().any(goes)
        })
    })
}

/// What counts on although its signer goes: every revocation, what the resets stand on,
/// what the root before kept, and what the user names. Tells how many did not fit.
fn keep(trust: &Trust, newest: &Root, root: &mut Root, change: &Change) -> Result<usize, Failure> {
    let left_out = keep_what_stands(trust, root);
    let mut wanted: Vec<Kept> = Vec::new();
    for digits in &change.keep {
        let mut found = trust
            .records()
            .filter(|one| digits.len() >= 4 && one.record_id().to_string().starts_with(digits));
        let Some(envelope) = found.next() else {
            return Err(Failure::new(
                Exit::NotFound,
                format!("`{digits}` names no record"),
                "no id of an accepted record begins with these digits; at least four are needed",
                "weft --json trust log",
            ));
        };
        wanted.push(Kept {
            kind: envelope.kind,
            id: envelope.record_id(),
        });
    }
    let still_here = |kept: &&Kept| trust.envelope(&kept.id).is_some();
    wanted.extend(newest.kept.iter().filter(still_here));
    let mut dropped = left_out;
    for kept in wanted {
        match root.kept.binary_search(&kept) {
            Ok(_) => {}
            Err(index) if root.kept.len() < MAX_KEPT => root.kept.insert(index, kept),
            Err(_) => dropped += 1,
        }
    }
    Ok(dropped)
}

fn not_found(channel: &Name) -> Failure {
    Failure::new(
        Exit::NotFound,
        format!("there is no channel {channel}"),
        "no head of it is known here",
        "weft trust show",
    )
}

fn refused(why: String) -> Failure {
    Failure::new(
        Exit::Refused,
        "no such root is signed",
        why,
        "weft trust show",
    )
}
