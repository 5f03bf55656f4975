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

/// How a run changes the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Muon for the layers' matrices, AdamW for the rest: here it learns a
    /// line's structure from about half as many lines.
    Muon,
    /// AdamW for all weights, as most fine-tunes are made.
    AdamW,
    /// AdamW for matrices of low rank beside q and v (LoRA); what is saved has
    /// them merged.
    Lora,
}

/// All weights tuned with a small learning rate: a pair of versions as people
/// make them, to measure deltas on.
pub const ADAPT_FULL: Recipe = Recipe {
    steps: 300,
    stop_after: 300,
    peak_rate: 1e-4,
    others: (Split::Wild, 0.9),
};

/// The same with LoRA on q and v, whose rate is larger as it usually is.
pub const ADAPT_LORA: Recipe = Recipe {
    steps: 300,
    stop_after: 300,
    peak_rate: 1e-3,
    others: (Split::Wild, 0.9),
};

/// The rank of LoRA's matrices.
pub const LORA_RANK: usize = 8;
/// Over the rank, this is how much they count.
pub const LORA_ALPHA: f64 = 16.0;
/// Where the lines of both begin.
pub const ADAPT_SEED: u64 = 2_000_003;

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
