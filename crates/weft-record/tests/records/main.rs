//! The verifier from outside: every refusal by name, and the same end whatever
//! the order.
#![allow(clippy::unwrap_used)]

mod admission;
mod convergence;
mod encoding;
mod fleet;
mod floors;
mod forks;
mod history;
mod kinds;
mod mesh;
mod properties;
mod refusals;
mod revocation;
mod rotation;
mod signatures;
mod story;
mod time;
mod vectors;
