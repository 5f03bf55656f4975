//! Records: admitting beside the bare signature check.

use std::time::Instant;

use anyhow::Result;

use super::{Figure, median};

/// Heads in the chain that is admitted.
const HEADS: u64 = 512;
/// Rounds; the first only warms up.
const ROUNDS: usize = 6;
