//! Random faults from a seed: phase one breaks things while the safety checkers watch
//! every event, phase two heals everything and demands that the mesh converges.
//!
//! A seed becomes a [`Script`] first, which is plain data; [`play`] draws nothing.

mod deeds;
mod draw;
mod figures;
mod heal;
mod lies;
mod many;
mod play;
mod script;

use std::panic::{self, AssertUnwindSafe};

use weft_record::{Hash, Name};

use crate::checkers::Violation;
use play::Play;

pub use figures::{FuzzFigures, Spread, measure};
pub use many::{Found, Hunt, Tally, hunt};
pub use script::{Action, Fault, Lie, Member, Model, Part, Place, Script, ScriptError, Worth};

/// How one run ended.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What was broken; empty when all held.
    pub violations: Vec<Violation>,
    /// The event-log hash.
    pub hash: Hash,
    /// Events of the run.
    pub events: u64,
    /// Virtual time that it took to converge.
    pub virtual_us: u64,
}

/// The run of a seed.
pub fn run(seed: u64) -> Verdict {
    play(&Script::draw(seed))
}

/// One run; it ends where a safety checker first finds something. A panic, of the core or
/// of what plays, is a violation like any other.
pub fn play(script: &Script) -> Verdict {
    let run = || play_out(script);
    panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        let text = text.or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string));
        Verdict {
            violations: vec![Violation {
                checker: "panic",
                at_us: script.chaos_us,
                text: text.unwrap_or_default(),
            }],
            hash: Hash::ZERO,
            events: 0,
            virtual_us: 0,
        }
    })
}

fn play_out(script: &Script) -> Verdict {
    let mut play = Play::new(script);
    let mut holds = true;
    for fault in &script.faults {
        holds = play.advance(fault.at_us.min(script.chaos_us));
        if !holds {
            break;
        }
        play.act(&fault.action);
    }
    holds = holds && play.advance(script.chaos_us);
    if holds {
        play.heal();
    }
    let violations = play.settle();
    let world = &play.world;
    Verdict {
        violations,
        hash: world.log_hash(),
        events: world.log().lines(),
        virtual_us: world.now_us(),
    }
}

/// The channel that virtual meshes use.
pub fn channel() -> Name {
    "stable".parse().expect("a valid name")
}
