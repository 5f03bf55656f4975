//! Nothing unverified, revoked, outdated, contended or wrongly keyed becomes active: the
//! slot is held against all that the node has accepted, by a second and simpler reading of
//! the rules.

use std::collections::{BTreeMap, BTreeSet};

use weft_core::SlotPlan;
use weft_keys::PublicKey;
use weft_record::{Head, Name, RecordId};

use super::{Checker, View, knowledge::Held};
use crate::journal::{Change, Entry};

pub(super) struct Activation;

impl Checker for Activation {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn changed(&mut self, entry: &Entry, view: &View<'_>) -> Result<(), String> {
        let Change::Activated { slot, .. } = &entry.change else {
            return Ok(());
        };
        let held = view.knowledge.of(entry.node);
        let held = held.ok_or("activates before it holds any record")?;
        may_activate(held, slot).map_err(|text| format!("activates {}: {text}", slot.release))
    }
}

fn may_activate(held: &Held, slot: &SlotPlan) -> Result<(), String> {
    let channel = &slot.channel;
    let head = held.head(&slot.head).ok_or("it has no such head")?;
    let release = held
        .release(&slot.release)
        .ok_or("it has no such release")?;
    if head.release != slot.release || head.channel != *channel || head.epoch != slot.epoch {
        return Err("its head asks for something else".to_owned());
    }
    let named = release.variants.get(slot.variant as usize);
    let named = named.ok_or("the release has no such variant")?;
    let mut files = named.files.iter();
    if !files.all(|file| slot.files.iter().any(|(_, held)| *held == file.blake3)) {
        return Err("a file of the release is not in the slot".to_owned());
    }
    let revoked = held.revoked_keys();
    let (epoch, base) = held.epoch(channel);
    let is_base = base == Some(slot.head);
    if !is_base {
        if head.epoch != epoch {
            return Err(format!(
                "its epoch {} is not the channel's {epoch}",
                head.epoch
            ));
        }
        if !held.counts(&slot.head, &revoked) {
            return Err("its head is not signed by keys that count".to_owned());
        }
        let of_base = base.and_then(|base| held.head(&base));
        let vouched = of_base.is_some_and(|base| base.release == slot.release);
        if !vouched && !held.counts(&slot.release, &revoked) {
            return Err("it is not signed by keys that count".to_owned());
        }
    }
    if held.is_revoked(&slot.release, false) {
        return Err("it was revoked".to_owned());
    }
    let floor = held.floor(channel);
    if release.counter < floor {
        return Err(format!(
            "its counter {} is below the floor {floor}",
            release.counter
        ));
    }
    let line = Line::of(held, channel, epoch, &revoked);
    if let Some((one, other)) = line.contenders() {
        return Err(format!("heads {one} and {other} contend for one place"));
    }
    match line.newer_usable(held, is_base.then_some(0).or(Some(head.seq + 1)), floor) {
        Some(newer) => Err(format!("head {newer} is newer and counts")),
        None => Ok(()),
    }
}

/// Heads of a channel's epoch that count now.
struct Line<'a> {
    heads: BTreeMap<RecordId, &'a Head>,
    /// What they and those follow that may count as well.
    followed: BTreeSet<RecordId>,
}

impl<'a> Line<'a> {
    fn of(held: &'a Held, channel: &Name, epoch: u64, revoked: &BTreeSet<PublicKey>) -> Self {
        let counting = held
            .heads(channel)
            .filter(|(id, head)| head.epoch == epoch && held.counts(id, revoked));
        let counting: Vec<_> = counting.collect();
        let followed = counting.iter().flat_map(|(_, head)| &head.prevs).copied();
        let followed = followed.collect();
        let placed = counting.into_iter().filter(|(id, _)| held.is_placed(id));
        let mut heads: BTreeMap<_, _> = placed.collect();
        // what follows a head that does not count, counts no more either
        loop {
            let loose = heads.iter().find(|(_, head)| {
                head.seq > 0 && head.prevs.iter().any(|prev| !heads.contains_key(prev))
            });
            let Some(id) = loose.map(|(id, _)| *id) else {
                return Self { heads, followed };
            };
            heads.remove(&id);
        }
    }

    /// Two heads at one place that no later one joins.
    fn contenders(&self) -> Option<(RecordId, RecordId)> {
        let ids = self.heads.keys().copied();
        let mut tips = ids.filter(|id| !self.followed.contains(id));
        tips.next().zip(tips.next())
    }

    /// A head at or after this place whose release may still become active.
    fn newer_usable(&self, held: &Held, from_seq: Option<u64>, floor: u64) -> Option<RecordId> {
        let from_seq = from_seq?;
        let mut newer = self.heads.iter().filter(|(_, head)| head.seq >= from_seq);
        let usable = newer.find(|(_, head)| {
            let release = held.release(&head.release);
            release.is_some_and(|release| release.counter >= floor)
                && !held.is_revoked(&head.release, true)
        });
        usable.map(|(id, _)| *id)
    }
}
