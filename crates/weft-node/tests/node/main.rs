//! Real nodes on loopback, in this process: bundles in, a network between them,
//! answers out.

#![allow(clippy::unwrap_used)]

mod bundles;
mod line;
mod mesh;
mod privacy;
mod start;
