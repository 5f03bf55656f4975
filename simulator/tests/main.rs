//! The core in a virtual mesh: one file a concern, one behaviour a test.
#![allow(clippy::unwrap_used)]

mod ahead;
mod behaviour;
mod catch_up;
mod compromise;
mod courier;
mod deltas;
mod faults;
mod harness;
mod limits;
mod membership;
mod networks;
mod page;
mod ready;
mod reference;
mod regressions;
mod restore;
mod room;
mod scores;
mod sites;
mod slow;
mod transcripts;
mod verbs;
