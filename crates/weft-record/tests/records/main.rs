//! The verifier from outside: every refusal by name, and the same end whatever
//! the order.
#![allow(clippy::unwrap_used)]

mod admission;
mod convergence;
mod encoding;
mod forks;
mod mesh;
mod refusals;
mod rotation;
mod vectors;
