//! How the committed weights were made: every number that a repetition needs.

use crate::generate::Split;

/// The course of one training run.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// Steps of the learning rate's schedule.
    pub steps: usize,
    /// The step after which training stopped.
    pub stop_after: usize,
    /// The learning rate at its highest.
    pub peak_rate: f64,
    /// Lines that are not plain, and their share.
    pub others: (Split, f64),
}

/// 1.0.0: tidy lines with a few varied ones, stopped well before its schedule
/// was over.
pub const TRAIN: Recipe = Recipe {
    steps: 4000,
    stop_after: 1400,
    peak_rate: 2e-3,
    others: (Split::Varied, 0.15),
};

/// 1.1.0, from 1.0.0.
pub const FINETUNE: Recipe = Recipe {
    steps: 1500,
    stop_after: 1500,
    peak_rate: 2e-3,
    others: (Split::Wild, 0.9),
};

/// Lines in a batch.
pub const BATCH: usize = 32;
/// The first layer that the tuning leaves as it was, like the embeddings and
/// the last norm.
pub const FROZEN_FROM: usize = 4;
/// Where the lines that train 1.0.0 begin.
pub const TRAIN_SEED: u64 = 1;
/// Where the lines that tune 1.1.0 begin.
pub const FINETUNE_SEED: u64 = 1_000_003;
/// Where the committed held-out lines begin.
pub const HELD_OUT_SEED: u64 = 2026;
/// How many held-out lines are committed.
pub const HELD_OUT_LINES: usize = 400;
