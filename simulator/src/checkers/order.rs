//! Order never goes back: activations of a node rise in sequence, but for going back aloud,
//! and not before a revocation or a reset takes a head's ground.

use std::collections::BTreeMap;

use weft_core::Event;

use super::{Checker, View};

#[derive(Default)]
pub(super) struct Order {
    newest: BTreeMap<usize, u64>,
}

impl Checker for Order {
    fn name(&self) -> &'static str {
        "order"
    }

    fn told(&mut self, node: usize, event: &Event, view: &View<'_>) -> Result<(), String> {
        match event {
            Event::Revoked { .. } | Event::Withdrawn { .. } => {
                self.newest.remove(&node);
            }
            // an epoch begins to count anew
            Event::Activated { .. } if view.world.epoch_begun_us(node).is_some() => {}
            Event::Activated { seq, .. } => {
                let before = self.newest.insert(node, *seq);
                if let Some(before) = before.filter(|before| before > seq) {
                    return Err(format!("activated {seq} after {before}"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
