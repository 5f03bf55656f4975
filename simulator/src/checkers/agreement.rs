//! After everything healed, all that can hear of each other hold the same records and
//! decide the same, and none runs what was revoked.

use std::collections::BTreeSet;

use weft_record::{Name, RecordId, TrustDigest, Verdict};

use super::{Knowledge, Violation};
use crate::world::World;

/// All these nodes hold what the admin holds.
pub fn agreed(
    world: &World,
    channel: &Name,
    members: &BTreeSet<usize>,
    wanted: TrustDigest,
    knowledge: &Knowledge,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut tell = |text: String| {
        violations.push(Violation {
            checker: "agreement",
            at_us: world.now_us(),
            text,
        });
    };
    let mut first: Option<(u64, Option<RecordId>)> = None;
    for &index in members {
        let Some(node) = world.node(index) else {
            continue;
        };
        let trust = node.trust();
        if trust.digest() != wanted {
            tell(format!(
                "node {index} holds other records: {:?}",
                node.status()
            ));
        }
        let head = match trust.verdict(channel) {
            Verdict::Go(head) => Some(head.id()),
            _ => None,
        };
        let decided = (trust.floor(channel), head);
        if *first.get_or_insert(decided) != decided {
            tell(format!(
                "node {index} decides otherwise: {decided:?}, not {first:?}"
            ));
        }
        let held = knowledge.of(index);
        let slots = world.slots(index, channel);
        if let Some(slot) = slots.active
            && (held.is_some_and(|held| held.is_revoked(&slot.release, false))
                || trust.is_void(channel, slot.epoch, &slot.release))
        {
            tell(format!(
                "node {index} still runs {}, which was withdrawn",
                slot.release
            ));
        }
    }
    violations
}
