//! Whoever does not belong gets nothing but what it takes to join: no chunk, no blob, no
//! news of what the mesh runs.

use weft_core::{Control, Message};
use weft_record::{Envelope, Kind};

use super::{Checker, View};
use crate::{
    journal::{Change, Entry},
    payload::Virtual,
};

pub(super) struct Membership;

impl Checker for Membership {
    fn name(&self) -> &'static str {
        "membership"
    }

    fn changed(&mut self, entry: &Entry, view: &View<'_>) -> Result<(), String> {
        let Change::Sent { to, .. } = &entry.change else {
            return Ok(());
        };
        if view.subject.puppets.contains(&entry.node) {
            return Ok(());
        }
        let Some(held) = view.knowledge.of(entry.node) else {
            return Ok(());
        };
        let key = view.world.key(*to);
        if !held.is_enrolled(&key) {
            return Err(format!(
                "sends a chunk to node {to}, which it does not know"
            ));
        }
        if held.revoked_keys().contains(&key) {
            return Err(format!("sends a chunk to node {to}, whose key was revoked"));
        }
        Ok(())
    }
}

/// What a puppet heard that was never enrolled.
pub(super) fn heard(
    puppet: usize,
    message: &Message<Virtual>,
    from: usize,
    view: &View<'_>,
) -> Result<(), String> {
    let held = view.knowledge.of(from);
    if held.is_none_or(|held| held.is_enrolled(&view.world.key(puppet))) {
        return Ok(());
    }
    let inside = match message {
        Message::Control(Control::Records(envelopes)) => envelopes.iter().any(|bytes| {
            let envelope = Envelope::decode(bytes).ok();
            let kind = envelope.and_then(|envelope| Kind::from_number(envelope.kind));
            !matches!(
                kind,
                Some(Kind::Root | Kind::Revoke | Kind::Enroll | Kind::EnrollRoot)
            )
        }),
        Message::Data(..)
        | Message::Blob(..)
        | Message::Control(
            Control::Digest(_)
            | Control::Compare(_)
            | Control::Compared(_)
            | Control::Want(_)
            | Control::Bits { .. }
            | Control::Gained { .. }
            | Control::Claim { .. }
            | Control::Remembered { .. },
        ) => true,
        _ => false,
    };
    if inside {
        return Err(format!(
            "tells node {puppet}, which does not belong, what only members may know"
        ));
    }
    Ok(())
}
