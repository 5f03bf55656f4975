//! Nobody lets go of, or doubts the memory of, a node that does nothing wrong; but for those
//! whose disk was full, which may have said more than they kept.

use weft_core::Event;

use super::{Checker, View};

pub(super) struct Blame;

impl Checker for Blame {
    fn name(&self) -> &'static str {
        "blame"
    }

    fn told(&mut self, node: usize, event: &Event, view: &View<'_>) -> Result<(), String> {
        let (world, subject) = (view.world, view.subject);
        match event {
            Event::PeerLetGo { peer, reason, .. } => {
                let mut honest = subject.honest.iter();
                match honest.find(|one| world.key(**one) == *peer) {
                    Some(one) => Err(format!("lets go of node {one}, which is honest: {reason}")),
                    None => Ok(()),
                }
            }
            Event::MemoryOlder { .. } if !world.forgetful.contains(&node) => {
                Err(format!("is told that it forgot: {event:?}"))
            }
            _ => Ok(()),
        }
    }
}
