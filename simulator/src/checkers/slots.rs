//! A slot that becomes active is whole and would outlast a power cut, and its model passes
//! its probe. After a power cut it is whole still.

use weft_core::SlotPlan;

use super::{Checker, View};
use crate::{
    journal::{Change, Entry},
    world::{Outage, World},
};

pub(super) struct Slots;

impl Checker for Slots {
    fn name(&self) -> &'static str {
        "slots"
    }

    fn changed(&mut self, entry: &Entry, view: &View<'_>) -> Result<(), String> {
        match &entry.change {
            Change::Activated {
                slot,
                whole,
                durable,
                ..
            } => {
                let release = slot.release;
                if !whole {
                    return Err(format!("activates {release}, which is not whole"));
                }
                if !durable {
                    return Err(format!("activates {release}, which a power cut would tear"));
                }
                if view.subject.bad.contains(&release) {
                    return Err(format!("activates {release}, which fails its probe"));
                }
                Ok(())
            }
            Change::Stopped(Outage::PowerCut) => {
                let slots = view.world.peek(entry.node).all_slots();
                let mut slots = slots.flat_map(|one| [one.active, one.previous]).flatten();
                match slots.find(|slot| !is_whole(view.world, entry.node, slot)) {
                    Some(torn) => Err(format!("a power cut tore {}", torn.release)),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

fn is_whole(world: &World, node: usize, slot: &SlotPlan) -> bool {
    let mut files = slot.files.iter();
    files.all(|(_, file)| world.peek(node).was_whole(file))
}
